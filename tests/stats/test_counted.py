"""The proof by simulation that runs which chose a learning rate may be judged, and where that ends.

The table of `docs/verdicts.md` is stored, and made by `counted_cells.py` beside this file.
"""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from counted_cells import Cell, cells, rates

TABLE = Path(__file__).parents[2] / "docs" / "verdicts" / "counted.csv"
PROMISED, COVERED, MOST_SEEDS = 0.05, 0.94, 8
TRIALS = 100
ERROR = 3 * math.sqrt(0.05 * 0.95 / TRIALS)
AGAIN = (
    Cell("counted", "flat baseline", "log-normal 1", 8, 0.01),
    Cell("counted", "moved", "two kinds, 0.8", 4, 0.01),
    Cell("counted", "measured", "two kinds, 0.8", 8, 0.01),
    Cell("counted", "alike", "normal", 8, 0.2),
)


def _rows() -> list[dict[str, str]]:
    with TABLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_no_cell_of_the_stored_table_that_is_offered_is_false_more_often_than_promised() -> None:
    """And every cell is in it."""
    rows = _rows()
    names = [(row["design"], row["curves"], row["noise"], int(row["seeds"]), float(row["effect"])) for row in rows]
    assert names == [(cell.design, cell.curves, cell.noise, cell.seeds, cell.effect) for cell in cells()]
    offered = [row for row in rows if row["design"] == "counted" and int(row["seeds"]) <= MOST_SEEDS]
    assert max(float(row["false"]) for row in offered) <= PROMISED
    assert min(float(row["coverage"]) for row in offered) >= COVERED


def test_sixteen_seeds_are_not_offered_because_they_do_not_hold() -> None:
    """Two seeds find a best rate that lies two octaves away badly, and sixteen show it."""
    not_offered = [row for row in _rows() if row["design"] == "counted" and row["seeds"] == "16"]
    assert max(float(row["false"]) for row in not_offered) > PROMISED
    assert min(float(row["coverage"]) for row in not_offered) < COVERED


def test_it_takes_a_third_fewer_runs_for_an_interval_a_tenth_wider() -> None:
    """With eight seeds, where arms are alike in their rates."""
    apart, counted = (
        next(row for row in _rows() if (row["design"], row["curves"], row["noise"], row["seeds"]) == (name, "alike",
             "normal", "8"))
        for name in ("apart", "counted")
    )  # fmt: skip
    assert float(counted["runs"]) < 0.7 * float(apart["runs"])
    assert float(counted["half_nats"]) < 1.15 * float(apart["half_nats"])


@pytest.mark.slow
@pytest.mark.parametrize("cell", AGAIN, ids=str)
def test_a_study_whose_tuning_counts_says_something_false_at_most_five_times_in_a_hundred(cell: Cell) -> None:
    """And its intervals hold."""
    found = rates(cell, TRIALS, np.random.default_rng(20261130))
    assert found.false <= PROMISED + ERROR
    assert found.coverage >= COVERED - ERROR


@pytest.mark.slow
def test_sixteen_seeds_do_go_wrong_in_the_same_harness() -> None:
    """Where runs are of two kinds and the best rate is far away."""
    found = rates(Cell("counted", "measured", "two kinds, 0.8", 16, 0.01), 3 * TRIALS, np.random.default_rng(5))
    assert found.false > 0.04
