"""Which runs an experiment starts from and learns from, seed by seed.

    Arm("knows")            seed k of this arm reads seed k of another arm, or of a trunk, of the same study
    "runs/X/ARM"            a folder that holds seeds: seed k reads runs/X/ARM/seedk
    "runs/X/ARM/seed0"      that one run, whatever the seed

A trunk (`Study(trunks=...)`) is trained like an arm and judged by nobody; arms are forked from it.

Not for: weights. What runs read is opened in `runs/parents.py`.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from vslm.core.errors import ResultError, SpecError, nearest
from vslm.objectives.arm import Arm
from vslm.study.experiment import Experiment

MOST_SEEDS = 10_000  # seeds of a study are below; a run that is made to choose has one from here on


def runs_read(experiment: Experiment) -> tuple[str | Arm, ...]:
    """Every run that it reads, each once: the one that it starts from first, then those of its objective."""
    start = () if not isinstance(experiment.start_from, str | Arm) else (experiment.start_from,)
    taught = () if experiment.objective is None else experiment.objective.runs()
    return tuple(dict.fromkeys([*start, *taught]))


def arms_read(experiment: Experiment) -> tuple[str, ...]:
    """The arms and trunks of the same study among them."""
    return tuple(run.name for run in runs_read(experiment) if isinstance(run, Arm))


def seeds_below(folder: str) -> list[int]:
    """The seeds of a folder that holds runs of one arm; none for a run, for a study, and for what is not there."""
    path = Path(folder)
    if (path / "experiment.json").exists() or (path / "study.json").exists():
        return []
    numbers = (one.name.removeprefix("seed") for one in path.glob("seed*") if one.is_dir())
    return sorted(int(number) for number in numbers if number.isdigit())


def at_seed(experiment: Experiment, seed: int) -> Experiment:
    """The experiment with the run of a seed in place of every folder that holds seeds.

    Raises: ResultError where that folder lacks the seed.
    """
    if not any(seeds_below(run) for run in runs_read(experiment) if isinstance(run, str)):
        return experiment
    start, objective = experiment.start_from, experiment.objective
    return dataclasses.replace(
        experiment,
        start_from=run_of_seed(start, seed) if isinstance(start, str) else start,
        objective=None if objective is None else objective.with_runs(lambda run: run_of_seed(run, seed)),
    )


def run_of_seed(folder: str, seed: int) -> str:
    """The run of a seed in a folder that holds seeds; any other folder is the run itself.

    A run that is made to choose (a screening, a search for a learning rate) has a seed that no study may name, and
    takes the runs there in turn.

    Raises: ResultError where the seed is not there.
    """
    if not (there := seeds_below(folder)):
        return folder
    if seed >= MOST_SEEDS:
        seed = there[seed % len(there)]
    if seed not in there:
        found = f"no run of seed {seed}"
        allowed = f"there are seeds {', '.join(map(str, there))}; seed k goes on from seed k"
        do = f"run more seeds there, or only its seeds here, or name one run for all: {folder}/seed{there[0]}"
        raise ResultError(folder, found, allowed, do)
    return str(Path(folder) / f"seed{seed}")


def in_order(experiments: Mapping[str, Experiment]) -> list[str]:
    """Names with those that are read before those that read them, else as they stand.

    >>> in_order({})
    []
    """
    found: dict[str, None] = {}

    def add(name: str) -> None:
        if name in experiments and name not in found:
            for other in arms_read(experiments[name]):
                add(other)
            found[name] = None

    for name in experiments:
        add(name)
    return list(found)


def check_forks(arms: Mapping[str, Experiment], trunks: Mapping[str, Experiment]) -> None:
    """Refuse arms that are read and are not there, circles, and trunks from which nothing starts.

    Raises: SpecError at the arm or trunk.
    """
    every = {**trunks, **arms}
    for name, experiment in every.items():
        where = f"{'trunks' if name in trunks else 'arms'}.{name}"
        for other in arms_read(experiment):
            if other not in every:
                found = f"it reads {other!r}, which is no arm and no trunk"
                do = "declare it in Study(trunks=...), or name the folder of a finished run"
                raise SpecError(where, found, nearest(other, every), do)
        if (circle := _circle(name, every)) is not None:
            found = f"each is to wait for the other: {' <- '.join(circle)}"
            raise SpecError(where, found, "one of them has to come first", "let one start from new weights")
    read = {other for experiment in every.values() for other in arms_read(experiment)}
    if unread := [name for name in trunks if name not in read]:
        found = "nothing starts from it and nothing learns from it"
        raise SpecError(f"trunks.{unread[0]}", found, "a trunk is read by an arm", "leave it out, or make it an arm")


def _circle(name: str, every: Mapping[str, Experiment]) -> list[str] | None:
    """Names from one that is read until it comes again; None where it does not."""

    def walk(path: list[str]) -> list[str] | None:
        if len(path) > 1 and path[-1] == name:
            return path
        if path[-1] in path[:-1] or path[-1] not in every:
            return None
        return next((found for other in arms_read(every[path[-1]]) if (found := walk([*path, other]))), None)

    return walk([name])


def readers_of(names: Iterable[str], experiments: Mapping[str, Experiment]) -> dict[str, str]:
    """Of some names those that are read, each with the first that reads it."""
    wanted, found = set(names), {}
    for reader, experiment in experiments.items():
        for other in arms_read(experiment):
            if other in wanted:
                found.setdefault(other, reader)
    return found
