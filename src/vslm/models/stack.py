"""A bank of named blocks and a path through it, read as values: nothing here holds a weight.

`blocks` maps names to elements (the bank: weights), `path` lists visits: the name of an element of the bank, or an
element that stands at that place only. A name used twice is one module visited twice; so parameters are counted from
the bank and compute from the path.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from vslm.core.errors import SpecError, nearest
from vslm.core.frozen import FrozenDict
from vslm.models.elements import PathElement, Surroundings


@dataclass(frozen=True)
class Visit:
    """One step of a path.

    Args:
        where: dotted path of the element seen from the model, and of its parameters: `blocks.core`, `path.3`.
        element: what is visited.
        around: what surrounds it there.
    """

    where: str
    element: PathElement
    around: Surroundings


def visits_of(
    *,
    blocks: Mapping[str, PathElement],
    path: tuple[str | PathElement, ...],
    stream_width: int,
    memory_width: int,
    context_tokens: int,
) -> tuple[tuple[Visit, ...], int]:
    """Follow the path; the visits in order, and the width after the last.

    Raises: SpecError for a name that cannot be one, an unknown or unused name, an empty path, an element visited where
        it would need other weights, and whatever an element refuses; widths that do not fit name both neighbors.
    """
    _check_names(blocks, path)
    steps = [_step(blocks, step, place) for place, step in enumerate(path)]
    num_additions = max(1, sum(element.num_additions() for _, element in steps))
    width, before, visits = stream_width, "root", []
    saved_widths: dict[str, int] = {}
    for where, element in steps:
        around = Surroundings(width, memory_width, context_tokens, num_additions, FrozenDict(saved_widths))
        try:
            width = element.width_out(width)
        except SpecError as error:
            # An element speaks of itself; only the path knows its neighbor.
            if not error.where:
                raise SpecError(where, f"after {before}, {error.found}", error.allowed, error.do) from None
            raise error.within(where) from None
        visits.append(Visit(where, element, around))
        saved_widths |= element.saves(around)
        before = where
    _check_repeats(visits)
    return tuple(visits), width


def num_stack_parameters(visits: tuple[Visit, ...]) -> int:
    """Parameters of the bank and of the path's own elements, each counted once."""
    once = {visit.where: visit for visit in visits}
    return sum(visit.element.num_parameters(visit.around) for visit in once.values())


def _check_names(blocks: Mapping[str, PathElement], path: tuple[str | PathElement, ...]) -> None:
    for name in blocks:
        # torch keeps the bank's modules beside the methods of the dict that holds them, and a record keeps the names
        # of the bank where a spec keeps its kind.
        if not name or "." in name or "*" in name or name == "kind" or hasattr(nn.ModuleDict(), name):
            raise SpecError(
                f"blocks.{name}",
                f"{name!r} cannot name a block",
                "a name has no dot and no *, is not kind, and is no attribute of torch.nn.ModuleDict",
            )
    if not path:
        raise SpecError("path", "an empty path", "at least one visit is needed")
    for place, step in enumerate(path):
        if isinstance(step, str) and step not in blocks:
            raise SpecError(f"path.{place}", f"no block is named {step!r}", nearest(step, blocks))
    unused = [name for name in blocks if name not in path]
    if unused:
        raise SpecError(f"blocks.{unused[0]}", "no visit in path", "every block is visited", "name it in path")


def _step(blocks: Mapping[str, PathElement], step: str | PathElement, place: int) -> tuple[str, PathElement]:
    return (f"blocks.{step}", blocks[step]) if isinstance(step, str) else (f"path.{place}", step)


def _check_repeats(visits: list[Visit]) -> None:
    """One module has one width; and where it reads what was saved, as much was saved before each of its visits."""
    firsts: dict[str, Visit] = {}
    for visit in visits:
        first = firsts.setdefault(visit.where, visit)
        if first.around.width != visit.around.width:
            raise SpecError(
                visit.where,
                f"visited at width {first.around.width} and at width {visit.around.width}",
                "one module has one width",
                "give each width an element of its own",
            )
        if first is visit:
            continue
        counts = [v.element.num_parameters(v.around) for v in (first, visit)]
        if counts[0] != counts[1]:
            raise SpecError(
                visit.where,
                f"visited where it needs {counts[0]} parameters and where it needs {counts[1]}",
                "what it reads is saved before every visit, or before none",
                "give each place an element of its own",
            )
