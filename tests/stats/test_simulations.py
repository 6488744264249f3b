"""The proof by simulation: how often a whole study says something false.

The tables of `docs/verdicts.md` are stored, and made by `cells.py` and `tuned_cells.py` beside this file. Here they are
held to the promise, some cells are simulated again, and the harness is shown to catch what it is there for.
"""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from cells import EFFECTS, NOISES, Cell, cells, failing, rates, worst
from tuned_cells import Cell as TunedCell
from tuned_cells import cells as tuned_cells
from tuned_cells import false_share

from vslm.stats import verdicts
from vslm.stats.intervals import student_interval
from vslm.stats.looks import fixed_plan, plan_of_added_arms
from vslm.stats.verdicts import take_look

PROMISED = 0.06
DOCS = Path(__file__).parents[2] / "docs" / "verdicts"
TRIALS = 150
ALLOWED = 0.05 + 3 * math.sqrt(0.05 * 0.95 / TRIALS)  # so few trials tell 5% from twice as much
AGAIN = (
    Cell("normal", 3, 1),
    Cell("t(3)", 5, 3),
    Cell("log-normal 0.5", 0, 3),
    Cell("log-normal 1", 8, 1),
    Cell("log-normal 1", 0, 3),
    Cell("two kinds, equal, 0.5", 3, 3),
    Cell("two kinds, an arm fails", 8, 3),
    Cell("two kinds, an arm fails", 0, 3),
)
TUNED_AGAIN = (
    TunedCell("flat", 16, 0.0, 0.8),
    TunedCell("measured", 8, 0.0, 0.4),
    TunedCell("middle", 5, 0.4, 0.4),
    TunedCell("steep", 8, 0.0, 0.0, beyond=4.5),
)


def _rows(name: str) -> list[dict[str, str]]:
    with (DOCS / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_no_cell_of_the_stored_tables_is_false_more_often_than_promised() -> None:
    """And every cell is in them."""
    rows = _rows("cells.csv")
    assert [(row["noise"], int(row["seeds"]), int(row["arms"])) for row in rows] == [
        (cell.noise, cell.seeds, cell.arms) for cell in cells()
    ]
    assert max(float(row["false_direction"]) for row in rows) <= PROMISED
    assert max(float(row["false_equivalence"]) for row in rows) <= PROMISED
    tuned = _rows("tuned.csv")
    assert len(tuned) == len(list(tuned_cells()))
    assert max(float(row["false"]) for row in tuned) <= PROMISED


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell", AGAIN, ids=lambda cell: f"{cell.noise}, {cell.seeds or 'auto'} seeds, {cell.arms} arms"
)
def test_a_study_says_something_false_at_most_five_times_in_a_hundred(cell: Cell) -> None:
    """The worst over truths, of cells in which Student's t is false in up to 40%."""
    assert worst(cell, TRIALS, np.random.default_rng(20261130)).false <= ALLOWED


@pytest.mark.slow
@pytest.mark.parametrize("cell", TUNED_AGAIN, ids=str)
def test_verdicts_on_arms_that_were_tuned_are_false_no_more_often(cell: TunedCell) -> None:
    """Four arms without an effect, one of them perhaps with its best rate beyond the grid."""
    assert false_share(cell, TRIALS, np.random.default_rng(7))[0] <= ALLOWED


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 4, 8, 0])
def test_a_pilot_makes_no_more_studies_false(seeds: int) -> None:
    """Not even of those that go on after it, where the baseline got going by luck."""
    assert worst(Cell("two kinds, piloted, 0.5", seeds, 3), TRIALS, np.random.default_rng(20261130)).false <= ALLOWED


@pytest.mark.slow
def test_students_intervals_do_go_wrong_in_the_same_harness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skewed differences, which is what the interval of verdicts is wider for."""
    monkeypatch.setattr(verdicts, "skewed_interval", student_interval)
    cell = Cell("log-normal 1", 0, 3)
    assert rates(cell, NOISES[cell.noise], 0.0, EFFECTS[0], TRIALS, np.random.default_rng(7)).false_direction > 0.2


@pytest.mark.slow
def test_what_seeds_may_have_missed_does_go_wrong_in_the_same_harness(monkeypatch: pytest.MonkeyPatch) -> None:
    """An arm that fails now and then, and equivalence without regard to what was not seen."""
    cell, truth = Cell("two kinds, an arm fails", 16, 1), 1.2
    found = []
    for share in (verdicts.unseen_share, lambda seeds, error: 0.0):
        monkeypatch.setattr(verdicts, "unseen_share", share)
        found.append(rates(cell, failing(truth), truth, truth, 2 * TRIALS, np.random.default_rng(7)).false_equivalence)
    assert found[0] == 0
    assert found[1] > PROMISED


@pytest.mark.slow
def test_arms_added_until_one_is_resolved_are_false_no_more_often() -> None:
    """Five arms without an effect, one after another, each at five seeds: their errors come out of one reserve."""
    rng, plan, wrong = np.random.default_rng(7), fixed_plan(5), 0
    for _ in range(400):
        runs = rng.standard_normal((6, 5))
        for addition in range(5):
            own = plan_of_added_arms(plan, addition) if addition else plan
            look = take_look({"a": runs[addition + 1] - runs[0]}, own, [], 0.1)["a"]
            if look.verdict in ("better", "worse"):
                wrong += 1
                break
    assert wrong / 400 <= 0.06


@pytest.mark.slow
def test_plain_intervals_looked_at_after_every_seed_do_go_wrong() -> None:
    """What planned looks are there to avoid."""
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(500):
        values = rng.standard_normal(12)
        ends = [student_interval(values[:n], 0.05) for n in range(3, 13)]
        wrong += any(end.low > 0 or end.high < 0 for end in ends)
    assert wrong / 500 > 0.1


@pytest.mark.slow
def test_a_percentile_bootstrap_over_three_seeds_covers_too_little() -> None:
    """Why there is no bootstrap over seeds: its 95% covers below 85% with three."""
    rng = np.random.default_rng(7)
    values = rng.standard_normal((2000, 3))
    picks = rng.integers(0, 3, (2000, 500, 3))
    means = np.take_along_axis(values[:, None, :], picks, axis=2).mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert np.mean((low <= 0) & (high >= 0)) < 0.85
