"""How often a study with factors says something false, by simulation, and what it saves: `docs/verdicts.md`.

python tests/stats/factor_cells.py --trials 400 --out docs/verdicts/factors.csv     # all cells, 40 minutes
python tests/stats/factor_cells.py --savings docs/verdicts/savings.csv               # a second
"""

import argparse
import csv
import dataclasses
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cells import EFFECTS, GAP, Found, Planned

from vslm.stats.designs import Design, choose_design
from vslm.stats.effects import kinds_of_cells, look_at_effect, weights_of
from vslm.stats.intervals import per_arm_error
from vslm.stats.looks import error_of_look, fixed_plan
from vslm.stats.power import usual_multiplier

HIDDEN = 4.0
"""An interaction that nobody declared, in SDs of an effect."""
SHARED = 1.0
"""Variance of the luck that all runs of a seed share, over that which each has to itself."""
DESIGNS: dict[str, tuple[int, tuple[tuple[int, int], ...]]] = {
    "3 in 8, one interaction": (3, ((0, 1),)),
    "4 in 8": (4, ()),
    "8 in 16": (8, ()),
    "11 in 24": (11, ()),
}
NUM_SEEDS = (3, 4, 5, 8, 0)  # 0: "auto"
Draw = Callable[[np.random.Generator, Design, int, float], np.ndarray]
"""(design, seeds, truth in SDs of a run) -> luck of runs around what the effects make of them, in SDs of a run."""


def _own(rng: np.random.Generator, design: Design, seeds: int, values_RN: np.ndarray) -> np.ndarray:
    """With the luck that runs of a seed share."""
    return values_RN + math.sqrt(SHARED) * rng.standard_normal(seeds)


def normal(rng: np.random.Generator, design: Design, seeds: int, truth: float) -> np.ndarray:
    """Runs of one kind with normal luck."""
    return _own(rng, design, seeds, rng.standard_normal((design.num_runs, seeds)))


def heavy(rng: np.random.Generator, design: Design, seeds: int, truth: float) -> np.ndarray:
    """Runs with t(3) luck."""
    return _own(rng, design, seeds, rng.standard_t(3, (design.num_runs, seeds)) / math.sqrt(3))


def skewed(sigma: float) -> Draw:
    """Log-normal luck with its tail upwards where the first factor is on, and downwards where it is off: the worst for
    its effect.
    """

    def draw(rng: np.random.Generator, design: Design, seeds: int, truth: float) -> np.ndarray:
        values = np.exp(sigma * rng.standard_normal((design.num_runs, seeds))) - math.exp(sigma**2 / 2)
        values /= math.sqrt((math.exp(sigma**2) - 1) * math.exp(sigma**2))
        return _own(rng, design, seeds, values * design.signs([0])[:, None])

    return draw


def unequal(rng: np.random.Generator, design: Design, seeds: int, truth: float) -> np.ndarray:
    """Runs of the same factors with SDs of their own, from a third of the middle to three times as much."""
    scales_R1 = 3.0 ** rng.uniform(-1, 1, (design.num_runs, 1))
    scales_R1 /= math.sqrt(float((scales_R1**2).mean()))
    return _own(rng, design, seeds, scales_R1 * rng.standard_normal((design.num_runs, seeds)))


def one_wild(rng: np.random.Generator, design: Design, seeds: int, truth: float) -> np.ndarray:
    """Log-normal luck with sigma 1, in the run with most factors five times that of all others."""
    scales_R1 = np.ones((design.num_runs, 1))
    scales_R1[-1] = 5.0
    values = np.exp(rng.standard_normal((design.num_runs, seeds))) - math.exp(0.5)
    values /= math.sqrt((math.e - 1) * math.e)
    return _own(rng, design, seeds, values * scales_R1 / math.sqrt(float((scales_R1**2).mean())))


def equal_kinds(share: float) -> Draw:
    """Every run gets going with the same probability; the others end `GAP` SDs of a paired difference higher."""

    def draw(rng: np.random.Generator, design: Design, seeds: int, truth: float) -> np.ndarray:
        values = normal(rng, design, seeds, truth)
        return values + math.sqrt(2) * GAP * (rng.random(values.shape) >= share)

    return draw


def piloted(rng: np.random.Generator, design: Design, seeds: int, truth: float) -> np.ndarray:
    """As with a share of a half, of those studies that went on after their pilot: of the baseline, which is the first
    run, two seeds got going, or one of three.
    """
    values = normal(rng, design, seeds, truth)
    high = rng.random(values.shape) >= 0.5
    high[0, : 1 if seeds == 3 else 2] = False
    return values + math.sqrt(2) * GAP * high


