"""Numbers of probes: through training, along a repeated block, by head, by class of tokens, and maps of attention.

As in `profiles.py`: over the seeds that ended well, with pointwise 95 % Student-t intervals from three seeds on, and an
array that is missing or has other axes is passed over.

Letters: N seeds, S stored steps, L visits, H heads, T places in a block or tokens of a map, G classes of tokens.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vslm.report.numbers.curves import band_half
from vslm.report.numbers.profiles import Profile, last_values, over_seeds, same_shape
from vslm.report.numbers.runs import Run
from vslm.results.token_classes import OCCURRENCES, PARTS_OF_WORD, frequency_name

_FEWEST_STEPS = 3  # of a line through training
FEWEST_TOKENS = 10  # of a class that is drawn: the loss of one or two says nothing and would stretch the axis
DIVISIONS = ("part", "occurrence", "frequency")


@dataclass(frozen=True)
class ClassLosses:
    """The loss of every class of a division that has enough tokens, or a difference of losses."""

    names: list[str]
    shares_G: np.ndarray
    mean_G: np.ndarray
    half_G: np.ndarray | None
    count: int


@dataclass(frozen=True)
class Maps:
    """Attention of some heads of one run: `share_LHTS` at the visits `places`, on `tokens`."""

    seed: int
    places: list[int]
    tokens: list[str]
    share_LHTS: np.ndarray


def through_training(
    runs: Sequence[Run], name: str, reduced: Callable[[np.ndarray], np.ndarray] = lambda values: values
) -> Profile | None:
    """A number over the stored steps of its measure; step 0 is left out, because it has no place on a log axis.

    Args:
        runs: of one arm; those that stored other steps than the first are left out.
        name: of an array with the steps first.
        reduced: what makes one number per step of it, [S].
    """
    stored = f"{name.split('.')[0]}.steps_S"
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for run in runs:
        steps_S, values = run.arrays.get(stored), run.arrays.get(name)
        if run.is_whole and steps_S is not None and values is not None and len(values) == len(steps_S):
            found.append((steps_S, reduced(values)))
    same = [values_S for steps_S, values_S in found if np.array_equal(steps_S, found[0][0])]
    if not same or any(values_S.ndim != 1 for values_S in same):
        return None
    steps_S, values_NS = found[0][0], np.stack(same)
    keep_S = (steps_S > 0) & np.isfinite(values_NS).all(axis=0)
    if keep_S.sum() < _FEWEST_STEPS:
        return None
    values_NS = values_NS[:, keep_S]
    return over_seeds(values_NS, steps_S[keep_S])


def strongest(values_SLH: np.ndarray) -> np.ndarray:
    """The largest number of any head at each step, [S]; NaN where there is none."""
    flat_SX = values_SLH.reshape(len(values_SLH), -1)
    largest_S = np.where(np.isfinite(flat_SX), flat_SX, -np.inf).max(axis=-1, initial=-np.inf)
    return np.where(np.isfinite(largest_S), largest_S, np.nan)


def strongest_head_by_visit(runs: Sequence[Run], name: str) -> Profile | None:
    """The largest number of a visit's heads, mean over seeds; beside it every head of every seed.

    Heads have no order, so the mean of head 0 over seeds would be a mean of different heads.
    """
    values_NLH = same_shape([values_LH for run in runs if (values_LH := last_values(run, name, 2)) is not None])
    if not len(values_NLH):
        return None
    keep_L = np.isfinite(values_NLH).any(axis=-1).all(axis=0)
    if not keep_L.any():
        return None
    values_NLH = values_NLH[:, keep_L]
    largest_NL = np.nanmax(values_NLH, axis=-1)
    each = np.moveaxis(values_NLH, 0, -1).reshape(values_NLH.shape[1], -1)
    return dataclasses.replace(over_seeds(largest_NL, 1 + np.flatnonzero(keep_L)), each=each)


def along_block(runs: Sequence[Run], which: str) -> Profile | None:
    """The `gain` by place in the block at the end, or the loss of the `first` or `second` time; from place 2 on."""
    rows = []
    for run in runs:
        first_T = last_values(run, "copy_gain.first_loss_nats_ST", 1)
        second_T = last_values(run, "copy_gain.second_loss_nats_ST", 1)
        if first_T is not None and second_T is not None and first_T.shape == second_T.shape:
            rows.append({"gain": first_T - second_T, "first": first_T, "second": second_T}[which])
    values_NT = same_shape(rows)
    return over_seeds(values_NT, 2 + np.arange(values_NT.shape[1])) if values_NT.size else None


def share_of_width(runs: Sequence[Run], name: str) -> Profile | None:
    """The effective rank by visit as a share of the width there."""
    rows = []
    for run in runs:
        rank_L, width_L = last_values(run, name, 1), last_values(run, "effective_rank.width_SL", 1)
        if rank_L is not None and width_L is not None and rank_L.shape == width_L.shape:
            rows.append(rank_L / width_L)
    values_NL = same_shape(rows)
    return over_seeds(values_NL, np.arange(values_NL.shape[1])) if len(values_NL) else None


def class_losses(runs: Sequence[Run], division: str) -> ClassLosses | None:
    """Loss by class at the end of training."""
    return _classes(division, {run.seed: found for run in runs if (found := _run_classes(run, division))})


def class_differences(baseline: Sequence[Run], arm: Sequence[Run], division: str) -> ClassLosses | None:
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


def _classes(division: str, found: dict[int, tuple[np.ndarray, np.ndarray, list[str]]]) -> ClassLosses | None:
    if not found:
        return None
    _, count_G, names = next(iter(found.values()))
    same = [loss_G for loss_G, _, its_names in found.values() if its_names == names]
    keep_G = np.isfinite(same).all(axis=0) & (count_G >= FEWEST_TOKENS)
    values_NG = np.stack(same)[:, keep_G]
    kept = [name for name, keep in zip(names, keep_G, strict=True) if keep]
    return ClassLosses(kept, (count_G / count_G.sum())[keep_G], values_NG.mean(0), band_half(values_NG), len(same))


def maps(runs: Sequence[Run]) -> Maps | None:
    """The maps of the first run that ended well; those of other seeds are of other heads."""
    for run in runs:
        share_LHTS = last_values(run, "attention_maps.share_SLHTS", 4)
        place_L = last_values(run, "attention_maps.place_SL", 1)
        bytes_TN = last_values(run, "attention_maps.token_bytes_STN", 2)
        num_T = last_values(run, "attention_maps.token_num_bytes_ST", 1)
        if share_LHTS is None or place_L is None or bytes_TN is None or num_T is None:
            continue
        num_visits, _, num_tokens, num_keys = share_LHTS.shape
        if len(place_L) != num_visits or not len(bytes_TN) == len(num_T) == num_tokens == num_keys:
            continue
        texts = [
            row.astype(np.uint8).tobytes()[: int(num)].decode("utf-8", errors="replace")
            for row, num in zip(bytes_TN, num_T, strict=True)
        ]
        return Maps(run.seed, [int(place) for place in place_L], texts, share_LHTS)
    return None
