"""Stretches with passages in front: what is searched with, what counts, and that arms have the same targets."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from small_store import untrained

from vslm.core.errors import DataError, SpecError
from vslm.core.specs import fingerprint
from vslm.data.documents import Document, Scored
from vslm.data.preparing import prepare
from vslm.data.reading.notes import Notes
from vslm.data.sources import Source, Text
from vslm.data.splits import SPLITS
from vslm.data.tokenizers import BPE, Characters
from vslm.data.windows import training_batch
from vslm.knowledge.bm25 import BM25
from vslm.knowledge.oracle import Oracle
from vslm.knowledge.passages import cut_passages, num_words
from vslm.knowledge.random_passages import Random
from vslm.knowledge.retrieved import Retrieved
from vslm.knowledge.retriever import Retriever
from vslm.knowledge.states import States
from vslm.knowledge.store import build_store
from vslm.objectives.gap_gated import GapGated

WORDS = ["boat", "harbor", "bread", "miller", "snow", "star", "sea", "crane", "river", "stone", "swan", "ladder"]
NAMES = ["Anna", "Boris", "Clara", "Dora", "Emil", "Frieda", "Gustav"]


def story(number: int, *, other_end: bool = False) -> str:
    """Four sentences; the first ones name a person and a thing, the last ones tell something of them."""
    rng = np.random.default_rng(number)
    name, thing = NAMES[number % 7], WORDS[number % 11]
    first = f"{name} saw a {thing} near the {rng.choice(WORDS)} number {number}."
    if other_end:
        rng = np.random.default_rng(number + 5_000)
    rest = [f"The {rng.choice(WORDS)} was {rng.choice(WORDS)} and {rng.choice(WORDS)}." for _ in range(5)]
    return " ".join([first, *rest])


def written(folder: Path, name: str, *, other_end: bool = False, num: int = 83) -> Text:
    """Stories in a file."""
    path = folder / name
    path.write_text("\n<|endoftext|>\n".join(story(n, other_end=other_end) for n in range(num)), encoding="utf-8")
    return Text(str(path), tokenizer=BPE(vocabulary=300))


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Retrieved:
    """Stories, with passages of the same stories in a store; no search is needed."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path / "home"))
    text = written(tmp_path, "stories.txt")
    passages = [(d.name, passage) for d in text.documents() for passage in cut_passages(d.text, 11)]
    build_store(lambda: iter(passages), tmp_path / "store", description="stories")
    return Retrieved(
        source=text,
        store=str(tmp_path / "store"),
        retriever=Random(),
        stretch_words=23,
        query_words=10,
        own_row_tokens=101,
    )


def own(document: Document) -> str:
    """What a document is without what stands in front."""
    return document.text[document.front :]


def test_stretches_are_the_text_and_their_beginning_does_not_count(source: Retrieved) -> None:
    """In their order; what counts is what stands behind the query; too short ones are left out."""
    documents = [*source.documents()]
    kept = "".join(own(document) for document in documents)
    whole = "".join(document.text for document in source.source.documents())
    assert len(documents) == 2 * 83 - sum(num_words(one.text) <= 23 + 10 for one in source.source.documents())
    for document in documents:
        assert document.scored is not None
        ((first, end, weight),) = document.scored
        assert (end, weight) == (len(document.text), 1.0)
        assert num_words(document.text[document.front : first]) == 10
        assert 10 < num_words(own(document)) <= 23
        assert own(document) in whole
    assert len(kept) <= len(whole)


def test_nothing_in_front_is_of_the_same_document(source: Retrieved) -> None:
    """Two passages each, and none stands in the story."""
    for document in source.documents():
        passages = document.text[: document.front].splitlines()
        assert [bool(passage) for passage in passages] == [True, True, False]
        story = next(one.text for one in source.source.documents() if own(document).strip() in one.text)
        assert all(passage not in story for passage in passages[:2])


