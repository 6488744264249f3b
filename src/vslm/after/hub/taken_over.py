"""Checkpoints of the Llama and the GPT-2 layout as models of ours: the same function, weight by weight.

Keys and values that several heads share are written out for each of them.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from vslm.after.hub.checkpoint import Checkpoint, Config, Taken
from vslm.after.hub.layout import ACTIVATIONS, SAME_NAMES
from vslm.core.errors import DataError, nearest
from vslm.core.frozen import FrozenDict
from vslm.models.elements.blocks import Block
from vslm.models.language_model import Model
from vslm.models.parts.activations import Activation
from vslm.models.parts.attention import Attention
from vslm.models.parts.feedforward import MLP, GatedMLP
from vslm.models.parts.norms import LayerNorm, RMSNorm
from vslm.models.parts.positions import NoPositions, Rotary
from vslm.models.parts.readouts import Tied, Untied
from vslm.models.parts.roots import TokenPositionRoot, TokenRoot

_BUFFERS = ("rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")  # computed anew
_PERIOD = 10_000.0


def taken_over(checkpoint: Checkpoint, *, context_tokens: int | None, num_ids: int) -> tuple[Model, dict[str, Tensor]]:
    """A checkpoint as a model and its weights by their names here.

    Args:
        checkpoint: its folder.
        context_tokens: of the model; None: as long as the checkpoint's.
        num_ids: of the tokenizer; rows of the embedding beyond it are left out.
    Raises: DataError for another layout, for what cannot be said here, and for weights that are missing or too many.
    """
    config = checkpoint.config
    kind = config.values.get("model_type")
    if kind not in LAYOUTS:
        found = f"model_type is {kind!r}"
        raise DataError(config.where, found, f"checkpoints of {' and '.join(LAYOUTS)} can be taken over", "")
    longest = config.whole("max_position_embeddings", "n_positions", "n_ctx")
    if context_tokens is not None and not 1 <= context_tokens <= longest:
        found = f"found {context_tokens}"
        raise DataError("--context-tokens", found, f"1 to {longest:,} are what the checkpoint has")
    model, weights = LAYOUTS[str(kind)](
        config, Taken(str(checkpoint.path), dict(checkpoint.tensors)), context_tokens or longest
    )
    rows = len(weights["root.embedding_VE"])
    if rows < num_ids:
        found = f"an embedding of {rows:,} rows, and a tokenizer of {num_ids:,} ids"
        raise DataError(str(checkpoint.path), found, "a row for every id is needed", "does the tokenizer belong to it?")
    return model, {
        name: tensor[:num_ids].contiguous() if name in ("root.embedding_VE", "readout.weight") else tensor.contiguous()
        for name, tensor in weights.items()
    }


def _llama(config: Config, taken: Taken, context_tokens: int) -> tuple[Model, dict[str, Tensor]]:
    config.refuse_unlike(rope_scaling=None, pretraining_tp=1)
    width, heads = config.whole("hidden_size"), config.whole("num_attention_heads")
    key_heads = config.whole("num_key_value_heads", default=heads)
    head_width = config.whole("head_dim", default=max(1, width // heads))
    if heads % key_heads:
        raise DataError(config.where, f"{key_heads} heads of keys for {heads} of queries", "a divisor is needed")
    norm = RMSNorm(epsilon=config.number("rms_norm_eps", default=1e-6))
    has_bias = {name: bool(config.values.get(f"{name}_bias", False)) for name in ("attention", "mlp")}
    block = Block(
        width=width,
        attention=Attention(
            heads=heads,
            head_width=None if heads * head_width == width else head_width,
            positions=Rotary(base=_period(config)),
            bias=has_bias["attention"],
        ),
        feedforward=GatedMLP(
            activation=_activation(config, "hidden_act", "silu"),
            hidden=config.whole("intermediate_size"),
            bias=has_bias["mlp"],
        ),
        norm=norm,
    )
    is_tied = bool(config.values.get("tie_word_embeddings", False))
    readout = Tied(norm=norm) if is_tied else Untied(norm=norm)
    depth = config.whole("num_hidden_layers")
    model = _model(TokenRoot(width=width, multiplier=1.0), block, depth, readout, context_tokens)
    found = {
        "root.embedding_VE": taken.take("model.embed_tokens.weight"),
        "norm.weight": taken.take("model.norm.weight"),
    }
    _take_readout(taken, found, "model.embed_tokens.weight", is_tied=is_tied)
    for number in range(depth):
        head, own = f"model.layers.{number}.", f"blocks.{number}."
        found[f"{own}attention_norm.weight"] = taken.take(f"{head}input_layernorm.weight")
        found[f"{own}feedforward_norm.weight"] = taken.take(f"{head}post_attention_layernorm.weight")
        for leaf in ("weight", "bias") if has_bias["attention"] else ("weight",):
            for name, its in (("query", "q"), ("key", "k"), ("value", "v"), ("output", "o")):
                tensor = taken.take(f"{head}self_attn.{its}_proj.{leaf}")
                is_shared = its in "kv" and key_heads != heads
                found[f"{own}attention.{name}.{leaf}"] = (
                    _for_each_head(tensor, key_heads, heads) if is_shared else tensor
                )
        for leaf in ("weight", "bias") if has_bias["mlp"] else ("weight",):
            for name, its in (("gate", "gate"), ("input", "up"), ("output", "down")):
                found[f"{own}feedforward.{name}.{leaf}"] = taken.take(f"{head}mlp.{its}_proj.{leaf}")
    taken.check_all_taken(_BUFFERS)
    return model, found


def _gpt2(config: Config, taken: Taken, context_tokens: int) -> tuple[Model, dict[str, Tensor]]:
    config.refuse_unlike(scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    width, heads = config.whole("n_embd", "hidden_size"), config.whole("n_head", "num_attention_heads")
    norm = LayerNorm(epsilon=config.number("layer_norm_epsilon", default=1e-5))
    block = Block(
        width=width,
        attention=Attention(heads=heads, positions=NoPositions(), bias=True),
        feedforward=MLP(
            activation=_activation(config, "activation_function", "gelu_new"),
            hidden=config.whole("n_inner", default=4 * width),
            bias=True,
        ),
        norm=norm,
    )
    is_tied = bool(config.values.get("tie_word_embeddings", True))
    depth = config.whole("n_layer", "num_hidden_layers")
    readout = Tied(norm=norm) if is_tied else Untied(norm=norm)
    model = _model(TokenPositionRoot(width=width), block, depth, readout, context_tokens)
    first = "transformer." if any(name.startswith("transformer.") for name in taken.tensors) else ""
    found = {
        "root.embedding_VE": taken.take(f"{first}wte.weight"),
        "root.position_TE": taken.take(f"{first}wpe.weight")[:context_tokens],
    }
    _take_readout(taken, found, f"{first}wte.weight", is_tied=is_tied)
    for leaf in ("weight", "bias"):
        found[f"norm.{leaf}"] = taken.take(f"{first}ln_f.{leaf}")
        for number in range(depth):
            head, own = f"{first}h.{number}.", f"blocks.{number}."
            for name, its in (("attention_norm", "ln_1"), ("feedforward_norm", "ln_2")):
                found[f"{own}{name}.{leaf}"] = taken.take(f"{head}{its}.{leaf}")
            three = taken.take(f"{head}attn.c_attn.{leaf}")
            for name, part in zip(("query", "key", "value"), three.chunk(3, dim=-1), strict=False):
                found[f"{own}attention.{name}.{leaf}"] = part.T if leaf == "weight" else part
            for name, its in (
                ("attention.output", "attn.c_proj"),
                ("feedforward.input", "mlp.c_fc"),
                ("feedforward.output", "mlp.c_proj"),
            ):
                tensor = taken.take(f"{head}{its}.{leaf}")
                found[f"{own}{name}.{leaf}"] = tensor.T if leaf == "weight" else tensor
    taken.check_all_taken(_BUFFERS)
    return model, found


LAYOUTS: Mapping[str, Callable[[Config, Taken, int], tuple[Model, dict[str, Tensor]]]] = {
    "llama": _llama,
    "gpt2": _gpt2,
}


def _model(
    root: TokenRoot | TokenPositionRoot, block: Block, depth: int, readout: Tied | Untied, context_tokens: int
) -> Model:
    names = tuple(map(str, range(depth)))
    blocks = FrozenDict(dict.fromkeys(names, block))
    model = Model(root=root, blocks=blocks, path=names, readout=readout, context_tokens=context_tokens)
    model.validate()
    return model


def _take_readout(taken: Taken, found: dict[str, Tensor], embedding: str, *, is_tied: bool) -> None:
    """The readout's own matrix; of a tied one a copy may be there, and is passed over if it is one."""
    if not is_tied:
        found["readout.weight"] = taken.take("lm_head.weight")
        return
    copy = taken.tensors.pop("lm_head.weight", None)
    if copy is not None and not torch.equal(copy, found["root.embedding_VE"]):
        words = f"lm_head.weight is not {embedding}, and config.json says that they are tied"
        raise DataError(taken.where, words, "", "set tie_word_embeddings to false in config.json")


def _for_each_head(tensor: Tensor, key_heads: int, heads: int) -> Tensor:
    """Rows of keys or values that several heads of queries share, once for each of these."""
    if not tensor.numel():
        return tensor
    return tensor.unflatten(0, (key_heads, -1)).repeat_interleave(heads // key_heads, dim=0).flatten(0, 1)


def _period(config: Config) -> float:
    """Of rotary positions, by either name. Raises: DataError for those that are stretched."""
    rope = config.values.get("rope_parameters") or {}
    if not isinstance(rope, dict) or rope.get("rope_type", "default") != "default":
        raise DataError(config.where, f"rope_parameters is {rope!r}", "plain rotary positions can be taken over")
    return float(rope.get("rope_theta") or config.number("rope_theta", default=_PERIOD))


def _activation(config: Config, name: str, default: str) -> Activation:
    value = str(config.values.get(name, default))
    known = {named: kind for kind, named in ACTIVATIONS.items()}
    named = SAME_NAMES.get(value, value)
    if named not in known:
        raise DataError(config.where, f"{name} is {value!r}", nearest(value, [*known, *SAME_NAMES]))
    return known[named]()
