"""How likely a model finds the ends of texts: many texts at once, whatever the model is made of."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from vslm.models.language_model import LanguageModel

_MOST_TOKENS = 4096  # of a batch, its padding among them
_MOST_LOGITS = 2**24  # held at once: 64 MB in fp32


class Row(NamedTuple):
    """A text as ids, of which the end is scored.

    Args:
        ids: int64, two or more; one more than the context holds at most, since the last is a target alone.
        first: the place of the first that is scored, 1 or more.
    """

    ids: np.ndarray
    first: int


def row_losses(model: LanguageModel, rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Of each row: the loss of its end in nats, summed over tokens, and whether every token of it is the likeliest.

        nats_n = - sum over t >= first of ln p(ids_t | ids before)

    Rows of like length go together, filled up behind, where nothing that is scored sees it; logits are computed where
    something is scored alone. For use inside `evaluating(model)`.

    Shapes: nats_N in float64 and is_likeliest_N out.
    """
    device = next(model.parameters()).device
    nats_N, is_likeliest_N = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
    for places in batches([len(row.ids) - 1 for row in rows]):
        longest = max(len(rows[place].ids) for place in places)
        tokens_BT = np.zeros((len(places), longest), dtype=np.int64)
        is_scored_BT = np.zeros((len(places), longest - 1), dtype=bool)
        for number, place in enumerate(places):
            ids, first = rows[place]
            tokens_BT[number, : len(ids)] = ids
            is_scored_BT[number, first - 1 : len(ids) - 1] = True
        row_M, at_M = np.nonzero(is_scored_BT)
        x_BTD = model.last(torch.from_numpy(tokens_BT[:, :-1]).to(device)).x_BTD
        x_MD = x_BTD[torch.from_numpy(row_M).to(device), torch.from_numpy(at_M).to(device)]
        targets_M = torch.from_numpy(tokens_BT[row_M, at_M + 1]).to(device)
        loss_M, is_first_M = _losses(model, x_MD, targets_M)
        nats_N[places] = np.bincount(row_M, weights=loss_M, minlength=len(places))
        is_likeliest_N[places] = np.bincount(row_M, weights=~is_first_M, minlength=len(places)) == 0
    return nats_N, is_likeliest_N


def _losses(model: LanguageModel, x_MD: torch.Tensor, targets_M: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Of places in texts: the loss of their targets, and whether those are the likeliest; some at a time."""
    losses, firsts, start, some = [], [], 0, 1
    while start < len(x_MD):
        logits_MV = model.logits(x_MD[None, start : start + some])[0].float()
        targets = targets_M[start : start + some]
        losses.append(functional.cross_entropy(logits_MV, targets, reduction="none").double().cpu().numpy())
        firsts.append((logits_MV.argmax(dim=-1) == targets).cpu().numpy())
        start += some
        some = max(1, _MOST_LOGITS // logits_MV.shape[-1])  # how many ids there are, the first place tells
    return np.concatenate(losses), np.concatenate(firsts)


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of rows, like lengths together, so that a batch has some 4,096 tokens at most.

    >>> [len(places) for places in batches([8] * 1000)], list(batches([5000, 3]))
    ([512, 488], [[1], [0]])
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    start = 0
    while start < len(order):
        count = 1
        while start + count < len(order) and (count + 1) * lengths[order[start + count]] <= _MOST_TOKENS:
            count += 1
        yield order[start : start + count]
        start += count
