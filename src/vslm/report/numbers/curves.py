"""Numbers with intervals, from the runs of a study: loss over training, loss by position, paired differences.

Functions take runs and return plain arrays; nothing is drawn here. A band is the pointwise 95 % Student-t interval of
the mean over seeds, and there is none below three seeds, where it would be wider than the picture. Differences are
paired: arm minus baseline with the same seed, so what the seed did to both is gone.

Letters: N seeds, S stored steps, P bins of positions, T positions.

Not for: verdicts. Those are read from verdict.json, whose intervals hold for all arms and looks together.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vslm.report.numbers.formatting import is_number
from vslm.report.numbers.runs import Run, within_bounds
from vslm.stats.intervals import confidence_band

ERROR = 0.05  # of a band, at each point by itself
FEWEST_SEEDS = 3  # for a band; the t quantile of two seeds is 12.7
MOST_POINTS = 400  # of a line
MOST_STEPS = 64  # rows of a heat map
MOST_BINS = 96  # columns of a heat map
AXES = ("steps", "tokens", "flops", "seconds")
_ROW_FIELD = {"steps": "step", "tokens": "tokens", "flops": "flops", "seconds": "seconds"}


@dataclass(frozen=True)
class Line:
    """Values along training, with every axis they can be drawn against. `half` is None without a band."""

    axes: dict[str, np.ndarray]
    mean: np.ndarray
    half: np.ndarray | None
    count: int


@dataclass(frozen=True)
class SeedLine:
    """One run's values along training."""

    seed: int
    axes: dict[str, np.ndarray]
    values: np.ndarray
    is_whole: bool


@dataclass(frozen=True)
class Curves:
    """One arm: its mean over the seeds that ended well (None if none did), and every run by itself."""

    mean: Line | None
    seeds: list[SeedLine]
    num_dropped: int


@dataclass(frozen=True)
class Grid:
    """A number by step and bin of positions, mean over `count` seeds. NaN where there is nothing."""

    steps_S: np.ndarray
    mean_SP: np.ndarray
    half_SP: np.ndarray | None
    count: int
    num_steps_dropped: int


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

    def at(self, keep: np.ndarray) -> "Profile":
        """At some of the places."""
        half, each = (None if one is None else one[keep] for one in (self.half, self.each))
        ends = None if self.ends is None else (self.ends[0][keep], self.ends[1][keep])
        return Profile(self.x[keep], self.mean[keep], half, self.count, each, ends)


def band_half(values_N: np.ndarray) -> np.ndarray | None:
    """Half the width of the band around the mean over N seeds, for numbers of any shape; None below three seeds."""
    if len(values_N) < FEWEST_SEEDS:
        return None
    low, high = confidence_band(values_N, ERROR)
    return (high - low) / 2


def over_seeds(values_NX: np.ndarray, x: np.ndarray) -> Profile:
    """The mean over seeds, at the places `x`, with its band."""
    return Profile(x, values_NX.mean(0), band_half(values_NX), len(values_NX))


def training_curves(runs: Sequence[Run], measure: str) -> Curves:
    """One arm's `train_loss` or `val_loss` over training."""
    found = [both for run in runs if (both := _seed_line(run, measure)) is not None]
    longest = max((num_points for _, num_points in found), default=0)
    lines = [line for line, _ in found]
    return Curves(_mean_line(lines), lines, max(0, longest - MOST_POINTS))


def training_differences(baseline: Curves, arm: Curves) -> Curves:
    """Arm minus baseline with the same seed, at the steps that both measured; the axes are the arm's."""
    theirs = {line.seed: line for line in baseline.seeds if line.is_whole}
    lines = []
    for line in arm.seeds:
        if not line.is_whole or line.seed not in theirs:
            continue
        other = theirs[line.seed]
        _, mine, its = np.intersect1d(line.axes["steps"], other.axes["steps"], return_indices=True)
        axes = {axis: values[mine] for axis, values in line.axes.items()}
        lines.append(SeedLine(line.seed, axes, line.values[mine] - other.values[its], True))
    lines = [line for line in lines if len(line.values)]
    return Curves(_mean_line(lines), lines, 0)


