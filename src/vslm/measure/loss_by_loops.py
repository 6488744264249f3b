"""The loss of a trained model that is looped less or more often than it was made for."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vslm.core.bounds import Loops, Tokens
from vslm.core.errors import SpecError
from vslm.data.corpus import Corpus
from vslm.data.sources.source import Source
from vslm.measure.measure import Evaluator, OnWindows
from vslm.measure.sections import LOSS_BY_LOOPS
from vslm.measure.token_loss import window_losses
from vslm.models.language_model import LanguageModel, Model


@dataclass(frozen=True, kw_only=True)
class LossByLoops(OnWindows):
    """Mean validation loss at each number of loops of the repeated part, with the same weights and windows.

        loss(r) = mean over tokens of -ln p(x_{t+1} | x_<=t; the body of the Repeat passed r times)

    Where it goes on falling beyond the loops of training, the model uses compute that it was not trained with; where
    it stays level, its state has come to rest; where it rises, the loops only work in the number they were trained in.

    Paper: Scaling up Test-Time Compute with Latent Reasoning, Geiping et al., 2025, https://arxiv.org/abs/2502.05171.
    Cost: one forward pass for each of `times`, of as many loops; the default's pass the body 24 times in all.

    Args:
        num_evaluations: 1 takes it at the end alone; 2 or more at log-spaced steps, step 0 and the last among them.
        num_tokens: validation tokens for each number of loops, rounded up to whole windows.
        times: numbers of loops, each 1 or more, rising.
    Arrays, R numbers of loops: `loss_nats_R`; `times_R`, the numbers.
    Raises: SpecError for a model without exactly one `Repeat`.
    """

    recorded_as: ClassVar[str] = "loss_by_loops"
    shown, arrays, numbers = LOSS_BY_LOOPS.shown, LOSS_BY_LOOPS.arrays, LOSS_BY_LOOPS.numbers
    num_tokens: Tokens = 8192
    times: tuple[Loops, ...] = (1, 2, 3, 4, 6, 8)

    def check(self) -> None:
        """Refuse no numbers, a number below one, and numbers that do not rise."""
        super().check()
        if not self.times or min(self.times) < 1 or list(self.times) != sorted(set(self.times)):
            raise SpecError("times", f"found {self.times}", "one or more rising numbers, each 1 or more, are needed")

    def check_fits(self, *, model: Model, source: Source) -> None:
        """One number of loops says what is passed only where one part is repeated."""
        if len(model.repeats) != 1:
            found = f"LossByLoops of a model with {len(model.repeats)} Repeat in its path"
            raise SpecError("measures", found, "exactly one is needed", "loop it with looped(...), or leave it out")

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        weight_NT = self.weights(corpus, context_tokens)
        return LossByLoopsEvaluator(self.windows(corpus, context_tokens), self.times, weight_NT)


class LossByLoopsEvaluator(Evaluator):
    """See `LossByLoops`."""

    def __init__(self, windows_NT1: np.ndarray, times: tuple[int, ...], weight_NT: np.ndarray | None = None) -> None:
        self.windows_NT1, self.times, self.weight_NT = windows_NT1, times, weight_NT

    def take(self, model: LanguageModel) -> dict[str, np.ndarray]:
        """The mean over the tokens of all windows."""
        losses = [
            np.average(window_losses(model.with_loops(count), self.windows_NT1), weights=self.weight_NT)
            for count in self.times
        ]
        return {"loss_nats_R": np.array(losses), "times_R": np.array(self.times)}
