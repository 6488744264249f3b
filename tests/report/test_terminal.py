"""Tables for a terminal, and plain lines where there is none."""

import io

import pytest

from vslm.report.tables import list_arms
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
