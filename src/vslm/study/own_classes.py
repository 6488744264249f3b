"""Classes of the user's own that a study uses: where their source is, what is kept of it, and what names it.

Workers and readers are other processes, so a class must be found again from a file: the study file, or, for a study
that is run from a script or a notebook, the statements of it that the classes reach (see `core/own_code.py`), written
into the folder of the study as its study file. A digest of these statements is part of what names a run.
"""

import builtins
import dataclasses
import linecache
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any

from vslm.core.declarations import place_of_class
from vslm.core.errors import SpecError
from vslm.core.own_code import OwnText, Reached, module_text
from vslm.core.paths import specs_in
from vslm.core.specs import Spec
from vslm.core.user_modules import is_own, is_users_file, modules_used
from vslm.results.files import write_json, written_whole
from vslm.results.folder import MODULES
from vslm.results.places import make_folder
from vslm.study.study import Study
from vslm.study.study_file import own_specs
from vslm.study.study_module import ORIGIN, module_of_text, origin_of, roots_of, study_module, study_path

_MADE = "# Made by vslm: what the study's own classes are made of, from {}.\n\n"
_PLACES = "the study file, a module beside it or on the path, a script, or a cell of a notebook"

Parts = Mapping[str, str]


@dataclass(frozen=True)
class OwnCode:
    """What a folder of results must hold so that a study's own classes can be made again.

    Args:
        text: of the study file that will lie there; None: none is needed.
        origin: the file that the text is from, if there is one.
        modules: the user's modules that it imports, by dotted name.
        parts: of every arm and trunk with classes of its own: a digest of everything that they reach, by what it is.
    """

    text: bytes | None = None
    origin: Path | None = None
    modules: Mapping[str, Path] = field(default_factory=dict)
    parts: Mapping[str, Parts] = field(default_factory=dict)

    def write(self, path: Path) -> list[Path]:
        """Write the study file to `path`, and the modules beside it.

        Returns: the files that hold this code now; whatever else lay in that folder is somebody else's.
        """
        if self.text is None:
            return []
        if self.origin is not None and path.resolve() == self.origin.resolve():
            return [path, *self.modules.values()]  # the copy in a folder is what is run
        folder = path.parent / MODULES
        make_folder(folder)  # where there is one, modules are looked for there
        contents = {folder / _file_of(name, file): file.read_bytes() for name, file in self.modules.items()}
        for target, content in {**contents, path: self.text}.items():
            make_folder(target.parent)
            with written_whole(target) as file:
                file.write(content)
        if self.origin is not None:
            write_json(folder / ORIGIN, {path.name: str(origin_of(self.origin).resolve())})
        return [*contents, path]


def changed_parts(before: Parts, now: Parts) -> list[str]:
    """What differs between two records of parts, in words."""
    return [
        name if name in before and name in now else f"{name} ({'new' if name in now else 'gone'})"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]


def parts_of_copy(experiment: Spec, copy: Path, now: Parts) -> dict[str, str]:
    """Digests from the copy of a study file in a folder that is older than such records, of classes that it holds.

    Args:
        experiment: whose classes they are.
        copy: the file.
        now: what is reached now; of a class that the copy does not hold nothing is known, so this is what it was.
    """
    if not copy.is_file():
        return {}
    reached, text = Reached(roots_of(copy)), OwnText(copy.read_text(encoding="utf-8", errors="replace"))
    for kind in own_kinds(experiment):
        if text.binds(kind.__name__):
            reached.use(text, kind.__name__)
    own = {name: digest for name, digest in reached.parts.items() if ": " not in name}
    if not own:
        return {}
    return own | {name: "" for name in now if ": " not in name and name not in own}


