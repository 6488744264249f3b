"""Numbers that an objective notes at every step, as means over the steps since they were last asked for."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor


class Noted:
    """Sums over steps, which checkpoints keep.

    Args:
        names: of all numbers that are noted, and no other.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._sums: dict[str, Tensor | float] = dict.fromkeys(names, 0.0)
        self.since = 0
        """The step at which they were last asked for."""

    def note(self, name: str, value: Tensor) -> None:
        """A number of this step, or the share of it that a part of the batch has."""
        self._sums[name] = self._sums[name] + value.detach().double()

    def take(self, step: int) -> dict[str, np.ndarray]:
        """The mean of each since the last time; NaN where no step was taken since."""
        num_steps = step - self.since
        means = {name: float(total) / num_steps if num_steps else math.nan for name, total in self._sums.items()}
        self._sums.update(dict.fromkeys(means, 0.0))
        self.since = step
        return {name: np.array(mean) for name, mean in means.items()}

    def tensors(self) -> dict[str, Tensor]:
        """The sums."""
        return {name: torch.tensor(float(total), dtype=torch.float64) for name, total in self._sums.items()}

    def restore(self, tensors: Mapping[str, Tensor], since: int) -> None:
        """Stand where these were taken."""
        self._sums.update({name: float(tensor) for name, tensor in tensors.items()})
        self.since = since
