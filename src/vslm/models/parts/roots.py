"""Where the residual stream starts, and the token memory that attention may look at."""

from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from vslm.core.bounds import Real, Width
from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.models.initialization import Init
from vslm.models.parts.stream import Stream
from vslm.models.without_storage import SHAPES_ONLY, Shapes, shapes_of

# An embedding of deviation 0.02, as a tied readout wants it, drowns under blocks that add at unit scale: the model then
# spends its first hundreds of steps making the token heard. Ten times as large it starts at a fifth of their scale.
# Measured on 2 layers of width 128, 1M tokens of source code, one seed, AdamW at 0.004: 3.84 nats with a factor of 1,
# 3.19 with 11, 3.25 with 50.
EMBEDDING_MULTIPLIER = 10.0
_EPSILON = 1e-8  # of a mean square; that of an initial embedding is 4e-4


class Root(Spec):
    """Interface: builds a module that maps tokens_BT to the first `Stream`, and that has `embedding_VE`.

    The module's `lookup_tables()` are its parameters with one row per token or position, which an optimizer treats as
    embeddings.

    A root has two widths: `stream_width` is where the path starts, `memory_width` is that of the token memory, and of
    the embedding that a tied readout uses.
    """

    @property
    @abstractmethod
    def stream_width(self) -> int:
        """Width of the stream at the start of the path."""

    @property
    @abstractmethod
    def memory_width(self) -> int:
        """Width of the token memory and of the embedding."""

    @property
    def starts_from_tokens(self) -> bool:
        """Whether the stream depends on the tokens before any block; if not, a block has to read the memory."""
        return True

    @property
    def goes_on(self) -> bool:
        """Whether a stream can start at positions beyond the context that the model was trained in."""
        return True

    @abstractmethod
    def build(self, *, vocabulary: int, context_tokens: int, init: Init) -> nn.Module:
        """The module."""

    def forward_flops_per_token(self) -> float:
        """Two for every weight that is not looked up; none where a root is only tables."""
        shapes = root_shapes(self, vocabulary=1, context_tokens=1)  # they make rows of tables, which are not counted
        return 2.0 * (shapes.num_parameters - shapes.num_table_parameters)


def root_shapes(root: Root, *, vocabulary: int, context_tokens: int) -> Shapes:
    """The parameters of a root."""
    return shapes_of(root, vocabulary=vocabulary, context_tokens=context_tokens, init=SHAPES_ONLY)


@dataclass(frozen=True, kw_only=True)
class TokenRoot(Root):
    """The stream starts as the embedding of the token: `x_t = multiplier * E[token_t]`.

    With `normed`, every token enters at the same scale: `x_t = multiplier * E[token_t] / rms(E[token_t])`, whatever the
    readout makes of the embedding's length in training. The norm has no gain, so it costs no parameter.

    At the start: E is normal with deviation `std`, which is the scale at which a tied readout reads it.

    Args:
        width: of the stream and of the embedding.
        std: deviation of the initial embedding, above 0.
        multiplier: factor on what enters the stream and the memory, above 0; a readout sees E without it.
        dropout: probability that a number of the embedding is dropped in training.
        normed: whether the embedding is brought to a root mean square of 1 first; a multiplier of 1 then starts the
            stream at the scale that blocks add at.
    """

    width: Width
    std: Real = 0.02
    multiplier: Real = EMBEDDING_MULTIPLIER
    dropout: Real = 0.0
    normed: bool = field(default=False, metadata={"in_fingerprint": "when set"})

    def check(self) -> None:
        """Refuse what no embedding can have."""
        _check_embedding(self.width, self.std, self.dropout)
        if self.multiplier <= 0:
            raise SpecError("multiplier", f"found {self.multiplier}", "a number above 0 is needed")

    @property
    def stream_width(self) -> int:
        return self.width

    @property
    def memory_width(self) -> int:
        return self.width

    def build(self, *, vocabulary: int, context_tokens: int, init: Init) -> nn.Module:
        """The module for `vocabulary` tokens."""
        embedding_VE = init.child("embedding_VE").normal((vocabulary, self.width), self.std)
        return TokenRootModule(embedding_VE, multiplier=self.multiplier, dropout=self.dropout, normed=self.normed)


