"""Specs: frozen values that say what to build, how they are written down, named, compared and read back.

A spec is a frozen, keyword-only dataclass that derives from `Spec` and holds numbers, strings, tuples, named parts and
other specs. It lives in the file of what it builds and has one method `build(...)`. It checks its own fields when it is
made; override `check` for what the types cannot say.

Not for: anything that reads a spec while a model runs. Modules take plain arguments.
"""

import dataclasses
import functools
import hashlib
import inspect
import json
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from vslm.core.bounds import bounds_of, check_bound
from vslm.core.declarations import check_declaration
from vslm.core.errors import SpecError, nearest
from vslm.core.frozen import FrozenDict
from vslm.core.types import conform
from vslm.core.user_modules import is_own

_FINGERPRINT_DIGITS = 12  # 48 bits: a collision among a million specs has odds of 1 in 500


class Spec:
    """Base of all specs: unknown fields are refused with the nearest name, values are checked against their types."""

    def __new__(cls, *args: Any, **kwargs: Any) -> typing.Self:
        """Refuse a class from outside the package that is no frozen dataclass, and a misspelt field, in words."""
        if is_own(cls):
            check_declaration(cls)
        known = list(inspect.signature(cls.__init__).parameters)[1:]
        for name in kwargs:
            if name not in known:
                raise SpecError(f"{cls.__name__}.{name}", "no such field", nearest(name, known))
        missing = [
            name
            for name in list(inspect.signature(cls.__init__).parameters)[1 + len(args) :]
            if (args or kwargs) and name not in kwargs and _is_required(cls, name)
        ]
        if missing:
            raise SpecError(cls.__name__, f"{', '.join(missing)} not given", "", f"write {missing[0]}=...")
        return super().__new__(cls)

    def __post_init__(self, *init_only: Any) -> None:
        """Check every field against its declared type and bound, then call `check`."""
        for name, hint in field_types(type(self)).items():
            object.__setattr__(self, name, conform(getattr(self, name), hint, name))
        for name, bound in bounds_of(type(self)).items():
            check_bound(getattr(self, name), bound, name)
        self.check()

    def check(self) -> None:
        """Raise SpecError for what the types alone cannot say. Changes nothing."""

    _is_spec: typing.ClassVar[bool] = True  # for rooms that specs import


def _is_required(cls: type, name: str) -> bool:
    return inspect.signature(cls.__init__).parameters[name].default is inspect.Parameter.empty


@functools.cache
def field_types(cls: type) -> dict[str, Any]:
    """The declared type of every field of a spec class, in order, with annotations resolved."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}  # type: ignore[arg-type]


# Metadata of a field. False: it changes no number of a run and is left out. "when set": it is left out while it is
# None or False, so that what was there before the field keeps its name.
_NAMED_BY_CONTENT = "in_fingerprint"


def to_plain(value: Any, *, whole: bool = True) -> Any:
    """Write a spec down as JSON values. The concrete class of every node is kept as `kind`.

    Args:
        value: a spec, or what one may hold.
        whole: whether fields that stay out of the fingerprint are written, too.

    Raises: TypeError for a value that no spec may hold.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field for field in dataclasses.fields(value) if whole or _is_named(field, getattr(value, field.name))]
        plain = {field.name: to_plain(getattr(value, field.name), whole=whole) for field in fields}
        return {"kind": type(value).__name__, **plain}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, whole=whole) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item, whole=whole) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"A spec may hold only numbers, strings, tuples and specs; got {type(value).__name__}.")


def from_plain(plain: Any, kinds: Mapping[str, type], where: str = "") -> Any:
    """Read back what `to_plain` wrote.

    Args:
        plain: JSON values.
        kinds: the class for every `kind`; the lab's catalog, or a study's own classes beside it.
        where: dotted path of `plain`, for messages.

    Raises: SpecError for an unknown kind or field, a missing field, or a value of the wrong type.
    """
    if isinstance(plain, list):
        return tuple(from_plain(item, kinds, f"{where}.{i}") for i, item in enumerate(plain))
    if not isinstance(plain, Mapping):
        return plain
    if "kind" not in plain:
        return FrozenDict({key: from_plain(item, kinds, _join(where, key)) for key, item in plain.items()})
    kind = plain["kind"]
    if not isinstance(kind, str) or kind not in kinds:
        raise SpecError(where, f"unknown kind {kind!r}", nearest(str(kind), kinds), "import the study that defines it")
    cls = kinds[kind]
    fields = {key: from_plain(item, kinds, _join(where, key)) for key, item in plain.items() if key != "kind"}
    missing = [field.name for field in dataclasses.fields(cls) if field.name not in fields and not _may_lack(field)]
    unknown = [name for name in fields if name not in field_types(cls)]
    if missing or unknown:
        name = (unknown or missing)[0]
        found = "no such field" if unknown else "missing in the record"
        do = "if another version of vslm wrote this record, install that one or run the study again"
        raise SpecError(_join(where, name), found, nearest(name, field_types(cls)), do)
    try:
        return cls(**fields)
    except SpecError as error:
        raise error.within(where) from None


def _is_named(field: "dataclasses.Field[Any]", value: Any) -> bool:
    named = field.metadata.get(_NAMED_BY_CONTENT, True)
    return value not in (None, False) if named == "when set" else named


def _may_lack(field: "dataclasses.Field[Any]") -> bool:
    """Whether a record may be older than this field: without it, its default is what was done."""
    return field.metadata.get(_NAMED_BY_CONTENT, True) is not True and field.default is not dataclasses.MISSING


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def fingerprint(spec: Any) -> str:
    """Name a spec by its content: 12 hex digits, equal for equal specs on every machine.

    A field with the metadata `{"in_fingerprint": False}` is left out: it says where content lies and not what it is, or
    what is kept of a run and not what the run is. With `"when set"` it is left out while it is None or False.
    """
    text = json.dumps(to_plain(spec, whole=False), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_FINGERPRINT_DIGITS]


def differences(a: Any, b: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield `(dotted path, plain value in a, plain value in b)` for every leaf where two specs disagree.

    Lists of different length are reported whole; a name that only one side has is None on the other.
    """
    a, b = to_plain(a), to_plain(b)
    if isinstance(a, dict) and isinstance(b, dict) and a.get("kind") == b.get("kind"):
        for key in dict.fromkeys([*a, *b]):
            yield from differences(a.get(key), b.get(key), _join(path, key))
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from differences(x, y, _join(path, str(i)))
    elif a != b:
        yield path, a, b
