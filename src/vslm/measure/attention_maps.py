"""Where a few heads look, query by query, in one stretch of text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vslm.core.bounds import Context, Some
from vslm.core.errors import SpecError
from vslm.data.corpus import Corpus
from vslm.data.windows import evaluation_windows
from vslm.measure.attention_weights import place_of, weights_patterns
from vslm.measure.measure import Evaluator, Measure, in_batches
from vslm.measure.names import matching
from vslm.measure.watch import watch, watchable
from vslm.models.language_model import LanguageModel

_MOST = {"num_visits": 8, "num_heads": 8, "num_tokens": 128}


@dataclass(frozen=True, kw_only=True)
class AttentionMaps(Measure):
    """The attention of a few heads at the end of training, on the first tokens of `val`.

        share_ts = |w_ts| / sum_s |w_ts|         0 throughout a row that sums to zero

    Shares of each query's own sum, as in `AttentionDistance`, so that all normalizers can be drawn on one scale. Visits
    are spread evenly over those with attention, the first and the last among them; of each, its first heads. Heads have
    no order, so the same number in another seed is another head.

    Cost: one forward pass of `num_tokens`. What is stored: num_visits * num_heads * num_tokens ** 2 numbers of 4 bytes,
    147 KB at the default, and 4 MB at the most that is allowed.

    Args:
        num_visits: 1 to 8.
        num_heads: of each visit, 1 to 8.
        num_tokens: of the text, 1 to 128; no more than the context.
    Arrays, L chosen visits, H heads (NaN beyond a visit's own), N the longest token's bytes: `share_LHTS`; `place_L`,
        which visits these are; and the text, `token_bytes_TN` with `token_num_bytes_T` of each.
    Raises: SpecError, when built, for a model without attention in its path.
    """

    recorded_as: ClassVar[str] = "attention_maps"
    looks_at_weights: ClassVar[bool] = True
    num_visits: Some = 4
    num_heads: Some = 4
    num_tokens: Context = 48

    def check(self) -> None:
        """Refuse nothing to show, and more than a record should hold."""
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise SpecError(name, f"found {getattr(self, name)}", f"1 to {most} are needed")

    def steps(self, num_steps: int) -> list[int]:
        """The end."""
        return [num_steps]

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        names = matching(weights_patterns(model, type(self).__name__), watchable(model))
        spread = np.unique(np.round(np.linspace(0, len(names) - 1, min(self.num_visits, len(names)))).astype(int))
        windows_NT1 = evaluation_windows(corpus.evaluated.tokens, context_tokens=context_tokens, num_tokens=1)
        windows_NT1 = windows_NT1[:, : self.num_tokens + 1]
        token_bytes = [corpus.tokenizer.token_bytes[token] for token in windows_NT1[0, :-1]]
        return AttentionMapsEvaluator(windows_NT1, [names[i] for i in spread], self.num_heads, token_bytes)


class AttentionMapsEvaluator(Evaluator):
    """See `AttentionMaps`.

    Args:
        windows_NT1: one window of tokens.
        names: of the weights to show, as `watch` knows them.
        num_heads: of each, at most.
        token_bytes: of the tokens that go in.
    """

    def __init__(
        self, windows_NT1: np.ndarray, names: Sequence[str], num_heads: int, token_bytes: Sequence[bytes]
    ) -> None:
        self.windows_NT1, self.names, self.num_heads = windows_NT1, names, num_heads
        longest = max(1, *(len(item) for item in token_bytes))
        self.text = {
            "token_bytes_TN": np.array([list(item.ljust(longest, b"\0")) for item in token_bytes], dtype=np.uint8),
            "token_num_bytes_T": np.array([len(item) for item in token_bytes]),
        }

    def take(self, model: LanguageModel) -> dict[str, np.ndarray]:
        """The shares of one pass."""
        with watch(model, *self.names, keep=_shares) as seen:
            for tokens_BT, _ in in_batches(self.windows_NT1, model, 1):
                model(tokens_BT)
        num_heads = min(self.num_heads, max(len(found) for found in seen.values()))
        num_tokens = self.windows_NT1.shape[1] - 1
        share_LHTS = np.full((len(self.names), num_heads, num_tokens, num_tokens), np.nan, dtype=np.float32)
        for row_HTS, name in zip(share_LHTS, self.names, strict=True):
            found_HTS = seen[name][:num_heads].cpu().numpy()
            row_HTS[: len(found_HTS)] = found_HTS
        return {"share_LHTS": share_LHTS, "place_L": np.array([place_of(name) for name in self.names]), **self.text}


def _shares(weights_BHTS: Tensor) -> Tensor:
    """Of the first window, [H, T, S]."""
    weights_HTS = weights_BHTS[0].abs()
    total_HT1 = weights_HTS.sum(dim=-1, keepdim=True)
    return weights_HTS / torch.where(total_HT1 > 0, total_HT1, 1.0)
