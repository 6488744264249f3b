"""What the system refuses a command: one message, no traceback, wherever it is met."""

import errno
import io
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vslm.after.merging import pack_study
from vslm.cli import app, main
from vslm.core.errors import RunError
from vslm.data.corpus import home
from vslm.results.files import write_json

LONG = "n" * 300


COMMANDS = [
    ("plan", f"{LONG}.py"),
    ("run", "study.py", "--out", LONG),
    ("run", "study.py", "--out", "corpus.txt/deeper"),
    ("run", "study.py", "--data", LONG),
    ("train", "corpus.txt", "--out", f"a/{LONG}/b"),
    ("report", LONG),
    ("ls", LONG),
    ("ls", "corpus.txt/deeper"),
    ("sample", LONG),
    ("route", LONG, "--adapter", "other"),
    ("measure", LONG, "TokenView"),
    ("pack", LONG),
    ("compare", LONG, "other"),
    ("merge", LONG, "other", "--out", "x"),
    ("send", LONG, "--to", "tensorboard"),
    ("prompts", LONG, "--prompts", "corpus.txt"),
    ("rematch", LONG),
    ("data", "show", LONG),
    ("worlds", "write", LONG, "--people", "64", "--train", "7", "--examples", "7", "--stories", "7"),
    ("worlds", "write", "corpus.txt/deeper", "--people", "64", "--train", "7", "--examples", "7", "--stories", "7"),
    ("worlds", "check", LONG),
    ("worlds", "check", "corpus.txt/deeper"),
    ("store", "build", LONG, "out"),
    ("store", "build", "corpus.txt", LONG),
    ("store", "build", "corpus.txt", "corpus.txt/deeper"),
    ("store", "search", LONG, "words"),
    ("store", "search", "corpus.txt/deeper", "words"),
    ("store", "recall", LONG, "corpus.txt"),
    ("eval", LONG, "corpus.txt"),
    ("export", LONG, "out"),
    ("import", LONG),
    ("import", "corpus.txt/deeper"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.usefixtures("place")
def test_a_name_too_long_or_a_file_on_the_way_is_said(vslm: Callable, command: tuple[str, ...]) -> None:
    """In one line, by every command that takes a path."""
    said = vslm(*command)
    assert said.code in (1, 2), said
    assert said.err.startswith("vslm: ")
    assert said.err.count("\n") == 1, said.err


def raising(error: BaseException) -> Callable[..., None]:
    """A command that ends so."""

    def command(*_: object, **__: object) -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.EROFS, "Read-only file system", "there"), 1, "there: cannot be used: the place is read-only"),
        (PermissionError(errno.EACCES, "Permission denied", b"caf\xe9"), 1, "permission denied"),
        (OSError(errno.ESTALE, "Stale file handle"), 1, "run the same command again"),
        (MemoryError(), 1, "memory ran out"),
        (RecursionError(), 2, "nested too deeply"),
        (RunError("x", "gone"), 1, "x: gone"),
        (BrokenPipeError(), 0, ""),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_what_slips_through_is_put_into_words_by_the_command_line(
    vslm: Callable, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    """The outermost place: nobody nearer could say more."""
    monkeypatch.setattr("vslm.cli.command_line._called", raising(error))
    said = vslm("ls")
    assert (said.code, words in said.err, "Traceback" in said.err) == (code, True, False)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
@pytest.mark.parametrize(
    ("command", "called", "offers_out"),
    [
        (("report", "runs/x"), "vslm.results.folder.study_folder_of", True),
        (("measure", "runs/x", "TokenView"), "vslm.after.measuring.evaluations", False),
        (("serve", "runs/x"), "vslm.live.server.open_server", False),
        (("data", "prepare", "x"), "vslm.data.preparing.prepare", False),
    ],
    ids=lambda part: part[0] if isinstance(part, tuple) else "",
)
def test_another_place_is_offered_by_the_commands_that_take_one(
    vslm: Callable,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    command: tuple[str, ...],
    called: str,
    *,
    offers_out: bool,
) -> None:
    """`vslm measure` has no --out, so a read-only study is not told to use it."""
    monkeypatch.setattr(called, raising(OSError(number, "", "there")))
    said = vslm(*command)
    assert (said.code, "--out" in said.err) == (1, offers_out), said.err
    assert "copy the folder to where you may write" in said.err


class Full(io.StringIO):
    """A stream that takes nothing."""

    def flush(self) -> None:
        """As a full disk answers."""
        raise OSError(errno.ENOSPC, "No space left on device")

    def fileno(self) -> int:
        """A file of its own to be let go of."""
        return self.opened


def test_output_that_cannot_be_written_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`vslm --version > /dev/full` has not printed its version."""
    full = Full()
    with (tmp_path / "out").open("wb") as file:
        full.opened = os.dup(file.fileno())
    monkeypatch.setattr(sys, "stdout", full)
    monkeypatch.setattr(sys, "argv", ["vslm", "--version"])
    with pytest.raises(SystemExit) as end:
        main()
    os.close(full.opened)
    assert (end.value.code, "the disk is full" in capsys.readouterr().err) == (1, True)


def test_streams_that_are_closed_are_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under some schedulers: Python has None in their place."""
    monkeypatch.setattr("vslm.cli.command_line.app", lambda *_, **__: print("x", file=sys.stderr))
    monkeypatch.setattr(os, "dup2", lambda *_: None)  # the process of the tests keeps its own
    monkeypatch.setattr(sys, "stdin", None)
    main()
    assert sys.stdin is not None


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number which no list of users has."""
    monkeypatch.delenv("VSLM_HOME", raising=False)
    monkeypatch.setattr(Path, "home", raising(RuntimeError("Could not determine home directory.")))
    with pytest.raises(RunError, match="set VSLM_HOME to a folder that you may write in"):
        home()


def test_a_study_named_as_what_is_left_out_of_a_run_is_packed(tmp_path: Path) -> None:
    """`vslm pack runs/weights`; so is an arm of that name. Weights of runs and leftovers are not."""
    study = tmp_path / "weights"
    run = study / "checkpoints" / "seed0"
    packed = [study / "study.json", study / "report.html", run / "done.json"]
    not_packed = [
        *(run / "weights.safetensors", run / "weights" / "step000000007.safetensors", run / ".a.json.0a1b2c3d.tmp"),
        *(run / "checkpoints" / "step000000007.json", study / ".lock", run / "worker.log"),
    ]
    write_json(study / "study.json", {"format": 1, "arms": {"checkpoints": {}}})
    for path in (*packed[1:], *not_packed):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    with zipfile.ZipFile(pack_study(study, tmp_path / "p.zip", lambda words: None)) as archive:
        assert sorted(archive.namelist()) == sorted(f"weights/{path.relative_to(study).as_posix()}" for path in packed)


def test_every_command_is_tried_with_a_name_too_long() -> None:
    """But for those that take no path which has to be there, and the server."""
    commands = {name for name in app if not name.startswith("-")}
    assert commands - {command[0] for command in COMMANDS} == {"bench", "machine", "noise", "serve"}
