"""Runs of two kinds: when they are seen, and what they take away from a verdict."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from vslm.stats.kinds import Kinds, clearest, kinds_of, share_interval, sign_probability, unseen_share
from vslm.stats.looks import fixed_plan
from vslm.stats.verdicts import RateCost, judge, look_at, take_look

LOW, HIGH = [0.00, 0.02, -0.03, 0.01, 0.03], [1.01, 0.98, 1.03]


def test_two_clear_groups_are_seen_and_split_in_the_middle_of_the_gap():
    """Five low and three high, in any order."""
    found = kinds_of(np.array([*LOW, *HIGH])[[6, 0, 3, 7, 1, 5, 2, 4]])
    assert found.state == "two"
    assert found.between == pytest.approx((0.03 + 0.98) / 2)
    assert found.gap == pytest.approx(0.95)


def test_few_values_cannot_tell():
    """The same gap among three is unknown; scatter without a gap is one kind, and so is no scatter."""
    assert kinds_of(np.array([0.0, 0.02, 1.0])).state == "unknown"
    assert kinds_of(np.array([0.0, 0.4, 1.0])).state == "one"
    assert kinds_of(np.full(8, 2.5)).state == kinds_of(np.array([0.0, 9.0])).state == "one"


def test_one_arm_that_shows_two_kinds_is_enough_for_the_study():
    """The clearest counts; without any there is nothing to see."""
    apart, mixed = np.array([0.0, 0.1, 0.25, 0.3, 0.42, 0.5, 0.61, 0.7]), np.array([*LOW, *HIGH])
    assert clearest({"apart": apart, "mixed": mixed}) == kinds_of(mixed)
    assert clearest({}).state == "one"


@pytest.mark.parametrize("count", [4, 6, 8, 16])
def test_of_normal_samples_about_one_in_a_hundred_is_taken_for_two_kinds(count: int):
    """Also the share of samples with a gap of 10 SDs that is seen, which few values do not allow."""
    rng = np.random.default_rng(20261130)
    normal = [kinds_of(rng.standard_normal(count)).state for _ in range(1500)]
    assert np.mean([state == "two" for state in normal]) < 0.02
    seen = {4: 0.05, 6: 0.4, 8: 0.75, 16: 0.95}[count]
    mixed = [kinds_of(rng.standard_normal(count) + 10 * (np.arange(count) < count // 3 + 1)).state for _ in range(300)]
    assert np.mean([state == "two" for state in mixed]) > seen


def test_share_and_luck_are_the_exact_ones():
    """Clopper and Pearson's interval, the two-sided binomial test, and the rule of what stays unseen."""
    for count, seeds in ((5, 8), (0, 7), (7, 7)):
        exact = binomtest(count, seeds).proportion_ci(0.95, method="exact")
        assert share_interval(count, seeds) == (pytest.approx(exact.low), pytest.approx(exact.high))
    for above, below in ((5, 1), (2, 2), (7, 0)):
        assert sign_probability(above, below) == pytest.approx(binomtest(above, above + below).pvalue)
    assert (1 - unseen_share(7, 0.02)) ** 7 == pytest.approx(0.02)


def test_equivalence_on_few_seeds_needs_scatter_that_is_small_beside_what_may_be_unseen():
    """Inside the zone with SD 1/8 of the smallest effect; not with 1/3, where a rarer kind would lead out of it."""
    unit = np.array([-1.2, 0.3, 0.9, -0.4, 0.1, 0.8, -1.1, 0.6])
    sd = unit.std(ddof=1)
    ends = {}
    for share in (8, 3):
        look = look_at(unit / sd / share, error=0.04, smallest_effect=1.0)
        ends[share] = look
        assert judge(look.low, look.high, 1.0) == "equivalent"
    assert ends[8].verdict == "equivalent"
    assert ends[3].verdict == "unresolved"
    assert "may have missed" in ends[3].remarks[0]


def test_what_is_not_equivalent_for_that_reason_may_still_have_a_direction():
    """An interval within the smallest effect and wholly above 0."""
    look = look_at(0.6 + 0.02 * np.array([-1.2, 0.3, 0.9, -0.4]), error=0.04, smallest_effect=0.7)
    assert look.verdict == "worse"


