"""What its context is worth to a finished model, cheaply: the question of a pilot.

    gain = C(1) - C(late)      over targets with at least half of the context before them, each in both means

C(1) is the loss of a target when the model is given nothing but the last token before it, as in `ContextCurve`; C(late)
the loss of the same target in its window. A window answers for half of its targets at once, and what a model says after
one token is computed once for each token that occurs, so a target costs about two tokens forward, where `ContextCurve`
needs T: that is why this can be asked of every study, and why it says nothing of the k in between.

Where C(1) tells nothing, because the task can be half solved without using the context in the way that is asked for,
the source says at which loss a model stands that has not begun (`Source.plateau_nats`), and the gain is counted from
there.
"""

from dataclasses import dataclass

import numpy as np
import torch

from vslm.data.batches import Windows
from vslm.measure.measure import evaluating
from vslm.measure.token_loss import window_losses
from vslm.models.language_model import LanguageModel
from vslm.stats.pilot import late_positions, mean_and_error

_MOST_LOGITS = 2**22  # at a time: 16 MB in fp32
_SHARE_OF_A_RUN = 0.01  # of its tokens, forward: a third of a percent of its time, or 1% where training is compiled
_FEWEST_WINDOWS, _MOST_WINDOWS = 16, 128


@dataclass(frozen=True)
class Gain:
    """What is known of one model.

    Args:
        nats: C(1) - C(late), or the source's plateau - C(late).
        sem_nats: its standard error over windows.
    """

    nats: float
    sem_nats: float


def num_windows(tokens: int, context_tokens: int) -> int:
    """How many windows a gain is taken on: about a hundredth of a run's tokens, with room for a standard error.

    >>> num_windows(540_672, 256), num_windows(20_000_000, 256), num_windows(3_000, 17)
    (21, 128, 16)
    """
    return min(_MOST_WINDOWS, max(_FEWEST_WINDOWS, round(_SHARE_OF_A_RUN * tokens / context_tokens)))


def context_gain(model: LanguageModel, windows: Windows, *, plateau_nats: float | None = None) -> Gain:
    """The gain over windows, each target as its weight.

    Args:
        model: finished, with the kernels of the device it is on.
        windows: of text that it was not trained on.
        plateau_nats: of its source.
    """
    with evaluating(model):
        loss_NT = window_losses(model, windows.tokens_NT1)
        alone_NT = _alone(model, windows.tokens_NT1) if plateau_nats is None else plateau_nats
    weight_NT = _late_weights(windows)
    weight_N = weight_NT.sum(axis=1)
    gain_N = ((alone_NT - loss_NT) * weight_NT).sum(axis=1) / np.where(weight_N > 0, weight_N, 1.0)
    return Gain(*mean_and_error(gain_N, weight_N))


def alone_nats(model: LanguageModel, windows: Windows) -> float:
    """C(1) on the late targets of windows."""
    with evaluating(model):
        alone_NT = _alone(model, windows.tokens_NT1)
    weight_NT = _late_weights(windows)
    return float((alone_NT * weight_NT).sum() / weight_NT.sum())


def _late_weights(windows: Windows) -> np.ndarray:
    """The weights of late targets, 0 for all others, float64 [N, T]."""
    shape = (len(windows.tokens_NT1), windows.tokens_NT1.shape[1] - 1)
    weight_NT = np.ones(shape) if windows.weight_NT is None else windows.weight_NT.astype(np.float64)
    return weight_NT * late_positions(shape[1], windows.weights_by_position)


def _alone(model: LanguageModel, tokens_NT1: np.ndarray) -> np.ndarray:
    """The loss of every target after the one token before it, [N, T]. Every token that occurs is passed once."""
    device = next(model.parameters()).device
    inputs_U, place_NT = np.unique(tokens_NT1[:, :-1], return_inverse=True)
    place_NT = place_NT.reshape(len(tokens_NT1), -1)
    vocabulary = model(torch.from_numpy(inputs_U[:1, None]).to(device)).shape[-1]
    at_a_time = max(1, _MOST_LOGITS // vocabulary)
    loss_NT = np.empty(place_NT.shape)
    for start in range(0, len(inputs_U), at_a_time):
        part = torch.from_numpy(inputs_U[start : start + at_a_time, None]).to(device)
        log_p_UV = model(part)[:, 0].float().log_softmax(dim=-1).cpu().numpy()
        is_here = (place_NT >= start) & (place_NT < start + at_a_time)
        loss_NT[is_here] = -log_p_UV[place_NT[is_here] - start, tokens_NT1[:, 1:][is_here]]
    return loss_NT
