"""L4 with Adam's direction: a share of the tangent step to a fraction of the lowest loss so far.

Paper: L4: Practical loss-based stepsize adaptation for deep learning, Rolinek and Martius, 2018,
https://arxiv.org/abs/1802.05074
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.optim.directions import AdamDirection
from vslm.optim.groups import decayed_matrices
from vslm.optim.optimizer import Optimizer, refuse_clipping
from vslm.optim.reads_loss import STEP_NUMBERS
from vslm.optim.tangent import TangentDescent
from vslm.optim.targets import FractionOfBest


@dataclass(frozen=True, kw_only=True)
class L4Adam(Optimizer):
    """L4 along Adam's direction.

        d = m^ / (sqrt(v^) + epsilon);   eta = share * (f - target)+ / (<m^, d> + 1e-12);   w = w - eta d

    m^ and v^ are bias-corrected averages; the target is `FractionOfBest`. The slope is that of the averaged gradient,
    not of this batch's: what `Tangent` with the same direction and target does otherwise.

    We differ: eta is at most `learning_rate`. The paper has no cap; a large learning rate is the published rule.
    Clipping is refused: the average would be of gradients of different scales, and <m^, d> no slope.
    Cost: two fp32 numbers per parameter.

    Args:
        learning_rate: the longest step; the peak of the schedule.
        clip_norm: None.
        share: of the way to the target, in the paper 0.15.
        target: `FractionOfBest()` has the paper's numbers.
        betas: of the paper's time scales, 10 and 1,000 steps.
        epsilon: added to the denominator.
        weight_decay: per step, times the step taken; the paper has none.
    """

    notes: ClassVar[tuple[str, ...]] = STEP_NUMBERS
    clip_norm: Real | None = None
    share: Real = 0.15
    target: FractionOfBest = FractionOfBest()
    betas: tuple[Real, Real] = (0.9, 0.999)
    epsilon: Real = 1e-4
    weight_decay: Real = 0.0

    def check(self) -> None:
        """Refuse numbers outside their range, and clipping."""
        super().check()
        refuse_clipping(self)
        AdamDirection(betas=self.betas, epsilon=self.epsilon)
        for name in ("share", "weight_decay"):
            value = getattr(self, name)
            if value < 0 or (value == 0 and name == "share"):
                allowed = "a number above 0 is needed" if name == "share" else "0 or more is needed"
                raise SpecError(name, f"found {value}", allowed)

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over every trainable parameter of `model`."""
        direction = AdamDirection(betas=self.betas, epsilon=self.epsilon)
        groups = decayed_matrices(model, self.weight_decay)
        return TangentDescent(groups, self.learning_rate, direction, self.target, self.share, averaged_slope=True)
