"""What travels through a model."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class Stream(NamedTuple):
    """The state between two elements of a path. Never changed in place: an element returns a new one (`_replace`).

    A named tuple and not a dataclass, because torch.compile takes it as an argument of a compiled block.

    Args:
        x_BTD: the residual stream.
        memory_BSE: the token memory that attention may look at. In the plain model it is the embedding, and no block
            reads it; a learned root reaches tokens only through it. Of two streams it is the one that carries content.
        saved: what earlier visits left for later ones, by name (carried coordinates, a recurrent state). An element
            that saves something adds a key to a copy of the mapping.
    """

    x_BTD: Tensor
    memory_BSE: Tensor
    saved: Mapping[str, Tensor]
