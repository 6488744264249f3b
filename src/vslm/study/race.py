"""Many arms at the full budget: arms that are behind get no further seeds, declared. `lab/race.py` carries it out."""

from dataclasses import dataclass

from vslm.core.bounds import Real, Some
from vslm.core.errors import SpecError
from vslm.core.specs import Spec

_LARGEST_ERROR = 0.5


@dataclass(frozen=True, kw_only=True)
class Race(Spec):
    """Judge many arms with few runs: all arms run the first seeds, then seed after seed those that are left.

    After the first seeds, and after each one that follows, an arm is dropped if it is behind the arm that is ahead then
    and cannot be ahead of it by the smallest effect any more (`stats/racing.py` has the formula), or if one of its runs
    diverged. The baseline is never dropped. The arms that are left at the end are judged as in any study, and at the
    error of all arms that began, so what a race says is false no more often; an arm that was dropped has no verdict.

    Source: Maron and Moore, *Hoeffding races*, 1994; with seeds as blocks, Birattari and others, *F-Race*, 2002. We
    differ: arms are compared with the leader by Student's t, and verdicts do not depend on it.

    Args:
        first: seeds that every arm gets, 2 or more.
        error: one-sided, of one comparison with the leader. Larger ones save runs and lose the best arm more often.
    """

    first: Some = 3
    error: Real = 0.02

    def check(self) -> None:
        """Refuse a race without a scatter to look at, and an error that is none."""
        if self.first < 2:
            raise SpecError("first", f"found {self.first}", "2 or more are needed: one seed shows no scatter")
        if not 0 < self.error < _LARGEST_ERROR:
            raise SpecError("error", f"found {self.error:g}", f"above 0 and below {_LARGEST_ERROR:g} is needed")
