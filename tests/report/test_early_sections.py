"""The sections of the first steps hold the runs' own numbers, their minima, and only bins that are full enough."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from shown import sections_of, write_study_with

from vslm.report.numbers.curves import band_half
from vslm.report.numbers.runs import Run, read_runs
from vslm.report.pages import images
from vslm.report.pages.study import render
from vslm.report.sections import early_days
from vslm.report.sections.calibration import reliability
from vslm.report.sections.early_days import in_order, minima
from vslm.report.sections.section import Section
from vslm.results.files import read_arrays, write_arrays
from vslm.results.folder import StudyFolder

ARMS = {"tied": (3, 0.3, 101), "untied <b>": (5, 0.3, 103)}
STEPS_S = np.array([0, 1, 2, 4, 8, 16, 32, 37])
LOWEST = {"tied": (2, 4, 7), "untied <b>": (1, 3, 5)}  # places among the steps, by order


def arrays_of(arm: str, seed: int) -> dict[str, np.ndarray]:
    """What a run stores: divergences that fall and rise, and a model that is too sure."""
    rng = np.random.default_rng([seed, len(arm)])
    places = np.arange(len(STEPS_S))
    kl_SG = np.stack([0.1 * places, *(0.05 + 0.1 * (places - at) ** 2 for at in LOWEST[arm])], axis=1)
    kl_SG[:, 1:] *= 1 + 0.02 * rng.random()
    p_P = 2.0 ** np.arange(-9, 0)
    count_SP = np.tile([40_000, 20_000, 9_000, 0, 4_000, 2_000, 800, 300, 15], (len(STEPS_S), 1)).astype(float)
    p_SP = np.where(count_SP > 0, p_P, np.nan)
    hits_SP = np.round(np.nan_to_num(p_SP) * count_SP * 0.8)
    guessers_SG = np.tile([1 / 64, 0.03, 0.1, 0.2], (len(STEPS_S), 1))
    scalars = {
        name: (0.02 * (1 + places) * (1 + 0.05 * rng.random()))
        for name in ("p_true_S", "p_geometric_S", "entropy_nats_S", "kl_marginal_nats_S", "tv_marginal_S")
    }
    arrays = {
        "steps_S": STEPS_S,
        "kl_nats_SG": kl_SG,
        "ngram_p_true_SG": guessers_SG,
        "ngram_kl_marginal_nats_SG": guessers_SG - np.array([0, 0.03, 0, 0]),
        "calibration_p_SP": p_SP,
        "calibration_count_SP": count_SP,
        "calibration_hits_SP": hits_SP,
        **scalars,
    }
    return {f"early_days.{name}": array for name, array in arrays.items()}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only for reading."""
    return write_study_with(tmp_path_factory.mktemp("runs") / "early", ARMS, arrays_of)


def traces(section: Section, place: str, view: str, part: str) -> list[dict]:
    """Of one figure."""
    drawing = next(drawing for drawing in section.drawings if drawing.id == place)
    return [t for t in drawing.figure["data"] if (t["meta"]["view"], t["meta"]["part"]) == (view, part)]


def test_sections_are_on_the_page(study: Path) -> None:
    """Before the others, as JSON, with a table whose names cannot be tags."""
    assert list(sections_of(study)) == ["early-days", "ngrams", "calibration"]
    page = render(StudyFolder(study))
    for name in ("early-days", "ngrams", "calibration"):
        assert f'<section id="measured-{name}">' in page
        assert f'href="#measured-{name}"' in page
    assert "untied &lt;b&gt;" in page
    assert "untied <b>" not in page.split('<script type="application/json"')[0]
    for section in sections_of(study).values():
        json.dumps([drawing.figure for drawing in section.drawings], allow_nan=False)


def test_lines_are_means_over_seeds_with_guessers_across(study: Path) -> None:
    """Step 0 is drawn left of step 1 and is step 0 in the numbers; a guesser's line ends where the arms do."""
    section = sections_of(study)["early-days"]
    (line, _) = traces(section, "early-p", "mean", "mean")
    values_NS = np.stack([arrays_of("tied", seed)["early_days.p_true_S"] for seed in range(3)])
    np.testing.assert_allclose(line["y"], values_NS.mean(0), atol=1e-6)
    np.testing.assert_allclose(line["customdata"], band_half(values_NS), atol=1e-6)
    assert line["x"][1:] == STEPS_S[1:].tolist()
    assert 0 < line["x"][0] < 1
    assert line["meta"]["x"] == STEPS_S.tolist()
    guessers = {trace["name"]: trace["y"][0] for trace in traces(section, "early-p", "mean", "reference")}
    assert guessers == {"uniform": 1 / 64, "unigram": 0.03, "bigram": 0.1, "trigram": 0.2}
    assert [t["name"] for t in traces(section, "early-marginal", "kl", "reference")] == ["uniform", "bigram", "trigram"]
    assert list(section.drawings[0].views) == ["mean", "geometric"]
    assert not traces(section, "early-p", "geometric", "reference"), "not recorded in this study"


