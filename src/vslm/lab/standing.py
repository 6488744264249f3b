"""One comparison of a verdict: record a new look, choose the look that the verdict is read from, and say what more time
would decide.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import cast

import numpy as np

from vslm.results.folder import RunFolder
from vslm.results.primary import PrimaryNumber
from vslm.results.records import ArmVerdict, Estimate, Pair, RunEnd, StudyRecord
from vslm.stats.power import seeds_until_decided
from vslm.stats.trends import Span
from vslm.stats.verdicts import Look, MoreTime
from vslm.stats.verdicts import Verdict as Outcome


def take_in(
    record: ArmVerdict, look: Look, looks: list[Estimate], seeds: list[int], primary: PrimaryNumber
) -> tuple[Look, Look | None]:
    """Record a look, in the number's own sign, and return the one that the verdict is read from: the newest, unless it
    is unresolved and an earlier one was not. With the newest comes the look before it, else None.

    All intervals of a study hold together, so what an earlier look resolved stays resolved.
    """
    row = Estimate(
        seeds=look.seeds,
        of=seeds,
        delta=primary.turned(look.delta),
        interval=[finite(end) for end in primary.turned_interval(look.low, look.high)],
        error=look.error,
        verdict=look.verdict,
        sd=finite(look.sd),
        remarks=list(look.remarks),
    )
    earlier = [old for old in looks if old.seeds < look.seeds]
    before = look_of(max(earlier, key=lambda old: old.seeds), primary) if earlier else None
    looks[:] = [*(old for old in looks if old.seeds != look.seeds), row]
    resolved = [old for old in looks if old.verdict != "unresolved"]
    if look.verdict == "unresolved" and resolved:
        row, before = resolved[0], None
        look = look_of(row, primary)
    record.verdict, record.delta, record.interval = look.verdict, row.delta, row.interval
    record.seeds = row.of or seeds
    return look, before


def say_more_time(
    record: ArmVerdict, differences_N: np.ndarray, effect: float, *, error: float, minutes_per_seed: float
) -> MoreTime:
    """How many minutes more would decide it, by the differences of its seeds, and write that down.

    Args:
        record: of a comparison that is open.
        differences_N: of each seed, lower is better.
        effect: the smallest that matters.
        error: of a look with one seed more.
        minutes_per_seed: that one more takes.
    """
    rng = np.random.default_rng(len(differences_N))  # the same answer for the same numbers
    half, most = seeds_until_decided(differences_N, effect, error, rng)
    more = MoreTime(half * minutes_per_seed, most * minutes_per_seed)
    record.minutes_to_resolve, record.minutes_to_resolve_nine_in_ten = finite(more.half), finite(more.nine_in_ten)
    return more


def look_of(row: Estimate, primary: PrimaryNumber) -> Look:
    """A look as it was written down, perhaps by an earlier vslm, which kept less of it; lower is better in it."""
    span = span_of(row.interval)
    low, high = primary.turned_interval(span.low, span.high)
    assert row.delta is not None  # a verdict that lacks it is made anew
    assert row.error is not None
    sd = math.nan if row.sd is None else row.sd
    return Look(
        row.seeds,
        primary.turned(row.delta),
        low,
        high,
        row.error,
        cast(Outcome, row.verdict),
        sd,
        tuple(row.remarks),
    )


def span_of(interval: list[float | None] | None) -> Span:
    """An interval as it stands in a record, in which nothing is infinity."""
    low, high = interval or (None, None)
    return Span(-math.inf if low is None else low, math.inf if high is None else high)


def pair_of(baseline: float | None, arm: float | None) -> Pair:
    """Of two runs that ended well."""
    assert baseline is not None
    assert arm is not None
    return Pair(baseline=baseline, arm=arm, difference=arm - baseline)


def finite(value: float) -> float | None:
    """A number as a record holds it, in which infinity is nothing."""
    return value if math.isfinite(value) else None


def smallest_effect_of(primary: PrimaryNumber) -> float:
    """The smallest effect that matters, of a number that decides."""
    assert primary.smallest_effect is not None  # a record that is judged by has it
    return primary.smallest_effect


def mean_of(runs: Mapping[int, RunFolder], of: Callable[[RunEnd], float | None]) -> float | None:
    """Of what some runs came to; None where none has such a number."""
    found = [value for run in runs.values() if run.done and (value := of(run.done)) is not None]
    return float(np.mean(found)) if found else None


def minutes_per_seed(runs: Mapping[str, Mapping[int, RunFolder]], arms: Iterable[str], study: StudyRecord) -> float:
    """What one more seed of some arms takes, with as many runs at a time as the study has."""
    seconds = [mean_of(runs[arm], lambda end: end.seconds) or 0.0 for arm in arms]
    return sum(seconds) / 60 / max(1, study.settings.workers)
