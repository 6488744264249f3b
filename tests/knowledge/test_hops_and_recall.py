"""Finding twice, and how often what answers is found."""

import json
from pathlib import Path

import pytest
from test_store import written_facts

from vslm.cli import app
from vslm.core.errors import DataError, SpecError
from vslm.data.reading.notes import Notes
from vslm.data.sources import Text
from vslm.knowledge.bm25 import BM25
from vslm.knowledge.building import passages_of
from vslm.knowledge.hops import Hops
from vslm.knowledge.oracle import Oracle
from vslm.knowledge.passages import Fact
from vslm.knowledge.random_passages import Random
from vslm.knowledge.recall import Asked, Recall, read_questions, recall
from vslm.knowledge.retriever import Query
from vslm.knowledge.store import Store, build_store

FACTS = [
    ("ada lund", "friend", "bo riis"),
    ("ada lund", "pet", "cat"),
    ("bo riis", "job", "baker"),
    ("bo riis", "pet", "dog"),
    ("cy holm", "job", "judge"),
    ("cy holm", "friend", "ada lund"),
    ("dag moe", "job", "singer"),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Facts, three sentences each of the form "ada lund's friend is bo riis."."""
    return build_store(passages_of(written_facts(tmp_path, FACTS), 50, Notes()), tmp_path / "facts", description="x")[0]


def question(text: str, *gold: int, hops: int | None = None) -> Asked:
    """A question with the numbers of its facts."""
    return Asked(text, tuple(Fact(*FACTS[number]) for number in gold), hops)


def test_the_second_search_knows_what_the_first_found(store: Store) -> None:
    """The friend's job is found by the friend's name, which the question does not say."""
    pytest.importorskip("bm25s")
    query = Query("what is the job of the friend of ada lund?")
    once, twice = BM25().open(store), Hops(by=BM25()).open(store)
    assert [one.passage for one in once.find(query, 2)] != [0, 2]
    found = twice.find(query, 3)
    assert [one.passage for one in found][:2] == [0, 2]
    assert [one.score for one in found] == pytest.approx([1, 1 / 2, 1 / 3])
    assert [one.passage for one in twice.find(query, 1)] == [0]
    assert twice.find(Query("zebras"), 3) == []


def test_hops_that_are_none_are_refused() -> None:
    """One search is the retriever alone."""
    with pytest.raises(SpecError, match="hops: found 1"):
        Hops(by=Random(), hops=1)
    with pytest.raises(SpecError, match="by: Hops in Hops"):
        Hops(by=Hops(by=Random()))


def test_recall_is_counted_by_hand(store: Store) -> None:
    """By hops and k: a question of two facts of which one is found counts half; those without are left out."""
    questions = [
        question("the pet of ada lund", 1, hops=1),
        question("the job of bo riis", 2, hops=1),
        question("nothing", hops=1),
        Asked("the pet of nobody", (Fact("nobody", "pet", "cat"),), 1),
        question("the job of the friend of ada lund", 0, 2, hops=2),
    ]

    class Listed(type(Random().open(store))):  # type: ignore[misc]
        """Finds what is written here."""

        def find_many(self, queries, k):
            rows = {"the pet of ada lund": [1, 0], "the job of bo riis": [3, 4, 2]}
            numbers = [rows.get(query.text, [0, 5, 6, 2]) for query in queries]
            return [[type(self).found(number) for number in row[:k]] for row in numbers]

        @staticmethod
        def found(number: int):
            from vslm.knowledge.retriever import Found

            return Found(number, 0.0)

    by_hops, num_not_there, num_without = recall(Listed(store, 0), iter(questions), (1, 3, 4))
    assert (num_not_there, num_without) == (1, 1)
    assert by_hops[1].plain() == {
        "questions": 2,
        "recall": {"1": 0.5, "3": 1.0, "4": 1.0},
        "whole": {"1": 0.5, "3": 1.0, "4": 1.0},
    }
    assert by_hops[2].plain()["recall"] == {"1": 0.5, "3": 0.5, "4": 1.0}
    assert by_hops[2].plain()["whole"] == {"1": 0.0, "3": 0.0, "4": 1.0}
    assert isinstance(by_hops[2], Recall)
    asked = recall(Oracle().open(store), iter(questions), (1, 2), most=1)[0]
    assert asked[1].plain() == {"questions": 1, "recall": {"1": 1.0, "2": 1.0}, "whole": {"1": 1.0, "2": 1.0}}


def test_the_command_says_recall(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """By hops; as JSON; what cannot be asked is said."""
    rows = [
        {"question": "the pet of ada lund", "facts": [FACTS[1], FACTS[4]], "gold": [0], "hops": 1},
        {"question": "the job of dag moe", "facts": [FACTS[6]], "gold": [0], "hops": 1},
        {"question": "nobody's pet", "facts": [["x", "pet", "cat"]], "gold": [0], "hops": 1},
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    def run(*more: str) -> str:
        app(["store", "recall", str(store.folder), str(path), *more], result_action="return_value")
        return capsys.readouterr().out

    said = run("--by", "random", "--k", "7", "--k", "1").splitlines()
    assert said[0].startswith("1 hops, 2 questions: recall ")
    assert said[0].endswith("1.000 (1.000 whole) at 7")
    assert said[1] == "left out: 1 question whose facts are not in the store"
    plain = json.loads(run("--by", "random", "--hops", "2", "--json"))
    assert plain["hops"]["1"]["questions"] == 2
    assert plain["facts_not_in_store"] == 1
    for more, words in ((("--k", "0"), "--k: found 0"), (("--most", "0"), "--most: found 0")):
        with pytest.raises(SpecError, match=words):
            run("--by", "random", *more)
    path.write_text('{"question": "x", "facts": [], "gold": [3]}', encoding="utf-8")
    with pytest.raises(DataError, match=r"questions\.jsonl:1: no question with its facts \(IndexError"):
        run("--by", "random")
    path.write_text(json.dumps(rows[2]), encoding="utf-8")
    with pytest.raises(DataError, match="1 questions whose facts are not in the store"):
        run("--by", "random")
    with pytest.raises(SpecError, match="no such file"):
        [*read_questions(tmp_path / "none")]


def test_recall_is_of_facts(tmp_path: Path) -> None:
    """Passages of a text are none."""
    (tmp_path / "a.txt").write_text("One. Two. Three.")
    store, _ = build_store(passages_of(Text(str(tmp_path / "a.txt")), 5, Notes()), tmp_path / "s", description="x")
    with pytest.raises(DataError, match="its passages are no facts"):
        recall(Random().open(store), iter([question("x", 1)]), (1,))


def test_facts_without_a_text_are_worded(tmp_path: Path) -> None:
    """As worlds write them."""
    (tmp_path / "f.jsonl").write_text('{"subject": "ada lund", "relation": "lives_in", "value": "bastad"}')
    ((_, passage),) = passages_of(Text(str(tmp_path / "f.jsonl")), 50, Notes())()
    assert passage.text == "ada lund lives in bastad."
    assert passage.fact == Fact("ada lund", "lives_in", "bastad")
