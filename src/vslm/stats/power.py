"""What a number of seeds can resolve, and how many would resolve an effect."""

import math

import numpy as np
from scipy.special import nctdtr, stdtrit

_MOST_SEEDS = 1024  # beyond this nobody waits: "not in reach"


def power(effect: float, sd: float, seeds: int, error: float) -> float:
    """Probability that a t interval over `seeds` paired differences excludes 0 on the side of the true effect."""
    if sd == 0:
        return 1.0 if effect else 0.0
    critical = float(stdtrit(seeds - 1, 1 - error / 2))
    return 1.0 - float(nctdtr(seeds - 1, abs(effect) / sd * math.sqrt(seeds), critical))


def resolvable_effect(sd: float, seeds: int, error: float, target_power: float = 0.8) -> float:
    """The smallest true difference that is told from 0 with probability `target_power`; infinite for one seed."""
    if seeds < 2:
        return math.inf
    if sd == 0:
        return 0.0
    critical = float(stdtrit(seeds - 1, 1 - error / 2))
    low, high = 0.0, 10 * critical * sd
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, sd, seeds, error) >= target_power else (middle, high)
    return high


def seeds_to_resolve(effect: float, sd: float, error: float, target_power: float = 0.8) -> float:
    """Fewest seeds (at least 3) that resolve `effect`; infinite beyond 1,024."""
    seeds = 3
    while seeds <= _MOST_SEEDS:
        if resolvable_effect(sd, seeds, error, target_power) <= abs(effect):
            return seeds
        seeds += max(1, seeds // 8)
    return math.inf


def minutes_to_resolve(
    differences_N: np.ndarray, smallest_effect: float, error: float, minutes_per_seed: float
) -> float:
    """Minutes of further seeds until the interval probably decides, if mean and SD stay as they are.

    Either the interval leaves 0 on one side, or it fits inside +-smallest_effect, whichever comes first.
    """
    values = np.asarray(differences_N, dtype=float)
    if len(values) < 2:
        return math.inf
    mean, sd = abs(float(values.mean())), float(values.std(ddof=1))
    seeds = len(values) + 1
    while seeds <= _MOST_SEEDS:
        half = float(stdtrit(seeds - 1, 1 - error / 2)) * sd / math.sqrt(seeds)
        if half < mean or mean + half <= smallest_effect:
            return (seeds - len(values)) * minutes_per_seed
        seeds += 1 if seeds < 64 else seeds // 16
    return math.inf
