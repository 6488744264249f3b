"""What a class of the user's own is made of: the statements that it reaches in the user's files, each with a digest.

    reached = Reached((study.parent,))
    reached.use(read_text(text), "Mine")
    reached.parts                      # {"class Mine": "3f2a...", "shared.py: function helper": "77b0..."}

Reached are the class, and whatever it names, at whatever depth, in its own file and in the user's modules that are
imported there: functions, base classes, constants, what is done to them later at the top of a file (`Mine.build = f`).
An import of anything else counts by its words (`from torch import tanh as act`). Not reached is what the class does not
name, so a question, an arm or a comment may change. Comments, docstrings and layout do not count: a digest is of the
syntax tree, written down so that versions of Python agree.

Not seen: names made up while running (`globals()["helper"]`, `importlib.import_module`), and files that are read.

Nothing is run here.
"""

import ast
import hashlib
import json
import symtable
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vslm.core.user_modules import absolute_name, find_module

_DIGITS = 12
_COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")  # run where they stand, unlike other functions
_Import = ast.Import | ast.ImportFrom
_Attributes = tuple[str, ...]
_Node = tuple[ast.AST, ...]


@dataclass(frozen=True)
class _Bound:
    """What a statement at the top of a text does to names.

    Args:
        anew: names that it binds whatever they were.
        more: names that it binds in some cases only, or whose value it changes.
        calls: names whose value it may change by a call of a method.
    """

    anew: frozenset[str] = frozenset()
    more: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()


@dataclass(eq=False)
class OwnText:
    """A text of the user's: a file, or the cells of a notebook one after another.

    Args:
        text: the source.
        name: the module's dotted name; empty for the study's own text.
        label: of the file, for messages; empty for the study's own.
        package: that relative imports start from.
    """

    text: str
    name: str = ""
    label: str = ""
    package: str = ""
    statements: list[ast.stmt] = field(init=False)
    bound: list[_Bound] = field(init=False)

    def __post_init__(self) -> None:
        try:
            self.statements = ast.parse(self.text).body
        except (SyntaxError, ValueError):  # whoever imports it says so
            self.statements = []
        self.bound = [_bound_by(stmt) for stmt in self.statements]

    def binds(self, name: str) -> bool:
        """Whether a name is bound at the top of the text."""
        return any(name in bound.anew or name in bound.more for bound in self.bound)

    def binding(self, name: str, before: int | None) -> list[int]:
        """The statements that make a name what it is just before a statement, or at the end of the text."""
        found: list[int] = []
        calls: list[int] = []
        for i in reversed(range(len(self.statements) if before is None else before)):
            bound = self.bound[i]
            if name in bound.anew:
                # A method called on a module is no change of it: torch.manual_seed(0), vslm.run(study).
                return [*found, i] if isinstance(self.statements[i], _Import) else [*found, *calls, i]
            if name in bound.more:
                found.append(i)
            elif name in bound.calls:
                calls.append(i)
        return [*found, *calls] if found else []

    def stars(self) -> list[int]:
        """The statements `from ... import *`."""
        return [
            i
            for i, stmt in enumerate(self.statements)
            if isinstance(stmt, ast.ImportFrom) and stmt.names[0].name == "*"
        ]


