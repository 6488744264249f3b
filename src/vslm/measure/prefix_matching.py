"""Which heads look at what came after the current token last time: induction, seen from inside."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vslm.core.bounds import Tokens
from vslm.data.corpus import Corpus
from vslm.measure.attention_weights import by_visit_and_head, place_of, weights_patterns, windows_of_weights
from vslm.measure.measure import Evaluator, in_batches
from vslm.measure.repeated_blocks import OnRepeatedBlocks
from vslm.measure.sections import PREFIX_MATCHING
from vslm.measure.watch import watch
from vslm.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class PrefixMatching(OnRepeatedBlocks):
    """The share of a head's attention that goes to the token after the earlier occurrence, in a block given twice.

        score = mean over i = N ... 2 * N - 2 of |w_{i, i-N+1}| / sum_s |w_is|

    Position i holds what position i - N held, so i - N + 1 holds what comes next. Shares of each query's own sum, as in
    `AttentionDistance`, because not every normalizer's rows sum to one; a row that sums to zero is left out, and a head
    without any other is NaN. A head whose window ends before that token (`window_tokens` below N) cannot see it and
    scores exactly 0. A head that looks evenly at everything scores about ln 2 / N. A token that a block happens to hold
    twice has two places to look at, of which one counts.

    Paper: In-context Learning and Induction Heads, Olsson et al., 2022, https://arxiv.org/abs/2209.11895.
    Cost: the oracle's weights beside the model's own kernel; B * H * T * T numbers, one visit at a time.

    Args: see `OnRepeatedBlocks`.
    Arrays, L visits (an element without attention is NaN), H the most heads of any visit (others are NaN beyond their
        own): `score_LH`.
    Raises: SpecError, when built, for a model without attention in its path.
    """

    recorded_as: ClassVar[str] = "prefix_matching"
    looks_at_weights: ClassVar[bool] = True
    shown, arrays, numbers = PREFIX_MATCHING.shown, PREFIX_MATCHING.arrays, PREFIX_MATCHING.numbers
    num_tokens: Tokens = 2048

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        weights_patterns(model, type(self).__name__)
        return PrefixMatchingEvaluator(self.windows(corpus, context_tokens))


class PrefixMatchingEvaluator(Evaluator):
    """See `PrefixMatching`.

    Args:
        windows_NT1: sequences of a block and the same block again.
    """

    def __init__(self, windows_NT1: np.ndarray) -> None:
        self.windows_NT1 = windows_NT1

    def take(self, model: LanguageModel) -> dict[str, np.ndarray]:
        """Means over the queries of all second blocks."""
        block_tokens = self.windows_NT1.shape[1] // 2
        sums_2H: dict[int, np.ndarray] = {}
        patterns = weights_patterns(model, "PrefixMatching")
        with watch(model, *patterns, keep=lambda weights: _row_sums(weights, block_tokens)) as seen:
            for tokens_BT, _ in in_batches(self.windows_NT1, model, windows_of_weights(2 * block_tokens)):
                model(tokens_BT)
                for name, found_2H in seen.items():
                    place = place_of(name)
                    sums_2H[place] = sums_2H.get(place, 0.0) + found_2H.cpu().numpy()
        with np.errstate(invalid="ignore"):  # no row at all: NaN is the answer
            scores_H = {place: share_H / rows_H for place, (share_H, rows_H) in sums_2H.items()}
        return {"score_LH": by_visit_and_head(scores_H, len(model.visits))}


def _row_sums(weights_BHTS: Tensor, block_tokens: int) -> Tensor:
    """Sums over batch and the queries of the second block of (share of the token that comes next, one), [2, H]."""
    weights_BHTS = weights_BHTS[:, :, block_tokens:].abs().double()
    total_BHT = weights_BHTS.sum(dim=-1)
    # Of the rows that are left, the first belongs to query N and the key after its earlier occurrence is 1.
    next_BHT = weights_BHTS.diagonal(offset=1, dim1=-2, dim2=-1)
    some_BHT = total_BHT > 0
    share_BHT = next_BHT.where(some_BHT, 0.0) / total_BHT.where(some_BHT, 1.0)
    return torch.stack([share_BHT.sum(dim=(0, 2)), some_BHT.double().sum(dim=(0, 2))])
