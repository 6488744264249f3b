"""What is done to queries and keys so that attention knows how far apart they are.

Not for: positions that are added to the stream; those belong to the root (`roots.py`).
"""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vslm.core.bounds import Period
from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.models.without_storage import table


class Positions(Spec):
    """Interface: builds a module that maps (q_BTHK, k_BSHK, first), both starting at position `first`, to the same.

    `first` is below 0 for keys that are to stand before every text (`Cartridge(context=...)`).
    """

    @abstractmethod
    def build(self, *, head_width: int, context_tokens: int) -> nn.Module:
        """The module for heads of `head_width` numbers."""

    def check_head_width(self, head_width: int) -> None:
        """Raise SpecError at `positions` for a head width that cannot be served."""


@dataclass(frozen=True, kw_only=True)
class Rotary(Positions):
    """Turn each pair of coordinates by an angle that grows with the position; scores then see only the distance.

        (a, b)_t -> (a cos - b sin, a sin + b cos),  angle = t * base ** (-2 i / K) for the i-th pair

    Paper: RoFormer, Su et al., 2021, https://arxiv.org/abs/2104.09864. We differ: a pair is coordinates i and i + K/2,
    as in the Llama models, which turns whole halves at once.

    Args:
        base: the slowest pair takes about 2 pi * base positions for a turn; above 1.

    Raises: SpecError for an odd head width.
    """

    base: Period = 10_000.0

    def check(self) -> None:
        """Refuse a base that would turn all pairs alike or backwards."""
        if self.base <= 1:
            raise SpecError("base", f"found {self.base}", "a number above 1 is needed")

    def check_head_width(self, head_width: int) -> None:
        """Pairs need an even head width."""
        if head_width % 2:
            raise SpecError("positions", f"Rotary() on heads of width {head_width}", "an even head width is needed")

    def build(self, *, head_width: int, context_tokens: int) -> nn.Module:
        """The module, with its table of angles up to the context."""
        return RotaryModule(head_width, context_tokens, self.base)


@dataclass(frozen=True, kw_only=True)
class NoPositions(Positions):
    """Queries and keys as they are. For roots that add positions, and for models that live without."""

    def build(self, *, head_width: int, context_tokens: int) -> nn.Module:
        """The module; it holds nothing."""
        return NoPositionsModule()


class RotaryModule(nn.Module):
    """See `Rotary`. The table is a buffer of this module and is not saved: it follows from the arguments."""

    cos_TK: Tensor
    sin_TK: Tensor

    def __init__(self, head_width: int, context_tokens: int, base: float) -> None:
        super().__init__()
        self.head_width, self.base = head_width, base

        def angle_TK() -> Tensor:  # noqa: N802  # the letters of its axes
            frequency_K = base ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
            return torch.arange(context_tokens, dtype=torch.float64)[:, None] * frequency_K

        shape = (context_tokens, head_width // 2)
        self.register_buffer("cos_TK", table(shape, lambda: angle_TK().cos().float()), persistent=False)
        self.register_buffer("sin_TK", table(shape, lambda: angle_TK().sin().float()), persistent=False)

    def lengthened(self, context_tokens: int) -> nn.Module:
        """The table goes on."""
        return RotaryModule(self.head_width, context_tokens, self.base).to(self.cos_TK.device)

    def forward(self, q_BTHK: Tensor, k_BSHK: Tensor, first: int = 0) -> tuple[Tensor, Tensor]:
        """Turn both."""
        return self._turned(q_BTHK, first), self._turned(k_BSHK, first)

    def _turned(self, x_BTHK: Tensor, first: int) -> Tensor:
        past_last = first + x_BTHK.shape[1]
        if first < 0:  # the same angles, turned back
            positions_T = torch.arange(first, past_last, device=x_BTHK.device)
            cos_T1K = self.cos_TK[positions_T.abs(), None]
            sin_T1K = self.sin_TK[positions_T.abs(), None] * positions_T.sign()[:, None, None]
        else:
            cos_T1K = self.cos_TK[first:past_last, None]
            sin_T1K = self.sin_TK[first:past_last, None]
        a, b = x_BTHK.chunk(2, dim=-1)
        turned = torch.cat((a * cos_T1K - b * sin_T1K, a * sin_T1K + b * cos_T1K), dim=-1)
        return turned.to(x_BTHK.dtype)


class NoPositionsModule(nn.Module):
    """See `NoPositions`."""

    def forward(self, q_BTHK: Tensor, k_BSHK: Tensor, first: int = 0) -> tuple[Tensor, Tensor]:
        """Both unchanged."""
        return q_BTHK, k_BSHK
