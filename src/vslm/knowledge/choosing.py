"""Retrievers by the words of a command line."""

from vslm.core.errors import SpecError, nearest
from vslm.knowledge.bm25 import BM25
from vslm.knowledge.hops import Hops
from vslm.knowledge.random_passages import Random
from vslm.knowledge.retriever import Retriever
from vslm.knowledge.states import States

NAMES = ("bm25", "states", "random")


def chosen(by: str, *, run: str | None = None, layer: str | None = None, seed: int = 0, hops: int = 1) -> Retriever:
    """The retriever of that name.

    Args:
        by: one of `NAMES`.
        run: whose states; needed by "states" and by no other.
        layer: of it.
        seed: of "random".
        hops: searches, see `Hops`; 1: one.
    Raises: SpecError for another name, and "states" without a run.
    """
    if hops != 1:
        return Hops(by=chosen(by, run=run, layer=layer, seed=seed), hops=hops)
    if by == "bm25":
        return BM25()
    if by == "random":
        return Random(seed=seed)
    if by != "states":
        raise SpecError("--by", f"found {by!r}", nearest(by, NAMES))
    if run is None:
        do = "add --run runs/NAME/ARM/seed0"
        raise SpecError("--run", "not given", "states are those of the model of a finished run", do)
    return States(run=run, layer=layer)
