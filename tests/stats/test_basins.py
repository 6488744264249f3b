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
    assert (found.open_low, found.open_high, found.band, found.is_noisy) == (False, False, None, False)
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
    for apart in (0.0, 0.002, 0.008):
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


@pytest.mark.parametrize(("curvature", "sd"), [(0.01, 0.006), (0.03, 0.006), (0.1, 0.01), (0.5, 0.003)])
def test_its_band_holds_the_width_of_a_parabola(curvature: float, sd: float) -> None:
    """About nine times in ten, with three runs at the best rates and one at the others, flat valleys, too."""
    draw, places = np.random.default_rng(7), (np.arange(6) - 3) / 2
    held = num_bands = 0
    for _ in range(60):
        true = curvature * (places - draw.uniform(-0.25, 0.25)) ** 2
        counts = [3 if abs(i - np.argmin(true)) <= 1 else 1 for i in range(6)]
        values = [list(value + sd * draw.standard_normal(count)) for value, count in zip(true, counts, strict=True)]
        known = basin_of(list(10**places), [[value] for value in true], within=0.02, rng=draw)
        found = basin_of(list(10**places), values, within=0.02, rng=draw)
        assert known is not None
        assert found is not None
        if found.band is not None:
            num_bands += 1
            held += found.band[0] - 1e-9 <= known.decades <= found.band[1] + 1e-9
    assert num_bands >= 25
    assert held >= 0.8 * num_bands


def test_runs_further_apart_than_the_margin_leave_no_band() -> None:
    """Its means may be outside by chance; with more runs they are not."""
    rates = RATES[:3]
    few, many = ([[3 + one - 0.02, 3 + one + 0.02] * times for one in (0.1, 0.0, 0.1)] for times in (1, 40))
    noisy, quiet = (basin_of(rates, values, within=0.02, rng=rng()) for values in (few, many))
    assert noisy is not None
    assert quiet is not None
    assert (noisy.is_noisy, noisy.band) == (True, None)
    assert not quiet.is_noisy
    assert quiet.band is not None
