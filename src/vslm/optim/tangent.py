"""A step to where the tangent of the loss meets a target, no further than a cap.

Papers: Polyak, Introduction to Optimization, 1987, section 5.3 (the step along the gradient); SPS, Loizou et al., 2020,
https://arxiv.org/abs/2002.10542 (its cap); L4, Rolinek and Martius, 2018, https://arxiv.org/abs/1802.05074 (other
directions, and targets that are not known).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.optim.directions import AdamDirection, Direction
from vslm.optim.groups import Role, decayed_matrices
from vslm.optim.optimizer import Optimizer, refuse_target
from vslm.optim.reads_loss import STEP_NUMBERS, TangentStep, dots
from vslm.optim.targets import KnownTarget, RelativeDrop, Target


@dataclass(frozen=True, kw_only=True)
class Tangent(Optimizer):
    """The tangent of the loss at the weights, followed along a direction down to a target.

        eta = min(learning_rate, share * (f - target)+ / <g, d>)
        w = w - eta * (d + weight_decay * w)                weight decay on matrices only, no part of the tangent

    f is what the objective lowers, over the whole batch that made g; d comes from `direction`. Where <g, d> is not
    above 0, d is no descent: the step is refused, and counted. Where f is at its target nothing is asked.

    With clipping, d is made of clipped gradients, while g in the slope is the gradient as it was: the tangent is that
    of the loss. So a step along the gradient is as long as without clipping where the cap is not met, and the cap is
    that of a clipped step.

    The cap is needed: on text no known target is reachable, and the uncapped rule never settles (`docs/
    tangent-descent.md`). It is the learning rate, which schedules multiply and searches vary.
    Cost: the direction's state, and one inner product; the length is read from the device once a step.

    Args:
        learning_rate: the longest step, eta_max; the peak of the schedule.
        clip_norm: gradients are scaled down to this global norm; None clips nothing.
        direction: `Gradient()`, `Average()` or `AdamDirection()`.
        target: `KnownTarget()`, `FractionOfBest()` or `RelativeDrop()`.
        share: of the way to the target, above 0; 1 goes all of it.
        weight_decay: per step, times the step taken.
    """

    notes: ClassVar[tuple[str, ...]] = STEP_NUMBERS
    direction: Direction = AdamDirection()
    target: Target = RelativeDrop()
    share: Real = 1.0
    weight_decay: Real = 0.1

    def check(self) -> None:
        """Refuse numbers outside their range."""
        super().check()
        if self.share <= 0:
            raise SpecError("share", f"found {self.share}", "a number above 0 is needed")
        if self.weight_decay < 0:
            raise SpecError("weight_decay", f"found {self.weight_decay}", "0 or more is needed")

    def check_start(self, loss_nats: float) -> None:
        """Refuse a known target that is no lower."""
        if isinstance(self.target, KnownTarget):
            refuse_target("optimizer.target.nats", self.target.nats, loss_nats)

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over every trainable parameter of `model`."""
        groups = decayed_matrices(model, self.weight_decay)
        return TangentDescent(groups, self.learning_rate, self.direction, self.target, self.share)

    def state_per_parameter(self, role: Role) -> float:
        """That of the direction."""
        return self.direction.state_per_parameter()


class TangentDescent(TangentStep):
    """See `Tangent`.

    Args:
        groups: parameter groups, each with its weight decay.
        lr: the cap, of all groups.
        direction, target, share: see `Tangent`.
        averaged_slope: the slope is that of the averaged gradient along d, in place of this batch's, as in L4.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        direction: Direction,
        target: Target,
        share: float,
        *,
        averaged_slope: bool = False,
    ) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0})
        self.direction, self.target, self.share, self.averaged_slope = direction, target, share, averaged_slope

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; the loss before it."""
        whole, loss, factor = self.begin(closure)
        target = self.target.after(loss, whole)
        gap = self.aim(target, loss, is_first=whole["steps"] == 1, where="target")
        moved, decays = [], []
        for group in self.param_groups:
            found = [p for p in group["params"] if p.grad is not None]
            moved += found
            decays += [group["weight_decay"]] * len(found)
        pairs = [self.direction.along(p.grad, self.state[p], whole["steps"]) for p in moved]
        ways = [way for way, _ in pairs]
        fall = [average for _, average in pairs] if self.averaged_slope else [p.grad for p in moved]
        taken = self.length(gap=gap, slope=dots(fall, ways) / factor, cap=whole["lr"], share=self.share)
        for p, way, decay in zip(moved, ways, decays, strict=True):
            p.mul_(1 - taken * decay)
            p.add_(way, alpha=-taken)
        return loss