def failing(rng: np.random.Generator, design: Design, seeds: int, truth: float) -> np.ndarray:
    """Runs with the first factor fail as often as makes its effect `truth`, and the others never. Around that truth."""
    values, gap = normal(rng, design, seeds, truth), math.sqrt(2) * GAP
    on_R1 = design.on_RF[:, :1]
    fails = on_R1 & (rng.random(values.shape) < truth / gap)
    return values + gap * fails - truth * on_R1


def corner(rng: np.random.Generator, design: Design, seeds: int, truth: float) -> np.ndarray:
    """The run with most factors alone fails, as often as makes the effect of the first factor `truth`."""
    values, gap = normal(rng, design, seeds, truth), math.sqrt(2) * GAP
    share = min(1.0, truth / gap * design.num_runs / 2)
    values[-1] += gap * (rng.random(seeds) < share) - share * gap
    return values


NOISES: dict[str, Draw] = {
    "normal": normal,
    "t(3)": heavy,
    "log-normal 0.5": skewed(0.5),
    "log-normal 1": skewed(1.0),
    "unequal": unequal,
    "one wild": one_wild,
    "two kinds, 0.5": equal_kinds(0.5),
    "two kinds, 0.8": equal_kinds(0.8),
    "two kinds, 0.95": equal_kinds(0.95),
    "two kinds, piloted, 0.5": piloted,
    "two kinds, a factor fails": failing,
    "two kinds, one run fails": corner,
}
ONLY_TRUE = ("two kinds, a factor fails", "two kinds, one run fails")  # noises that are an effect of the first factor


@dataclass(frozen=True)
class Cell(Planned):
    """One way to run a study with factors. Two factors that were not declared to act on each other always do, by four
    times the SD of an effect.
    """

    noise: str
    design: str
    seeds: int


def design_of(cell: Cell) -> tuple[Design, list[tuple[int, ...]]]:
    """The design, and the effects that are judged."""
    num_factors, interactions = DESIGNS[cell.design]
    design = choose_design(num_factors, interactions)
    assert design is not None
    return design, [*((i,) for i in range(num_factors)), *interactions]


def study(
    values_RN: np.ndarray, weights: Sequence[np.ndarray], truths: Sequence[float], cell: Cell, smallest_effect: float
) -> tuple[list[str], bool]:
    """The verdict of each effect, and whether every interval held its truth."""
    standing: dict[int, tuple[str, bool]] = {}
    taken: list[int] = []
    for look in cell.looks:
        values = values_RN[:, :look]
        kinds = kinds_of_cells(values)
        error = per_arm_error(error_of_look(cell.plan, taken, look), len(weights))
        taken.append(look)
        for i, weights_R in enumerate(weights):
            if standing.get(i, ("unresolved", True))[0] == "unresolved":
                one = look_at_effect(values, weights_R, error=error, smallest_effect=smallest_effect, kinds=kinds)
                standing[i] = one.verdict, one.low <= truths[i] <= one.high
        if all(verdict != "unresolved" for verdict, _ in standing.values()):
            break
    return [verdict for verdict, _ in standing.values()], all(held for _, held in standing.values())


def rates(
    cell: Cell,
    draw: Draw,
    truth: float,
    effect: float,
    trials: int,
    rng: np.random.Generator,
    *,
    hidden: float = HIDDEN,
) -> Found:
    """Shares of `trials` studies.

    Args:
        truth: of every effect, in SDs of an effect; of noises that are an effect, of that one, and others have none.
        effect: the smallest effect, in the same.
        hidden: the interaction that nobody declared, in the same.
    """
    design, effects = design_of(cell)
    weights = [weights_of(design, factors) for factors in effects]
    unit = 2 / math.sqrt(design.num_runs)  # the SD of a main effect, in SDs of a run
    last = design.on_RF.shape[1] - 1
    coded_RF = np.where(design.on_RF, 0.5, -0.5)
    hidden_R = hidden * unit * coded_RF[:, last] * coded_RF[:, last - 1]  # adds nothing to any main effect
    if cell.noise == ONLY_TRUE[1]:
        share = min(1.0, truth * unit / (math.sqrt(2) * GAP) * design.num_runs / 2)
        truths = [float(w[-1]) * share * math.sqrt(2) * GAP for w in weights]
        means_R = np.zeros(design.num_runs)
        means_R[-1] = share * math.sqrt(2) * GAP
    else:
        truths = [truth * unit * (i == 0 or cell.noise not in ONLY_TRUE) for i in range(len(effects))]
        means_R = sum(
            (size * np.prod(coded_RF[:, list(factors)], axis=1) for size, factors in zip(truths, effects, strict=True)),
            start=np.zeros(design.num_runs),
        )
    direction = equivalence = covered = resolved = 0
    for _ in range(trials):
        values_RN = (means_R + hidden_R)[:, None] + draw(rng, design, max(cell.looks), truth * unit)
        verdicts, held = study(values_RN, weights, truths, cell, effect * unit)
        direction += any(_is_wrong(verdict, true) for verdict, true in zip(verdicts, truths, strict=True))
        equivalence += any(
            verdict == "equivalent" and abs(true) >= effect * unit * (1 - 1e-9)
            for verdict, true in zip(verdicts, truths, strict=True)
        )
        covered += held
        resolved += sum(verdict != "unresolved" for verdict in verdicts)
    return Found(direction / trials, equivalence / trials, covered / trials, resolved / trials / len(effects))


