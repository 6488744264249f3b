"""What a study asks beside its verdict: the function `answers` of its file, called when the study has ended.

    def answers(folder: StudyFolder) -> list[str]: ...

A verdict compares each arm with the baseline. A difference of differences, or a law fitted to a grid of arms, is of the
study's own making, so it stands in the study's file; what it comes to stands in the folder, where the report reads it.
Runs that failed are missing in the folder, so it must be ready for that. Only `vslm run` calls it: a rematch is a study
of other arms, and a merge runs no code.
"""

import traceback
from collections.abc import Callable
from typing import Any

from vslm.results.files import write_json
from vslm.results.folder import ANSWERS, StudyFolder

Answers = Callable[[StudyFolder], Any]


def write_answers(folder: StudyFolder, answers: Answers) -> str | None:
    """Call `answers` and write down what it returns.

    Returns: None, or what is wrong with it in one line with its place; the runs and their verdict stand without it.
    """
    name = answers.__code__.co_filename if hasattr(answers, "__code__") else "answers"
    try:
        found = answers(folder)
    except Exception as error:
        lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == name]
        return f"{name}:{lines[-1] if lines else '?'}: answers: {type(error).__name__}: {error}; mend it and run again"
    if not isinstance(found, list) or not all(isinstance(line, str) for line in found):
        return f"{name}: answers returned {found!r}; a list of sentences is needed"
    write_json(folder.path / ANSWERS, {"answers": found})
    return None
