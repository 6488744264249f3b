"""A path through a bank: names, widths, repeats. With elements made here: a new one needs no change of the room."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.models.elements.blocks import Block
from vslm.models.elements.element import PathElement, Surroundings
from vslm.models.initialization import Init
from vslm.models.language_model import Model
from vslm.models.parts.attention import Attention
from vslm.models.parts.readouts import Readout, Tied, Untied
from vslm.models.parts.roots import Root, TokenRoot
from vslm.models.parts.stream import Stream


@dataclass(frozen=True, kw_only=True)
class Cut(PathElement):
    """A change of width, as a study might write it: keeps the first coordinates, and saves the others."""

    width: int

    def width_out(self, width: int) -> int:
        """Its own."""
        if self.width > width:
            raise SpecError("width", f"{self.width} cannot be cut from {width}")
        return self.width

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        """The module, with one parameter, to see where it is named."""
        return CutModule(self.width, init.child("gain").constant((1,), 1.0))


class CutModule(nn.Module):
    """See `Cut`."""

    def __init__(self, width: int, gain: Tensor) -> None:
        super().__init__()
        self.width, self.gain = width, nn.Parameter(gain)

    def forward(self, stream: Stream) -> Stream:
        """The stream, cut."""
        kept, rest = stream.x_BTD[..., : self.width], stream.x_BTD[..., self.width :]
        return stream._replace(x_BTD=kept * self.gain, saved={**stream.saved, "rest": rest})


ROOT, TIED = TokenRoot(width=20), Tied()


def block(width: int) -> Block:
    """A plain block."""
    return Block(width=width, attention=Attention(heads=2))


def model(
    *,
    root: Root = ROOT,
    readout: Readout = TIED,
    path: tuple[str | PathElement, ...] = ("a", "b"),
    **blocks: PathElement,
) -> Model:
    """A model of two blocks, or of the bank given."""
    bank = blocks or {"a": block(20), "b": block(20)}
    return Model(root=root, blocks=FrozenDict(bank), path=path, readout=readout, context_tokens=7)


def test_visits_follow_the_path() -> None:
    """One visit for each entry, with what surrounds it; additions are counted over all visits."""
    visits = model(path=("a", "b", "a", block(20))).visits()
    assert [visit.where for visit in visits] == ["blocks.a", "blocks.b", "blocks.a", "path.3"]
    assert {visit.around.num_additions for visit in visits} == {8}
    assert {visit.around.width for visit in visits} == {20}


def test_a_name_used_twice_is_one_module() -> None:
    """Its weights are there once, and both visits use them."""
    looped = model(path=("a", "b", "a"))
    module = looped.build(vocabulary=11, init=Init(0))
    assert looped.num_parameters(11) == model().num_parameters(11) == sum(p.numel() for p in module.parameters())
    tokens_BT = torch.arange(7)[None]
    stream = module.root(tokens_BT)
    for name in ("a", "b", "a"):
        stream = module.blocks[name](stream)
    assert torch.equal(module.stream(tokens_BT), module.norm(stream.x_BTD))


def test_a_new_element_fits_without_a_change() -> None:
    """A change of width stands between two widths, has parameters of its own place, and may leave something behind."""
    tapered = model(a=block(20), b=block(12), path=("a", Cut(width=12), "b"), readout=Untied())
    module = tapered.build(vocabulary=11, init=Init(0))
    assert "path.1.gain" in dict(module.named_parameters())
    assert tapered.last_width == 12
    assert tapered.num_parameters(11) == sum(p.numel() for p in module.parameters())
    assert tapered.kernels() == {"a": "chunked", "b": "chunked"}
    assert module(torch.arange(7)[None]).shape == (1, 7, 11)


def test_neighbors_of_different_width_are_refused_with_both_names() -> None:
    """The message names the two blocks, both widths, and what to do."""
    with pytest.raises(
        SpecError,
        match=r"blocks\.b: after blocks\.a, width 12 follows width 20; .*Resize between them, .*Carry\(width=12\)",
    ):
        model(a=block(20), b=block(12)).validate()
    with pytest.raises(SpecError, match=r"blocks\.a: after root, width 20 follows width 24"):
        model(root=TokenRoot(width=24)).validate()
    with pytest.raises(SpecError, match=r"path\.1\.width: 30 cannot be cut from 20"):
        model(path=("a", Cut(width=30), "b")).validate()
    with pytest.raises(SpecError, match=r"readout: Tied\(\) reads width 12 with an embedding of width 20"):
        model(a=block(20), b=block(12), path=("a", Cut(width=12), "b")).validate()


def test_an_element_has_one_width() -> None:
    """The same module cannot stand before and after a change of width."""
    cut = Cut(width=12)
    with pytest.raises(SpecError, match=r"blocks\.cut: visited at width 20 and at width 12"):
        model(a=block(20), cut=cut, path=("a", "cut", "cut"), readout=Untied()).validate()


def test_names_that_cannot_be_are_refused() -> None:
    """Unknown and unused names, an empty path, and names that paths or torch could not carry."""
    with pytest.raises(SpecError, match=r"path\.1: no block is named 'bb'; did you mean b\?"):
        model(path=("a", "bb")).validate()
    with pytest.raises(SpecError, match=r"blocks\.b: no visit in path"):
        model(path=("a",)).validate()
    with pytest.raises(SpecError, match="path: an empty path"):
        model(path=()).validate()
    for name in ("", "a.b", "*", "kind", "keys", "training"):
        with pytest.raises(SpecError, match="cannot name a block"):
            model(**{name: block(20)}, path=(name,)).validate()


def test_a_place_in_the_path_is_addressed_from_the_model() -> None:
    """Heads that do not divide are found where they stand, in the bank and in the path."""
    wrong = Block(width=20, attention=Attention(heads=3))
    with pytest.raises(SpecError, match=r"^blocks\.b\.attention\.heads: 3 heads"):
        model(a=block(20), b=wrong).validate()
    with pytest.raises(SpecError, match=r"^path\.1\.attention\.heads: 3 heads"):
        model(a=block(20), path=("a", wrong)).validate()
