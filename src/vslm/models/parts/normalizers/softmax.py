"""The plain normalizer: weights in proportion to exponentials."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.models.initialization import Init
from vslm.models.parts.normalizers.normalizer import ScoreFactor, ScoreFactorModule, hidden_at_minus_infinity


@dataclass(frozen=True, kw_only=True)
class Softmax(ScoreFactor):
    """Weights in proportion to the exponential of the score.

        w_ts = exp(s_ts / temperature) / sum_s exp(s_ts / temperature)

    Paper: Attention Is All You Need, Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, equation 1.
    Cost: no parameter.

    Args:
        temperature: above 0; large ones spread the weights.
    """

    sums_to_one: ClassVar[bool] = True
    temperature: Real = 1.0

    def check(self) -> None:
        """Refuse a temperature of zero or less."""
        if self.temperature <= 0:
            raise SpecError("temperature", f"found {self.temperature}", "a number above 0 is needed")

    def build(self, *, heads: int, init: Init) -> nn.Module:
        """The module; it holds nothing but its temperature."""
        return SoftmaxModule(self.temperature)


class SoftmaxModule(ScoreFactorModule):
    """See `Softmax`."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def factor(self, num_visible_T: Tensor) -> float:
        """The same for every query."""
        return 1.0 / self.temperature

    def forward(self, scores: Tensor, visible: Tensor) -> Tensor:
        """Weights of whole rows, without a look at how many keys there are."""
        if self.temperature != 1.0:
            scores = scores / self.temperature
        return hidden_at_minus_infinity(scores, visible).softmax(dim=-1)
