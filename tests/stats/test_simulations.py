"""The proof by simulation: how often a whole study says something false."""

import math

import numpy as np
import pytest

from vslm.stats.intervals import student_interval
from vslm.stats.looks import LookPlan, fixed_plan, sequential_plan
from vslm.stats.verdicts import take_look

TRIALS = 2000
EFFECT = 0.01
SD = 0.01
ALLOWED = 0.05 + 2 * math.sqrt(0.05 * 0.95 / TRIALS)

PLANS = {
    "fixed 3": (fixed_plan(3), (3,)),
    "fixed 5": (fixed_plan(5), (5,)),
    "sequential 4, 8, 16": (sequential_plan((4, 8, 16)), (4, 8, 16)),
    "fixed 3, then 5 unplanned": (fixed_plan(3), (3, 5)),
}


def _noise(rng: np.random.Generator, shape: tuple[int, ...], heavy: bool) -> np.ndarray:
    return rng.standard_t(5, shape) / math.sqrt(5 / 3) if heavy else rng.standard_normal(shape)


def _study(rng: np.random.Generator, plan: LookPlan, looks: tuple[int, ...], arms: int, effect: float, heavy: bool):
    """Run one study to its first resolved look; return (verdict, covered) for every arm."""
    seeds = max(looks)
    baseline = _noise(rng, (seeds,), heavy) * SD / math.sqrt(2)
    runs = effect + _noise(rng, (arms, seeds), heavy) * SD / math.sqrt(2)
    differences = runs - baseline
    standing: dict[int, tuple[str, bool]] = {}
    taken: list[int] = []
    for look in looks:
        found = take_look({str(i): differences[i, :look] for i in range(arms)}, plan, taken, EFFECT)
        taken.append(look)
        for i in range(arms):
            if i not in standing or standing[i][0] == "unresolved":
                one = found[str(i)]
                standing[i] = (one.verdict, one.low <= effect <= one.high)
    return list(standing.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("heavy", [False, True], ids=["normal", "heavy tails"])
@pytest.mark.parametrize("arms", [1, 3])
@pytest.mark.parametrize("factor", [0, 1, -1, 2])
def test_a_study_says_something_false_at_most_five_times_in_a_hundred(name: str, heavy: bool, arms: int, factor: int):
    """False directions and false equivalences per study at most 5% + 2 SE; the intervals cover at least 94%."""
    plan, looks = PLANS[name]
    rng = np.random.default_rng(20261123)
    effect = factor * EFFECT
    wrong_direction = wrong_equivalence = covered = resolved = 0
    for _ in range(TRIALS):
        outcomes = _study(rng, plan, looks, arms, effect, heavy)
        false = {"better", "worse"} if effect == 0 else {"better"} if effect > 0 else {"worse"}
        wrong_direction += any(verdict in false for verdict, _ in outcomes)
        wrong_equivalence += effect != 0 and any(verdict == "equivalent" for verdict, _ in outcomes)
        covered += sum(inside for _, inside in outcomes)
        resolved += sum(verdict != "unresolved" for verdict, _ in outcomes)
    print(f"{name}, {arms} arms, effect {factor} x smallest: resolved {resolved / TRIALS / arms:.1%}")
    assert wrong_direction / TRIALS <= ALLOWED
    assert wrong_equivalence / TRIALS <= ALLOWED
    assert covered / TRIALS / arms >= 0.94


@pytest.mark.slow
def test_plain_intervals_looked_at_after_every_seed_do_go_wrong():
    """The same harness catches the error that the plans are there to avoid."""
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(TRIALS):
        values = rng.standard_normal(12)
        ends = [student_interval(values[:n], 0.05) for n in range(3, 13)]
        wrong += any(end.low > 0 or end.high < 0 for end in ends)
    assert wrong / TRIALS > 0.1


@pytest.mark.slow
def test_a_percentile_bootstrap_over_three_seeds_covers_too_little():
    """Why there is no bootstrap over seeds: its 95% covers below 85% with three."""
    rng = np.random.default_rng(7)
    values = rng.standard_normal((TRIALS, 3))
    picks = rng.integers(0, 3, (TRIALS, 500, 3))
    means = np.take_along_axis(values[:, None, :], picks, axis=2).mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert np.mean((low <= 0) & (high >= 0)) < 0.85
