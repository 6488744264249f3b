"""How much of a difference may be the learning rate: what a search with few noisy runs leaves open.

An arm is judged at the rate that its search found, not at its best one. That costs it some loss, the same in every
judged run, so no further seeds tell it from the arm's own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

_ERROR = 0.2  # of the bound on the slope at the chosen rate, on both sides together
_FURTHEST_STEPS = 1.5  # from the chosen rate to the best one; further away it would have shown in the search
_ONE_SIDED = 1 / 3  # see `cost_of_rate`


@dataclass(frozen=True)
class Search:
    """What the search of one arm saw.

    Args:
        rates: tried, rising, by a constant factor.
        values: final losses at each, by seed; None for a run that diverged.
        chosen: the rate that the arm is judged at.
    """

    rates: Sequence[float]
    values: Sequence[Sequence[float | None]]
    chosen: float

    @property
    def best(self) -> int:
        """Place of the rate with the lowest mean among those with the most seeds."""
        most = max(len(found) for found in self.values)
        means = [_mean(found) if len(found) == most else math.inf for found in self.values]
        if not math.isfinite(min(means)):
            means = [_mean(found) for found in self.values]
        return int(np.argmin(means))

    @property
    def is_at_edge(self) -> bool:
        """Whether the best rate may lie beyond all that were tried: the best is the last on its side, or the vertex of
        the parabola is there, and no run diverged beside it.
        """
        last = len(self.rates) - 1
        if self.best in (0, last):
            return True
        if any(not math.isfinite(_mean(self.values[i])) for i in (self.best - 1, self.best + 1)):
            return False
        return not self.rates[0] * 1.001 < self.chosen < self.rates[last] * 0.999

    @property
    def around(self) -> np.ndarray | None:
        """Losses at the best rate and its neighbors, [3, K] with the seeds that all three have; None where one
        diverged or has no neighbor.
        """
        place = self.best
        if not 0 < place < len(self.rates) - 1:
            return None
        rows = self.values[place - 1 : place + 2]
        count = min(len(row) for row in rows)
        if any(value is None for row in rows for value in row):
            return None
        return np.array([row[:count] for row in rows], dtype=float)


def noise_of_searches(searches: Sequence[Search]) -> tuple[float, int]:
    """SD of a run's luck that is not shared by the rates of a seed, pooled over arms, and its degrees of freedom.

    Residuals of the losses at three rates after their mean by rate and by seed are taken out. (nan, 0) where every
    search has one seed a rate.
    """
    squares, degrees = 0.0, 0
    for search in searches:
        losses_3K = search.around
        if losses_3K is None or losses_3K.shape[1] < 2:
            continue
        left = losses_3K - losses_3K.mean(axis=0) - losses_3K.mean(axis=1, keepdims=True) + losses_3K.mean()
        squares, degrees = squares + float((left**2).sum()), degrees + 2 * (losses_3K.shape[1] - 1)
    return (math.sqrt(squares / degrees), degrees) if degrees else (math.nan, 0)


def cost_of_rate(search: Search, sd: float, degrees: int) -> float:
    """An upper bound on how much lower the arm's loss would be at its best rate than at the chosen one.

    With the parabola q through the mean losses at three rates, in steps x of the grid, chosen at x, and c = q'' :

        cost = q'(x*) ... 0 at the best rate, so   cost <= d^2 / (2 c)   or   d * 1.5 - c * 1.5^2 / 2

    where d = |q'(x)| + t sd sqrt((1/2 + 6 x^2) / K) bounds the slope at the chosen rate (K seeds, t Student's quantile
    at 20% on both sides) and the second is for a best rate further than 1.5 steps away. An arm of which a neighbor
    diverged is bounded by a third of the difference to the other one, which holds wherever between the two neighbors
    the vertex of a parabola lies. Infinite where the best rate may lie beyond the grid.
    """
    if search.is_at_edge:
        return math.inf
    place = search.best
    losses_3K = search.around
    if losses_3K is None or not degrees or not math.isfinite(sd):
        neighbors = [_mean(search.values[place + side]) for side in (-1, 1)]
        finite = [loss for loss in neighbors if math.isfinite(loss)]
        return max(0.0, (max(finite) - _mean(search.values[place])) * _ONE_SIDED) if finite else math.inf
    low, middle, high = losses_3K.mean(axis=1)
    step = math.log(search.rates[place + 1] / search.rates[place])
    x = math.log(search.chosen / search.rates[place]) / step
    curvature = max(low - 2 * middle + high, 0.0)
    slope = abs((high - low) / 2 + curvature * x)
    count = losses_3K.shape[1]
    bound = slope + float(stdtrit(degrees, 1 - _ERROR / 2)) * sd * math.sqrt((0.5 + 6 * x**2) / count)
    away = min(_FURTHEST_STEPS, bound / curvature if curvature else _FURTHEST_STEPS)
    return bound * away - curvature * away**2 / 2


def costs_of_rates(searches: Mapping[str, Search]) -> dict[str, float]:
    """`cost_of_rate` of every arm, with the noise of all of them."""
    sd, degrees = noise_of_searches(list(searches.values()))
    return {arm: cost_of_rate(search, sd, degrees) for arm, search in searches.items()}


def _mean(values: Sequence[float | None]) -> float:
    """Over seeds; infinite where one diverged."""
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found and len(found) == len(values) else math.inf
