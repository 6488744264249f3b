"""Read a study's folder: its declaration, its runs, its verdict. What is missing stays missing."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vslm.core.errors import ResultError, nearest
from vslm.results.files import read_arrays, read_json, read_rows, sha256
from vslm.results.places import read_shown
from vslm.results.records import FORMAT, RunEnd, StudyRecord, Verdict
from vslm.results.seals import BESIDE, FILES, MODEL, NUMBERS, digest_of, unlike, was_changed
from vslm.results.shapes import first_odd, json_word

_BRING_BACK = "bring back the file that vslm wrote, or begin anew in another place with --out"
STAGE_FOLDERS = ("screen", "tuning", "budgets")  # beside the arms', so no arm is named so
RUN_AGAIN = "`vslm run` makes it again"
VERDICT_SEAL = ".verdict.json"  # beside verdict.json: its digest, and the done.json of the runs it was read from
VERDICT_ANEW = "`vslm run` judges again and writes it anew"
DONE_ANEW = "delete it and run the study again, which makes the run anew"
KEPT = "weights"  # in a run's folder: weights kept along the training; the last ones are weights.safetensors beside it
DECLARED = "declared"  # in done.json: what measures say of their arrays, by the name that they are recorded as
LATER, LATER_RECORD = "later.npz", "later.json"  # of a run: what was measured afterwards, from its stored weights
MODULES = "_modules"  # beside the copy of a study file: the user's modules that it imports
ANSWERS = "answers.json"  # what a study's own function `answers` said
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
        """Whether the run ended (well or diverged). Its fingerprint is checked by who needs it.

        A folder or a pipe of that name is no end of a run; `done` says what it is.
        """
        return (self.path / "done.json").is_file()

    @cached_property
    def done(self) -> RunEnd | None:
        """How the run ended; None while it goes on. A run that was made to choose has `select_loss` and `select_bpb`
        in place of those of `val`; rows and arrays are named in the same way.

        Raises: ResultError if the file is torn, or not what a run ends with.
        """
        return None if self._done is None else RunEnd.from_plain(self._done)

    @cached_property
    def _done(self) -> dict[str, Any] | None:
        if not os.path.lexists(self.path / "done.json"):
            return None
        done = read_json(self.path / "done.json")
        if odd := first_odd(done, RunEnd.rules(), to="judge"):
            found = f"not what a run ends with: {odd.found}"
            raise ResultError(str(self.path / "done.json"), found, odd.allowed, DONE_ANEW)
        return done

    @cached_property
    def damage(self) -> str | None:
        """Which file of numbers of a run that ended is not as the run wrote it, in words; None where all are, and for a
        run that did not end. Such a run does not count, and `vslm run` makes it again.

        Other files, such as the weights, are checked by `other_damage`.
        """
        try:
            if self.done is None or self._done is None:
                return None
            if was_changed(self._done):
                return "done.json is not as it was written"
            return unlike(self.path, self.done.files, NUMBERS)
        except ResultError as error:
            return f"{Path(error.where).name}: {error.found}"
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"

    def other_damage(self) -> str | None:
        """Which other file is not as the run wrote it, in words: the weights, the record that a model is built from,
        the machine, the sample. Reads all of them, unlike `damage`; None where all are, or no checksum was recorded.
        """
        try:
            recorded = {} if self.done is None else self.done.files
            return unlike(self.path, recorded, (*BESIDE, *MODEL))
        except ResultError as error:
            return error.found
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"

    def quick_damage(self) -> str | None:
        """A sentence where the weights have another size than were written, which needs no reading; None where not.

        Raises nothing: without a recorded size there is no damage.
        """
        size = self._recorded_size
        path = self.path / "weights.safetensors"
        if size is None or not path.is_file() or path.stat().st_size == size:
            return None
        return f"weights.safetensors has {path.stat().st_size:,} bytes of {size:,}"

    @property
    def _recorded_size(self) -> int | None:
        try:
            return None if self.done is None else self.done.weights_bytes
        except ResultError:
            return None

    def ended_as(self, fingerprint: str | None) -> RunEnd | None:
        """`done` if the run ended under this fingerprint; None if it did not, or if it is damaged: then it is made
        again, from its last checkpoint.
        """
        if self.damage is not None:
            return None
        return self.done if self.done is not None and self.done.fingerprint == fingerprint else None

    def ended_whole_as(self, fingerprint: str | None, say: Callable[[str], None] | None = None) -> RunEnd | None:
        """As `ended_as`, and with everything beside the numbers as it was written, too. What is not is said."""
        done = self.ended_as(fingerprint)
        damage = self.damage or (self.other_damage() if done is not None else None)
        if damage is None:
            return done
        if say is not None:
            say(f"{self.arm} seed {self.seed}: {damage}; the run is made again")
        return None

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
        return self._later[0] | self._own_arrays

    @property
    def declared(self) -> dict[str, Any]:
        """What measures declare of their arrays, by the name that they are recorded as, in the order of recording; as
        it stands in the records, so nothing is checked. See `vslm.measure.declared`.

        Raises: ResultError as `done`.
        """
        return {**self._later[1], **(self.done.declared if self.done else {})}

    @cached_property
    def _own_arrays(self) -> dict[str, np.ndarray]:
        return read_arrays(self.path / "arrays.npz")

    @property
    def later_problem(self) -> str | None:
        """Why nothing can be read of what was measured afterwards, and what to do; None where all is well."""
        return self._later[2]

    @cached_property
    def _later(self) -> tuple[dict[str, np.ndarray], dict[str, Any], str | None]:
        """Arrays and declarations of what was measured afterwards. It can be measured again, so the run is whole
        without it.
        """
        declared: dict[str, Any] = {}
        try:
            arrays = read_arrays(self.path / LATER)
            if arrays and (self.path / LATER_RECORD).exists():
                record = read_json(self.path / LATER_RECORD)
                noted = record.get(FILES) if isinstance(record, dict) else None
                if isinstance(noted, dict) and (was_changed(record) or unlike(self.path, noted, [LATER])):
                    raise ResultError(LATER, f"it or {LATER_RECORD} is not as it was written")
                measures = record.get("measures") if isinstance(record, dict) else None
                rows = measures if isinstance(measures, dict) else {}
                declared = {name: row.get(DECLARED) for name, row in rows.items() if isinstance(row, dict)}
        except ResultError as error:
            return {}, {}, f"{LATER} cannot be read ({error.found}); {_MEASURE_AGAIN}"
        return arrays, declared, None

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
    def study(self) -> StudyRecord:
        """The declaration, `study.json`.

        Raises: ResultError if this is no study folder, one written by a newer vslm, or one whose record is not what a
            study writes.
        """
        return StudyRecord.from_plain(self._study)

    @cached_property
    def _study(self) -> dict[str, Any]:
        if self.path.is_file():
            found, do = "a file, not a folder", "unpack what `vslm pack` made, and name the folder"
            raise ResultError(str(self.path), found, "the folder of a study is needed", do)
        record = self.path / "study.json"
        study = read_json(record)
        if not isinstance(study, dict):
            raise ResultError(str(record), json_word(study), "the record of a study is a JSON object", _BRING_BACK)
        if study.get("format") != FORMAT:
            raise ResultError(str(record), f"format {study.get('format')!r}", f"{FORMAT} is readable")
        _check_shapes(study, record)
        return study

    def study_to(self, do: Literal["judge", "run"]) -> StudyRecord:
        """The declaration, with everything in it that is needed to judge its runs, or to run more of them.

        Raises: ResultError as `study`, and naming what is missing.
        """
        study, record = self.study, self.path / "study.json"
        if odd := first_odd(self._study, StudyRecord.rules(), to=do):
            raise ResultError(str(record), odd.found, odd.allowed, _BRING_BACK)
        if study.baseline not in study.arms:
            found = f"the baseline {study.baseline!r} is no arm"
            raise ResultError(str(record), found, nearest(study.baseline, study.arms), _BRING_BACK)
        return study

    @property
    def record_problem(self) -> str | None:
        """A sentence where `study.json` was changed after it was written; None where it was not, or has no digest."""
        if not was_changed(self._study):
            return None
        return f"{self.path / 'study.json'}: changed after vslm wrote it; bring back the old file if you have it"

    @cached_property
    def verdict(self) -> Verdict | None:
        """The latest `verdict.json`, or None before the first look.

        Raises: ResultError if it is torn, or another than was written.
        """
        return None if self.plain_verdict is None else Verdict.from_plain(self.plain_verdict)

    @cached_property
    def plain_verdict(self) -> dict[str, Any] | None:
        """The same as it stands in the file. Raises: as `verdict`."""
        path = self.path / "verdict.json"
        if not path.exists():
            return None
        verdict = read_json(path)
        digests = self._verdict_seal.get("digests")
        if isinstance(digests, list) and isinstance(verdict, dict) and digest_of(verdict) not in digests:
            raise ResultError(str(path), "changed after it was written", "", VERDICT_ANEW)
        return verdict if isinstance(verdict, dict) else {}

    @cached_property
    def _verdict_seal(self) -> dict[str, Any]:
        """Digests of the verdict as it was written, and checksums of its runs; empty where there are none."""
        path = self.path / VERDICT_SEAL
        try:
            seal = read_json(path) if path.exists() else {}
        except ResultError:
            return {}
        return seal if isinstance(seal, dict) else {}

    @property
    def verdict_problem(self) -> str | None:
        """A sentence where runs were changed after the verdict was read from them; None where not, or not recorded.

        Raises: ResultError as `verdict` and `study`.
        """
        read_from = self._verdict_seal.get("read_from")
        if not isinstance(read_from, dict) or self.verdict is None:
            return None
        now = self.checksums_of_runs()
        others = [name for name, noted in read_from.items() if now.get(name) != noted]
        if not others:
            return None
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        return f"{self.path / 'verdict.json'}: {others[0]}{more} is not the run that it was read from; {VERDICT_ANEW}"

    def checksums_of_runs(self) -> dict[str, str]:
        """SHA-256 of the `done.json` of every judged run that has one, by its path in the folder."""
        runs = [run for budget in self.budgets for arm in self.judged_arms for run in self.runs(arm, budget)]
        there = [run.path / "done.json" for run in runs if (run.path / "done.json").is_file()]
        return {path.parent.relative_to(self.path).as_posix(): sha256(path) for path in there}

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
        return list(self.study.arms)

    @property
    def judged_arms(self) -> list[str]:
        """The arms that were not screened out."""
        return [arm for arm, row in self.study.arms.items() if not row.screened_out]

    @property
    def budgets(self) -> list[float]:
        """The multiples of the budget that arms are judged at, rising."""
        return sorted(self.study.budgets or [1.0])

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
        row = self.study.row(arm)
        return row.runs if budget == 1 else row.runs_by_budget.get(budget_name(budget), {})

    def ended(self, run: RunFolder, budget: float = 1.0) -> RunEnd | None:
        """How a run of this study ended, if it counts: if its fingerprint is the one that the study gives it."""
        return run.ended_as(self.fingerprints(run.arm, budget).get(str(run.seed)))

    def paired(self, arms: Iterable[str], budget: float = 1.0) -> dict[str, dict[int, RunEnd]]:
        """How runs ended, by arm and seed, for the seeds that ended well in all of `arms`: only those are paired."""
        well: dict[str, dict[int, RunEnd]] = {}
        for arm in arms:
            ended = {run.seed: self.ended(run, budget) for run in self.runs(arm, budget)}
            well[arm] = {seed: done for seed, done in ended.items() if done and done.ended_well}
        seeds = sorted(set.intersection(*(set(by_seed) for by_seed in well.values())))
        return {arm: {seed: by_seed[seed] for seed in seeds} for arm, by_seed in well.items()}

    def _place(self, budget: float) -> Path:
        return self.path if budget == 1 else self.path / "budgets" / budget_name(budget)


def _check_shapes(study: dict[str, Any], record: Path) -> None:
    """Refuse a record with values of another shape than declared, see `shapes.py`. Missing values are no error here:
    a page shows them as missing. Arms are folders beside the record, so their names may not lead elsewhere.

    Raises: ResultError.
    """
    if odd := first_odd(study, StudyRecord.rules()):
        raise ResultError(str(record), odd.found, odd.allowed, _BRING_BACK)
    if not study.get("arms"):
        raise ResultError(str(record), "names no arms", "", _BRING_BACK)
    names = [*study["arms"], *study.get("trunks", ())]
    if wrong := [arm for arm in names if not is_path_part(arm)]:
        found = f"arm {wrong[0]!r} can name no folder"
        raise ResultError(str(record), found, "one part of a path is needed", _BRING_BACK)


def is_path_part(name: str) -> bool:
    """Whether a name in a record is one part of a path, which leads to something beside the record.

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
