"""Which adapter a text asks for, by what each was trained on."""

import pytest
from small_store import untrained

from vslm.core.errors import DataError, SpecError
from vslm.knowledge.bm25 import BM25
from vslm.knowledge.random_passages import Random
from vslm.knowledge.routing import router_of
from vslm.knowledge.states import States

TEXTS = [
    ["Anna lives in Riga.", "Anna bakes bread.", "Anna bakes bread."],
    ["Boris lives in Oslo.", "Boris counts stars."],
    ["Clara has a boat."],
]
NAMES = ["a", "b", "c"]


def test_the_adapter_is_that_of_the_nearest_text() -> None:
    """By words, marks of a question left out; what is like nothing has none."""
    pytest.importorskip("bm25s")
    router = router_of(TEXTS, NAMES, BM25())
    asked = ["<ctx> <q> where does Boris live? <a>", "the boat of Clara", "Who is Anna?", "zebras"]
    found = router.choose_many(asked)
    assert [one and one.adapter for one in found] == [1, 2, 0, None]
    assert found[1] is not None
    assert found[1].text == "Clara has a boat."
    assert found[1].score > 0
    assert router.choose(asked[0]) == found[0]
    assert len(router.finder.store) == 5  # what is said twice is there once


def test_by_states_a_text_is_nearest_to_itself() -> None:
    """Of whatever model, trained or not."""
    router = router_of(TEXTS, NAMES, States(run="r"), lambda _: untrained())
    found = [router.choose(its[-1]) for its in TEXTS]
    assert [one and one.adapter for one in found] == [0, 1, 2]


def test_nothing_to_choose_from_is_refused() -> None:
    """One adapter, or one that was trained on nothing."""
    with pytest.raises(SpecError, match=r"--route: 1 adapter; .*two or more"):
        router_of(TEXTS[:1], NAMES[:1], Random())
    with pytest.raises(DataError, match=r"b: no text that it was trained on"):
        router_of([TEXTS[0], []], NAMES[:2], Random())
