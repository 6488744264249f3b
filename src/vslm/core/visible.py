r"""Text of others for a terminal: what would act on it is shown in place of being sent.

Names, questions, samples and logs may hold escape sequences, which move the cursor, set the title, or write over what
stands there, and marks that turn the direction of writing, so that a line reads as another one.

    >>> visible("a\x1b[2Jb\rc\u202ed\te")
    'a\\x1b[2Jb\\rc\\u202ed\te'
"""

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO

# Control characters but for tab and newline, marks of direction, separators of lines, half characters.
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text, with what would act on a terminal written as Python writes it."""
    return _ACTING.sub(lambda found: repr(found[0])[1:-1], text) if _ACTING.search(text) else text


class VisibleStream(io.TextIOBase):
    """A stream that makes all text visible on its way to another.

    Args:
        stream: where it goes; what is allowed to send controls, such as a table with colors, writes there itself.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str, /) -> int:
        """Write a text, and return how long it was."""
        self.stream.write(visible(text.replace("\r\n", "\n")))
        return len(text)

    def flush(self) -> None:
        """Flush the other stream."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Whether the other stream is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    def writable(self) -> bool:
        """It is."""
        return True

    @property
    def encoding(self) -> Any:  # type: ignore[override]
        return self.stream.encoding

    @property
    def errors(self) -> Any:  # type: ignore[override]
        return self.stream.errors


@contextlib.contextmanager
def visible_streams() -> Iterator[None]:
    """Let everything that is printed inside be visible."""
    with (
        contextlib.redirect_stdout(VisibleStream(sys.stdout)),
        contextlib.redirect_stderr(VisibleStream(sys.stderr)),
    ):
        yield


def plain(stream: TextIO) -> TextIO:
    """The stream behind a `VisibleStream`; any other one itself."""
    return plain(stream.stream) if isinstance(stream, VisibleStream) else stream
