"""Kill, tear, diverge: what a run does when it does not go well."""

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from vslm.core.paths import vary
from vslm.core.specs import from_plain, to_plain
from vslm.data.preparing import prepare
from vslm.data.sources import Text
from vslm.measure.attention_distance import AttentionDistance
from vslm.measure.logit_lens import LogitLens
from vslm.measure.loss_by_position import LossByPosition
from vslm.measure.measure import Measure
from vslm.measure.parameter_track import ParameterTrack
from vslm.measure.residual_norms import ResidualNorms
from vslm.models.layouts.plain import uniform
from vslm.optim.adamw import AdamW
from vslm.results.files import read_json, read_rows, write_json
from vslm.results.folder import RunFolder
from vslm.results.records import RunEnd
from vslm.runs.run import run_job
from vslm.study.catalog import KINDS
from vslm.study.experiment import Averaging, Budget, Experiment
from vslm.study.job import Job, Settings
from vslm.training.checkpoints import load_checkpoint

CONTEXT_TOKENS = 19
STEPS = 61


OTHERS = (
    ParameterTrack(names=("blocks.*.attention_norm.weight",), num_evaluations=9),
    LogitLens(num_evaluations=5, num_tokens=38),
    AttentionDistance(num_evaluations=3, num_tokens=38),
    ResidualNorms(num_tokens=38),
)


def job_for(
    folder: Path,
    *,
    learning_rate: float = 0.01,
    dropout: float = 0.1,
    measures: tuple[Measure, ...] = OTHERS,
    steps: int = STEPS,
) -> Job:
    """A job of 61 steps with dropout and averaged weights, on a corpus of made-up words."""
    rng = np.random.default_rng(5)
    words = ["".join(rng.choice(list("abcdefgh"), 4)) for _ in range(60)]
    documents = [" ".join(rng.choice(words, 60)) for _ in range(300)]
    (folder / "corpus.txt").write_text("\n<|endoftext|>\n".join(documents))
    experiment = Experiment(
        model=uniform(depth=2, width=24, heads=2, context_tokens=CONTEXT_TOKENS, dropout=dropout),
        data=Text(str(folder / "corpus.txt"), vocabulary=300),
        budget=Budget(tokens=CONTEXT_TOKENS * 7 * steps),
        batch_tokens=CONTEXT_TOKENS * 7,
        optimizer=AdamW(learning_rate=learning_rate, clip_norm=None),
        averaging=Averaging(horizon_fraction=0.1),
        measures=(LossByPosition(num_evaluations=6, num_tokens=190, num_final_tokens=380), *measures),
        keep_weights=5,
    )
    return Job(
        arm="a",
        experiment=experiment,
        stages_tokens=(CONTEXT_TOKENS * 7 * steps,),
        init_seed=3,
        data_seed=5,
        settings=Settings(device="cpu", precision="fp32", compiled=False, threads=1),
        corpus=prepare(experiment.data).fingerprint,
    )


SCRIPT = """
import json, sys, time
from pathlib import Path
from vslm.core.specs import from_plain
from vslm.study.catalog import KINDS
from vslm.results.folder import RunFolder
from vslm.runs.run import run_job
job = from_plain(json.loads(Path(sys.argv[1]).read_text()), KINDS)
run_job(job, Path(sys.argv[2]), lambda message: time.sleep(0.002), checkpoint_seconds=0.0)
"""


