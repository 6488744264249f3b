"""What a study asks beside its verdict: the function `answers` of its file, called when every run is there.

    def answers(folder: StudyFolder) -> list[str]: ...

A verdict compares each arm with the baseline. A difference of differences, or a law fitted to a grid of arms, is of the
study's own making, so it stands in the study's file; what it comes to stands in the folder, where the report reads it.
"""

from collections.abc import Callable
from pathlib import Path

from vslm.core.errors import VslmError
from vslm.lab.study_file import answers_of, line_of, load_study
from vslm.results.files import write_json
from vslm.results.folder import ANSWERS, StudyFolder


def write_answers(folder: StudyFolder, study_file: Path, say: Callable[[str], None]) -> None:
    """Call `answers` and write down what it returns; nothing where the file has none.

    A mistake in it is told in one line, with the place in the file: the runs and their verdict stand without it.
    """
    answers = answers_of(study_file)
    # A rematch keeps the file of its first study, for specs of its own; its arms are others.
    if answers is None or {*load_study(study_file).arms} != {*folder.arms}:
        return
    (folder.path / ANSWERS).unlink(missing_ok=True)  # of fewer runs
    try:
        found = answers(folder)
    except VslmError as error:
        say(f"{study_file}: answers: {error}")
        return
    except Exception as error:
        say(f"{study_file}:{line_of(error, study_file)}: answers: {type(error).__name__}: {error}; mend it, run again")
        return
    if not isinstance(found, list) or not all(isinstance(line, str) for line in found):
        say(f"{study_file}: answers returned {found!r}; a list of sentences is needed")
        return
    write_json(folder.path / ANSWERS, {"answers": found})
