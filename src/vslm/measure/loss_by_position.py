"""The measure that every run takes: training and validation loss by position, at log-spaced steps."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vslm.core.bounds import Some, Tokens
from vslm.core.errors import SpecError
from vslm.data.batches import Windows, evaluation_windows_of
from vslm.data.corpus import Corpus
from vslm.measure.measure import Evaluator, Measure, log_spaced_steps
from vslm.measure.token_loss import window_losses
from vslm.models.language_model import LanguageModel

_PART_TO_CHOOSE = 4  # a choice between neighbouring rates, or of arms to be judged, needs fewer tokens than a verdict
_MOST_EVALUATIONS = 10_000  # each leaves a row of losses by position in the run's arrays


@dataclass(frozen=True, kw_only=True)
class LossByPosition(Measure):
    """Loss by position at log-spaced steps on a fixed part of the validation set, and on all of it at the end.

    A loss that decides is read from it, so every experiment has one. In a run it is taken through the loss that
    training uses, compiled and in the study's precision, beside the training loss (`training/losses.py`); what `build`
    gives takes it of any weights, eagerly and in fp32. Both call it `loss_nats_T`. A run records it under its split:
    `val_loss_nats_ST`, and `select_loss_nats_ST` where it was made to choose.

    Cost: a forward pass is a third of a training step, so 24 evaluations of 8,192 tokens cost a run of 2M tokens about
    3%; the final one of 204,800 tokens another 4%.

    Args:
        num_evaluations: at how many steps, log-spaced, the first (step 0) and the last among them.
        num_tokens: validation tokens at each of them.
        num_final_tokens: validation tokens at the end of training, where verdicts are read. Runs of a screening or a
            tuning, compared with one another on the same text, take a quarter of it and are evaluated at no other step.
    """

    recorded_as: ClassVar[str] = "loss_by_position"
    num_evaluations: Some = 24
    num_tokens: Tokens = 8192
    num_final_tokens: Tokens = 204_800

    def check(self) -> None:
        """Refuse counts below one."""
        for name in ("num_tokens", "num_final_tokens"):
            if getattr(self, name) < 1:
                raise SpecError(name, f"found {getattr(self, name)}", "1 or more is needed")
        if not 2 <= self.num_evaluations <= _MOST_EVALUATIONS:
            found, allowed = f"found {self.num_evaluations}", f"2 to {_MOST_EVALUATIONS:,} are needed"
            raise SpecError("num_evaluations", found, allowed)

    def final_tokens(self, *, is_made_to_choose: bool) -> int:
        """Tokens of the last evaluation of a run that is judged, or of one that is made to choose."""
        return max(1, self.num_final_tokens // _PART_TO_CHOOSE) if is_made_to_choose else self.num_final_tokens

    def tokens_of_a_run(self, *, is_made_to_choose: bool) -> int:
        """Validation tokens of all evaluations of a run, if it has as many steps."""
        along_the_way = 0 if is_made_to_choose else (self.num_evaluations - 1) * self.num_tokens
        return along_the_way + self.final_tokens(is_made_to_choose=is_made_to_choose)

    def steps(self, num_steps: int) -> list[int]:
        """The steps to evaluate at: 0, then log-spaced up to `num_steps`, rising, without repeats.

        >>> LossByPosition(num_evaluations=5).steps(1000)
        [0, 1, 10, 100, 1000]
        """
        return log_spaced_steps(num_steps, self.num_evaluations)

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        """What takes the loss of a model by position, eagerly and in fp32, on the windows of the last evaluation."""
        split = corpus.evaluated
        return LossByPositionEvaluator(
            evaluation_windows_of(split, context_tokens=context_tokens, num_tokens=self.num_final_tokens)
        )


class LossByPositionEvaluator(Evaluator):
    """See `LossByPosition`. Arrays: `loss_nats_T`, and `weight_T` where targets count differently."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def take(self, model: LanguageModel) -> dict[str, np.ndarray]:
        """The mean over windows; NaN where no target counts."""
        loss_nats_T = self.windows.by_position(window_losses(model, self.windows.tokens_NT1))
        weight_T = self.windows.weights_by_position
        return {"loss_nats_T": loss_nats_T} | ({} if weight_T is None else {"weight_T": weight_T})
