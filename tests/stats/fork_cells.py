"""How often a study of arms that are forked from trunks says something false, by simulation: a table of
`docs/verdicts.md`. What a trunk is worth is shared by the arms of a seed; after the fork each has luck with its own SD.

python tests/stats/fork_cells.py --trials 2000 --out docs/verdicts/forks.csv     # some minutes
"""

import itertools
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass

import numpy as np
from simulated_tables import columns_of, parser_of, write_table

from vslm.stats.intervals import per_arm_error
from vslm.stats.kinds import clearest
from vslm.stats.looks import fixed_plan
from vslm.stats.verdicts import look_at

EFFECT = 1.0  # the smallest one, in SDs of a paired difference of arms that are as lucky as the baseline
TRUNK_SD = 5.0  # of what a trunk is worth, in the same SDs: after a fork arms have little time to come apart
GAP = 10.0  # between trunks that got going and others
LESS = 0.5  # of a good trunk is left to an arm that makes less of it
Past = Callable[[np.random.Generator, int, int], np.ndarray]  # (arms and baseline, seeds) -> what is left of the trunk


def _same(worth_N: np.ndarray, arms: int) -> np.ndarray:
    return np.tile(worth_N, (arms, 1))


def shared(rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
    """All arms keep what their trunk was worth."""
    return _same(TRUNK_SD * rng.standard_normal(seeds), arms)


def changed(rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
    """The baseline keeps it, and every arm half of it: what an arm is worth depends on its trunk."""
    kept = shared(rng, arms, seeds)
    kept[1:] *= LESS
    return kept


def skewed(rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
    """The same of trunks with a long tail to above."""
    luck = np.exp(rng.standard_normal(seeds)) - math.exp(0.5)
    kept = _same(TRUNK_SD * luck / math.sqrt((math.e - 1) * math.e), arms)
    kept[1:] *= LESS
    return kept


def two_kinds(rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
    """Half of the trunks got going, and what is forked from the others lags as far behind."""
    return _same(GAP * (rng.random(seeds) >= 0.5) + rng.standard_normal(seeds), arms)


def apart(rng: np.random.Generator, arms: int, seeds: int) -> np.ndarray:
    """Every arm has a trunk of its own, so that its worth does not cancel."""
    return TRUNK_SD * rng.standard_normal((arms, seeds))


PASTS: dict[str, Past] = {
    "shared": shared,
    "half of it is left": changed,
    "half of a skewed one": skewed,
    "two kinds of trunks": two_kinds,
    "trunks of their own": apart,
}


@dataclass(frozen=True)
class Cell:
    """One way to fork a baseline and three arms.

    Args:
        past: a name of `PASTS`.
        luck: after the fork, "normal" or "t(3)"; its SD is that of the baseline, a third and three times as large.
        seeds: of one planned look.
    """

    past: str
    luck: str
    seeds: int


@dataclass(frozen=True)
class Found:
    """Of studies, the worst over truths.

    Args:
        false: share that says better, worse or equivalent of an arm that is not.
        coverage: share in which the intervals of all arms hold the truth.
        width: half of the interval of the arm that is as lucky as the baseline, the median, in the SDs of `EFFECT`.
    """

    false: float
    coverage: float
    width: float


def values_of(cell: Cell, truth: float, rng: np.random.Generator) -> np.ndarray:
    """The numbers of the baseline and of three arms, by seed; every arm differs by `truth` on average over trunks."""
    sd_A = np.array([1.0, 1 / 3, 1.0, 3.0]) / math.sqrt(2)
    shape = (len(sd_A), cell.seeds)
    luck_AN = rng.standard_normal(shape) if cell.luck == "normal" else rng.standard_t(3, shape) / math.sqrt(3)
    values_AN = PASTS[cell.past](rng, *shape) + sd_A[:, None] * luck_AN
    values_AN[1:] += truth
    return values_AN


def judged(values_AN: np.ndarray) -> list[tuple[str, float, float]]:
    """Verdict and interval of every arm, as `vslm.lab.verdict` takes them."""
    arms, seeds = values_AN.shape
    kinds = clearest({str(arm): row for arm, row in enumerate(values_AN)})
    error = per_arm_error(fixed_plan(seeds).errors[0], arms - 1)
    found = []
    for row in values_AN[1:]:
        behind = [(arm > kinds.between, base > kinds.between) for arm, base in zip(row, values_AN[0], strict=True)]
        uneven = sum(a and not b for a, b in behind), sum(b and not a for a, b in behind)
        look = look_at(
            row - values_AN[0],
            error=error,
            smallest_effect=EFFECT,
            kinds=kinds,
            uneven=uneven if kinds.state == "two" else None,
        )
        found.append((look.verdict, look.low, look.high))
    return found


def is_false(verdict: str, truth: float) -> bool:
    """Whether a verdict says something else than the truth."""
    return (
        (verdict == "better" and truth >= 0)
        or (verdict == "worse" and truth <= 0)
        or (verdict == "equivalent" and abs(truth) >= EFFECT)
    )


def rates(cell: Cell, trials: int, rng: np.random.Generator) -> Found:
    """Shares of `trials` studies for each truth."""
    false, coverage, widths = 0.0, 1.0, []
    for truth in (0.0, EFFECT, -EFFECT):
        wrong, held = 0, 0
        for _ in range(trials):
            looks = judged(values_of(cell, truth, rng))
            wrong += any(is_false(verdict, truth) for verdict, _, _ in looks)
            held += all(low <= truth <= high for _, low, high in looks)
            widths.append((looks[1][2] - looks[1][1]) / 2)
        false, coverage = max(false, wrong / trials), min(coverage, held / trials)
    return Found(false, coverage, float(np.median(widths)))


def cells() -> Iterator[Cell]:
    """All of the table."""
    for past, luck, seeds in itertools.product(PASTS, ("normal", "t(3)"), (3, 5, 8)):
        yield Cell(past, luck, seeds)


def main(arguments: list[str]) -> None:
    """Write the table."""
    asked = parser_of(__doc__, trials=2000, out="docs/verdicts/forks.csv").parse_args(arguments)
    write_table(asked.out, columns_of(Cell, Found), cells(), lambda *of: astuple(rates(*of)), asked.trials)


if __name__ == "__main__":
    main(sys.argv[1:])
