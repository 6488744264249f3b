"""How wide a valley of learning rates is, where it can be said by hand."""

import math

import numpy as np
import pytest

from vslm.stats.basins import basin_of

RATES = [10 ** (i / 2) for i in range(-4, 3)]  # 0.01 to 10, half a decade apart


def rng() -> np.random.Generator:
    """The same each time."""
    return np.random.default_rng(5)


def test_ends_are_where_lines_pass_the_margin() -> None:
    """In log(rate), on both sides; other margins, other ends."""
    values = [[4.0], [3.5], [3.01], [3.0], [3.04], [3.9], [5.0]]
    found = basin_of(RATES, values, within=0.02, rng=rng())
    assert found is not None
    left = -1.0 - 0.5 * 0.01 / 0.49
    right = -0.5 + 0.5 * 0.02 / 0.04
    assert found.best == 3.0
    assert math.log10(found.low) == pytest.approx(left)
    assert math.log10(found.high) == pytest.approx(right)
    assert found.decades == pytest.approx(right - left)
    assert (found.open_low, found.open_high, found.band) == (False, False, None)
    wider = basin_of(RATES, values, within=0.2, rng=rng())
    assert wider is not None
    assert wider.decades > found.decades


def test_what_diverged_ends_it_at_its_neighbor_and_an_end_of_the_grid_leaves_it_open() -> None:
    """Nothing is known between the two; beyond the grid it may go on."""
    values: list[list[float | None]] = [[3.01], [3.0], [3.005], [3.0, None], [3.0], [3.0], [3.0]]
    found = basin_of(RATES, values, within=0.02, rng=rng())
    assert found is not None
    assert (found.open_low, found.open_high) == (True, False)
    assert (found.low, found.high) == pytest.approx((RATES[0], RATES[2]))
    assert found.decades == pytest.approx(1.0)
    assert basin_of(RATES[:3], [[None], [None, 3.0], []], within=0.02, rng=rng()) is None


def test_its_band_is_as_wide_as_runs_are_apart() -> None:
    """Runs that agree leave none of it; those that do not, some, with the width from the means inside."""
    slope = [0.5, 0.3, 0.1, 0.0, 0.1, 0.3, 0.5]
    bands = []
    for apart in (0.0, 0.002, 0.01):
        values = [[3 + one - apart, 3 + one + apart] for one in slope]
        found = basin_of(RATES, values, within=0.02, rng=rng())
        assert found is not None
        assert found.band is not None
        assert found.decades == pytest.approx(2 * 0.5 * 0.2)
        assert found.band[0] <= found.decades + 1e-9
        assert found.band[1] >= found.decades - 1e-9
        bands.append(found.band[1] - found.band[0])
    assert bands[0] == pytest.approx(0.0)
    assert 0 < bands[1] < bands[2]
