"""Sections about prompts hold the runs' own numbers, and the fits of their curves."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from shown import sections_of, write_study_with

from vslm.report.numbers.curves import band_half
from vslm.report.pages import images
from vslm.report.pages.study import render
from vslm.results.files import read_arrays, write_arrays
from vslm.results.folder import StudyFolder
from vslm.stats.decay import Decay

ARMS = {"full": (3, 0.3, 101), "window <8>": (5, 0.3, 103)}
TAU = {"full": 9.0, "window <8>": 2.0}
NUM_PROMPTS, NUM_TOKENS = 5, 29


def arrays_of(arm: str, seed: int) -> dict[str, np.ndarray]:
    """What a run stores, steps first."""
    rng = np.random.default_rng([seed, len(arm)])
    pmi_IJ = 10 * np.eye(NUM_PROMPTS) + rng.standard_normal((NUM_PROMPTS, NUM_PROMPTS))
    js_T = Decay(0.2 + 0.01 * seed, TAU[arm], 0.03).at(np.arange(NUM_TOKENS))
    arrays = {
        "steps_S": np.array(7),
        "pmi_nats_SIJ": pmi_IJ,
        "pmi_shuffled_nats_SI": np.full(NUM_PROMPTS, 4.0 + 0.1 * seed),
        "pmi_own_nats_S": np.diagonal(pmi_IJ).mean(),
        "pmi_other_nats_S": np.array(0.25),
        "js_prompts_nats_ST": js_T,
        "js_empty_nats_ST": 2 * js_T,
    }
    return {f"prompt_effect.{name}": np.asarray(array)[None] for name, array in arrays.items()}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only for reading."""
    return write_study_with(tmp_path_factory.mktemp("runs") / "prompts", ARMS, arrays_of)


def test_maps_are_means_on_one_scale(study: Path) -> None:
    """A map per arm, and a table with means over continuations; a control that was not taken is missing."""
    section = sections_of(study)["pmi"]
    cells = [drawing.figure["data"][0] for drawing in section.drawings]
    assert [drawing.caption for drawing in section.drawings] == list(ARMS)
    maps = [np.mean([arrays_of(arm, s)["prompt_effect.pmi_nats_SIJ"][0] for s in range(3)], axis=0) for arm in ARMS]
    for trace, pmi_IJ in zip(cells, maps, strict=True):
        np.testing.assert_allclose(trace["z"], pmi_IJ, atol=1e-4)
        assert trace["zmax"] == -trace["zmin"] == pytest.approx(np.abs(maps).max(), abs=1e-4)
    assert section.table is not None
    own_N = np.array([arrays_of("full", s)["prompt_effect.pmi_own_nats_S"][0] for s in range(3)])
    assert section.table.rows[0] == (
        "full",
        f"{own_N.mean():.2f} ± {band_half(own_N[:, None])[0]:.2f}",  # type: ignore[index]
        f"4.10 ± {4.303 * 0.1 / 3**0.5:.2f}",
        "missing",
        "0.25 ± 0.00",
    )


def test_decays_are_drawn_and_fitted_by_seed(study: Path) -> None:
    """The line is the mean from the first token on; the table has the truth back."""
    section = sections_of(study)["prompt-distance"]
    (drawing,) = section.drawings
    assert list(drawing.views) == ["prompts", "empty"], "a view of nothing is not offered"
    line = next(t for t in drawing.figure["data"] if t["meta"] == {"arm": "full", "view": "prompts", "part": "mean"})
    js_NT = np.stack([arrays_of("full", s)["prompt_effect.js_prompts_nats_ST"][0] for s in range(3)])
    np.testing.assert_allclose(line["y"], js_NT.mean(0), atol=1e-6)
    assert line["x"] == list(range(1, NUM_TOKENS + 1))
    fit = next(t for t in drawing.figure["data"] if t["meta"]["part"] == "fit")
    assert fit["x"] == line["x"][1:]
    np.testing.assert_allclose(fit["y"], js_NT.mean(0)[1:], atol=1e-3)
    assert section.table is not None
    assert [row[0] for row in section.table.rows] == list(ARMS)
    for arm, tau, _, floor in section.table.rows:
        assert float(tau.split(" (")[0]) == pytest.approx(TAU[arm], abs=0.1)
        assert float(floor.split(" (")[0]) == pytest.approx(0.03, abs=1e-3)


