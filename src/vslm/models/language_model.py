"""The model: a root, a path through a bank of blocks, a readout. And two layouts that are written as one call."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from vslm.core.errors import SpecError, nearest
from vslm.core.frozen import FrozenDict
from vslm.core.specs import Spec
from vslm.models.attention import Attention
from vslm.models.blocks import Block
from vslm.models.elements import PathElement
from vslm.models.feedforward import GELU, SwiGLU
from vslm.models.initialization import Init
from vslm.models.norms import LayerNorm, RMSNorm
from vslm.models.positions import NoPositions
from vslm.models.readouts import Readout, Tied, Untied
from vslm.models.roots import Root, TokenPositionRoot, TokenRoot
from vslm.models.scales import FixedStd
from vslm.models.stack import Visit, num_stack_parameters, visits_of

TRAINING_PER_FORWARD = 3  # the backward pass computes two products for every one of the forward pass


@dataclass(frozen=True, kw_only=True)
class Model(Spec):
    """A causal language model as a value.

    Its parts are checked against each other by `validate`, which everything that counts or builds calls first; making
    or varying one checks only the parts by themselves, so that a width and what depends on it can change in two steps.

    Args:
        root: where the stream starts.
        blocks: the bank, by name; `model.blocks.NAME` addresses weights, so every visit of them.
        path: the visits, in order: names of the bank, or elements that stand at one place.
        readout: from the last stream to logits.
        context_tokens: the longest sequence.
    """

    root: Root
    blocks: Mapping[str, PathElement]
    path: tuple[str | PathElement, ...]
    readout: Readout
    context_tokens: int

    def check(self) -> None:
        """Refuse a context below 1."""
        if self.context_tokens < 1:
            raise SpecError("context_tokens", f"found {self.context_tokens}", "1 or more is needed")

    def validate(self) -> None:
        """Raise SpecError, with a path seen from the model, where parts do not fit each other."""
        self.visits()

    def visits(self) -> tuple[Visit, ...]:
        """The path, followed and checked: each visit's element and what surrounds it."""
        return self._followed()[0]

    @property
    def last_width(self) -> int:
        """Width of the stream that the readout reads."""
        return self._followed()[1]

    def kernels(self, device_type: str) -> dict[str, str]:
        """The attention kernel of every element that has one, on that type of device.

        Named by the block (`core`), or by its place for an element of the path (`path.3`).
        """
        chosen = {}
        for visit in self.visits():
            kernel = visit.element.kernel(context_tokens=self.context_tokens, device_type=device_type)
            if kernel is not None:
                chosen[visit.where.removeprefix("blocks.")] = kernel
        return chosen

    def build(self, *, vocabulary: int, init: Init, kernels: Mapping[str, str] | None = None) -> "LanguageModel":
        """The module, on the CPU in fp32.

        Args:
            vocabulary: number of tokens.
            init: where initial values come from.
            kernels: attention kernel by block, as `kernels(device_type)` gives; None: those of a CPU.
        """
        visits, last_width = self._followed()
        _check_vocabulary(vocabulary)
        chosen = dict(self.kernels("cpu"))
        for name in kernels or {}:
            if name not in chosen:
                raise SpecError(f"kernels.{name}", "no attention is named so", nearest(name, chosen))
        chosen |= kernels or {}
        modules = {}
        for visit in {visit.where: visit for visit in visits}.values():
            try:
                modules[visit.where] = visit.element.build(
                    around=visit.around,
                    kernel=chosen.get(visit.where.removeprefix("blocks.")),
                    init=init.child(visit.where),
                )
            except SpecError as error:
                raise error.within(visit.where) from None
        return LanguageModel(
            root=self.root.build(vocabulary=vocabulary, context_tokens=self.context_tokens, init=init.child("root")),
            modules=modules,
            visits=tuple(visit.where for visit in visits),
            norm=self.readout.norm.build(width=last_width),
            readout=self.readout.build(width=last_width, vocabulary=vocabulary, init=init.child("readout")),
            context_tokens=self.context_tokens,
        )

    def num_parameters(self, vocabulary: int) -> int:
        """All parameters; a shared one counts once."""
        visits, last_width = self._followed()
        _check_vocabulary(vocabulary)
        return (
            self.root.num_parameters(vocabulary=vocabulary, context_tokens=self.context_tokens)
            + num_stack_parameters(visits)
            + self.readout.norm.num_parameters(last_width)
            + self.readout.num_parameters(width=last_width, vocabulary=vocabulary)
        )

    def num_parameters_without_embeddings(self, vocabulary: int) -> int:
        """All but the tables with one row per token or position, an untied readout's included."""
        embeddings = self.root.num_embedding_parameters(vocabulary=vocabulary, context_tokens=self.context_tokens)
        readout = self.readout.num_parameters(width=self.last_width, vocabulary=vocabulary)
        return self.num_parameters(vocabulary) - embeddings - readout

    def flops_per_token(self, vocabulary: int) -> float:
        """Useful FLOPs of training, per token, at full context.

        3 * (sum over visits of (2 * weights + 4 * attention width * mean visible keys) + 2 * vocabulary * width)
        """
        visits, last_width = self._followed()
        _check_vocabulary(vocabulary)
        stack = sum(visit.element.forward_flops_per_token(visit.around) for visit in visits)
        return TRAINING_PER_FORWARD * (stack + 2.0 * vocabulary * last_width)

    def _followed(self) -> tuple[tuple[Visit, ...], int]:
        visits, last_width = visits_of(
            blocks=self.blocks,
            path=self.path,
            stream_width=self.root.stream_width,
            memory_width=self.root.memory_width,
            context_tokens=self.context_tokens,
        )
        try:
            self.readout.check_widths(width=last_width, memory_width=self.root.memory_width)
        except SpecError as error:
            raise error.within("readout") from None
        return visits, last_width


