"""Known answers of the statistics room."""

import math

import numpy as np
import pytest

from vslm.stats.intervals import confidence_band, student_interval
from vslm.stats.looks import error_of_look, fixed_plan, plan_of_added_arms, sequential_plan
from vslm.stats.power import power, resolvable_effect, seeds_to_resolve, seeds_until_decided
from vslm.stats.skewed import usual_multiplier
from vslm.stats.verdicts import Look, MoreTime, in_words, judge, look_at, take_look


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


def test_no_sequence_of_looks_and_added_arms_spends_more_than_alpha():
    """Planned looks, ten unplanned ones, and arms added five times with as many looks each add up to less than 5%."""
    for plan in (fixed_plan(3), sequential_plan((4, 8, 16))):
        spent = 0.0
        for one in (plan, *(plan_of_added_arms(plan, addition) for addition in range(1, 6))):
            taken = list(one.looks)
            spent += sum(one.errors)
            for seeds in range(20, 30):
                spent += error_of_look(one, taken, seeds)
                taken.append(seeds)
        assert 0.0475 < spent < 0.05
        assert error_of_look(plan, taken, 20) == error_of_look(plan, plan.looks, 20)


def test_each_addition_of_arms_spends_half_of_the_one_before():
    """And every look of it in the proportion of the plan."""
    plan = sequential_plan((4, 8, 16))
    first, second = (plan_of_added_arms(plan, addition) for addition in (1, 2))
    assert first.errors[1] == pytest.approx(2 * first.errors[0])
    assert second.errors[2] == pytest.approx(first.errors[2] / 2)
    assert sum(first.errors) + first.reserve == pytest.approx(plan.reserve / 4)


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


def _decided(differences: list[float], effect: float = 0.01, error: float = 0.04) -> tuple[float, float]:
    return seeds_until_decided(np.array(differences), effect, error, np.random.default_rng(7))


def test_seeds_until_decided_says_half_and_nine_in_ten():
    """A clear difference needs one more seed; pure scatter needs many, and how many is not known well."""
    assert _decided([0.1, 0.1001, 0.0999]) == (1, 1)
    half, most = _decided([0.1, -0.1, 0.001])
    assert 10 < half < most
    assert _decided([0.02]) == (math.inf, math.inf)


def test_what_is_within_the_smallest_effect_is_decided_too():
    """Differences around 0 that scatter by a fiftieth of the smallest effect: equivalence is near."""
    near = [0.0002, -0.0003, 0.0001, 0.0, -0.0001]
    assert _decided(near, effect=0.01)[0] < _decided(near, effect=0.001)[0]
    assert _decided(near, effect=0.01)[1] <= 3


@pytest.mark.slow
def test_half_of_studies_are_decided_when_it_says_half_and_nine_in_ten_when_it_says_so():
    """Drawn from a wide prior of differences, because what is said is about what the differences seen allow."""
    rng, error, effect = np.random.default_rng(20261130), 0.04, 0.5
    at_half, at_most = [], []
    while len(at_half) < 400:
        true, sd = 3 * rng.standard_normal(), math.exp(rng.normal(0, 0.7))
        seen = true + sd * rng.standard_normal(4)
        if take_look({"a": seen}, fixed_plan(4), [], effect)["a"].verdict != "unresolved":
            continue
        half, most = seeds_until_decided(seen, effect, error, rng)
        if not math.isfinite(most):
            continue
        for further, noted in ((half, at_half), (most, at_most)):
            values = np.concatenate([seen, true + sd * rng.standard_normal(int(further))])
            noted.append(look_at(values, error=error, smallest_effect=effect).verdict != "unresolved")
    assert 0.42 < np.mean(at_half) < 0.68
    assert np.mean(at_most) > 0.82


AT = {"smallest_effect": 0.01, "tokens": 2e6, "unit": "nats"}


def test_words_say_the_direction_and_the_budget():
    """One sentence, no jargon; what more would decide is a probability."""
    look = take_look({"a": np.array([0.10, 0.11, 0.12])}, fixed_plan(3), [], 0.01)["a"]
    assert "worse at 2M tokens" in in_words(look, more=None, **AT)
    open_look = take_look({"a": np.array([0.10, -0.11, 0.02])}, fixed_plan(3), [], 0.01)["a"]
    words = in_words(open_look, more=MoreTime(9.2, 30.4), **AT)
    assert words.endswith(
        "at 2M tokens; half of such studies are decided after 9 minutes more, nine in ten after 30 minutes"
    )
    words = in_words(open_look, more=MoreTime(9.2, math.inf), **AT)
    assert words.endswith("after 9 minutes, one in ten not after any number of seeds that can be planned")
    assert in_words(open_look, more=MoreTime(math.inf, math.inf), **AT).endswith(
        "more seeds than can be planned would be needed"
    )


