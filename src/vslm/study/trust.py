"""Which code in a folder of results may be run: what this user ran here before, and what he says he trusts.

A study with specs of its own can be read only by running the copy of its study file, and a folder may be somebody
else's. So `vslm run` remembers, by a hash of its bytes, every file of code that it trains with; a copy that is another
one, or was changed since, is run only with `--trust`. The list is kept where corpora are (`VSLM_HOME`): one small
file a hash, so that two processes never write the same one.
"""

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

from vslm.core.errors import ResultError, VslmError
from vslm.data.corpus import home
from vslm.results.files import write_text
from vslm.results.folder import MODULES
from vslm.results.places import checked, files_below, odd_below, read_bytes


class UntrustedError(ResultError):
    """Code that is run only with `--trust`."""


def code_of(study_file: Path) -> list[Path]:
    """The files that are run with the copy of a study file in a folder: itself, and the modules that it may import.

    Raises: ResultError for one that is a link.
    """
    modules = study_file.parent / MODULES
    for path in (study_file, *odd_below(modules)):
        checked(path)
    return [study_file, *(path for path in files_below(modules) if path.suffix != ".json")]


def remember(files: Iterable[Path]) -> None:
    """Remember that this user ran these files. Where nothing can be kept, `--trust` is needed later, and no more."""
    with contextlib.suppress(VslmError, OSError):
        for file in files:
            place = home() / "trusted" / _digest(file)
            if not place.exists():
                write_text(place, f"{file.resolve()}\n")


def check_trusted(study_file: Path, *, trust: bool) -> None:
    """Refuse code that this user did not run here before.

    Args:
        study_file: the copy in a folder of results.
        trust: whether the user says that it may be run.
    Raises: UntrustedError naming the first file that is not known.
    """
    for file in code_of(study_file):
        if not trust and not _is_known(file):
            raise UntrustedError(
                str(file),
                "this study has code of its own, which you did not run on this machine, or which was changed since",
                "a folder's code is run only if you did, or if you say so",
                "read the file, and add --trust if it may be run",
            )


def _is_known(file: Path) -> bool:
    with contextlib.suppress(VslmError, OSError):
        return (home() / "trusted" / _digest(file)).is_file()
    return False


def _digest(file: Path) -> str:
    return hashlib.sha256(read_bytes(file)).hexdigest()
