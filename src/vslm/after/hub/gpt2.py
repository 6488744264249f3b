"""The GPT-2 layout: LayerNorm, learned positions, a feedforward without a gate. Its matrices are [in, out]."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

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
from vslm.models.parts.activations import GELUActivation
from vslm.models.parts.feedforward import GELU, MLP
from vslm.models.parts.norms import LayerNorm
from vslm.models.parts.positions import NoPositions
from vslm.models.parts.readouts import Tied
from vslm.models.parts.roots import TokenPositionRoot


class GPT2(Layout):
    """`GPT2LMHeadModel`. A bias that a model does without is written as zeros.

    Paper: Language Models are Unsupervised Multitask Learners, Radford et al., 2019.
    """

    name: ClassVar[str] = "GPT2LMHeadModel"

    def own_misfits(self, model: Model, blocks: Mapping[str, Block]) -> list[str]:
        """Norms, positions and feedforwards of another kind, and what has to be the same in all blocks and is not."""
        found = [] if type(model.root) is TokenPositionRoot else [f"the root is {type(model.root).__name__}"]
        for where, block in blocks.items():
            if type(block.attention.positions) is not NoPositions:
                found.append(f"{where} has {type(block.attention.positions).__name__} positions in attention")
            if type(block.norm) is not LayerNorm:
                found.append(f"{where} has {type(block.norm).__name__} in place of LayerNorm")
            if type(block.feedforward) not in (GELU, MLP):
                found.append(f"{where} has the feedforward {type(block.feedforward).__name__}")
            elif _activation(block) not in ACTIVATIONS:
                found.append(f"{where} has the activation {_activation(block).__name__}")
            if block.attention.heads * block.attention.width_per_head(block.width) != block.width:
                found.append(f"{where} has heads that are not as wide as the stream together")
        if type(model.readout.norm) is not LayerNorm:
            found.append(f"the readout has {type(model.readout.norm).__name__} in place of LayerNorm")
        if found:
            return found
        epsilons = {block.norm.epsilon for block in blocks.values()}  # type: ignore[attr-defined]
        epsilons.add(model.readout.norm.epsilon)  # type: ignore[attr-defined]
        if len(epsilons) > 1:
            found.append(f"the epsilons of its norms differ: {sorted(epsilons)}")
        found += unlike(blocks, lambda block: block.attention.heads, "heads")
        found += unlike(blocks, lambda block: block.feedforward.hidden_at(block.width), "hidden sizes")
        found += unlike(blocks, lambda block: ACTIVATIONS[_activation(block)], "activations")
        return found

    def config(self, model: Model, vocabulary: int) -> dict[str, Any]:
        """Of `GPT2Config`."""
        blocks = [visit.element for visit in model.visits() if isinstance(visit.element, Block)]
        first, norm = blocks[0], model.readout.norm
        assert isinstance(norm, LayerNorm)
        return {
            "vocab_size": vocabulary,
            "n_positions": model.context_tokens,
            "n_embd": model.last_width,
            "n_layer": len(blocks),
            "n_head": first.attention.heads,
            "n_inner": first.feedforward.hidden_at(first.width),
            "activation_function": ACTIVATIONS[_activation(first)],
            "layer_norm_epsilon": norm.epsilon,
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
            "tie_word_embeddings": isinstance(model.readout, Tied),
        }

    def tensors(self, model: Model, module: LanguageModel) -> dict[str, Tensor]:
        """The weights of a model that fits."""
        found = {
            "transformer.wte.weight": parameter(module.root, "embedding_VE"),
            "transformer.wpe.weight": parameter(module.root, "position_TE"),
            **_norm("transformer.ln_f", module.norm),
        }
        if not isinstance(model.readout, Tied):
            found["lm_head.weight"] = parameter(module.readout, "weight")
        for number, one in enumerate(visited(model, module)):
            head, width = f"transformer.h.{number}.", one.block.width
            found |= _norm(f"{head}ln_1", one.module.attention_norm) | _norm(f"{head}ln_2", one.module.feedforward_norm)
            attention = projections(one)
            inward = (attention.query, attention.key, attention.value)
            found[f"{head}attn.c_attn.weight"] = torch.cat([weight for weight, _ in inward]).T.contiguous()
            found[f"{head}attn.c_attn.bias"] = torch.cat([bias_or_zeros(its) for its in inward])
            feedforward, hidden = one.module.feedforward, one.block.feedforward.hidden_at(width) or 0
            into = matrix(feedforward.get_submodule("input"), width)
            out = added(matrix(feedforward.get_submodule("output"), hidden), one.module.feedforward_residual)
            for name, its in (("attn.c_proj", attention.output), ("mlp.c_fc", into), ("mlp.c_proj", out)):
                found[f"{head}{name}.weight"] = its[0].T.contiguous()
                found[f"{head}{name}.bias"] = bias_or_zeros(its)
        return found


def _norm(name: str, module: nn.Module) -> dict[str, Tensor]:
    weight = parameter(module, "weight")
    bias = dict(module.named_parameters()).get("bias")
    return {
        f"{name}.weight": weight,
        f"{name}.bias": torch.zeros_like(weight) if bias is None else bias.detach().clone(),
    }


def _activation(block: Block) -> type:
    return type(block.feedforward.activation) if isinstance(block.feedforward, MLP) else GELUActivation
