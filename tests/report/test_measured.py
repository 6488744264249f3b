"""Sections appear where something was measured, with the runs' own numbers, and files hold the same."""

import csv
import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from measured_study import NUM_HEADS, STEPS_S, write_measured_study
from shown import sections_of
from synthetic_study import write_study

from vslm.core.errors import ResultError, SpecError
from vslm.report.numbers.curves import band_half
from vslm.report.numbers.maps import tracks
from vslm.report.numbers.profiles import along
from vslm.report.numbers.runs import Run, read_runs
from vslm.report.numbers.tables import judged_arms
from vslm.report.pages import images
from vslm.report.pages.study import render
from vslm.report.sections.measured import Section
from vslm.results.files import read_arrays, read_json, write_arrays, write_json
from vslm.results.folder import StudyFolder

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib, of the extra `figures`, is not installed"
)


@pytest.fixture(scope="module")
def measured_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six arms, all measures. Only for reading."""
    return write_measured_study(tmp_path_factory.mktemp("runs") / "windows")


def trace_of(section: Section, arm: str, view: str, part: str = "mean") -> dict:
    """The trace of an arm."""
    wanted = {"arm": arm, "view": view, "part": part}
    return next(t for t in section.drawings[0].figure["data"] if t["meta"] == wanted)


def test_every_measure_has_its_section(measured_dir: Path) -> None:
    """In the order of the page, in its navigation, and its numbers are JSON."""
    found = sections_of(measured_dir)
    assert list(found) == [
        *("forest", "recall", "loss_by_loops", "beyond_context", "logit_lens", "attention_distance"),
        *("residual_norms", "copying", "prefix_matching", "ranks", "token_probe", "maps", "token-classes"),
        *("parameters", "costs"),
    ]
    page = render(StudyFolder(measured_dir))
    for section in found.values():
        assert f'<section id="measured-{section.id}">' in page
        assert f'href="#measured-{section.id}"' in page
        json.dumps([drawing.figure for drawing in section.drawings], allow_nan=False)
    places = re.findall(r'id="plot-([\w.-]+)"', page)
    assert len(places) == len(set(places)) == len(re.findall(r'class="plot', page))


def test_nothing_measured_leaves_the_page_as_it_was(study_dir: Path) -> None:
    """No section, no word of it."""
    assert sections_of(study_dir) == {}
    assert "measured-" not in render(StudyFolder(study_dir))


def test_recall_shows_the_runs_numbers_with_every_seed(measured_dir: Path) -> None:
    """No interval but a mark for each seed, in the middle of an octave that has queries; chance is 1 of 16."""
    section = sections_of(measured_dir)["recall"]
    arrays = [read_arrays(measured_dir / "window-8" / f"seed{seed}" / "arrays.npz") for seed in range(3)]
    accuracy_NP = np.stack([one["recall.accuracy_SP"][-1] for one in arrays])[:, 1:]
    line = trace_of(section, "window-8", "accuracy")
    np.testing.assert_allclose(line["y"], accuracy_NP.mean(0), atol=1e-4)
    np.testing.assert_allclose(line["x"], 2 ** np.arange(1, 8) * 2**0.5, atol=1e-3)
    its = [one for one in section.drawings[0].figure["data"] if one["meta"]["arm"] == "window-8"]
    assert {one["meta"]["part"] for one in its} == {"each", "mean"}
    each = next(one for one in its if one["meta"]["part"] == "each")
    np.testing.assert_allclose(each["y"], accuracy_NP.T.ravel(), atol=1e-4)
    (chance,) = section.drawings[0].figure["layout"]["shapes"]
    assert chance["y0"] == 1 / 16
    assert "loss" not in section.drawings[0].views, "a view of nothing is not offered"


def test_loss_by_loops_stands_at_the_numbers_of_loops(measured_dir: Path) -> None:
    """The runs' own numbers with their band, a tick at each number; seeds with other numbers are left out."""
    section = sections_of(measured_dir)["loss_by_loops"]
    arrays = [read_arrays(measured_dir / "full" / f"seed{seed}" / "arrays.npz") for seed in range(3)]
    loss_NR = np.stack([one["loss_by_loops.loss_nats_SR"][-1] for one in arrays])
    line = trace_of(section, "full", "loss_nats")
    np.testing.assert_allclose(line["y"], loss_NR.mean(0), atol=1e-4)
    np.testing.assert_allclose(line["customdata"], band_half(loss_NR), atol=1e-4)
    assert line["x"] == section.drawings[0].figure["layout"]["xaxis"]["tickvals"] == [1, 2, 3, 6]
    runs = read_runs(StudyFolder(measured_dir))["full"]
    runs[1].arrays["loss_by_loops.times_SR"][0, -1] = 8
    found = along(runs, "loss_by_loops.loss_nats_SR", at="loss_by_loops.times_SR")
    assert found is not None
    np.testing.assert_allclose(found.mean, loss_NR[[0, 2]].mean(0))


