"""Where the modules of a user lie: beside a study, in a folder of results, or anywhere on the path but where packages
are installed. Nothing is imported here.
"""

import ast
import functools
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

_STAYS = "vslm"  # the package itself, which a file beside a study never stands for


def is_own(kind: type) -> bool:
    """Whether a class is from outside the package."""
    return kind.__module__.partition(".")[0] != _STAYS


def is_users_file(path: Path) -> bool:
    """Whether a file is the user's: neither the package's, nor Python's, nor installed."""
    path = path.resolve()
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return not any(path.is_relative_to(place) for place in _not_the_users())


@functools.cache
def _not_the_users() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return (Path(__file__).resolve().parents[1], *(Path(paths[name]).resolve() for name in names))


def line_of(error: BaseException) -> str:
    """FILE:LINE of the last line of the user's that an error went through; "" where there is none."""
    # A dataclass makes its own methods out of text. Cells of a notebook are no files either, and are the user's.
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != "<string>"]
    own = [frame for frame in frames if is_users_file(Path(frame.filename))]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def module_below(root: Path, parts: Sequence[str]) -> Path | None:
    """The file of a module in a folder, or the folder that is a package without one; None if there is none."""
    base = root.joinpath(*parts)
    for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
        if path.is_file():
            return path
    return base if base.is_dir() and any(base.glob("*.py")) else None


def is_beside(name: str, roots: Sequence[Path]) -> bool:
    """Whether the first part of a module's name is a file or package in one of the folders, and is to be taken from
    there: Python's own modules and the package itself are not.
    """
    top = name.partition(".")[0]
    if top == _STAYS or top in sys.stdlib_module_names:
        return False
    return any(module_below(root, (top,)) for root in roots)


def find_module(name: str, roots: Sequence[Path]) -> Path | None:
    """The file of a module of the user's, without importing it; None for any other module."""
    parts = name.split(".")
    if is_beside(name, roots):
        return next((path for root in roots if (path := module_below(root, parts))), None)
    if parts[0] == _STAYS or parts[0] in sys.stdlib_module_names or parts[0] == "__main__":
        return None
    try:
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if len(parts) > 1 or spec.origin is None:
        places = [Path(place) for place in spec.submodule_search_locations or ()]
        path = next(
            (found for place in places if (found := module_below(place.parent, (place.name, *parts[1:])))), None
        )
    else:
        path = Path(spec.origin)
    return path if path is not None and is_users_file(path) and (path.is_dir() or path.suffix == ".py") else None


def absolute_name(stmt: ast.ImportFrom, package: str) -> str:
    """The module that a `from ... import` reads, as seen from a package."""
    if not stmt.level:
        return stmt.module or ""
    parents = package.split(".")[: len(package.split(".")) - stmt.level + 1] if package else []
    return ".".join(part for part in (*parents, stmt.module) if part)


def modules_used(text: str, roots: Sequence[Path], package: str = "") -> dict[str, Path]:
    """Every module of the user's that a text imports anywhere in it, and those that they import, by dotted name."""
    found: dict[str, Path] = {}
    texts = [(text, package)]
    while texts:
        text, package = texts.pop()
        for name in _imported_names(text, package):
            for end in range(1, name.count(".") + 2):
                prefix = ".".join(name.split(".")[:end])
                path = None if prefix in found else find_module(prefix, roots)
                if path is not None and path.is_file():
                    found[prefix] = path
                    inside = prefix if path.name == "__init__.py" else prefix.rpartition(".")[0]
                    texts.append((path.read_text(encoding="utf-8", errors="replace"), inside))
    return found


def _imported_names(text: str, package: str) -> Iterator[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (base := absolute_name(node, package)):
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
