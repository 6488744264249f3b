"""Lines over an axis, from the runs of an arm: at the end of training, or through it.

As in `curves.py`: over the seeds that ended well, with pointwise 95 % Student-t intervals from three seeds on. An array
that is not there, or does not have the axes that its name says, is passed over.

Letters: N seeds, S stored steps, L visits or other places, H heads or others of which a place has several, P octaves of
distance, T places in a block.
"""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from vslm.report.numbers.curves import Profile, over_seeds
from vslm.report.numbers.runs import Run

_FEWEST_STEPS = 3  # of a line through training


def last_values(run: Run, name: str, num_axes: int) -> np.ndarray | None:
    """What a finished run stored under `name` at its last step, or None."""
    array = run.arrays.get(name) if run.is_whole else None
    return None if array is None or array.ndim != 1 + num_axes or not array.size else array[-1]


def stacked(runs: Sequence[Run], name: str, num_axes: int) -> np.ndarray:
    """What whole runs stored under `name` at their last step, seeds first, those that have the shape of the first."""
    return same_shape([values for run in runs if (values := last_values(run, name, num_axes)) is not None])


def along(runs: Sequence[Run], name: str, *, first: int = 0, at: str | None = None) -> Profile | None:
    """A number along an axis whose places are `first`, `first` + 1, ..., or stored as the array `at`."""
    if at is None:
        values_NX = stacked(runs, name, 1)
        return over_seeds(values_NX, first + np.arange(values_NX.shape[1])) if values_NX.size else None
    found = _at_places(runs, name, at)
    if found is None:
        return None
    at_X, values_NX = found
    keep_X = np.isfinite(at_X)
    return over_seeds(values_NX[:, keep_X], at_X[keep_X]) if keep_X.any() else None


def along_with_each(
    runs: Sequence[Run], name: str, over: Literal["mean", "largest"], *, first: int = 0, at: str | None = None
) -> Profile | None:
    """A number along the first of two axes, the mean or the largest over the second, with small marks beside it; places
    that have none (NaN) are left out.

    Marks are means over seeds where the line is one. The largest is found in every seed by itself, and all of all seeds
    are marks: heads have no order, so the mean of head 0 over seeds would be a mean of different heads.
    """
    values_NLH = stacked(runs, name, 2)
    if not values_NLH.size:
        return None
    keep_L = np.asarray(np.isfinite(values_NLH).any(axis=-1).all(axis=0))
    at_NL = first + np.arange(len(keep_L))[None] if at is None else stacked(runs, at, 1)
    if at_NL.shape[1:] != keep_L.shape:
        return None
    keep_L &= np.isfinite(at_NL[0])
    if not keep_L.any():
        return None
    values_NLH, x = values_NLH[:, keep_L], at_NL[0, keep_L]
    if over == "largest":
        each = np.moveaxis(values_NLH, 0, -1).reshape(values_NLH.shape[1], -1)
        return dataclasses.replace(over_seeds(np.nanmax(values_NLH, axis=-1), x), each=each)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a head that a visit does not have is NaN in every seed
        return dataclasses.replace(over_seeds(np.nanmean(values_NLH, axis=-1), x), each=np.nanmean(values_NLH, axis=0))


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


def through_steps(
    runs: Sequence[Run], name: str, num_axes: int, reduced: Callable[[np.ndarray], np.ndarray] = lambda values: values
) -> tuple[np.ndarray, np.ndarray] | None:
    """The steps at which a measure was taken, and an array at all of them, seeds first; None where it was taken once.

    Args:
        runs: of one arm; those that stored other steps or another shape than the first are left out.
        name: of an array with the steps first.
        num_axes: beside the steps, of what is returned.
        reduced: what is made of the array of a run.
    """
    stored, found = f"{name.split('.')[0]}.steps_S", []
    for run in runs:
        steps_S, values = run.arrays.get(stored), run.arrays.get(name)
        if run.is_whole and steps_S is not None and values is not None and len(values) == len(steps_S) > 1:
            values = reduced(values)
            if steps_S.ndim == 1 and values.ndim == 1 + num_axes and values.size:
                found.append((steps_S, values))
    values_NSX = same_shape([values for steps_S, values in found if np.array_equal(steps_S, found[0][0])])
    return (found[0][0], values_NSX) if len(values_NSX) else None


def through_training(
    runs: Sequence[Run], name: str, reduced: Callable[[np.ndarray], np.ndarray] = lambda values: values
) -> Profile | None:
    """A number over the stored steps of its measure; step 0 is left out, because it has no place on a log axis.

    Args: as `through_steps`; `reduced` makes one number per step, [S].
    """
    found = through_steps(runs, name, 0, reduced)
    if found is None:
        return None
    steps_S, values_NS = found
    keep_S = (steps_S > 0) & np.isfinite(values_NS).all(axis=0)
    return over_seeds(values_NS[:, keep_S], steps_S[keep_S]) if keep_S.sum() >= _FEWEST_STEPS else None


def largest(values_SLH: np.ndarray) -> np.ndarray:
    """The largest number at each step, [S]; NaN where there is none."""
    flat_SX = values_SLH.reshape(len(values_SLH), -1)
    largest_S = np.where(np.isfinite(flat_SX), flat_SX, -np.inf).max(axis=-1, initial=-np.inf)
    return np.where(np.isfinite(largest_S), largest_S, np.nan)


def along_block(runs: Sequence[Run], which: str) -> Profile | None:
    """The `gain` by place in the block at the end, or the loss of the `first` or `second` time; from place 2 on."""
    rows = []
    for run in runs:
        first_T = last_values(run, "copy_gain.first_loss_nats_ST", 1)
        second_T = last_values(run, "copy_gain.second_loss_nats_ST", 1)
        if first_T is not None and second_T is not None and first_T.shape == second_T.shape:
            rows.append({"gain": first_T - second_T, "first": first_T, "second": second_T}[which])
    values_NT = same_shape(rows)
    return over_seeds(values_NT, 2 + np.arange(values_NT.shape[1])) if values_NT.size else None


def share_of_width(runs: Sequence[Run], name: str) -> Profile | None:
    """The effective rank by visit as a share of the width there."""
    rows = []
    for run in runs:
        rank_L, width_L = last_values(run, name, 1), last_values(run, "effective_rank.width_SL", 1)
        if rank_L is not None and width_L is not None and rank_L.shape == width_L.shape:
            rows.append(rank_L / width_L)
    values_NL = same_shape(rows)
    return over_seeds(values_NL, np.arange(values_NL.shape[1])) if len(values_NL) else None


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


def same_shape(values: list[np.ndarray]) -> np.ndarray:
    """Stacked, those that have the shape of the first."""
    return np.stack([one for one in values if one.shape == values[0].shape]) if values else np.empty((0, 0))
