"""Numbers of what else was measured: lines over a fixed axis at the end of training, parameters through training.

As in `curves.py`: over the seeds that ended well, with pointwise 95 % Student-t intervals from three seeds on. An array
that is not there, or does not have the axes that its name says, is passed over.

Letters: N seeds, S stored steps, L visits, H heads, P octaves of distance.
"""

import dataclasses
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vslm.report.numbers.curves import band_half
from vslm.report.numbers.formatting import is_number
from vslm.report.numbers.runs import Run
from vslm.results.primary import PrimaryNumber
from vslm.stats.intervals import student_interval

_ERROR = 0.05
_PARAMETERS = "parameters."
_STEPS = "parameters.steps_S"
_SAME_COST = 0.02  # arms whose FLOPs per token differ by less count as equally dear


@dataclass(frozen=True)
class Profile:
    """A number along an axis, mean over `count` seeds.

    Args:
        x: places.
        mean: the number there.
        half: half its interval, or None.
        count: seeds.
        each: marks beside the line, one row per place.
        ends: low and high ends of an interval that is not even around the mean; then there is no `half`.
    """

    x: np.ndarray
    mean: np.ndarray
    half: np.ndarray | None
    count: int
    each: np.ndarray | None = None
    ends: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Track:
    """Parameters of one kind through training: `labels` names the rows of `mean_RS`."""

    labels: list[str]
    steps_S: np.ndarray
    mean_RS: np.ndarray
    half_RS: np.ndarray | None
    count: int


@dataclass(frozen=True)
class Cost:
    """What an arm costs and what it reached, with an interval from two seeds on."""

    cost: float
    flops_per_token: float
    final: float
    half: float | None
    count: int


def last_values(run: Run, name: str, num_axes: int) -> np.ndarray | None:
    """What a finished run stored under `name` at its last step, or None."""
    array = run.arrays.get(name) if run.is_whole else None
    return None if array is None or array.ndim != 1 + num_axes or not len(array) else array[-1]


def by_visit(runs: Sequence[Run], name: str) -> Profile | None:
    """A number by visit; the first is the root."""
    found = same_shape([values for run in runs if (values := last_values(run, name, 1)) is not None])
    return over_seeds(found, np.arange(found.shape[1])) if len(found) else None


