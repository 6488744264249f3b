"""Weights kept along a run: what they are, what happens to torn ones, and what they cost."""

import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_run import CONTEXT_TOKENS, STEPS, job_for

from vslm.core.errors import ResultError, SpecError
from vslm.core.paths import vary
from vslm.core.specs import from_plain, to_plain
from vslm.data.batches import Windows
from vslm.data.corpus import open_corpus
from vslm.data.windows import evaluation_windows
from vslm.measure.loss_by_position import LossByPositionEvaluator
from vslm.results.files import read_arrays
from vslm.runs.objects import build_model
from vslm.runs.run import run_job
from vslm.runs.stored_run import StoredRun
from vslm.study.catalog import KINDS
from vslm.study.job import Job

KEPT = (0, 1, 4, 15)


def kept_job(folder: Path, **changes: object) -> Job:
    """A job that keeps weights at five steps."""
    job = job_for(folder, measures=(), dropout=0.0)
    return dataclasses.replace(job, experiment=dataclasses.replace(job.experiment, **changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Path]:
    """A finished run. Only for reading."""
    place = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VSLM_HOME", str(tmp_path_factory.getbasetemp() / "vslm-home"))
        job = kept_job(place)
        run_job(job, place / "a" / "seed5", lambda message: None)
    return job, place / "a" / "seed5"


def test_the_model_of_a_step_is_the_one_that_was_evaluated_then(made: tuple[Job, Path]) -> None:
    """Averaged weights and all: its loss on the windows of that look is the recorded one, but for the rounding."""
    job, folder = made
    run, arrays = StoredRun(folder), read_arrays(folder / "arrays.npz")
    assert run.steps == (*KEPT, STEPS)
    windows_NT1 = evaluation_windows(open_corpus(job.corpus).val.tokens, context_tokens=CONTEXT_TOKENS, num_tokens=190)
    for step in (0, 1):
        (row,) = (arrays["steps_S"] == step).nonzero()[0]
        loss_T = LossByPositionEvaluator(Windows(windows_NT1))(run.model(step))["loss_nats_T"]
        assert abs(loss_T - arrays["val_loss_nats_ST"][row]).max() < 1e-3
    start = build_model(job, run.tokenizer.vocabulary)
    for (name, mine), (_, its) in zip(run.model(0).named_parameters(), start.named_parameters(), strict=True):
        assert torch.allclose(mine, its, rtol=2**-11, atol=1e-7), name
    assert not run.model(4).training


def test_keeping_changes_no_number_and_no_name(made: tuple[Job, Path], tmp_path: Path) -> None:
    """The same bits with and without, under the same fingerprint; and a record that is older than the field is read."""
    job, folder = made
    without = kept_job(tmp_path, keep_weights=0)
    same_corpus = dataclasses.replace(without, corpus=job.corpus)
    assert same_corpus.fingerprint == job.fingerprint
    run_job(without, tmp_path / "run", lambda message: None)
    assert not (tmp_path / "run" / "weights").exists()
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()
    old = to_plain(without)
    del old["experiment"]["keep_weights"]
    assert from_plain(old, KINDS) == without


def test_runs_that_choose_keep_nothing(tmp_path: Path) -> None:
    """A tuning of fifty runs would fill a disk with weights that nobody looks at."""
    job = dataclasses.replace(kept_job(tmp_path), split="select")
    run_job(job, tmp_path / "run", lambda message: None)
    assert not (tmp_path / "run" / "weights").exists()


@pytest.mark.slow
def test_a_run_that_goes_on_keeps_the_end_of_its_first_stage(tmp_path: Path) -> None:
    """The last weights of one stage are the first of the next, which are kept when it begins."""
    job = kept_job(tmp_path)
    run_job(job, tmp_path / "run", lambda message: None)
    run_job(dataclasses.replace(job, stages_tokens=job.stages_tokens * 2), tmp_path / "run", lambda message: None)
    second = [STEPS + step for step in (0, 1, 4, 15, STEPS)]
    assert StoredRun(tmp_path / "run").steps == (*KEPT, *second)


def test_weights_of_another_run_do_not_stay(tmp_path: Path) -> None:
    """A folder in which something else was begun holds the weights of what is run there now."""
    job = kept_job(tmp_path)
    (tmp_path / "run" / "weights").mkdir(parents=True)
    (tmp_path / "run" / "weights" / "step000000002.safetensors").write_bytes(b"of another run")
    run_job(job, tmp_path / "run", lambda message: None)
    assert StoredRun(tmp_path / "run").steps == (*KEPT, STEPS)


def test_torn_weights_are_named_and_passed_over(made: tuple[Job, Path], tmp_path: Path) -> None:
    """All other steps are there; the torn one alone is refused by name."""
    copy = tmp_path / "a" / "seed5"
    copy.mkdir(parents=True)
    for path in made[1].rglob("*"):
        if path.is_file() and "checkpoints" not in path.parts:
            (copy / path.relative_to(made[1])).parent.mkdir(exist_ok=True)
            (copy / path.relative_to(made[1])).write_bytes(path.read_bytes())
    torn = copy / "weights" / "step000000004.safetensors"
    torn.write_bytes(torn.read_bytes()[:-7])
    said: list[str] = []
    assert [step for step, _ in StoredRun(copy).models(said.append)] == [0, 1, 15, STEPS]
    assert len(said) == 1
    assert torn.name in said[0]
    with pytest.raises(ResultError, match="torn"):
        StoredRun(copy).model(4)


def test_what_is_not_there_is_said(made: tuple[Job, Path], tmp_path: Path) -> None:
    """A step that was not kept, a folder that is no run."""
    with pytest.raises(ResultError, match=r"no weights of step 3; stored are 0, 1, 4, 15, 61"):
        StoredRun(made[1]).model(3)
    with pytest.raises(ResultError, match="no run; the folder of a run is needed"):
        StoredRun(tmp_path).model()


@pytest.mark.parametrize("count", [-1, 1, 1001])
def test_counts_that_mean_nothing_are_refused(tmp_path: Path, count: int) -> None:
    """One step is either the first or the last."""
    with pytest.raises(SpecError, match="keep_weights"):
        vary(job_for(tmp_path).experiment, {"keep_weights": count})


@pytest.mark.slow
def test_the_plan_counts_their_disk_and_a_packed_study_leaves_them_out(
    place: Path, vslm: Callable, in_process: list
) -> None:
    """5 steps of 11 keep 4 files beside the last weights, for 2 seeds; matrices in two bytes."""
    keeping = ("--set", "keep_weights=5")
    plain, kept = vslm("plan", "study.py", "--json"), vslm("plan", "study.py", "--json", *keeping)
    before, after = (json.loads(said.out)["arms"]["full"] for said in (plain, kept))
    assert before["kept_weights"] == 0
    assert after["kept_weights"] == 8
    assert after["kept_mb"] == pytest.approx(8 * 2 * after["num_parameters"] / 1e6)
    assert after["disk_mb"] - before["disk_mb"] == pytest.approx(after["kept_mb"])
    assert "of them weights kept" in vslm("plan", "study.py", "--full", *keeping).out
    assert vslm("run", "study.py", *keeping).code == 0
    files = list((place / "runs" / "study" / "full").glob("seed*/weights/*.safetensors"))
    assert len(files) == 8
    assert sum(path.stat().st_size for path in files) == pytest.approx(after["kept_mb"] * 1e6, rel=0.25)
    assert vslm("pack", "runs/study", "--out", "s.zip").code == 0
    with zipfile.ZipFile("s.zip") as packed:
        assert not [name for name in packed.namelist() if "safetensors" in name]
