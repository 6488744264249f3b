"""How often a study says something false whose arms were judged by the runs that chose their learning rates, too, by
simulation, and what that saves: a table of `docs/verdicts.md`. The searches are those of `vslm.lab.tuning`.

python tests/stats/counted_cells.py --trials 300 --out docs/verdicts/counted.csv     # some minutes
"""

import itertools
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from functools import cache

import numpy as np
from simulated_tables import columns_of, parser_of, write_table

from vslm.lab.tuning import Curve
from vslm.stats.looks import fixed_plan
from vslm.stats.tuned_rates import Search, costs_of_rates
from vslm.stats.verdicts import RateCost, take_look
from vslm.study.learning_rates import CountedRates, LearningRates

CENTER, SD, GAP = 0.004, 0.02, 10.0
SHARED = 0.4  # of the variance of a run is luck of its seed, as real runs at two learning rates had it
Loss = Callable[[float], float]  # nats above the best, of a rate in octaves from the center


def parabola(curvature: float, optimum: float) -> Loss:
    """Nats above the best."""
    return lambda octaves: curvature * (octaves - optimum) ** 2


@cache
def _of_a_real_model() -> tuple[tuple[float, ...], float]:
    rates, losses = np.arange(-2.0, 4.0), [5.0546, 4.5692, 4.2378, 4.1510, 4.0646, 4.0960]
    fit = np.polyfit(rates, losses, 4)
    return tuple(fit), float(np.polyval(fit, np.linspace(-2, 3, 2001)).min())


def measured(octaves: float) -> float:
    """Of a plain model of 0.3M parameters, smoothed; its best rate lies about two octaves above the center."""
    fit, least = _of_a_real_model()
    return float(np.polyval(fit, octaves)) - least


CURVES: dict[str, list[Loss]] = {  # the baseline's first
    "alike": [parabola(0.03, 0.3)] * 5,
    "steep baseline": [parabola(c, o) for c, o in ((0.1, 0.4), (0.01, 0.4), (0.02, -0.4), (0.03, 0.5), (0.005, 0.0))],
    "flat baseline": [parabola(c, o) for c, o in ((0.005, 0.3), (0.1, 0.4), (0.1, 0.0), (0.05, 0.5), (0.03, -0.5))],
    "moved": [parabola(c, o) for c, o in ((0.03, 0.0), (0.03, 1.2), (0.05, -1.4), (0.02, 2.0), (0.03, 0.5))],
    "measured": [measured] * 5,
}
NOISES: dict[str, Callable[[np.random.Generator], float]] = {
    "normal": lambda rng: rng.standard_normal(),
    "t(3)": lambda rng: rng.standard_t(3) / math.sqrt(3),
    "log-normal 1": lambda rng: (math.exp(rng.standard_normal()) - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e),
    "two kinds, 0.5": lambda rng: rng.standard_normal() + math.sqrt(2) * GAP * (rng.random() >= 0.5),
    "two kinds, 0.8": lambda rng: rng.standard_normal() + math.sqrt(2) * GAP * (rng.random() >= 0.8),
}
DESIGNS: dict[str, LearningRates | CountedRates] = {
    "apart": LearningRates(),
    "apart, fewer": LearningRates(values=3, more_seeds=1),
    "counted": CountedRates(),
}


@dataclass(frozen=True)
class Cell:
    """One way to tune and judge four arms.

    Args:
        design: a name of `DESIGNS`.
        curves: a name of `CURVES`; all have the same best loss.
        noise: a name of `NOISES`.
        seeds: of the look.
        effect: the smallest one, in nats; where it is large, the first arm is worse by just as much.
    """

    design: str
    curves: str
    noise: str
    seeds: int
    effect: float

    @property
    def truth(self) -> float:
        """Of the first arm."""
        return self.effect if self.effect > SD else 0.0


@dataclass(frozen=True)
class Found:
    """Shares of studies that say something false, and whose intervals all hold the truth; mean half of an interval in
    nats; runs an arm; share of arms whose best rate may lie beyond what was tried.
    """

    false: float
    coverage: float
    half_nats: float
    runs: float
    edge: float


