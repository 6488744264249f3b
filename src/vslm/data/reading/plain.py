"""Plain text -> documents: at separators, lines, paragraphs or not at all; and what is worth a remark about it."""

import re
import statistics
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Literal

from vslm.data.reading.pieces import split
from vslm.data.tokenizers import END_OF_TEXT

DocumentIs = Literal["auto", "file", "line", "paragraph", "row"]

_OWN_LINE = re.compile(rf"^{re.escape(END_OF_TEXT)}\r?(?:\n|\Z)", re.MULTILINE)
_ANYWHERE = re.compile(rf"{re.escape(END_OF_TEXT)}(?:\r?\n)?")
_MENTIONED = re.compile(rf"[`'\"“‘]{re.escape(END_OF_TEXT)}|{re.escape(END_OF_TEXT)}[`'\"”’]")
_FEWEST_INSIDE = 3  # separators inside lines; fewer are a text that speaks of them
_LINE_END = re.compile("\n")
_PARAGRAPH_END = re.compile(r"(?:\r?\n[ \t]*){2,}")

SAMPLE_CHARACTERS = 1_000_000
_OTHER_SEPARATORS = ("</s>", "<|im_end|>", "<|end_of_text|>", "<|eot_id|>", "<eos>", "[SEP]", "<|end|>", "<EOS>")
_OFTEN = 20
_FEWEST_LINES = 50
_SHORT_LINE = 40  # characters, in the middle of all lines
_AS_ROWS = "document='row' (--document row) makes each a document, without the quotes"
_MARKUP = ((re.compile(r"\s*(<!doctype html|<html)", re.IGNORECASE), "HTML"), (re.compile(r"\s*<\?xml"), "XML"))


class Separators:
    """How often `<|endoftext|>` stands in a plain text, and where.

    Args:
        pieces: of the text; gone through once, and once more where they may stand inside lines.
    """

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = pieces
        self.num_all, self.num_own = 0, 0
        for piece in pieces:
            if num_here := piece.count(END_OF_TEXT):
                self.num_all += num_here
                self.num_own += len(_OWN_LINE.findall(piece))

    @cached_property
    def stand_inside(self) -> bool:
        r"""Whether they separate documents inside lines as well.

        A separator is a line of its own. Where there are more inside lines, at least three, and few of those in
        quotes, the text was written with the separator between documents and without line ends.

        >>> Separators(["one<|endoftext|>two<|endoftext|>three<|endoftext|>"]).stand_inside
        True
        >>> Separators(["one\n<|endoftext|>\nsays <|endoftext|>\n<|endoftext|>\n"]).stand_inside
        False
        """
        num_inside = self.num_all - self.num_own
        if num_inside < max(_FEWEST_INSIDE, self.num_all / 2 + 0.5):
            return False
        return sum(len(_MENTIONED.findall(piece)) for piece in self._pieces) < num_inside / 2


def parts_of(
    pieces: Iterable[str], document: DocumentIs, separator: str | None, separators: Separators | None = None
) -> Iterator[str]:
    r"""The documents of a plain text. Text is kept to the byte; what separates documents is no part of them.

    Args:
        pieces: of the text.
        document: "auto": at separators, see `Separators`; "file": the whole; "line": every line, without its
            end; "paragraph": what blank lines separate.
        separator: cut wherever this stands, with the line end behind it; None: as `document` says.
        separators: of the text, for "auto"; None: counted here.

    >>> list(parts_of(["a b\n\nc\n"], "line", None))
    ['a b', '', 'c', '']
    >>> list(parts_of(["a\nb\n\n\nc\n"], "paragraph", None))
    ['a\nb', 'c\n']
    >>> list(parts_of(["a</s>b</s>\nc"], "auto", "</s>"))
    ['a', 'b', 'c']
    """
    if separator is not None:
        yield from split(pieces, re.compile(rf"{re.escape(separator)}(?:\r?\n)?"), reach=len(separator) + 2)
    elif document == "file":
        yield "".join(pieces)
    elif document == "line":
        for line in split(pieces, _LINE_END):
            yield line.removesuffix("\r")
    elif document == "paragraph":
        yield from split(pieces, _PARAGRAPH_END)
    else:
        separators = separators or Separators(pieces)
        yield from split(pieces, _ANYWHERE if separators.stand_inside else _OWN_LINE)


def remarks_on(separators: Separators, sample: str, *, separator: str | None) -> Iterator[str]:
    """What a person may not have meant about a plain text that is read with `document="auto"`.

    Args:
        separators: of the text.
        sample: its first `SAMPLE_CHARACTERS`.
        separator: as it is asked for.
    """
    num_all, num_own = separators.num_all, separators.num_own
    if separator is None and separators.stand_inside:
        yield (
            f"{END_OF_TEXT} stands {num_all - num_own:,} times inside lines, more often than alone on one: each is the "
            "end of a document; document='file' (--document file) makes them text"
        )
    elif separator is None and num_all > num_own:
        times = f"{num_all - num_own:,} times" if num_all - num_own > 1 else "once"
        yield f"{END_OF_TEXT} stands {times} inside a line, where it is text; separator={END_OF_TEXT!r} cuts there, too"
    for sign in _OTHER_SEPARATORS:
        if sign != separator and (count := sample.count(sign)) >= _OFTEN:
            yield f"{sign} stands {count:,} times in it, as letters; separator={sign!r} makes it the end of a document"
    for pattern, words in _MARKUP:
        if pattern.match(sample):
            yield f"it begins as {words}: the model learns the markup, too; extract the text first"
    if separator is None and not num_all and (words := _rows_or_lines(sample)):
        yield words


def _rows_or_lines(sample: str) -> str:
    rows = len(re.findall(r'"\r?\n"', sample)) + 1
    if sample.startswith('"') and rows >= _FEWEST_LINES and '""' in sample:
        return f"it looks like {rows:,} quoted rows of a table; {_AS_ROWS}"
    lines = sample.split("\n")
    lengths = [len(line) for line in lines if line.strip()]
    num_blank = len(lines) - 1 - len(lengths)
    if len(lengths) < _FEWEST_LINES or num_blank > 0.01 * len(lengths):
        return ""
    is_quoted = sum(line.startswith('"') and line.rstrip("\r").endswith('"') for line in lines) > 0.9 * len(lengths)
    if is_quoted:
        return f"nearly every line is in quotes; {_AS_ROWS}"
    if statistics.median(lengths) <= _SHORT_LINE:
        middle = round(statistics.median(lengths))
        return (
            f"{len(lengths):,} lines of about {middle} characters and no blank line between them; "
            "if each stands by itself, document='line' (--document line) makes each a document"
        )
    return ""
