"""Sections from what measures declare: the form of every figure, and records that are not what a run writes."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vslm.core.specs import to_plain
from vslm.measure.declared import Array, Axis, Declared, Number, Shown, read_declared
from vslm.report.figures.style import styles
from vslm.report.numbers.curves import band_half
from vslm.report.numbers.runs import Run
from vslm.report.pages.images import numbers_as_csv, of_section
from vslm.report.sections.declared import sections
from vslm.report.sections.section import Section

PLACES = Axis(title="place", first=3)
LOOK = styles(["a", "b"], "a")
STEPS_S = np.array([0, 2, 7, 31])


def runs_with(declared: Any, arrays: dict[str, np.ndarray], seeds: int = 3) -> dict[str, list[Run]]:
    """Two arms whose numbers grow with the seed; the second has 10 more."""
    plain = to_plain(declared) if isinstance(declared, Declared) else declared
    found = {}
    for arm, more in (("a", 0.0), ("b", 10.0)):
        found[arm] = [
            Run(
                arm,
                seed,
                "done",
                "done",
                f"{arm}/seed{seed}",
                arrays={
                    f"own.{name}": values + (0 if "steps" in name else seed + more) for name, values in arrays.items()
                },
                declared={"own": plain},
            )
            for seed in range(seeds)
        ]
    return found


def own(declared: Any, arrays: dict[str, np.ndarray]) -> Section | None:
    """The section of the measure."""
    return sections(runs_with(declared, arrays), LOOK).get("own")


def drawn(section: Section | None) -> dict[str, dict[str, Any]]:
    """Its figures, by name."""
    assert section is not None
    json.dumps([drawing.plain() for drawing in section.drawings], allow_nan=False)
    assert all(numbers_as_csv(picture).count("\n") > 1 for picture in of_section(section))
    return {drawing.id: drawing.figure for drawing in section.drawings}


def test_lines_have_their_places_and_their_bands() -> None:
    """Places that are counted, and places that are stored; on a logarithmic axis those above 0."""
    values_SX = np.array([[1.0, np.nan, 4.0]])
    arrays = {"steps_S": STEPS_S[:1], "x_SX": values_SX, "y_SX": values_SX}
    stored = Axis(title="at", at="x_X", is_log=True, hover="<at>")
    declared = Declared(
        arrays={"y_X": Array(axes=(PLACES,), title="y"), "x_X": Array(axes=(stored,), title="x", unit="u")}
    )
    figures = drawn(own(declared, {**arrays, "x_SX": np.array([[-9.0, 0.5, 2.0]])}))
    counted, at = figures["own.lines"], figures["own.lines2"]
    line = next(t for t in counted["data"] if t["meta"]["part"] == "mean" and t["meta"]["arm"] == "a")
    assert (line["x"], line["y"]) == ([3, 4, 5], [2.0, None, 5.0])
    half = band_half(np.arange(3.0)[:, None])
    assert half is not None
    assert line["customdata"][0] == pytest.approx(half[0], abs=1e-4)
    assert at["layout"]["xaxis"]["type"] == "log"
    assert at["layout"]["xaxis"]["unifiedhovertitle"]["text"].startswith("&lt;at&gt; ")
    assert all(x > 0 for trace in at["data"] for x in trace["x"])


def test_two_axes_are_a_map_or_lines_with_marks() -> None:
    """Of the mean, which is followed by step, and of the largest, which is followed as a line."""
    values_SXY = np.arange(4 * 2 * 3, dtype=float).reshape(4, 2, 3)
    axes = (PLACES, Axis(title="part", names=("p", "q", "<r>")))
    declared = Declared(
        arrays={
            "m_XY": Array(axes=axes, title="map", unit="u"),
            "l_XY": Array(axes=axes, title="mean", figure="lines"),
            "g_XY": Array(axes=axes, title="largest", figure="lines", over="largest"),
        }
    )
    arrays = {"steps_S": STEPS_S, **{f"{name}_SXY": values_SXY for name in "mlg"}}
    figures = drawn(own(declared, arrays))
    assert set(figures) == {"own.lines", "own.map-m-0", "own.map-m-1", "own.steps-l", "own.steps-g"}
    last, before = figures["own.map-m-0"]["data"][:2]
    assert (last["meta"]["view"], before["meta"]["view"]) == ("step31", "step7")
    np.testing.assert_allclose(last["z"], values_SXY[-1] + 1)
    assert last["zmax"] == figures["own.map-m-1"]["data"][0]["zmax"], "one scale for both arms"
    assert last["text"][1][2].startswith("step31, place 4, part &lt;r&gt;<br><b>24.0000</b>")
    np.testing.assert_allclose(figures["own.steps-l"]["data"][0]["z"], values_SXY.mean(axis=-1) + 1)
    grown = next(t for t in figures["own.steps-g"]["data"] if t["meta"]["part"] == "mean")
    assert (grown["x"], grown["y"]) == ([2, 7, 31], [12.0, 18.0, 24.0])
    lines = figures["own.lines"]["data"]
    by_view = {t["meta"]["view"]: t["y"] for t in lines if t["meta"]["part"] == "mean" and t["meta"]["arm"] == "a"}
    assert by_view == {"l": [20.0, 23.0], "g": [21.0, 24.0]}


def test_numbers_are_lines_through_training_or_a_row_per_arm() -> None:
    """The baseline on top; small numbers keep four digits; a level that is no result is a line only."""
    number = Number(unit="u", higher_is_better=True, title="n")
    declared = Declared(
        arrays={"y_X": Array(axes=(PLACES,), title="y", level="chance")},
        numbers={"n": number, "chance": replace(number, higher_is_better=None)},
    )
    once = {"steps_S": STEPS_S[:1], "n_S": np.array([1e-5]), "chance_S": np.array([0.25]), "y_SX": np.ones((1, 2))}
    figures = drawn(own(declared, once))
    assert set(figures) == {"own.lines", "own.dots-n"}
    assert figures["own.dots-n"]["layout"]["yaxis"]["ticktext"] == ["a", "b"]
    assert [t["x"] for t in figures["own.dots-n"]["data"] if t["meta"]["part"] == "mean"] == [[1.0], [11.0]]
    assert [shape["y0"] for shape in figures["own.lines"]["layout"]["shapes"]] == [0.25 + 1 + 5]
    often = {"steps_S": STEPS_S, "n_S": np.linspace(1e-6, 3e-6, 4)}
    figures = drawn(sections({"a": runs_with(declared, often, seeds=1)["a"]}, LOOK)["own"])
    assert set(figures) == {"own.numbers"}
    line = next(t for t in figures["own.numbers"]["data"] if t["meta"]["arm"] == "a")
    assert line["y"][-1] == 3e-6


def test_without_words_it_has_its_name_and_what_is_missing_is_said() -> None:
    """An array that no run recorded with so many axes."""
    declared = Declared(arrays={name: Array(axes=(PLACES,), title="y") for name in ("y_X", "gone_X")})
    section = own(declared, {"steps_S": STEPS_S[:1], "y_SX": np.ones((1, 2))})
    assert section is not None
    assert (section.title, section.short) == ("Own", "Own")
    assert "gone_X is not recorded" in section.read
    assert own(declared, {"steps_S": STEPS_S[:1]}) is None


ARRAYS = {"steps_S": STEPS_S, "y_SX": np.ones((4, 2))}
GOOD = to_plain(Declared(shown=Shown(title="t"), arrays={"y_X": Array(axes=(PLACES,), title="y")}))


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [],
        "x",
        {},
        {**GOOD, "kind": "Shown"},
        {**GOOD, "shown": {"kind": "Shown", "title": 3}},
        {**GOOD, "shown": {"kind": "Shown", "title": "x" * 3000}},
        {**GOOD, "arrays": {"y_X": {"kind": "Array"}}},
        {**GOOD, "arrays": {"y_X": {"kind": "Array", "axes": [], "title": "y"}}},
        {**GOOD, "arrays": ["y_X"]},
        {**GOOD, "more": 1},
    ],
)
def test_a_record_that_no_run_writes_has_no_section(odd: Any) -> None:
    """Of somebody's folder; the good one beside it has."""
    assert read_declared(odd) is None
    assert own(odd, ARRAYS) is None
    assert own(GOOD, ARRAYS) is not None


