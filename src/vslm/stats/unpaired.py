"""An interval for the difference of two means whose values are not paired."""

import math

import numpy as np
from scipy.special import stdtrit

from vslm.stats.intervals import Interval


def welch_interval(a_N: np.ndarray, b_M: np.ndarray, error: float) -> Interval:
    """The two-sided interval for mean(b) - mean(a), with a variance for each side.

        (mean b - mean a) +- t(1 - error/2, df) * sqrt(va + vb),     va = var(a) / N,  vb = var(b) / M
        df = (va + vb)^2 / (va^2 / (N - 1) + vb^2 / (M - 1))

    Welch, *The generalization of Student's problem when several different population variances are involved*, 1947;
    df by Satterthwaite, 1946. Where the values of both sides rise and fall together, as with shared seeds, it is wider
    than it had to be. A side with one value has no variance: the interval is infinite. `sd` is the standard error, and
    `count` the fewer of N and M.

    >>> interval = welch_interval(np.array([1.0, 3.0]), np.array([5.0, 7.0]), 0.05)
    >>> round(interval.mean, 3), round(interval.low, 3), round(interval.high, 3)
    (4.0, -2.085, 10.085)
    """
    a, b = np.asarray(a_N, dtype=float), np.asarray(b_M, dtype=float)
    fewer = min(len(a), len(b))
    mean = float(b.mean() - a.mean()) if fewer else math.nan
    if fewer < 2:
        return Interval(-math.inf, math.inf, mean, math.nan, fewer, error)
    va, vb = float(a.var(ddof=1)) / len(a), float(b.var(ddof=1)) / len(b)
    if va + vb == 0:
        return Interval(mean, mean, mean, 0.0, fewer, error)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    half = float(stdtrit(freedom, 1 - error / 2)) * math.sqrt(va + vb)
    return Interval(mean - half, mean + half, mean, math.sqrt(va + vb), fewer, error)