def test_heads_stand_beside_their_mean(measured_dir: Path) -> None:
    """A visit with fewer heads has fewer marks."""
    section = sections_of(measured_dir)["attention_distance"]
    arrays = [read_arrays(measured_dir / "full" / f"seed{seed}" / "arrays.npz") for seed in range(3)]
    heads_NLH = np.stack([one["attention_distance.distance_tokens_SLH"][-1] for one in arrays])
    line = trace_of(section, "full", "distance_tokens")
    np.testing.assert_allclose(line["y"], np.nanmean(heads_NLH, axis=(0, 2))[:4], atol=1e-4, rtol=1e-4)
    assert line["x"] == [1, 2, 3, 4]
    assert len(trace_of(section, "full", "distance_tokens", "each")["x"]) == 4 * NUM_HEADS - 1


def test_parameters_are_rows_and_steps_are_columns(measured_dir: Path) -> None:
    """One figure per arm, all on one scale around where they started."""
    section = sections_of(measured_dir)["parameters"]
    assert len(section.drawings) == 6
    cells = [drawing.figure["data"][0] for drawing in section.drawings]
    assert {(trace["zmin"], trace["zmax"]) for trace in cells} == {(cells[0]["zmin"], cells[0]["zmax"])}
    assert cells[0]["zmin"] + cells[0]["zmax"] == pytest.approx(2.0)
    assert cells[0]["meta"]["rows"] == [f"{block} · {i}" for block in "01" for i in range(NUM_HEADS)]
    arrays = [read_arrays(measured_dir / "full" / f"seed{seed}" / "arrays.npz") for seed in range(3)]
    exponent_SN = np.mean([one["parameters.blocks.1.attention.normalizer.exponent_SN"] for one in arrays], axis=0)
    np.testing.assert_allclose(cells[0]["z"][3:], exponent_SN.T, atol=1e-4)
    assert "blocks.*.attention.normalizer.exponent" in section.drawings[0].caption


def test_all_arms_are_sorted_from_five_on(measured_dir: Path, study_dir: Path) -> None:
    """The best on top, with the interval of the verdict."""
    section = sections_of(measured_dir)["forest"]
    rows = {row.arm: row.at for row in judged_arms(StudyFolder(measured_dir))}
    traces = section.drawings[0].figure["data"]
    deltas = [trace["x"][0] for trace in traces]
    assert deltas == sorted(deltas)
    for trace in traces:
        row = rows[trace["meta"]["arm"]]
        assert trace["x"][0] == pytest.approx(row.delta, abs=1e-5)
        assert trace["x"][0] + trace["error_x"]["array"][0] == pytest.approx(row.interval[1], abs=2e-5)
    assert "forest" not in sections_of(study_dir)