def test_names_lead_nowhere() -> None:
    """Of a measure and of an array: they are parts of places in the page and of files."""
    runs = runs_with(GOOD, ARRAYS)["a"][:1]
    for name in ("../own", "a b", "<b>", ""):
        arrays = {array.replace("own.", f"{name}."): values for array, values in runs[0].arrays.items()}
        assert not sections({"a": [replace(runs[0], declared={name: GOOD}, arrays=arrays)]}, LOOK)
    inside = {**GOOD, "arrays": {"../y_X": GOOD["arrays"]["y_X"]}}
    assert own(inside, {**ARRAYS, "../y_SX": ARRAYS["y_SX"]}) is None


@pytest.mark.parametrize(
    "array",
    [np.ones((4, 0)), np.ones(4), np.full((4, 2), np.nan), np.ones((3, 2)), np.full((4, 2), 1e30), np.zeros((0, 2))],
)
def test_an_array_of_another_form_spoils_nothing(array: np.ndarray) -> None:
    """In all runs, and over any axis."""
    kinds = {
        "lines": Array(axes=(PLACES,), title="y"),
        "log": Array(axes=(replace(PLACES, is_log=True),), title="y", is_log=True),
        "dots": Array(axes=(Axis(title="n", names=("p", "q")),), title="y"),
        "map": Array(axes=(PLACES, PLACES), title="y"),
    }
    for name, kind in kinds.items():
        key = "y_XX" if name == "map" else "y_X"
        section = own(Declared(arrays={key: kind}), {"steps_S": STEPS_S, f"y_S{key[2:]}": array})
        json.dumps([drawing.plain() for drawing in section.drawings] if section else [], allow_nan=False)