def _without_clock(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in ("seconds", "tokens_per_second")} for row in rows]


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_bits(tmp_path: Path) -> None:
    """SIGKILL at whatever step it is at, twice; then weights, arrays and measures are those of a run left alone."""
    job = job_for(tmp_path)
    run_job(job, tmp_path / "whole", lambda message: None)
    write_json(tmp_path / "job.json", to_plain(job))
    broken = tmp_path / "broken"
    for num_checkpoints_seen in (1, 2):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "job.json"), str(broken)])
        seen: set[str] = set()
        while len(seen) < 7 * num_checkpoints_seen and process.poll() is None:
            seen |= {path.name for path in (broken / "checkpoints").glob("*.json")}
            time.sleep(0.001)
        process.kill()
        process.wait()
        assert not (broken / "done.json").exists(), "it was over before it was killed"
    run_job(job, broken, lambda message: None)
    kept = [path.relative_to(tmp_path / "whole") for path in sorted((tmp_path / "whole" / "weights").iterdir())]
    assert [path.stem for path in kept] == [f"step{step:09d}" for step in (0, 1, 4, 15)]  # and 61, which is the last
    assert [path.name for path in sorted((broken / "weights").iterdir())] == [path.name for path in kept]
    for name in ("weights.safetensors", *kept):
        whole, resumed = load_file(tmp_path / "whole" / name), load_file(broken / name)
        assert whole.keys() == resumed.keys()
        assert all(np.array_equal(whole[key], resumed[key]) for key in whole)
    with np.load(tmp_path / "whole" / "arrays.npz") as whole, np.load(broken / "arrays.npz") as resumed:
        assert all(np.array_equal(whole[key], resumed[key], equal_nan=True) for key in whole.files)
    rows = [_without_clock(read_rows(folder / "measures.jsonl")) for folder in (tmp_path / "whole", broken)]
    assert rows[0] == rows[1]
    assert (tmp_path / "whole" / "sample.txt").read_text() == (broken / "sample.txt").read_text()


def test_measures_change_nothing_and_are_recorded_under_their_names(tmp_path: Path) -> None:
    """Bitwise the same weights and losses as without; steps first in every array; the averaged weights are measured."""
    with_them, without = tmp_path / "with", tmp_path / "without"
    run_job(job_for(tmp_path), with_them, lambda message: None)
    run_job(job_for(tmp_path, measures=()), without, lambda message: None)
    assert (with_them / "weights.safetensors").read_bytes() == (without / "weights.safetensors").read_bytes()
    with np.load(with_them / "arrays.npz") as mine, np.load(without / "arrays.npz") as its:
        assert all(np.array_equal(mine[name], its[name], equal_nan=True) for name in its.files)
        others = set(mine.files) - set(its.files)
        assert {name.split(".")[0] for name in others} == {measure.recorded_as for measure in OTHERS}
        for measure in OTHERS:
            steps = mine[f"{measure.recorded_as}.steps_S"].tolist()
            assert steps == measure.steps(STEPS)
            names = [name for name in others if name.startswith(f"{measure.recorded_as}.")]
            assert all(len(mine[name]) == len(steps) for name in names)
        weights = load_file(with_them / "weights.safetensors")
        tracked = mine["parameters.blocks.1.attention_norm.weight_SN"]
        assert np.array_equal(tracked[0], np.ones(24))
        assert np.array_equal(tracked[-1], weights["blocks.1.attention_norm.weight"])
        loss_SL = mine["logit_lens.loss_nats_SL"]
        assert loss_SL.shape == (len(OTHERS[1].steps(STEPS)), 1 + 2)
        assert abs(loss_SL[0] - np.log(300)).max() < 0.2


def test_a_torn_checkpoint_is_named_and_the_one_before_is_used(tmp_path: Path) -> None:
    """A flipped byte in the latest checkpoint is found by its checksum."""
    job = job_for(tmp_path, steps=11)
    run_job(job, tmp_path / "run", lambda message: None, checkpoint_seconds=0.0)
    weights = (tmp_path / "run" / "weights.safetensors").read_bytes()
    (tmp_path / "run" / "done.json").unlink()
    latest = max((tmp_path / "run" / "checkpoints").glob("*.safetensors"))
    content = bytearray(latest.read_bytes())
    content[-1] ^= 1
    latest.write_bytes(bytes(content))
    said: list[str] = []
    run_job(job, tmp_path / "run", lambda message: said.append(message.get("say", "")))
    assert any("torn checkpoint" in text and latest.name in text for text in said)
    assert any("step 10" in text for text in said)
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == weights


