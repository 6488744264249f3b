"""Stochastic gradient descent with momentum."""

from dataclasses import dataclass

import torch
from torch import nn

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.optim.groups import Role, decayed_matrices
from vslm.optim.optimizer import Optimizer


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """torch.optim.SGD.

        b = momentum * b + g + weight_decay * w;   w = w - learning_rate * b

    With Nesterov's momentum b is replaced in the step by g + weight_decay * w + momentum * b. Weight decay goes through
    the momentum (it is no decoupled one), and is on matrices only.
    Cost: one fp32 number per parameter, none without momentum.

    Paper: On the importance of initialization and momentum in deep learning, Sutskever et al., 2013,
    https://proceedings.mlr.press/v28/sutskever13.html

    Args:
        learning_rate: the peak of the schedule; a good one is a hundred times that of AdamW.
        clip_norm: gradients are scaled down to this global norm; None clips nothing.
        momentum: decay of b per step.
        nesterov: whether the step looks ahead.
        weight_decay: added to the gradient, times the weight.
    """

    momentum: Real = 0.9
    nesterov: bool = False
    weight_decay: Real = 0.0

    def check(self) -> None:
        """Refuse numbers outside their range."""
        super().check()
        if not 0 <= self.momentum < 1:
            raise SpecError("momentum", f"found {self.momentum}", "a number in [0, 1) is needed")
        if self.nesterov and not self.momentum:
            raise SpecError("nesterov", "found True with a momentum of 0", "it looks ahead along the momentum")
        if self.weight_decay < 0:
            raise SpecError("weight_decay", f"found {self.weight_decay}", "0 or more is needed")

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over every trainable parameter of `model`."""
        groups = decayed_matrices(model, self.weight_decay)
        return torch.optim.SGD(groups, lr=self.learning_rate, momentum=self.momentum, nesterov=self.nesterov)

    def state_per_parameter(self, role: Role) -> float:
        """The momentum."""
        return 1.0 if self.momentum else 0.0
