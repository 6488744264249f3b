"""A terminal gets the colors that are meant, and no escape of a name, a question or a log."""

import io
import re

import pytest
from rich.table import Table
from rich.text import Text

from vslm.results.console import console

HOSTILE = "[bold]x[/bold] :smile: \x1b[2J\x9b1A\u202eexe \x1b]0;title\x07 \\"


class Terminal(io.StringIO):
    """Takes what a terminal would."""

    def isatty(self) -> bool:
        """It says it is one."""
        return True


@pytest.mark.parametrize("wrap", [str, Text])
def test_only_its_own_escapes_are_sent(wrap: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a line, a cell, a heading and a title; markup and emoji codes are letters."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    file = Terminal()
    screen = console(file, width=400)
    table = Table(title=wrap(HOSTILE), title_style="bold red")
    table.add_column(wrap(HOSTILE))
    table.add_row(wrap(HOSTILE))
    screen.print(table)
    screen.print(wrap(HOSTILE), soft_wrap=True)
    said = file.getvalue()
    own = re.compile(r"\x1b\[[\d;]*m")
    assert own.search(said), "its own colors are sent"
    rest = own.sub("", said)
    assert "\x1b" not in rest
    assert not set(rest) & set("\x9b\x07\u202e")
    assert rest.count(r"[bold]x[/bold] :smile: \x1b[2J") == 4
