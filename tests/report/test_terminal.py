"""Tables for a terminal, and plain lines where there is none."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from synthetic_study import write_study

from vslm import cli
from vslm.report.numbers.tables import list_arms
from vslm.report.terminal import arms_table, show, verdict_table
from vslm.results.folder import StudyFolder


def _printed(table: object) -> str:
    file = io.StringIO()
    show(table, file)  # type: ignore[arg-type]
    return file.getvalue()


def test_the_verdict_is_printed_as_plain_lines_into_a_pipe(study: StudyFolder) -> None:
    """One line per arm, no color codes, nothing but ASCII."""
    text = _printed(verdict_table(study))
    assert text.isascii()
    assert "\x1b" not in text
    line = next(line for line in text.splitlines() if line.strip().startswith("| window-4") or "window-4" in line)
    assert "worse" in line
    assert "3.58M" in line


def test_every_arm_is_printed(study: StudyFolder) -> None:
    """The rows of `list_arms`, one line each."""
    text = _printed(arms_table(list_arms(study.path)))
    assert [name for name in ("all-visible", "window-32", "window-4") if name not in text] == []
    assert "2026-03-14" in text


@pytest.mark.parametrize("name", ["[red]x[/red]", "[/]"])
def test_a_name_is_not_read_as_markup(study: StudyFolder, name: str) -> None:
    """rich reads square brackets in strings; a name is no markup."""
    rows = [{**list_arms(study.path)[0], "arm": name, "study": name}]
    assert _printed(arms_table(rows)).count(name) == 2


def _texts(value: Any) -> Iterator[str]:
    """Every text in a plain value."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


HOSTILE = "\x1b[2J\x9b1A\rx\u202eexe [bold]y[bold] :smile: \x7f"


@pytest.mark.parametrize(
    "command", [("ls", "."), ("ls", ".", "--json"), ("report", "s"), ("compare", "s"), ("compare", "s", "--json")]
)
def test_nothing_in_a_folder_acts_on_the_terminal(
    tmp_path: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names and questions are shown letter by letter, JSON stays JSON, and a torn study's message is shown, too."""
    write_study(
        tmp_path / "s", {HOSTILE: (5, 0.3, 101), "b": (7, 0.3, 103)}, num_positions=11, question=f"Is {HOSTILE} better?"
    )
    if command[0] == "ls":
        write_study(tmp_path / HOSTILE, {"a": (5, 0.3, 101)}, num_positions=11)
        (tmp_path / HOSTILE / "study.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["vslm", *command])
    cli.main()
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert not set(text) & set("\x1b\x9b\r\u202e\x7f")
    if "--json" in command:
        assert any(HOSTILE in text for text in _texts(json.loads(said.out)))
    elif command[0] != "report":
        assert r"\x1b[2J\x9b1A\rx\u202eexe [bold]y[bold] :smile: \x7f" in said.out


def test_a_narrow_terminal_lacks_no_name_and_no_digit(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines are folded by the terminal; columns were cut to nothing, the names first."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: True)
    show(arms_table(list_arms(study.path)), file)
    said = file.getvalue()
    assert "window-32" in said
    assert "2026-03-14" in said
    assert "\u2026" not in said
