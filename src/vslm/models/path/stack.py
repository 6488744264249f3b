"""A bank of named blocks and a path through it, read as values: nothing here holds a weight.

`follow` goes along the path once; what counts, draws, checks or builds a model reads its visits.

`blocks` maps names to elements (the bank: weights), `path` lists visits: the name of an element of the bank, or an
element that stands at that place only. A name used twice is one module visited twice; so parameters are counted from
the bank and compute from the path. An entry that `Shares` weights of another is made into an element here, and a
`Repeat` into its visits.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import nn

from vslm.core.errors import SpecError, nearest
from vslm.core.frozen import FrozenDict
from vslm.models.elements.element import Additions, PathElement, Reach, Surroundings, element_shapes
from vslm.models.initialization import Init, default_draws
from vslm.models.parts.roots import Root
from vslm.models.parts.stream import PRIVATE
from vslm.models.path.repeats import PerLoop, Repeat
from vslm.models.path.shares import Shares

Entry = PathElement | Shares
PathItem = str | PathElement | Shares | Repeat

MOST_VISITS = 1_024  # of a path; every one is a module, and a thousand of them are planned in a second or two


@dataclass(frozen=True)
class Loop:
    """A repeated part of a route.

    Args:
        body: for each place of the body, where its element stands in loop 0, 1, ...; the last serves every loop beyond.
        times: loops of a whole pass.
        gradient_loops: how many of the last loops gradients go back through; None: all.
    """

    body: tuple[tuple[str, ...], ...]
    times: int
    gradient_loops: int | None


Route = tuple[str | Loop, ...]
"""Where a pass goes, as a model knows it: dotted paths of elements, and loops."""


class Step(NamedTuple):
    """One visit of a route.

    Args:
        where: dotted path of the element seen from the model, and of its parameters: `blocks.core`, `path.3`.
        repeat: which loop of the route it is in, from 0; None: none.
        loop: how often that was passed before.
        enters: whether the loops begin here.
        is_cut: whether no gradient goes back from here, but to what was there when the loops began.
    """

    where: str
    repeat: int | None = None
    loop: int = 0
    enters: bool = False
    is_cut: bool = False


def steps_of(route: Route, times: tuple[int, ...] | None = None) -> tuple[Step, ...]:
    """The route, step by step; `times` replaces the number of loops of each `Loop` in order."""
    loops = [item for item in route if isinstance(item, Loop)]
    times = tuple(loop.times for loop in loops) if times is None else times
    steps: list[Step] = []
    repeat = 0
    for item in route:
        if isinstance(item, str):
            steps.append(Step(item))
            continue
        for i in range(times[repeat]):
            cut = item.gradient_loops is not None and i > 0 and i == times[repeat] - item.gradient_loops
            for place, wheres in enumerate(item.body):
                where = wheres[min(i, len(wheres) - 1)]
                steps.append(Step(where, repeat, i, enters=i == place == 0, is_cut=cut and place == 0))
        repeat += 1
    return tuple(steps)


@dataclass(frozen=True)
class Visit:
    """One step of a path.

    Args:
        where: dotted path of the element seen from the model, and of its parameters: `blocks.core`, `path.3`.
        element: what is visited.
        around: what surrounds it there.
        step: which step of the route it is.
        width_out: of the stream afterwards.
        reach: how far back tokens are seen afterwards.
        shares: how it shares weights; None where all are its own.
        shared: shape of every shared parameter, by its name in the element.
    """

    where: str
    element: PathElement
    around: Surroundings
    step: Step
    width_out: int
    reach: Reach
    shares: Shares | None = None
    shared: Mapping[str, torch.Size] = field(default_factory=dict)

    def num_parameters(self) -> int:
        """Parameters that have their name here: shared ones are their owner's."""
        with seen_from_the_model(self.where):
            number = element_shapes(self.element, self.around).num_parameters
        if self.shares is None:
            return number
        shared = sum(shape.numel() for shape in self.shared.values())
        return number - shared + self.shares.num_delta_parameters(self.shared)

    def forward_flops_per_token(self) -> float:
        """FLOPs of this visit, per token, forward only."""
        with seen_from_the_model(self.where):
            flops = self.element.forward_flops_per_token(self.around)
        return flops + 2.0 * self.shares.num_delta_parameters(self.shared) if self.shares else flops


