"""Runs of two kinds: some have got going and some have not, and a mean over both tells little of either.

Near a phase change a run ends low or high by luck. Student's t does not hold for that, few seeds cannot even show it,
and what has happened in no seed may happen in the next.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.special import betaincinv

FURTHEST_SDS = 10.0
"""How far a kind of run that no seed has shown is assumed to lie at the most, in SDs of a difference."""
FEWEST_SEEDS = 6
"""With fewer two kinds are seldom told from one: of gaps of 10 SDs 3% in 3 values, 10% in 4, 30% in 5, 56% in 6."""
_COUNTS = (3, 4, 5, 6, 8, 12, 16, 24, 32)
_RATIOS = (36e3, 354.0, 73.0, 34.0, 16.0, 8.8, 6.8, 5.4, 4.7)
"""What a normal sample's sum of squares over that within its two best groups stays below in 99 of 100."""
_EMPTY = 3.0  # SDs within the groups that lie between them at the least: a tail is no group
_SUSPECT = 6.0  # the same, from where on few values look like two kinds although nothing tells

State = Literal["one", "two", "unknown"]


@dataclass(frozen=True)
class Kinds:
    """Whether values are of one kind.

    Args:
        state: "two" where one normal distribution would hardly give such a gap (once in a hundred samples), "unknown"
            where there is a gap that so few values cannot tell from scatter, else "one".
        between: the middle of the widest gap that splits them best.
        gap: how wide it is.
        strength: the ratio of squares as a multiple of what "two" needs.
        apart: how far the means of the two groups are from each other, more than the gap; 0 for one group.
    """

    state: State
    between: float
    gap: float
    strength: float
    apart: float = 0.0

    def cannot_make(self, low: float, high: float) -> bool:
        """Whether no split of runs among the two kinds makes a difference whose interval this is.

        What a run gains by its kind is `apart`, so means over any runs of two arms move by at most as much each. An
        interval that stays further from 0 than both together is of a difference that is there within a kind.
        """
        return max(low, -high) > 2 * self.apart

    def matter(self, smallest_effect: float) -> bool:
        """Whether there are two kinds that differ by more than what is of interest: else it tells nothing which of
        them a run ended in.
        """
        return self.state == "two" and self.apart > smallest_effect


def kinds_of(values_N: Sequence[float] | np.ndarray) -> Kinds:
    """Split values where the squares within the two groups are least, and compare with what normal values give.

        ratio = sum (x - mean)^2 / (sum over both groups of (x - mean of the group)^2)

    Of normal samples 1% are said to be of two kinds, of t(3) samples 1 to 3%, of log-normal ones (sigma 1) 2% of 3
    values to 22% of 16: a long tail is close to two kinds.
    """
    count = len(values_N)
    mean = math.fsum(values_N) / count if count else 0.0
    apart = sorted(float(value) - mean for value in values_N)
    whole = math.fsum(x * x for x in apart)
    if count < 3 or apart[0] == apart[-1]:
        return Kinds("one", math.nan, 0.0, 0.0)
    # Plain numbers: seeds are few, and a simulation asks a million times.
    below, explained, first = 0.0, -1.0, 0
    for number, x in enumerate(apart[:-1], start=1):
        below += x
        squares = below * below * count / (number * (count - number))  # between the groups; both means add up to 0
        if squares > explained:
            explained, first = squares, number
    left = max(whole - explained, 1e-12 * whole)
    gap = apart[first] - apart[first - 1]
    ratio, empty = whole / left / _ratio_needed(count), gap / math.sqrt(left / max(count - 2, 1))
    state: State = "one"
    if ratio >= 1 and empty >= _EMPTY:
        state = "two"
    elif count < FEWEST_SEEDS + 2 and empty >= _SUSPECT:
        state = "unknown"
    between_means = math.sqrt(explained * count / (first * (count - first)))
    return Kinds(state, mean + (apart[first] + apart[first - 1]) / 2, gap, ratio, between_means)


@lru_cache(maxsize=1024)
def _ratio_needed(count: int) -> float:
    return float(np.exp(np.interp(math.log(count), np.log(_COUNTS), np.log(_RATIOS))))


def clearest(by_arm: Mapping[str, np.ndarray]) -> Kinds:
    """The kinds of the arm that shows two most clearly; else an arm of which it is unknown; else one kind."""
    found = [kinds_of(values_N) for values_N in by_arm.values()]
    order = {"two": 2, "unknown": 1, "one": 0}
    return max(found, key=lambda kinds: (order[kinds.state], kinds.strength), default=Kinds("one", math.nan, 0.0, 0.0))


def share_interval(count: int, seeds: int, error: float = 0.05) -> tuple[float, float]:
    """The exact interval for a share of which `count` of `seeds` were seen (Clopper and Pearson, 1934).

    >>> low, high = share_interval(8, 8)
    >>> round(low, 3), high
    (0.631, 1.0)
    """
    low = float(betaincinv(count, seeds - count + 1, error / 2)) if count else 0.0
    high = float(betaincinv(count + 1, seeds - count, 1 - error / 2)) if count < seeds else 1.0
    return low, high


def unseen_share(seeds: int, error: float) -> float:
    """The largest share of a kind that stays unseen in all `seeds` with probability `error`: 1 - error ** (1 / seeds).

    >>> round(unseen_share(8, 0.05), 3)
    0.312
    """
    return 1 - error ** (1 / seeds)


def sign_probability(above: int, below: int) -> float:
    """How often luck alone agrees as much: the two-sided exact probability of so uneven a split of signs.

        2 P(B >= max(above, below)),   B binomial of above + below and 1/2, at most 1

    For pairs of which one run has got going and the other has not this is McNemar's exact test.

    >>> sign_probability(3, 0), sign_probability(0, 0)
    (0.25, 1.0)
    """
    total = above + below
    tail = sum(math.comb(total, i) for i in range(max(above, below), total + 1))
    return min(1.0, 2 * tail / 2**total)
