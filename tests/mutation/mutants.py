"""Small changes of meaning to a source file: a comparison, a sign, an off by one, a dropped factor, swapped ends.

Each is one that a person makes by hand and that a type checker does not see. Left alone are messages of errors,
annotations, decorators and text: what a test cannot notice without repeating the source.
"""

import ast
import copy
import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType

_COMPARED = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_OPERATED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}
_SWAPPED_NAMES = dict(
    [
        pair
        for a, b in (
            ("min", "max"),
            ("any", "all"),
            ("floor", "ceil"),
            ("sum", "mean"),
            ("argmin", "argmax"),
            ("minimum", "maximum"),
            ("amin", "amax"),
        )
        for pair in ((a, b), (b, a))
    ]
)
# Methods that can be forgotten without an error: len(text.encode()), x.abs().max().
_DROPPED = {"encode", "strip", "lower", "casefold", "abs", "square", "sqrt", "log", "exp", "round"}
# Parts of a node that say nothing about what is computed.
_LEFT_ALONE = {"annotation", "returns", "decorator_list", "bases", "keywords_of_class", "format_spec", "type_params"}
_STATEMENTS_LEFT_ALONE = (ast.Raise, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)

Place = tuple[ast.AST, str, int | None]  # a node around, the name of its field, and where in it if it is a list


@dataclass
class Mutant:
    """One change: where it is, how it reads, and how to make it.

    Args:
        file: the source file.
        line: where the statement begins.
        name: function or class, the line before and the line after; the same while the line stays the same.
        in_function: whether the change lies in the body of a function, so that its code can be swapped.
        function_line: the first line of the outermost function around it, as its code object says it.
    """

    file: Path
    line: int
    name: str
    in_function: bool
    function_line: int
    tree: ast.Module = field(repr=False)
    place: Place = field(repr=False)
    new: ast.AST = field(repr=False)

    def compiled(self) -> CodeType:
        """The code of the whole file with this change."""
        with _changed(self.place, self.new):
            return compile(ast.fix_missing_locations(self.tree), str(self.file), "exec")


@contextmanager
def _changed(place: Place, new: ast.AST) -> Iterator[None]:
    """A change of one place of a tree, taken back at the end."""
    parent, name, index = place

    def put(node: ast.AST) -> None:
        if index is None:
            setattr(parent, name, node)
        else:
            getattr(parent, name)[index] = node

    old = getattr(parent, name) if index is None else getattr(parent, name)[index]
    put(ast.copy_location(new, old))
    try:
        yield
    finally:
        put(old)


def mutants_of(file: Path) -> list[Mutant]:
    """Every change of `file`, in the order of its lines."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found: list[Mutant] = []
    seen: Counter[str] = Counter()
    for place, node, around in _places(tree, ()):
        functions = [n for n, body in around if isinstance(n, ast.FunctionDef) and body]
        statement = next((n for n, _ in reversed(around) if isinstance(n, ast.stmt)), None)
        statement = node if isinstance(node, ast.stmt) else statement
        if statement is None:
            continue
        before = ast.unparse(statement).splitlines()
        for new in _variants(node):
            with _changed(place, new):
                # A statement that is dropped is itself the place; any other still stands where it stood.
                after = ast.unparse(new if statement is node else statement).splitlines()
            old_line, new_line = _difference(before, after)
            where = ".".join(n.name for n, _ in around if isinstance(n, ast.FunctionDef | ast.ClassDef)) or "module"
            name = f"{where}: {old_line}  ->  {new_line}"
            seen[name] += 1
            name += f"  #{seen[name]}" if seen[name] > 1 else ""
            outer = functions[0] if functions else None
            line = _line_of(outer) if outer else 0
            found.append(Mutant(file, node.lineno, name, outer is not None, line, tree, place, new))  # type: ignore[attr-defined]
    return found


def sample(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """`count` of them by the hash of their names, so that a change elsewhere in the file leaves the choice as it is."""
    chosen = sorted(mutants, key=lambda m: hashlib.sha256(f"{seed}|{m.name}".encode()).digest())[:count]
    return sorted(chosen, key=lambda m: m.line)


def noting(file: Path) -> CodeType:
    """The code of a file in which every function begins with `__seen__(file, its first line)`."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            call = ast.Call(
                ast.Name("__seen__", ast.Load()), [ast.Constant(str(file)), ast.Constant(_line_of(node))], []
            )
            node.body.insert(0, ast.copy_location(ast.Expr(call), node.body[0]))
    return compile(ast.fix_missing_locations(tree), str(file), "exec")


def _line_of(function: ast.FunctionDef) -> int:
    """As a code object counts it: its first decorator's."""
    return min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])


def functions_of(code: CodeType) -> dict[tuple[int, str], CodeType]:
    """The code of every function inside `code`, by its first line and its name."""
    found = {}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found[constant.co_firstlineno, constant.co_name] = constant
            found |= functions_of(constant)
    return found


def _difference(before: list[str], after: list[str]) -> tuple[str, str]:
    """The first line that differs, in both."""
    for old, new in zip(before, after, strict=False):
        if old != new:
            return old.strip(), new.strip()
    return before[-1].strip(), after[-1].strip()


