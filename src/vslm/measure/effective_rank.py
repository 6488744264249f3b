"""In how many directions the residual stream varies, after each visit."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vslm.data.corpus import Corpus
from vslm.measure.measure import Evaluator, OnWindows, in_batches, windows_at_a_time
from vslm.measure.watch import watch
from vslm.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class EffectiveRank(OnWindows):
    """The effective rank of the stream's covariance over tokens, by visit.

        rank_l = exp(-sum_i p_i ln p_i),   p_i = lambda_i / sum_j lambda_j,   lambda_i the eigenvalues of cov(x_l)

    1 where the stream varies along one direction, the width where it varies equally along all. At most the number of
    tokens, so that should be several times the width. NaN where the stream is the same at every position, as a learned
    root's is before the first visit.

    Paper: The effective rank: a measure of effective dimensionality, Roy and Vetterli, 2007,
    https://infoscience.epfl.ch/record/110188/files/RoyV07.pdf, which takes the singular values of a matrix. Ours is the
    covariance, so these are its eigenvalues, the squares of those of the centered stream; a rank of the stream itself
    would be larger.
    Cost: one forward pass, and D ** 3 per visit.

    Args: see `OnWindows`.
    Arrays, L = 1 + number of visits, the root's stream first: `rank_L`, and `width_L`, the most that it can be.
    """

    recorded_as: ClassVar[str] = "effective_rank"

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        return EffectiveRankEvaluator(self.windows(corpus, context_tokens))


class EffectiveRankEvaluator(Evaluator):
    """See `EffectiveRank`."""

    def __init__(self, windows_NT1: np.ndarray) -> None:
        self.windows_NT1 = windows_NT1

    def take(self, model: LanguageModel) -> dict[str, np.ndarray]:
        """Over the positions of all windows."""
        batch_windows = windows_at_a_time(self.windows_NT1.shape[1] - 1)
        moments: dict[str, _Moments] = {}
        with watch(model, "root", "path.*") as seen:
            for tokens_BT, _ in in_batches(self.windows_NT1, model, batch_windows):
                model(tokens_BT)
                for name, x_BTD in seen.items():
                    moments.setdefault(name, _Moments(x_BTD[0, 0])).add(x_BTD)
        ranks = [effective_rank(found.covariance()) for found in moments.values()]
        widths = [len(found.origin_D) for found in moments.values()]
        return {"rank_L": np.array(ranks), "width_L": np.array(widths)}


class _Moments:
    """Sums for a covariance, counted from a point of the stream: one that does not vary is exactly zero."""

    def __init__(self, origin_D: Tensor) -> None:
        self.origin_D = origin_D.double()
        self.count = 0
        self.sum_D = torch.zeros_like(self.origin_D)
        self.products_DD = torch.zeros_like(self.origin_D).outer(self.origin_D)

    def add(self, x_BTD: Tensor) -> None:
        """Take more of the stream in."""
        x_ND = x_BTD.flatten(0, 1).double() - self.origin_D
        self.count += len(x_ND)
        self.sum_D += x_ND.sum(dim=0)
        self.products_DD += x_ND.T @ x_ND

    def covariance(self) -> np.ndarray:
        """[D, D], of the population."""
        mean_D = self.sum_D / self.count
        return (self.products_DD / self.count - mean_D.outer(mean_D)).cpu().numpy()


def effective_rank(covariance_DD: np.ndarray) -> float:
    """`exp` of the entropy of the eigenvalues as shares of their sum; NaN where they are all zero.

    >>> round(effective_rank(np.diag([2.0, 2.0, 0.0])), 9)
    2.0
    """
    values_D = np.linalg.eigvalsh(covariance_DD).clip(min=0)
    if not values_D.sum() > 0:
        return float("nan")
    shares = values_D / values_D.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
