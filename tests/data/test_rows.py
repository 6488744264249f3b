"""Documents that are laid whole into rows of so many tokens."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from vslm.core.errors import DataError
from vslm.data.batches import training_batch_of
from vslm.data.corpus import Corpus, open_corpus, padding_share
from vslm.data.documents import Document, Scored
from vslm.data.preparing import prepare
from vslm.data.rows import Rows
from vslm.data.sources import Source
from vslm.data.tokenizers import Characters


def laid(lengths: list[int], row_tokens: int) -> list[list[int]]:
    """The numbers of the documents of each row; document n is all n."""
    rows = Rows(row_tokens, padding=0)
    found = []
    for number, length in enumerate(lengths, start=1):
        found += list(rows.add(np.full(length, number), np.ones(length, dtype=np.float32)))
    found += list(rows.finish())
    assert all(len(row.ids) == len(row.weights) == row_tokens for row in found)
    assert all((row.weights == 0).sum() == row.num_padding == (row.ids == 0).sum() for row in found)
    return [list(dict.fromkeys(row.ids[row.ids > 0].tolist())) for row in found]


def test_the_first_begins_a_row_and_what_fills_it_best_follows() -> None:
    """Of equals the first; nothing waits forever. 5 + 6; then 3 + 4 + 1 is less than 3 + 7 + 1."""
    assert laid([5, 3, 6, 4, 7, 1], 11) == [[1, 3], [2, 5, 6], [4]]
    assert laid([5, 2, 4, 2, 4], 9) == [[1, 3], [2, 4, 5]]


def test_every_document_is_there_once_and_whole_and_little_is_padded() -> None:
    """Of lengths as examples have them."""
    lengths = np.random.default_rng(3).integers(37, 113, size=1009).tolist()
    rows = Rows(257, padding=0)
    found = [
        row for n, length in enumerate(lengths, 1) for row in rows.add(np.full(length, n), np.ones(length, np.float32))
    ]
    found += list(rows.finish())
    counts = np.bincount(np.concatenate([row.ids for row in found]))[1:]
    assert counts.tolist() == lengths
    assert sum(row.num_padding for row in found) < 0.01 * 257 * len(found)


@dataclass(frozen=True, kw_only=True)
class Lines(Source):
    """Documents of many lengths; of every third the last letter alone counts."""

    longest: int = 17

    def describe(self) -> str:
        """In words."""
        return "lines"

    @property
    def row_tokens(self) -> int:
        """Of Characters a letter is a token."""
        return 23

    def documents(self) -> Iterator[Document]:
        """All different."""
        for number in range(401):
            text = f"{number:03d}" + "x" * (number * 7 % self.longest)
            scored = (Scored(len(text) - 1, len(text)),) if number % 3 == 0 else None
            yield Document(f"line {number}", text, scored)


@pytest.fixture
def corpus() -> Corpus:
    """Of `Lines`."""
    return prepare(Lines(tokenizer=Characters()))


def test_windows_of_a_corpus_of_rows_hold_whole_documents(corpus: Corpus) -> None:
    """They start where rows start, and a document in them stands from its first letter to its separator."""
    assert corpus.align_tokens == 23
    text = [corpus.tokenizer.decode(row, separator="|") for row in np.asarray(corpus.train.tokens).reshape(-1, 23)]
    documents = {document.text for document in Lines().documents()}
    found = [one for row in text for one in row.rstrip("|").split("|")]
    assert set(found) < documents
    assert len(found) == len(set(found)) == corpus.train.num_documents
    batch = training_batch_of(
        corpus.train, context_tokens=23, batch_windows=5, data_seed=1, step=2, align_tokens=corpus.align_tokens
    )
    rows = {tuple(row) for row in np.asarray(corpus.train.tokens).reshape(-1, 23).tolist()}
    assert all(tuple(row.tolist()) in rows for row in batch.tokens_BT)
    with pytest.raises(DataError, match="no multiple of 23"):
        training_batch_of(corpus.train, context_tokens=24, batch_windows=5, data_seed=1, step=2, align_tokens=23)


def test_padding_counts_nothing_and_is_reported(corpus: Corpus) -> None:
    """A separator behind a document without stretches counts, padding never."""
    weights = corpus.train.weights
    assert weights is not None
    ends = 0
    for row, their in zip(
        np.asarray(corpus.train.tokens).reshape(-1, 23), np.asarray(weights).reshape(-1, 23), strict=True
    ):
        length = len(corpus.tokenizer.decode(row, separator="|").rstrip("|")) + 1  # its last separator
        assert not their[length:].any()
        ends += int(their[length - 1] > 0)
    assert ends > 10
    splits = corpus.meta["splits"]
    padding = sum(part["num_padding"] for part in splits.values())
    assert 0 < padding_share(splits) == padding / sum(part["num_tokens"] for part in splits.values()) < 0.2


def test_documents_that_no_row_holds_are_left_out_and_said() -> None:
    """And the corpus is refused where none is left that counts."""
    said: list[str] = []
    corpus = prepare(Lines(tokenizer=Characters(), longest=31), say=said.append)
    too_long = sum(len(document.text) + 1 > 23 for document in Lines(longest=31).documents())
    assert sum(part["num_too_long"] for part in corpus.meta["splits"].values()) == too_long > 50
    assert sum(part["num_documents"] for part in corpus.meta["splits"].values()) == 401 - too_long
    assert any(f"{too_long} that no row holds are left out" in words for words in said)
    assert open_corpus(corpus.fingerprint).meta["row_tokens"] == 23


@dataclass(frozen=True, kw_only=True)
class Long(Lines):
    """Nothing fits."""

    def documents(self) -> Iterator[Document]:
        """All different."""
        for document in super().documents():
            yield Document(document.name, "y" * 23 + document.text)


def test_a_corpus_of_which_nothing_fits_is_refused() -> None:
    """In words."""
    with pytest.raises(DataError, match="longer rows"):
        prepare(Long(tokenizer=Characters()))
