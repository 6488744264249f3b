"""Which way a tangent step goes: the gradient, its average, or the direction of Adam."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.optim.adamw import check_adam


class Direction(Spec):
    """Interface: d, so that a step is w - eta d."""

    @abstractmethod
    def along(self, gradient: Tensor, state: dict[str, Any], num_steps: int) -> tuple[Tensor, Tensor]:
        """(d, the averaged gradient that it is made of) for one parameter.

        Args:
            gradient: of this step, after clipping.
            state: of the parameter: tensors of its shape, changed in place.
            num_steps: counted from 1, this one included.
        """

    @abstractmethod
    def state_per_parameter(self) -> float:
        """How many fp32 numbers are kept for each number of a parameter."""


@dataclass(frozen=True, kw_only=True)
class Gradient(Direction):
    """d = g."""

    def along(self, gradient: Tensor, state: dict[str, Any], num_steps: int) -> tuple[Tensor, Tensor]:
        return gradient, gradient

    def state_per_parameter(self) -> float:
        return 0.0


@dataclass(frozen=True, kw_only=True)
class Average(Direction):
    """d = m^, m = beta m + (1 - beta) g, bias-corrected: momentum.

    Args:
        beta: decay per step.
    """

    beta: Real = 0.9

    def check(self) -> None:
        """Refuse numbers outside their range."""
        if not 0 <= self.beta < 1:
            raise SpecError("beta", f"found {self.beta}", "a number in [0, 1) is needed")

    def along(self, gradient: Tensor, state: dict[str, Any], num_steps: int) -> tuple[Tensor, Tensor]:
        average = averaged(gradient, state, "average", self.beta) / (1 - self.beta**num_steps)
        return average, average

    def state_per_parameter(self) -> float:
        return 1.0


@dataclass(frozen=True, kw_only=True)
class AdamDirection(Direction):
    """d = m^ / (sqrt(v^) + epsilon), with Adam's bias-corrected moments.

    Args:
        betas: decay of the two moments per step.
        epsilon: added to the denominator.
    """

    betas: tuple[Real, Real] = (0.9, 0.95)
    epsilon: Real = 1e-8

    def check(self) -> None:
        """Refuse numbers outside their range."""
        check_adam(self.betas, self.epsilon, 0.0)

    def along(self, gradient: Tensor, state: dict[str, Any], num_steps: int) -> tuple[Tensor, Tensor]:
        first, second = self.betas
        average = averaged(gradient, state, "average", first) / (1 - first**num_steps)
        square = averaged(gradient.square(), state, "average_square", second) / (1 - second**num_steps)
        return average / (square.sqrt() + self.epsilon), average

    def state_per_parameter(self) -> float:
        return 2.0


def averaged(value: Tensor, state: dict[str, Any], name: str, beta: float) -> Tensor:
    """The running average of that name, changed in place: beta * average + (1 - beta) * value, from 0."""
    if name not in state:
        state[name] = torch.zeros_like(value)
    return state[name].lerp_(value, 1 - beta)