@pytest.mark.parametrize("retriever", [BM25(), States(run="r"), Random(), Oracle()], ids=lambda one: type(one).__name__)
def test_what_is_predicted_is_not_searched_with(source: Retrieved, tmp_path: Path, retriever: Retriever) -> None:
    """Other ends of the same beginnings have the same in front; but for the oracle, which has others."""
    if isinstance(retriever, BM25 | Oracle):
        pytest.importorskip("bm25s")
    sources = [source.source, written(tmp_path, "others.txt", other_end=True)]
    fronts = []
    for text in sources:
        found = replace(source, source=text, retriever=retriever, stretch_words=60).read_with(
            Notes(), lambda _: untrained()
        )
        fronts.append([(document.text[: document.front], own(document)) for document in found])
    assert len(fronts[0]) == len(fronts[1]) == 83
    assert all(a[1] != b[1] for a, b in zip(*fronts, strict=True))
    same = [a[0] == b[0] for a, b in zip(*fronts, strict=True)]
    # A passage that is left out because it stands in the story makes room for the next one.
    assert np.mean(same) > 0.9 if not isinstance(retriever, Oracle) else np.mean(same) < 0.5


def test_arms_have_the_same_targets_at_the_same_places(source: Retrieved) -> None:
    """Whatever is in front: one tokenizer, one order, one validation; and a batch is that of the other arm."""
    arms = [source, replace(source, passages=0), replace(source, retriever=Random(seed=5), passages=3)]
    corpora = [prepare(arm) for arm in arms]
    assert len({corpus.fingerprint for corpus in corpora}) == 3
    for corpus in corpora[1:]:
        assert corpus.tokenizer_fingerprint == corpora[0].tokenizer_fingerprint
        assert corpus.meta["judged"] == corpora[0].meta["judged"]
        GapGated(closed=source).check_corpora(replace(corpora[0], further={"closed": corpus}))
        for name in SPLITS:
            one, other = corpora[0].split(name), corpus.split(name)
            assert one.weights is not None
            assert other.weights is not None
            np.testing.assert_array_equal(one.weights, other.weights)
            counts = np.asarray(one.weights) > 0
            np.testing.assert_array_equal(np.asarray(one.tokens)[counts], np.asarray(other.tokens)[counts])
            assert not np.array_equal(one.tokens, other.tokens)
        batches = [
            training_batch(c.train.tokens, context_tokens=101, batch_windows=7, data_seed=3, step=2, align_tokens=101)
            for c in (corpora[0], corpus)
        ]
        np.testing.assert_array_equal(batches[0][:, -12:-1], batches[1][:, -12:-1])


def test_rows_end_with_their_document(source: Retrieved) -> None:
    """Separators stand in front, one behind; what is too long is cut at its beginning, and that is said."""
    corpus = prepare(replace(source, own_row_tokens=151))
    end = corpus.tokenizer.end_of_text
    rows = np.concatenate([np.asarray(corpus.split(name).tokens).reshape(-1, 151) for name in SPLITS])
    texts = {corpus.tokenizer.decode(row) for row in rows}
    assert texts == {document.text for document in source.documents()}
    assert (rows[:, -1] == end).all()
    assert (rows[:, 0] == end).all()
    short, said = replace(source, own_row_tokens=47), []
    corpus = prepare(short, say=said.append)
    assert any("longer than a row, cut off at the beginning" in words for words in said)
    assert not any("lost a part that counts" in words for words in said)
    rows = np.concatenate([np.asarray(corpus.split(name).tokens).reshape(-1, 47) for name in SPLITS])
    cut = [row for row in rows if corpus.tokenizer.decode(row) not in texts]
    assert len(cut) == sum(corpus.meta["own_rows"][name]["num_cut"] for name in SPLITS) > 10
    for row in cut:
        assert any(text.endswith(corpus.tokenizer.decode(row)) for text in texts)
    prepare(replace(source, own_row_tokens=11), say=said.append)
    assert any("lost a part that counts: take longer rows" in words for words in said)


def test_stretches_of_a_document_are_in_one_split(source: Retrieved) -> None:
    """And each split has some; a text of few documents is not cut into blocks."""
    corpus = prepare(replace(source, passages=0))
    stories = [" ".join(one.text.split()) for one in source.source.documents()]
    where: dict[int, set[str]] = {}
    for name in SPLITS:
        for row in np.asarray(corpus.split(name).tokens).reshape(-1, 101):
            text = " ".join(corpus.tokenizer.decode(row).split())
            (number,) = [n for n, story in enumerate(stories) if text in story]
            where.setdefault(number, set()).add(name)
    assert all(len(names) == 1 for names in where.values())
    assert set().union(*where.values()) == set(SPLITS)


