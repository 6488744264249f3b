"""Studies that forget beside their own text: further corpora from the declaration to the record."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vslm.core.specs import from_plain
from vslm.data.corpus import home, open_corpus
from vslm.results.files import read_arrays, read_json, read_rows
from vslm.results.folder import StudyFolder
from vslm.runs.objects import build_objects
from vslm.runs.parents import ParentRuns
from vslm.study.catalog import KINDS
from vslm.study.job import Job
from vslm.training.loop import Training

pytestmark = pytest.mark.usefixtures("in_process")
WORLDS = """
from vslm import *

UNIVERSE = Universe(people=19, relations=("lives_in", "job"), num_values=5, first_names=16, last_names=16)
ONE_HOP = Mix(one_hop=1, inverse=0, two_hop=0, comparison=0, negation=0, counting=0, unknown=0)
worlds = Worlds(
    universe=UNIVERSE, facts=(2,), mix=ONE_HOP, questions=2, counts="answer", diversity="single", num_documents=307,
    context_tokens=53,
)
asked = vary(worlds, {"world": "fixed", "context_share": 0.0})
read = Experiment(
    model=uniform(depth=1, width=16, heads=2, context_tokens=53),
    data=worlds,
    budget=Budget(tokens=53 * 6 * 7),
    batch_tokens=53 * 6,
    measures=(LossByPosition(num_evaluations=3, num_tokens=530, num_final_tokens=530),),
)
"""
STUDY = (
    WORLDS
    + """
knows, read = read, vary(read, {"start_from": Arm("knows")})
kept = Retain(source=Text("corpus.txt"), weight=0.3)
STUDY = Study(
    question="?", baseline="read", seeds=1, primary=Primary("val_loss"), pilot=None, trunks={"knows": knows},
    arms={
        "read": read,
        "npo": vary(read, {"objective": Forget(forget=asked, by=NPO(), retain=kept)}),
        "parts": vary(read, {"objective": Forget(forget=asked, by=NPO(), retain=kept), "accumulation": 3}),
        "prior": vary(read, {"objective": Forget(forget=asked, by=MaxEntropy(), weight=3.0)}),
    },
)
"""
)
GATED = (
    WORLDS
    + """
