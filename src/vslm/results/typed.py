"""Records as types: a field says its type, what is allowed there, and who cannot do without it.

    @dataclass(kw_only=True)
    class Ended(Record):
        status: str = held(one_of("done", "diverged"), needed_to="judge")
        seconds: float | None = held(NOT_NEGATIVE)

    Ended.rules()        the table that `first_odd` refuses a record by
    Ended.from_plain(plain)    from JSON: what is missing, or not as the field says, is None or empty
    record.plain()       as JSON; a field that holds nothing is left out unless nothing is allowed there

A record may hold others, by name or in a list: `arms: dict[str, ArmRecord] = held(OBJECT)`. What a newer or an older
vslm wrote beside the fields is kept in `others`, and written again.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from vslm.results.shapes import LIST, OBJECT, SOME, Need, Rule, Shape

_HELD = "held"
_EMPTY: dict[str, Callable[[], Any]] = {LIST.words: list, SOME.words: list, OBJECT.words: dict}


@dataclass(frozen=True)
class _Held:
    shape: Shape
    needed_to: Need
    each: Shape | None
    inner: Shape | None
    also: Shape | None
    when_set: bool
    reads: Callable[[Any], Any] | None
    parts: tuple[Rule, ...]
    is_told: bool


def held(
    shape: Shape,
    *,
    needed_to: Need = "",
    each: Shape | None = None,
    inner: Shape | None = None,
    also: Shape | None = None,
    when_set: bool = False,
    reads: Callable[[Any], Any] | None = None,
    parts: tuple[Rule, ...] = (),
    is_told: bool = False,
) -> Any:
    """A field of a record. It is None, or an empty list or object, where nothing is held.

    Args:
        shape: what is allowed.
        needed_to: what cannot be done without it.
        each: what is allowed in it, item by item.
        inner: the same one level further down.
        also: what its parts have to fit together to, once each is allowed.
        when_set: whether a field that holds nothing is not written.
        reads: makes the value of the field from what is in the file, None for nothing; the value has `plain()`.
        parts: rules of what `reads` takes, by paths below the field.
        is_told: see `told`.
    """
    empty = (lambda: reads(None)) if reads else _EMPTY.get(shape.words)
    metadata = {_HELD: _Held(shape, needed_to, each, inner, also, when_set, reads, parts, is_told)}
    return field(default_factory=empty, metadata=metadata) if empty else field(default=None, metadata=metadata)


def told(shape: Shape, **how: Any) -> Any:
    """A field for people: where it is not as it should be it is missing, and no reason to refuse the record."""
    return held(shape, **how, is_told=True)


@dataclass(kw_only=True)
class Record:
    """A part of a folder's record. `others`: what stands beside the fields in the file, by name."""

    others: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (_, records) in _fields(type(self)).items():
            if records is not None and records[0] == "one" and getattr(self, name) == {}:
                setattr(self, name, records[1]())  # a record that is not there is an empty one

    @classmethod
    def from_plain(cls, plain: Any) -> Self:
        """From JSON values. Never raises: what is not as a field says is missing."""
        plain = plain if isinstance(plain, dict) else {}
        known = _fields(cls)
        values = {name: _kept(plain[name], *known[name]) for name in known.keys() & plain.keys()}
        found = cls(**{name: value for name, value in values.items() if value is not None})
        found.others = {name: value for name, value in plain.items() if name not in known}
        return found

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        written = {}
        for name, (declared, _) in _fields(type(self)).items():
            value = _plain(getattr(self, name))
            is_nothing = value is None or (isinstance(value, list | dict) and not value)
            if declared.shape.holds(value) and not (declared.when_set and is_nothing):
                written[name] = value
        return {**written, **self.others}

    @classmethod
    @functools.cache
    def rules(cls) -> tuple[Rule, ...]:
        """The table of what a file that holds this record may hold."""
        return (Rule("", OBJECT, needed_to="judge"), *_rules(cls, ""))


@functools.cache
def _fields(cls: type[Record]) -> dict[str, tuple[_Held, tuple[str, type[Record]] | None]]:
    """The fields of a record: what each may hold, and which records it holds, how."""
    hints = typing.get_type_hints(cls)
    return {
        one.name: (one.metadata[_HELD], _records_in(hints[one.name]))
        for one in dataclasses.fields(cls)
        if _HELD in one.metadata
    }


def _records_in(hint: Any) -> tuple[str, type[Record]] | None:
    """("one" | "list" | "dict", the class) of a field that holds records; None for one that holds none."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return next((found for one in arguments if (found := _records_in(one)) is not None), None)
    if origin in (list, dict) and isinstance(last := arguments[-1], type) and issubclass(last, Record):
        return origin.__name__, last
    return ("one", hint) if isinstance(hint, type) and issubclass(hint, Record) else None


def _kept(value: Any, declared: _Held, records: tuple[str, type[Record]] | None) -> Any:
    """A value as its field holds it; None for one that is not allowed."""
    if value is None or not declared.shape.holds(value):
        return None
    if declared.reads is not None:
        return declared.reads(value)
    if records is not None:
        how, kind = records
        if how == "one":
            return kind.from_plain(value)
        if how == "list":
            return [kind.from_plain(item) for item in value if isinstance(item, dict)]
        return {key: kind.from_plain(item) for key, item in value.items()}
    if declared.each is None:
        return value
    is_kept = declared.each.holds
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if is_kept(item)}
        if declared.inner is None:
            return kept
        return {key: {k: v for k, v in item.items() if declared.inner.holds(v)} for key, item in kept.items()}
    return [item for item in value if is_kept(item)]


def _plain(value: Any) -> Any:
    if hasattr(value, "plain"):
        return value.plain()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, float) else value  # a number of numpy is one, too


def _rules(cls: type[Record], before: str) -> Iterator[Rule]:
    for name, (declared, records) in _fields(cls).items():
        path = f"{before}{name}"
        if declared.is_told:
            continue
        yield Rule(path, declared.shape, declared.needed_to)
        for part in declared.parts:
            yield dataclasses.replace(part, path=f"{path}.{part.path}")
        if declared.each is not None:
            yield Rule(f"{path}.*", declared.each)
            if declared.inner is not None:
                yield Rule(f"{path}.*.*", declared.inner)
        if records is not None:
            how, kind = records
            if how != "one":
                yield Rule(f"{path}.*", OBJECT)
            yield from _rules(kind, f"{path}." if how == "one" else f"{path}.*.")
        if declared.also is not None:
            yield Rule(path, declared.also)
