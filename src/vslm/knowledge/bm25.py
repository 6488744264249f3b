"""Passages by the words that they share with the query."""

import importlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from vslm.core.bounds import Real
from vslm.core.errors import DataError, RunError, SpecError
from vslm.core.specs import fingerprint
from vslm.knowledge.kept import kept
from vslm.knowledge.passages import words_of
from vslm.knowledge.retriever import Finder, Found, OpenModel, Query, Retriever, best, no_models
from vslm.knowledge.store import Store

_VERSION = 1  # of how texts become words


@dataclass(frozen=True, kw_only=True)
class BM25(Retriever):
    """Okapi BM25 as Lucene has it: words of the query that are rare in the store and frequent in a short passage.

        score(q, p) = sum over words w of q, idf(w) * tf / (tf + k1 (1 - b + b |p| / mean |p|))
        idf(w) = ln(1 + (N - n_w + 0.5) / (n_w + 0.5)),   tf: times w is in p, n_w: passages of N that have it

    Words are in small letters, marks are left out, and none is too common to count. A passage that shares no word with
    the query is not found, so fewer than k may be.

    Paper: The Probabilistic Relevance Framework, Robertson and Zaragoza, 2009; computed by the library bm25s,
    https://arxiv.org/abs/2407.03618 (`pip install 'vslm[retrieval]'`).
    Cost: a number per passage and word that it has, kept in the store's folder and read from the disk as needed; a
    query adds up one row of them per word, and looks at one number per passage. Making it holds four bytes a word.

    Args:
        k1: how much a word that comes again adds, 0 or more.
        b: how much long passages are held back, 0 to 1.
    """

    k1: Real = 1.5
    b: Real = 0.75

    def check(self) -> None:
        """Refuse what is no parameter of the formula."""
        if self.k1 < 0:
            raise SpecError("k1", f"found {self.k1}", "0 or more is needed")
        if not 0 <= self.b <= 1:
            raise SpecError("b", f"found {self.b}", "0 to 1 is needed")

    def open(self, store: Store, models: OpenModel = no_models) -> "BM25Finder":
        """Make the index, or read it.

        Raises: RunError without the library; DataError for a store without a word.
        """
        del models
        library = _library(store)
        name = f"bm25-{fingerprint(self)}-{_VERSION}"

        def make() -> Any:
            return _index(library, store, self)

        def save(index: Any, folder: Path) -> None:
            index.save(folder, show_progress=False)

        def load(folder: Path) -> Any:
            return library.BM25.load(folder, mmap=True, show_progress=False)

        return BM25Finder(store, kept(store, name, make=make, save=save, load=load))


class BM25Finder(Finder):
    """See `BM25`. `index`: of the library."""

    def __init__(self, store: Store, index: Any) -> None:
        super().__init__(store)
        self._index = index

    def find_many(self, queries: Sequence[Query], k: int) -> list[list[Found]]:
        """By the sum of the scores of the query's words."""
        return [self._found(query, k) for query in queries]

    def _found(self, query: Query, k: int) -> list[Found]:
        vocabulary = self._index.vocab_dict
        ids = [vocabulary[word] for word in words_of(query.text) if word in vocabulary]
        if not ids:
            return []
        scores_N: np.ndarray = self._index.get_scores_from_ids(ids)
        scores_N[scores_N <= 0] = -np.inf
        if query.not_of is not None:
            scores_N[self.store.documents_N == np.uint64(query.not_of)] = -np.inf
        return best(scores_N, k)


def _library(store: Store) -> ModuleType:
    try:
        return importlib.import_module("bm25s")
    except ImportError:
        found = "BM25 is computed by bm25s, which is not installed"
        raise RunError(
            store.where, found, "", "pip install 'vslm[retrieval]', or retrieve by states or random"
        ) from None


def _index(library: ModuleType, store: Store, spec: BM25) -> Any:
    vocabulary: dict[str, int] = {}  # by first occurrence, so that the same store has the same index
    rows = [array("i", (vocabulary.setdefault(w, len(vocabulary)) for w in words_of(p.text))) for p in store.passages]
    if not vocabulary:
        raise DataError(
            store.where, "no passage has a word in it", "BM25 finds passages by words", "retrieve by states"
        )
    index = library.BM25(k1=spec.k1, b=spec.b, method="lucene")
    index.index((rows, vocabulary), create_empty_token=False, show_progress=False)
    return index