@pytest.mark.parametrize("what", ["flat", "noise", "rounding"])
def test_a_curve_that_does_not_fall_says_so(tmp_path: Path, what: str) -> None:
    """In the table, for the seeds that it is true of; numbers are of the others. Rounding and noise are no decay."""
    rng = np.random.default_rng(3)
    curve_T = {
        "flat": np.full(NUM_TOKENS, 0.1),
        "noise": 0.1 + 0.001 * rng.standard_normal(NUM_TOKENS),
        "rounding": Decay(1e-6, 5.0, 1e-7).at(np.arange(NUM_TOKENS)),
    }[what]
    folder = write_study_with(tmp_path / "s", ARMS, arrays_of)
    file = folder / "full" / "seed1" / "arrays.npz"
    write_arrays(file, {**read_arrays(file), "prompt_effect.js_prompts_nats_ST": curve_T[None]})
    table = sections_of(folder)["prompt-distance"].table
    assert table is not None
    assert table.rows[0][1] == "9.0 (9.0 to 9.0); no decay in 1 of 3"
    for seed in (0, 2):
        file = folder / "full" / f"seed{seed}" / "arrays.npz"
        write_arrays(file, {**read_arrays(file), "prompt_effect.js_prompts_nats_ST": curve_T[None]})
    section = sections_of(folder)["prompt-distance"]
    assert section.table is not None
    assert section.table.rows[0] == ("full", "no decay in 3 of 3", "none", "none")
    fits = [t["meta"]["arm"] for t in section.drawings[0].figure["data"] if t["meta"]["part"] == "fit"]
    assert fits == ["window <8>"], "a line of what is not there is not drawn"


def test_they_are_on_the_page_and_in_files(study: Path) -> None:
    """As JSON, with names that cannot be tags; a map's cells are rows of its CSV."""
    page = render(StudyFolder(study))
    assert 'id="measured-pmi"' in page
    assert 'id="measured-prompt-distance"' in page
    assert "window <8>" not in page.split('<script type="application/json"')[0]
    for section in sections_of(study).values():
        json.dumps([drawing.figure for drawing in section.drawings], allow_nan=False)
    found = {picture.name: picture for picture in images.pictures(StudyFolder(study))}
    assert {"pmi-0", "pmi-1", "prompt-distance-prompts", "prompt-distance-empty"} <= set(found)
    cells = list(csv.DictReader(images.numbers_as_csv(found["pmi-0"]).splitlines()))
    assert [cells[1][key] for key in ("prompt", "continuation")] == ["prompt 1", "continuation 2"]
    assert len(cells) == NUM_PROMPTS**2


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("pmi_nats_SIJ", np.zeros((1, 3))),
        ("pmi_nats_SIJ", np.full((1, 2, 2), np.nan)),
        ("js_prompts_nats_ST", np.zeros((1, 0))),
        ("js_prompts_nats_ST", np.zeros((1, 3))),
        ("js_prompts_nats_ST", np.full((1, 9), np.inf)),
        ("pmi_own_nats_S", np.zeros((1, 2))),
    ],
)
def test_an_array_of_another_form_spoils_nothing(study: Path, tmp_path: Path, name: str, array: np.ndarray) -> None:
    """In one arm; the page is still written."""
    folder = shutil.copytree(study, tmp_path / "s")
    for seed in range(3):
        file = folder / "full" / f"seed{seed}" / "arrays.npz"
        write_arrays(file, {**read_arrays(file), f"prompt_effect.{name}": array})
    assert "<h1>" in render(StudyFolder(folder))
