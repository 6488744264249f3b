"""Read a study file: a Python file that defines `STUDY`."""

import hashlib
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from vslm.core.errors import SpecError, VslmError
from vslm.core.specs import Spec
from vslm.lab.catalog import KINDS
from vslm.lab.study import Study
from vslm.results.folder import StudyFolder


def load_study(path: Path) -> Study:
    """The `STUDY` of a file.

    Raises: SpecError naming file and line for whatever is wrong with it.
    """
    study = getattr(_module(path), "STUDY", None)
    if not isinstance(study, Study):
        raise SpecError(str(path), "no STUDY", "a study file defines STUDY = Study(...)", "see studies/quickstart.py")
    return study


def kinds_with(path: Path | None) -> dict[str, type]:
    """The catalog, and the specs that a study file defines itself."""
    if path is None:
        return dict(KINDS)
    own = {
        name: value
        for name, value in vars(_module(path)).items()
        if isinstance(value, type) and issubclass(value, Spec) and value.__module__ == _module_name(path)
    }
    return {**KINDS, **own}


def study_file_of(folder: Path) -> Path | None:
    """The copy of the study file that a study's folder or a run's belongs to, so that specs of its own can be read
    back; None if there is none. Runs of a stage or of another budget lie deeper in their study than others.
    """
    for place in (folder, *folder.resolve().parents[:4]):
        if (place / "study.json").is_file():
            copy = place / f"{StudyFolder(place).study['name']}.py"
            return copy if copy.is_file() else None
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
