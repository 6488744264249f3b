"""From the end of the stream to one number per token of the vocabulary."""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.models.initialization import Init
from vslm.models.norms import Norm, RMSNorm


class Readout(Spec):
    """Interface: builds a module that maps (x_BTD, embedding_VE) to logits_BTV; `norm` is applied to the stream first.

    The embedding is the root's, given at each call and owned by the root, so that a shared weight has one name.
    """

    norm: Norm

    @abstractmethod
    def build(self, *, width: int, vocabulary: int, init: Init) -> nn.Module:
        """The module, without the norm."""

    @abstractmethod
    def num_parameters(self, *, width: int, vocabulary: int) -> int:
        """How many parameters the module has, without the norm."""

    def check_widths(self, *, width: int, memory_width: int) -> None:
        """Raise SpecError for a last width, or an embedding, that cannot be served."""


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
                "use Untied(), or set equal widths",
            )

    def build(self, *, width: int, vocabulary: int, init: Init) -> nn.Module:
        """The module; it holds nothing."""
        return TiedModule()

    def num_parameters(self, *, width: int, vocabulary: int) -> int:
        """None."""
        return 0


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
    std: float = 0.02

    def check(self) -> None:
        """Refuse a deviation of zero or less."""
        if self.std <= 0:
            raise SpecError("std", f"found {self.std}", "a number above 0 is needed")

    def build(self, *, width: int, vocabulary: int, init: Init) -> nn.Module:
        """The module for `vocabulary` tokens."""
        return UntiedModule(init.child("weight").normal((vocabulary, width), self.std))

    def num_parameters(self, *, width: int, vocabulary: int) -> int:
        """One row per token."""
        return vocabulary * width


class TiedModule(nn.Module):
    """See `Tied`."""

    def forward(self, x_BTD: Tensor, embedding_VE: Tensor) -> Tensor:
        """logits_BTV."""
        return functional.linear(x_BTD, embedding_VE)


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
