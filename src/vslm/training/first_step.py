"""One step that is taken for what it shows, before the first: is all of it finite, what learns, what does it cost.

Not for: what a loss means; nothing is kept of the step.
"""

import contextlib
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.utils.flop_counter import FlopCounterMode

from vslm.core.errors import SpecError
from vslm.measure.causality import same_draws
from vslm.models.language_model import LanguageModel
from vslm.objectives.exits import loss_with_exits


class FirstStep(NamedTuple):
    """What a step showed.

    Args:
        flops_per_token: of products, forward and backward, as torch counts them: not what is done number by number;
            None where they were not counted.
        unlearned: names of parameters that no gradient reached.
    """

    flops_per_token: float | None
    unlearned: tuple[str, ...]


def first_step(model: LanguageModel, tokens_BT: Tensor, targets_BT: Tensor, *, counts_flops: bool = True) -> FirstStep:
    """Forward and backward in training mode. The model is spoilt by it.

    Raises: SpecError, at a path seen from the model, for a loss or a gradient that is not finite, a parameter that is
        made by the pass, and a weight that takes part and is no parameter, so that no optimizer would change it.
    """
    before = {name for name, _ in model.named_parameters()}
    model.train()
    counter = FlopCounterMode(display=False) if counts_flops else None
    with same_draws(), counter or contextlib.nullcontext():
        lowered, _ = loss_with_exits(model, tokens_BT, targets_BT)
        _check_registered(model, before, lowered)
        if not math.isfinite(lowered.item()):
            found = f"the loss of the initial weights is {lowered.item()}"
            raise SpecError(_first_not_finite(model, tokens_BT), found, "a finite one is needed")
        lowered.backward()
    for name, parameter in reversed([*model.named_parameters()]):  # what went wrong spreads to all that stand before it
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            found = "its gradient is not finite at the initial weights"
            raise SpecError(name, found, "a finite one is needed", "look for a root, a logarithm or a division by zero")
    unlearned = tuple(name for name, p in model.named_parameters() if p.requires_grad and p.grad is None)
    return FirstStep(counter.get_total_flops() / tokens_BT.numel() if counter else None, unlearned)


def _check_registered(model: nn.Module, before: set[str], lowered: Tensor) -> None:
    for name, _ in model.named_parameters():
        if name not in before:
            found = "this parameter was made by the first pass"
            raise SpecError(name, found, "the optimizer knows those that build makes", "make it in __init__")
    if not lowered.requires_grad:
        raise SpecError("", "the loss depends on no parameter", "one that learns is needed", "is there a detach()?")
    known = {id(parameter) for parameter in model.parameters()}
    for weight in _weights_of(lowered):
        if id(weight) not in known:
            found = f"a weight of shape {list(weight.shape)} takes part and is no parameter of the model"
            do = "keep modules in nn.ModuleList or nn.ModuleDict, not in a list, and tensors in nn.Parameter"
            raise SpecError("", found, "it would never be trained, counted or stored", do)


def _weights_of(lowered: Tensor) -> list[Tensor]:
    """Every tensor that a gradient ends at."""
    seen, waiting, found = set(), [lowered.grad_fn], []
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (leaf := getattr(node, "variable", None)) is not None:
            found.append(leaf)
        waiting += [following for following, _ in node.next_functions]
    return found


def _first_not_finite(model: nn.Module, tokens_BT: Tensor) -> str:
    """Path of the innermost module whose output is the first that is not finite; empty if none is."""
    found: list[str] = []
    handles = []
    for name, module in model.named_modules():

        def look(_: nn.Module, __: object, output: object, name: str = name) -> None:
            if isinstance(output, Tensor) and not output.isfinite().all():
                found.append(name)

        handles.append(module.register_forward_hook(look))
    with torch.no_grad(), same_draws():
        model(tokens_BT)
    for handle in handles:
        handle.remove()
    return found[0] if found else ""


def has_unset(model: nn.Module) -> str | None:
    """The first parameter that gets its shape from a first pass (as in `nn.LazyLinear`); None if there is none."""
    names = (name for name, p in model.named_parameters() if isinstance(p, UninitializedParameter))
    return next(names, None)
