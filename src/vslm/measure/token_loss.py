"""The loss of every token, and what is made of it by position."""

import math

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from vslm.measure.measure import in_batches, windows_at_a_time


def token_loss(model: nn.Module, tokens_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """Cross-entropy of every target, in nats.

        loss_bt = logsumexp_v(logits_btv) - logits_bt[target_bt]

    Shapes: tokens_BT and targets_BT of integers in, loss_nats_BT in fp32 out.
    """
    return loss_of_logits(model(tokens_BT), targets_BT)


def loss_of_logits(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Cross-entropy of every target, in nats and fp32, of logits that are there already."""
    logits_NV = logits_BTV.flatten(0, 1).float()
    return functional.cross_entropy(logits_NV, targets_BT.flatten(), reduction="none").view(targets_BT.shape)


def window_losses(model: nn.Module, windows_NT1: np.ndarray) -> np.ndarray:
    """The loss of every target of all windows, [N, T] in nats: digits of fp32, held in float64 for what sums them."""
    batches = in_batches(windows_NT1, model, windows_at_a_time(windows_NT1.shape[1] - 1))
    return np.concatenate([token_loss(model, tokens, targets).double().cpu().numpy() for tokens, targets in batches])


def by_position(loss_nats_NT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of the loss at each position, over N windows.

    >>> mean_T, sem_T = by_position(np.array([[1.0, 2.0], [3.0, 2.0]]))
    >>> mean_T.tolist(), sem_T.tolist()
    ([2.0, 2.0], [1.0, 0.0])
    """
    num_windows = loss_nats_NT.shape[0]
    mean_T = loss_nats_NT.mean(axis=0)
    if num_windows < 2:
        return mean_T, np.full_like(mean_T, np.nan)
    return mean_T, loss_nats_NT.std(axis=0, ddof=1) / math.sqrt(num_windows)


def bits_per_byte(loss_nats: float, bytes_per_token: float) -> float:
    """Nats per token as bits per byte of text, which compares models with different tokenizers.

    >>> round(bits_per_byte(math.log(2), 1.0), 6)
    1.0
    """
    return loss_nats / (math.log(2) * bytes_per_token)
