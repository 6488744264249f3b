"""Which part of a word a token is: read off its bytes and the token before it."""

from collections.abc import Sequence

import numpy as np

from vslm.results.token_classes import PARTS_OF_WORD

_START, _INSIDE, _DIGITS, _PUNCTUATION, _WHITESPACE, _OTHER = range(len(PARTS_OF_WORD))


def parts_of_word(windows_NT1: np.ndarray, token_bytes: Sequence[bytes]) -> np.ndarray:
    """The part that every target is, [N, T], as places in `PARTS_OF_WORD`.

        word start    begins with a letter, after its own white space or after a token that does not end with a letter
        word inside   begins with a letter, right after a letter of the token before
        digits, punctuation     what it begins with, its own white space passed over; a `_` is punctuation
        whitespace    nothing else in it
        other         bytes that are no characters by themselves, and the separator of documents

    A token that goes on differently counts as what it begins with: `'s` is punctuation. Letters and digits are those of
    Unicode. The tokens "The", " cat", "s", "." after a separator are two starts, an inside and punctuation:

    >>> token_bytes = [b"", b"The", b" cat", b"s", b"."]
    >>> [PARTS_OF_WORD[part] for part in parts_of_word(np.array([[0, 1, 2, 3, 4]]), token_bytes)[0]]
    ['word start', 'word start', 'word inside', 'punctuation']
    """
    begin_V = np.array([_begins_as(item) for item in token_bytes])
    spaced_V = np.array([item[:1].isspace() for item in token_bytes])
    letter_ends_V = np.array([item.decode("utf-8", errors="replace")[-1:].isalpha() for item in token_bytes])
    before_NT, targets_NT = windows_NT1[:, :-1], windows_NT1[:, 1:]
    parts_NT = begin_V[targets_NT]
    goes_on_NT = letter_ends_V[before_NT] & ~spaced_V[targets_NT]
    return np.where((parts_NT == _START) & goes_on_NT, _INSIDE, parts_NT)


def _begins_as(item: bytes) -> int:
    """The part by what stands behind the token's own white space; of a word, its start."""
    try:
        text = item.decode("utf-8")
    except UnicodeDecodeError:
        return _OTHER
    first = text.lstrip()[:1]
    if not text:
        return _OTHER
    if not first:
        return _WHITESPACE
    return _START if first.isalpha() else _DIGITS if first.isnumeric() else _PUNCTUATION
