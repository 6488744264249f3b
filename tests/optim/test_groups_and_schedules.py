"""Every parameter in one group, and rates as fractions say."""

import pytest
import torch
from torch import nn

from vslm.core.errors import SpecError
from vslm.optim.adamw import AdamW
from vslm.optim.groups import Rule, group_parameters, roles
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


@pytest.mark.parametrize(
    "make",
    [
        lambda: AdamW(learning_rate=0.0),
        lambda: AdamW(learning_rate=0.1, betas=(0.9, 1.0)),
        lambda: AdamW(learning_rate=0.1, clip_norm=0.0),
        lambda: WarmupCosine(warmup_fraction=1.5),
        lambda: WarmupStableDecay(warmup_fraction=0.6, decay_fraction=0.6),
    ],
)
def test_numbers_outside_their_range_are_refused(make):
    """Before any compute."""
    with pytest.raises(SpecError):
        make()
