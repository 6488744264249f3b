"""Activation functions: what a feedforward does to each number in its middle.

An activation is the shortest way to a model of one's own: a class with one method, used as `MLP(activation=...)` or
`GatedMLP(activation=...)`. See docs/adding-a-feedforward.md.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vslm.core.specs import Spec
from vslm.models.initialization import Init


class Activation(Spec):
    """Interface: builds a module that maps h_BTM to the same shape, each number by itself."""

    @abstractmethod
    def build(self, *, hidden: int, init: Init) -> nn.Module:
        """The module.

        Args:
            hidden: numbers in the middle of the feedforward.
            init: where initial values come from, for an activation that learns.
        """


class Pointwise(nn.Module):
    """A function of a tensor as a module. Args: function: of each number by itself, without parameters."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, h_BTM: Tensor) -> Tensor:
        """The function of every number."""
        return self.function(h_BTM)


@dataclass(frozen=True, kw_only=True)
class ReLUActivation(Activation):
    """max(h, 0)"""

    def build(self, *, hidden: int, init: Init) -> nn.Module:
        return Pointwise(torch.relu)


@dataclass(frozen=True, kw_only=True)
class SquaredReLUActivation(Activation):
    """max(h, 0) ** 2

    Paper: Primer: Searching for Efficient Transformers for Language Modeling, So et al., 2021,
    https://arxiv.org/abs/2109.08668.
    """

    def build(self, *, hidden: int, init: Init) -> nn.Module:
        return Pointwise(_squared_relu)


@dataclass(frozen=True, kw_only=True)
class SiLUActivation(Activation):
    """h * sigmoid(h)

    Paper: Sigmoid-Weighted Linear Units for Neural Network Function Approximation in Reinforcement Learning, Elfwing,
    Uchibe and Doya, 2017, https://arxiv.org/abs/1702.03118.
    """

    def build(self, *, hidden: int, init: Init) -> nn.Module:
        return Pointwise(functional.silu)


@dataclass(frozen=True, kw_only=True)
class TanhActivation(Activation):
    """tanh(h)"""

    def build(self, *, hidden: int, init: Init) -> nn.Module:
        return Pointwise(torch.tanh)


@dataclass(frozen=True, kw_only=True)
class GELUActivation(Activation):
    """h * Phi(h), with the normal distribution function itself and not its tanh approximation.

    Paper: Gaussian Error Linear Units, Hendrycks and Gimpel, 2016, https://arxiv.org/abs/1606.08415.
    """

    def build(self, *, hidden: int, init: Init) -> nn.Module:
        return Pointwise(functional.gelu)


@dataclass(frozen=True, kw_only=True)
class TanhGELUActivation(Activation):
    """h * (1 + tanh(sqrt(2 / pi) * (h + 0.044715 h ** 3))) / 2: GELU as GPT-2 was trained with.

    Paper: as `GELUActivation`, section 2.
    """

    def build(self, *, hidden: int, init: Init) -> nn.Module:
        return Pointwise(_tanh_gelu)


def _tanh_gelu(h_BTM: Tensor) -> Tensor:
    return functional.gelu(h_BTM, approximate="tanh")


def _squared_relu(h_BTM: Tensor) -> Tensor:
    return torch.relu(h_BTM).square()