def test_a_run_that_diverges_is_done_and_says_at_which_step(tmp_path: Path) -> None:
    """Everything up to there is kept."""
    done = run_job(job_for(tmp_path, learning_rate=1e30, dropout=0.0), tmp_path / "run", lambda message: None)
    assert done.status == "diverged"
    assert done.val_loss is None
    assert 1 < (done.diverged_step or 0) < STEPS
    assert RunEnd.from_plain(read_json(tmp_path / "run" / "done.json")).diverged_step == done.diverged_step
    assert read_rows(tmp_path / "run" / "measures.jsonl")


@pytest.mark.parametrize(("split", "other"), [("select", "val"), ("val", "select")])
def test_losses_are_called_by_the_split_that_they_are_of(tmp_path: Path, split: str, other: str) -> None:
    """In rows, arrays and the end of a run, and in its checkpoints: nothing is called by the other one."""
    job = dataclasses.replace(job_for(tmp_path, measures=(), steps=7), split=split)  # type: ignore[arg-type]
    done = run_job(job, tmp_path / "run", lambda message: None, checkpoint_seconds=0.0)
    run = RunFolder(tmp_path / "run", job.arm, job.data_seed)
    losses = run.arrays[f"final_{split}_loss_nats_T"]
    assert getattr(done, f"{split}_loss") == run.measures[-1][f"{split}_loss"] == losses.mean()
    checkpoint = load_checkpoint(run.path / "checkpoints", print)
    assert checkpoint is not None
    assert list(checkpoint.plain["taken"]) == [f"{'select_' if split == 'select' else ''}loss_by_position"]
    names = [*run.arrays, *done.plain(), *checkpoint.tensors, *(name for row in run.measures for name in row)]
    assert any(split in name for name in names)
    assert not [name for name in names if name.startswith((other, f"final_{other}", f"looks.{other}"))]


def test_a_divergence_that_a_look_sees_first_is_one_too(tmp_path: Path) -> None:
    """The update of a step that is looked at: no batch has shown it yet, and no record can hold what the look gave."""
    job = vary(job_for(tmp_path, learning_rate=1e30, dropout=0.0), {"experiment.measures.0.num_evaluations": 2 * STEPS})
    done = run_job(job, tmp_path / "run", lambda message: None)
    assert done.status == "diverged"
    rows = read_rows(tmp_path / "run" / "measures.jsonl")
    assert [row["step"] for row in rows] == list(range(done.diverged_step or 0))


def test_checkpoints_of_another_run_are_not_gone_on_with(tmp_path: Path) -> None:
    """Its weights under a new record would be a result that nobody trained; another stage of a run is the same run."""
    job, other = (job_for(tmp_path, learning_rate=rate, measures=(), steps=7) for rate in (0.01, 0.02))
    run_job(other, tmp_path / "alone", lambda message: None)
    run_job(job, tmp_path / "run", lambda message: None)
    said: list[str] = []
    run_job(other, tmp_path / "run", lambda message: said.append(message.get("say", "")))
    assert any("of another run; it begins anew" in text for text in said)
    weights = [(tmp_path / folder / "weights.safetensors").read_bytes() for folder in ("alone", "run")]
    assert weights[0] == weights[1]
    longer = vary(other, {"stages_tokens": (*other.stages_tokens, CONTEXT_TOKENS * 7)})
    said.clear()
    run_job(longer, tmp_path / "run", lambda message: said.append(message.get("say", "")))
    assert any("going on at step 7" in text for text in said)


def test_a_job_is_its_record(tmp_path: Path) -> None:
    """Written down and read back it is equal, and so is its fingerprint."""
    job = job_for(tmp_path)
    again = from_plain(to_plain(job), KINDS)
    assert again == job
    assert again.fingerprint == job.fingerprint


def test_a_done_run_is_not_run_again(tmp_path: Path) -> None:
    """The same record in the same folder is already there."""
    job = job_for(tmp_path, steps=7)
    first = run_job(job, tmp_path / "run", lambda message: None)
    assert run_job(job, tmp_path / "run", lambda message: pytest.fail("it trained")) == first
