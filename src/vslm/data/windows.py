"""From a row of tokens to windows: which tokens a training step sees, and which ones are evaluated."""

import functools

import numpy as np

from vslm.core.errors import DataError
from vslm.core.seeds import derive_seed


def training_batch(
    tokens: np.ndarray, *, context_tokens: int, batch_windows: int, data_seed: int, step: int
) -> np.ndarray:
    """The windows of a step: a pure function of (data_seed, step).

    An epoch lays windows side by side from a random offset and goes through them in a random order, so every token of
    an epoch is a target once before any is again. Offset and order come from a generator keyed by (data seed, epoch).

    Shapes: integers [batch_windows, context_tokens + 1] out; the last column is only a target.
    Raises: DataError when the tokens do not hold two windows.
    """
    num_windows = (len(tokens) - 1) // context_tokens - 1
    if num_windows < 1:
        _too_short(tokens, "train", context_tokens, 2 * context_tokens + 1)
    rows = np.empty((batch_windows, context_tokens + 1), dtype=np.int64)
    for row in range(batch_windows):
        epoch, place = divmod(step * batch_windows + row, num_windows)
        offset, order = _epoch(data_seed, epoch, num_windows, context_tokens)
        start = offset + int(order[place]) * context_tokens
        rows[row] = tokens[start : start + context_tokens + 1]
    return rows


@functools.lru_cache(maxsize=4)
def _epoch(data_seed: int, epoch: int, num_windows: int, context_tokens: int) -> tuple[int, np.ndarray]:
    rng = np.random.Generator(np.random.Philox(derive_seed("batches", data_seed, epoch)))
    return int(rng.integers(context_tokens)), rng.permutation(num_windows)


def evaluation_windows(tokens: np.ndarray, *, context_tokens: int, num_tokens: int) -> np.ndarray:
    """Fixed windows side by side, spread evenly over the split when fewer than all are asked for.

    Shapes: integers [N, context_tokens + 1] out, N * context_tokens about `num_tokens` or as many as there are.
    Raises: DataError when the tokens do not hold one window.
    """
    available = (len(tokens) - 1) // context_tokens
    if available < 1:
        _too_short(tokens, "val", context_tokens, context_tokens + 1)
    wanted = min(available, max(1, num_tokens // context_tokens))
    starts = np.linspace(0, available - 1, wanted).round().astype(np.int64) * context_tokens
    return np.stack([tokens[start : start + context_tokens + 1] for start in starts]).astype(np.int64)


def _too_short(tokens: np.ndarray, split: str, context_tokens: int, needed: int) -> None:
    found = f"the {split} split has {len(tokens):,} tokens"
    do = "give more text, or a shorter context_tokens"
    raise DataError("data", found, f"a window of {context_tokens} tokens needs {needed:,}", do)
