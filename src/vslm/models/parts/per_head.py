"""Numbers per head that are fixed or learned, and how a learned one is held within its range.

A learned one is a parameter, a fixed one a buffer, both under the same name, so that whoever reads a trained model
finds it in one place. One number per head is a vector, and vectors get no weight decay.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vslm.core.errors import SpecError

LOWEST_EXPONENT, HIGHEST_EXPONENT = 0.0, 2.0


def keep(module: nn.Module, name: str, value_H: Tensor, *, learned: bool) -> None:
    """Give `module` the parameter, or the buffer that no checkpoint repeats, of that name."""
    if learned:
        module.register_parameter(name, nn.Parameter(value_H))
    else:
        module.register_buffer(name, value_H, persistent=False)


def check_exponent(exponent: float) -> None:
    """Refuse an exponent outside [0, 2].

    Raises: SpecError at `exponent`.
    """
    if not LOWEST_EXPONENT <= exponent <= HIGHEST_EXPONENT:
        raise SpecError("exponent", f"found {exponent}", "a number in [0, 2] is needed")


def held_exponent(exponent_H: Tensor) -> Tensor:
    """The exponents, held within [0, 2]."""
    held: Tensor = _HeldWithin.apply(exponent_H, LOWEST_EXPONENT, HIGHEST_EXPONENT)  # type: ignore[assignment]
    return held


class _HeldWithin(torch.autograd.Function):
    """Clamp, but a gradient that leads back inside is let through.

    An ordinary clamp has no gradient outside of its range, so a number that one step of the optimizer carried over the
    edge would stay there for good.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.low, ctx.high = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        # The optimizer steps against the gradient: a negative one raises the number.
        leads_back = ((x >= ctx.low) | (gradient < 0)) & ((x <= ctx.high) | (gradient > 0))
        return gradient * leads_back, None, None
