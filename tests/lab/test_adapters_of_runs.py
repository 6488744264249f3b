"""Runs that train an adapter: what they store, that they go on to the bit, what is refused, and where it is put on."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_run import CONTEXT_TOKENS, STEPS, job_for

from vslm.after.typed_text import TextReader
from vslm.core.errors import ResultError
from vslm.core.specs import fingerprint, from_plain, to_plain
from vslm.data.corpus import Corpus, open_corpus
from vslm.measure.token_table import token_table
from vslm.models.adapters.lora import LoRA
from vslm.results.files import read_json, sha256
from vslm.results.folder import StudyFolder
from vslm.runs.adapted import put_on
from vslm.runs.objects import build_objects
from vslm.runs.run import run_job
from vslm.runs.stored_run import StoredRun
from vslm.study.catalog import KINDS
from vslm.study.job import Job, start_checksum
from vslm.training.loop import Training

LORA = LoRA(rank=3)


def adapted(job: Job, start: Path, adapter: object = LORA, **changes: object) -> Job:
    """The same job, beside the weights of a run."""
    experiment = dataclasses.replace(job.experiment, start_from=str(start), adapter=adapter, **changes)
    return dataclasses.replace(job, experiment=experiment, start_sha256=start_checksum(experiment))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Path, Path]:
    """A finished run, and one of an adapter beside it. Only for reading."""
    place = tmp_path_factory.mktemp("adapted")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VSLM_HOME", str(tmp_path_factory.getbasetemp() / "vslm-home"))
        base = job_for(place, measures=(), dropout=0.0)
        run_job(base, place / "base" / "seed5", lambda message: None)
        job = adapted(base, place / "base" / "seed5")
        run_job(job, place / "lora" / "seed5", lambda message: None)
    return job, place / "base" / "seed5", place / "lora" / "seed5"


def test_what_is_stored_is_the_adapter_alone_and_the_start_is_as_it_was(made: tuple[Job, Path, Path]) -> None:
    """Names of its matrices, nothing of the model; the digest of the weights beside which it was trained stands in the
    record, and these were not touched.
    """
    job, start, folder = made
    stored = load_file(folder / "weights.safetensors")
    assert {name.rpartition(".")[2] for name in stored} == {"up", "down"}
    assert sum(t.numel() for t in stored.values()) == job.experiment.num_trained_parameters(300)
    assert any(bool(t.any()) for name, t in stored.items() if name.endswith("up"))
    assert job.start_sha256 == sha256(start / "weights.safetensors")
    assert read_json(folder / "experiment.json")["job"]["start_sha256"] == job.start_sha256
    assert read_json(start / "done.json")["files"]["weights.safetensors"] == job.start_sha256


def test_it_begins_as_the_run_that_it_starts_from_and_learns(made: tuple[Job, Path, Path]) -> None:
    """The first evaluation is that of the finished model, on the same windows; the last is another one."""
    _, start, folder = made
    first, last = (StudyFolder(path.parents[1]).run(path.parent.name, 5).arrays for path in (start, folder))
    base_T, at_start_T = first["val_loss_nats_ST"][-1], last["val_loss_nats_ST"][0]
    assert at_start_T.mean() == pytest.approx(base_T.mean(), abs=0.05)  # of other windows of the same text
    assert last["val_loss_nats_ST"][-1].mean() != at_start_T.mean()
    text = "abcd efgh"
    run, base = StoredRun(folder), StoredRun(start)
    tables = [token_table(model, run.tokenizer, text) for model in (base.model(), run.model(0), run.model())]
    assert tables[0].loss_nats_N[1:].tolist() == tables[1].loss_nats_N[1:].tolist()
    assert tables[0].loss_nats_N[1:].tolist() != tables[2].loss_nats_N[1:].tolist()


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(made: tuple[Job, Path, Path]) -> None:
    """From a checkpoint in the middle, with averaged weights: the adapter of a run left alone."""
    job, _, folder = made
    first, whole = Training(build_objects(job, corpus_of(job))), load_file(folder / "weights.safetensors")
    for _ in range(STEPS // 2):
        first.train_step()
    checkpoint = first.checkpoint()
    assert all(not name.startswith("model.") or name.endswith((".up", ".down")) for name in checkpoint.tensors)
    second = Training(build_objects(job, corpus_of(job)))
    second.restore(checkpoint)
    while second.step < STEPS:
        second.train_step()
    assert second.objects.average is not None
    second.objects.average.swap()
    for name, tensor in second.objects.weights.state_dict().items():
        assert torch.equal(tensor, whole[name]), name


def test_fingerprints_of_before_stay(made: tuple[Job, Path, Path]) -> None:
    """An experiment without an adapter is named as it was before there were any, and old records are read."""
    job, *_ = made
    without = dataclasses.replace(job.experiment, adapter=None)
    plain = to_plain(without)
    del plain["adapter"]
    assert fingerprint(from_plain(plain, KINDS)) == fingerprint(without) != fingerprint(job.experiment)
    assert from_plain(to_plain(job.experiment), KINDS) == job.experiment


def test_an_adapter_is_put_on_a_copy_of_its_run_and_on_no_other(made: tuple[Job, Path, Path], tmp_path: Path) -> None:
    """Wherever that lies; two add up; a run with other weights, one without an adapter and a start that is gone are
    said in words.
    """
    job, start, folder = made
    copy = tmp_path / "elsewhere" / "seed5"
    shutil.copytree(start, copy)
    tokens_BT = torch.arange(2 * CONTEXT_TOKENS).reshape(2, -1)
    run = StoredRun(copy)
    model = run.model()
    before = model(tokens_BT)
    (attachment,) = put_on(model, run, [folder])
    expected = StoredRun(folder).model()(tokens_BT)
    assert torch.equal(model(tokens_BT), expected)
    attachment.remove()
    assert torch.equal(model(tokens_BT), before)
    twice = put_on(model, run, [folder, folder])
    own = StoredRun(folder).model()
    put_on(own, StoredRun(folder), [folder])  # one that is on already, and a sibling
    torch.testing.assert_close(model(tokens_BT), own(tokens_BT))
    assert not torch.allclose(model(tokens_BT), expected)
    for one in twice:
        one.remove()
    with pytest.raises(ResultError, match="this run trained a whole model; an adapter is needed"):
        put_on(model, run, [start])
    other = dataclasses.replace(job, experiment=dataclasses.replace(job.experiment, adapter=None), init_seed=4)
    run_job(other, tmp_path / "other" / "seed5", lambda message: None)
    with pytest.raises(ResultError, match=r"trained beside other weights .*elsewhere|trained beside other weights"):
        put_on(StoredRun(tmp_path / "other" / "seed5").model(), StoredRun(tmp_path / "other" / "seed5"), [folder])
    moved = tmp_path / "moved" / "seed5"
    shutil.copytree(folder, moved)
    record = read_json(moved / "experiment.json")
    record["job"]["experiment"]["start_from"] = str(tmp_path / "gone")
    (moved / "experiment.json").write_text(json.dumps(record))
    (moved / "done.json").unlink()
    with pytest.raises(ResultError, match=r"which are not there; .*vslm sample RUN --adapter"):
        StoredRun(moved).model(0)
    assert torch.equal(
        StoredRun(moved).adapter(model, 15).state_dict()[NAME], StoredRun(folder).adapter(model, 15).state_dict()[NAME]
    )


def test_weights_that_were_changed_are_refused(made: tuple[Job, Path, Path], tmp_path: Path) -> None:
    """When a run is opened or goes on: an adapter beside other weights means nothing."""
    job, start, _ = made
    copy = tmp_path / "base" / "seed5"
    shutil.copytree(start, copy)
    moved = adapted(job, copy)
    (copy / "weights.safetensors").write_bytes((start / "weights.safetensors").read_bytes()[:-4] + b"abcd")
    with pytest.raises(ResultError, match="others were chosen"):
        build_objects(moved, corpus_of(job))


def test_training_goes_on_from_merged_weights(made: tuple[Job, Path, Path]) -> None:
    """`start_from` an adapter's run: its model's weights with the change in them."""
    job, _, folder = made
    onward = dataclasses.replace(
        job, experiment=dataclasses.replace(job.experiment, start_from=str(folder), adapter=None)
    )
    onward = dataclasses.replace(onward, start_sha256=start_checksum(onward.experiment))
    model = build_objects(onward, corpus_of(job)).model.eval()
    tokens_BT = torch.arange(2 * CONTEXT_TOKENS).reshape(2, -1)
    torch.testing.assert_close(model(tokens_BT), StoredRun(folder).model()(tokens_BT), rtol=1e-4, atol=1e-5)


NAME = "blocks.0.attention.query.up"
READ = "runs/adapters/read/seed0"


def corpus_of(job: Job) -> Corpus:
    """The corpus of a job."""
    return open_corpus(job.corpus)


STUDY_OF_ADAPTERS = """
from vslm import AdamW, Budget, Cartridge, ContextDistillation, Experiment, LossByPosition, LoRA, Primary, Study, Text
from vslm import uniform, vary

