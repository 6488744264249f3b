"""An exponential average of the weights along training, used for evaluation and stored at the end."""

from collections.abc import Iterator
from contextlib import contextmanager

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
