"""How a block adds what it found to the residual stream."""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from vslm.core.bounds import Real
from vslm.core.specs import Spec
from vslm.models.initialization import Init


class Residual(Spec):
    """Interface: builds a module that maps (x_BTD, delta_BTD) to the new x_BTD."""

    @abstractmethod
    def build(self, *, width: int, init: Init) -> nn.Module:
        """The module for a stream of `width` numbers."""


@dataclass(frozen=True, kw_only=True)
class PlainAdd(Residual):
    """The stream plus what the block found: `x + delta`.

    Paper: Deep Residual Learning for Image Recognition, He et al., 2015, https://arxiv.org/abs/1512.03385.
    """

    def build(self, *, width: int, init: Init) -> nn.Module:
        """The module; it holds nothing."""
        return PlainAddModule()


@dataclass(frozen=True, kw_only=True)
class ScaledAdd(Residual):
    """A learned factor per coordinate on what the block found: `x + g * delta`.

    Paper: Going deeper with Image Transformers, Touvron et al., 2021, https://arxiv.org/abs/2103.17239, equation 5.
    At the start: g = `start`; identical to PlainAdd for 1.

    Args:
        start: the initial factor; the paper uses 0.1 and less for deep models.
    """

    start: Real = 1.0

    def build(self, *, width: int, init: Init) -> nn.Module:
        """The module for a stream of `width` numbers."""
        return ScaledAddModule(init.child("gain").constant((width,), self.start))


class PlainAddModule(nn.Module):
    """See `PlainAdd`."""

    def forward(self, x_BTD: Tensor, delta_BTD: Tensor) -> Tensor:
        return x_BTD + delta_BTD


class ScaledAddModule(nn.Module):
    """See `ScaledAdd`."""

    def __init__(self, gain_D: Tensor) -> None:
        super().__init__()
        self.gain = nn.Parameter(gain_D)

    def forward(self, x_BTD: Tensor, delta_BTD: Tensor) -> Tensor:
        return x_BTD + self.gain * delta_BTD
