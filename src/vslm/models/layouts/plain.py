"""Two layouts that are written as one call: equal blocks as in Llama, and as in GPT-2."""

import dataclasses
from typing import Literal

from vslm.core.errors import SpecError, nearest
from vslm.core.frozen import FrozenDict
from vslm.core.types import describe
from vslm.models.elements.blocks import Block
from vslm.models.language_model import Model
from vslm.models.parts.attention import Attention
from vslm.models.parts.feedforward import GELU, Feedforward, SwiGLU
from vslm.models.parts.norms import LayerNorm, RMSNorm
from vslm.models.parts.positions import NoPositions
from vslm.models.parts.readouts import Readout, Tied, Untied
from vslm.models.parts.roots import Root, TokenPositionRoot, TokenRoot
from vslm.models.parts.scales import FixedStd
from vslm.models.path.stack import MOST_VISITS

_ROOTS = {"plain": TokenRoot(width=1), "normed": TokenRoot(width=1, multiplier=1.0, normed=True)}


def uniform(
    *,
    depth: int,
    width: int,
    heads: int,
    context_tokens: int,
    hidden: int | None = None,
    window_tokens: int | None = None,
    tied_readout: bool = True,
    qk_norm: bool = False,
    dropout: float = 0.0,
    feedforward: Feedforward | None = None,
    recipe: Literal["plain", "normed"] = "plain",
) -> Model:
    """The Llama layout with equal blocks, named "0", "1", ...: RMSNorm, rotary positions, SwiGLU, no bias.

    Args:
        depth: number of blocks.
        width: of the stream.
        heads: per block.
        context_tokens: the longest sequence.
        hidden: of the feedforward; None: 8/3 of the width, rounded up to a multiple of 8.
        window_tokens: of every block; None: all earlier positions.
        tied_readout: whether the readout is the embedding.
        qk_norm: whether queries and keys are normalized per head.
        dropout: on the embedding, the attention weights and what each block adds.
        feedforward: of every block, in place of `SwiGLU(hidden=hidden)`.
        recipe: how the embedding enters: "plain", times a factor of 10, or "normed", through a norm without gain. What
            that is worth stands in `docs/recipe.md`.

    Raises: SpecError at once where the numbers do not fit each other.
    """
    if recipe not in _ROOTS:
        raise SpecError("recipe", f"found {recipe!r}", nearest(str(recipe), _ROOTS))
    if feedforward is not None and hidden is not None:
        raise SpecError("hidden", f"found {hidden} beside feedforward", "one of the two is needed", "give it there")
    block = Block(
        width=width,
        attention=Attention(
            heads=heads, window_tokens=window_tokens, qk_norm=RMSNorm() if qk_norm else None, dropout=dropout
        ),
        feedforward=SwiGLU(hidden=hidden) if feedforward is None else feedforward,
        dropout=dropout,
    )
    readout = Tied() if tied_readout else Untied()
    root = dataclasses.replace(_ROOTS[recipe], width=width, dropout=dropout)
    return _repeated(root, block, depth, readout, context_tokens)


def gpt2(*, depth: int, width: int, heads: int, context_tokens: int, dropout: float = 0.0, bias: bool = True) -> Model:
    """The GPT-2 layout: LayerNorm, GELU, learned positions, deviation 0.02, tied readout.

    Args:
        depth: number of blocks.
        width: of the stream.
        heads: per block.
        context_tokens: the longest sequence.
        dropout: on the embedding, the attention weights and what each block adds.
        bias: whether projections and norms have one.

    Raises: SpecError at once where the numbers do not fit each other.
    """
    block = Block(
        width=width,
        attention=Attention(heads=heads, positions=NoPositions(), bias=bias, dropout=dropout),
        feedforward=GELU(bias=bias),
        norm=LayerNorm(bias=bias),
        dropout=dropout,
        scale=FixedStd(value=0.02),
    )
    root = TokenPositionRoot(width=width, dropout=dropout)
    return _repeated(root, block, depth, Tied(norm=LayerNorm(bias=bias)), context_tokens)


def _repeated(root: Root, block: Block, depth: int, readout: Readout, context_tokens: int) -> Model:
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise SpecError("depth", f"found {depth!r}", "a whole number of 1 or more is needed")
    if depth > MOST_VISITS:  # before so many names are made
        raise SpecError("depth", f"found {describe(depth)}", f"at most {MOST_VISITS:,} blocks are built")
    names = tuple(str(i) for i in range(depth))
    model = Model(
        root=root,
        blocks=FrozenDict(dict.fromkeys(names, block)),
        path=names,
        readout=readout,
        context_tokens=context_tokens,
    )
    model.validate()
    return model