@dataclass(frozen=True, kw_only=True)
class TokenPositionRoot(Root):
    """Token and position, each with a learned vector: `x_t = E[token_t] + P[t]`.

    Paper: Improving Language Understanding by Generative Pre-Training, Radford et al., 2018.
    At the start: both normal, deviation `std`.

    Args:
        width: of the stream and of both embeddings.
        std: deviation of the initial embeddings, above 0.
        dropout: probability that a number of the sum is dropped in training.
    """

    width: Width
    std: Real = 0.02
    dropout: Real = 0.0

    def check(self) -> None:
        """Refuse what no embedding can have."""
        _check_embedding(self.width, self.std, self.dropout)

    @property
    def stream_width(self) -> int:
        return self.width

    @property
    def memory_width(self) -> int:
        return self.width

    @property
    def goes_on(self) -> bool:
        """No: every position has a vector of its own."""
        return False

    def build(self, *, vocabulary: int, context_tokens: int, init: Init) -> nn.Module:
        """The module for `vocabulary` tokens and `context_tokens` positions."""
        embedding_VE = init.child("embedding_VE").normal((vocabulary, self.width), self.std)
        position_TE = init.child("position_TE").normal((context_tokens, self.width), self.std)
        return TokenPositionRootModule(embedding_VE, position_TE, dropout=self.dropout)


class TokenRootModule(nn.Module):
    """See `TokenRoot`."""

    def __init__(self, embedding_VE: Tensor, *, multiplier: float, dropout: float, normed: bool = False) -> None:
        super().__init__()
        self.embedding_VE = nn.Parameter(embedding_VE)
        self.multiplier = multiplier
        self.dropout = dropout
        self.normed = normed

    def lookup_tables(self) -> tuple[nn.Parameter, ...]:
        """The embedding: one row per token."""
        return (self.embedding_VE,)

    def forward(self, tokens_BT: Tensor) -> Stream:
        """The first stream; the memory is the same tensor."""
        found_BTD = functional.embedding(tokens_BT, self.embedding_VE)
        if self.normed:
            found_BTD = functional.rms_norm(found_BTD, found_BTD.shape[-1:], eps=_EPSILON)
        x_BTD = self.multiplier * found_BTD
        if self.dropout:
            x_BTD = functional.dropout(x_BTD, self.dropout, self.training)
        return Stream(x_BTD=x_BTD, memory_BSE=x_BTD, saved={})


class TokenPositionRootModule(nn.Module):
    """See `TokenPositionRoot`."""

    def __init__(self, embedding_VE: Tensor, position_TE: Tensor, *, dropout: float) -> None:
        super().__init__()
        self.embedding_VE = nn.Parameter(embedding_VE)
        self.position_TE = nn.Parameter(position_TE)
        self.dropout = dropout

    def lengthened(self, context_tokens: int) -> nn.Module:
        """Refused: no vector was learned for positions further on."""
        found = (
            f"a learned vector for each of {len(self.position_TE)} positions, and none for those up to {context_tokens}"
        )
        raise SpecError("root", found, "positions that go on are needed", "use TokenRoot with Rotary()")

    def lookup_tables(self) -> tuple[nn.Parameter, ...]:
        """Both embeddings: one row per token, one per position."""
        return self.embedding_VE, self.position_TE

    def forward(self, tokens_BT: Tensor) -> Stream:
        """The first stream; the memory is the same tensor."""
        positions_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        x_BTD = functional.embedding(tokens_BT, self.embedding_VE) + functional.embedding(positions_T, self.position_TE)
        if self.dropout:
            x_BTD = functional.dropout(x_BTD, self.dropout, self.training)
        return Stream(x_BTD=x_BTD, memory_BSE=x_BTD, saved={})


def _check_embedding(width: int, std: float, dropout: float) -> None:
    if width < 1:
        raise SpecError("width", f"found {width}", "1 or more is needed")
    if std <= 0:
        raise SpecError("std", f"found {std}", "a number above 0 is needed")
    if not 0 <= dropout < 1:
        raise SpecError("dropout", f"found {dropout}", "at least 0 and below 1 is needed")
