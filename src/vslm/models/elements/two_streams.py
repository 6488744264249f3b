"""Two streams: one carries content, the other predicts and reads it.

    c_0 = E[token];   c_l = block_l(c_{l-1})                                      content, in the token memory
    g_0 = r;          g_l = block'_l(g_{l-1}; keys and values from c_{l-1})       prediction, in the stream

Logits come from g alone. The content stream is the token memory, so a block of the prediction stream is an ordinary
block with `MemoryReads()`, and a block of the content stream is a `MemoryBlock`. With equal weights for both it is a
`TwoStreamBlock`.

Paper: XLNet, Yang et al., 2019, https://arxiv.org/abs/1906.08237, section 2.3. We differ: the order is the text's own,
and a prediction may see the content of its own position, because its target is the next token.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from vslm.core.errors import SpecError
from vslm.models.elements.blocks import Block
from vslm.models.elements.element import Mixing, PathElement, Reach, Surroundings
from vslm.models.initialization import Init
from vslm.models.parts.kernels import Where
from vslm.models.parts.stream import Stream


@dataclass(frozen=True, kw_only=True)
class MemoryBlock(PathElement):
    """A block whose stream is the token memory: `m <- block(m)`. The stream passes as it is.

    It adds nothing to the stream, so it does not count as an addition.
    Cost: that of the block, at the memory's width.

    Args:
        block: of the memory's width.
    """

    block: Block

    def check_memory(self, memory_width: int) -> None:
        """The block must have the memory's width."""
        _check_memory(self.block, memory_width)

    def sizes(self, width: int) -> Mapping[str, int | None]:
        return self.block.sizes(self.block.width)

    def mixings(self) -> tuple[Mixing, ...]:
        return self.block.mixings()

    def reach(self, before: Reach, around: Surroundings) -> Reach:
        """The memory sees as far as a stream would behind the block."""
        after = self.block.reach(before._replace(stream=before.memory), _on_memory(around))
        return before._replace(memory=after.stream)

    def kernel(self, *, context_tokens: int, where: Where) -> str:
        return self.block.kernel(context_tokens=context_tokens, where=where)

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        """The module; the block starts with the values that it would have without this around it."""
        return MemoryBlockModule(self.block.build(around=_on_memory(around), kernel=kernel, init=init))

    def forward_flops_per_token(self, around: Surroundings) -> float:
        return self.block.forward_flops_per_token(_on_memory(around))


@dataclass(frozen=True, kw_only=True)
class TwoStreamBlock(PathElement):
    """One block on both streams, with the same weights.

        m' = block(m; keys and values from m);   x' = block(x; keys and values from m)

    Cost: the parameters of the block; twice its FLOPs, for the keys and values of both visits are computed apart.

    Args:
        block: of the width of stream and memory, whose attention reads the memory.

    Raises: SpecError for a block that reads the stream alone: its two streams would never meet.
    """

    block: Block

    def check(self) -> None:
        """Refuse a block that never looks at the memory."""
        if not self.block.reads.of_memory:
            raise SpecError("block.reads", f"found {self.block.reads!r}", "MemoryReads() or BothReads() is needed")

    def width_out(self, width: int) -> int:
        """The block's own width, which must arrive."""
        try:
            return self.block.width_out(width)
        except SpecError as error:
            raise (error.within("block") if error.where else error) from None

    def check_memory(self, memory_width: int) -> None:
        """The memory must have the block's width too."""
        _check_memory(self.block, memory_width)

    def num_additions(self) -> int:
        return self.block.num_additions()

    def sizes(self, width: int) -> Mapping[str, int | None]:
        return self.block.sizes(width)

    def mixings(self) -> tuple[Mixing, ...]:
        """The block's, for each stream."""
        return 2 * self.block.mixings()

    def reach(self, before: Reach, around: Surroundings) -> Reach:
        """Both streams see as far as the block sees from them."""
        content = self.block.reach(before._replace(stream=before.memory), around)
        prediction = self.block.reach(before, around)
        return prediction._replace(memory=content.stream)

    def kernel(self, *, context_tokens: int, where: Where) -> str:
        return self.block.kernel(context_tokens=context_tokens, where=where)

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        """The module; the block starts with the values that it would have without this around it."""
        return TwoStreamBlockModule(self.block.build(around=around, kernel=kernel, init=init))

    def forward_flops_per_token(self, around: Surroundings) -> float:
        """The block's, twice."""
        return 2 * self.block.forward_flops_per_token(around)


class MemoryBlockModule(nn.Module):
    """See `MemoryBlock`."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, stream: Stream) -> Stream:
        """One visit."""
        content: Stream = self.block(stream._replace(x_BTD=stream.memory_BSE))
        return stream._replace(memory_BSE=content.x_BTD)


class TwoStreamBlockModule(nn.Module):
    """See `TwoStreamBlock`."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, stream: Stream) -> Stream:
        """One visit of each stream; both read the memory as it arrives."""
        past = stream.past
        content: Stream = self.block(stream._replace(x_BTD=stream.memory_BSE, past=past.at("content")))
        prediction: Stream = self.block(stream._replace(past=past.at("prediction")))
        return prediction._replace(memory_BSE=content.x_BTD)


def _on_memory(around: Surroundings) -> Surroundings:
    return dataclasses.replace(around, width=around.memory_width)


def _check_memory(block: Block, memory_width: int) -> None:
    if block.width != memory_width:
        raise SpecError(
            "block",
            f"a block of width {block.width} works on a memory of width {memory_width}",
            "both need to be equal",
        )
    try:
        block.width_out(memory_width)
    except SpecError as error:
        raise error.within("block") from None
