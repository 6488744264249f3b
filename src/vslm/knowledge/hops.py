"""Find, put what was found in place of what it answers, find again: for questions whose answer is two facts away."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from vslm.core.bounds import Loops
from vslm.core.errors import SpecError
from vslm.knowledge.bm25 import BM25
from vslm.knowledge.passages import words_of
from vslm.knowledge.retriever import Finder, Found, OpenModel, Query, Retriever, no_models
from vslm.knowledge.store import Store


@dataclass(frozen=True, kw_only=True)
class Hops(Retriever):
    """The best passage for the query, then the best other one for what the query still asks with what was found.

        q_1 = words of the query,   p_i = the best passage for q_i that is not among p_1 ... p_{i-1}
        q_{i+1} = words of q_i that are not in p_i, then words of p_i that are not in q_i

    "What is the job of Ada's friend?" finds who Ada's friend is; what is left is the job, and what is new the friend's
    name. (With the passage behind the whole query, its words count twice, and others who have Ada for a friend come
    before the friend's job.) Behind the best of each search stands the second of each, and so on. The score is
    1 / place: those of different queries do not compare.

    Cost: `hops` searches.

    Args:
        by: how passages are found.
        hops: searches, 2 or more.
    """

    by: Retriever = BM25()
    hops: Loops = 2

    def check(self) -> None:
        """Refuse fewer than two, and hops of hops."""
        if self.hops < 2:
            raise SpecError("hops", f"found {self.hops}", "2 or more are needed", "one search is `by` alone")
        if isinstance(self.by, Hops):
            raise SpecError("by", "Hops in Hops", "one of them finds again and again", "give it more hops")

    def open(self, store: Store, models: OpenModel = no_models) -> "HopsFinder":
        """Open the other one. Raises: as it does."""
        return HopsFinder(store, self.by.open(store, models), self.hops)

    def runs(self) -> tuple[str, ...]:
        """Those of the other one."""
        return self.by.runs()

    @property
    def reads_with_asking(self) -> bool:
        """As the other one."""
        return self.by.reads_with_asking


class HopsFinder(Finder):
    """See `Hops`."""

    def __init__(self, store: Store, by: Finder, hops: int) -> None:
        super().__init__(store)
        self._by, self._hops = by, hops

    @property
    def num_tokens_read(self) -> int:
        """Of the other one, in all searches."""
        return self._by.num_tokens_read

    def find_many(self, queries: Sequence[Query], k: int) -> list[list[Found]]:
        """All queries at once, hop by hop."""
        if k == 0:
            return [[] for _ in queries]
        lists: list[list[list[int]]] = [[] for _ in queries]  # of each query, what each of its searches found
        asked = list(queries)
        for hop in range(self._hops):
            found = self._by.find_many(asked, k + hop)
            for number, row in enumerate(found):
                best_before = [one[0] for one in lists[number] if one]
                others = [one.passage for one in row if one.passage not in best_before]
                lists[number].append(others)
                if others:
                    text = what_is_left(asked[number].text, self.store.passages[others[0]].text)
                    asked[number] = asked[number]._replace(text=text)
        return [_in_turns(searches, k) for searches in lists]


def _in_turns(searches: Sequence[Sequence[int]], k: int) -> list[Found]:
    """The best of each search, then the second of each, and so on; none twice."""
    turns = zip_longest(*searches)
    order = dict.fromkeys(passage for turn in turns for passage in turn if passage is not None)
    return [Found(passage, 1 / place) for place, passage in enumerate([*order][:k], start=1)]


def what_is_left(query: str, passage: str) -> str:
    """Words of the query that the passage has not, then words of the passage that the query has not; of two texts with
    the same words the passage.

    >>> what_is_left("What is the job of Ada's friend?", "Ada's friend is Bo.")
    'what the job of bo'
    """
    asked, found = words_of(query), words_of(passage)
    left = [word for word in asked if word not in set(found)] + [word for word in found if word not in set(asked)]
    return " ".join(left) or passage
