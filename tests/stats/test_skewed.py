"""The interval of verdicts: its formula at values that are no degenerate ones, and the table behind it."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.special import stdtrit
from scipy.stats import skew, t

from vslm.stats.looks import fixed_plan
from vslm.stats.skewed import skewed_interval, skewness, usual_multiplier, widening


def test_both_ends_by_hand():
    """Seven values with a tail above: w from the table between 6 and 8, t and g by scipy, the upper end further."""
    values = np.array([0.02, -0.01, 0.0, 0.01, 0.03, -0.02, 0.19])
    error = 0.02
    share = (math.log(7) - math.log(6)) / (math.log(8) - math.log(6))
    w = 1.94 + share * (1.76 - 1.94)
    quantile, g = t.ppf(1 - error / 2, 6), skew(values)
    half = w * quantile * values.std(ddof=1) / math.sqrt(7)
    found = skewed_interval(values, error)
    assert g > 1
    assert found.high - found.mean == pytest.approx(half * (1 + quantile * g / 6))
    assert found.mean - found.low == pytest.approx(half)
    mirrored = skewed_interval(-values, error)
    assert (mirrored.low, mirrored.high) == (pytest.approx(-found.high), pytest.approx(-found.low))


def test_skewness_is_that_of_scipy():
    """Biased moments, and nothing where nothing scatters."""
    values = np.array([1.0, 2.0, 2.5, 7.0, -1.0])
    assert skewness(values) == pytest.approx(skew(values))
    assert skewness(np.full(5, 3.0)) == 0.0


def test_few_values_have_no_interval_and_equal_ones_no_width():
    """Two seeds agree by luck too often."""
    assert skewed_interval(np.array([0.1, 0.1001]), 0.04).low == -math.inf
    assert skewed_interval(np.full(3, 0.25), 0.04).low == skewed_interval(np.full(3, 0.25), 0.04).high == 0.25
    assert usual_multiplier(2, 0.04) == math.inf


def test_the_table_is_interpolated_in_logarithms_and_ends():
    """Between the errors 0.02 and 0.01 of eight values; beyond both ends it stays."""
    share = (math.log(0.02) - math.log(0.015)) / (math.log(0.02) - math.log(0.01))
    assert widening(8, 0.015) == pytest.approx(1.76 + share * (1.92 - 1.76))
    share = (math.log(0.05) - math.log(0.04)) / (math.log(0.05) - math.log(0.02))
    assert widening(8, 0.04) == pytest.approx(1.52 + share * (1.76 - 1.52))
    assert widening(8, 1e-6) == widening(8, 0.001)
    assert widening(8, 0.3) == widening(8, 0.05)
    assert widening(1000, 0.01) == 1.0


@pytest.mark.parametrize(("count", "error"), [(3, 0.04), (8, 0.013), (16, 0.04), (40, 0.01)])
def test_the_usual_multiplier_is_about_half_the_width_for_normal_values(count: int, error: float):
    """In standard errors, on average over both ends; within a twentieth."""
    rng = np.random.default_rng(20261130)
    widths = []
    for _ in range(600):
        found = skewed_interval(rng.standard_normal(count), error)
        widths.append((found.high - found.low) / 2 / (found.sd / math.sqrt(count)))
    assert np.mean(widths) == pytest.approx(usual_multiplier(count, error), rel=0.05)


def test_the_table_is_one_that_a_simulation_can_have_made():
    """Never narrower than Student's; wider for a smaller error; from six values on narrower for more of them."""
    counts, errors = (3, 4, 5, 6, 8, 12, 16, 24, 32, 48), (0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
    table = np.array([[widening(count, error) for error in errors] for count in counts])
    assert table.min() == 1.0
    assert (np.diff(table, axis=1) >= 0).all()
    assert (np.diff(table[3:], axis=0) <= 0).all()
    assert (table[0] <= table[1]).all()
    known = {(3, 0.02): 1.94, (5, 0.02): 2.01, (6, 0.005): 2.21, (12, 0.05): 1.28, (16, 0.01): 1.41, (24, 0.001): 1.40}
    assert {key: widening(*key) for key in known} == pytest.approx(known)
    # No number stands apart from those beside it: what lies between two counts differs little from their mean.
    middle = (table[1:-2] + table[3:]) / 2
    assert np.abs(table[2:-1] - middle).max() < 0.12


def test_what_it_costs_is_as_documented():
    """Beside Student's at 4%: 2.2 times as wide for 3 normal values, 1.7 for 8, 1.3 for 16, the same from 48 on."""
    for count, times in ((3, 2.2), (8, 1.7), (16, 1.3), (48, 1.0)):
        assert usual_multiplier(count, 0.04) / t.ppf(0.98, count - 1) == pytest.approx(times, abs=0.1)


PAGE = Path(__file__).parents[2] / "docs" / "verdicts.md"


def test_the_page_says_how_wide_intervals_are() -> None:
    """Half a width in SDs of a difference, and in brackets how much wider than Student's: of 3 to 32 seeds, and of 1, 3
    and 5 arms that share the error of one look.
    """
    cell = r"([\d.]+) \(([\d.]+)\)"
    rows = re.findall(rf"(?m)^\| (\d+) \| {cell} \| {cell} \| {cell} \|$", PAGE.read_text(encoding="utf-8"))
    assert [int(row[0]) for row in rows] == [3, 4, 5, 8, 16, 32]
    for seeds, *cells in ([float(cell) for cell in row] for row in rows):
        for arms, half, wider in zip((1, 3, 5), cells[::2], cells[1::2], strict=True):
            error, count = fixed_plan(int(seeds)).errors[0] / arms, int(seeds)
            found = usual_multiplier(count, error)
            assert found / math.sqrt(count) == pytest.approx(half, rel=0.05)
            assert found / stdtrit(count - 1, 1 - error / 2) == pytest.approx(wider, abs=0.06)
