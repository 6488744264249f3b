"""A score without a value, where a row can put the weight that it does not need."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from vslm.core.bounds import Real
from vslm.models.initialization import Init
from vslm.models.parts.normalizers.normalizer import SumGate, SumGateModule
from vslm.models.parts.per_head import keep


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
    start: Real = 0.0
    learned: bool = True

    def build(self, *, heads: int, init: Init) -> nn.Module:
        """The module for `heads` heads."""
        return SinkModule(init.child("score").constant((heads,), self.start), learned=self.learned)


class SinkModule(SumGateModule):
    """See `Sink`."""

    score: Tensor

    def __init__(self, score_H: Tensor, *, learned: bool) -> None:
        super().__init__()
        keep(self, "score", score_H, learned=learned)

    def gain(self, log_sum_exp_HT: Tensor, num_visible_T: Tensor) -> Tensor:
        """What the sink leaves."""
        return torch.sigmoid(log_sum_exp_HT - self.score[:, None])
