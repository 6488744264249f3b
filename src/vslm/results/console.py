"""A terminal for tables and progress, which may send colors and move the cursor; what is in them may not.

It stands in this room because reports and the lab both draw, and neither may import the other.
"""

import sys
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from vslm.core.visible import plain, visible


class VisibleConsole(Console):
    """A console that shows what would act on the terminal in a text, and sends only what it makes itself."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of what is drawn; those of control are the console's own."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(visible(piece.text), piece.style)


def console(file: TextIO | None = None, *, to_errors: bool = False, **how: Any) -> VisibleConsole:
    """A console without markup: `[bold]` and `:smile:` in a name are letters.

    Args:
        file: where it draws; None: the standard output.
        to_errors: in place of it the standard error.
        how: further arguments of `rich.console.Console`.
    """
    stream = file or (sys.stderr if to_errors else sys.stdout)
    return VisibleConsole(file=plain(stream), markup=False, emoji=False, highlight=False, **how)
