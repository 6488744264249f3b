"""Rows for `vslm ls` and for the verdict."""

import os
import subprocess
import sys
from pathlib import Path

from synthetic_study import write_study

from vslm.report.numbers.tables import Judged, headline, judged_arms, list_arms
from vslm.results.files import read_json, write_json
from vslm.results.folder import StudyFolder
from vslm.results.records import ArmVerdict, StudyRecord


def test_every_arm_ever_run_is_listed_the_losing_one_too(study_dir: Path) -> None:
    """Three arms give three rows, with the verdict, the seeds and the size of each."""
    rows = list_arms(study_dir.parent)
    assert [(row["arm"], row["verdict"], row["seeds"]) for row in rows] == [
        ("all-visible", "baseline", 3),
        ("window-32", "unresolved", 3),
        ("window-4", "worse", 3),
    ]
    last = rows[-1]
    judged = read_json(study_dir / "verdict.json")["arms"]["window-4"]
    assert (last["delta"], last["interval"]) == (judged["delta"], judged["interval"])
    assert (last["study"], last["tokens"], last["parameters"]) == ("quickstart", 3_584_000, 526_592)
    assert last["date"].startswith("2026-03-14")


def test_an_arm_that_never_ran_is_not_listed(tmp_path: Path) -> None:
    """A declared arm without a single run folder is a plan, not an arm ever run."""
    folder = write_study(tmp_path / "s", {"a": (5, 0.3, 101), "b": (7, 0.3, 103)}, num_positions=11)
    (folder / "b").rename(tmp_path / "elsewhere")
    assert [row["arm"] for row in list_arms(tmp_path)] == ["a"]


def test_a_torn_study_is_one_row_that_says_why_and_the_others_stay(tmp_path: Path) -> None:
    """One unreadable folder does not hide the rest."""
    write_study(tmp_path / "good", {"a": (5, 0.3, 101)}, num_positions=11)
    write_study(tmp_path / "torn", {"a": (5, 0.3, 101)}, num_positions=11)
    (tmp_path / "torn" / "study.json").write_text('{"format": 1, "arms"')
    good, torn = list_arms(tmp_path)
    assert (good["arm"], good["problem"], good["verdict"]) == ("a", None, None)
    assert (torn["arm"], torn["seeds"], torn["study"]) == (None, 0, "torn")
    assert "study.json" in torn["problem"]


def test_a_torn_verdict_keeps_its_arms_in_the_list(tmp_path: Path) -> None:
    """The arms ran, whatever became of their verdict."""
    folder = write_study(tmp_path / "s", {"a": (5, 0.3, 101), "b": (7, 0.3, 103)}, num_positions=11)
    (folder / "verdict.json").write_text("{")
    rows = list_arms(tmp_path)
    assert [row["verdict"] for row in rows] == ["baseline", None]
    assert "verdict.json" in rows[1]["problem"]
    assert judged_arms(StudyFolder(folder)) == []


def test_a_run_that_did_not_end_is_no_seed(tmp_path: Path) -> None:
    """One of three was stopped: two seeds are told."""
    folder = write_study(tmp_path / "s", {"a": (5, 0.3, 101)}, num_positions=11)
    (folder / "a" / "seed1" / "done.json").unlink()
    assert [row["seeds"] for row in list_arms(tmp_path)] == [2]


def test_what_is_called_done_and_is_no_file_is_no_seed(tmp_path: Path) -> None:
    """A pipe or a folder in place of it: nothing waits for the one, and nothing falls over the other."""
    folder = write_study(tmp_path / "s", {"a": (5, 0.3, 101)}, num_positions=11)
    (before,) = list_arms(tmp_path)
    for seed, make in ((0, os.mkfifo), (1, os.mkdir)):
        done = folder / "a" / f"seed{seed}" / "done.json"
        done.unlink()
        make(done)
    (row,) = list_arms(tmp_path)
    assert row["seeds"] == before["seeds"] - 2


def test_an_arm_that_was_screened_out_is_listed_with_what_is_known(tmp_path: Path) -> None:
    """One run, its difference on select, its size; no verdict and no interval."""
    folder = write_study(tmp_path / "s", {"a": (5, 0.3, 101), "b": (7, 0.3, 103)}, num_positions=11)
    study = read_json(folder / "study.json")
    study["arms"]["b"] |= {"screened_out": True, "num_parameters": 107}
    study["screening"] = {"arms": {"b": {"difference": 0.25, "tokens": 1009}}}
    write_json(folder / "study.json", study)
    first, second = list_arms(tmp_path)
    assert first["verdict"] == "baseline"
    keys = ("arm", "verdict", "delta", "interval", "seeds", "tokens", "parameters", "problem", "question")
    assert [second[key] for key in keys] == [
        "b", "screened out", 0.25, None, 1, 1009, 107, None, study["question"]
    ]  # fmt: skip


def test_rows_of_other_budgets_come_the_smallest_first(tmp_path: Path) -> None:
    """Beside the one that is judged; a row that is torn or says no tokens is none."""
    study_dir = write_study(tmp_path / "quickstart")
    verdict = read_json(study_dir / "verdict.json")
    judged = verdict["arms"]["window-4"]
    verdict["budgets"] = {
        "x0.25": {"arms": {"window-4": {"tokens": 7, "delta": 0.5}}},
        "x4": {"arms": {"window-4": {"tokens": judged["tokens"] * 4, "delta": 0.75}}},
        "x2": {"arms": {"window-4": {"delta": 1.0}}},
        "x3": {"arms": 3},
        "x5": None,
    }
    write_json(study_dir / "verdict.json", verdict)
    rows = {row.arm: row for row in judged_arms(StudyFolder(study_dir))}
    assert [at.delta for at in rows["window-4"].by_budget] == [0.5, judged["delta"], 0.75]
    assert [at.delta for at in rows["window-32"].by_budget] == [verdict["arms"]["window-32"]["delta"]]


def test_a_row_without_a_verdict_is_not_resolved() -> None:
    """On top of a page as in the table."""
    rows = [Judged("b", ArmVerdict()), Judged("c", ArmVerdict(verdict="better"))]
    words = headline(StudyRecord(baseline="a"), rows)
    assert [(item["verdict"], item["words"]) for item in words] == [
        ("unresolved", "is not resolved yet"),
        ("better", "is better than a"),
    ]


def test_a_folder_that_does_not_exist_lists_nothing(tmp_path: Path) -> None:
    """No runs yet is no error."""
    assert list_arms(tmp_path / "runs") == []


def test_the_headline_names_the_baseline(study: StudyFolder) -> None:
    """In words, an arm is worse than something."""
    words = [(item["arm"], item["words"]) for item in headline(study.study, judged_arms(study))]
    assert words == [("window-32", "is not resolved yet"), ("window-4", "is worse than all-visible")]


def test_listing_imports_nothing_heavy() -> None:
    """`vslm ls` answers at once: neither torch, scipy, jinja2 nor rich is imported for its rows."""
    code = (
        "import sys, vslm.report.numbers.tables; print(sorted({'torch', 'scipy', 'jinja2', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
