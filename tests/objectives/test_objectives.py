"""Objectives by hand, and what all of them keep: parts that add up, and the loss of the text for the record."""

import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vslm.core.errors import DataError, SpecError
from vslm.core.specs import from_plain, to_plain
from vslm.data.batches import Batch
from vslm.data.reading.notes import Notes
from vslm.data.sources import Text
from vslm.data.worlds.universe import Universe
from vslm.knowledge.building import passages_of
from vslm.knowledge.store import build_store
from vslm.measure.token_loss import token_loss
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.layouts.patterns import INJECT_SUM, ahead, looped
from vslm.models.layouts.plain import uniform
from vslm.models.path.repeats import UniformLoops
from vslm.objectives.context_distillation import ContextDistillation
from vslm.objectives.distillation import Distillation, divergence
from vslm.objectives.drawn_loops import DrawnLoops
from vslm.objectives.excess_loss import ExcessLoss
from vslm.objectives.exits import Exits
from vslm.objectives.fact_loading import FactLoading
from vslm.objectives.forget import Forget, Retain
from vslm.objectives.fresh_fact_loading import FreshFactLoading
from vslm.objectives.gap_gated import GapGated, gate
from vslm.objectives.gradient_ascent import GradientAscent
from vslm.objectives.max_entropy import MaxEntropy
from vslm.objectives.next_token import NextToken
from vslm.objectives.npo import NPO
from vslm.objectives.objective import Further, Lowered, Lowers, Objective, Passes
from vslm.objectives.priors import priors_of
from vslm.study.catalog import FORGETTERS, KINDS, OBJECTIVES

