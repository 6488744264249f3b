"""What may be changed in a model to match it with another: one file, one class per thing.

A change turns a model and a whole number into a model: `Depth().at(model, 6)` has 6 blocks where it had 4. It works on
specs alone and never mends more than it names; what no longer fits is refused by `Model.validate`, and the search for
a match passes over it. A new one is a class with three methods and a line in the catalog.

Not for: the search itself, see `matching.py`.
"""

import dataclasses
import itertools
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from vslm.core.bounds import Width
from vslm.core.errors import SpecError, nearest
from vslm.core.frozen import FrozenDict
from vslm.core.paths import vary
from vslm.core.specs import Spec, field_types
from vslm.models.elements.element import PathElement
from vslm.models.language_model import Model
from vslm.models.parts.attention import Attention
from vslm.models.parts.roots import Root
from vslm.models.path.repeats import PerLoop, Repeat
from vslm.models.path.stack import PathItem

_HEAD_MULTIPLE = 2  # rotary positions turn numbers in pairs


class Change(Spec):
    """Interface: one named thing of a model as a whole number, 1 or more; a larger one never makes a smaller model."""

    @abstractmethod
    def amount(self, model: Model) -> int:
        """How much of it the model has now.

        Raises: SpecError where the model has no such thing.
        """

    @abstractmethod
    def at(self, model: Model, amount: int) -> Model:
        """The model with that much of it; equal to `model` at its own amount."""

    @abstractmethod
    def describe(self, amount: int) -> str:
        """An amount in words: `depth 6`."""

    def why_compute_stays(self, model: Model) -> str:
        """What else in the model says how much is computed in training, so that this may not; empty: nothing does."""
        return ""


@dataclass(frozen=True)
class Depth(Change):
    """How many blocks stand in a row: more of the same with weights of their own, or fewer.

    The row is lengthened by going through `blocks` again and again, so a pattern of different blocks goes on as a
    pattern; it is shortened from its end. What stands before and after stays.

    Args:
        blocks: names that stand in a row in the path, each visited once. None: the longest row of equal blocks.
    """

    blocks: tuple[str, ...] | None = None

    def amount(self, model: Model) -> int:
        """Blocks in the row."""
        return len(self._row(model))

    def at(self, model: Model, amount: int) -> Model:
        """The row with `amount` blocks; new ones are named by the next free numbers."""
        row = self._row(model)
        fresh = _new_names(model.blocks)
        names = [row[i] if i < len(row) else next(fresh) for i in range(amount)]
        kept = {name: element for name, element in model.blocks.items() if name not in row[amount:]}
        added = {name: model.blocks[row[i % len(row)]] for i, name in enumerate(names) if i >= len(row)}
        start = model.path.index(row[0])
        path = (*model.path[:start], *names, *model.path[start + len(row) :])
        return dataclasses.replace(model, blocks=FrozenDict({**kept, **added}), path=path)

    def describe(self, amount: int) -> str:
        return f"depth {amount}" if self.blocks is None else f"{amount} blocks in the row of {', '.join(self.blocks)}"

    def _row(self, model: Model) -> tuple[str, ...]:
        if self.blocks is not None:
            return _declared_row(self.blocks, model)
        rows: list[list[str]] = [[]]
        for step in model.path:
            if not isinstance(step, str) or model.path.count(step) > 1:
                rows.append([])
            elif rows[-1] and model.blocks[rows[-1][-1]] == model.blocks[step]:
                rows[-1].append(step)
            else:
                rows.append([step])
        row = max(rows, key=len)
        if not row:
            do = "name some with Depth(blocks=(...)), or change Loops"
            raise SpecError("change", "every block of the path is visited more than once", "a block of its own", do)
        return tuple(row)


