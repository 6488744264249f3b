"""Student-t intervals for a mean over seeds."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit


@dataclass(frozen=True)
class Interval:
    """A mean with its interval: `low` and `high` hold the truth with probability 1 - error."""

    low: float
    high: float
    mean: float
    sd: float
    count: int
    error: float


def student_interval(differences_N: np.ndarray, error: float) -> Interval:
    """The two-sided interval mean +- t(1 - error/2, N - 1) * sd / sqrt(N).

    One value has no interval: it comes back with infinite ends and an SD that is not a number.

    Args:
        differences_N: one number per seed.
        error: probability of missing, 0.05 for 95%.
    """
    values = np.asarray(differences_N, dtype=float)
    count = len(values)
    mean = float(values.mean()) if count else math.nan
    if count < 2:
        return Interval(-math.inf, math.inf, mean, math.nan, count, error)
    if np.all(values == values[0]):
        return Interval(float(values[0]), float(values[0]), float(values[0]), 0.0, count, error)
    sd = float(values.std(ddof=1))
    half = float(stdtrit(count - 1, 1 - error / 2)) * sd / math.sqrt(count)
    return Interval(mean - half, mean + half, mean, sd, count, error)


def per_arm_error(error: float, num_arms: int) -> float:
    """The error of each arm's interval so that all hold together with probability 1 - error.

        error / num_arms        (Bonferroni)

    It holds whatever the arms share; arms of one study share the baseline's noise, so they are not independent.
    """
    return error / max(num_arms, 1)


def confidence_band(values_NS: np.ndarray, error: float) -> tuple[np.ndarray, np.ndarray]:
    """Pointwise Student-t ends over N seeds, for each of S columns; not simultaneous over the columns."""
    values = np.asarray(values_NS, dtype=float)
    count = len(values)
    mean_S = values.mean(axis=0)
    if count < 2:
        return np.full_like(mean_S, np.nan), np.full_like(mean_S, np.nan)
    half_S = float(stdtrit(count - 1, 1 - error / 2)) * values.std(axis=0, ddof=1) / math.sqrt(count)
    return mean_S - half_S, mean_S + half_S
