"""What the searches for learning rates say of the arms themselves: their best, how wide it is, and how soon it pays."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vslm.report.numbers.curves import Curves
from vslm.results.records import SearchRecord, StudyRecord
from vslm.stats.basins import Basin, basin_of

_WITHIN_NATS = 0.02
_WITHIN_EFFECTS = 2.0  # of what is no loss in nats per token: so many smallest effects


@dataclass(frozen=True)
class Reached:
    """Where the mean line of an arm first is as low as the baseline ends.

    Args:
        steps: of training. seconds: of it.
        share: of the steps that the baseline took.
    """

    steps: float
    seconds: float
    share: float


def margin(study: StudyRecord) -> float:
    """How far above its best an arm still counts as near it, in the unit of what the study is judged by."""
    effect = study.primary.smallest_effect
    return _WITHIN_NATS if study.primary.measure == "val_loss" or not effect else _WITHIN_EFFECTS * effect


def basin(study: StudyRecord, search: SearchRecord) -> Basin | None:
    """Of an arm's search. Draws from a generator of its own, the same for every page."""
    turned = [
        [None if value is None else study.primary.turned(value) for value in tried.values] for tried in search.rates
    ]
    rates = [tried.rate for tried in search.rates]
    return basin_of(rates, turned, within=margin(study), rng=np.random.default_rng(0))


def basins(study: StudyRecord) -> dict[str, tuple[Basin, float]]:
    """By arm that has one, its basin, and the number at which it ends: its best and the margin."""
    found = ((arm, basin(study, search)) for arm, search in study.tuning.items())
    return {arm: (one, study.primary.turned(one.best + margin(study))) for arm, one in found if one is not None}


def num_diverged(search: SearchRecord) -> tuple[int, int]:
    """(runs of a search that diverged, all of its runs).

    >>> from vslm.results.records import TriedRate
    >>> tried = [TriedRate(rate=0.1, value=3.0, values=[3.0, 3.0]), TriedRate(rate=0.2, value=None, values=[None])]
    >>> num_diverged(SearchRecord(split="select", seeds=[20000], center=0.1, chosen=0.1, num_widenings=0, rates=tried))
    (1, 3)
    """
    values = [value for tried in search.rates for value in tried.values]
    return sum(value is None for value in values), len(values)


def reached(curves: Mapping[str, Curves], baseline: str) -> dict[str, Reached]:
    """By arm, where its mean validation loss over seeds first is at the baseline's last one, by lines between
    evaluations. An arm that does not get there has none.

    Args:
        curves: validation loss through training.
        baseline: an arm of them.
    """
    mean = curves[baseline].mean if baseline in curves else None
    if mean is None or not len(mean.mean):
        return {}
    level, end = float(mean.mean[-1]), float(mean.axes["steps"][-1])
    found = {}
    for arm, one in curves.items():
        line = one.mean
        if line is None or not (line.mean <= level).any():
            continue
        i = int(np.argmax(line.mean <= level))
        share = 1.0 if i == 0 else (line.mean[i - 1] - level) / (line.mean[i - 1] - line.mean[i])
        steps, seconds = (
            float(axis[max(i - 1, 0)] + share * (axis[i] - axis[max(i - 1, 0)]))
            for axis in (line.axes["steps"], line.axes["seconds"])
        )
        found[arm] = Reached(steps, seconds, steps / end if end else float("nan"))
    return found
