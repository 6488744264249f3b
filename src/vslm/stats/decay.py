"""An exponential decay to a floor: how long something is remembered, and how surely that is known.

y(k) = A exp(-k / tau) + B        A >= 0, B >= 0, k = 0, 1, 2, ...
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc

FEWEST_POINTS = 4  # three numbers are fitted
NOT_FITTED = 1
"""Tokens of a continuation that the decay of a prompt's effect is not fitted to: the first follows the prompt's very
last token, which a bigram model would use as well, and its divergence is so large that it would be all that is fitted.
"""
SMALLEST_NATS = 1e-5
"""Below, a divergence is the rounding of the entropies that it is made of, and an amplitude likewise."""
_FASTEST, _SLOWEST = 0.1, 8.0  # tau that is searched: in steps of k, and as a multiple of the length of the curve
_LONGEST = 1.0  # tau that can be told, as a multiple of that length: of a longer one most lies beyond the curve
_GRID = 60
_ERROR = 0.05  # of the test that a curve falls
_MOST_LIKE_NEIGHBOR = 0.95  # correlation; nearer to 1 there would be no degree of freedom
_ROUNDS = 3  # each looks closer, between the neighbors of the best


@dataclass(frozen=True)
class Decay:
    """A fitted decay. Where none is resolved it is the curve's mean: `tau` is infinite, the amplitude 0.

    Resolved is a decay that
        is larger than rounding: A above `SMALLEST_NATS`;
        is no longer than the curve: tau at most as many steps as there are points;
        stands out of the scatter around it: F = (squares left by the mean - squares left by the fit) / 2 / (squares
            left by the fit / (T - 3)) is beyond what noise reaches in 5 % of curves. Neighbors that are alike are
            worth fewer points: with r the correlation of what is left, both F and T - 3 are (1 - r) / (1 + r) of that.

    Of flat curves with noise 0.5 to 5 % are taken for a decay where neighbors are independent (normal, exponential or
    t(3) noise, 4 to 127 points), and at most 7 % where they correlate by 0.8; without the test it was 34 to 64 %.

    Args:
        amplitude: A.
        tau: in steps of k: after tau steps 37% of the amplitude is left.
        floor: B.
    """

    amplitude: float
    tau: float
    floor: float

    @property
    def is_resolved(self) -> bool:
        """Whether the curve falls, as above."""
        return math.isfinite(self.tau)

    def at(self, k: np.ndarray) -> np.ndarray:
        """The fitted curve."""
        shape = np.exp(-k / self.tau) if np.isfinite(self.tau) else np.ones_like(k, dtype=float)
        return self.amplitude * shape + self.floor


def fit_decay(y_T: np.ndarray) -> Decay:
    """Least squares over k = 0 ... T - 1. Exact in A and B at every tau; tau by a search that cannot miss its valley.

    Raises: ValueError for fewer than `FEWEST_POINTS` points, or one that is not finite.
    """
    amplitude_N, tau_N, floor_N = fit_decays(np.asarray(y_T, dtype=float)[None])
    return Decay(float(amplitude_N[0]), float(tau_N[0]), float(floor_N[0]))


def fit_decays(y_NT: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`fit_decay` of N curves at once: amplitude_N, tau_N, floor_N."""
    if y_NT.shape[1] < FEWEST_POINTS or not np.isfinite(y_NT).all():
        raise ValueError(f"{FEWEST_POINTS} finite points or more are needed")
    slowest = _SLOWEST * y_NT.shape[1]
    low_N, high_N = np.full(len(y_NT), np.log(_FASTEST)), np.full(len(y_NT), np.log(slowest))
    for _ in range(_ROUNDS):
        log_tau_NG = np.linspace(low_N, high_N, _GRID, axis=1)
        best_N = _at_taus(y_NT, np.exp(log_tau_NG))[2].argmin(axis=1)
        rows_N = np.arange(len(y_NT))
        low_N, high_N = (
            log_tau_NG[rows_N, np.maximum(best_N - 1, 0)],
            log_tau_NG[rows_N, np.minimum(best_N + 1, _GRID - 1)],
        )
    tau_N = np.exp((low_N + high_N) / 2)
    amplitude_N, floor_N = (found_N1[:, 0] for found_N1 in _at_taus(y_NT, tau_N[:, None])[:2])
    is_large_N = (amplitude_N > SMALLEST_NATS) & (tau_N <= _LONGEST * y_NT.shape[1])
    falls_N = is_large_N & _stands_out(y_NT, amplitude_N, tau_N, floor_N)
    mean_N = y_NT.mean(axis=1).clip(0)
    return np.where(falls_N, amplitude_N, 0.0), np.where(falls_N, tau_N, np.inf), np.where(falls_N, floor_N, mean_N)


def _stands_out(y_NT: np.ndarray, amplitude_N: np.ndarray, tau_N: np.ndarray, floor_N: np.ndarray) -> np.ndarray:
    """Whether a fit explains more than noise would, see `Decay`."""
    num_points = y_NT.shape[1]
    left_NT = y_NT - amplitude_N[:, None] * np.exp(-np.arange(num_points) / tau_N[:, None]) - floor_N[:, None]
    squares_N = (left_NT**2).sum(axis=1)
    explained_N = ((y_NT - y_NT.mean(axis=1, keepdims=True)) ** 2).sum(axis=1) - squares_N
    squares_N = np.maximum(squares_N, np.finfo(float).tiny)  # a curve that is met exactly
    alike_N = ((left_NT[:, 1:] * left_NT[:, :-1]).sum(axis=1) / squares_N).clip(0, _MOST_LIKE_NEIGHBOR)
    worth_N = (1 - alike_N) / (1 + alike_N)
    free_N = np.maximum((num_points - 3) * worth_N, 1)
    f_N = explained_N / 2 / (squares_N / (num_points - 3)) * worth_N
    return fdtrc(2, free_N, np.maximum(f_N, 0)) < _ERROR


def _at_taus(y_NT: np.ndarray, tau_NG: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best A and B at given taus, none of them negative, and the sum of squares that is left."""
    num_points = y_NT.shape[1]
    shape_NGT = np.exp(-np.arange(num_points) / tau_NG[..., None])
    s_NG, ss_NG = shape_NGT.sum(axis=-1), (shape_NGT**2).sum(axis=-1)
    sy_NG = np.einsum("ngt,nt->ng", shape_NGT, y_NT)
    y_N1, yy_N1 = y_NT.sum(axis=1)[:, None], (y_NT**2).sum(axis=1)[:, None]
    determinant_NG = np.maximum(num_points * ss_NG - s_NG**2, 1e-12)
    amplitude_NG = (num_points * sy_NG - s_NG * y_N1) / determinant_NG
    floor_NG = (y_N1 - amplitude_NG * s_NG) / num_points
    amplitude_NG = np.where(floor_NG < 0, sy_NG / ss_NG, amplitude_NG)  # no floor: the line goes to zero
    floor_NG = np.maximum(floor_NG, 0.0)
    is_flat_NG = amplitude_NG < 0
    floor_NG = np.where(is_flat_NG, np.maximum(y_N1 / num_points, 0.0), floor_NG)
    amplitude_NG = np.where(is_flat_NG, 0.0, amplitude_NG)
    error_NG = (
        yy_N1
        + amplitude_NG**2 * ss_NG
        + num_points * floor_NG**2
        - 2 * amplitude_NG * sy_NG
        - 2 * floor_NG * y_N1
        + 2 * amplitude_NG * floor_NG * s_NG
    )
    return amplitude_NG, floor_NG, error_NG
