"""What a command needs is said by its help, and asked for before anything is loaded."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

NEED = [
    (["run"], "STUDY is missing; a Python file that defines STUDY is needed"),
    (["plan"], "STUDY is missing"),
    (["plan", "--seeds", "3"], "STUDY is missing"),
    (["plan", "--data", "study.py"], "STUDY is missing"),
    (["train"], "PATHS is missing; files, folders or globs are needed"),
    (["compare"], "PATHS is missing"),
    (["measure"], "FOLDER is missing; a folder of results is needed"),
    (["measure", "runs/x"], "MEASURES is missing; one or more are needed"),
    (["merge", "--out", "x"], "FOLDERS is missing; two or more"),
    (["merge", "a", "b"], "--out is missing"),
    (["merge", "a", "--out", "x"], "found 1 folder; two or more"),
    (["rematch"], "FOLDER is missing"),
    (["report"], "FOLDER is missing"),
    (["sample"], "FOLDER is missing"),
    (["prompts", "runs/x"], "--prompts is missing"),
    (["pack"], "FOLDER is missing"),
    (["send", "runs/x"], "--to is missing"),
    (["data", "show"], "PATHS is missing; files, folders or globs"),
    (["data", "prepare"], "PATH is missing; a file, a folder or a glob"),
    (["report", "runs/x", "--out"], "no value behind --out"),
]
_TRY = """
import contextlib, sys
from vslm.cli import main
for words in {commands!r}:
    sys.argv = ["vslm", *words]
    try:
        main()
    except SystemExit as end:
        print(end.code, "torch" in sys.modules)
"""


def test_what_is_missing_is_said_before_torch_is_loaded() -> None:
    """All of them in one process: each in one line, with status 2."""
    code = _TRY.format(commands=[words for words, _ in NEED])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == ["2 False"] * len(NEED), done.stderr
    for line, (words, said) in zip(done.stderr.splitlines(), NEED, strict=True):
        assert said in line, (words, line)
        assert line.startswith("vslm: ")


@pytest.mark.parametrize("command", ["run", "plan", "train", "compare", "measure", "merge", "report", "data show"])
def test_the_help_marks_what_is_needed(vslm: Callable, command: str) -> None:
    """As everywhere: no brackets in the first line, and a word at the argument."""
    said = vslm(*command.split(), "--help").out
    first, _, arguments = said.partition("Arguments")
    assert "[ARGS" not in first
    assert "[required]" in " ".join(arguments.partition("Parameters")[0].split())


@pytest.mark.parametrize(
    "words",
    [
        ("--data", "no-a.txt", "no-b.txt", "study.py"),
        ("--seeds", "2", "--data", "no-a.txt", "no-b.txt", "study.py", "--json"),
        ("--data", "no-a.txt", "--data", "no-b.txt", "study.py"),
        ("--data", "no-a.txt", "study.py"),
        ("study.py", "--data", "no-a.txt", "no-b.py"),
    ],
)
def test_a_study_may_stand_behind_texts(vslm: Callable, place: Path, words: tuple[str, ...]) -> None:
    """`--data` takes all words up to the next option, and a study is no text."""
    said = vslm("plan", *words)
    assert said.code == 2
    assert "no-a.txt" in said.err, "the study was read, and its text looked for"
    assert "STUDY" not in said.err
    assert place.is_dir()
