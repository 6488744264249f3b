"""Benchmarks of finished runs: every item of a file, one run or several on the same items.

What was asked in full is written beside the run (`later.py`), item by item, and read again from there when the same
items are asked of the same weights. Not for: benchmarks through training; that is `MinimalPairs` in a study.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from vslm.after.later import read_later, write_later
from vslm.after.sampling import Draws, Writer, open_run
from vslm.core.errors import ResultError, RunError, SpecError
from vslm.data.eval_items import BENCHMARKS, Items, read_items
from vslm.measure.item_numbers import declared_of, item_numbers, margin_name
from vslm.measure.item_scores import ItemScores, LaidOut, lay_out, score_items
from vslm.measure.measure import evaluating
from vslm.results.naming import study_around
from vslm.runs.stored_run import StoredRun
from vslm.stats.intervals import per_arm_error, student_interval
from vslm.stats.shares import standard_error, standing, wilson_interval
from vslm.training.loop import Measurement

Say = Callable[[str], None]
ERROR = 0.05
_SCORING = 1  # raised when an item would be scored otherwise than before, so that stored scores are not read
_NO_DRAWS = Draws(tokens=1, temperature=0, top_k=None, seed=0)
_ITEMS = ("right_N", "by_length_N", "margin_N")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How benchmarks are asked.

    Args:
        by: the field of an item that says what it is about; None: `UID`, or the file.
        limit: items of each benchmark at most, spread over it; None: all.
        adapters: folders of runs that trained an adapter beside every run.
        anew: whether stored scores are passed by.
        trust: whether code in a run's folder is run even if this user did not run it before.
    """

    by: str | None = None
    limit: int | None = None
    adapters: tuple[Path, ...] = ()
    anew: bool = False
    trust: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise SpecError("--limit", f"found {self.limit}", "1 or more is needed")

    @property
    def is_stored(self) -> bool:
        """Whether what is found out is of the run and the whole benchmark, and so kept."""
        return self.limit is None and not self.adapters


@dataclass(frozen=True)
class _Side:
    """One run on one benchmark; `seconds` is None where scores were read."""

    name: str
    tokenizer: str
    laid_out: LaidOut
    scores: ItemScores
    seconds: float | None
    numbers: dict[str, Any]


def runs_and_benchmarks(named: Sequence[str]) -> tuple[list[Path], list[str]]:
    """What is a run and what a benchmark of what was typed: folders of results are runs.

    Raises: SpecError where one of the two is missing.
    """
    runs = [Path(one) for one in named if _is_run(Path(one))]
    benchmarks = [one for one in named if not _is_run(Path(one))]
    if not runs:
        do = "`vslm ls` lists what was run"
        raise SpecError("eval", f"none of {', '.join(named)} is a run", "a run and a benchmark are needed", do)
    if not benchmarks:
        allowed = f"a file of items is needed, or a name: {', '.join(BENCHMARKS)}"
        raise SpecError("eval", "no benchmark is named", allowed)
    return runs, benchmarks


def _is_run(path: Path) -> bool:
    return path.is_dir() and ((path / "experiment.json").is_file() or study_around(path) is not None)


def evaluate(runs: Sequence[Path], benchmarks: Sequence[str], asked: Asked, say: Say) -> list[dict[str, Any]]:
    """Ask every run every benchmark: a dict for each benchmark, see `_found`.

    Args:
        runs: of runs, arms or studies; of the latter two the (baseline's) first finished seed.
        benchmarks: files or names.
        asked: how.
        say: told of what is under way, and of what could not be kept.
    Raises: DataError for a benchmark that cannot be read; ResultError for a run that cannot.
    """
    read = [read_items(one, by=asked.by) for one in benchmarks]
    if asked.limit is not None:
        read = [items.some(asked.limit) for items in read]
    writers = [open_run(run, _NO_DRAWS, adapters=asked.adapters, trust=asked.trust) for run in runs]
    names = [str(writer.run.path) for writer in writers]
    if again := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise SpecError(again, "named twice", "runs are compared with one another", "leave one out")
    found = []
    for named, items in zip(benchmarks, read, strict=True):
        sides = [_side(writer, items, asked, say) for writer in writers]
        found.append(_found(named, items, sides))
    return found


def _side(writer: Writer, items: Items, asked: Asked, say: Say) -> _Side:
    run, tokenizer = writer.run, writer.tokenizer
    laid_out = lay_out(items, tokenizer, writer.model.context_tokens)
    seconds = None
    scores = None if asked.anew or not asked.is_stored else _stored(run, items, say)
    if scores is None:
        start = perf_counter()
        say(f"{run.name}: {len(items.items):,} items of {items.name}")
        with evaluating(writer.model):
            scores = score_items(writer.model, laid_out)
        seconds = perf_counter() - start
    numbers = item_numbers(items, laid_out, scores)
    if asked.is_stored:
        _keep(run, items, numbers, scores, say)
    return _Side(str(run.path), tokenizer.fingerprint, laid_out, scores, seconds, numbers)


def recorded_as(items: Items) -> str:
    """The first part of the names under which the numbers of a benchmark are recorded.

    >>> recorded_as(Items("arc-easy.test", "choices", ()))
    'eval_arc_easy_test'
    """
    return "eval_" + "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in items.name)[:60]


