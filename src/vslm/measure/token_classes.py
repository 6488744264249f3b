"""The loss of kinds of tokens: frequent and rare, seen before in the window or not, and parts of words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vslm.core.bounds import Tokens
from vslm.data.corpus import Corpus
from vslm.measure.measure import Evaluator, OnWindows
from vslm.measure.parts_of_word import parts_of_word
from vslm.measure.token_counts import training_counts
from vslm.measure.token_loss import window_losses
from vslm.models.language_model import LanguageModel
from vslm.results.token_classes import OCCURRENCES, PARTS_OF_WORD


@dataclass(frozen=True, kw_only=True)
class TokenClasses(OnWindows):
    """Mean loss and number of targets by class; every target is in one class of each of three divisions.

        frequency    by how often training shows the token: never, once, 2 to 3, 4 to 7, ... (octaves)
        occurrence   whether the target stands in the window already (later) or not (first)
        part         of a word, see `parts_of_word`

    So within a division the numbers of tokens add up to all targets, and `sum of num_tokens * loss_nats` over its
    classes to the whole loss. NaN for a class without a token here.

    Cost: one forward pass; counting the training split once, before the first step.

    Args: see `OnWindows`.
    Arrays, G classes of a division: `frequency_loss_nats_G`, `frequency_num_tokens_G` and `frequency_from_count_G` (the
        lower end of each octave, 0 for never); `occurrence_loss_nats_G` and `occurrence_num_tokens_G` as
        `vslm.results.token_classes.OCCURRENCES` names them; `part_loss_nats_G` and `part_num_tokens_G` as
        `PARTS_OF_WORD` there.
    """

    recorded_as: ClassVar[str] = "token_classes"
    num_tokens: Tokens = 32_768

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        windows_NT1 = self.windows(corpus, context_tokens)
        octave_V = np.frexp(training_counts(corpus))[1]  # exact: 0 for 0, 1 for 1, 2 for 2 and 3, 3 for 4 to 7
        classes = {
            "frequency": octave_V[windows_NT1[:, 1:]],
            "occurrence": occurs_before(windows_NT1).astype(np.int64),
            "part": parts_of_word(windows_NT1, corpus.tokenizer.token_bytes),
        }
        from_count_G = np.append(0, 2 ** np.arange(octave_V.max()))
        sizes = {"frequency": len(from_count_G), "occurrence": len(OCCURRENCES), "part": len(PARTS_OF_WORD)}
        beside, weight_NT = {"frequency_from_count_G": from_count_G}, self.weights(corpus, context_tokens)
        return TokenClassesEvaluator(windows_NT1, classes, sizes, beside, weight_NT)


class TokenClassesEvaluator(Evaluator):
    """See `TokenClasses`.

    Args:
        windows_NT1: tokens.
        classes: by division, the class of every target, [N, T].
        sizes: by division, the number of its classes.
        beside: further arrays that go with the classes.
        weight_NT: how much each target counts; None: all the same. Then numbers of tokens are sums of weights.
    """

    def __init__(
        self,
        windows_NT1: np.ndarray,
        classes: Mapping[str, np.ndarray],
        sizes: Mapping[str, int],
        beside: Mapping[str, np.ndarray],
        weight_NT: np.ndarray | None = None,
    ) -> None:
        self.weight_N = None if weight_NT is None else weight_NT.ravel().astype(np.float64)
        self.windows_NT1, self.classes, self.sizes, self.beside = windows_NT1, classes, sizes, beside

    def take(self, model: LanguageModel) -> dict[str, np.ndarray]:
        """Means over the targets of all windows."""
        loss_N = window_losses(model, self.windows_NT1).ravel()
        weighted_N = loss_N if self.weight_N is None else loss_N * self.weight_N
        found: dict[str, np.ndarray] = dict(self.beside)
        for division, class_NT in self.classes.items():
            count_G, sum_G = (
                np.bincount(class_NT.ravel(), weights=weights, minlength=self.sizes[division])
                for weights in (self.weight_N, weighted_N)
            )
            found[f"{division}_num_tokens_G"] = count_G
            with np.errstate(invalid="ignore"):  # a class without a token is NaN
                found[f"{division}_loss_nats_G"] = sum_G / count_G
        return found


def occurs_before(windows_NT1: np.ndarray) -> np.ndarray:
    """Whether every target stands in its window already, [N, T].

    >>> occurs_before(np.array([[3, 5, 3, 3, 7]])).tolist()
    [[False, True, True, False]]
    """
    before_NT1 = np.ones(windows_NT1.shape, dtype=bool)
    for row_T1, window_T1 in zip(before_NT1, windows_NT1, strict=True):
        row_T1[np.unique(window_T1, return_index=True)[1]] = False
    return before_NT1[:, 1:]
