"""The short convolution by hand, as it continues a text, and in front of the blocks of a model."""

import pytest
import torch

from vslm import Block, Repeat, ShortConvolution, SpecError, convolved, looped, uniform
from vslm.models.elements.element import Surroundings
from vslm.models.initialization import Init
from vslm.models.parts.past import TextSoFar
from vslm.models.parts.stream import Stream
from vslm.optim.groups import roles

AROUND = Surroundings(width=5, memory_width=5, context_tokens=11, num_additions=1)
PLAIN = uniform(depth=3, width=12, heads=2, context_tokens=13)


def module_of(window_tokens: int) -> torch.nn.Module:
    """With random weights."""
    return ShortConvolution(window_tokens=window_tokens).build(around=AROUND, kernel=None, init=Init(3))


def stream_of(num_tokens: int) -> Stream:
    """A random stream."""
    x_BTD = torch.randn(2, num_tokens, 5, generator=torch.Generator().manual_seed(1))
    return Stream(x_BTD=x_BTD, memory_BSE=x_BTD, saved={})


@pytest.mark.parametrize("window_tokens", [2, 4, 13])
def test_it_is_torchs_depthwise_convolution_added_to_the_stream(window_tokens: int) -> None:
    """Also where the window is longer than the text."""
    module, stream = module_of(window_tokens), stream_of(7)
    kernel_D1W = torch.stack(list(module.parameters()), dim=1).flip(1)[:, None]
    padded_BDT = torch.nn.functional.pad(stream.x_BTD.mT, (window_tokens - 1, 0))
    expected_BTD = stream.x_BTD + torch.nn.functional.conv1d(padded_BDT, kernel_D1W, groups=5).mT
    torch.testing.assert_close(module(stream).x_BTD, expected_BTD)


@pytest.mark.parametrize("pieces", [(7,), (1, 1, 1, 1, 1, 1, 1), (3, 4), (5, 1, 1)])
def test_a_text_goes_on_as_if_it_were_read_whole(pieces: tuple[int, ...]) -> None:
    """To the bit, in pieces of any length."""
    module, stream = module_of(4), stream_of(7)
    past, found, first = TextSoFar(), [], 0
    for num_tokens in pieces:
        part_BTD = stream.x_BTD[:, first : first + num_tokens]
        found.append(module(Stream(x_BTD=part_BTD, memory_BSE=part_BTD, saved={}, past=past)).x_BTD)
        first += num_tokens
        past.go_on(first)
    assert torch.equal(torch.cat(found, dim=1), module(stream).x_BTD)


def test_no_matrix_is_made_of_it() -> None:
    """Muon and weight decay leave it alone."""
    assert set(roles(module_of(4)).values()) == {"vector"}


def test_a_window_of_one_is_refused() -> None:
    """It would see no other position."""
    with pytest.raises(SpecError, match="2 or more"):
        ShortConvolution(window_tokens=1)


def test_every_visit_of_a_block_has_one_before_it() -> None:
    """In loops, too; the same one wherever the block comes again."""
    model = convolved(looped(PLAIN, times=3), window_tokens=3)
    (loop,) = (item for item in model.path if isinstance(item, Repeat))
    assert [item for item in loop.body if isinstance(item, str)] == ["1_convolution", "1"]
    assert model.blocks["1_convolution"] == ShortConvolution(window_tokens=3)
    plain = sum(isinstance(entry, Block) for entry in PLAIN.blocks.values())
    assert model.num_parameters(31) - PLAIN.num_parameters(31) == plain * 3 * 12
