"""One attention and one feedforward: the usual element of a path."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from vslm.core.bounds import Real, Width
from vslm.core.errors import SpecError
from vslm.models.elements.element import Mixing, PathElement, Reach, Surroundings, element_shapes
from vslm.models.initialization import Init, default_draws
from vslm.models.parts.attention import Attention
from vslm.models.parts.feedforward import Feedforward, SwiGLU, feedforward_shapes
from vslm.models.parts.kernels import ON_A_CPU, Where
from vslm.models.parts.norms import Norm, RMSNorm
from vslm.models.parts.reads import Reads, StreamReads
from vslm.models.parts.residuals import PlainAdd, Residual
from vslm.models.parts.scales import FanIn, WeightScale
from vslm.models.parts.stream import Stream


@dataclass(frozen=True, kw_only=True)
class Block(PathElement):
    """The pre-norm transformer block.

        x <- x + attention(norm(x), reads(norm(x), memory));   x <- x + feedforward(norm(x))

    Paper: On Layer Normalization in the Transformer Architecture, Xiong et al., 2020,
    https://arxiv.org/abs/2002.04745, figure 1b.
    At the start: both output projections are smaller by the square root of the number of additions to the stream in a
    whole pass, or since it started anew (as in GPT-2), so that the stream's scale at the end does not depend on the
    depth.

    Args:
        width: of the stream.
        attention: what mixes positions.
        feedforward: what works on each position.
        norm: what each of them reads through; each gets its own.
        reads: what the keys and values of attention read; the stream, unless a root hides the tokens in the memory.
        residual: how each adds what it found.
        dropout: probability that a number of what is added is dropped in training.
        scale: of the initial weights.
    """

    width: Width
    attention: Attention
    feedforward: Feedforward = SwiGLU()
    norm: Norm = RMSNorm()
    reads: Reads = StreamReads()
    residual: Residual = PlainAdd()
    dropout: Real = 0.0
    scale: WeightScale = FanIn()

    def check(self) -> None:
        """Refuse a width below 1 and a dropout that leaves nothing."""
        if self.width < 1:
            raise SpecError("width", f"found {self.width}", "1 or more is needed")
        if not 0 <= self.dropout < 1:
            raise SpecError("dropout", f"found {self.dropout}", "at least 0 and below 1 is needed")

    def width_out(self, width: int) -> int:
        """The same width, which must be the block's own."""
        if width != self.width:
            raise SpecError(
                "",
                f"width {self.width} follows width {width}",
                "neighbors need equal widths",
                f"set equal widths, or put a Resize between them, such as Carry(width={self.width})",
            )
        try:
            self.attention.width_per_head(width)
        except SpecError as error:
            raise error.within("attention") from None
        return width

    def num_additions(self) -> int:
        """Attention and feedforward each add once."""
        return 2

    def sizes(self, width: int) -> Mapping[str, int | None]:
        """Heads, numbers in the middle of the feedforward, window."""
        return {
            "heads": self.attention.heads,
            "hidden": self.feedforward.hidden_at(width),
            "window_tokens": self.attention.window_tokens,
        }

    def mixings(self) -> tuple[Mixing, ...]:
        """The attention's."""
        attention = self.attention
        return (Mixing(attention.heads * attention.width_per_head(self.width), attention.window_tokens),)

    def reach(self, before: Reach, around: Surroundings) -> Reach:
        """The stream sees a window further than what keys and values read, if that sees a token."""
        read = max(before.stream * self.reads.of_stream, before.memory * self.reads.of_memory)
        window_tokens = self.attention.window_tokens or around.context_tokens
        return before._replace(stream=max(before.stream, read + window_tokens - 1 if read else 0))

    def kernel(self, *, context_tokens: int, where: Where) -> str:
        """The name of the attention's kernel."""
        return self.attention.kernel(context_tokens=context_tokens, where=where)

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        output_factor = 1 / math.sqrt(around.num_additions)
        widths = {"stream_width": self.width, "memory_width": around.memory_width}
        with default_draws(init.child("attention")):
            attention = self.attention.build(
                width=self.width,
                memory_width=self.reads.width(**widths),
                context_tokens=around.context_tokens,
                scale=self.scale,
                output_factor=output_factor,
                kernel=kernel or self.kernel(context_tokens=around.context_tokens, where=ON_A_CPU),
                init=init.child("attention"),
            )
        with default_draws(init.child("feedforward")):
            feedforward = self.feedforward.build(
                width=self.width, scale=self.scale, output_factor=output_factor, init=init.child("feedforward")
            )
        return BlockModule(
            attention_norm=self.norm.build(width=self.width),
            reads=self.reads.build(norm=self.norm, **widths, init=init.child("reads")),
            attention=attention,
            attention_residual=self.residual.build(width=self.width, init=init.child("attention_residual")),
            feedforward_norm=self.norm.build(width=self.width),
            feedforward=feedforward,
            feedforward_residual=self.residual.build(width=self.width, init=init.child("feedforward_residual")),
            dropout=self.dropout,
        )

    def forward_flops_per_token(self, around: Surroundings) -> float:
        """Two for every weight, or what the feedforward says of itself; and attention's scores and weighted values."""
        (mixing,) = self.mixings()
        feedforward = feedforward_shapes(self.feedforward, self.width)
        others = element_shapes(self, around).num_parameters - feedforward.num_parameters
        products = 2 * others + self.feedforward.forward_flops_per_token(self.width)
        return products + mixing.useful_flops_per_token(around.context_tokens)


class BlockModule(nn.Module):
    """See `Block`."""

    def __init__(
        self,
        *,
        attention_norm: nn.Module,
        reads: nn.Module,
        attention: nn.Module,
        attention_residual: nn.Module,
        feedforward_norm: nn.Module,
        feedforward: nn.Module,
        feedforward_residual: nn.Module,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention_norm, self.reads, self.attention = attention_norm, reads, attention
        self.attention_residual = attention_residual
        self.feedforward_norm, self.feedforward = feedforward_norm, feedforward
        self.feedforward_residual = feedforward_residual
        self.dropout = dropout

    def forward(self, stream: Stream) -> Stream:
        """One visit."""
        x_BTD = stream.x_BTD
        read_BTD = self.attention_norm(x_BTD)
        found_BTD = self.attention(read_BTD, self.reads(read_BTD, stream.memory_BSE), stream.past)
        x_BTD = self.attention_residual(x_BTD, self._dropped(found_BTD))
        found_BTD = self.feedforward(self.feedforward_norm(x_BTD))
        x_BTD = self.feedforward_residual(x_BTD, self._dropped(found_BTD))
        return stream._replace(x_BTD=x_BTD)

    def _dropped(self, delta_BTD: Tensor) -> Tensor:
        return functional.dropout(delta_BTD, self.dropout, self.training) if self.dropout else delta_BTD
