"""AdamW with decoupled weight decay on matrices only.

Paper: Decoupled Weight Decay Regularization, Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101
"""

from dataclasses import dataclass

import torch
from torch import nn

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.optim.groups import Rule, group_parameters
from vslm.optim.optimizer import Optimizer
from vslm.optim.rate_by_width import RateByWidth


@dataclass(frozen=True, kw_only=True)
class AdamW(Optimizer):
    """AdamW, fused where torch has it.

        m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
        w = w - lr * (m^ / (sqrt(v^) + epsilon) + weight_decay * w)        m^, v^: bias-corrected

    We differ: weight decay touches matrices (role "matrix") only, never embeddings, gains or biases, nor the matrices
    that the whole stream goes through, which start at the identity (role "stream map").
    Cost: two fp32 numbers per parameter; fused, under 1% of a training step on a CPU.

    Args:
        learning_rate: the peak of the schedule.
        betas: decay of the two moments per step.
        epsilon: added to the denominator.
        weight_decay: per step, times the learning rate.
        clip_norm: gradients are scaled down to this global norm; None clips nothing.
        rate_by_width: the rate of each matrix from its fan-in; None: one rate for all.
    """

    betas: tuple[Real, Real] = (0.9, 0.95)
    epsilon: Real = 1e-8
    weight_decay: Real = 0.1
    rate_by_width: RateByWidth | None = None

    def check(self) -> None:
        """Refuse numbers outside their range."""
        super().check()
        check_adam(self.betas, self.epsilon, self.weight_decay)

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over every trainable parameter of `model`."""
        # The group whose rate is the learning rate itself comes first: it is the one that a run's record shows.
        rates = None if self.rate_by_width is None else self._rate_at
        undecayed, decayed = {"weight_decay": 0.0}, {"weight_decay": self.weight_decay}
        rules = [
            Rule(undecayed, roles=("embedding", "vector"), may_match_nothing=True),
            Rule(decayed, roles=("matrix",), may_match_nothing=True, by_fan_in=rates),
            Rule(undecayed, roles=("stream map",), may_match_nothing=True, by_fan_in=rates),
        ]
        groups = group_parameters(model, rules)
        return torch.optim.AdamW(groups, lr=self.learning_rate, betas=self.betas, eps=self.epsilon, fused=True)

    def _rate_at(self, fan_in: int) -> dict[str, float]:
        assert self.rate_by_width is not None
        return {"lr": self.learning_rate * self.rate_by_width.factor(fan_in)}


def check_adam(betas: tuple[float, float], epsilon: float, weight_decay: float) -> None:
    """Refuse numbers that AdamW cannot mean.

    Raises: SpecError at the field.
    """
    for i, beta in enumerate(betas):
        if not 0 <= beta < 1:
            raise SpecError(f"betas.{i}", f"found {beta}", "a number in [0, 1) is needed")
    if epsilon <= 0:
        raise SpecError("epsilon", f"found {epsilon}", "a number above 0 is needed")
    if weight_decay < 0:
        raise SpecError("weight_decay", f"found {weight_decay}", "0 or more is needed")
