"""A study file run as a module of its own, and the user's modules beside it as modules of that one.

Two studies may each have a `shared.py` beside them: an import of `shared` in a study file, or in a module beside it,
is read as one of `vslm_study_NAME_HASH.shared`, so that they never meet, whatever the working directory. The copy of a
study file in a folder of results finds them in the folder `_modules` there.

A study file may also be a script that calls `vslm.run`. While it is read here that call ends the reading: what stands
above it is what the script had when it came there.
"""

import ast
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

from vslm.core.errors import SpecError, VslmError
from vslm.core.user_modules import is_beside, module_below, modules_used
from vslm.results.files import read_json
from vslm.results.folder import MODULES
from vslm.results.places import refuse_links

_PREFIX = "vslm_study_"
ORIGIN = "origin.json"  # in `_modules`: where the study file stood, so that it finds what it reads beside itself
_MEND = "mend the file; `python` on it shows the whole traceback"
_OF_DATACLASSES = (  # what Python says of a class that is no spec, and what to write
    (
        "mutable default",
        "what many values are in a spec is a tuple: write a tuple, such as sizes: tuple[int, ...] = ()",
    ),
    ("cannot inherit non-frozen dataclass", "write @dataclass(frozen=True, kw_only=True) above the class"),
    ("follows default argument", "write @dataclass(frozen=True, kw_only=True) above the class"),
)
_is_reading: ContextVar[bool] = ContextVar("is_reading", default=False)


class _RunHereError(BaseException):
    """Ends the reading of a study file that runs a study itself. No `Exception`, which a script may catch."""


def end_reading() -> None:
    """Called where a study is about to be run: if a study file is being read, it ends there."""
    if _is_reading.get():
        raise _RunHereError


def roots_of(path: Path) -> tuple[Path, ...]:
    """The folders where the modules of a study file lie."""
    folder = path.resolve().parent
    is_copy = (folder / "study.json").is_file() or (folder / MODULES).is_dir()
    return (folder / MODULES,) if is_copy else (folder,)


def study_module(path: Path) -> ModuleType:
    """The module of a study file; run once, until it or a module that it uses has changed.

    Raises: SpecError naming file and line for whatever is wrong with it.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise SpecError(str(path), found, "a Python file that defines STUDY is needed", "see studies/quickstart.py")
    text, roots = path.read_bytes(), roots_of(path)
    name = _name_of(path, text, roots)
    return sys.modules[name] if name in sys.modules else _run(name, text, path, roots)


def module_of_text(text: bytes, place: Path, roots: Sequence[Path]) -> ModuleType:
    """The module of a study file that does not exist yet.

    Args:
        text: what will stand in it.
        place: what messages call it, and its `__file__`.
        roots: where the modules lie that it imports.
    Raises: SpecError as `study_module`.
    """
    name = _name_of(place, text, roots)
    return sys.modules[name] if name in sys.modules else _run(name, text, place, roots)


def origin_of(path: Path) -> Path:
    """The file that a copy of a study file was made from, if it is there still; else the copy itself."""
    record = path.parent / MODULES / ORIGIN
    if not record.is_file():
        return path
    content = read_json(record)
    origin = Path(str(content.get(path.name, ""))) if isinstance(content, dict) else Path()
    return origin if origin.is_file() else path


def study_path(module: str) -> Path | None:
    """The study file that a module of that name was read from, or that it lies beside; None for any other module."""
    name = module.partition(".")[0]
    found = sys.modules.get(name) if name.startswith(_PREFIX) else None
    return None if found is None else Path(vars(found)["__study_file__"])


def modules_of(module: ModuleType) -> list[ModuleType]:
    """The modules beside a study file that were imported with it."""
    return [inner for name, inner in list(sys.modules.items()) if name.startswith(f"{module.__name__}.")]


def _name_of(path: Path, text: bytes, roots: Sequence[Path]) -> str:
    # By place and content: read twice it is one module with one set of classes, changed it is another.
    digest = hashlib.sha256(str(path.resolve()).encode() + text)
    beside = modules_used(text.decode("utf-8", errors="replace"), roots)
    for name, file in sorted(beside.items()):
        digest.update(name.encode() + file.read_bytes())
    return f"{_PREFIX}{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}_{digest.hexdigest()[:8]}"


def _run(name: str, text: bytes, path: Path, roots: Sequence[Path]) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = str(origin_of(path))
    module.__path__ = [str(root) for root in roots]  # makes it the package of the modules beside it
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    vars(module)["__study_file__"] = str(path.resolve())
    sys.modules[name] = module  # dataclasses look their module up here
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    try:
        with _reading():
            _execute(module, text, path, roots)
    except BaseException:
        for inner in [*modules_of(module), module]:
            del sys.modules[inner.__name__]
        raise
    return module


@contextmanager
def _reading() -> Iterator[None]:
    before = _is_reading.set(True)
    try:
        yield
    finally:
        _is_reading.reset(before)


def _execute(module: ModuleType, text: bytes, path: Path, roots: Sequence[Path]) -> None:
    """Run the file as the module.

    Raises: SpecError naming file and line.
    """
    try:
        # Compiled from what stands there now: a cached .pyc is told from the file by its size and second.
        exec(_compiled(text, str(path), module.__name__, roots), vars(module))
    except _RunHereError:
        pass
    except SyntaxError as error:
        raise SpecError(
            f"{error.filename or path}:{error.lineno}", f"not valid Python ({error.msg})", "", "mend the line"
        ) from None
    except VslmError as error:
        found = f"{error.where}: {error.found}" if error.where else error.found
        raise type(error)(_place_of(error, path, roots), found, error.allowed, error.do) from None
    except ModuleNotFoundError as error:
        allowed = "a module lies beside the study file, or is installed"
        do = f"put {error.name}.py beside it, or install it"
        if roots[0].name == MODULES:
            do = f"put {error.name}.py into {roots[0]}, or install it"
        raise SpecError(_place_of(error, path, roots), f"there is no module {error.name!r}", allowed, do) from None
    except Exception as error:
        do = next((do for words, do in _OF_DATACLASSES if words in str(error)), _MEND)
        raise SpecError(_place_of(error, path, roots), f"{type(error).__name__}: {error}", "", do) from None


def _place_of(error: BaseException, path: Path, roots: Sequence[Path]) -> str:
    """The last line of the study file, or of a module beside it, that the error went through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file == path or (frame.filename.endswith(".py") and any(file.is_relative_to(root) for root in roots)):
            return f"{path if file == path else file}:{frame.lineno or '?'}"
    return f"{path}:?"


