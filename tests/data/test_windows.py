import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vslm.core.errors import DataError
from vslm.data.windows import evaluation_windows, num_target_bytes, spread_windows, training_batch

TOKENS = np.arange(1009, dtype=np.uint16)


def batch(step: int, *, data_seed: int = 3, batch_windows: int = 7, context_tokens: int = 11) -> np.ndarray:
    """A batch of `TOKENS`."""
    return training_batch(
        TOKENS, context_tokens=context_tokens, batch_windows=batch_windows, data_seed=data_seed, step=step
    )


def test_a_batch_is_whole_windows_as_int64() -> None:
    """Consecutive tokens, one more than the context, ready for torch."""
    windows = batch(5)
    assert windows.shape == (7, 12)
    assert windows.dtype == np.int64
    assert (np.diff(windows, axis=1) == 1).all()


def test_a_batch_is_a_pure_function_of_seed_and_step() -> None:
    """Asking in another order, or for other steps in between, changes nothing."""
    first = [batch(step) for step in range(40)]
    for step in (39, 0, 17, 5):
        batch(step, data_seed=4)
        assert np.array_equal(batch(step), first[step])
    assert not np.array_equal(batch(0, data_seed=4), first[0])


@pytest.mark.parametrize(("num_tokens", "context_tokens"), [(1009, 11), (23, 11), (12, 11), (101, 1), (34, 11)])
def test_every_window_of_an_epoch_comes_once_before_any_repeats(num_tokens: int, context_tokens: int) -> None:
    """Within an epoch no token is a target twice, and at most two windows' worth is left over."""
    tokens = np.arange(num_tokens)
    num_windows = max(1, (num_tokens - context_tokens) // context_tokens)
    for epoch in range(5):
        rows = training_batch(tokens, context_tokens=context_tokens, batch_windows=num_windows, data_seed=1, step=epoch)
        targets = rows[:, 1:].ravel()
        assert len(set(targets.tolist())) == len(targets) == num_windows * context_tokens
        assert num_tokens - 1 - len(targets) < 2 * context_tokens


def test_epochs_differ_in_offset_and_in_order() -> None:
    """A model that sees the corpus twice sees other windows the second time."""
    num_windows = (1009 - 11) // 11
    starts = [batch(epoch, batch_windows=num_windows)[:, 0] for epoch in range(13)]
    assert len({int(row[0] % 11) for row in starts}) > 4
    assert all((np.diff(row) < 0).any() for row in starts)


def test_the_size_of_a_batch_does_not_change_what_comes() -> None:
    """Arms with other batch sizes see the same windows in the same order, over the end of an epoch too."""
    small = np.concatenate([batch(step, batch_windows=3) for step in range(70)])
    large = np.concatenate([batch(step, batch_windows=35) for step in range(6)])
    assert np.array_equal(small, large)


def test_a_batch_may_hold_several_epochs() -> None:
    """A corpus smaller than one batch is repeated, epoch by epoch."""
    rows = training_batch(np.arange(40), context_tokens=11, batch_windows=17, data_seed=0, step=2)
    assert rows.shape == (17, 12)
    assert (np.diff(rows, axis=1) == 1).all()


def test_the_order_is_pinned() -> None:
    """A change here would change what every study trains on."""
    assert batch(0)[:, 0].tolist() == PINNED_STARTS


PINNED_STARTS = [924, 682, 484, 792, 429, 781, 440]


@settings(max_examples=50)
@given(st.integers(2, 300), st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**62), st.integers(0, 10**9))
def test_windows_never_leave_the_tokens(size: int, context: int, windows: int, seed: int, step: int) -> None:
    """For any sizes that fit, at any step."""
    if size <= context:
        return
    rows = training_batch(np.arange(size), context_tokens=context, batch_windows=windows, data_seed=seed, step=step)
    assert (rows[:, -1] - rows[:, 0] == context).all()
    assert rows.min() >= 0
    assert rows.max() < size


def test_evaluation_covers_the_split_from_the_beginning() -> None:
    """Side by side, every target once, only the last incomplete window left out."""
    windows = evaluation_windows(TOKENS, context_tokens=11)
    assert windows.dtype == np.int64
    assert windows[:, 1:].ravel().tolist() == list(range(1, 1 + 91 * 11))


@pytest.mark.parametrize(("num_tokens", "count"), [(1, 1), (11, 1), (12, 2), (100, 10), (10**9, 91)])
def test_fewer_windows_are_spread_over_the_split(num_tokens: int, count: int) -> None:
    """As many as are needed for the targets asked for, at even distances."""
    windows = evaluation_windows(TOKENS, context_tokens=11, num_tokens=num_tokens)
    assert len(windows) == count
    assert (windows[:, 0] % 11 == 0).all()
    gaps = np.diff(windows[:, 0] // 11)
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("num_tokens", [0, 1, 11])
def test_a_corpus_too_small_for_its_window_names_it(num_tokens: int) -> None:
    """Where, what was found, what fits."""
    tokens = np.zeros(num_tokens, dtype=np.uint16)
    expected = rf"^model.context_tokens: .*{num_tokens} tokens .* at most {max(num_tokens - 1, 0)} fit"
    with pytest.raises(DataError, match=expected):
        evaluation_windows(tokens, context_tokens=11)
    with pytest.raises(DataError, match=expected):
        training_batch(tokens, context_tokens=11, batch_windows=2, data_seed=0, step=0)


def test_bytes_of_targets_leave_out_the_first_token() -> None:
    """The first token of a window is given, not predicted."""
    assert num_target_bytes(np.array([[2, 0, 1], [2, 1, 1]]), np.array([1, 10, 100])) == 1 + 10 + 10 + 10


@pytest.mark.parametrize(("context_tokens", "align_tokens"), [(12, 3), (12, 12), (20, 10), (11, 11)])
def test_aligned_windows_start_at_multiples(context_tokens: int, align_tokens: int) -> None:
    """At every step; and every window of an epoch still comes once."""
    num_windows = (1009 - context_tokens) // context_tokens
    offsets = set()
    for epoch in range(23):
        rows = training_batch(
            TOKENS,
            context_tokens=context_tokens,
            batch_windows=num_windows,
            data_seed=1,
            step=epoch,
            align_tokens=align_tokens,
        )
        assert (rows[:, 0] % align_tokens == 0).all()
        assert len({int(start) for start in rows[:, 0]}) == num_windows
        offsets |= {int(start) for start in rows[:, 0] % context_tokens}
    assert offsets == set(range(0, context_tokens, align_tokens))


@pytest.mark.parametrize("num_windows", [1, 7, 90, 1000])
def test_spread_windows_have_different_targets_over_all_of_the_tokens(num_windows: int) -> None:
    """As many as asked for, up to the number of targets with a whole window before them."""
    tokens = np.arange(101)
    windows = spread_windows(tokens, context_tokens=11, num_windows=num_windows)
    assert windows.shape == (min(num_windows, 90), 12)
    assert windows.dtype == np.int64
    np.testing.assert_array_equal(windows - windows[:, :1], np.tile(np.arange(12), (len(windows), 1)))
    starts = windows[:, 0]
    assert starts[0] == 0
    assert len(set(starts)) == len(starts)
    if num_windows > 1:
        assert np.ptp(np.diff(starts)) <= 1
        assert starts[-1] + 12 + np.diff(starts).max() >= 101
    with pytest.raises(DataError, match="does not fit"):
        spread_windows(tokens[:11], context_tokens=11, num_windows=1)
