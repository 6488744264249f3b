"""Ways to share and to repeat, as functions that make banks and paths. A reader can print what they return.

which weights a path visits     repeat_each AABB, cycle ABAB, cycle_reversed ABBA
which part of a block is one    share_attention, share_feedforward
a model with a loop             looped: prelude, core * times, coda
a state for the next step       shifted: whole passes, each from the state of the position before
a loop for each token ahead     ahead: loop i predicts token t + i
"""

import dataclasses
from typing import NamedTuple

from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.models.elements.blocks import Block
from vslm.models.elements.element import PathElement
from vslm.models.elements.exits import Exit
from vslm.models.elements.states import AddVector, InjectMatrix, InjectSum, Keep, Return, ShiftedState
from vslm.models.language_model import Model
from vslm.models.path.repeats import LoopCounts, PerLoop, Repeat
from vslm.models.path.shares import LowRank, Shares
from vslm.models.path.stack import Entry, PathItem

_INPUT = "input"  # the name under which a loop's input is kept


class Stack(NamedTuple):
    """A bank and a path through it.

    Args:
        blocks: the bank.
        path: the visits.
    """

    blocks: FrozenDict
    path: tuple[PathItem, ...]

    def into(self, model: Model) -> Model:
        """`model` with this bank and path.

        Raises: SpecError where they do not fit its root or readout.
        """
        changed = dataclasses.replace(model, blocks=self.blocks, path=self.path)
        changed.validate()
        return changed


def repeat_each(*blocks: Block, times: int = 2) -> Stack:
    """Each block several times before the next: AABB.

    Paper: MobileLLM, Liu et al., 2024, https://arxiv.org/abs/2402.14905, "immediate block-wise sharing".

    >>> from vslm.models.parts.attention import Attention
    >>> repeat_each(Block(width=8, attention=Attention(heads=2)), Block(width=8, attention=Attention(heads=4))).path
    ('0', '0', '1', '1')
    """
    bank = _bank(blocks, times)
    return Stack(bank, tuple(name for name in bank for _ in range(times)))


def cycle(*blocks: Block, times: int = 2) -> Stack:
    """All blocks in order, several times: ABAB.

    Paper: Lessons on Parameter Sharing across Layers in Transformers, Takase and Kiyono, 2021,
    https://arxiv.org/abs/2104.06022, "cycle".

    >>> from vslm.models.parts.attention import Attention
    >>> cycle(Block(width=8, attention=Attention(heads=2)), Block(width=8, attention=Attention(heads=4))).path
    ('0', '1', '0', '1')
    """
    bank = _bank(blocks, times)
    return Stack(bank, tuple(bank) * times)


def cycle_reversed(*blocks: Block, times: int = 2) -> Stack:
    """All blocks in order, then backwards, in turn: ABBA.

    Paper: the same as `cycle`, "cycle (rev)". We differ beyond two times: every second cycle is backwards, where theirs
    are all forwards but the last.

    >>> from vslm.models.parts.attention import Attention
    >>> a, b = Block(width=8, attention=Attention(heads=2)), Block(width=8, attention=Attention(heads=4))
    >>> cycle_reversed(a, b, times=3).path
    ('0', '1', '1', '0', '0', '1')
    """
    bank = _bank(blocks, times)
    names = tuple(bank)
    return Stack(bank, tuple(name for i in range(times) for name in (names if i % 2 == 0 else names[::-1])))


def share_attention(block: PathElement, *, depth: int) -> Stack:
    """`depth` blocks with one attention; feedforward and norms are each block's own.

    >>> from vslm.models.parts.attention import Attention
    >>> share_attention(Block(width=8, attention=Attention(heads=2)), depth=2).blocks["1"]
    Shares(of='0', parts=('attention',), changes={}, delta=None)
    """
    return _sharing(block, depth, "attention")


def share_feedforward(block: PathElement, *, depth: int) -> Stack:
    """`depth` blocks with one feedforward; attention and norms are each block's own."""
    return _sharing(block, depth, "feedforward")


