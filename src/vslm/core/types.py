"""Check a value against the type that a spec declares for it.

Covers what specs may hold: numbers, strings, booleans, None, literals, unions, tuples, mappings and other specs.
It does not cover protocols or generics of any other kind: a spec that needs one is too clever.
"""

import contextlib
import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.core.numbers import Typed, typed_number

_HOW = "docs/adding-a-feedforward.md"
_LARGEST_INT = 2**63  # torch, numpy and most readers of JSON hold no more


def conform(value: Any, hint: Any, where: str) -> Any:
    """Return `value` as the declared type wants it (1 becomes 1.0 for a float, a list becomes a tuple).

    Raises: SpecError naming `where`, the value found, and the type allowed.
    """
    origin = typing.get_origin(hint)
    if isinstance(value, Typed):
        return _conform_typed(value, hint, where)
    _check_no_code(value, hint, where)
    if hint is Any:
        return value
    _check_recordable(value, where)
    if origin in (typing.Union, types.UnionType):
        return _conform_union(value, hint, where)
    if origin is typing.Literal and any(
        value == known for known in typing.get_args(hint) if type(value) is type(known)
    ):
        return value
    if origin is tuple and isinstance(value, tuple | list):
        return _conform_tuple(tuple(value), typing.get_args(hint), where)
    if origin in (Mapping, FrozenDict) and isinstance(value, Mapping):
        inner = typing.get_args(hint)[1]
        return FrozenDict({_text_key(k, where): conform(v, inner, f"{where}.{k}") for k, v in value.items()})
    if origin is None and isinstance(hint, type) and _is_of(value, hint):
        return _finite(value, where) if hint is float else value
    raise _unfit(value, hint, where)


def _check_no_code(value: Any, hint: Any, where: str) -> None:
    """Refuse a class, a function or a torch module: code, where a value that can be written down is needed."""
    needed = f"{type_name(hint)} is needed"
    if isinstance(value, type):
        if _is_torch_module(value):
            do = f"make it in the `build` of a class of your own ({_HOW})"
            raise SpecError(where, f"found the class {value.__name__}, a torch module", needed, do)
        raise SpecError(where, f"found the class {value.__name__} itself", needed, f"write {value.__name__}()")
    if _is_torch_module(type(value)):
        found = f"found a torch module ({type(value).__name__})"
        raise SpecError(where, found, f"{needed}, which builds one", f"make it in the `build` of your class ({_HOW})")
    if callable(value) and not dataclasses.is_dataclass(value):
        found = f"found the function {getattr(value, '__name__', type(value).__name__)}"
        allowed = f"{needed}; a record holds numbers, strings, tuples and other specs"
        raise SpecError(where, found, allowed, f"call it in a method of a class of your own ({_HOW})")


def _is_torch_module(kind: type) -> bool:
    return any(base.__module__ == "torch.nn.modules.module" for base in kind.__mro__)


def _unfit(value: Any, hint: Any, where: str) -> SpecError:
    """A value of another type than the declared one."""
    do, family = "", _family(hint)
    if family is not None and type(value).__module__.partition(".")[0] not in ("vslm", "builtins"):
        do = f"let {type(value).__name__} derive from {family}: class {type(value).__name__}({family})"
    return SpecError(where, f"found {describe(value)}", f"{type_name(hint)} is needed", do)


def _family(hint: Any) -> str | None:
    """The first class of specs in a type."""
    hints = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return next((one.__name__ for one in hints if isinstance(one, type) and hasattr(one, "_is_spec")), None)


def _conform_typed(value: Typed, hint: Any, where: str) -> Any:
    """What was typed as what the field takes: a literal, a number with an ending, or else the text itself."""
    if value.literal is not ...:
        with contextlib.suppress(SpecError):
            return conform(value.literal, hint, where)
    kinds = typing.get_args(hint) or (hint,)
    if value.looks_like_number() and str not in kinds and {int, float} & set(kinds):
        return conform(typed_number(value, where, kinds), hint, where)
    return conform(str(value), hint, where)


def _check_recordable(value: Any, where: str) -> None:
    """Refuse numbers and strings that a record cannot hold, or arithmetic with floats cannot take."""
    if isinstance(value, int):
        if abs(value) >= _LARGEST_INT:
            raise SpecError(where, f"found a whole number of {value.bit_length()} bits", "at most 63 bits are needed")
        return
    if not isinstance(value, str):
        return
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise SpecError(where, f"found {describe(value)}", "text that UTF-8 can hold is needed") from None
    if "\0" in value:
        raise SpecError(where, f"found {describe(value)}", "text without the character 0 is needed")


def _is_of(value: Any, hint: type) -> bool:
    """`isinstance`, but True is no number and 1 will do for a float."""
    if hint in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, int | float if hint is float else hint)


def _finite(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise SpecError(where, f"{value!r} is not a finite number", "a finite number is needed")
    return float(value)


def _conform_union(value: Any, hint: Any, where: str) -> Any:
    members = typing.get_args(hint)
    # An exact match first, so that 1 stays an int in `int | float`.
    for member in members:
        if isinstance(member, type) and type(value) is member:
            return conform(value, member, where)
    for member in members:
        try:
            return conform(value, member, where)
        except SpecError:
            continue
    raise _unfit(value, hint, where)


def _conform_tuple(value: tuple[Any, ...], args: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(conform(item, args[0], f"{where}.{i}") for i, item in enumerate(value))
    if len(args) != len(value):
        raise SpecError(where, f"found {len(value)} values", f"{len(args)} are needed")
    return tuple(conform(item, arg, f"{where}.{i}") for i, (item, arg) in enumerate(zip(value, args, strict=True)))


def _text_key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise SpecError(where, f"the name {describe(key)} is no string", "names are strings")
    _check_recordable(key, where)
    return key


def describe(value: Any) -> str:
    """A value as an error message shows it: short, with its type where that is not plain."""
    try:
        text = repr(value)
    except ValueError:  # a whole number with more digits than Python writes
        text = f"a number of {value.bit_length()} bits"
    text = text if len(text) <= 60 else text[:57] + "..."
    return text if isinstance(value, int | float | bool | None) else f"{text} ({type(value).__name__})"


def type_name(hint: Any) -> str:
    """A type as a person writes it: `int or None`, not `typing.Optional[int]`."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_name(member) for member in typing.get_args(hint))
    if origin is typing.Literal:
        return " or ".join(repr(member) for member in typing.get_args(hint))
    if origin is tuple:
        args = [arg for arg in typing.get_args(hint) if arg is not Ellipsis]
        return f"a tuple of {', '.join(type_name(arg) for arg in args)}"
    if origin is not None:
        return str(hint)
    return "None" if hint in (None, type(None)) else getattr(hint, "__name__", str(hint))
