"""The power of the attention sum: softmax's denominator, raised to another power than one."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.models.initialization import Init
from vslm.models.parts.normalizers.normalizer import SumGate, SumGateModule
from vslm.models.parts.per_head import check_exponent, held_exponent, keep

# exp(85) is 8e36: the factor and a sum of some tens of it stay within fp32, and so does 1 / factor.
_LARGEST_LOG_GAIN = 85.0


@dataclass(frozen=True, kw_only=True)
class Power(SumGate):
    """Softmax with its denominator raised to the power p.

        y_t = sum_s exp(s_ts) v_s / Z_t ** p = softmax(s_t) v * exp((1 - p) LSE_t),   Z_t = sum_s exp(s_ts), LSE = log Z
        centered:                              softmax(s_t) v * exp((1 - p) (LSE_t - log n_t)),   n_t = visible keys

    p = 1 is softmax, p = 0 a plain sum. With p < 1 a query with many good matches speaks louder than one with few. The
    scores get a gradient through the sum: dLSE_t / ds_ts = softmax(s_t)_s.
    Not shift-invariant: a number added to all scores of a row multiplies its output, so the keys' scale is a volume.
    A norm per head over the output would divide all of this out again.

    At the start: scores near 0 have LSE = log n, so the plain form multiplies softmax's output by n ** (1 - p). At
    p = 0.5 that keeps the variance of a mean of independent values at that of one. The centered form starts as softmax.
    Cost: one parameter per head if learned; every kernel that returns the log-sum-exp serves it.
    In fp32 an exponential ends at e ** 88: the logarithm of the factor is held within +-85, beyond which no gradient
    goes through it. Scores up to 80 reach that only near p = 0 or 2, in rows of 149 such scores or more.

    Args:
        exponent: p, in [0, 2]; the start if learned.
        learned: whether each head trains its own p, kept as `exponent`. It is held within [0, 2], and a gradient that
            leads back inside still goes through.
        centered: whether the mean of the exponentials stands in for their sum, which takes the row's length out.
        clamp: bound on the size of (1 - p) (LSE - log n), beyond which it has no gradient; 8 lets the content of a row
            change its volume 3,000 times. None: no bound.
    """

    sums_to_one: ClassVar[bool] = False
    exponent: Real
    learned: bool = False
    centered: bool = False
    clamp: Real | None = None

    def check(self) -> None:
        """Refuse an exponent outside its range and a clamp that leaves nothing."""
        check_exponent(self.exponent)
        if self.clamp is not None and self.clamp <= 0:
            raise SpecError("clamp", f"found {self.clamp}", "a number above 0, or None, is needed")

    def build(self, *, heads: int, init: Init) -> nn.Module:
        """The module for `heads` heads."""
        exponent_H = init.child("exponent").constant((heads,), self.exponent)
        return PowerModule(exponent_H, learned=self.learned, centered=self.centered, clamp=self.clamp)


class PowerModule(SumGateModule):
    """See `Power`."""

    exponent: Tensor

    def __init__(self, exponent_H: Tensor, *, learned: bool, centered: bool, clamp: float | None) -> None:
        super().__init__()
        keep(self, "exponent", exponent_H, learned=learned)
        self.centered, self.clamp = centered, clamp

    def gain(self, log_sum_exp_HT: Tensor, num_visible_T: Tensor) -> Tensor:
        """What is left of the sum when it is raised to 1 - p."""
        rest_H1 = 1.0 - held_exponent(self.exponent)[:, None]
        log_num_visible_T = num_visible_T.to(log_sum_exp_HT.dtype).log()
        log_gain_HT = rest_H1 * (log_sum_exp_HT - log_num_visible_T)
        if self.clamp is not None:
            log_gain_HT = log_gain_HT.clamp(-self.clamp, self.clamp)
        if not self.centered:
            log_gain_HT = log_gain_HT + rest_H1 * log_num_visible_T
        return log_gain_HT.clamp(-_LARGEST_LOG_GAIN, _LARGEST_LOG_GAIN).exp()
