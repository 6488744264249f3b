r"""What a store holds: stretches of documents, or facts.

>>> [text[first:end] for text in ["One two. Three four five.\nSix."] for first, end in cut_text(text, 4)]
['One two. ', 'Three four five.\n', 'Six.']
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from vslm.data.splits import normalized_digest

_WORD = re.compile(r"\w+|[^\w\s]")
_SENTENCE_END = re.compile(r"[.!?\u2026][\"'\u2019\u201d)\]]*\s+|\n\s*")
_KEY_BYTES = 8


class Fact(NamedTuple):
    """What a passage says, where it says one thing: the `relation` of `subject` is `value`."""

    subject: str
    relation: str
    value: str


class Passage(NamedTuple):
    """One entry of a store.

    Args:
        text: as it is loaded.
        document: `document_key` of the text that it was cut from; a fact is a document of its own.
        fact: what it says; None: it is a stretch of text.
    """

    text: str
    document: int
    fact: Fact | None = None


def document_key(text: str) -> int:
    """64 bits of the SHA-256 of a document's text, every run of whitespace counting as one space: what a store and the
    text that retrieves from it both know a document by, wherever it lies.
    """
    return int.from_bytes(normalized_digest(text)[:_KEY_BYTES], "big")


def words_of(text: str) -> list[str]:
    """The words of a text, in small letters; marks are left out. What BM25 searches by.

    >>> words_of("Who lives in K\u00f6ln-S\u00fcd?")
    ['who', 'lives', 'in', 'k\u00f6ln', 's\u00fcd']
    """
    return [word for word in _WORD.findall(text.lower()) if word[0].isalnum() or word[0] == "_"]


def num_words(text: str) -> int:
    """Words and marks of a text.

    >>> num_words("It's here.")
    5
    """
    return sum(1 for _ in _WORD.finditer(text))


def nth_word(text: str, number: int, start: int = 0) -> int | None:
    """Where the word or mark of that number, from 0, begins; None where there are not so many.

    >>> nth_word("One two. Three", 3), nth_word("One two. Three", 4)
    (9, None)
    """
    return next((found.start() for n, found in enumerate(_WORD.finditer(text, start)) if n == number), None)


def cut_text(text: str, most_words: int) -> Iterator[tuple[int, int]]:
    """Where to cut a text into stretches of at most `most_words` words and marks, [first, end) each, in their order.

    Cuts are behind sentences and at line ends; within a sentence only where it is longer than that. The stretches
    joined are the text, to the character; space stands at the end of one.
    """
    start, count = 0, 0
    for first, end in _sentences(text):
        length = num_words(text[first:end])
        if count and count + length > most_words:
            yield start, first
            start, count = first, 0
        count += length
        while count > most_words:
            # The sentence alone is too long: cut before the first word that has no room.
            cut = nth_word(text, most_words, start)
            assert cut is not None
            yield start, cut
            start, count = cut, count - most_words
    if start < len(text):
        yield start, len(text)


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for found in _SENTENCE_END.finditer(text):
        yield start, found.end()
        start = found.end()
    if start < len(text):
        yield start, len(text)


def cut_passages(text: str, most_words: int) -> Iterator[Passage]:
    """The passages of a document: the stretches of `cut_text` without the space around them; blank ones are none."""
    key = document_key(text)
    for first, end in cut_text(text, most_words):
        if stretch := text[first:end].strip():
            yield Passage(stretch, key)
