"""MoMo: the average of past tangents, followed down to a lower bound of the loss; plain, and with Adam's scale.

Paper: MoMo: Momentum Models for Adaptive Learning Rates, Schaipp et al., 2023, https://arxiv.org/abs/2305.07583
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.optim.adamw import check_adam
from vslm.optim.directions import averaged
from vslm.optim.groups import Role, decayed_matrices
from vslm.optim.optimizer import Optimizer, refuse_clipping, refuse_target
from vslm.optim.reads_loss import STEP_NUMBERS, TangentStep, dots


@dataclass(frozen=True, kw_only=True)
class MomoAdam(Optimizer):
    """MoMo with Adam's scale: the model of the loss is the mean of past tangents, cut off at a lower bound.

        f-, m, c = averages of f, g and <g, w> with decay b1, from 0;   r = 1 - b1^k
        D = sqrt(v / (1 - b2^k)) + epsilon                              v = b2 v + (1 - b2) g^2
        tau = min(learning_rate / r, (f- - r bound - c + <m, w>_)+ / <m, m / D>_)
        w = (w - tau m / D) / (1 + learning_rate * weight_decay)

    With <.,.>_ every term is divided by its 1 + learning_rate * weight_decay, which is the paper's rule where weight
    decay is one number. We differ: it is on matrices only.

    With `estimates_bound`, before the step bound = max(bound0, half the height h_ at which the model meets no step,
    over r) where h_ is below r bound; after it bound = max(bound0, (f- + <m, w> - c - tau <m, m / D> / 2) / r).

    With a bound that is never near, as 0 is on text, this is AdamW with an occasional shorter step: look at the share
    of capped steps. Clipping is refused: tangents are averaged, and a clipped gradient is that of no tangent.
    Cost: two fp32 numbers per parameter.

    Args:
        learning_rate: the longest step, the paper's alpha; the peak of the schedule.
        clip_norm: None.
        bound: a lower bound of the loss, in nats.
        estimates_bound: whether it is estimated along the way, and `bound` is only where that begins.
        betas: decay of the two moments per step.
        epsilon: added to D.
        weight_decay: per step, times the learning rate.
    """

    notes: ClassVar[tuple[str, ...]] = STEP_NUMBERS
    clip_norm: Real | None = None
    bound: Real = 0.0
    estimates_bound: bool = False
    betas: tuple[Real, Real] = (0.9, 0.999)
    epsilon: Real = 1e-8
    weight_decay: Real = 0.0

    def check(self) -> None:
        """Refuse numbers outside their range, and clipping."""
        super().check()
        refuse_clipping(self)
        check_adam(self.betas, self.epsilon, self.weight_decay)
        if self.bound < 0:
            raise SpecError("bound", f"found {self.bound}", "0 or more is needed: no loss of text is below 0")

    def check_start(self, loss_nats: float) -> None:
        """Refuse a bound that is no lower."""
        refuse_target("optimizer.bound", self.bound, loss_nats)

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over every trainable parameter of `model`."""
        groups = decayed_matrices(model, self.weight_decay)
        return MomentumModel(
            groups, self.learning_rate, self.betas, self.epsilon, self.bound, estimates_bound=self.estimates_bound
        )