def test_two_kinds_take_the_direction_unless_the_uneven_pairs_cannot_be_luck():
    """Four pairs that agree may be luck (12%); nine may not."""
    mixed = kinds_of(np.array([*LOW, *HIGH]))
    for count, verdict in ((4, "unresolved"), (9, "worse")):
        differences_N = 1 + 0.01 * np.sin(np.arange(count))
        assert look_at(differences_N, error=0.04, smallest_effect=0.01).verdict == "worse"
        look = look_at(differences_N, error=0.04, smallest_effect=0.01, kinds=mixed)
        assert look.verdict == verdict
        assert ("may be luck" in "".join(look.remarks)) == (verdict == "unresolved")


def test_even_pairs_have_a_direction_beside_two_kinds_elsewhere():
    """Both runs of every pair got going, so the difference is one of a kind; never equivalent, though."""
    mixed = kinds_of(np.array([*LOW, *HIGH]))
    small = 0.05 + 0.002 * np.sin(np.arange(5))
    assert look_at(small, error=0.04, smallest_effect=0.01, kinds=mixed, uneven=(0, 0)).verdict == "worse"
    assert look_at(small - 0.05, error=0.04, smallest_effect=0.5, kinds=mixed, uneven=(0, 0)).verdict == "unresolved"


def test_a_rate_at_the_edge_takes_the_verdict_against_its_side():
    """An arm at the edge is not worse, may be better; one whose baseline is at the edge the other way round."""
    up = 0.5 + 0.01 * np.sin(np.arange(5))
    edge = {"arm": RateCost(arm=math.inf), "baseline": RateCost(baseline=math.inf), "none": RateCost()}
    said = {
        (side, sign): look_at(sign * up, error=0.04, smallest_effect=0.01, cost=cost)
        for side, cost in edge.items()
        for sign in (1, -1)
    }
    assert {key: look.verdict for key, look in said.items()} == {
        ("arm", 1): "unresolved",
        ("arm", -1): "better",
        ("baseline", 1): "worse",
        ("baseline", -1): "unresolved",
        ("none", 1): "worse",
        ("none", -1): "better",
    }
    assert said["arm", 1].remarks == ("its best learning rate may lie beyond what was tried",)
    assert said["baseline", 1].remarks == ("the baseline's best learning rate may lie beyond what was tried",)


def test_what_a_rate_costs_moves_the_end_on_its_own_side():
    """The arm might be lower by its cost, the baseline by its own."""
    values = np.array([0.10, 0.12, 0.09, 0.13])
    plan = fixed_plan(4)
    plain = take_look({"a": values}, plan, [], 0.01)["a"]
    moved = take_look({"a": values}, plan, [], 0.01, costs={"a": RateCost(arm=0.03, baseline=0.002)})["a"]
    assert moved.low == pytest.approx(plain.low - 0.03)
    assert moved.high == pytest.approx(plain.high + 0.002)


def test_whether_there_are_two_kinds_is_no_matter_of_units():
    """The same runs in a hundredth of the unit."""
    plain, small = kinds_of(np.array([*LOW, *HIGH])), kinds_of(0.01 * np.array([*LOW, *HIGH]))
    assert (small.state, small.gap) == ("two", pytest.approx(plain.gap / 100))
    assert small.between == pytest.approx(plain.between / 100)
    assert small.strength == pytest.approx(plain.strength)


@pytest.mark.parametrize(("count", "needed"), [(3, 36e3), (5, 73.0), (6, 34.0), (7, None), (8, 16.0), (64, 4.7)])
def test_how_clear_two_kinds_are_is_the_ratio_of_squares_over_what_is_needed(count: int, needed: float | None):
    """By hand: two values apart from the others; between the counts of the table in logarithms, beyond it as there."""
    if needed is None:
        share = math.log(7 / 6) / math.log(8 / 6)
        needed = 34.0 ** (1 - share) * 16.0**share
    values = np.array([*np.sin(np.arange(count - 2)), 70.0, 71.0])
    low, high = values[:-2], values[-2:]
    within = ((low - low.mean()) ** 2).sum() + ((high - high.mean()) ** 2).sum()
    found = kinds_of(values)
    assert found.strength == pytest.approx(((values - values.mean()) ** 2).sum() / within / needed)
    assert found.gap == pytest.approx(70.0 - low.max())


