"""Context windows through the depth: patterns, arms that see equally many keys, and how far back a path reaches.

A *pattern* is one number per block, in proportion to which its window grows, or None for all earlier positions; the
profiles of `shapes.py` make them. `matched_windows` finds the windows of a pattern for a given sum of mean visible
keys, which is what attention costs. `windowed` gives windows to a model, `reach` says how far back it sees.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.core.paths import vary
from vslm.models.elements.element import Mixing
from vslm.models.language_model import Model
from vslm.models.layouts.shapes import (
    blocks_of,
    decreasing,
    increasing,
    large_small_large,
    permuted,
    small_large_small,
)
from vslm.models.parts.kernels import mean_visible_keys

Pattern = Sequence[float | None]

_HALVINGS = 60  # of an interval, until it is narrower than a float resolves


@dataclass(frozen=True)
class MatchedWindows:
    """Windows of a pattern, and how near they come to what was asked for.

    Args:
        windows: one per block; None: all earlier positions.
        visible_keys: their sum of mean visible keys.
        miss_fraction: how much more that is than asked for, as a share of it.
    """

    windows: tuple[int | None, ...]
    visible_keys: float
    miss_fraction: float


def every_full(every: int, *, depth: int) -> tuple[float | None, ...]:
    """A pattern of equal windows in which every `every`-th block, counted so that the last is one, sees everything.

    >>> every_full(4, depth=8)
    (1.0, 1.0, 1.0, None, 1.0, 1.0, 1.0, None)
    """
    if every < 1 or depth < 1:
        raise SpecError("every_full", f"every {every} of {depth} blocks", "1 or more of each is needed")
    return tuple(None if (depth - 1 - i) % every == 0 else 1.0 for i in range(depth))


def matched_windows(pattern: Pattern, *, visible_keys: float, context_tokens: int) -> MatchedWindows:
    """The whole windows in proportion to `pattern` whose mean visible keys add up to `visible_keys`, as near as can be.

    Windows are at least 1 and at most the context. One factor is searched for, so that equal numbers get equal windows;
    what rounding to whole windows leaves is said, not hidden.

    >>> matched_windows((1, 2), visible_keys=mean_visible_keys(64, 8) + mean_visible_keys(64, 16), context_tokens=64)
    MatchedWindows(windows=(8, 16), visible_keys=21.6875, miss_fraction=0.0)

    Raises: SpecError for numbers of 0 or less, for more keys than there are, and for fewer than one per block.
    """
    sizes = [size for size in pattern if size is not None]
    if not pattern or any(size <= 0 for size in sizes):
        raise SpecError("pattern", f"found {tuple(pattern)}", "numbers above 0, or None, one per block")
    least = _keys(_windows(pattern, 0.0, context_tokens), context_tokens)
    most = len(pattern) * mean_visible_keys(context_tokens, None)
    # The sums of the same windows in another order differ by rounding.
    if not least * (1 - 1e-9) <= visible_keys <= most * (1 + 1e-9):
        raise SpecError(
            "visible_keys",
            f"{visible_keys:g} for the pattern {tuple(pattern)}",
            f"{least:g} to {most:g} can be had at a context of {context_tokens}",
        )
    low, high = 0.0, context_tokens / min(sizes, default=1.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _keys(_windows(pattern, middle, context_tokens), context_tokens) < visible_keys:
            low = middle
        else:
            high = middle
    candidates = [_windows(pattern, factor, context_tokens) for factor in (low, high)]
    windows = min(candidates, key=lambda found: abs(_keys(found, context_tokens) - visible_keys))
    found_keys = _keys(windows, context_tokens)
    return MatchedWindows(windows, found_keys, found_keys / visible_keys - 1)


def window_patterns(windows: Sequence[int], *, context_tokens: int) -> dict[str, tuple[int | None, ...]]:
    """Windows in every named order, and beside them what costs as much without one, all by name.

    `increasing`, `decreasing`, `small-large-small`, `large-small-large` and `permuted` hold the given windows.
    `uniform` has equal ones, `third-full` equal ones but for full attention in every third block, both with the same
    sum of mean visible keys, as near as whole windows come. `full` sees everything and costs more.

    Raises: SpecError where that sum is too small for full attention in every third block.

    >>> window_patterns((16, 16, 40, 40, 184, 184), context_tokens=256)["small-large-small"]
    (16, 40, 184, 184, 40, 16)
    """
    depth, keys = len(windows), _keys(windows, context_tokens)
    equal, third_full = (
        matched_windows(pattern, visible_keys=keys, context_tokens=context_tokens).windows
        for pattern in ((1.0,) * depth, every_full(3, depth=depth))
    )
    return {
        "uniform": equal,
        "increasing": increasing(windows),
        "decreasing": decreasing(windows),
        "small-large-small": small_large_small(windows),
        "large-small-large": large_small_large(windows),
        "permuted": permuted(windows),
        "third-full": third_full,
        "full": (None,) * depth,
    }


def windowed(model: Model, windows: Sequence[int | None], *, at_least: int | None = None) -> Model:
    """The same model with a window for every block, in the order of their first visit.

    Args:
        model: any; a block that is visited again keeps its window.
        windows: one per block; None: all earlier positions.
        at_least: how far back the whole path must reach; None: anything will do.

    Raises: SpecError for another number of windows than blocks, a window below 1, or a reach that is too short.
    """
    blocks = blocks_of(model)
    if len(windows) != len(blocks):
        raise SpecError("windows", f"{len(windows)} windows for {len(blocks)} blocks", "one per block is needed")
    changed = {}
    for (name, block), window_tokens in zip(blocks, windows, strict=True):
        try:
            changed[name] = vary(block, {"attention.window_tokens": window_tokens})
        except SpecError as error:
            raise error.within(f"blocks.{name}") from None
    found = vary(model, {"blocks": FrozenDict({**model.blocks, **changed})})
    reach(found, at_least=at_least)
    return found


def reach(model: Model, *, at_least: int | None = None) -> int:
    """How far back the last position sees, its own included, up to the context.

    In a path of plain blocks it is 1 + sum of (window - 1). A block that reads the token memory starts anew from there,
    a shifted state adds a position, and what `Return` leaves behind adds none: each element says it (`PathElement`).

    Args:
        model: visits count, so a loop reaches further.
        at_least: what is needed, of this context.

    Raises: SpecError, with the windows, where it is less than `at_least`.
    """
    tokens = model.reach()
    if at_least is not None and tokens < at_least:
        windows = tuple(mixing.window_tokens for mixing in _mixings(model))
        raise SpecError(
            "blocks",
            f"windows {windows} reach {tokens} positions back in a context of {model.context_tokens}",
            f"{at_least} are needed",
            "widen a window, or add a block",
        )
    return tokens


def visible_keys(model: Model) -> float:
    """Mean visible keys, added up over every attention of every visit: what attention costs, by its width."""
    return _keys([mixing.window_tokens for mixing in _mixings(model)], model.context_tokens)


def _mixings(model: Model) -> list[Mixing]:
    return [mixing for visit in model.visits() for mixing in visit.element.mixings()]


def _keys(windows: Sequence[int | None], context_tokens: int) -> float:
    return math.fsum(mean_visible_keys(context_tokens, window_tokens) for window_tokens in windows)


def _windows(pattern: Pattern, factor: float, context_tokens: int) -> tuple[int | None, ...]:
    return tuple(None if size is None else min(context_tokens, max(1, round(size * factor))) for size in pattern)
