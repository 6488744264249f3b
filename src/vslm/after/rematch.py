"""The winner of a study again, as large as the baseline in every other way of counting.

An arm that is better at equal FLOPs may be so because it has more parameters, and the other way round. The answer is
another study, made from the folder of the first: the same baseline and budget, the winner as it was judged, and the
winner matched by each kind of size that it does not have equal already; on fresh seeds, since the old ones chose it.
"""

import dataclasses
from typing import Literal, cast

from vslm.core.errors import ResultError, SpecError, nearest
from vslm.core.specs import from_plain
from vslm.lab.verdict import verdict_before
from vslm.results.folder import StudyFolder
from vslm.study.catalog import CHANGES
from vslm.study.changes import Change
from vslm.study.experiment import Budget, Experiment
from vslm.study.matching import SIZES, TOLERANCE_FRACTION, WORDS, matched, relative_sizes
from vslm.study.pilot import Pilot
from vslm.study.primary import primary_of
from vslm.study.study import Study, parse_seeds
from vslm.study.study_file import kinds_of


def rematch(
    folder: StudyFolder,
    *,
    change: Change,
    arm: str | None = None,
    seeds: int | str | None = None,
    trust: bool = False,
) -> Study:
    """A study of the winner under every match, with new seeds.

    Args:
        folder: a study that was judged.
        change: what may change in the winner to make it as large: `FeedforwardMultiplier()`, `Depth()`, ...
        arm: whose rematch it is; None: the arm that is furthest ahead among those that are better.
        seeds: how many, behind those of the first study, or which ("20-24"); None: as many as the first had.
        trust: whether code in the folder is run even if this user did not run it before.

    Raises: ResultError where no arm is better, or only code that may not be run can read it; SpecError for a name that
        is no judged arm, for a seed that the first study had, since it chose the winner, and where no amount of the
        change makes the arm as large.
    """
    study = folder.study_to("run")
    arm = _winner(folder) if arm is None else arm
    others = [name for name in folder.judged_arms if name != study.baseline]
    if arm not in others:
        raise SpecError("--arm", f"{arm!r} is no judged arm", nearest(arm, others))
    base, its = (_experiment(folder, name, trust) for name in (study.baseline, arm))
    vocabulary = study.corpus_of(arm).vocabulary
    arms = {study.baseline: base, arm: its}
    more = relative_sizes(arms, study.baseline, dict.fromkeys(arms, vocabulary))[arm]
    equal_already = [WORDS[by] for by in SIZES if abs(more[by]) <= TOLERANCE_FRACTION]
    for by in SIZES:
        if WORDS[by] not in equal_already:
            equal = matched(its, to=base, by=by, change=change, vocabulary=vocabulary)
            arms[f"{arm}-equal-{by.replace('_', '-')}"] = equal
    return Study(
        question=f"{study.question} {arm!r} again, under every match",
        prediction=f"{arm!r} is better in every match; it has equal {' and '.join(equal_already) or 'none of them'}",
        baseline=study.baseline,
        arms=arms,
        seeds=_new_seeds(seeds, study.seeds),
        match=cast(Literal["tokens", "flops", "time"], study.match),
        primary=primary_of(study.primary),
        pilot=None if study.pilot is None else Pilot(seeds=study.pilot.seeds, gain_nats=study.pilot.gain_nats),
    )


def _new_seeds(wanted: int | str | None, taken: list[int]) -> tuple[int, ...]:
    is_count = wanted is None or isinstance(wanted, int) or wanted.strip().isdecimal()
    found = parse_seeds(len(taken) if wanted is None else wanted, "--seeds")
    if is_count:
        return tuple(max(taken) + 1 + seed for seed in found)
    if both := sorted({*found} & {*taken}):
        found, do = f"seed {both[0]} is one of those that chose the winner", f"begin behind {max(taken)}"
        raise SpecError("--seeds", found, "new seeds are needed", do)
    return found


def change_named(name: str) -> Change:
    """A change by its name on the command line, with its defaults: `FeedforwardMultiplier`, `Depth`, ...

    Raises: SpecError for an unknown name, and for one that needs more than a name.
    """
    if name not in CHANGES:
        raise SpecError("--change", f"found {name!r}", nearest(name, CHANGES))
    try:
        return CHANGES[name]()
    except TypeError:
        do = "call `rematch` from Python, with its arguments"
        raise SpecError("--change", f"{name} needs to be told more", "a change with defaults is needed", do) from None


def _winner(folder: StudyFolder) -> str:
    arms = verdict_before(folder).arms
    if folder.study.factorial is not None:
        found = "a study with factors judges no arm by itself"
        raise ResultError(str(folder.path), found, "a winner is needed", "name an arm with --arm, such as norm+muon")
    better = {arm: row.delta for arm, row in arms.items() if row.verdict == "better" and row.delta is not None}
    if not better:
        found = "no arm is better than the baseline" if arms else "no verdict yet"
        raise ResultError(str(folder.path), found, "a winner is needed", "name an arm with --arm")
    return min(better, key=lambda arm: folder.study.primary.turned(better[arm]))


def _experiment(folder: StudyFolder, arm: str, trust: bool) -> Experiment:
    """The arm as it was judged, at the rate that its tuning chose, for as many tokens."""
    row = folder.study.arms[arm]
    experiment: Experiment = from_plain(row.experiment, kinds_of(folder.path, trust=trust))
    return dataclasses.replace(experiment, budget=Budget(tokens=row.tokens))
