"""Facts of fresh worlds told apart: what is drawn, that it is learned, and that it serves a world never seen."""

from dataclasses import replace

import pytest
import torch

from vslm.core.errors import SpecError
from vslm.data.batches import Batch
from vslm.data.word_tokenizer import WorldWords
from vslm.data.worlds.solver import parse_context, parse_question
from vslm.data.worlds.universe import Universe
from vslm.knowledge.retriever import Query, ReadyModel
from vslm.knowledge.states import OwnStates
from vslm.knowledge.world_store import world_store
from vslm.measure.token_loss import token_loss
from vslm.models.initialization import Init
from vslm.models.layouts.plain import uniform
from vslm.objectives.fresh_fact_loading import FreshFactLoading, _Draw
from vslm.objectives.objective import Passes

UNIVERSE = Universe(people=13, relations=("job", "pet", "friend"), num_values=7, first_names=16, last_names=16)
OBJECTIVE = FreshFactLoading(universe=UNIVERSE, pairs=11, same_relation=2, same_subject=1)
SPEC = uniform(depth=1, width=24, heads=2, context_tokens=31)


def test_what_is_drawn() -> None:
    """Own facts first, each of which answers its question; others of the relation, others of the subject; all of names
    of training; another seed draws others, the same one the same.
    """
    texts, is_other_IJ = _Draw(OBJECTIVE)(3)
    questions, facts = texts[:11], [parse_context(text)[0] for text in texts[11:]]
    assert len(facts) == 11 * 4
    assert is_other_IJ.shape == (11, 44)
    names = set(UNIVERSE.names("train"))
    for i, question in enumerate(questions):
        query = parse_question(question)
        own, others = facts[i], facts[11 + 3 * i : 14 + 3 * i]
        assert (own.subject, own.relation) == (query.entities[0], query.relations[0])
        assert own.subject in names
        assert [one.relation for one in others[:2]] == [own.relation] * 2
        assert all(one.subject != own.subject for one in others[:2])
        assert others[2].subject == own.subject
        assert others[2].relation is not own.relation
        for j, fact in enumerate(facts):
            is_same = (fact.subject, fact.relation) == (own.subject, own.relation)
            assert bool(is_other_IJ[i, j]) == (is_same and j != i)
    draw = _Draw(OBJECTIVE)
    assert draw(3)[0] == texts != draw(4)[0]


def test_the_second_hop_is_found_by_what_is_left() -> None:
    """Of a question of two hops the first fact by the question, the second by what `Hops` searches with then."""
    draw = _Draw(replace(OBJECTIVE, types=("two_hop",), pairs=29))
    texts, is_other_IJ = draw(5)
    facts = [parse_context(text)[0] for text in texts[29:]]
    firsts = [i for i in range(29) if facts[i].relation.name == "friend"]
    assert 5 < len(firsts) < 24
    for i, query in enumerate(texts[:29]):
        if i in firsts:
            assert facts[i].subject in query
            continue
        assert [name for name in UNIVERSE.names("train") if name in query] == [facts[i].subject]
    assert is_other_IJ.sum() < 29 * 5


def test_it_learns_to_find_in_a_world_that_it_never_saw() -> None:
    """Steps on fresh worlds; afterwards the facts of the fixed one are found by states, which they were not before."""
    tokenizer = WorldWords(universe=UNIVERSE).fit(())
    model = SPEC.build(vocabulary=tokenizer.vocabulary, init=Init(0))
    passes = Passes(
        spec=SPEC,
        token_loss=lambda tokens_BT, targets_BT: token_loss(model, tokens_BT, targets_BT),
        made=lambda function, module: function,
        data_seed=5,
        finished_model=lambda run: pytest.fail(run),
        encode=tokenizer.encode,
        separator=tokenizer.end_of_text,
    )
    lowers = replace(OBJECTIVE, weight=1.0, temperature=0.1, pairs=17).build(model, passes)
    tokens = torch.arange(3 * 12).reshape(3, 12) % 200
    batch = Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
    store = world_store(UNIVERSE)
    queries = [f"what is the job of {passage.fact.subject}?" for passage in store.passages[:13] if passage.fact]
    assert [passage.fact.relation for passage in store.passages[:13] if passage.fact] == ["job"] * 13

    def found_first() -> float:
        finder = OwnStates().open(store, lambda _: ReadyModel(model, tokenizer))
        rows = finder.find_many([Query(text) for text in queries], 1)
        return sum(row[0].passage == n for n, row in enumerate(rows)) / len(rows)

    before = found_first()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(80):
        optimizer.zero_grad()
        lowers(batch, step).lowered.backward()
        optimizer.step()
    assert before < 0.5
    assert found_first() > 0.8


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"weight": 0.0}, "weight: found 0"),
        ({"temperature": -1.0}, "temperature: found -1"),
        ({"pairs": 1}, "pairs: found 1"),
        ({"same_relation": -1}, "same_relation: found -1"),
        ({"same_subject": -1}, "same_subject: found -1"),
        ({"types": ("negation",)}, "types.0: found 'negation'"),
        ({"types": ()}, "types: no type about"),
        ({"types": ("two_hop",), "universe": Universe(relations=("job",))}, "types: two_hop about job"),
    ],
)
def test_what_cannot_be_meant_is_said(fields: dict, words: str) -> None:
    """Before any run."""
    with pytest.raises(SpecError, match=words):
        replace(OBJECTIVE, **fields)
