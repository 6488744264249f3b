"""A compiled loss that is compared with the eager one when it is used first: other numbers end the run, in words.

Not for: deciding whether to compile.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vslm.core.errors import RunError
from vslm.training.precision import Precision

# Of the mean loss of a batch, or of 1 nat where that is smaller: sums in another order and casts at other places may
# move it, by some roundings of fp32 (6e-8) or bf16 (4e-3) of single tokens that mostly cancel in the mean.
_TOLERANCE: dict[Precision, float] = {"fp32": 1e-4, "bf16": 0.02}
_WHOLE_COMPILES = ("entire_frame_compile", "entire_backward_compile")  # torch's names; all others are parts of these


class Compiled(NamedTuple):
    """What torch.compile did.

    Args:
        seconds: of tracing, compiling, and loading from torch's cache, by the clock.
        graphs: that were compiled, not loaded.
    """

    seconds: float
    graphs: int


def compiled_so_far() -> Compiled:
    """What it did in this process. A compiled function compiles when it is first called, be that by an evaluation or by
    a step, so only torch itself knows. The counters are not part of torch's public interface: without them, nothing.
    """
    spent = getattr(torch._dynamo.utils, "cumulative_time_spent_ns", {})
    counted = getattr(torch._dynamo.utils, "counters", {}).get("inductor", {})
    return Compiled(sum(spent.get(name, 0) for name in _WHOLE_COMPILES) / 1e9, counted.get("fxgraph_cache_miss", 0))


def has_modes(model: nn.Module) -> bool:
    """Whether a model may compute otherwise in training than in evaluation. If not, one graph serves both, which halves
    what compiling takes: torch makes another where a module's `training` has changed.

    Of the package's own modules those have that drop (`dropout` above 0), and those that say so (`has_modes`); of
    torch's, all but those that are known to have none; and all of others, since nobody knows.
    """
    return any(_has_modes(module) for module in model.modules())


def _has_modes(module: nn.Module) -> bool:
    if isinstance(module, _WITHOUT_MODES) and type(module).__module__.startswith("torch."):
        return False
    is_own = type(module).__module__.startswith("vslm.")
    return not is_own or bool(getattr(module, "has_modes", False)) or getattr(module, "dropout", 0.0) != 0


_WITHOUT_MODES = (nn.Linear, nn.Embedding, nn.Identity, nn.ModuleDict, nn.ModuleList, nn.LayerNorm)


def compared(
    graph: Callable[..., Any], eager: Callable[..., Any], model: nn.Module, precision: Precision
) -> Callable[..., Any]:
    """`graph`, whose first answer in training and first in evaluation are held to those of `eager`.

    A pass that draws (dropout) is not compared: a graph draws other numbers. Buffers and generators are left as the
    graph left them, so that no later number depends on the comparison.

    Cost: an eager forward pass for each graph.

    Args:
        graph: of tensors to a tensor, or to a tuple with tensors in it.
        eager: the same, not compiled.
        model: the module that it passes through.
        precision: of the pass.
    Raises: RunError from the call that differs.
    """
    seen: set[bool] = set()

    def call(*tensors: Tensor) -> Any:
        if model.training in seen:
            return graph(*tensors)
        seen.add(model.training)
        before, states = _draws(), [(buffer, buffer.clone()) for buffer in model.buffers()]
        answer = graph(*tensors)
        after = _draws()
        if all(torch.equal(one, other) for one, other in zip(before, after, strict=True)):
            _compare(answer, eager, tensors, states, precision)
            _set_draws(after)
        return answer

    return call


def _compare(
    answer: Any,
    eager: Callable[..., Any],
    tensors: tuple[Tensor, ...],
    states: list[tuple[Tensor, Tensor]],
    precision: Precision,
) -> None:
    with torch.no_grad():
        left = [buffer.clone() for buffer, _ in states]
        # Through `data`: written in place, a table that the graph keeps for its backward pass would count as changed.
        for buffer, was in states:
            buffer.data.copy_(was)
        expected = eager(*tensors)
        for (buffer, _), was in zip(states, left, strict=True):
            buffer.data.copy_(was)
        for ours, theirs in zip(_tensors_of(answer), _tensors_of(expected), strict=True):
            graph_nats, eager_nats = float(ours.double().mean()), float(theirs.double().mean())
            # Not finite in both is a loss that diverged, which training itself tells.
            same = abs(graph_nats - eager_nats) <= _TOLERANCE[precision] * max(1.0, abs(eager_nats))
            if not same and eager_nats - eager_nats == 0:
                found = f"compiled, a mean over a batch is {graph_nats:.6g}, and {eager_nats:.6g} without compiling"
                do = "a module that torch.compile gets wrong, or that keeps a state of its own between passes?"
                raise RunError("model", found, f"within {_TOLERANCE[precision]:g} in {precision} is needed", do)


def _tensors_of(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors_of(part)


def _draws() -> list[Tensor]:
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return [torch.get_rng_state(), *on_gpu]


def _set_draws(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state_all(states[1:])