def _is_wrong(verdict: str, truth: float) -> bool:
    return verdict in ("better", "worse") and not (truth < 0 if verdict == "better" else truth > 0)


def worst(cell: Cell, trials: int, rng: np.random.Generator) -> Found:
    """The worst over truths: no effects with a middling smallest effect, and each of `EFFECTS` as the truth of all."""
    draw = NOISES[cell.noise]
    found = [] if cell.noise in ONLY_TRUE else [rates(cell, draw, 0.0, EFFECTS[0], trials, rng)]
    found += [rates(cell, draw, effect, effect, trials, rng) for effect in EFFECTS]
    return Found(
        max(one.false_direction for one in found),
        max(one.false_equivalence for one in found),
        min(one.coverage for one in found),
        found[-1].resolved,
    )


def cells() -> Iterator[Cell]:
    """All of the table."""
    for noise, design, seeds in itertools.product(NOISES, DESIGNS, NUM_SEEDS):
        yield Cell(noise, design, seeds)


def savings() -> Iterator[dict[str, str | int | float]]:
    """Runs that it takes until intervals of normal scatter are narrow enough, with one arm per change and with factors.

    Half of an interval is `usual_multiplier` times a standard error. An arm's difference from the baseline has an SD of
    sqrt(2) SDs of a run, an effect of 2 / sqrt(runs of a seed); both share what a seed shares.
    """
    for num_factors, half in itertools.product((2, 3, 4, 5, 6, 8, 11), (4.0, 2.0, 1.0, 0.5, 0.25)):
        design = choose_design(num_factors)
        assert design is not None
        seeds_of_arms = _seeds_until(half, math.sqrt(2), num_factors)
        seeds_of_design = _seeds_until(half, 2 / math.sqrt(design.num_runs), num_factors)
        yield {
            "factors": num_factors,
            "half_width_sds_of_a_run": half,
            "runs_of_a_seed": design.num_runs,
            "seeds_with_arms": seeds_of_arms,
            "runs_with_arms": seeds_of_arms * (num_factors + 1),
            "seeds_with_factors": seeds_of_design,
            "runs_with_factors": seeds_of_design * design.num_runs,
        }


def _seeds_until(half: float, sd: float, num_effects: int) -> int:
    for seeds in itertools.count(3):
        error = per_arm_error(fixed_plan(seeds).errors[0], num_effects)
        if usual_multiplier(seeds, error) * sd / math.sqrt(seeds) <= half:
            return seeds
    raise AssertionError


def main(arguments: list[str]) -> None:
    """Write a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--noise", default=None)
    parser.add_argument("--savings", type=Path, default=None)
    asked = parser.parse_args(arguments)
    if asked.savings is not None:
        found = list(savings())
        with asked.savings.open("w", newline="") as file:
            table = csv.DictWriter(file, list(found[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(found)
    if asked.out is None:
        return
    with asked.out.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        columns = [field.name for kind in (Cell, Found) for field in dataclasses.fields(kind)]
        rows.writerow([*columns, "trials"])
        for number, cell in enumerate(cells()):
            if asked.noise not in (None, cell.noise):
                continue
            one = worst(cell, asked.trials, np.random.default_rng([20261130, number]))
            shares = (f"{share:.4f}" for share in dataclasses.astuple(one))
            rows.writerow([*dataclasses.astuple(cell), *shares, asked.trials])
            file.flush()
            print(cell, one, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
