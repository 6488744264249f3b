"""Sections of probes and of classes of tokens: the runs' own numbers, with their bands, and files with the same."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from measured_study import NUM_HEADS, NUM_PLACES, NUM_TOKENS, STEPS_S, write_measured_study
from test_measured import sections_of

from vslm.report.numbers.curves import band_half
from vslm.report.numbers.profiles import largest, through_training
from vslm.report.numbers.runs import Run
from vslm.report.pages import images
from vslm.report.pages.study import render
from vslm.report.sections.section import Drawing
from vslm.results.files import read_arrays, write_arrays
from vslm.results.folder import StudyFolder


@pytest.fixture(scope="module")
def measured_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six arms, all measures. Only for reading."""
    return write_measured_study(tmp_path_factory.mktemp("runs") / "windows")


def stored(path: Path, arm: str, name: str) -> np.ndarray:
    """An array of every seed of an arm."""
    return np.stack([read_arrays(path / arm / f"seed{seed}" / "arrays.npz")[name] for seed in range(3)])


def drawing_of(path: Path, section: str, place: str) -> Drawing:
    """By its id."""
    return next(drawing for drawing in sections_of(path)[section].drawings if drawing.id == place)


def trace_of(drawing: Drawing, arm: str, view: str, part: str = "mean") -> dict:
    """Of an arm in a view."""
    return next(
        trace
        for trace in drawing.figure["data"]
        if (trace["meta"]["arm"], trace["meta"]["view"], trace["meta"]["part"]) == (arm, view, part)
    )


def test_copy_gain_is_drawn_through_training_and_along_the_block(measured_dir: Path) -> None:
    """With bands over seeds; step 0 has no place on the logarithmic axis."""
    line = trace_of(drawing_of(measured_dir, "copying", "copy-gain"), "full", "gain")
    gain_NS = stored(measured_dir, "full", "copy_gain.gain_nats_S")[:, 1:]
    assert line["x"] == STEPS_S[1:].tolist()
    np.testing.assert_allclose(line["y"], gain_NS.mean(0), atol=1e-4)
    np.testing.assert_allclose(line["customdata"], band_half(gain_NS), atol=1e-4)
    places = drawing_of(measured_dir, "copying", "copy-places")
    first_NT = stored(measured_dir, "full", "copy_gain.first_loss_nats_ST")[:, -1]
    second_NT = stored(measured_dir, "full", "copy_gain.second_loss_nats_ST")[:, -1]
    assert trace_of(places, "full", "gain")["x"] == list(range(2, 2 + NUM_PLACES))
    for view, values_NT in (("gain", first_NT - second_NT), ("first", first_NT), ("second", second_NT)):
        line = trace_of(places, "full", view)
        np.testing.assert_allclose(line["y"], values_NT.mean(0), atol=1e-4)
        np.testing.assert_allclose(line["customdata"], band_half(values_NT), atol=1e-4)


def test_the_strongest_head_is_found_in_every_seed_by_itself(measured_dir: Path) -> None:
    """It is another head in each, so a mean over seeds of one head would hide it; marks are all heads of all seeds."""
    by_visit = drawing_of(measured_dir, "prefix_matching", "prefix_matching.lines")
    score_NLH = stored(measured_dir, "full", "prefix_matching.score_SLH")[:, -1]
    line = trace_of(by_visit, "full", "score")
    assert line["x"] == [1, 2, 3, 4]
    np.testing.assert_allclose(line["y"], np.nanmax(score_NLH, axis=-1).mean(0), atol=1e-4)
    assert line["y"][2] > 2 * score_NLH[:, 2].mean(0).max()
    assert len(trace_of(by_visit, "full", "score", "each")["x"]) == 3 * (4 * NUM_HEADS - 1)
    growth = trace_of(drawing_of(measured_dir, "prefix_matching", "prefix_matching.steps-score"), "full", "score")
    score_NSLH = stored(measured_dir, "full", "prefix_matching.score_SLH")
    np.testing.assert_allclose(growth["y"], np.nanmax(score_NSLH, axis=(2, 3)).mean(0)[1:], atol=1e-4)


