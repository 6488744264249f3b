"""What every retriever is: a spec that opens a store, and gives what finds passages in it.

    Retriever          a spec: BM25(), States(run=...), Random(), Oracle()
    open(store)        once; an index is made, or read where the store keeps one
    Finder             find(query, k) -> at most k passages with scores, best first

Not for: how passages are put in front of a text, see `preloading.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.data.tokenizers import FittedTokenizer
from vslm.knowledge.store import Store


class Query(NamedTuple):
    """What is searched for.

    Args:
        text: what is known when it is asked.
        not_of: `document_key` of a document whose passages are not found; None: all may be.
        answer: what the passages are to help with, and nobody knows yet. For `Oracle` alone.
        gold: numbers of the passages that hold it, where that is known. For `Oracle` alone.
    """

    text: str
    not_of: int | None = None
    answer: str = ""
    gold: tuple[int, ...] = ()


class Found(NamedTuple):
    """A passage by its number in the store, and its score; what a score is, its retriever says."""

    passage: int
    score: float


@dataclass(frozen=True)
class ReadyModel:
    """The model of a finished run, to read with.

    Args:
        model: a `LanguageModel` in evaluation mode.
        tokenizer: of its corpus.
    """

    model: Any
    tokenizer: FittedTokenizer


OpenModel = Callable[[str], ReadyModel]
"""Folder of a finished run -> its model. Whoever knows runs gives it."""
ASKING = ""
"""In place of a folder: the model that asks, as it is now."""


def no_models(run: str) -> ReadyModel:
    """For who has none to give. Raises: SpecError."""
    raise SpecError("retriever.run", f"{run}: no run is opened here", "", "prepare it by vslm plan or vslm run")


class Finder(ABC):
    """An opened store.

    Args:
        store: that is searched.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @abstractmethod
    def find_many(self, queries: Sequence[Query], k: int) -> list[list[Found]]:
        """For each query at most `k` different passages, best first; the same ones every time it is asked. Of equal
        scores the lower number comes first.
        """

    @property
    def num_tokens_read(self) -> int:
        """Tokens that a model read to find, since this was opened; 0 where none does."""
        return 0

    def find(self, query: Query, k: int) -> list[Found]:
        """The passages of one query."""
        return self.find_many([query], k)[0]


class Retriever(Spec, ABC):
    """Interface: how passages are found."""

    @abstractmethod
    def open(self, store: Store, models: OpenModel = no_models) -> Finder:
        """What finds passages in a store.

        Args:
            store: its passages.
            models: opens the runs of `runs()`.
        """

    def runs(self) -> tuple[str, ...]:
        """Folders of the finished runs that it reads with. Their weights are part of what it finds."""
        return ()

    @property
    def reads_with_asking(self) -> bool:
        """Whether it reads with the model that asks, so that what it finds changes while that is trained."""
        return False


def best(scores_N: np.ndarray, k: int) -> list[Found]:
    """The `k` highest of some scores; -inf is none. Of equal ones the lower number comes first.

    >>> [found.passage for found in best(np.array([1.0, 3.0, -np.inf, 3.0, 1.0]), 3)]
    [1, 3, 0]
    """
    k = min(k, len(scores_N))
    if k == 0:
        return []
    least = np.partition(scores_N, -k)[-k]
    among = np.flatnonzero((scores_N >= least) & (scores_N > -np.inf))
    order = among[np.argsort(-scores_N[among], kind="stable")][:k]
    return [Found(int(number), float(scores_N[number])) for number in order]