def test_a_screening_shows_every_arm_beside_the_few_that_are_judged(tmp_path: Path) -> None:
    """Also below five judged arms: all differences of the short run, hollow where there is no verdict."""
    folder = write_measured_study(tmp_path / "s", {"only": (3, 0.3, 101), "other": (5, 0.3, 103)})
    study = read_json(folder / "study.json")
    study["screening"] = {
        "arms": {"only": {"difference": 0.0}, "other": {"difference": 0.2}, "out": {"difference": 0.1}}
    }
    study["screening"]["arms"]["diverged"] = {"difference": None}
    write_json(folder / "study.json", study)
    judged, screened = sections_of(folder)["forest"].drawings
    assert [trace["meta"]["arm"] for trace in judged.figure["data"]] == ["other"]
    marks = {trace["meta"]["arm"]: trace for trace in screened.figure["data"]}
    assert {arm: mark["x"] for arm, mark in marks.items()} == {"out": [0.1], "other": [0.2]}
    assert {arm: "open" in mark["marker"]["symbol"] for arm, mark in marks.items()} == {"out": True, "other": False}
    assert "plot-screened" in render(StudyFolder(folder))
    assert "screened" in {picture.name for picture in images.pictures(StudyFolder(folder))}


def test_differences_at_every_budget_stand_over_the_tokens_of_their_runs(study_dir: Path, tmp_path: Path) -> None:
    """Rising, though verdict.json has the budget of one first; marks beside each other, and in a CSV the tokens."""
    folder = tmp_path / "s"
    shutil.copytree(study_dir, folder)
    verdict = read_json(folder / "verdict.json")
    brief = {"tokens": 7_001, "delta": 0.3, "interval": [-0.1, 0.5]}
    shorter = {arm: {**row, **brief} for arm, row in verdict["arms"].items()}
    verdict["budgets"] = {"x0.25": {"arms": shorter}, "x4": {"arms": {arm: {} for arm in shorter}}}
    write_json(folder / "verdict.json", verdict)
    found = {picture.name: picture for picture in images.pictures(StudyFolder(folder))}["budgets"]
    assert [trace["meta"]["arm"] for trace in found.traces] == list(verdict["arms"])
    for trace in found.traces:
        row = verdict["arms"][trace["meta"]["arm"]]
        assert trace["meta"]["x"] == [7_001, row["tokens"]]
        assert trace["y"] == [0.3, pytest.approx(row["delta"], abs=1e-5)]
        assert trace["error_y"]["array"][0] == pytest.approx(0.2)
        assert trace["error_y"]["arrayminus"][0] == pytest.approx(0.4)
    assert len({trace["x"][0] for trace in found.traces}) == len(found.traces)
    assert ",7001,0.3," in images.numbers_as_csv(found)
    assert "plot-budgets" in render(StudyFolder(folder))
    assert "budgets" not in {picture.name for picture in images.pictures(StudyFolder(study_dir))}


def test_equal_cost_is_joined_and_loss_has_its_interval(measured_dir: Path) -> None:
    """Arms within 2% of the same FLOPs per token, by rising size."""
    section = sections_of(measured_dir)["costs"]
    data = section.drawings[0].figure["data"]
    joined = [trace["x"] for trace in data if trace["meta"] == {"arm": None, "view": "parameters", "part": "equal"}]
    assert [300_000, 401_500, 700_000] in joined
    assert all(line == sorted(line) for line in joined)
    assert trace_of(section, "window-4", "parameters")["error_y"]["array"][0] > 0


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("recall.accuracy_SP", np.zeros(3)),
        ("loss_by_loops.times_SR", np.full((1, 4), np.nan)),
        ("logit_lens.p_current_SL", np.zeros((0, 5))),
        ("logit_lens.p_current_SL", np.full((1, 5), np.nan)),
        ("parameters.steps_S", np.arange(7)),
        ("parameters.blocks.0.attention.normalizer.exponent_SN", np.zeros((5, 2, 3))),
        ("attention_distance.distance_tokens_SLH", np.full((1, 4, 3), np.nan)),
    ],
)
def test_an_array_of_another_form_spoils_nothing(written: Callable[..., Path], name: str, array: np.ndarray) -> None:
    """In one run, and in all; the page is still written."""
    folder = written(write_measured_study, {"only": (3, 0.3, 101), "other": (5, 0.3, 103)})
    for seeds in ((0,), (1, 2)):
        for seed in seeds:
            file = folder / "only" / f"seed{seed}" / "arrays.npz"
            write_arrays(file, {**read_arrays(file), name: array})
        assert "<h1>" in render(StudyFolder(folder))


