"""An exponential average of the weights along training, used for evaluation and stored at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential moving average of a model's parameters, corrected for its start.

        a_t = d_t a_{t-1} + (1 - d_t) w_t        d_t = min(1 - 1/horizon, (t - 1) / t)

    The first `horizon` steps are a plain mean, so the average never remembers the initial weights.

    Args:
        model: the parameters are read from here after every step.
        horizon_steps: the length of the memory, in optimizer steps; 1 keeps just the latest weights.
    """

    def __init__(self, model: nn.Module, horizon_steps: float) -> None:
        self.horizon_steps = max(horizon_steps, 1.0)
        self.count = 0
        self._live = list(model.parameters())
        self.names = [name for name, _ in model.named_parameters()]
        self.mean = [parameter.detach().clone() for parameter in self._live]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        self.count += 1
        keep = min(1 - 1 / self.horizon_steps, (self.count - 1) / self.count)
        torch._foreach_lerp_(self.mean, [parameter.detach() for parameter in self._live], 1 - keep)  # pyright: ignore[reportPrivateImportUsage]

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the model's weights with the average, in place. Twice is as before."""
        for mean, live in zip(self.mean, self._live, strict=True):
            kept = live.detach().clone()
            live.copy_(mean)
            mean.copy_(kept)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps, by parameter path."""
        return dict(zip(self.names, self.mean, strict=True))


@contextmanager
def averaged(average: WeightAverage | None) -> Iterator[None]:
    """Inside, the model has its averaged weights, if there are any yet; afterwards it is as it was."""
    if average is None or not average.count:
        yield
        return
    average.swap()
    try:
        yield
    finally:
        average.swap()


@runtime_checkable
class HasModes(Protocol):
    """A torch optimizer whose weights for evaluation are others than those for training, as schedule-free ones."""

    def train(self) -> None:
        """The weights become those that are trained."""
        ...

    def eval(self) -> None:
        """The weights become those that are evaluated."""
        ...


@contextmanager
def evaluated(average: WeightAverage | None, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Inside, the model has the weights to evaluate: the average, or those of an optimizer that has some of its own;
    afterwards it is as it was, to the bit.

    Such an optimizer comes back to what it trains by arithmetic, which rounds; what is looked at must not change a run.
    """
    if average is not None or not isinstance(optimizer, HasModes):
        with averaged(average):
            yield
        return
    live = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    kept = [parameter.detach().clone() for parameter in live]
    optimizer.eval()
    try:
        yield
    finally:
        optimizer.train()
        with torch.no_grad():
            for parameter, one in zip(live, kept, strict=True):
                parameter.copy_(one)
