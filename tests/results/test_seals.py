"""Checksums tell damage; what has none counts as it did."""

from pathlib import Path

import numpy as np
import pytest

from vslm.core.errors import ResultError
from vslm.results.files import read_arrays, read_json, write_arrays, write_json, write_rows, write_text
from vslm.results.folder import RunFolder, StudyFolder
from vslm.results.seals import FILES, checksums, digest_of, sealed, was_changed

STUDY = {
    "format": 1,
    "question": "Which?",
    "baseline": "a",
    "arms": {"a": {"num_parameters": 7, "bytes_per_token": 2.5, "stages_tokens": [101], "runs": {"0": "f"}}},
    "seeds": [0],
    "primary": {"measure": "val_loss", "smallest_effect": 0.01, "positions": None},
    "plan": {"looks": [2, 3], "errors": [0.015, 0.03], "reserve": 0.005},
    "settings": {"workers": 1},
}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run that ended, with its checksums."""
    path = tmp_path / "study" / "a" / "seed0"
    write_arrays(path / "arrays.npz", {"final_val_loss_nats_T": np.array([2.0, 3.0])})
    write_rows(path / "measures.jsonl", [{"step": 0}, {"step": 3}])
    write_text(path / "weights.safetensors", "weights")
    done = {"status": "done", "fingerprint": "f", "val_loss": 2.5}
    write_json(path / "done.json", sealed({**done, FILES: checksums(path)}))
    write_json(path.parents[1] / "study.json", sealed(STUDY))
    return RunFolder(path, "a", 0)


def _flip(path: Path, place: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_whole_run_counts(run: RunFolder) -> None:
    """Also without weights, as a packed folder has none; but not under another name."""
    assert run.ended_whole_as("f", pytest.fail) is not None
    (run.path / "weights.safetensors").unlink()
    again = RunFolder(run.path, "a", 0)
    assert again.ended_whole_as("f", pytest.fail) is not None
    assert again.ended_as("g") is None


@pytest.mark.parametrize(("name", "place"), [("arrays.npz", 200), ("measures.jsonl", -3)])
def test_one_bit_of_its_numbers_and_a_run_does_not_count(run: RunFolder, name: str, place: int) -> None:
    """Whatever the file could still be read as."""
    _flip(run.path / name, place)
    assert run.ended_as("f") is None
    assert run.damage == f"{name} is not as it was written"
    (run.path / name).unlink()
    assert RunFolder(run.path, "a", 0).damage == f"{name} is missing"


def test_an_edited_end_does_not_count(run: RunFolder) -> None:
    """Its own digest says so."""
    path = run.path / "done.json"
    write_json(path, {**read_json(path), "val_loss": 2.4})
    assert run.damage == "done.json is not as it was written"


def test_damaged_weights_cost_no_numbers_and_are_made_again(run: RunFolder) -> None:
    """The run counts in a verdict; who runs the study is told that it is made again."""
    _flip(run.path / "weights.safetensors")
    said: list[str] = []
    assert run.ended_as("f") is not None
    assert run.ended_whole_as("f", said.append) is None
    assert said == ["a seed 0: weights.safetensors is not as it was written; the run is made again"]


def test_without_checksums_a_run_counts_as_it_did(run: RunFolder) -> None:
    """As runs were left before there were any: nothing tells whether they are whole."""
    write_json(run.path / "done.json", {"status": "done", "fingerprint": "f", "val_loss": 2.4})
    assert run.ended_whole_as("f", pytest.fail) is not None


def test_a_digest_is_of_what_a_record_holds() -> None:
    """Not of the order of its keys, and of no digest."""
    record = sealed({"b": [1, 2.5, None], "a": {"x": "é"}})
    assert not was_changed(record)
    assert not was_changed(dict(reversed(record.items())))
    assert was_changed({**record, "b": [1, 2.5]})
    assert not was_changed({"b": 1})


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("plan.errors", [0.5, 0.5], "at most 0.05 in all"),
        ("plan.errors", [0.03], "as many errors as looks"),
        ("plan.errors", [0.0, 0.03], "plan.errors holds a number (0.0)"),
        ("plan.errors", "0.05", "plan.errors is a text ('0.05')"),
        ("plan.looks", [3, 2], "the looks rising"),
        ("plan.reserve", -0.1, "plan.reserve is a number (-0.1)"),
        ("seeds", [0, 0], "each is named once"),
        ("seeds", [10**400], "seeds holds a number (very many digits)"),
        ("seeds", [-1], "seeds holds a number (-1)"),
        ("primary.smallest_effect", -0.01, "primary.smallest_effect is a number"),
        ("primary.measure", "loss", "val_loss or val_bpb is needed"),
        ("primary.positions", [5, 3], "0 <= first < end"),
        ("arms.a.stages_tokens", [], "arms.a.stages_tokens is a list"),
        ("arms.a.bytes_per_token", 0, "above 0 is needed"),
        ("arms.a.runs", ["f"], "arms.a.runs is a list"),
        ("arms.a", 7, "arms.a is a number (7)"),
        ("settings.workers", True, "settings.workers is true or false"),
        ("baseline", "b", "the baseline 'b' is no arm"),
        ("plan", None, "plan is nothing"),
    ],
)
def test_a_record_that_was_edited_is_refused_at_its_path(run: RunFolder, path: str, value: object, words: str) -> None:
    """Before anything is judged by it."""
    record = read_json(run.path.parents[1] / "study.json")
    *parents, last = path.split(".")
    place = record
    for name in parents:
        place = place[name]
    place[last] = value
    write_json(run.path.parents[1] / "study.json", record)
    with pytest.raises(ResultError) as refused:
        StudyFolder(run.path.parents[1]).study_to("judge")
    assert words in str(refused.value)
    assert str(run.path.parents[1] / "study.json") in str(refused.value)


def test_what_is_needed_to_judge_must_be_there(run: RunFolder) -> None:
    """A page shows it as missing; a verdict would not be one."""
    record = read_json(run.path.parents[1] / "study.json")
    del record["plan"]["errors"]
    write_json(run.path.parents[1] / "study.json", record)
    folder = StudyFolder(run.path.parents[1])
    assert folder.study.plain()["question"] == "Which?"
    assert "changed after vslm wrote it" in str(folder.record_problem)
    with pytest.raises(ResultError, match=r"plan\.errors is not there"):
        folder.study_to("judge")


def test_a_verdict_knows_when_it_was_edited_and_of_which_runs_it_is(run: RunFolder) -> None:
    """Edited, it is refused; of other runs than are there, that is said."""
    place = run.path.parents[1]
    read_from = StudyFolder(place).checksums_of_runs()
    assert list(read_from) == ["a/seed0"]
    write_json(place / "verdict.json", {"arms": {}})
    write_json(place / ".verdict.json", {"digests": [digest_of({"arms": {}})], "read_from": read_from})
    assert StudyFolder(place).verdict_problem is None
    write_json(run.path / "done.json", {"status": "done", "fingerprint": "f", "val_loss": 2.5})
    assert "a/seed0 is not the run that it was read from" in str(StudyFolder(place).verdict_problem)
    write_json(place / "verdict.json", {"arms": {"b": {"verdict": "better"}}})
    with pytest.raises(ResultError, match="changed after it was written"):
        _ = StudyFolder(place).verdict


def test_arrays_that_claim_more_than_their_file_holds_take_no_memory(tmp_path: Path) -> None:
    """A header is read, not believed."""
    write_arrays(tmp_path / "x.npz", {"x": np.zeros(101)})
    content = (tmp_path / "x.npz").read_bytes()
    claims = content.replace(b"'shape': (101,), ", b"'shape': (10**9,),", 1).replace(b"(10**9,)", b"(9999999,)"[:8], 1)
    (tmp_path / "x.npz").write_bytes(claims)
    with pytest.raises(ResultError, match="torn"):
        read_arrays(tmp_path / "x.npz")


@pytest.mark.parametrize("text", ["[NaN]", '{"a": Infinity}', "[" * 300 + "]" * 300])
def test_what_is_no_json_here_is_torn(tmp_path: Path, text: str) -> None:
    """NaN is never written; brackets as deep as that would end who walks through them."""
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ResultError, match="torn"):
        read_json(tmp_path / "a.json")
