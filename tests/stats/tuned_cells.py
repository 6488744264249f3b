"""How often a study says something false after every arm was tuned, by simulation: the second table of
`docs/verdicts.md`. The searches are those of `vslm.lab.tuning`, run by run.

python tests/stats/tuned_cells.py --trials 1000 --out docs/verdicts-tuned.csv     # some minutes
"""

import itertools
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from simulated_tables import parser_of, write_table

from vslm.lab.tuning import Curve
from vslm.stats.looks import fixed_plan
from vslm.stats.tuned_rates import Search, costs_of_rates
from vslm.stats.verdicts import RateCost, take_look
from vslm.study.learning_rates import LearningRates

EFFECT, ARMS, CENTER, SD = 0.01, 4, 0.004, 0.02
Loss = Callable[[float], float]  # of a rate in octaves from the center


def parabola(curvature: float, optimum: float) -> Loss:
    """Nats at a rate, above those at the best."""
    return lambda octaves: curvature * (octaves - optimum) ** 2


def measured(octaves: float) -> float:
    """Final losses of a plain model of 0.3M parameters at six rates, 1 octave apart, smoothed by a polynomial."""
    rates, losses = np.arange(-2.0, 4.0), [5.0546, 4.5692, 4.2378, 4.1510, 4.0646, 4.0960]
    return float(np.polyval(np.polyfit(rates, losses, 4), octaves))


CURVES: dict[str, Loss] = {
    "steep": parabola(0.1, 0.5),
    "middle": parabola(0.03, 0.3),
    "flat": parabola(0.01, 0.3),
    "measured": measured,
}


@dataclass(frozen=True)
class Cell:
    """One way to tune and judge four arms that are all the same.

    Args:
        curve: a name of `CURVES`.
        seeds: of the look.
        tuning: correlation of the luck of arms and rates with the same seed, in tuning.
        judging: the same, in judging.
        beyond: octaves by which the first arm's best rate lies above its center, with the same best loss; 0: as all.
        sd: of a run.
    """

    curve: str
    seeds: int
    tuning: float
    judging: float
    beyond: float = 0.0
    sd: float = SD


def study(cell: Cell, rng: np.random.Generator) -> list[str]:
    """The verdicts of one study; the first arm's first."""
    losses = [CURVES[cell.curve]] * (ARMS + 1)
    if cell.beyond:
        losses[1] = lambda octaves: CURVES[cell.curve](octaves - cell.beyond)
    shared: dict[int, float] = {}  # luck of a tuning seed
    curves = []
    for loss in losses:
        curve = Curve(LearningRates(), CENTER)
        while wanted := curve.wanted():
            curve.take(
                {
                    rate: [
                        loss(math.log2(rate / CENTER))
                        + cell.sd
                        * (
                            math.sqrt(cell.tuning) * shared.setdefault(seed, rng.standard_normal())
                            + math.sqrt(1 - cell.tuning) * rng.standard_normal()
                        )
                        for seed in seeds
                    ]
                    for rate, seeds in wanted.items()
                }
            )
        curves.append(curve)
    rows = {str(arm): curve.record() for arm, curve in enumerate(curves)}
    costs = costs_of_rates(
        {
            a: Search([tried.rate for tried in row.rates], [tried.values for tried in row.rates], row.chosen)
            for a, row in rows.items()
        }
    )
    luck = math.sqrt(cell.judging) * rng.standard_normal(cell.seeds)
    own = math.sqrt(1 - cell.judging) * rng.standard_normal((ARMS + 1, cell.seeds))
    at = np.array([loss(math.log2(rows[str(arm)].chosen / CENTER)) for arm, loss in enumerate(losses)])
    final = at[:, None] + cell.sd * (luck + own)
    looks = take_look(
        {str(arm): final[arm] - final[0] for arm in range(1, ARMS + 1)},
        fixed_plan(cell.seeds),
        [],
        EFFECT,
        costs={str(arm): RateCost(costs[str(arm)], costs["0"]) for arm in range(1, ARMS + 1)},
    )
    return [look.verdict for look in looks.values()]


def false_share(cell: Cell, trials: int, rng: np.random.Generator) -> tuple[float, float]:
    """Share of studies that say better or worse of any arm, and of the first one."""
    said = [study(cell, rng) for _ in range(trials)]
    wrong = {"better", "worse"}
    return sum(bool(wrong & set(v)) for v in said) / trials, sum(v[0] in wrong for v in said) / trials


def cells() -> Iterator[Cell]:
    """All of the table."""
    for curve, seeds, (tuning, judging) in itertools.product(
        CURVES, (3, 5, 8, 16), ((0.0, 0.0), (0.4, 0.4), (0.0, 0.4), (0.0, 0.8), (0.8, 0.8))
    ):
        yield Cell(curve, seeds, tuning, judging)
    for curve, seeds, beyond in itertools.product(("steep", "middle", "flat"), (3, 5, 8, 16), (3.0, 4.0, 4.5)):
        yield Cell(curve, seeds, 0.0, 0.0, beyond)


def main(arguments: list[str]) -> None:
    """Write the table."""
    asked = parser_of(__doc__, trials=1000, out="docs/verdicts-tuned.csv").parse_args(arguments)
    columns = ["curve", "seeds", "tuning", "judging", "beyond", "sd", "false", "false_first"]
    write_table(asked.out, columns, cells(), false_share, asked.trials)


if __name__ == "__main__":
    main(sys.argv[1:])
