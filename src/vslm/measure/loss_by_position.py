"""The measure that every run takes: training and validation loss by position, at log-spaced steps."""

import math
from dataclasses import dataclass

from vslm.core.errors import SpecError
from vslm.core.specs import Spec

_MOST_EVALUATIONS = 10_000  # each leaves a row of losses by position in the run's arrays


@dataclass(frozen=True, kw_only=True)
class LossByPosition(Spec):
    """Loss by position at log-spaced steps on a fixed part of the validation set, and on all of it at the end.

    Cost: a forward pass is a third of a training step, so 24 evaluations of 8,192 tokens cost a run of 2M tokens about
    3%; the final one of 262,144 tokens another 4%.

    Args:
        num_evaluations: how many steps are looked at, log-spaced, the first (step 0) and the last among them.
        num_tokens: validation tokens at each of them.
        num_final_tokens: validation tokens at the end of training, where verdicts are read.
    """

    num_evaluations: int = 24
    num_tokens: int = 8192
    num_final_tokens: int = 262_144

    def check(self) -> None:
        """Refuse counts below one."""
        for name in ("num_tokens", "num_final_tokens"):
            if getattr(self, name) < 1:
                raise SpecError(name, f"found {getattr(self, name)}", "1 or more is needed")
        if not 2 <= self.num_evaluations <= _MOST_EVALUATIONS:
            found, allowed = f"found {self.num_evaluations}", f"2 to {_MOST_EVALUATIONS:,} are needed"
            raise SpecError("num_evaluations", found, allowed)

    def steps(self, num_steps: int) -> list[int]:
        """The steps to evaluate at: 0, then log-spaced up to `num_steps`, rising, without repeats.

        >>> LossByPosition(num_evaluations=5).steps(1000)
        [0, 1, 10, 100, 1000]
        """
        count = self.num_evaluations - 1
        exponents = [i / max(count - 1, 1) for i in range(count)] if count > 1 else [1.0]
        return sorted({0, num_steps, *(round(math.exp(math.log(max(num_steps, 1)) * e)) for e in exponents)})


Measure = LossByPosition  # the union of all measures; a new one is added with `|`