@pytest.mark.parametrize(
    ("low", "high", "verdict", "words"),
    [
        (-0.02, 0.05, "unresolved", "between 0.020 better and 0.050 worse at 2M tokens; more seeds would be needed"),
        (-0.05, -0.02, "better", "0.020 to 0.050 nats better at 2M tokens"),
        (0.02, 0.05, "worse", "0.020 to 0.050 nats worse at 2M tokens"),
        (0.002, 0.006, "equivalent", "no difference beyond 0.01 nats at 2M tokens: 0.0020 to 0.0060 worse"),
        (-0.006, -0.002, "equivalent", "no difference beyond 0.01 nats at 2M tokens: 0.0020 to 0.0060 better"),
        (
            -0.002,
            0.006,
            "equivalent",
            "no difference beyond 0.01 nats at 2M tokens: between 0.0020 better and 0.0060 worse",
        ),
        (-math.inf, math.inf, "unresolved", "2 seeds have no interval that holds; run at least 3 seeds (at 2M tokens)"),
    ],
)
def test_each_end_of_an_interval_is_told_on_its_own_side(low: float, high: float, verdict: str, words: str):
    """Unequal ends, so that a swap is seen, and intervals on one side of 0."""
    look = Look(2, (low + high) / 2 if math.isfinite(low) else 0.0, low, high, 0.04, verdict)  # type: ignore[arg-type]
    assert in_words(look, more=None, **AT) == words


def test_an_interval_that_grows_says_why():
    """By an unplanned look, by scatter, or by neither; and nothing where it shrinks."""
    before = Look(3, 0.0, -0.02, 0.03, 0.04, "unresolved", sd=0.01)

    def said(**changed: float) -> str:
        now = {"seeds": 5, "delta": 0.0, "low": -0.06, "high": 0.08, "error": 0.04, "sd": 0.01} | changed
        return in_words(Look(**now, verdict="unresolved"), more=None, before=before, **AT)  # type: ignore[arg-type]

    why = "wider than with 3 seeds, because "
    assert said(error=0.0025).endswith(f"{why}this look was not planned and may spend an error of 0.25%, not 4.00%")
    assert said(sd=0.025).endswith(f"{why}the differences scatter more, by 0.025 in place of 0.01")
    assert said().endswith(f"{why}the differences are more skewed")
    assert "wider" not in said(low=-0.01, high=0.02)


def test_a_band_is_pointwise():
    """Each column is its own interval."""
    low_S, high_S = confidence_band(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]), 0.05)
    assert high_S[0] == pytest.approx(student_interval(np.array([1.0, 2.0, 3.0]), 0.05).high)
    assert low_S[1] == high_S[1] == 5.0


def test_equal_values_are_told_as_they_are():
    """0.1 three times over has the mean 0.10000000000000002 by the sum, which is no difference of seeds."""
    found = student_interval(np.full(3, 0.1), 0.05)
    assert (found.low, found.high, found.mean, found.sd) == (0.1, 0.1, 0.1, 0.0)


def test_without_scatter_any_difference_is_seen():
    """And none is none."""
    assert power(0.01, 0.0, 5, 0.05) == power(-0.01, 0.0, 5, 0.05) == 1.0
    assert power(0.0, 0.0, 5, 0.05) == 0.0
    assert resolvable_effect(0.0, 5, 0.05) == 0.0


def test_seeds_to_resolve_are_the_fewest_that_do():
    """With 80% if nothing else is asked for, in any unit."""
    seeds = seeds_to_resolve(0.03, 0.02, 0.05)
    assert seeds == seeds_to_resolve(-30.0, 20.0, 0.05)
    assert power(0.03, 0.02, int(seeds), 0.05) >= 0.8 > power(0.03, 0.02, int(seeds) - 1, 0.05)
    assert seeds_to_resolve(0.03, 0.02, 0.05, target_power=0.95) > seeds
    assert resolvable_effect(30.0, 5, 0.05) == pytest.approx(30 * resolvable_effect(1.0, 5, 0.05))
    assert seeds_to_resolve(1e-4, 0.02, 0.05) == math.inf


@pytest.mark.parametrize("unit", [1e-3, 50.0])
def test_when_it_is_decided_is_no_matter_of_units(unit: float):
    """Differences and the smallest effect in millinats, or in fiftieths: the same draws, the same seeds."""
    plain = [0.3, 0.12, -0.1, 0.25, 0.02]
    assert _decided([unit * value for value in plain], effect=unit * 0.04) == _decided(plain, effect=0.04)
    near = [0.002, -0.003, 0.001, 0.0, -0.001]
    assert _decided([unit * value for value in near], effect=unit * 0.02) == _decided(near, effect=0.02)


def test_of_differences_that_are_known_well_half_are_decided_where_the_power_is_a_half():
    """Sixty seeds, a mean that is the half width at 150: further seeds come in sixteenths of those before."""
    values = np.sin(np.arange(60.0))
    values = (values - values.mean()) / values.std(ddof=1)
    half, most = _decided(list(values + usual_multiplier(150, 0.04) / math.sqrt(150)), effect=1e-6)
    assert 75 <= half <= 130
    assert most == math.inf, "in more than one of ten the true mean is nearer to 0"


def test_words_have_six_decimals_at_the_most_and_two_at_the_least():
    """As many as show two digits of the larger end."""
    ends = {(-4e-7, 3e-7): "0.000000", (-0.6, 3.0): "0.60", (-0.012, 0.0): "0.012", (-12.0, 3.0): "12.00"}
    for (low, high), words in ends.items():
        look = Look(5, 0.0, low, high, 0.04, "unresolved")
        assert words in in_words(look, more=None, **AT).split(" at ")[0].split()
