"""`vslm sample --store`, and typed text with and without a store, on a run that was really trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vslm.after.loaded_text import FromStore, LoadedTextReader
from vslm.after.typed_text import TextReader
from vslm.knowledge.store import open_store
from vslm.live.app import App
from vslm.measure.token_table import token_table
from vslm.runs.stored_run import StoredRun

HEADERS = {"Host": "localhost", "Content-Type": "application/json"}


@pytest.fixture
def run(finished: Callable[..., Path], vslm: Callable[..., Any]) -> Path:
    """A run, and a store beside it."""
    folder = finished("--seeds", "1", "--out", "runs/s")
    Path("facts.txt").write_text("a bc\n<|endoftext|>\nd ef\n<|endoftext|>\ngh ab\n", encoding="utf-8")
    assert vslm("store", "build", "facts.txt", "store").code == 0
    return folder / "full" / "seed0"


def test_sample_loads_from_a_store(run: Path, vslm: Callable[..., Any]) -> None:
    """The same draws with something else in front; what was loaded is printed beside the text."""
    asked = ("sample", str(run), "--prompt", "ab cd", "--tokens", "30")
    without = vslm(*asked)
    assert vslm(*asked).out == without.out
    texts, loads = set(), 0
    for how in (("random",), ("states",), ("random", "--every", "9"), ("states", "--when-uncertain", "0")):
        said = vslm(*asked, "--store", "store", "--passages", "1", "--retriever", *how)
        assert said.code == 0, said.err
        assert said.out.startswith("ab cd")
        assert said.err.startswith("vslm: loaded: [")
        assert vslm(*asked, "--store", "store", "--passages", "1", "--retriever", *how).out == said.out
        texts.add(said.out)
        loads += said.err.count("vslm: after ")
    assert without.out not in texts
    assert loads
    assert [*Path("store").glob("states-*")]


def test_what_sample_cannot_load_is_said(run: Path, vslm: Callable[..., Any]) -> None:
    """Without a store, from none, from one that was changed, passages longer than the context."""
    asked = ("sample", str(run), "--prompt", "ab", "--retriever", "random")
    assert "--store: not given; --every and --when-uncertain load from a store" in vslm(*asked, "--every", "3").err
    assert "no such folder" in vslm(*asked, "--store", "none").err
    Path("long.txt").write_text("abcdefgh " * 40, encoding="utf-8")
    assert vslm("store", "build", "long.txt", "long").code == 0
    said = vslm(*asked, "--store", "long")
    assert said.code == 2
    assert "build the store with fewer --passage-tokens" in said.err
    facts = Path("store", "passages.jsonl")
    facts.write_bytes(facts.read_bytes().replace(b"ef", b"eg"))
    assert "its bytes are not those that were written" in vslm(*asked, "--store", "store").err


def test_a_typed_text_is_read_with_and_without(run: Path, vslm: Callable[..., Any]) -> None:
    """Beside each other, on the same tokens; what was loaded for which beginning is said."""
    store = open_store(Path("store"))
    reader = LoadedTextReader(FromStore(store=store, retriever="states", passages=1))
    text = "ab cd\nef"
    tokenizer, arrays, remark = reader(run, text)
    assert remark.startswith("for 'ab cd' loaded: [")
    number = int(remark.partition("[")[2].partition("]")[0])
    front = store.passages[number].text + "\n\n"
    model = StoredRun(run).model()
    before_M = tokenizer.encode(front + "a")[:-1]
    expected = token_table(model, tokenizer, text, before_M=before_M).loss_nats_N
    np.testing.assert_array_equal(arrays["loss_nats_SN"][-1], expected)
    plain = TextReader()(run, text)[1]
    np.testing.assert_array_equal(arrays["ids_N"], plain["ids_N"])
    assert not np.allclose(arrays["loss_nats_SN"][-1], plain["loss_nats_SN"][-1])

    app = App(run.parents[2], TextReader(), read_loaded=reader)
    body = json.dumps({"text": text, "runs": ["full/seed0", "short/seed0"]}).encode()
    drawn = json.loads(app.answer("POST", "/api/tokens/s", HEADERS, body).body)
    assert [one["arm"] for one in drawn["runs"]] == ["full", "full, with the store", "short", "short, with the store"]
    assert {one["text"] for one in drawn["runs"]} == {0}
    assert drawn["runs"][0]["pieces"] != drawn["runs"][1]["pieces"]
    assert drawn["problems"][0].startswith("for 'ab cd' loaded: [")


def test_a_text_with_a_place_for_facts_keeps_its_tokens(run: Path) -> None:
    """`<ctx>` is read as it is; behind it stands what was loaded."""
    reader = LoadedTextReader(FromStore(store=open_store(Path("store")), retriever="random", passages=1))
    text = "<ctx> ab cd"
    tokenizer, arrays, _ = reader(run, text)
    plain = TextReader()(run, text)[1]
    np.testing.assert_array_equal(arrays["ids_N"], plain["ids_N"])
    num_place = len(tokenizer.encode("<ctx>"))
    losses, others = arrays["loss_nats_SN"][-1], plain["loss_nats_SN"][-1]
    np.testing.assert_allclose(losses[:num_place], others[:num_place], atol=1e-5)
    assert not np.allclose(losses[num_place:], others[num_place:])


def test_what_cannot_be_loaded_leaves_the_reading_without(run: Path, vslm: Callable[..., Any]) -> None:
    """Said for the run; the text is shown as the model sees it alone."""
    Path("long.txt").write_text("abcdefgh " * 40, encoding="utf-8")
    assert vslm("store", "build", "long.txt", "long").code == 0
    reader = LoadedTextReader(FromStore(store=open_store(Path("long")), retriever="random"))
    app = App(run.parents[2], TextReader(), read_loaded=reader)
    body = json.dumps({"text": "ab cd", "runs": ["full/seed0"]}).encode()
    drawn = json.loads(app.answer("POST", "/api/tokens/s", HEADERS, body).body)
    assert [one["arm"] for one in drawn["runs"]] == ["full"]
    assert "the context has room for 8 beside the text" in drawn["problems"][0]
