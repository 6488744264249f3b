"""What the model would say if it stopped early: every visit's stream, read by the model's own readout."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vslm.data.corpus import Corpus
from vslm.measure.measure import Evaluator, OnWindows, in_batches, windows_at_a_time
from vslm.measure.sections import LOGIT_LENS
from vslm.measure.watch import watch
from vslm.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class LogitLens(OnWindows):
    """The next and the current token, read off the stream after each visit.

        p_l(v) = softmax(readout(norm(x_l)))_v        x_0 the root's stream, x_l after visit l
        loss_l = mean of -log p_l(x_{t+1}),   p_next_l = mean of p_l(x_{t+1}),   p_current_l = mean of p_l(x_t)

    `p_current` says how much of the token itself is left in the stream: where the stream starts as the embedding and
    the readout is tied it is high at first and has to be cleared away; where the stream starts learned it is 1/V.
    With an untied readout it says what that readout would answer, and not whether another could.

    Norm and readout are the model's own, of the width that the last visit leaves. Where the stream has another width
    the numbers are missing (NaN): a readout made for the purpose would answer another question under the same name.
    The last visit's loss is the model's own.

    Papers: interpreting GPT: the logit lens, nostalgebraist, 2020; Eliciting Latent Predictions from Transformers with
    the Tuned Lens, Belrose et al., 2023, https://arxiv.org/abs/2303.08112, which trains a readout per layer. We do not.
    Cost: one forward pass and a readout for every visit.

    Args: see `OnWindows`.
    Arrays, L = 1 + number of visits: `loss_nats_L`, `p_next_L`, `p_current_L`, and `top_current_L`, the share of
        positions where the current token is the likeliest.
    """

    recorded_as: ClassVar[str] = "logit_lens"
    shown, arrays, numbers = LOGIT_LENS.shown, LOGIT_LENS.arrays, LOGIT_LENS.numbers

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        return LogitLensEvaluator(self.windows(corpus, context_tokens), self.weights(corpus, context_tokens))


class LogitLensEvaluator(Evaluator):
    """See `LogitLens`."""

    def __init__(self, windows_NT1: np.ndarray, weight_NT: np.ndarray | None = None) -> None:
        self.windows_NT1, self.weight_NT = windows_NT1, weight_NT

    def take(self, model: LanguageModel) -> dict[str, np.ndarray]:
        """Means over the targets of all windows."""
        sums: dict[str, np.ndarray] = {}
        batch_windows = windows_at_a_time(self.windows_NT1.shape[1] - 1)
        with watch(model, "root", "path.*", "norm") as seen:
            for number, (tokens_BT, targets_BT) in enumerate(in_batches(self.windows_NT1, model, batch_windows)):
                model(tokens_BT)
                weight_N1 = self._weights_of(number * batch_windows, tokens_BT)
                streams = [seen["root"], *(x for name, x in seen.items() if name.startswith("path."))]
                width = seen["norm"].shape[-1]
                read = [_read(model, x_BTD, tokens_BT, targets_BT, width, weight_N1) for x_BTD in streams]
                for name in read[0]:
                    sums[name] = sums.get(name, 0.0) + np.array([numbers[name] for numbers in read])
        num_targets = self.windows_NT1[:, 1:].size
        counted = num_targets if self.weight_NT is None else float(self.weight_NT.sum(dtype=np.float64))
        return {name: sum_L / (counted if name in _OF_TARGETS else num_targets) for name, sum_L in sums.items()}

    def _weights_of(self, first: int, tokens_BT: Tensor) -> Tensor | float:
        """How much the targets of a batch count, [N, 1]; 1 where all count the same."""
        if self.weight_NT is None:
            return 1.0
        weight_BT = torch.from_numpy(self.weight_NT[first : first + len(tokens_BT)])
        return weight_BT.to(tokens_BT.device).reshape(-1, 1)


_OF_TARGETS = ("loss_nats_L", "p_next_L")  # of the next token; the others are of the one that is read


def _read(
    model: LanguageModel,
    x_BTD: Tensor,
    tokens_BT: Tensor,
    targets_BT: Tensor,
    width: int,
    weight_N1: Tensor | float,
) -> dict[str, float]:
    """Sums over a batch, from one stream."""
    if x_BTD.shape[-1] != width:
        return dict.fromkeys(("loss_nats_L", "p_next_L", "p_current_L", "top_current_L"), np.nan)
    logits_NV = model.readout(model.norm.forward(x_BTD), model.root.embedding_VE).flatten(0, 1).float()
    log_p_NV = functional.log_softmax(logits_NV, dim=-1)
    log_p_next_N = log_p_NV.gather(1, targets_BT.reshape(-1, 1))
    log_p_current_N = log_p_NV.gather(1, tokens_BT.reshape(-1, 1))
    top_N = log_p_NV.argmax(dim=-1)
    return {
        "loss_nats_L": -_total(log_p_next_N * weight_N1),
        "p_next_L": _total(log_p_next_N.exp() * weight_N1),
        "p_current_L": _total(log_p_current_N.exp()),
        "top_current_L": _total(top_N == tokens_BT.flatten()),
    }


def _total(values: Tensor) -> float:
    return float(values.to(torch.float64).sum())
