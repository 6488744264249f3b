"""Numbers by name, and the loss of classes of tokens.

As in `profiles.py`: over the seeds that ended well. Letters: N seeds, S stored steps, G classes of tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vslm.report.numbers.curves import band_half
from vslm.report.numbers.profiles import last_values
from vslm.report.numbers.runs import Run
from vslm.results.token_classes import OCCURRENCES, PARTS_OF_WORD, frequency_name

FEWEST_TOKENS = 10  # of a class that is drawn: the loss of one or two says nothing and would stretch the axis
DIVISIONS = ("part", "occurrence", "frequency")


@dataclass(frozen=True)
class ByName:
    """A number for each of some names, mean over `count` seeds, and of classes the share of all tokens."""

    names: list[str]
    mean_G: np.ndarray
    half_G: np.ndarray | None
    count: int
    shares_G: np.ndarray | None = None


def by_name(values_NG: np.ndarray, names: Sequence[str], shares_G: np.ndarray | None = None) -> ByName | None:
    """Over seeds; a name without a number in one of them is left out."""
    keep_G = np.asarray(np.isfinite(values_NG).all(axis=0))
    values_NG, kept = values_NG[:, keep_G], [name for name, keep in zip(names, keep_G, strict=True) if keep]
    shares_G = None if shares_G is None else shares_G[keep_G]
    return ByName(kept, values_NG.mean(0), band_half(values_NG), len(values_NG), shares_G) if kept else None


def class_losses(runs: Sequence[Run], division: str) -> ByName | None:
    """Loss by class at the end of training."""
    return _classes(division, {run.seed: found for run in runs if (found := _run_classes(run, division))})


def class_differences(baseline: Sequence[Run], arm: Sequence[Run], division: str) -> ByName | None:
    """Arm minus baseline by class, paired by seed, where both have the same tokens in each class."""
    theirs = {run.seed: found for run in baseline if (found := _run_classes(run, division))}
    pairs = {}
    for run in arm:
        found, other = _run_classes(run, division), theirs.get(run.seed)
        if found and other and np.array_equal(found[1], other[1]) and found[2] == other[2]:
            pairs[run.seed] = (found[0] - other[0], found[1], found[2])
    return _classes(division, pairs)


def _run_classes(run: Run, division: str) -> tuple[np.ndarray, np.ndarray, list[str]] | None:
    """Losses, numbers of tokens and names of the classes of one run."""
    loss_G = last_values(run, f"token_classes.{division}_loss_nats_SG", 1)
    count_G = last_values(run, f"token_classes.{division}_num_tokens_SG", 1)
    if loss_G is None or count_G is None or loss_G.shape != count_G.shape or not count_G.sum() > 0:
        return None
    if division == "frequency":
        from_G = last_values(run, "token_classes.frequency_from_count_SG", 1)
        names: list[str] = [] if from_G is None else [frequency_name(int(start)) for start in from_G]
    else:
        names = [*(OCCURRENCES if division == "occurrence" else PARTS_OF_WORD)]
    return (loss_G, count_G, names) if len(names) == len(loss_G) else None


def _classes(division: str, found: dict[int, tuple[np.ndarray, np.ndarray, list[str]]]) -> ByName | None:
    if not found:
        return None
    _, count_G, names = next(iter(found.values()))
    same = [loss_G for loss_G, _, its_names in found.values() if its_names == names]
    keep_G = count_G >= FEWEST_TOKENS
    kept = [name for name, keep in zip(names, keep_G, strict=True) if keep]
    return by_name(np.stack(same)[:, keep_G], kept, (count_G / count_G.sum())[keep_G])
