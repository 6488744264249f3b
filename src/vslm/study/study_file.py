"""Read a study file: a Python file that defines `STUDY`, and, where it needs them, specs of its own.

A folder of results holds a copy of its study file, because specs of its own can be read back by no other means. It is
code, perhaps somebody else's, so reading results runs it only when a record names a spec that the catalog lacks, and
then only if this user ran it before or says that it may be run (`trust.py`); the server never does.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from vslm.core.errors import ResultError, SpecError
from vslm.core.specs import Spec
from vslm.core.user_modules import is_own
from vslm.results.folder import StudyFolder, is_path_part
from vslm.results.places import checked
from vslm.study.catalog import KINDS
from vslm.study.study import Study
from vslm.study.study_module import modules_of, study_module
from vslm.study.trust import UntrustedError, check_trusted


def load_study(path: Path) -> Study:
    """The `STUDY` of a file.

    Raises: SpecError naming file and line for whatever is wrong with it.
    """
    study = getattr(study_module(path), "STUDY", None)
    if not isinstance(study, Study):
        raise SpecError(str(path), "no STUDY", "a study file defines STUDY = Study(...)", "see studies/quickstart.py")
    answers_of(path)
    return study


def answers_of(path: Path) -> Callable[[StudyFolder], Any] | None:
    """The function `answers` that a study file may define: see `answers.py`.

    Raises: SpecError if it defines something else of that name.
    """
    answers = getattr(study_module(path), "answers", None)
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
        return own_specs(study_module(path))


def own_specs(module: ModuleType) -> dict[str, type]:
    """The specs by name that a study's module defines or imports, or that lie in a module which it imports."""
    inner = [value for value in vars(module).values() if isinstance(value, ModuleType)]
    found: dict[str, type] = {}
    for place in (module, *modules_of(module), *inner):
        for value in list(vars(place).values()):
            if isinstance(value, type) and issubclass(value, Spec) and is_own(value):
                found.setdefault(value.__name__, value)
    return found


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
            name = f"{StudyFolder(place).study.name}.py"
            if not is_path_part(name):
                raise ResultError(str(record), f"name leads to {name!r}", "a file beside the record is needed")
            return checked(place / name) if (place / name).is_file() else None
    return None
