"""Scalable softmax: scores that grow with the number of keys, so that long rows do not flatten."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.models.initialization import Init
from vslm.models.parts.normalizers.normalizer import ScoreFactor, ScoreFactorModule
from vslm.models.parts.per_head import keep


@dataclass(frozen=True, kw_only=True)
class SSMax(ScoreFactor):
    """Softmax of scores that are multiplied by a times the logarithm of how many keys there are.

        w_ts = softmax(a * log(n_t) * s_t)_s = n_t ** (a s_ts) / sum_s n_t ** (a s_ts),   n_t = number of visible keys

    The logarithm multiplies the scores. Subtracting it from them, as one library documents, would change nothing:
    softmax does not see a number that all scores of a row share.

    Paper: Scalable-Softmax Is Superior for Attention, Nakanishi, 2025, https://arxiv.org/abs/2501.19399.
    At the start: a = `start`; the default makes the factor average 1 over the first 256 positions, so that a model of
    that context starts near softmax. The first position has one key and weight 1 on it.
    Cost: one parameter per head if learned.

    Args:
        start: the initial a, above 0.
        learned: whether each head trains its own a.
    """

    sums_to_one: ClassVar[bool] = True
    start: Real = 0.22
    learned: bool = True

    def check(self) -> None:
        """Refuse a factor that starts without order among the keys."""
        if self.start <= 0:
            raise SpecError("start", f"found {self.start}", "a number above 0 is needed")

    def build(self, *, heads: int, init: Init) -> nn.Module:
        """The module for `heads` heads."""
        return SSMaxModule(init.child("per_log_key").constant((heads,), self.start), learned=self.learned)


class SSMaxModule(ScoreFactorModule):
    """See `SSMax`."""

    per_log_key: Tensor

    def __init__(self, per_log_key_H: Tensor, *, learned: bool) -> None:
        super().__init__()
        keep(self, "per_log_key", per_log_key_H, learned=learned)

    def factor(self, num_visible_T: Tensor) -> Tensor:
        """Larger the more keys there are."""
        log_num_visible_T = num_visible_T.to(self.per_log_key.dtype).log()
        return self.per_log_key[:, None] * log_num_visible_T