def test_ranks_are_shares_of_the_width_there_and_probes_have_their_chance(measured_dir: Path) -> None:
    """Widths differ from visit to visit."""
    ranks = drawing_of(measured_dir, "ranks", "ranks")
    rank_NL = stored(measured_dir, "full", "effective_rank.rank_SL")[:, -1]
    np.testing.assert_allclose(trace_of(ranks, "full", "rank")["y"], rank_NL.mean(0), atol=1e-4)
    np.testing.assert_allclose(trace_of(ranks, "full", "share")["y"], rank_NL.mean(0) / [64, 64, 96, 96, 64], atol=1e-4)
    decoded = drawing_of(measured_dir, "token_probe", "token_probe.lines")
    accuracy_NL = stored(measured_dir, "full", "token_probe.accuracy_previous_SL")[:, -1]
    np.testing.assert_allclose(trace_of(decoded, "full", "accuracy_previous")["y"], accuracy_NL.mean(0), atol=1e-4)
    assert [shape["y0"] for shape in decoded.figure["layout"]["shapes"]] == pytest.approx([0.07] * 2)


def test_classes_are_rows_with_their_shares_and_differences_are_paired(measured_dir: Path) -> None:
    """A class of three tokens is not drawn, but counts among all when shares are taken."""
    parts = drawing_of(measured_dir, "token-classes", "classes-part")
    ticks = ["word start · 45 %", "word inside · 32 %", "punctuation · 15 %", "whitespace · 7 %"]
    assert parts.figure["layout"]["yaxis"]["ticktext"] == ticks
    keep = [0, 1, 3, 4]
    mine_NG, theirs_NG = (
        stored(measured_dir, arm, "token_classes.part_loss_nats_SG")[:, -1, keep] for arm in ("window-8", "full")
    )
    dots = trace_of(parts, "window-8", "loss")
    np.testing.assert_allclose(dots["x"], mine_NG.mean(0), atol=1e-4)
    np.testing.assert_allclose(dots["error_x"]["array"], band_half(mine_NG), atol=1e-4)
    assert np.round(dots["y"]).tolist() == [0, 1, 2, 3]
    dots = trace_of(parts, "window-8", "difference")
    np.testing.assert_allclose(dots["x"], (mine_NG - theirs_NG).mean(0), atol=1e-4)
    np.testing.assert_allclose(dots["error_x"]["array"], band_half(mine_NG - theirs_NG), atol=1e-4)
    assert "full" not in {t["meta"]["arm"] for t in parts.figure["data"] if t["meta"]["view"] == "difference"}
    joined = trace_of(parts, None, "loss", "row")  # type: ignore[arg-type]
    assert sum(x is not None for x in joined["x"]) == 6 * 4
    frequency = drawing_of(measured_dir, "token-classes", "classes-frequency")
    assert frequency.figure["layout"]["yaxis"]["ticktext"] == ["from 2 · 10 %", "from 4 · 90 %"]


def test_maps_are_tiles_of_one_run_with_what_no_query_sees_left_empty(measured_dir: Path) -> None:
    """One scale for all, names of tokens that cannot be read as tags, and four arms at most, which is said."""
    section = sections_of(measured_dir)["maps"]
    assert len(section.drawings) == 4
    assert "Those of 2 more arms" in section.read
    (trace,) = section.drawings[0].figure["data"]
    share_LHTS = stored(measured_dir, "full", "attention_maps.share_SLHTS")[0, -1]
    cells = np.array(trace["z"], dtype=float)
    step = NUM_TOKENS + 2
    tile_TS = cells[step : step + NUM_TOKENS, step : step + NUM_TOKENS]
    lower = np.tri(NUM_TOKENS, dtype=bool)
    np.testing.assert_allclose(tile_TS[lower], share_LHTS[1, 1][lower], atol=1e-3)
    assert np.isnan(tile_TS[~lower]).all()
    assert np.isnan(cells[:, NUM_TOKENS:step]).all()
    assert np.isnan(cells[step:, 2 * step :]).all(), "a head that is not there"
    assert (trace["zmin"], trace["zmax"]) == (0, 1)
    assert trace["meta"]["tokens"][:4] == ["end of text", "&lt;b&gt;x&lt;/b&gt;", "␣and", "⏎"]
    assert section.drawings[0].figure["layout"]["yaxis"]["ticktext"] == ["visit 1", "visit 4"]


