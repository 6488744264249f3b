"""Which studies a folder holds, each read once and kept until one of its files changes.

A study is known by its path below the root, and only such names are ever looked up: what a visitor asks for is compared
with them and never joined to a path.
"""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vslm.core.errors import ResultError
from vslm.live.progress import Progress, progress_of
from vslm.report.numbers.runs import Run, read_run
from vslm.report.numbers.tables import Judged, judged_arms, judged_effects, read_verdict
from vslm.results.folder import ANSWERS, FAILED, LATER, LATER_RECORD, RunFolder, StudyFolder
from vslm.results.records import StudyRecord

_DEEPEST = 3  # folders of folders of studies
_OWN_FILES = ("study.json", "verdict.json", ANSWERS)
_RUN_FILES = (
    "done.json",
    "measures.jsonl",
    "arrays.npz",
    "environment.json",
    "sample.txt",
    FAILED,
    LATER,
    LATER_RECORD,
)
_MOST_RUNS_KEPT = 400  # of a page, in memory

Stamp = tuple[Any, ...]


@dataclass(frozen=True)
class Entry:
    """A study on the shelf: what the list shows of it.

    Args:
        name: its path below the root, with `/`.
        folder: where it is.
        study: its declaration; empty where it cannot be read.
        rows: one per judged arm, or effect of a factor, as in verdict.json.
        progress: None where the declaration cannot be read.
        problem: why something cannot be read, for people.
        stamp: changes with every file that the study's page is made of.
    """

    name: str
    folder: StudyFolder
    study: StudyRecord = field(default_factory=StudyRecord)
    rows: list[Judged] = field(default_factory=list)
    progress: Progress | None = None
    problem: str | None = None
    stamp: Stamp = ()

    @property
    def results_stamp(self) -> Stamp:
        """The part of the stamp that does not come from runs."""
        return self.stamp[: len(_OWN_FILES)]


def stamp_of(path: Path) -> Stamp:
    """Another one whenever the file is another one; empty if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def run_stamp(run: Path) -> Stamp:
    """Of everything that the page reads of a run."""
    return tuple(stamp_of(run / name) for name in _RUN_FILES)


class Shelf:
    """The studies below a folder. Threads may ask at once.

    Args:
        root: a folder of studies, at most three levels deep, or one study.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._entries: dict[str, Entry] = {}
        self._runs: dict[Path, tuple[Stamp, Run]] = {}
        self._lock = threading.Lock()

    def names(self) -> dict[str, Path]:
        """Every study by its name, in the order of names. Folders that hold none and other files are passed over."""
        if (self.root / "study.json").is_file():
            return {self.root.resolve().name: self.root}
        return {path.relative_to(self.root).as_posix(): path for path in sorted(_studies(self.root, _DEEPEST))}

    def entries(self) -> list[Entry]:
        """Every study, the newest first."""
        found = [self._read(name, path) for name, path in self.names().items()]
        return sorted(found, key=lambda entry: str(entry.study.created or ""), reverse=True)

    def entry(self, name: str) -> Entry | None:
        """The study of that name, or None."""
        path = self.names().get(name)
        return None if path is None else self._read(name, path)

    def run(self, folder: RunFolder) -> Run:
        """A run, read again only if one of its files changed."""
        stamp = run_stamp(folder.path)
        kept = self._runs.get(folder.path)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        run = read_run(folder)
        with self._lock:
            while len(self._runs) >= _MOST_RUNS_KEPT:
                del self._runs[next(iter(self._runs))]
            self._runs[folder.path] = (stamp, run)
        return run

    def _read(self, name: str, path: Path) -> Entry:
        before = self._entries.get(name)
        folder = StudyFolder(path)
        try:
            arms = folder.judged_arms
            stamp = self._stamp(folder, arms)
            # Whether a process holds it is no file that changes when the process dies, so it is asked each time.
            progress = progress_of(folder)
            if before is not None and (before.stamp, before.progress) == (stamp, progress):
                return before
            _, problem = read_verdict(folder)
            entry = Entry(
                name, folder, folder.study, judged_arms(folder) or judged_effects(folder), progress, problem, stamp
            )
        except ResultError as error:
            entry = Entry(name, folder, problem=str(error), stamp=(str(error),))
        except (OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            # study.json is valid JSON and not what a study writes: whatever of it is read first says so.
            said = f"{path / 'study.json'}: not the record of a study ({type(error).__name__}: {error})."
            entry = Entry(name, folder, problem=said, stamp=(said,))
        self._entries[name] = entry
        return entry

    def _stamp(self, folder: StudyFolder, arms: list[str]) -> Stamp:
        runs = [run for budget in folder.budgets for arm in arms for run in folder.runs(arm, budget)]
        own = tuple(stamp_of(folder.path / name) for name in _OWN_FILES)
        return own + tuple((run.path.relative_to(folder.path).as_posix(), run_stamp(run.path)) for run in runs)


def _studies(root: Path, deep: int) -> Iterator[Path]:
    try:
        with os.scandir(root) as found:
            folders = [Path(one.path) for one in found if not one.name.startswith(".") and one.is_dir()]
    except OSError:
        return
    for path in folders:
        if (path / "study.json").is_file():
            yield path
        elif deep > 1:
            yield from _studies(path, deep - 1)
