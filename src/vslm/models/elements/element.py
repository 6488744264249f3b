"""What a path may visit: the interface that a block, a change of width or an injection fills.

Adding one: a file with a class that derives from `PathElement`. The path, the counting of parameters and compute, and
the model's `forward` then know it without a change.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import nn

from vslm.core.frozen import FrozenDict
from vslm.core.specs import Spec
from vslm.models.initialization import Init
from vslm.models.parts.kernels import Where, mean_visible_keys
from vslm.models.without_storage import SHAPES_ONLY, Shapes, shapes_of


@dataclass(frozen=True)
class Surroundings:
    """What only the surroundings of an element know.

    Args:
        width: of the stream that arrives.
        memory_width: of the token memory.
        context_tokens: the longest sequence.
        num_additions: how often a pass adds to the stream, at the most, before it starts anew; deep models start each
            smaller.
        saved_widths: what earlier visits left in `Stream.saved`, by name, with its width.
    """

    width: int
    memory_width: int
    context_tokens: int
    num_additions: int
    saved_widths: Mapping[str, int] = FrozenDict()


class Mixing(NamedTuple):
    """One attention of a visit: what its scores and weighted values cost.

    Args:
        attention_width: heads times numbers per head.
        window_tokens: how many positions a query sees; None: all earlier ones.
    """

    attention_width: int
    window_tokens: int | None

    def useful_flops_per_token(self, context_tokens: int) -> float:
        """Forward FLOPs per token of scores and of weighted values over the visible keys: two products."""
        return 4 * self.attention_width * mean_visible_keys(context_tokens, self.window_tokens)


class Reach(NamedTuple):
    """How many positions back tokens are seen, the own included; 0: no token is.

    Args:
        stream: from the stream.
        memory: from the token memory.
        saved: from what earlier visits left, by name.
    """

    stream: int
    memory: int
    saved: Mapping[str, int] = FrozenDict()


class Additions(NamedTuple):
    """How often visits have added to the stream: what initial values go by.

    Args:
        stream: since it started, or last started anew.
        most: the largest such number on the way to the stream as it is.
        saved: both numbers of what earlier visits left, by name.
    """

    stream: int = 0
    most: int = 0
    saved: Mapping[str, tuple[int, int]] = FrozenDict()

    def plus(self, number: int) -> "Additions":
        """After so many more."""
        return self._replace(stream=self.stream + number, most=max(self.most, self.stream + number))


class PathElement(Spec):
    """Interface: builds a module that maps a `Stream` to a `Stream`.

    Every check of an element against its surroundings is in `width_out` and `check_memory`, which are asked before
    anything is counted or built, and not in the constructor: a study may change a width and a number of heads in two
    steps.
    """

    can_continue: ClassVar[bool] = True
    """Whether its answer for new positions follows from what `stream.past` keeps; if not, generation recomputes."""

    def width_out(self, width: int) -> int:
        """The width of the stream after this element, for one of `width` before it: the same.

        Raises: SpecError, with the path seen from this element, where that width cannot be.
        """
        return width

    def check_memory(self, memory_width: int) -> None:
        """Raise SpecError, with the path seen from this element, for a token memory that it cannot work with."""

    def num_additions(self) -> int:
        """How often one visit adds to the stream, as a residual does whose scale goes by the depth: never."""
        return 0

    def additions(self, before: Additions) -> Additions:
        """How often the stream was added to after this element.

        As often as before it and here, unless it keeps, brings back or replaces a stream: those say so.
        """
        return before.plus(self.num_additions())

    @abstractmethod
    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        """The module. `kernel` names the kernel of its attention; None: that of a CPU, or no attention."""

    def forward_flops_per_token(self, around: Surroundings) -> float:
        """FLOPs of one visit, per token, forward only: two for every weight, and its attentions' scores and weighted
        values.
        """
        mixed = sum(mixing.useful_flops_per_token(around.context_tokens) for mixing in self.mixings())
        return 2.0 * element_shapes(self, around).num_parameters + mixed

    def saves(self, around: Surroundings) -> Mapping[str, int]:
        """What a visit leaves in `Stream.saved` for later ones, by name, with its width."""
        return {}

    def sizes(self, width: int) -> Mapping[str, int | None]:
        """What a table of blocks shows of this element: any of `heads`, `hidden` and `window_tokens` (None: all)."""
        return {}

    def mixings(self) -> tuple[Mixing, ...]:
        """Every attention of one visit."""
        return ()

    def reach(self, before: Reach, around: Surroundings) -> Reach:
        """How far back tokens are seen after this element.

        As before it, unless it mixes positions, or keeps, brings back or replaces a stream: those say so.
        """
        return before

    def kernel(self, *, context_tokens: int, where: Where) -> str | None:
        """The name of the attention kernel there; None without attention."""
        return None

    def needed_names(self) -> tuple[str, ...]:
        """The names that an element before it must have saved, at the width that arrives here."""
        return ()

    def num_exits(self) -> int:
        """How many streams it hands to the readout beside the last one."""
        return 0


def element_shapes(element: PathElement, around: Surroundings) -> Shapes:
    """The parameters of an element where it stands."""
    return shapes_of(element, around=around, kernel=None, init=SHAPES_ONLY)