def _record(run: StoredRun, items: Items) -> dict[str, Any]:
    done = run.folder.done
    weights = None if done is None else done.files.get("weights.safetensors")
    return {"items": items.digest, "form": items.form, "weights": weights, "scoring": _SCORING}


def _stored(run: StoredRun, items: Items, say: Say) -> ItemScores | None:
    """Scores of the same items by the same weights, if they were kept."""
    arrays, record = read_later(run, say)
    name = recorded_as(items)
    own = record.get(name)
    held = [arrays.get(f"{name}.{key.removesuffix('_N')}_SN") for key in _ITEMS]
    if not isinstance(own, dict) or own.get("eval") != _record(run, items):
        return None
    if any(array is None or array.shape != (1, len(items.items)) for array in held):
        return None
    say(f"{run.name}: {items.name} as it was scored before")
    return ItemScores(*(array[0].astype(np.float64) for array in held if array is not None))


def _keep(run: StoredRun, items: Items, numbers: dict[str, Any], scores: ItemScores, say: Say) -> None:
    """Write numbers and scores beside the run; where that cannot be done, it is said and nothing is lost but them."""
    values = {name: np.array(value, order="C") for name, value in numbers.items()}
    values |= {name: getattr(scores, name).astype(np.float32) for name in _ITEMS}
    step = run.last_step or 0
    taken = [Measurement(recorded_as(items), step, values)]
    own = {"eval": _record(run, items), "benchmark": items.name}
    try:
        write_later(run, recorded_as(items), own, declared_of(items), taken, say)
    except RunError as error:
        say(f"{run.name}: not kept ({error.found})")


# ---- what is said ----------------------------------------------------------------------------------------------------
def _found(named: str, items: Items, sides: Sequence[_Side]) -> dict[str, Any]:
    """A benchmark as plain values: what it is, `runs` with their numbers, and `differences` from the first run."""
    return {
        "name": items.name,
        "path": named,
        "form": items.form,
        "num_items": len(items.items),
        "groups": list(items.groups),
        "runs": [_of_run(items, side) for side in sides],
        "differences": _differences(items, sides),
    }


def _of_run(items: Items, side: _Side) -> dict[str, Any]:
    everyone = np.ones(len(items.items), dtype=bool)
    numbers = {name: value for name, value in side.numbers.items() if not isinstance(value, np.ndarray)}
    group_N = np.array([item.group for item in items.items])
    groups = {name: (group_N == name) for name in items.groups}
    error = per_arm_error(ERROR, len(groups))
    return {
        "run": side.name,
        **numbers,
        **_summary(items, side.scores, everyone, ERROR),
        "seconds": side.seconds,
        "by": {name: _summary(items, side.scores, is_in, error) for name, is_in in groups.items()},
    }


def _summary(items: Items, scores: ItemScores, is_in_N: np.ndarray, error: float) -> dict[str, Any]:
    """Of some items: intervals of 95 %, and how accuracy stands to chance, by an interval with this error."""
    is_scored_N = is_in_N & np.isfinite(scores.right_N)
    count = int(is_scored_N.sum())
    if not count:
        return {"num_items": 0}
    right, margins = scores.right_N[is_scored_N], scores.margin_N[is_scored_N]
    asked = [item for item, is_in in zip(items.items, is_scored_N, strict=True) if is_in]
    chance, share = replace(items, items=tuple(asked)).chance, float(right.mean())
    interval = student_interval(margins, ERROR)
    name = margin_name(items.form)
    found = {
        "num_items": count,
        "accuracy": share,
        "accuracy_error": standard_error(right),
        "accuracy_interval": list(wilson_interval(share, count, ERROR)),
        "chance": chance,
        "standing": standing(share, count, chance, error),
        name: interval.mean,
        f"{name}_interval": [interval.low, interval.high],
    }
    if items.form == "choices":
        found["accuracy_by_length"] = float(scores.by_length_N[is_scored_N].mean())
    return found


def _differences(items: Items, sides: Sequence[_Side]) -> list[dict[str, Any]]:
    """Every other run less the first, on the items that both were scored on; intervals hold together."""
    error, first, name = per_arm_error(ERROR, len(sides) - 1), sides[0], margin_name(items.form)
    found = []
    for side in sides[1:]:
        both_N = np.isfinite(first.scores.right_N) & np.isfinite(side.scores.right_N)
        if not both_N.any():
            raise ResultError(side.name, f"no item of {items.name} was scored by it and by {first.name}")
        accuracy = student_interval((side.scores.right_N - first.scores.right_N)[both_N], error)
        row = {
            "run": side.name,
            "first": first.name,
            "num_items": int(both_N.sum()),
            "accuracy": accuracy.mean,
            "accuracy_interval": [accuracy.low, accuracy.high],
        }
        if side.tokenizer == first.tokenizer:  # else a token is not the same piece of text
            margin = student_interval((side.scores.margin_N - first.scores.margin_N)[both_N], error)
            row |= {name: margin.mean, f"{name}_interval": [margin.low, margin.high]}
        found.append(row)
    return found
