"""Contracts of every feedforward, norm, residual and weight scale."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from model_facts import (
    assert_every_class_is_tested,
    assert_finite_gradients,
    assert_owns_its_parameters,
    assert_reads_back,
    with_new_classes,
)
from torch import nn
from torch.nn import functional

from vslm.core.errors import SpecError
from vslm.models.initialization import Init
from vslm.models.parts.activations import Activation, GELUActivation, Pointwise, SiLUActivation
from vslm.models.parts.feedforward import GELU, MLP, Feedforward, GatedMLP, SwiGLU, feedforward_shapes
from vslm.models.parts.norms import LayerNorm, Norm, RMSNorm
from vslm.models.parts.residuals import PlainAdd, Residual, ScaledAdd
from vslm.models.parts.scales import FanIn, FixedStd, WeightScale
from vslm.models.without_storage import SHAPES_ONLY, shapes_of


@dataclass(frozen=True, kw_only=True)
class Slope(Activation):
    """An activation that learns, as a user may write one: max(h, 0) + s * min(h, 0), s learned."""

    def build(self, *, hidden: int, init: Init) -> nn.Module:
        """The module."""
        return nn.PReLU()


ACTIVATIONS = with_new_classes(Activation, [])
FEEDFORWARDS = [SwiGLU(), SwiGLU(hidden=17, bias=True), GELU(), GELU(hidden=17, bias=True)]
FEEDFORWARDS += [MLP(activation=activation, hidden=17) for activation in ACTIVATIONS]
FEEDFORWARDS += [MLP(activation=ACTIVATIONS[0], bias=True), GatedMLP(activation=ACTIVATIONS[0], hidden=17, bias=True)]
FEEDFORWARDS += [GatedMLP(activation=ACTIVATIONS[-1])]
DOCS = Path(__file__).parents[2] / "docs" / "adding-a-feedforward.md"
PAGE: dict[str, Any] = {}  # what the examples in the docs define
for code in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL):
    exec(compile(code, str(DOCS), "exec"), PAGE)
OWN = [MLP(activation=Slope(), hidden=17), GatedMLP(activation=Slope())]  # of no table
OWN += [MLP(activation=PAGE["Snake"]()), PAGE["Bottleneck"]()]
NORMS = [RMSNorm(), RMSNorm(epsilon=0.1), LayerNorm(), LayerNorm(bias=False)]
RESIDUALS = [PlainAdd(), ScaledAdd(), ScaledAdd(start=0.1)]
SCALES = [FanIn(), FanIn(gain=0.5), FixedStd(), FixedStd(value=0.1)]
FEEDFORWARDS = with_new_classes(Feedforward, FEEDFORWARDS)
NORMS = with_new_classes(Norm, NORMS)
RESIDUALS = with_new_classes(Residual, RESIDUALS)
SCALES = with_new_classes(WeightScale, SCALES)
WIDTH = 19


@pytest.fixture(params=FEEDFORWARDS + OWN, ids=repr)
def feedforward(request: pytest.FixtureRequest) -> Feedforward:
    """Each feedforward."""
    return request.param


@pytest.fixture(params=NORMS, ids=repr)
def norm(request: pytest.FixtureRequest) -> Norm:
    """Each norm."""
    return request.param


@pytest.fixture(params=RESIDUALS, ids=repr)
def residual(request: pytest.FixtureRequest) -> Residual:
    """Each residual."""
    return request.param


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers that depend on the seed alone."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_lists_are_complete() -> None:
    """Every class of the four families is in the lists above, and its record makes the same value."""
    families = (
        (Activation, ACTIVATIONS),
        (Feedforward, FEEDFORWARDS),
        (Norm, NORMS),
        (Residual, RESIDUALS),
        (WeightScale, SCALES),
    )
    for interface, specs in families:
        assert_every_class_is_tested(interface, specs)
        for spec in specs:
            assert_reads_back(spec)


def test_a_feedforward_owns_its_parameters(feedforward: Feedforward) -> None:
    """Counted, seeded, saved, and apart from other instances."""
    x_BTD = normal(2, 5, WIDTH)
    assert_owns_its_parameters(
        lambda init: feedforward.build(width=WIDTH, scale=FanIn(), output_factor=0.5, init=init),
        feedforward_shapes(feedforward, WIDTH),
        lambda module: module(x_BTD),
    )


def test_a_feedforward_works_on_each_position_by_itself(feedforward: Feedforward) -> None:
    """Same shape back, finite gradients, and no position or row sees another."""
    module = feedforward.build(width=WIDTH, scale=FanIn(), output_factor=0.5, init=Init(0))
    x_BTD = normal(2, 5, WIDTH).requires_grad_()
    output = module(x_BTD)
    assert output.shape == x_BTD.shape
    assert_finite_gradients(output, module, x_BTD)
    changed = x_BTD.detach().clone()
    changed[1, 3] = 9.0
    same = torch.ones(2, 5, dtype=torch.bool)
    same[1, 3] = False
    assert torch.equal(module(changed)[same], output[same])
    assert not torch.equal(module(changed)[1, 3], output[1, 3])


def test_swiglu_and_gelu_by_hand() -> None:
    """The two formulas, written out."""
    x_BTD, sizes = normal(2, 5, WIDTH), {"width": WIDTH, "scale": FanIn(), "output_factor": 1.0, "init": Init(0)}
    w = dict((module := SwiGLU(hidden=17).build(**sizes)).named_parameters())
    gate = x_BTD @ w["gate.weight"].T
    expected = (gate * torch.sigmoid(gate) * (x_BTD @ w["input.weight"].T)) @ w["output.weight"].T
    torch.testing.assert_close(module(x_BTD), expected)
    w = dict((module := GELU(hidden=17).build(**sizes)).named_parameters())
    hidden = x_BTD @ w["input.weight"].T
    expected = (hidden * (1 + torch.erf(hidden / 2**0.5)) / 2) @ w["output.weight"].T
    torch.testing.assert_close(module(x_BTD), expected)


def test_an_mlp_with_gelu_and_a_gated_one_with_silu_are_the_classes_that_were_there() -> None:
    """To the bit, initial weights included."""
    sizes = {"width": WIDTH, "scale": FanIn(), "output_factor": 0.5, "init": Init(0)}
    for new, old in (
        (MLP(activation=GELUActivation(), bias=True), GELU(bias=True)),
        (GatedMLP(activation=SiLUActivation(), hidden=17), SwiGLU(hidden=17)),
    ):
        assert torch.equal(new.build(**sizes)(normal(2, 5, WIDTH)), old.build(**sizes)(normal(2, 5, WIDTH)))
        assert new.hidden_at(WIDTH) == old.hidden_at(WIDTH)
        assert feedforward_shapes(new, WIDTH).num_parameters == feedforward_shapes(old, WIDTH).num_parameters


def test_activations_by_hand() -> None:
    """The formulas, away from zero and on both sides of it."""
    h = torch.tensor([-2.0, -0.5, 0.25, 3.0])
    expected = {
        "ReLUActivation": [0.0, 0.0, 0.25, 3.0],
        "SquaredReLUActivation": [0.0, 0.0, 0.0625, 9.0],
        "SiLUActivation": (h / (1 + torch.exp(-h))).tolist(),
        "TanhActivation": ((1 - torch.exp(-2 * h)) / (1 + torch.exp(-2 * h))).tolist(),
        "GELUActivation": (h * (1 + torch.erf(h / 2**0.5)) / 2).tolist(),
        "TanhGELUActivation": (h * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (h + 0.044715 * h**3))) / 2).tolist(),
    }
    assert {type(activation).__name__ for activation in ACTIVATIONS} == set(expected)
    for activation in ACTIVATIONS:
        module = activation.build(hidden=4, init=Init(0))
        torch.testing.assert_close(module(h), torch.tensor(expected[type(activation).__name__]))
    assert torch.equal(Pointwise(functional.relu)(h), torch.relu(h))


def test_the_output_factor_scales_the_output_alone(feedforward: Feedforward) -> None:
    """A deeper model starts with the same directions, smaller."""
    sizes = {"width": WIDTH, "scale": FanIn(), "init": Init(0)}
    full = feedforward.build(**sizes, output_factor=1.0)
    half = feedforward.build(**sizes, output_factor=0.5)
    torch.testing.assert_close(half(normal(2, 5, WIDTH)), 0.5 * full(normal(2, 5, WIDTH)))


def test_a_norm_owns_its_parameters(norm: Norm) -> None:
    """Counted, seeded, saved, and apart from other instances."""
    x_BTD = normal(2, 5, WIDTH)
    assert_owns_its_parameters(
        lambda _: norm.build(width=WIDTH), shapes_of(norm, width=WIDTH), lambda module: module(x_BTD)
    )


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_a_norm_brings_every_vector_to_unit_scale(size: float) -> None:
    """Root mean square 1, whatever the size of the vector and the precision that it comes in."""
    for spec in (RMSNorm(epsilon=1e-12), LayerNorm(epsilon=1e-12)):
        x_BTD = normal(2, 5, 1009) * size
        for precision in (torch.float32, torch.bfloat16):
            y_BTD = spec.build(width=1009)(x_BTD.to(precision))
            assert y_BTD.dtype == torch.float32
            torch.testing.assert_close(y_BTD.square().mean(dim=-1), torch.ones(2, 5), rtol=1e-3, atol=1e-3)
            if isinstance(spec, LayerNorm):
                assert y_BTD.mean(dim=-1).abs().max() < 1e-5


def test_a_norm_survives_a_vector_of_zeros(norm: Norm) -> None:
    """No division of zero by zero, forward or backward."""
    module, x_BTD = norm.build(width=WIDTH), torch.zeros(2, 5, WIDTH, requires_grad=True)
    assert_finite_gradients(module(x_BTD), module, x_BTD)


def test_a_residual_owns_its_parameters(residual: Residual) -> None:
    """Counted, seeded, saved, and apart from other instances; finite gradients."""
    x_BTD, delta_BTD = normal(2, 5, WIDTH).requires_grad_(), normal(2, 5, WIDTH, seed=1).requires_grad_()
    assert_owns_its_parameters(
        lambda init: residual.build(width=WIDTH, init=init),
        shapes_of(residual, width=WIDTH, init=SHAPES_ONLY),
        lambda module: module(x_BTD, delta_BTD),
    )
    module = residual.build(width=WIDTH, init=Init(0))
    assert_finite_gradients(module(x_BTD, delta_BTD), module, x_BTD, delta_BTD)


def test_adding_nothing_changes_nothing(residual: Residual) -> None:
    """A block that found nothing leaves the stream bitwise as it was."""
    x_BTD = normal(2, 5, WIDTH)
    assert torch.equal(residual.build(width=WIDTH, init=Init(0))(x_BTD, torch.zeros_like(x_BTD)), x_BTD)


def test_a_scaled_add_starts_as_declared() -> None:
    """A start of 1 is PlainAdd; another start scales what is added."""
    x_BTD, delta_BTD = normal(2, 5, WIDTH), normal(2, 5, WIDTH, seed=1)
    plain = PlainAdd().build(width=WIDTH, init=Init(0))(x_BTD, delta_BTD)
    assert torch.equal(ScaledAdd().build(width=WIDTH, init=Init(0))(x_BTD, delta_BTD), plain)
    scaled = ScaledAdd(start=0.25).build(width=WIDTH, init=Init(0))(x_BTD, delta_BTD)
    torch.testing.assert_close(scaled, x_BTD + 0.25 * delta_BTD)


def test_scales_by_hand() -> None:
    """One over the root of the width, and a fixed number."""
    assert FanIn(gain=0.5).std(16) == 0.125
    assert FixedStd(value=0.02).std(16) == FixedStd(value=0.02).std(1600) == 0.02


def test_what_cannot_be_is_refused() -> None:
    """Empty middles, and numbers that must be above zero."""
    for make, name in (
        (lambda: SwiGLU(hidden=0), "hidden"),
        (lambda: GELU(hidden=-1), "hidden"),
        (lambda: RMSNorm(epsilon=0.0), "epsilon"),
        (lambda: LayerNorm(epsilon=-1.0), "epsilon"),
        (lambda: FanIn(gain=0.0), "gain"),
        (lambda: FixedStd(value=0.0), "value"),
    ):
        with pytest.raises(SpecError, match=name):
            make()
