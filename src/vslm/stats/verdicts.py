"""From paired differences (arm minus baseline, one per seed) to a verdict, and the verdict in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vslm.stats.intervals import per_arm_error
from vslm.stats.kinds import FURTHEST_SDS, Kinds, clearest, sign_probability, unseen_share
from vslm.stats.looks import LookPlan, error_of_look
from vslm.stats.skewed import FEWEST, skewed_interval

Verdict = Literal["better", "worse", "equivalent", "unresolved"]
_ONE_KIND = Kinds("one", math.nan, 0.0, 0.0)
_UNEVEN_PAIRS = "{above} pairs against {below} in which one run got going and the other did not"


@dataclass(frozen=True)
class Look:
    """One look at one arm.

    Args:
        seeds: pairs behind it.
        delta: mean paired difference.
        low: end of its simultaneous interval.
        high: the other end.
        error: that this arm spends at this look.
        verdict: read from all that.
        sd: of the differences.
        remarks: why it is no other verdict, and what to know beside it; sentences without a full stop.
    """

    seeds: int
    delta: float
    low: float
    high: float
    error: float
    verdict: Verdict
    sd: float = math.nan
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class RateCost:
    """How much lower either side's loss might be at its best learning rate, see `tuned_rates`; infinite for a rate at
    the edge of what was tried, 0 where rates were not searched.
    """

    arm: float = 0.0
    baseline: float = 0.0


NO_COST = RateCost()


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


def look_at(
    differences_N: np.ndarray,
    *,
    error: float,
    smallest_effect: float,
    kinds: Kinds = _ONE_KIND,
    uneven: tuple[int, int] | None = None,
    uneven_words: str = _UNEVEN_PAIRS,
    cost: RateCost = NO_COST,
    within: float = math.inf,
) -> Look:
    """Look at one arm.

    The interval is `skewed_interval`, and each end further away by what the learning rate of one side may cost it. The
    verdict is `judge` of it, with these exceptions, which only take verdicts away:

        equivalent   only if it holds with both ends further away by u * 10 SD, u the share of runs of another kind
                     that all seeds may have missed (`unseen_share`), and never where runs are, or may be, of two kinds
        a direction  where some pairs are of a run that got going and one that did not, only if luck alone splits those
                     pairs as unevenly at most `error` of the time (`sign_probability`), or if the two kinds are too
                     near each other to make such a difference (`Kinds.cannot_make`)
        worse        not for an arm whose best learning rate may lie beyond what was tried; better not where the
                     baseline's may; equivalent in neither case

    Args:
        differences_N: arm minus baseline, one number per seed.
        error: of the interval.
        smallest_effect: differences within plus or minus this are of no interest.
        kinds: of the study's runs.
        uneven: pairs of which the arm's run alone, and of which the baseline's run alone, ended high; default: from the
            differences, those larger than half the gap.
        uneven_words: what they are, with places for {above} and {below}.
        cost: of the learning rates.
        within: the largest difference that there can be, as 1 of two shares: the interval ends there.
    """
    interval = skewed_interval(differences_N, error)
    low, high = interval.low, interval.high
    low -= cost.arm if math.isfinite(cost.arm) else 0.0
    high += cost.baseline if math.isfinite(cost.baseline) else 0.0
    low, high = max(low, -within), min(high, within)
    verdict: Verdict = judge(low, high, smallest_effect)
    remarks: list[str] = []
    if verdict == "equivalent":
        unseen = unseen_share(interval.count, error) * FURTHEST_SDS * interval.sd
        if kinds.state != "one" or judge(low - unseen, high + unseen, smallest_effect) != "equivalent":
            verdict = judge(low, high, 0.0)
            remarks.append(_too_few(interval.count, kinds))
    if verdict in ("better", "worse") and kinds.state == "two" and not kinds.cannot_make(low, high):
        above, below = uneven if uneven is not None else _uneven(np.asarray(differences_N), kinds.gap)
        if above + below and sign_probability(above, below) > error:
            verdict = "unresolved"
            counted = uneven_words.format(above=above, below=below)
            remarks.append(f"runs are of two kinds, so the interval does not hold, and {counted} may be luck")
    for side, value, barred in (("arm", cost.arm, "worse"), ("baseline", cost.baseline, "better")):
        if math.isinf(value):
            whose = "its" if side == "arm" else "the baseline's"
            remarks.append(f"{whose} best learning rate may lie beyond what was tried")
            if verdict in (barred, "equivalent"):
                verdict = "unresolved"
    return Look(interval.count, interval.mean, low, high, error, verdict, interval.sd, tuple(remarks))


def _too_few(count: int, kinds: Kinds) -> str:
    if kinds.state == "two":
        return "runs are of two kinds, so the interval does not hold and nothing is equivalent"
    if kinds.state == "unknown":
        return f"{count} seeds cannot tell two kinds of runs from one, so nothing is equivalent"
    return f"its interval is within the smallest effect, but {count} seeds may have missed runs of another kind"


def _uneven(differences_N: np.ndarray, gap: float) -> tuple[int, int]:
    return int((differences_N > gap / 2).sum()), int((differences_N < -gap / 2).sum())


def take_look(
    differences_by_arm: Mapping[str, np.ndarray],
    plan: LookPlan,
    taken: Sequence[int],
    smallest_effect: float,
    *,
    num_arms: int | None = None,
    costs: Mapping[str, RateCost] | None = None,
) -> dict[str, Look]:
    """Look at all arms at once, with intervals that are simultaneous over arms and looks.

    Args:
        differences_by_arm: arm minus baseline, one number per seed.
        plan: the planned looks.
        taken: numbers of seeds at the looks already taken.
        smallest_effect: differences within plus or minus this are of no interest.
        num_arms: arms of the study beside the baseline; default: those given. Diverged arms still count.
        costs: of the learning rates, by arm, where they were searched.
    """
    kinds = clearest(differences_by_arm)
    return {
        arm: look_at(
            differences_N,
            error=per_arm_error(error_of_look(plan, taken, len(differences_N)), num_arms or len(differences_by_arm)),
            smallest_effect=smallest_effect,
            kinds=kinds,
            cost=(costs or {}).get(arm, NO_COST),
        )
        for arm, differences_N in differences_by_arm.items()
    }


@dataclass(frozen=True)
class MoreTime:
    """Minutes of further seeds after which half, and nine in ten, of studies like this one are decided; infinite where
    that is out of reach.
    """

    half: float
    nine_in_ten: float


def in_words(
    look: Look,
    *,
    smallest_effect: float,
    tokens: float,
    more: MoreTime | None,
    unit: str,
    before: Look | None = None,
) -> str:
    """The verdict as a sentence: the interval, at which budget, what more would decide it, and the remarks.

    Args:
        look: the look that the verdict comes from.
        smallest_effect: as declared.
        tokens: training tokens of a run.
        more: what more would decide; None if decided or unknown.
        unit: of the primary number.
        before: the look before it, to say why an interval has grown.
    """
    at = f"at {_tokens_in_words(tokens)} tokens"
    if not math.isfinite(look.low):
        seeds = "one seed has" if look.seeds == 1 else f"{look.seeds} seeds have"
        return f"{seeds} no interval that holds; run at least {FEWEST} seeds ({at})"
    where = _between(look)
    if look.verdict in ("better", "worse"):
        said = f"{where.replace(f' {look.verdict}', '')} {unit} {look.verdict} {at}"
    elif look.verdict == "equivalent":
        said = f"no difference beyond {smallest_effect:g} {unit} {at}: {where}"
    else:
        said = f"{where} {at}" if look.remarks else f"{where} {at}; {_more_in_words(more)}"
    return "; ".join([said, *look.remarks, *_why_wider(before, look)])


def _between(look: Look) -> str:
    """The interval as a difference for the better or the worse.

    >>> _between(Look(3, 0.0, -0.01, 0.02, 0.05, "unresolved"))
    'between 0.010 better and 0.020 worse'
    >>> _between(Look(3, 0.0, 0.002, 0.006, 0.05, "equivalent"))
    '0.0020 to 0.0060 worse'
    >>> _between(Look(3, 0.0, -0.006, -0.002, 0.05, "better"))
    '0.0020 to 0.0060 better'
    """
    low, high = (f"{abs(end):.{_decimals(look)}f}" for end in (look.low, look.high))
    if look.low < 0 < look.high:
        return f"between {low} better and {high} worse"
    near, far = sorted((low, high), key=float)
    return f"{near} to {far} {'worse' if look.high > 0 else 'better'}"


def _more_in_words(more: MoreTime | None) -> str:
    if more is None:
        return "more seeds would be needed"
    if not math.isfinite(more.half):
        return "more seeds than can be planned would be needed"
    half = f"half of such studies are decided after {_minutes(more.half)}"
    if not math.isfinite(more.nine_in_ten):
        return f"{half}, one in ten not after any number of seeds that can be planned"
    return f"{half} more, nine in ten after {_minutes(more.nine_in_ten)}"


def _minutes(minutes: float) -> str:
    """Whole minutes, at least one.

    >>> _minutes(0.2), _minutes(1234.4)
    ('1 minute', '1,234 minutes')
    """
    count = max(1, round(minutes))
    return f"{count:,} minute{'s' if count > 1 else ''}"


def _why_wider(before: Look | None, look: Look) -> list[str]:
    """Why an interval is wider than at fewer seeds: the look may spend less error, or the differences scatter more."""
    if before is None or not math.isfinite(before.low) or look.seeds <= before.seeds:
        return []
    if look.high - look.low <= before.high - before.low:
        return []
    reasons = []
    if look.error < before.error:
        reasons.append(f"this look was not planned and may spend an error of {look.error:.2%}, not {before.error:.2%}")
    if look.sd > before.sd:
        reasons.append(f"the differences scatter more, by {look.sd:.2g} in place of {before.sd:.2g}")
    why = " and ".join(reasons) or "the differences are more skewed"
    return [f"wider than with {before.seeds} seeds, because {why}"]


def _decimals(look: Look) -> int:
    size = max(abs(look.low), abs(look.high), 1e-6)
    return min(6, max(2, 1 - math.floor(math.log10(size))))


def _tokens_in_words(tokens: float) -> str:
    return f"{tokens / 1e6:.3g}M" if tokens >= 1e6 else f"{tokens / 1e3:.3g}k"
