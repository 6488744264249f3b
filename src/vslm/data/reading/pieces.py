"""A text of any size, gone through piece by piece: each but the last ends where a line does.

A file of 2 MB or less is one piece. A larger one is opened, unpacked and decoded anew whenever it is gone through, so
it is never held whole. A line is: one that is longer than a piece makes a piece as long as itself.

No piece begins with a space, a tab or a line end (but the first), so what separates lines or paragraphs stands in one
piece, and may be looked for in each.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator

PIECE_BYTES = 2**21


class Pieces:
    """The pieces of a text, as often as they are asked for.

    Args:
        again: goes through the text from its start, in parts of any length.
    Raises: DataError, when made, at the first place that cannot be read: all of the text is gone through once.
    """

    def __init__(self, again: Callable[[], Iterator[str]]) -> None:
        self._again = again
        digest = hashlib.sha256()
        self.head, self.is_blank, self.is_one = "", True, True
        for number, piece in enumerate(_at_line_ends(again())):
            self.head = self.head if number else piece
            self.is_one = not number
            self.is_blank = self.is_blank and not piece.strip()
            digest.update(piece.encode("utf-8", "surrogatepass"))
        self.digest = digest.digest()

    def __iter__(self) -> Iterator[str]:
        return iter([self.head]) if self.is_one else _at_line_ends(self._again())

    def joined(self) -> str:
        """The whole text, held in memory."""
        return "".join(self)

    def begin(self, num_characters: int) -> str:
        """The text up to so many characters."""
        found = ""
        for piece in self:
            found += piece[: num_characters - len(found)]
            if len(found) == num_characters:
                break
        return found


def _at_line_ends(parts: Iterator[str]) -> Iterator[str]:
    """The same text, cut behind line ends that no space, tab or line end follows; the last part is not cut."""
    rest: list[str] = []
    part = next(parts, "")
    for following in parts:
        end = len(part) - 1
        while (end := part.rfind("\n", 0, end)) >= 0 and part[end + 1] in " \t\r\n":
            pass
        if end >= 0:
            yield "".join([*rest, part[: end + 1]])
            rest = []
        rest.append(part[end + 1 :])
        part = following
    yield "".join([*rest, part])


def split(pieces: Iterable[str], pattern: re.Pattern[str], reach: int = 0) -> Iterator[str]:
    r"""What `pattern.split` gives of the text that the pieces make up.

    Args:
        reach: how many characters a match has at most; 0: none goes on from one piece into the next.

    >>> list(split(["a--", "-b---c"], re.compile("---"), reach=3))
    ['a', 'b', 'c']
    """
    before: list[str] = []  # of the part that goes on
    held = ""  # of it, what a match may begin in that ends in the next piece
    for piece in pieces:
        text, start = held + piece, 0
        settled = len(text) - reach
        for match in pattern.finditer(text):
            if match.start() > settled:
                break
            yield "".join([*before, text[start : match.start()]])
            before, start = [], match.end()
        settled = max(settled, start)
        before.append(text[start:settled])
        held = text[settled:]
    *parts, last = pattern.split(held)
    for part in parts:
        yield "".join([*before, part])
        before = []
    yield "".join([*before, last])
