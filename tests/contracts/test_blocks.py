"""Contracts of every element that a path may visit."""

import dataclasses

import pytest
import torch
from model_facts import (
    assert_every_class_is_tested,
    assert_finite_gradients,
    assert_owns_its_parameters,
    assert_reads_back,
)
from test_attentions import ATTENTIONS
from test_feedforwards import FEEDFORWARDS, NORMS, RESIDUALS, SCALES
from torch import nn

from vslm.core.errors import SpecError
from vslm.models.attention import Attention
from vslm.models.blocks import Block
from vslm.models.elements import PathElement, Surroundings
from vslm.models.initialization import Init
from vslm.models.resizes import Carry, LearnedPad, Project, UNet, ZeroPad
from vslm.models.stream import Stream

WIDTH, MEMORY_WIDTH, BATCH = 42, 11, 2
AROUND = Surroundings(width=WIDTH, memory_width=MEMORY_WIDTH, context_tokens=67, num_additions=6)
PLAIN = Block(width=WIDTH, attention=Attention(heads=3))
ELEMENTS = [
    *(dataclasses.replace(PLAIN, attention=attention) for attention in ATTENTIONS),
    *(dataclasses.replace(PLAIN, feedforward=feedforward) for feedforward in FEEDFORWARDS),
    *(dataclasses.replace(PLAIN, norm=norm) for norm in NORMS),
    *(dataclasses.replace(PLAIN, residual=residual) for residual in RESIDUALS),
    *(dataclasses.replace(PLAIN, scale=scale) for scale in SCALES),
    dataclasses.replace(PLAIN, dropout=0.2),
    *(resize(width=width) for resize in (ZeroPad, LearnedPad, Carry, Project, UNet) for width in (29, WIDTH, 53)),
    LearnedPad(width=53, std=1.0),
    Project(width=29, std=0.02, identity=0.0, bias=True),
]


@pytest.fixture(params=ELEMENTS, ids=lambda element: f"{ELEMENTS.index(element)}")
def element(request: pytest.FixtureRequest) -> PathElement:
    """Each element."""
    return request.param


def built(element: PathElement, init: Init | None = None) -> nn.Module:
    """The module, in evaluation."""
    kernel = element.kernel(context_tokens=AROUND.context_tokens, device_type="cpu")
    return element.build(around=AROUND, kernel=kernel, init=init or Init(0)).eval()


def stream_of(num_tokens: int) -> Stream:
    """A random stream with a memory of another width."""
    generator = torch.Generator().manual_seed(0)
    return Stream(
        x_BTD=torch.randn(BATCH, num_tokens, WIDTH, generator=generator),
        memory_BSE=torch.randn(BATCH, num_tokens, MEMORY_WIDTH, generator=generator),
        saved={},
    )


def test_the_list_is_complete() -> None:
    """Every element of the room is in the list above."""
    assert_every_class_is_tested(PathElement, ELEMENTS)


def test_reads_back(element: PathElement) -> None:
    """The record of an element makes the same element."""
    assert_reads_back(element)


def test_owns_its_parameters(element: PathElement) -> None:
    """Counted, seeded, saved, and apart from other instances."""
    assert_owns_its_parameters(
        lambda init: built(element, init),
        element.num_parameters(AROUND),
        lambda module: module(stream_of(17)).x_BTD,
    )


@pytest.mark.parametrize("num_tokens", [1, 37, 67])
def test_maps_a_stream_to_a_stream(element: PathElement, num_tokens: int) -> None:
    """The declared width comes out, the stream that went in is unchanged, gradients are finite."""
    module, stream = built(element), stream_of(num_tokens)
    kept = stream.x_BTD.clone()
    stream.x_BTD.requires_grad_()
    output = module(stream)
    assert output.x_BTD.shape == (BATCH, num_tokens, element.width_out(WIDTH))
    assert torch.equal(stream.x_BTD, kept)
    assert stream.saved == {}
    assert_finite_gradients(output.x_BTD, module, stream.x_BTD)


def test_causal_to_the_bit_and_rows_apart(element: PathElement) -> None:
    """A change at one place of one row leaves everything before it, and every other row, bitwise equal."""
    module, stream = built(element), stream_of(61)
    before = module(stream).x_BTD
    for changed in (1, 33, 60):
        x_BTD = stream.x_BTD.clone()
        x_BTD[1, changed] = 5.0
        memory_BSE = stream.memory_BSE.clone()
        memory_BSE[1, changed] = 5.0
        after = module(Stream(x_BTD, memory_BSE, {})).x_BTD
        assert torch.equal(after[0], before[0])
        assert torch.equal(after[1, :changed], before[1, :changed])
        assert not torch.equal(after[1, changed], before[1, changed])


def test_dropout_is_torch_randomness_of_training_only() -> None:
    """The same torch seed, the same dropped numbers; each drops about its share."""
    module = built(dataclasses.replace(PLAIN, dropout=0.2))
    assert torch.equal(module(stream_of(17)).x_BTD, module(stream_of(17)).x_BTD)
    module.train()
    outputs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outputs.append(module(stream_of(17)).x_BTD)
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_a_deeper_model_starts_each_addition_smaller() -> None:
    """Output projections shrink with the root of the number of additions; nothing else does."""
    shallow = dict(PLAIN.build(around=AROUND, kernel="chunked", init=Init(0)).named_parameters())
    around = dataclasses.replace(AROUND, num_additions=24)
    deep = dict(PLAIN.build(around=around, kernel="chunked", init=Init(0)).named_parameters())
    for name, p in shallow.items():
        torch.testing.assert_close(deep[name], p * 0.5 if ".output." in name else p)


def test_useful_flops_by_hand() -> None:
    """Two per weight, and four per number of attention's width and visible key."""
    block = Block(width=6, attention=Attention(heads=1, window_tokens=2))
    around = Surroundings(width=6, memory_width=6, context_tokens=4, num_additions=2)
    assert block.num_parameters(around) == 4 * 36 + 3 * 6 * 16 + 2 * 6
    assert block.forward_flops_per_token(around) == 2 * (4 * 36 + 3 * 6 * 16 + 2 * 6) + 4 * 6 * 1.75


def test_says_what_it_leaves_behind(element: PathElement) -> None:
    """What a visit saves has the names and widths that the spec declares."""
    saved = built(element)(stream_of(17)).saved
    assert {name: x_BTR.shape[-1] for name, x_BTR in saved.items()} == element.saves(AROUND)


def test_what_cannot_be_is_refused() -> None:
    """A width that does not arrive, heads that do not divide, numbers out of range."""
    with pytest.raises(SpecError, match="width 42 follows width 41"):
        PLAIN.width_out(41)
    with pytest.raises(SpecError, match=r"attention\.heads: 4 heads do not divide width 42"):
        dataclasses.replace(PLAIN, attention=Attention(heads=4)).width_out(42)
    with pytest.raises(SpecError, match="width"):
        dataclasses.replace(PLAIN, width=0)
    with pytest.raises(SpecError, match="dropout"):
        dataclasses.replace(PLAIN, dropout=1.0)