said = "abcd efgh abcd"
small = Experiment(
    model=uniform(depth=1, width=16, heads=2, context_tokens=17),
    data=Text("corpus.txt", vocabulary=270),
    budget=Budget(tokens=17 * 7 * 11),
    batch_tokens=17 * 7,
    optimizer=AdamW(learning_rate=0.01, clip_norm=None),
    measures=(LossByPosition(num_evaluations=3, num_tokens=170, num_final_tokens=340),),
    start_from="runs/study/full/seed0",
    adapter=LoRA(rank=2),
)
STUDY = Study(
    question="Does a larger rank learn more?",
    baseline="small",
    arms={
        "small": small,
        "large": vary(small, {"adapter.rank": 5}),
        "read": vary(small, {
            "adapter": Cartridge(tokens=2, context=said),
            "objective": ContextDistillation(context=said),
            "model.context_tokens": 6,
        }),
    },
    seeds=2,
    primary=Primary("val_loss", smallest_effect=0.01), pilot=None,
)
"""


@pytest.mark.slow
def test_a_study_of_adapters_from_the_command_line(place: Path, vslm: Callable, in_process: list) -> None:
    """Planned with what is trained, run, sampled with several on, read as typed text, compared; what does not fit is
    refused before any compute.
    """
    assert vslm("run", "study.py", "--seeds", "1", "--workers", "1").code == 0
    (place / "adapters.py").write_text(STUDY_OF_ADAPTERS, encoding="utf-8")
    planned = vslm("plan", "adapters.py")
    assert planned.code == 0, planned.err
    assert "8,336 (640 trained)" in planned.out, planned.out
    assert "7,760 (64 trained)" in planned.out, planned.out
    said = vslm("run", "adapters.py", "--seeds", "2", "--workers", "1")
    assert said.code == 0, said.err
    page = (place / "runs" / "adapters" / "report.html").read_text(encoding="utf-8")
    assert "640 trained" in page
    base, adapter = "runs/study/full/seed0", "runs/adapters/small/seed0"
    draws = ("--tokens", "5", "--prompt", "abcd", "--temperature", "0")
    texts = [vslm("sample", *words, *draws).out for words in ((base, "--adapter", adapter), (adapter,))]
    assert texts[0] == texts[1] != ""
    two = vslm("sample", base, "--adapter", adapter, "--adapter", "runs/adapters/large/seed1", *draws)
    assert two.code == 0, two.err
    refused = vslm("sample", "runs/study/short/seed0", "--adapter", adapter, *draws)
    assert refused.code != 0
    assert "trained beside other weights" in refused.err
    refused = vslm("sample", base, "--adapter", base, *draws)
    assert "this run trained a whole model; an adapter is needed" in refused.err
    for words in ((base, "--adapter", READ), (READ,)):
        assert vslm("sample", *words, *draws).out.startswith("abcd")
    three = vslm("sample", base, "--adapter", READ, "--adapter", adapter, "--adapter", READ, *draws)
    assert three.code == 0, three.err
    started = vslm("plan", "adapters.py", "--set", f"arms.small.start_from={READ}", "--set", "arms.small.adapter=None")
    assert "it holds a Cartridge, which cannot be written into weights" in started.err
    _, read, remark = TextReader()(place / adapter, "abcd efgh")
    assert read["steps_S"].tolist()[0] == 0
    assert "step 0 is runs/study/full/seed0, without the adapter" in remark
    assert not (read["loss_nats_SN"][0] == read["loss_nats_SN"][-1]).all()
    compared = vslm("compare", "runs/study/full", "runs/adapters/small")
    assert "starting weights" in compared.out, compared.out
    for change, words in (
        ("arms.small.adapter.parts=('attention.qery',)", "arms.small.adapter.parts: nothing is named 'attention.qery'"),
        ("model.blocks.*.attention.heads=4", "another model than that of runs/study/full/seed0"),
        ("model.context_tokens=18", "as many, or fewer"),
        ("arms.read.adapter.tokens=40", "arms.read.adapter.tokens: 40 tokens of a text, in a context of 6"),
        ("arms.read.adapter=Cartridge(tokens=5, context='ab')", "arms.read.adapter.context: the text has"),
        ("arms.read.model.context_tokens=17", "arms.read.objective.context:"),
        ("arms.read.measures=(LossByPosition(), AttentionDistance())", "AttentionDistance with a Cartridge"),
        ("start_from=FreshStart()", "arms.small.adapter: LoRA on a model with new weights"),
    ):
        said = vslm("plan", "adapters.py", "--set", change)
        assert said.code == 2, change
        assert words in said.err, said.err