@dataclass(frozen=True, kw_only=True)
class Momo(Optimizer):
    """MoMo along the averaged gradient.

        f-, m, c = averages of f, g and <g, w> with decay beta, which begin at the first of each
        tau = min(learning_rate, (f- - bound - c + <m, w>_)+ / <m, m>_)
        w = (w - tau m) / (1 + learning_rate * weight_decay)

    `MomoAdam` says the rest. Cost: one fp32 number per parameter.

    Args:
        learning_rate: the longest step, the paper's alpha (1 there); the peak of the schedule.
        clip_norm: None.
        bound: a lower bound of the loss, in nats.
        estimates_bound: whether it is estimated along the way.
        beta: decay of the averages per step.
        weight_decay: per step, times the learning rate.
    """

    notes: ClassVar[tuple[str, ...]] = STEP_NUMBERS
    clip_norm: Real | None = None
    bound: Real = 0.0
    estimates_bound: bool = False
    beta: Real = 0.9
    weight_decay: Real = 0.0

    def check(self) -> None:
        """Refuse numbers outside their range, and clipping."""
        super().check()
        refuse_clipping(self)
        if not 0 <= self.beta < 1:
            raise SpecError("beta", f"found {self.beta}", "a number in [0, 1) is needed")
        for name in ("bound", "weight_decay"):
            if getattr(self, name) < 0:
                raise SpecError(name, f"found {getattr(self, name)}", "0 or more is needed")

    def check_start(self, loss_nats: float) -> None:
        """Refuse a bound that is no lower."""
        refuse_target("optimizer.bound", self.bound, loss_nats)

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over every trainable parameter of `model`."""
        groups = decayed_matrices(model, self.weight_decay)
        return MomentumModel(
            groups, self.learning_rate, (self.beta, None), 0.0, self.bound, estimates_bound=self.estimates_bound
        )

    def state_per_parameter(self, role: Role) -> float:
        """The averaged gradient."""
        return 1.0


class MomentumModel(TangentStep):
    """See `MomoAdam`, and `Momo`, which has no second moment.

    Args:
        groups: parameter groups, each with its weight decay.
        lr: the cap, of all groups.
        betas: decay of the averages, and of the second moment; None: there is none, D is 1, and averages begin at their
            first value.
        epsilon: added to D.
        bound: of the loss.
        estimates_bound: see `MomoAdam`.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        betas: tuple[float, float | None],
        epsilon: float,
        bound: float,
        *,
        estimates_bound: bool = False,
    ) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0})
        self.betas, self.epsilon, self.first_bound, self.estimates_bound = betas, epsilon, bound, estimates_bound
        self.param_groups[0] |= {"mean_loss": 0.0, "mean_product": 0.0, "bound": bound}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; the loss before it."""
        whole, loss, factor = self.begin(closure)
        beta, is_first = self.betas[0], whole["steps"] == 1
        if self.betas[1] is None:  # averages begin at their first value
            keep, corrected = (0.0 if is_first else beta), 1.0
        else:
            keep, corrected = beta, 1 - beta ** whole["steps"]
        moved = [[p for p in group["params"] if p.grad is not None] for group in self.param_groups]
        product = sum(dots([p.grad for p in found], found) for found in moved) / factor  # type: ignore[misc]
        whole["mean_loss"] = keep * whole["mean_loss"] + (1 - keep) * loss
        whole["mean_product"] = keep * whole["mean_product"] + (1 - keep) * product
        ways = [[self._along(p, keep, whole["steps"]) for p in found] for found in moved]
        shrinks = [1 + whole["lr"] * group["weight_decay"] for group in self.param_groups]
        averages = [[self.state[p]["average"] for p in found] for found in moved]
        falls = [dots(average, way) for average, way in zip(averages, ways, strict=True)]
        inner = [dots(average, found) for average, found in zip(averages, moved, strict=True)]
        height = whole["mean_loss"] - whole["mean_product"]
        shrunk = height + sum(one / shrink for one, shrink in zip(inner, shrinks, strict=True))
        if self.estimates_bound and shrunk < corrected * whole["bound"]:
            whole["bound"] = max(shrunk / (2 * corrected), self.first_bound)
        self.aim(whole["bound"], loss, is_first=is_first, where="bound")
        taken = self.length(
            gap=shrunk - corrected * whole["bound"],
            slope=sum(one / shrink for one, shrink in zip(falls, shrinks, strict=True)),
            cap=whole["lr"] / corrected,
        )
        if self.estimates_bound:
            reached = height + sum(inner) - taken * sum(falls) / 2
            whole["bound"] = max(reached / corrected, self.first_bound)
        for found, way, shrink in zip(moved, ways, shrinks, strict=True):
            for p, along in zip(found, way, strict=True):
                p.add_(along, alpha=-taken).div_(shrink)
        return loss

    def _along(self, p: nn.Parameter, keep: float, num_steps: int) -> Tensor:
        """m / D of a parameter, its averages moved on."""
        assert p.grad is not None
        state, second = self.state[p], self.betas[1]
        average = averaged(p.grad, state, "average", keep)
        if second is None:
            return average
        square = averaged(p.grad.square(), state, "average_square", second)
        return average / ((square / (1 - second**num_steps)).sqrt() + self.epsilon)
