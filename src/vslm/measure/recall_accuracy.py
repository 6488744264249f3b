"""How often the value of a query is said right, by how far back its key was mentioned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch.nn import functional

from vslm.core.bounds import Tokens
from vslm.core.errors import SpecError
from vslm.data.corpus import Corpus
from vslm.data.sources.associative_recall import AssociativeRecall, query_distances
from vslm.data.sources.source import Source
from vslm.measure.declared import Number
from vslm.measure.measure import Evaluator, OnWindows, in_batches, windows_at_a_time
from vslm.models.language_model import LanguageModel, Model


@dataclass(frozen=True, kw_only=True)
class RecallAccuracy(OnWindows):
    """The share of queries of `AssociativeRecall` whose value is the likeliest token, by distance.

        accuracy_p = mean over queries with 2 ** p <= distance < 2 ** (p + 1) of [argmax_v p(v | x_<=t) = x_{t+1}]

    A distance is counted in tokens from the latest mention of the key. Chance is 1 / num_letters, and 1 / num_pairs for
    a model that has learned which values the document holds and nothing else.

    Cost: one forward pass. 32,768 tokens hold about 12,000 queries at the source's defaults, 890 or more in every
    octave from 2 tokens on, so an accuracy is known to 1.7 points (standard error, at most) from one run.

    Args: see `OnWindows`.
    Arrays, P octaves of distance up to the context: `accuracy_P`, `loss_nats_P`, `num_queries_P`, `from_tokens_P` (the
        lower end of each octave); and without axes `accuracy` and `loss_nats` over all queries. NaN where there is
        no query.
    Raises: SpecError for another source.
    """

    recorded_as: ClassVar[str] = "recall"
    numbers: ClassVar[Mapping[str, Number]] = {
        "accuracy": Number.share(unit="of the queries", higher_is_better=True, title="share of queries answered right"),
        "loss_nats": Number(unit="nats per query", higher_is_better=False, title="loss of the answers to queries"),
    }
    num_tokens: Tokens = 32_768

    def check_fits(self, *, model: Model, source: Source) -> None:
        """Queries are known of `AssociativeRecall` alone."""
        if not isinstance(source, AssociativeRecall):
            found = f"RecallAccuracy with data={type(source).__name__}"
            raise SpecError("measures", found, "only AssociativeRecall has queries", "change data, or leave it out")

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        windows_NT1 = self.windows(corpus, context_tokens)
        return RecallAccuracyEvaluator(windows_NT1, query_distances(windows_NT1[:, :-1], corpus.tokenizer))


class RecallAccuracyEvaluator(Evaluator):
    """See `RecallAccuracy`.

    Args:
        windows_NT1: tokens.
        distances_NT: of every token that is a query; 0 for all others.
    """

    def __init__(self, windows_NT1: np.ndarray, distances_NT: np.ndarray) -> None:
        self.windows_NT1, self.distances_NT = windows_NT1, distances_NT

    def take(self, model: LanguageModel) -> dict[str, np.ndarray | float]:
        """Means over the queries of all windows."""
        num_tokens = self.distances_NT.shape[1]
        is_right, losses = [], []
        for tokens_BT, targets_BT in in_batches(self.windows_NT1, model, windows_at_a_time(num_tokens)):
            logits_NV = model(tokens_BT).flatten(0, 1).float()
            targets_N = targets_BT.flatten()
            is_right.append((logits_NV.argmax(dim=-1) == targets_N).cpu().numpy())
            losses.append(functional.cross_entropy(logits_NV, targets_N, reduction="none").double().cpu().numpy())
        distances_N = self.distances_NT.flatten()
        is_query_N = distances_N > 0
        octaves_N = np.frexp(distances_N[is_query_N])[1] - 1  # exact: the exponent of the binary number
        right_N, loss_N = np.concatenate(is_right)[is_query_N], np.concatenate(losses)[is_query_N]
        num_octaves = int(np.frexp(max(num_tokens - 1, 1))[1])
        count_P, right_P, loss_P = (
            np.bincount(octaves_N, weights=weights, minlength=num_octaves) for weights in (None, right_N, loss_N)
        )
        with np.errstate(invalid="ignore", divide="ignore"):  # an octave without a query is NaN
            return {
                "accuracy_P": right_P / count_P,
                "loss_nats_P": loss_P / count_P,
                "num_queries_P": count_P,
                "from_tokens_P": 2 ** np.arange(num_octaves),
                "accuracy": right_P.sum() / count_P.sum(),
                "loss_nats": loss_P.sum() / count_P.sum(),
            }