def test_a_diverged_run_is_left_out_of_what_was_measured(measured_dir: Path) -> None:
    """Only whole runs count."""
    run = read_runs(StudyFolder(measured_dir))["full"][0]
    assert tracks([run])
    assert tracks([Run(run.arm, run.seed, "diverged", "", run.where, arrays=run.arrays)]) == {}


def test_numbers_of_every_figure_are_csv(measured_dir: Path) -> None:
    """To the digits of the page; a map has a row per cell."""
    found = {picture.name: picture for picture in images.pictures(StudyFolder(measured_dir))}
    assert {"recall", "logit_lens.lines-p_current", "forest", "costs-parameters"} <= set(found)
    assert {"training-val_loss", "by-position-loss"} <= set(found)
    rows = list(csv.DictReader(images.numbers_as_csv(found["loss_by_loops.lines"]).splitlines()))
    line = trace_of(sections_of(measured_dir)["loss_by_loops"], "full", "loss_nats")
    mine = [row for row in rows if row["series"] == "full"]
    assert [float(row["validation loss, nats per token"]) for row in mine] == line["y"]
    assert [float(row["plus_minus"]) for row in mine] == line["customdata"]
    cells = list(csv.DictReader(images.numbers_as_csv(found["parameters-0"]).splitlines()))
    assert len(cells) == 2 * NUM_HEADS * len(STEPS_S)
    assert cells[-1]["training step"] == "1750"


def test_columns_say_what_they_are(measured_dir: Path) -> None:
    """By the titles of the axes, units among them: no figure has an x, a y or a value without a name."""
    heads = {
        picture.name: next(csv.reader([images.numbers_as_csv(picture).splitlines()[0]]))
        for picture in images.pictures(StudyFolder(measured_dir))
    }
    nameless = {"x", "y", "row", "column", "value", ""}
    assert not {name: head for name, head in heads.items() if nameless & set(head) and not name.startswith("forest")}
    assert heads["forest"] == ["series", "arm minus baseline, nats per token", "row", "plus_minus"]
    assert heads["training-difference"] == [
        "series",
        "training tokens",
        "nats per token, arm minus baseline",
        "plus_minus",
    ]
    assert heads["classes-part-loss"] == ["series", "loss, nats per token", "class", "plus_minus"]
    assert heads["costs-parameters"][1:3] == ["all parameters", "final validation loss, nats per token"]
    assert heads["surface-loss-full"][:3] == ["training step", "position: tokens seen so far", "loss, nats"]


def test_without_matplotlib_nothing_is_written(
    measured_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words, with the extra to install."""
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(SpecError, match=r"vslm\[figures\]"):
        images.write_images(measured_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@needs_matplotlib
def test_figures_are_files(tmp_path: Path) -> None:
    """PNG, SVG and CSV of each, the same bytes when written again; `$` and `<` in a name are no formula and no tag."""
    folder = write_measured_study(tmp_path / "s", {"a$x_1$": (3, 0.3, 101), "b<i>": (5, 0.3, 103)})
    written = images.write_images(folder, tmp_path / "out")
    assert {path.suffix for path in written} == {".png", ".svg", ".csv"}
    assert all(path.stat().st_size > 20 for path in written)
    assert (tmp_path / "out" / "recall.png").read_bytes().startswith(b"\x89PNG")
    again = [picture for picture in images.pictures(StudyFolder(folder)) if picture.name in ("recall", "parameters-0")]
    for path in images.write_pictures(again, tmp_path / "again"):
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes(), path.name


@needs_matplotlib
def test_a_study_without_numbers_has_no_figures(tmp_path: Path) -> None:
    """It is said, and no folder is made."""
    folder = write_study(tmp_path / "s", {"only": (3, 0.3, 101)}, seeds=(0,), num_positions=13)
    for name in ("done.json", "arrays.npz", "measures.jsonl"):
        (folder / "only" / "seed0" / name).unlink()
    with pytest.raises(ResultError, match="no figure"):
        images.write_images(folder, tmp_path / "out")
