"""Descent whose update is shaped by the inverse tangent of the gradient: what the name alone suggests."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.optim.directions import averaged
from vslm.optim.groups import Role, decayed_matrices
from vslm.optim.optimizer import Optimizer


@dataclass(frozen=True, kw_only=True)
class Arctan(Optimizer):
    """Every number of a step is bounded by an inverse tangent.

        m = beta m + (1 - beta) g;   u = 2 / pi * atan(m / (scale * rms(m)))      rms: over the numbers of a parameter
        w = w - learning_rate * (u + weight_decay * w)

    A small scale gives the sign of the averaged gradient, a large one the averaged gradient at a fixed size; it needs
    no second moment. "Tangent descent" is no published optimizer; this is its most literal reading. A relative, with
    Adam's two moments: Adam-atan2, Everett et al., 2024, https://arxiv.org/abs/2407.05872.
    Cost: one fp32 number per parameter.

    Args:
        learning_rate: the peak of the schedule.
        clip_norm: gradients are scaled down to this global norm; None clips nothing.
        scale: of what counts as a small gradient, in root mean squares; above 0.
        beta: decay of the average per step.
        weight_decay: per step, times the learning rate; on matrices only.
    """

    scale: Real = 1.0
    beta: Real = 0.9
    weight_decay: Real = 0.1

    def check(self) -> None:
        """Refuse numbers outside their range."""
        super().check()
        if self.scale <= 0:
            raise SpecError("scale", f"found {self.scale}", "a number above 0 is needed")
        if not 0 <= self.beta < 1:
            raise SpecError("beta", f"found {self.beta}", "a number in [0, 1) is needed")
        if self.weight_decay < 0:
            raise SpecError("weight_decay", f"found {self.weight_decay}", "0 or more is needed")

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over every trainable parameter of `model`."""
        return ArctanDescent(decayed_matrices(model, self.weight_decay), self.learning_rate, self.scale, self.beta)

    def state_per_parameter(self, role: Role) -> float:
        """The averaged gradient."""
        return 1.0


class ArctanDescent(torch.optim.Optimizer):
    """See `Arctan`."""

    def __init__(self, groups: list[dict[str, Any]], lr: float, scale: float, beta: float) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0})
        self.scale, self.beta = scale, beta

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                average = averaged(p.grad, self.state[p], "average", self.beta)
                size = average.square().mean().sqrt().clamp(min=torch.finfo(average.dtype).tiny)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(torch.atan(average / (self.scale * size)), alpha=-group["lr"] * 2 / math.pi)
        return loss
