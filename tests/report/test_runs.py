"""A run is read whole, or with the reason why not."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_study import write_study

from vslm.report.numbers.runs import read_runs
from vslm.report.pages.study import write_report
from vslm.results.files import read_arrays, read_json, write_arrays, write_json
from vslm.results.folder import StudyFolder


@pytest.fixture
def folder(written: Callable[..., Path]) -> Path:
    """A small study to damage."""
    return written(write_study, {"a": (5, 0.3, 101), "b": (7, 0.3, 103)}, num_positions=11)


def _only(folder: Path) -> tuple[str, str]:
    run = read_runs(StudyFolder(folder))["b"][1]
    return run.state, run.words


def test_a_whole_run_is_done(folder: Path) -> None:
    """Nothing is wrong, and nothing is said to be."""
    assert _only(folder) == ("done", "done")


def test_a_run_without_a_folder_was_never_started(folder: Path) -> None:
    """The study declares its seeds, so a missing one is seen."""
    (folder / "b" / "seed1").rename(folder.parent / "gone")
    assert _only(folder) == ("missing", "never started")


def test_a_run_without_done_is_not_finished(folder: Path) -> None:
    """Its rows stay, and the last step is named."""
    (folder / "b" / "seed1" / "done.json").unlink()
    assert _only(folder) == ("unfinished", "not finished: its last evaluation is at step 1,750")


def test_a_diverged_run_names_its_step(folder: Path) -> None:
    """It ended, but not well."""
    path = folder / "b" / "seed1" / "done.json"
    write_json(path, {**read_json(path), "status": "diverged", "diverged_step": 1234})
    assert _only(folder) == ("diverged", "diverged at step 1,234: its loss was not finite")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("measures.jsonl", b'{"step": 1}\n{"st'),
        ("measures.jsonl", b"\xff\xfe\n"),
        ("arrays.npz", b"PK\x03\x04 torn"),
        ("done.json", b"[]"),
        ("done.json", b"{"),
    ],
)
def test_a_torn_file_makes_a_torn_run_with_a_reason(folder: Path, name: str, content: bytes) -> None:
    """No file of a run can break the reader."""
    (folder / "b" / "seed1" / name).write_bytes(content)
    state, words = _only(folder)
    assert state == "torn"
    assert words.startswith("cannot be read: ")


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04 torn", b"", {"logit_lens.steps_S": np.array(["0", "1"])}],
    ids=["torn", "empty", "no numbers"],
)
def test_torn_measures_of_afterwards_cost_the_run_nothing(folder: Path, content: Any) -> None:
    """Its own arrays count; the page says what is missing, with advice that does not throw the run away."""
    path = folder / "b" / "seed1" / "later.npz"
    write_arrays(path, {"logit_lens.steps_S": np.arange(3)})
    whole = read_runs(StudyFolder(folder))["b"][1]
    assert "logit_lens.steps_S" in whole.arrays
    assert not whole.remark
    path.write_bytes(content) if isinstance(content, bytes) else write_arrays(path, content)
    run = read_runs(StudyFolder(folder))["b"][1]
    assert (run.state, run.words) == ("done", "done")
    assert set(run.arrays) == set(read_arrays(path.with_name("arrays.npz")))
    assert "delete the file and run vslm measure again" in run.remark
    page = write_report(folder).read_text(encoding="utf-8")
    assert f"<li><code>b/seed1</code> {run.remark}</li>" in page
    assert "Runs that are not in the numbers" not in page
    assert "run the study again" not in page


def test_arrays_that_do_not_fit_each_other_are_torn(folder: Path) -> None:
    """Seven steps and five rows cannot both be true."""
    arrays = {"steps_S": np.arange(7), "val_loss_nats_ST": np.zeros((5, 11))}
    write_arrays(folder / "b" / "seed1" / "arrays.npz", arrays)
    state, words = _only(folder)
    assert state == "torn"
    assert "do not fit" in words


def test_a_seed_beyond_the_declared_ones_is_read_too(folder: Path) -> None:
    """What ran is shown, planned or not."""
    (folder / "a" / "seed1").rename(folder / "a" / "seed17")
    assert [(run.seed, run.state) for run in read_runs(StudyFolder(folder))["a"]] == [
        (0, "done"),
        (1, "missing"),
        (2, "done"),
        (17, "done"),
    ]


def a_link(path: Path) -> None:
    """To a file of the reader's."""
    path.symlink_to(path.parents[3] / "mine.txt")


def a_pipe(path: Path) -> None:
    """Into which nobody writes."""
    os.mkfifo(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
@pytest.mark.parametrize(
    ("name", "make"),
    [
        *[("done.json", a_link), ("measures.jsonl", a_pipe), ("arrays.npz", a_link), ("later.npz", a_pipe)],
        *[("sample.txt", a_link), ("failed.txt", a_pipe), ("done.json", a_pipe)],
    ],
)
def test_what_is_no_file_is_neither_shown_nor_waited_for(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    """A link to a file of the reader's shows nothing of it, and a pipe keeps nobody waiting."""
    (folder.parent / "mine.txt").write_text("my secret")
    path = folder / "b" / "seed1" / name
    path.unlink(missing_ok=True)
    make(path)
    page = write_report(folder).read_text(encoding="utf-8")
    assert "my secret" not in page
    if name in ("done.json", "measures.jsonl", "arrays.npz"):
        assert f"cannot be read: {name}: a " in _only(folder)[1]


def test_an_arm_that_is_a_link_is_not_read(folder: Path) -> None:
    """It would show another study's numbers as this one's; the report and the others stay."""
    (folder / "b").rename(folder.parent / "elsewhere")
    (folder / "b").symlink_to(folder.parent / "elsewhere")
    state, words = _only(folder)
    assert (state, "a link to" in words) == ("torn", True)
    assert read_runs(StudyFolder(folder))["a"][1].state == "done"
    assert write_report(folder).is_file()


def test_numbers_beyond_all_sizes_are_missing_on_the_page(folder: Path) -> None:
    """A mean of them would be no number; nothing seals a run from before there were checksums."""
    for run in (folder / "b").iterdir():
        arrays = read_arrays(run / "arrays.npz")
        huge = {name: np.full(a.shape, 1e308) if a.dtype.kind == "f" else a for name, a in arrays.items()}
        write_arrays(run / "arrays.npz", huge)
        rows = [json.loads(line) for line in (run / "measures.jsonl").read_text().splitlines()]
        rows = [{**row, "val_loss": 1e308, "train_loss": 10**400, "tokens": 10**310} for row in rows]
        (run / "measures.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    runs = read_runs(StudyFolder(folder))
    assert {run.state for run in runs["b"]} == {"done"}
    assert all(np.isnan(run.arrays["final_val_loss_nats_T"]).all() for run in runs["b"])
    page = write_report(folder).read_text(encoding="utf-8")
    numbers = page.partition('id="page-data">')[2].partition("</script>")[0]
    assert '"b"' in numbers
    assert not any(odd in numbers for odd in ("e+307", "e+308", "00000000000000000000", "Infinity"))
