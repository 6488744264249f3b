"""How much better a random block is predicted the second time: induction, seen from outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vslm.data.corpus import Corpus
from vslm.measure.declared import Number
from vslm.measure.measure import Evaluator
from vslm.measure.repeated_blocks import OnRepeatedBlocks
from vslm.measure.token_loss import window_losses
from vslm.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class CopyGain(OnRepeatedBlocks):
    """The loss that a block of random tokens has the first time, minus what the same tokens have the second time.

        gain = mean over j = 1 ... N - 1 of l(x_j | x_<j) - l(x_{N+j} | x_<N+j),    x_{N+j} = x_j

    The same targets stand on both sides, so a token that the model likes anyhow gains nothing. The first token of the
    block is left out: in front of its second occurrence nothing says that the block begins again. Zero for a model that
    does not copy, and the whole of its first loss (about ln of the number of ids, or more for a trained model, which
    does not expect random text) for one that copies without fail.

    Paper: In-context Learning and Induction Heads, Olsson et al., 2022, https://arxiv.org/abs/2209.11895, which shows
    such sequences to find the heads that copy. We differ: a block fills half of the context by default.
    Cost: one forward pass.

    Args: see `OnRepeatedBlocks`.
    Arrays, T = N - 1 places in the block, its second token first: `first_loss_nats_T`, `second_loss_nats_T`; and
        without axes `gain_nats`.
    """

    recorded_as: ClassVar[str] = "copy_gain"
    numbers: ClassVar[Mapping[str, Number]] = {
        "gain_nats": Number(unit="nats per token", higher_is_better=True, title="gain of a block that comes again"),
    }

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        return CopyGainEvaluator(self.windows(corpus, context_tokens))


class CopyGainEvaluator(Evaluator):
    """See `CopyGain`.

    Args:
        windows_NT1: sequences of a block and the same block again.
    """

    def __init__(self, windows_NT1: np.ndarray) -> None:
        self.windows_NT1 = windows_NT1

    def take(self, model: LanguageModel) -> dict[str, np.ndarray | float]:
        """Means over the sequences."""
        loss_T = window_losses(model, self.windows_NT1).mean(axis=0)
        num_compared = self.windows_NT1.shape[1] // 2 - 1
        first_T, second_T = loss_T[:num_compared], loss_T[-num_compared:]
        return {
            "first_loss_nats_T": first_T,
            "second_loss_nats_T": second_T,
            "gain_nats": float((first_T - second_T).mean()),
        }