def _places(node: ast.AST, around: tuple[tuple[ast.AST, bool], ...]) -> Iterator[tuple[Place, ast.AST, tuple]]:
    """Every node with its place, and the nodes around it with whether it lies in their body."""
    for name, value in ast.iter_fields(node):
        if name in _LEFT_ALONE:
            continue
        inside = (*around, (node, name == "body"))
        for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if not isinstance(child, ast.AST) or isinstance(child, _STATEMENTS_LEFT_ALONE) or _is_text(child):
                continue
            if isinstance(child, ast.expr | ast.stmt):
                yield (node, name, index), child, inside
            yield from _places(child, inside)


def _is_text(node: ast.AST) -> bool:
    value = node.value if isinstance(node, ast.Expr) else node
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    """What `node` could have been by mistake."""
    for kind, variants in _BY_KIND:
        if isinstance(node, kind):
            yield from variants(node)


def _compare(node: ast.Compare) -> Iterator[ast.AST]:
    for i, operator in enumerate(node.ops):
        for other in _COMPARED.get(type(operator), ()):
            yield ast.Compare(node.left, [*node.ops[:i], other(), *node.ops[i + 1 :]], node.comparators)


def _arithmetic(node: ast.BinOp) -> Iterator[ast.AST]:
    if type(node.op) in _OPERATED:
        yield ast.BinOp(node.left, _OPERATED[type(node.op)](), node.right)
    if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.FloorDiv | ast.Pow | ast.Mod):
        yield node.left
    if isinstance(node.op, ast.Add | ast.Mult):
        yield node.right


def _logic(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    for i in range(len(node.values)):
        rest = node.values[:i] + node.values[i + 1 :]
        yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _sign(node: ast.UnaryOp) -> Iterator[ast.AST]:
    if isinstance(node.op, ast.Not | ast.USub):
        yield node.operand


def _constant(node: ast.Constant) -> Iterator[ast.AST]:
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, int):
        yield ast.Constant(node.value + 1)
    elif isinstance(node.value, float):
        yield ast.Constant(node.value / 2 if node.value else 1.0)


def _condition(node: ast.If | ast.While | ast.IfExp) -> Iterator[ast.AST]:
    """The condition the other way round; where it is a comparison, that is a change of the comparison already."""
    if not isinstance(node.test, ast.Compare | ast.UnaryOp):
        new = copy.copy(node)
        new.test = ast.UnaryOp(ast.Not(), node.test)
        yield new


def _kept(node: ast.comprehension) -> ast.comprehension:
    return ast.comprehension(node.target, node.iter, [], node.is_async)


def _filter(node: ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp) -> Iterator[ast.AST]:
    """A comprehension that lets everything through."""
    for i, generator in enumerate(node.generators):
        if generator.ifs:
            new = copy.copy(node)
            new.generators = [*node.generators[:i], _kept(generator), *node.generators[i + 1 :]]
            yield new


def _call(node: ast.Call) -> Iterator[ast.AST]:
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    if name in _SWAPPED_NAMES:
        new = copy.deepcopy(node.func)
        setattr(new, "id" if isinstance(new, ast.Name) else "attr", _SWAPPED_NAMES[name])
        yield ast.Call(new, node.args, node.keywords)
    if name in ("isinstance", "cast", "getattr", "hasattr", "setattr"):
        return
    if (
        len(node.args) >= 2
        and name not in _SWAPPED_NAMES
        and not any(isinstance(a, ast.Starred) for a in node.args[:2])
    ):
        yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)
    if name in _DROPPED and isinstance(node.func, ast.Attribute) and not node.args:
        yield node.func.value
    if (name == "abs" and node.args) or (name in ("min", "max") and len(node.args) == 2):
        yield node.args[0]
    for i, keyword in enumerate(node.keywords):
        if keyword.arg in ("encoding", "strict", "device", "dtype", "errors"):
            continue
        yield ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1 :])


def _slice(node: ast.Slice) -> Iterator[ast.AST]:
    if node.lower is not None:
        if not isinstance(node.lower, ast.Constant):
            yield ast.Slice(ast.BinOp(node.lower, ast.Add(), ast.Constant(1)), node.upper, node.step)
        yield ast.Slice(None, node.upper, node.step)
    if node.upper is not None:
        if not isinstance(node.upper, ast.Constant):
            yield ast.Slice(node.lower, ast.BinOp(node.upper, ast.Sub(), ast.Constant(1)), node.step)
        yield ast.Slice(node.lower, None, node.step)


def _told(node: ast.JoinedStr) -> Iterator[ast.AST]:
    """Text in which the first two numbers have changed places."""
    holes = [i for i, value in enumerate(node.values) if isinstance(value, ast.FormattedValue)]
    if len(holes) >= 2:
        values, (a, b) = list(node.values), holes[:2]
        values[a], values[b] = values[b], values[a]
        yield ast.JoinedStr(values)


def _dropped(node: ast.Expr | ast.AugAssign) -> Iterator[ast.AST]:
    """A statement that is forgotten."""
    if isinstance(node, ast.AugAssign) or isinstance(node.value, ast.Call):
        yield ast.Pass()
    if isinstance(node, ast.AugAssign) and type(node.op) in _OPERATED:
        yield ast.AugAssign(node.target, _OPERATED[type(node.op)](), node.value)


_BY_KIND = (
    (ast.Compare, _compare),
    (ast.BinOp, _arithmetic),
    (ast.BoolOp, _logic),
    (ast.UnaryOp, _sign),
    (ast.Constant, _constant),
    (ast.If | ast.While | ast.IfExp, _condition),
    (ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp, _filter),
    (ast.Call, _call),
    (ast.Slice, _slice),
    (ast.JoinedStr, _told),
    (ast.Expr | ast.AugAssign, _dropped),
)
