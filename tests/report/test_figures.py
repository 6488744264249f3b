"""Figures are plain dicts, and nothing in them can run."""

import json

import numpy as np

from vslm.report.curves import ByPosition
from vslm.report.line_figures import position_figure
from vslm.report.style import NUM_COLORS, numbers, safe_text, styles


def test_the_baseline_is_neutral_and_the_others_differ() -> None:
    """No two of the first arms share a color, wherever the baseline stands in the order."""
    look = styles(["b", "base", "c", "d"], "base")
    assert look["base"].color == 0
    assert [look[arm].color for arm in "bcd"] == [1, 2, 3]


def test_more_arms_than_colors_still_get_one() -> None:
    """Colors come again, with another dash."""
    look = styles([str(i) for i in range(19)], "0")
    assert max(style.color for style in look.values()) == NUM_COLORS - 1
    assert (look["1"].color, look["1"].dash) != (look["8"].color, look["8"].dash)


def test_labels_hold_no_tags_and_no_placeholders() -> None:
    """plotly.js reads tags, entities and %{...} in its labels."""
    assert "<" not in safe_text("<a href='javascript:x'>")
    assert "%{" not in safe_text("%{y}")


def test_what_is_no_number_is_none() -> None:
    """NaN is not JSON."""
    assert numbers(np.array([[1.23456, np.nan]])) == [[1.2346, None]]


def test_a_figure_is_json() -> None:
    """No array, no NaN and no object is left in it; the zone of the verdict is drawn where its positions are."""
    edges = np.array([0, 1, 2, 4])
    final = ByPosition(np.array([3.0, 2.0, np.nan]), np.array([0.1, 0.2, np.nan]), 3)
    figure = position_figure({"loss": {"a": final}}, styles(["a"], "a"), edges, (2, 4))
    assert json.loads(json.dumps(figure, allow_nan=False)) == figure
    band, line = figure["data"]
    assert band["y"] == [3.1, 2.2, 1.8, 2.9]
    assert line["x"] == [1.0, 2.0, 3.5]
    assert (figure["layout"]["shapes"][0]["x0"], figure["layout"]["shapes"][0]["x1"]) == (2.5, 4.5)
