"""Loss that falls as a power of the tokens seen: the fit, and how sure its exponent is."""

from dataclasses import dataclass

import numpy as np

from vslm.stats.bootstrap import percentile_interval

_EXPONENTS = np.geomspace(0.01, 3.0, 60)  # searched; beyond 3 the curve has ended at the second token
_GOLDEN = (5**0.5 - 1) / 2
_SECTIONS = 30  # each leaves 0.62 of the bracket: 1e-6 of it in the end
FEWEST_BINS = 4  # one more than the law has numbers


@dataclass(frozen=True)
class PowerLaw:
    """`L(t) = floor_nats + scale_nats * t ** -exponent`.

    Args:
        floor_nats: what is left after infinitely many tokens, 0 or more.
        scale_nats: how much is above that at t = 1, 0 or more.
        exponent: how fast it falls. Not a number where the loss does not fall.
        low: of the exponent's interval; not a number without draws.
        high: likewise.
        is_resolved: whether the interval lies inside of what was searched, so that it says something.
    """

    floor_nats: float
    scale_nats: float
    exponent: float
    low: float
    high: float
    is_resolved: bool

    def at(self, t: np.ndarray) -> np.ndarray:
        """The law's loss after t tokens."""
        exponent = 0.0 if np.isnan(self.exponent) else self.exponent
        return self.floor_nats + self.scale_nats * np.asarray(t, dtype=float) ** -exponent


def fit_power_law(
    tokens_P: np.ndarray, loss_P: np.ndarray, draws_RP: np.ndarray | None = None, *, error: float = 0.05
) -> PowerLaw:
    """Fit `a + b t^-c` with a, b >= 0 by least squares over bins.

    For a fixed exponent the law is linear, so the exponent alone is searched, from 0.01 to 3, and the rest is exact: no
    start to choose. Bins that are even in ln t weigh every octave of context alike. The interval
    of c is the percentile interval of the fits to bootstrap draws.

    Paper: Scaling Laws for Neural Language Models, Kaplan et al., 2020, https://arxiv.org/abs/2001.08361, whose legends
    give 4.0 + 3.2 t^-0.47 for their smallest and 2.4 + 5.1 t^-0.61 for their largest model.

    Args:
        tokens_P: t, tokens seen, of each bin; above 0.
        loss_P: mean loss of each bin; bins that are NaN are left out.
        draws_RP: bootstrap draws of `loss_P`, as `bootstrap_means` gives them; None: no interval.
        error: probability of missing.

    Raises: ValueError for fewer than four bins that hold a number.

    >>> t = 2.0 ** np.arange(9)
    >>> law = fit_power_law(t, 3.0 + 2.0 * t**-0.5)
    >>> round(law.floor_nats, 6), round(law.scale_nats, 6), round(law.exponent, 6)
    (3.0, 2.0, 0.5)
    """
    keep_P = np.isfinite(loss_P)
    if keep_P.sum() < FEWEST_BINS:
        raise ValueError(f"{keep_P.sum()} bins for the three numbers of a power law")
    tokens_P = np.asarray(tokens_P, dtype=float)[keep_P]
    floor, scale, exponent = (float(x[0]) for x in _fits(tokens_P, np.asarray(loss_P, dtype=float)[keep_P][None]))
    exponent = exponent if scale > 0 else np.nan
    low = high = np.nan
    is_resolved = False
    if draws_RP is not None and scale > 0:
        _, scales_R, exponents_R = _fits(tokens_P, draws_RP[:, keep_P])
        # A draw that does not fall has an exponent of nought, or of anything: both ends say so.
        ends = percentile_interval(exponents_R[:, None], error)
        low, high = float(ends[0][0]), float(ends[1][0])
        falls = float((scales_R > 0).mean())
        is_resolved = falls > 1 - error / 2 and low > _EXPONENTS[1] and high < _EXPONENTS[-2]
    return PowerLaw(floor, scale, exponent, low, high, is_resolved)


def _fits(tokens_P: np.ndarray, loss_RP: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Floor, scale and exponent of each row: the best of the grid, then a golden section between its neighbors."""
    squares_CR = np.stack([_line(tokens_P[None] ** -exponent, loss_RP)[2] for exponent in _EXPONENTS])
    best_R = squares_CR.argmin(axis=0)
    low_R = _EXPONENTS[np.maximum(best_R - 1, 0)]
    high_R = _EXPONENTS[np.minimum(best_R + 1, len(_EXPONENTS) - 1)]
    for _ in range(_SECTIONS):
        width_R = _GOLDEN * (high_R - low_R)
        left_R, right_R = high_R - width_R, low_R + width_R
        is_left_R = _line(tokens_P ** -left_R[:, None], loss_RP)[2] < _line(tokens_P ** -right_R[:, None], loss_RP)[2]
        low_R, high_R = np.where(is_left_R, low_R, left_R), np.where(is_left_R, right_R, high_R)
    exponent_R = (low_R + high_R) / 2
    floor_R, scale_R, _ = _line(tokens_P ** -exponent_R[:, None], loss_RP)
    return floor_R, scale_R, exponent_R


def _line(x_RP: np.ndarray, loss_RP: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Floor and scale of the best `floor + scale x` with both 0 or more, and its sum of squares, for each row."""
    x_RP = np.broadcast_to(x_RP, loss_RP.shape)
    mean_x_R, mean_R = x_RP.mean(axis=1), loss_RP.mean(axis=1)
    apart_RP = x_RP - mean_x_R[:, None]
    scale_R = np.maximum((apart_RP * loss_RP).sum(axis=1) / (apart_RP**2).sum(axis=1), 0.0)
    floor_R = mean_R - scale_R * mean_x_R
    # Where the best line has a floor below 0, the best with a floor of 0 goes through the origin.
    through_R = np.maximum((x_RP * loss_RP).sum(axis=1) / (x_RP**2).sum(axis=1), 0.0)
    scale_R = np.where(floor_R < 0, through_R, scale_R)
    floor_R = np.maximum(floor_R, 0.0)
    squares_R = ((loss_RP - floor_R[:, None] - scale_R[:, None] * x_RP) ** 2).sum(axis=1)
    return floor_R, scale_R, squares_R
