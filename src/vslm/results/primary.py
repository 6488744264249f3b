"""What a study is judged by, as its record says it: which number, in which unit, and which way is better.

A record of `val_loss` or `val_bpb` needs to say no more than that name. Of any other number it holds unit, direction
and title, once, so that who judges or shows it needs no measure's class.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

LOSSES = {
    "val_loss": ("validation loss", "nats per token"),
    "val_bpb": ("validation bits per byte", "bits per byte"),
}
"""Numbers that every run ends with: title and unit. Of all of them lower is better."""

LARGEST = 1e30
"""Number that is judged by or shown: its square is a number still; no count, loss or time here comes near."""

CHOSEN = "select_"
"""Before the name of a measure that was taken on `select`, so that nobody reads it as one of `val`."""


@dataclass(frozen=True)
class PrimaryNumber:
    """The number that decides.

    Args:
        measure: "val_loss", "val_bpb", or the name that a measure is recorded as.
        number: of that measure; None for a loss.
        unit: as it stands behind a number in a sentence.
        higher_is_better: the direction.
        title: what it is, in words.
        smallest_effect: differences within plus or minus this are of no interest; None where that cannot be read.
        positions: (first, end) of the part of the window that counts, of a loss; None: all of it.
        largest_difference: how far two runs can be apart, as 1 of shares; None: no bound is known.
    """

    measure: str = "val_loss"
    number: str | None = None
    unit: str = LOSSES["val_loss"][1]
    higher_is_better: bool = False
    title: str = LOSSES["val_loss"][0]
    smallest_effect: float | None = None
    positions: tuple[int, int] | None = None
    largest_difference: float | None = None

    @classmethod
    def of(cls, record: Any) -> "PrimaryNumber":
        """Read `primary` of a study.json. What is missing is as it was before a record said it: nats per token, lower
        is better.

        >>> PrimaryNumber.of({"measure": "val_bpb", "smallest_effect": 0.01, "positions": None}).unit
        'bits per byte'
        """
        record = record if isinstance(record, dict) else {}
        measure, number = _text(record.get("measure")) or "val_loss", _text(record.get("number"))
        title, unit = LOSSES.get(measure, (f"{measure}.{number}", "")) if number else LOSSES.get(measure, _LOSS)
        effect, positions = record.get("smallest_effect"), record.get("positions")
        largest = record.get("largest_difference")
        is_stretch = isinstance(positions, list | tuple) and len(positions) == 2
        return cls(
            measure=measure,
            number=number,
            unit=_text(record.get("unit")) or unit,
            higher_is_better=record.get("higher_is_better") is True,
            title=_text(record.get("title")) or title,
            smallest_effect=float(effect) if type(effect) in (int, float) else None,
            positions=(positions[0], positions[1]) if is_stretch else None,
            largest_difference=float(largest) if type(largest) in (int, float) and largest > 0 else None,
        )

    def plain(self) -> dict[str, Any]:
        """As `study.json` has it; `of` reads it."""
        said = ("number", "unit", "higher_is_better", "title")
        return {
            "kind": "Primary",
            "measure": self.measure,
            **({} if self.is_loss else {name: getattr(self, name) for name in said}),
            "smallest_effect": self.smallest_effect,
            "positions": None if self.positions is None else list(self.positions),
            **({} if self.largest_difference is None else {"largest_difference": self.largest_difference}),
        }

    @property
    def name(self) -> str:
        """As it is written on a command line: `val_loss`, `recall.accuracy`."""
        return self.measure if self.number is None else f"{self.measure}.{self.number}"

    @property
    def is_loss(self) -> bool:
        """Whether it is a loss that every run has, whatever its measures."""
        return self.number is None

    @property
    def most_apart(self) -> float:
        """The largest difference of two runs, infinite where no bound is known."""
        return math.inf if self.largest_difference is None else self.largest_difference

    @property
    def words(self) -> str:
        """What is compared, for people: a title, and where it is read."""
        if not self.is_loss:
            return f"{self.title} ({self.name})"
        return self.title + (f" at positions {self.positions[0]} to {self.positions[1]}" if self.positions else "")

    @property
    def compared(self) -> str:
        """`words` with the unit, and with the direction where it is not that of a loss.

        >>> PrimaryNumber("recall", "accuracy", "of the queries", True, "share answered right").compared
        'share answered right (recall.accuracy), of the queries; higher is better'
        """
        direction = f"; {'higher' if self.higher_is_better else 'lower'} is better"
        return f"{self.words}, {self.unit}{'' if self.is_loss else direction}"

    def turned(self, value: Any) -> Any:
        """A number, or an array of them, or of differences, so that lower is better; turned again it is as it was.

        >>> PrimaryNumber("recall", "accuracy", higher_is_better=True).turned(0.25)
        -0.25
        """
        return 0.0 - value if self.higher_is_better else value

    def turned_interval(self, low: float, high: float) -> tuple[float, float]:
        """Both ends of an interval, `turned`.

        >>> PrimaryNumber("recall", "accuracy", higher_is_better=True).turned_interval(-0.25, 1.0)
        (-1.0, 0.25)
        """
        return (self.turned(high), self.turned(low)) if self.higher_is_better else (low, high)

    def array_name(self, split: Literal["val", "select"] = "val") -> str:
        """Where a run records it over its steps; of a number that is no loss."""
        return f"{CHOSEN if split == 'select' else ''}{self.name}_S"

    def last_in(self, arrays: Mapping[str, np.ndarray], split: Literal["val", "select"] = "val") -> float | None:
        """What a run recorded after its last step; None where it has not. Of a number that is no loss."""
        values_S = arrays.get(self.array_name(split))
        taken_S = arrays.get(f"{CHOSEN if split == 'select' else ''}{self.measure}.steps_S")
        steps_S = arrays.get("steps_S")
        if values_S is None or taken_S is None or steps_S is None:
            return None
        is_over = values_S.shape == taken_S.shape and taken_S.size and steps_S.size and taken_S[-1] == steps_S[-1]
        return float(values_S[-1]) if is_over and values_S.ndim == 1 and abs(values_S[-1]) <= LARGEST else None


_LOSS = LOSSES["val_loss"]
VAL_LOSS = PrimaryNumber()
"""What decides where a study does not say otherwise."""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
