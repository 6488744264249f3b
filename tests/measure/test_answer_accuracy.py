"""Answers of models whose answers are known: one that knows the fixed world, one that reads, one that knows nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vslm.core.errors import DataError, SpecError
from vslm.data.corpus import Corpus
from vslm.data.preparing import prepare
from vslm.data.sources import Worlds
from vslm.data.worlds.facts import facts_of, fixed_world
from vslm.data.worlds.solver import parse_context, parse_question, solve
from vslm.data.worlds.universe import SomeFacts, Universe
from vslm.measure.answer_accuracy import AnswerAccuracy

UNIVERSE = Universe(people=29, relations=("job", "lives_in", "country", "friend"), first_names=16, last_names=32)
MEASURE = AnswerAccuracy(universe=UNIVERSE, facts=(3, 5), num_examples=24, num_facts=23)
CONTEXT_TOKENS = 149


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """For its tokenizer."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VSLM_HOME", str(tmp_path_factory.mktemp("home")))
        return prepare(Worlds(universe=UNIVERSE, world="both", num_documents=499, context_tokens=CONTEXT_TOKENS))


class Answering(nn.Module):
    """Says what a function of the text before it says comes next: one-hot logits behind `<a>`, else nothing."""

    def __init__(self, corpus: Corpus, answer) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 5))
        self.beside: list[nn.Module] = []  # adapters that are on
        self.tokenizer, self.answer = corpus.tokenizer, answer

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits; certain of the answer."""
        logits = torch.zeros(*tokens_BT.shape, self.tokenizer.vocabulary)
        mark = int(self.tokenizer.encode(" <a>")[0])
        for row, ids in enumerate(tokens_BT.tolist()):
            if mark not in ids:
                continue
            place = ids.index(mark)
            context, _, question = self.tokenizer.decode(ids[:place]).removeprefix("<ctx>").partition(" <q> ")
            said = self.answer(context.strip(), question)
            for step, token in enumerate(self.tokenizer.encode(f" {said}.")):
                if place + step < len(ids):
                    logits[row, place + step, token] = 20.0
        return logits


def from_context(context: str, question: str) -> str:
    """One that reads, and knows nothing."""
    return solve(parse_context(context), parse_question(question))


def from_weights(_: str, question: str) -> str:
    """One that knows the fixed world, and does not read."""
    return solve(fixed_world(UNIVERSE).facts(), parse_question(question))


def taken(corpus: Corpus, answer, measure: AnswerAccuracy = MEASURE) -> dict[str, np.ndarray]:
    """The numbers of one that answers in this way."""
    model = Answering(corpus, answer)
    return measure.build(model=model, corpus=corpus, context_tokens=CONTEXT_TOKENS)(model)  # type: ignore[arg-type]


def test_who_reads_answers_from_the_context_alone(corpus: Corpus) -> None:
    """All of what is open, nothing of what is closed; the counterfactual, "unknown" where nothing answers."""
    found = taken(corpus, from_context)
    assert [found[f"accuracy_s{n}"] for n in range(1, 7)] == [0, 0, 1, 1, 1, 1]
    assert found["context_reading"] == found["follows_context"] == found["composition"] == found["unknown_rate"] == 1
    assert found["separation"] == 1
    assert found["through_context"] == found["memorization_ratio"] == found["memory_rate"] == found["copy_rate"] == 0
    assert found["knowledge_in_weights"] < 0  # even a guess would be right at times
    assert found["nats_s4"] < 1e-4 < 1 < found["nats_s1"]
    assert np.nanmin(found["accuracy_PQ"][3]) == 1
    assert found["bits_stored"] == found["bits_asked"] == found["bits_never_seen"] == 0


def test_who_knows_answers_from_the_weights_alone(corpus: Corpus) -> None:
    """All of the fixed world, open or closed, nothing of a fresh one, and against the context."""
    found = taken(corpus, from_weights)
    assert found["accuracy_s1"] == found["knowledge_in_weights"] == found["memorization_ratio"] == 1
    assert found["memory_rate"] == 1
    assert found["accuracy_s2"] == found["accuracy_s5"] == found["unknown_rate"] == found["follows_context"] == 0
    assert found["accuracy_s4"] < 0.35  # "unknown" is right at times
    assert found["through_context"] == pytest.approx(found["accuracy_s3"] - found["accuracy_s4"])
    facts = 29 * 3
    bits = [UNIVERSE.bits_of(fact.relation) for fact in fixed_world(UNIVERSE).facts() if fact.relation.of == "person"]
    assert found["bits_asked"] == pytest.approx(facts * np.mean(bits), rel=0.1)  # of some facts, for all
    assert found["bits_stored"] == 0  # it says nothing where there is no question


def test_who_picks_any_value_of_the_kind_does_not_match_names(corpus: Corpus) -> None:
    """It is far above a guess, and `context_matching` is about 0; who reads is at 1."""

    def any_of_kind(context: str, question: str) -> str:
        kind = parse_question(question).relations[-1].kind
        values = [fact.value for fact in parse_context(context) if fact.relation.kind == kind]
        return values[len(question) % len(values)] if values else "unknown"

    measure = replace(MEASURE, splits=("S4",), types=("one_hop",), num_examples=199)
    picks, reads = (taken(corpus, answer, measure) for answer in (any_of_kind, from_context))
    assert picks["context_reading"] > 0.3
    assert abs(picks["context_matching"]) < 0.12
    assert picks["picked_s4"] == reads["picked_s4"] == pytest.approx(float(picks["accuracy_s4"]), abs=0.07)
    assert reads["context_matching"] == 1
    alone = taken(corpus, from_context, replace(measure, facts=(1,)))
    assert alone["picked_s4"] == 1
    assert np.isnan(alone["context_matching"])  # with one fact in front there is nothing to match


def test_who_says_anything_is_measured_by_hand(corpus: Corpus) -> None:
    """The same answer to everything: right as often as it stands there, and the loss is that of an even guess."""
    value = "bastad"
    found = taken(corpus, lambda context, question: value, replace(MEASURE, splits=("S3",), types=("one_hop",)))
    assert found["accuracy_PQ"][2, 0] == found["accuracy_s3"] == found["accuracy_PH"][2, 0]
    assert np.isnan(found["accuracy_s4"])
    assert np.isnan(found["accuracy_PQ"][2, 1:]).all()
    assert found["num_examples_P"].tolist() == [0, 0, 24, *[0] * 9]
    assert 0 <= found["accuracy_s3"] < 0.2
    assert 1 / 64 <= found["chance_P"][2] <= 1 / 16


def test_what_the_context_does_not_hold_is_left_out_and_counted(corpus: Corpus) -> None:
    """And a split of which nothing is left is refused."""
    model = Answering(corpus, from_context)
    measure = replace(MEASURE, splits=("S4",), facts=(2, 12), types=("one_hop",))
    found = measure.build(model=model, corpus=corpus, context_tokens=61)(model)  # type: ignore[arg-type]
    assert found["num_examples_P"][3] + found["num_left_out_P"][3] == 24
    assert 6 <= found["num_left_out_P"][3] <= 18
    with pytest.raises(DataError, match=r"S8: the shortest of its examples has \d+ tokens, and the context 61"):
        replace(measure, splits=("S8",)).build(model=model, corpus=corpus, context_tokens=61)  # type: ignore[arg-type]


def test_a_run_that_chooses_is_asked_other_questions(corpus: Corpus) -> None:
    """About other people of fresh worlds, and none of those that are judged by."""
    model = Answering(corpus, from_context)
    asked = []
    for split in ("val", "select"):
        opened = replace(corpus, evaluated_split=split)
        measure = replace(MEASURE, splits=("S3", "S4"))
        evaluator = measure.build(model=model, corpus=opened, context_tokens=CONTEXT_TOKENS)  # type: ignore[arg-type]
        asked.append({corpus.tokenizer.decode(one.ids) for one in evaluator._asked})  # type: ignore[attr-defined]
    assert len(asked[0]) > 100
    assert not asked[0] & asked[1]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"splits": ("S13",)}, "no split"),
        ({"splits": ("val",)}, "are judged by"),
        ({"splits": ()}, "none is given"),
        ({"facts": (0,)}, "1 to 128"),
        ({"num_examples": 0}, "1 or more"),
        ({"num_facts": -1}, "0 or more"),
    ],
)
def test_what_cannot_be_asked_is_refused(fields: dict, words: str) -> None:
    """Before any run."""
    with pytest.raises(SpecError, match=words):
        replace(MEASURE, **fields)


def test_a_part_of_the_facts_is_asked_about_alone(corpus: Corpus) -> None:
    """One that knows a part of the fixed world answers all of that part and nothing of the rest; bits are scaled by how
    many facts there are.
    """
    part, rest = SomeFacts(end=0.4), SomeFacts(first=0.4)
    known = {(fact.subject, fact.relation.name): fact.value for fact in facts_of(UNIVERSE, part)}

    def knows(context: str, question: str) -> str:
        query = parse_question(question)
        return known.get((query.entities[0], query.relations[0].name), "nothing")

    found = []
    for some in (part, rest):
        measure = replace(MEASURE, some=some, splits=("S1", "S3"))
        evaluator = measure.build(model=Answering(corpus, knows), corpus=corpus, context_tokens=CONTEXT_TOKENS)  # type: ignore[arg-type]
        taken = evaluator(Answering(corpus, knows))  # type: ignore[arg-type]
        found.append(float(taken["accuracy_s1"]))
        assert taken["num_examples_P"].sum() == 2 * MEASURE.num_examples
    assert found == [1.0, 0.0]
    with pytest.raises(SpecError, match="some: none of"):
        replace(MEASURE, some=SomeFacts(end=1e-9))
