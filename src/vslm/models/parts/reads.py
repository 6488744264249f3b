"""What the keys and values of a block's attention read: the stream, the token memory, or both.

Queries always read the stream. Whatever is read is at the same positions, so windows, causality and kernels do not know
the difference; a query at position t may read the memory of position t, its own token.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from vslm.core.specs import Spec
from vslm.models.initialization import Init
from vslm.models.parts.norms import Norm


class Reads(Spec):
    """Interface: builds a module that maps (read_BTD, memory_BSE) to what keys and values read.

    read_BTD is the stream after the block's norm, as queries read it. The memory comes as the root made it: a module
    that looks at it has a norm of its own for it.
    """

    of_stream: ClassVar[bool]  # whether the module looks at the stream
    of_memory: ClassVar[bool]  # whether the module looks at the memory

    @abstractmethod
    def width(self, *, stream_width: int, memory_width: int) -> int:
        """Width of what keys and values read."""

    @abstractmethod
    def build(self, *, norm: Norm, stream_width: int, memory_width: int, init: Init) -> nn.Module:
        """The module, with norms of the block's kind."""


@dataclass(frozen=True, kw_only=True)
class StreamReads(Reads):
    """Keys and values read the stream, as in every ordinary block.

    Cost: no parameter.
    """

    of_stream: ClassVar[bool] = True
    of_memory: ClassVar[bool] = False

    def width(self, *, stream_width: int, memory_width: int) -> int:
        """The stream's."""
        return stream_width

    def build(self, *, norm: Norm, stream_width: int, memory_width: int, init: Init) -> nn.Module:
        """The module; it holds nothing."""
        return StreamReadsModule()


@dataclass(frozen=True, kw_only=True)
class MemoryReads(Reads):
    """Keys and values read the token memory: `k_s = W_k norm(m_s)`, `v_s = W_v norm(m_s)`.

    For the first block of a learned root, and for the prediction stream of two.
    Cost: one norm of the memory's width; key and value read the memory's width instead of the stream's.
    """

    of_stream: ClassVar[bool] = False
    of_memory: ClassVar[bool] = True

    def width(self, *, stream_width: int, memory_width: int) -> int:
        """The memory's."""
        return memory_width

    def build(self, *, norm: Norm, stream_width: int, memory_width: int, init: Init) -> nn.Module:
        """The module, with a norm of the memory."""
        return MemoryReadsModule(norm.build(width=memory_width))


@dataclass(frozen=True, kw_only=True)
class BothReads(Reads):
    """Keys and values read stream and memory side by side: `k_s = W_k [norm(x_s); norm(m_s)]`, and values likewise.

    The same as two matrices whose results are added. Each position stays one key, so the row of weights, its normalizer
    and its cost are those of an ordinary block; memory as keys of its own would double the row, and arms would differ
    in two things.
    Cost: one norm of the memory's width, and 2 * memory width * attention width weights more than an ordinary block.
    """

    of_stream: ClassVar[bool] = True
    of_memory: ClassVar[bool] = True

    def width(self, *, stream_width: int, memory_width: int) -> int:
        """The sum of both."""
        return stream_width + memory_width

    def build(self, *, norm: Norm, stream_width: int, memory_width: int, init: Init) -> nn.Module:
        """The module, with a norm of the memory."""
        return BothReadsModule(norm.build(width=memory_width))


class StreamReadsModule(nn.Module):
    """See `StreamReads`."""

    def forward(self, read_BTD: Tensor, memory_BSE: Tensor) -> Tensor:
        """The stream; the memory is not looked at."""
        return read_BTD


class MemoryReadsModule(nn.Module):
    """See `MemoryReads`."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, read_BTD: Tensor, memory_BSE: Tensor) -> Tensor:
        """The normed memory; the stream is not looked at."""
        return self.norm(memory_BSE)


class BothReadsModule(nn.Module):
    """See `BothReads`."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, read_BTD: Tensor, memory_BSE: Tensor) -> Tensor:
        """Stream and normed memory, one behind the other."""
        return torch.cat((read_BTD, self.norm(memory_BSE)), dim=-1)
