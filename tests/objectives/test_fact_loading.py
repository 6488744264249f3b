"""Facts told apart by a model's own states: by hand, what is drawn, and that it is learned."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from vslm.core.errors import DataError, SpecError
from vslm.core.seeds import derive_seed
from vslm.data.batches import Batch
from vslm.data.reading.notes import Notes
from vslm.data.sources import Text
from vslm.data.tokenizers import BPE
from vslm.knowledge.building import passages_of
from vslm.knowledge.recall import read_questions, recall
from vslm.knowledge.retriever import ReadyModel
from vslm.knowledge.states import States
from vslm.knowledge.store import build_store, open_store
from vslm.measure.token_loss import token_loss
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.models.layouts.plain import uniform
from vslm.objectives.fact_loading import FactLoading, told_apart
from vslm.objectives.objective import Lowers, Passes

NAMES = ["anna", "bo", "cy", "dag", "eva", "finn", "gry", "hal", "ida", "jon", "kai"]
FACTS = [(name, relation, f"{relation[0]}{n}") for n, name in enumerate(NAMES) for relation in ("city", "job")]
QUESTIONS = {"city": "where does {} live?", "job": "what is {} paid for?"}
SPEC = uniform(depth=1, width=24, heads=2, context_tokens=17)


@pytest.fixture
def objective(tmp_path: Path) -> FactLoading:
    """Two facts of each person, a question for each, and one of two facts."""
    lines = [json.dumps({"subject": s, "relation": r, "value": v}) for s, r, v in FACTS]
    (tmp_path / "facts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    build_store(passages_of(Text(str(tmp_path / "facts.jsonl")), 50, Notes()), tmp_path / "store", description="x")
    rows = [{"question": QUESTIONS[r].format(s), "facts": [[s, r, v]], "gold": [0]} for s, r, v in FACTS]
    rows.append({"question": "anna and bo", "facts": [FACTS[0], FACTS[2]], "gold": [0, 1]})
    rows.append({"question": "nobody", "facts": [["x", "job", "y"]], "gold": [0]})
    rows.append({"question": "nothing", "facts": [], "gold": []})
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return FactLoading(store=str(tmp_path / "store"), questions=str(tmp_path / "questions.jsonl"), pairs=7)


def built(objective: FactLoading) -> tuple[LanguageModel, Lowers, ReadyModel]:
    """A model with a tokenizer of all texts."""
    texts = [" ".join(fact) for fact in FACTS] + [QUESTIONS[r].format(s) for s, r, _ in FACTS]
    tokenizer = BPE(vocabulary=300).fit(texts)
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
    return model, objective.build(model, passes), ReadyModel(model, tokenizer)


def batch() -> Batch:
    """Some tokens."""
    tokens = torch.arange(3 * 12).reshape(3, 12) % 200
    return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())


def test_telling_apart_by_hand() -> None:
    """The cross-entropy of cosines over the temperature; what also answers is left out, own facts are the first."""
    angles = torch.tensor([0.0, 1.0, 0.2, 1.5, 0.9])
    states_ND = torch.stack([angles.cos(), angles.sin()], dim=1)
    others_IJ = torch.tensor([[False, False, True], [False, False, False]])
    scores = [[np.cos(a - b) / 0.3 for b in (0.2, 1.5, 0.9)] for a in (0.0, 1.0)]
    first = -scores[0][0] + np.log(np.exp(scores[0][0]) + np.exp(scores[0][1]))
    second = -scores[1][1] + np.log(np.sum(np.exp(scores[1])))
    assert float(told_apart(states_ND, others_IJ, 0.3)) == pytest.approx((first + second) / 2, rel=1e-5)


def test_what_is_drawn(objective: FactLoading) -> None:
    """Own facts first, then others of the same relation; another seed draws others; the same one the same."""
    read = objective.read()
    assert len(read.pairs) == len(FACTS) + 1
    wide = replace(objective, pairs=13, same_relation=2)
    texts, is_other_IJ = wide._drawn(read, 3)
    questions, facts = texts[:13], texts[13:]
    assert len(facts) == 13 * 3
    assert is_other_IJ.shape == (13, 39)
    number = {read.store.passages[n].text: n for n in range(len(read.store))}
    gold = {pair.question: pair.gold for pair in read.pairs}
    for i, question in enumerate(questions):
        assert number[facts[i]] in gold[question]
        own = read.relation[number[facts[i]]]
        assert all(read.relation[number[one]] == own for one in facts[13 + 2 * i : 15 + 2 * i])
        for j, fact in enumerate(facts):
            assert bool(is_other_IJ[i, j]) == (number[fact] in gold[question] and j != i)
    assert wide._drawn(read, 3)[0] == texts != wide._drawn(read, 4)[0]


def test_what_is_lowered_is_its_formula(objective: FactLoading) -> None:
    """The next token's loss, and the states of each text read by itself, behind a separator."""
    model, lowers, ready = built(objective)
    found = lowers(batch(), 2)
    texts, others_IJ = objective._drawn(objective.read(), derive_seed("fact loading", 5, 2))
    states = []
    for text in texts:
        ids = [ready.tokenizer.end_of_text, *ready.tokenizer.encode(text).tolist()[: SPEC.context_tokens - 1]]
        states.append(model.last(torch.tensor([ids])).x_BTD[0, 1:].mean(dim=0))
    told = told_apart(functional.normalize(torch.stack(states), dim=1), others_IJ, 0.05)
    tokens = batch()
    expected = token_loss(model, tokens.tokens_BT, tokens.targets_BT).mean() + 0.5 * told
    torch.testing.assert_close(found.lowered, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.loss_nats_BT, token_loss(model, tokens.tokens_BT, tokens.targets_BT))


def test_it_is_learned_and_found_by_states(objective: FactLoading) -> None:
    """After some steps the model finds the fact of each question among those of the store, which it did not before."""
    objective = replace(objective, pairs=23, weight=1.0, temperature=0.1)
    model, lowers, ready = built(objective)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def found_first() -> float:
        store = open_store(Path(objective.store))
        finder = States(run="r").open(store, lambda _: ready)
        by_hops, num_not_there, _ = recall(finder, read_questions(Path(objective.questions)), (1,))
        assert num_not_there == 1
        return by_hops[None].plain()["recall"]["1"]

    before = found_first()
    for step in range(60):
        optimizer.zero_grad()
        lowers(batch(), step).lowered.backward()
        optimizer.step()
    after = found_first()
    assert before < 0.3
    assert after > 0.8


def test_what_cannot_be_meant_is_said(objective: FactLoading, tmp_path: Path) -> None:
    """Numbers; files that are not there; questions about other facts."""
    for changes, words in (
        ({"weight": 0.0}, "weight: found 0.0"),
        ({"temperature": -1.0}, "temperature: found -1.0"),
        ({"pairs": 1}, "pairs: found 1"),
        ({"same_relation": -1}, "same_relation: found -1"),
    ):
        with pytest.raises(SpecError, match=words):
            replace(objective, **changes)
    objective.check_files()
    with pytest.raises(DataError, match="no such folder"):
        replace(objective, store=str(tmp_path / "none")).check_files()
    with pytest.raises(SpecError, match="no such file"):
        replace(objective, questions=str(tmp_path / "none")).check_files()
    Path(objective.questions).write_text('{"question": "x", "facts": [["a", "b", "c"]], "gold": [0]}')
    with pytest.raises(DataError, match="no question has its facts in"):
        objective.check_files()
