"""What is hidden and not gone: values that a linear map reads, and answers of rounded weights."""

import numpy as np
import pytest
import torch

from vslm.core.errors import SpecError
from vslm.data.corpus import Corpus
from vslm.data.preparing import prepare
from vslm.data.sources import Worlds
from vslm.data.worlds.facts import facts_of
from vslm.data.worlds.universe import SomeFacts, Universe
from vslm.measure.answer_accuracy import AnswerAccuracy
from vslm.measure.measure import evaluating
from vslm.measure.quantized_answers import QuantizedAnswers, rounded, to_bits
from vslm.measure.value_probe import ValueProbe, _Relation, _states, held_out_right
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.models.layouts.plain import uniform

UNIVERSE = Universe(people=41, relations=("job", "lives_in", "friend"), num_values=5, first_names=16, last_names=32)
CONTEXT_TOKENS = 71


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """For its tokenizer."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VSLM_HOME", str(tmp_path_factory.mktemp("home")))
        return prepare(Worlds(universe=UNIVERSE, facts=(2,), num_documents=211, context_tokens=CONTEXT_TOKENS))


@pytest.fixture(scope="module")
def model(corpus: Corpus) -> LanguageModel:
    """That knows nothing."""
    spec = uniform(depth=2, width=24, heads=2, context_tokens=CONTEXT_TOKENS)
    return spec.build(vocabulary=corpus.vocabulary, init=Init(3))


def test_directions_that_people_share_are_read_and_others_are_not() -> None:
    """Values along shared directions, beside what is each person's own; values that are each person's own."""
    rng = np.random.default_rng(7)
    value_N = rng.integers(5, size=80)
    own_ND = rng.normal(size=(80, 13))
    shared_ND = own_ND + 4 * rng.normal(size=(5, 13))[value_N]
    assert held_out_right(shared_ND, value_N, 0.1) > 0.95
    assert held_out_right(own_ND, value_N, 0.1) < 0.4


def test_states_are_those_behind_the_name_and_behind_the_question(model: LanguageModel, corpus: Corpus) -> None:
    """As a pass over the text up to there gives them: what stands behind changes nothing."""
    facts = [fact for fact in facts_of(UNIVERSE) if fact.relation.name == "job"][:9]
    with evaluating(model):
        relation = _Relation.of(facts, corpus.tokenizer.encode, 0)
        entity_LND, answer_LND = _states(model, relation)
        for number in (0, 8):
            question = facts[number].relation.questions[0]
            before = question[: question.index("{s}")] + facts[number].subject
            for text, x_LND in (
                (f"<ctx> <q> {before}", entity_LND),
                (f"<ctx> <q> {question.replace('{s}', facts[number].subject)} <a>", answer_LND),
            ):
                ids = torch.from_numpy(corpus.tokenizer.encode(text).astype(np.int64))
                last_D = model.last(ids[None]).x_BTD[0, -1]
                np.testing.assert_allclose(x_LND[-1][number], last_D.numpy(), rtol=1e-4, atol=1e-5)


def test_a_model_that_knows_nothing_is_at_chance_with_both_values(model: LanguageModel, corpus: Corpus) -> None:
    """At every layer; the friend has no value of a kind, and is not asked for."""
    measure = ValueProbe(universe=UNIVERSE)
    assert [facts[0].relation.name for facts in measure._facts()] == ["job", "lives_in"]
    taken = measure.build(model=model, corpus=corpus, context_tokens=CONTEXT_TOKENS)(model)
    assert set(taken) == {*measure.arrays, *measure.numbers}
    for name in measure.arrays:
        assert taken[name].shape == (3,)
        assert (taken[name] < float(taken["chance"]) + 0.25).all(), name
    with pytest.raises(SpecError, match="no relation has 8 facts"):
        ValueProbe(universe=UNIVERSE, some=SomeFacts(end=0.05))


def test_rounded_weights_answer_and_are_put_back(model: LanguageModel, corpus: Corpus) -> None:
    """Matrices alone, to the bit as they were, also where asking fails."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with rounded(model, 4):
        changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name, p in model.named_parameters() if p.ndim >= 2}
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    with pytest.raises(KeyError), rounded(model, 4):
        raise KeyError
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    answers = AnswerAccuracy(universe=UNIVERSE, facts=(2,), num_examples=7, num_facts=5)
    plain, few, many = (
        measure.build(model=model, corpus=corpus, context_tokens=CONTEXT_TOKENS)(model)
        for measure in (answers, QuantizedAnswers(answers=answers, bits=2), QuantizedAnswers(answers=answers, bits=8))
    )
    assert set(plain) == set(few)
    assert 0 < abs(many["nats_s1"] - plain["nats_s1"]) < abs(few["nats_s1"] - plain["nats_s1"])
    with pytest.raises(SpecError, match="bits: found 1"):
        QuantizedAnswers(answers=answers, bits=1)


def test_rows_have_scales_of_their_own() -> None:
    """The largest of each row stays, and all others are a whole number of steps of that row."""
    weights = torch.randn(7, 13, generator=torch.Generator().manual_seed(2)) * torch.arange(1, 8)[:, None]
    found = to_bits(weights, 3)
    scale = weights.abs().amax(dim=1, keepdim=True) / 3
    torch.testing.assert_close(found / scale, (found / scale).round())
    assert ((found - weights).abs() <= scale / 2 + 1e-6).all()
    assert all(len(row.unique()) <= 7 for row in found)
