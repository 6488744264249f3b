"""What a search for a learning rate leaves open, by hand."""

import math

import numpy as np
import pytest
from scipy.stats import t

from vslm.lab.tuning import Curve
from vslm.stats.tuned_rates import Search, cost_of_rate, costs_of_rates, noise_of_searches
from vslm.study.learning_rates import LearningRates

RATES = [0.001, 0.002, 0.004, 0.008]
VALUES = [[3.40], [3.11, 3.14, 3.09], [3.00, 3.02, 3.01], [3.12, 3.10, 3.16]]
SEARCH = Search(RATES, VALUES, 0.0042)


def test_the_noise_is_what_rates_and_seeds_leave() -> None:
    """The interaction of three rates and three seeds, four degrees of freedom; a luck that all rates share is none."""
    losses = np.array(VALUES[1:])
    left = losses - losses.mean(0) - losses.mean(1, keepdims=True) + losses.mean()
    sd, degrees = noise_of_searches([SEARCH])
    assert (sd, degrees) == (pytest.approx(math.sqrt((left**2).sum() / 4)), 4)
    luck = (0.3, -0.2, 0.5)
    shared = Search(RATES, [VALUES[0], *([a + b for a, b in zip(v, luck, strict=True)] for v in VALUES[1:])], 0.0042)
    assert noise_of_searches([shared])[0] == pytest.approx(sd)
    assert noise_of_searches([SEARCH, shared])[1] == 8


def test_the_cost_is_bounded_by_slope_and_curvature() -> None:
    """q(x*) below q(x) by at most d^2 / (2 c), with the slope at the chosen rate known to its noise."""
    low, middle, high = (np.mean(v) for v in VALUES[1:])
    c, x = low - 2 * middle + high, math.log2(0.0042 / 0.004)
    d = abs((high - low) / 2 + c * x) + t.ppf(0.9, 6) * 0.02 * math.sqrt((0.5 + 6 * x**2) / 3)
    assert cost_of_rate(SEARCH, 0.02, 6) == pytest.approx(d**2 / (2 * c))
    assert cost_of_rate(SEARCH, 0.04, 6) > cost_of_rate(SEARCH, 0.02, 6)


def test_a_flat_optimum_is_at_most_a_step_and_a_half_away() -> None:
    """Curvature 0.01 under noise of 0.1: the slope times 1.5, less what the curvature takes."""
    flat = Search(RATES, [[3.3], [3.01, 3.01], [3.0, 3.0], [3.0, 3.0]], 0.004)
    d = abs((3.0 - 3.01) / 2) + t.ppf(0.9, 4) * 0.1 * math.sqrt(0.5 / 2)
    assert cost_of_rate(flat, 0.1, 4) == pytest.approx(d * 1.5 - 0.01 * 1.5**2 / 2)


@pytest.mark.parametrize(
    ("values", "chosen", "is_edge"),
    [
        (VALUES, 0.0042, False),
        ([[3.4], [3.3], [3.1, 3.2], [3.0, 3.1]], 0.008, True),
        ([[3.0, 3.0], [3.1, 3.1], [3.2], [3.3]], 0.001, True),
        ([[3.4], [3.2, 3.2], [3.01, 3.01], [3.0, 3.03]], 0.008, True),  # the vertex is there
        ([[3.4], [3.2, 3.2], [3.01, 3.01], [None, None]], 0.004, False),  # beyond it runs diverge
    ],
)
def test_an_edge_is_where_the_best_may_lie_beyond(values: list, chosen: float, is_edge: bool) -> None:
    """There the cost has no bound."""
    search = Search(RATES, values, chosen)
    assert search.is_at_edge == is_edge
    assert math.isinf(cost_of_rate(search, 0.02, 4)) == is_edge


def test_without_spread_or_beside_a_divergence_it_is_a_third_of_the_other_side() -> None:
    """One seed a rate has no noise; a diverged neighbor has no loss."""
    single = Search(RATES, [[3.4], [3.2], [3.02], [3.05]], 0.004)
    assert costs_of_rates({"a": single})["a"] == pytest.approx((3.2 - 3.02) / 3)
    diverged = Search(RATES, [[3.4], [3.2, 3.2], [3.02, 3.0], [None, None]], 0.004)
    assert cost_of_rate(diverged, 0.02, 4) == pytest.approx((3.2 - 3.01) / 3)


def test_a_search_is_read_from_what_a_curve_records() -> None:
    """The best and its place agree with the curve that chose."""
    curve = Curve(LearningRates(), 0.004)
    while wanted := curve.wanted():
        curve.take({rate: [3 + 0.05 * math.log2(rate / 0.003) ** 2 for _ in seeds] for rate, seeds in wanted.items()})
    row = curve.record()
    search = Search([tried.rate for tried in row.rates], [tried.values for tried in row.rates], row.chosen)
    assert search.rates[search.best] == row.best
    assert cost_of_rate(search, 1e-6, 4) < 1e-6
    assert not search.is_at_edge


def test_noise_is_read_beside_inner_optima_alone() -> None:
    """None from a best rate at an end, beside a divergence or with one seed; three rates of five, and of the seeds
    those that all three have.
    """
    ends = [[3.4], [3.3], [3.1, 3.2], [3.0, 3.1]]
    for values in (ends, ends[::-1], [[3.4], [3.2, 3.2], [3.02, 3.0], [None, None]], [[3.4], [3.2], [3.02], [3.05]]):
        sd, degrees = noise_of_searches([Search(RATES, values, 0.004)])
        assert math.isnan(sd)
        assert degrees == 0
    five = Search([*RATES, 0.016], [*VALUES, [3.5, 3.9, 3.3]], 0.0042)
    assert noise_of_searches([five]) == noise_of_searches([SEARCH])
    ragged = Search(RATES, [VALUES[0], VALUES[1], VALUES[2], VALUES[3][:2]], 0.0042)
    losses = np.array([row[:2] for row in VALUES[1:]])
    left = losses - losses.mean(0) - losses.mean(1, keepdims=True) + losses.mean()
    assert noise_of_searches([ragged]) == (pytest.approx(math.sqrt((left**2).sum() / 2)), 2)


def test_a_neighbor_below_that_diverged_is_no_edge_either() -> None:
    """The other side bounds what is left."""
    search = Search(RATES, [[3.4], [None, None], [3.0, 3.02], [3.2, 3.22]], 0.004)
    assert not search.is_at_edge
    assert cost_of_rate(search, 0.02, 4) == pytest.approx(0.2 / 3)