def test_groups_without_scatter_are_two_kinds():
    """Runs that end at the very same two numbers: no division by nothing."""
    found = kinds_of(np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]))
    assert (found.state, found.gap, found.between) == ("two", 1.0, 0.5)
    assert math.isfinite(found.strength)
    assert kinds_of(np.full(8, 2.5)).gap == 0.0


def test_up_to_seven_seeds_a_gap_of_six_sds_is_unknown():
    """Too little for two kinds; of eight values with a gap as wide nothing is suspected."""
    for few, state in (([-1, -1, 0, 0, 1, 1], "unknown"), ([-1, -1, 0, 0, 0, 1, 1], "one")):
        sd = math.sqrt(4 / (len(few) - 1))
        assert kinds_of(np.array([*few, 1 + 6.4 * sd])).state == state
        assert kinds_of(np.array([*few, 1 + 5.0 * sd])).state == "one"


@pytest.mark.parametrize(("seeds", "share"), [(3, 0.03), (4, 0.10), (5, 0.30), (6, 0.56), (8, 0.89)])
def test_two_kinds_are_seen_as_often_as_is_said(seeds: int, share: float) -> None:
    """Ten SDs apart, each run of either kind with the same chance; by 2,000 samples."""
    rng = np.random.default_rng(11)
    samples = rng.standard_normal((2000, seeds)) + 10.0 * rng.integers(0, 2, (2000, seeds))
    assert np.mean([kinds_of(values).state == "two" for values in samples]) == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("seeds", [3, 4, 5, 6, 8, 12])
def test_one_kind_is_rarely_taken_for_two(seeds: int) -> None:
    """One normal sample in a hundred; by 6,000 samples."""
    rng = np.random.default_rng(13)
    samples = rng.standard_normal((6000, seeds))
    assert 0.005 < np.mean([kinds_of(values).state == "two" for values in samples]) < 0.016


def test_runs_are_of_one_kind_unless_somebody_says_otherwise() -> None:
    """So that many even differences are equivalent."""
    even = np.tile([0.0001, -0.0001], 16)
    assert look_at(even, error=0.04, smallest_effect=0.01).verdict == "equivalent"


def test_kinds_that_are_near_each_other_take_no_verdict_away() -> None:
    """Two groups of a baseline that are 0.016 apart cannot make a difference of 0.5; groups that are 1 apart can."""
    baseline_N = np.array([0.000, 0.0161, 0.0003, 0.0158, 0.0001, 0.0159])
    kinds = kinds_of(baseline_N)
    assert kinds.state == "two"
    assert kinds.apart == pytest.approx(np.mean([0.0161, 0.0158, 0.0159]) - np.mean([0.0, 0.0003, 0.0001]))
    arm_N = np.array([0.51, 0.49, 0.50, 0.52, 0.47, 0.50])
    how = {"error": 0.05, "smallest_effect": 0.05, "uneven": (3, 0)}
    near = look_at(baseline_N - arm_N, kinds=kinds, **how)
    assert (near.verdict, near.remarks) == ("better", ())
    apart = kinds_of(60 * baseline_N)  # as far from each other as the arm is from them
    far = look_at(baseline_N - arm_N, kinds=apart, **how)
    assert far.verdict == "unresolved"
    assert "may be luck" in far.remarks[0]


@pytest.mark.parametrize(("low", "high"), [(0.21, 0.4), (-0.4, -0.21)])
def test_twice_the_distance_is_needed(low: float, high: float) -> None:
    """Both means may move by all of it."""
    kinds = Kinds("two", 0.0, 0.09, 1.0, apart=0.1)
    assert kinds.cannot_make(low, high)
    assert not kinds.cannot_make(0.9 * low, 0.9 * high)
    assert not kinds.cannot_make(-0.3, 0.3)
