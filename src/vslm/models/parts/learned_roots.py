"""Roots whose stream starts, in whole or in part, from learned values instead of the token.

Each works on another root, `tokens`, which makes the embedding: it keeps that root's token memory and changes what the
stream starts from. So deviation, multiplier, dropout and width of the embedding are fields of `tokens` and of nothing
else, and the embedding starts with the values that `tokens` would give it by itself.

`r` is a learned vector, the same at every position. It starts normal, with the deviation that an embedding has, and is
one-dimensional, so optimizers give it no weight decay.

Not for: what reads the memory; that is `reads.py`. The layouts that put both together are in `layouts/roots.py`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vslm.core.bounds import Real, Width
from vslm.core.errors import SpecError
from vslm.models.initialization import Init
from vslm.models.parts.projections import linear, through_stream_layer
from vslm.models.parts.roots import Root
from vslm.models.parts.scales import FanIn, WeightScale
from vslm.models.parts.stream import Stream

LEARNED_STD = 0.02  # of r at the start, as of an embedding; the first norm brings it to unit scale


class DerivedRoot(Root):
    """Interface: changes what the stream of another root starts from, and keeps that root's token memory."""

    tokens: Root

    @property
    def stream_width(self) -> int:
        """That of `tokens`."""
        return self.tokens.stream_width

    @property
    def memory_width(self) -> int:
        return self.tokens.memory_width

    @property
    def goes_on(self) -> bool:
        """As that of `tokens`."""
        return self.tokens.goes_on


@dataclass(frozen=True, kw_only=True)
class LearnedRoot(DerivedRoot):
    """The stream starts as a learned vector at every position; tokens are reached through the memory alone.

        x_t = r,   m_t = what `tokens` starts its stream from

    At least one block has to read the memory (`MemoryReads`, `BothReads`); a model where none does is refused. All
    first queries are equal, up to what positions do to them. The memory's width is free of the stream's.
    At the start: normal, deviation `std`.
    Cost: one number per coordinate.

    Args:
        width: of the stream.
        tokens: what makes the memory.
        std: deviation of the initial vector, above 0.
    """

    width: Width
    tokens: Root
    std: Real = LEARNED_STD

    def check(self) -> None:
        """Refuse an empty stream and a vector of nothing."""
        _check(width=self.width, std=self.std)

    @property
    def stream_width(self) -> int:
        """The learned vector's."""
        return self.width

    def build(self, *, vocabulary: int, context_tokens: int, init: Init) -> nn.Module:
        """The module, around that of `tokens`."""
        tokens = self.tokens.build(vocabulary=vocabulary, context_tokens=context_tokens, init=init)
        return LearnedRootModule(tokens, init.child("learned_D").normal((self.width,), self.std))

    @property
    def starts_from_tokens(self) -> bool:
        """No: a block has to read the memory."""
        return False


@dataclass(frozen=True, kw_only=True)
class ShiftedRoot(DerivedRoot):
    """The start of another root plus a learned vector: `x_t = x'_t + r`.

    A control: a bias, of which nothing is expected.
    At the start: normal, deviation `std`.
    Cost: one number per coordinate.

    Args:
        tokens: the other root.
        std: deviation of the initial vector, above 0.
    """

    tokens: Root
    std: Real = LEARNED_STD

    def check(self) -> None:
        """Refuse a vector of nothing."""
        _check(std=self.std)

    def build(self, *, vocabulary: int, context_tokens: int, init: Init) -> nn.Module:
        """The module, around that of `tokens`."""
        tokens = self.tokens.build(vocabulary=vocabulary, context_tokens=context_tokens, init=init)
        return ShiftedRootModule(tokens, init.child("learned_D").normal((self.stream_width,), self.std))


@dataclass(frozen=True, kw_only=True)
class MixedRoot(DerivedRoot):
    """The start of another root and a learned vector, in learned parts: `x_t = g * x'_t + (1 - g) * r`.

    Training chooses how much of the token the stream starts from.
    At the start: g = 1, bitwise the other root; r is normal with deviation `std` and gets no gradient before g moves.
    Cost: one number per coordinate and one gate, or two numbers per coordinate.

    Args:
        tokens: the other root.
        gate_per_coordinate: whether each coordinate has a g of its own; else there is one.
        std: deviation of the initial vector, above 0.
    """

    tokens: Root
    gate_per_coordinate: bool = False
    std: Real = LEARNED_STD

    def check(self) -> None:
        """Refuse a vector of nothing."""
        _check(std=self.std)

    @property
    def num_gates(self) -> int:
        """How many numbers g has."""
        return self.stream_width if self.gate_per_coordinate else 1

    def build(self, *, vocabulary: int, context_tokens: int, init: Init) -> nn.Module:
        """The module, around that of `tokens`."""
        return MixedRootModule(
            self.tokens.build(vocabulary=vocabulary, context_tokens=context_tokens, init=init),
            learned_D=init.child("learned_D").normal((self.stream_width,), self.std),
            gate=init.child("gate").constant((self.num_gates,), 1.0),
        )


