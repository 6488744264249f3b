"""Contracts of every gate, and what each of them is."""

import pytest
import torch
from model_facts import (
    assert_every_class_is_tested,
    assert_finite_gradients,
    assert_owns_its_parameters,
    assert_reads_back,
    with_new_classes,
)

from vslm.core.errors import SpecError
from vslm.models.initialization import Init
from vslm.models.parts.gates import Gate, SigmoidGate, SignedPower
from vslm.models.parts.scales import FanIn
from vslm.models.without_storage import SHAPES_ONLY, module_shapes

GATES = with_new_classes(
    Gate,
    [
        SigmoidGate(),
        SignedPower(exponent=0.0),
        SignedPower(exponent=0.5),
        SignedPower(exponent=1.0, learned=True),
        SignedPower(exponent=1.7, learned=True, epsilon=0.1),
    ],
)
BATCH, TOKENS, HEADS, HEAD_WIDTH, WIDTH = 2, 5, 3, 7, 11


@pytest.fixture(params=GATES, ids=repr)
def gate(request: pytest.FixtureRequest) -> Gate:
    """Each entry of the list above."""
    return request.param


def built(gate: Gate, init: Init | None = None) -> torch.nn.Module:
    """The module."""
    return gate.build(width=WIDTH, heads=HEADS, scale=FanIn(), init=init or Init(0))


def inputs(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """A sum of values and a stream."""
    generator = torch.Generator().manual_seed(0)
    y_BTHK = torch.randn(BATCH, TOKENS, HEADS, HEAD_WIDTH, generator=generator, dtype=dtype)
    return y_BTHK, torch.randn(BATCH, TOKENS, WIDTH, generator=generator, dtype=dtype)


def test_the_list_is_complete_and_reads_back() -> None:
    """Every gate of the room is in the list above, and its record makes the same gate."""
    assert_every_class_is_tested(Gate, GATES)
    for gate in GATES:
        assert_reads_back(gate)


def test_owns_its_parameters(gate: Gate) -> None:
    """Counted, seeded, saved, and apart from other instances."""
    assert_owns_its_parameters(
        lambda init: built(gate, init),
        module_shapes(built(gate, SHAPES_ONLY)),
        lambda module: module(*inputs()),
    )


def test_works_on_each_position_and_head_by_itself(gate: Gate) -> None:
    """Same shape and type back, finite gradients, and what changes in one place changes nothing elsewhere."""
    module = built(gate)
    y_BTHK, x_BTD = inputs()
    before = module(y_BTHK.requires_grad_(), x_BTD)
    assert before.shape == y_BTHK.shape
    assert_finite_gradients(before, module, y_BTHK)
    changed_y, changed_x = y_BTHK.detach().clone(), x_BTD.clone()
    changed_y[1, 2, 1], changed_x[0, 3] = 9.0, 9.0
    after = module(changed_y, changed_x)
    same = torch.ones(BATCH, TOKENS, HEADS, dtype=torch.bool)
    same[1, 2, 1] = same[0, 3] = False
    assert torch.equal(after[same], before[same])
    assert module(y_BTHK.bfloat16(), x_BTD).dtype == torch.bfloat16


@pytest.mark.parametrize("fill", [0.0, 1e-20, -1e4, 1e4])
def test_zeros_and_large_numbers_stay_finite(gate: Gate, fill: float) -> None:
    """Also where a power has no slope, the output and its gradients are finite."""
    module = built(gate)
    y_BTHK = torch.full((BATCH, TOKENS, HEADS, HEAD_WIDTH), fill, requires_grad=True)
    assert_finite_gradients(module(y_BTHK, inputs()[1]), module, y_BTHK)


@pytest.mark.parametrize(
    "gate", [gate for gate in GATES if not (isinstance(gate, SignedPower) and gate.exponent == 0.0)], ids=repr
)
def test_gradients_equal_finite_differences(gate: Gate) -> None:
    """Autograd agrees with finite differences in float64, for values, stream and parameters.

    Not with an exponent of 0, whose slope changes near 0 faster than a step can see.
    """
    module = built(gate).double()
    y_BTHK, x_BTD = (x.requires_grad_() for x in inputs(torch.float64))
    torch.autograd.gradcheck(lambda y, x, *_: module(y, x), (y_BTHK, x_BTD, *module.parameters()))


def test_a_sigmoid_gate_by_hand() -> None:
    """One factor per head and position, from the stream alone."""
    module = built(SigmoidGate())
    y_BTHK, x_BTD = inputs()
    weight_HD = module.get_parameter("loudness.weight")
    factor_BTH = 1 / (1 + (-torch.einsum("btd,hd->bth", x_BTD, weight_HD)).exp())
    torch.testing.assert_close(module(y_BTHK, x_BTD), y_BTHK * factor_BTH[..., None])


def test_a_signed_power_by_hand() -> None:
    """The sign stays, the size is raised; 1 is no gate to the bit."""
    y_BTHK, x_BTD = inputs()
    assert torch.equal(built(SignedPower(exponent=1.0))(y_BTHK, x_BTD), y_BTHK)
    halved = built(SignedPower(exponent=0.5, epsilon=1e-12))(y_BTHK, x_BTD)
    torch.testing.assert_close(halved, y_BTHK.sign() * y_BTHK.abs().sqrt(), rtol=1e-4, atol=1e-6)


def test_what_cannot_be_is_refused() -> None:
    """An exponent outside its range, and an epsilon of nothing."""
    with pytest.raises(SpecError, match=r"exponent: found 2.5.*\[0, 2\]"):
        SignedPower(exponent=2.5)
    with pytest.raises(SpecError, match="epsilon: found 0"):
        SignedPower(exponent=0.5, epsilon=0.0)
