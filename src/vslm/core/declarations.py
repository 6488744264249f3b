"""Checks of a spec class from outside the package, when its first value is made: an error names class, file and line.

The package's own classes are checked by its tests.
"""

import dataclasses
import functools
import inspect
import linecache
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.core.types import type_name
from vslm.core.user_modules import is_own

_WRITE = "write @dataclass(frozen=True, kw_only=True) above the class"
_FROZEN = "a spec is a frozen dataclass, so that its fields are what is recorded"
_HOLDS = "a spec holds numbers, strings, tuples and other specs, which a record can hold"


def place_of_class(kind: type) -> str:
    """Where a class is written, for messages: `study.py:12`, or its module where no file is known."""
    codes = [value.__code__ for value in vars(kind).values() if isinstance(value, types.FunctionType)]
    files = [getattr(sys.modules.get(kind.__module__), "__file__", None), *(code.co_filename for code in codes)]
    word = re.compile(rf"\s*class\s+{re.escape(kind.__name__)}\b")
    for file in filter(None, files):
        lines = [number for number, line in enumerate(linecache.getlines(file), start=1) if word.match(line)]
        if lines:
            return f"{file}:{lines[-1]}"
    return files[0] or f"module {kind.__module__}"


@functools.cache
def check_declaration(kind: type) -> None:
    """Refuse a class of one's own that could not be recorded, read back or built.

    Raises: SpecError for what is wrong first: no dataclass, a name without a type, a type that no record holds, a
        method or a class variable of its family that is missing, a method that cannot be called as the family's are.
    """
    _check_dataclass(kind)
    _check_names(kind)
    _check_types(kind)
    _check_methods(kind)


def _check_dataclass(kind: type) -> None:
    own = [name for name, hint in vars(kind).get("__annotations__", {}).items() if not _is_class_variable(hint)]
    if not hasattr(kind, "__dataclass_fields__") or (own and "__dataclass_fields__" not in vars(kind)):
        raise SpecError(place_of_class(kind), f"{kind.__name__} is no dataclass", _FROZEN, _WRITE)
    if not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise SpecError(place_of_class(kind), f"{kind.__name__} is a dataclass that can change", _FROZEN, _WRITE)


def _check_names(kind: type) -> None:
    """Refuse `hidden = 4` where `hidden: int = 4` was meant: it is no field, and of a field of a base no default."""
    for base in _own_bases(kind):
        for name, value in vars(base).items():
            if name.startswith("_") or name.isupper() or name in vars(base).get("__annotations__", {}):
                continue
            if not isinstance(value, _VALUES) or _is_declared(kind, name):
                continue
            found = f"{base.__name__}.{name} = {value!r} has no type, so it is no field"
            do = f"write {name}: {type(value).__name__} = {value!r}"
            raise SpecError(place_of_class(base), found, "a field is a name with a type", do)


_VALUES = (bool, int, float, str, tuple, list, dict, set)


def _is_declared(kind: type, name: str) -> bool:
    """Whether a class above says that a name belongs to the class: then a plain value is what it asks for."""
    hints = [vars(base).get("__annotations__", {}).get(name) for base in kind.__mro__]
    return any(hint is not None and _is_class_variable(hint) for hint in hints)


