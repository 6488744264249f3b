"""Optimizers whose step depends on the loss: what training hands them before a step, and what they note of it.

    read_loss(loss, gradient_factor)    before every step
    step()
    noted()                             what the step was, in numbers

A torch optimizer of one's own is such a one as soon as it has the two methods; `vslm.training.loop` looks for them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from vslm.core.errors import RunError

STEP_NUMBERS = ("asked_step", "taken_step", "target_nats", "capped_share", "refused_share", "reached_share")
_MOST_CAPS = 1000.0  # what was asked counts as at most so many caps, or one flat step would be all of a mean
_TINY = 1e-12  # beside a slope, as published for L4


@runtime_checkable
class ReadsLoss(Protocol):
    """A torch optimizer that is told the loss before it steps."""

    def read_loss(self, loss: Tensor | float, gradient_factor: Tensor | float = 1.0) -> None:
        """Take the loss of the coming step.

        Args:
            loss: what the objective lowers, in nats: the mean over the whole batch that made the gradients, whatever
                the number of micro-batches, before the step.
            gradient_factor: what clipping multiplied the gradients with; 1 where it left them as they were.
        """
        ...

    def noted(self) -> Mapping[str, float]:
        """Numbers of the last step, by the names that the spec gives in `notes`."""
        ...


class TangentStep(torch.optim.Optimizer):
    """What optimizers have in common that step to where a tangent of the loss meets a target."""

    def __init__(self, groups: list[dict[str, Any]], defaults: dict[str, Any]) -> None:
        super().__init__(groups, defaults)
        self.param_groups[0].setdefault("steps", 0)
        self._read: tuple[float, float] | None = None
        self._noted: dict[str, float] = {}

    def read_loss(self, loss: Tensor | float, gradient_factor: Tensor | float = 1.0) -> None:
        """See `ReadsLoss`."""
        loss, factor = (one.detach() if isinstance(one, Tensor) else one for one in (loss, gradient_factor))
        self._read = float(loss), float(factor)

    def noted(self) -> Mapping[str, float]:
        """Of the last step: see `STEP_NUMBERS`."""
        return self._noted

    def begin(self, closure: Callable[[], Any] | None) -> tuple[dict[str, Any], float, float]:
        """Count a step: (the group that holds what belongs to all parameters, the loss, the factor of the gradients).

        Raises: RunError where no loss was handed over.
        """
        if closure is not None:
            with torch.enable_grad():
                self.read_loss(closure())
        if self._read is None:
            found = f"{type(self).__name__}.step() without the loss of the step"
            raise RunError("optimizer", found, "its length depends on the loss", "call read_loss(loss) before step()")
        whole = self.param_groups[0]
        whole["steps"] += 1
        (loss, factor), self._read = self._read, None
        return whole, loss, factor

    def length(self, *, gap: float, slope: float, cap: float, share: float = 1.0) -> float:
        """How far to go: min(cap, share * gap / slope); 0 where the direction is no descent. Noted.

        Args:
            gap: loss above the target; nothing is asked where it is not above 0.
            slope: how fast the tangent falls per unit of the step.
            cap: the longest step.
            share: of the way to the target.
        """
        refused = not 0 < slope < float("inf")
        asked = 0.0 if refused else share * max(gap, 0.0) / (slope + _TINY)
        taken = min(cap, asked)
        self._noted |= {
            "asked_step": min(asked, _MOST_CAPS * cap),
            "taken_step": taken,
            "capped_share": float(asked > cap),
            "refused_share": float(refused),
            "reached_share": float(not refused and gap <= 0),
        }
        return taken

    def aim(self, target: float, loss: float, *, is_first: bool, where: str) -> float:
        """Loss above the target, noted.

        Raises: RunError at the first step, for a target that is reached before it.
        """
        if is_first and loss <= target:
            found = f"the loss is {loss:.4g} before the first step, and the target {target:.4g}"
            raise RunError(f"optimizer.{where}", found, "a target below it is needed, or no step is taken", "lower it")
        self._noted["target_nats"] = target
        return loss - target


def dots(ones: list[Tensor], others: list[Tensor]) -> float:
    """Inner product over several tensors: fp32 (or fp64, where they are) within each, fp64 over all."""
    if not ones:
        return 0.0
    kind = torch.promote_types(ones[0].dtype, torch.float32)
    pairs = [(one.flatten().to(kind), other.flatten().to(kind)) for one, other in zip(ones, others, strict=True)]
    each = [torch.dot(one, other) for one, other in pairs]
    return float(torch.stack(each).double().sum())
