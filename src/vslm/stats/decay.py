"""An exponential decay to a floor: how long something is remembered, and how surely that is known.

y(k) = A exp(-k / tau) + B        A >= 0, B >= 0, k = 0, 1, 2, ...
"""

from dataclasses import dataclass

import numpy as np

FEWEST_POINTS = 4  # three numbers are fitted
NOT_FITTED = 1
"""Tokens of a continuation that the decay of a prompt's effect is not fitted to: the first follows the prompt's very
last token, which a bigram model would use as well, and its divergence is so large that it would be all that is fitted.
"""
_FASTEST, _SLOWEST = 0.1, 8.0  # tau: in steps of k, and as a multiple of the length of the curve
_GRID = 60
_NOTHING = 1e-9  # of the largest number: what rounding leaves
_ROUNDS = 3  # each looks closer, between the neighbors of the best


@dataclass(frozen=True)
class Decay:
    """A fitted decay. Where the curve does not fall, or too slowly to tell within its length, it is its mean: `tau` is
    infinite, the amplitude 0.

    Args:
        amplitude: A.
        tau: in steps of k: after tau steps 37% of the amplitude is left.
        floor: B.
    """

    amplitude: float
    tau: float
    floor: float

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
    falls_N = (amplitude_N > _NOTHING * np.abs(y_NT).max(axis=1)) & (tau_N < 0.999 * slowest)
    mean_N = y_NT.mean(axis=1).clip(0)
    return np.where(falls_N, amplitude_N, 0.0), np.where(falls_N, tau_N, np.inf), np.where(falls_N, floor_N, mean_N)


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


def resampled_means(values_QT: np.ndarray, members_Q2: np.ndarray, rng: np.random.Generator, draws: int) -> np.ndarray:
    """Means over pairs in bootstrap samples of what the pairs are made of, [draws, T].

    Pairs that share a member are not independent, so members are drawn with replacement and a pair counts as often as
    both its members came up: m_i * m_j times, a pair of one member with itself m_i times.

    Args:
        values_QT: of each pair.
        members_Q2: the two members of each pair, numbered from 0; twice the same for what belongs to one member.
        rng: where every draw comes from.
        draws: how many samples. One in which no pair comes up is drawn again.
    """
    num_members = int(members_Q2.max()) + 1
    first_Q, second_Q = members_Q2.T
    means = []
    while len(means) < draws:
        times_I = np.bincount(rng.integers(num_members, size=num_members), minlength=num_members)
        weight_Q = np.where(first_Q == second_Q, times_I[first_Q], times_I[first_Q] * times_I[second_Q])
        if weight_Q.any():
            means.append(weight_Q @ values_QT / weight_Q.sum())
    return np.array(means)
