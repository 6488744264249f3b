"""What holds for every retriever. A new one is added to `RETRIEVERS` and gets all of it."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "knowledge"))
from small_store import DOCUMENTS, passages, untrained

from vslm.core.specs import Spec, from_plain, to_plain
from vslm.knowledge.bm25 import BM25
from vslm.knowledge.hops import Hops
from vslm.knowledge.oracle import Oracle
from vslm.knowledge.passages import document_key
from vslm.knowledge.random_passages import Random
from vslm.knowledge.retriever import ASKING, Finder, Query, Retriever
from vslm.knowledge.states import OwnStates, States
from vslm.knowledge.store import Store, build_store, open_store, store_of
from vslm.study.catalog import RETRIEVERS as KINDS

RETRIEVERS: dict[str, Retriever] = {
    "bm25": BM25(),
    "bm25 of long passages": BM25(k1=0.7, b=0.2),
    "states": States(run="runs/x/full/seed0"),
    "states of the first visit": States(run="runs/x/full/seed0", layer="path.0"),
    "own states": OwnStates(),
    "random": Random(seed=3),
    "oracle": Oracle(),
    "twice by words": Hops(by=BM25()),
    "twice by own states": Hops(by=OwnStates(layer="path.0")),
    "three times by states": Hops(by=States(run="runs/x/full/seed0"), hops=3),
}
QUERIES = [
    Query("Where does Boris bake bread?"),
    Query("Who lives in Riga, and what is in the harbor?", not_of=document_key(DOCUMENTS[0])),
    Query("the telescope of Clara", answer="the mill in the snow"),
]


@pytest.fixture(params=RETRIEVERS.values(), ids=RETRIEVERS.keys())
def retriever(request: pytest.FixtureRequest) -> Retriever:
    """Every retriever; those by words need the library."""
    by = request.param.by if isinstance(request.param, Hops) else request.param
    if isinstance(by, BM25 | Oracle):
        pytest.importorskip("bm25s", reason="bm25s is not installed: pip install 'vslm[retrieval]'")
    return request.param


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """In a folder."""
    numbered = [(str(number), passage) for number, passage in enumerate(passages())]
    return build_store(lambda: iter(numbered), tmp_path / "store", description="a test")[0]


def opened(retriever: Retriever, store: Store) -> Finder:
    """With the model that its run would have."""
    asked: list[str] = []

    def models(run: str):
        asked.append(run)
        return untrained()

    finder = retriever.open(store, models)
    assert tuple(asked) == (retriever.runs() or (ASKING,) * retriever.reads_with_asking)
    return finder


def test_every_retriever_of_the_catalog_is_here() -> None:
    """Each class at least once."""
    assert {type(one) for one in RETRIEVERS.values()} == set(KINDS.values())


def test_at_most_k_different_passages_best_first(retriever: Retriever, store: Store) -> None:
    """For every k, also more than there are; a smaller k finds the first of a larger one."""
    finder = opened(retriever, store)
    for query in QUERIES:
        all_found = finder.find(query, 101)
        assert 3 <= len(all_found) <= len(store)
        numbers = [found.passage for found in all_found]
        scores = [found.score for found in all_found]
        assert len(set(numbers)) == len(numbers)
        assert set(numbers) <= set(range(len(store)))
        assert scores == sorted(scores, reverse=True)
        assert np.isfinite(scores).all()
        for k in (0, 1, 3):
            assert [found.passage for found in finder.find(query, k)] == numbers[:k]


def test_none_is_of_the_document_that_is_left_out(retriever: Retriever, store: Store) -> None:
    """However many are asked for; and there are others."""
    finder = opened(retriever, store)
    for document in set(store.documents_N.tolist()):
        found = finder.find(Query("the harbor of Oslo, a boat and bread in Riga. She baked it", document), 101)
        assert found
        assert all(store.documents_N[one.passage] != document for one in found)


def test_the_same_is_found_again(retriever: Retriever, store: Store) -> None:
    """By another finder, from the store in memory, after the store was opened again, and for many queries at once."""
    finder = opened(retriever, store)
    first = [[found.passage for found in finder.find(query, 4)] for query in QUERIES]
    assert store.folder is not None
    for other in (store, open_store(store.folder), store_of(passages())):
        again = opened(retriever, other).find_many(QUERIES, 4)
        assert [[found.passage for found in row] for row in again] == first
        assert [row[0].score for row in again] == pytest.approx([finder.find(q, 1)[0].score for q in QUERIES], abs=1e-5)


def test_it_is_read_back_from_its_record(retriever: Retriever) -> None:
    """Spec -> plain -> spec is equal."""
    assert isinstance(retriever, Spec)
    assert from_plain(to_plain(retriever), KINDS) == retriever


def test_what_is_kept_has_no_pickle_and_damage_is_made_again(retriever: Retriever, store: Store) -> None:
    """Arrays and JSON alone; whatever file of it is cut or flipped, the same passages are found."""
    first = [found.passage for found in opened(retriever, store).find(QUERIES[2], 5)]
    assert store.folder is not None
    opened(retriever, store).find(QUERIES[2], 5)
    kept = [path for folder in store.folder.iterdir() if folder.is_dir() for path in folder.iterdir()]
    assert bool(kept) != (isinstance(retriever, Random) or retriever.reads_with_asking)
    for path in kept:
        if path.suffix == ".npy":
            np.load(path, allow_pickle=False)
        else:
            assert path.suffix == ".json"
    for path in kept:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        assert [found.passage for found in opened(retriever, store).find(QUERIES[2], 5)] == first


def test_a_store_that_cannot_be_written_is_searched(retriever: Retriever, store: Store, monkeypatch) -> None:
    """What would be kept there is made each time."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "no")

    first = [found.passage for found in opened(retriever, store).find(QUERIES[0], 5)]
    assert store.folder is not None
    for folder in store.folder.iterdir():
        if folder.is_dir():
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert [found.passage for found in opened(retriever, store).find(QUERIES[0], 5)] == first
    assert not [path for path in store.folder.iterdir() if path.is_dir()]