@dataclass(frozen=True)
class Loops(Change):
    """How often a part of the path is repeated with the same weights. Changes compute, and no parameter.

    The part stands in the body of a `Repeat`, whose count of a whole pass is changed, or is written out in the path.
    Where the `Repeat` draws its loops in training, FLOPs go by what is drawn, and this changes none.

    Args:
        blocks: the name that is repeated, or the names that are repeated one after the other.
    """

    blocks: str | tuple[str, ...]

    def amount(self, model: Model) -> int:
        """How often the part is passed."""
        repeated = self._repeated(model)
        return repeated[1].times if repeated else self._place(model)[1]

    def at(self, model: Model, amount: int) -> Model:
        """The path with `amount` repetitions."""
        if repeated := self._repeated(model):
            place, repeat = repeated
            items = list(model.path)
            items[place] = dataclasses.replace(repeat, times=amount)
            return dataclasses.replace(model, path=tuple(items))
        part = self._part
        start, times = self._place(model)
        path = (*model.path[:start], *part * amount, *model.path[start + times * len(part) :])
        return dataclasses.replace(model, path=path)

    def describe(self, amount: int) -> str:
        return f"{amount} loops of {', '.join(self._part)}"

    def why_compute_stays(self, model: Model) -> str:
        """A distribution of loops in training: FLOPs go by it, and not by the count of a whole pass."""
        repeated = self._repeated(model)
        if repeated is None or repeated[1].training is None:
            return ""
        place, repeat = repeated
        return (
            f"path.{place}.training={repeat.training!r} says how often a step passes them; change that, or make it None"
        )

    @property
    def _part(self) -> tuple[str, ...]:
        return (self.blocks,) if isinstance(self.blocks, str) else self.blocks

    def _repeated(self, model: Model) -> tuple[int, Repeat] | None:
        """The `Repeat` whose body visits the part, and its place in the path."""
        for place, item in enumerate(model.path):
            if isinstance(item, Repeat) and all(name in item.body for name in self._part):
                return place, item
        return None

    def _place(self, model: Model) -> tuple[int, int]:
        """Where the repetitions start, and how many there are."""
        part, path = self._part, model.path
        for name in part:
            if name not in model.blocks:
                raise SpecError("change.blocks", f"no block is named {name!r}", nearest(name, model.blocks))
        starts = [i for i in range(len(path)) if path[i : i + len(part)] == part]
        times = 0
        while starts and path[starts[0] + times * len(part) :][: len(part)] == part:
            times += 1
        if not times or sum(step in part for step in path) > times * len(part):
            found = f"{', '.join(part)} do not stand in one place of the path, repeated as a whole"
            raise SpecError("change.blocks", found, f"the path is {' '.join(_shown(step) for step in path)}")
        return starts[0], times


@dataclass(frozen=True, kw_only=True)
class FeedforwardMultiplier(Change):
    """How wide all feedforwards are in the middle, together, in their present proportions.

    What has to be given or taken is shared out by largest remainders, so that equal blocks end at most `multiple`
    apart. The finest of the changes: one step is `multiple` hidden numbers in one block.

    Args:
        multiple: hidden numbers come in these; 8 keeps matrix products in whole vector registers.
    """

    multiple: Width = 8

    def check(self) -> None:
        """Refuse a multiple below 1."""
        if self.multiple < 1:
            raise SpecError("multiple", f"found {self.multiple}", "1 or more is needed")

    def amount(self, model: Model) -> int:
        """Hidden numbers of all feedforwards, in multiples."""
        return round(sum(self._hidden(model).values()) / self.multiple)

    def at(self, model: Model, amount: int) -> Model:
        """Feedforwards that have `amount` multiples between them, one or more each."""
        hidden = self._hidden(model)
        if amount == self.amount(model):
            return model
        if amount < len(hidden):
            raise SpecError("change", f"{amount} for {len(hidden)} feedforwards", "every one needs one")
        shares = _shared_out(amount, list(hidden.values()))

        def changed(where: str, element: PathElement) -> PathElement:
            if where not in hidden:
                return element
            return vary(element, {"feedforward.hidden": self.multiple * shares[list(hidden).index(where)]})

        return _with_elements(model, changed)

    def describe(self, amount: int) -> str:
        return f"{amount * self.multiple} hidden numbers over all feedforwards"

    def _hidden(self, model: Model) -> dict[str, int]:
        """Hidden numbers of every feedforward, once where it is shared, by where it stands."""
        found = {}
        for visit in model.visits():
            feedforward = getattr(visit.element, "feedforward", None)
            hidden = feedforward.hidden_at(visit.around.width) if isinstance(feedforward, _HasHidden) else None
            if hidden is not None:
                found[visit.where] = hidden
        if not found:
            raise SpecError("change", "no block of the model has a feedforward with hidden numbers")
        return found


