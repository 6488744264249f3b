"""Studies with objectives, and sources that say what counts, from the declaration to the record."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vslm.results.files import read_arrays, read_json, read_rows
from vslm.results.folder import StudyFolder

pytestmark = pytest.mark.usefixtures("in_process")
PAGE = Path(__file__).parents[2] / "docs" / "adding-an-objective.md"
ANSWERS = '''
from dataclasses import dataclass

from vslm import Document, Scored, Source, Tokenizer
from vslm import Budget, Characters, Experiment, LossByPosition, Primary, Study, uniform, vary

@dataclass(frozen=True, kw_only=True)
class Copies(Source):
    """Five letters, and the same letters again, which alone count."""

    tokenizer: Tokenizer = Characters()
    counts: bool = True

    def documents(self):
        for number in range(7**3):
            text = "".join("abcdefg"[number // 7**i % 7] for i in range(3)) * 2
            yield Document(str(number), text, (Scored(3, 6),) if self.counts else None)

    def describe(self):
        return "copies"

full = Experiment(
    model=uniform(depth=1, width=16, heads=2, context_tokens=14),
    data=Copies(),
    budget=Budget(tokens=14 * 11 * 7),
    batch_tokens=14 * 11,
    measures=(LossByPosition(num_evaluations=3, num_tokens=140, num_final_tokens=280),),
)
STUDY = Study(
    question="?", baseline="full", seeds=1, primary=Primary("val_loss"), pilot=None,
    arms={"full": full, "parts": vary(full, {"accumulation": 11})},
)
'''


def test_what_counts_alone_is_in_every_loss(place: Path, vslm: Callable) -> None:
    """In parts as at once; positions at which nothing counts have no loss, and the page shows the others."""
    (place / "study.py").write_text(ANSWERS, encoding="utf-8")
    said = vslm("run", "study.py", "--out", "runs/s", "--precision", "fp32")
    assert said.code == 0, said.err
    folder = StudyFolder(Path("runs/s"))
    arrays = {arm: read_arrays(folder.run(arm, 0).path / "arrays.npz") for arm in ("full", "parts")}
    final_T, weight_T = (arrays["full"][f"final_val_{name}_T"] for name in ("loss_nats", "weight"))
    assert (np.isnan(final_T) == (weight_T == 0)).all()
    assert 0 < (weight_T > 0).sum() <= 14
    done = folder.run("full", 0).done
    assert done.val_loss == pytest.approx(np.nansum(final_T * weight_T) / weight_T.sum())
    rows = read_rows(folder.run("full", 0).path / "measures.jsonl")
    assert rows[-1]["val_loss"] == done.val_loss
    assert all(np.isfinite(row["train_loss"]) for row in rows[1:])
    for name, array in arrays["full"].items():
        np.testing.assert_allclose(arrays["parts"][name], array, rtol=2e-3, err_msg=name)
    assert folder.plain_verdict["baseline_per_seed"]["0"] == pytest.approx(done.val_loss)
    row = folder.study.plain()["arms"]["full"]
    assert row["bytes_per_token"] == 1.0  # every letter that counts is a byte; separators do not count
    assert vslm("report", "runs/s").code == 0
    assert "full" in Path("runs/s/report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_all_of_a_text_is_another_corpus(place: Path, vslm: Callable) -> None:
    """The same letters of which all count; the losses are others."""
    losses = []
    for counts in (True, False):
        (place / "study.py").write_text(ANSWERS.replace("data=Copies()", f"data=Copies(counts={counts})"))
        assert vslm("run", "study.py", "--out", f"runs/{counts}", "--precision", "fp32").code == 0
        losses.append(StudyFolder(Path(f"runs/{counts}")).run("full", 0).done.val_loss)
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_the_study_on_the_page_runs(place: Path, vslm: Callable) -> None:
    """As it stands there, on a smaller budget; its objective is tried before anything is trained."""
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)[0]
    (place / "study.py").write_text(code.replace("vocabulary=512", "vocabulary=270"), encoding="utf-8")
    said = vslm("run", "study.py", "--seeds", "1", "--tokens", "5000", "--precision", "fp32", "--early")
    assert said.code == 0, said.err
    folder = StudyFolder(Path("runs/study"))
    assert folder.study.plain()["arms"]["smooth"]["differences"][0][0] == "objective"
    losses = {arm: folder.run(arm, 0).done.val_loss for arm in ("plain", "smooth")}
    assert losses["plain"] != losses["smooth"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("return Lowered(lowered, loss_BT)", "return lowered", "returned"),
        ("return Lowered(lowered, loss_BT)", "return Lowered(loss_BT, loss_BT)", "a number with a gradient"),
        ("return Lowered(lowered, loss_BT)", "return Lowered(lowered, loss_BT.mean(0))", "the loss of every target"),
        ("self.share * batch.mean(even_BT)", "self.shar * batch.mean(even_BT)", "study.py:"),
    ],
)
def test_an_objective_that_returns_something_else_is_told_before_any_run(
    place: Path, vslm: Callable, old: str, new: str, words: str
) -> None:
    """With class or file and line."""
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)[0]
    assert old in code
    (place / "study.py").write_text(code.replace("vocabulary=512", "vocabulary=270").replace(old, new))
    said = vslm("plan", "study.py")
    assert (said.code, words in said.err, "Traceback" in said.err) == (2, True, False), said.err


def test_a_student_is_taught_by_a_finished_run(place: Path, vslm: Callable) -> None:
    """Its record names the teacher's weights; other weights there are refused, and a folder that is no run."""
    text = (place / "study.py").read_text(encoding="utf-8")
    assert vslm("run", "study.py", "--seeds", "1", "--precision", "fp32", "--workers", "1", "--out", "runs/t").code == 0
    taught = text.replace(
        '"short": vary(full, {"model.blocks.*.attention.window_tokens": 3})',
        '"taught": vary(full, {"objective": Distillation(teacher="runs/t/full/seed0", weight=1.0)})',
    ).replace("AdamW, Budget", "AdamW, Budget, Distillation")
    assert taught != text
    (place / "study.py").write_text(taught, encoding="utf-8")
    run = ("run", "study.py", "--seeds", "1", "--precision", "fp32", "--workers", "1", "--out", "runs/s")
    said = vslm(*run)
    assert said.code == 0, said.err
    folder = StudyFolder(Path("runs/s"))
    assert folder.run("taught", 0).done.val_loss != folder.run("full", 0).done.val_loss
    record = read_json(folder.run("taught", 0).path / "experiment.json")["job"]
    assert len(record["objective_sha256"]) == 1
    weights, other = Path("runs/t/full/seed0/weights.safetensors"), Path("runs/t/short/seed0/weights.safetensors")
    weights.write_bytes(other.read_bytes())
    said = vslm(*run)
    assert said.code == 2
    assert "arms.taught.objective" in said.err
    (place / "study.py").write_text(taught.replace("runs/t/full/seed0", "runs/t"), encoding="utf-8")
    said = vslm("plan", "study.py")
    assert (said.code, "a study, not one run of it" in said.err) == (2, True)


