"""The model: a root, a path through a bank of blocks, a readout; as a value, and as the module that it builds."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from vslm.core.bounds import Context
from vslm.core.errors import SpecError, nearest
from vslm.models.accounting import Counted
from vslm.models.initialization import Init, default_draws
from vslm.models.longer import lengthened
from vslm.models.parts.past import WHOLE, Past, TextSoFar
from vslm.models.parts.prefixes import Behind, Prefix, names_of
from vslm.models.parts.readouts import Readout, readout_shapes
from vslm.models.parts.roots import Root
from vslm.models.parts.stream import Stream
from vslm.models.path.cut_loops import unlearned
from vslm.models.path.repeats import Repeat
from vslm.models.path.stack import (
    Entry,
    Followed,
    Loop,
    PathItem,
    Route,
    Visit,
    build_modules,
    follow,
    steps_of,
)


@dataclass(frozen=True, kw_only=True)
class Model(Counted):
    """A causal language model as a value.

    Its parts are checked against each other by `validate`, which everything that counts or builds calls first; making
    or varying one checks only the parts by themselves, so that a width and what depends on it can change in two steps.

    Args:
        root: where the stream starts.
        blocks: the bank, by name; `model.blocks.NAME` addresses weights, so every visit of them. An entry may be
            `Shares`: an element that shares weights of another one.
        path: the visits, in order: names of the bank, elements that stand at one place, or a `Repeat` of such.
        readout: from the last stream to logits.
        context_tokens: the longest sequence.
    """

    root: Root
    blocks: Mapping[str, Entry]
    path: tuple[PathItem, ...]
    readout: Readout
    context_tokens: Context

    def check(self) -> None:
        """Refuse a context below 1."""
        if self.context_tokens < 1:
            raise SpecError("context_tokens", f"found {self.context_tokens}", "1 or more is needed")

    def validate(self) -> None:
        """Raise SpecError, with a path seen from the model, where parts do not fit each other."""
        _ = self.followed, self.longest

    def visits(self) -> tuple[Visit, ...]:
        """The visits of the path in order, checked: each with its element, width and reach."""
        return self.followed.visits

    @property
    def last_width(self) -> int:
        """Width of the stream that the readout reads."""
        return self.followed.last_width

    def build(self, *, vocabulary: int, init: Init, kernels: Mapping[str, str] | None = None) -> "LanguageModel":
        """The module, on the CPU in fp32.

        Args:
            vocabulary: number of tokens.
            init: where initial values come from.
            kernels: attention kernel by block, as `kernels(where)` gives; None: those of a CPU.
        """
        visits, last_width = self.followed.visits, self.followed.last_width
        if vocabulary < 1:
            raise SpecError("vocabulary", f"found {vocabulary}", "1 or more is needed")
        chosen = dict(self.kernels())
        for name in kernels or {}:
            if name not in chosen:
                raise SpecError(f"kernels.{name}", "no attention is named so", nearest(name, chosen))
        chosen |= kernels or {}
        with default_draws(init.child("root")):
            root = self.root.build(vocabulary=vocabulary, context_tokens=self.context_tokens, init=init.child("root"))
        modules = build_modules(visits, kernels=chosen, init=init)
        with default_draws(init.child("readout")):
            norm = self.readout.norm.build(width=last_width)
            readout = self.readout.build(
                width=last_width,
                memory_width=self.root.memory_width,
                vocabulary=vocabulary,
                init=init.child("readout"),
            )
        return LanguageModel(
            root=root,
            modules=modules,
            route=self.followed.route,
            can_continue=all(visit.element.can_continue for visit in visits),
            norm=norm,
            readout=readout,
            context_tokens=self.context_tokens,
        )

    @property
    def repeats(self) -> tuple[Repeat, ...]:
        """The repeated parts of the path, in order."""
        return tuple(item for item in self.path if isinstance(item, Repeat))

    @property
    def num_exits(self) -> int:
        """How many streams are read out beside the last one, in a whole pass."""
        return sum(visit.element.num_exits() for visit in self.visits())

    def reach(self) -> int:
        """How many positions back the last stream sees tokens, its own included, up to the context."""
        return min(self.context_tokens, self.visits()[-1].reach.stream)

    def follow(self, times: tuple[int, ...] | None = None) -> Followed:
        """The path, followed and checked; `times` replaces the number of loops of each repeated part, in order."""
        followed = follow(
            blocks=self.blocks, path=self.path, root=self.root, context_tokens=self.context_tokens, times=times
        )
        visits, last_width = followed.visits, followed.last_width
        try:
            self.readout.check_widths(width=last_width, memory_width=self.root.memory_width)
        except SpecError as error:
            raise error.within("readout") from None
        for visit in visits:
            if visit.element.num_exits() and visit.around.width != last_width:
                found = f"an exit at width {visit.around.width} of a readout at width {last_width}"
                raise SpecError(visit.where, found, "both need to be equal")
            number = visit.step.repeat
            if visit.element.num_exits() and number is not None and self.repeats[number].gradient_loops is not None:
                # The loss of an early loop would go back through loops that are to be cut off.
                found, allowed = (
                    "an exit in loops that gradients are kept out of",
                    "an exit or gradient_loops, not both",
                )
                raise SpecError(visit.where, found, allowed)
        if not visits[-1].reach.stream:
            raise self._sees_no_token(followed.lost_at)
        if any(visit.step.is_cut for visit in visits):
            self._check_cuts(visits, last_width)
        return followed

    def _check_cuts(self, visits: tuple[Visit, ...], last_width: int) -> None:
        """Gradients that are kept out of loops must find another way to what stands before them."""
        shapes = readout_shapes(self.readout, width=last_width, memory_width=self.root.memory_width, vocabulary=1)
        if (found := unlearned(visits, root_is_read_out=not shapes.tables)) is not None:
            where, number = found
            place = [i for i, item in enumerate(self.path) if isinstance(item, Repeat)][number]
            raise SpecError(
                f"path.{place}.gradient_loops",
                f"no gradient reaches {where}, which stands before the loops",
                "what it made is needed in the last loops or behind them",
                f"put Keep between them, and an injection into path.{place}.body",
            )

    def _sees_no_token(self, lost_at: str | None) -> SpecError:
        if lost_at is None:
            return SpecError(
                "root",
                f"{type(self.root).__name__} hides the tokens in the memory, and no block reads it",
                "one that does is needed",
                "set its reads=MemoryReads() or BothReads()",
            )
        found = "no token is left in the stream, and nothing brings one back"
        allowed = "logits that see a token are needed"
        return SpecError(lost_at, found, allowed, "put Keep before, and an injection behind")


class LanguageModel(nn.Module):
    """See `Model`. Parameters are named as the spec's paths: `blocks.0.attention.query.weight`, `path.3.weight`.

    Args:
        root: tokens_BT -> Stream.
        modules: every element once, by where it stands (`blocks.NAME`, `path.PLACE`).
        route: keys of `modules`, in the order of the path, and loops of such.
        norm: of the last stream.
        readout: (x_BTD, embedding_VE) -> logits_BTV.
        context_tokens: the longest sequence.
        can_continue: whether a text can be continued from what earlier passes left.
    """

    def __init__(
        self,
        *,
        root: nn.Module,
        modules: Mapping[str, nn.Module],
        route: Route,
        norm: nn.Module,
        readout: nn.Module,
        context_tokens: int,
        can_continue: bool = True,
    ) -> None:
        super().__init__()
        self.root = root
        self.blocks, self.path = _room(modules, "blocks"), _room(modules, "path")
        self.norm = norm
        self.readout = readout
        self.context_tokens = context_tokens
        self.can_continue = can_continue
        self.prefixes: list[Prefix] = []  # that every text stands behind
        self.beside: list[nn.Module] = []  # adapters that are on; no part of the model and its weights
        self._route = route
        self._steps = steps_of(route)

    @property
    def visits(self) -> tuple[str, ...]:
        """Where each step of a pass goes."""
        return tuple(step.where for step in self._steps)

    def elements(self) -> dict[str, nn.Module]:
        """What the path may visit, each once, by where it stands."""
        found: list[str] = []
        for item in self._route:
            found += [item] if isinstance(item, str) else [where for place in item.body for where in place]
        return {where: self._element(where) for where in found}

    def with_loops(self, *times: int) -> "LanguageModel":
        """The same modules with another number of loops: what is changed in one is changed in both.

        Args:
            times: one number for each repeated part of the path, 1 or more.
        """
        loops = sum(isinstance(item, Loop) for item in self._route)
        if len(times) != loops or any(count < 1 for count in times):
            raise SpecError("times", f"found {times}", f"a count of 1 or more for each of {loops} repeated parts")
        view = copy.copy(self)
        view._steps = steps_of(self._route, times)
        return view

    def with_context(self, context_tokens: int) -> "LanguageModel":
        """The same parameters in a longer context, where positions come that no training has seen.

        Raises: SpecError for a shorter one, and where a position has a learned vector of its own.
        """
        if context_tokens < self.context_tokens:
            raise SpecError("context_tokens", f"found {context_tokens}", f"{self.context_tokens} or more is needed")
        view = lengthened(self, context_tokens)
        assert isinstance(view, LanguageModel)
        view.context_tokens = context_tokens
        return view

    def last(self, tokens_BT: Tensor, past: Past = WHOLE) -> Stream:
        """The stream at the end of the path, at the positions that `past` has not computed yet."""
        if tokens_BT.shape[1] > self.context_tokens:
            raise ValueError(f"{tokens_BT.shape[1]} tokens in a context of {self.context_tokens}.")
        start = self.root(tokens_BT)
        stream = start._replace(
            x_BTD=past.rest(start.x_BTD),
            memory_BSE=past.rest(start.memory_BSE),
            saved={name: past.rest(x_BTD) for name, x_BTD in start.saved.items()},
        )
        if self.prefixes:
            past = Behind(past, self.prefixes, names_of(self.visits))
        entered = stream
        for place, step in enumerate(self._steps):
            entered = stream if step.enters else entered
            stream = _cut_off(stream, entered) if step.is_cut else stream
            stream = self._element(step.where)(stream._replace(past=past.at(place)))
        return stream

    def stream(self, tokens_BT: Tensor) -> Tensor:
        """x_BTD at the end of the path, after the final norm."""
        return self.norm(self.last(tokens_BT).x_BTD)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """logits_BTV."""
        return self.logits(self.last(tokens_BT).x_BTD)

    def logits(self, x_BTD: Tensor) -> Tensor:
        """logits_BTV of a stream: the final norm and the readout."""
        return self.readout(self.norm(x_BTD), self.root.embedding_VE)

    def _element(self, where: str) -> nn.Module:
        """The element there. Found anew in each pass, so that one that was wrapped or replaced is the one visited."""
        room, *names = where.split(".")
        there: nn.Module = self.blocks if room == "blocks" else self.path
        for name in names:
            assert isinstance(there, nn.ModuleDict)
            there = there[name]
        return there

    def next_logits(self, tokens_BT: Tensor, so_far: TextSoFar) -> Tensor:
        """logits_BV of the token after `tokens_BT`, computing only the positions that `so_far` has not seen.

        Args:
            tokens_BT: the whole text, from its beginning, up to the context.
            so_far: of a shorter beginning of the same text, or new; afterwards of this one.
        """
        x_BTD = self.last(tokens_BT, so_far).x_BTD
        so_far.go_on(tokens_BT.shape[1])
        return self.logits(x_BTD[:, -1:])[:, 0]


def _cut_off(stream: Stream, entered: Stream) -> Stream:
    """The same numbers, detached from the graph, but for those that the loops have not changed."""

    def cut(x: Tensor, before: Tensor | None) -> Tensor:
        return x if x is before else x.detach()

    return stream._replace(
        x_BTD=stream.x_BTD.detach(),
        memory_BSE=cut(stream.memory_BSE, entered.memory_BSE),
        saved={name: cut(x_BTD, entered.saved.get(name)) for name, x_BTD in stream.saved.items()},
    )


def _room(modules: Mapping[str, nn.Module], room: str) -> nn.ModuleDict:
    """A dict of dicts, one for each dot in `path.3.body.0`, so that parameters are named as the spec's paths."""
    tree = nn.ModuleDict()
    for where, module in modules.items():
        first, *rest, name = where.split(".")
        if first != room:
            continue
        there = tree
        for part in rest:
            if part not in there:
                there[part] = nn.ModuleDict()
            there = there[part]
            assert isinstance(there, nn.ModuleDict)
        there[name] = module
    return tree
