"""How wide the valley of good learning rates is: what an optimizer saves of a search.

Pure numpy; a generator is passed in. Not for: the rate that an arm is judged at, see `vslm.stats.tuned_rates`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_DRAWS = 999
_ERROR = 0.1  # of the band, on both sides together
_NOISIEST = 0.5  # of the margin, for the standard error of a mean: beyond it a band misses the truth too often


@dataclass(frozen=True)
class Basin:
    """The stretch of learning rates around the best that end nearly as well.

    Args:
        best: the lowest mean loss of the rates that were tried.
        low, high: its ends.
        decades: log10(high / low).
        band: of `decades`, 90%, from how far runs at one rate are apart; None where no rate has two runs, or where
            `is_noisy`.
        is_noisy: whether means are too uncertain for the margin: a rate may be outside by chance, so that the basin
            comes out too narrow, and no band would say so.
        open_low, open_high: whether the loss is still within the margin at the last rate on that side, so that the
            basin is at least as wide.
    """

    best: float
    low: float
    high: float
    decades: float
    band: tuple[float, float] | None
    is_noisy: bool
    open_low: bool
    open_high: bool


def basin_of(
    rates: Sequence[float],
    values: Sequence[Sequence[float | None]],
    *,
    within: float,
    rng: np.random.Generator,
) -> Basin | None:
    """Where the loss is at most `within` above the best, between rates by lines in log(rate).

    A rate at which a run diverged is outside, and the basin ends at its neighbor: nothing is known between them. The
    band draws every mean anew, with the spread of single runs pooled over rates, which is itself drawn, and joins the
    quantiles of the drawn widths with those mirrored at the width found: noise lowers the best of several means, so
    drawn basins are narrower than the one that they were drawn from, and quantiles alone missed flat valleys. Simulated
    for parabolas at 6 rates, 3 runs at the best ones and 1 elsewhere, it holds the true width in 85% to 98% of cases
    where the SD of a run is up to half the margin. Where means are less certain there is no band, and at an SD of three
    quarters of the margin the one case in eight that still has one holds it in 62% to 85%. It does not know
    what lies between the rates of a coarse grid.

    Args:
        rates: rising.
        values: final losses at each, by seed, lower being better; None for a run that diverged.
        within: of the best loss.
        rng: draws the band.
    Returns: None where no rate ended well.
    """
    means = np.array([_mean(found) for found in values])
    if not np.isfinite(means).any():
        return None
    places = np.log10(np.asarray(rates, dtype=float))
    low, high, open_low, open_high = _ends(places, means, within)
    noise = _noise(means, values)
    is_noisy = noise is not None and bool(noise.errors.max() > _NOISIEST * within)
    band = None if noise is None or is_noisy else _band(places, means, noise, within, rng)
    return Basin(
        best=float(means.min()),
        low=float(10**low),
        high=float(10**high),
        decades=float(high - low),
        band=band,
        is_noisy=is_noisy,
        open_low=open_low,
        open_high=open_high,
    )


def spread_of_runs(values: Sequence[Sequence[float | None]]) -> float | None:
    """SD of a run at one rate, pooled over the rates at which all ended well; None where none of them has two runs."""
    known = [np.array(found, dtype=float) for found in values if math.isfinite(_mean(found))]
    degrees = _degrees(values)
    if not degrees:
        return None
    return math.sqrt(sum(float(((found - found.mean()) ** 2).sum()) for found in known) / degrees)


@dataclass(frozen=True)
class _Noise:
    """Standard errors of the means of finite rates (0 of others), and the degrees of freedom behind them."""

    errors: np.ndarray
    degrees: int


def _noise(means: np.ndarray, values: Sequence[Sequence[float | None]]) -> _Noise | None:
    if (sd := spread_of_runs(values)) is None:
        return None
    counts = np.array([max(len(found), 1) for found in values])
    return _Noise(np.where(np.isfinite(means), sd / np.sqrt(counts), 0.0), _degrees(values))


def _degrees(values: Sequence[Sequence[float | None]]) -> int:
    return sum(len(found) - 1 for found in values if math.isfinite(_mean(found)))


def _band(
    places: np.ndarray, means: np.ndarray, noise: _Noise, within: float, rng: np.random.Generator
) -> tuple[float, float]:
    low, high, _, _ = _ends(places, means, within)
    found, whole = high - low, float(places[-1] - places[0])
    spreads = np.sqrt(noise.degrees / rng.chisquare(noise.degrees, (_DRAWS, 1)))
    drawn = means + rng.standard_normal((_DRAWS, len(means))) * noise.errors * spreads
    widths = [high - low for low, high, _, _ in (_ends(places, row, within) for row in drawn)]
    few, many = (float(one) for one in np.quantile(widths, [_ERROR / 2, 1 - _ERROR / 2]))
    return max(min(few, 2 * found - many), 0.0), min(max(many, 2 * found - few), whole)


def _ends(places: np.ndarray, means: np.ndarray, within: float) -> tuple[float, float, bool, bool]:
    """Both ends on the axis of `places`, and whether each is that of the grid."""
    best = int(np.argmin(means))
    limit = means[best] + within
    low, open_low = _end(places[best::-1], means[best::-1], limit)
    high, open_high = _end(places[best:], means[best:], limit)
    return low, high, open_low, open_high


def _end(places: np.ndarray, means: np.ndarray, limit: float) -> tuple[float, bool]:
    """Where the loss passes the limit, going outwards from the best."""
    for i in range(1, len(means)):
        if means[i] > limit:
            if not math.isfinite(means[i]):
                return float(places[i - 1]), False
            share = (limit - means[i - 1]) / (means[i] - means[i - 1])
            return float(places[i - 1] + share * (places[i] - places[i - 1])), False
    return float(places[-1]), True


def _mean(found: Sequence[float | None]) -> float:
    """Infinite where a run diverged, or none was made."""
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else math.inf
