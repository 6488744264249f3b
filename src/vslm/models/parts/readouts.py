"""From the end of the stream to one number per token of the vocabulary."""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.models.initialization import Init
from vslm.models.parts.norms import Norm, RMSNorm
from vslm.models.parts.projections import linear
from vslm.models.parts.scales import FanIn, WeightScale
from vslm.models.without_storage import SHAPES_ONLY, Shapes, shapes_of


class Readout(Spec):
    """Interface: builds a module that maps (x_BTD, embedding_VE) to logits_BTV; `norm` is applied to the stream first.

    The embedding is the root's, given at each call and owned by the root, so that a shared weight has one name.
    """

    norm: Norm

    @abstractmethod
    def build(self, *, width: int, memory_width: int, vocabulary: int, init: Init) -> nn.Module:
        """The module, without the norm, for a stream of `width` and an embedding of `memory_width` numbers."""

    def forward_flops_per_token(self, *, width: int, memory_width: int, vocabulary: int) -> float:
        """FLOPs per token, forward only: two for every weight of its own, and of the embedding that it multiplies by
        where it has no table itself.
        """
        shapes = readout_shapes(self, width=width, memory_width=memory_width, vocabulary=vocabulary)
        return 2.0 * (shapes.num_parameters + (0 if shapes.tables else vocabulary * memory_width))

    def check_widths(self, *, width: int, memory_width: int) -> None:
        """Raise SpecError for a last width, or an embedding, that cannot be served."""


def readout_shapes(readout: Readout, *, width: int, memory_width: int, vocabulary: int) -> Shapes:
    """The parameters of a readout, without its norm."""
    return shapes_of(readout, width=width, memory_width=memory_width, vocabulary=vocabulary, init=SHAPES_ONLY)


@dataclass(frozen=True, kw_only=True)
class Tied(Readout):
    """The embedding read backwards: `logits = x E^T`.

    Paper: Using the Output Embedding to Improve Language Models, Press and Wolf, 2016,
    https://arxiv.org/abs/1608.05859.
    Cost: no parameter.

    Args:
        norm: applied to the stream before it is read.

    Raises: SpecError where the last width is not the embedding's.
    """

    norm: Norm = RMSNorm()

    def check_widths(self, *, width: int, memory_width: int) -> None:
        """Both must be equal."""
        if width != memory_width:
            raise SpecError(
                "",
                f"Tied() reads width {width} with an embedding of width {memory_width}",
                "both need to be equal",
                "use TiedProjected() or Untied(), or set equal widths",
            )

    def build(self, *, width: int, memory_width: int, vocabulary: int, init: Init) -> nn.Module:
        """The module; it holds nothing."""
        return TiedModule()


@dataclass(frozen=True, kw_only=True)
class TiedProjected(Readout):
    """The embedding read backwards by a stream of another width: `logits = (x W^T) E^T`.

    Paper: ALBERT, Lan et al., 2019, https://arxiv.org/abs/1909.11942, section 3.1, factors the embedding so.
    At the start: deviation from `scale`; with FanIn() the logits have the scale that Tied() would give an embedding of
    this width.
    Cost: width * embedding width parameters, whatever the vocabulary.

    Args:
        norm: applied to the stream before it is read.
        scale: of the initial weights.
    """

    norm: Norm = RMSNorm()
    scale: WeightScale = FanIn()

    def build(self, *, width: int, memory_width: int, vocabulary: int, init: Init) -> nn.Module:
        """The module, with its matrix from the stream's width to the embedding's."""
        std = self.scale.std(width)
        return TiedProjectedModule(linear(width, memory_width, bias=False, std=std, init=init.child("projection")))


@dataclass(frozen=True, kw_only=True)
class Untied(Readout):
    """A matrix of its own: `logits = x W^T`.

    At the start: normal, deviation `std`.
    Cost: vocabulary * width parameters.

    Args:
        norm: applied to the stream before it is read.
        std: deviation of the initial weights, above 0.
    """

    norm: Norm = RMSNorm()
    std: Real = 0.02

    def check(self) -> None:
        """Refuse a deviation of zero or less."""
        if self.std <= 0:
            raise SpecError("std", f"found {self.std}", "a number above 0 is needed")

    def build(self, *, width: int, memory_width: int, vocabulary: int, init: Init) -> nn.Module:
        """The module for `vocabulary` tokens."""
        return UntiedModule(init.child("weight").normal((vocabulary, width), self.std))


class TiedModule(nn.Module):
    """See `Tied`."""

    def forward(self, x_BTD: Tensor, embedding_VE: Tensor) -> Tensor:
        """logits_BTV."""
        return functional.linear(x_BTD, embedding_VE)


class TiedProjectedModule(nn.Module):
    """See `TiedProjected`."""

    def __init__(self, projection: nn.Module) -> None:
        super().__init__()
        self.projection = projection

    def forward(self, x_BTD: Tensor, embedding_VE: Tensor) -> Tensor:
        """logits_BTV."""
        return functional.linear(self.projection(x_BTD), embedding_VE)


class UntiedModule(nn.Module):
    """See `Untied`."""

    def __init__(self, weight_VD: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_VD)

    def lookup_tables(self) -> tuple[nn.Parameter, ...]:
        """The matrix: one row per token, as the embedding that it stands in for."""
        return (self.weight,)

    def forward(self, x_BTD: Tensor, embedding_VE: Tensor) -> Tensor:
        """logits_BTV; the embedding is not looked at."""
        return functional.linear(x_BTD, self.weight)
