"""The sections about context show the runs' own numbers, in the page and in files."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from context_study import LENGTHS_K, NUM_DOCUMENTS, STEPS_S, curve_of, write_context_study
from shown import sections_of
from synthetic_study import write_study

from vslm.report.numbers.context import context_curves, positions
from vslm.report.numbers.curves import band_half
from vslm.report.numbers.runs import read_runs
from vslm.report.pages import images
from vslm.report.pages.study import render
from vslm.report.sections.section import Drawing, Section
from vslm.results.files import read_arrays, write_arrays
from vslm.results.folder import StudyFolder
from vslm.stats.context_learning import Onset, icl_score


@pytest.fixture(scope="module")
def context_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three arms. Only for reading."""
    return write_context_study(tmp_path_factory.mktemp("runs") / "context")


def drawing(section: Section, name: str) -> Drawing:
    """By its id."""
    return next(drawing for drawing in section.drawings if drawing.id == name)


def trace(found: Drawing, arm: str, view: str, part: str = "mean") -> dict:
    """Of an arm."""
    wanted = {"arm": arm, "view": view, "part": part}
    return next(t for t in found.figure["data"] if t["meta"] == wanted)


def test_the_curve_is_that_of_the_runs(context_dir: Path) -> None:
    """Means over seeds with their bands, at the last step; the gain is paired by seed."""
    figure = drawing(sections_of(context_dir)["context"], "context-curve")
    loss_NK = np.stack([curve_of(64, seed)[-1] for seed in range(3)])
    for view, values_NK in (("loss", loss_NK), ("gain", loss_NK[:, :1] - loss_NK)):
        line = trace(figure, "layers-2", view)
        np.testing.assert_allclose(line["y"], values_NK.mean(axis=0), atol=1e-4)
        half_K = band_half(values_NK)
        assert half_K is not None
        np.testing.assert_allclose(line["customdata"], half_K, atol=1e-4)
        assert line["x"] == LENGTHS_K.tolist()


def test_maps_share_their_colors_and_hold_every_step(context_dir: Path) -> None:
    """A view per arm: the loss by step and k, and its slope between neighbors."""
    section = sections_of(context_dir)["context"]
    cells = drawing(section, "context-map").figure["data"]
    assert [one["meta"]["view"] for one in cells] == ["layers-1", "layers-2", "layers-4"]
    assert len({(one["zmin"], one["zmax"]) for one in cells}) == 1
    mean_SK = np.mean([curve_of(4, seed) for seed in range(3)], axis=0)
    np.testing.assert_allclose(cells[0]["z"], mean_SK, atol=1e-4)
    assert "step 1,750, k 64" in cells[0]["text"][-1][-1]
    slopes = drawing(section, "context-slope").figure["data"]
    np.testing.assert_allclose(slopes[0]["z"], np.diff(mean_SK, axis=1) / np.log(2), atol=1e-4)
    assert all(one["zmin"] == -one["zmax"] for one in slopes)
    assert [len(one["colorscale"]) for one in (cells[0], slopes[0])] == [7, 3], "dark is low; even around zero"


def test_the_step_where_far_context_sets_in_is_between_two_stored_ones(context_dir: Path) -> None:
    """From 300 on for arms that see far; never for the one that does not."""
    section = sections_of(context_dir)["context"]
    assert section.table is not None
    rows = {row[0]: dict(zip(section.table.headings, row, strict=True)) for row in section.table.rows}
    assert rows["layers-2"]["Sets in at step"] == rows["layers-2"]["Half of it"] == "100 to 300"
    assert rows["layers-1"]["Sets in at step"] == "not seen"
    gain_N = np.array([curve_of(64, seed)[-1, 0] - curve_of(64, seed)[-1, -1] for seed in range(3)])
    assert rows["layers-4"]["Gain C(1) − C(T)"].startswith(f"+{gain_N.mean():.3f} ± ")
    curves = context_curves(read_runs(StudyFolder(context_dir))["layers-4"])
    assert curves is not None
    assert curves.onsets() == (Onset(100, 300), Onset(100, 300))
    far = drawing(section, "far-context")
    assert trace(far, "layers-4", "far")["x"] == STEPS_S[1:].tolist()
    assert "47 targets" in section.read
    assert "0.031 nats" in section.read


def test_two_seeds_have_no_onset_and_one_step_has_no_map(tmp_path: Path) -> None:
    """Said in the table; the curve is still there."""
    folder = write_context_study(tmp_path / "s", {"only": (64, 0.4, 101), "other": (4, 0.4, 103)}, seeds=2)
    table = sections_of(folder)["context"].table
    assert table is not None
    assert table.rows[0][-2:] == ("needs three seeds",) * 2
    for file in folder.glob("*/seed*/arrays.npz"):
        arrays = read_arrays(file)
        last = {name: values[-1:] for name, values in arrays.items() if name.startswith("context_curve.")}
        write_arrays(file, arrays | last)
    assert [found.id for found in sections_of(folder)["context"].drawings] == ["context-curve"]


