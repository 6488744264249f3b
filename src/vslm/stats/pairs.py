"""Means over pairs of things, and how well they are known: pairs that share a member are not independent."""

import numpy as np
from scipy.special import stdtrit


def leave_one_out(values_QT: np.ndarray, members_Q2: np.ndarray) -> np.ndarray:
    """The mean over pairs without each member in turn, [I, T]: over the pairs that it is not in.

    Args:
        values_QT: of each pair.
        members_Q2: the two members of each pair, numbered from 0; twice the same for what belongs to one member.
    Raises: ValueError where without some member no pair is left.

    >>> leave_one_out(np.array([[1.0], [2.0], [4.0]]), np.array([[0, 1], [0, 2], [1, 2]])).tolist()
    [[4.0], [2.0], [1.0]]
    """
    is_in_IQ = (members_Q2[None] == np.arange(members_Q2.max() + 1)[:, None, None]).any(axis=-1)
    if is_in_IQ.all(axis=1).any():
        raise ValueError("a member is in every pair, so nothing is left without it")
    return np.stack([values_QT[~is_in_Q].mean(axis=0) for is_in_Q in is_in_IQ])


def degrees_of_freedom(members_Q2: np.ndarray) -> int:
    """Of a mean over pairs: one less than how many pairs can be made that share no member.

    >>> pairs = np.array([[i, j] for i in range(7) for j in range(i)])
    >>> degrees_of_freedom(pairs), degrees_of_freedom(np.array([[i, i] for i in range(7)]))
    (2, 6)
    """
    num_members = int(members_Q2.max()) + 1
    is_single = bool((members_Q2[:, 0] == members_Q2[:, 1]).all())
    return (num_members if is_single else num_members // 2) - 1


def jackknife_interval(
    mean_T: np.ndarray, without_IT: np.ndarray, *, degrees: int, error: float
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of an interval for numbers that are not negative, from what they are without each member.

        ln mean +- t(1 - error/2, degrees) * sqrt((I - 1) / I * sum_i (ln without_i - mean of ln without)^2)

    In logarithms, because what is squared or a divergence scatters by factors. With the degrees of freedom of
    `degrees_of_freedom`, which are fewer than I - 1 for pairs: a mean over pairs of few members leans on the two that
    lie farthest apart, and its scatter is then known worse than that of a mean over members.

    How often 95 % intervals of pairs hold the truth, measured at 6, 8, 12 and 32 members (20,000 draws): for (z_i -
    z_j)^2 with normal z 99, 98, 96, 95 %; with log-normal z of sigma 0.5 (skewness 1.8) 97, 93, 89, 88 %; with
    exponential z (skewness 2) 94, 89, 86, 88 %; for Jensen-Shannon divergences of random distributions 95 % or more. Of
    one number per member: exponential ones 93 to 95 %. A percentile bootstrap held 78, 63 and 61 % for pairs of 6.
    Where few members lie far from all others it holds too seldom: nothing in the sample says how far others would lie.

    Paper: Jackknifing variances, Miller, 1968, whose logarithm it is; Jackknifing U-statistics, Arvesen, 1969,
    for pairs. We differ in the degrees of freedom.

    Args:
        mean_T: of everything.
        without_IT: without each member, as `leave_one_out` gives them.
        degrees: of freedom.
        error: probability of missing.
    Shapes: low_T and high_T out. A number that is 0 with and without everybody has the interval from 0 to 0; one that
        is 0 without a member has the interval from 0 to infinity.
    """
    count = len(without_IT)
    has_none_T = (without_IT <= 0).any(axis=0)
    log_IT = np.log(np.where(without_IT > 0, without_IT, 1.0))
    spread_T = np.sqrt((count - 1) / count * ((log_IT - log_IT.mean(axis=0)) ** 2).sum(axis=0))
    factor_T = np.exp(float(stdtrit(degrees, 1 - error / 2)) * spread_T)
    is_nothing_T = (without_IT <= 0).all(axis=0)
    low_T = np.where(has_none_T, 0.0, mean_T / factor_T)
    return low_T, np.where(is_nothing_T, mean_T, np.where(has_none_T, np.inf, mean_T * factor_T))
