"""What is sent of a run to a tracker: a name, its declaration, and one set of numbers per step."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vslm.core.errors import ResultError
from vslm.results.files import RUN_ANEW, read_json, read_rows, write_json
from vslm.results.folder import RunFolder
from vslm.results.naming import named

SENT = "sent.json"  # in a run's folder: how many rows each place has been sent
_FINAL = ("val_loss", "val_bpb", "select_loss", "select_bpb", "tokens", "flops", "seconds")


@dataclass(frozen=True)
class Feed:
    """A run as a tracker sees it.

    Args:
        study: its name.
        arm: its name.
        run: its folder.
        name: unique among all runs that are sent: `study/arm/seed0`, with the budget between where it is not one.
    """

    study: str
    arm: str
    run: RunFolder
    name: str

    @property
    def group(self) -> str:
        """The name that all seeds of an arm share."""
        return self.name.rpartition("/")[0]

    def config(self) -> dict[str, Any]:
        """Study, arm, seed and the record of what ran, flat, as `model.blocks.0.width`.

        Raises: ResultError if the record is torn.
        """
        path = self.run.path / "experiment.json"
        record = read_json(path) if path.is_file() else {"job": {}}
        job = record.get("job") if isinstance(record, dict) else None
        if not isinstance(job, dict):
            allowed = "an object with the job that was run is needed"
            raise ResultError(str(path), "not the record of a run", allowed, RUN_ANEW)
        return {"study": self.study, "arm": self.arm, "seed": self.run.seed, **dict(flat(job))}

    def rows(self) -> list[tuple[int, dict[str, float]]]:
        """Steps and their numbers, so far. Read anew each time: the run may be going on."""
        rows = [row for row in read_rows(self.run.path / "measures.jsonl") if isinstance(row, dict)]
        return [
            (
                int(row["step"]),
                {name: float(value) for name, value in row.items() if name != "step" and _is_finite(value)},
            )
            for row in rows
            if _is_finite(row.get("step"))
        ]

    def final(self) -> dict[str, float] | None:
        """The numbers that a finished run ended with, as `final.val_loss`; None while it goes on.

        Raises: ResultError if what says so is torn.
        """
        done = RunFolder(self.run.path, self.arm, self.run.seed).done  # read anew: the run may have ended since
        if done is None:
            return None
        return {f"final.{name}": float(value) for name in _FINAL if (value := getattr(done, name)) is not None}

    def num_sent(self, place: str) -> int:
        """How many rows were sent to a place; one more than the run has once its final numbers were sent, too."""
        count = self._sent().get(place, 0)
        return count if isinstance(count, int) and count >= 0 else 0

    def note_sent(self, place: str, count: int) -> None:
        """Note how many rows were sent, so that none is sent twice."""
        write_json(self.run.path / SENT, {**self._sent(), place: count})

    def _sent(self) -> dict[str, Any]:
        """The counts in the file, by place; empty where it is missing or torn."""
        path = self.run.path / SENT
        try:
            sent = read_json(path) if path.is_file() else {}
        except ResultError:
            return {}
        return sent if isinstance(sent, dict) else {}


def feeds(path: Path) -> list[Feed]:
    """The runs that a path means: a run, an arm, or a whole study.

    Raises: ResultError if it means none, or none has begun.
    """
    meant = named(path)
    found = []
    for arm in meant.arms:
        for run in meant.runs(arm):
            place = run.path.relative_to(meant.folder.path).as_posix()
            study = meant.folder.path.resolve().name
            found.append(Feed(study, arm, run, f"{study}/{place}"))
    if not found:
        raise ResultError(str(path), "no run has begun", "", "run the study first")
    return found


def flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Nested records as dotted names, for trackers that show a flat table.

    >>> flat({"model": {"width": 8, "path": ["0", "1"]}, "seed": 3})
    [('model.width', 8), ('model.path.0', '0'), ('model.path.1', '1'), ('seed', 3)]
    """
    if isinstance(value, dict) and value:
        items = value.items()
    elif isinstance(value, list) and value:
        items = enumerate(value)
    else:
        return [(prefix, value if isinstance(value, bool | int | float | str) else str(value))] if prefix else []
    return [row for key, item in items for row in flat(item, f"{prefix}.{key}" if prefix else str(key))]


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
