"""What travels through a model."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from vslm.models.parts.past import WHOLE, Past

PRIVATE = ":"
"""How a key of `Stream.saved` begins that an element keeps for its own kind; no `Keep` may take such a name."""


class ExitStream(NamedTuple):
    """A stream that is read out beside the last one, for a loss of its own in training.

    Args:
        x_BTD: the stream there.
        offset: which token it predicts: 1 is the next one.
        weight: of its loss.
    """

    x_BTD: Tensor
    offset: int
    weight: float


class Stream(NamedTuple):
    """The state between two elements of a path. Never changed in place: an element returns a new one (`_replace`).

    A named tuple and not a dataclass, because torch.compile takes it as an argument of a compiled block.

    Args:
        x_BTD: the residual stream.
        memory_BSE: the token memory that attention may look at. In the plain model it is the embedding, and no block
            reads it; a learned root reaches tokens only through it. Of two streams it is the one that carries content.
        saved: what earlier visits left for later ones, by name (carried coordinates, a recurrent state). An element
            that saves something adds a key to a copy of the mapping, which begins with `PRIVATE` unless a reader of the
            path chose it. Position is the second axis of each.
        past: what came before these positions, for this visit; in training nothing.
        exits: streams that are read out beside the last one, in the order of their visits.
    """

    x_BTD: Tensor
    memory_BSE: Tensor
    saved: Mapping[str, Tensor]
    past: Past = WHOLE
    exits: tuple[ExitStream, ...] = ()
