"""Which of some adapters a text asks for: the one that was trained on what is most like it.

    store     every text that an adapter was trained on, each with the number of its adapter
    router    a retriever of that store: the best passage for a text tells the adapter

So whatever finds passages chooses adapters: `BM25()` by words, `States(run=...)` by the states of the model without
any adapter. We differ from a key for each adapter (the mean state of its texts): a world's statements lie far apart,
and the nearest one tells more than their mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vslm.core.errors import DataError, SpecError
from vslm.knowledge.passages import Passage
from vslm.knowledge.preloading import searched
from vslm.knowledge.retriever import Finder, OpenModel, Query, Retriever, no_models
from vslm.knowledge.store import store_of

_FEWEST = 2


class Route(NamedTuple):
    """What was chosen.

    Args:
        adapter: its place among those that were given.
        score: of the text that decided, as the retriever has it.
        text: which that was.
    """

    adapter: int
    score: float
    text: str


@dataclass(frozen=True)
class Router:
    """Chooses among adapters.

    Args:
        finder: of the texts; `Passage.document` of each is the place of its adapter.
    """

    finder: Finder

    def choose_many(self, texts: Sequence[str]) -> list[Route | None]:
        """The adapter of each text, which is searched with up to its answer; None where nothing like it is known."""
        found = self.finder.find_many([Query(searched(text)) for text in texts], 1)
        passages = self.finder.store.passages
        return [
            Route(passages[row[0].passage].document, row[0].score, passages[row[0].passage].text) if row else None
            for row in found
        ]

    def choose(self, text: str) -> Route | None:
        """The adapter of one text."""
        return self.choose_many([text])[0]


def router_of(
    texts: Sequence[Sequence[str]], names: Sequence[str], retriever: Retriever, models: OpenModel = no_models
) -> Router:
    """A router among adapters.

    Args:
        texts: what each was trained on.
        names: of the adapters, for messages.
        retriever: how a text is compared with them.
        models: opens the runs that the retriever reads with.
    Raises: SpecError for fewer than two adapters; DataError for one without a text; as the retriever does.
    """
    if len(texts) < _FEWEST:
        found = f"{len(texts)} adapter{'' if len(texts) == 1 else 's'}"
        raise SpecError("--route", found, "it chooses among two or more", "name more with --adapter, or leave it out")
    for name, its in zip(names, texts, strict=True):
        if not its:
            raise DataError(name, "no text that it was trained on", "a router compares with it", "leave it out")
    passages = [Passage(text, place) for place, its in enumerate(texts) for text in dict.fromkeys(its)]
    return Router(retriever.open(store_of(passages, "what adapters were trained on"), models))
