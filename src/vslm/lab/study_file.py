"""Read a study file: a Python file that defines `STUDY`, and, where it needs them, specs of its own.

A folder of results holds a copy of its study file, because specs of its own can be read back by no other means. It is
code, perhaps somebody else's, so reading results runs it only when a record names a spec that the catalog lacks, and
then only if this user ran it before or says that it may be run (`trust.py`); the server never does.
"""

import hashlib
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from vslm.core.errors import ResultError, SpecError, VslmError
from vslm.core.specs import Spec
from vslm.lab.catalog import KINDS
from vslm.lab.study import Study
from vslm.lab.trust import UntrustedError, check_trusted
from vslm.results.folder import StudyFolder, is_path_part
from vslm.results.places import checked


def load_study(path: Path) -> Study:
    """The `STUDY` of a file.

    Raises: SpecError naming file and line for whatever is wrong with it.
    """
    study = getattr(_module(path), "STUDY", None)
    if not isinstance(study, Study):
        raise SpecError(str(path), "no STUDY", "a study file defines STUDY = Study(...)", "see studies/quickstart.py")
    return study


def answers_of(path: Path) -> Callable[[StudyFolder], Any] | None:
    """The function `answers` that a study file may define: see `answers.py`.

    Raises: SpecError if it defines something else of that name.
    """
    answers = getattr(_module(path), "answers", None)
    if answers is not None and not callable(answers):
        found = f"answers is {type(answers).__name__}"
        raise SpecError(str(path), found, "answers is a function of the study's folder", "give it another name")
    return answers


class Kinds(Mapping[str, type]):
    """Every spec by its name: those of the catalog, and behind them those that a study file defines itself.

    The file is run when a name is asked for that the catalog lacks, and not before.

    Args:
        find: gives the study file, or None where there is none.
        may_run_code: False: what the catalog lacks is refused where there is a study file.
    """

    def __init__(self, find: Callable[[], Path | None], *, may_run_code: bool = True) -> None:
        self._find, self._may_run_code = find, may_run_code

    def __getitem__(self, name: str) -> type:
        """The class of that name.

        Raises: KeyError if there is none; ResultError if the study file would have to be run and may not; SpecError if
            it was run and failed.
        """
        if name in KINDS:
            return KINDS[name]
        path = None if self._may_run_code else self._find()
        if path is not None:
            found = f"this study has specs of its own ({name}), which are code"
            do = "`vslm sample` and `vslm prompts` on the command line run its study file and can read it"
            raise ResultError(str(path), found, "the server runs no code of a folder", do)
        return self._own[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**KINDS, **self._own})

    def __len__(self) -> int:
        return len({**KINDS, **self._own})

    @cached_property
    def _own(self) -> dict[str, type]:
        path = self._find() if self._may_run_code else None
        if path is None:
            return {}
        return {
            name: value
            for name, value in vars(_module(path)).items()
            if isinstance(value, type) and issubclass(value, Spec) and value.__module__ == _module_name(path)
        }


def kinds_with(path: Path | None) -> Kinds:
    """The catalog, and the specs that a study file defines itself."""
    return Kinds(lambda: path)


def kinds_of(folder: Path, *, may_run_code: bool = True, trust: bool = False) -> Kinds:
    """The catalog, and the specs of the study that a folder of results belongs to.

    Args:
        folder: of a study or a run.
        may_run_code: whether its study file is ever run.
        trust: whether it is run even if this user did not run it before; else asking for what it defines raises
            UntrustedError.
    """

    def find() -> Path | None:
        path = study_file_of(folder)
        if path is not None and may_run_code:
            check_trusted(path, trust=trust)
        return path

    return Kinds(find, may_run_code=may_run_code)


def trusted_study_file_of(folder: Path, *, trust: bool) -> Path | None:
    """As `study_file_of`, and None for a file that may not be run."""
    path = study_file_of(folder)
    try:
        if path is not None:
            check_trusted(path, trust=trust)
    except UntrustedError:
        return None
    return path


def study_file_of(folder: Path) -> Path | None:
    """The copy of the study file that a study's folder or a run's belongs to, so that specs of its own can be read
    back; None if there is none. Runs of a stage or of another budget lie deeper in their study than others.

    Raises: ResultError if the record names a file that does not lie beside it, or a link.
    """
    for place in (folder, *folder.resolve().parents[:4]):
        record = place / "study.json"
        if record.is_file():
            name = f"{StudyFolder(place).study.get('name')}.py"
            if not is_path_part(name):
                raise ResultError(str(record), f"name leads to {name!r}", "a file beside the record is needed")
            return checked(place / name) if (place / name).is_file() else None
    return None


def _module_name(path: Path) -> str:
    # By place and content: read twice it is one module with one set of classes, changed it is another.
    digest = hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:8]
    return f"vslm_study_{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}_{digest}"


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise SpecError(str(path), found, "a Python file that defines STUDY is needed", "see studies/quickstart.py")
    name = _module_name(path)
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses look their module up here
    try:
        _execute(module, path)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _execute(module: ModuleType, path: Path) -> None:
    """Run the file as the module.

    Raises: SpecError naming file and line.
    """
    try:
        # Compiled from what stands there now: a cached .pyc is told from the file by its size and second.
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    except SyntaxError as error:
        raise SpecError(
            f"{error.filename or path}:{error.lineno}", f"not valid Python ({error.msg})", "", "mend the line"
        ) from None
    except VslmError as error:
        found = f"{error.where}: {error.found}" if error.where else error.found
        raise type(error)(f"{path}:{_line_of(error, path)}", found, error.allowed, error.do) from None
    except Exception as error:
        do = "mend the file; `python` on it shows the whole traceback"
        raise SpecError(f"{path}:{_line_of(error, path)}", f"{type(error).__name__}: {error}", "", do) from None


def _line_of(error: BaseException, path: Path) -> int | str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return lines[-1] if lines and lines[-1] else "?"
