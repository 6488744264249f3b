"""The learning rate as a function of the fraction of the budget that is done, between 0 and 1.

A function of the fraction, not of the step, so that the same schedule serves every budget.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.core.specs import Spec


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise SpecError(name, f"found {value}", "a fraction between 0 and 1 is needed")


class Schedule(Spec):
    """Interface: the learning rate as a share of its peak."""

    @abstractmethod
    def factor(self, done_fraction: float) -> float:
        """The share of the peak rate at `done_fraction` of the budget, between 0 and 1."""


@dataclass(frozen=True, kw_only=True)
class WarmupCosine(Schedule):
    """Linear warmup, then half a cosine down to `final_fraction` of the peak.

    Paper: SGDR, Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983 (one cycle, no restart).

    Args:
        warmup_fraction: share of the budget spent rising from 0.
        final_fraction: the rate at the end, as a share of the peak.
    """

    warmup_fraction: Real = 0.05
    final_fraction: Real = 0.0

    def check(self) -> None:
        """Refuse fractions outside [0, 1]."""
        _check_fraction("warmup_fraction", self.warmup_fraction)
        _check_fraction("final_fraction", self.final_fraction)

    def factor(self, done_fraction: float) -> float:
        """The share of the peak rate at `done_fraction` of the budget.

        >>> WarmupCosine(warmup_fraction=0.1).factor(0.05)
        0.5
        """
        if done_fraction < self.warmup_fraction:
            return done_fraction / self.warmup_fraction
        rest = (done_fraction - self.warmup_fraction) / max(1 - self.warmup_fraction, 1e-12)
        return self.final_fraction + (1 - self.final_fraction) * 0.5 * (1 + math.cos(math.pi * min(rest, 1.0)))


@dataclass(frozen=True, kw_only=True)
class WarmupStableDecay(Schedule):
    """Linear warmup, a constant stretch, then a linear fall (WSD).

    Paper: MiniCPM, Hu et al., 2024, https://arxiv.org/abs/2404.06395, section 4; we fall linearly, not exponentially.

    Args:
        warmup_fraction: share of the budget spent rising from 0.
        decay_fraction: share of the budget spent falling, at the end.
        final_fraction: the rate at the end, as a share of the peak.
    """

    warmup_fraction: Real = 0.05
    decay_fraction: Real = 0.3
    final_fraction: Real = 0.0

    def check(self) -> None:
        """Refuse fractions outside [0, 1], and phases that overlap."""
        for name in ("warmup_fraction", "decay_fraction", "final_fraction"):
            _check_fraction(name, getattr(self, name))
        if self.warmup_fraction + self.decay_fraction > 1:
            raise SpecError("decay_fraction", "warmup and decay overlap", "their sum is at most 1")

    def factor(self, done_fraction: float) -> float:
        """The share of the peak rate at `done_fraction` of the budget."""
        if done_fraction < self.warmup_fraction:
            return done_fraction / self.warmup_fraction
        left = 1 - done_fraction
        if left >= self.decay_fraction:
            return 1.0
        return self.final_fraction + (1 - self.final_fraction) * max(left, 0.0) / self.decay_fraction
