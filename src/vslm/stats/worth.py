"""How many blocks one recurrence is worth: the exponent of a scaling law, with an interval and without a promise."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtri

_PHI = np.linspace(-0.5, 1.5, 401)
_POWERS = np.geomspace(0.02, 3.0, 240)


@dataclass(frozen=True)
class Worth:
    """What the fit found.

    Args:
        phi: the exponent that fits best.
        low: smallest exponent that the data do not exclude.
        high: the largest one.
        is_resolved: whether the interval tells the exponent from 0 (a loop is worth nothing) or from 1 (a block), with
            both ends inside of what was searched and a loss that falls with size.
        residual_sd_nats: what the law leaves unexplained, per loss.
    """

    phi: float
    low: float
    high: float
    is_resolved: bool
    residual_sd_nats: float


def fit_worth(
    loss_nats_AS: np.ndarray, once_A: np.ndarray, repeated_A: np.ndarray, loops_A: np.ndarray, *, error: float = 0.05
) -> Worth:
    """Fit the worth exponent of recurrence at a fixed number of training tokens.

        L_as = E_s + A (N_once,a + r_a ** phi N_repeated,a) ** -power

    phi = 1: a loop is worth a block of its own; phi = 0: it is worth nothing. For fixed phi and power the law is linear
    in A and in one E per seed, so both are searched on a grid and the rest is least squares: no start to choose. The
    interval holds every phi whose best sum of squares is below (1 + F / freedom) times the least, F being the quantile
    of the F distribution with 1 and `freedom` degrees.

    Paper: How Much Is One Recurrence Worth?, Schwethelm et al., 2026, https://arxiv.org/abs/2604.21106, where phi is
    0.46. We differ: tokens are fixed, so their term is a part of E; E is one per seed, since arms share a seed's data.

    Args:
        loss_nats_AS: final loss of each arm and seed.
        once_A: parameters passed once.
        repeated_A: parameters passed r times.
        loops_A: r.
        error: probability of missing phi, if the law holds and the rest is normal noise.

    Raises: ValueError for shapes that do not fit, or fewer losses than the law has numbers.
    """
    loss_AS = np.asarray(loss_nats_AS, dtype=float)
    arms, seeds = loss_AS.shape
    if not arms == len(once_A) == len(repeated_A) == len(loops_A):
        raise ValueError("one size and one number of loops are needed for every arm")
    freedom = arms * seeds - (seeds + 3)  # E per seed, A, power, phi
    if freedom < 1:
        raise ValueError(f"{arms * seeds} losses for {seeds + 3} numbers of the law")
    unit = float(np.mean(np.asarray(once_A) + np.asarray(repeated_A)))
    size_PA = (np.asarray(once_A) + np.asarray(loops_A, dtype=float) ** _PHI[:, None] * np.asarray(repeated_A)) / unit
    x_PQA = size_PA[:, None, :] ** -_POWERS[:, None]
    x_PQA = x_PQA - x_PQA.mean(axis=-1, keepdims=True)  # a constant per seed takes out the mean over arms
    y_A = loss_AS.mean(axis=1) - loss_AS.mean()
    within = float(((loss_AS - loss_AS.mean(axis=0) - y_A[:, None]) ** 2).sum())  # scatter no law of arms explains
    slope_PQ = (x_PQA @ y_A) / np.maximum((x_PQA**2).sum(axis=-1), 1e-300)
    slope_PQ = np.maximum(slope_PQ, 0.0)  # a larger model is not worse
    squares_PQ = within + seeds * ((y_A - slope_PQ[..., None] * x_PQA) ** 2).sum(axis=-1)
    best_P = squares_PQ.min(axis=1)
    least = float(best_P.min())
    at = int(best_P.argmin())
    limit = least * (1 + float(fdtri(1, freedom, 1 - error)) / freedom)
    inside = np.flatnonzero(best_P <= max(limit, least * (1 + 1e-12)))
    # One step of the search wider on both sides: the true end lies between two steps.
    first, last = max(0, int(inside[0]) - 1), min(len(_PHI) - 1, int(inside[-1]) + 1)
    low, high = float(_PHI[first]), float(_PHI[last])
    falls = float(slope_PQ[at].max()) > 0
    is_resolved = falls and first > 0 and last < len(_PHI) - 1 and not (low <= 0 and high >= 1)
    return Worth(float(_PHI[at]), low, high, is_resolved, math.sqrt(least / freedom))
