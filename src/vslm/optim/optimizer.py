"""What every optimizer is: a spec that builds a torch optimizer over the parameters of a model."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import nn

from vslm.core.specs import Spec


@dataclass(frozen=True, kw_only=True)
class Optimizer(Spec):
    """Interface: builds the optimizer of a model.

    Args:
        learning_rate: the peak of the schedule; tuning searches around it.
        clip_norm: gradients are scaled down to this global norm; None clips nothing.
    """

    learning_rate: float
    clip_norm: float | None = 1.0

    @abstractmethod
    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over every trainable parameter of `model`; the rate in each group is its peak."""
