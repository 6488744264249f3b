"""Passages that have nothing to do with the query: as many tokens, no help. A control."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vslm.core.bounds import Seed
from vslm.core.seeds import derive_seed
from vslm.knowledge.retriever import Finder, Found, OpenModel, Query, Retriever, no_models
from vslm.knowledge.store import Store


@dataclass(frozen=True, kw_only=True)
class Random(Retriever):
    """Any passages but those of the query's own document, the same ones for the same query. Every score is 0.

    Args:
        seed: another one finds others.
    """

    seed: Seed = 0

    def open(self, store: Store, models: OpenModel = no_models) -> "RandomFinder":
        """Nothing is made."""
        del models
        return RandomFinder(store, self.seed)


class RandomFinder(Finder):
    """See `Random`."""

    def __init__(self, store: Store, seed: int) -> None:
        super().__init__(store)
        self._seed = seed

    def find_many(self, queries: Sequence[Query], k: int) -> list[list[Found]]:
        """Raw numbers of Philox alone are used, which no version of numpy changes."""
        return [self._found(query, k) for query in queries]

    def _found(self, query: Query, k: int) -> list[Found]:
        generator = np.random.Philox(key=derive_seed("random passages", self._seed, query.text))
        num, found = len(self.store), {}
        for number in (generator.random_raw(4 * k + 16) % np.uint64(num)).tolist():
            if len(found) == k:
                break
            if query.not_of is None or int(self.store.documents_N[number]) != query.not_of:
                found.setdefault(int(number))
        if len(found) < k:  # few passages, or most are of its own document: go through them, from a place that is drawn
            start = int(generator.random_raw() % np.uint64(num))
            may_be = np.roll(np.arange(num), -start)
            if query.not_of is not None:
                may_be = may_be[self.store.documents_N[may_be] != np.uint64(query.not_of)]
            for number in may_be.tolist():
                if len(found) == k:
                    break
                found.setdefault(number)
        return [Found(number, 0.0) for number in found]
