"""How large the weights of a block's matrices start.

Not for: embeddings, which have no fan-in (their root owns that number), nor for the depth factor of output projections,
which the path decides.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.core.specs import Spec


class WeightScale(Spec):
    """Interface: the standard deviation of a matrix's initial weights, from the width that it reads."""

    @abstractmethod
    def std(self, fan_in: int) -> float:
        """Standard deviation for a matrix that reads `fan_in` numbers."""


@dataclass(frozen=True, kw_only=True)
class FixedStd(WeightScale):
    """The same standard deviation for every matrix, whatever its width.

    Paper: Language Models are Unsupervised Multitask Learners, Radford et al., 2019 (0.02).

    Args:
        value: the standard deviation, above 0.
    """

    value: Real = 0.02

    def check(self) -> None:
        """Refuse a deviation of zero or less."""
        if self.value <= 0:
            raise SpecError("value", f"found {self.value}", "a number above 0 is needed")

    def std(self, fan_in: int) -> float:
        """The fixed value."""
        return self.value


@dataclass(frozen=True, kw_only=True)
class FanIn(WeightScale):
    """Deviation `gain / sqrt(fan_in)`: outputs start at the scale of the inputs, at every width.

    Paper: Efficient BackProp, LeCun et al., 1998, section 4.6.

    Args:
        gain: factor on `1 / sqrt(fan_in)`, above 0.
    """

    gain: Real = 1.0

    def check(self) -> None:
        """Refuse a gain of zero or less."""
        if self.gain <= 0:
            raise SpecError("gain", f"found {self.gain}", "a number above 0 is needed")

    def std(self, fan_in: int) -> float:
        """`gain / sqrt(fan_in)`."""
        return self.gain / math.sqrt(fan_in)