def test_documents_stand_beside_windows(context_dir: Path) -> None:
    """Pooled over targets and seeds, in a view each and both in one; the law's exponent is found in windows."""
    section = sections_of(context_dir)["position-profile"]
    figure = drawing(section, "position-profile")
    assert list(figure.views) == ["document", "random", "beside"]
    arrays = [read_arrays(context_dir / "layers-2" / f"seed{seed}" / "arrays.npz") for seed in range(3)]
    windows_NP = np.mean([one["position_profile.random_nats_SNP"][-1] for one in arrays], axis=0)
    np.testing.assert_allclose(trace(figure, "layers-2", "random")["y"], windows_NP.mean(axis=0), atol=1e-4)
    documents_NP = np.mean([one["position_profile.document_nats_SNP"][-1] for one in arrays], axis=0)
    line = trace(figure, "layers-2", "document")
    np.testing.assert_allclose(line["y"][-2:], documents_NP[1::2, -2:].mean(axis=0), atol=1e-4)
    assert line["customdata"][-1] > line["customdata"][-3] > 0, "half of the documents have ended there"
    assert sum(t["meta"]["view"] == "beside" for t in figure.figure["data"]) == 6
    assert f"{NUM_DOCUMENTS} documents" in section.read
    found = positions(read_runs(StudyFolder(context_dir))["layers-2"], "random")
    assert found is not None
    assert found.law is not None
    assert found.law.is_resolved
    assert found.law.low < 0.42 < found.law.high


def _last_window_bands(folder: Path, document_N: np.ndarray | None) -> tuple[float, Section]:
    """Half the interval of the last bin of random windows, when these are the windows' documents; and the section."""
    for file in folder.glob("only/seed*/arrays.npz"):
        arrays = read_arrays(file)
        arrays.pop("position_profile.random_document_SN", None)
        if document_N is not None:
            arrays["position_profile.random_document_SN"] = document_N[None]
        write_arrays(file, arrays)
    section = sections_of(folder)["position-profile"]
    line = trace(drawing(section, "position-profile"), "only", "random")
    return math.nan if line["customdata"] is None else line["customdata"][-1], section


def test_windows_of_one_document_are_drawn_together(tmp_path: Path) -> None:
    """Windows that resemble each other within their document have a wider interval than if each had its own."""
    folder = write_context_study(tmp_path / "s", {"only": (64, 0.4, 101), "other": (4, 0.4, 103)}, seeds=1)
    file = folder / "only" / "seed0" / "arrays.npz"
    arrays = read_arrays(file)
    shared_N = np.arange(NUM_DOCUMENTS) // 5  # five documents
    level_N1 = np.random.default_rng(3).standard_normal(5)[shared_N][:, None]
    arrays["position_profile.random_nats_SNP"] = np.tile(3 + 0.3 * level_N1, (1, 1, 12))
    write_arrays(file, arrays)
    together, section = _last_window_bands(folder, shared_N)
    assert "23 windows of 23 documents" in section.read, "the other arm has as many"
    assert "Windows of one document are drawn together" in section.read
    assert "too narrow" not in section.read
    single, section = _last_window_bands(folder, NUM_DOCUMENTS - np.arange(NUM_DOCUMENTS))
    assert together > 1.4 * single > 0
    unknown, section = _last_window_bands(folder, None)  # as of an earlier version
    assert unknown == pytest.approx(single, rel=0.3)
    assert "the band is too narrow" in section.read
    assert "Windows of one document are drawn together" in section.read, "those of the other arm"


def test_windows_of_a_single_document_have_no_interval(tmp_path: Path) -> None:
    """Drawn anew it would be the same each time: no band of no width, and no interval of the law."""
    folder = write_context_study(tmp_path / "s", {"only": (64, 0.4, 101), "other": (4, 0.4, 103)}, seeds=1)
    half, section = _last_window_bands(folder, np.zeros(NUM_DOCUMENTS, dtype=int))
    assert math.isnan(half)
    assert "a single document have no interval" in section.read
    assert section.table is not None
    assert "c not resolved" in section.table.rows[0][2]


def test_the_far_gain_has_an_error_over_targets(context_dir: Path, tmp_path: Path) -> None:
    """Beside that over seeds; runs of earlier versions have none, and the section says so."""
    section = sections_of(context_dir)["context"]
    assert section.table is not None
    assert all(row[4].endswith("(SE over targets 0.017)") for row in section.table.rows)
    assert "not stored" not in section.read
    folder = write_context_study(tmp_path / "s", {"only": (64, 0.4, 101), "other": (4, 0.4, 103)}, seeds=1)
    for file in folder.glob("only/seed*/arrays.npz"):
        write_arrays(file, {name: a for name, a in read_arrays(file).items() if "far_gain_sem" not in name})
    section = sections_of(folder)["context"]
    assert section.table is not None
    assert ["SE over targets" in row[4] for row in section.table.rows] == [False, True]
    assert "not stored" in section.read


