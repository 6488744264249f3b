"""From paired differences to a verdict, and the verdict in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vslm.stats.intervals import per_arm_error, student_interval
from vslm.stats.looks import LookPlan, error_of_look

Verdict = Literal["better", "worse", "equivalent", "unresolved"]


@dataclass(frozen=True)
class Look:
    """One look at one arm: mean paired difference, its simultaneous interval, and the verdict read from it."""

    seeds: int
    delta: float
    low: float
    high: float
    error: float
    verdict: Verdict


def judge(low: float, high: float, smallest_effect: float, *, lower_is_better: bool = True) -> Verdict:
    """Equivalent if [low, high] lies inside +-smallest_effect; else better or worse if it excludes 0; else unresolved.

    >>> judge(-0.03, -0.01, 0.02), judge(-0.01, 0.01, 0.02), judge(-0.01, 0.5, 0.02)
    ('better', 'equivalent', 'unresolved')
    """
    if -smallest_effect <= low and high <= smallest_effect:
        return "equivalent"
    if low > 0 or high < 0:
        return "better" if (high < 0) == lower_is_better else "worse"
    return "unresolved"


def take_look(
    differences_by_arm: Mapping[str, np.ndarray],
    plan: LookPlan,
    taken: Sequence[int],
    smallest_effect: float,
    *,
    num_arms: int | None = None,
) -> dict[str, Look]:
    """Look at all arms at once, with intervals that are simultaneous over arms and looks.

    Args:
        differences_by_arm: arm minus baseline, one number per seed.
        plan: the planned looks.
        taken: numbers of seeds at the looks already taken.
        smallest_effect: differences within plus or minus this are of no interest.
        num_arms: arms of the study beside the baseline; default: those given. Diverged arms still count.
    """
    looks = {}
    for arm, differences_N in differences_by_arm.items():
        count = len(differences_N)
        error = per_arm_error(error_of_look(plan, taken, count), num_arms or len(differences_by_arm))
        interval = student_interval(differences_N, error)
        verdict = judge(interval.low, interval.high, smallest_effect)
        looks[arm] = Look(count, interval.mean, interval.low, interval.high, error, verdict)
    return looks


UNITS = {"val_loss": "nats per token", "val_bpb": "bits per byte"}
"""Of what a verdict compares."""


def in_words(look: Look, *, smallest_effect: float, tokens: float, minutes: float | None, unit: str) -> str:
    """One sentence for people: what the interval allows, at which budget, and what more would decide.

    Args:
        look: the look that the verdict comes from.
        smallest_effect: as declared.
        tokens: training tokens of a run.
        minutes: more minutes that would probably decide; infinite if out of reach, None if decided or unknown.
        unit: of the primary number.
    """
    at = f"at {_tokens_in_words(tokens)} tokens"
    if not math.isfinite(look.low):
        return f"one seed has no interval; run at least 3 seeds ({at})"
    low, high = (f"{abs(end):.{_decimals(look)}f}" for end in (look.low, look.high))
    if look.verdict in ("better", "worse"):
        near, far = sorted((low, high), key=float)
        return f"{near} to {far} {unit} {look.verdict} {at}"
    if look.verdict == "equivalent":
        return f"no difference beyond {smallest_effect:g} {unit} {at}: between {low} better and {high} worse"
    more = "more seeds than can be planned would be needed" if minutes is not None else "more seeds would be needed"
    if minutes is not None and math.isfinite(minutes):
        count = max(1, round(minutes))
        more = f"about {count:,} more minute{'s' if count > 1 else ''} would decide"
    return f"between {low} better and {high} worse {at}; {more}"


def _decimals(look: Look) -> int:
    size = max(abs(look.low), abs(look.high), 1e-6)
    return min(6, max(2, 1 - math.floor(math.log10(size))))


def _tokens_in_words(tokens: float) -> str:
    return f"{tokens / 1e6:.3g}M" if tokens >= 1e6 else f"{tokens / 1e3:.3g}k"
