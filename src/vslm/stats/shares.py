"""Shares of things that are right: how well they are known, and whether a guess would do as well."""

import math
from typing import Literal

import numpy as np
from scipy.special import ndtri

Standing = Literal["above chance", "at chance", "below chance"]


def wilson_interval(share: float, count: int, error: float) -> tuple[float, float]:
    """The interval of a share, by Wilson's score: not of length zero where all are right, or none.

        (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),     z = normal quantile of 1 - error / 2

    Paper: Probable inference, the law of succession, and statistical inference, Wilson, 1927.

    Args:
        share: of the things that are right; a tie may count half.
        count: of things, 1 or more.
        error: probability of missing.

    >>> [round(end, 3) for end in wilson_interval(0.5, 100, 0.05)]
    [0.404, 0.596]
    >>> [round(end, 3) for end in wilson_interval(1, 5, 0.05)]
    [0.566, 1.0]
    """
    z = float(ndtri(1 - error / 2))
    middle, room = share + z * z / (2 * count), 1 + z * z / count
    half = z * math.sqrt(max(0.0, share * (1 - share)) / count + z * z / (4 * count * count))
    return max(0.0, (middle - half) / room), min(1.0, (middle + half) / room)


def standing(share: float, count: int, chance: float, error: float) -> Standing:
    """Whether a share can be told from chance: "at chance" where its interval holds it.

    >>> standing(0.52, 100, 0.5, 0.05), standing(0.52, 10_000, 0.5, 0.05), standing(0.1, 100, 0.25, 0.05)
    ('at chance', 'above chance', 'below chance')
    """
    low, high = wilson_interval(share, count, error)
    return "above chance" if low > chance else "below chance" if high < chance else "at chance"


def standard_error(values_N: np.ndarray) -> float:
    """Of a mean: sd / sqrt(N); NaN for fewer than two values."""
    return float(np.std(values_N, ddof=1) / math.sqrt(len(values_N))) if len(values_N) > 1 else math.nan
