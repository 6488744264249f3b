"""Intervals of means over pairs: by hand, and how often they hold the truth where they are first allowed."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import entr, stdtrit

from vslm.after.prompts import _FEWEST_FOR_INTERVAL
from vslm.stats.pairs import degrees_of_freedom, jackknife_interval, leave_one_out

DRAWS = 4000
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
DISTRIBUTIONS: dict[str, tuple[Draw, float, float]] = {  # with mean and variance
    "normal": (lambda rng, shape: rng.standard_normal(shape), 0.0, 1.0),
    "log-normal": (
        lambda rng, shape: np.exp(0.5 * rng.standard_normal(shape)),
        math.exp(1 / 8),
        math.exp(1 / 4) * (math.exp(1 / 4) - 1),
    ),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0, 1.0),
}


def pairs(num_members: int) -> np.ndarray:
    """Every two of them."""
    return np.array([(i, j) for i in range(num_members) for j in range(i)])


def coverage(values_QT: np.ndarray, members_Q2: np.ndarray, truth: float) -> float:
    """The share of the columns whose 95 % interval holds the truth."""
    low_T, high_T = jackknife_interval(
        values_QT.mean(axis=0),
        leave_one_out(values_QT, members_Q2),
        degrees=degrees_of_freedom(members_Q2),
        error=0.05,
    )
    return float(((low_T <= truth) & (truth <= high_T)).mean())


def test_three_members_by_hand() -> None:
    """Without each there is one pair; members that have a number of their own leave the mean of the others."""
    values_QT = np.array([[1.0, 8.0], [2.0, 8.0], [4.0, 8.0]])
    np.testing.assert_array_equal(leave_one_out(values_QT, pairs(3)), [[4, 8], [2, 8], [1, 8]])
    np.testing.assert_array_equal(leave_one_out(values_QT, np.array([[0, 0], [1, 1], [2, 2]]))[:, 0], [3, 2.5, 1.5])
    low_T, high_T = jackknife_interval(
        values_QT.mean(axis=0), leave_one_out(values_QT, pairs(3)), degrees=2, error=0.05
    )
    half = stdtrit(2, 0.975) * math.log(2) * math.sqrt(2 / 3 * 2)
    np.testing.assert_allclose(low_T, [7 / 3 * math.exp(-half), 8])
    np.testing.assert_allclose(high_T, [7 / 3 * math.exp(half), 8])


def test_nothing_at_all_and_nothing_without_one() -> None:
    """Zero everywhere is known to be zero; what is zero without a member may be anything."""
    without_IT = np.array([[0.0, 0.0], [0.0, 3.0], [0.0, 3.0]])
    low_T, high_T = jackknife_interval(np.array([0.0, 2.0]), without_IT, degrees=1, error=0.05)
    assert (low_T.tolist(), high_T.tolist()) == ([0.0, 0.0], [0.0, math.inf])


def test_a_member_that_is_everywhere_cannot_be_left_out() -> None:
    """Two members make one pair."""
    with pytest.raises(ValueError, match="in every pair"):
        leave_one_out(np.ones((1, 1)), np.array([[0, 1]]))


@pytest.mark.parametrize(
    ("num_members", "fewest"),
    [
        (_FEWEST_FOR_INTERVAL, {"normal": 0.95, "log-normal": 0.94, "exponential": 0.92}),
        (16, {"normal": 0.94, "log-normal": 0.85, "exponential": 0.84}),
    ],
    ids=["the fewest", "sixteen"],
)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_intervals_of_pairs_hold_the_truth(num_members: int, fewest: dict[str, float], name: str) -> None:
    """Of the squared distance of normal and of skewed numbers, where an interval is first shown and with more; a
    percentile bootstrap held it in 78, 63 and 61 % at the fewest.
    """
    draw, _, variance = DISTRIBUTIONS[name]
    z_IT = draw(np.random.default_rng(7), (num_members, DRAWS))
    first_Q, second_Q = pairs(num_members).T
    found = coverage((z_IT[first_Q] - z_IT[second_Q]) ** 2, pairs(num_members), 2 * variance)
    print(f"pairs of {num_members}, {name}: {found:.3f}")
    assert found >= fewest[name]


@pytest.mark.parametrize("name", ["log-normal", "exponential"])
def test_intervals_of_a_number_per_member_hold_the_truth(name: str) -> None:
    """What a prompt's own controls have: skewed numbers, one of each."""
    draw, mean, _ = DISTRIBUTIONS[name]
    members_Q2 = np.repeat(np.arange(_FEWEST_FOR_INTERVAL)[:, None], 2, axis=1)
    found = coverage(draw(np.random.default_rng(11), (_FEWEST_FOR_INTERVAL, DRAWS)), members_Q2, mean)
    print(f"own numbers of {_FEWEST_FOR_INTERVAL}, {name}: {found:.3f}")
    assert found >= 0.92


@pytest.mark.slow
def test_intervals_of_divergences_hold_the_truth() -> None:
    """Jensen-Shannon divergences of random distributions, which are bounded as those of prompts are."""
    rng = np.random.default_rng(13)

    def divergences(num_members: int, draws: int) -> np.ndarray:
        p_ITV = rng.dirichlet(np.full(29, 0.2), size=(num_members, draws))
        first_Q, second_Q = pairs(num_members).T
        middle_QT = entr((p_ITV[first_Q] + p_ITV[second_Q]) / 2).sum(axis=-1)
        return middle_QT - (entr(p_ITV[first_Q]) + entr(p_ITV[second_Q])).sum(axis=-1) / 2

    truth = float(divergences(2, 200_000).mean())
    found = coverage(divergences(_FEWEST_FOR_INTERVAL, 1000), pairs(_FEWEST_FOR_INTERVAL), truth)
    print(f"divergences: {found:.3f}")
    assert found >= 0.95
