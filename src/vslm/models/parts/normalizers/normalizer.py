"""What every normalizer fills: the interface, and the three roles that kernels serve.

Shapes: scores are `[..., H, T, S]`; `visible` is boolean and broadcasts to them; axes before H are the kernel's own.
"""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from vslm.core.specs import Spec
from vslm.models.initialization import Init


def hidden_at_minus_infinity(scores: Tensor, visible: Tensor) -> Tensor:
    """Scores with minus infinity where a key is not visible, for what exponentiates them next.

    A sum and not `masked_fill`: the same bits for finite scores, and a CPU does it in a fraction of the time.
    The gradient of a hidden score is that of its exponential, which is 0.
    """
    return scores + torch.zeros_like(visible, dtype=scores.dtype).masked_fill(~visible, -torch.inf)


class Normalizer(Spec):
    """Interface: builds a module that maps `(scores, visible)` to weights; masked weights are exactly 0.

    A class says in `sums_to_one` whether the weights of every row add up to 1.
    """

    sums_to_one: ClassVar[bool]

    @abstractmethod
    def build(self, *, heads: int, init: Init) -> nn.Module:
        """The module for scores of `heads` heads."""


class RowNormalizer(Normalizer):
    """Interface of the first role: needs whole rows of scores."""


class ScoreFactor(Normalizer):
    """Interface of the second role: `build` returns a `ScoreFactorModule`."""


class SumGate(Normalizer):
    """Interface of the third role: `build` returns a `SumGateModule`."""


class ScoreFactorModule(nn.Module):
    """Interface: softmax of scores times `factor`.

    `forward` serves the kernels that hold whole rows; a fused kernel multiplies its queries by `factor`.
    """

    def factor(self, num_visible_T: Tensor) -> Tensor | float:
        """Factor per head and query, `[..., H, T]` or what broadcasts to it; a plain number if it is one.

        Args:
            num_visible_T: `[..., T]`, how many keys each query sees.
        """
        raise NotImplementedError

    def forward(self, scores: Tensor, visible: Tensor) -> Tensor:
        """Weights of whole rows."""
        factor = self.factor(visible.sum(dim=-1))
        scores = scores * (factor[..., None] if isinstance(factor, Tensor) else factor)
        return hidden_at_minus_infinity(scores, visible).softmax(dim=-1)


class SumGateModule(nn.Module):
    """Interface: softmax weights times `gain`.

    `forward` serves the kernels that hold whole rows; a fused kernel computes softmax's output and its log-sum-exp by
    itself and multiplies that output by `gain`.
    """

    def gain(self, log_sum_exp_HT: Tensor, num_visible_T: Tensor) -> Tensor:
        """Factor per head and query.

        Args:
            log_sum_exp_HT: `[..., H, T]`, logarithm of the sum of the exponentials of a query's visible scores.
            num_visible_T: broadcasts to it; how many keys each query sees.
        """
        raise NotImplementedError

    def forward(self, scores: Tensor, visible: Tensor) -> Tensor:
        """Weights of whole rows."""
        masked = hidden_at_minus_infinity(scores, visible)
        log_sum_exp = masked.logsumexp(dim=-1)
        gain = self.gain(log_sum_exp, visible.sum(dim=-1))
        return masked.softmax(dim=-1) * gain[..., None]
