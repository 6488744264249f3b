"""What a model is trained and evaluated on: tokens, the tokens that follow them, and how much each of those counts.

    Batch      tensors: what an objective is given
    Windows    arrays: what is evaluated, the same for every arm, seed and step

A loss is a weighted mean over targets,

    loss = sum_bt w_bt l_bt / sum_bt w_bt

with the sum of weights taken over the whole batch, however many parts it is passed through the model in. Where a source
says nothing of weights they are None and every target counts the same; then the mean is `torch.mean`, to the bit.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from vslm.core.errors import RunError
from vslm.data.corpus import TokenFile
from vslm.data.windows import evaluation_starts, training_starts, weights_at, windows_at


@dataclass(frozen=True)
class Batch:
    """Rows of text as a model sees them.

    Args:
        tokens_BT: integers.
        targets_BT: the token behind each.
        weight_BT: how much each target counts, fp32, 0 or more; None: all the same.
        whole: the batch that this is a part of; None: it is whole.
        place: which of how many parts it is, from 0; (0, 1) of a whole one.
    """

    tokens_BT: Tensor
    targets_BT: Tensor
    weight_BT: Tensor | None = None
    whole: "Batch | None" = field(default=None, repr=False)
    place: tuple[int, int] = (0, 1)

    def __len__(self) -> int:
        """Rows."""
        return len(self.tokens_BT)

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        weight_BT = None if self.weight_BT is None else self.weight_BT.to(device, non_blocking=True)
        tokens_BT, targets_BT = (t.to(device, non_blocking=True) for t in (self.tokens_BT, self.targets_BT))
        return Batch(tokens_BT, targets_BT, weight_BT)

    def parts(self, count: int) -> list["Batch"]:
        """At most `count` parts, rows in their order; a mean of a part is its share of the mean over this batch."""
        if count == 1:
            return [self]
        tokens, targets = self.tokens_BT.chunk(count), self.targets_BT.chunk(count)
        weights = [None] * len(tokens) if self.weight_BT is None else self.weight_BT.chunk(count)
        parts = zip(tokens, targets, weights, strict=True)
        return [Batch(*part, whole=self, place=(number, count)) for number, part in enumerate(parts)]

    def part_beside(self, other: "Batch") -> "Batch":
        """The part of another batch with as many rows that goes with this part of its own: all of it, of a whole one.

        So a mean of it is its share of the other batch's, and the shares of all parts add up.
        """
        number, count = self.place
        return other.parts(count)[number]

    def mean(self, loss_nats_BT: Tensor, *, further: int = 0) -> Tensor:
        """The mean loss of the targets that count; of a part, its share of the whole batch's.

        Args:
            loss_nats_BT: a loss for each target; for those from `further` on, [B, T - further].
            further: how many positions behind the target the one stands whose loss it is.
        """
        whole = self.whole or self
        if self.weight_BT is None or whole.weight_BT is None:
            mean = loss_nats_BT.mean()
            return mean if whole is self else mean * (len(self) / len(whole))
        total = whole.weight_BT[:, further:].sum()
        # Further on nothing may be left that counts.
        return (loss_nats_BT * self.weight_BT[:, further:]).sum() / torch.where(total > 0, total, 1.0)

    def sum_by_position(self, loss_nats_BT: Tensor) -> Tensor:
        """The weighted sum of the loss over rows, [T] in float64."""
        loss_nats_BT = loss_nats_BT.double()
        return (loss_nats_BT if self.weight_BT is None else loss_nats_BT * self.weight_BT).sum(dim=0)


@dataclass(frozen=True)
class Windows:
    """Fixed windows that are evaluated.

    Args:
        tokens_NT1: int64; the last column holds targets alone.
        weight_NT: how much each target counts, fp32; None: all the same.
    """

    tokens_NT1: np.ndarray
    weight_NT: np.ndarray | None = None

    def by_position(self, loss_nats_NT: np.ndarray) -> np.ndarray:
        """The mean loss at each position, [T] in float64; NaN where no target counts."""
        if self.weight_NT is None:
            return loss_nats_NT.mean(axis=0, dtype=np.float64)
        weight_T = self.weights_by_position
        assert weight_T is not None
        sums_T = (loss_nats_NT * self.weight_NT.astype(np.float64)).sum(axis=0)
        return np.divide(sums_T, weight_T, out=np.full_like(sums_T, np.nan), where=weight_T > 0)

    @property
    def weights_by_position(self) -> np.ndarray | None:
        """The sum of the weights at each position, float64; None where all count the same."""
        return None if self.weight_NT is None else self.weight_NT.sum(axis=0, dtype=np.float64)


def mean_over_positions(loss_nats_T: np.ndarray, weight_T: np.ndarray | None) -> float:
    """The mean over all targets from the means at each position.

    >>> mean_over_positions(np.array([2.0, np.nan, 5.0]), np.array([2.0, 0.0, 1.0]))
    3.0
    """
    if weight_T is None:
        return float(loss_nats_T.mean())
    counts_T = weight_T > 0
    if not counts_T.any():
        return float("nan")
    return float((loss_nats_T[counts_T] * weight_T[counts_T]).sum() / weight_T[counts_T].sum())


def training_batch_of(
    split: TokenFile, *, context_tokens: int, batch_windows: int, data_seed: int, step: int, align_tokens: int
) -> Batch:
    """The batch of a step, on the CPU; see `windows.training_starts`.

    Raises: RunError where none of its targets counts; DataError as `training_starts`.
    """
    starts_B = training_starts(
        split.tokens,
        context_tokens=context_tokens,
        batch_windows=batch_windows,
        data_seed=data_seed,
        step=step,
        align_tokens=align_tokens,
    )
    tokens_BT1 = torch.from_numpy(windows_at(split.tokens, starts_B, context_tokens))
    batch = Batch(tokens_BT1[:, :-1].contiguous(), tokens_BT1[:, 1:].contiguous())
    weight_BT = weights_at(split.weights, starts_B, context_tokens)
    if weight_BT is None:
        return batch
    if not weight_BT.any():
        found = f"none of the {weight_BT.size:,} targets of step {step + 1} counts"
        do = "give larger batches (batch_tokens), or text of which more is scored"
        raise RunError("data", found, "a loss is the mean over targets that count", do)
    return replace(batch, weight_BT=torch.from_numpy(weight_BT))


def evaluation_windows_of(split: TokenFile, *, context_tokens: int, num_tokens: int | None = None) -> Windows:
    """The windows of a split that are evaluated; see `windows.evaluation_starts`.

    Raises: RunError where none of their targets counts; DataError as `evaluation_starts`.
    """
    starts_N = evaluation_starts(split.tokens, context_tokens=context_tokens, num_tokens=num_tokens)
    weight_NT = weights_at(split.weights, starts_N, context_tokens)
    if weight_NT is not None and not weight_NT.any():
        found = f"none of the {weight_NT.size:,} targets of {split.path.stem} that are evaluated counts"
        do = "evaluate more tokens, or give text of which more is scored"
        raise RunError("measures", found, "a loss is the mean over targets that count", do)
    return Windows(windows_at(split.tokens, starts_N, context_tokens), weight_NT)
