"""What a study asks beside its verdict: said, written, shown; and a mistake in it costs nothing else."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from small_study import STUDY

from vslm.results.folder import StudyFolder
from vslm.runs.pool import Order

MEAN = """
def answers(folder):
    worst = max(done.val_loss for done in folder.paired(["short"])["short"].values())
    return [f"<b>short</b> of {folder.study.baseline}: all seeds below 9: {worst < 9}"]
"""
SENTENCE = "<b>short</b> of full: all seeds below 9: True"
WRITTEN = Path("runs/study/answers.json")


def test_answers_are_printed_written_and_shown(place: Path, vslm: Callable, in_process: list[Order]) -> None:
    """Below the verdict, in the folder, and on the page, where they are text and no markup; gone with the function."""
    (place / "study.py").write_text(STUDY + MEAN, encoding="utf-8")
    said = vslm("run", "study.py")
    assert (said.code, said.out.count(SENTENCE)) == (0, 1), said
    assert json.loads(WRITTEN.read_text()) == {"answers": [SENTENCE]}
    page = Path("runs/study/report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;short&lt;/b&gt; of full" in page
    assert SENTENCE not in page
    in_process.clear()
    (place / "study.py").write_text(STUDY, encoding="utf-8")
    assert SENTENCE not in vslm("run", "study.py").out
    assert not in_process
    assert not WRITTEN.exists()


@pytest.mark.slow
def test_a_rematch_asks_nothing(place: Path, vslm: Callable, in_process: list[Order]) -> None:
    """It is a study of other arms, so the function of the first one's file is not called."""
    nearly_full = STUDY.replace('window_tokens": 3', 'window_tokens": 16')  # as large as the baseline in every way
    (place / "study.py").write_text(nearly_full + MEAN, encoding="utf-8")
    vslm("run", "study.py")
    assert WRITTEN.exists()
    said = vslm("rematch", "runs/study", "--arm", "short", "--seeds", "7", "--tokens", "1309")
    assert said.code == 0, said
    assert SENTENCE not in said.out
    assert not Path("runs/study-rematch/answers.json").exists()


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ("def answers(folder):\n    return 1 / 0\n", "study.py:20: answers: ZeroDivisionError: division by zero; mend"),
        ("def answers(folder):\n    return 'yes'\n", "study.py: answers returned 'yes'; a list of sentences is needed"),
        ("def answers(folder):\n    return folder.run('a', 0).done.x\n", "answers: AttributeError"),
    ],
)
def test_a_mistake_in_answers_costs_nothing_else(
    place: Path, vslm: Callable, finished: Callable[..., Path], in_process: list[Order], answers: str, words: str
) -> None:
    """One line on standard error says where, also beside JSON; the verdict stands; mended, no run is made again."""
    finished()
    (place / "study.py").write_text(STUDY + answers, encoding="utf-8")
    said = vslm("run", "study.py")
    assert said.code == 0
    assert words in said.err
    assert said.err.count("\n") == 1
    assert "short: " in said.out
    assert not WRITTEN.exists()
    assert words in vslm("run", "study.py", "--json").err
    in_process.clear()
    (place / "study.py").write_text(STUDY + MEAN, encoding="utf-8")
    assert SENTENCE in vslm("run", "study.py").out
    assert not in_process


@pytest.mark.parametrize("command", ["plan", "run"])
def test_answers_that_are_no_function_are_refused(
    command: str, place: Path, vslm: Callable, in_process: list[Order]
) -> None:
    """Before any compute, and by a plan, too: a study that can be planned can be run."""
    (place / "study.py").write_text(STUDY + "answers = 3\n", encoding="utf-8")
    said = vslm(command, "study.py")
    assert said.code == 2
    assert "study.py: answers is int; answers is a function of the study's folder" in said.err
    assert not in_process


def test_a_torn_file_is_no_answer(place: Path) -> None:
    """The page is made all the same, and the next run writes it anew."""
    for text in ("{", "[]", '{"answers": 3}', '{"answers": [3]}'):
        (place / "answers.json").write_text(text, encoding="utf-8")
        assert StudyFolder(place).answers == []
