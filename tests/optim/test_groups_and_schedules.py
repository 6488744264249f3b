"""Every parameter in one group, and rates as fractions say."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn

from vslm.core.errors import SpecError
from vslm.core.paths import vary
from vslm.models.elements.resizes import Project, UNet
from vslm.models.initialization import Init
from vslm.models.language_model import Model
from vslm.models.layouts.patterns import INJECT_MATRIX, looped
from vslm.models.layouts.plain import gpt2, uniform
from vslm.models.layouts.shapes import tapered
from vslm.models.parts.readouts import Untied
from vslm.optim.adamw import AdamW
from vslm.optim.groups import Rule, fan_in, group_parameters, roles
from vslm.optim.rate_by_width import RateByWidth
from vslm.optim.schedules import WarmupCosine, WarmupStableDecay


def model() -> nn.Module:
    """A table, a matrix, a vector."""
    return nn.ModuleDict({"table": nn.Embedding(7, 3), "line": nn.Linear(3, 5), "norm": nn.LayerNorm(5)})


def test_roles_are_by_type_and_shape():
    """An embedding is no matrix."""
    assert roles(model()) == {
        "table.weight": "embedding",
        "line.weight": "matrix",
        "line.bias": "vector",
        "norm.weight": "vector",
        "norm.bias": "vector",
    }


class Table(nn.Module):
    """A table as a plain parameter, which its owner declares, beside a matrix of the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.ones(7, 3))
        self.embedding_like = nn.Parameter(torch.ones(7, 3))

    def lookup_tables(self) -> tuple[nn.Parameter, ...]:
        """One of them."""
        return (self.embedding,)


def test_a_declared_table_is_an_embedding_and_names_say_nothing():
    """Also in a copy, and inside of another module; a name that sounds like one is a matrix."""
    for net in (nn.ModuleDict({"a": Table()}), copy.deepcopy(nn.ModuleDict({"a": Table()}))):
        assert roles(net) == {"a.embedding": "embedding", "a.embedding_like": "matrix"}


def test_weight_decay_leaves_embeddings_alone():
    """Of a whole model: with gradients of zero a step moves the matrices and nothing else."""
    for spec in (
        gpt2(depth=1, width=6, heads=1, context_tokens=5),
        uniform(depth=1, width=6, heads=1, context_tokens=5),
    ):
        net = vary(spec, {"readout": Untied()}).build(vocabulary=11, init=Init(0))
        before = {name: p.detach().clone() for name, p in net.named_parameters()}
        for p in net.parameters():
            p.grad = torch.zeros_like(p)
        AdamW(learning_rate=0.1, weight_decay=0.5).build(net).step()
        moved = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
        assert moved == {name for name, p in before.items() if p.ndim == 2 and name.startswith("blocks.")}, (
            "matrices of blocks, no table"
        )


def plain_model() -> Model:
    """Three small blocks."""
    return uniform(depth=3, width=8, heads=2, context_tokens=5)


@pytest.mark.parametrize("resize", [Project, UNet])
def test_weight_decay_leaves_the_way_of_the_stream_alone(resize: type[Project] | type[UNet]):
    """With gradients of zero a matrix at the identity stays there; one without a straight way is a matrix like any."""
    net = tapered(plain_model(), widths=(8, 12, 8), resize=resize, feedforward="same ratio").build(
        vocabulary=11, init=Init(0)
    )
    maps = {name for name, role in roles(net).items() if role == "stream map"}
    assert len(maps) == 2
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    AdamW(learning_rate=0.1, weight_decay=0.5, rate_by_width=RateByWidth(reference_width=5)).build(net).step()
    moved = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert moved
    assert not moved & maps
    crooked = tapered(plain_model(), widths=(8, 12, 8), resize=partial(Project, identity=0.0), feedforward="same ratio")
    assert "stream map" not in roles(crooked.build(vocabulary=11, init=Init(0))).values()


def test_an_injected_state_is_not_decayed():
    """The matrix over state and embedding, and no other matrix of a loop."""
    model = looped(plain_model(), times=2, inject=INJECT_MATRIX)
    net = model.build(vocabulary=11, init=Init(0))
    assert sum(role == "stream map" for role in roles(net).values()) == 1


def test_an_injected_state_has_the_rate_of_its_fan_in():
    """It reads twice the width, and is decayed no more for it."""
    model = looped(plain_model(), times=2, inject=INJECT_MATRIX)
    net = model.build(vocabulary=11, init=Init(0))
    optimizer = AdamW(learning_rate=0.01, rate_by_width=RateByWidth(reference_width=6)).build(net)
    (matrix,) = (p for name, p in net.named_parameters() if roles(net)[name] == "stream map")
    (group,) = (group for group in optimizer.param_groups if any(p is matrix for p in group["params"]))
    assert (group["lr"], group["weight_decay"]) == (pytest.approx(0.01 * 6 / fan_in(matrix)), 0.0)


def test_a_model_without_a_matrix_can_be_trained():
    """A table alone is one group."""
    assert [g["weight_decay"] for g in AdamW(learning_rate=0.01).build(nn.Embedding(5, 3)).param_groups] == [0.0]