def looped(
    model: Model,
    *,
    times: int,
    prelude: int = 1,
    coda: int = 1,
    start: PathElement | None = None,
    inject: InjectSum | InjectMatrix | None = None,
    vectors: bool = False,
    delta: LowRank | None = None,
    training: LoopCounts | None = None,
    gradient_loops: int | None = None,
) -> Model:
    """A model whose middle is passed several times: prelude, core * times, coda, and one norm at the end.

        e = prelude(root);   s_0 = start or e;   s_{i+1} = core(A [s_i; e] + u_i);   coda(s_times)

    Paper: Scaling up Test-Time Compute with Latent Reasoning, Geiping et al., 2025, https://arxiv.org/abs/2502.05171.
    At the start: output projections are smaller by the root of the number of additions of all visits, loops included;
    with `start`, of those behind it.
    With `times` 1 and nothing else it is `model` itself, to the bit.

    Args:
        model: whose path names blocks only, each once.
        times: loops.
        prelude: blocks before the core.
        coda: blocks after it.
        start: where the state starts (`LearnedState()`, `NoiseState()`); None: from the prelude's stream.
        inject: how the prelude's stream enters every loop (`INJECT_SUM`, `INJECT_MATRIX`); None: not at all.
        vectors: whether a learned vector is added in each loop, one per loop.
        delta: a small change of the core's matrices in each loop but the first; None: none.
        training: how often in a step of training; None: `times`.
        gradient_loops: through how many of the last loops gradients go back; None: all.

    Raises: SpecError for no loops, where no block is left for the core, or where without an injection the tokens would
        be lost, or the prelude not trained.
    """
    names = _names(model)
    if prelude < 0 or coda < 0 or prelude + coda >= len(names):
        found = f"{prelude} before and {coda} after, of {len(names)} blocks"
        raise SpecError("core", found, "one block or more is needed between")
    if start is not None and inject is None:
        raise SpecError("inject", "nothing is injected into a state that starts elsewhere", "", "give inject")
    if gradient_loops is not None and inject is None:
        raise SpecError("inject", "no gradient reaches what stands before the loops", "", "give inject")
    end = len(names) - coda
    _check_times(times, names[prelude:end])
    core = tuple(_per_loop(name, times, delta) for name in names[prelude:end])
    body: list[str | PathElement | Shares | PerLoop] = [] if inject is None else [inject]
    if vectors:
        body.append(PerLoop(elements=(AddVector(),) * times))
    before: list[PathItem] = [] if inject is None else [Keep(name=inject.of)]
    if start is not None:
        before.append(start)
    repeat = Repeat(body=(*body, *core), times=times, training=training, gradient_loops=gradient_loops)
    path = (*names[:prelude], *before, repeat, *names[end:])
    return Stack(FrozenDict(model.blocks), path).into(model)


INJECT_SUM = InjectSum(of=_INPUT)
"""The plain injection `s + e`, for `looped`."""
INJECT_MATRIX = InjectMatrix(of=_INPUT)
"""The learned injection `A [s; e]`, for `looped`."""


def shifted(model: Model, *, passes: int, first_weight: float = 0.1) -> Model:
    """The whole model several times, each pass from the last state of the position before: see `ShiftedState`.

    Pass 0 is the model as it is; it has a loss of its own, and the last pass has the main one. The same weights in all.
    At the start: every pass is `model`, to the bit.

    Args:
        model: whose path names blocks only, each once.
        passes: 2 or more, the first one included.
        first_weight: of the loss of pass 0, above 0.

    Raises: SpecError for fewer than two passes.
    """
    if passes < 2:
        raise SpecError("passes", f"found {passes}", "2 or more are needed", "use the model itself")
    names = _names(model)
    again = Repeat(body=(ShiftedState(of=_INPUT), *names), times=passes - 1)
    return Stack(FrozenDict(model.blocks), (Keep(name=_INPUT), *names, Exit(weight=first_weight), again)).into(model)


def ahead(model: Model, *, tokens: int, weight: float = 0.3) -> Model:
    """Loop i, with the same weights and its state added to the input, predicts token t + i, each with a loss.

    The first loop is the model as it is, and predicts the next token: the main loss, and all that is generated from.
    Paper: Better & Faster Large Language Models via Multi-token Prediction, Gloeckle et al., 2024,
    https://arxiv.org/abs/2404.19737, for the losses. We differ: a loop of the same blocks in place of heads.
    At the start: the first loop is `model`, to the bit; output projections do not go by the further ones.
    Cost: `tokens` passes and readouts in training. Evaluation and generation pass the further loops too, for nothing.

    Args:
        model: whose path names blocks only, each once.
        tokens: how many tokens ahead, 2 or more.
        weight: of each further token's loss, above 0.

    Raises: SpecError for fewer than two tokens.
    """
    if tokens < 2:
        raise SpecError("tokens", f"found {tokens}", "2 or more are needed", "use the model itself")
    names = _names(model)
    exits = PerLoop(elements=tuple(Exit(offset=offset, weight=weight) for offset in range(2, tokens + 1)))
    further = Repeat(body=(InjectSum(of=_INPUT), *names, exits), times=tokens - 1)
    path = (Keep(name=_INPUT), *names, Keep(name="next"), further, Return(to="next"))
    return Stack(FrozenDict(model.blocks), path).into(model)


def _bank(blocks: tuple[Block, ...], times: int) -> FrozenDict:
    if not blocks:
        raise SpecError("blocks", "no blocks", "one or more are needed")
    bank = FrozenDict({str(i): block for i, block in enumerate(blocks)})
    _check_times(times, tuple(bank))
    return bank


def _check_times(times: int, names: tuple[str, ...]) -> None:
    if times < 1:
        raise SpecError("times", f"found {times} for the blocks {', '.join(names)}", "1 or more is needed")


def _sharing(block: PathElement, depth: int, part: str) -> Stack:
    if depth < 1:
        raise SpecError("depth", f"found {depth}", "1 or more is needed")
    bank: dict[str, Entry] = {"0": block}
    bank |= {str(i): Shares(of="0", parts=(part,)) for i in range(1, depth)}
    return Stack(FrozenDict(bank), tuple(bank))


def _names(model: Model) -> tuple[str, ...]:
    names = tuple(item for item in model.path if isinstance(item, str))
    if names != model.path or len(set(names)) < len(names):
        raise SpecError("path", f"found {model.path!r}", "only names of blocks, each once, can be looped")
    return names


def _per_loop(name: str, times: int, delta: LowRank | None) -> str | PerLoop:
    if delta is None or times == 1:
        return name
    return PerLoop(elements=(name, *(Shares(of=name, delta=delta) for _ in range(times - 1))))
