"""Known answers of the statistics room."""

import math

import numpy as np
import pytest

from vslm.stats.intervals import confidence_band, student_interval
from vslm.stats.looks import error_of_look, fixed_plan, sequential_plan
from vslm.stats.power import minutes_to_resolve, power, resolvable_effect, seeds_to_resolve
from vslm.stats.verdicts import in_words, judge, take_look


def test_a_student_interval_is_the_textbooks():
    """Mean 2, SD 1, n 3 at 95%: half width 4.302653 / sqrt 3."""
    interval = student_interval(np.array([1.0, 2.0, 3.0]), 0.05)
    assert interval.mean == 2.0
    assert interval.high - interval.mean == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_one_seed_has_no_interval_and_equal_differences_have_no_width():
    """The two ends of what a count of seeds can say."""
    assert student_interval(np.array([0.5]), 0.05).high == math.inf
    assert student_interval(np.zeros(3), 0.05).low == student_interval(np.zeros(3), 0.05).high == 0.0


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.0, 0.0, "equivalent"),
        (-0.01, 0.01, "equivalent"),
        (0.001, 0.009, "equivalent"),
        (0.001, 0.02, "worse"),
        (-0.02, -0.001, "better"),
        (-0.02, 0.001, "unresolved"),
        (-math.inf, math.inf, "unresolved"),
    ],
)
def test_the_verdict_is_read_from_the_interval_alone(low: float, high: float, verdict: str):
    """Inside the zone is equivalent even where 0 is excluded."""
    assert judge(low, high, 0.01) == verdict


def test_no_sequence_of_looks_spends_more_than_alpha():
    """Planned looks and ten unplanned ones add up to less than 5%."""
    for plan in (fixed_plan(3), sequential_plan((4, 8, 16))):
        taken = list(plan.looks)
        spent = sum(plan.errors)
        for seeds in range(20, 30):
            spent += error_of_look(plan, taken, seeds)
            taken.append(seeds)
        assert spent < 0.05
        assert error_of_look(plan, taken, 20) == error_of_look(plan, plan.looks, 20)


def test_more_arms_make_wider_intervals():
    """Three arms share the error that one arm has alone."""
    values = np.array([0.1, 0.2, 0.15])
    alone = take_look({"a": values}, fixed_plan(3), [], 0.01)["a"]
    among = take_look({"a": values, "b": values, "c": values}, fixed_plan(3), [], 0.01)["a"]
    assert among.high - among.low > alone.high - alone.low
    assert among.delta == alone.delta == pytest.approx(0.15)


def test_the_resolvable_effect_has_the_power_it_claims():
    """Inverting the power function gives back 80%, and more seeds resolve less."""
    effect = resolvable_effect(0.014, 5, 0.05)
    assert power(effect, 0.014, 5, 0.05) == pytest.approx(0.8, abs=1e-3)
    assert resolvable_effect(0.014, 8, 0.05) < effect
    assert seeds_to_resolve(effect, 0.014, 0.05) <= 5


def test_minutes_to_resolve_counts_further_seeds():
    """Clear differences need one more seed at most; pure scatter needs many."""
    assert minutes_to_resolve(np.array([0.1, 0.1001, 0.0999]), 0.01, 0.05, 2.0) == 2.0
    assert minutes_to_resolve(np.array([0.1, -0.1, 0.001]), 0.01, 0.05, 2.0) > 100


def test_words_say_the_direction_and_the_budget():
    """One sentence, no jargon."""
    look = take_look({"a": np.array([0.10, 0.11, 0.12])}, fixed_plan(3), [], 0.01)["a"]
    assert "worse at 2M tokens" in in_words(look, smallest_effect=0.01, tokens=2e6, minutes=None, unit="nats")
    open_look = take_look({"a": np.array([0.10, -0.11, 0.02])}, fixed_plan(3), [], 0.01)["a"]
    words = in_words(open_look, smallest_effect=0.01, tokens=2e6, minutes=40.2, unit="nats")
    assert words.endswith("at 2M tokens; about 40 more minutes would decide")


def test_a_band_is_pointwise():
    """Each column is its own interval."""
    low_S, high_S = confidence_band(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]), 0.05)
    assert high_S[0] == pytest.approx(student_interval(np.array([1.0, 2.0, 3.0]), 0.05).high)
    assert low_S[1] == high_S[1] == 5.0
