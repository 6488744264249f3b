"""What a block does at each position by itself."""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from vslm.core.bounds import Width
from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.models.initialization import Init
from vslm.models.parts.activations import Activation, GELUActivation, SiLUActivation
from vslm.models.parts.projections import linear
from vslm.models.parts.scales import FanIn, WeightScale
from vslm.models.without_storage import SHAPES_ONLY, Shapes, shapes_of

_HIDDEN_MULTIPLE = 8  # matrix products want widths in whole vector registers
_ANY_SCALE = FanIn()  # of what is counted only


class Feedforward(Spec):
    """Interface: builds a module that maps x_BTD to the same shape."""

    @abstractmethod
    def build(self, *, width: int, scale: WeightScale, output_factor: float, init: Init) -> nn.Module:
        """The module.

        Args:
            width: of the stream.
            scale: of the initial weights.
            output_factor: multiplies the initial output projection.
            init: where initial values come from.
        """

    def hidden_at(self, width: int) -> int | None:
        """Numbers in the middle at this width, for tables of blocks: its field `hidden`. None: it has none."""
        return getattr(self, "hidden", None)

    def forward_flops_per_token(self, width: int) -> float:
        """FLOPs of one visit, per token, forward only: two for every weight, unless a token sees some of them only, or
        some of them often.
        """
        return 2.0 * feedforward_shapes(self, width).num_parameters


def feedforward_shapes(feedforward: Feedforward, width: int) -> Shapes:
    """The parameters of a feedforward at this width."""
    return shapes_of(feedforward, width=width, scale=_ANY_SCALE, output_factor=1.0, init=SHAPES_ONLY)


