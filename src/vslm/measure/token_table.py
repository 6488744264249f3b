"""What a model says of every token of a text: where it stands, its loss, its rank, and what was likelier.

    table = token_table(model, tokenizer, "Once upon a time")
    table.loss_nats_N, table.rank_N, table.top_ids_NK       # one row per token, in the order of the text
    table.from_byte_N[3], table.to_byte_N[3]                # the fourth token is these bytes of the text in UTF-8
    table.remark                                            # "" or, in words, how to read it with care

Not for: means over a corpus, see `loss_by_position.py` and `position_profile.py`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vslm.core.errors import DataError, SpecError
from vslm.data.tokenizers import FittedTokenizer
from vslm.measure.measure import evaluating, windows_at_a_time
from vslm.measure.token_counts import never_words
from vslm.models.language_model import LanguageModel


@dataclass(frozen=True)
class TokenTable:
    """What a model said of N tokens; arrays are on the CPU and belong to the caller.

    Args:
        ids_N: the tokens.
        from_byte_N: where a token starts in the text as UTF-8; it may start or end inside a character.
        to_byte_N: the byte after its last, so rows lie side by side and end with the text.
        loss_nats_N: -ln of the probability of the token. NaN where nothing stands before it: the first token of a
            corpus without separator.
        p_N: that probability; NaN as above.
        rank_N: 1 + how many ids are strictly likelier; 1 is the likeliest, 0 where nothing stands before.
        entropy_nats_N: of the whole distribution, sum_v -p_v ln p_v.
        top_ids_NK: the likeliest ids, likeliest first; -1 where nothing stands before. K is `top`, or the vocabulary
            where that is smaller.
        top_p_NK: their probabilities.
        seen_tokens_N: how many tokens the model saw when it said so, the separator before the text included.
        context_tokens: the most it can see.
        stride_tokens: how far windows slide, or None where the text fits one.
        num_never: tokens that training never showed; None where that is not known.
    """

    ids_N: np.ndarray
    from_byte_N: np.ndarray
    to_byte_N: np.ndarray
    loss_nats_N: np.ndarray
    p_N: np.ndarray
    rank_N: np.ndarray
    entropy_nats_N: np.ndarray
    top_ids_NK: np.ndarray
    top_p_NK: np.ndarray
    seen_tokens_N: np.ndarray
    context_tokens: int
    stride_tokens: int | None
    num_never: int | None

    def __len__(self) -> int:
        return len(self.ids_N)

    @property
    def remark(self) -> str:
        """What a reader has to know: that the text did not fit one window, that training never showed some of it."""
        never = never_words(self.num_never or 0)
        if self.stride_tokens is None:
            return never
        fewest = int(self.seen_tokens_N[self.context_tokens :].min(initial=self.context_tokens))
        slides = (
            f"{len(self):,} tokens are more than the context of {self.context_tokens:,}: the window slides by "
            f"{self.stride_tokens:,}, and each token beyond the first window is scored once, after {fewest:,} or more"
        )
        return "; ".join(part for part in (slides, never) if part)


def token_table(
    model: LanguageModel,
    tokenizer: FittedTokenizer,
    text: str,
    top: int = 5,
    *,
    counts_V: np.ndarray | None = None,
    before_M: np.ndarray | None = None,
) -> TokenTable:
    """Score every token of a text.

        p_n = softmax(logits after the tokens before n)_{x_n},   loss_n = -ln p_n,   rank_n = 1 + #{v : p_v > p_n}

    The text is read as the beginning of a document: after a separator where the corpus has one. Without one the first
    token has nothing before it and no numbers.

    A text longer than the context is read in windows that slide by half of it; each token is scored once, in the
    first window that shows at least half a context before it. The last window ends with the text.

    Cost: one forward pass, two for a text longer than the context; logits of about 2,048 tokens at a time.

    Args:
        model: on any device; its mode is left as it was.
        tokenizer: of its corpus.
        text: one character or more.
        top: how many alternatives to keep.
        counts_V: how often training showed every id, so that tokens it never did can be named; None: not known.
        before_M: tokens that stand in front of the text, behind the separator, and are not scored; None: none do.
    Raises: DataError for an empty text or a character that the tokenizer cannot encode, SpecError for `top` below 1 and
        where what stands in front leaves no room.
    """
    if top < 1:
        raise SpecError("top", f"found {top}", "1 or more is needed")
    if not text:
        raise DataError("text", "it is empty", "one character or more is needed")
    ids_N = tokenizer.encode(text)
    # What is read: a separator, then the text. A target is a token that has something before it.
    separator = tokenizer.end_of_text
    begin_M = np.array([] if separator is None else [separator], dtype=np.int64)
    if before_M is not None:
        begin_M = np.concatenate([begin_M, before_M])
    # The last token of what stands in front is read with the text, whose first token it foretells.
    fixed_M, read_M = begin_M[:-1], np.concatenate([begin_M[-1:], ids_N])
    num_unscored = 1 - len(begin_M[-1:])
    top = min(top, tokenizer.vocabulary)
    num = len(ids_N)
    columns = {
        "loss_nats_N": np.full(num, np.nan),
        "p_N": np.full(num, np.nan),
        "rank_N": np.zeros(num, dtype=np.int64),
        "entropy_nats_N": np.full(num, np.nan),
        "top_ids_NK": np.full((num, top), -1, dtype=np.int64),
        "top_p_NK": np.full((num, top), np.nan),
        "seen_tokens_N": np.zeros(num, dtype=np.int64),
    }
    context_tokens = model.context_tokens - len(fixed_M)
    if context_tokens < 1:
        found = f"{len(begin_M):,} tokens in front of the text in a context of {model.context_tokens:,}"
        raise SpecError("before_M", found, "one position for the text is needed", "put fewer in front")
    windows = sliding_windows(len(read_M) - 1, context_tokens)
    with evaluating(model):
        _fill(columns, model, fixed_M, read_M, windows, num_unscored, top)
    ends_N = np.cumsum(tokenizer.token_num_bytes[ids_N])
    return TokenTable(
        ids_N=ids_N,
        from_byte_N=ends_N - tokenizer.token_num_bytes[ids_N],
        to_byte_N=ends_N,
        **columns,
        context_tokens=context_tokens,
        stride_tokens=_stride(context_tokens) if len(windows) > 1 else None,
        num_never=None if counts_V is None else int((counts_V[ids_N] == 0).sum()),
    )


def sliding_windows(num_targets: int, context_tokens: int) -> list[tuple[int, int, int]]:
    """Windows that score every target once: (first input, last input + 1, first position that is scored).

    Position i of a window scores the token behind input i. All windows of a long text are as long as the context.

    >>> sliding_windows(3, 8), sliding_windows(11, 4)
    ([(0, 3, 0)], [(0, 4, 0), (2, 6, 2), (4, 8, 2), (6, 10, 2), (7, 11, 3)])
    """
    if num_targets <= context_tokens:
        return [(0, num_targets, 0)] if num_targets else []
    stride = _stride(context_tokens)
    starts = [*range(0, num_targets - context_tokens, stride), num_targets - context_tokens]
    windows, done = [], 0
    for start in starts:
        windows.append((start, start + context_tokens, done - start))
        done = start + context_tokens
    return windows


def _stride(context_tokens: int) -> int:
    """Half a context, or one token where there is no half."""
    return max(1, context_tokens // 2)


def _fill(
    columns: dict[str, np.ndarray],
    model: LanguageModel,
    fixed_M: np.ndarray,
    read_M: np.ndarray,
    windows: list[tuple[int, int, int]],
    num_unscored: int,
    top: int,
) -> None:
    """Write what the model says of the targets of each window into `columns`."""
    device = next(model.parameters()).device
    at_a_time, num_fixed = windows_at_a_time(model.context_tokens), len(fixed_M)
    for first in range(0, len(windows), at_a_time):
        some = windows[first : first + at_a_time]
        rows = [np.concatenate([fixed_M, read_M[start:stop]]) for start, stop, _ in some]
        tokens_BT = torch.from_numpy(np.stack(rows)).to(device)
        targets_BT = torch.from_numpy(np.stack([read_M[start + 1 : stop + 1] for start, stop, _ in some])).to(device)
        said = {
            name: values.cpu().numpy()
            for name, values in _say(model(tokens_BT)[:, num_fixed:], targets_BT, top).items()
        }
        for row, (start, stop, position) in enumerate(some):
            # The target behind input i of what was read is token i of the text after a separator, else token i + 1.
            place = slice(start + position + num_unscored, stop + num_unscored)
            for name, values in said.items():
                columns[name][place] = values[row, position:]
            columns["seen_tokens_N"][place] = np.arange(position, stop - start) + 1


def _say(logits_BTV: Tensor, targets_BT: Tensor, top: int) -> dict[str, Tensor]:
    """Every number of every position, in fp32."""
    log_p_BTV = functional.log_softmax(logits_BTV.float(), dim=-1)
    log_p_BT1 = log_p_BTV.gather(-1, targets_BT[..., None])
    top_log_p_BTK, top_ids_BTK = log_p_BTV.topk(top, dim=-1)
    return {
        "loss_nats_N": -log_p_BT1[..., 0],
        "p_N": log_p_BT1[..., 0].exp(),
        "rank_N": 1 + (log_p_BTV > log_p_BT1).sum(dim=-1),
        "entropy_nats_N": torch.special.entr(log_p_BTV.exp()).sum(dim=-1),
        "top_ids_NK": top_ids_BTK,
        "top_p_NK": top_log_p_BTK.exp(),
    }
