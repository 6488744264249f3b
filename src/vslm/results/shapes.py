"""What the records of a folder may hold, as a table: a path, what is allowed there, and who cannot do without it.

A reader that walks through a record may rely on it. A value that is missing is no error unless somebody judges by the
record; a value that is there has the type and the range that are written here, so that a record that was edited, cut or
written by another program is refused in words, at its path, and not deep inside.

Not for: what belongs together across a record. `study.json` beside its runs is for `folder.py`.
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


_PLAN = Shape(f"as many errors as looks, the looks rising, and at most {_MOST_ERROR} in all are needed", _is_plan)
_POSITIONS = Shape("nothing, or [first, end] with 0 <= first < end, is needed", _is_stretch)
_DIFFERENT = Shape("each is named once", lambda value: not isinstance(value, list) or _are_different(value))
_INTERVAL = Shape(
    "a list of two numbers, or of nothing, is needed",
    lambda value: isinstance(value, list) and len(value) == 2 and all(map(NUMBER_OR_NOTHING.holds, value)),
)
_VERDICT = one_of("better", "worse", "equivalent", "unresolved")


_SAID = ("number", "unit", "title", "higher_is_better")


def _is_primary(value: Any) -> bool:
    """A loss, or a number of a measure with all that a reader needs to know of it."""
    if not isinstance(value, dict) or not isinstance(value.get("measure"), str):
        return True  # said of each by its own line
    is_said = [name in value for name in _SAID]
    return not any(is_said) if value["measure"] in LOSSES else all(is_said)


_PRIMARY = Shape(f"val_loss or val_bpb is needed, or a measure with {', '.join(_SAID)}", _is_primary)


def _are_different(values: list[Any]) -> bool:
    return len({repr(value) for value in values}) == len(values)


STUDY = (
    Rule("", OBJECT, needed_to="judge"),
    *(Rule(name, TEXT_OR_NOTHING, needed_to="run") for name in ("prediction", "match", "created")),
    *(Rule(name, TEXT_OR_NOTHING) for name in ("name", "equal", "fingerprint", "vslm_version", "digest")),
    Rule("question", TEXT, needed_to="judge"),
    Rule("baseline", TEXT, needed_to="judge"),
    Rule("seeds", LIST, needed_to="judge"),
    Rule("seeds.*", SEED),
    Rule("seeds", _DIFFERENT),
    Rule("budgets", LIST),
    Rule("budgets.*", FACTOR),
    Rule("budgets", _DIFFERENT),
    Rule("primary", OBJECT, needed_to="judge"),
    Rule("primary.measure", TEXT, needed_to="judge"),
    *(Rule(f"primary.{name}", TEXT) for name in ("number", "unit", "title")),
    Rule("primary.higher_is_better", TRUE_OR_FALSE),
    Rule("primary", _PRIMARY, needed_to="judge"),
    Rule("primary.smallest_effect", NOT_NEGATIVE, needed_to="judge"),
    Rule("primary.positions", _POSITIONS, needed_to="judge"),
    Rule("plan", OBJECT, needed_to="judge"),
    Rule("plan.looks", SOME, needed_to="judge"),
    Rule("plan.looks.*", POSITIVE),
    Rule("plan.errors", SOME, needed_to="judge"),
    Rule("plan.errors.*", ERROR),
    Rule("plan.reserve", NOT_NEGATIVE, needed_to="judge"),
    Rule("plan", _PLAN),
    Rule("settings", OBJECT, needed_to="judge"),
    Rule("settings.workers", POSITIVE, needed_to="judge"),
    Rule("settings.threads", POSITIVE, needed_to="run"),
    Rule("settings.device", TEXT, needed_to="run"),
    Rule("settings.precision", TEXT, needed_to="run"),
    Rule("settings.compiled", TRUE_OR_FALSE, needed_to="run"),
    Rule("settings.compiled_from_tokens", NOT_NEGATIVE),
    Rule("settings.compile_seconds", NOT_NEGATIVE),
    Rule("tokens_per_second", SIZE, needed_to="run"),
    Rule("corpora", OBJECT, needed_to="run"),
    Rule("corpora.*", OBJECT),
    Rule("corpora.*.vocabulary", POSITIVE),
    Rule("corpora.*.sha256", OBJECT),
    Rule("corpora.*.splits", OBJECT),
    Rule("corpora.*.splits.*", OBJECT),
    Rule("corpora.*.splits.*.num_tokens", WHOLE),
    Rule("corpora.*.splits.*.num_bytes", WHOLE),
    Rule("arms", OBJECT, needed_to="judge"),
    Rule("arms.*", OBJECT),
    Rule("arms.*.experiment", OBJECT, needed_to="run"),
    Rule("arms.*.kernels", OBJECT),
    *(Rule(f"arms.*.{name}", TEXT, needed_to="run") for name in ("fingerprint", "corpus")),
    Rule("arms.*.flops_per_token", NOT_NEGATIVE, needed_to="run"),
    Rule("arms.*.executed_flops_per_token", NOT_NEGATIVE),
    Rule("arms.*.start_sha256", TEXT_OR_NOTHING, needed_to="run"),
    Rule("arms.*.timed", OBJECT_OR_NOTHING),
    Rule("arms.*.differences", LIST, needed_to="run"),
    Rule("arms.*.screened_out", TRUE_OR_FALSE),
    Rule("arms.*.num_parameters", WHOLE, needed_to="judge"),
    Rule("arms.*.num_parameters_without_embeddings", NUMBER),
    Rule("arms.*.bytes_per_token", SIZE, needed_to="judge"),
    Rule("arms.*.stages_tokens", SOME, needed_to="judge"),
    Rule("arms.*.stages_tokens.*", POSITIVE),
    Rule("arms.*.tokens", POSITIVE, needed_to="run"),
    Rule("arms.*.runs", OBJECT, needed_to="judge"),
    Rule("arms.*.runs.*", TEXT),
    Rule("arms.*.runs_by_budget", OBJECT),
    Rule("arms.*.runs_by_budget.*", OBJECT),
    Rule("arms.*.runs_by_budget.*.*", TEXT),
    Rule("screening", OBJECT),
    Rule("screening.confirmed", LIST, needed_to="run"),
    Rule("screening.confirmed.*", TEXT),
    Rule("screening.budget_fraction", FACTOR),
    Rule("screening.arms", OBJECT, needed_to="run"),
    Rule("screening.arms.*", OBJECT),
    Rule("screening.arms.*.role", TEXT, needed_to="judge"),
    Rule("screening.arms.*.value", NUMBER_OR_NOTHING),
    Rule("screening.arms.*.difference", NUMBER_OR_NOTHING),
    Rule("screening.arms.*.tokens", WHOLE),
    Rule("tuning", OBJECT),
    Rule("tuning.*", OBJECT),
    Rule("tuning.*.center", SIZE, needed_to="run"),
    Rule("tuning.*.chosen", SIZE, needed_to="run"),
    Rule("tuning.*.rates", LIST),
    Rule("tuning.*.rates.*", OBJECT),
    Rule("tuning.*.rates.*.rate", SIZE),
    Rule("tuning.*.rates.*.value", NUMBER_OR_NOTHING),
    Rule("tuning.*.rates.*.values", LIST),
    Rule("tuning.*.rates.*.values.*", NUMBER_OR_NOTHING),
    Rule("unequal", LIST),
    Rule("unequal.*", TEXT),
)

_LOOKS = (
    ("looks", LIST),
    ("looks.*", OBJECT),
    ("looks.*.seeds", WHOLE),
    ("looks.*.delta", NUMBER_OR_NOTHING),
    ("looks.*.interval", _INTERVAL),
    ("looks.*.error", NUMBER_OR_NOTHING),
    ("looks.*.verdict", _VERDICT),
)
# What a later look is made from: a look that lacks one of these is none.
_OF_A_LOOK = ("looks.*.seeds", "looks.*.delta", "looks.*.interval", "looks.*.error", "looks.*.verdict")
_ARM = (("", OBJECT), ("verdict", _VERDICT), ("delta", NUMBER_OR_NOTHING), ("interval", _INTERVAL), *_LOOKS)
VERDICT = (  # what a later verdict and a rematch read of one; the rest a page shows as missing where it is odd
    Rule("", OBJECT, needed_to="judge"),
    Rule("arms", OBJECT, needed_to="judge"),
    *(Rule(f"arms.*.{name}".rstrip("."), shape) for name, shape in _ARM),
    *(
        Rule(f"arms.*.{name}", shape, needed_to="judge")
        for name, shape in _ARM
        if name in ("verdict", "looks", "delta", *_OF_A_LOOK)
    ),
    Rule("budgets", OBJECT),
    Rule("budgets.*", OBJECT),
    Rule("budgets.*.arms", OBJECT),
    *(
        Rule(f"budgets.*.arms.*.{name}".rstrip("."), shape, needed_to="judge" if name in _OF_A_LOOK else "")
        for name, shape in _ARM
    ),
    Rule("trends", OBJECT),
    Rule("trends.*", OBJECT),
    *(Rule(f"trends.*.{name}", shape, needed_to="judge" if name in _OF_A_LOOK else "") for name, shape in _LOOKS),
)

DONE = (
    Rule("", OBJECT),
    Rule("status", one_of("done", "diverged"), needed_to="judge"),
    Rule("fingerprint", TEXT_OR_NOTHING),
    Rule("digest", TEXT),
    Rule("files", OBJECT),
    Rule("files.*", TEXT),
    Rule("declared", OBJECT),
    *(Rule(name, NUMBER_OR_NOTHING) for name in ("val_loss", "val_bpb", "select_loss", "select_bpb")),
    *(Rule(name, NOT_NEGATIVE) for name in ("flops", "seconds", "tokens")),
    *(Rule(name, WHOLE) for name in ("step", "weights_bytes")),
    Rule("diverged_step", Shape("a whole number or nothing is needed", lambda v: v is None or is_whole(v))),
)

NOISE_CARD = (
    Rule("", OBJECT),
    Rule("flops_per_second", SIZE, needed_to="judge"),
    Rule("paired_sd", NOT_NEGATIVE, needed_to="judge"),
)


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

    >>> first_odd({"seeds": [0, "1"]}, STUDY)
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
