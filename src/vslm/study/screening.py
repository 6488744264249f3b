"""Many arms on few cores: which arms go on to be judged, declared. `lab/screening.py` carries it out."""

from dataclasses import dataclass

from vslm.core.bounds import Real, Some
from vslm.core.errors import SpecError
from vslm.core.specs import Spec

SCREEN_SEED = 10_000  # seeds of a study are below


@dataclass(frozen=True, kw_only=True)
class Screen(Spec):
    """Run every arm once at a part of the budget, and confirm the best of them.

    Args:
        controls: arms that are confirmed whatever comes out, beside the baseline.
        keep: how many of the other arms are confirmed: those with the best primary number.
        budget_fraction: of the budget that a screening run gets.
    """

    controls: tuple[str, ...] = ()
    keep: Some = 2
    budget_fraction: Real = 0.25

    def check(self) -> None:
        """Refuse to keep nothing, and a budget that is none."""
        if self.keep < 1:
            raise SpecError("keep", f"found {self.keep}", "1 or more is needed")
        if not 0 < self.budget_fraction <= 1:
            raise SpecError("budget_fraction", f"found {self.budget_fraction}", "a fraction in (0, 1] is needed")
        if len(set(self.controls)) < len(self.controls):
            raise SpecError("controls", f"found {self.controls}", "every control once")

    def num_confirmed(self) -> int:
        """Arms that are judged, the baseline among them."""
        return 1 + len(self.controls) + self.keep
