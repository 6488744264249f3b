"""Passages found by who knows the answer: what retrieval could be worth at most. A control."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from vslm.knowledge.bm25 import BM25
from vslm.knowledge.retriever import Finder, Found, OpenModel, Query, Retriever, no_models
from vslm.knowledge.store import Store


@dataclass(frozen=True, kw_only=True)
class Oracle(Retriever):
    """The passages that the example names (`Query.gold`), in their order, each with the score 1.

    An ordinary text names none; then those that BM25 finds for the query and for what is to be predicted, with its
    scores. That leaks on purpose: a result with it is an upper bound, never a model.

    Cost: of BM25.
    """

    def open(self, store: Store, models: OpenModel = no_models) -> "OracleFinder":
        """Nothing is made before an example names no passage; then the index of BM25, see there."""
        del models
        return OracleFinder(store)


class OracleFinder(Finder):
    """See `Oracle`."""

    @cached_property
    def _by_words(self) -> Finder:
        return BM25().open(self.store)

    def find_many(self, queries: Sequence[Query], k: int) -> list[list[Found]]:
        """What the examples name, or what their answers find."""
        return [self._found(query, k) for query in queries]

    def _found(self, query: Query, k: int) -> list[Found]:
        if query.gold:
            numbers = dict.fromkeys(number for number in query.gold if self._may_be(number, query.not_of))
            return [Found(number, 1.0) for number in [*numbers][:k]]
        return self._by_words.find(query._replace(text=f"{query.text} {query.answer}"), k)

    def _may_be(self, number: int, not_of: int | None) -> bool:
        return not_of is None or int(self.store.documents_N[number]) != not_of
