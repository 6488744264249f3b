"""`vslm measure`: what is taken afterwards is what would have been taken in the run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_run import STEPS, job_for

from vslm.after.measuring import Evaluation, take
from vslm.measure.residual_norms import ResidualNorms
from vslm.results.files import read_arrays, read_json
from vslm.results.folder import RunFolder, StudyFolder
from vslm.runs.run import run_job
from vslm.runs.stored_run import StoredRun
from vslm.study.catalog import MEASURES

NORMS = "ResidualNorms(num_evaluations=5, num_tokens=170)"


def run_of(path: Path, arm: str = "short") -> RunFolder:
    """Its first seed."""
    return StudyFolder(path).run(arm, 0)


@pytest.fixture
def measured(finished: Callable[..., Path]) -> Path:
    """A study whose runs kept weights, one seed each."""
    return finished("--seeds", "1", "--set", "keep_weights=5")


def test_it_gives_what_the_run_took(tmp_path: Path) -> None:
    """At all stored steps, under the averaged weights: the same numbers but for the rounding; the last are exact."""
    measure, folder = ResidualNorms(num_evaluations=5, num_tokens=190), tmp_path / "a" / "seed5"
    run_job(job_for(tmp_path, measures=(measure,)), folder, lambda message: None)
    run = StoredRun(folder)
    assert take(Evaluation(run, measure, run.steps), say=print) == (0, 1, 4, 15, STEPS)
    within, later = read_arrays(folder / "arrays.npz"), read_arrays(folder / "later.npz")
    assert later["residual_norms.steps_S"].tolist() == within["residual_norms.steps_S"].tolist()
    np.testing.assert_allclose(later["residual_norms.rms_SL"], within["residual_norms.rms_SL"], rtol=1e-4)
    np.testing.assert_array_equal(later["residual_norms.rms_SL"][-1], within["residual_norms.rms_SL"][-1])


def test_it_is_on_the_page_and_recorded(measured: Path, vslm: Callable) -> None:
    """Of every run of the study, with the values of the measure."""
    said = vslm("measure", "runs/study", NORMS, "TokenView")
    assert said.code == 0, said.err
    assert "full/seed0: residual_norms at 5 steps from 0 to 11" in said.out
    record = read_json(run_of(measured).path / "later.json")["measures"]
    assert record["residual_norms"]["measure"]["num_tokens"] == 170
    assert set(record) == {"residual_norms", "token_view"}
    page = (measured / "report.html").read_text(encoding="utf-8")
    assert 'id="tokens"' in page
    assert 'id="measured-residual_norms"' in page


def test_taken_again_it_takes_its_own_place(measured: Path, vslm: Callable) -> None:
    """Of one arm; the other measures of the run stay; a measure of the end is taken from the last weights alone."""
    assert vslm("measure", "runs/study/short", NORMS, "LogitLens").code == 0
    assert vslm("measure", "runs/study/short", "ResidualNorms").code == 0
    arrays = run_of(measured).arrays
    assert arrays["residual_norms.steps_S"].tolist() == arrays["logit_lens.steps_S"].tolist() == [11]
    assert not (run_of(measured, "full").path / "later.npz").exists()


def test_torn_weights_are_passed_over(measured: Path, vslm: Callable) -> None:
    """And named."""
    torn = run_of(measured).kept_path(2)
    torn.write_bytes(torn.read_bytes()[:-1])
    said = vslm("measure", "runs/study/short/seed0", NORMS)
    assert said.code == 0
    assert torn.name in said.out
    assert run_of(measured).arrays["residual_norms.steps_S"].tolist() == [0, 1, 5, 11]


TORN = {
    "done.json": ("done.json", b"{", "the file is torn"),
    "an odd done.json": ("done.json", b"[1]", "not what a run ends with"),
    "a done.json without a step": ("done.json", b'{"status": "done"}', "names no step"),
    "experiment.json": ("experiment.json", b'{"job": ', "the file is torn"),
    "an empty experiment.json": ("experiment.json", b"{}", "not the record of a run"),
    "an odd experiment.json": ("experiment.json", b"[]", "not the record of a run"),
    "an odd job": ("experiment.json", b'{"job": {"kind": []}}', "unknown kind []"),
    "tokenizer.json": ("tokenizer.json", b"{", "the file is torn"),
}


@pytest.mark.parametrize("case", TORN)
def test_a_torn_run_is_passed_over_and_the_others_are_measured(measured: Path, vslm: Callable, case: str) -> None:
    """It is named, once however many measures it would have had, and the command ends with 1."""
    name, content, words = TORN[case]
    (run_of(measured, "full").path / name).write_bytes(content)
    said = vslm("measure", "runs/study", "ResidualNorms(num_tokens=170)", "LogitLens")
    assert said.code == 1, said
    assert said.err.count("full/seed0: passed over") == said.err.count("\n") == 1, said.err
    assert words in said.err
    assert not (run_of(measured, "full").path / "later.npz").exists()
    assert set(read_json(run_of(measured).path / "later.json")["measures"]) == {"residual_norms", "logit_lens"}
    assert "report  " in said.out


def test_a_run_that_is_not_finished_is_passed_over_by_measures_of_the_end(measured: Path, vslm: Callable) -> None:
    """What it kept on its way can be measured."""
    (run_of(measured, "full").path / "done.json").unlink()
    said = vslm("measure", "runs/study", NORMS, "LogitLens")
    assert said.code == 1, said
    assert "not finished, and LogitLens is taken at the end" in said.err
    assert list(read_json(run_of(measured, "full").path / "later.json")["measures"]) == ["residual_norms"]


def test_torn_numbers_of_before_are_begun_anew(measured: Path, vslm: Callable) -> None:
    """It is said; the record names the measures that are there and no others."""
    later = run_of(measured).path / "later.npz"
    assert vslm("measure", "runs/study/short", "LogitLens").code == 0
    later.write_bytes(later.read_bytes()[:-30])
    said = vslm("measure", "runs/study/short", NORMS)
    assert said.code == 0, said.err
    assert "short/seed0: later.npz cannot be read" in said.out
    assert list(read_json(later.with_suffix(".json"))["measures"]) == ["residual_norms"]
    assert {name.partition(".")[0] for name in read_arrays(later)} == {"residual_norms"}
    later.with_suffix(".json").write_text("{")
    said = vslm("measure", "runs/study/short", "LogitLens")
    assert said.code == 0, said.err
    assert "later.json: the file is torn" in said.out
    assert {name.partition(".")[0] for name in read_arrays(later)} == {"residual_norms", "logit_lens"}


def test_a_run_that_is_made_again_forgets_what_was_taken(measured: Path, vslm: Callable) -> None:
    """Its weights are others now."""
    assert vslm("measure", "runs/study/short", "LogitLens").code == 0
    (run_of(measured).path / "done.json").unlink()
    assert vslm("run", "study.py", "--seeds", "1", "--set", "keep_weights=5").code == 0
    assert not list(run_of(measured).path.glob("later.*"))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("TokenVue",), "no measure of that name; did you mean TokenView"),
        (("Softmax",), "no measure of that name"),
        (("TokenView(",), "TokenView(: cannot be read"),
        (("LogitLens(num_tokns=3)",), "did you mean num_tokens"),
        (("LossByPosition",), "took it while it was trained"),
        ((), "MEASURES is missing"),
    ],
)
def test_what_cannot_be_taken_is_said_in_words(
    measured: Path, vslm: Callable, args: tuple[str, ...], words: str
) -> None:
    """Before anything is taken."""
    said = vslm("measure", "runs/study", *args)
    assert said.code == 2
    assert words in said.err
    assert not list(measured.rglob("later.*"))


def test_a_study_without_weights_says_how_to_keep_them(measured: Path, vslm: Callable) -> None:
    """As after unpacking what was packed."""
    for path in measured.rglob("*.safetensors"):
        path.unlink()
    said = vslm("measure", "runs/study", "TokenView")
    assert said.code == 2
    assert "no run here has stored weights" in said.err
    assert "keep_weights" in said.err


def test_the_help_lists_every_measure(vslm: Callable) -> None:
    """By hand, because help does not wait for torch; so here it is kept in step with the catalog."""
    listed = " ".join(vslm("measure", "--help").out.replace("│", " ").split()).split("There are ")[1]
    assert listed.split(".")[0].split(", ") == sorted(MEASURES)
