"""What happens to a model further into a text than its training ever went."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vslm.core.bounds import Loops, Tokens
from vslm.core.errors import SpecError
from vslm.data.corpus import Corpus
from vslm.data.sources.source import Source
from vslm.measure.measure import Evaluator, OnWindows
from vslm.measure.sections import BEYOND_CONTEXT
from vslm.measure.token_loss import by_position, window_losses
from vslm.models.language_model import LanguageModel, Model


@dataclass(frozen=True, kw_only=True)
class BeyondContext(OnWindows):
    """The loss of tokens beyond the trained context, beside that of the same tokens seen from within it.

        beyond(t) = -ln p(x_{t+1} | x_1 .. x_t)                          t up to times * T; training went up to T
        within(t) = -ln p(x_{t+1} | the last T / 2 to T tokens)          the same targets, windows moved on by T / 2
        rise(t)   = beyond(t) - within(t)

    Content is the same in both, so a rise is what the length does: 0 where further tokens change nothing, below 0 where
    they help, above 0 where the model breaks on positions or sums that it never met. Up to T it is 0 by definition.

    Paper: Train Short, Test Long, Press et al., 2022, https://arxiv.org/abs/2108.12409, for the question. We differ:
    the comparison is of the same targets, by distance into the window.
    Cost: three forward passes of `num_tokens`, and full attention grows with `times`. 32,768 tokens at T = 256 are 32
        windows of four contexts.

    Args:
        num_evaluations: 1 takes it at the end alone; 2 or more at log-spaced steps, step 0 and the last among them.
        num_tokens: validation tokens, rounded up to whole windows of `times` contexts.
        times: how many contexts a window holds, 2 or more.
    Arrays, P bins of T / 2 tokens from T / 2 on: `beyond_nats_P`, `rise_nats_P`, `rise_sem_nats_P` (its standard error
        over windows of one model) and `to_tokens_P`, where a bin ends; without axes `mean_rise_nats`, over the
        targets of all bins but the first, and `mean_rise_sem_nats`.
    Raises: SpecError for learned positions, which end with the context.
    """

    recorded_as: ClassVar[str] = "beyond_context"
    shown, arrays, numbers = BEYOND_CONTEXT.shown, BEYOND_CONTEXT.arrays, BEYOND_CONTEXT.numbers
    num_tokens: Tokens = 32_768
    times: Loops = 4

    def check(self) -> None:
        """Refuse what is not beyond, and counts below one."""
        super().check()
        if self.times < 2:
            raise SpecError("times", f"found {self.times}", "2 contexts or more are needed")

    def check_fits(self, *, model: Model, source: Source) -> None:
        """Learned positions end with the context."""
        if not model.root.goes_on:
            found = f"BeyondContext of a model with {type(model.root).__name__}"
            raise SpecError("measures", found, "positions that go on beyond the context are needed", "leave it out")
        if model.context_tokens < 2:
            raise SpecError("measures", "BeyondContext of a context of 1", "2 or more is needed")

    def longest_tokens(self, context_tokens: int) -> int:
        """`times` contexts."""
        return self.times * context_tokens

    def windows(self, corpus: Corpus, context_tokens: int) -> np.ndarray:
        """Windows of `times` contexts, [N, times * T + 1]."""
        return super().windows(corpus, self.longest_tokens(context_tokens))

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        weight_NL = self.weights(corpus, self.longest_tokens(context_tokens))
        return BeyondContextEvaluator(self.windows(corpus, context_tokens), context_tokens, weight_NL)


class BeyondContextEvaluator(Evaluator):
    """See `BeyondContext`.

    Args:
        windows_NT1: of several contexts each.
        context_tokens: that training went up to, T.
        weight_NL: how much each target counts; None: all the same.
    """

    def __init__(self, windows_NT1: np.ndarray, context_tokens: int, weight_NL: np.ndarray | None = None) -> None:
        self.windows_NT1, self.context_tokens = windows_NT1, context_tokens
        self.weight_NL = np.ones_like(windows_NT1[:, 1:], dtype=np.float32) if weight_NL is None else weight_NL
        self.bin_tokens = context_tokens // 2
        self.starts = range(0, windows_NT1.shape[1] - context_tokens, self.bin_tokens)

    def take(self, model: LanguageModel) -> dict[str, np.ndarray | float]:
        """The same targets twice, bin by bin."""
        num_tokens = self.windows_NT1.shape[1] - 1
        far_NL = window_losses(model.with_context(num_tokens), self.windows_NT1)
        beyond, within = [], []
        for start in self.starts:
            end = start + self.context_tokens
            near_NT = window_losses(model, self.windows_NT1[:, start : end + 1])
            targets = slice(end - self.bin_tokens, end)
            within.append(_mean_of_rows(near_NT[:, -self.bin_tokens :], self.weight_NL[:, targets]))
            beyond.append(_mean_of_rows(far_NL[:, targets], self.weight_NL[:, targets]))
        beyond_NP, within_NP = np.stack(beyond, axis=1), np.stack(within, axis=1)
        rise_NP = beyond_NP - within_NP
        rise_P, rise_sem_P = by_position(rise_NP)
        mean_rise, mean_rise_sem = by_position(rise_NP[:, 1:].mean(axis=1))  # all bins but the first lie beyond T
        return {
            "beyond_nats_P": beyond_NP.mean(axis=0),
            "rise_nats_P": rise_P,
            "rise_sem_nats_P": rise_sem_P,
            "to_tokens_P": self.context_tokens + np.array(self.starts),
            "mean_rise_nats": float(mean_rise),
            "mean_rise_sem_nats": float(mean_rise_sem),
        }


def _mean_of_rows(loss_NT: np.ndarray, weight_NT: np.ndarray) -> np.ndarray:
    """The mean loss of each window's targets that count; the mean over all of them for a window without one."""
    if (weight_NT == 1).all():
        return loss_NT.mean(axis=1)
    totals_N = weight_NT.sum(axis=1, dtype=np.float64)
    sums_N = (loss_NT * weight_NT).sum(axis=1)
    return np.where(totals_N > 0, sums_N / np.maximum(totals_N, 1e-30), sums_N.sum() / max(totals_N.sum(), 1e-30))