def test_the_rate_of_a_matrix_follows_what_it_reads():
    """reference / fan-in for matrices, by shape; one rate for all else, and it comes first, where the record looks."""
    net = nn.ModuleDict(
        {"table": nn.Embedding(7, 3), "a": nn.Linear(3, 5), "b": nn.Linear(12, 3), "c": nn.Linear(3, 2)}
    )
    groups = AdamW(learning_rate=0.01, rate_by_width=RateByWidth(reference_width=6)).build(net).param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rates) == 7
    assert groups[0]["lr"] == rates[id(net["table"].weight)] == rates[id(net["a"].bias)] == 0.01
    assert rates[id(net["a"].weight)] == rates[id(net["c"].weight)] == pytest.approx(0.02)
    assert rates[id(net["b"].weight)] == pytest.approx(0.005)
    assert fan_in(net["b"].weight) == 12
    assert {group["weight_decay"] for group in groups[1:]} == {0.1}
    assert len(AdamW(learning_rate=0.01).build(net).param_groups) == 2
    assert RateByWidth(reference_width=1).factor(4) == 0.25


def test_outputs_move_alike_at_every_width():
    """The first Adam step changes a matrix's output by as much whatever the width, which it does not with one rate."""
    moves = {}
    for rule in (RateByWidth(reference_width=16), None):
        for width in (16, 256):
            net = nn.Linear(width, 5, bias=False)
            x = torch.randn(1, width, generator=torch.Generator().manual_seed(0)).sign()
            optimizer = AdamW(learning_rate=0.01, weight_decay=0.0, clip_norm=None, rate_by_width=rule).build(net)
            before = net(x).detach()
            net(x).sum().backward()
            optimizer.step()
            moves[rule, width] = float((net(x).detach() - before).abs().mean())
        assert moves[rule, 256] / moves[rule, 16] == pytest.approx(1.0 if rule else 16.0, rel=0.01)


def test_every_parameter_is_matched_once_or_it_is_an_error():
    """A rule that matches nothing, and a parameter that nothing matches."""
    with pytest.raises(SpecError, match="matches no parameter"):
        group_parameters(model(), [Rule({}), Rule({}, names="nothing*")])
    with pytest.raises(SpecError, match=r"no rule matches table\.weight"):
        group_parameters(model(), [Rule({}, roles=("matrix", "vector"))])
    groups = group_parameters(model(), [Rule({"lr": 1.0}, names="line.*"), Rule({})])
    assert [len(group["params"]) for group in groups] == [2, 3]


def test_adamw_decays_matrices_only_and_goes_down():
    """On a quadratic."""
    net = model()
    optimizer = AdamW(learning_rate=0.01).build(net)
    decays = {group["weight_decay"]: len(group["params"]) for group in optimizer.param_groups}
    assert decays == {0.1: 1, 0.0: 4}
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(11, 3, generator=generator), torch.randn(11, 5, generator=generator)
    losses = []
    for _ in range(50):
        loss = ((net["line"](x) - y) ** 2).mean()  # type: ignore[index]
        losses.append(loss.item())
        loss.backward()
        for parameter in net.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("schedule", [WarmupCosine(warmup_fraction=0.2), WarmupStableDecay(warmup_fraction=0.2)])
def test_a_schedule_rises_to_one_and_ends_at_its_final_fraction(schedule: WarmupCosine | WarmupStableDecay):
    """As functions of the fraction done."""
    assert schedule.factor(0.1) == pytest.approx(0.5)
    assert schedule.factor(0.2) == pytest.approx(1.0)
    assert schedule.factor(1.0) == pytest.approx(0.0)
    later = [schedule.factor(0.2 + 0.08 * i) for i in range(11)]
    assert later == sorted(later, reverse=True)


def test_schedules_by_hand():
    """Away from 0 and 1 in every number: where each part begins, half way through the fall, and the end."""
    cosine = WarmupCosine(warmup_fraction=0.2, final_fraction=0.1)
    stable = WarmupStableDecay(warmup_fraction=0.2, decay_fraction=0.3, final_fraction=0.1)
    assert [cosine.factor(x) for x in (0.0, 0.05, 0.2, 0.4, 0.6, 1.0, 1.01)] == pytest.approx(
        [0.0, 0.25, 1.0, 0.1 + 0.9 * (0.5 + math.sqrt(0.125)), 0.55, 0.1, 0.1]
    )
    assert [stable.factor(x) for x in (0.0, 0.05, 0.2, 0.6, 0.7, 0.8, 0.85, 1.0, 1.01)] == pytest.approx(
        [0.0, 0.25, 1.0, 1.0, 1.0, 0.7, 0.55, 0.1, 0.1]
    )
    assert WarmupCosine(warmup_fraction=0.0).factor(0.0) == WarmupStableDecay(warmup_fraction=0.0).factor(0.0) == 1.0
    assert WarmupStableDecay(warmup_fraction=0.0, decay_fraction=0.0).factor(0.999) == 1.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: AdamW(learning_rate=0.0),
        lambda: AdamW(learning_rate=0.1, betas=(0.9, 1.0)),
        lambda: AdamW(learning_rate=0.1, clip_norm=0.0),
        lambda: AdamW(learning_rate=0.1, epsilon=0.0),
        lambda: AdamW(learning_rate=0.1, weight_decay=-0.1),
        lambda: RateByWidth(reference_width=0),
        lambda: WarmupCosine(warmup_fraction=1.5),
        lambda: WarmupStableDecay(warmup_fraction=0.6, decay_fraction=0.6),
    ],
)
def test_numbers_outside_their_range_are_refused(make):
    """Before any compute."""
    with pytest.raises(SpecError):
        make()
