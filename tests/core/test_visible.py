"""What would act on a terminal is shown, and nothing else changes."""

import contextlib
import io
import sys
import unicodedata

import pytest

from vslm.core.visible import VisibleStream, plain, visible, visible_streams

HOSTILE = "\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b2J\rover\b\x7f\x00\u202etxt.exe\u2066\u2028\udcff"


def test_nothing_that_acts_is_left() -> None:
    """Of all characters of Unicode: no control but tab and newline, no mark of direction, no half character."""
    every = visible("".join(map(chr, range(sys.maxunicode + 1))))
    left = {unicodedata.category(letter) for letter in set(every) - {"\t", "\n"}}
    assert not left & {"Cc", "Cs", "Zl", "Zp"}
    marks = {
        letter for letter in set(every) if unicodedata.bidirectional(letter) in ("LRE", "RLE", "LRO", "RLO", "PDF")
    }
    assert not marks
    assert not set(every) & set("\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


@pytest.mark.parametrize("text", ["", "plain\n\ttext", "äöü ☃ 日本語 עברית 👩‍🔬", "a\\x1b"])
def test_other_text_is_left_alone(text: str) -> None:
    """Also in alphabets that are written from right to left, and emoji that are joined."""
    assert visible(text) == text


def test_it_says_what_stood_there() -> None:
    """As Python writes it."""
    assert visible(HOSTILE) == (
        r"\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b2J\rover\x08\x7f\x00\u202etxt.exe\u2066\u2028\udcff"
    )


def test_what_is_printed_is_visible() -> None:
    """On both streams; line ends of another system are line ends; afterwards the streams are what they were."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        with visible_streams():
            print("a\x1b[2J\r\nb")
            print("c\x9b", file=sys.stderr)
            print("\x1b[1m", end="", file=plain(sys.stdout))
            assert isinstance(sys.stdout, VisibleStream)
            assert not sys.stdout.isatty()
        assert sys.stdout is out
    assert out.getvalue() == "a\\x1b[2J\nb\n\x1b[1m"
    assert errors.getvalue() == "c\\x9b\n"
