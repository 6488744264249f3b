"""AdamW whose weights for evaluation are an average, so that no schedule has to know when training ends.

Paper: The Road Less Scheduled, Defazio et al., 2024, https://arxiv.org/abs/2405.15682
"""

import importlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.optim.adamw import check_adam
from vslm.optim.groups import decayed_matrices
from vslm.optim.optimizer import Optimizer


@dataclass(frozen=True, kw_only=True)
class ScheduleFreeAdamW(Optimizer):
    """The authors' AdamWScheduleFree (`pip install 'vslm[schedulefree]'`).

        y = (1 - b1) z + b1 x                       gradients are taken here
        z = z - lr * (g(y) / (sqrt(v^) + epsilon) + weight_decay * y)
        x = (1 - c) x + c z                         c = lr_max^2 over the sum of these so far

    Evaluation, and the weights that a run keeps, are x; the training loop sees to that, and puts y back to the bit.
    Give it a schedule that warms up and stays: `WarmupStableDecay(warmup_fraction=0.05, decay_fraction=0)`.
    We differ: weight decay is on matrices only.
    Cost: two fp32 numbers per parameter, and a copy of the weights while they are evaluated.

    Args:
        learning_rate: of z; a good one is 1 to 10 times that of AdamW.
        clip_norm: gradients are scaled down to this global norm; None clips nothing.
        betas: b1, which is above 0, and the decay of the second moment per step.
        epsilon: added to the denominator.
        weight_decay: per step, times the learning rate.
    """

    betas: tuple[Real, Real] = (0.9, 0.95)
    epsilon: Real = 1e-8
    weight_decay: Real = 0.1

    def check(self) -> None:
        """Refuse numbers outside their range."""
        super().check()
        check_adam(self.betas, self.epsilon, self.weight_decay)
        if self.betas[0] == 0:
            raise SpecError("betas.0", "found 0", "a number in (0, 1) is needed: y must hold a share of x")

    def check_here(self) -> None:
        """Refuse where the library is missing."""
        _library()

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over every trainable parameter of `model`.

        Raises: SpecError without the library.
        """
        groups = decayed_matrices(model, self.weight_decay)
        built = _library().AdamWScheduleFree(groups, lr=self.learning_rate, betas=self.betas, eps=self.epsilon)
        built.train()
        return built


def _library() -> Any:
    try:
        return importlib.import_module("schedulefree")
    except ImportError:
        do = "pip install 'vslm[schedulefree]'"
        raise SpecError("optimizer", "ScheduleFreeAdamW needs the library schedulefree", "", do) from None
