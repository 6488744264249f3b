"""What a number of seeds can resolve, and how many would resolve an effect."""

import math

import numpy as np
from scipy.special import nctdtr

from vslm.stats.kinds import FURTHEST_SDS, unseen_share
from vslm.stats.skewed import FEWEST, usual_multiplier

_MOST_SEEDS = 1024  # beyond this nobody waits: "not in reach"
_DRAWS = 1000


def power(effect: float, sd: float, seeds: int, error: float) -> float:
    """Probability that an interval over `seeds` paired differences excludes 0 on the side of the true effect.

    For normal differences, and the interval of `skewed_interval` with the skew that normal samples usually have.
    """
    if sd == 0:
        return 1.0 if effect else 0.0
    critical = usual_multiplier(seeds, error)
    return 1.0 - float(nctdtr(seeds - 1, abs(effect) / sd * math.sqrt(seeds), critical))


def resolvable_effect(sd: float, seeds: int, error: float, target_power: float = 0.8) -> float:
    """The smallest true difference that is told from 0 with probability `target_power`; infinite below 3 seeds."""
    if seeds < FEWEST:
        return math.inf
    if sd == 0:
        return 0.0
    low, high = 0.0, 10 * usual_multiplier(seeds, error) * sd
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, sd, seeds, error) >= target_power else (middle, high)
    return high


def seeds_to_resolve(effect: float, sd: float, error: float, target_power: float = 0.8) -> float:
    """Fewest seeds (at least 3) that resolve `effect`; infinite beyond 1,024."""
    seeds = FEWEST
    while seeds <= _MOST_SEEDS:
        if resolvable_effect(sd, seeds, error, target_power) <= abs(effect):
            return seeds
        seeds += max(1, seeds // 8)
    return math.inf


def seeds_until_decided(
    differences_N: np.ndarray, smallest_effect: float, error: float, generator: np.random.Generator
) -> tuple[float, float]:
    """Further seeds after which a study like this one is decided with probability 1/2, and with 9/10; infinite where
    that takes more than 1,024.

    The mean and SD of few differences are known badly, so both are drawn from what the differences allow (normal
    differences, the flat prior in mean and log SD):

        variance = (N - 1) sd^2 / chi2(N - 1),   mean ~ normal(sample mean, variance / N)

    and a study is drawn from each. It is decided where its interval leaves 0 on one side, or where it and what seeds
    may have missed (`unseen_share`) fit inside +-smallest_effect.

    Args:
        differences_N: two or more.
        smallest_effect: differences within plus or minus this are of no interest.
        error: of the next look at this arm.
        generator: where the draws come from, and nothing else.
    """
    values = np.asarray(differences_N, dtype=float)
    count = len(values)
    if count < 2:
        return math.inf, math.inf
    free = count - 1
    sd_D = values.std(ddof=1) * np.sqrt(free / generator.chisquare(free, _DRAWS))
    true_D = values.mean() + sd_D * generator.standard_normal(_DRAWS) / math.sqrt(count)
    mean_D, squares_D = np.full(_DRAWS, values.mean()), np.full(_DRAWS, float(((values - values.mean()) ** 2).sum()))
    total, half = count, math.inf
    while total < _MOST_SEEDS:
        more = 1 if total < 64 else total // 16
        # Mean and squares of `more` further seeds, joined to those of the ones before.
        their_D = true_D + sd_D * generator.standard_normal(_DRAWS) / math.sqrt(more)
        own_D = sd_D**2 * generator.chisquare(more - 1, _DRAWS) if more > 1 else 0.0
        apart_D = their_D - mean_D
        squares_D = squares_D + own_D + apart_D**2 * (total * more / (total + more))
        mean_D = mean_D + apart_D * (more / (total + more))
        total += more
        spread_D = np.sqrt(squares_D / (total - 1))
        end_D = usual_multiplier(total, error) * spread_D / math.sqrt(total)
        is_equivalent_D = np.abs(mean_D) + end_D + unseen_share(total, error) * FURTHEST_SDS * spread_D
        decided = float(((end_D < np.abs(mean_D)) | (is_equivalent_D <= smallest_effect)).mean())
        if decided >= 0.5:
            half = min(half, total - count)
        if decided >= 0.9:
            return half, total - count
    return half, math.inf
