"""Which arms of a race get no further seeds: those that are behind its leader and cannot be ahead of it any more.

Why the verdicts on the others stay as honest as they were: an arm that is never dropped has the same runs, at the same
looks, with the same error as in a study of all arms with all seeds. So whatever a race drops, what it says is part of
what that study would have said, and is false no more often. This needs that every arm that began keeps its share of
the error, and that a dropped arm is not judged on its way out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vslm.core.numbers import plural
from vslm.stats.intervals import student_interval
from vslm.stats.kinds import kinds_of


@dataclass(frozen=True)
class Behind:
    """An arm that gets no further seeds.

    Args:
        leader: the arm that was ahead.
        by: mean paired difference, arm minus leader, lower is better; not a number where a run of the arm diverged.
        least: lower end of the one-sided interval of that difference.
    """

    leader: str
    by: float
    least: float


@dataclass(frozen=True)
class Standing:
    """A race after some seeds: who leads, and who is dropped now."""

    leader: str | None
    dropped: Mapping[str, Behind]


def standing(
    values: Mapping[str, Mapping[int, float | None]],
    *,
    baseline: str,
    seeds: int,
    smallest_effect: float,
    error: float,
) -> Standing:
    """Look at the arms that are still in a race.

    With d the differences between an arm and the arm with the lowest mean, seed by seed, the arm is dropped where

        mean(d) - t(1 - error, N - 1) sd(d) / sqrt(N) > -smallest_effect

    that is where it is clearly behind, or cannot be ahead by more than anybody cares for. An arm of which a run
    diverged is dropped, since no verdict could be given. The baseline never is, and an arm that has not ended all its
    runs waits. While the runs of an arm, or of the leader, look like two kinds (`kinds_of`) that lie at least as far
    apart as the arm is behind, it stays: who got going by luck says nothing, and Student's t does not hold for that.

    One comparison at a time, seed after seed, so the error of a whole race is larger: what is promised of verdicts
    does not depend on it. How often the best arm is dropped is in `docs/verdicts.md`.

    Args:
        values: final number of each run by arm and seed, lower is better; None for a run that diverged.
        baseline: stays whatever comes out.
        seeds: that every arm should have by now.
        smallest_effect: differences within plus or minus this are of no interest.
        error: of one comparison, one-sided.
    """
    whole = {arm: by_seed for arm, by_seed in values.items() if len(by_seed) >= seeds}
    ended = {arm: known for arm, by_seed in whole.items() if len(known := _known(by_seed)) == len(by_seed)}
    dropped = {arm: Behind("", math.nan, math.nan) for arm in whole if arm not in ended and arm != baseline}
    if not ended:
        return Standing(None, dropped)
    common = sorted(set.intersection(*(set(known) for known in ended.values())))
    if len(common) < 2:
        return Standing(None, dropped)
    of_arm = {arm: np.array([known[seed] for seed in common]) for arm, known in ended.items()}
    leader = min(of_arm, key=lambda arm: (float(of_arm[arm].mean()), arm != baseline))
    apart = {arm: _apart(values_N) for arm, values_N in of_arm.items()}
    for arm, values_N in of_arm.items():
        if arm in (leader, baseline):
            continue
        interval = student_interval(values_N - of_arm[leader], 2 * error)
        if interval.low > -smallest_effect and interval.mean > max(apart[arm], apart[leader]):
            dropped[arm] = Behind(leader, interval.mean, interval.low)
    return Standing(leader, {arm: Behind(leader, row.by, row.least) for arm, row in dropped.items()})


def in_words(row: Behind, *, seeds: int, smallest_effect: float, unit: str) -> str:
    """When an arm was dropped and why, for people.

    >>> in_words(Behind("muon", 0.0842, 0.0511), seeds=3, smallest_effect=0.02, unit="nats")
    'dropped after 3 seeds, no verdict: 0.084 nats behind muon, by 0.051 at the least'
    >>> in_words(Behind("muon", 0.0042, -0.0111), seeds=4, smallest_effect=0.02, unit="nats")
    'dropped after 4 seeds, no verdict: 0.004 nats behind muon, and not ahead of it by 0.02'
    """
    after = f"dropped after {plural(seeds, 'seed')}, no verdict"
    if not math.isfinite(row.by):
        return f"{after}: a run diverged"
    decimals = min(6, max(3, 1 - math.floor(math.log10(smallest_effect)))) if smallest_effect > 0 else 3
    surely = f"and not ahead of it by {smallest_effect:g}"
    if row.least > 0:
        surely = f"by {row.least:.{decimals}f} at the least"
    return f"{after}: {row.by:.{decimals}f} {unit} behind {row.leader}, {surely}"


def _apart(values_N: np.ndarray) -> float:
    """How far the two kinds lie apart that runs look like; below any difference where they look like one."""
    kinds = kinds_of(values_N)
    return -math.inf if kinds.state == "one" else kinds.gap


def _known(by_seed: Mapping[int, float | None]) -> dict[int, float]:
    return {seed: value for seed, value in by_seed.items() if value is not None}
