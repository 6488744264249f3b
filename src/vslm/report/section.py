"""What a section of the page consists of. Made in `measured.py` and in the files of its sections; drawn by the page."""

from dataclasses import dataclass, field

from vslm.report.figures import Figure


@dataclass(frozen=True)
class Drawing:
    """One figure of a section.

    Args:
        id: of its place in the page and of its file.
        figure: data and layout.
        views: view -> (button, text above the plot). Traces carry their view in `meta`.
        caption: above it; empty if the title of the section says it all.
        has_arms: whether arms can be shown and hidden.
        pixels: its height, or None for the usual one.
    """

    id: str
    figure: Figure
    views: dict[str, tuple[str, str]]
    caption: str = ""
    has_arms: bool = True
    pixels: int | None = None


@dataclass(frozen=True)
class Table:
    """Numbers in words: a row per arm, whose first cell is the arm's name."""

    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Section:
    """A title, figures, a table, and how to read them. `file` says where the numbers came from."""

    id: str
    title: str
    short: str
    read: str
    file: str
    drawings: list[Drawing] = field(default_factory=list)
    table: Table | None = None
