"""How far a study is: which runs ended, how far the others are, and whether a process is at it now."""

import json
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vslm.core.errors import ResultError
from vslm.report.numbers.formatting import is_number, of_folder
from vslm.results.files import read_json
from vslm.results.folder import RunFolder, StudyFolder
from vslm.results.places import files_below, opened

_TAIL_BYTES = 4096  # a row of measures.jsonl is some hundred
_RECENT_SECONDS = 600.0  # a study of another machine that wrote within this time is taken to be running

State = Literal["running", "done", "stopped", "waiting"]


@dataclass(frozen=True)
class Progress:
    """How far the judged runs of a study are.

    Args:
        num_ended: runs that ended, well or diverged.
        num_runs: runs that are declared, at all budgets.
        share: of all training tokens, what is trained; 1 at the end.
        is_running: whether a process holds the folder.
        choosing: runs that only choose (screening, rates) and have ended, where no judged run has begun; else 0.
    """

    num_ended: int
    num_runs: int
    share: float
    is_running: bool
    choosing: int = 0

    @property
    def state(self) -> State:
        """In one word."""
        if self.is_running:
            return "running"
        if self.num_runs and self.num_ended >= self.num_runs:
            return "done"
        return "stopped" if self.share > 0 or self.choosing else "waiting"

    @property
    def words(self) -> str:
        """For people.

        >>> Progress(2, 9, 0.314, True).words
        'running: 2 of 9 runs, 31 %'
        """
        if self.choosing and not self.num_ended:
            what = f"{self.choosing} short runs made, to choose what is judged"
        else:
            what = f"{self.num_ended} of {self.num_runs} runs"
            what += f", {100 * self.share:.0f} %" if self.num_ended < self.num_runs else ""
        return {"running": "running: ", "done": "", "stopped": "stopped: ", "waiting": "not begun: "}[self.state] + what


def progress_of(folder: StudyFolder) -> Progress:
    """Read how far a study is. Torn files count as nothing done."""
    study = folder.study
    num_ended, num_runs, share, has_begun = 0, 0, 0.0, False
    judged = [(arm, budget, study.seeds_of(arm)) for budget in folder.budgets for arm in folder.judged_arms]
    for arm, budget, seeds in [*((trunk, 1.0, study.seeds) for trunk in study.trunks), *judged]:
        tokens = study.row(arm).tokens
        found = {run.seed: run for run in folder.runs(arm, budget)}
        for seed in {*seeds, *found}:
            num_runs += 1
            if seed not in found:
                continue
            has_begun = has_begun or arm in study.arms
            part = 1.0 if found[seed].is_done else _share(found[seed], tokens, budget)
            num_ended += found[seed].is_done
            share += part
    choosing = 0 if has_begun else sum(map(_num_done, (folder.path / "screen", folder.path / "tuning")))
    share = share / num_runs if num_runs else 0.0
    return Progress(num_ended, num_runs, share, is_held(folder.path), choosing)


def _num_done(stage: Path) -> int:
    return 0 if stage.is_symlink() else sum(path.name == "done.json" for path in files_below(stage))


def _share(run: RunFolder, tokens: Any, budget: float) -> float:
    seen = last_row(run.path / "measures.jsonl").get("tokens")
    return min(1.0, seen / (tokens * budget)) if is_number(seen) and is_number(tokens) and tokens > 0 else 0.0


def last_row(path: Path) -> dict[str, Any]:
    """The last whole row of a file of rows, read from its end; empty if there is none."""
    try:
        with opened(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            lines = file.read().splitlines()
    except (OSError, ResultError):
        return {}
    for line in reversed(lines):
        try:
            return of_folder(json.loads(line), dict)
        except (ValueError, RecursionError):
            continue
    return {}


def is_held(study: Path) -> bool:
    """Whether a process is at this study: it is named in the folder, and lives.

    A process that was killed leaves its name behind, so on this machine it is looked for; of another machine it is
    asked whether anything was written lately.
    """
    holder = study / ".holder.json"
    try:
        who = of_folder(read_json(holder), dict)
    except (ResultError, OSError):
        return False
    process = who.get("process")
    if who.get("machine") == platform.node() and isinstance(process, int) and process > 0 and os.name == "posix":
        return _is_alive(process)
    times = [path.stat().st_mtime for path in (holder, *study.glob("*/seed*/measures.jsonl")) if path.exists()]
    return bool(times) and time.time() - max(times) < _RECENT_SECONDS


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 asks and does nothing
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
