"""What a measure says of the numbers that it records, as data: their axes, their units, and how a page draws them.

    numbers     without axes: a study may be judged by them; a page draws them over training, or as dots
    arrays      with one axis or two, each drawn as lines, as a heat map or as dots
    shown       the title of the section, its name in the navigation, and how to read it

A run records this beside its arrays, so that a page is made without the measure's class: no code of a study runs there.
Needs no torch. Not for: figures themselves, see `vslm.report.sections.declared`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vslm.core.bounds import Context, Real
from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.core.specs import Spec, from_plain

_MOST_LETTERS = 2_000  # of a text on a page
_SHOW = 'a page draws lines, a "map" or "dots"'


@dataclass(frozen=True, kw_only=True)
class Number(Spec):
    """What a number without axes is, for whoever reads it: a study may be judged by it.

    Args:
        unit: as it stands behind the number in a sentence: "nats per token", "of the queries".
        higher_is_better: the direction; None where neither end is better, so that nothing is judged by it.
        title: what it is, in words: "share of queries answered right".
        largest_difference: how far two runs can be apart: 1 for a share. Intervals of a difference end there. None:
            no bound is known.
    Raises: SpecError for a bound that is none.
    """

    unit: str
    higher_is_better: bool | None
    title: str
    largest_difference: Real | None = None

    def check(self) -> None:
        """Refuse a bound of 0 or less."""
        if self.largest_difference is not None and self.largest_difference <= 0:
            raise SpecError("largest_difference", f"found {self.largest_difference}", "a number above 0 is needed")

    @classmethod
    def share(cls, *, unit: str, higher_is_better: bool | None, title: str) -> "Number":
        """One that lies between 0 and 1: a share, an accuracy, a probability.

        >>> Number.share(unit="of the queries", higher_is_better=True, title="right").largest_difference
        1.0
        """
        return cls(unit=unit, higher_is_better=higher_is_better, title=title, largest_difference=1.0)


@dataclass(frozen=True, kw_only=True)
class Axis(Spec):
    """One axis of an array.

    Args:
        title: what its places are: "position: tokens seen so far".
        first: the first place; the others follow one by one.
        at: the measure's array that holds the places, where they are no such row of whole numbers: "times_R".
        names: what the places are called, in place of numbers.
        hover: before a place in a hover text: "after visit"; the title where it is left empty.
        is_log: whether it is drawn on a logarithmic scale, on which only places above 0 are.
    """

    title: str
    first: Context = 0
    at: str | None = None
    names: tuple[str, ...] = ()
    hover: str = ""
    is_log: bool = False

    def check(self) -> None:
        """Names and numbers are not had together."""
        if self.names and (self.at is not None or self.is_log or self.first):
            raise SpecError("names", "found names beside `first`, `at` or `is_log`", "places are names, or numbers")


@dataclass(frozen=True, kw_only=True)
class Array(Spec):
    """What an array is, and which figure draws it.

    Args:
        axes: one or two, in the order of the letters of its name. Steps are no axis here: whatever is measured at
            several of them is also drawn as training goes.
        unit: of its numbers, behind them in a hover text; empty where they have none.
        title: what its numbers are: "root mean square of the stream".
        button: what chooses it among the others of its measure, in a word or two; the title where it is left empty.
        figure: "lines" over the first axis, one line per arm with its band over seeds; "map", a heat map of both; or
            "dots", a row for each name. None: lines over one axis of numbers, dots over names, a map of two axes.
        over: of lines through an array with two axes, what a line shows of the last: its "mean" or its "largest".
            Small marks show each, and the largest is followed through training, too.
        level: a dotted line to compare with: a height, or the name of a number of the measure.
        from_zero: whether the figure begins at 0.
        is_log: whether heights are drawn on a logarithmic scale.
    """

    axes: tuple[Axis, ...]
    title: str
    unit: str = ""
    button: str = ""
    figure: Literal["lines", "map", "dots"] | None = None
    over: Literal["mean", "largest"] = "mean"
    level: Real | str | None = None
    from_zero: bool = False
    is_log: bool = False

    def check(self) -> None:
        """Refuse what no figure draws."""
        num_axes = len(self.axes)
        if num_axes not in (1, 2):
            found, allowed = f"found {num_axes}", "a page draws arrays with one axis or two"
            raise SpecError("axes", found, allowed, "leave it undeclared: it is recorded all the same")
        names = self.axis.names
        needed = {"map": 2, "dots": 1}.get(self.drawn_as)
        if needed is not None and needed != num_axes:
            raise SpecError("figure", f"found {self.figure!r} for {num_axes} axes", f"it has {needed}; {_SHOW}")
        if self.drawn_as == ("lines" if names else "dots"):
            found = f"found {self.figure!r} over {'names' if names else 'numbers'}"
            raise SpecError("figure", found, f"dots are for names and lines for numbers; {_SHOW}")

    @property
    def axis(self) -> Axis:
        """The first one."""
        return next(iter(self.axes))

    @property
    def drawn_as(self) -> Literal["lines", "map", "dots"]:
        """The figure."""
        if self.figure is not None:
            return self.figure
        return "map" if len(self.axes) > 1 else "dots" if self.axis.names else "lines"

    @property
    def words(self) -> str:
        """What its numbers are, with their unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


@dataclass(frozen=True, kw_only=True)
class Shown(Spec):
    """The section of a measure.

    Args:
        title: above it: "How large the stream is".
        short: in the navigation: "Stream"; the title where it is left empty.
        read: how to read its figures, in sentences.
    """

    title: str
    short: str = ""
    read: str = ""


@dataclass(frozen=True, kw_only=True)
class Declared(Spec):
    """All that a measure declares."""

    shown: Shown | None = None
    arrays: Mapping[str, Array] = dataclasses.field(default_factory=FrozenDict)
    numbers: Mapping[str, Number] = dataclasses.field(default_factory=FrozenDict)

    def check(self) -> None:
        """Names end with a letter for each axis; what an axis or a level names can be told from a number."""
        for name, array in self.arrays.items():
            letters = name.rpartition("_")[2] if "_" in name else ""
            if not letters.isupper() or len(letters) != len(array.axes):
                found = f"{name!r} has {len(array.axes)} ax{'es' if len(array.axes) > 1 else 'is'}"
                raise SpecError("arrays", found, "a name ends with a capital letter for each axis", "as in share_L")
            if isinstance(array.level, str) and array.level not in self.numbers:
                found = f"{array.level!r} is no number of the measure"
                raise SpecError(f"arrays.{name}.level", found, "a height, or the name of one of its numbers")


_KINDS = {kind.__name__: kind for kind in (Number, Axis, Array, Shown, Declared)}


def read_declared(plain: Any) -> Declared | None:
    """What a run recorded of one measure, from somebody's folder; None where that is not what a run writes."""
    try:
        found = from_plain(plain, _KINDS) if isinstance(plain, dict) else None
    except (SpecError, TypeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, Declared) and _is_short(plain) else None


def _is_short(plain: Any) -> bool:
    if isinstance(plain, dict | list):
        return all(map(_is_short, plain.values() if isinstance(plain, dict) else plain))
    return not isinstance(plain, str) or len(plain) <= _MOST_LETTERS
