"""A document: a name, its text, and which parts of the text count."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vslm.core.errors import DataError


class Scored(NamedTuple):
    """A stretch of characters whose tokens count.

    Args:
        first: its first character.
        end: the one behind its last.
        weight: how much each of its targets counts beside others; 0 or more.
    """

    first: int
    end: int
    weight: float = 1.0


@dataclass(frozen=True)
class Document:
    """A piece of text that stands by itself.

    Args:
        name: for messages; it does not count for what a corpus is.
        text: of the document.
        scored: the stretches that a loss is taken of, rising and apart from each other; what lies between them is read
            and never asked for, nor is the separator behind the document. None: every token counts, the separator too.
        front: characters at its beginning that were put in front of it (passages that were found for it): they are
            read with it, and decide neither which split it is in, nor whether it repeats another, nor the tokenizer.
        group: documents of one group are in the same split; None: its own text decides.
    """

    name: str
    text: str
    scored: tuple[Scored, ...] | None = None
    front: int = 0
    group: str | None = None

    def __post_init__(self) -> None:
        """Refuse stretches that overlap, fall, or reach beyond the text, and weights below 0 or not finite.

        Raises: DataError naming the document.
        """
        if not 0 <= self.front <= len(self.text):
            found = f"{self.front} characters in front of {len(self.text)}"
            raise DataError(self.name, found, "a part of the text stands in front of it")
        if self.scored is None:
            return
        object.__setattr__(self, "scored", tuple(Scored(*one) for one in self.scored))
        before = 0
        for one in self.scored or ():
            if not (before <= one.first < one.end <= len(self.text)):
                found = f"scored characters {one.first} to {one.end} of {len(self.text)}, behind {before}"
                raise DataError(self.name, found, "stretches of the text, rising and apart from each other, are needed")
            if not (math.isfinite(one.weight) and one.weight >= 0):
                raise DataError(self.name, f"a weight of {one.weight}", "0 or more is needed")
            before = one.end


def cut_scored(scored: Iterable[Scored] | None, first: int, end: int) -> tuple[Scored, ...] | None:
    """The stretches of a part of a text, counted from the beginning of that part.

    >>> cut_scored([Scored(0, 3), Scored(5, 9, 0.5)], 2, 7)
    (Scored(first=0, end=1, weight=1.0), Scored(first=3, end=5, weight=0.5))
    """
    if scored is None:
        return None
    parts = (Scored(max(s.first, first) - first, min(s.end, end) - first, s.weight) for s in scored)
    return tuple(part for part in parts if part.first < part.end)


def token_weights(text: str, scored: Iterable[Scored], num_bytes_N: np.ndarray) -> np.ndarray:
    """How much every token of a text counts: the mean weight of its bytes, 0 for a token without bytes.

    Args:
        text: as it was given to the tokenizer.
        scored: stretches of its characters.
        num_bytes_N: of each of its tokens, which together are the bytes of the text.
    Shapes: fp32 [N] out.

    >>> token_weights("a\u00e9bc", [Scored(1, 3)], np.array([1, 2, 2])).tolist()
    [0.0, 1.0, 0.5]
    """
    # Weight of all bytes before each one, so that a token's is a difference.
    total = int(num_bytes_N.sum())
    byte_weights = np.zeros(total)
    for first, end, weight in _in_bytes(text, scored):
        byte_weights[first:end] = weight
    before = np.concatenate([[0.0], np.cumsum(byte_weights)])
    ends_N = np.cumsum(num_bytes_N)
    sums_N = before[ends_N] - before[ends_N - num_bytes_N]
    return (sums_N / np.maximum(num_bytes_N, 1)).astype(np.float32)


def _in_bytes(text: str, scored: Iterable[Scored]) -> Iterator[Scored]:
    if text.isascii():
        yield from scored
        return
    at_character, at_byte = 0, 0
    for one in scored:
        first = at_byte + len(text[at_character : one.first].encode())
        at_character, at_byte = one.end, first + len(text[one.first : one.end].encode())
        yield Scored(first, at_byte, one.weight)
