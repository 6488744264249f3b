"""Trunks, and runs that wait for another: which are needed, how long they are, what names them, and in which order.

A trunk is trained with every seed that something which reads it has: those of the study, and those of runs that are
made to choose (`tune`, `screen`), since each starts from a trunk of its own seed.

    runs/<study>/<trunk>/seed0/        as an arm's
    study.json: "trunks"               as an arm's row
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vslm.core.machine import available_cores
from vslm.lab.stages import Task, job_of
from vslm.results.folder import RunFolder, StudyFolder, run_folder_of
from vslm.results.places import remove_file
from vslm.results.records import RunEnd, StudyRecord
from vslm.runs.stored_run import WEIGHTS
from vslm.study.experiment import Budget, Experiment
from vslm.study.forks import in_order
from vslm.study.job import Job, Parent
from vslm.study.learning_rates import TUNING_SEED, CountedRates
from vslm.study.screening import SCREEN_SEED
from vslm.study.study import Study


def seeds_to_choose(study: Study) -> list[int]:
    """The seeds of runs that are made to choose: of a screening, and of a search for learning rates."""
    seeds = [] if study.screen is None else [SCREEN_SEED]
    if study.tune is not None and not isinstance(study.tune, CountedRates):
        seeds += range(TUNING_SEED, TUNING_SEED + study.tune.num_seeds + study.tune.more_seeds)
    return seeds


def seeds_of_forks(study: Study, seeds: Sequence[int], asked: object) -> list[int]:
    """The seeds that a study may come to need of what it starts from.

    Args:
        study: as declared.
        seeds: that it has now.
        asked: how many were asked for: with "auto" they may become all that are planned.
    """
    planned = range(study.max_seeds) if asked == "auto" else ()
    return sorted({*seeds, *planned, *seeds_to_choose(study)})


def tokens_of_trunk(trunk: Experiment, flops_per_token: float, *, flops_per_second: float) -> int:
    """Tokens of one run of a trunk, from its own budget.

    Args:
        trunk: as declared.
        flops_per_token: of it.
        flops_per_second: of a run, as far as it is known: minutes become tokens by it.
    """
    budget: Budget = trunk.budget
    if budget.tokens is not None:
        return budget.tokens
    flops = budget.flops if budget.flops is not None else (budget.minutes or 0.0) * 60 * flops_per_second
    return max(1, int(flops / flops_per_token))


def seconds_of_trunks(
    study: Study, num_seeds: int, sizes: Mapping[str, tuple[int, float]], flops_rate: float, workers: int
) -> float:
    """How long all runs of all trunks take.

    Args:
        study: whose trunks they are.
        num_seeds: that are judged.
        sizes: by trunk, tokens of a run and FLOPs per token.
        flops_rate: FLOPs per second of a run.
        workers: runs at the same time.
    """
    num_runs = num_seeds + len(seeds_to_choose(study))
    rounds = math.ceil(num_runs / max(1, min(workers, available_cores())))
    return sum(rounds * tokens * flops / flops_rate for tokens, flops in sizes.values())


def name_trunks(study: Study, record: StudyRecord, seeds: Sequence[int]) -> None:
    """Write into the record which fingerprint every run of a trunk with one of these seeds has."""
    for name in in_order(study.trunks):
        row, experiment = record.trunks[name], study.trunks[name]
        row.runs = {str(seed): job_of(record, name, experiment, seed=seed).fingerprint for seed in seeds}


def places_of(job: Job, out: Path) -> list[tuple[Parent, Path]]:
    """The runs of the study that a job reads, with their folders."""
    folder = StudyFolder(out)
    return [(one, folder.run(one.arm, one.seed).path) for one in job.parents or ()]


def whole_end(job: Job, path: Path, out: Path, say: Callable[[str], None]) -> RunEnd | None:
    """What a run came to; None if it is to be made, or made again, which is said: also where a run that it read was
    made again since and came to other weights.
    """
    done = RunFolder(path, job.arm, job.data_seed).ended_whole_as(job.fingerprint, say)
    if done is None:
        return None
    for parent, folder in places_of(job, out):
        now = run_folder_of(folder).ended_as(parent.fingerprint)
        read = done.parents.get(f"{parent.arm}/seed{parent.seed}")
        if now is not None and now.files.get(WEIGHTS, read) != read:
            say(f"{job.arm} seed {job.data_seed}: {parent.arm} has other weights than it read; the run is made again")
            remove_file(path / "done.json")
            return None
    return done


def with_parents(tasks: Sequence[Task], study: Study, record: StudyRecord, out: Path) -> list[Task]:
    """The tasks, and before each that is not done the runs that it reads, those too that need them in turn.

    One that ended well and whose weights are gone is made again, from its last checkpoint if it is there.
    """
    found: dict[Path, Task] = {}
    known = {path: (job, path) for job, path in tasks}

    def add(job: Job, path: Path) -> None:
        if path in found:
            return
        if job.parents and whole_end(job, path, out, lambda _: None) is None:
            folder = StudyFolder(out)
            for one in job.parents:
                place = folder.run(one.arm, one.seed).path
                own = job_of(record, one.arm, study.experiments[one.arm], seed=one.seed)
                run = run_folder_of(place)
                done = None if run.damage is not None else run.done
                if done is not None and done.ended_well and not (place / WEIGHTS).is_file():
                    remove_file(place / "done.json")
                add(*known.get(place, (own, place)))
        found[path] = (job, path)

    for job, path in tasks:
        add(job, path)
    return list(found.values())
