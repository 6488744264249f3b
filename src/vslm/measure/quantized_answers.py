"""The same questions, asked of the model with its matrices rounded to a few bits."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vslm.core.bounds import Some
from vslm.core.errors import SpecError
from vslm.data.corpus import Corpus
from vslm.data.sources.source import Source
from vslm.measure.answer_accuracy import AnswerAccuracy
from vslm.measure.declared import Number
from vslm.measure.measure import Evaluator, Measure
from vslm.measure.sections import QUANTIZED_ANSWERS
from vslm.models.language_model import LanguageModel, Model

_FEWEST_BITS, _MOST_BITS = 2, 8


@dataclass(frozen=True, kw_only=True)
class QuantizedAnswers(Measure):
    """What `AnswerAccuracy` tells, of a model whose matrices are rounded.

        w_rc = s_r * round(w_rc / s_r),   s_r = max_c |w_rc| / (2^(bits-1) - 1)

    of every row of every matrix, embeddings among them; vectors, such as gains, stay as they are. Training that only
    moved weights a little away from what they knew may be undone by it: what was forgotten and comes back was hidden.
    The weights are put back to the bit.

    Paper: Catastrophic Failure of LLM Unlearning via Quantization, Zhang et al., 2024, https://arxiv.org/abs/2410.16454;
    round-to-nearest with one scale a row.
    Cost: that of the questions.

    Args:
        answers: the questions, and when they are asked.
        bits: 2 to 8.
    Numbers and arrays: those of `AnswerAccuracy`.
    """

    recorded_as: ClassVar[str] = "quantized_answers"
    asks_its_own: ClassVar[bool] = True
    shown, arrays = QUANTIZED_ANSWERS.shown, QUANTIZED_ANSWERS.arrays
    numbers: ClassVar[Mapping[str, Number]] = QUANTIZED_ANSWERS.numbers
    answers: AnswerAccuracy
    bits: Some = 4

    def check(self) -> None:
        """Refuse what is no rounding, or none that would be felt."""
        if not _FEWEST_BITS <= self.bits <= _MOST_BITS:
            raise SpecError("bits", f"found {self.bits}", f"{_FEWEST_BITS} to {_MOST_BITS} are needed")

    def steps(self, num_steps: int) -> list[int]:
        """Whenever the questions are asked."""
        return self.answers.steps(num_steps)

    def check_fits(self, *, model: Model, source: Source) -> None:
        """As the questions do."""
        self.answers.check_fits(model=model, source=source)

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        asked = self.answers.build(model=model, corpus=corpus, context_tokens=context_tokens)
        return QuantizedAnswersEvaluator(asked, self.bits)


class QuantizedAnswersEvaluator(Evaluator):
    """See `QuantizedAnswers`."""

    def __init__(self, asked: Evaluator, bits: int) -> None:
        self._asked, self._bits = asked, bits

    def take(self, model: LanguageModel) -> Mapping[str, np.ndarray | float]:
        """The answers of the rounded model."""
        with rounded(model, self._bits):
            return self._asked.take(model)


@contextmanager
def rounded(model: nn.Module, bits: int) -> Iterator[None]:
    """The matrices of a model rounded inside, and as they were afterwards."""
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.ndim >= 2}
    parameters = dict(model.named_parameters())
    try:
        with torch.no_grad():
            for name, weights in before.items():
                parameters[name].copy_(to_bits(weights, bits))
        yield
    finally:
        with torch.no_grad():
            for name, weights in before.items():
                parameters[name].copy_(weights)


def to_bits(weights: Tensor, bits: int) -> Tensor:
    """Weights rounded to the nearest of 2^bits - 1 evenly spaced values around 0, with one scale for each row.

    >>> to_bits(torch.tensor([[7.0, 3.4, -7.0], [0.0, 0.0, 0.0]]), 4).tolist()
    [[7.0, 3.0, -7.0], [0.0, 0.0, 0.0]]
    """
    rows = weights.flatten(1)
    scale = rows.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
    scale = torch.where(scale > 0, scale, 1.0)
    return (torch.round(rows / scale) * scale).view_as(weights)
