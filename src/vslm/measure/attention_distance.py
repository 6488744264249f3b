"""How far back each head looks, how much it looks at its own position, and how much at the first."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vslm.data.corpus import Corpus
from vslm.measure.attention_weights import by_visit_and_head, place_of, weights_patterns, windows_of_weights
from vslm.measure.measure import Evaluator, OnWindows, in_batches
from vslm.measure.sections import ATTENTION_DISTANCE
from vslm.measure.watch import watch
from vslm.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class AttentionDistance(OnWindows):
    """Where attention goes, by visit and head, as shares of each row's own sum.

        distance = mean_t of sum_s |w_ts| (t - s) / sum_s |w_ts|
        p_self   = mean_t of |w_tt| / sum_s |w_ts|,     p_first = mean_t of |w_t0| / sum_s |w_ts|

    Shares, because not every normalizer's rows sum to one; a row that sums to zero is left out. Even weights over all
    earlier positions have a distance of (T - 1) / 4. A window bounds it by window - 1.

    Reference: What Does BERT Look At?, Clark et al., 2019, https://arxiv.org/abs/1906.04341, for weight that gathers on
    one position; here that is position 0.
    Cost: the oracle's weights beside the model's own kernel; B * H * T * T numbers, one visit at a time.

    Args: see `OnWindows`.
    Arrays, L visits (an element without attention is NaN), H the most heads of any visit (others are NaN beyond their
        own): `distance_tokens_LH`, `p_self_LH`, `p_first_LH`.
    Raises: SpecError, when built, for a model without attention in its path.
    """

    recorded_as: ClassVar[str] = "attention_distance"
    looks_at_weights: ClassVar[bool] = True
    shown, arrays, numbers = ATTENTION_DISTANCE.shown, ATTENTION_DISTANCE.arrays, ATTENTION_DISTANCE.numbers

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        weights_patterns(model, type(self).__name__)
        return AttentionDistanceEvaluator(self.windows(corpus, context_tokens))


class AttentionDistanceEvaluator(Evaluator):
    """See `AttentionDistance`."""

    def __init__(self, windows_NT1: np.ndarray) -> None:
        self.windows_NT1 = windows_NT1

    def take(self, model: LanguageModel) -> dict[str, np.ndarray]:
        """Means over the rows of all windows."""
        num_tokens = self.windows_NT1.shape[1] - 1
        sums_4H: dict[int, np.ndarray] = {}
        with watch(model, *weights_patterns(model, "AttentionDistance"), keep=_row_sums) as seen:
            for tokens_BT, _ in in_batches(self.windows_NT1, model, windows_of_weights(num_tokens)):
                model(tokens_BT)
                for name, found_4H in seen.items():
                    place = place_of(name)
                    sums_4H[place] = sums_4H.get(place, 0.0) + found_4H.cpu().numpy()
        with np.errstate(invalid="ignore"):  # no row at all: NaN is the answer
            means_3H = {place: sums[:3] / sums[3] for place, sums in sums_4H.items()}
        names = ("distance_tokens_LH", "p_self_LH", "p_first_LH")
        return {
            name: by_visit_and_head({place: means[i] for place, means in means_3H.items()}, len(model.visits))
            for i, name in enumerate(names)
        }


def _row_sums(weights_BHTS: Tensor) -> Tensor:
    """Sums over batch and queries of (distance, share of self, share of the first, one), [4, H]."""
    weights_BHTS = weights_BHTS.abs().double()
    total_BHT = weights_BHTS.sum(dim=-1)
    positions_T = torch.arange(weights_BHTS.shape[-1], device=weights_BHTS.device, dtype=torch.float64)
    # sum_s w (t - s) as t * sum_s w - sum_s w s: no T x T table of distances is made
    distance_BHT = positions_T * total_BHT - weights_BHTS @ positions_T
    self_BHT = weights_BHTS.diagonal(dim1=-2, dim2=-1)
    some_BHT = total_BHT > 0
    safe_BHT = total_BHT.where(some_BHT, 1.0)
    parts = [x.where(some_BHT, 0.0) / safe_BHT for x in (distance_BHT, self_BHT, weights_BHTS[..., 0])]
    return torch.stack([part.sum(dim=(0, 2)) for part in [*parts, some_BHT.double()]])
