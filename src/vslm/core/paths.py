"""Change a spec by dotted path: `vary` for studies, `parse_change` for the command line.

Paths go through fields, names and indices, and `*` stands for every one of them at its place:

    model.blocks.*.attention.window_tokens
    model.path.3
"""

import ast
import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from vslm.core.errors import SpecError, nearest
from vslm.core.frozen import FrozenDict
from vslm.core.numbers import Typed
from vslm.core.specs import Spec, field_types
from vslm.core.types import conform, describe

S = TypeVar("S")


def vary(spec: S, changes: Mapping[str, Any]) -> S:
    """A copy of `spec` with the values at the given dotted paths replaced.

    Args:
        spec: any spec (an `Experiment`, a `Model`, ...).
        changes: dotted path -> number, string, tuple or spec. Applied in order.

    Raises: SpecError when a path matches nothing (the nearest names are offered), or when a value has the wrong type.

    >>> vary(budget, {"tokens": 1000})                      # doctest: +SKIP
    """
    for path, value in changes.items():
        if not isinstance(path, str) or not path:
            found = f"found {describe(path)} as a path" if path else "an empty path"
            raise SpecError("vary", found, "a dotted path is needed")
        spec = _replaced(spec, path.split("."), value, done="")
    return spec


def _replaced(node: Any, rest: list[str], value: Any, done: str) -> Any:
    """`node` with everything that `rest` matches replaced by `value`; `done` is the path so far."""
    if not rest:
        return value
    head, tail = rest[0], rest[1:]
    children = parts_of(node)
    if children is None:
        raise SpecError(
            f"{done}.{head}" if done else head, f"{done or 'the spec'} is {describe(node)} and has no parts"
        )
    names = list(children) if head == "*" else [head]
    if head == "*" and tail:
        names = [name for name in names if _has(children[name], tail)]
    where = f"{done}.{head}" if done else head
    if head == "*" and tail and not names and children:
        first = next(iter(children))  # goes wrong where the path does, and offers the names that are there
        _replaced(children[first], tail, value, f"{done}.{first}" if done else first)
    if not names or any(name not in children for name in names):
        found = "matches nothing" if head == "*" else "no such name"
        raise SpecError(where, found, nearest(tail[0] if head == "*" and tail else head, _offered(children, head)))
    changed = {name: _replaced(children[name], tail, value, f"{done}.{name}" if done else name) for name in names}
    return _rebuilt(node, changed, done)


def _offered(children: Mapping[str, Any], head: str) -> list[str]:
    if head != "*":
        return list(children)
    return [name for child in children.values() for name in (parts_of(child) or {})]


def _has(node: Any, rest: list[str]) -> bool:
    """Whether a path matches anything below `node`: `*` skips what does not have the rest of the path."""
    children = parts_of(node)
    if children is None:
        return False
    names = list(children) if rest[0] == "*" else [rest[0]]
    return any(name in children and (not rest[1:] or _has(children[name], rest[1:])) for name in names)


def parts_of(node: Any) -> Mapping[str, Any] | None:
    """What a dotted path goes on with from here, by name: fields, entries, places; None where it ends."""
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return {name: getattr(node, name) for name in field_types(type(node))}
    if isinstance(node, Mapping):
        return node
    if isinstance(node, tuple):
        return {str(i): item for i, item in enumerate(node)}
    return None


def specs_in(node: Any, where: str = "") -> Iterator[tuple[str, Spec]]:
    """(dotted path, spec) of every spec in `node`, which stands at `where`: a spec before its parts."""
    if isinstance(node, Spec):
        yield where, node
    for name, part in (parts_of(node) or {}).items():
        yield from specs_in(part, f"{where}.{name}" if where else name)


def _rebuilt(node: Any, changed: Mapping[str, Any], where: str) -> Any:
    if isinstance(node, Mapping):
        return FrozenDict({**node, **changed})
    if isinstance(node, tuple):
        return tuple(changed.get(str(i), item) for i, item in enumerate(node))
    hints = field_types(type(node))
    prefix = f"{where}." if where else ""
    values = {name: conform(item, hints[name], f"{prefix}{name}") for name, item in changed.items()}
    try:
        return dataclasses.replace(node, **values)
    except SpecError as error:
        raise error.within(where) from None


def parse_change(text: str, kinds: Mapping[str, type]) -> tuple[str, Any]:
    """Read `PATH=VALUE` as the command line takes it.

    A value is a Python literal (`32`, `0.1`, `None`, `(0, 1)`), a spec written as a call of a known class with
    literals and specs inside (`Softmax(temperature=0.5)`), or else text: a number as people type it (`2M`) for a field
    that takes numbers, a plain string for others.

    Raises: SpecError without `=`, or with a class that is not in `kinds`.
    """
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not path:
        raise SpecError(f"--set {text}", "no PATH=VALUE", "write --set model.blocks.0.width=96")
    tree = _parsed(value.strip())
    if tree is None or isinstance(tree, ast.Name):
        return path, Typed(value.strip())
    try:
        literal = _literal(tree, kinds, path)
    except (ValueError, TypeError, RecursionError, MemoryError):  # what literal_eval raises for all but a literal
        return path, Typed(value.strip())
    # 1e6 for a field of whole numbers, and 1,000,000, which Python reads as three numbers.
    could_be_another = isinstance(literal, float | tuple) and isinstance(tree, ast.Constant | ast.UnaryOp | ast.Tuple)
    return path, Typed(value.strip(), literal) if could_be_another else literal


def _parsed(text: str) -> ast.expr | None:
    """The text as a Python expression, or None: then it is a plain string."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in a literal; what is meant shows in the value
        try:
            return ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # a NUL, or too many brackets
            return None


def _literal(tree: ast.expr, kinds: Mapping[str, type], path: str) -> Any:
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
        if tree.func.id not in kinds:
            raise SpecError(path, f"unknown class {tree.func.id}", nearest(tree.func.id, kinds))
        if any(isinstance(arg, ast.Starred) for arg in tree.args) or any(item.arg is None for item in tree.keywords):
            raise SpecError(path, "* stands for no argument here", "write every argument out")
        args = [_literal(arg, kinds, path) for arg in tree.args]
        kwargs = {item.arg: _literal(item.value, kinds, path) for item in tree.keywords if item.arg}
        try:
            return kinds[tree.func.id](*args, **kwargs)
        except SpecError as error:
            raise error.within(path) from None
        except TypeError as error:
            raise SpecError(path, str(error)) from None
    if isinstance(tree, ast.Tuple | ast.List):
        return tuple(_literal(item, kinds, path) for item in tree.elts)
    return ast.literal_eval(tree)
