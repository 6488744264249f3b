"""A learning rate for every arm, searched with the same effort: which rates are tried. `lab/tuning.py` tries them."""

from dataclasses import dataclass

from vslm.core.bounds import Real, Some
from vslm.core.errors import SpecError
from vslm.core.paths import vary
from vslm.core.specs import Spec
from vslm.study.experiment import Experiment

TUNING_SEED = 20_000  # the first; seeds of a study are below 10,000
NUM_NEIGHBORS, MOST_MOVES = 3, 1  # rates that get more seeds, and how often others get them, too
_FEWEST_COUNTED = 2
_MOST_COUNTED_SEEDS = 8
_DIGITS = 6  # of a rate, so that its folder's name is the number itself


@dataclass(frozen=True, kw_only=True)
class LearningRates(Spec):
    """The same grid of learning rates for every arm, around its own.

        rate * factor ** (i - values // 2),   i = 0 ... values - 1

    If the best lies at an edge, one more rate is tried beyond it, up to `max_widenings` times; if it lies there still,
    that is recorded and shown. Then the best and its neighbors get `more_seeds` further runs, and once more around the
    new best if another is ahead now. With l, m, h the mean primary numbers at three neighboring rates, the middle one
    the best (or the last but one where the best is at an edge),

        chosen = middle * factor ** ((l - h) / (2 * (l - 2 * m + h))),   no further than either neighbor

    A rate at which a run diverges is worse than any other; where one of the three did, the best rate itself is chosen.

    Args:
        values: rates of the first grid, 3 or more.
        factor: between neighbors, above 1.
        num_seeds: runs at each rate.
        more_seeds: further runs at the best rate and each of its neighbors.
        max_widenings: rates added at most, both sides together.
    """

    values: Some = 4
    factor: Real = 2.0
    num_seeds: Some = 1
    more_seeds: Some = 2
    max_widenings: Some = 2

    def check(self) -> None:
        """Refuse a grid without an inside."""
        if self.values < 3:
            raise SpecError("values", f"found {self.values}", "3 or more: fewer have no inside")
        if self.factor <= 1:
            raise SpecError("factor", f"found {self.factor}", "above 1 is needed")
        if self.num_seeds < 1 or self.more_seeds < 0 or self.num_seeds + self.more_seeds >= 1000:
            name = "num_seeds" if self.num_seeds < 1 else "more_seeds"
            raise SpecError(name, f"found {getattr(self, name)}", "1 and 0 or more are needed, together below 1,000")
        if self.max_widenings < 0:
            raise SpecError("max_widenings", f"found {self.max_widenings}", "0 or more is needed")

    def most_runs(self) -> int:
        """Runs of one arm if the grid is widened as far as it may be and the best moves once."""
        return (self.values + self.max_widenings) * self.num_seeds + (NUM_NEIGHBORS + MOST_MOVES) * self.more_seeds

    def grid(self, rate: float) -> list[float]:
        """The first grid, rising.

        >>> LearningRates().grid(0.004)
        [0.001, 0.002, 0.004, 0.008]
        """
        return [short_rate(rate * self.factor ** (i - self.values // 2)) for i in range(self.values)]


@dataclass(frozen=True, kw_only=True)
class CountedRates(Spec):
    """A search whose runs are judged: three learning rates around each arm's own, with the first seeds of the study.

        rate / factor, rate, rate * factor

    If the best mean lies at an edge, one more rate is tried beyond it, up to `max_widenings` times. The arm is judged
    at the best of these rates, so the runs there are judged runs, and only the others are the price of the search: a
    third fewer runs than `LearningRates` takes for about the same interval (`docs/verdicts.md`). What the distance to
    the best rate may cost the arm is in its interval, as it is there.

    The runs that choose are some of those that the verdict is read from, which favors every arm a little, one whose
    loss hardly depends on its rate the most; and few runs find a far best rate badly, which more judged seeds show the
    more. Both were simulated, at the worst of what real runs show (a choice by the very number that is judged):
    verdicts hold with 4 to 8 seeds of which at most half choose, and not with 16, so that is what a study may have.

    Args:
        factor: between neighbors, above 1.
        num_seeds: runs at each rate, 2 or more: one seed says nothing of the noise.
        max_widenings: rates added at most, both sides together.
    """

    factor: Real = 2.0
    num_seeds: Some = 2
    max_widenings: Some = 2

    def check(self) -> None:
        """Refuse rates that are one, and a search that knows no noise."""
        if self.factor <= 1:
            raise SpecError("factor", f"found {self.factor}", "above 1 is needed")
        if self.num_seeds < _FEWEST_COUNTED:
            found = f"found {self.num_seeds}"
            raise SpecError("num_seeds", found, f"{_FEWEST_COUNTED} or more are needed: one says nothing of the noise")
        if self.max_widenings < 0:
            raise SpecError("max_widenings", f"found {self.max_widenings}", "0 or more is needed")

    def check_seeds(self, num_seeds: int, where: str = "tune") -> None:
        """Refuse a number of seeds for which it was not shown that verdicts hold."""
        allowed = (
            f"{2 * self.num_seeds} to {_MOST_COUNTED_SEEDS} are needed: verdicts hold for those (docs/verdicts.md)"
        )
        if not 2 * self.num_seeds <= num_seeds <= _MOST_COUNTED_SEEDS:
            found = f"{num_seeds} seeds, {self.num_seeds} of which would choose the learning rates"
            raise SpecError(where, found, allowed, "declare others, or take LearningRates(), whose runs are apart")

    @property
    def search(self) -> LearningRates:
        """The same rates as a search by itself."""
        return LearningRates(
            values=NUM_NEIGHBORS,
            factor=self.factor,
            num_seeds=self.num_seeds,
            more_seeds=0,
            max_widenings=self.max_widenings,
        )

    def most_runs(self) -> int:
        """Runs of one arm beside those that are judged, if the grid is widened as far as it may be."""
        return self.search.most_runs() - self.num_seeds


def short_rate(rate: float) -> float:
    """A rate in as many digits as its folder's name has."""
    return float(f"{rate:.{_DIGITS}g}")


def rate_of(experiment: Experiment) -> float:
    """An arm's own learning rate."""
    assert experiment.optimizer is not None  # filled in when the experiment was made
    return experiment.optimizer.learning_rate


def with_rate(experiment: Experiment, rate: float) -> Experiment:
    """The experiment at another learning rate."""
    return vary(experiment, {"optimizer.learning_rate": rate})
