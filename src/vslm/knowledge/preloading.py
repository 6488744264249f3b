r"""Passages in front of a text: how they are laid out, and which of those that were found have room.

An ordinary text gets a passage a line, the best one last, then a blank line. A text that begins with `<ctx>`, as
examples of worlds do, has a place for them: right behind it, with a space before each.

    >>> laid_out("Once there was", ["A fox ran.", "It\nhid."])
    Layout(front='It hid.\nA fox ran.\n\n', text='Once there was')
    >>> laid_out("<ctx> <q> where?", ["a fox ran."])
    Layout(front='<ctx> a fox ran.', text=' <q> where?')
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vslm.core.bounds import Some
from vslm.core.errors import DataError, SpecError
from vslm.data.tokenizers import FittedTokenizer
from vslm.knowledge.retriever import Finder, Found, Query

PLACE = "<ctx>"  # in a text that has a place for what is loaded
ANSWER = "<a>"  # behind which its answer stands
MOST_PASSAGES = 100
_MARK = re.compile(r"<\w+>")
_OTHERS = 3  # times as many passages as wanted are looked at, where those found first have no room


def searched(text: str) -> str:
    """What of a text is searched with: all but marks such as `<q>`, which no passage has.

    >>> searched("<q> who sleeps? <a>")
    'who sleeps?'
    """
    return " ".join(_MARK.sub(" ", text).split())


def check_passages(passages: int) -> None:
    """Refuse a number of passages that cannot be meant. Raises: SpecError."""
    if not 1 <= passages <= MOST_PASSAGES:
        raise SpecError("--passages", f"found {passages}", f"1 to {MOST_PASSAGES} can be loaded")


class Layout(NamedTuple):
    """A text with what stands in front of it; both joined are what a model reads."""

    front: str
    text: str


def laid_out(text: str, passages: Sequence[str]) -> Layout:
    """A text with passages in front of it, each on a line of its own; without any, the text as it is.

    Args:
        text: what a model goes on from.
        passages: best first; the best stands next to the text.
    """
    rows = [" ".join(passage.split()) for passage in reversed(passages)]
    if text.startswith(PLACE):
        return Layout(PLACE + "".join(f" {row}" for row in rows), text.removeprefix(PLACE))
    return Layout("".join(f"{row}\n" for row in rows) + ("\n" if rows else ""), text)


@dataclass(frozen=True)
class Loaded:
    """What was put in front of a text.

    Args:
        found: the passages, best first.
        texts: of them.
        front_M: tokens that stand in front of the text, `<ctx>` of a text that begins with it among them.
        passed_over: better ones that had no room, or characters that the tokenizer does not know.
    """

    found: tuple[Found, ...]
    texts: tuple[str, ...]
    front_M: np.ndarray
    passed_over: tuple[Found, ...] = ()

    @property
    def words(self) -> str:
        """For people: what is in front, by number and score."""
        rows = [f"[{one.passage}] {one.score:.2f} {text!r}" for one, text in zip(self.found, self.texts, strict=True)]
        left = f"; {len(self.passed_over)} better without room" if self.passed_over else ""
        return ("; ".join(rows) if rows else "nothing is found") + left


class Loader:
    """Finds passages, and puts those in front of a text that have room.

    Args:
        finder: where.
        tokenizer: of the model that reads them.
        passages: how many are wanted.
        most_tokens: room for them, in tokens of that model.
    Raises: SpecError for a number of passages that cannot be meant.
    """

    def __init__(self, finder: Finder, tokenizer: FittedTokenizer, *, passages: Some, most_tokens: int) -> None:
        check_passages(passages)
        self._finder, self._tokenizer = finder, tokenizer
        self._passages, self._most_tokens = passages, most_tokens

    def load(self, text: str, query: str) -> Loaded:
        """What is found for the query, in front of a text.

        A passage that has no room, whole, is passed over, and so is one that the tokenizer cannot encode.

        Raises: DataError where something is found and nothing of it has room.
        """
        candidates = self._finder.find(Query(searched(query)), _OTHERS * self._passages)
        taken: list[tuple[Found, str]] = []
        passed_over: list[Found] = []
        shortest = None
        for one in candidates:
            if len(taken) == self._passages:
                break
            passage = self._finder.store.passages[one.passage].text
            num_tokens = self._num_tokens(text, [*(row for _, row in taken), passage])
            if num_tokens is not None and num_tokens <= self._most_tokens:
                taken.append((one, passage))
                continue
            passed_over.append(one)
            if num_tokens is not None:
                shortest = min(num_tokens, shortest or num_tokens)
        if candidates and not taken:
            raise self._no_room(shortest)
        found, texts = tuple(one for one, _ in taken), tuple(passage for _, passage in taken)
        worst = found[-1] if found else None
        better = tuple(one for one in passed_over if worst is not None and one.score >= worst.score)
        return Loaded(found, texts, self._front(text, texts), better)

    def _num_tokens(self, text: str, passages: Sequence[str]) -> int | None:
        try:
            return len(self._front(text, passages))
        except DataError:  # characters that training never had
            return None

    def _front(self, text: str, passages: Sequence[str]) -> np.ndarray:
        """The tokens in front, cut as they are where the text follows."""
        front, rest = laid_out(text, passages)
        if not front:
            return np.empty(0, dtype=np.int64)
        # What follows decides how the last letters in front are cut; a letter stands in for a text that is not there.
        ids_N = self._tokenizer.encode(front + (rest[:1] or front[:1]))
        ends_N = np.cumsum(self._tokenizer.token_num_bytes[ids_N])
        return ids_N[: int(np.searchsorted(ends_N, len(front.encode()), side="right"))]

    def _no_room(self, shortest: int | None) -> DataError:
        where = self._finder.store.where
        if shortest is None:
            found = "the passages that are found hold characters that the model never read"
            return DataError(
                where, found, "its tokenizer has to know them", "train with BPE(...), which takes any text"
            )
        found = f"the passages that are found have {shortest:,} tokens or more"
        allowed = f"the context has room for {self._most_tokens:,} beside the text"
        return DataError(where, found, allowed, "build the store with fewer --passage-tokens")