class LanguageModel(nn.Module):
    """See `Model`. Parameters are named as the spec's paths: `blocks.0.attention.query.weight`, `path.3.weight`.

    Args:
        root: tokens_BT -> Stream.
        modules: every element once, by where it stands (`blocks.NAME`, `path.PLACE`).
        visits: keys of `modules`, in the order of the path.
        norm: of the last stream.
        readout: (x_BTD, embedding_VE) -> logits_BTV.
        context_tokens: the longest sequence.
    """

    def __init__(
        self,
        *,
        root: nn.Module,
        modules: Mapping[str, nn.Module],
        visits: tuple[str, ...],
        norm: nn.Module,
        readout: nn.Module,
        context_tokens: int,
    ) -> None:
        super().__init__()
        self.root = root
        self.blocks = nn.ModuleDict(_of_room(modules, "blocks"))
        self.path = nn.ModuleDict(_of_room(modules, "path"))
        self.norm = norm
        self.readout = readout
        self.visits = visits
        self.context_tokens = context_tokens
        self._steps = tuple(tuple(where.split(".", 1)) for where in visits)

    def stream(self, tokens_BT: Tensor) -> Tensor:
        """x_BTD at the end of the path, after the final norm."""
        if tokens_BT.shape[1] > self.context_tokens:
            raise ValueError(f"{tokens_BT.shape[1]} tokens in a context of {self.context_tokens}.")
        stream = self.root(tokens_BT)
        for room, name in self._steps:
            stream = (self.blocks if room == "blocks" else self.path)[name](stream)
        return self.norm(stream.x_BTD)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """logits_BTV."""
        return self.readout(self.stream(tokens_BT), self.root.embedding_VE)


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
) -> Model:
    """The plain Llama layout with equal blocks, named "0", "1", ...: RMSNorm, rotary positions, SwiGLU, no bias.

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

    Raises: SpecError at once where the numbers do not fit each other.
    """
    block = Block(
        width=width,
        attention=Attention(
            heads=heads, window_tokens=window_tokens, qk_norm=RMSNorm() if qk_norm else None, dropout=dropout
        ),
        feedforward=SwiGLU(hidden=hidden),
        dropout=dropout,
    )
    readout = Tied() if tied_readout else Untied()
    return _repeated(TokenRoot(width=width, dropout=dropout), block, depth, readout, context_tokens)


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


def _of_room(modules: Mapping[str, nn.Module], room: str) -> dict[str, nn.Module]:
    return {where.split(".", 1)[1]: module for where, module in modules.items() if where.startswith(f"{room}.")}


def _check_vocabulary(vocabulary: int) -> None:
    if vocabulary < 1:
        raise SpecError("vocabulary", f"found {vocabulary}", "1 or more is needed")
