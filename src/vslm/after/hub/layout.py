"""What a layout of somebody else's is: which models it can hold, and their weights under its names.

Blocks are read visit by visit, so a block that is visited three times is written three times. What multiplies a matrix
is written into it: the same function, in numbers that round once more.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from vslm.models.elements.blocks import Block, BlockModule
from vslm.models.language_model import LanguageModel, Model
from vslm.models.parts.activations import (
    Activation,
    GELUActivation,
    ReLUActivation,
    SiLUActivation,
    SquaredReLUActivation,
    TanhActivation,
    TanhGELUActivation,
)
from vslm.models.parts.attention import AttentionModule
from vslm.models.parts.normalizers import HeadGain, Softmax
from vslm.models.parts.readouts import Tied, Untied
from vslm.models.parts.reads import StreamReads
from vslm.models.parts.residuals import PlainAdd, ScaledAdd

ACTIVATIONS: Mapping[type[Activation], str] = {
    SiLUActivation: "silu",
    GELUActivation: "gelu",
    ReLUActivation: "relu",
    SquaredReLUActivation: "relu2",
    TanhActivation: "tanh",
    TanhGELUActivation: "gelu_pytorch_tanh",
}
SAME_NAMES: Mapping[str, str] = {"gelu_new": "gelu_pytorch_tanh", "swish": "silu"}  # of one function, elsewhere


class Visited(NamedTuple):
    """A visit of a path: what it is, and the module there."""

    where: str
    block: Block
    module: BlockModule


class Layout(ABC):
    """Interface: a layout that `transformers` reads without code of ours."""

    name: ClassVar[str]
    """As its class there: "LlamaForCausalLM"."""

    def misfits(self, model: Model) -> list[str]:
        """What of a model this layout cannot say, in words; none where it can hold it."""
        others = [visit for visit in model.visits() if type(visit.element) is not Block]
        if others:
            return [f"{visit.where} is {type(visit.element).__name__}, no block" for visit in others]
        blocks = [(visit.where, visit.element) for visit in model.visits() if isinstance(visit.element, Block)]
        found = [words for where, block in blocks for words in _odd_parts(where, block, model.context_tokens)]
        if type(model.readout) not in (Tied, Untied):
            found.append(f"the readout is {type(model.readout).__name__}")
        return list(dict.fromkeys([*found, *self.own_misfits(model, dict(blocks))]))

    @abstractmethod
    def own_misfits(self, model: Model, blocks: Mapping[str, Block]) -> list[str]:
        """Those beside what no layout holds; blocks by where they stand."""

    @abstractmethod
    def config(self, model: Model, vocabulary: int) -> dict[str, Any]:
        """The arguments of its configuration."""

    @abstractmethod
    def tensors(self, model: Model, module: LanguageModel) -> dict[str, Tensor]:
        """The weights by its names, of a model that fits."""


def _odd_parts(where: str, block: Block, context_tokens: int) -> Iterable[str]:
    attention = block.attention
    if attention.window_tokens is not None and attention.window_tokens < context_tokens:
        yield f"{where} sees a window of {attention.window_tokens} tokens"
    if type(attention.normalizer) not in (Softmax, HeadGain):
        yield f"{where} has the normalizer {type(attention.normalizer).__name__}"
    if attention.qk_norm is not None:
        yield f"{where} has a norm on queries and keys"
    if attention.gate is not None:
        yield f"{where} has the gate {type(attention.gate).__name__}"
    if type(block.reads) is not StreamReads:
        yield f"{where} reads {type(block.reads).__name__}"
    if type(block.residual) not in (PlainAdd, ScaledAdd):
        yield f"{where} adds by {type(block.residual).__name__}"


def visited(model: Model, module: LanguageModel) -> list[Visited]:
    """The visits of a model whose elements are all blocks."""
    elements = module.elements()
    found = []
    for visit in model.visits():
        element = elements[visit.where]
        assert isinstance(visit.element, Block)
        assert isinstance(element, BlockModule)
        found.append(Visited(visit.where, visit.element, element))
    return found


def unlike(blocks: Mapping[str, Block], read: Callable[[Block], Any], words: str) -> list[str]:
    """What differs between blocks that have to be equal, in words."""
    found = {where: read(block) for where, block in blocks.items()}
    first = next(iter(found.values()))
    other = next((where for where, value in found.items() if value != first), None)
    return [] if other is None else [f"{words} differ: {first} in {next(iter(found))}, {found[other]} in {other}"]


def matrix(layer: nn.Module, width_in: int) -> tuple[Tensor, Tensor | None]:
    """The matrix of a linear layer as it acts, [out, in], and its bias: what it makes of unit vectors, so that a change
    beside a shared matrix is in it.
    """
    if isinstance(layer, nn.Linear):
        return layer.weight.detach().clone(), None if layer.bias is None else layer.bias.detach().clone()
    with torch.no_grad():
        zero_O = layer(torch.zeros(1, width_in))[0]
        weight_OI = (layer(torch.eye(width_in)) - zero_O).T.contiguous()
    return weight_OI, zero_O if zero_O.any() else None


class Projections(NamedTuple):
    """The four matrices of attention, with everything written into them that multiplies them, and their biases."""

    query: tuple[Tensor, Tensor | None]
    key: tuple[Tensor, Tensor | None]
    value: tuple[Tensor, Tensor | None]
    output: tuple[Tensor, Tensor | None]


def projections(one: Visited) -> Projections:
    """Of a block. The temperature of softmax is in the queries, a gain per head and that of the sum in the output."""
    attention, width = one.module.attention, one.block.width
    assert isinstance(attention, AttentionModule)
    query, key, value = (matrix(layer, width) for layer in (attention.query, attention.key, attention.value))
    output = matrix(attention.output, query[0].shape[0])
    normalizer = one.block.attention.normalizer
    if isinstance(normalizer, Softmax) and normalizer.temperature != 1:
        query = scaled(query, 1 / normalizer.temperature)
    if isinstance(normalizer, HeadGain):
        factor_H = attention.normalizer.get_parameter("factor").detach()
        per_head = output[0].shape[1] // len(factor_H)
        output = (output[0] * factor_H.repeat_interleave(per_head), output[1])
    return Projections(query, key, value, added(output, one.module.attention_residual))


def scaled(found: tuple[Tensor, Tensor | None], factor: float) -> tuple[Tensor, Tensor | None]:
    """Matrix and bias times a number."""
    weight, bias = found
    return weight * factor, None if bias is None else bias * factor


def added(found: tuple[Tensor, Tensor | None], residual: nn.Module) -> tuple[Tensor, Tensor | None]:
    """An output with the gain in it that a block adds it with."""
    gain_D = dict(residual.named_parameters()).get("gain")
    if gain_D is None:
        return found
    weight, bias = found
    return weight * gain_D.detach()[:, None], None if bias is None else bias * gain_D.detach()


def bias_or_zeros(found: tuple[Tensor, Tensor | None]) -> Tensor:
    """The bias of a layer, zeros where it has none."""
    weight, bias = found
    return torch.zeros(weight.shape[0]) if bias is None else bias


def parameter(module: nn.Module, name: str) -> Tensor:
    """A parameter's values."""
    return module.get_parameter(name).detach().clone()
