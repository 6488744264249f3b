"""Numbers with intervals, against cases worked out by hand."""

import numpy as np
import pytest

from vslm.report.numbers.curves import (
    MOST_BINS,
    MOST_POINTS,
    MOST_STEPS,
    band_half,
    binned,
    final_by_position,
    final_difference,
    grid,
    grid_difference,
    position_edges,
    spread,
    training_curves,
    training_differences,
)
from vslm.report.numbers.runs import Run

T_QUANTILE = 4.302653  # two-sided 95 %, two degrees of freedom


def _run(seed: int, values: dict[int, float], *, arm: str = "a", state: str = "done", **arrays: np.ndarray) -> Run:
    rows = [
        {"step": step, "tokens": 7 * step, "flops": 11.0 * step, "seconds": (1 + seed) * step, "val_loss": value}
        for step, value in values.items()
    ]
    return Run(arm, seed, state, state, f"{arm}/seed{seed}", rows=rows, arrays=arrays)  # type: ignore[arg-type]


def test_the_band_is_the_student_interval_of_the_mean() -> None:
    """Half a width is t * sd / sqrt(n), here with values 1, 2, 3."""
    half = band_half(np.array([[1.0], [2.0], [3.0]]))
    assert half is not None
    assert half[0] == pytest.approx(T_QUANTILE / np.sqrt(3), rel=1e-5)


def test_two_seeds_have_no_band() -> None:
    """It would be wider than the picture."""
    assert band_half(np.array([[1.0], [2.0]])) is None


def test_the_mean_curve_is_taken_at_common_steps_over_whole_runs() -> None:
    """A diverged run is drawn by itself and enters no mean; seconds are averaged at equal steps."""
    runs = [
        _run(0, {0: 5.0, 10: 3.0, 20: 2.0}),
        _run(1, {0: 7.0, 20: 4.0}),
        _run(2, {0: 99.0, 20: 99.0}, state="diverged"),
    ]
    curves = training_curves(runs, "val_loss")
    assert curves.mean is not None
    assert curves.mean.mean.tolist() == [6.0, 3.0]
    assert curves.mean.axes["steps"].tolist() == [0, 20]
    assert curves.mean.axes["tokens"].tolist() == [0, 140]
    assert curves.mean.axes["seconds"].tolist() == [0, 30]
    assert curves.mean.count == 2
    assert [line.seed for line in curves.seeds] == [0, 1, 2]


def test_differences_are_paired_by_seed() -> None:
    """What a seed adds to both arms is gone, and a seed without its partner is left out."""
    baseline = training_curves([_run(0, {0: 5.0, 9: 4.0}), _run(1, {0: 6.0, 9: 5.0})], "val_loss")
    arm = training_curves([_run(1, {0: 6.5, 9: 5.25}), _run(2, {0: 9.0, 9: 9.0})], "val_loss")
    differences = training_differences(baseline, arm)
    assert differences.mean is not None
    assert differences.mean.mean.tolist() == [0.5, 0.25]
    assert differences.mean.count == 1


def test_rows_without_the_number_are_passed_over() -> None:
    """Step 0 has no training loss."""
    curves = training_curves([_run(0, {0: 5.0, 9: 4.0})], "train_loss")
    assert curves.mean is None
    assert curves.seeds == []


def test_long_lines_are_thinned_and_say_so() -> None:
    """The first and the last point stay, and what is left out is counted."""
    curves = training_curves([_run(0, {step: 1.0 * step for step in range(997)})], "val_loss")
    assert curves.mean is not None
    assert len(curves.mean.mean) == MOST_POINTS
    assert curves.num_dropped == 997 - MOST_POINTS
    assert curves.mean.mean[[0, -1]].tolist() == [0.0, 996.0]


@pytest.mark.parametrize("num_positions", [1, 2, 13, 96, 97, 256, 1009, 4099])
def test_bins_cover_every_position_once(num_positions: int) -> None:
    """Edges rise from 0 to the last position, and there are not too many."""
    edges = position_edges(num_positions)
    assert edges[0] == 0
    assert edges[-1] == num_positions
    assert (np.diff(edges) > 0).all()
    assert len(edges) - 1 <= MOST_BINS


