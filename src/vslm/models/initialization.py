"""Initial values: every parameter draws from its own stream of numbers, named by seed and path.

A parameter's initial value depends on the initialization seed, on its full path (`blocks.0.attention.query.weight`) and
on its shape, and on nothing else. So what two arms share starts equal, whatever else they build.

The values are drawn on the CPU in fp32, so a model starts equal on every device. A standard deviation multiplies
numbers drawn at unit scale: two arms that differ only in scale start in the same direction.

A module of somebody else's (`torch.nn.Linear` as it is) draws from torch's own generator. `default_draws` puts that one
where seed and path say, so that such a part, too, starts the same whatever else is built.

Not for: deciding which scale a weight gets; that is `scales.py` and the module that owns the weight.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vslm.core.seeds import derive_seed


@dataclasses.dataclass(frozen=True)
class Init:
    """Where the initial values of one part of a model come from.

    Args:
        seed: the initialization seed of the run.
        path: dotted path of the part; empty for the whole model.
    """

    seed: int
    path: str = ""

    def child(self, name: str) -> "Init":
        """The same seed, one name further down."""
        return Init(self.seed, f"{self.path}.{name}" if self.path else name)

    def generator(self) -> torch.Generator:
        """A new CPU generator at the start of this path's stream of numbers."""
        return torch.Generator(device="cpu").manual_seed(derive_seed(self.seed, self.path))

    def normal(self, shape: Sequence[int], std: float) -> Tensor:
        """Normal numbers of mean 0. The same numbers for every `std`, but for the factor."""
        return torch.randn(tuple(shape), generator=self.generator(), dtype=torch.float32) * std

    def uniform(self, shape: Sequence[int], low: float, high: float) -> Tensor:
        """Uniform numbers in [low, high)."""
        unit = torch.rand(tuple(shape), generator=self.generator(), dtype=torch.float32)
        return low + (high - low) * unit

    def constant(self, shape: Sequence[int], value: float) -> Tensor:
        """One value everywhere, so that a parameter that starts constant is made in the same way as any other."""
        return torch.full(tuple(shape), value, dtype=torch.float32)


@contextlib.contextmanager
def default_draws(init: Init) -> Iterator[None]:
    """Inside, what draws from torch's generator of the CPU gets numbers of this seed and path; it is left untouched."""
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(derive_seed(init.seed, init.path, "default"))
    try:
        yield
    finally:
        generator.set_state(state)
