"""Read a study's folder: its declaration, its runs, its verdict. What is missing stays missing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vslm.core.errors import ResultError
from vslm.results.files import read_arrays, read_json, read_rows
from vslm.results.places import read_shown

_ANEW = "the file is torn; run the study again"
FORMAT = 1  # of study.json; raised when an older reader could not make sense of a newer folder
STAGE_FOLDERS = ("screen", "tuning", "budgets")  # beside the arms', so no arm is named so
DONE_ANEW = "delete it and run the study again, which makes the run anew"
KEPT = "weights"  # in a run's folder: weights kept along the training; the last ones are weights.safetensors beside it
LATER, LATER_RECORD = "later.npz", "later.json"  # of a run: what was measured afterwards, from its stored weights
MODULES = "_modules"  # beside the copy of a study file: the user's modules that it imports
ANSWERS = "answers.json"  # what a study's own function `answers` said
_SHAPES = {  # of study.json, for what readers walk through
    **dict.fromkeys(("arms", "primary", "corpora"), dict),
    **dict.fromkeys(("seeds", "budgets"), list),
    **dict.fromkeys(("name", "baseline"), str),
}
_MEASURE_AGAIN = "what was measured afterwards is left out; delete the file and run vslm measure again"
FAILED = "failed.txt"  # in a run's folder: why its process could not finish; gone when it is tried again


def budget_name(budget: float) -> str:
    """How a multiple of the budget is written.

    >>> budget_name(0.25), budget_name(4.0)
    ('x0.25', 'x4')
    """
    return f"x{budget:g}"


@dataclass(frozen=True)
class RunFolder:
    """One arm with one seed. Every reader returns what is there: None, no rows or no arrays where nothing is."""

    path: Path
    arm: str
    seed: int

    @property
    def is_done(self) -> bool:
        """Whether the run ended (well or diverged). Its fingerprint is checked by who needs it."""
        return (self.path / "done.json").exists()

    @cached_property
    def done(self) -> dict[str, Any] | None:
        """The final numbers: `status` (done | diverged), `fingerprint`, `val_loss`, `val_bpb`, `tokens`, `flops`,
        `seconds`, and for a diverged run `diverged_step`. A run that was made to choose has `select_loss` and
        `select_bpb` in place of those of `val`; rows and arrays are named in the same way.

        Raises: ResultError if the file is torn, or not what a run ends with.
        """
        if not self.is_done:
            return None
        done = read_json(self.path / "done.json")
        if not isinstance(done, dict) or not isinstance(done.get("status"), str):
            raise ResultError(str(self.path / "done.json"), "not what a run ends with", "", DONE_ANEW)
        return done

    def ended_as(self, fingerprint: str | None) -> dict[str, Any] | None:
        """`done` if the run ended under this fingerprint; None if it did not, or if what says so is torn: then it is
        made again, from its last checkpoint.
        """
        try:
            done = self.done
        except ResultError:
            return None
        return done if done is not None and done.get("fingerprint") == fingerprint else None

    @cached_property
    def measures(self) -> list[dict[str, Any]]:
        """Rows with `step`, `tokens`, `flops`, `seconds`, `train_loss`, `val_loss`, `learning_rate`, ..."""
        return read_rows(self.path / "measures.jsonl")

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """`steps_S`, `val_loss_nats_ST`, `train_loss_nats_ST`, `final_val_loss_nats_T`; T counts from position 0.
        Measures have their own, whether they were taken in the run or afterwards; what was taken afterwards and cannot
        be read is left out, and `later_problem` says so.
        """
        return self._later[0] | read_arrays(self.path / "arrays.npz")

    @property
    def later_problem(self) -> str | None:
        """Why nothing can be read of what was measured afterwards, and what to do; None where all is well."""
        return self._later[1]

    @cached_property
    def _later(self) -> tuple[dict[str, np.ndarray], str | None]:
        """What was measured afterwards can be measured again, so the run is whole without it."""
        try:
            arrays = read_arrays(self.path / LATER)
        except ResultError as error:
            return {}, f"{LATER} cannot be read ({error.found}); {_MEASURE_AGAIN}"
        if odd := [name for name, array in arrays.items() if not np.issubdtype(array.dtype, np.number)]:
            return {}, f"{LATER} holds no numbers under {odd[0]}; {_MEASURE_AGAIN}"
        return arrays, None

    @property
    def kept_weights(self) -> dict[int, Path]:
        """Files of weights that were kept along the training, by step, rising; the last weights are not among them."""
        found = ((path.stem.removeprefix("step"), path) for path in (self.path / KEPT).glob("step*.safetensors"))
        return dict(sorted((int(step), path) for step, path in found if step.isdigit()))

    def kept_path(self, step: int) -> Path:
        """Where the weights after a step are kept."""
        return self.path / KEPT / f"step{step:09d}.safetensors"

    @cached_property
    def environment(self) -> dict[str, Any] | None:
        """Versions, machine, device, threads, precision and kernels of the run."""
        path = self.path / "environment.json"
        return read_json(path) if path.exists() else None

    @cached_property
    def failed(self) -> str | None:
        """Why the last attempt could not finish, or None."""
        path = self.path / FAILED
        return read_shown(path).strip() if path.exists() else None

    @cached_property
    def sample(self) -> str | None:
        """Text the finished model wrote."""
        path = self.path / "sample.txt"
        return read_shown(path) if path.exists() else None


@dataclass(frozen=True)
class StudyFolder:
    """A study on disk."""

    path: Path

    @cached_property
    def study(self) -> dict[str, Any]:
        """The declaration, `study.json`.

        Raises: ResultError if this is no study folder, one written by a newer vslm, or one whose record is not what a
            study writes.
        """
        if self.path.is_file():
            found, do = "a file, not a folder", "unpack what `vslm pack` made, and name the folder"
            raise ResultError(str(self.path), found, "the folder of a study is needed", do)
        record = self.path / "study.json"
        study = read_json(record)
        if not isinstance(study, dict):
            raise ResultError(str(record), f"{_json_word(study)}", "the record of a study is a JSON object", _ANEW)
        if study.get("format") != FORMAT:
            raise ResultError(str(record), f"format {study.get('format')!r}", f"{FORMAT} is readable")
        _check_shapes(study, record)
        return study

    @cached_property
    def verdict(self) -> dict[str, Any] | None:
        """The latest `verdict.json`, or None before the first look."""
        path = self.path / "verdict.json"
        return read_json(path) if path.exists() else None

    @cached_property
    def answers(self) -> list[str]:
        """What the study asked beside its verdict, in sentences; none where nothing was asked or can be read."""
        path = self.path / ANSWERS
        try:
            found = read_json(path) if path.exists() else {}
        except ResultError:
            return []  # the next `vslm run` writes it anew
        lines = found.get("answers") if isinstance(found, dict) else None
        return [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []

    @property
    def arms(self) -> list[str]:
        """Names of the arms in the order of declaration, the baseline among them."""
        return list(self.study["arms"])

    @property
    def judged_arms(self) -> list[str]:
        """The arms that were not screened out."""
        rows = self.study["arms"].items()
        return [arm for arm, row in rows if not (isinstance(row, dict) and row.get("screened_out"))]

    @property
    def budgets(self) -> list[float]:
        """The multiples of the budget that arms are judged at, rising."""
        return sorted(self.study.get("budgets") or [1.0])

    def run(self, arm: str, seed: int, budget: float = 1.0) -> RunFolder:
        """The folder of one run, whether it exists or not."""
        return RunFolder(self._place(budget) / arm / f"seed{seed}", arm, seed)

    def runs(self, arm: str, budget: float = 1.0) -> list[RunFolder]:
        """The runs of an arm that have a folder, by seed."""
        found = (self._place(budget) / arm).glob("seed*")
        seeds = sorted(int(path.name[4:]) for path in found if path.is_dir() and path.name[4:].isdigit())
        return [self.run(arm, seed, budget) for seed in seeds]

    def fingerprints(self, arm: str, budget: float = 1.0) -> dict[str, str]:
        """Which fingerprint a run must have to count, by seed as a string."""
        row = self.study["arms"][arm]
        return row["runs"] if budget == 1 else row["runs_by_budget"][budget_name(budget)]

    def ended(self, run: RunFolder, budget: float = 1.0) -> dict[str, Any] | None:
        """What a run of this study came to, if it counts: if it ended under the fingerprint that the study gives it."""
        return run.ended_as(self.fingerprints(run.arm, budget).get(str(run.seed)))

    def paired(self, arms: Iterable[str], budget: float = 1.0) -> dict[str, dict[int, dict[str, Any]]]:
        """What runs came to, by arm and seed, for the seeds that ended well in every one of `arms`: only those pair."""
        well: dict[str, dict[int, dict[str, Any]]] = {}
        for arm in arms:
            ended = {run.seed: self.ended(run, budget) for run in self.runs(arm, budget)}
            well[arm] = {seed: done for seed, done in ended.items() if done and done["status"] == "done"}
        seeds = sorted(set.intersection(*(set(by_seed) for by_seed in well.values())))
        return {arm: {seed: by_seed[seed] for seed in seeds} for arm, by_seed in well.items()}

    def _place(self, budget: float) -> Path:
        return self.path if budget == 1 else self.path / "budgets" / budget_name(budget)


def _check_shapes(study: dict[str, Any], record: Path) -> None:
    """Refuse a record that no reader could walk through: whatever else of it is odd, a page shows as missing.

    Arms are folders beside the record, so their names may not lead elsewhere.

    Raises: ResultError.
    """
    for name, shape in _SHAPES.items():
        if study.get(name) is not None and not isinstance(study[name], shape):
            allowed = f"{_json_word(shape())} is needed"
            raise ResultError(str(record), f"{name} is {_json_word(study[name])}", allowed, _ANEW)
    for name, allowed in (("seeds", int), ("budgets", int | float)):
        if odd := [one for one in study.get(name) or [] if not isinstance(one, allowed) or isinstance(one, bool)]:
            raise ResultError(str(record), f"{name} holds {_json_word(odd[0])}", "numbers are needed", _ANEW)
    if not study.get("arms"):
        raise ResultError(str(record), "names no arms", "", _ANEW)
    if odd := [arm for arm in study["arms"] if not is_path_part(arm)]:
        raise ResultError(str(record), f"arm {odd[0]!r} can name no folder", "one part of a path is needed", _ANEW)


def _json_word(value: Any) -> str:
    """What a value of a record is, for people.

    >>> _json_word([]), _json_word({}), _json_word("x"), _json_word(None)
    ('a list', 'an object', 'a text', 'nothing')
    """
    words = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return words.get(type(value), "a number")


def is_path_part(name: str) -> bool:
    """Whether a name that stands in a record is the name of something beside it, and leads nowhere else.

    >>> is_path_part("full"), is_path_part("../outside"), is_path_part(".."), is_path_part("a\\\\b"), is_path_part("")
    (True, False, False, False, False)
    """
    return name not in ("", ".", "..") and not any(mark in name for mark in "/\\\0")


def run_folder_of(path: Path) -> RunFolder:
    """The folder of a run by its path alone, ARM/seed0, wherever it lies."""
    seed = path.name.removeprefix("seed")
    return RunFolder(path, path.parent.name, int(seed) if seed.isdigit() else 0)


def study_folder_of(path: Path) -> StudyFolder:
    """The study that a path means: the folder itself, or that of the run it is.

    Raises: ResultError if there is none.
    """
    for candidate in (path, *path.resolve().parents[:4]):
        if (candidate / "study.json").is_file():
            return StudyFolder(candidate)
    if not path.is_dir():
        raise ResultError(str(path), "a file" if path.exists() else "no such folder", "the folder of a study is needed")
    found = "no study.json in it, so it is no study"
    raise ResultError(str(path), found, "a folder that `vslm run` wrote, runs/NAME", "`vslm ls` lists them")


def find_studies(root: Path) -> Iterator[StudyFolder]:
    """Every study folder at or directly below `root`, by name; other folders and files are passed over."""
    candidates = [root, *sorted(path for path in root.iterdir() if path.is_dir())] if root.is_dir() else []
    for path in candidates:
        if (path / "study.json").is_file():
            yield StudyFolder(path)
