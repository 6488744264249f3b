"""Are probabilities what they say? Of all tokens that were given 1 in 100, does 1 in 100 come?"""

import numpy as np

# Two bins to a doubling, split at 3/2: they are the exponent and the first binary digit of the number itself.
_BITS = 22  # of a float32 below those
NUM_BINS = 48  # the highest ends at 1, the lowest holds everything up to 2^-23.4
_TOP = int(np.float32(1.0).view(np.int32)) >> _BITS


class Calibration:
    """The reliability curve of a model over all pairs of a position and a token of the vocabulary.

        count_P  pairs whose probability falls into bin P
        p_P      their mean probability
        hits_P   how many of them came: the token was the next one
        calibration_error = sum over bins of |hits_P - count_P * p_P| / number of positions

    Calibrated means hits_P / count_P = p_P up to sampling: hits of a calibrated model have a variance below
    count_P * p_P. Every pair counts and not the likeliest token alone, because a language model is asked for all.

    Reference: On Calibration of Modern Neural Networks, Guo et al., 2017, https://arxiv.org/abs/1706.04599, for the
    curve. We differ: bins are log-spaced (two to a doubling), since most probabilities are small.
    Cost: three passes over the probabilities.
    """

    def __init__(self) -> None:
        self.count_P, self.sum_P, self.hits_P = np.zeros((3, NUM_BINS))

    def add(self, p_NV: np.ndarray, targets_N: np.ndarray) -> None:
        """Count N more positions. Probabilities are fp32."""
        bins_NV = bins_of(p_NV)
        self.count_P += np.bincount(bins_NV.ravel(), minlength=NUM_BINS)
        self.sum_P += np.bincount(bins_NV.ravel(), weights=p_NV.ravel(), minlength=NUM_BINS)
        self.hits_P += np.bincount(bins_NV[np.arange(len(targets_N)), targets_N], minlength=NUM_BINS)

    def numbers(self, num_positions: int) -> dict[str, np.ndarray | float]:
        """What is recorded. A bin without a pair has no mean probability: NaN."""
        with np.errstate(invalid="ignore"):
            mean_P = self.sum_P / self.count_P
        return {
            "calibration_count_P": self.count_P,
            "calibration_hits_P": self.hits_P,
            "calibration_p_P": mean_P,
            "calibration_error": float(np.abs(self.hits_P - self.sum_P).sum() / num_positions),
        }


def bins_of(p: np.ndarray) -> np.ndarray:
    """The bin of each probability, from 0 (the lowest) to `NUM_BINS` - 1.

    >>> bins_of(np.array([0.0, 0.5, 0.74, 0.75, 1.0], dtype=np.float32)).tolist()
    [0, 46, 46, 47, 47]
    """
    bits = np.ascontiguousarray(p, dtype=np.float32).view(np.int32) >> _BITS
    return np.clip(bits - (_TOP - NUM_BINS), 0, NUM_BINS - 1)
