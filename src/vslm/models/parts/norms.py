"""Norms: bring a vector to unit scale before a block or the readout reads it.

Both compute in fp32 whatever the precision around them: a mean of squares in bf16 loses two of its three digits.
"""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.core.specs import Spec


class Norm(Spec):
    """Interface: builds a module that maps `[..., width]` to the same shape."""

    @abstractmethod
    def build(self, *, width: int) -> nn.Module:
        """The module for vectors of `width` numbers."""


@dataclass(frozen=True, kw_only=True)
class RMSNorm(Norm):
    """Divide by the root mean square, then multiply by a learned gain.

        y = g * x / sqrt(mean(x ** 2) + epsilon)

    Paper: Root Mean Square Layer Normalization, Zhang and Sennrich, 2019, https://arxiv.org/abs/1910.07467.
    At the start: g = 1.

    Args:
        epsilon: added to the mean square, above 0.
    """

    epsilon: Real = 1e-5

    def check(self) -> None:
        """Refuse an epsilon that would divide zero by zero."""
        _check_epsilon(self.epsilon)

    def build(self, *, width: int) -> nn.Module:
        """The module for vectors of `width` numbers."""
        return RMSNormModule(width, self.epsilon)


@dataclass(frozen=True, kw_only=True)
class LayerNorm(Norm):
    """Subtract the mean, divide by the deviation, then a learned gain and shift.

    Paper: Layer Normalization, Ba, Kiros and Hinton, 2016, https://arxiv.org/abs/1607.06450.
    At the start: gain 1, shift 0.

    Args:
        epsilon: added to the variance, above 0.
        bias: whether there is a shift.
    """

    epsilon: Real = 1e-5
    bias: bool = True

    def check(self) -> None:
        """Refuse an epsilon that would divide zero by zero."""
        _check_epsilon(self.epsilon)

    def build(self, *, width: int) -> nn.Module:
        """The module for vectors of `width` numbers."""
        return LayerNormModule(width, self.epsilon, bias=self.bias)


class RMSNormModule(nn.Module):
    """See `RMSNorm`. The result is fp32; the matrix that reads it rounds it as the precision around it wants."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last axis."""
        return functional.rms_norm(x.to(self.weight.dtype), self.weight.shape, self.weight, self.epsilon)


class LayerNormModule(nn.Module):
    """See `LayerNorm`."""

    def __init__(self, width: int, epsilon: float, *, bias: bool) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last axis."""
        return functional.layer_norm(x.to(self.weight.dtype), self.weight.shape, self.weight, self.bias, self.epsilon)


def _check_epsilon(epsilon: float) -> None:
    if epsilon <= 0:
        raise SpecError("epsilon", f"found {epsilon}", "a number above 0 is needed")
