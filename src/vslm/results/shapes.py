"""What may stand in a record of a folder: shapes of values, rules for their places, and the first value that is odd.

A reader that walks through a record may rely on it. A value that is missing is no error unless somebody judges by the
record; a value that is there has the type and the range that are written here, so that a record that was edited, cut or
written by another program is refused in words, at its path, and not deep inside.

Which record has which rules is said by its type, see `records.py`. Not for: what belongs together across a record.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from vslm.results.primary import LARGEST, LOSSES

_LARGEST_COUNT = 10**18  # tokens, bytes, parameters: more is no count of anything here
_MOST_SEEDS = 10_000
_MOST_ERROR = 0.05  # of a study: all its looks together, see stats/looks.py
_ROUNDING = 1e-9
_MOST_SHOWN = 40
_MOST_BITS_SHOWN = 100


Need = Literal["", "judge", "run"]


@dataclass(frozen=True)
class Shape:
    """What is allowed: in words, and as a test."""

    words: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Rule:
    """One line of a table.

    Args:
        path: names with dots between; `*` is every one.
        shape: what is allowed there.
        needed_to: what cannot be done without it: "judge" what was run, or "run" more of it; "": nothing.
    """

    path: str
    shape: Shape
    needed_to: Need = ""


def is_whole(value: Any, low: int = 0, high: int = _LARGEST_COUNT) -> bool:
    """Whether this is a whole number between two others.

    >>> is_whole(3), is_whole(True), is_whole(3.0), is_whole(-1)
    (True, False, False, False)
    """
    return type(value) is int and low <= value <= high


def is_finite(value: Any, low: float = -LARGEST, high: float = LARGEST) -> bool:
    """Whether this is a number between two others, and neither NaN nor true or false.

    >>> is_finite(0.5), is_finite(float("nan")), is_finite(10**400), is_finite(True)
    (True, False, False, False)
    """
    return type(value) in (int, float) and low <= value <= high


TEXT = Shape("a text is needed", lambda value: isinstance(value, str))
TEXT_OR_NOTHING = Shape("a text or nothing is needed", lambda value: value is None or isinstance(value, str))
OBJECT = Shape("an object is needed", lambda value: isinstance(value, dict))
OBJECT_OR_NOTHING = Shape("an object or nothing is needed", lambda value: value is None or isinstance(value, dict))
LIST = Shape("a list is needed", lambda value: isinstance(value, list))
SOME = Shape("a list with something in it is needed", lambda value: isinstance(value, list) and bool(value))
TRUE_OR_FALSE = Shape("true or false is needed", lambda value: isinstance(value, bool))
WHOLE = Shape("a whole number from 0 on is needed", is_whole)
WHOLE_OR_NOTHING = Shape("a whole number or nothing is needed", lambda v: v is None or is_whole(v))
POSITIVE = Shape("a whole number from 1 on is needed", lambda value: is_whole(value, 1))
SEED = Shape(f"numbers are needed, whole, from 0 on and below {_MOST_SEEDS:,}", lambda v: is_whole(v, 0, _MOST_SEEDS))
NUMBER = Shape("a finite number is needed", is_finite)
NUMBER_OR_NOTHING = Shape("a finite number or nothing is needed", lambda value: value is None or is_finite(value))
NOT_NEGATIVE = Shape("a finite number from 0 on is needed", lambda value: is_finite(value, 0.0))
SIZE = Shape("a finite number above 0 is needed", lambda value: is_finite(value, 5e-324))
FACTOR = Shape("numbers are needed, above 0 and below a million", lambda value: is_finite(value, 1e-9, 1e6))
ERROR = Shape("numbers above 0 and below 1 are needed", lambda value: is_finite(value, 5e-324, 1 - 1e-12))


def one_of(*texts: str) -> Shape:
    """One of some texts."""
    return Shape(f"{' or '.join(texts)} is needed", lambda value: isinstance(value, str) and value in texts)


def _is_stretch(value: Any) -> bool:
    return value is None or (
        isinstance(value, list) and len(value) == 2 and all(map(is_whole, value)) and value[0] < value[1]
    )


def _is_plan(value: Any) -> bool:
    """As many errors as looks, the looks rising, and no more error in all than a study may spend."""
    if not isinstance(value, dict):
        return False
    looks, errors, reserve = value.get("looks"), value.get("errors"), value.get("reserve", 0.0)
    if not (isinstance(looks, list) and isinstance(errors, list) and is_finite(reserve)):
        return True  # what is wrong with them, or missing, is said of each by its own line
    if not (all(map(is_whole, looks)) and all(map(is_finite, errors))):
        return True
    total = math.fsum([*errors, reserve])
    return len(looks) == len(errors) and looks == sorted(set(looks)) and total <= _MOST_ERROR + _ROUNDING


PLAN = Shape(f"as many errors as looks, the looks rising, and at most {_MOST_ERROR} in all are needed", _is_plan)


def _is_design(value: Any) -> bool:
    """Known factors in cells and interactions, each on in half of the cells, and both of a pair in a quarter."""
    if not isinstance(value, dict):
        return True
    factors, cells, pairs = value.get("factors"), value.get("cells"), value.get("interactions", [])
    if not (isinstance(factors, dict) and isinstance(cells, dict) and isinstance(pairs, list)):
        return True  # what is wrong with them, or missing, is said of each by its own line
    if not all(
        isinstance(names, list) and all(isinstance(one, str) for one in names) for names in (*cells.values(), *pairs)
    ):
        return False
    are_known = all(set(names) <= set(factors) for names in (*cells.values(), *pairs))
    are_pairs = all(len(names) == len(set(names)) == 2 for names in pairs)
    half = [sum(name in on for on in cells.values()) * 2 == len(cells) for name in factors]
    quarter = [sum(set(names) <= set(on) for on in cells.values()) * 4 == len(cells) for names in pairs]
    return bool(factors) and bool(cells) and are_known and are_pairs and all(half) and all(quarter)


DESIGN = Shape("cells of known factors, each on in half of them, and pairs of factors are needed", _is_design)
POSITIONS = Shape("nothing, or [first, end] with 0 <= first < end, is needed", _is_stretch)
DIFFERENT = Shape("each is named once", lambda value: not isinstance(value, list) or _are_different(value))
INTERVAL = Shape(
    "a list of two numbers, or of nothing, is needed",
    lambda value: isinstance(value, list) and len(value) == 2 and all(map(NUMBER_OR_NOTHING.holds, value)),
)
VERDICT = one_of("better", "worse", "equivalent", "unresolved")


_SAID = ("number", "unit", "title", "higher_is_better")


def _is_primary(value: Any) -> bool:
    """A loss, or a number of a measure with all that a reader needs to know of it."""
    if not isinstance(value, dict) or not isinstance(value.get("measure"), str):
        return True  # said of each by its own line
    is_said = [name in value for name in _SAID]
    return not any(is_said) if value["measure"] in LOSSES else all(is_said)


PRIMARY = Shape(f"val_loss or val_bpb is needed, or a measure with {', '.join(_SAID)}", _is_primary)


def _are_different(values: list[Any]) -> bool:
    return len({repr(value) for value in values}) == len(values)


@dataclass(frozen=True)
class Odd:
    """The first value of a record that is not as it must be: what is there, with its path, and what is allowed."""

    found: str
    allowed: str


def first_odd(record: Any, rules: tuple[Rule, ...], *, to: Need = "") -> Odd | None:
    """The first value that breaks a rule, in the order of the table; None where none does.

    A page may lack values, so `null` is none there; who judges needs what a study writes.

    Args:
        record: as read from JSON.
        rules: the table.
        to: what is to be done with it, so that what is needed for that must be there, too; who runs also judges.

    >>> first_odd({"seeds": [0, "1"]}, (Rule("seeds", LIST), Rule("seeds.*", SEED)))
    Odd(found="seeds holds a text ('1')", allowed='numbers are needed, whole, from 0 on and below 10,000')
    """
    for rule in rules:
        is_needed = bool(rule.needed_to) and to in (rule.needed_to, "run")
        for path, value in _places(record, rule.path.split(".") if rule.path else [], ""):
            if value is _MISSING or rule.shape.holds(value):
                if value is _MISSING and is_needed:
                    return Odd(f"{path} is not there", rule.shape.words)
            elif value is not None or to:
                return Odd(_found(path, value, rule), rule.shape.words)
    return None


_MISSING = object()


def _places(value: Any, names: list[str], path: str) -> Iterator[tuple[str, Any]]:
    """Everything that a path names; `_MISSING` where an object lacks its last name."""
    if not names:
        yield path, value
        return
    name, rest = names[0], names[1:]
    if name == "*":
        parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, part in parts:
            yield from _places(part, rest, f"{path}.{key}" if path else str(key))
    elif isinstance(value, dict):
        below = f"{path}.{name}" if path else name
        if name in value:
            yield from _places(value[name], rest, below)
        elif not rest:
            yield below, _MISSING


def _found(path: str, value: Any, rule: Rule) -> str:
    parent, _, last = path.rpartition(".")
    if rule.path.endswith("*") and last.isdecimal():
        return f"{parent} holds {json_word(value)}"
    return f"{path or 'the record'} is {json_word(value)}"


def json_word(value: Any) -> str:
    """What a value of a record is, for people; a number or a text with what it is.

    >>> json_word([]), json_word({}), json_word("x"), json_word(None), json_word(-3)
    ('a list', 'an object', "a text ('x')", 'nothing', 'a number (-3)')
    """
    words = {dict: "an object", list: "a list", bool: "true or false", type(None): "nothing"}
    if type(value) in words:
        return words[type(value)]
    # No number of a thousand digits is turned into text: that takes long, and past 4,300 of them it is refused.
    is_long = isinstance(value, int) and value.bit_length() > _MOST_BITS_SHOWN
    shown = "very many digits" if is_long else repr(value)
    shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[: _MOST_SHOWN - 1]}…"
    return f"{'a text' if isinstance(value, str) else 'a number'} ({shown})"