@dataclass(frozen=True, kw_only=True)
class WidthScale(Change):
    """Every width of the model by one factor: root, blocks, and whatever changes the width on the way.

    The number of heads stays; numbers per head follow the width of their block, rounded to pairs, and hidden numbers
    that were written down follow it too. One step is coarse (about 2 / width of all weights per unit of width): reach
    the rest with `FeedforwardMultiplier`.

    Args:
        multiple: widths come in these.
    """

    multiple: Width = 8

    def check(self) -> None:
        """Refuse a multiple below 1."""
        if self.multiple < 1:
            raise SpecError("multiple", f"found {self.multiple}", "1 or more is needed")

    def amount(self, model: Model) -> int:
        """The largest width, in multiples."""
        return max(1, round(self._largest(model) / self.multiple))

    def at(self, model: Model, amount: int) -> Model:
        """The model whose largest width is `amount` multiples."""
        if amount == self.amount(model):
            return model
        factor = amount * self.multiple / self._largest(model)
        scaled = _with_elements(model, lambda _, element: self._scaled(element, factor))
        return dataclasses.replace(scaled, root=self._scaled(model.root, factor))

    def describe(self, amount: int) -> str:
        return f"largest width {amount * self.multiple}"

    def _largest(self, model: Model) -> int:
        return max(model.root.stream_width, model.last_width, *(visit.around.width for visit in model.visits()))

    def _scaled(self, spec: Any, factor: float) -> Any:
        """The spec with its widths scaled. Equal widths stay equal, so neighbors go on fitting."""
        new: dict[str, Any] = {
            name: self._rounded(value, factor)
            for name in field_types(type(spec))
            if "width" in name.split("_") and isinstance(value := getattr(spec, name), int)
        }
        new |= {
            name: self._scaled(part, factor)  # the block that two streams go through, the tokens of a learned root
            for name in field_types(type(spec))
            if isinstance(part := getattr(spec, name), PathElement | Root)
        }
        attention = getattr(spec, "attention", None)
        if isinstance(attention, Attention) and "width" in new:
            new["attention"] = _with_head_width(attention, spec.width, new["width"])
        feedforward: Any = getattr(spec, "feedforward", None)
        if isinstance(feedforward, _HasHidden) and feedforward.hidden is not None:
            grid = 8 if feedforward.hidden % 8 == 0 else 1
            hidden = max(grid, grid * round(feedforward.hidden * factor / grid))
            new["feedforward"] = dataclasses.replace(feedforward, hidden=hidden)  # type: ignore[type-var]
        return dataclasses.replace(spec, **new)

    def _rounded(self, width: int, factor: float) -> int:
        return max(self.multiple, self.multiple * round(width * factor / self.multiple))


@runtime_checkable
class _HasHidden(Protocol):
    """A feedforward whose middle can be set."""

    hidden: int | None

    def hidden_at(self, width: int) -> int | None: ...


def _with_head_width(attention: Attention, before: int, after: int) -> Attention:
    """Heads that follow the width of their block; numbers per head are written down only where they must be."""
    if attention.head_width is None and after % (attention.heads * _HEAD_MULTIPLE) == 0:
        return attention
    per_head = (attention.head_width or before / attention.heads) * after / before
    pairs = max(1, round(per_head / _HEAD_MULTIPLE))
    return dataclasses.replace(attention, head_width=pairs * _HEAD_MULTIPLE)


def _with_elements(model: Model, changed: Callable[[str, PathElement], PathElement]) -> Model:
    """The model with every element replaced by what `changed(where, element)` gives.

    An entry that shares weights follows its owner, and is left as it is.
    """

    def inside(where: str, item: Any) -> Any:
        if isinstance(item, Repeat | PerLoop):
            name = "body" if isinstance(item, Repeat) else "elements"
            parts = tuple(inside(f"{where}.{name}.{i}", part) for i, part in enumerate(getattr(item, name)))
            return dataclasses.replace(item, **{name: parts})  # type: ignore[arg-type]
        return changed(where, item) if isinstance(item, PathElement) else item

    blocks = {name: inside(f"blocks.{name}", element) for name, element in model.blocks.items()}
    path = tuple(inside(f"path.{place}", step) for place, step in enumerate(model.path))
    return dataclasses.replace(model, blocks=FrozenDict(blocks), path=path)


def _declared_row(names: tuple[str, ...], model: Model) -> tuple[str, ...]:
    for name in names:
        if name not in model.blocks:
            raise SpecError("change.blocks", f"no block is named {name!r}", nearest(name, model.blocks))
        if model.path.count(name) > 1:
            raise SpecError("change.blocks", f"{name!r} is visited more than once", "", "change Loops")
    start = model.path.index(names[0]) if names else 0
    if not names or model.path[start : start + len(names)] != names:
        raise SpecError("change.blocks", f"{', '.join(names) or 'no block'} do not stand in a row in the path")
    return names


def _new_names(taken: Mapping[str, Any]) -> Any:
    first = 1 + max((int(name) for name in taken if name.isdecimal()), default=-1)
    return (str(number) for number in itertools.count(first))


def _shared_out(amount: int, parts: Sequence[int]) -> list[int]:
    """`amount` shared out in proportion to `parts`, at least 1 each, by largest remainders.

    >>> _shared_out(10, [3, 3, 3]), _shared_out(3, [100, 1, 1])
    ([4, 3, 3], [1, 1, 1])
    """
    free = amount - len(parts)
    exact = [max(0.0, amount * part / sum(parts) - 1) for part in parts]
    exact = [value * free / sum(exact) if sum(exact) else 0.0 for value in exact]
    shares = [math.floor(value) for value in exact]
    order = sorted(range(len(parts)), key=lambda i: (shares[i] - exact[i], i))
    for i in order[: free - sum(shares)]:
        shares[i] += 1
    return [1 + share for share in shares]


def _shown(step: PathItem) -> str:
    return step if isinstance(step, str) else type(step).__name__