def test_minima_are_marked_and_listed_by_seed(study: Path) -> None:
    """Of the means in the figure, of every seed in the table; at the last step it is said."""
    section = sections_of(study)["ngrams"]
    marks = {trace["text"][0]: trace for trace in traces(section, "kl-ngrams", "tied", "lowest")}
    assert {name: mark["x"] for name, mark in marks.items()} == {"unigram": [2], "bigram": [8], "trigram": [37]}
    assert section.table is not None
    rows = {(arm, name): (steps, nats) for arm, name, steps, nats in section.table.rows}
    assert rows["tied", "trigram"][0] == "37 (the last), 37 (the last), 37 (the last)"
    assert rows["untied <b>", "unigram"][0] == "1, 1, 1"
    lowest = [0.05 * arrays_of("tied", s)["early_days.kl_nats_SG"][4, 2] / 0.05 for s in range(3)]
    assert rows["tied", "bigram"][1].startswith(f"{np.mean(lowest):.4f} ± ")
    assert "3 of 3 seeds of tied and 3 of 3 seeds of untied <b>" in section.read


def test_an_order_counts_where_each_minimum_is_later() -> None:
    """Equal steps are no order, and a seed that lacks one is not counted."""
    found = {"unigram": [(0, 1, 0.1), (1, 2, 0.1), (2, 1, 0.1)], "bigram": [(0, 4, 0.1), (1, 2, 0.1), (2, 8, 0.1)]}
    assert in_order({**found, "trigram": [(0, 8, 0.1), (1, 4, 0.1)]}) == (1, 2)


def test_full_bins_are_drawn_against_the_diagonal(study: Path) -> None:
    """Bins without ten expected hits are left out; the share that came is hits over count."""
    runs = read_runs(StudyFolder(study))["tied"]
    profile = reliability(runs, 8)
    assert profile is not None
    np.testing.assert_allclose(profile.x, 2.0 ** np.array([-9, -8, -7, -5, -4, -3, -2]))
    np.testing.assert_allclose(profile.mean, 0.8 * profile.x, rtol=0.05)
    assert reliability(runs, 5) is None
    section = sections_of(study)["calibration"]
    assert "none came" not in section.read
    assert next(iter(section.drawings[0].views)) == "step37"
    (diagonal,) = traces(section, "calibration", "step37", "reference")
    assert diagonal["x"] == diagonal["y"]


def test_a_bin_of_which_none_came_is_drawn_at_the_foot(tmp_path: Path) -> None:
    """The worst overconfidence there is: below everything else, named in the words, and 0 in the CSV."""

    def none_of_a_quarter(arm: str, seed: int) -> dict[str, np.ndarray]:
        arrays = arrays_of(arm, seed)
        arrays["early_days.calibration_hits_SP"][:, 7] = 0
        return arrays

    folder = write_study_with(tmp_path / "s", ARMS, none_of_a_quarter)
    profile = reliability(read_runs(StudyFolder(folder))["tied"], 8)
    assert profile is not None
    assert profile.mean[profile.x == 0.25].tolist() == [0.0]
    section = sections_of(folder)["calibration"]
    assert "none came" in section.read
    line = traces(section, "calibration", "step37", "mean")[0]
    at = line["x"].index(0.25)
    foot = line["y"].pop(at)
    assert 0 < foot <= min(line["y"]) / 10
    assert line["hovertemplate"][at] == "none came"
    picture = next(one for one in images.pictures(StudyFolder(folder)) if one.name == "calibration-step37")
    rows = [row.split(",") for row in images.numbers_as_csv(picture).splitlines()]
    assert ["tied", "0.25", "0.0"] in [row[:3] for row in rows]
    json.dumps(section.drawings[0].figure, allow_nan=False)


def test_numbers_are_csv_with_true_steps(study: Path) -> None:
    """The guessers' lines and the minima among them."""
    found = {picture.name: picture for picture in images.pictures(StudyFolder(study))}
    assert {"early-p-mean", "early-marginal-kl", "kl-ngrams-tied", "calibration-step37"} <= set(found)
    rows = list(csv.DictReader(images.numbers_as_csv(found["kl-ngrams-tied"]).splitlines()))
    assert [row["training step"] for row in rows if row["series"] == "unigram"] == [str(step) for step in STEPS_S]
    assert [row["training step"] for row in rows if row["series"] == "trigram, minimum"] == ["37"]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("steps_S", np.zeros((2, 2))),
        ("steps_S", np.empty(0)),
        ("kl_nats_SG", np.full((len(STEPS_S), 4), np.inf)),
        ("kl_nats_SG", np.zeros((len(STEPS_S), 3))),
        ("p_true_S", np.full(len(STEPS_S), np.nan)),
        ("calibration_p_SP", np.zeros((len(STEPS_S), 2))),
        ("ngram_p_true_SG", np.zeros(4)),
    ],
)
def test_an_array_of_another_form_spoils_nothing(study: Path, tmp_path: Path, name: str, array: np.ndarray) -> None:
    """In one arm; the page is still written."""
    folder = shutil.copytree(study, tmp_path / "s")
    for seed in range(3):
        file = folder / "tied" / f"seed{seed}" / "arrays.npz"
        write_arrays(file, {**read_arrays(file), f"early_days.{name}": array})
    assert "<h1>" in render(StudyFolder(folder))


def test_runs_that_did_not_end_well_do_not_count(study: Path) -> None:
    """Nor do runs that were measured at other steps than the first."""
    whole = read_runs(StudyFolder(study))["tied"]
    run = whole[0]
    assert minima([Run(run.arm, run.seed, "diverged", "", run.where, arrays=run.arrays)]) == {}
    fewer = {name: array[1:] for name, array in whole[1].arrays.items() if name.startswith("early_days.")}
    other = Run("tied", 1, "done", "", whole[1].where, arrays=fewer)
    assert [run.seed for run in early_days.whole_runs([run, other, whole[2]])] == [0, 2]
