"""Gates: what is done to each head's sum of values before the output projection reads it.

A gate belongs to attention's last slot, weights and values -> output. It sees that sum and the stream that the queries
read, and gives back the sum times a factor. What depends on the scores is a normalizer's matter.
"""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.models.initialization import Init
from vslm.models.parts.per_head import check_exponent, held_exponent, keep
from vslm.models.parts.projections import linear
from vslm.models.parts.scales import WeightScale


class Gate(Spec):
    """Interface: builds a module that maps (y_BTHK, x_BTD) to a new y_BTHK, position by position."""

    @abstractmethod
    def build(self, *, width: int, heads: int, scale: WeightScale, init: Init) -> nn.Module:
        """The module for a stream of `width` numbers and `heads` heads."""


@dataclass(frozen=True, kw_only=True)
class SigmoidGate(Gate):
    """Each head as loud as the stream says: one sigmoid per head and position.

        y_th <- y_th * sigmoid(w_h . x_t),   x_t = the normed stream that the queries read

    Paper: Gated Attention for Large Language Models, Qiu et al., 2025, https://arxiv.org/abs/2505.06708, one number per
    head, after the sum of values.
    At the start: a factor around 1/2, since the weights start as those of the other projections.
    Cost: width * heads weights.
    """

    def build(self, *, width: int, heads: int, scale: WeightScale, init: Init) -> nn.Module:
        """The module for a stream of `width` numbers and `heads` heads."""
        return SigmoidGateModule(linear(width, heads, bias=False, std=scale.std(width), init=init.child("loudness")))


@dataclass(frozen=True, kw_only=True)
class SignedPower(Gate):
    """Every number of the sum of values to a power, with its sign kept.

        y <- y * (y ** 2 + epsilon) ** ((p - 1) / 2)       close to sign(y) |y| ** p

    The reading of "power scaling" that scales what attention found, and not how it was weighted. Not linear in the
    values, as every normalizer is.
    At the start: identical to no gate for p = 1.
    Cost: one parameter per head if learned.

    Args:
        exponent: p, in [0, 2]; the start if learned.
        learned: whether each head trains its own p, held within [0, 2].
        epsilon: above 0; below its square root the power becomes linear, since |y| ** p has no gradient at 0 for p < 1.
    """

    exponent: Real
    learned: bool = False
    epsilon: Real = 1e-6

    def check(self) -> None:
        """Refuse an exponent outside its range, and an epsilon that leaves a gradient of infinity."""
        check_exponent(self.exponent)
        if self.epsilon <= 0:
            raise SpecError("epsilon", f"found {self.epsilon}", "a number above 0 is needed")

    def build(self, *, width: int, heads: int, scale: WeightScale, init: Init) -> nn.Module:
        """The module for `heads` heads."""
        exponent_H = init.child("exponent").constant((heads,), self.exponent)
        return SignedPowerModule(exponent_H, learned=self.learned, epsilon=self.epsilon)


class NoGateModule(nn.Module):
    """What attention without a gate has in its place."""

    def forward(self, y_BTHK: Tensor, x_BTD: Tensor) -> Tensor:
        """The sum of values as it is."""
        return y_BTHK


class SigmoidGateModule(nn.Module):
    """See `SigmoidGate`."""

    def __init__(self, loudness: nn.Module) -> None:
        super().__init__()
        self.loudness = loudness

    def forward(self, y_BTHK: Tensor, x_BTD: Tensor) -> Tensor:
        """The sum of values, louder or softer."""
        factor_BTH = torch.sigmoid(self.loudness(x_BTD))
        return y_BTHK * factor_BTH[..., None].to(y_BTHK.dtype)


class SignedPowerModule(nn.Module):
    """See `SignedPower`. It computes in fp32 or better: powers of bf16 numbers lose a digit."""

    exponent: Tensor

    def __init__(self, exponent_H: Tensor, *, learned: bool, epsilon: float) -> None:
        super().__init__()
        keep(self, "exponent", exponent_H, learned=learned)
        self.epsilon = epsilon

    def forward(self, y_BTHK: Tensor, x_BTD: Tensor) -> Tensor:
        """The signed power of every number."""
        y = y_BTHK.to(torch.promote_types(y_BTHK.dtype, torch.float32))
        half_H1 = 0.5 * (held_exponent(self.exponent)[:, None] - 1.0)
        return (y * (y.square() + self.epsilon) ** half_H1).to(y_BTHK.dtype)
