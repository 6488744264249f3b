"""How often a race says something false, what it saves, and how often it loses the best arm, by simulation: a table of
`docs/verdicts.md`. Arms are dropped by `vslm.stats.racing`, and judged as `vslm.lab.verdict` does.

python tests/stats/race_cells.py --trials 500 --out docs/verdicts/race.csv     # some minutes
"""

import itertools
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass

import numpy as np
from simulated_tables import columns_of, parser_of, write_table

from vslm.stats.looks import fixed_plan, sequential_plan
from vslm.stats.racing import standing
from vslm.stats.verdicts import Look, take_look
from vslm.study.race import Race

AUTO = (4, 8, 16)
EFFECT = 1.0  # the smallest one, in SDs of a paired difference
GAP = 10.0  # between two kinds of runs, in the same SDs
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]  # luck of runs, arms by seeds


def log_normal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Runs with a long tail to above, SD 1."""
    return (np.exp(rng.standard_normal(shape)) - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e)


def uneven(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Normal luck, of SDs from a third to three times that of the baseline."""
    sd_A = np.concatenate([[1.0], 3 ** np.linspace(-1, 1, shape[0] - 1)])
    return sd_A[:, None] * rng.standard_normal(shape)


def kinds(share: float) -> Draw:
    """Every run gets going with the same probability; the others end `GAP` higher."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return rng.standard_normal(shape) + math.sqrt(2) * GAP * (rng.random(shape) >= share)

    return draw


NOISES: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t(3)": lambda rng, shape: rng.standard_t(3, shape) / math.sqrt(3),
    "log-normal 1": log_normal,
    "uneven": uneven,
    "two kinds, 0.5": kinds(0.5),
    "two kinds, 0.8": kinds(0.8),
}
PROFILES: dict[str, tuple[float, ...]] = {
    "equal": (0.0,) * 8,
    "all worse by the smallest effect": (EFFECT,) * 8,
    "one ahead": (-4.0, *(0.0,) * 7),
    "spread": (-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0),
    "all far behind": (5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 8.0, 8.5),
}


@dataclass(frozen=True)
class Cell:
    """One way to race eight arms and a baseline.

    Args:
        noise: a name of `NOISES`.
        seeds: of one planned look; 0: "auto".
        profile: a name of `PROFILES`: true differences from the baseline, in SDs of a paired difference.
    """

    noise: str
    seeds: int
    profile: str


@dataclass(frozen=True)
class Found:
    """Shares of studies.

    Args:
        false: that say better, worse or equivalent of an arm that is not.
        coverage: in which the intervals of all arms that were judged hold the truth.
        runs: of the runs without a race, that were made.
        lost: in which the best arm was dropped.
        better: in which the best arm is said to be better. better_of_all: the same without a race.
    """

    false: float
    coverage: float
    runs: float
    lost: float
    better: float
    better_of_all: float


@dataclass
class Raced:
    """What a race came to: what stands of each arm that was judged, how many seeds each had, and who was dropped."""

    looks: dict[str, Look]
    seeds: dict[str, int]
    dropped: set[str]


def raced(losses_AN: np.ndarray, looks: tuple[int, ...], race: Race | None) -> Raced:
    """A study of these losses, the baseline's first."""
    num_others = len(losses_AN) - 1
    plan = fixed_plan(looks[0]) if len(looks) == 1 else sequential_plan(looks)
    values = {str(arm): [float(value) for value in row] for arm, row in enumerate(losses_AN)}
    left, found = list(values), Raced({}, dict.fromkeys(values, 0), set())
    for count in range(1, looks[-1] + 1):
        if race is not None and count > race.first:
            found.dropped |= set(_dropped(values, left, count - 1, race))
            left = [arm for arm in left if arm not in found.dropped]
        if left == ["0"]:
            break
        found.seeds.update(dict.fromkeys(left, count))
        if count in looks:
            differences = {arm: losses_AN[int(arm), :count] - losses_AN[0, :count] for arm in left if arm != "0"}
            taken = [look for look in looks if look < count]
            for arm, look in take_look(differences, plan, taken, EFFECT, num_arms=num_others).items():
                if found.looks.get(arm, look).verdict == "unresolved" or arm not in found.looks:
                    found.looks[arm] = look
            if all(found.looks[arm].verdict != "unresolved" for arm in differences):
                break
    found.looks = {a: look for a, look in found.looks.items() if a in left or look.verdict != "unresolved"}
    return found


def _dropped(values: dict[str, list[float]], left: list[str], count: int, race: Race) -> list[str]:
    seen = {arm: dict(enumerate(values[arm][:count])) for arm in left}
    now = standing(seen, baseline="0", seeds=count, smallest_effect=EFFECT, error=race.error)
    return list(now.dropped)


def is_false(verdict: str, truth: float) -> bool:
    """Whether a verdict says something else than the truth."""
    return (
        (verdict == "better" and truth >= 0)
        or (verdict == "worse" and truth <= 0)
        or (verdict == "equivalent" and abs(truth) >= EFFECT)
    )


def rates(cell: Cell, trials: int, rng: np.random.Generator, race: Race | None = None) -> Found:
    """Shares of `trials` studies."""
    race, truth = race or Race(), (0.0, *PROFILES[cell.profile])
    looks = (cell.seeds,) if cell.seeds else AUTO
    best = str(int(np.argmin(truth[1:])) + 1)
    sums = np.zeros(7)
    for _ in range(trials):
        luck_AN = NOISES[cell.noise](rng, (len(truth), looks[-1])) / math.sqrt(2)
        losses_AN = np.array(truth)[:, None] + luck_AN
        found, whole = raced(losses_AN, looks, race), raced(losses_AN, looks, None)
        sums += (
            any(is_false(look.verdict, truth[int(arm)]) for arm, look in found.looks.items()),
            all(look.low <= truth[int(arm)] <= look.high for arm, look in found.looks.items()),
            sum(found.seeds.values()),
            sum(whole.seeds.values()),
            best in found.dropped,
            best in found.looks and found.looks[best].verdict == "better",
            whole.looks[best].verdict == "better",
        )
    false, held, runs, of, lost, better, of_all = sums.tolist()
    return Found(false / trials, held / trials, runs / of, lost / trials, better / trials, of_all / trials)


def cells() -> Iterator[Cell]:
    """All of the table."""
    for noise, seeds, profile in itertools.product(NOISES, (5, 8, 16, 0), PROFILES):
        yield Cell(noise, seeds, profile)


def main(arguments: list[str]) -> None:
    """Write the table."""
    asked = parser_of(__doc__, trials=500, out="docs/verdicts/race.csv").parse_args(arguments)
    write_table(asked.out, columns_of(Cell, Found), cells(), lambda *of: astuple(rates(*of)), asked.trials)


if __name__ == "__main__":
    main(sys.argv[1:])