VOCABULARY, CONTEXT_TOKENS = 29, 11
PLAIN = uniform(depth=2, width=12, heads=2, context_tokens=CONTEXT_TOKENS)
DRAWN = looped(
    uniform(depth=3, width=12, heads=2, context_tokens=CONTEXT_TOKENS),
    times=2,
    inject=INJECT_SUM,
    training=UniformLoops(counts=(1, 2, 3)),
)
LONGER = dataclasses.replace(PLAIN, context_tokens=CONTEXT_TOKENS + 3)  # the teacher's
TEACHER = "runs/teacher/plain/seed0"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoPasses(Objective):
    """The loss, and how far two passes with other dropout are from each other: a second pass over the same batch."""

    weight: float = 0.5

    def build(self, model: LanguageModel, passes: Passes) -> Lowers:
        """Both passes are one function."""

        def both(tokens_BT: Tensor, targets_BT: Tensor) -> tuple[Tensor, Tensor]:
            first_BTV, second_BTV = model(tokens_BT), model(tokens_BT)
            loss_NV = functional.cross_entropy(first_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none")
            return loss_NV.view(targets_BT.shape), divergence(first_BTV.detach(), second_BTV, 1.0)

        made = passes.made(both, model)

        def lowers(batch: Batch, step: int) -> Lowered:
            loss_BT, apart_BT = made(batch.tokens_BT, batch.targets_BT)
            return Lowered(batch.mean(loss_BT) + self.weight * batch.mean(apart_BT), loss_BT)

        return lowers


def _fact_loading() -> FactLoading:
    """With facts and questions of its own, which no test changes."""
    folder = Path(tempfile.mkdtemp(prefix="vslm-facts-"))
    facts = [(f"n{number}", f"r{number % 3}", f"v{number}") for number in range(13)]
    names = ("subject", "relation", "value")
    lines = [json.dumps(dict(zip(names, fact, strict=True))) for fact in facts]
    (folder / "facts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    build_store(passages_of(Text(str(folder / "facts.jsonl")), 50, Notes()), folder / "store", description="facts")
    rows = [{"question": f"q n{n} {r}", "facts": [[n, r, v]], "gold": [0]} for n, r, v in facts]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return FactLoading(
        store=str(folder / "store"), questions=str(folder / "questions.jsonl"), pairs=5, weight=0.01, temperature=1.0
    )


SOURCE, FEW = Text("corpus.txt"), Universe(people=17, first_names=16, last_names=32)
CASES: dict[str, tuple[Model, Objective]] = {
    "next token": (PLAIN, NextToken()),
    "next token of a model with exits": (ahead(PLAIN, tokens=3), NextToken()),
    "exits": (ahead(PLAIN, tokens=3), Exits()),
    "drawn loops": (DRAWN, DrawnLoops()),
    "distillation": (PLAIN, Distillation(teacher=TEACHER)),
    "distillation alone, of drawn loops": (DRAWN, DrawnLoops(objective=Distillation(teacher=TEACHER, weight=1.0))),
    "excess loss": (PLAIN, ExcessLoss(teacher=TEACHER)),
    "context distillation": (PLAIN, ContextDistillation(context="abc", weight=0.6)),
    "fact loading": (PLAIN, _fact_loading()),
    "fact loading of drawn loops": (DRAWN, DrawnLoops(objective=_fact_loading())),
    "fresh fact loading": (
        PLAIN,
        FreshFactLoading(
            universe=Universe(people=17, first_names=16, last_names=32), pairs=3, weight=0.01, temperature=1.0
        ),
    ),
    "two passes": (PLAIN, TwoPasses()),
    "forgetting by the prior": (PLAIN, Forget(forget=SOURCE, by=MaxEntropy())),
    "forgetting by preference, some kept": (
        PLAIN,
        Forget(forget=SOURCE, by=NPO(beta=0.7), weight=0.3, retain=Retain(source=SOURCE, weight=1.3)),
    ),
    "forgetting by ascent": (PLAIN, Forget(forget=SOURCE, by=GradientAscent(), weight=0.2)),
    "forgetting of drawn loops": (DRAWN, DrawnLoops(objective=Forget(forget=SOURCE, by=NPO()))),
    "gap-gated": (PLAIN, GapGated(closed=SOURCE, weight=0.7)),
}


def test_every_class_of_the_catalog_is_tried() -> None:
    """A new one belongs into the cases above."""
    assert set(OBJECTIVES.values()) <= {type(objective) for _, objective in CASES.values()}
    ways = {type(objective.by) for _, objective in CASES.values() if isinstance(objective, Forget)}
    assert set(FORGETTERS.values()) == ways


def passes_of(spec: Model, model: LanguageModel, made: Callable | None = None) -> Passes:
    """Eager ones, and a teacher of other weights."""
    return Passes(
        spec=spec,
        token_loss=lambda tokens_BT, targets_BT: token_loss(model, tokens_BT, targets_BT),
        made=made or (lambda function, module: function),
        data_seed=3,
        finished_model=lambda run: _teacher(run),
        start=TEACHER,
        encode=lambda text: np.frombuffer(text.encode(), dtype=np.uint8) % VOCABULARY,
        further={name: further(seed) for seed, name in enumerate(("forget", "retain.source", "closed"), start=5)},
    )


def further(seed: int) -> Further:
    """A corpus of random tokens of which a third count, and its batches."""
    tokens_N = np.random.default_rng(seed).integers(VOCABULARY, size=500)
    train = SimpleNamespace(tokens=tokens_N, num_tokens=500, weights=(tokens_N % 3 == 0).astype(np.float32))
    encode = SimpleNamespace(encode=lambda text: np.frombuffer(text.encode(), dtype=np.uint8) % VOCABULARY)
    corpus: Any = SimpleNamespace(train=train, vocabulary=VOCABULARY, tokenizer=encode)
    return Further(corpus, lambda step: batch_of(weights=True, seed=seed + step))


def _teacher(run: str) -> LanguageModel:
    assert run == TEACHER
    return LONGER.build(vocabulary=VOCABULARY, init=Init(9)).eval().requires_grad_(requires_grad=False)


def batch_of(num_rows: int = 6, *, weights: bool = False, seed: int = 1) -> Batch:
    """Random tokens; where asked for, with weights of which some are 0."""
    generator = torch.Generator().manual_seed(seed)
    tokens_BT1 = torch.randint(VOCABULARY, (num_rows, CONTEXT_TOKENS + 1), generator=generator)
    weight_BT = torch.randint(0, 3, (num_rows, CONTEXT_TOKENS), generator=generator).float() if weights else None
    return Batch(tokens_BT1[:, :-1].contiguous(), tokens_BT1[:, 1:].contiguous(), weight_BT)


def built(name: str) -> tuple[LanguageModel, Lowers]:
    """A model and the objective of a case."""
    spec, objective = CASES[name]
    model = spec.build(vocabulary=VOCABULARY, init=Init(0))
    return model, objective.build(model, passes_of(spec, model))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("weights", [False, True])
def test_gradients_of_parts_add_up_to_those_of_the_batch(name: str, weights: bool) -> None:
    """However it is split, and however much of a part counts."""
    batch, found = batch_of(weights=weights), []
    for count in (1, 3):
        model, lowers = built(name)
        for part in batch.parts(count):
            torch.manual_seed(0)
            lowers(part, 0).lowered.backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    whole, parts = found
    for where, gradient in whole.items():
        if gradient is None:
            assert parts[where] is None
            continue
        torch.testing.assert_close(parts[where], gradient, rtol=1e-4, atol=1e-7, msg=where)


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_count_changes_nothing(name: str) -> None:
    """Other targets at places of weight 0 leave what is lowered and its gradient as they are."""
    batch = batch_of(weights=True)
    assert batch.weight_BT is not None
    other = torch.where(batch.weight_BT > 0, batch.targets_BT, (batch.targets_BT + 7) % VOCABULARY)
    results = []
    for targets_BT in (batch.targets_BT, other):
        model, lowers = built(name)
        torch.manual_seed(0)
        lowered, loss_BT = lowers(Batch(batch.tokens_BT, targets_BT, batch.weight_BT), 0)
        lowered.backward()
        assert loss_BT.shape == targets_BT.shape
        results.append((lowered, [p.grad for p in model.parameters() if p.grad is not None]))
    (one, of_one), (two, of_two) = results
    torch.testing.assert_close(one, two)
    for gradient, other_gradient in zip(of_one, of_two, strict=True):
        torch.testing.assert_close(gradient, other_gradient)


@pytest.mark.parametrize("name", CASES)
def test_the_recorded_loss_is_that_of_the_text(name: str) -> None:
    """Whatever else is lowered; a teacher gets no gradient."""
    torch.manual_seed(0)
    model, lowers = built(name)
    batch = batch_of()
    _, loss_BT = lowers(batch, 0)
    if "drawn" not in name:
        torch.testing.assert_close(loss_BT, token_loss(model, batch.tokens_BT, batch.targets_BT))
    assert loss_BT.requires_grad


def test_distillation_by_hand() -> None:
    """(1 - w) CE + w T^2 KL(teacher || student), at a temperature; a student that is its teacher has no divergence."""
    batch, temperature, weight = batch_of(weights=True), 3.0, 0.25
    objective = Distillation(teacher=TEACHER, temperature=temperature, weight=weight)
    model = PLAIN.build(vocabulary=VOCABULARY, init=Init(0))
    lowered, loss_BT = objective.build(model, passes_of(PLAIN, model))(batch, 0)
    p = functional.softmax(_teacher(TEACHER)(batch.tokens_BT).double() / temperature, dim=-1)
    q = functional.softmax(model(batch.tokens_BT).double() / temperature, dim=-1)
    apart_BT = (p * (p / q).log()).sum(dim=-1)
    assert batch.weight_BT is not None
    share_BT = batch.weight_BT / batch.weight_BT.sum()
    expected = (share_BT * ((1 - weight) * loss_BT + weight * temperature**2 * apart_BT)).sum()
    torch.testing.assert_close(lowered.double(), expected, rtol=1e-5, atol=1e-6)
    same = _teacher(TEACHER)(batch.tokens_BT)
    torch.testing.assert_close(divergence(same, same, temperature), torch.zeros_like(loss_BT), atol=1e-6, rtol=0)


def test_a_smaller_student_learns_the_answers_that_a_teacher_gives() -> None:
    """Half as wide and with a block less; of targets that do not count, the teacher teaches nothing."""
    small = uniform(depth=1, width=6, heads=1, context_tokens=CONTEXT_TOKENS)
    model = small.build(vocabulary=VOCABULARY, init=Init(0))
    lowers = Distillation(teacher=TEACHER, weight=1.0).build(model, passes_of(small, model))
    optimizer, batch = torch.optim.Adam(model.parameters(), lr=0.02), batch_of(weights=True)
    assert batch.weight_BT is not None
    taught_BT = batch.weight_BT > 0
    taught_BTV, before_BTV = _teacher(TEACHER)(batch.tokens_BT), model(batch.tokens_BT).detach()
    for step in range(40):
        optimizer.zero_grad()
        lowers(batch, step).lowered.backward()
        optimizer.step()
    apart = [divergence(taught_BTV, one, 1.0)[taught_BT].mean() for one in (before_BTV, model(batch.tokens_BT))]
    assert apart[1] < 0.5 * apart[0]


def test_a_teacher_with_a_shorter_context_is_refused() -> None:
    """Before the first step, by the place of the teacher."""
    longer = uniform(depth=1, width=12, heads=2, context_tokens=CONTEXT_TOKENS + 4)
    model = longer.build(vocabulary=VOCABULARY, init=Init(0))
    with pytest.raises(SpecError, match=r"objective\.teacher.*a context as long"):
        Distillation(teacher=TEACHER).build(model, passes_of(longer, model))
    with pytest.raises(SpecError, match=r"objective\.teacher.*a context as long"):
        ExcessLoss(teacher=TEACHER).build(model, passes_of(longer, model))


def test_the_excess_loss_has_the_gradient_of_the_loss_and_the_teachers_as_its_zero() -> None:
    """The weighted mean of both losses apart; parts add up to it; a model that is its teacher has none of it."""
    batch = batch_of(weights=True)
    model = PLAIN.build(vocabulary=VOCABULARY, init=Init(0))
    lowers = ExcessLoss(teacher=TEACHER).build(model, passes_of(PLAIN, model))
    gradients = []
    lowered, loss_BT = lowers(batch, 0)
    own = batch.mean(loss_BT)
    for one in (lowered, batch.mean(token_loss(model, batch.tokens_BT, batch.targets_BT))):
        gradients.append(torch.autograd.grad(one, list(model.parameters()), retain_graph=True))
    for mine, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, plain)
    teachers = batch.mean(token_loss(_teacher(TEACHER), batch.tokens_BT, batch.targets_BT))
    torch.testing.assert_close(lowered, own - teachers)
    parts = [float(lowers(part, 0).lowered.detach()) for part in batch.parts(3)]
    assert sum(parts) == pytest.approx(float(lowered.detach()), abs=1e-5)
    same = _teacher(TEACHER)
    lowered, _ = ExcessLoss(teacher=TEACHER).build(same, passes_of(LONGER, same))(batch, 0)
    assert float(lowered) == pytest.approx(0.0, abs=1e-6)


def test_context_distillation_by_hand() -> None:
    """(1 - w) CE + w T^2 KL(teacher behind the text || student); of a student that is its teacher it is what the text
    is worth.
    """
    batch, temperature, weight = batch_of(weights=True), 2.0, 0.25
    objective = ContextDistillation(context="abc", temperature=temperature, weight=weight)
    model = PLAIN.build(vocabulary=VOCABULARY, init=Init(0))
    lowered, loss_BT = objective.build(model, passes_of(PLAIN, model))(batch, 0)
    before_BT = torch.tensor([[97 % VOCABULARY, 98 % VOCABULARY, 99 % VOCABULARY]]).expand(6, -1)
    read_BT = torch.cat((before_BT, batch.tokens_BT), dim=1)
    p = functional.softmax(_teacher(TEACHER)(read_BT)[:, 3:].double() / temperature, dim=-1)
    q = functional.softmax(model(batch.tokens_BT).double() / temperature, dim=-1)
    apart_BT = (p * (p / q).log()).sum(dim=-1)
    assert batch.weight_BT is not None
    share_BT = batch.weight_BT / batch.weight_BT.sum()
    expected = (share_BT * ((1 - weight) * loss_BT + weight * temperature**2 * apart_BT)).sum()
    torch.testing.assert_close(lowered.double(), expected, rtol=1e-5, atol=1e-6)


def test_a_text_that_the_teacher_cannot_read_with_a_window_is_refused() -> None:
    """With how short the window would have to be; and a student that starts from no run and names no teacher."""
    model = PLAIN.build(vocabulary=VOCABULARY, init=Init(0))
    passes = passes_of(PLAIN, model)
    with pytest.raises(SpecError, match=r"4 tokens of context and a window of 11, .* sees 14; .*context_tokens to 10"):
        ContextDistillation(context="abcd").build(model, passes)
    with pytest.raises(SpecError, match="no teacher, and no run to start from"):
        ContextDistillation(context="abc").build(model, dataclasses.replace(passes, start=None))


def _forgotten(by: Any) -> tuple[Tensor, Batch, LanguageModel]:
    """F of the first step alone: what is lowered less the loss of the text."""
    model = PLAIN.build(vocabulary=VOCABULARY, init=Init(0))
    passes, batch = passes_of(PLAIN, model), batch_of()
    lowered, loss_BT = Forget(forget=SOURCE, by=by).build(model, passes)(batch, 0)
    return lowered - loss_BT.mean(), passes.further["forget"].batch(0), model


def test_preference_by_hand() -> None:
    """-(2 / beta) mean ln sigmoid(beta (nll - nll of the start)) over whole answers; lower for unlikely ones."""
    beta = 0.7
    f, forget, model = _forgotten(NPO(beta=beta))
    weight_BT = forget.weight_BT
    assert weight_BT is not None
    own_BT, start_BT = (
        token_loss(one, forget.tokens_BT, forget.targets_BT).double() for one in (model, _teacher(TEACHER))
    )
    terms = []
    for row in range(len(forget)):
        place = 0
        while place < CONTEXT_TOKENS:
            end = place
            while end < CONTEXT_TOKENS and weight_BT[row, end] > 0:
                end += 1
            if end > place:
                further = (own_BT - start_BT)[row, place:end].sum()
                terms.append(-2 / beta * torch.log(torch.sigmoid(beta * further)))
            place = end + 1
    torch.testing.assert_close(f.double(), torch.stack(terms).mean(), rtol=1e-4, atol=1e-5)
    f.backward()
    gradient = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    forget.mean(token_loss(model, forget.tokens_BT, forget.targets_BT)).backward()
    assert sum((a * p.grad).sum() for a, p in zip(gradient, model.parameters(), strict=True)) < 0


def test_ascent_is_minus_the_loss() -> None:
    """Of the answers that are to be forgotten."""
    f, forget, model = _forgotten(GradientAscent())
    torch.testing.assert_close(f, -forget.mean(token_loss(model, forget.tokens_BT, forget.targets_BT)))


def test_the_prior_is_of_the_type_and_the_distance_is_bounded() -> None:
    """By hand, of two types that the source tells; 0 for who answers with the prior itself."""

    class Typed:
        def answer_types(self) -> dict[str, tuple[str, ...]]:
            return {"letter": ("a", "b"), "digit": ("1", "2", "3")}

    tokens = {" ": 0, "a": 1, "b": 2, "1": 3, "2": 4, "3": 5, ".": 6}
    train = SimpleNamespace(
        tokens=np.array([1, 1, 2, 3, 4, 6, 0]), num_tokens=7, weights=np.array([1, 1, 1, 1, 3, 1, 0])
    )
    encode = SimpleNamespace(encode=lambda text: np.array([tokens[text[1:]]]))
    corpus: Any = SimpleNamespace(train=train, vocabulary=7, tokenizer=encode)
    priors = priors_of(corpus, Typed(), torch.device("cpu"))  # type: ignore[arg-type]
    rows = priors.prior_KV[priors.type_V[torch.tensor([2, 5, 6])]]
    expected = [[0, 2 / 3, 1 / 3, 0, 0, 0, 0], [0, 0, 0, 1 / 4, 3 / 4, 0, 0], [0, 0, 0, 0, 0, 0, 1]]
    torch.testing.assert_close(rows, torch.tensor(expected))
    targets_BT = torch.tensor([[2, 5, 6]])
    same = priors.divergence(rows[None].clamp_min(1e-30).log(), targets_BT)
    torch.testing.assert_close(same, torch.zeros(1, 3), atol=1e-5, rtol=0)
    even = priors.divergence(torch.zeros(1, 3, 7), targets_BT)
    p = torch.tensor(expected)
    by_hand = torch.where(p > 0, p * (p * 7).log(), 0.0).sum(dim=-1)
    torch.testing.assert_close(even[0], by_hand)


def test_the_gate_opens_where_facts_help_and_has_no_gradient() -> None:
    """l_open + (1 - g) l_closed + weight g KL by hand, and the numbers that are noted."""
    model = PLAIN.build(vocabulary=VOCABULARY, init=Init(0))
    noted: dict[str, float] = {}
    passes = dataclasses.replace(passes_of(PLAIN, model), note=lambda name, value: noted.update({name: value.item()}))
    objective = GapGated(closed=SOURCE, tau=0.4, weight=0.6)
    batch, closed = batch_of(weights=True), passes.further["closed"]
    lowered, loss_BT = objective.build(model, passes)(batch, 2)
    beside = closed.batch(2)
    closed_BT = token_loss(model, beside.tokens_BT, beside.targets_BT)
    gate_BT = gate(loss_BT, closed_BT, 0.4)
    assert not gate_BT.requires_grad
    assert (gate_BT[closed_BT > loss_BT] > 0).all()
    assert (gate_BT[closed_BT <= loss_BT] == 0).all()
    kl_BT = priors_of(closed.corpus, SOURCE, torch.device("cpu")).divergence(model(beside.tokens_BT), beside.targets_BT)
    expected = batch.mean(loss_BT + (1 - gate_BT) * closed_BT + 0.6 * gate_BT * kl_BT)
    torch.testing.assert_close(lowered, expected)
    means = {"gate": gate_BT, "open_nats": loss_BT, "closed_nats": closed_BT}
    assert noted == pytest.approx({name: batch.mean(value).item() for name, value in means.items()}, rel=1e-5)
    assert set(objective.numbers()) == set(noted)


def test_what_forgetting_cannot_mean_is_refused() -> None:
    """No start where one is compared with, weights that do nothing, a corpus in which all counts, other targets."""
    model = PLAIN.build(vocabulary=VOCABULARY, init=Init(0))
    passes = dataclasses.replace(passes_of(PLAIN, model), start=None)
    for objective in (
        Forget(forget=SOURCE, by=NPO()),
        Forget(forget=SOURCE, by=MaxEntropy(), retain=Retain(source=SOURCE)),
    ):
        assert objective.reads_start
        with pytest.raises(SpecError, match="no run to start from"):
            objective.build(model, passes)
    assert not Forget(forget=SOURCE, by=MaxEntropy()).reads_start
    with pytest.raises(SpecError, match="weight: found 0"):
        Forget(forget=SOURCE, by=NPO(), weight=0.0)
    with pytest.raises(SpecError, match="tau: found 0"):
        GapGated(closed=SOURCE, tau=0.0)
    own, further_one = ({"description": "d", "judged": {"train": name}} for name in ("a", "b"))
    train = SimpleNamespace(num_tokens=7)
    other = SimpleNamespace(meta=further_one, has_weights=True, train=train)
    corpus: Any = SimpleNamespace(meta=own, train=train, further={"forget": other, "closed": other})
    with pytest.raises(DataError, match="closed: its targets are not those of the data"):
        GapGated(closed=SOURCE).check_corpora(corpus)
    other.has_weights = False
    with pytest.raises(DataError, match="forget: in d every token counts"):
        Forget(forget=SOURCE, by=NPO()).check_corpora(corpus)


@pytest.mark.parametrize(
    ("model", "objective", "words"),
    [
        (PLAIN, Exits(), "Exits for a model without"),
        (PLAIN, DrawnLoops(), "DrawnLoops for a model without"),
        (DRAWN, DrawnLoops(objective=Exits()), "Exits for a model without"),
    ],
)
def test_what_means_nothing_for_a_model_is_refused(model: Model, objective: Objective, words: str) -> None:
    """In words."""
    with pytest.raises(SpecError, match=words):
        objective.check_fits(model)


@pytest.mark.parametrize("fields", [{"temperature": 0.0}, {"weight": 0.0}, {"weight": 1.5}])
def test_numbers_outside_their_range_are_refused(fields: dict[str, float]) -> None:
    """By name."""
    with pytest.raises(SpecError, match=next(iter(fields))):
        Distillation(teacher=TEACHER, **fields)


def test_every_pass_goes_through_what_the_run_makes_of_it() -> None:
    """Precision and compiling are given, so an objective that passed around them would train otherwise than it says."""
    for name, (spec, objective) in CASES.items():
        model, calls = spec.build(vocabulary=VOCABULARY, init=Init(0)), []

        def made(function: Callable, module: nn.Module, calls: list = calls) -> Callable:
            def counted(*tensors: Tensor) -> object:
                calls.append(module)
                return function(*tensors)

            return counted

        passes = passes_of(spec, model, made)
        passes = dataclasses.replace(passes, token_loss=made(passes.token_loss, model))
        objective.build(model, passes)(batch_of(), 0)
        assert calls, name


def test_an_objective_reads_back_from_its_record() -> None:
    """It is a spec like the others."""
    for _, objective in CASES.values():
        if not isinstance(objective, TwoPasses):
            assert from_plain(to_plain(objective), KINDS) == objective


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own compiler still uses it
def test_compiled_it_lowers_the_same() -> None:
    """Through one whole graph for each pass, the teacher's and its own; weights and parts are outside of it, so that no
    batch needs another.
    """
    spec, objective = CASES["distillation"]
    found = []
    graphs: list[Callable] = []

    def compiled(function: Callable, module: nn.Module) -> Callable:
        graphs.append(torch.compile(function, backend="aot_eager", dynamic=False, fullgraph=True))
        return graphs[-1]

    for made in (None, compiled):
        model = spec.build(vocabulary=VOCABULARY, init=Init(0))
        lowers = objective.build(model, passes_of(spec, model, made))
        for weights in (False, True):
            for part in batch_of(weights=weights).parts(2):
                lowers(part, 0).lowered.backward()
        found.append({where: p.grad for where, p in model.named_parameters()})
    assert graphs
    for where, gradient in found[0].items():
        torch.testing.assert_close(found[1][where], gradient, rtol=1e-4, atol=1e-6, msg=where)
