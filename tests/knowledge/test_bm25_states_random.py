"""What is special about each retriever: its formula, its errors."""

import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_store import DOCUMENTS, parameters_of, passages, untrained

from vslm.core.errors import DataError, RunError, SpecError
from vslm.knowledge.bm25 import BM25
from vslm.knowledge.choosing import chosen
from vslm.knowledge.oracle import Oracle
from vslm.knowledge.passages import Passage, document_key, words_of
from vslm.knowledge.random_passages import Random
from vslm.knowledge.retriever import Query, ReadyModel
from vslm.knowledge.states import StateEncoder, States
from vslm.knowledge.store import build_store, store_of


def test_bm25_is_its_formula() -> None:
    """For every passage and a query with a word that comes twice; what shares no word is not found."""
    pytest.importorskip("bm25s")
    store, spec, query = store_of(passages()), BM25(k1=1.3, b=0.4), "Bread, bread of the harbor and zebras"
    rows = [words_of(passage.text) for passage in store.passages]
    mean = sum(map(len, rows)) / len(rows)
    expected = {}
    for number, row in enumerate(rows):
        score = 0.0
        for word in words_of(query):
            having = sum(word in other for other in rows)
            idf = math.log(1 + (len(rows) - having + 0.5) / (having + 0.5)) if having else 0.0
            times = row.count(word)
            score += idf * times / (times + 1.3 * (1 - 0.4 + 0.4 * len(row) / mean))
        if score > 0:
            expected[number] = score
    found = {one.passage: one.score for one in spec.open(store).find(Query(query), 101)}
    assert found == pytest.approx(expected, rel=1e-5)
    assert 3 < len(found) < len(store)
    assert BM25().open(store).find(Query("zebras!"), 5) == []
    assert BM25().open(store).find(Query(""), 5) == []


def test_bm25_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its library; a word in the store; parameters of the formula."""
    with pytest.raises(SpecError, match="k1"):
        BM25(k1=-0.1)
    with pytest.raises(SpecError, match=r"b: found 1\.1"):
        BM25(b=1.1)
    if importlib.util.find_spec("bm25s"):
        with pytest.raises(DataError, match="no passage has a word"):
            BM25().open(store_of([Passage("...", 1)]))
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(RunError, match=r"pip install 'vslm\[retrieval\]'"):
        BM25().open(store_of(passages()))


def test_random_is_even_and_another_seed_is_another_one() -> None:
    """Each passage about equally often; passages of the query's own document never, also where few are others."""
    store = store_of(passages())
    finder, counts = Random(seed=5).open(store), np.zeros(len(store), dtype=int)
    for number in range(1_000):
        for found in finder.find(Query(f"query {number}"), 3):
            counts[found.passage] += 1
    assert counts.sum() == 3_000
    assert counts.min() > 140
    assert counts.max() < 260
    others = Random(seed=6).open(store)
    rows = [[one.passage for one in some.find(Query("q"), 5)] for some in (finder, finder, others)]
    assert rows[0] == rows[1] != rows[2]
    mostly = store_of([*(Passage(f"own {n}", 7) for n in range(300)), Passage("x", 1), Passage("y", 2)])
    found = Random().open(mostly).find(Query("q", not_of=7), 5)
    assert {one.passage for one in found} == {300, 301}


def test_oracle_gives_what_the_example_names() -> None:
    """In its order, each once, none of its own document; an example that names none is found by its answer."""
    pytest.importorskip("bm25s")
    store = store_of(passages())
    finder = Oracle().open(store)
    query = Query("what?", gold=(9, 4, 9, 0), not_of=document_key(DOCUMENTS[0]))
    assert [tuple(one) for one in finder.find(query, 3)] == [(9, 1.0), (4, 1.0)]
    assert [one.passage for one in finder.find(query, 1)] == [9]
    by_answer = finder.find(Query("what?", answer="Her telescope came"), 1)
    assert store.passages[by_answer[0].passage].text == "Her telescope came from Riga."