def test_their_numbers_are_csv(measured_dir: Path) -> None:
    """Classes by name with their intervals; cells of maps by visit, head and position, and none that is empty."""
    found = {picture.name: picture for picture in images.pictures(StudyFolder(measured_dir))}
    assert {
        "copy-gain",
        "copy-places-second",
        "prefix_matching.lines",
        "prefix_matching.steps-score",
        "ranks-share",
        "maps-3",
    } <= set(found)
    rows = list(csv.DictReader(images.numbers_as_csv(found["classes-part-loss"]).splitlines()))
    mine = [row for row in rows if row["series"] == "window-4"]
    assert [row["class"] for row in mine] == ["word start", "word inside", "punctuation", "whitespace"]
    assert all(float(row["plus_minus"]) > 0 for row in mine)
    assert {row["series"] for row in rows} == set(sections_names(measured_dir))
    cells = list(csv.DictReader(images.numbers_as_csv(found["maps-0"]).splitlines()))
    assert len(cells) == (2 * NUM_HEADS - 1) * NUM_TOKENS * (NUM_TOKENS + 1) // 2
    share_LHTS = stored(measured_dir, "full", "attention_maps.share_SLHTS")[0, -1]
    cell = next(
        one for one in cells if (one["visit and query"], one["head and key"]) == ("visit 4, query 5", "head 1, key 2")
    )
    assert float(cell["share of attention"]) == pytest.approx(share_LHTS[1, 1, 5, 2], abs=1e-3)
    cells = list(csv.DictReader(images.numbers_as_csv(found["surface-difference-window-4"]).splitlines()))
    mine_N, theirs_N = (stored(measured_dir, arm, "val_loss_nats_ST")[:, -1, -1:] for arm in ("window-4", "full"))
    assert float(cells[-1]["arm minus baseline, nats"]) == pytest.approx((mine_N - theirs_N).mean(), abs=1e-4)
    assert float(cells[-1]["plus_minus"]) == pytest.approx(band_half(mine_N - theirs_N)[0], abs=1e-4)  # type: ignore[index]
    assert "surface-train-difference-window-4" in found


def sections_names(path: Path) -> list[str]:
    """The arms."""
    return StudyFolder(path).arms


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("copy_gain.gain_nats_S", np.zeros((5, 2))),
        ("copy_gain.second_loss_nats_ST", np.zeros((5, 3))),
        ("copy_gain.first_loss_nats_ST", np.zeros((5, 0))),
        ("prefix_matching.score_SLH", np.full((5, 4, 3), np.nan)),
        ("prefix_matching.score_SLH", np.zeros((5, 0, 0))),
        ("prefix_matching.steps_S", np.arange(3)),
        ("effective_rank.width_SL", np.ones((1, 3))),
        ("token_probe.chance_S", np.zeros(0)),
        ("attention_maps.token_bytes_STN", np.zeros((1, 3, 4))),
        ("attention_maps.place_SL", np.zeros((1, 5))),
        ("token_classes.part_loss_nats_SG", np.zeros((1, 9))),
        ("token_classes.part_num_tokens_SG", np.zeros((1, 6))),
        ("token_classes.frequency_from_count_SG", np.zeros((1, 2))),
    ],
)
def test_an_array_of_another_form_spoils_nothing(written: Callable[..., Path], name: str, array: np.ndarray) -> None:
    """In one run and in all; the page is still written."""
    folder = written(write_measured_study, {"only": (3, 0.3, 101), "other": (5, 0.3, 103)})
    for seeds in ((0,), (1, 2)):
        for seed in seeds:
            file = folder / "only" / f"seed{seed}" / "arrays.npz"
            write_arrays(file, {**read_arrays(file), name: array})
        assert "<h1>" in render(StudyFolder(folder))


def test_only_whole_runs_with_the_same_steps_make_a_line() -> None:
    """And a measure that was taken at the end alone has none."""

    def run(seed: int, steps: list[int], state: str = "done") -> Run:
        arrays = {"m.steps_S": np.array(steps), "m.gain_nats_S": np.arange(len(steps)) + float(seed)}
        return Run("arm", seed, state, state, "", arrays=arrays)  # type: ignore[arg-type]

    runs = [run(0, [0, 1, 5, 9]), run(4, [0, 1, 5, 9]), run(9, [0, 1, 5, 9], "diverged"), run(9, [0, 2, 5, 9])]
    line = through_training(runs, "m.gain_nats_S")
    assert line is not None
    assert (line.x.tolist(), line.mean.tolist(), line.count) == ([1, 5, 9], [3, 4, 5], 2)
    assert through_training([run(0, [9])], "m.gain_nats_S") is None
    assert largest(np.array([[[0.1, np.nan], [0.3, 0.2]], [[np.nan] * 2] * 2]))[0] == 0.3
    assert np.isnan(largest(np.full((1, 2, 2), np.nan))[0])
