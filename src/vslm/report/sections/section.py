"""What a section of the page consists of. Made in `measured.py` and in the files of its sections; drawn by the page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vslm.report.figures.style import Figure
from vslm.report.numbers.profiles import Profile
from vslm.report.numbers.runs import Run


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
        most_vw: its height is no more than this part of the window's width, in percent: for a figure of squares.
    """

    id: str
    figure: Figure
    views: dict[str, tuple[str, str]]
    caption: str = ""
    has_arms: bool = True
    pixels: int | None = None
    most_vw: int | None = None

    @property
    def labels(self) -> dict[str, str]:
        """The text above the plot, by view."""
        return {view: text for view, (_, text) in self.views.items()}

    def plain(self) -> dict[str, Any]:
        """What the page's script draws it from."""
        return {"id": self.id, **self.figure, "labels": self.labels}


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; the first column names the row, `num_words` columns are words, the rest numbers."""

    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    num_words: int = 1


@dataclass(frozen=True)
class Section:
    """A title, figures, a table, and how to read them.

    Args:
        file: where the numbers came from.
        over_seeds: whether all lines are means over seeds with their bands; the page then says so.
    """

    id: str
    title: str
    short: str
    read: str
    file: str
    drawings: list[Drawing] = field(default_factory=list)
    table: Table | None = None
    over_seeds: bool = True


def profile_views(
    read: Callable[[Sequence[Run], str], Profile | None],
    runs: Mapping[str, Sequence[Run]],
    names: Mapping[str, tuple[str, str, str]],
) -> tuple[dict[str, dict[str, Profile]], dict[str, tuple[str, str]]]:
    """Profiles by view and arm, and the words of the views that hold something.

    Args:
        read: makes the profile of one arm from its runs and the name of an array.
        runs: by arm.
        names: view -> (array, button, text above the plot).
    """
    views, words = {}, {}
    for view, (array, button, text) in names.items():
        by_arm = {arm: one for arm, its in runs.items() if (one := read(its, array)) is not None}
        if by_arm:
            views[view], words[view] = by_arm, (button, text)
    return views, words


def last_place(views: Mapping[str, Mapping[str, Profile]]) -> float:
    """The largest place on the axis that any profile reaches."""
    return max(float(profile.x[-1]) for by_arm in views.values() for profile in by_arm.values())
