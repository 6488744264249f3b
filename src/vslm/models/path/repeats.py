"""A part of the path that is passed several times: how often, how often in training, and how far gradients go back.

`Repeat` and `PerLoop` are values in a path, and are gone when a model runs: `stack.py` expands them to visits, so that
parameters, compute, kernels and caches know visits only.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vslm.core.bounds import Loops, Real
from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.models.elements.element import PathElement
from vslm.models.path.shares import Shares

_QUADRATURE_POINTS = 64  # of a lognormal; 32 agree with them in 9 digits


class LoopCounts(Spec):
    """Interface: how often a part is repeated in a training step, as a distribution over counts.

    Cost: under torch.compile one graph for every count that is drawn, each as long to build as a model of that depth.
    """

    @abstractmethod
    def probabilities(self) -> Mapping[int, float]:
        """The probability of every count that can be drawn, in rising order."""


def count_at(probabilities: Mapping[int, float], unit: float) -> int:
    """The count for a uniform number in [0, 1): the inverse of the distribution function.

    >>> [count_at({1: 0.5, 2: 0.25, 4: 0.25}, unit) for unit in (0.0, 0.5, 0.99)]
    [1, 2, 4]
    """
    below = 0.0
    for count, probability in probabilities.items():
        below += probability
        if unit < below:
            return count
    return max(probabilities)


@dataclass(frozen=True, kw_only=True)
class UniformLoops(LoopCounts):
    """Each of the given counts is as likely as any other.

    Args:
        counts: each 1 or more, without repeats.
    """

    counts: tuple[Loops, ...]

    def check(self) -> None:
        """Refuse no counts, a count below 1 and a repeated one."""
        if not self.counts:
            raise SpecError("counts", "no counts", "one or more are needed")
        if min(self.counts) < 1:
            raise SpecError("counts", f"found {min(self.counts)}", "1 or more is needed")
        if len(set(self.counts)) < len(self.counts):
            raise SpecError("counts", f"found {self.counts}", "each count stands once")

    def probabilities(self) -> Mapping[int, float]:
        """Equal ones."""
        return dict.fromkeys(sorted(self.counts), 1 / len(self.counts))


@dataclass(frozen=True, kw_only=True)
class PoissonLognormalLoops(LoopCounts):
    """Mostly few loops, sometimes many.

        r = min(1 + Poisson(exp(z)), largest),   z normal with mean log(mean) - sigma ** 2 / 2 and deviation sigma

    Paper: Scaling up Test-Time Compute with Latent Reasoning, Geiping et al., 2025, https://arxiv.org/abs/2502.05171.
    We differ: a largest count, so that a step has a longest time and a compiled model a last graph.

    Args:
        mean: of the Poisson number, so of r - 1 before it is cut; above 0.
        sigma: deviation of the logarithm, above 0; the paper's is 0.5.
        largest: the most loops; 1 or more.
    """

    mean: Real
    largest: Loops
    sigma: Real = 0.5

    def check(self) -> None:
        """Refuse what makes no distribution."""
        for name in ("mean", "sigma"):
            if getattr(self, name) <= 0:
                raise SpecError(name, f"found {getattr(self, name)}", "a number above 0 is needed")
        if self.largest < 1:
            raise SpecError("largest", f"found {self.largest}", "1 or more is needed")

    def probabilities(self) -> Mapping[int, float]:
        """Integrated over the lognormal; the largest count holds the tail."""
        z, weights = np.polynomial.hermite_e.hermegauss(_QUADRATURE_POINTS)
        weights = weights / weights.sum()
        rates = np.exp(math.log(self.mean) - self.sigma**2 / 2 + self.sigma * z)
        found = {
            count: float((weights * np.exp((count - 1) * np.log(rates) - rates - math.lgamma(count))).sum())
            for count in range(1, self.largest)
        }
        return {**found, self.largest: max(0.0, 1 - sum(found.values()))}


@dataclass(frozen=True, kw_only=True)
class PerLoop(Spec):
    """A place of a repeated body that is another element in every loop.

    Args:
        elements: one for each loop: the name of an element of the bank, an element, or `Shares`. The last one serves
            every loop beyond.
    """

    elements: tuple[str | PathElement | Shares, ...]

    def check(self) -> None:
        """Refuse an empty tuple."""
        if not self.elements:
            raise SpecError("elements", "no elements", "one or more are needed")


@dataclass(frozen=True, kw_only=True)
class Repeat(Spec):
    """A part of the path that is passed several times, with the same weights.

        s_{i+1} = body(s_i),   i = 0 .. times - 1

    A model that was trained can be looped more or less often: `LanguageModel.with_loops`.
    Paper: Universal Transformers, Dehghani et al., 2018, https://arxiv.org/abs/1807.03819.
    Cost: compute of `times` bodies, parameters of one.

    Args:
        body: what is repeated, in order: names of the bank, elements, `Shares`, or `PerLoop` where the loops differ.
        times: loops of a whole pass, 1 or more: what initial values, evaluation and generation go by.
        training: how often in a step of training, drawn anew for each step; None: `times`.
        gradient_loops: gradients go back through the last so many loops, and what is injected there; None: all.
            What stands before the loops then learns only by another way to the loss (an injection, a state that was
            kept, the memory, an exit), and a model without one is refused.
    """

    body: tuple[str | PathElement | Shares | PerLoop, ...]
    times: Loops
    training: LoopCounts | None = None
    gradient_loops: Loops | None = None

    def check(self) -> None:
        """Refuse nothing to repeat, no loops, and gradients and elements for loops that never come."""
        if not self.body:
            raise SpecError("body", "an empty body", "at least one visit is needed")
        for name in ("times", "gradient_loops"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SpecError(name, f"found {value}", "1 or more is needed", "leave the part out for none")
        most = max(self.probabilities())
        if self.gradient_loops is not None and self.gradient_loops > most:
            found = f"found {self.gradient_loops}, and training has {most} loops at the most"
            raise SpecError("gradient_loops", found, f"1 to {most}, or None for all")
        for place, item in enumerate(self.body):
            if isinstance(item, PerLoop) and len(item.elements) > self.times:
                found = f"{len(item.elements)} elements for {self.times} loops"
                raise SpecError(f"body.{place}.elements", found, "at most one for each loop")

    def probabilities(self) -> Mapping[int, float]:
        """How likely each number of loops is in training."""
        return self.training.probabilities() if self.training else {self.times: 1.0}

    def mean_visits(self, loop: int) -> tuple[float, float]:
        """How often loop `loop` (from 0) is passed in a step of training, forward and backward, on average."""
        forward = backward = 0.0
        for count, probability in self.probabilities().items():
            if loop < count:
                forward += probability
                if self.gradient_loops is None or loop >= count - self.gradient_loops:
                    backward += probability
        return forward, backward
