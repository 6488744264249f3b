"""When runs have begun, how many tokens would do, and the sentences about it, on numbers."""

import math

import numpy as np
import pytest

from vslm.stats.context_learning import Onset
from vslm.stats.pilot import (
    Enough,
    Seen,
    enough_tokens,
    fall_per_doubling,
    has_begun,
    in_words,
    late_positions,
    mean_and_error,
    onset_of_run,
    past_tokens,
)

NOT = Seen(0.02, 0.03, False)


def begun(at: int, after: int | None = None) -> Seen:
    """A run that has begun."""
    return Seen(0.6, 0.03, True, Onset(after, at))


@pytest.mark.parametrize(
    ("gain", "sem", "least", "expected"),
    [(0.25, 0.1, 0.25, True), (0.2499, 0.1, 0.25, False), (0.5, 0.25, 0.25, False), (0.5, 0.249, 0.25, True)],
)
def test_a_gain_must_be_large_and_known(gain: float, sem: float, least: float, expected: bool) -> None:
    """At least so many nats, and beyond twice its standard error."""
    assert has_begun(gain, sem, least) is expected


def test_an_error_is_that_of_windows_as_wholes() -> None:
    """With equal weights it is the usual one; a window without weight is none; weights make a heavy window count."""
    rng = np.random.default_rng(6)
    values = rng.normal(3.0, 2.0, 11)
    mean, error = mean_and_error(np.append(values, 99.0), np.append(np.full(11, 0.7), 0.0))
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(values.std(ddof=1) / math.sqrt(11))
    assert mean_and_error(np.array([1.0, 5.0]), np.array([3.0, 1.0]))[0] == 2.0
    assert mean_and_error(np.array([1.0]), np.array([2.0])) == (1.0, math.inf)
    assert math.isnan(mean_and_error(np.array([1.0]), np.array([0.0]))[0])


def test_late_is_half_of_the_context_or_all_that_counts() -> None:
    """Of an odd length the middle one is late."""
    assert late_positions(7).tolist() == [False] * 3 + [True] * 4
    assert late_positions(4, np.array([1.0, 1.0, 0.0, 2.0])).tolist() == [False, False, False, True]
    assert late_positions(4, np.array([0.0, 5.0, 0.0, 0.0])).tolist() == [False, True, False, False]


def test_an_onset_is_told_by_what_the_last_token_says_at_the_end() -> None:
    """From the first evaluation that stays below; the last one is of other windows, so its own gain counts."""
    tokens = np.array([0, 10, 20, 40, 80])
    losses = np.array([7.0, 5.0, 3.6, 3.7, 9.9])
    assert onset_of_run(tokens, losses, alone_nats=4.0, gain_nats=0.5, least_nats=0.25) == Onset(10, 20)
    assert onset_of_run(tokens, losses, alone_nats=3.9, gain_nats=0.5, least_nats=0.25) == Onset(40, 80)
    assert onset_of_run(tokens, losses, alone_nats=4.0, gain_nats=0.1, least_nats=0.25) is None
    losses[2] = math.nan
    assert onset_of_run(tokens, losses, alone_nats=4.0, gain_nats=0.5, least_nats=0.25) == Onset(20, 40)
    assert losses[-1] == 9.9, "what it was given stays"


def test_a_fall_is_per_doubling_on_the_same_windows() -> None:
    """From the last evaluation at half of the tokens or less to the last but one; nothing where there are not two."""
    assert fall_per_doubling(np.array([0, 10, 40, 50]), np.array([7.0, 5.0, 4.0, 1.0])) == 0.5
    assert math.isnan(fall_per_doubling(np.array([0, 30, 40, 50]), np.array([7.0, 5.0, 4.0, 1.0])))
    assert math.isnan(fall_per_doubling(np.array([0, 50]), np.array([7.0, 5.0])))
    assert math.isnan(fall_per_doubling(np.array([]), np.array([])))


def test_enough_is_four_times_or_as_far_as_seeds_lie_apart() -> None:
    """Rounded up to two digits; without an onset that is known, four times; without a run that has begun, a guess."""
    assert enough_tokens(221_184, [NOT, begun(150_000)]) == Enough(890_000, "some")
    assert enough_tokens(221_184, [NOT, begun(22_118), begun(150_000)]) == Enough(2_300_000, "some")
    assert enough_tokens(100_000, [NOT, Seen(0.5, 0.01, True, None)]) == Enough(400_000, "some")
    assert enough_tokens(100_000, [NOT, NOT]) == Enough(400_000, "none")
    assert enough_tokens(7, [NOT]) == Enough(28, "none")


def test_runs_are_past_it_from_the_latest_onset_on() -> None:
    """Where all have begun; where one has not, from what would be enough; where nothing tells, nothing is said."""
    assert past_tokens(1000, [begun(300), begun(500, 400)], None) == 500
    assert past_tokens(1000, [begun(300), NOT], Enough(4000, "some")) == 4000
    assert past_tokens(1000, [Seen(0.5, 0.1, True, None)], None) is None
    assert past_tokens(1000, [begun(1024)], None) == 1000, "a run of this length has begun"


def test_the_sentence_names_seeds_and_gains() -> None:
    """Of one seed, of some, of all."""
    one = in_words("full", 13_000, {4: NOT})
    assert one == "at 13k tokens 1 of 1 seed of full has not begun to use its context (gain 0.02 nats)"
    both = in_words("full", 13_000, {0: NOT, 1: Seen(-0.01, 0.1, False)})
    assert both == "at 13k tokens 2 of 2 seeds of full have not begun to use their context (gain 0.02 and -0.01 nats)"
    assert in_words("full", 13_000, {0: Seen(0.6, 0.1, True)}).endswith("(gain 0.60 nats)")
