"""Numbers over two axes: over training and something else, over two axes of a measure, and maps of attention.

As in `profiles.py`: over the seeds that ended well. Letters: N seeds, S stored steps, R rows, C columns, L visits, H
heads, T tokens of a map of attention.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vslm.report.numbers.curves import band_half
from vslm.report.numbers.profiles import last_values, same_shape
from vslm.report.numbers.runs import Run

_PARAMETERS = "parameters."
_STEPS = "parameters.steps_S"


@dataclass(frozen=True)
class Map:
    """A number by row and column, mean over `count` seeds; NaN where there is none.

    Args:
        rows, columns: steps, places or names.
        mean_RC: cells.
        half_RC: half the interval over seeds, or None.
        count: seeds.
    """

    rows: Sequence[Any]
    columns: Sequence[Any]
    mean_RC: np.ndarray
    half_RC: np.ndarray | None
    count: int


def map_over_seeds(values_NRC: np.ndarray, rows: Sequence[Any], columns: Sequence[Any]) -> Map:
    """The mean over seeds, with its intervals."""
    return Map(rows, columns, values_NRC.mean(axis=0), band_half(values_NRC), len(values_NRC))


def without_empty(maps: Mapping[str, Map]) -> dict[str, Map]:
    """The same maps without the named rows and columns in which no map has a number; places that are numbers stay.

    >>> nothing = float("nan")
    >>> one = Map(("a", "b"), (0, 1), np.array([[1.0, nothing], [nothing, nothing]]), None, 1)
    >>> without_empty({"arm": one})["arm"].rows
    ('a',)
    """
    filled: set[Any] = set()
    for found in maps.values():
        is_there_RC = np.isfinite(found.mean_RC)
        filled |= {("row", found.rows[i]) for i in np.flatnonzero(is_there_RC.any(axis=1)).tolist()}
        filled |= {("column", found.columns[i]) for i in np.flatnonzero(is_there_RC.any(axis=0)).tolist()}

    def kept(side: str, labels: Sequence[Any]) -> list[int]:
        return [i for i, label in enumerate(labels) if not isinstance(label, str) or (side, label) in filled]

    shorter = {}
    for name, found in maps.items():
        rows, columns = kept("row", found.rows), kept("column", found.columns)
        half_RC = None if found.half_RC is None else found.half_RC[np.ix_(rows, columns)]
        labels = tuple(found.rows[i] for i in rows), tuple(found.columns[i] for i in columns)
        shorter[name] = Map(*labels, found.mean_RC[np.ix_(rows, columns)], half_RC, found.count)
    return shorter


@dataclass(frozen=True)
class AttentionMaps:
    """Attention of some heads of one run: `share_LHTS` at the visits `places`, on `tokens`."""

    seed: int
    places: list[int]
    tokens: list[str]
    share_LHTS: np.ndarray


def tracks(runs: Sequence[Run]) -> dict[str, Map]:
    """Tracked parameters by kind: names that differ in the block alone are one kind, a row per block and number."""
    whole = [run for run in runs if run.is_whole and run.arrays.get(_STEPS) is not None]
    if not whole:
        return {}
    steps_S = whole[0].arrays[_STEPS]
    whole = [run for run in whole if np.array_equal(run.arrays[_STEPS], steps_S)]
    kinds: dict[str, list[tuple[str, np.ndarray]]] = {}
    for name in whole[0].arrays:
        if not name.startswith(_PARAMETERS) or name == _STEPS:
            continue
        found_NSK = same_shape([run.arrays[name] for run in whole if name in run.arrays])
        if found_NSK.ndim != 3 or found_NSK.shape[1] != len(steps_S) or len(found_NSK) != len(whole):
            continue
        kind, block = _kind(name.removeprefix(_PARAMETERS).removesuffix("_SN"))
        for i in range(found_NSK.shape[2]):
            label = block if found_NSK.shape[2] == 1 else f"{block} · {i}".removeprefix(" · ")
            kinds.setdefault(kind, []).append((label, found_NSK[:, :, i]))
    return {kind: _track(rows, steps_S) for kind, rows in kinds.items()}


def _kind(name: str) -> tuple[str, str]:
    """The name with `*` for its block, and the block.

    >>> _kind("blocks.core.attention.normalizer.exponent")
    ('blocks.*.attention.normalizer.exponent', 'core')
    """
    found = re.fullmatch(r"(blocks|path)\.([^.]+)\.(.+)", name)
    return (f"{found[1]}.*.{found[3]}", found[2]) if found else (name, "")


def _track(rows: list[tuple[str, np.ndarray]], steps_S: np.ndarray) -> Map:
    values_NRS = np.stack([values_NS for _, values_NS in rows], axis=1)
    return map_over_seeds(values_NRS, [label for label, _ in rows], steps_S.tolist())


def attention_maps(runs: Sequence[Run]) -> AttentionMaps | None:
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
        return AttentionMaps(run.seed, [int(place) for place in place_L], texts, share_LHTS)
    return None
