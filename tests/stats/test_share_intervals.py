"""Intervals of shares hold the truth as often as they say, and do not shrink to nothing."""

import numpy as np
import pytest

from vslm.stats.shares import standard_error, standing, wilson_interval


@pytest.mark.parametrize(("share", "count"), [(0.5, 37), (0.1, 83), (0.97, 211)])
def test_an_interval_holds_the_truth(share: float, count: int) -> None:
    """Of 20,000 drawn shares 93.5 to 97 %: the score interval of a count is not exact."""
    rng = np.random.default_rng(7)
    drawn = rng.binomial(count, share, 20_000) / count
    ends = {value: wilson_interval(value, count, 0.05) for value in np.unique(drawn).tolist()}
    held = np.mean([ends[value][0] <= share <= ends[value][1] for value in drawn.tolist()])
    assert 0.935 < held < 0.97


def test_none_right_of_a_few_may_still_be_chance() -> None:
    """Where a standard error would be 0."""
    assert wilson_interval(0.0, 3, 0.05)[1] > 0.5
    assert standing(0.0, 3, 0.5, 0.05) == "at chance"
    assert standing(0.0, 300, 0.5, 0.05) == "below chance"
    assert standing(0.53, 1_000, 0.5, 0.05 / 67) == "at chance"  # of 67 at once
    assert standing(0.56, 1_000, 0.5, 0.05 / 67) == "above chance"


def test_the_standard_error_is_that_of_a_mean() -> None:
    """Of one value there is none."""
    assert standard_error(np.array([1.0, 0.0, 0.0, 1.0, 1.0])) == pytest.approx(np.sqrt(0.3 / 5))
    assert np.isnan(standard_error(np.array([1.0])))
