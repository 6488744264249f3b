"""Read a study file: a Python file that defines `STUDY`."""

import hashlib
import importlib.util
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from vslm.core.errors import SpecError, VslmError
from vslm.core.specs import Spec
from vslm.lab.catalog import KINDS
from vslm.lab.study import Study


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


def _module_name(path: Path) -> str:
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    return f"vslm_study_{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}_{digest}"


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise SpecError(str(path), "no such file", "a Python file that defines STUDY is needed")
    name = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SpecError(str(path), "not a Python file", "a file that ends in .py is needed")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up here
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise SpecError(f"{path}:{error.lineno}", f"not valid Python ({error.msg})") from None
    except VslmError as error:
        found = f"{error.where}: {error.found}" if error.where else error.found
        raise type(error)(f"{path}:{_line_of(error, path)}", found, error.allowed, error.do) from None
    except Exception as error:
        raise SpecError(f"{path}:{_line_of(error, path)}", f"{type(error).__name__}: {error}") from None
    return module


def _line_of(error: BaseException, path: Path) -> int | str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return lines[-1] if lines and lines[-1] else "?"