def test_arrays_of_the_same_names_share_a_figure() -> None:
    """A view for each, with its own digits and what its numbers are above the plot; other names have another figure."""
    names, others = Axis(title="split", names=("p", "q")), Axis(title="split", names=("r", "s"))
    declared = Declared(
        arrays={
            "right_P": Array(axes=(names,), title="right", unit="of all"),
            "loss_P": Array(axes=(names,), title="loss", unit="nats", button="nats"),
            "other_P": Array(axes=(others,), title="other", unit="u"),
        }
    )
    arrays = {"steps_S": STEPS_S[:1], "right_SP": [[0.25, 0.5]], "loss_SP": [[700.0, 900.0]], "other_SP": [[1.0, 2.0]]}
    section = own(declared, {name: np.array(values) for name, values in arrays.items()})
    assert section is not None
    shared, other = section.drawings
    assert (shared.id, other.id) == ("own.dots-right", "own.dots-other")
    assert shared.views == {"right": ("right", "right, of all"), "loss": ("nats", "loss, nats")}
    assert other.views == {"other": ("other", "")}, "one view says on its axis what it is"
    means = {t["meta"]["view"]: t["x"] for t in shared.figure["data"] if t["meta"]["arm"] == "a"}
    assert means == {"right": [1.25, 1.5], "loss": [701.0, 901.0]}


def test_what_is_nowhere_and_what_never_changes_is_not_drawn() -> None:
    """Named rows and columns without a number in any arm, a map along one place, a map of steps that are all alike."""
    axes = (Axis(title="split", names=("p", "q", "r")), Axis(title="type", names=("x", "y")))
    nothing = np.nan
    once = {"steps_S": STEPS_S[:1]}
    declared = Declared(arrays={"m_PT": Array(axes=axes, title="m", unit="u")})
    cells = np.array([[[1.0, 2.0], [nothing, nothing], [3.0, 4.0]]])
    assert drawn(own(declared, {**once, "m_SPT": cells}))["own.map-m"]["layout"]["yaxis"]["ticktext"] == ["p", "r"]
    assert own(declared, {**once, "m_SPT": np.array([[[1.0, nothing], [2.0, nothing], [3.0, nothing]]])}) is None
    along = Declared(arrays={"y_P": Array(axes=axes[:1], title="y", unit="u")})
    same_SP = np.tile([0.1, 0.2, nothing], (4, 1))
    assert set(drawn(own(along, {"steps_S": STEPS_S, "y_SP": same_SP}))) == {"own.dots-y"}
    figures = drawn(own(along, {"steps_S": STEPS_S, "y_SP": same_SP * STEPS_S[:, None]}))
    assert figures["own.steps-y"]["layout"]["xaxis"]["ticktext"] == ["p", "q"]
