"""Shapes of a model through its depth: functions that make blocks, sizes and widths, each readable when printed.

Three steps. A *profile* is a tuple of numbers, one per block: `knots` interpolates one, and `increasing`,
`small_large_small` and the others put given numbers in order, so that arms differ in the order alone. `sized` gives a
profile to heads and feedforwards at constant width; `tapered` gives one to the width itself, with a `Resize` between
neighbors. Both keep the number of parameters.

Not for: windows through the depth, which cost no parameter (`windows.py`).
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.core.paths import vary
from vslm.core.seeds import derive_seed
from vslm.models.elements.blocks import Block
from vslm.models.elements.element import PathElement
from vslm.models.elements.resizes import Carry, Resize
from vslm.models.language_model import Model

N = TypeVar("N", int, float)
Heads = Literal["constant head width", "constant head count"]
Middles = Literal["same parameters", "same ratio"]
MakeResize = Callable[..., Resize]

_HIDDEN_MULTIPLE = 8  # matrix products want widths in whole vector registers
_MISS_FRACTION = 0.005  # how far off "the same parameters" may be
_HALVINGS = 60  # of an interval, until it is narrower than a float resolves


def knots(*values: float, depth: int) -> tuple[float, ...]:
    """Numbers for `depth` blocks, linear between `values`, which stand at equal distances from first to last.

    >>> knots(0.5, 1.5, depth=5)
    (0.5, 0.75, 1.0, 1.25, 1.5)
    >>> knots(1.0, 2.0, 1.0, depth=5)
    (1.0, 1.5, 2.0, 1.5, 1.0)
    """
    if len(values) < 2 or depth < 1:
        raise SpecError(
            "knots", f"found {len(values)} values for depth {depth}", "two or more, and a depth of 1 or more"
        )
    found = []
    for i in range(depth):
        place = i * (len(values) - 1) / max(1, depth - 1)
        before = min(int(place), len(values) - 2)
        found.append(values[before] + (values[before + 1] - values[before]) * (place - before))
    return tuple(found)


def increasing(values: Sequence[N]) -> tuple[N, ...]:
    """The smallest first."""
    return tuple(sorted(values))


def decreasing(values: Sequence[N]) -> tuple[N, ...]:
    """The largest first."""
    return tuple(sorted(values, reverse=True))


def small_large_small(values: Sequence[N]) -> tuple[N, ...]:
    """The largest in the middle: a diamond of widths, a crown of sizes. Equal pairs make it symmetric.

    >>> small_large_small((1, 1, 2, 2, 3, 3))
    (1, 2, 3, 3, 2, 1)
    """
    inwards = sorted(values)
    return (*inwards[0::2], *reversed(inwards[1::2]))


def large_small_large(values: Sequence[N]) -> tuple[N, ...]:
    """The smallest in the middle: a bowtie of widths, a frame of sizes.

    >>> large_small_large((1, 1, 2, 2, 3, 3))
    (3, 2, 1, 1, 2, 3)
    """
    inwards = sorted(values, reverse=True)
    return (*inwards[0::2], *reversed(inwards[1::2]))


def permuted(values: Sequence[N], *, seed: int = 0) -> tuple[N, ...]:
    """In an order without meaning: the control for every other order of the same numbers.

    >>> sorted(permuted((1, 2, 3, 4)))
    [1, 2, 3, 4]
    """
    return tuple(values[i] for i in sorted(range(len(values)), key=lambda i: derive_seed("permuted", seed, i)))


def ramp(*, depth: int, base: int, peak: int, multiple: int) -> tuple[int, ...]:
    """Widths from `base` up to `peak` in the middle and down again, in equal steps, rounded to multiples.

    >>> ramp(depth=12, base=384, peak=1024, multiple=64)
    (384, 512, 640, 768, 896, 1024, 1024, 896, 768, 640, 512, 384)
    """
    half = (depth - 1) // 2
    if half < 1 or not 0 < base <= peak or base % multiple or peak % multiple:
        raise SpecError(
            "ramp",
            f"depth {depth} from {base} to {peak} in multiples of {multiple}",
            "depth 3 or more, base up to peak",
        )
    steps = [min(i, depth - 1 - i) * (peak - base) // half for i in range(depth)]
    return tuple(round((base + step) / multiple) * multiple for step in steps)


def apportioned(multipliers: Sequence[float], *, total: int, multiple: int = 1) -> tuple[int, ...]:
    """Whole multiples of `multiple` in proportion to `multipliers`, with the sum `total` (a multiple too).

    Each is rounded down, and what is missing goes to those that lost most; of equals, to the outer ones first, so that
    a symmetric profile stays so where it can.

    >>> apportioned((0.5, 1.0, 1.5), total=12)
    (2, 4, 6)
    >>> apportioned((1.0, 1.0, 1.0, 1.0), total=80, multiple=8)
    (24, 16, 16, 24)

    Raises: SpecError where one would be 0 or less.
    """
    if not multipliers or not all(0 < m < math.inf for m in multipliers) or total % multiple:
        found = f"found {tuple(multipliers)} for a sum of {total}"
        raise SpecError("multipliers", found, "finite numbers above 0 are needed")
    units, whole = total // multiple, math.fsum(multipliers)
    exact = [units * m / whole for m in multipliers]
    found = [int(x + 1e-9) for x in exact]  # 2.9999999999999996 is 3
    last = len(found) - 1
    losers = sorted(range(len(found)), key=lambda i: (round(found[i] - exact[i], 9), min(i, last - i)))
    for i in losers[: units - sum(found)]:
        found[i] += 1
    if min(found) < 1:
        raise SpecError(
            "multipliers", f"block {found.index(0)} would get nothing of {total}", "", "use less extreme multipliers"
        )
    return tuple(n * multiple for n in found)


def sized(model: Model, *, heads: Sequence[float] | None = None, feedforward: Sequence[float] | None = None) -> Model:
    """The same model with blocks of different size at the same width, and exactly as many parameters where it can.

    Heads keep their width, and are shared out among the blocks in proportion to `heads`; the middles of the
    feedforwards in proportion to `feedforward`, in multiples of 8. Both keep their sum over the blocks.

    Paper: OpenELM, Mehta et al., 2024, https://arxiv.org/abs/2404.14619, section 2.2 (linear in the depth); Crown,
    Frame, Reverse, Baroian and Notebomer, 2025, https://arxiv.org/abs/2509.06518 (two and three knots). We differ: the
    sum is kept by construction and not by a search.

    Args:
        model: whose blocks are each visited once.
        heads: a multiplier per block, by `knots`; only their proportions count. None: as they are.
        feedforward: the same for the middles.

    Raises: SpecError for another number of multipliers than blocks, and where a block would get nothing.
    """
    blocks = dict(blocks_of(model))
    for where, multipliers in (("heads", heads), ("feedforward", feedforward)):
        if multipliers is not None and len(multipliers) != len(blocks):
            raise SpecError(where, f"{len(multipliers)} multipliers for {len(blocks)} blocks", "one per block")
    if heads is not None:
        total = sum(block.attention.heads for block in blocks.values())
        for (name, block), count in zip(blocks.items(), _apportioned("heads", heads, total, 1), strict=True):
            width = block.attention.width_per_head(block.width)
            blocks[name] = vary(block, {"attention.heads": count, "attention.head_width": width})
    if feedforward is not None:
        hidden = sum(block.feedforward.hidden_at(block.width) or 0 for block in blocks.values())
        total = round(hidden / _HIDDEN_MULTIPLE) * _HIDDEN_MULTIPLE
        shares = _apportioned("feedforward", feedforward, total, _HIDDEN_MULTIPLE)
        for (name, block), count in zip(blocks.items(), shares, strict=True):
            blocks[name] = vary(block, {"feedforward.hidden": count})
    return _checked(dataclasses.replace(model, blocks=FrozenDict({**model.blocks, **blocks})))


def tapered(
    model: Model,
    *,
    widths: Sequence[int],
    resize: MakeResize = Carry,
    narrow: MakeResize | None = None,
    ends: MakeResize = Carry,
    heads: Heads = "constant head width",
    feedforward: Middles = "same parameters",
) -> Model:
    """The same model with a width of its own for every block, and a `Resize` wherever the width changes.

        embedding width -> ends(widths[0]), block, resize(widths[1]), block, ..., ends(embedding width) -> readout

    The embedding and the readout keep their width, so that arms of one model differ between them only.

    Args:
        model: whose blocks are each visited once, with nothing else in the path.
        widths: one per block.
        resize: makes an element from `width=`: a class (`Carry`), or `functools.partial(Project, std=0.02)`.
        narrow: in its place where the next width is smaller; None: `resize`.
        ends: between the embedding's width and the first and last block, where they differ. It should have no parameter
            and be the same in all arms.
        heads: "constant head width": their number is in proportion to the width; "constant head count": their width is.
        feedforward: "same parameters": middles are in proportion to the width, with the one factor (and multiples of 8)
            that gives the whole model as many parameters as `model`, whatever its resizes cost; "same ratio": the
            factor of `model`.

    Raises: SpecError where heads do not divide a width, and where parameters cannot be matched within 0.5%.
    """
    originals = dict(blocks_of(model))
    if list(model.path) != list(originals):
        raise SpecError("path", f"found {model.path}", "blocks alone, each once, can be given widths")
    if len(widths) != len(originals):
        raise SpecError("widths", f"{len(widths)} widths for {len(originals)} blocks", "one per block is needed")
    blocks = {
        name: _at_width(block, width, heads, f"blocks.{name}")
        for (name, block), width in zip(originals.items(), widths, strict=True)
    }
    path = _path_between(list(blocks), widths, model.root.stream_width, resize, narrow or resize, ends)
    draft = dataclasses.replace(model, blocks=FrozenDict(blocks), path=path)
    if feedforward == "same parameters":
        hidden = _matched_hidden(draft, target=model)
        blocks = {name: vary(blocks[name], {"feedforward.hidden": count}) for name, count in hidden.items()}
        draft = dataclasses.replace(draft, blocks=FrozenDict(blocks))
    return _checked(draft)


def blocks_of(model: Model) -> tuple[tuple[str, Block], ...]:
    """The blocks of a model by name, in the order of their first visit.

    Raises: SpecError for a block that stands in the path without a name: it cannot be replaced by one.
    """
    names = dict.fromkeys(step for step in model.path if isinstance(step, str))
    for place, step in enumerate(model.path):
        if isinstance(step, Block):
            raise SpecError(f"path.{place}", "a block without a name", "put it into blocks")
    found = [(name, model.blocks[name]) for name in names]
    return tuple((name, element) for name, element in found if isinstance(element, Block))


def _at_width(block: Block, width: int, heads: Heads, where: str) -> Block:
    """The block at another width, its heads and the middle of its feedforward in proportion."""
    before = block.attention
    num_heads, head_width = before.heads, before.head_width
    if heads == "constant head width":
        num_heads = _scaled(num_heads, block.width, width, f"{where}.attention.heads", "heads")
    elif head_width is not None:
        head_width = _scaled(head_width, block.width, width, f"{where}.attention.head_width", "numbers per head")
    changes = {"width": width, "attention.heads": num_heads, "attention.head_width": head_width}
    if width != block.width and getattr(block.feedforward, "hidden", None) is not None:
        exact = (block.feedforward.hidden_at(block.width) or 0) * width / block.width
        changes["feedforward.hidden"] = max(1, round(exact / _HIDDEN_MULTIPLE)) * _HIDDEN_MULTIPLE
    return vary(block, changes)


def _scaled(count: int, width: int, new_width: int, where: str, noun: str) -> int:
    if count * new_width % width or new_width < 1:
        step = width // math.gcd(count, width)
        raise SpecError(
            where,
            f"width {new_width} would have {count * new_width / width:g} {noun}",
            f"widths in multiples of {step} keep them whole",
        )
    return count * new_width // width


def _path_between(
    names: list[str], widths: Sequence[int], outer: int, resize: MakeResize, narrow: MakeResize, ends: MakeResize
) -> tuple[str | PathElement, ...]:
    path: list[str | PathElement] = []
    width = outer
    for i, (name, new_width) in enumerate(zip(names, widths, strict=True)):
        if new_width != width:
            make = ends if i == 0 else (narrow if new_width < width else resize)
            path.append(make(width=new_width))
        path.append(name)
        width = new_width
    if width != outer:
        path.append(ends(width=outer))
    return tuple(path)


def _matched_hidden(draft: Model, *, target: Model) -> dict[str, int]:
    """Middles in proportion to the widths that give `draft` the parameters of `target`, in multiples of 8."""
    few, more = ({f"blocks.{n}.feedforward.hidden": k * _HIDDEN_MULTIPLE for n in draft.blocks} for k in (1, 2))
    smallest, larger = vary(draft, few), vary(draft, more)
    # What a vocabulary costs is the same for both, so one token will do.
    wanted = target.num_parameters(1) - smallest.num_parameters(1)
    before, after = ({v.where: v.num_parameters() for v in candidate.visits()} for candidate in (smallest, larger))
    widths = {name: block.width for name, block in blocks_of(draft)}
    costs = {name: (after[f"blocks.{name}"] - before[f"blocks.{name}"]) for name in widths}

    def steps(ratio: float) -> dict[str, int]:
        return {name: max(1, round(ratio * width / _HIDDEN_MULTIPLE)) for name, width in widths.items()}

    def missing(ratio: float) -> int:
        return wanted - sum((count - 1) * costs[name] for name, count in steps(ratio).items())

    low, high = 0.0, 1.0
    while missing(high) > 0:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if missing(middle) > 0 else (low, middle)
    best = min(low, high, key=lambda ratio: abs(missing(ratio)))
    miss_fraction = -missing(best) / target.num_parameters(1)
    if abs(miss_fraction) > _MISS_FRACTION:
        raise SpecError(
            "widths",
            f"{tuple(widths.values())} have {miss_fraction:+.1%} of the model's parameters with middles {steps(best)}",
            f"within {_MISS_FRACTION:.1%} is needed",
            'choose other widths, or feedforward="same ratio"',
        )
    return {name: count * _HIDDEN_MULTIPLE for name, count in steps(best).items()}


def _apportioned(where: str, multipliers: Sequence[float], total: int, multiple: int) -> tuple[int, ...]:
    try:
        return apportioned(multipliers, total=total, multiple=multiple)
    except SpecError as error:
        raise error.within(where) from None


def _checked(model: Model) -> Model:
    model.validate()
    return model
