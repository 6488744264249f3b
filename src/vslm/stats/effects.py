"""What a factor is worth, from the runs of a design: one number per seed, and the house's interval over these.

With s = +1 in runs with a factor and -1 in those without, R runs of a seed and their losses y:

    main effect               (2 / R) sum s y             mean with it minus mean without it
    interaction of a and b    (4 / R) sum s_a s_b y       effect of a where b is on minus the same where b is off

Whatever runs scatter by, and however differently, these are independent from seed to seed, so that `skewed_interval`
holds for their mean as it does for a paired difference. What all runs of a seed share falls out.
"""

import math
from collections.abc import Sequence

import numpy as np

from vslm.stats.designs import Design
from vslm.stats.intervals import Interval, student_interval
from vslm.stats.kinds import Kinds, kinds_of
from vslm.stats.verdicts import NO_COST, Look, RateCost, look_at

_UNEVEN = "{above} seeds against {below} in which more runs with it, or without it, did not get going"


def weights_of(design: Design, factors: Sequence[int]) -> np.ndarray:
    """What each run counts in the effect of one factor, or the interaction of two.

    >>> from vslm.stats.designs import choose_design
    >>> weights_of(choose_design(2), [1]).tolist(), weights_of(choose_design(2), [0, 1]).tolist()
    ([-0.5, -0.5, 0.5, 0.5], [1.0, -1.0, -1.0, 1.0])
    """
    return design.signs(factors) * 2.0 ** len(factors) / design.num_runs


def kinds_of_cells(values_RN: np.ndarray) -> Kinds:
    """Whether runs of the same factors are of two kinds, from all of them at once.

    Of every run how far it ended above the best of the same factors, without those best ones: what factors do falls
    out, and few seeds of many runs show what few seeds of one arm cannot. `between` is such a height.
    """
    return kinds_of(_above_best(values_RN).ravel() if values_RN.shape[1] > 1 else [])


def _above_best(values_RN: np.ndarray) -> np.ndarray:
    ordered_RN = np.sort(values_RN, axis=1)
    return ordered_RN[:, 1:] - ordered_RN[:, :1]


def is_behind(values_RN: np.ndarray, kinds: Kinds) -> np.ndarray:
    """Which runs did not get going while another of the same factors did; none where runs are of one kind."""
    if kinds.state != "two":
        return np.zeros(values_RN.shape, dtype=bool)
    return values_RN - values_RN.min(axis=1, keepdims=True) > kinds.between


def look_at_effect(
    values_RN: np.ndarray,
    weights_R: np.ndarray,
    *,
    error: float,
    smallest_effect: float,
    kinds: Kinds,
    cost: RateCost = NO_COST,
    within: float = math.inf,
) -> Look:
    """`look_at` of the numbers of an effect; lower is better.

    Where runs are of two kinds, a direction needs seeds in which more runs with the factor than without it did not get
    going (or fewer) to be split more unevenly than luck does.

    Args:
        values_RN: of every run of the design, by seed.
        weights_R: `weights_of` the effect.
        kinds: `kinds_of_cells` of the study.
        cost: of the learning rates.
        within: the largest difference that two runs can have.
    """
    uneven = None
    if kinds.state == "two":
        net_N = np.sign(weights_R) @ is_behind(values_RN, kinds)
        uneven = int((net_N > 0).sum()), int((net_N < 0).sum())
    return look_at(
        weights_R @ values_RN,
        error=error,
        smallest_effect=smallest_effect,
        kinds=kinds,
        uneven=uneven,
        uneven_words=_UNEVEN,
        cost=cost,
        within=within * float(np.abs(weights_R).sum()) / 2,  # of an interaction it may be further than of two runs
    )


def undeclared(values_RN: np.ndarray, weights_R: np.ndarray, *, error: float) -> Interval:
    """Student's interval of an interaction that was not declared. It warns and is no verdict, so it is not widened."""
    return student_interval(weights_R @ values_RN, error)