def test_a_bin_is_the_mean_of_its_positions() -> None:
    """Weighted by the positions, so that nothing is counted twice."""
    assert binned(np.array([[1.0, 3.0, 8.0]]), np.array([0, 2, 3])).tolist() == [[2.0, 8.0]]


def test_a_spread_keeps_both_ends() -> None:
    """Evenly means with the first and the last."""
    assert spread(11, 3).tolist() == [0, 5, 10]
    assert spread(2, 3).tolist() == [0, 1]
    assert spread(0, 3).tolist() == []


def test_the_grid_is_the_mean_over_seeds_at_common_steps() -> None:
    """Two seeds, two common steps, three positions in two bins."""
    edges = np.array([0, 2, 3])
    first = np.array([[1.0, 3.0, 5.0], [2.0, 2.0, 2.0], [7.0, 7.0, 7.0]])
    runs = [
        _run(0, {}, steps_S=np.array([0, 4, 8]), val_loss_nats_ST=first),
        _run(1, {}, steps_S=np.array([0, 8]), val_loss_nats_ST=first[[0, 1]] + 2),
    ]
    found = grid(runs, edges)
    assert found is not None
    assert found.steps_S.tolist() == [0, 8]
    assert found.mean_SP.tolist() == [[3.0, 6.0], [5.5, 5.5]]


def test_a_row_of_training_loss_that_was_never_measured_is_left_out() -> None:
    """Step 0 has no training loss; what is left is paired as validation is."""
    edges, loss_ST = np.array([0, 1, 2]), np.array([[np.nan, np.nan], [4.0, 3.0], [2.0, 1.0]])
    arrays = {"steps_S": np.array([0, 3, 7]), "val_loss_nats_ST": np.zeros((3, 2))}
    runs = [_run(0, {}, **arrays, train_loss_nats_ST=loss_ST + shift) for shift in (0.0, 0.25)]
    found = grid(runs[:1], edges, "train")
    assert found is not None
    assert found.steps_S.tolist() == [3, 7]
    assert found.mean_SP.tolist() == [[4.0, 3.0], [2.0, 1.0]]
    difference = grid_difference(runs[:1], runs[1:], edges, "train")
    assert difference is not None
    assert difference.mean_SP.tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert grid([_run(0, {}, **arrays)], edges, "train") is None


def test_the_difference_grid_is_zero_for_equal_runs() -> None:
    """Paired by seed: seeds that differ between themselves do not matter."""
    edges, steps_S = np.array([0, 1, 2]), np.array([0, 3])
    pair = [_run(s, {}, steps_S=steps_S, val_loss_nats_ST=np.random.default_rng(s).random((2, 2))) for s in range(3)]
    found = grid_difference(pair, pair, edges)
    assert found is not None
    assert found.half_SP is not None
    assert not found.mean_SP.any()
    assert not found.half_SP.any()
    assert found.count == 3


def test_too_many_steps_are_left_out_evenly_and_counted() -> None:
    """The page stays small whatever was stored."""
    steps_S = np.arange(211)
    found = grid([_run(0, {}, steps_S=steps_S, val_loss_nats_ST=np.zeros((211, 2)))], np.array([0, 2]))
    assert found is not None
    assert len(found.steps_S) == MOST_STEPS
    assert found.num_steps_dropped == 211 - MOST_STEPS


def test_the_final_loss_by_position_leaves_unfinished_runs_out() -> None:
    """Only models that ended well are compared."""
    runs = [
        _run(0, {}, final_val_loss_nats_T=np.array([3.0, 1.0])),
        _run(1, {}, final_val_loss_nats_T=np.array([9.0, 9.0]), state="unfinished"),
    ]
    edges = np.array([0, 1, 2])
    final = final_by_position(runs, edges)
    assert final is not None
    assert final.mean.tolist() == [3.0, 1.0]
    assert final_difference(runs[1:], runs[:1], edges) is None


def test_an_arm_with_a_shorter_window_ends_where_it_ends() -> None:
    """Positions that an arm does not have are no numbers."""
    final = final_by_position([_run(0, {}, final_val_loss_nats_T=np.array([3.0, 1.0]))], np.array([0, 1, 2, 5]))
    assert final is not None
    assert np.isnan(final.mean).tolist() == [False, False, True]
