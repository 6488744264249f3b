"""Verdicts on arms that are forked from trunks: the stored table keeps the promise, and some cells are made again."""

import csv
from dataclasses import fields, replace
from pathlib import Path

import fork_cells
import numpy as np
import pytest
from fork_cells import Cell, Found, cells, judged, rates, values_of

TABLE = Path(__file__).parents[2] / "docs" / "verdicts" / "forks.csv"
TRIALS = 150
FALSE, COVERED = 0.05, 0.94
ERROR = 0.035  # of a share in so many studies, about two standard errors
AGAIN = (
    Cell("shared", "normal", 3),
    Cell("half of it is left", "normal", 5),
    Cell("half of a skewed one", "t(3)", 8),
    Cell("two kinds of trunks", "normal", 5),
)


def _rows() -> list[dict[str, str]]:
    with TABLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_no_cell_of_the_stored_table_is_false_more_often_than_promised() -> None:
    """Every cell is in it; where a pair shares its trunk, intervals are a fraction of those of trunks apart."""
    rows = _rows()
    assert [(row["past"], row["luck"], int(row["seeds"])) for row in rows] == [
        (cell.past, cell.luck, cell.seeds) for cell in cells()
    ]
    assert set(rows[0]) == {field.name for kind in (Cell, Found) for field in fields(kind)} | {"trials"}
    assert max(float(row["false"]) for row in rows) <= FALSE
    assert min(float(row["coverage"]) for row in rows) >= COVERED
    width = {(row["past"], row["luck"], row["seeds"]): float(row["width"]) for row in rows}
    for luck in ("normal", "t(3)"):
        for seeds in ("3", "5", "8"):
            assert width["shared", luck, seeds] < width["trunks of their own", luck, seeds] / 4


@pytest.mark.slow
@pytest.mark.parametrize("cell", AGAIN, ids=str)
def test_a_study_of_forks_says_something_false_at_most_five_times_in_a_hundred(cell: Cell) -> None:
    """Whatever the truth; and its intervals hold together."""
    found = rates(cell, TRIALS, np.random.default_rng(7))
    assert found.false <= FALSE + ERROR
    assert found.coverage >= COVERED - ERROR


@pytest.mark.slow
def test_seeds_of_one_model_say_nothing_of_other_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what an arm is worth depends on its trunk and all seeds go on from one, most intervals miss what holds over
    trunks: why a page says that they are of continuations of that one model.
    """
    many = Cell("half of it is left", "normal", 8)
    rng, held = np.random.default_rng(7), []
    of_its_own = [all(low <= 0 <= high for _, low, high in judged(values_of(many, 0.0, rng))) for _ in range(TRIALS)]

    def of_one(rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
        return np.repeat(fork_cells.changed(rng, arms, 1), seeds, axis=1)

    monkeypatch.setitem(fork_cells.PASTS, "one", of_one)
    for _ in range(TRIALS):
        looks = judged(values_of(replace(many, past="one"), 0.0, rng))
        held.append(all(low <= 0 <= high for _, low, high in looks))
    assert np.mean(of_its_own) >= COVERED - ERROR
    assert np.mean(held) < 0.6
