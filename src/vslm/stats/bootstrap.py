"""Bootstrap over documents: what an average would have been with other documents of the same kind."""

import numpy as np

_DRAWS_AT_A_TIME = 256  # draws times documents are held at once


def bootstrap_means(
    values_NP: np.ndarray, counts_NP: np.ndarray, *, num_draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Means over targets of documents that were drawn with replacement, as many as there are.

        mean_rp = sum_n w_rn c_np v_np / sum_n w_rn c_np,     w_rn: how often draw r holds document n

    Documents are drawn whole, because tokens of one document resemble each other: their losses are no independent
    draws, and an interval that took them as such would be too narrow.

    Paper: An Introduction to the Bootstrap, Efron and Tibshirani, 1993.

    Args:
        values_NP: mean of each of N documents in each of P bins; where there is no target, anything.
        counts_NP: targets behind each mean, 0 where there is none.
        num_draws: R.
        generator: where the draws come from, and nothing else.
    Shapes: [R, P] out; NaN where a draw holds no target.

    >>> draws = bootstrap_means(
    ...     np.array([[1.0], [3.0]]), np.ones((2, 1)), num_draws=100, generator=np.random.default_rng(0)
    ... )
    >>> sorted(set(draws.ravel().tolist()))
    [1.0, 2.0, 3.0]
    """
    num_documents = len(values_NP)
    sums_NP = np.where(counts_NP > 0, values_NP * counts_NP, 0.0)
    means = []
    for start in range(0, num_draws, _DRAWS_AT_A_TIME):
        some = min(_DRAWS_AT_A_TIME, num_draws - start)
        times_RN = generator.multinomial(num_documents, np.full(num_documents, 1 / num_documents), size=some)
        with np.errstate(invalid="ignore", divide="ignore"):  # no target in a bin: NaN is the answer
            means.append((times_RN @ sums_NP) / (times_RN @ counts_NP))
    return np.concatenate(means)


def by_document(values_NP: np.ndarray, document_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of windows by the document that they are of, and how many windows each has, for `bootstrap_means`.

    Shapes: values_DP and counts_DP out, documents in the order of their numbers.

    >>> values, counts = by_document(np.array([[1.0], [2.0], [4.0]]), np.array([8, 5, 8]))
    >>> values.tolist(), counts.tolist()
    ([[2.0], [2.5]], [[1], [2]])
    """
    _, place_N, count_D = np.unique(document_N, return_inverse=True, return_counts=True)
    sums_DP = np.zeros((len(count_D), values_NP.shape[1]))
    np.add.at(sums_DP, place_N, values_NP)
    return sums_DP / count_D[:, None], np.repeat(count_D[:, None], values_NP.shape[1], axis=1)


def pooled_means(values_NP: np.ndarray, counts_NP: np.ndarray) -> np.ndarray:
    """Mean over all targets of all documents, by bin; NaN where there is none.

    >>> pooled_means(np.array([[1.0, np.nan], [4.0, 5.0]]), np.array([[2, 0], [1, 3]])).tolist()
    [2.0, 5.0]
    """
    sums_NP = np.where(counts_NP > 0, values_NP * counts_NP, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):  # no target in a bin: NaN is the answer
        return sums_NP.sum(axis=0) / np.sum(counts_NP, axis=0)


def percentile_interval(draws_RP: np.ndarray, error: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends that hold all but `error` of the draws, evenly on both sides; NaN where any draw is.

    >>> low, high = percentile_interval(np.arange(101.0)[:, None], 0.1)
    >>> low.tolist(), high.tolist()
    ([5.0], [95.0])
    """
    low, high = np.quantile(draws_RP, [error / 2, 1 - error / 2], axis=0)
    return low, high