@dataclass(frozen=True, kw_only=True)
class SwiGLU(Feedforward):
    """A gated feedforward: `W_o (silu(W_g x) * W_i x)`.

    Paper: GLU Variants Improve Transformer, Shazeer, 2020, https://arxiv.org/abs/2002.05202.
    Cost: 3 * width * hidden weights.

    Args:
        hidden: numbers in the middle; None: 8/3 of the width, rounded up to a multiple of 8, which costs the same as an
            ungated one of 4 times the width.
        bias: whether the three projections have one.
    """

    hidden: Width | None = None
    bias: bool = False

    def check(self) -> None:
        """Refuse an empty middle."""
        _check_hidden(self.hidden)

    def hidden_at(self, width: int) -> int:
        """Numbers in the middle at this width.

        >>> SwiGLU().hidden_at(128), SwiGLU(hidden=100).hidden_at(128)
        (344, 100)
        """
        smallest = -(-8 * width // 3)
        return self.hidden or smallest + -smallest % _HIDDEN_MULTIPLE

    def build(self, *, width: int, scale: WeightScale, output_factor: float, init: Init) -> nn.Module:
        """The module for a stream of `width` numbers."""
        gated = GatedMLP(activation=SiLUActivation(), hidden=self.hidden, bias=self.bias)
        return gated.build(width=width, scale=scale, output_factor=output_factor, init=init)


@dataclass(frozen=True, kw_only=True)
class GELU(Feedforward):
    """The feedforward of GPT-2: `W_o gelu(W_i x)`.

    Paper: Gaussian Error Linear Units, Hendrycks and Gimpel, 2016, https://arxiv.org/abs/1606.08415. We differ from
    GPT-2: the exact function, not its tanh approximation.
    Cost: 2 * width * hidden weights.

    Args:
        hidden: numbers in the middle; None: 4 times the width.
        bias: whether the two projections have one.
    """

    hidden: Width | None = None
    bias: bool = False

    def check(self) -> None:
        """Refuse an empty middle."""
        _check_hidden(self.hidden)

    def hidden_at(self, width: int) -> int:
        """Numbers in the middle at this width."""
        return self.hidden or 4 * width

    def build(self, *, width: int, scale: WeightScale, output_factor: float, init: Init) -> nn.Module:
        """The module for a stream of `width` numbers."""
        mlp = MLP(activation=GELUActivation(), hidden=self.hidden, bias=self.bias)
        return mlp.build(width=width, scale=scale, output_factor=output_factor, init=init)


@dataclass(frozen=True, kw_only=True)
class MLP(Feedforward):
    """Two matrices with an activation between them: `W_o act(W_i x)`. `MLP(activation=GELUActivation())` is `GELU`.

    Cost: 2 * width * hidden weights, and what the activation learns.

    Args:
        activation: of the numbers in the middle.
        hidden: numbers in the middle; None: 4 times the width.
        bias: whether the two projections have one.
    """

    activation: Activation
    hidden: Width | None = None
    bias: bool = False

    def check(self) -> None:
        """Refuse an empty middle."""
        _check_hidden(self.hidden)

    def hidden_at(self, width: int) -> int:
        """Numbers in the middle at this width."""
        return GELU(hidden=self.hidden).hidden_at(width)

    def build(self, *, width: int, scale: WeightScale, output_factor: float, init: Init) -> nn.Module:
        """The module for a stream of `width` numbers."""
        hidden = self.hidden_at(width)
        output_std = scale.std(hidden) * output_factor
        return MLPModule(
            input=linear(width, hidden, bias=self.bias, std=scale.std(width), init=init.child("input")),
            activation=self.activation.build(hidden=hidden, init=init.child("activation")),
            output=linear(hidden, width, bias=self.bias, std=output_std, init=init.child("output")),
        )


@dataclass(frozen=True, kw_only=True)
class GatedMLP(Feedforward):
    """A gated feedforward with any activation: `W_o (act(W_g x) * W_i x)`.

    Paper: GLU Variants Improve Transformer, Shazeer, 2020, https://arxiv.org/abs/2002.05202. With `SiLUActivation()` it
    is `SwiGLU`, with `GELUActivation()` GEGLU, with `ReLUActivation()` ReGLU.
    Cost: 3 * width * hidden weights, and what the activation learns.

    Args:
        activation: of the gate.
        hidden: numbers in the middle; None: as `SwiGLU`.
        bias: whether the three projections have one.
    """

    activation: Activation
    hidden: Width | None = None
    bias: bool = False

    def check(self) -> None:
        """Refuse an empty middle."""
        _check_hidden(self.hidden)

    def hidden_at(self, width: int) -> int:
        """Numbers in the middle at this width."""
        return SwiGLU(hidden=self.hidden).hidden_at(width)

    def build(self, *, width: int, scale: WeightScale, output_factor: float, init: Init) -> nn.Module:
        """The module for a stream of `width` numbers."""
        hidden, std = self.hidden_at(width), scale.std(width)
        output_std = scale.std(hidden) * output_factor
        return GatedMLPModule(
            gate=linear(width, hidden, bias=self.bias, std=std, init=init.child("gate")),
            activation=self.activation.build(hidden=hidden, init=init.child("activation")),
            input=linear(width, hidden, bias=self.bias, std=std, init=init.child("input")),
            output=linear(hidden, width, bias=self.bias, std=output_std, init=init.child("output")),
        )


class MLPModule(nn.Module):
    """See `MLP`."""

    def __init__(self, *, input: nn.Module, activation: nn.Module, output: nn.Module) -> None:
        super().__init__()
        self.input, self.activation, self.output = input, activation, output

    def forward(self, x_BTD: Tensor) -> Tensor:
        """What to add to the stream."""
        return self.output(self.activation(self.input(x_BTD)))


class GatedMLPModule(nn.Module):
    """See `GatedMLP`."""

    def __init__(self, *, gate: nn.Module, activation: nn.Module, input: nn.Module, output: nn.Module) -> None:
        super().__init__()
        self.gate, self.activation, self.input, self.output = gate, activation, input, output

    def forward(self, x_BTD: Tensor) -> Tensor:
        """What to add to the stream."""
        return self.output(self.activation(self.gate(x_BTD)) * self.input(x_BTD))


def _check_hidden(hidden: int | None) -> None:
    if hidden is not None and hidden < 1:
        raise SpecError("hidden", f"found {hidden}", "1 or more is needed")
