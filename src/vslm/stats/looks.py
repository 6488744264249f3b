"""When the numbers are looked at, and how much error each look may spend.

One budget of error per study: the planned looks at the arms it began with, looks that nobody planned, and arms that
were added later all draw on it, and together they spend at most alpha. So all intervals of a study hold together with
probability 1 - alpha, whatever is decided in between (Bonferroni). A plain 95% interval at every look, or for every
further arm, would not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_RESERVE_SHARE = 0.2  # of alpha, kept back for what nobody planned
_ALPHA = 0.05


@dataclass(frozen=True)
class LookPlan:
    """The planned looks, as numbers of seeds, and the error each spends. Of `reserve` one half is kept for looks that
    are not planned, the other for arms that are added later.
    """

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

    A planned look spends what was planned; the first unplanned one half of what is kept for such looks, the next half
    of what is left, and so on. A look taken again at the same seeds spends nothing new.

    >>> plan = fixed_plan(3)
    >>> round(error_of_look(plan, [3], 5), 6), round(error_of_look(plan, [3, 5], 7), 6)
    (0.0025, 0.00125)
    """
    if seeds in plan.looks:
        return plan.errors[plan.looks.index(seeds)]
    unplanned = [look for look in dict.fromkeys(taken) if look not in plan.looks]
    number = unplanned.index(seeds) if seeds in unplanned else len(unplanned)
    return plan.reserve / 2 * 0.5 ** (number + 1)


def plan_of_added_arms(plan: LookPlan, addition: int) -> LookPlan:
    """The same looks for arms that were added to a study which had begun, at an error out of the study's reserve.

    The first arms to be added spend half of what is kept for them in all their looks together, the next half of what
    is left, and so on. So adding arm after arm until one is resolved says something false no more often than the
    study promised at its beginning, and what was added changes no interval of the arms that were there.

    Args:
        plan: of the study.
        addition: 1 for the first time that arms were added, 2 for the second.

    >>> plan = fixed_plan(3)
    >>> added = plan_of_added_arms(plan, 1)
    >>> round(sum(added.errors) + added.reserve, 6)
    0.0025
    """
    whole = sum(plan.errors) + plan.reserve
    share = plan.reserve / 2 * 0.5**addition / whole
    return LookPlan(plan.looks, tuple(error * share for error in plan.errors), plan.reserve * share)
