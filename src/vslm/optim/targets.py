"""Where a tangent of the loss is followed to: the loss that a step aims at.

Not for: another model's loss on the same batch. `ExcessLoss(teacher=...)` lowers the loss above it, and the target of
that is 0.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.core.specs import Spec


class Target(Spec):
    """Interface: the loss that a step aims at, in nats, from the losses so far."""

    @abstractmethod
    def after(self, loss: float, kept: dict[str, Any]) -> float:
        """The target of a step.

        Args:
            loss: before the step.
            kept: holds "steps", counted from 1, and plain numbers of the target's own, which checkpoints keep.
        """


@dataclass(frozen=True, kw_only=True)
class KnownTarget(Target):
    """A number that is known, or thought to be reachable.

    A language model does not reach a loss of 0: text has an entropy that nobody knows. Below it, steps are as long as
    the cap sooner or later.

    Paper: SPS, Loizou et al., 2020, https://arxiv.org/abs/2002.10542, and ALI-G, Berrada et al., 2019,
    https://arxiv.org/abs/1906.05661 (target 0 and a cap).

    Args:
        nats: 0 or more.
    """

    nats: Real = 0.0

    def check(self) -> None:
        """Refuse a loss that nothing reaches."""
        if self.nats < 0:
            raise SpecError("nats", f"found {self.nats}", "0 or more is needed: no loss of text is below 0")

    def after(self, loss: float, kept: dict[str, Any]) -> float:
        return self.nats


@dataclass(frozen=True, kw_only=True)
class FractionOfBest(Target):
    """A fraction of the lowest loss so far, which is slowly forgotten.

        best = min(best, loss);   target = fraction * best;   best = (1 + forget) * best

    Paper: L4, Rolinek and Martius, 2018, https://arxiv.org/abs/1802.05074, section 3.

    Args:
        fraction: in (0, 1).
        start: of the loss of the first batch, where the lowest loss begins.
        forget: per step, so that a lucky batch does not count for ever.
    """

    fraction: Real = 0.9
    start: Real = 0.75
    forget: Real = 1e-3

    def check(self) -> None:
        """Refuse numbers outside their range."""
        if not 0 < self.fraction < 1:
            raise SpecError("fraction", f"found {self.fraction}", "a number in (0, 1) is needed")
        if not 0 < self.start <= 1:
            raise SpecError("start", f"found {self.start}", "a number in (0, 1] is needed")
        if self.forget < 0:
            raise SpecError("forget", f"found {self.forget}", "0 or more is needed")

    def after(self, loss: float, kept: dict[str, Any]) -> float:
        best = min(kept.get("best_loss", self.start * loss), loss)
        kept["best_loss"] = (1 + self.forget) * best
        return self.fraction * best


@dataclass(frozen=True, kw_only=True)
class RelativeDrop(Target):
    """A little below the mean of the losses so far: every step asks for the same relative drop.

        mean = decay * mean + (1 - decay) * loss, bias-corrected;   target = (1 - drop) * mean

    Ours: needs no guess of the lowest loss.

    Args:
        drop: in (0, 1).
        decay: of the mean, per step.
    """

    drop: Real = 0.03
    decay: Real = 0.9

    def check(self) -> None:
        """Refuse numbers outside their range."""
        if not 0 < self.drop < 1:
            raise SpecError("drop", f"found {self.drop}", "a number in (0, 1) is needed")
        if not 0 <= self.decay < 1:
            raise SpecError("decay", f"found {self.decay}", "a number in [0, 1) is needed")

    def after(self, loss: float, kept: dict[str, Any]) -> float:
        mean = self.decay * kept.get("mean_loss", 0.0) + (1 - self.decay) * loss
        kept["mean_loss"] = mean
        return (1 - self.drop) * mean / (1 - self.decay ** kept["steps"])
