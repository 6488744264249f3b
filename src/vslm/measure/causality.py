"""Whether a model looks at what it is to predict, or at other texts of its batch: found by changing what comes later.

    leak_r = max_{t < c_r} |z_t - z'_t| / rms_{t >= c_r} |z_t - z'_t|

z and z' are the logits of one text and of the same text with every token from position c_r on replaced. A causal model
has a leak of 0 to the bit, but for what rounds differently; one that mixes in a thousandth of what follows has about
0.001. Each row of a batch is cut at another position, and one row is left as it is: where that one changes, rows mix.

What starts at zero hides what it will do, and so does a gate that starts closed, so parameters are moved away from
where they start (`away_from_start`). Both modes are asked, since what sees the future in training alone learns to.

Cost: about four forward passes of a few windows. Not complete: a pair of positions between two cuts is not seen, where
no other pair sees the future.
"""

import contextlib
import copy
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

# A causal model that transforms over positions (FFT) lets the rounding of what comes later be felt: 5e-7 after six
# blocks of width 64. The mean over 256 positions, mixed in at 1e-3 by one block of four, is 2e-5.
SMALLEST_LEAK = 5e-6
_BEYOND_ROUNDING = 1e-3  # below it, a leak must be there in fp64, too

Mode = Literal["training", "evaluation"]
M = TypeVar("M", bound=nn.Module)


class Leak(NamedTuple):
    """What reaches a position from where it must not.

    Args:
        kind: from later positions ("future") or from other texts of a batch ("rows").
        mode: in which it was seen.
        where: dotted path of the innermost module whose input is the same and whose output is not; empty: no module.
        module: its class; empty where there is none.
        share: how large the change is, beside the change at the positions that may see it.
        position: where it was seen: the first such position of a row.
        changed: the first position that was changed.
    """

    kind: Literal["future", "rows"]
    mode: Mode
    where: str
    module: str
    share: float
    position: int
    changed: int


def first_leak(
    twin: Callable[[], nn.Module],
    *,
    vocabulary: int,
    context_tokens: int,
    num_cuts: int,
    keeps_state: bool = True,
    modes: Sequence[Mode] = ("evaluation", "training"),
) -> Leak | None:
    """The first leak that is found; None if there is none, or if no text can be changed.

    Args:
        twin: makes the model anew, or copies it.
        vocabulary: number of tokens.
        context_tokens: length of a text: that of training.
        num_cuts: how many positions to cut at, in each mode.
        keeps_state: whether a pass may leave something behind in the model; each then has a copy of its own.
        modes: which are asked; a model whose parts do the same in both, but for dropout, needs one.
    """
    if vocabulary < 2 or context_tokens < 2:
        return None
    for mode, cuts in zip(modes, cuts_of(context_tokens, num_cuts), strict=False):
        texts = _texts(vocabulary, context_tokens, cuts)
        for mover in (away_from_start, near_the_start, as_it_starts):
            mover(moved := twin())
            first = copied(moved, twin) if keeps_state else moved
            logits = [logits_of(first, texts[0], mode), logits_of(moved, texts[1], mode)]
            # Where a parameter may not have every value (the logarithm of one below zero), nearer to the start it can.
            if all(logits_RTV.isfinite().all() for logits_RTV in logits):
                break
        leak = _leak(logits[0], logits[1], cuts)
        if leak is None:
            continue
        mover(moved := twin())
        if leak[1] < _BEYOND_ROUNDING:
            with contextlib.suppress(RuntimeError):  # a module that mixes precisions: fp32 has to do
                doubles = [logits_of(copied(moved, twin).double(), tokens_RT, mode) for tokens_RT in texts]
                leak = _leak(doubles[0], doubles[1], cuts)
        if leak is not None:
            kind, share, position, row = leak
            end = cuts[row - 1] if kind == "future" else context_tokens
            before, after = (_calls(copied(moved, twin), tokens_RT, mode) for tokens_RT in texts)
            where, module = _culprit(before, after, row, end)
            return Leak(kind, mode, where, module, share, position, end if kind == "future" else min(cuts))
    return None


def cuts_of(context_tokens: int, num_cuts: int) -> tuple[list[int], list[int]]:
    """Positions to cut at, for each mode; in the middle, at both ends, on powers of two and beside them.

    >>> cuts_of(256, 4)
    ([127, 255, 1, 205], [128, 179, 3, 64])
    """
    last, half = context_tokens - 1, context_tokens // 2
    odd = [int(context_tokens * (i * 0.6180339887 % 1)) | 1 for i in range(3, 3 + num_cuts)]
    first = [(half - 1) | 1, last, 1, int(0.8 * context_tokens) | 1, half // 4, *odd[::2], half + 1]
    second = [half, int(0.7 * context_tokens) | 1, 3, half // 2, last - 1, half // 8, *odd[1::2], half + half // 2]

    def distinct(cuts: list[int]) -> list[int]:
        return list(dict.fromkeys(min(max(cut, 1), last) for cut in cuts))[:num_cuts]

    return distinct(first), distinct(second)


def logits_of(model: nn.Module, tokens_RT: Tensor, mode: Mode, *, seed: int = 0) -> Tensor:
    """logits_RTV of a model; what it draws is the same at each call."""
    model.train(mode == "training")
    with same_draws(seed), torch.set_grad_enabled(mode == "training"):
        return model(tokens_RT).detach()


@contextlib.contextmanager
def same_draws(seed: int = 0) -> Iterator[None]:
    """Every generator that a forward pass may draw from stands at one place inside, and afterwards where it was."""
    states = torch.default_generator.get_state(), random.getstate(), np.random.get_state()
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])


