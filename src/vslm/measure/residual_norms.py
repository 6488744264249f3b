"""How large the residual stream is after each visit."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from vslm.data.corpus import Corpus
from vslm.measure.measure import Evaluator, OnWindows, in_batches, windows_at_a_time
from vslm.measure.sections import RESIDUAL_NORMS
from vslm.measure.watch import watch
from vslm.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class ResidualNorms(OnWindows):
    """Root mean square of the stream, by visit.

        rms_l = mean over tokens of sqrt(mean over the width of x_l ** 2)

    Cost: one forward pass.

    Args: see `OnWindows`.
    Arrays, L = 1 + number of visits, the root's stream first: `rms_L`.
    """

    recorded_as: ClassVar[str] = "residual_norms"
    shown, arrays, numbers = RESIDUAL_NORMS.shown, RESIDUAL_NORMS.arrays, RESIDUAL_NORMS.numbers

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        return ResidualNormsEvaluator(self.windows(corpus, context_tokens))


class ResidualNormsEvaluator(Evaluator):
    """See `ResidualNorms`."""

    def __init__(self, windows_NT1: np.ndarray) -> None:
        self.windows_NT1 = windows_NT1

    def take(self, model: LanguageModel) -> dict[str, np.ndarray]:
        """Means over the positions of all windows."""
        batch_windows = windows_at_a_time(self.windows_NT1.shape[1] - 1)
        sum_L = np.zeros(())
        with watch(model, "root", "path.*", keep=_sum_of_rms) as seen:
            for tokens_BT, _ in in_batches(self.windows_NT1, model, batch_windows):
                model(tokens_BT)
                sum_L = sum_L + np.array([float(value) for value in seen.values()])
        return {"rms_L": sum_L / self.windows_NT1[:, 1:].size}


def _sum_of_rms(x_BTD: Tensor) -> Tensor:
    return x_BTD.double().square().mean(dim=-1).sqrt().sum()
