"""How often a whole study says something false, by simulation, cell by cell: `docs/verdicts.md` shows the table.

python tests/stats/cells.py --trials 4000 --out docs/verdicts.csv     # all cells, some minutes
python tests/stats/cells.py --trials 2000 --noise "two kinds, piloted, 0.5" --out piloted.csv   # not one of the table
"""

import dataclasses
import itertools
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from simulated_tables import columns_of, parser_of, write_table

from vslm.stats.looks import LookPlan, fixed_plan, sequential_plan
from vslm.stats.verdicts import take_look

GAP = 10.0
"""Between two kinds of runs, in SDs of a difference; `vslm.stats.kinds` assumes no more."""
EFFECTS = (1.0, 2.0, 4.0, 8.0)
"""Smallest effects, in the same SDs; each is also the truth once, where "equivalent" is only just false."""
AUTO = (4, 8, 16)
PILOT_SEEDS = 2  # of a study with more than three
Draw = Callable[[np.random.Generator, int, int], np.ndarray]  # (arms, seeds) -> differences around a mean of 0


def _runs(rng: np.random.Generator, arms: int, seeds: int, draw: Callable[[tuple[int, int]], np.ndarray]) -> np.ndarray:
    """Differences of arms from one baseline, each run with half the variance."""
    runs = draw((arms + 1, seeds)) / math.sqrt(2)
    return runs[1:] - runs[0]