def _seed_line(run: Run, measure: str) -> tuple[SeedLine, int] | None:
    """The line, thinned, and how many points there were."""
    values = _column(run.rows, measure)
    known = np.flatnonzero(np.isfinite(values))
    if not len(known) or run.state == "torn":
        return None
    # By step; of a step that was measured twice, the later row counts.
    _, latest = np.unique(_column(run.rows, "step")[known][::-1], return_index=True)
    order = known[::-1][latest]
    picked = order[spread(len(order), MOST_POINTS)]
    some = [run.rows[i] for i in picked]
    axes = {axis: _column(some, name) for axis, name in _ROW_FIELD.items()}
    return SeedLine(run.seed, axes, values[picked], run.is_whole), len(order)


_PLAIN = {int, float, type(None)}


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """One field of rows, NaN where it is no number."""
    column = [row.get(name) for row in rows]
    if {type(value) for value in column} <= _PLAIN:  # what a run writes; a page asks this of very many rows
        with contextlib.suppress(OverflowError):  # a whole number of four hundred digits
            return within_bounds(np.array(column, dtype=float))
    return np.array([value if is_number(value) else np.nan for value in column], dtype=float)


def _mean_line(lines: Sequence[SeedLine]) -> Line | None:
    """The mean over whole runs at the steps that all of them measured."""
    whole = [line for line in lines if line.is_whole]
    if not whole:
        return None
    steps = whole[0].axes["steps"]
    for line in whole[1:]:
        steps = np.intersect1d(steps, line.axes["steps"])
    if not len(steps):
        return None
    picks = [np.searchsorted(line.axes["steps"], steps) for line in whole]
    values_NS = np.stack([line.values[pick] for line, pick in zip(whole, picks, strict=True)])
    axes = {
        axis: np.mean([line.axes[axis][pick] for line, pick in zip(whole, picks, strict=True)], axis=0) for axis in AXES
    }
    return Line(axes, values_NS.mean(0), band_half(values_NS), len(whole))


def position_edges(num_positions: int, most: int = MOST_BINS) -> np.ndarray:
    """Where bins of positions start and the last one ends: single positions first, then wider ones.

    The bins grow by a constant factor, because what a token far back is worth is a question of orders of magnitude.

    >>> position_edges(12, most=6).tolist()
    [0, 1, 3, 5, 7, 12]
    """
    if num_positions <= most:
        return np.arange(num_positions + 1)
    return np.unique(np.round(np.geomspace(1, num_positions + 1, most + 1)).astype(int)) - 1