def _compiled(text: bytes, filename: str, study: str, roots: Sequence[Path]) -> Any:
    tree = _Inside(study, roots).visit(ast.parse(text, filename))
    return compile(ast.fix_missing_locations(tree), filename, "exec", dont_inherit=True)


class _Inside(ast.NodeTransformer):
    """Lets imports of modules beside a study mean those of its own module.

    Args:
        study: the name of its module.
        roots: where modules beside it lie.
    """

    def __init__(self, study: str, roots: Sequence[Path]) -> None:
        self.study, self.roots = study, roots

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        """`from shared import x`."""
        if not node.level and node.module and is_beside(node.module, self.roots):
            node.module = f"{self.study}.{node.module}"
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        """`import shared`, which binds `shared`; and `import shared.sizes`, which binds `shared`, too."""
        found: list[ast.stmt] = []
        for alias in node.names:
            inside = ast.alias(f"{self.study}.{alias.name}", alias.asname)
            if not is_beside(alias.name, self.roots):
                found.append(ast.Import([alias]))
            elif alias.asname:
                found.append(ast.Import([inside]))
            else:
                top = alias.name.partition(".")[0]
                if top != alias.name:
                    found.append(ast.Import([inside]))
                found.append(ast.ImportFrom(self.study, [ast.alias(top)], 0))
        return [ast.copy_location(stmt, node) for stmt in found]


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules beside study files, and compiles them from what stands there now."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """A module of a study's module, or None for any other."""
        study, _, inside = fullname.partition(".")
        if not study.startswith(_PREFIX) or not inside or path is None:
            return None
        last = fullname.rpartition(".")[2]
        found = next((file for place in path if (file := module_below(Path(place), (last,)))), None)
        if found is None:
            return None
        if MODULES in found.parts:  # of a folder that may be somebody else's
            refuse_links(found)
        if found.is_dir():
            spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(found)]
            return spec
        places = [str(found.parent)] if found.name == "__init__.py" else None
        loader = _Loader(fullname, str(found))
        return importlib.util.spec_from_file_location(fullname, found, loader=loader, submodule_search_locations=places)


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles a module beside a study as part of it, and writes nothing beside it."""

    def get_code(self, fullname: str) -> Any:
        """The code of the module."""
        study = fullname.partition(".")[0]
        roots = [Path(root) for root in sys.modules[study].__path__]
        return _compiled(self.get_data(self.path), self.path, study, roots)
