"""Answers with loaded facts, of models whose answers are known; what is found, what has room, what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vslm.core.errors import DataError, SpecError
from vslm.data.corpus import Corpus
from vslm.data.preparing import prepare
from vslm.data.sources import AssociativeRecall, Worlds
from vslm.data.worlds.facts import fixed_world
from vslm.data.worlds.solver import parse_context, parse_question, solve
from vslm.data.worlds.universe import Universe
from vslm.knowledge.hops import Hops
from vslm.knowledge.loaded_answers import WAYS, LoadedAnswers
from vslm.knowledge.oracle import Oracle
from vslm.knowledge.random_passages import Random
from vslm.knowledge.retrieved import Retrieved
from vslm.knowledge.retriever import Finder, Found, OpenModel, Query, Retriever, no_models
from vslm.knowledge.states import OwnStates, States
from vslm.knowledge.store import Store
from vslm.knowledge.world_store import world_store
from vslm.models.initialization import Init
from vslm.models.layouts.plain import uniform

UNIVERSE = Universe(people=29, relations=("job", "lives_in", "friend"), first_names=16, last_names=32)
MEASURE = LoadedAnswers(universe=UNIVERSE, retriever=Oracle(), other=Random(seed=5), passages=3, num_examples=23)
CONTEXT_TOKENS = 71


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """For its tokenizer."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VSLM_HOME", str(tmp_path_factory.mktemp("home")))
        return prepare(Worlds(universe=UNIVERSE, num_documents=211, facts=(2,), context_tokens=CONTEXT_TOKENS))