def own_code(study: Study, study_file: Path | None = None) -> OwnCode:
    """The code of a study's own classes.

    Args:
        study: whose arms are looked through.
        study_file: where the study stands; None: its classes say where they are from.
    Raises: SpecError for a class that could not be found again, with where it was made.
    """
    by_arm = {arm: own_kinds(experiment, study.place_of(arm)) for arm, experiment in study.experiments.items()}
    kinds: dict[type, str] = {}
    for found in by_arm.values():
        for kind, where in found.items():
            kinds.setdefault(kind, where)
    _check_names(kinds)
    files = {path for kind in kinds if (path := study_path(kind.__module__))}
    if study_file is None and len(files) == 1:
        study_file = files.pop()
    place = _Place(study_file)
    parts = {
        arm: {name: digest for kind, where in found.items() for name, digest in place.parts(kind, where).items()}
        for arm, found in by_arm.items()
    }
    text, origin = place.text(kinds)
    if text is None:
        return OwnCode()
    decoded = text.decode("utf-8", errors="replace")
    modules = modules_used(decoded, place.roots)
    _check_found_again(kinds, text, place)
    return OwnCode(text, origin, modules, {arm: dict(sorted(found.items())) for arm, found in parts.items() if found})


def _file_of(name: str, path: Path) -> Path:
    parts = name.split(".")
    return Path(*parts, "__init__.py") if path.name == "__init__.py" else Path(*parts[:-1], f"{parts[-1]}.py")


def own_kinds(value: Any, where: str = "") -> dict[type, str]:
    """Every class in a spec that is none of the package's, with where it is used first."""
    found: dict[type, str] = {}
    for place, spec in specs_in(value, where):
        if is_own(type(spec)):
            found.setdefault(type(spec), place)
    return found


def _check_names(kinds: Mapping[type, str]) -> None:
    """Refuse two classes of one name: a record holds the name alone."""
    seen: dict[str, type] = {}
    for kind, where in kinds.items():
        other = seen.setdefault(kind.__name__, kind)
        if other is not kind:
            found = f"a second class {kind.__name__} ({place_of_class(kind)}) beside that of {kinds[other]}"
            do = "rename one; in a notebook, run the cells that use it again after the one that defines it"
            raise SpecError(where, found, "a record tells specs by the names of their classes", do)


class _Place:
    """Where a study stands. Args: study_file: its file, if it has one."""

    def __init__(self, study_file: Path | None) -> None:
        self.study_file = study_file
        self.main = Path(getattr(sys.modules.get("__main__"), "__file__", None) or "notebook").resolve()
        self.roots = roots_of(study_file) if study_file else (self.main.parent,)
        self._reached: dict[type, Parts] = {}
        self._texts: dict[str, OwnText] = {}

    def parts(self, kind: type, where: str) -> Parts:
        """Digests of what a class reaches; none for one that is installed."""
        if kind not in self._reached:
            self._reached[kind] = {}
            found = self._source(kind, where)
            if found is not None:
                reached = Reached(self.roots)
                reached.use(*found)
                self._reached[kind] = reached.parts
        return self._reached[kind]

    def text(self, kinds: Mapping[type, str]) -> tuple[bytes | None, Path | None]:
        """The study file that is to lie in the folder, and the file that it is a copy of."""
        if self.study_file is not None:
            return self.study_file.read_bytes(), self.study_file
        if not kinds:
            return None, None
        reached, mains, lines = Reached(self.roots), set(), []
        for kind, where in kinds.items():
            found = self._source(kind, where)
            if found is not None and not found[0].name:
                reached.use(*found)
                mains.add(found[0])
            else:
                lines.append(f"from {kind.__module__} import {_bound_name(kind, where)}\n")
        label = ", ".join(sorted(self._label(main) for main in mains)) or "modules"
        text = "".join(f"{reached.source(main)}\n\n" for main in mains) + "".join(lines)
        origin = self.main if mains and self.main.is_file() else None
        return (_MADE.format(label) + text).encode(), origin

    def _label(self, text: OwnText) -> str:
        return next(name for name, known in self._texts.items() if known is text)

    def _source(self, kind: type, where: str) -> tuple[OwnText, str] | None:
        """The text that defines a class, and its name there; None for an installed class.

        Raises: SpecError if there is none.
        """
        name, module = _bound_name(kind, where), sys.modules.get(kind.__module__)
        path = study_path(kind.__module__)
        if path is not None and kind.__module__.count("."):
            inside = kind.__module__.partition(".")[2]
            return self._known(inside, module_text(inside, Path(str(vars(module)["__file__"])))), name
        if path is not None:
            return self._known("", OwnText(path.read_text(encoding="utf-8"))), name
        if kind.__module__ != "__main__" and (file := getattr(module, "__file__", None)):
            if not is_users_file(Path(file)):
                return None
            return self._known(kind.__module__, module_text(kind.__module__, Path(file))), name
        for label, text in _main_texts(kind):
            found = self._texts.setdefault(label, OwnText(text, package=_package_of_main()))
            if found.binds(name):
                return found, name
        raise _not_found(kind, where, "its source cannot be had")

    def _known(self, label: str, text: OwnText) -> OwnText:
        return self._texts.setdefault(label, text)