def test_oracle_with_named_passages_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is searched."""
    monkeypatch.setitem(sys.modules, "bm25s", None)
    assert Oracle().open(store_of(passages())).find(Query("q", gold=(2,)), 3)[0].passage == 2


def test_states_are_means_over_tokens_of_the_named_visit() -> None:
    """As a plain loop has it, text by text: after the separator, which does not count; a long text by contexts."""
    ready = untrained()
    before = parameters_of(ready)
    texts = ["Anna lives in Riga.", "x", "The harbor of Oslo is old. " * 9, "Snow fell"]
    for layer, place in ((None, 1), ("path.0", 0)):
        found_ND = StateEncoder(ready, layer)(texts)
        for text, vector_D in zip(texts, found_ND, strict=True):
            ids, states = ready.tokenizer.encode(text), []
            for at in range(0, len(ids), 28):
                row = torch.tensor([[ready.tokenizer.end_of_text, *ids[at : at + 28].tolist()]])
                stream = ready.model.root(row)
                for block in list(ready.model.blocks.values())[: place + 1]:
                    stream = block(stream)
                states.append(stream.x_BTD[0, 1:])
            expected = torch.cat(states).mean(dim=0).detach().numpy()
            np.testing.assert_allclose(vector_D, expected, atol=2e-6)
    assert all(map(torch.equal, before, ready.model.parameters()))
    assert not ready.model.training


def test_states_find_a_passage_by_itself_and_say_cosines() -> None:
    """Every passage is nearest to its own text, with a cosine of 1; what all have in common does not decide."""
    store, ready = store_of(passages()), untrained()
    finder = States(run="r").open(store, lambda _: ready)
    for number, passage in enumerate(store.passages):
        best, second = finder.find(Query(passage.text), 2)
        assert best.passage == number
        assert best.score == pytest.approx(1, abs=1e-5)
        assert second.score < 0.999
    vectors_ND = StateEncoder(ready, None)(p.text for p in store.passages)
    centered = vectors_ND - vectors_ND.mean(axis=0)
    units = centered / np.linalg.norm(centered, axis=1, keepdims=True)
    scores = {one.passage: one.score for one in finder.find(Query(passages()[4].text), 101)}
    np.testing.assert_allclose([scores[n] for n in range(len(store))], units @ units[4], atol=1e-5)


def test_states_are_kept_under_the_weights_that_made_them(tmp_path: Path) -> None:
    """Another model has vectors of its own; the same one reads those that are there and passes nothing through."""
    numbered = [(str(number), passage) for number, passage in enumerate(passages())]
    store, _ = build_store(lambda: iter(numbered), tmp_path / "store", description="x")
    for seed in (0, 1, 0):
        States(run="r").open(store, lambda _, seed=seed: untrained(seed))
    assert len([*(tmp_path / "store").glob("states-*")]) == 2
    ready = untrained()

    class Unread:
        """Knows its visits, and cannot read."""

        def __getattr__(self, name: str):
            assert name != "stream"
            return getattr(ready.model, name)

    finder = States(run="r").open(store, lambda _: ReadyModel(Unread(), ready.tokenizer))
    assert len(finder.store) == 15


def test_states_say_what_they_need() -> None:
    """A layer that is there, a run, and who opens it; a store of one passage has no direction."""
    with pytest.raises(SpecError, match=r"path\.7"):
        States(run="r", layer="path.7").open(store_of(passages()), lambda _: untrained())
    with pytest.raises(SpecError, match="run: an empty path"):
        States(run=" ")
    with pytest.raises(SpecError, match="no run is opened here"):
        States(run="r").open(store_of(passages()))
    found = States(run="r").open(store_of(passages()[:1]), lambda _: untrained()).find(Query("x"), 3)
    assert [tuple(one) for one in found] == [(0, 0.0)]


def test_retrievers_by_name() -> None:
    """As a command line has them."""
    assert chosen("bm25") == BM25()
    assert chosen("random", seed=7) == Random(seed=7)
    assert chosen("states", run="r", layer="path.0") == States(run="r", layer="path.0")
    with pytest.raises(SpecError, match="did you mean bm25"):
        chosen("bm52")
    with pytest.raises(SpecError, match="--run: not given"):
        chosen("states")


def test_states_of_a_model_with_an_adapter_are_kept_apart(tmp_path: Path) -> None:
    """What is hooked on changes what it reads, and no weight of it."""
    numbered = [(str(number), passage) for number, passage in enumerate(passages())]
    store, _ = build_store(lambda: iter(numbered), tmp_path / "store", description="x")
    ready = untrained()
    States(run="r").open(store, lambda _: ready)
    for factor in (2.0, 3.0, 2.0):
        handle = ready.model.blocks["0"].feedforward.register_forward_hook(lambda *a, f=factor: a[2] * f)
        States(run="r").open(store, lambda _: ready)
        handle.remove()
    assert len([*(tmp_path / "store").glob("states-*")]) == 3