class Answering(nn.Module):
    """Says what a function of the context and the question says comes next."""

    def __init__(self, corpus: Corpus, answer) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 5))
        self.tokenizer, self.answer = corpus.tokenizer, answer
        self.read: list[str] = []

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits; certain of the answer."""
        logits = torch.zeros(*tokens_BT.shape, self.tokenizer.vocabulary)
        mark = int(self.tokenizer.encode(" <a>")[0])
        for row, ids in enumerate(tokens_BT.tolist()):
            place = ids.index(mark)
            text = self.tokenizer.decode(ids[:place])
            self.read.append(text)
            context, _, question = text.removeprefix("<ctx>").partition(" <q> ")
            for step, token in enumerate(self.tokenizer.encode(f" {self.answer(context.strip(), question)}.")):
                if place + step < len(ids):
                    logits[row, place + step, token] = 20.0
        return logits


def from_context(context: str, question: str) -> str:
    """One that reads, and knows nothing."""
    try:
        return solve(parse_context(context), parse_question(question)) if context else "unknown"
    except (KeyError, StopIteration, IndexError, ValueError):
        return "unknown"


def from_weights(_: str, question: str) -> str:
    """One that knows the fixed world, and does not read."""
    return solve(fixed_world(UNIVERSE).facts(), parse_question(question))


def taken(corpus: Corpus, model: nn.Module, measure: LoadedAnswers = MEASURE) -> dict[str, np.ndarray]:
    """The numbers of one that answers in this way."""
    return measure.build(model=model, corpus=corpus, context_tokens=CONTEXT_TOKENS)(model)  # type: ignore[arg-type]


def test_the_store_of_a_world_has_each_of_its_facts_once() -> None:
    """As sentences that the solver reads back to the very facts."""
    store = world_store(UNIVERSE)
    assert len(store) == 3 * 29 == len({passage.document for passage in store.passages})
    read = [fact for passage in store.passages for fact in parse_context(passage.text)]
    assert read == fixed_world(UNIVERSE).facts()
    assert world_store(UNIVERSE).fingerprint == store.fingerprint != world_store(replace(UNIVERSE, seed=1)).fingerprint


def test_who_reads_is_right_with_what_was_found(corpus: Corpus) -> None:
    """Nothing without facts, all with those that answer; two hops need both; random ones help by luck alone."""
    model = Answering(corpus, from_context)
    found = taken(corpus, model)
    assert found["accuracy_nothing"] == 0
    assert found["accuracy_random"] < 0.2
    assert found["accuracy_other"] < 0.2
    names = ("accuracy", "accuracy_gold", "accuracy_one_hop", "accuracy_two_hop", "accuracy_where_whole")
    assert [found[name] for name in (*names, "recall", "whole")] == [1] * 7
    assert found["recall_K"].tolist() == pytest.approx([(1 + 0.5) / 2, 1, 1, 1, 1])
    assert found["accuracy_WH"][WAYS.index("gold")][:2].tolist() == [1, 1]
    assert np.isnan(found["accuracy_WH"][:, 2]).all()
    assert (found["num_questions"], found["num_left_out"], found["tokens_to_find"]) == (46, 0, 0)


def test_who_knows_needs_no_facts(corpus: Corpus) -> None:
    """The same with whatever in front."""
    found = taken(corpus, Answering(corpus, from_weights), replace(MEASURE, passages=0))
    assert found["accuracy_W"].tolist() == [1] * len(WAYS)
    assert found["recall"] == found["tokens_in_front"] == 0
    assert np.isnan(found["accuracy_where_whole"])


class Fixed(Finder):
    """Finds the facts that answer behind one that does not, or in front of it."""

    def __init__(self, store: Store, gold_at: int) -> None:
        super().__init__(store)
        self._gold_at = gold_at

    def find_many(self, queries: Sequence[Query], k: int) -> list[list[Found]]:
        """In that order."""
        rows = []
        for query in queries:
            others = [number for number in range(len(self.store)) if number not in query.gold]
            row = [*others[: self._gold_at], *query.gold, *others[self._gold_at :]]
            rows.append([Found(number, 1 / (place + 1)) for place, number in enumerate(row[:k])])
        return rows


@dataclass(frozen=True, kw_only=True)
class GoldAt(Retriever):
    """The facts that answer stand at this place."""

    place: int

    def open(self, store: Store, models: OpenModel = no_models) -> Fixed:
        """Nothing is made."""
        return Fixed(store, self.place)


@pytest.mark.parametrize(("place", "in_front"), [(0, True), (2, True), (3, False)])
def test_only_what_is_loaded_is_read(corpus: Corpus, place: int, in_front: bool) -> None:
    """Three facts of one hop: the fourth that is found stands in front of nothing."""
    model = Answering(corpus, from_context)
    measure = replace(MEASURE, types=("one_hop",), retriever=GoldAt(place=place))
    found = taken(corpus, model, measure)
    assert found["accuracy"] == found["recall"] == found["whole"] == float(in_front)
    assert found["recall_K"].tolist() == [float(place < k) for k in (1, 2, 3, 5, 10)]
    with_three = [text for text in model.read if text.count(".") == 3]
    assert len(with_three) == 4 * 23  # at random, by the other one, found, and the gold one with two at random


@pytest.mark.parametrize("first", [True, False])
def test_a_model_that_takes_a_place_does_not_look_as_if_it_read(corpus: Corpus, first: bool) -> None:
    """Whoever answers with the value that stands first, or last, is right where gold stands there: by luck alone."""

    def by_place(context: str, question: str) -> str:
        facts = parse_context(context) if context else []
        return facts[0 if first else -1].value if facts else "unknown"

    measure = replace(MEASURE, types=("one_hop",), retriever=GoldAt(place=0), passages=2, num_examples=101)
    found = taken(corpus, Answering(corpus, by_place), measure)
    for name in ("accuracy", "accuracy_gold"):
        assert 0.3 < found[name] < 0.7, name


def test_what_has_no_room_is_passed_over_and_counted(corpus: Corpus) -> None:
    """Where the context holds a question with one fact alone; and none at all is refused."""
    model = Answering(corpus, from_context)
    measure = replace(MEASURE, types=("one_hop",))
    longest = 32
    built = measure.build(model=model, corpus=corpus, context_tokens=longest)  # type: ignore[arg-type]
    found = built(model)  # type: ignore[arg-type]
    assert found["tokens_read"] <= longest
    assert 0 < found["tokens_in_front"] < 3 * 8
    measure = replace(measure, retriever=GoldAt(place=2))
    found = measure.build(model=model, corpus=corpus, context_tokens=longest)(model)  # type: ignore[arg-type]
    assert 0 < found["gold_without_room"] <= 1
    assert found["whole"] < 1
    with pytest.raises(DataError, match="no question fits into the context of 7 tokens"):
        measure.build(model=model, corpus=corpus, context_tokens=7)  # type: ignore[arg-type]


def test_a_model_finds_with_its_own_states_as_they_are_now(corpus: Corpus) -> None:
    """Other weights find other facts; what it reads to find is counted, once for each search."""
    model = uniform(depth=2, width=12, heads=2, context_tokens=CONTEXT_TOKENS).build(
        vocabulary=corpus.vocabulary, init=Init(3)
    )
    once = replace(MEASURE, retriever=OwnStates())
    take = once.build(model=model, corpus=corpus, context_tokens=CONTEXT_TOKENS)
    before = take(model)
    assert before["recall_K"].tolist() == sorted(before["recall_K"].tolist())
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    after = take(model)
    assert before["tokens_to_find"] == after["tokens_to_find"] > 5
    assert not np.array_equal(before["recall_K"], after["recall_K"]) or before["nats"] != after["nats"]
    twice = replace(MEASURE, retriever=Hops(by=OwnStates()))
    found = twice.build(model=model, corpus=corpus, context_tokens=CONTEXT_TOKENS)(model)
    assert found["tokens_to_find"] > 1.4 * before["tokens_to_find"]


def test_questions_of_a_run_that_chooses_are_others(corpus: Corpus) -> None:
    """In the words of validation, too."""
    asked = []
    for split in ("val", "select"):
        model = Answering(corpus, from_context)
        taken(replace(corpus, evaluated_split=split), model, replace(MEASURE, passages=0))  # type: ignore[arg-type]
        asked.append({text for text in model.read if text.startswith("<ctx> <q>")})
    assert asked[0]
    assert not asked[0] & asked[1]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"types": ()}, "types: none is given"),
        ({"types": ("negation",)}, "types.0: found 'negation'"),
        ({"passages": -1}, "passages: found -1"),
        ({"passages": 101}, "0 to 100"),
        ({"num_examples": 0}, "1 or more"),
    ],
)
def test_what_cannot_be_asked_is_refused(fields: dict, words: str) -> None:
    """Before any run."""
    with pytest.raises(SpecError, match=words):
        replace(MEASURE, **fields)


def test_what_does_not_fit_is_refused() -> None:
    """Other data, another world, the states of another run, questions that the universe has not; own states of a
    corpus that is prepared before there is a model.
    """
    model = uniform(depth=1, width=12, heads=2, context_tokens=CONTEXT_TOKENS)
    worlds = Worlds(universe=UNIVERSE)
    MEASURE.check_fits(model=model, source=worlds)
    for measure, source, words in (
        (MEASURE, AssociativeRecall(), "LoadedAnswers with data=AssociativeRecall"),
        (MEASURE, Worlds(universe=replace(UNIVERSE, seed=7)), "the same universe is needed"),
        (replace(MEASURE, retriever=Hops(by=States(run="runs/x"))), worlds, "retriever: it reads with runs/x"),
        (
            replace(MEASURE, universe=Universe(relations=("job",)), types=("two_hop",)),
            Worlds(universe=Universe(relations=("job",))),
            "two_hop about job",
        ),
    ):
        with pytest.raises(SpecError, match=words):
            measure.check_fits(model=model, source=source)
    with pytest.raises(SpecError, match="retriever: a corpus is prepared before any model"):
        Retrieved(source=worlds, store="x", retriever=Hops(by=OwnStates()))
