"""A folder that was written before records were types (2026-11-30, format 1) is read, judged and shown as it was."""

import json
import shutil
from pathlib import Path

import pytest

from vslm.lab.verdict import write_verdict
from vslm.report.numbers.tables import list_arms
from vslm.report.pages.study import render
from vslm.results.folder import StudyFolder
from vslm.results.records import StudyRecord
from vslm.results.seals import digest_of

FOLDER = Path(__file__).parent / "folders" / "before_records"


def test_its_records_are_whole_and_are_written_as_they_were() -> None:
    """Every value of study.json, done.json and verdict.json has a place in a type, or is kept beside it."""
    folder = StudyFolder(FOLDER)
    assert folder.record_problem is None
    assert folder.verdict_problem is None
    written = json.loads((FOLDER / "study.json").read_text())
    assert digest_of(folder.study_to("run").plain()) == digest_of(written)
    assert folder.verdict is not None
    assert digest_of(folder.verdict.plain()) == digest_of(json.loads((FOLDER / "verdict.json").read_text()))
    for budget in folder.budgets:
        for arm in folder.judged_arms:
            for run in folder.runs(arm, budget):
                done = folder.ended(run, budget)
                assert done is not None
                assert digest_of(done.plain()) == done.digest


def test_it_is_judged_with_the_same_numbers(tmp_path: Path) -> None:
    """From its runs alone, and after the looks that it holds."""
    copy = tmp_path / "copy"
    shutil.copytree(FOLDER, copy)
    before = json.loads((copy / "verdict.json").read_text())
    assert digest_of(write_verdict(StudyFolder(copy)).plain()) == digest_of(before)
    for name in ("verdict.json", ".verdict.json"):
        (copy / name).unlink()
    assert digest_of(write_verdict(StudyFolder(copy)).plain()) == digest_of(before)


def test_it_is_shown() -> None:
    """A page, and a line for every arm, the one that was screened out among them."""
    page = render(StudyFolder(FOLDER))
    assert "Which?" in page
    rows = {row["arm"]: row["verdict"] for row in list_arms(FOLDER)}
    assert rows == {"full": "baseline", "short": "unresolved", "slow": "screened out"}


@pytest.mark.parametrize("part", ["arms", "plan", "settings", "primary", "corpora"])
def test_what_another_version_wrote_beside_the_fields_is_kept(part: str) -> None:
    """By itself and deep inside."""
    written = json.loads((FOLDER / "study.json").read_text())
    there = written[part]["full"] if part == "arms" else written[part]
    there = next(iter(there.values())) if part == "corpora" else there
    there["of_another_version"] = written["of_another_version"] = [1, {"a": None}]
    again = StudyRecord.from_plain(written).plain()
    assert again["of_another_version"] == [1, {"a": None}]
    if part != "primary":  # what decides is compared as a whole, so nothing may stand beside it
        assert digest_of(again) == digest_of(written)
