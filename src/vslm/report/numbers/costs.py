"""What arms cost beside what they reached."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vslm.report.numbers.runs import Run
from vslm.results.primary import PrimaryNumber
from vslm.results.records import StudyRecord
from vslm.stats.intervals import student_interval

_ERROR = 0.05
_SAME_COST = 0.02  # arms whose FLOPs per token differ by less count as equally dear


@dataclass(frozen=True)
class Cost:
    """What an arm costs and what it reached, with an interval from two seeds on."""

    cost: float
    flops_per_token: float
    final: float
    half: float | None
    count: int


def costs(study: StudyRecord, runs: dict[str, list[Run]], field: str) -> dict[str, Cost]:
    """What every arm reached beside one of its costs, a field of the arm in study.json: the final validation loss, or
    what the study is judged by where that is no loss.
    """
    found = {}
    for name, arm in study.arms.items():
        finals = [final for run in runs.get(name, []) if (final := _final(run, study.primary)) is not None]
        cost, flops = getattr(arm, field), arm.flops_per_token
        if finals and flops is not None and cost:
            interval = student_interval(np.array(finals, dtype=float), _ERROR) if len(finals) > 1 else None
            half = None if interval is None else (interval.high - interval.low) / 2
            found[name] = Cost(float(cost), float(flops), float(np.mean(finals)), half, len(finals))
    return found


def equally_dear(found: Mapping[str, Cost]) -> list[list[str]]:
    """Groups of two arms or more whose FLOPs per token are within 2% of each other, each by rising cost.

    >>> one = Cost(1.0, 100.0, 3.0, None, 1)
    >>> equally_dear({"a": Cost(2.0, 101.0, 3.0, None, 1), "b": one, "c": Cost(1.0, 200.0, 3.0, None, 1)})
    [['b', 'a']]
    """
    groups: list[list[str]] = []
    for name in sorted(found, key=lambda arm: found[arm].flops_per_token):
        first = found[groups[-1][0]].flops_per_token if groups else -np.inf
        if found[name].flops_per_token <= first * (1 + _SAME_COST):
            groups[-1].append(name)
        else:
            groups.append([name])
    return [sorted(group, key=lambda arm: found[arm].cost) for group in groups if len(group) > 1]


def _final(run: Run, primary: PrimaryNumber) -> float | None:
    """Of a run that ended well; of a loss that over the whole window, in nats per token."""
    if not run.is_whole:
        return None
    if not primary.is_loss:
        return primary.last_in(run.arrays)
    return run.done.val_loss