def by_visit_and_head(runs: Sequence[Run], name: str) -> Profile | None:
    """A number by visit, mean over heads, with each head beside it; visits without heads are left out."""
    found_NLH = same_shape([values for run in runs if (values := last_values(run, name, 2)) is not None])
    if not len(found_NLH):
        return None
    keep_L = np.isfinite(found_NLH).all(axis=0).any(axis=-1)
    found_NLH, x = found_NLH[:, keep_L], 1 + np.flatnonzero(keep_L)
    if not len(x):
        return None
    line = over_seeds(np.nanmean(found_NLH, axis=-1), x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a head that a visit does not have is NaN in every seed
        return Profile(line.x, line.mean, line.half, line.count, np.nanmean(found_NLH, axis=0))


def by_distance(runs: Sequence[Run], name: str) -> Profile | None:
    """A number by octave of distance, with each seed beside the mean and no interval: a model has learned to recall or
    it has not, and an interval that spans both says neither.

    An octave without queries is left out. Drawn at the octave's middle.
    """
    found = _at_places(runs, name, "recall.from_tokens_SP")
    if found is None:
        return None
    from_P, found_NP = found
    keep_P = np.isfinite(found_NP).all(axis=0)
    line = over_seeds(found_NP[:, keep_P], from_P[keep_P] * np.sqrt(2))
    return dataclasses.replace(line, half=None, each=found_NP[:, keep_P].T)


def by_length(runs: Sequence[Run], name: str) -> Profile | None:
    """A number by bins of the place in a text that is longer than the trained context, drawn where each bin ends."""
    return _along(runs, name, "beyond_context.to_tokens_SP")


def by_loops(runs: Sequence[Run], name: str) -> Profile | None:
    """A number by how often the repeated part was passed."""
    return _along(runs, name, "loss_by_loops.times_SR")


def tracks(runs: Sequence[Run]) -> dict[str, Track]:
    """Tracked parameters by kind: names that differ in the block alone are one kind, a row per block and number."""
    whole = [run for run in runs if run.is_whole and run.arrays.get(_STEPS) is not None]
    if not whole:
        return {}
    steps_S = whole[0].arrays[_STEPS]
    whole = [run for run in whole if np.array_equal(run.arrays[_STEPS], steps_S)]
    kinds: dict[str, list[tuple[str, np.ndarray]]] = {}
    for name in whole[0].arrays:
        if not name.startswith(_PARAMETERS) or name == _STEPS:
            continue
        found_NSK = same_shape([run.arrays[name] for run in whole if name in run.arrays])
        if found_NSK.ndim != 3 or found_NSK.shape[1] != len(steps_S) or len(found_NSK) != len(whole):
            continue
        kind, block = _kind(name.removeprefix(_PARAMETERS).removesuffix("_SN"))
        for i in range(found_NSK.shape[2]):
            label = block if found_NSK.shape[2] == 1 else f"{block} · {i}".removeprefix(" · ")
            kinds.setdefault(kind, []).append((label, found_NSK[:, :, i]))
    return {kind: _track(rows, steps_S) for kind, rows in kinds.items()}


def costs(study: dict[str, Any], runs: dict[str, list[Run]], field: str) -> dict[str, Cost]:
    """What every arm reached beside one of its costs, a field of the arm in study.json: the final validation loss, or
    what the study is judged by where that is no loss.
    """
    found, primary = {}, PrimaryNumber.of(study.get("primary"))
    for name, arm in study["arms"].items():
        finals = [final for run in runs.get(name, []) if (final := _final(run, primary)) is not None]
        if not (isinstance(arm, dict) and is_number(arm.get(field)) and is_number(arm.get("flops_per_token"))):
            continue
        if finals and arm[field] > 0:
            interval = student_interval(np.array(finals, dtype=float), _ERROR) if len(finals) > 1 else None
            half = None if interval is None else (interval.high - interval.low) / 2
            flops = float(arm["flops_per_token"])
            found[name] = Cost(float(arm[field]), flops, float(np.mean(finals)), half, len(finals))
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


def _along(runs: Sequence[Run], name: str, places: str) -> Profile | None:
    """A number at the places that are stored under `places`; without those where it is not one in every seed."""
    found = _at_places(runs, name, places)
    if found is None:
        return None
    at_X, found_NX = found
    keep_X = np.isfinite(at_X) & np.isfinite(found_NX).all(axis=0)
    return over_seeds(found_NX[:, keep_X], at_X[keep_X]) if keep_X.any() else None


def _at_places(runs: Sequence[Run], name: str, places: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The places that are stored under `places`, and the numbers there, a row for each seed that has the same ones."""
    pairs = [
        (at, values)
        for run in runs
        if (values := last_values(run, name, 1)) is not None
        and (at := last_values(run, places, 1)) is not None
        and at.shape == values.shape
    ]
    if not pairs:
        return None
    first = pairs[0][0]
    return first, np.stack([values for at, values in pairs if at is first or np.array_equal(at, first)])


def _final(run: Run, primary: PrimaryNumber) -> float | None:
    """Of a run that ended well; of a loss that over the whole window, in nats per token."""
    if not run.is_whole:
        return None
    if not primary.is_loss:
        return primary.last_in(run.arrays)
    loss = run.done.get("val_loss")
    return float(loss) if is_number(loss) else None


def _kind(name: str) -> tuple[str, str]:
    """The name with `*` for its block, and the block.

    >>> _kind("blocks.core.attention.normalizer.exponent")
    ('blocks.*.attention.normalizer.exponent', 'core')
    """
    found = re.fullmatch(r"(blocks|path)\.([^.]+)\.(.+)", name)
    return (f"{found[1]}.*.{found[3]}", found[2]) if found else (name, "")


def _track(rows: list[tuple[str, np.ndarray]], steps_S: np.ndarray) -> Track:
    values_NRS = np.stack([values_NS for _, values_NS in rows], axis=1)
    return Track([label for label, _ in rows], steps_S, values_NRS.mean(0), band_half(values_NRS), len(values_NRS))


def same_shape(values: list[np.ndarray]) -> np.ndarray:
    """Stacked, those that have the shape of the first."""
    return np.stack([one for one in values if one.shape == values[0].shape]) if values else np.empty((0, 0))


def over_seeds(values_NX: np.ndarray, x: np.ndarray) -> Profile:
    """The mean over seeds, at the places `x`, with its band."""
    return Profile(x, values_NX.mean(0), band_half(values_NX), len(values_NX))