def copied(model: M, build: Callable[[], M]) -> M:
    """A model of its own with the same numbers: a copy, or, of what cannot be copied, another one built."""
    try:
        return copy.deepcopy(model)
    except (RuntimeError, TypeError):
        other = build()
        other.load_state_dict(model.state_dict())
        return other


def away_from_start(model: nn.Module) -> None:
    """Replace every parameter by another one of a size at which it does something; signs stay, where there are any.

    Matrices get normal numbers of the size that they have, 1 / sqrt(fan-in) at least; all others 0.3 to 0.9, where a
    gate is open and a share is a share.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in _real(model):
            if parameter.ndim < 2:
                other = 1.8 * torch.rand(parameter.shape, generator=generator) - 0.9
                other = other.clamp_(max=-0.3).where(other < 0, other.clamp(min=0.3))
            else:
                std = max(
                    float(parameter.square().mean().sqrt()), 1 / math.sqrt(max(math.prod(parameter.shape[1:]), 1))
                )
                other = torch.randn(parameter.shape, generator=generator).mul_(std)
            # A zero has no sign to keep: it gets that of the number drawn.
            parameter.copy_(other.copysign(torch.where(parameter == 0, other, parameter)))


def near_the_start(model: nn.Module) -> None:
    """Change every number by a tenth, and a matrix by a hundredth of 1 / sqrt(fan-in) at least."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in _real(model):
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.mul_(1 + 0.1 * noise)
            if parameter.ndim >= 2:
                parameter.add_(0.01 * noise / math.sqrt(max(math.prod(parameter.shape[1:]), 1)))


def as_it_starts(model: nn.Module) -> None:
    """Leave it."""


def _real(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.is_floating_point()]


def _texts(vocabulary: int, context_tokens: int, cuts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Random texts, and the same with every token of a row from its cut on replaced; the first row is left.

    Every second row gets one token throughout: what takes a mean would hardly see others that are as random as before.
    """
    generator = torch.Generator().manual_seed(0)
    before_RT = torch.randint(vocabulary, (1 + len(cuts), context_tokens), generator=generator)
    other_RT = (before_RT + torch.randint(1, vocabulary, before_RT.shape, generator=generator)) % vocabulary
    other_RT[1::2] = other_RT[1::2, -1:]
    after_RT = before_RT.clone()
    for row, cut in enumerate(cuts, start=1):
        after_RT[row, cut:] = other_RT[row, cut:]
    return before_RT, after_RT


def _leak(before_RTV: Tensor, after_RTV: Tensor, cuts: Sequence[int]) -> tuple[Any, float, int, int] | None:
    """(kind, share, position, row) of what is there and must not be."""
    change_RT = _change(before_RTV, after_RTV)
    sizes = [float(change_RT[row, cut:].square().mean().sqrt()) for row, cut in enumerate(cuts, start=1)]
    if (share := _share(change_RT[0], max(sizes))) > SMALLEST_LEAK:
        return "rows", share, int(change_RT[0].argmax()), 0
    for row, (cut, size) in enumerate(zip(cuts, sizes, strict=True), start=1):
        if (share := _share(change_RT[row, :cut], size)) > SMALLEST_LEAK:
            return "future", share, int(change_RT[row, :cut].argmax()), row
    return None


def _share(change_T: Tensor, size: float) -> float:
    largest = float(change_T.max())
    if largest == 0 or not math.isfinite(largest):
        return 0.0  # what is not finite is found by those who look for it
    return largest / size if size else math.inf


def _change(before: Tensor, after: Tensor) -> Tensor:
    """Root mean square of the difference, by row and position."""
    difference = after - before
    return difference.to(torch.promote_types(difference.dtype, torch.float32)).flatten(2).square().mean(dim=-1).sqrt()


class _Call(NamedTuple):
    """One call of a module: what went in and came out, of one value per row and position."""

    where: str
    module: str
    given: list[Tensor]
    made: list[Tensor]


def _culprit(before: Sequence[_Call], after: Sequence[_Call], row: int, end: int) -> tuple[str, str]:
    """(path, class) of the innermost module that makes the difference before `end`; empty where none does."""

    def differ(before: Sequence[Tensor], after: Sequence[Tensor]) -> bool:
        for one, other in zip(before, after, strict=False):
            change_RT = _change(one, other)
            if _share(change_RT[row, :end], float(change_RT.square().mean().sqrt())) > SMALLEST_LEAK:
                return True
        return False

    for one, other in zip(before, after, strict=False):
        if differ(one.made, other.made) and not differ(one.given, other.given):
            return one.where, one.module
    return "", ""


def _calls(model: nn.Module, tokens_RT: Tensor, mode: Mode) -> list[_Call]:
    """Every call of a module in a pass, in the order in which they end: inner ones before those around them."""
    shape, given, calls = tokens_RT.shape, [], []
    handles = []
    for name, module in model.named_modules():

        def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
            given.append(_tensors((args, kwargs), shape))

        def leave(module: nn.Module, _: Any, __: Any, output: Any, name: str = name) -> None:
            calls.append(_Call(name, type(module).__name__, given.pop(), _tensors(output, shape)))

        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave, with_kwargs=True))
    try:
        logits_of(model, tokens_RT, mode)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _tensors(value: Any, shape: torch.Size) -> list[Tensor]:
    """Copies of the tensors in a value that have numbers for every row and position."""
    if isinstance(value, Tensor):
        fits = value.ndim >= len(shape) and value.shape[: len(shape)] == shape
        return [value.detach().clone().reshape(*shape, -1)] if fits else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return [tensor for part in parts for tensor in _tensors(part, shape)]