@dataclass(frozen=True, kw_only=True)
class Questions(Source):
    """Questions whose answers count."""

    def describe(self) -> str:
        return "questions"

    def documents(self) -> Iterator[Document]:
        for number in range(70):
            text = f"<ctx> <q> what did {NAMES[number % 7]} see near {number}? <a> {WORDS[number % 11]}."
            yield Document(f"q{number}", text, (Scored(text.rindex("<a>") + 4, len(text), 2.0),))


def test_documents_that_say_what_counts_are_one_stretch(source: Retrieved) -> None:
    """Passages go where they have a place; what counted counts; the answer is not searched with."""
    asked: list[str] = []

    class Watched(type(Random().open(None))):  # type: ignore[misc, arg-type]
        """Remembers."""

        def find_many(self, queries, k):
            asked.extend(query.text for query in queries)
            return super().find_many(queries, k)

    @dataclass(frozen=True, kw_only=True)
    class Watching(Retriever):
        """Opens one that remembers."""

        def open(self, store, models=None):
            return Watched(store, 0)

    questions = Questions()
    found = [*replace(source, source=questions, retriever=Watching()).documents()]
    assert len(found) == 70
    for document, question, query in zip(found, questions.documents(), asked, strict=True):
        assert document.text.startswith("<ctx> ")
        assert own(document) == question.text.removeprefix("<ctx>")
        ((first, end, weight),) = document.scored or ()
        assert document.text[first:end] == question.text[question.scored[0].first :]  # type: ignore[index]
        assert weight == 2.0
        assert (
            query.split() == question.text[: question.text.index("<a>")].replace("<ctx>", "").replace("<q>", "").split()
        )


def test_a_corpus_is_known_without_reading(source: Retrieved, monkeypatch: pytest.MonkeyPatch) -> None:
    """By text, store and weights; another store, wherever it lies, is another corpus; a changed one is refused."""
    for path in source.files():
        os.utime(path, (1, 1))
    first = prepare(source)
    store = Path(source.store)
    with monkeypatch.context() as patched:
        patched.setattr(Retrieved, "read_with", lambda *_: pytest.fail("read"))
        assert prepare(source).fingerprint == first.fingerprint
    moved = replace(source, store=str(store.rename(store.with_name("elsewhere"))))
    assert fingerprint(moved) == fingerprint(source)
    assert prepare(moved).fingerprint == first.fingerprint
    with pytest.raises(DataError, match="no such folder"):
        next(source.documents())
    others = [(str(n), passage) for n in range(90, 120) for passage in cut_passages(story(n), 11)]
    build_store(lambda: iter(others), store, description="others")
    assert prepare(source).fingerprint != first.fingerprint
    lines = store / "passages.jsonl"
    lines.write_bytes(lines.read_bytes().replace(b"Anna", b"Anne"))
    with pytest.raises(DataError, match="its bytes are not those that were written"):
        next(source.documents())


def test_tokenizer_and_splits_are_those_of_the_source(source: Retrieved) -> None:
    """Unless they are given; and a model is needed by who finds with one."""
    assert source.tokenizer == BPE(vocabulary=300)
    assert replace(source, tokenizer=Characters()).tokenizer == Characters()
    text = source.source
    assert Retrieved(source=text, store="s", vocabulary=270).tokenizer == BPE(vocabulary=270)
    with pytest.raises(SpecError, match="no run is opened here"):
        prepare(replace(source, retriever=States(run="r")))
    corpus = prepare(replace(source, tokenizer=Characters(), own_row_tokens=503))
    assert corpus.meta["judged"]["val"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"store": " "}, "store: an empty path"),
        ({"passages": -1}, "passages: found -1"),
        ({"query_words": 23}, "query_words: found 23"),
        ({"query_words": 0}, "query_words: found 0"),
        ({"own_row_tokens": 1}, "own_row_tokens: found 1"),
    ],
)
def test_what_cannot_be_meant_is_said(source: Retrieved, changes: dict, words: str) -> None:
    """At the field."""
    with pytest.raises(SpecError, match=words):
        replace(source, **changes)