class _Runs:
    """The final losses of one study, each run trained once."""

    def __init__(self, cell: Cell, rng: np.random.Generator) -> None:
        self.losses, self.draw, self.rng = CURVES[cell.curves], NOISES[cell.noise], rng
        self.worse = {1: cell.truth}
        self.luck: dict[object, float] = {}
        self.known: dict[tuple[int, float, object], float] = {}

    def loss(self, arm: int, rate: float, seed: object) -> float:
        """Of an arm at a rate; a seed has luck that all its runs share."""
        key = (arm, rate, seed)
        if key not in self.known:
            shared = self.luck.setdefault(seed, self.rng.standard_normal())
            luck = math.sqrt(SHARED) * shared + math.sqrt(1 - SHARED) * self.draw(self.rng)
            self.known[key] = self.losses[arm](math.log2(rate / CENTER)) + self.worse.get(arm, 0.0) + SD * luck
        return self.known[key]


def study(cell: Cell, rng: np.random.Generator) -> tuple[bool, bool, float, float, float]:
    """Whether one study says something false, whether all intervals hold, and the rest of `Found`."""
    design, runs = DESIGNS[cell.design], _Runs(cell, rng)
    is_counted = isinstance(design, CountedRates)
    grid = design.search if isinstance(design, CountedRates) else design
    searches = {}
    for arm in range(len(runs.losses)):
        curve = Curve(grid, CENTER, is_counted=is_counted)
        while wanted := curve.wanted():
            curve.take(
                {
                    rate: [runs.loss(arm, rate, i if is_counted else f"apart {i}") for i in seeds]
                    for rate, seeds in wanted.items()
                }
            )
        chosen = curve.choice()
        assert chosen is not None
        searches[str(arm)] = Search(curve.rates, [curve.values[rate] for rate in curve.rates], chosen[0])
    costs = costs_of_rates(searches)
    final_AN = np.array(
        [[runs.loss(int(arm), row.chosen, seed) for seed in range(cell.seeds)] for arm, row in searches.items()]
    )
    others = [arm for arm in searches if arm != "0"]
    looks = take_look(
        {arm: final_AN[int(arm)] - final_AN[0] for arm in others},
        fixed_plan(cell.seeds),
        [],
        cell.effect,
        costs={arm: RateCost(costs[arm], costs["0"]) for arm in others},
    )
    truth = {arm: cell.truth if arm == "1" else 0.0 for arm in others}
    wrong = {arm: {"better", "equivalent"} if truth[arm] else {"better", "worse"} for arm in others}
    return (
        any(look.verdict in wrong[arm] for arm, look in looks.items()),
        all(look.low <= truth[arm] <= look.high for arm, look in looks.items()),
        float(np.mean([(look.high - look.low) / 2 for look in looks.values()])),
        len(runs.known) / len(searches),
        sum(math.isinf(cost) for cost in costs.values()) / len(costs),
    )


def rates(cell: Cell, trials: int, rng: np.random.Generator) -> Found:
    """Over `trials` studies."""
    return Found(*np.mean([study(cell, rng) for _ in range(trials)], axis=0).tolist())


def cells() -> Iterator[Cell]:
    """All of the table: the proof for runs that count, then what three designs take with normal luck."""
    for curves, noise, seeds in itertools.product(CURVES, NOISES, (4, 8, 16)):
        yield Cell("counted", curves, noise, seeds, 0.01)
    for curves, noise, seeds in itertools.product(("alike", "moved"), NOISES, (4, 8, 16)):
        yield Cell("counted", curves, noise, seeds, 10 * SD)
    for curves, seeds, design in itertools.product(("alike", "flat baseline", "moved"), (4, 8, 12, 16), DESIGNS):
        if design != "counted" or seeds == 12:
            yield Cell(design, curves, "normal", seeds, 0.01)


def main(arguments: list[str]) -> None:
    """Write the table."""
    asked = parser_of(__doc__, trials=300, out="docs/verdicts/counted.csv").parse_args(arguments)
    write_table(asked.out, columns_of(Cell, Found), cells(), lambda *of: astuple(rates(*of)), asked.trials)


if __name__ == "__main__":
    main(sys.argv[1:])
