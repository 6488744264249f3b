"""Associative recall: what a document is, where queries are and how far back they reach, and that windows are whole."""

from pathlib import Path

import numpy as np
import pytest

from vslm.core.errors import DataError, SpecError
from vslm.core.paths import vary
from vslm.core.specs import fingerprint
from vslm.data.corpus import Corpus
from vslm.data.preparing import prepare
from vslm.data.sources import AssociativeRecall, Text
from vslm.data.sources.associative_recall import KEYS, VALUES, query_distances
from vslm.data.tokenizers import BPE, Characters
from vslm.data.windows import evaluation_windows, training_batch
from vslm.models.layouts.plain import uniform
from vslm.study.experiment import Budget, Experiment

SOURCE = AssociativeRecall(num_pairs=5, document_tokens=38, num_letters=7, num_documents=307, seed=3)


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Of `SOURCE`, in a cache of its own."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path / "home"))
    return prepare(SOURCE)


def test_every_query_can_be_answered_from_its_document() -> None:
    """Keys and values are new for every document, all different; what follows a key is always its value."""
    texts = [document.text for document in SOURCE.documents()]
    assert len(set(texts)) == len(texts) == 307
    for text in texts:
        assert len(text) == 37
        assert text[-1] == "\n"
        pairs = [(text[i], text[i + 1]) for i in range(0, 36, 2)]
        given = dict(pairs[:5])
        assert len(given) == len(set(given.values())) == 5
        assert set(given) <= set(KEYS[:7])
        assert set(given.values()) <= set(VALUES[:7])
        assert all(given[key] == value for key, value in pairs[5:])
    firsts = {text[:2] for text in texts}
    assert len(firsts) > 40, "a key has no value of its own"


def test_letters_are_what_they_say() -> None:
    """As many capitals as small letters, none twice, each one character."""
    assert len(KEYS) == len(VALUES) == len(set(KEYS)) == len(set(VALUES)) == 120
    assert not set(KEYS) & set(VALUES)


def test_near_and_far_queries_are_about_equally_frequent() -> None:
    """Per octave of distance, at the defaults: none of those from 4 tokens on is under half an even share."""
    source = AssociativeRecall(num_documents=4096)
    codes_NT = np.array([[ord(letter) for letter in document.text] for document in source.documents()])
    keys_NP = codes_NT[:, 0:-1:2]
    distances = [
        2 * (place - max(np.flatnonzero(row[:place] == row[place])))
        for row in keys_NP[:300]
        for place in range(16, keys_NP.shape[1])
    ]
    share_of = np.bincount(np.frexp(distances)[1] - 1, minlength=7) / len(distances)
    assert share_of[0] == 0
    assert (share_of[1:] > 0.06).all()
    assert max(share_of) < 0.3


def test_a_longer_corpus_starts_with_the_shorter_one() -> None:
    """And another seed, or another number of letters, is another corpus."""
    few = [d.text for d in AssociativeRecall(num_documents=101).documents()]
    more = [d.text for d in AssociativeRecall(num_documents=4999).documents()]
    assert len(more) == 4999
    assert more[:101] == few
    assert not set(few) & {d.text for d in AssociativeRecall(num_documents=101, seed=1).documents()}
    assert fingerprint(AssociativeRecall()) != fingerprint(AssociativeRecall(num_letters=65))


def test_a_document_is_as_many_tokens_as_declared_and_windows_start_with_one(corpus: Corpus) -> None:
    """In training, at every step and epoch, and in evaluation; for one document a window and for two."""
    end = corpus.tokenizer.end_of_text
    for name in ("train", "select", "val"):
        tokens = np.asarray(corpus.split(name).tokens)  # type: ignore[arg-type]
        assert len(tokens) % 38 == 0
        assert (tokens[37::38] == end).all()
        assert (tokens == end).sum() * 38 == len(tokens)
    for context_tokens in (38, 76):
        seen = set()
        for step in range(60):
            rows = training_batch(
                corpus.train.tokens,
                context_tokens=context_tokens,
                batch_windows=5,
                data_seed=1,
                step=step,
                align_tokens=corpus.align_tokens,
            )
            assert (rows[:, 37] == end).all()
            seen |= {row.tobytes() for row in rows}
        assert len(seen) > (200 if context_tokens == 38 else 150), "all documents come"
        windows = evaluation_windows(corpus.val.tokens, context_tokens=context_tokens, num_tokens=100)
        assert (windows[:, 37] == end).all()


