"""Several torch optimizers as one, each with parameters of its own: one schedule, one step, one state."""

from collections.abc import Callable
from typing import Any

import torch


class CombinedOptimizer(torch.optim.Optimizer):
    """Several torch optimizers as one.

    Its groups are theirs, in their order, and its state holds theirs, so that a schedule, clipping and checkpoints work
    as with any torch optimizer. A step is one of each, in order; they share no parameter, so the order changes nothing.

        CombinedOptimizer(torch.optim.Muon(matrices, lr=0.01), torch.optim.AdamW(others, lr=0.003))

    Args:
        parts: the optimizers; from here on they are stepped and loaded through this one alone.

    Raises: ValueError if two of them have a parameter in common.
    """

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        super().__init__([group for part in parts for group in part.param_groups], defaults={})
        self.parts = parts
        for part in parts:
            self.state.update(part.state)  # some make theirs before the first step
        self._share()

    def _share(self) -> None:
        """Let the parts work on the groups and the state of the whole, the very same objects."""
        groups = iter(self.param_groups)
        for part in self.parts:
            part.param_groups = [next(groups) for _ in part.param_groups]
            part.state = self.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of each; what `closure` returns, which is called once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        super().load_state_dict(state_dict)
        self._share()
