"""What searches for learning rates say of arms, from records and lines that are made up."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vslm.report.figures.arms import tuning_figure
from vslm.report.figures.style import styles
from vslm.report.numbers import searches
from vslm.report.numbers.curves import AXES, Curves, Line
from vslm.report.pages import content
from vslm.results.primary import PrimaryNumber
from vslm.results.records import SearchRecord, TriedRate

RATES = [0.001, 0.01, 0.1, 1.0]


def search(*values: list[float | None]) -> SearchRecord:
    """Of four rates; one that diverged has no mean."""
    tried = [
        TriedRate(
            rate=rate,
            value=None if None in found else float(np.mean(np.array(found, dtype=float))),
            values=found,
        )
        for rate, found in zip(RATES, values, strict=True)
    ]
    return SearchRecord(
        split="select", seeds=[20000], center=0.01, chosen=0.01, expected=3.0, best=0.01, num_widenings=0, rates=tried
    )


def study(primary: PrimaryNumber, **arms: SearchRecord) -> Any:
    """What is read of one."""
    return SimpleNamespace(primary=primary, tuning=arms, baseline="plain")


LOSS = PrimaryNumber("val_loss", smallest_effect=0.01)


def test_a_row_says_best_basin_band_and_what_diverged() -> None:
    """A basin that the grid ends is at least as wide; for a number that rises, the best is the highest."""
    rows = content.tuning(
        study(
            LOSS,
            plain=search([3.2], [3.0, 3.0], [3.04], [None]),
            wide=search([3.01], [3.0], [3.0], [3.01]),
        ),
        {},
    )
    first, second = rows
    width = 1.0 - 0.9 + 0.5
    assert first["best"] == "3.000"
    assert first["basin"].startswith(f"{width:.2f} (0.0079 to 0.032")
    assert (first["band"], first["diverged"], first["soon"]) == ("0.60 to 0.60", "1 of 5", "")
    assert second["basin"].startswith("at least 3.00 (0.001 to 1)")
    assert (second["band"], second["diverged"]) == ("", "none")
    better = PrimaryNumber("recall", "accuracy", higher_is_better=True, smallest_effect=0.05)
    (row,) = content.tuning(study(better, plain=search([0.1], [0.6], [0.55], [0.2])), {})
    assert row["best"].startswith("0.6")
    assert searches.margin(study(better)) == pytest.approx(0.1)


def line(values: list[float]) -> Curves:
    """Ten steps apart, two seconds each."""
    steps = np.arange(len(values)) * 10.0
    axes = {axis: steps * {"seconds": 0.2}.get(axis, 1.0) for axis in AXES}
    return Curves(Line(axes, np.array(values), None, 1), [], 0)


def test_an_arm_is_at_the_baselines_last_loss_between_two_evaluations() -> None:
    """By a line between them; one that never gets there has no row, the baseline gets there at its end."""
    found = searches.reached(
        {"plain": line([6.0, 4.0, 3.0]), "soon": line([6.0, 3.5, 2.5]), "never": line([6.0, 5.0, 4.0])}, "plain"
    )
    assert set(found) == {"plain", "soon"}
    assert (found["plain"].steps, found["plain"].share) == (20.0, 1.0)
    assert (found["soon"].steps, found["soon"].seconds, found["soon"].share) == pytest.approx((15.0, 3.0, 0.75))
    assert searches.reached({"other": line([1.0])}, "plain") == {}


def test_the_figure_has_a_band_where_runs_say_how_far_apart_they_are() -> None:
    """Two standard errors, the spread pooled over rates: narrower where there are more runs; none from single runs."""
    rows = {"plain": search([3.2], [3.0, 3.2], [3.0, 3.1], [None]), "single": search([3.2], [3.1], [3.0], [3.3])}
    traces = tuning_figure(rows, styles(list(rows), "plain"), {})["data"]
    assert [(one["meta"]["arm"], one["meta"]["part"]) for one in traces] == [
        ("plain", "band"),
        ("plain", "mean"),
        ("single", "mean"),
    ]
    sd = math.sqrt((2 * 0.1**2 + 2 * 0.05**2) / 2)
    assert traces[0]["x"] == [0.001, 0.01, 0.1, 0.1, 0.01, 0.001]
    high, low = np.array(traces[0]["y"][:3]), np.array(traces[0]["y"][:2:-1])
    np.testing.assert_allclose((high - low) / 2, [2 * sd, 2 * sd / math.sqrt(2), 2 * sd / math.sqrt(2)], atol=2e-5)


def test_the_figure_marks_where_a_basin_is_and_where_it_is_open() -> None:
    """A line at the margin above the best, an arrow at an end of the grid, none for an arm without a run that ended."""
    rows = {"plain": search([3.2], [3.0], [3.04], [None]), "edge": search([3.0], [3.01], [3.2], [4.0])}
    rows["lost"] = search([None], [None], [None], [None])
    found = searches.basins(study(LOSS, **rows))
    assert set(found) == {"plain", "edge"}
    figure = tuning_figure(rows, styles(list(rows), "plain"), found)
    marks = {one["meta"]["arm"]: one for one in figure["data"] if one["meta"]["part"] == "basin"}
    assert marks["plain"]["y"] == [3.02, 3.02]
    assert marks["plain"]["x"] == pytest.approx([10**-2.1, 10**-1.5], rel=1e-3)
    assert marks["plain"]["marker"]["symbol"] == ["line-ns", "line-ns"]
    assert marks["edge"]["marker"]["symbol"] == ["triangle-left", "line-ns"]
    better = study(PrimaryNumber("recall", "accuracy", higher_is_better=True, smallest_effect=0.05), arm=rows["plain"])
    assert searches.basins(better)["arm"][1] == pytest.approx(3.2 - 0.1)


def test_an_arm_whose_runs_are_too_far_apart_has_no_band_and_the_table_says_so() -> None:
    """Standard errors above half of the margin."""
    (row,) = content.tuning(study(LOSS, plain=search([3.2], [3.0, 3.04], [3.01, 3.05], [3.2])), {})
    assert row["band"] == "runs too far apart"
