"""A learned factor per head: a volume that depends on nothing."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from vslm.core.bounds import Real
from vslm.models.initialization import Init
from vslm.models.parts.normalizers.normalizer import SumGate, SumGateModule


@dataclass(frozen=True, kw_only=True)
class HeadGain(SumGate):
    """Softmax times one learned number per head: the control of `Power` with as many parameters and no sum.

        y_t = g_h * softmax(s_t) v

    The output projection could learn the same factor; what differs is how fast: one number with a step of its own.
    At the start: g = `start`; identical to Softmax for 1.
    Cost: one parameter per head.

    Args:
        start: the initial g.
    """

    sums_to_one: ClassVar[bool] = False
    start: Real = 1.0

    def build(self, *, heads: int, init: Init) -> nn.Module:
        """The module for `heads` heads."""
        return HeadGainModule(init.child("factor").constant((heads,), self.start))


class HeadGainModule(SumGateModule):
    """See `HeadGain`."""

    def __init__(self, factor_H: Tensor) -> None:
        super().__init__()
        self.factor = nn.Parameter(factor_H)

    def gain(self, log_sum_exp_HT: Tensor, num_visible_T: Tensor) -> Tensor:
        """The factor, for every query."""
        return self.factor[:, None].expand_as(log_sum_exp_HT)
