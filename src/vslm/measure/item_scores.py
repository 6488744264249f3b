"""What a model makes of the items of a benchmark: which choice it finds likeliest, and by how much.

    nats(c) = - sum over tokens of c of ln p(token | separator, context, tokens before)

    pairs       right where nats(good) < nats(bad); margin = (nats(bad) - nats(good)) / mean of their tokens
    choices     right where nats(right) is the smallest, and by length where nats / letters is; margin = mean over the
                wrong ones of nats / tokens, less that of the right one
    last word   right where every token of the word is the likeliest; loss = nats / tokens of the word

A margin is in nats per token; it tells models apart that are all near chance. Of a pair it is above 0 exactly where the
pair is right. Choices differ in length, so theirs compares tokens, and is 0 for who finds all alike. A tie counts
half. Of a pair the whole sentence is scored, as a document of its own: with the separator in front where the
tokenizer has one, else from its second token on.

What the context does not hold: a pair is left out and counted; of other items the context is cut at its beginning,
which is counted, too, and an item whose choices alone are too long is left out.

Papers: BLiMP, Warstadt et al., 2020, https://arxiv.org/abs/1912.00582; LAMBADA, Paperno et al., 2016,
https://arxiv.org/abs/1606.06031; HellaSwag, Zellers et al., 2019, https://arxiv.org/abs/1905.07830. Sums and choices by
length are those of lm-evaluation-harness; margins are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vslm.core.errors import DataError
from vslm.data.eval_items import Form, Item, Items
from vslm.data.tokenizers import FittedTokenizer
from vslm.measure.likelihoods import Row, row_losses
from vslm.models.language_model import LanguageModel

_TIE = 0.5


@dataclass(frozen=True)
class LaidOut:
    """Items as ids.

    Args:
        form: of the items.
        rows: every different text once.
        places: of every item, the row of each of its choices, the right one first; empty where it is left out.
        letters: of every item, the lengths of its choices in characters, without the space in front.
        num_cut: items of which the beginning is not seen.
    """

    form: Form
    rows: tuple[Row, ...]
    places: tuple[tuple[int, ...], ...]
    letters: tuple[tuple[int, ...], ...]
    num_cut: int

    @property
    def num_left_out(self) -> int:
        """Items that the context or the tokenizer does not hold."""
        return sum(not places for places in self.places)


@dataclass(frozen=True)
class ItemScores:
    """What a model makes of N items; NaN for those that were left out.

    Args:
        right_N: 1, 0, or 0.5 for a tie.
        by_length_N: the same per letter; all NaN where there are no choices of different context.
        margin_N: nats per token; of last words their loss.
    """

    right_N: np.ndarray
    by_length_N: np.ndarray
    margin_N: np.ndarray


def lay_out(items: Items, tokenizer: FittedTokenizer, context_tokens: int) -> LaidOut:
    """The items for a tokenizer and a context."""
    texts = [[f"{item.context}{choice}" for choice in _right_first(item)] for item in items.items]
    ids = _encoded([text for some in texts for text in some], tokenizer)
    number_of: dict[tuple[bytes, int], int] = {}
    rows: list[Row] = []
    places: list[tuple[int, ...]] = []
    num_cut, start = 0, 0
    for item, some in zip(items.items, texts, strict=True):
        its = ids[start : start + len(some)]
        start += len(some)
        found = [_row(one, item, tokenizer, context_tokens, items.form) for one in its]
        whole = [row for row in found if row is not None]
        if len(whole) < len(found):
            places.append(())
            continue
        num_cut += any(is_cut for _, is_cut in whole)
        mine = []
        for row, _ in whole:
            key = (row.ids.tobytes(), row.first)
            if key not in number_of:
                number_of[key] = len(rows)
                rows.append(row)
            mine.append(number_of[key])
        places.append(tuple(mine))
    letters = tuple(tuple(len(choice.removeprefix(" ")) for choice in _right_first(item)) for item in items.items)
    return LaidOut(items.form, tuple(rows), tuple(places), letters, num_cut)


def _right_first(item: Item) -> list[str]:
    return [item.choices[item.right], *(one for place, one in enumerate(item.choices) if place != item.right)]


def _encoded(texts: Sequence[str], tokenizer: FittedTokenizer) -> list[np.ndarray | None]:
    """Ids of each text; None for one with a character that the tokenizer does not know."""
    try:
        return list(tokenizer.encode_many(texts))
    except DataError:
        found: list[np.ndarray | None] = []
        for text in texts:
            try:
                found.append(tokenizer.encode(text))
            except DataError:
                found.append(None)
        return found


def _row(
    ids: np.ndarray | None, item: Item, tokenizer: FittedTokenizer, context_tokens: int, form: Form
) -> tuple[Row, bool] | None:
    """A text as it is scored, and whether its beginning is cut off; None where it cannot be."""
    if ids is None:
        return None
    first = 0
    if item.context:  # from the token on that ends behind the context: one that goes over its end is scored, too
        ends_T = np.cumsum(tokenizer.token_num_bytes[ids])
        first = int(np.searchsorted(ends_T, len(item.context.encode()), side="right"))
    separator = tokenizer.end_of_text
    if separator is not None:
        ids, first = np.concatenate(([separator], ids)), first + 1
    first = max(first, 1)
    cut = max(0, len(ids) - (context_tokens + 1))
    if len(ids) <= first or first - cut < 1 or (cut and form == "pairs"):
        return None
    return Row(ids[cut:], first - cut), cut > 0


def score_items(model: LanguageModel, laid_out: LaidOut) -> ItemScores:
    """What a model makes of items. For use inside `evaluating(model)`."""
    nats_R, is_likeliest_R = row_losses(model, laid_out.rows)
    tokens_R = np.array([len(row.ids) - row.first for row in laid_out.rows], dtype=np.float64)
    score = {"pairs": _of_pair, "choices": _of_choices, "last word": _of_word}[laid_out.form]
    found = np.full((3, len(laid_out.places)), np.nan)
    for number, (places, letters) in enumerate(zip(laid_out.places, laid_out.letters, strict=True)):
        if places:
            some = list(places)
            found[:, number] = score(nats_R[some], tokens_R[some], np.array(letters), bool(is_likeliest_R[some[0]]))
    return ItemScores(*found)


_Three = tuple[float, float, float]


def _of_pair(nats: np.ndarray, tokens: np.ndarray, letters: np.ndarray, is_likeliest: bool) -> _Three:
    return _smallest_first(nats), np.nan, float((nats[1] - nats[0]) / tokens.mean())


def _of_choices(nats: np.ndarray, tokens: np.ndarray, letters: np.ndarray, is_likeliest: bool) -> _Three:
    per_token = nats / tokens
    return _smallest_first(nats), _smallest_first(nats / letters), float(per_token[1:].mean() - per_token[0])


def _of_word(nats: np.ndarray, tokens: np.ndarray, letters: np.ndarray, is_likeliest: bool) -> _Three:
    return float(is_likeliest), np.nan, float(nats[0] / tokens[0])


def _smallest_first(values: np.ndarray) -> float:
    """1 where the first value is below all others, 0.5 where it is as small as the smallest, else 0.

    >>> _smallest_first(np.array([1.0, 2.0])), _smallest_first(np.array([2.0, 2.0, 3.0]))
    (1.0, 0.5)
    """
    smallest = values[1:].min()
    return _TIE if values[0] == smallest else float(values[0] < smallest)
