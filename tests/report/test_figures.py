"""Figures are plain dicts, and nothing in them can run."""

import csv
import json

import numpy as np
import pytest

from vslm.report.figures.heat_maps import map_figure
from vslm.report.figures.lines import position_figure
from vslm.report.figures.paper import Picture
from vslm.report.figures.style import NUM_COLORS, numbers, safe_text, styles
from vslm.report.numbers.curves import Profile, bin_centers
from vslm.report.numbers.maps import Map
from vslm.report.pages.images import numbers_as_csv


def test_the_baseline_is_neutral_and_the_others_differ() -> None:
    """No two of the first arms share a color, wherever the baseline stands in the order."""
    style_of = styles(["b", "base", "c", "d"], "base")
    assert style_of["base"].color == 0
    assert [style_of[arm].color for arm in "bcd"] == [1, 2, 3]


def test_more_arms_than_colors_still_get_one() -> None:
    """Colors come again, with another dash."""
    style_of = styles([str(i) for i in range(19)], "0")
    assert max(style.color for style in style_of.values()) == NUM_COLORS - 1
    assert (style_of["1"].color, style_of["1"].dash) != (style_of["8"].color, style_of["8"].dash)


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
    final = Profile(bin_centers(edges), np.array([3.0, 2.0, np.nan]), np.array([0.1, 0.2, np.nan]), 3)
    figure = position_figure({"loss": {"a": final}}, styles(["a"], "a"), edges, (2, 4))
    assert json.loads(json.dumps(figure, allow_nan=False)) == figure
    band, line = figure["data"]
    assert band["y"] == [3.1, 2.2, 1.8, 2.9]
    assert line["x"] == [1.0, 2.0, 3.5]
    assert (figure["layout"]["shapes"][0]["x0"], figure["layout"]["shapes"][0]["x1"]) == (2.5, 4.5)


@pytest.mark.parametrize("tiny", [4e-5, 1e-9, 0.0])
def test_a_scale_of_color_has_a_width_however_small_its_numbers(tiny: float) -> None:
    """Even around zero, around where they started for parameters; larger ones keep theirs."""
    cells = np.array([[tiny, -tiny]])

    def ends_of(values: np.ndarray, *ends: float) -> tuple[float, float]:
        maps = {"values": Map(["a"], ["x", "y"], values, None, 1)}
        (trace,) = map_figure(maps, ("row", "column", "nats"), lambda *_: "", scale="difference", ends=ends)["data"]
        return trace["zmin"], trace["zmax"]

    low, high = ends_of(cells, -tiny, tiny)
    assert low == -high != 0
    assert ends_of(1 + cells, 1 - tiny, 1 + tiny) == (0.999, 1.001)
    assert ends_of(1e4 * cells, -0.4, 0.4) == (-0.4, 0.4)


def test_no_name_in_a_csv_is_a_formula() -> None:
    """A spreadsheet computes a cell that begins like one; names are somebody else's, numbers are ours."""
    trace = {"type": "scatter", "name": "=cmd|x", "x": [-1.5], "y": [-2], "meta": {"view": ""}}
    picture = Picture("x", "@y", [trace], {"xaxis": {"title": {"text": "=x"}}})
    heading, row = csv.reader(numbers_as_csv(picture).splitlines())
    assert heading[:3] == ["series", "'=x", "'@y"]
    assert row[:3] == ["'=cmd|x", "-1.5", "-2"]