@dataclass(frozen=True, kw_only=True)
class WidenedRoot(DerivedRoot):
    """The start of another root with learned coordinates behind it: `x_t = [x'_t; r]`.

    At the start: r is normal with deviation `std`. A norm sees both parts together, so while the token's part is the
    larger one, r hardly counts, and blocks find room to write in.
    Cost: one number per learned coordinate.

    Args:
        learned_width: how many coordinates are learned.
        tokens: the other root.
        std: deviation of the initial vector, above 0.
    """

    learned_width: Width
    tokens: Root
    std: Real = LEARNED_STD

    def check(self) -> None:
        """Refuse no learned coordinate and a vector of nothing."""
        _check(learned_width=self.learned_width, std=self.std)

    @property
    def stream_width(self) -> int:
        """That of `tokens` and the learned coordinates."""
        return self.tokens.stream_width + self.learned_width

    def build(self, *, vocabulary: int, context_tokens: int, init: Init) -> nn.Module:
        """The module, around that of `tokens`."""
        tokens = self.tokens.build(vocabulary=vocabulary, context_tokens=context_tokens, init=init)
        return WidenedRootModule(tokens, init.child("learned_D").normal((self.learned_width,), self.std))


@dataclass(frozen=True, kw_only=True)
class ProjectedRoot(DerivedRoot):
    """The start of another root through a matrix: `x_t = W x'_t`.

    Holds nothing learned in the token's place: it is the control of roots that free the stream's width from the
    embedding's.

    Paper: ALBERT, Lan et al., 2019, https://arxiv.org/abs/1909.11942, section 3.1.
    At the start: deviation from `scale`; with FanIn() the stream starts at the scale of the other root's.
    Cost: width * width of the other stream.

    Args:
        width: of the stream.
        tokens: the other root.
        scale: of the initial weights.
    """

    width: Width
    tokens: Root
    scale: WeightScale = FanIn()

    def check(self) -> None:
        """Refuse an empty stream."""
        _check(width=self.width)

    @property
    def stream_width(self) -> int:
        return self.width

    def build(self, *, vocabulary: int, context_tokens: int, init: Init) -> nn.Module:
        """The module, around that of `tokens`."""
        before = self.tokens.stream_width
        return ProjectedRootModule(
            self.tokens.build(vocabulary=vocabulary, context_tokens=context_tokens, init=init),
            linear(before, self.width, bias=False, std=self.scale.std(before), init=init.child("projection")),
        )


class DerivedRootModule(nn.Module):
    """See `DerivedRoot`."""

    def __init__(self, tokens: nn.Module) -> None:
        super().__init__()
        self.tokens = tokens

    @property
    def embedding_VE(self) -> Tensor:  # noqa: N802  # the letters of its axes
        return self.tokens.embedding_VE  # type: ignore[return-value]


class LearnedRootModule(DerivedRootModule):
    """See `LearnedRoot`."""

    def __init__(self, tokens: nn.Module, learned_D: Tensor) -> None:
        super().__init__(tokens)
        self.learned_D = nn.Parameter(learned_D)

    def forward(self, tokens_BT: Tensor) -> Stream:
        """The first stream: the vector at every position; the memory is what `tokens` starts from."""
        stream: Stream = self.tokens(tokens_BT)
        return stream._replace(x_BTD=self.learned_D.expand(*tokens_BT.shape, -1))


class ShiftedRootModule(DerivedRootModule):
    """See `ShiftedRoot`."""

    def __init__(self, tokens: nn.Module, learned_D: Tensor) -> None:
        super().__init__(tokens)
        self.learned_D = nn.Parameter(learned_D)

    def forward(self, tokens_BT: Tensor) -> Stream:
        """The first stream; the memory is that of `tokens`."""
        stream: Stream = self.tokens(tokens_BT)
        return stream._replace(x_BTD=stream.x_BTD + self.learned_D)


class MixedRootModule(DerivedRootModule):
    """See `MixedRoot`."""

    def __init__(self, tokens: nn.Module, *, learned_D: Tensor, gate: Tensor) -> None:
        super().__init__(tokens)
        self.learned_D = nn.Parameter(learned_D)
        self.gate = nn.Parameter(gate)

    def forward(self, tokens_BT: Tensor) -> Stream:
        """The first stream; the memory is that of `tokens`."""
        stream: Stream = self.tokens(tokens_BT)
        # Two products and not r + g * (x - r): this one is x to the bit where g is 1.
        return stream._replace(x_BTD=self.gate * stream.x_BTD + (1 - self.gate) * self.learned_D)


class WidenedRootModule(DerivedRootModule):
    """See `WidenedRoot`."""

    def __init__(self, tokens: nn.Module, learned_D: Tensor) -> None:
        super().__init__(tokens)
        self.learned_D = nn.Parameter(learned_D)

    def forward(self, tokens_BT: Tensor) -> Stream:
        """The first stream; the memory is that of `tokens`."""
        stream: Stream = self.tokens(tokens_BT)
        learned_BTD = self.learned_D.expand(*tokens_BT.shape, -1)
        return stream._replace(x_BTD=torch.cat((stream.x_BTD, learned_BTD), dim=-1))


class ProjectedRootModule(DerivedRootModule):
    """See `ProjectedRoot`."""

    def __init__(self, tokens: nn.Module, projection: nn.Linear) -> None:
        super().__init__(tokens)
        self.projection = projection

    def forward(self, tokens_BT: Tensor) -> Stream:
        """The first stream; the memory is that of `tokens`."""
        stream: Stream = self.tokens(tokens_BT)
        return stream._replace(x_BTD=through_stream_layer(self.projection, stream.x_BTD))


def _check(**above_zero: float) -> None:
    for name, value in above_zero.items():
        if value <= 0:
            allowed = "1 or more is needed" if isinstance(value, int) else "a number above 0 is needed"
            raise SpecError(name, f"found {value}", allowed)