def normal(rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
    """Runs of one kind with normal luck."""
    return _runs(rng, arms, seeds, rng.standard_normal)


def heavy(rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
    """Runs with t(3) luck."""
    return _runs(rng, arms, seeds, lambda shape: rng.standard_t(3, shape) / math.sqrt(3))


def log_normal(sigma: float) -> Draw:
    """Differences themselves skewed, of each arm on its own, SD 1."""

    def draw(rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
        values = np.exp(sigma * rng.standard_normal((arms, seeds))) - math.exp(sigma**2 / 2)
        return values / math.sqrt((math.exp(sigma**2) - 1) * math.exp(sigma**2))

    return draw


def equal_kinds(share: float) -> Draw:
    """Every run, the baseline's too, gets going with the same probability; the others end `GAP` higher."""

    def draw(rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
        high = GAP * (rng.random((arms + 1, seeds)) >= share)
        return high[1:] - high[0] + normal(rng, arms, seeds)

    return draw


def piloted_kinds(share: float) -> Draw:
    """As `equal_kinds`, of those studies that went on after their pilot, `share` ** 2 of all: the baseline's first two
    runs got going; its first one, where there are three seeds.
    """

    def draw(rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
        high = GAP * (rng.random((arms + 1, seeds)) >= share)
        high[0, : 1 if seeds == 3 else PILOT_SEEDS] = 0.0
        return high[1:] - high[0] + normal(rng, arms, seeds)

    return draw


def failing(truth: float) -> Draw:
    """The baseline always gets going, an arm fails as often as makes it worse by `truth` on average, and not else.

    As a noise around that truth, so the mean of what is drawn is 0.
    """

    def draw(rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
        return GAP * (rng.random((arms, seeds)) < truth / GAP) - truth + normal(rng, arms, seeds)

    return draw


NOISES: dict[str, Draw] = {
    "normal": normal,
    "t(3)": heavy,
    "log-normal 0.5": log_normal(0.5),
    "log-normal 1": log_normal(1.0),
    "two kinds, equal, 0.5": equal_kinds(0.5),
    "two kinds, equal, 0.8": equal_kinds(0.8),
}
PILOTED: dict[str, Draw] = {
    "two kinds, piloted, 0.5": piloted_kinds(0.5),
    "two kinds, piloted, 0.8": piloted_kinds(0.8),
}


class Planned:
    """Looks of a study, from its number of seeds.

    Args:
        seeds: of one planned look; 0: "auto", looks at 4, 8 and 16 until every arm is resolved.
    """

    seeds: int

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds that are looked at."""
        return (self.seeds,) if self.seeds else AUTO

    @property
    def plan(self) -> LookPlan:
        """As a study of these seeds has it."""
        return fixed_plan(self.seeds) if self.seeds else sequential_plan(AUTO)


@dataclass(frozen=True)
class Cell(Planned):
    """One way to run a study.

    Args:
        noise: a name of `NOISES`, or "two kinds, an arm fails".
        seeds: of one planned look; 0: "auto", looks at 4, 8 and 16 until every arm is resolved.
        arms: beside the baseline.
    """

    noise: str
    seeds: int
    arms: int


@dataclass(frozen=True)
class Found:
    """Shares of studies, in the worst case over `EFFECTS`, and what was resolved there."""

    false_direction: float
    false_equivalence: float
    coverage: float
    resolved: float

    @property
    def false(self) -> float:
        """The worse of both."""
        return max(self.false_direction, self.false_equivalence)


def study(differences: np.ndarray, cell: Cell, truth: float, smallest_effect: float) -> tuple[set[str], bool, int]:
    """The verdicts of a study, whether every interval held the truth, and how many arms were resolved."""
    standing: dict[str, tuple[str, bool]] = {}
    taken: list[int] = []
    for look in cell.looks:
        found = take_look({str(i): row[:look] for i, row in enumerate(differences)}, cell.plan, taken, smallest_effect)
        taken.append(look)
        for arm, one in found.items():
            if standing.get(arm, ("unresolved", True))[0] == "unresolved":
                standing[arm] = (one.verdict, one.low <= truth <= one.high)
        if all(verdict != "unresolved" for verdict, _ in standing.values()):
            break
    verdicts = [verdict for verdict, _ in standing.values()]
    return set(verdicts), all(held for _, held in standing.values()), sum(v != "unresolved" for v in verdicts)


def rates(cell: Cell, draw: Draw, truth: float, smallest_effect: float, trials: int, rng: np.random.Generator) -> Found:
    """Shares of `trials` studies whose arms all have the same true difference."""
    wrong = {"better", "worse"} if truth == 0 else {"better"} if truth > 0 else {"worse"}
    direction = equivalence = covered = resolved = 0
    for _ in range(trials):
        verdicts, held, count = study(truth + draw(rng, cell.arms, max(cell.looks)), cell, truth, smallest_effect)
        direction += bool(verdicts & wrong)
        equivalence += "equivalent" in verdicts and abs(truth) >= smallest_effect
        covered += held
        resolved += count
    return Found(direction / trials, equivalence / trials, covered / trials, resolved / trials / cell.arms)


def worst(cell: Cell, trials: int, rng: np.random.Generator) -> Found:
    """The worst over truths: none with a middling smallest effect, and each of `EFFECTS` as the truth."""
    if cell.noise == "two kinds, an arm fails":
        found = [rates(cell, failing(effect), effect, effect, trials, rng) for effect in EFFECTS]
    else:
        draw = {**NOISES, **PILOTED}[cell.noise]
        found = [rates(cell, draw, 0.0, EFFECTS[0], trials, rng)]
        found += [rates(cell, draw, effect, effect, trials, rng) for effect in EFFECTS]
    return Found(
        max(one.false_direction for one in found),
        max(one.false_equivalence for one in found),
        min(one.coverage for one in found),
        found[-1].resolved,
    )


def cells(noise: str | None = None) -> Iterator[Cell]:
    """All of the table, or of one noise."""
    noises = (*NOISES, "two kinds, an arm fails") if noise is None else (noise,)
    for name, seeds, arms in itertools.product(noises, (3, 4, 5, 8, 16, 0), (1, 3, 5)):
        yield Cell(name, seeds, arms)


def main(arguments: list[str]) -> None:
    """Write the table."""
    parser = parser_of(__doc__, trials=4000, out="docs/verdicts.csv")
    parser.add_argument("--noise", default=None)
    asked = parser.parse_args(arguments)
    write_table(
        asked.out,
        columns_of(Cell, Found),
        cells(asked.noise),
        lambda *of: dataclasses.astuple(worst(*of)),
        asked.trials,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