def binned(values_ST: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Means over bins of the last axis; NaN for a bin that reaches beyond the positions there are. A position at which
    no target counts (NaN, at every row) is no part of its bin.

    >>> binned(np.array([1.0, 3.0, 5.0]), np.array([0, 2, 3, 9])).tolist()
    [2.0, 5.0, nan]
    >>> binned(np.array([[1.0, np.nan, 5.0], [2.0, np.nan, 7.0]]), np.array([0, 2, 3])).tolist()
    [[1.0, 5.0], [2.0, 7.0]]
    """
    num_positions = values_ST.shape[-1]
    means = np.full((*values_ST.shape[:-1], len(edges) - 1), np.nan)
    whole = int(np.searchsorted(edges, num_positions, side="right")) - 1  # bins that end within the positions
    if whole > 0:
        inside_ST, sizes = values_ST[..., : edges[whole]], np.diff(edges[: whole + 1])
        sums = np.add.reduceat(inside_ST, edges[:whole], axis=-1)
        counts_T = None if np.isfinite(sums).all() else np.isfinite(inside_ST).reshape(-1, edges[whole]).any(axis=0)
        if counts_T is not None and counts_T.any():
            sums = np.add.reduceat(np.where(counts_T, inside_ST, 0.0), edges[:whole], axis=-1)
            sizes = np.add.reduceat(counts_T.astype(float), edges[:whole])
        with np.errstate(invalid="ignore"):  # a bin without a position is NaN
            means[..., :whole] = sums / sizes
    return means


def spread(length: int, most: int) -> np.ndarray:
    """Indices of at most `most` of `length` items, evenly, the first and the last among them."""
    return np.unique(np.round(np.linspace(0, length - 1, min(length, most))).astype(int)) if length else np.arange(0)


def num_positions(runs: Sequence[Run]) -> int:
    """The longest window among the runs."""
    lengths = [run.arrays[name].shape[-1] for run in runs for name in _BY_POSITION if name in run.arrays]
    return max(lengths, default=0)


_BY_POSITION = ("val_loss_nats_ST", "final_val_loss_nats_T")


def grid(runs: Sequence[Run], edges: np.ndarray, split: str = "val") -> Grid | None:
    """Loss by step and position of one arm, over the seeds that ended well; None if there are none.

    Args:
        split: `val`, or `train`, whose row is the mean over the steps since the row before; step 0 has none.
    """
    return _mean_grid({run.seed: _run_rows(run, edges, split) for run in runs if _has_grid(run, split)})


def grid_difference(baseline: Sequence[Run], arm: Sequence[Run], edges: np.ndarray, split: str = "val") -> Grid | None:
    """Arm minus baseline by step and position, paired by seed, at the steps that both stored."""
    theirs = {run.seed: run for run in baseline if _has_grid(run, split)}
    cells = {}
    for run in arm:
        if not _has_grid(run, split) or run.seed not in theirs:
            continue
        (steps_S, mine), (other_S, other) = _run_rows(run, edges, split), _run_rows(theirs[run.seed], edges, split)
        common_S, i, j = np.intersect1d(steps_S, other_S, return_indices=True)
        cells[run.seed] = (common_S, _difference_rows(mine, i, other, j))
    return _mean_grid(cells)


def _has_grid(run: Run, split: str) -> bool:
    loss_ST = run.arrays.get(f"{split}_loss_nats_ST")
    fits = loss_ST is not None and loss_ST.ndim == 2 and loss_ST.shape[:1] == run.arrays["steps_S"].shape
    return run.is_whole and fits


# A run's values by bin at some of its stored steps: thousands are stored and few are drawn, so few are binned.
_Rows = Callable[[np.ndarray], np.ndarray]


def _run_rows(run: Run, edges: np.ndarray, split: str) -> tuple[np.ndarray, _Rows]:
    loss_ST = run.arrays[f"{split}_loss_nats_ST"]
    there = np.flatnonzero(np.isfinite(loss_ST).any(axis=-1))
    return run.arrays["steps_S"][there], lambda keep: binned(loss_ST[there[keep]], edges)


def _difference_rows(mine: _Rows, i: np.ndarray, theirs: _Rows, j: np.ndarray) -> _Rows:
    return lambda keep: mine(i[keep]) - theirs(j[keep])


def _mean_grid(cells: Mapping[int, tuple[np.ndarray, _Rows]]) -> Grid | None:
    if not cells:
        return None
    steps_S = next(iter(cells.values()))[0]
    for other_S, _ in cells.values():
        steps_S = np.intersect1d(steps_S, other_S)
    if not len(steps_S):
        return None
    keep = spread(len(steps_S), MOST_STEPS)
    dropped, steps_S = len(steps_S) - len(keep), steps_S[keep]
    values_NSP = np.stack([rows(np.searchsorted(own_S, steps_S)) for own_S, rows in cells.values()])
    return Grid(steps_S, values_NSP.mean(0), band_half(values_NSP), len(values_NSP), dropped)


def bin_centers(edges: np.ndarray) -> np.ndarray:
    """Where a bin is drawn: the middle of the numbers of tokens seen, of which the first position has one."""
    return (edges[:-1] + 1 + edges[1:]) / 2


def final_by_position(runs: Sequence[Run], edges: np.ndarray) -> Profile | None:
    """The loss by position of the finished models of one arm, in bins of positions."""
    finals = [final for run in runs if (final := _final(run, edges)) is not None]
    return over_seeds(np.stack(finals), bin_centers(edges)) if finals else None


def final_difference(baseline: Sequence[Run], arm: Sequence[Run], edges: np.ndarray) -> Profile | None:
    """Arm minus baseline by position at the end, paired by seed."""
    theirs = {run.seed: final for run in baseline if (final := _final(run, edges)) is not None}
    mine = {run.seed: final for run in arm if (final := _final(run, edges)) is not None}
    pairs = [mine[seed] - theirs[seed] for seed in sorted(mine.keys() & theirs.keys())]
    return over_seeds(np.stack(pairs), bin_centers(edges)) if pairs else None


def _final(run: Run, edges: np.ndarray) -> np.ndarray | None:
    final_T = run.arrays.get("final_val_loss_nats_T")
    return binned(final_T, edges) if run.is_whole and final_T is not None else None
