"""Racing: who is dropped, by hand; and the proof by simulation that what is said of the others is false no more often.

The table of `docs/verdicts.md` is stored, and made by `race_cells.py` beside this file.
"""

import csv
import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import race_cells
from race_cells import PROFILES, Cell, Found, cells, raced, rates
from scipy.special import stdtrit

from vslm.stats import verdicts
from vslm.stats.intervals import student_interval
from vslm.stats.racing import standing
from vslm.stats.verdicts import take_look
from vslm.study.race import Race

TABLE = Path(__file__).parents[2] / "docs" / "verdicts" / "race.csv"
PROMISED, COVERED = 0.05, 0.94
TRIALS = 150
ERROR = 3 * math.sqrt(0.05 * 0.95 / TRIALS)
AGAIN = (
    Cell("log-normal 1", 8, "equal"),
    Cell("uneven", 5, "equal"),
    Cell("normal", 16, "all worse by the smallest effect"),
    Cell("t(3)", 0, "spread"),
    Cell("two kinds, 0.5", 8, "equal"),
    Cell("two kinds, 0.8", 0, "all worse by the smallest effect"),
)


def by_seed(*values: float | None) -> dict[int, float | None]:
    """Of seeds 0, 1, ..."""
    return dict(enumerate(values))


def test_an_arm_is_dropped_where_it_cannot_be_ahead_by_the_smallest_effect() -> None:
    """By hand: differences 0.1, 0.3, 0.2 have a mean of 0.2 and an SD of 0.1."""
    values = {"base": by_seed(3.0, 3.1, 3.2), "a": by_seed(3.1, 3.4, 3.4), "lead": by_seed(2.9, 3.0, 3.1)}
    least = 0.3 - float(stdtrit(2, 0.95)) * 0.1 / math.sqrt(3)
    found = standing(values, baseline="base", seeds=3, smallest_effect=0.01, error=0.05)
    assert found.leader == "lead"
    assert found.dropped.keys() == {"a"}, "the baseline is behind by 0.1 in every seed, and stays"
    assert found.dropped["a"].by == pytest.approx(0.3)
    assert found.dropped["a"].least == pytest.approx(least)
    away = 0.3 - float(stdtrit(2, 0.999)) * 0.1 / math.sqrt(3)
    assert away == pytest.approx(-0.9897, abs=1e-3)
    for effect, names in ((0.98, set()), (1.0, {"a"})):
        kept = standing(values, baseline="base", seeds=3, smallest_effect=effect, error=0.001)
        assert kept.dropped.keys() == names


def test_the_leader_may_be_the_baseline_and_equals_wait_for_it() -> None:
    """Of equal means the baseline leads, and who equals it is dropped like any other that cannot win."""
    values = {"a": by_seed(3.0, 3.1, 3.2), "base": by_seed(3.0, 3.1, 3.2), "b": by_seed(3.5, 2.5, 3.3)}
    found = standing(values, baseline="base", seeds=3, smallest_effect=0.01, error=0.02)
    assert found.leader == "base"
    assert found.dropped.keys() == {"a"}


def test_what_is_missing_waits_and_what_diverged_goes() -> None:
    """An arm without all its runs neither leads nor is dropped; a diverged run drops its arm, but not the baseline."""
    values = {
        "base": by_seed(3.0, None, 3.2),
        "late": by_seed(1.0, 1.1),
        "gone": by_seed(1.0, None, 1.2),
        "a": by_seed(2.0, 2.1, 2.2),
        "b": by_seed(4.0, 4.1, 4.2),
    }
    found = standing(values, baseline="base", seeds=3, smallest_effect=0.01, error=0.02)
    assert found.leader == "a"
    assert found.dropped.keys() == {"gone", "b"}
    assert math.isnan(found.dropped["gone"].by)
    alone = standing({"base": by_seed(None, None, 3.0), "gone": by_seed(None, 1.0, 1.0)}, baseline="base", seeds=3,
                     smallest_effect=0.01, error=0.02)  # fmt: skip
    assert alone.leader is None
    assert alone.dropped.keys() == {"gone"}


def test_an_arm_stays_while_it_may_be_behind_by_luck_of_another_kind() -> None:
    """Two of four runs have not got going, 10 above; the leader is 4 ahead on average, and behind what got going."""
    values = {"base": by_seed(9.0, 9.1, 9.2, 9.0), "lead": by_seed(3.0, 3.01, 3.0, 3.02)}
    two = {**values, "two": by_seed(2.0, 12.0, 2.01, 12.02)}
    for arms, gone in ((two, set()), ({**values, "one": by_seed(8.0, 8.1, 8.0, 8.05)}, {"one"})):
        found = standing(arms, baseline="base", seeds=4, smallest_effect=20.0, error=0.02)
        assert found.dropped.keys() == gone


def test_no_cell_of_the_stored_table_is_false_more_often_than_promised() -> None:
    """Every cell is in it; intervals of what was judged hold the truth."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["noise"], int(row["seeds"]), row["profile"]) for row in rows] == [
        (cell.noise, cell.seeds, cell.profile) for cell in cells()
    ]
    assert set(rows[0]) == {field.name for kind in (Cell, Found) for field in fields(kind)} | {"trials"}
    assert max(float(row["false"]) for row in rows) <= PROMISED
    assert min(float(row["coverage"]) for row in rows) >= COVERED
    plain = [row for row in rows if row["profile"] in ("one ahead", "spread") and "two kinds" not in row["noise"]]
    assert max(float(row["lost"]) for row in plain) <= 0.05
    assert max(float(row["runs"]) for row in plain if row["seeds"] == "16") < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("cell", AGAIN, ids=str)
def test_a_race_says_something_false_at_most_five_times_in_a_hundred(cell: Cell) -> None:
    """And its intervals hold, of whatever was not dropped."""
    found = rates(cell, TRIALS, np.random.default_rng(20261130))
    assert found.false <= PROMISED + ERROR
    assert found.coverage >= COVERED - ERROR


@pytest.mark.slow
def test_a_race_judged_at_the_error_of_those_that_are_left_does_go_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sixteen arms that equal the baseline those that stay are the lucky ones: with Student's interval, and an error
    shared by them alone, one study in ten says something false; shared by all that began, no more than
    promised.
    """
    monkeypatch.setattr(verdicts, "skewed_interval", student_interval)
    found = []
    for is_of_all in (True, False):
        if not is_of_all:
            monkeypatch.setattr(race_cells, "take_look", lambda *given, num_arms: take_look(*given))
        rng, wrong = np.random.default_rng(7), 0
        for _ in range(2 * TRIALS):
            losses = rng.standard_normal((17, 8)) / math.sqrt(2)
            said = raced(losses, (8,), Race(error=0.1)).looks.values()
            wrong += any(look.verdict != "unresolved" for look in said)
        found.append(wrong / (2 * TRIALS))
    assert found[0] <= 0.05
    assert found[1] > 0.08


@pytest.mark.slow
def test_a_race_has_the_runs_that_a_study_of_all_arms_would_have() -> None:
    """Of every arm that stays the look is the very same, so a race is false no more often, whatever it drops."""
    rng = np.random.default_rng(7)
    for profile in PROFILES.values():
        losses = np.array([0.0, *profile])[:, None] + rng.standard_normal((9, 8)) / math.sqrt(2)
        race, whole = raced(losses, (8,), Race()), raced(losses, (8,), None)
        assert set(race.looks) | race.dropped == set(whole.looks)
        for arm, look in race.looks.items():
            assert (look.low, look.high, look.error) == (
                whole.looks[arm].low,
                whole.looks[arm].high,
                whole.looks[arm].error,
            )