def _by_looking(text: str) -> list[int]:
    distances = []
    for place, letter in enumerate(text):
        before = text[:place].rfind(letter)
        distances.append(place - before if letter in KEYS and before >= 0 else 0)
    return distances


@pytest.mark.parametrize("context_tokens", [38, 76])
def test_queries_and_their_distances_are_found(corpus: Corpus, context_tokens: int) -> None:
    """As a reader finds them in the text, document by document, also where a window holds two."""
    windows = evaluation_windows(corpus.val.tokens, context_tokens=context_tokens)[:, :-1]
    distances_NT = query_distances(windows, corpus.tokenizer)
    for row, distances_T in zip(windows[:11], distances_NT, strict=False):
        documents = corpus.tokenizer.decode(row, separator="|").split("|")
        expected = [distance for document in documents[:-1] for distance in [*_by_looking(document), 0]]
        assert distances_T.tolist() == expected
    assert (distances_NT > 0).sum() == pytest.approx(SOURCE.predictable_fraction * distances_NT.size)


def test_the_same_text_without_alignment_is_another_corpus(corpus: Corpus, tmp_path: Path) -> None:
    """Its windows start elsewhere."""
    text = "<|endoftext|>\n".join(document.text for document in SOURCE.documents())
    (tmp_path / "recall.txt").write_text(text, encoding="utf-8")
    other = prepare(Text(str(tmp_path / "recall.txt"), tokenizer=Characters()))
    assert np.array_equal(other.train.tokens, corpus.train.tokens)
    assert other.align_tokens == 1
    assert other.fingerprint != corpus.fingerprint


def test_a_context_that_cuts_documents_is_refused(corpus: Corpus) -> None:
    """When the experiment is validated, and by the windows themselves."""
    model = uniform(depth=1, width=8, heads=1, context_tokens=50)
    experiment = Experiment(model=model, data=SOURCE, budget=Budget(tokens=1000))
    with pytest.raises(SpecError, match=r"model\.context_tokens: 50 tokens are no multiple of 38"):
        experiment.validate()
    with pytest.raises(DataError, match="no multiple of 38"):
        training_batch(corpus.train.tokens, context_tokens=50, batch_windows=2, data_seed=0, step=0, align_tokens=38)


def test_the_farthest_query_is_what_a_model_must_reach(corpus: Corpus) -> None:
    """No query is further back than said, and in a text of many documents one is as far."""
    tokens = corpus.train.tokens
    rows_NT = tokens[: len(tokens) // 38 * 38].reshape(-1, 38)
    assert query_distances(rows_NT, corpus.tokenizer).max() + 1 == SOURCE.reach_tokens


def test_windows_that_reach_less_than_the_task_are_refused() -> None:
    """One token too few, and just enough."""
    model = uniform(depth=1, width=8, heads=1, context_tokens=38, window_tokens=SOURCE.reach_tokens)
    experiment = Experiment(model=model, data=SOURCE, budget=Budget(tokens=1000))
    experiment.validate()
    with pytest.raises(SpecError, match=f"model: sees {SOURCE.reach_tokens - 1} tokens; {SOURCE.reach_tokens} are"):
        vary(experiment, {"model.blocks.0.attention.window_tokens": SOURCE.reach_tokens - 1}).validate()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_pairs": 0}, "1 or more"),
        ({"num_pairs": 70}, "num_letters"),
        ({"num_letters": 121}, "at most 120"),
        ({"document_tokens": 34}, "36 or more"),
        ({"document_tokens": 129}, "even number"),
        ({"num_documents": 63}, "64 or more"),
        ({"tokenizer": BPE()}, "Characters"),
        ({"vocabulary": 300}, "give one"),
    ],
)
def test_what_cannot_be_drawn_is_refused(fields: dict, words: str) -> None:
    """In words, before anything is drawn."""
    with pytest.raises(SpecError, match=words):
        AssociativeRecall(**fields)
