"""A power of the number of visible keys: what the power of the sum does without looking at any score."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from vslm.core.bounds import Real
from vslm.models.initialization import Init
from vslm.models.parts.normalizers.normalizer import SumGate, SumGateModule
from vslm.models.parts.per_head import check_exponent, held_exponent, keep


@dataclass(frozen=True, kw_only=True)
class LengthPower(SumGate):
    """Softmax times a power of how many keys could be seen: the control of `Power` that knows no content.

        y_t = softmax(s_t) v * n_t ** (1 - p),   n_t = number of visible keys

    `Power` is this times the centered `Power`.
    At the start: identical to Softmax for p = 1.
    Cost: one parameter per head if learned.

    Args:
        exponent: p, in [0, 2]; the start if learned.
        learned: whether each head trains its own p, held within [0, 2].
    """

    sums_to_one: ClassVar[bool] = False
    exponent: Real
    learned: bool = False

    def check(self) -> None:
        """Refuse an exponent outside its range."""
        check_exponent(self.exponent)

    def build(self, *, heads: int, init: Init) -> nn.Module:
        """The module for `heads` heads."""
        return LengthPowerModule(init.child("exponent").constant((heads,), self.exponent), learned=self.learned)


class LengthPowerModule(SumGateModule):
    """See `LengthPower`."""

    exponent: Tensor

    def __init__(self, exponent_H: Tensor, *, learned: bool) -> None:
        super().__init__()
        keep(self, "exponent", exponent_H, learned=learned)

    def gain(self, log_sum_exp_HT: Tensor, num_visible_T: Tensor) -> Tensor:
        """The power of the length; the sum itself is not read."""
        log_num_visible_T = num_visible_T.to(log_sum_exp_HT.dtype).log()
        gain_HT = ((1.0 - held_exponent(self.exponent)[:, None]) * log_num_visible_T).exp()
        return gain_HT.expand_as(log_sum_exp_HT)
