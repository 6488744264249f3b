"""Scores -> weights: what attention does with a row of scores.

A normalizer plays one of two roles:

    RowNormalizer   sees whole rows of scores and owns its masking ("masked" is minus infinity for softmax and zero for
                    sigmoid). Served by the kernels that hold whole rows: the oracle and the chunked one.
    SumGate         softmax times a factor that depends only on the logarithm of the sum of a row's exponentials and on
                    how many keys were visible. Sinks and powers of the sum are of this kind. Any kernel that can return
                    the log-sum-exp serves it, and the row kernels do too.

`vslm.models.kernels` says which kernel serves which class. Adding one: docs/adding-a-normalizer.md.

Shapes: scores are `[..., H, T, S]`; `visible` is boolean and broadcasts to them; axes before H are the kernel's own.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.models.initialization import Init


class Normalizer(Spec):
    """Interface: builds a module that maps `(scores, visible)` to weights; masked weights are exactly 0.

    A class says in `sums_to_one` whether the weights of every row add up to 1.
    """

    sums_to_one: ClassVar[bool]

    @abstractmethod
    def build(self, *, heads: int, init: Init) -> nn.Module:
        """The module for scores of `heads` heads."""

    @abstractmethod
    def num_parameters(self, heads: int) -> int:
        """How many parameters the module has."""


class RowNormalizer(Normalizer):
    """Interface of the first role: needs whole rows of scores."""


class SumGate(Normalizer):
    """Interface of the second role: `build` returns a `SumGateModule`."""


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
        masked = scores.masked_fill(~visible, -torch.inf)
        log_sum_exp = masked.logsumexp(dim=-1)
        gain = self.gain(log_sum_exp, visible.sum(dim=-1))
        return masked.softmax(dim=-1) * gain[..., None]


@dataclass(frozen=True, kw_only=True)
class Softmax(RowNormalizer):
    """Weights in proportion to the exponential of the score.

        w_ts = exp(s_ts / temperature) / sum_s exp(s_ts / temperature)

    Paper: Attention Is All You Need, Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, equation 1.
    Cost: no parameter; the only one that every fused kernel serves.

    Args:
        temperature: above 0; large ones spread the weights.
    """

    sums_to_one: ClassVar[bool] = True
    temperature: float = 1.0

    def check(self) -> None:
        """Refuse a temperature of zero or less."""
        if self.temperature <= 0:
            raise SpecError("temperature", f"found {self.temperature}", "a number above 0 is needed")

    def build(self, *, heads: int, init: Init) -> nn.Module:
        """The module; it holds nothing but its temperature."""
        return SoftmaxModule(self.temperature)

    def num_parameters(self, heads: int) -> int:
        """None."""
        return 0


@dataclass(frozen=True, kw_only=True)
class Sink(SumGate):
    """Softmax with one more score that every query sees and that has no value: a place to put unneeded weight.

        w_ts = exp(s_ts) / (exp(b) + sum_s exp(s_ts)) = softmax(s)_ts * sigmoid(LSE_t - b)

    With b = 0 and not learned it is the "off by one" softmax; with b learned per head it is the sink of gpt-oss.
    Paper: gpt-oss model card, OpenAI, 2025, https://arxiv.org/abs/2508.10925; Attention Is Off By One, Miller, 2023.
    At the start: b = `start`; a row of n equal scores of 0 keeps n / (n + exp(b)) of its weight.
    Cost: one parameter per head if learned.

    Args:
        start: the initial b.
        learned: whether b is trained.
    """

    sums_to_one: ClassVar[bool] = False
    start: float = 0.0
    learned: bool = True

    def build(self, *, heads: int, init: Init) -> nn.Module:
        """The module for `heads` heads."""
        return SinkModule(init.child("score").constant((heads,), self.start), learned=self.learned)

    def num_parameters(self, heads: int) -> int:
        """One score per head if learned."""
        return heads if self.learned else 0


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
    bias: float = 0.0

    def build(self, *, heads: int, init: Init) -> nn.Module:
        """The module; it holds nothing but its bias."""
        return SigmoidModule(self.bias)

    def num_parameters(self, heads: int) -> int:
        """None."""
        return 0


class SoftmaxModule(nn.Module):
    """See `Softmax`."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, scores: Tensor, visible: Tensor) -> Tensor:
        """Weights of whole rows."""
        if self.temperature != 1.0:
            scores = scores / self.temperature
        return scores.masked_fill(~visible, -torch.inf).softmax(dim=-1)


class SinkModule(SumGateModule):
    """See `Sink`."""

    score: Tensor

    def __init__(self, score_H: Tensor, *, learned: bool) -> None:
        super().__init__()
        if learned:
            self.score = nn.Parameter(score_H)
        else:
            self.register_buffer("score", score_H, persistent=False)

    def gain(self, log_sum_exp_HT: Tensor, num_visible_T: Tensor) -> Tensor:
        """What the sink leaves."""
        return torch.sigmoid(log_sum_exp_HT - self.score[:, None])


class SigmoidModule(nn.Module):
    """See `Sigmoid`."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias = bias

    def forward(self, scores: Tensor, visible: Tensor) -> Tensor:
        """Weights of whole rows."""
        log_num_visible = visible.sum(dim=-1, keepdim=True).to(scores.dtype).log()
        return torch.sigmoid(scores + (self.bias - log_num_visible)).masked_fill(~visible, 0.0)
