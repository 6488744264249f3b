"""Objectives by hand, and what all of them keep: parts that add up, and the loss of the text for the record."""

import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vslm.core.errors import SpecError
from vslm.core.specs import from_plain, to_plain
from vslm.data.batches import Batch
from vslm.data.reading.notes import Notes
from vslm.data.sources import Text
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
from vslm.objectives.exits import Exits
from vslm.objectives.fact_loading import FactLoading
from vslm.objectives.next_token import NextToken
from vslm.objectives.objective import Lowered, Lowers, Objective, Passes
from vslm.study.catalog import KINDS, OBJECTIVES

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


CASES: dict[str, tuple[Model, Objective]] = {
    "next token": (PLAIN, NextToken()),
    "next token of a model with exits": (ahead(PLAIN, tokens=3), NextToken()),
    "exits": (ahead(PLAIN, tokens=3), Exits()),
    "drawn loops": (DRAWN, DrawnLoops()),
    "distillation": (PLAIN, Distillation(teacher=TEACHER)),
    "distillation alone, of drawn loops": (DRAWN, DrawnLoops(objective=Distillation(teacher=TEACHER, weight=1.0))),
    "context distillation": (PLAIN, ContextDistillation(context="abc", weight=0.6)),
    "fact loading": (PLAIN, _fact_loading()),
    "fact loading of drawn loops": (DRAWN, DrawnLoops(objective=_fact_loading())),
    "two passes": (PLAIN, TwoPasses()),
}


def test_every_class_of_the_catalog_is_tried() -> None:
    """A new one belongs into the cases above."""
    assert set(OBJECTIVES.values()) <= {type(objective) for _, objective in CASES.values()}


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
    )


def _teacher(run: str) -> LanguageModel:
    assert run == TEACHER
    return LONGER.build(vocabulary=VOCABULARY, init=Init(9)).eval().requires_grad_(requires_grad=False)


def batch_of(num_rows: int = 6, *, weights: bool = False) -> Batch:
    """Random tokens; where asked for, with weights of which some are 0."""
    generator = torch.Generator().manual_seed(1)
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


def test_a_teacher_with_a_shorter_context_is_refused() -> None:
    """Before the first step, by the place of the teacher."""
    longer = uniform(depth=1, width=12, heads=2, context_tokens=CONTEXT_TOKENS + 4)
    model = longer.build(vocabulary=VOCABULARY, init=Init(0))
    with pytest.raises(SpecError, match=r"objective\.teacher.*a context as long"):
        Distillation(teacher=TEACHER).build(model, passes_of(longer, model))


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
        objective.build(model, passes)(batch_of(2), 0)
        assert calls, name


def test_an_objective_reads_back_from_its_record() -> None:
    """It is a spec like the others."""
    for _, objective in CASES.values():
        if not isinstance(objective, TwoPasses):
            assert from_plain(to_plain(objective), KINDS) == objective


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own compiler still uses it
@pytest.mark.parametrize("name", ["distillation", "two passes"])
def test_compiled_it_lowers_the_same(name: str) -> None:
    """Through one whole graph for each pass; weights and parts are outside of it, so that no batch needs another."""
    spec, objective = CASES[name]
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
