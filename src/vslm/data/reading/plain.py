"""Plain text -> documents: at separators, lines, paragraphs or not at all; and what is worth a remark about it."""

import re
import statistics
from collections.abc import Iterator
from typing import Literal

from vslm.data.tokenizers import END_OF_TEXT

DocumentIs = Literal["auto", "file", "line", "paragraph", "row"]

_OWN_LINE = re.compile(rf"^{re.escape(END_OF_TEXT)}\r?(?:\n|\Z)", re.MULTILINE)
_ANYWHERE = re.compile(rf"{re.escape(END_OF_TEXT)}(?:\r?\n)?")
_MENTIONED = re.compile(rf"[`'\"“‘]{re.escape(END_OF_TEXT)}|{re.escape(END_OF_TEXT)}[`'\"”’]")
_FEWEST_INSIDE = 3  # separators inside lines; fewer are a text that speaks of them
_PARAGRAPH_END = re.compile(r"(?:\r?\n[ \t]*){2,}")

_SAMPLE_CHARACTERS = 1_000_000
_OTHER_SEPARATORS = ("</s>", "<|im_end|>", "<|end_of_text|>", "<|eot_id|>", "<eos>", "[SEP]", "<|end|>", "<EOS>")
_OFTEN = 20
_FEWEST_LINES = 50
_SHORT_LINE = 40  # characters, in the middle of all lines
_AS_ROWS = "document='row' (--document row) makes each a document, without the quotes"
_MARKUP = ((re.compile(r"\s*(<!doctype html|<html)", re.IGNORECASE), "HTML"), (re.compile(r"\s*<\?xml"), "XML"))


def parts_of(text: str, document: DocumentIs, separator: str | None) -> Iterator[str]:
    r"""The documents of a plain text. Text is kept to the byte; what separates documents is no part of them.

    Args:
        document: "auto": at separators, see `is_separated_inside`; "file": the whole; "line": every line, without its
            end; "paragraph": what blank lines separate.
        separator: cut wherever this stands, with the line end behind it; None: as `document` says.

    >>> list(parts_of("a b\n\nc\n", "line", None))
    ['a b', '', 'c', '']
    >>> list(parts_of("a\nb\n\n\nc\n", "paragraph", None))
    ['a\nb', 'c\n']
    >>> list(parts_of("a</s>b</s>\nc", "auto", "</s>"))
    ['a', 'b', 'c']
    """
    if separator is not None:
        yield from re.split(rf"{re.escape(separator)}(?:\r?\n)?", text)
    elif document == "file":
        yield text
    elif document == "line":
        for line in text.split("\n"):
            yield line.removesuffix("\r")
    elif document == "paragraph":
        yield from _PARAGRAPH_END.split(text)
    else:
        yield from (_ANYWHERE if is_separated_inside(text) else _OWN_LINE).split(text)


def is_separated_inside(text: str) -> bool:
    r"""Whether `<|endoftext|>` separates documents inside lines as well.

    A separator is a line of its own. Where there are more inside lines, at least three, and few of those in quotes,
    the text was written with the separator between documents and without line ends.

    >>> is_separated_inside("one<|endoftext|>two<|endoftext|>three<|endoftext|>")
    True
    >>> is_separated_inside("one\n<|endoftext|>\nsays <|endoftext|>\n<|endoftext|>\n")
    False
    """
    num_all = text.count(END_OF_TEXT)
    num_inside = num_all - len(_OWN_LINE.findall(text))
    if num_inside < max(_FEWEST_INSIDE, num_all / 2 + 0.5):
        return False
    return len(_MENTIONED.findall(text)) < num_inside / 2


def remarks_on(text: str, *, separator: str | None) -> Iterator[str]:
    """What a person may not have meant about a plain text that is read with `document="auto"`."""
    num_all = text.count(END_OF_TEXT)
    num_own = len(_OWN_LINE.findall(text)) if num_all else 0
    if separator is None and is_separated_inside(text):
        yield (
            f"{END_OF_TEXT} stands {num_all - num_own:,} times inside lines, more often than alone on one: each is the "
            "end of a document; document='file' (--document file) makes them text"
        )
    elif separator is None and num_all > num_own:
        times = f"{num_all - num_own:,} times" if num_all - num_own > 1 else "once"
        yield f"{END_OF_TEXT} stands {times} inside a line, where it is text; separator={END_OF_TEXT!r} cuts there, too"
    sample = text[:_SAMPLE_CHARACTERS]
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
