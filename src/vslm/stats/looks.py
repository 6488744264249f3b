"""When the numbers are looked at, and how much error each look may spend.

The errors of all looks add up to at most alpha, so the intervals of all looks hold together with probability
1 - alpha, whatever is decided in between (Bonferroni over looks). A plain 95% interval at every look would not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_RESERVE_SHARE = 0.1  # of alpha, kept back for looks that nobody planned
_ALPHA = 0.05


@dataclass(frozen=True)
class LookPlan:
    """The planned looks, as numbers of seeds, and the error each spends; `reserve` is kept for unplanned ones."""

    looks: tuple[int, ...]
    errors: tuple[float, ...]
    reserve: float


def fixed_plan(seeds: int, alpha: float = _ALPHA) -> LookPlan:
    """One look, at `seeds` seeds."""
    reserve = alpha * _RESERVE_SHARE
    return LookPlan((seeds,), (alpha - reserve,), reserve)


def sequential_plan(looks: Sequence[int] = (4, 8, 16), alpha: float = _ALPHA) -> LookPlan:
    """A few looks that spend little early: each spends twice what the one before it spent."""
    reserve = alpha * _RESERVE_SHARE
    weights = [2.0**i for i in range(len(looks))]
    return LookPlan(tuple(looks), tuple((alpha - reserve) * w / sum(weights) for w in weights), reserve)


def error_of_look(plan: LookPlan, taken: Sequence[int], seeds: int) -> float:
    """The error that a look at `seeds` seeds may spend, after looks at the numbers of seeds in `taken`.

    A planned look spends what was planned; the first unplanned one half of the reserve, the next half of what is left,
    and so on. A look taken again at the same seeds spends nothing new.

    >>> plan = fixed_plan(3)
    >>> round(error_of_look(plan, [3], 5), 6), round(error_of_look(plan, [3, 5], 7), 6)
    (0.0025, 0.00125)
    """
    if seeds in plan.looks:
        return plan.errors[plan.looks.index(seeds)]
    unplanned = [look for look in dict.fromkeys(taken) if look not in plan.looks]
    number = unplanned.index(seeds) if seeds in unplanned else len(unplanned)
    return plan.reserve * 0.5 ** (number + 1)