class Followed(NamedTuple):
    """A path that was followed to its end.

    Args:
        route: where it goes.
        visits: in order.
        last_width: of the stream after the last.
        lost_at: where the stream last ceased to see any token; None: nowhere.
    """

    route: Route
    visits: tuple[Visit, ...]
    last_width: int
    lost_at: str | None


def follow(
    *,
    blocks: Mapping[str, Entry],
    path: tuple[PathItem, ...],
    root: Root,
    context_tokens: int,
    times: tuple[int, ...] | None = None,
) -> Followed:
    """Follow the path.

    `times` replaces the number of loops of each `Repeat`, in order; initial values go by the declared one all the same.

    Raises: SpecError for a name that cannot be one, an unknown or unused name, an empty path, an element visited where
        it would need other weights, a stream that nothing kept, weights that cannot be shared, and whatever an element
        refuses; widths that do not fit name both neighbors.
    """
    _check_names(blocks, path)
    route, entries = route_of(blocks, path)
    elements = {where: _element(entry, blocks, where) for where, entry in entries.items()}
    _check_number(route, times)
    additions = Additions()
    for step in steps_of(route):
        additions = elements[step.where].additions(additions)
    width, before, visits = root.stream_width, "root", []
    saved_widths: dict[str, int] = {}
    reach, lost_at = Reach(stream=int(root.starts_from_tokens), memory=1), None
    for step in steps_of(route, times):
        where, element = step.where, elements[step.where]
        kept = FrozenDict(saved_widths)
        around = Surroundings(width, root.memory_width, context_tokens, max(1, additions.most), kept)
        try:
            width_out = element.width_out(width)
            element.check_memory(root.memory_width)
            _check_kept(element, around)
        except SpecError as error:
            # An element speaks of itself; only the path knows its neighbor.
            if not error.where:
                raise SpecError(where, f"after {before}, {error.found}", error.allowed, error.do) from None
            raise error.within(where) from None
        seen = element.reach(reach, around)
        lost_at = where if reach.stream and not seen.stream else lost_at
        visits.append(Visit(where, element, around, step, width_out, seen))
        saved_widths |= element.saves(around)
        width, before, reach = width_out, where, seen
    _check_repeats(visits)
    around = {visit.where: visit.around for visit in visits}
    shared = tuple(_with_shared(visit, entries[visit.where], blocks, around) for visit in visits)
    return Followed(route, shared, width, lost_at)


@contextlib.contextmanager
def seen_from_the_model(where: str) -> Iterator[None]:
    """Inside, an error of a part gets the place of that part."""
    try:
        yield
    except SpecError as error:
        raise error.within(where) from None


def _check_number(route: Route, times: tuple[int, ...] | None) -> None:
    """Refuse a path of more visits than can be followed and built in seconds, before any is."""
    loops = [item for item in route if isinstance(item, Loop)]
    number = len(route) - len(loops)
    for loop, asked in zip(loops, times or (loop.times for loop in loops), strict=True):
        number += len(loop.body) * max(asked, loop.times)
    if number > MOST_VISITS:
        found = f"{number:,} visits, loops counted as often as they are passed"
        raise SpecError("path", found, f"at most {MOST_VISITS:,} are built", "choose a smaller depth or fewer loops")


def route_of(blocks: Mapping[str, Entry], path: tuple[PathItem, ...]) -> tuple[Route, dict[str, Entry]]:
    """The path as dotted paths, and what stands at each of them."""
    entries: dict[str, Entry] = {}

    def where_of(item: str | PathElement | Shares, here: str) -> str:
        where = f"blocks.{item}" if isinstance(item, str) else here
        entries[where] = blocks[item] if isinstance(item, str) else item
        return where

    route: list[str | Loop] = []
    for place, item in enumerate(path):
        if not isinstance(item, Repeat):
            route.append(where_of(item, f"path.{place}"))
            continue
        body = []
        for number, part in enumerate(item.body):
            here = f"path.{place}.body.{number}"
            if isinstance(part, PerLoop):
                body.append(tuple(where_of(one, f"{here}.elements.{i}") for i, one in enumerate(part.elements)))
            else:
                body.append((where_of(part, here),))
        route.append(Loop(tuple(body), item.times, item.gradient_loops))
    return tuple(route), entries


