"""The unpaired interval: by hand, honest where there is none, and at least as often right as it says."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind

from vslm.stats.unpaired import unpaired_interval

T_QUANTILE = 4.303  # two-sided 95 %, two degrees of freedom


def test_it_is_the_formula_by_hand() -> None:
    """Variances 1 and 4 over 3 and 5 values: the standard error is sqrt(1/3 + 4/5), with two degrees of freedom."""
    a, b = np.array([2.0, 3.0, 4.0]), np.array([4.0, 4.0, 6.0, 8.0, 8.0])
    found = unpaired_interval(a, b, 0.05)
    assert found.mean == 3.0
    assert found.high - found.mean == pytest.approx(T_QUANTILE * math.sqrt(1 / 3 + 4 / 5), rel=1e-3)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_it_is_never_narrower_than_welch_s() -> None:
    """scipy has his; both have the same middle."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(3.0, 0.1, 3), rng.normal(3.1, 0.4, 7)
    welch = ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    found = unpaired_interval(a, b, 0.05)
    assert found.low < welch.low < welch.high < found.high
    assert found.low + found.high == pytest.approx(welch.low + welch.high)


def test_one_value_on_a_side_has_no_interval() -> None:
    """However many the other has; and none at all has no difference either."""
    found = unpaired_interval(np.array([3.0]), np.arange(7.0), 0.05)
    assert (found.low, found.high, found.mean) == (-math.inf, math.inf, 0.0)
    assert math.isnan(unpaired_interval(np.array([]), np.arange(7.0), 0.05).mean)


def test_values_that_do_not_scatter_have_an_exact_difference() -> None:
    """A run repeated to the bit."""
    found = unpaired_interval(np.array([2.0, 2.0]), np.array([3.0, 3.0, 3.0]), 0.05)
    assert (found.low, found.mean, found.high) == (1.0, 1.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(("num_a", "num_b", "ratio"), [(3, 3, 1.0), (3, 5, 3.0), (7, 3, 3.0), (7, 3, 30.0)])
def test_it_covers_the_truth_at_least_as_often_as_it_says(num_a: int, num_b: int, ratio: float) -> None:
    """95 %, within what 4,000 trials can tell. Welch's fails at 7 and 3 values."""
    rng = np.random.default_rng(7)
    trials = 4000
    covered = 0
    for _ in range(trials):
        found = unpaired_interval(rng.normal(0.0, 1.0, num_a), rng.normal(0.5, ratio, num_b), 0.05)
        covered += found.low <= 0.5 <= found.high
    assert covered / trials > 0.95 - 2 * math.sqrt(0.05 * 0.95 / trials)