def test_arms_that_score_other_tokens_are_not_compared(place: Path, vslm: Callable) -> None:
    """The same text, of which other targets count: a difference of such losses would mean nothing."""
    other = ANSWERS.replace('{"accumulation": 11}', '{"data.counts": False}')
    (place / "study.py").write_text(other, encoding="utf-8")
    said = vslm("plan", "study.py")
    assert said.code == 2
    assert "arms.parts.data: other tokens of the validation text count than those of 'full'" in said.err


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("yield Document(str(number), text, Scored(3, 6))", "must be an iterable"),
        ("yield Document(str(number))", "missing 1 required positional argument: 'text'"),
        ('yield Document(str(number), text, ((text.index("z"), 6),))', "ValueError: substring not found"),
    ],
)
def test_a_mistake_in_documents_is_said_with_its_line(place: Path, vslm: Callable, written: str, words: str) -> None:
    """In one message, with what a document is."""
    line = "yield Document(str(number), text, (Scored(3, 6),) if self.counts else None)"
    assert line in ANSWERS
    (place / "study.py").write_text(ANSWERS.replace(line, written), encoding="utf-8")
    said = vslm("plan", "study.py")
    assert said.code == 2
    assert "Traceback" not in said.err
    assert re.search(r"study.py:17: Copies gives no documents: ", said.err), said.err
    assert words in said.err
