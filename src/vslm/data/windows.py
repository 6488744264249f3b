"""From a row of tokens to windows: what a training step sees, and what is evaluated.

Not for: reading files. `tokens` is any 1-D array of integers, a memmap among them.
"""

import functools

import numpy as np

from vslm.core.errors import DataError
from vslm.core.seeds import derive_seed


def training_starts(
    tokens: np.ndarray, *, context_tokens: int, batch_windows: int, data_seed: int, step: int, align_tokens: int = 1
) -> np.ndarray:
    """Where the windows of a step start: a pure function of how many tokens there are, of (data_seed, step) and of the
    two sizes.

    An epoch lays windows side by side from an offset and goes through them in shuffled order: every window once before
    any comes again. The next epoch has another offset and another order. Row r of step s is window `s * batch_windows
    + r` of that endless row, so arms with other batch sizes see the same windows in the same order.

    Offset and order are read from a Philox generator with the key `derive_seed(data_seed, "windows", epoch)`: its raw
    64-bit numbers, sorted, which no version of numpy changes.

    Cost: the order of an epoch is kept.

    Args:
        tokens: the train split.
        context_tokens: positions that the model sees; a window holds one more, the last target.
        batch_windows: rows.
        data_seed: decides the order, and nothing else does.
        step: from 0.
        align_tokens: windows start at multiples of it; a divisor of `context_tokens`.
    Shapes: int64 [batch_windows] out. A window holds context_tokens + 1 tokens, so neighboring ones share one: the last
        target of one is the first input of the next, and no target is lost.
    Raises: DataError when the tokens do not fill one window, or windows cannot be aligned.
    """
    check_alignment(context_tokens, align_tokens)
    if len(tokens) <= context_tokens:
        raise _too_few(tokens, "training", context_tokens)
    # One window less than fits, so that every offset below context_tokens leaves the same number.
    num_windows = max(1, (len(tokens) - context_tokens) // context_tokens)
    num_offsets = -(-min(context_tokens, len(tokens) - num_windows * context_tokens) // align_tokens)
    places = step * batch_windows + np.arange(batch_windows)
    starts = np.empty(batch_windows, dtype=np.int64)
    for epoch in range(int(places[0]) // num_windows, int(places[-1]) // num_windows + 1):
        offset, order = _epoch(data_seed, epoch, num_windows, num_offsets)
        here = places // num_windows == epoch
        starts[here] = offset * align_tokens + order[places[here] % num_windows] * context_tokens
    return starts


def training_batch(tokens: np.ndarray, *, context_tokens: int, **how: int) -> np.ndarray:
    """The windows of a step, int64 [batch_windows, context_tokens + 1]; arguments and errors of `training_starts`."""
    starts = training_starts(tokens, context_tokens=context_tokens, **how)  # type: ignore[arg-type]
    return windows_at(tokens, starts, context_tokens)


def windows_at(tokens: np.ndarray, starts_N: np.ndarray, context_tokens: int) -> np.ndarray:
    """The windows that start there, int64 [N, context_tokens + 1]."""
    return np.asarray(tokens[starts_N[:, None] + np.arange(context_tokens + 1)], dtype=np.int64)


def weights_at(weights: np.ndarray | None, starts_N: np.ndarray, context_tokens: int) -> np.ndarray | None:
    """How much each target of these windows counts, fp32 [N, context_tokens]; None where all count the same.

    Args:
        weights: of every token of the split, as a target; None: all the same.
        starts_N: of the windows.
        context_tokens: targets of a window.
    """
    if weights is None:
        return None
    return np.asarray(weights[starts_N[:, None] + 1 + np.arange(context_tokens)], dtype=np.float32)


@functools.lru_cache(maxsize=4)  # two epochs can meet in a batch, and two seeds in a process
def _epoch(data_seed: int, epoch: int, num_windows: int, num_offsets: int) -> tuple[int, np.ndarray]:
    numbers = np.random.Philox(key=derive_seed(data_seed, "windows", epoch)).random_raw(1 + num_windows)
    order = np.argsort(numbers[1:], kind="stable")
    order.flags.writeable = False
    return int(numbers[0]) % num_offsets, order


def evaluation_windows(tokens: np.ndarray, *, context_tokens: int, num_tokens: int | None = None) -> np.ndarray:
    """The windows that are evaluated: side by side from the beginning, the same for every arm and seed.

    Args:
        tokens: the val or select split.
        context_tokens: positions that the model sees.
        num_tokens: targets wanted, rounded up to whole windows; they are spread evenly over the split. None, or more
            than there are: all.
    Shapes: int64 [N, context_tokens + 1] out; N * context_tokens targets.
    Raises: DataError when the tokens do not fill one window.
    """
    starts = evaluation_starts(tokens, context_tokens=context_tokens, num_tokens=num_tokens)
    return windows_at(tokens, starts, context_tokens)


def evaluation_starts(tokens: np.ndarray, *, context_tokens: int, num_tokens: int | None = None) -> np.ndarray:
    """Where the windows of `evaluation_windows` start, [N]. Raises as it does."""
    if len(tokens) <= context_tokens:
        raise _too_few(tokens, "evaluation", context_tokens)
    available = (len(tokens) - 1) // context_tokens
    wanted = available if num_tokens is None else min(available, max(1, -(-num_tokens // context_tokens)))
    return np.arange(wanted) * available // wanted * context_tokens


def spread_windows(
    tokens: np.ndarray, *, context_tokens: int, num_windows: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """Windows with different last targets, spread evenly over all of the tokens; they may overlap.

    Args:
        tokens: the val or select split.
        context_tokens: positions that the model sees.
        num_windows: wanted; where there are fewer targets with a whole context before them, all of those.
        weights: how much each token counts; those with 0 are no targets. None: all are.
    Shapes: int64 [N, context_tokens + 1] out; the last column holds N targets.
    Raises: DataError when the tokens do not fill one window, or no target counts.
    """
    if len(tokens) <= context_tokens:
        raise _too_few(tokens, "evaluation", context_tokens)
    available = len(tokens) - context_tokens
    counted = None if weights is None else np.flatnonzero(weights[context_tokens:])
    if counted is not None and not len(counted):
        found = f"no token with {context_tokens:,} tokens before it counts"
        raise DataError("data", found, "a mean is over targets that count", "score more of the text")
    among = available if counted is None else len(counted)
    wanted = min(among, num_windows)
    starts_N = np.arange(wanted) * among // wanted
    return windows_at(tokens, starts_N if counted is None else counted[starts_N], context_tokens)


def document_bounds(tokens: np.ndarray, separator: int) -> tuple[np.ndarray, np.ndarray]:
    """Where every document starts, and where the separator behind it stands.

    >>> starts, ends = document_bounds(np.array([5, 6, 0, 0, 7, 0]), 0)
    >>> starts.tolist(), ends.tolist()
    ([0, 3, 4], [2, 3, 5])
    """
    ends = np.flatnonzero(np.asarray(tokens) == separator)
    return np.concatenate([[0], ends[:-1] + 1])[: len(ends)].astype(np.int64), ends


def document_of_windows(tokens: np.ndarray, separator: int, starts_N: np.ndarray, context_tokens: int) -> np.ndarray:
    """The document that holds most of a window's targets, by number from 0, for every window; of equals the first.

    A separator belongs to the document that it ends. What stands behind the last separator is one more document.

    >>> document_of_windows(np.array([5, 6, 0, 7, 0, 8, 9, 4, 3]), 0, np.array([0, 4]), 4).tolist()
    [0, 2]
    """
    ends = np.flatnonzero(np.asarray(tokens) == separator)
    document_NT = np.searchsorted(ends, np.asarray(starts_N)[:, None] + 1 + np.arange(context_tokens))
    first_N = document_NT[:, 0]  # numbers rise along a window, so counts are short
    counts = (np.bincount(row_T - first) for row_T, first in zip(document_NT, first_N, strict=True))
    return first_N + np.array([count.argmax() for count in counts], dtype=np.int64)


def check_alignment(context_tokens: int, align_tokens: int) -> None:
    """Refuse a context that does not hold whole documents of a corpus whose windows start where documents do.

    Raises: DataError naming the context.
    """
    if context_tokens % align_tokens:
        found = f"{context_tokens} tokens are no multiple of {align_tokens}, where documents of this corpus start"
        raise DataError("model.context_tokens", found, f"{align_tokens}, or a multiple of it, is needed")


def num_target_bytes(
    windows: np.ndarray, token_num_bytes: np.ndarray, weight_NT: np.ndarray | None = None
) -> int | float:
    """Bytes of text in the targets of windows, exactly: `bpb = sum of loss_nats / ln 2 / num_target_bytes`; weighted as
    the losses are.

    Args:
        windows: as `evaluation_windows` gives them; the first column is no target.
        token_num_bytes: of the tokenizer; the separator has none.
        weight_NT: of each target; None: all count the same.
    """
    num_bytes_NT = token_num_bytes[windows[:, 1:]]
    return int(num_bytes_NT.sum()) if weight_NT is None else float((num_bytes_NT * weight_NT).sum())


def _too_few(tokens: np.ndarray, what_for: str, context_tokens: int) -> DataError:
    found = f"a window of {context_tokens:,} tokens does not fit into the {len(tokens):,} tokens for {what_for}"
    do = "give more text or a smaller context_tokens"
    return DataError("model.context_tokens", found, f"at most {max(len(tokens) - 1, 0):,} fit", do)