def _bound_name(kind: type, where: str) -> str:
    """The name that a class has at the top of its module.

    Raises: SpecError if it has none there, or if another class has it now.
    """
    module = sys.modules.get(kind.__module__)
    names = vars(module) if module is not None else {}
    own = kind.__name__
    if names.get(own) is kind:
        return own
    bound = [name for name, value in names.items() if value is kind]
    if bound:
        return bound[0]
    if "<locals>" in kind.__qualname__:
        raise _not_found(kind, where, "it is made inside a function")
    if "." in kind.__qualname__:
        raise _not_found(kind, where, "it is made inside another class")
    if own in names:
        found = f"{own} was defined again since this value was made"
        raise SpecError(where, found, "a study is run with the classes as they are now", "make the study again, too")
    raise _not_found(kind, where, "its source cannot be had")


def _not_found(kind: type, where: str, why: str) -> SpecError:
    found = f"{kind.__qualname__} ({place_of_class(kind)}) cannot be found by the processes that train: {why}"
    allowed = f"a class of your own stands at the top of {_PLACES}"
    return SpecError(where, found, allowed, "write it into a file, such as own.py beside this, and import it")


def _package_of_main() -> str:
    return getattr(sys.modules.get("__main__"), "__package__", None) or ""


def _main_texts(kind: type) -> Iterator[tuple[str, str]]:
    """What may hold the source of a class of `__main__`: cells of a notebook, a script, what an interpreter kept."""
    if (cells := _cells()) is not None:
        yield "a notebook", cells
    files = [getattr(sys.modules.get("__main__"), "__file__", None), _file_of_code(kind)]
    for file in filter(None, files):
        if Path(file).is_file():
            yield Path(file).name, Path(file).read_text(encoding="utf-8", errors="replace")
    # Interpreters and programs that run cells keep what was typed where tracebacks look for it.
    kept = [name for name in linecache.cache if name.startswith("<") and name.endswith(">")]
    yield "what was typed", "\n".join("".join(linecache.getlines(name)) for name in kept)
    if file := _file_of_code(kind):
        yield file, "".join(linecache.getlines(file))


def _cells() -> str | None:
    """The cells of IPython in the order in which they were run, magics as the calls that they stand for."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None) or getattr(builtins, "get_ipython", None)
    shell = get() if get else None
    if shell is None:
        return None
    return "\n".join(cell for cell in shell.history_manager.input_hist_parsed if _is_python(cell))


def _is_python(text: str) -> bool:
    try:
        compile(text, "cell", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def _file_of_code(kind: type) -> str | None:
    """The file that the methods of a class were compiled from."""
    functions = [value for value in vars(kind).values() if isinstance(value, FunctionType)]
    names = [function.__code__.co_filename for function in functions]
    return next((name for name in names if name != "<string>"), None)  # what dataclass writes is from "<string>"


def _check_found_again(kinds: Mapping[type, str], text: bytes, place: _Place) -> None:
    """Refuse what a worker could not read back, by doing what it does."""
    if not kinds:
        return
    file = place.study_file
    found = own_specs(study_module(file) if file else module_of_text(text, place.main, place.roots))
    for kind, where in kinds.items():
        other = found.get(kind.__name__)
        if other is None:
            raise _not_found(kind, where, f"{file or 'what it names'} has no such class")
        if [f.name for f in dataclasses.fields(other)] != [f.name for f in dataclasses.fields(kind)]:  # type: ignore
            raise _not_found(kind, where, f"{file or 'its source'} has another class of that name")
