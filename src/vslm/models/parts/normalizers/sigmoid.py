"""Weights without a row: each key by itself."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from vslm.core.bounds import Real
from vslm.models.initialization import Init
from vslm.models.parts.normalizers.normalizer import RowNormalizer


@dataclass(frozen=True, kw_only=True)
class Sigmoid(RowNormalizer):
    """Each key judged by itself: no row competes for a fixed sum.

        w_ts = sigmoid(s_ts + b - log n_t),   n_t = number of visible keys

    Paper: Theory, Analysis, and Best Practices for Sigmoid Self-Attention, Ramapuram et al., 2024,
    https://arxiv.org/abs/2409.04431. We differ: they subtract log of the training length, we the logarithm of the keys
    that this query really sees, so that a window and the first tokens start at the same total weight.
    At the start: scores of 0 give weights that sum to n / (n + 1), nearly softmax's mean of the values.
    Cost: no parameter.

    Args:
        bias: b; 0 starts every row near a total weight of 1.
    """

    sums_to_one: ClassVar[bool] = False
    bias: Real = 0.0

    def build(self, *, heads: int, init: Init) -> nn.Module:
        """The module; it holds nothing but its bias."""
        return SigmoidModule(self.bias)


class SigmoidModule(nn.Module):
    """See `Sigmoid`."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias = bias

    def forward(self, scores: Tensor, visible: Tensor) -> Tensor:
        """Weights of whole rows."""
        log_num_visible = visible.sum(dim=-1, keepdim=True).to(scores.dtype).log()
        return torch.sigmoid(scores + (self.bias - log_num_visible)).masked_fill(~visible, 0.0)
