"""Which parameter gets which options: rules tried in order, every parameter matched exactly once.

Not for: anything that knows an idea by name. A role is computed from what a module says of itself and from the tensor's
shape.
"""

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from vslm.core.errors import SpecError

Role = Literal["embedding", "matrix", "stream map", "vector"]


@runtime_checkable
class HoldsTables(Protocol):
    """A module that says which of its parameters are tables with one row per token or position.

    `torch.nn.Embedding` is known without it. A table looks like a matrix, and only its owner knows that it is none.
    """

    def lookup_tables(self) -> tuple[nn.Parameter, ...]:
        """The tables, each a parameter of this module."""
        ...


@runtime_checkable
class HoldsStreamMaps(Protocol):
    """A module that says which of its matrices the whole stream goes through, from the identity on.

    A block adds to the stream, so weight decay shrinks what it adds; there it would shrink the stream itself.
    """

    def stream_maps(self) -> tuple[nn.Parameter, ...]:
        """The matrices, each a parameter of this module."""
        ...


@dataclass(frozen=True)
class Rule:
    """Options for the parameters that have one of `roles`, a name that fits `names`, and `ndim` dimensions.

    Args:
        options: what `torch.optim` takes in a parameter group (`weight_decay`, `lr`, ...).
        roles: any of "embedding" (a lookup table), "stream map" (a matrix that the whole stream goes through, from the
            identity on), "matrix" (two or more dimensions), "vector" (the rest).
        names: a glob over the parameter's path, as in `blocks.*.attention.*`.
        ndim: how many dimensions it has; None: any.
        may_match_nothing: a rule that matches no parameter is an error unless this is set.
        by_fan_in: more options, from how many numbers one output of the parameter reads; the rule then makes one group
            for each such number. None: one group.
    """

    options: dict[str, Any]
    roles: tuple[Role, ...] = ("embedding", "matrix", "stream map", "vector")
    names: str = "*"
    ndim: int | None = None
    may_match_nothing: bool = False
    by_fan_in: Callable[[int], dict[str, Any]] | None = None

    def fits(self, name: str, role: Role, parameter: Tensor) -> bool:
        """Whether it is about that parameter."""
        has_ndim = self.ndim is None or parameter.ndim == self.ndim
        return role in self.roles and has_ndim and fnmatch.fnmatchcase(name, self.names)


def fan_in(parameter: Tensor) -> int:
    """How many numbers one output of a matrix reads: all axes but the first, as `torch.nn.Linear` keeps its weight.

    >>> fan_in(nn.Linear(3, 5).weight)
    3
    """
    return parameter.numel() // parameter.shape[0]


def roles(model: nn.Module) -> dict[str, Role]:
    """The role of every trainable parameter, by its path. A shared parameter is listed once, under its first path."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    tables |= {id(p) for module in model.modules() if isinstance(module, HoldsTables) for p in module.lookup_tables()}
    maps = {id(p) for module in model.modules() if isinstance(module, HoldsStreamMaps) for p in module.stream_maps()}
    found: dict[str, Role] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in tables:
            found[name] = "embedding"
        elif id(parameter) in maps:
            found[name] = "stream map"
        else:
            found[name] = "matrix" if parameter.ndim >= 2 else "vector"
    return found


def group_parameters(model: nn.Module, rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """Parameter groups for `torch.optim`, one per rule that matched (and fan-in, where it asks), in the rules' order.

    Raises: SpecError for a rule that matches nothing, or a parameter that no rule matches.
    """
    parameters = dict(model.named_parameters())
    left = roles(model)
    groups = []
    for number, rule in enumerate(rules):
        names = [name for name, role in left.items() if rule.fits(name, role, parameters[name])]
        if not names and not rule.may_match_nothing:
            raise SpecError(f"optimizer.rules.{number}", f"{rule.names!r} with roles {rule.roles} matches no parameter")
        for name in names:
            del left[name]
        groups += _groups_of(rule, [parameters[name] for name in names])
    if left:
        raise SpecError("optimizer.rules", f"no rule matches {', '.join(left)}", "every parameter is matched once")
    return groups


def decayed_matrices(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: what has no weight decay, which is everything but matrices (and maps of the whole stream), then
    matrices, which have it. A group without parameters is left out.
    """
    rules = [
        Rule({"weight_decay": 0.0}, roles=("embedding", "vector", "stream map"), may_match_nothing=True),
        Rule({"weight_decay": weight_decay}, roles=("matrix",), may_match_nothing=True),
    ]
    return group_parameters(model, rules)


def _groups_of(rule: Rule, parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
    if not parameters:
        return []
    if rule.by_fan_in is None:
        return [{"params": parameters, **rule.options}]
    by_size: dict[int, list[nn.Parameter]] = {}
    for parameter in parameters:
        by_size.setdefault(fan_in(parameter), []).append(parameter)
    return [{"params": found, **rule.options, **rule.by_fan_in(size)} for size, found in sorted(by_size.items())]
