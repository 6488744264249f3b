"""Typed text read with stored weights: the numbers of the model, in words where there are none."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vslm.after.typed_text import TextReader
from vslm.core.errors import DataError, ResultError
from vslm.live.app import App
from vslm.measure.token_table import token_table
from vslm.runs.stored_run import StoredRun


@pytest.fixture
def run(finished: Callable[..., Path]) -> Path:
    """A run that was really trained, for a second."""
    return finished("--seeds", "1", "--out", "runs/s", "--set", "keep_weights=4") / "full" / "seed0"


def test_a_text_has_the_numbers_of_the_stored_models(run: Path) -> None:
    """Of every step whose weights are there, to the bit; through the server it is what the token view draws."""
    text = "abcd efgh <|endoftext|> é"
    tokenizer, said, remark = TextReader()(run, text)
    stored = StoredRun(run)
    assert stored.steps == tuple(said["steps_S"])
    assert len(stored.steps) == 4
    assert "the window slides" in remark
    for s, step in enumerate(stored.steps):
        table = token_table(stored.model(step), tokenizer, text)
        np.testing.assert_array_equal(said["loss_nats_SN"][s], table.loss_nats_N)
        np.testing.assert_array_equal(said["rank_SN"][s], table.rank_N)
        np.testing.assert_array_equal(said["top_ids_SNK"][s], table.top_ids_NK)
    assert said["top_p_SNK"].shape == (4, len(said["ids_N"]), 5)
    assert tokenizer.decode(said["ids_N"]) == text

    app = App(run.parents[2], TextReader())
    body = json.dumps({"text": text, "runs": ["full/seed0", "short/seed0"]}).encode()
    headers = {"Host": "localhost", "Content-Type": "application/json"}
    drawn = json.loads(app.answer("POST", "/api/tokens/s", headers, body).body)
    assert drawn["runs"][0]["pieces"][0]["loss"][-1] == pytest.approx(said["loss_nats_SN"][-1], abs=1e-4)
    assert drawn["runs"][1]["pieces"] != drawn["runs"][0]["pieces"]
    assert None in drawn["texts"][0]["words"].values() or "0" not in drawn["texts"][0]["words"]


def test_a_long_text_slides_and_is_read_after_fewer_steps(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are said; the last step is always among them."""
    monkeypatch.setattr("vslm.after.typed_text._MOST_SCORED", 500)
    _, said, remark = TextReader()(run, "abcd " * 80)
    assert len(said["steps_S"]) < 4
    assert said["steps_S"][-1] == StoredRun(run).steps[-1]
    assert "more than the context of 17" in remark
    assert f"read after {len(said['steps_S'])} of 4 stored steps" in remark


def test_characters_that_the_corpus_never_had_are_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte pairs read them without a word otherwise; where the corpus is not on this machine, nothing is said."""
    reader = TextReader()
    assert "3 tokens never occur in the training text" in reader(run, "ab \u2603")[2]
    assert "never occur" not in reader(run, "abcd efgh")[2]
    monkeypatch.setenv("VSLM_HOME", str(run / "nowhere"))
    assert "3 tokens never occur" in reader(run, "ab \u2603")[2], "kept"
    assert TextReader()(run, "ab \u2603")[2] == ""


def test_what_cannot_be_read_is_said(run: Path) -> None:
    """An empty text, torn weights, none at all; and what is there now counts, not what was open."""
    reader = TextReader()
    with pytest.raises(DataError, match="empty"):
        reader(run, "")
    before = reader(run, "a b")[1]["loss_nats_SN"][-1]
    whole = run / "weights.safetensors"
    whole.write_bytes((run.parents[1] / "short" / "seed0" / "weights.safetensors").read_bytes())
    assert not np.array_equal(reader(run, "a b")[1]["loss_nats_SN"][-1], before)
    whole.write_bytes(b"torn")
    shutil.rmtree(run / "weights")
    with pytest.raises(ResultError, match=r"weights\.safetensors is not as it was written"):
        reader(run, "a b")
    whole.unlink()
    with pytest.raises(ResultError, match="full/seed0: its weights are not stored"):
        reader(run, "a b")


def test_torn_steps_are_left_out_and_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One kept along the way, and the last; where few steps are read, a whole one takes the place of a torn one."""
    steps = StoredRun(run).steps
    StoredRun(run).folder.kept_path(steps[1]).write_bytes(b"torn")
    _, said, remark = TextReader()(run, "a b")
    assert said["steps_S"].tolist() == [steps[0], *steps[2:]]
    assert len(said["loss_nats_SN"]) == 3
    assert remark == f"not read after step {steps[1]}, whose weights are torn"
    (run / "weights.safetensors").write_bytes(b"torn")
    monkeypatch.setattr("vslm.after.typed_text._MOST_SCORED", 1)
    _, said, remark = TextReader()(run, "a b")
    assert said["steps_S"].tolist() == [steps[2]]
    assert f"not read after step {steps[3]}, whose weights are torn" in remark


def test_a_torn_run_stands_beside_the_readings_of_the_others(run: Path) -> None:
    """Through the server: who can read, reads; of who cannot, such as a record without its job, it is said why."""
    (run / "experiment.json").write_text("{}", encoding="utf-8")
    app = App(run.parents[2], TextReader())
    headers = {"Host": "localhost", "Content-Type": "application/json"}
    body = json.dumps({"text": "a b", "runs": ["full/seed0", "short/seed0"]}).encode()
    found = json.loads(app.answer("POST", "/api/tokens/s", headers, body).body)
    assert [one["arm"] for one in found["runs"]] == ["short"]
    assert len(found["problems"]) == 1
    assert found["problems"][0].startswith("full/seed0: ")
    assert "experiment.json: not the record of a run" in found["problems"][0]
