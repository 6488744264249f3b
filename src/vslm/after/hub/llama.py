"""The Llama layout: RMSNorm, rotary positions, a gated feedforward, a readout that is the embedding or its own."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional

from vslm.after.hub.layout import (
    ACTIVATIONS,
    Layout,
    added,
    bias_or_zeros,
    matrix,
    parameter,
    projections,
    unlike,
    visited,
)
from vslm.models.elements.blocks import Block
from vslm.models.language_model import LanguageModel, Model
from vslm.models.parts.activations import SiLUActivation
from vslm.models.parts.feedforward import GatedMLP, SwiGLU
from vslm.models.parts.norms import RMSNorm
from vslm.models.parts.positions import Rotary
from vslm.models.parts.readouts import Tied
from vslm.models.parts.roots import TokenRoot

_EPSILON = 1e-8  # of a normed root, as in `TokenRootModule`


class Llama(Layout):
    """`LlamaForCausalLM`. The multiplier of a root is in the embedding, and a tied readout's last norm takes it back.
    An embedding that enters through a norm is written normalized, and the readout beside it.

    Paper: LLaMA, Touvron et al., 2023, https://arxiv.org/abs/2302.13971.
    """

    name: ClassVar[str] = "LlamaForCausalLM"

    def own_misfits(self, model: Model, blocks: Mapping[str, Block]) -> list[str]:
        """Norms, positions and feedforwards of another kind, and what has to be the same in all blocks and is not."""
        found = [] if type(model.root) is TokenRoot else [f"the root is {type(model.root).__name__}"]
        for where, block in blocks.items():
            if type(block.attention.positions) is not Rotary:
                found.append(f"{where} has {type(block.attention.positions).__name__} in place of Rotary")
            if type(block.norm) is not RMSNorm:
                found.append(f"{where} has {type(block.norm).__name__} in place of RMSNorm")
            if type(block.feedforward) not in (SwiGLU, GatedMLP):
                found.append(f"{where} has the feedforward {type(block.feedforward).__name__}, which is not gated")
            elif _activation(block) not in ACTIVATIONS:
                found.append(f"{where} has the activation {_activation(block).__name__}")
        if type(model.readout.norm) is not RMSNorm:
            found.append(f"the readout has {type(model.readout.norm).__name__} in place of RMSNorm")
        if found:
            return found
        epsilons = {where: block.norm.epsilon for where, block in blocks.items()}  # type: ignore[attr-defined]
        epsilons["the readout"] = model.readout.norm.epsilon  # type: ignore[attr-defined]
        if len(set(epsilons.values())) > 1:
            found.append(f"the epsilons of its norms differ: {sorted(set(epsilons.values()))}")
        found += unlike(blocks, lambda block: block.attention.heads, "heads")
        found += unlike(blocks, lambda block: block.attention.width_per_head(block.width), "widths of a head")
        found += unlike(blocks, lambda block: block.attention.positions.base, "bases of Rotary")  # type: ignore[attr-defined]
        found += unlike(blocks, lambda block: block.feedforward.hidden_at(block.width), "hidden sizes")
        found += unlike(blocks, lambda block: ACTIVATIONS[_activation(block)], "activations")
        return found

    def config(self, model: Model, vocabulary: int) -> dict[str, Any]:
        """Of `LlamaConfig`."""
        blocks = [visit.element for visit in model.visits() if isinstance(visit.element, Block)]
        first, width = blocks[0], model.last_width
        positions, norm = first.attention.positions, first.norm
        assert isinstance(positions, Rotary)
        assert isinstance(norm, RMSNorm)
        return {
            "vocab_size": vocabulary,
            "hidden_size": width,
            "intermediate_size": first.feedforward.hidden_at(width),
            "num_hidden_layers": len(blocks),
            "num_attention_heads": first.attention.heads,
            "num_key_value_heads": first.attention.heads,
            "head_dim": first.attention.width_per_head(width),
            "max_position_embeddings": model.context_tokens,
            "rms_norm_eps": norm.epsilon,
            "rope_parameters": {"rope_type": "default", "rope_theta": positions.base},
            "hidden_act": ACTIVATIONS[_activation(first)],
            "attention_bias": any(block.attention.bias for block in blocks),
            "mlp_bias": any(_has_bias(block) for block in blocks),
            "attention_dropout": 0.0,
            "tie_word_embeddings": _is_tied(model),
        }

    def tensors(self, model: Model, module: LanguageModel) -> dict[str, Tensor]:
        """The weights of a model that fits."""
        root = model.root
        assert isinstance(root, TokenRoot)
        embedding_VE = parameter(module.root, "embedding_VE")
        entering_VE = (
            functional.rms_norm(embedding_VE, embedding_VE.shape[-1:], eps=_EPSILON) if root.normed else embedding_VE
        )
        last_norm = parameter(module.norm, "weight")
        found = {"model.embed_tokens.weight": entering_VE * root.multiplier}
        if _is_tied(model):
            last_norm = last_norm / root.multiplier
        else:
            is_own = not isinstance(model.readout, Tied)
            found["lm_head.weight"] = parameter(module.readout, "weight") if is_own else embedding_VE
        found["model.norm.weight"] = last_norm
        config = self.config(model, vocabulary=len(embedding_VE))
        for number, one in enumerate(visited(model, module)):
            head, width = f"model.layers.{number}.", one.block.width
            found[f"{head}input_layernorm.weight"] = parameter(one.module.attention_norm, "weight")
            found[f"{head}post_attention_layernorm.weight"] = parameter(one.module.feedforward_norm, "weight")
            attention = projections(one)._asdict()
            for name, its in (("q", "query"), ("k", "key"), ("v", "value"), ("o", "output")):
                found[f"{head}self_attn.{name}_proj.weight"] = attention[its][0]
                if config["attention_bias"]:
                    found[f"{head}self_attn.{name}_proj.bias"] = bias_or_zeros(attention[its])
            feedforward = one.module.feedforward
            hidden = one.block.feedforward.hidden_at(width) or 0
            gate, up = (matrix(feedforward.get_submodule(name), width) for name in ("gate", "input"))
            down = added(matrix(feedforward.get_submodule("output"), hidden), one.module.feedforward_residual)
            for name, its in (("gate", gate), ("up", up), ("down", down)):
                found[f"{head}mlp.{name}_proj.weight"] = its[0]
                if config["mlp_bias"]:
                    found[f"{head}mlp.{name}_proj.bias"] = bias_or_zeros(its)
        return found


def _is_tied(model: Model) -> bool:
    """Whether the readout is what enters but for a factor: a norm in between makes two tables of it."""
    return isinstance(model.readout, Tied) and isinstance(model.root, TokenRoot) and not model.root.normed


def _activation(block: Block) -> type:
    return type(block.feedforward.activation) if isinstance(block.feedforward, GatedMLP) else SiLUActivation


def _has_bias(block: Block) -> bool:
    assert isinstance(block.feedforward, SwiGLU | GatedMLP)
    return block.feedforward.bias
