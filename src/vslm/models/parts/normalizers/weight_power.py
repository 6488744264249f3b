"""Softmax's weights to a power, made to add up to one again: a temperature per head."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.models.initialization import Init
from vslm.models.parts.normalizers.normalizer import ScoreFactor, ScoreFactorModule
from vslm.models.parts.per_head import keep


@dataclass(frozen=True, kw_only=True)
class WeightPower(ScoreFactor):
    """Weights raised to the power a and renormalized, which is softmax at the temperature 1 / a.

        w_ts = softmax(s_t)_s ** a / sum_s softmax(s_t)_s ** a = softmax(a s_t)_s

    The reading of "power scaling" that scales every weight instead of the sum.
    At the start: a = `exponent`; identical to Softmax for 1.
    Cost: one parameter per head if learned.

    Args:
        exponent: a, above 0; the start if learned. Large ones sharpen the weights.
        learned: whether each head trains its own a, which is not bounded: at 0 all keys count the same, and below 0 the
            lowest score counts most.
    """

    sums_to_one: ClassVar[bool] = True
    exponent: Real = 1.0
    learned: bool = True

    def check(self) -> None:
        """Refuse an exponent that starts without order among the keys."""
        if self.exponent <= 0:
            raise SpecError("exponent", f"found {self.exponent}", "a number above 0 is needed")

    def build(self, *, heads: int, init: Init) -> nn.Module:
        """The module for `heads` heads."""
        return WeightPowerModule(init.child("exponent").constant((heads,), self.exponent), learned=self.learned)


class WeightPowerModule(ScoreFactorModule):
    """See `WeightPower`."""

    exponent: Tensor

    def __init__(self, exponent_H: Tensor, *, learned: bool) -> None:
        super().__init__()
        keep(self, "exponent", exponent_H, learned=learned)

    def factor(self, num_visible_T: Tensor) -> Tensor:
        """The exponent, for every query."""
        return self.exponent[:, None]