opened = vary(worlds, {"world": "fixed", "own_rows": "open"})
closed = vary(opened, {"own_rows": "closed"})
gated = vary(read, {"data": opened, "objective": GapGated(closed=closed)})
STUDY = Study(
    question="?", baseline="gated", seeds=1, primary=Primary("val_loss"), pilot=None, arms={"gated": gated},
)
"""
)
RUN = ("--seeds", "1", "--precision", "fp32", "--workers", "1")


def _run(place: Path, vslm: Callable, text: str, name: str) -> StudyFolder:
    (place / "study.py").write_text(text, encoding="utf-8")
    said = vslm("run", "study.py", *RUN, "--out", f"runs/{name}")
    assert said.code == 0, said.err
    return StudyFolder(Path(f"runs/{name}"))


def _job(folder: StudyFolder, arm: str) -> Job:
    job = from_plain(read_json(folder.run(arm, 0).path / "experiment.json")["job"], KINDS)
    assert isinstance(job, Job)
    return job


def test_forgetting_beside_a_text_is_recorded_goes_on_and_adds_up_in_parts(place: Path, vslm: Callable) -> None:
    """What is read beside names the run; a run that was stopped ends with the same bits; parts are the whole."""
    folder = _run(place, vslm, STUDY, "s")
    job, record = _job(folder, "npo"), folder.study.plain()
    assert job.objective_corpora is not None
    assert [len(one) for one in job.objective_corpora] == [12, 12]
    assert set(job.objective_corpora) < set(record["corpora"])
    assert "objective_corpora" not in record["arms"]["read"]
    assert dataclasses.replace(job, objective_corpora=("x", "y")).fingerprint != job.fingerprint

    rows = read_rows(folder.run("npo", 0).path / "measures.jsonl")
    assert rows[0]["objective.forget"] is None  # no step was taken
    assert all(row["objective.forget"] > 0 and row["objective.retain"] >= 0 for row in rows[1:])
    declared = folder.run("npo", 0).done.declared["objective"]
    assert set(declared["numbers"]) >= {"forget", "retain"}
    whole, parts = (read_arrays(folder.run(arm, 0).path / "arrays.npz") for arm in ("npo", "parts"))
    for name, array in whole.items():
        np.testing.assert_allclose(parts[name], array, rtol=5e-3, atol=1e-4, err_msg=name)
    losses = {arm: folder.run(arm, 0).done.val_loss for arm in ("read", "npo", "prior")}
    assert len(set(losses.values())) == 3

    corpus, path = open_corpus(job.corpus), folder.run("npo", 0).path
    parents = ParentRuns.of(job, path, corpus.vocabulary)
    begun, *trainings = [Training(build_objects(job, corpus, parents=parents)) for _ in range(3)]
    for _ in range(4):
        begun.train_step()
    trainings[1].restore(begun.checkpoint())
    for training in trainings:
        while training.step < 7:
            training.train_step()
    noted = [training.objects.noted.take(7) for training in trainings]  # type: ignore[union-attr]
    assert noted[0] == noted[1]
    for one, other in zip(*(training.objects.model.parameters() for training in trainings), strict=True):
        assert torch.equal(one, other)

    said = vslm("plan", "study.py")
    assert said.code == 0, said.err
    assert "its forget reads questions about the fixed world" in said.out, said.out
    assert "not counted in FLOPs" in said.out
    assert vslm("report", "runs/s").code == 0
    assert "What the objective lowers" in Path("runs/s/report.html").read_text(encoding="utf-8")

    kept = home() / "corpora" / job.objective_corpora[1] / "train.bin"
    whole_bytes = kept.read_bytes()
    kept.write_bytes(whole_bytes[:-2])
    assert "the corpus is built again" in vslm("run", "study.py", *RUN, "--out", "runs/s").out
    assert kept.read_bytes() == whole_bytes
    (place / "corpus.txt").unlink()
    said = vslm("run", "study.py", *RUN, "--out", "runs/s")
    assert (said.code, "the corpus that was prepared from it before is used" in said.out) == (0, True), said
    (place / "corpus.txt").write_text("words that are others " * 900 + "and again")
    said = vslm("run", "study.py", *RUN, "--out", "runs/s")
    assert said.code == 2
    assert "a corpus that the objective of arm 'npo' reads has changed" in said.err


def test_open_and_closed_rows_are_of_the_same_targets(place: Path, vslm: Callable) -> None:
    """The gate reads both, row by row, and says what it saw."""
    folder = _run(place, vslm, GATED, "g")
    job = _job(folder, "gated")
    (closed,) = job.objective_corpora or ()
    both = [open_corpus(name) for name in (job.corpus, closed)]
    assert both[0].fingerprint != both[1].fingerprint
    for split in ("train", "val"):
        first, second = (one.split(split) for one in both)
        assert (first.weights == second.weights).all()
        counted = np.asarray(first.weights) > 0
        assert counted.any()
        assert (first.tokens[counted] == second.tokens[counted]).all()
        assert (first.tokens != second.tokens).any()
    last = read_rows(folder.run("gated", 0).path / "measures.jsonl")[-1]
    assert 0 <= last["objective.gate"] < 1
    assert last["objective.open_nats"] > 0
    assert last["objective.closed_nats"] > 0


NO_START = STUDY.replace('knows, read = read, vary(read, {"start_from": Arm("knows")})', "")
NO_START = NO_START.replace('trunks={"knows": knows},', "")
ASKS = "Forget(forget=asked, by=NPO(), retain=kept)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            NO_START.replace(ASKS, "Forget(forget=vary(asked, {'tokenizer': BPE(vocabulary=300)}), by=MaxEntropy())"),
            "objective.forget: tokenizer: its tokenizer",
        ),
        (NO_START.replace(ASKS, 'Forget(forget=Text("corpus.txt"), by=MaxEntropy())'), "every token counts"),
        (STUDY.replace('Text("corpus.txt")', 'Text("empty.txt")'), "objective.retain.source: "),
        (NO_START, "reads the run that training starts from"),
    ],
)
def test_what_does_not_serve_is_said_before_any_run(place: Path, vslm: Callable, text: str, words: str) -> None:
    """Other ids, nothing that is to be forgotten, nothing that is to be kept, no start."""
    (place / "empty.txt").write_text("")
    (place / "study.py").write_text(text, encoding="utf-8")
    said = vslm("plan", "study.py")
    assert (said.code, words in said.err, "Traceback" in said.err) == (2, True, False), said.err


def test_targets_of_other_rows_are_refused(place: Path, vslm: Callable) -> None:
    """Another seed asks other questions."""
    (place / "study.py").write_text(GATED.replace('"own_rows": "closed"', '"own_rows": "closed", "seed": 1'))
    said = vslm("plan", "study.py")
    assert said.code == 2
    assert "closed: its targets are not those of the data, row by row" in said.err