def build_modules(visits: tuple[Visit, ...], *, kernels: Mapping[str, str], init: Init) -> dict[str, nn.Module]:
    """Every element once, by where it stands, with what is shared tied to its owner's, which comes first.

    Args:
        visits: of the path.
        kernels: attention kernel by block, or by place in the path.
        init: of the whole model.
    """
    once = _owners_first(visits)
    modules: dict[str, nn.Module] = {}
    for where, visit in once.items():
        kernel = kernels.get(where.removeprefix("blocks."))
        try:
            with default_draws(init.child(where)):
                modules[where] = visit.element.build(around=visit.around, kernel=kernel, init=init.child(where))
        except SpecError as error:
            raise error.within(where) from None
    for where, visit in once.items():
        if visit.shares:
            owner = modules[f"blocks.{visit.shares.of}"]
            visit.shares.connect(modules[where], owner, visit.shared, init.child(where))
    return modules


def _owners_first(visits: tuple[Visit, ...]) -> dict[str, Visit]:
    """The visits by where they stand; torch names a tied parameter by the first module that holds it."""
    once = {visit.where: visit for visit in visits}
    found: dict[str, Visit] = {}
    for where, visit in once.items():
        if visit.shares:
            owner = f"blocks.{visit.shares.of}"
            found.setdefault(owner, once[owner])
        found.setdefault(where, visit)
    return found


def _check_names(blocks: Mapping[str, Entry], path: tuple[PathItem, ...]) -> None:
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
    named = _named(path)
    for where, name in named:
        if name not in blocks:
            raise SpecError(where, f"no block is named {name!r}", nearest(name, blocks))
    used = {name for _, name in named}
    unused = [name for name in blocks if name not in used]
    if unused:
        raise SpecError(f"blocks.{unused[0]}", "no visit in path", "every block is visited", "name it in path")


def _named(path: tuple[PathItem, ...]) -> list[tuple[str, str]]:
    """(dotted place, name) of every name in a path."""
    found: list[tuple[str, str]] = []

    def look(item: PathItem | PerLoop, where: str) -> None:
        if isinstance(item, str):
            found.append((where, item))
        elif isinstance(item, Repeat | PerLoop):
            field_name = "body" if isinstance(item, Repeat) else "elements"
            for place, part in enumerate(getattr(item, field_name)):
                look(part, f"{where}.{field_name}.{place}")

    for place, item in enumerate(path):
        look(item, f"path.{place}")
    return found


def _element(entry: Entry, blocks: Mapping[str, Entry], where: str) -> PathElement:
    if not isinstance(entry, Shares):
        return entry
    try:
        return entry.element(blocks)
    except SpecError as error:
        raise error.within(where) from None


def _check_kept(element: PathElement, around: Surroundings) -> None:
    kept = around.saved_widths
    for name in element.needed_names():
        if name not in kept:
            known = [one for one in kept if not one.startswith(PRIVATE)]
            offered = nearest(name, known) if known else "nothing was"
            raise SpecError("", f"{name!r} was not kept", offered, "put Keep before")
        if kept[name] != around.width:
            raise SpecError("", f"{name!r} was kept at width {kept[name]} and is needed at width {around.width}")


def _with_shared(visit: Visit, entry: Entry, blocks: Mapping[str, Entry], around: Mapping[str, Surroundings]) -> Visit:
    if not isinstance(entry, Shares):
        return visit
    owner = blocks[entry.of]
    assert isinstance(owner, PathElement)  # Shares.element saw to it
    try:
        shared = entry.shared_shapes(visit.element, visit.around, owner, around[f"blocks.{entry.of}"])
    except SpecError as error:
        raise error.within(visit.where) from None
    return dataclasses.replace(visit, shares=entry, shared=shared)


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
        if first.around == visit.around:
            continue
        counts = [element_shapes(v.element, v.around).num_parameters for v in (first, visit)]
        if counts[0] != counts[1]:
            raise SpecError(
                visit.where,
                f"visited where it needs {counts[0]} parameters and where it needs {counts[1]}",
                "what it reads is saved before every visit, or before none",
                "give each place an element of its own",
            )
