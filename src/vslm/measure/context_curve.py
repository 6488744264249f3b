"""The fixed-target context curve: the same tokens, predicted from the last 1, 2, 4 ... T tokens before them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from vslm.core.bounds import Tokens
from vslm.data.corpus import Corpus
from vslm.data.windows import spread_windows
from vslm.measure.declared import Number
from vslm.measure.measure import Evaluator, OnWindows
from vslm.measure.token_loss import loss_of_logits
from vslm.models.language_model import LanguageModel
from vslm.stats.context_learning import far_place

_MOST_TOKENS = 8192  # of a forward pass; logits are made of the last position alone, so they take no room


@dataclass(frozen=True, kw_only=True)
class ContextCurve(OnWindows):
    """What context is worth, with content held fixed.

        C(k) = mean over targets of -ln p(x_{t+1} | the last k tokens before it),     k = 1, 2, 4 ... T

    The loss by position compares different tokens: those late in a window with those early in it. Here the targets are
    the same for every k, so a fall of the curve is the use of context and nothing else. C(1) can be held against the
    entropy of a bigram, C(k) against that of a (k+1)-gram. Where the curve goes flat, seeing
    further back no longer helps.

    Exact for every architecture: each target's last k tokens are a text of their own, given from its beginning. So
    with learned absolute positions they stand at positions 0 to k - 1 and not where they stood in the window, which is
    what generation from a short prompt does too; a recurrence starts anew; and a power of the number of visible keys
    sees k of them. A context may hold the end of the document before, as windows of training do.

    Papers: the curve of loss by token index is from Scaling Laws for Neural Language Models, Kaplan et al., 2020,
    https://arxiv.org/abs/2001.08361; the question what is used of a long context from Sharp Nearby, Fuzzy
    Far Away, Khandelwal et al., 2018, https://arxiv.org/abs/1805.04623, who truncate test contexts as here.
    Cost: every target is passed 2 T tokens in all, so 2 `num_tokens` forward, with one position of the readout each.
        Measured at T = 256 with 2 layers of width 128: the default takes as long as 50,000 tokens of training at each
        evaluation, 1 % of a run of 5M tokens.

    Args:
        num_evaluations: 1 takes it at the end alone; 2 or more at log-spaced steps, step 0 and the last among them.
        num_tokens: of the longest contexts together: `num_tokens` / T targets, spread evenly over `val`; fewer where
            it has fewer with a whole context before them. 256 targets at T = 256.
    Arrays, K lengths of context: `loss_nats_K`; `sem_nats_K`, its standard error over targets; `gain_sem_nats_K`, the
        standard error of C(1) - C(k), which is smaller because targets are paired; `context_tokens_K`, the k; and
        without axes `num_targets`, `gain_nats` = C(1) - C(T) and `far_gain_nats` = C(T / 8) - C(T), of the longest k
        up to T / 8, with its standard error `far_gain_sem_nats`, of targets that are paired likewise. Standard errors
        are over targets of one model: how well the text is known, and not the seeds.
    """

    recorded_as: ClassVar[str] = "context_curve"
    numbers: ClassVar[Mapping[str, Number]] = {
        "num_targets": Number(unit="tokens", higher_is_better=None, title="targets of the curve"),
        "gain_nats": Number(
            unit="nats per token", higher_is_better=True, title="gain of the whole context over a token"
        ),
        "far_gain_nats": Number(
            unit="nats per token", higher_is_better=True, title="gain of the whole context over an eighth of it"
        ),
        "far_gain_sem_nats": Number(unit="nats per token", higher_is_better=None, title="standard error of that gain"),
    }
    num_tokens: Tokens = 65_536

    def windows(self, corpus: Corpus, context_tokens: int) -> np.ndarray:
        """A whole context before each target, and the target, [N, T + 1]. They may overlap: targets are what counts.
        Where a source says which tokens count, those alone are targets, one as good as another.
        """
        num_targets = -(-self.num_tokens // context_tokens)
        split = corpus.evaluated
        return spread_windows(
            split.tokens, context_tokens=context_tokens, num_windows=num_targets, weights=split.weights
        )

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        return ContextCurveEvaluator(self.windows(corpus, context_tokens))


class ContextCurveEvaluator(Evaluator):
    """See `ContextCurve`.

    Args:
        windows_NT1: a whole context before each target, and the target.
    """

    def __init__(self, windows_NT1: np.ndarray) -> None:
        self.windows_NT1 = windows_NT1
        self.context_tokens_K = np.array(context_lengths(windows_NT1.shape[1] - 1))

    def take(self, model: LanguageModel) -> dict[str, np.ndarray | float]:
        """The curve over all targets."""
        loss_KN = np.stack([self._losses(model, int(k)) for k in self.context_tokens_K])
        loss_K = loss_KN.mean(axis=1)
        far = far_place(self.context_tokens_K)
        return {
            "loss_nats_K": loss_K,
            "sem_nats_K": _standard_error(loss_KN),
            "gain_sem_nats_K": _standard_error(loss_KN[0] - loss_KN),
            "context_tokens_K": self.context_tokens_K,
            "num_targets": loss_KN.shape[1],
            "gain_nats": loss_K[0] - loss_K[-1],
            "far_gain_nats": loss_K[far] - loss_K[-1],
            "far_gain_sem_nats": float(_standard_error(loss_KN[far : far + 1] - loss_KN[-1])[0]),
        }

    def _losses(self, model: LanguageModel, num_seen: int) -> np.ndarray:
        """The loss of each target after its last `num_seen` tokens."""
        device = next(model.parameters()).device
        at_a_time = max(1, _MOST_TOKENS // num_seen)
        losses = []
        for start in range(0, len(self.windows_NT1), at_a_time):
            part = torch.from_numpy(self.windows_NT1[start : start + at_a_time, -num_seen - 1 :]).to(device)
            x_B1D = model.last(part[:, :-1].contiguous()).x_BTD[:, -1:]
            losses.append(loss_of_logits(model.logits(x_B1D), part[:, -1:])[:, 0].double().cpu().numpy())
        return np.concatenate(losses)


def context_lengths(context_tokens: int) -> list[int]:
    """Powers of two up to the context, and the context.

    >>> context_lengths(8), context_lengths(11)
    ([1, 2, 4, 8], [1, 2, 4, 8, 11])
    """
    powers = [2**i for i in range(context_tokens.bit_length()) if 2**i < context_tokens]
    return [*powers, context_tokens]


def _standard_error(values_KN: np.ndarray) -> np.ndarray:
    """Of the mean over the last axis; not a number for one value."""
    count = values_KN.shape[-1]
    return values_KN.std(axis=-1, ddof=1) / math.sqrt(count) if count > 1 else np.full(len(values_KN), math.nan)
