"""One run as the report sees it: everything that could be read, its state, and the reason for what could not.

A report is made of whatever is there. A run that is missing, unfinished, diverged or torn is said so in words, and the
rest of the page does not suffer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vslm.core.errors import ResultError
from vslm.report.numbers.formatting import is_number
from vslm.results.folder import RUN_AGAIN, RunFolder, StudyFolder
from vslm.results.primary import LARGEST
from vslm.results.records import RunEnd

State = Literal["done", "diverged", "unfinished", "missing", "torn"]


@dataclass(frozen=True)
class Run:
    """What could be read of one arm with one seed.

    Attributes:
        words: the state for people, a whole sentence without arm and seed.
        rows: of measures.jsonl.
        arrays: of arrays.npz and later.npz, or empty where their shapes do not fit each other.
        done: done.json, holding nothing if the run did not end.
        declared: what measures say of their arrays, as recorded: see `vslm.measure.declared`.
        remark: what is left out of a run that counts, and why; empty if nothing is.
    """

    arm: str
    seed: int
    state: State
    words: str
    where: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    done: RunEnd = field(default_factory=RunEnd)
    environment: dict[str, Any] = field(default_factory=dict)
    sample: str | None = None
    remark: str = ""
    declared: dict[str, Any] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether the run ended well, so that its numbers may be compared."""
        return self.state == "done"


def read_runs(folder: StudyFolder, read: Callable[[RunFolder], Run] | None = None) -> dict[str, list[Run]]:
    """All runs that the study declares or has, by judged arm in the order of declaration, then by seed.

    Args:
        folder: of the study.
        read: in place of `read_run`, for who keeps what was read.
    """
    read = read or read_run
    runs = {}
    for arm in folder.judged_arms:
        seeds = sorted({*folder.study.seeds_of(arm), *(found.seed for found in folder.runs(arm))})
        runs[arm] = [read(folder.run(arm, seed)) for seed in seeds]
    return runs


def read_trunks(folder: StudyFolder) -> dict[str, list[Run]]:
    """The runs of every trunk, by seed: those of the study's seeds, and all that are there."""
    runs = {}
    for name in folder.study.trunks:
        seeds = sorted({*folder.study.seeds, *(found.seed for found in folder.runs(name))})
        runs[name] = [read_run(folder.run(name, seed)) for seed in seeds]
    return runs


def read_run(folder: RunFolder) -> Run:
    """Read one run. Never raises for what is in the folder."""
    where = f"{folder.arm}/seed{folder.seed}"
    problems: list[str] = []
    done = _attempt(lambda: folder.done, RunEnd, problems)
    rows = _attempt(lambda: folder.measures, list, problems)
    arrays = _attempt(lambda: _consistent(folder.arrays, where), dict, problems)
    state, words = _state(folder, done, rows, problems)
    remark = folder.later_problem or ""
    if not problems and (damage := folder.damage):
        # What cannot be trusted is not drawn either.
        state, words, rows, arrays = "torn", f"is damaged: {damage}; {RUN_AGAIN}", [], {}
    elif not problems and (damage := folder.quick_damage()):
        remark = "; ".join(part for part in (remark, f"{damage}; {RUN_AGAIN}") if part)
    return Run(
        arm=folder.arm,
        seed=folder.seed,
        state=state,
        words=words,
        where=where,
        rows=[row for row in rows if type(row) is dict and is_number(row.get("step"))],
        arrays=arrays,
        done=done,
        environment=_attempt(lambda: folder.environment, dict, []),
        sample=_attempt(lambda: folder.sample, str, []) or None,
        remark=remark,
        declared=_attempt(lambda: folder.declared, dict, []),
    )


def _attempt(read: Any, kind: type, problems: list[str]) -> Any:
    """What `read` returns; an empty `kind`, and a word about it, where that cannot be read or is something else."""
    try:
        value = read()
    except (ResultError, UnicodeDecodeError, OSError) as error:
        # The page may travel: a message names the file, not where this machine keeps it.
        said = f"{Path(error.where).name}: {error.found}" if isinstance(error, ResultError) else str(error)
        problems.append(said)
        return kind()
    if value is not None and not isinstance(value, kind):
        problems.append(f"found a {type(value).__name__} where a {kind.__name__} is needed")
    return value if isinstance(value, kind) else kind()


def _state(folder: RunFolder, done: RunEnd, rows: list[Any], problems: list[str]) -> tuple[State, str]:
    if problems:
        return "torn", f"cannot be read: {'; '.join(problems)}"
    if done.status == "diverged":
        at = "" if done.diverged_step is None else f" at step {done.diverged_step:,}"
        return "diverged", f"diverged{at}: its loss was not finite"
    if folder.is_done:
        return "done", "done"
    if folder.failed:
        return "unfinished", "its process failed; failed.txt in its folder says why"
    if rows:
        step = rows[-1].get("step") if isinstance(rows[-1], dict) else None
        return "unfinished", f"not finished{f': its last evaluation is at step {step:,}' if is_number(step) else ''}"
    return "missing", "started, nothing measured yet" if folder.path.is_dir() else "never started"


def _consistent(arrays: dict[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """The arrays, if they hold numbers and their shapes fit; NaN where a number is beyond all that can be shown.

    Raises: ResultError if they do not.
    """
    steps_S, loss_ST = arrays.get("steps_S"), arrays.get("val_loss_nats_ST")
    final_T = arrays.get("final_val_loss_nats_T")
    numeric = all(array.dtype.kind in "iuf" for array in arrays.values())
    fits = (
        (steps_S is None) == (loss_ST is None)
        and (steps_S is None or loss_ST is None or (loss_ST.ndim == 2 and steps_S.shape == loss_ST.shape[:1]))
        and (final_T is None or final_T.ndim == 1)
    )
    if not (numeric and fits):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ResultError(f"{where}/arrays.npz", f"arrays that do not fit each other ({shapes})")
    return {name: within_bounds(array) for name, array in arrays.items()}


def within_bounds(array: np.ndarray) -> np.ndarray:
    """The same numbers, NaN for those (infinities too) beyond `LARGEST`: means and squares of the others are finite.

    >>> within_bounds(np.array([1.0, -1e308, np.inf])).tolist()
    [1.0, nan, nan]
    """
    if array.dtype.kind != "f":
        return array
    is_beyond = np.abs(array) > LARGEST
    return np.where(is_beyond, array.dtype.type(np.nan), array) if is_beyond.any() else array