def test_scores_are_those_of_the_whole_validation_set(context_dir: Path) -> None:
    """At two positions, and over their neighbors."""
    table = sections_of(context_dir)["position-profile"].table
    assert table is not None
    assert table.headings[-2:] == ("Score L(63) − L(6)", "the same, ± 1 positions")
    arrays = [read_arrays(context_dir / "layers-4" / f"seed{seed}" / "arrays.npz") for seed in range(3)]
    loss_NT = np.stack([one["final_val_loss_nats_T"] for one in arrays])
    for cell, around in zip(table.rows[2][-2:], (0, 1), strict=True):
        mean = icl_score(loss_NT, around_tokens=around).mean()
        assert cell.replace("−", "-").startswith(f"{mean:+.3f} ± ")


def test_a_corpus_without_documents_has_windows_alone(tmp_path: Path) -> None:
    """And says so."""
    folder = write_context_study(tmp_path / "s", {"only": (64, 0.4, 101), "other": (4, 0.4, 103)}, seeds=1)
    for file in folder.glob("*/seed*/arrays.npz"):
        write_arrays(file, {name: a for name, a in read_arrays(file).items() if ".document_" not in name})
    section = sections_of(folder)["position-profile"]
    assert list(drawing(section, "position-profile").views) == ["random"]
    assert "no documents" in section.read


def test_nothing_of_it_is_there_where_it_was_not_measured(tmp_path: Path) -> None:
    """No section."""
    folder = write_study(tmp_path / "s", {"only": (3, 0.3, 101), "other": (5, 0.3, 103)}, num_positions=13)
    assert not {"context", "position-profile"} & set(sections_of(folder))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("context_curve.loss_nats_SK", np.zeros(3)),
        ("context_curve.loss_nats_SK", np.full((6, 7), np.nan)),
        ("context_curve.context_tokens_SK", np.zeros((6, 7))),
        ("context_curve.gain_sem_nats_SK", np.zeros(2)),
        ("context_curve.num_targets_S", np.zeros((2, 2))),
        ("context_curve.far_gain_sem_nats_S", np.zeros((2, 2))),
        ("context_curve.far_gain_sem_nats_S", np.full(6, np.nan)),
        ("context_curve.steps_S", np.arange(3)),
        ("position_profile.random_nats_SNP", np.zeros((1, 3, 3))),
        ("position_profile.random_document_SN", np.zeros((1, 3))),
        ("position_profile.random_document_SN", np.zeros(0)),
        ("position_profile.tokens_SP", np.zeros((1, 12))),
        ("position_profile.document_nats_SNP", np.full((1, 23, 12), np.nan)),
        ("position_profile.document_targets_SNP", np.zeros((1, 23, 12))),
        ("position_profile.document_targets_SNP", np.zeros(0)),
        ("val_loss_nats_ST", np.zeros((20, 0))),
        ("val_loss_nats_ST", np.zeros((20, 1))),
    ],
)
def test_an_array_of_another_form_spoils_nothing(written: Callable[..., Path], name: str, array: np.ndarray) -> None:
    """In one arm; the page is still written, and its figures are JSON."""
    folder = written(write_context_study, {"only": (64, 0.4, 101), "other": (4, 0.4, 103)}, seeds=1)
    file = folder / "only" / "seed0" / "arrays.npz"
    if name == "val_loss_nats_ST":
        array = array[: len(read_arrays(file)["steps_S"])]
    write_arrays(file, {**read_arrays(file), name: array})
    assert "<h1>" in render(StudyFolder(folder))
    for section in sections_of(folder).values():
        json.dumps([drawing.figure for drawing in section.drawings], allow_nan=False)


def test_the_page_draws_them_and_files_hold_their_numbers(context_dir: Path) -> None:
    """Every view is a picture; a map has a row per cell with its step and its k; every arm stands in the tables."""
    page = render(StudyFolder(context_dir))
    for place in ("context-curve", "far-context", "context-map", "context-slope", "position-profile", "position-slope"):
        assert f'id="plot-{place}"' in page
    assert page.count("Far gain C(T/8) − C(T)") == 1
    found = {picture.name: picture for picture in images.pictures(StudyFolder(context_dir))}
    names = {
        "context-curve-loss",
        "context-curve-gain",
        "far-context",
        "context-map-layers-2",
        "context-slope-layers-4",
    }
    names |= {"position-profile-document", "position-profile-random", "position-profile-beside"}
    assert names | {"position-slope-layers-1"} <= set(found)
    cells = list(csv.DictReader(images.numbers_as_csv(found["context-map-layers-2"]).splitlines()))
    assert len(cells) == len(STEPS_S) * len(LENGTHS_K)
    assert (cells[-1]["training step"], cells[-1]["k: tokens before the target"]) == ("1750", "64")
    assert {"loss, nats", "plus_minus"} < set(cells[-1])
    rows = list(csv.DictReader(images.numbers_as_csv(found["position-profile-beside"]).splitlines()))
    assert "layers-2, document starts" in {row["series"] for row in rows}
