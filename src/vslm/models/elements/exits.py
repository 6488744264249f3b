"""A stream that is read out beside the last one, for a loss of its own in training."""

from dataclasses import dataclass

from torch import nn

from vslm.core.bounds import Context, Real
from vslm.core.errors import SpecError
from vslm.models.elements.element import PathElement, Surroundings
from vslm.models.initialization import Init
from vslm.models.parts.stream import ExitStream, Stream


@dataclass(frozen=True, kw_only=True)
class Exit(PathElement):
    """Hands the stream, unchanged, to the final norm and the readout of the model, for a loss beside the main one.

        training lowers   loss(last stream) + sum over exits of weight * mean_t -log p_exit(token_{t + offset})

    The last offset - 1 positions of a window have no such token and do not count. Loss curves, evaluation and
    generation know the last stream only.
    Cost: no parameter; one more readout in each step of training, and none elsewhere.

    Args:
        offset: which token is predicted; 1: the next one.
        weight: of its loss, above 0.
    """

    offset: Context = 1
    weight: Real = 0.1

    def check(self) -> None:
        """Refuse a token that was seen, and a loss that does not count."""
        if self.offset < 1:
            raise SpecError("offset", f"found {self.offset}", "1 or more is needed")
        if self.weight <= 0:
            raise SpecError("weight", f"found {self.weight}", "a number above 0 is needed")

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        """The module; it holds nothing."""
        return ExitModule(self.offset, self.weight)

    def num_exits(self) -> int:
        return 1


class ExitModule(nn.Module):
    """See `Exit`."""

    def __init__(self, offset: int, weight: float) -> None:
        super().__init__()
        self.offset, self.weight = offset, weight

    def forward(self, stream: Stream) -> Stream:
        """The stream, with one more exit."""
        return stream._replace(exits=(*stream.exits, ExitStream(stream.x_BTD, self.offset, self.weight)))
