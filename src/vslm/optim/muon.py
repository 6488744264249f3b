"""Muon for the matrices of a model, AdamW for everything else; and Muon for CPUs.

Paper: Muon: An optimizer for hidden layers in neural networks, Jordan et al., 2024,
https://kellerjordan.github.io/posts/muon/
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.optim.adamw import check_adam
from vslm.optim.combined import CombinedOptimizer
from vslm.optim.groups import Role, Rule, group_parameters, roles
from vslm.optim.optimizer import Optimizer

_QUINTIC = (3.4445, -4.7750, 2.0315)  # of the paper: steep at 0, so that small singular values grow fast
_NUM_STEPS = 5
_ROOT_MEAN_SQUARE = 0.2  # of a step's entries at a learning rate of 1
_TINY = 1e-7  # in place of a norm of 0


@dataclass(frozen=True, kw_only=True)
class Muon(Optimizer):
    """Momentum, made orthogonal: every direction of a matrix is moved by as much.

        B = momentum * B + (1 - momentum) * G;    U = momentum * B + (1 - momentum) * G
        O = P Q^T where U = P S Q^T               about: five Newton-Schulz steps, which bring S to 0.7 to 1.2
        W = W - learning_rate * (0.2 * sqrt(max(rows, columns)) * O + weight_decay * W)

    The factor before O gives its entries a root mean square of 0.2, about that of a step of AdamW, so that one learning
    rate can serve both (Muon is Scalable for LLM Training, Liu et al., 2025, https://arxiv.org/abs/2502.16982, section
    2.2). The paper above has sqrt(max(1, rows / columns)) in its place: its 0.02 is 0.02 / (0.2 * sqrt(width)) here for
    a square matrix, 0.009 at width 128.

    Embeddings, readouts, vectors and what has more than two dimensions are AdamW's, at learning_rate * rest_ratio. We
    differ: so are the matrices that the whole stream goes through (role "stream map"), which start at the identity and
    have no weight decay: a step that moves all directions alike would turn the whole stream at once.
    Matrices on a GPU are moved by `torch.optim.Muon`, those on a CPU by `MuonOnCPU`.
    Cost: one fp32 number for each of a matrix, two for all others. A step takes 5 * (4 r^2 c + 2 r^3) FLOPs for a
    matrix with sides r <= c, whatever the batch: for a square one as much as training it on 5r tokens. They are in no
    count of FLOPs; `match="time"` counts the time they take.

    Args:
        learning_rate: the peak of the schedule, for matrices.
        clip_norm: gradients are scaled down to this norm, taken over all parameters; None clips nothing. A matrix's
            step does not depend on the size of its gradient, only on how gradients weigh against each other.
        momentum: decay of B per step.
        weight_decay: per step, times the learning rate; for matrices.
        rest_ratio: the learning rate of all that is not a matrix, as a share of `learning_rate`.
        betas: AdamW's decay of the two moments per step.
        epsilon: added to AdamW's denominator.
    """

    momentum: Real = 0.95
    weight_decay: Real = 0.1
    rest_ratio: Real = 1.0
    betas: tuple[Real, Real] = (0.9, 0.95)
    epsilon: Real = 1e-8

    def check(self) -> None:
        """Refuse numbers outside their range."""
        super().check()
        check_adam(self.betas, self.epsilon, self.weight_decay)
        if not 0 <= self.momentum < 1:
            raise SpecError("momentum", f"found {self.momentum}", "a number in [0, 1) is needed")
        if self.rest_ratio <= 0:
            raise SpecError("rest_ratio", f"found {self.rest_ratio}", "a number above 0 is needed")

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over every trainable parameter of `model`.

        Raises: SpecError for a model without a matrix of two dimensions.
        """
        parameters = dict(model.named_parameters())
        if not any(role == "matrix" and parameters[name].ndim == 2 for name, role in roles(model).items()):
            raise SpecError(
                "optimizer", "the model has no matrix of two dimensions", "Muon moves those", "choose AdamW"
            )
        undecayed, decayed = {"weight_decay": 0.0}, {"weight_decay": self.weight_decay}
        rules = [
            Rule(decayed, roles=("matrix",), ndim=2),
            Rule(undecayed, roles=("embedding", "vector", "stream map"), may_match_nothing=True),
            Rule(decayed, may_match_nothing=True),  # what is left: matrices of more dimensions
        ]
        matrices, *rest = group_parameters(model, rules)
        kind = MuonOnCPU if matrices["params"][0].device.type == "cpu" else torch.optim.Muon
        muon = kind([matrices], lr=self.learning_rate, momentum=self.momentum, adjust_lr_fn="match_rms_adamw")
        if not rest:
            return muon
        rate = self.learning_rate * self.rest_ratio
        return CombinedOptimizer(muon, torch.optim.AdamW(rest, lr=rate, betas=self.betas, eps=self.epsilon, fused=True))

    def state_per_parameter(self, role: Role) -> float:
        """One for a matrix, two for all else."""
        return 1.0 if role == "matrix" else 2.0


class MuonOnCPU(torch.optim.Muon):
    """`torch.optim.Muon` with its Newton-Schulz steps in fp32: torch takes them in bf16, for which many CPUs have no
    units. State and groups are torch's, and so is the step but for the rounding of bf16.

    Measured on one core with AVX2, two blocks of width 128: 40 ms of CPU time a step, torch's own 544 ms; forward and
    backward of 1,024 tokens take 159 ms, a step of AdamW 2 ms.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                if "momentum_buffer" not in self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
                buffer = self.state[p]["momentum_buffer"].lerp_(p.grad, 1 - momentum)
                update = orthogonal(p.grad.lerp(buffer, momentum))
                p.mul_(1 - rate * group["weight_decay"])
                p.add_(update, alpha=-rate * _ROOT_MEAN_SQUARE * math.sqrt(max(p.shape)))
        return loss


def orthogonal(matrix_RC: Tensor) -> Tensor:
    """About P Q^T, where the matrix is P S Q^T: five steps of X = aX + bXX^TX + c(XX^T)^2X.

    From X = matrix / norm on, a step maps every singular value s to a s + b s^3 + c s^5, which leads what is above
    1/500 of the norm to 0.68 to 1.21 in five.
    """
    a, b, c = _QUINTIC
    is_tall = matrix_RC.shape[0] > matrix_RC.shape[1]
    x = matrix_RC.T if is_tall else matrix_RC
    x = x / x.norm().clamp(min=_TINY)
    for _ in range(_NUM_STEPS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if is_tall else x
