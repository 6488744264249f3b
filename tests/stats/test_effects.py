"""Effects of factors by hand, and kinds of runs over all of them; what studies come to is in `factor_cells.py`."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from factor_cells import DESIGNS, NOISES, NUM_SEEDS, Cell, cells, rates, savings, worst

from vslm.stats import designs
from vslm.stats.designs import Design, choose_design
from vslm.stats.effects import is_behind, kinds_of_cells, look_at_effect, undeclared, weights_of
from vslm.stats.kinds import Kinds
from vslm.stats.skewed import skewed_interval

DOCS = Path(__file__).parents[2] / "docs" / "verdicts"
ONE = Kinds("one", math.nan, 0.0, 0.0)
PROMISED, COVERED = 0.06, 0.94
TRIALS = 100
ALLOWED = 0.05 + 3 * math.sqrt(0.05 * 0.95 / TRIALS)
AGAIN = (
    Cell("t(3)", "3 in 8, one interaction", 3),
    Cell("log-normal 1", "4 in 8", 5),
    Cell("unequal", "8 in 16", 4),
    Cell("one wild", "3 in 8, one interaction", 0),
    Cell("two kinds, 0.8", "3 in 8, one interaction", 3),
    Cell("two kinds, piloted, 0.5", "4 in 8", 4),
    Cell("two kinds, a factor fails", "4 in 8", 8),
    Cell("two kinds, one run fails", "3 in 8, one interaction", 3),
)


def full(num_factors: int) -> Design:
    """All combinations."""
    design = choose_design(num_factors, (), 2**num_factors)
    assert design is not None
    return design


def test_an_effect_is_what_a_factor_adds_on_average() -> None:
    """0.3 alone and 0.3 - 0.2 beside the second: 0.2 on average, and -0.2 more with the second than without."""
    design = full(2)  # none, first, second, both
    losses_R1 = np.array([3.0, 3.3, 2.9, 3.0])[:, None]
    assert (weights_of(design, [0]) @ losses_R1).item() == pytest.approx(0.2)
    assert (weights_of(design, [1]) @ losses_R1).item() == pytest.approx(-0.2)
    assert (weights_of(design, [0, 1]) @ losses_R1).item() == pytest.approx(-0.2)


def test_what_all_runs_of_a_seed_share_is_in_no_effect() -> None:
    """And the interval is that of the house over one number a seed."""
    rng, design = np.random.default_rng(7), full(3)
    values_RN = rng.standard_normal((8, 5)) + 100 * rng.standard_normal(5)
    for factors in ([1], [0, 2]):
        numbers_N = weights_of(design, factors) @ values_RN
        look = look_at_effect(values_RN, weights_of(design, factors), error=0.013, smallest_effect=0.1, kinds=ONE)
        expected = skewed_interval(numbers_N, 0.013)
        assert (look.delta, look.low, look.high) == pytest.approx((expected.mean, expected.low, expected.high))
        assert np.abs(numbers_N).max() < 10


def test_few_seeds_of_many_runs_show_two_kinds_that_few_seeds_of_one_arm_cannot() -> None:
    """Three of 24 runs end far above: seen, whatever the factors do, and each known by its own combination."""
    rng, design = np.random.default_rng(7), full(3)
    effects_R1 = (design.on_RF @ np.array([0.9, -2.0, 5.0]))[:, None]
    values_RN = 0.02 * rng.standard_normal((8, 3)) + effects_R1
    assert kinds_of_cells(values_RN).state == "one"
    high = [(1, 0), (4, 1), (7, 2)]
    for run, seed in high:
        values_RN[run, seed] += 0.5
    kinds = kinds_of_cells(values_RN)
    assert kinds.state == "two"
    assert 0.05 < kinds.between < 0.5
    assert np.argwhere(is_behind(values_RN, kinds)).tolist() == [list(one) for one in high]
    assert not is_behind(values_RN, ONE).any()
    assert kinds_of_cells(values_RN[:, :1]).state == "one"


def test_a_direction_among_runs_of_two_kinds_needs_more_than_the_interval() -> None:
    """Of every seed one run with the factor more than without it failed: as even as three tosses of a coin."""
    design = full(2)
    values_RN = 0.001 * np.arange(12.0).reshape(4, 3) % 0.0037
    for seed in range(3):
        values_RN[1 if seed < 2 else 3, seed] += 1.0
    kinds = kinds_of_cells(values_RN)
    assert kinds.state == "two"
    weights_R = weights_of(design, [0])
    alone = look_at_effect(values_RN, weights_R, error=0.05, smallest_effect=0.01, kinds=ONE)
    assert alone.verdict == "worse"
    look = look_at_effect(values_RN, weights_R, error=0.05, smallest_effect=0.01, kinds=kinds)
    assert look.verdict == "unresolved"
    assert (
        "3 seeds against 0 in which more runs with it, or without it, did not get going may be luck" in look.remarks[0]
    )


def test_an_undeclared_interaction_has_students_interval() -> None:
    """By hand, with three seeds and 4.303 standard errors."""
    design = full(2)
    values_RN = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    found = undeclared(values_RN, weights_of(design, [0, 1]), error=0.05)
    assert found.mean == pytest.approx(-2.0)
    assert found.high == pytest.approx(-2 + 4.3027 / math.sqrt(3), abs=1e-4)


def test_no_cell_of_the_stored_table_is_false_more_often_than_promised() -> None:
    """And every cell is in it; intervals hold, too, which those of arms that fail now and then do not."""
    with (DOCS / "factors.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["noise"], row["design"], int(row["seeds"])) for row in rows] == [
        (cell.noise, cell.design, cell.seeds) for cell in cells()
    ]
    assert len(rows) == len(NOISES) * len(DESIGNS) * len(NUM_SEEDS)
    assert max(float(row["false_direction"]) for row in rows) <= PROMISED
    assert max(float(row["false_equivalence"]) for row in rows) <= PROMISED
    assert min(float(row["coverage"]) for row in rows) >= COVERED


def test_the_stored_table_of_savings_is_what_the_formulas_give() -> None:
    """Runs until an interval is narrow enough, with arms and with factors."""
    with (DOCS / "savings.csv").open(newline="", encoding="utf-8") as file:
        stored = list(csv.DictReader(file))
    assert stored == [{key: str(value) for key, value in row.items()} for row in savings()]


@pytest.mark.slow
@pytest.mark.parametrize("cell", AGAIN, ids=lambda cell: f"{cell.noise}, {cell.design}, {cell.seeds or 'auto'} seeds")
def test_a_study_with_factors_says_something_false_at_most_five_times_in_a_hundred(cell: Cell) -> None:
    """The worst over truths, with an interaction that nobody declared."""
    found = worst(cell, TRIALS, np.random.default_rng(20261130))
    assert found.false <= ALLOWED
    assert found.coverage >= 1 - ALLOWED


@pytest.mark.slow
def test_a_design_without_its_mirror_image_does_go_wrong_in_the_same_harness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plackett and Burman's twelve runs alone: a sixth of what two factors do to each other is in the effects of nine
    others, which few seeds do not see of a small one, and do see of a large one.
    """
    cell, draw = Cell("normal", "11 in 24", 8), NOISES["normal"]
    assert rates(cell, draw, 0.0, 1.0, TRIALS, np.random.default_rng(7), hidden=16.0).false_direction <= ALLOWED
    half = Design("plackett-burman", np.array([row[:11] for row in _twelve()]), 4)
    monkeypatch.setattr("factor_cells.choose_design", lambda *_: half)
    found = rates(cell, draw, 0.0, 1.0, TRIALS, np.random.default_rng(7), hidden=16.0)
    assert found.false_direction > 0.2
    assert found.coverage < 0.8


def _twelve() -> list[list[bool]]:
    mirrored = designs._mirrored(12).on_RF
    return [row.tolist() for row in mirrored[~mirrored[:, 11]]]