def _is_class_variable(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.ClassVar or hint is typing.ClassVar or "ClassVar" in str(hint)


def _check_types(kind: type) -> None:
    try:
        hints = typing.get_type_hints(kind)
    except Exception as error:
        found = f"the types of its fields cannot be read ({error})"
        raise SpecError(place_of_class(kind), f"{kind.__name__}: {found}", "", "import what they name") from None
    for one in dataclasses.fields(kind):  # type: ignore[arg-type]
        unfit = next(_unfit(hints[one.name]), None)
        if unfit is not None:
            found = f"{kind.__name__}.{one.name} is declared as {type_name(unfit)}"
            raise SpecError(place_of_class(kind), found, _HOLDS, _instead_of(unfit))


def _unfit(hint: Any) -> Iterator[Any]:
    """The parts of a type that no record holds."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in (Any, None, type(None), bool, int, float, str, tuple) or origin is typing.Literal:
        return
    if origin in (typing.Union, types.UnionType, tuple):
        for arg in args:
            if arg is not Ellipsis:
                yield from _unfit(arg)
    elif origin in (Mapping, FrozenDict):
        yield from _unfit(args[1])
    elif not (isinstance(hint, type) and hasattr(hint, "_is_spec")):
        yield hint


def _instead_of(hint: Any) -> str:
    origin = typing.get_origin(hint) or hint
    if origin in (list, set, frozenset):
        return "write tuple[..., ...], such as tuple[int, ...]"
    if origin is dict:
        return "write Mapping[str, ...]"
    if isinstance(hint, type) and any(base.__module__ == "torch.nn.modules.module" for base in hint.__mro__):
        return "make the module in `build`, from numbers that are fields"
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return f"let {hint.__name__} derive from vslm.Spec"
    return "call a function in a method of the class, or make it a spec of its own, as an Activation is"


def _check_methods(kind: type) -> None:
    family = next((base for base in kind.__mro__ if not is_own(base)), kind)
    for name in sorted(dir(kind)):
        wanted = _wanted(kind, name)
        got = inspect.getattr_static(kind, name, None)
        if getattr(got, "__isabstractmethod__", False):
            shown = f"{name}{_signature(got)}" if inspect.isfunction(got) else name
            found = f"{kind.__name__} has no {name}"
            allowed = f"every {family.__name__} has {shown}"
            raise SpecError(place_of_class(kind), found, allowed, "write it; docs/adding-*.md have an example of each")
        if wanted is not None and inspect.isfunction(got):
            _check_signature(kind, name, wanted, got)
    for base in kind.__mro__:
        for name, hint in vars(base).get("__annotations__", {}).items():
            if _is_class_variable(hint) and not hasattr(kind, name):
                found = f"{kind.__name__}.{name} is not given"
                allowed = f"every {family.__name__} says what it is"
                raise SpecError(place_of_class(kind), found, allowed, f"write {name}: {_shown(hint)} = and its value")


def _shown(hint: Any) -> str:
    args = typing.get_args(hint)
    return f"ClassVar[{type_name(args[0])}]" if args else str(hint)


def _wanted(kind: type, name: str) -> Callable[..., Any] | None:
    """The abstract method of the package that a class of one's own fills in."""
    for base in kind.__mro__:
        found = vars(base).get(name)
        if not is_own(base) and inspect.isfunction(found) and getattr(found, "__isabstractmethod__", False):
            return found
    return None


def _check_signature(kind: type, name: str, wanted: Callable[..., Any], got: Callable[..., Any]) -> None:
    """Refuse a method that cannot be called as its family's are."""
    theirs, ours = _parameters(got), _parameters(wanted)
    takes_names = any(one.kind is one.VAR_KEYWORD for one in theirs)
    takes_more = any(one.kind is one.VAR_POSITIONAL for one in theirs)
    by_name = {one.name for one in theirs if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)}
    in_order = [one for one in theirs if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    missing, filled = [], set()
    for i, one in enumerate(ours):
        if one.name in by_name:
            filled.add(one.name)
        elif one.kind is one.POSITIONAL_OR_KEYWORD and i < len(in_order):
            filled.add(in_order[i].name)
        elif not (takes_names or (takes_more and one.kind is one.POSITIONAL_OR_KEYWORD)):
            missing.append(one.name)
    asked = [
        one.name
        for one in theirs
        if one.default is one.empty and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL) and one.name not in filled
    ]
    if missing or asked:
        words = [f"does not take {', '.join(missing)}"] if missing else []
        words += [f"asks for {', '.join(asked)}"] if asked else []
        found = f"{kind.__name__}.{name} {' and '.join(words)}"
        place = f"{got.__code__.co_filename}:{got.__code__.co_firstlineno}"
        raise SpecError(place, found, "it is called as its family's are", f"write def {name}{_signature(wanted)}")


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())[1:]


def _signature(function: Any) -> str:
    bare = [one.replace(annotation=inspect.Parameter.empty) for one in inspect.signature(function).parameters.values()]
    return str(inspect.Signature(bare))


def _own_bases(kind: type) -> list[type]:
    return [base for base in kind.__mro__ if is_own(base) and base is not object]