def _bound_by(stmt: ast.stmt) -> _Bound:
    if isinstance(stmt, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return _Bound(anew=frozenset({stmt.name}))
    if isinstance(stmt, _Import):
        return _Bound(anew=frozenset(_bound_alias(alias) for alias in stmt.names))
    if isinstance(stmt, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Delete):
        return _bound_by_assignment(stmt)
    if isinstance(stmt, ast.Expr):
        return _Bound(calls=frozenset(_changed_by_call(stmt.value)))
    if isinstance(stmt, ast.If) and "__name__" in ast.unparse(stmt.test):
        return _Bound()  # what a script does when it is run
    return _Bound(more=frozenset(_bound_inside(stmt)))


def _bound_by_assignment(stmt: ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Delete) -> _Bound:
    if isinstance(stmt, ast.AnnAssign) and stmt.value is None:
        return _Bound()
    targets = stmt.targets if isinstance(stmt, ast.Assign | ast.Delete) else [stmt.target]
    flat = [node for target in targets for node in _flat(target)]
    names = {node.id for node in flat if isinstance(node, ast.Name)}
    changed = {root for node in flat if not isinstance(node, ast.Name) and (root := _root(node))}
    if isinstance(stmt, ast.AugAssign | ast.Delete):
        return _Bound(more=frozenset(names | changed))
    return _Bound(anew=frozenset(names), more=frozenset(changed))


def _flat(target: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        for item in target.elts:
            yield from _flat(item)
    else:
        yield target.value if isinstance(target, ast.Starred) else target


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _changed_by_call(call: ast.expr) -> Iterator[str]:
    if not isinstance(call, ast.Call):
        return
    if isinstance(call.func, ast.Attribute) and (root := _root(call.func)):
        yield root
    elif isinstance(call.func, ast.Name) and call.func.id in ("setattr", "delattr") and call.args:
        yield from filter(None, [_root(call.args[0])])


def _bound_inside(stmt: ast.stmt) -> Iterator[str]:
    """Names that a compound statement binds, but for those of scopes inside it."""
    for child in ast.iter_child_nodes(stmt):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        elif isinstance(child, _Import):
            yield from (_bound_alias(alias) for alias in child.names)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child.name
        elif not isinstance(child, ast.Lambda):
            if isinstance(child, ast.Assign | ast.AugAssign):
                yield from _bound_by_assignment(child).more
            yield from _bound_inside(child)  # type: ignore[arg-type]


def _bound_alias(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _uses(stmt: ast.stmt) -> tuple[set[str], set[str]]:
    """Global names that a statement reads where it stands, and those that it reads later, inside functions."""
    at_once: set[str] = set()
    later: set[str] = set()

    def look(table: symtable.SymbolTable, *, is_later: bool) -> None:
        for symbol in table.get_symbols():
            is_global = table.get_type() == "module" or symbol.is_global()
            if is_global and (symbol.is_referenced() or symbol.is_declared_global()):
                (later if is_later else at_once).add(symbol.get_name())
        for child in table.get_children():
            is_function = child.get_type() == "function" and child.get_name() not in _COMPREHENSIONS
            look(child, is_later=is_later or is_function)

    look(symtable.symtable(ast.unparse(stmt), "own", "exec"), is_later=False)
    for node in ast.walk(stmt):
        annotation = getattr(node, "annotation", None)
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            later |= {name.id for name in ast.walk(_parsed(annotation.value)) if isinstance(name, ast.Name)}
    return at_once, later


def _parsed(text: str) -> ast.AST:
    try:
        return ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return ast.Constant(None)


def _chains(node: ast.AST) -> Iterator[tuple[str, _Attributes]]:
    """Every name in a statement with the attributes that are asked of it: `shared.sizes.wide` is
    ("shared", ("sizes", "wide")).
    """
    attributes: list[str] = []
    inner = node
    while isinstance(inner, ast.Attribute):
        attributes.insert(0, inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        yield inner.id, tuple(attributes)
        return
    for child in ast.iter_child_nodes(inner):
        yield from _chains(child)


class Reached:
    """What was reached from some names. Args: roots: folders whose modules come before all others."""

    def __init__(self, roots: Sequence[Path] = ()) -> None:
        self.roots = tuple(roots)
        self._texts: dict[str, OwnText | None] = {}
        self._kept: dict[OwnText, set[int]] = {}
        self._imports: dict[str, str] = {}
        self._seen: set[Any] = set()
        self._to_do: list[tuple[OwnText, str, _Attributes, int | None]] = []

    def use(self, text: OwnText, name: str) -> None:
        """Reach what a name at the top of a text stands for, and all that this needs."""
        if text.name:
            self._texts[text.name] = text
        self._to_do.append((text, name, (), None))
        while self._to_do:
            self._follow(*self._to_do.pop())

    @property
    def parts(self) -> dict[str, str]:
        """A digest of everything that was reached, by what it is and where."""
        bodies: dict[str, list[Any]] = {}
        for text, kept in self._kept.items():
            for i in sorted(kept):
                if not isinstance(text.statements[i], _Import):
                    bodies.setdefault(_label(text, i), []).append(_plain(text.statements[i]))
        found = {label: _digest(body) for label, body in bodies.items()} | self._imports
        return dict(sorted(found.items()))

    def source(self, text: OwnText) -> str:
        """The statements of a text that were reached, as they stand there: it runs by itself."""
        kept = self._kept.get(text, set()) | {
            i
            for i, stmt in enumerate(text.statements)
            if isinstance(stmt, ast.ImportFrom) and stmt.module == "__future__"
        }
        return "\n\n".join(_segment(text, text.statements[i]) for i in sorted(kept))

    def _follow(self, text: OwnText, name: str, attributes: _Attributes, before: int | None) -> None:
        if (text, name, attributes, before) in self._seen:
            return
        self._seen.add((text, name, attributes, before))
        found = text.binding(name, before)
        for i in found:
            stmt = text.statements[i]
            if isinstance(stmt, _Import):
                self._kept.setdefault(text, set()).add(i)
                for alias in stmt.names:
                    if _bound_alias(alias) == name:
                        self._import(text, stmt, alias, attributes)
            else:
                self._keep(text, i)
        for i in text.stars() if not found else ():
            module = self._module(absolute_name(text.statements[i], text.package))  # type: ignore[arg-type]
            if module is not None and (module.binds(name) or module.stars()):
                self._kept.setdefault(text, set()).add(i)
                self._to_do.append((module, name, attributes, None))
            elif module is None and before is None:
                self._kept.setdefault(text, set()).add(i)  # it may come from there, whatever it is

    def _keep(self, text: OwnText, i: int) -> None:
        kept, stmt = self._kept.setdefault(text, set()), text.statements[i]
        if i in kept:
            return
        kept.add(i)
        at_once, later = _uses(stmt)
        chains: dict[str, set[_Attributes]] = {}
        for name, attributes in _chains(stmt):
            chains.setdefault(name, set()).add(attributes)
        for names, before in ((at_once, i), (later, None)):
            for name in names:
                self._to_do += [(text, name, attributes, before) for attributes in chains.get(name, {()})]
        for node in ast.walk(stmt):
            if isinstance(node, _Import):
                for alias in node.names:
                    for attributes in chains.get(_bound_alias(alias), {()}):
                        self._import(text, node, alias, attributes, is_inside=True)

    def _import(
        self, text: OwnText, stmt: _Import, alias: ast.alias, attributes: _Attributes, *, is_inside: bool = False
    ) -> None:
        """Follow an import into the user's modules; of others the words count."""
        if isinstance(stmt, ast.ImportFrom):
            base = absolute_name(stmt, text.package)
            module = self._module(base)
            if module is not None:
                self._into(module, (*([] if alias.name == "*" else [alias.name]), *attributes))
                return
            words = f"from {base} import {alias.name}"
        else:
            module = self._module(alias.name if alias.asname else alias.name.partition(".")[0])
            if module is not None:
                self._into(module, attributes)
                return
            words = f"import {alias.name}"
        if not is_inside:  # else it is part of the statement around it
            self._imports[f"{_prefix(text)}import {_bound_alias(alias)}"] = _digest(words)

    def _into(self, module: OwnText, attributes: _Attributes) -> None:
        while attributes:
            head, *rest = attributes
            inner = None if module.binds(head) else self._module(f"{module.name}.{head}")
            if inner is None:
                self._to_do.append((module, head, tuple(rest), None))
                return
            module, attributes = inner, tuple(rest)
        for i in range(len(module.statements)):  # the module as a value: anything in it may be meant
            self._keep(module, i)

    def _module(self, name: str) -> OwnText | None:
        if name and name not in self._texts:
            path = find_module(name, self.roots)
            self._texts[name] = None if path is None else module_text(name, path)
        return self._texts.get(name)


def parts_of_class(kind: type) -> dict[str, str]:
    """What a class reaches that stands at the top of a file; nothing where its file is not known."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file is None or not Path(file).is_file():
        return {}
    reached = Reached((Path(file).resolve().parent,))
    reached.use(OwnText(Path(file).read_text(encoding="utf-8", errors="replace")), kind.__name__)
    return reached.parts


def module_text(name: str, path: Path) -> OwnText:
    """The text of a module of the user's."""
    is_package = path.is_dir() or path.name == "__init__.py"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    label = f"{name.replace('.', '/')}{'/__init__' if is_package else ''}.py"
    return OwnText(text, name, label, name if is_package else name.rpartition(".")[0])


def _prefix(text: OwnText) -> str:
    return f"{text.label}: " if text.label else ""


def _label(text: OwnText, i: int) -> str:
    stmt, bound = text.statements[i], text.bound[i]
    kind = {ast.ClassDef: "class ", ast.FunctionDef: "function ", ast.AsyncFunctionDef: "function "}.get(type(stmt), "")
    names = ", ".join(sorted(bound.anew or bound.more or bound.calls))
    return f"{_prefix(text)}{kind}{names or 'statement'}"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _plain(node: Any) -> Any:
    """A syntax tree as JSON values, without places, docstrings, and what only some versions of Python write down."""
    if isinstance(node, ast.AST):
        fields = {name: _plain(value) for name, value in _fields(node) if value is not None and value != []}
        return [type(node).__name__, fields]
    if isinstance(node, list):
        return [_plain(item) for item in node]
    return node if isinstance(node, str) else f"{type(node).__name__} {node!r}"


def _fields(node: ast.AST) -> Iterator[tuple[str, Any]]:
    for name, value in ast.iter_fields(node):
        if name in ("ctx", "kind", "type_comment"):
            continue
        has_docstring = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if name == "body" and has_docstring and ast.get_docstring(node, clean=False) is not None:
            value = value[1:]
        yield name, value


def _segment(text: OwnText, stmt: ast.stmt) -> str:
    decorators = getattr(stmt, "decorator_list", [])
    if isinstance(stmt, ast.ImportFrom) and stmt.level:
        return ast.unparse(ast.ImportFrom(absolute_name(stmt, text.package), stmt.names, 0))
    if decorators:
        return "\n".join(text.text.split("\n")[decorators[0].lineno - 1 : stmt.end_lineno])
    return ast.get_source_segment(text.text, stmt) or ast.unparse(stmt)
