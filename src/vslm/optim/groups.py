"""Which parameter gets which options: rules tried in order, every parameter matched exactly once.

Not for: anything that knows an idea by name. A role is computed from the module's type and the tensor's shape.
"""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from vslm.core.errors import SpecError

Role = Literal["embedding", "matrix", "vector"]


@dataclass(frozen=True)
class Rule:
    """Options for the parameters that have one of `roles` and a name that fits `names`.

    Args:
        options: what `torch.optim` takes in a parameter group (`weight_decay`, `lr`, ...).
        roles: any of "embedding" (a lookup table), "matrix" (two or more dimensions), "vector" (the rest).
        names: a glob over the parameter's path, as in `blocks.*.attention.*`.
        may_match_nothing: a rule that matches no parameter is an error unless this is set.
    """

    options: dict[str, Any]
    roles: tuple[Role, ...] = ("embedding", "matrix", "vector")
    names: str = "*"
    may_match_nothing: bool = False


def roles(model: nn.Module) -> dict[str, Role]:
    """The role of every trainable parameter, by its path. A shared parameter is listed once, under its first path."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    found: dict[str, Role] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kind: Role = "matrix" if parameter.ndim >= 2 else "vector"
            found[name] = "embedding" if id(parameter) in tables else kind
    return found


def group_parameters(model: nn.Module, rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """Parameter groups for `torch.optim`, one per rule that matched, in the order of the rules.

    Raises: SpecError for a rule that matches nothing, or a parameter that no rule matches.
    """
    parameters = dict(model.named_parameters())
    left = roles(model)
    groups = []
    for number, rule in enumerate(rules):
        names = [name for name, role in left.items() if role in rule.roles and fnmatch.fnmatchcase(name, rule.names)]
        if not names and not rule.may_match_nothing:
            raise SpecError(f"optimizer.rules.{number}", f"{rule.names!r} with roles {rule.roles} matches no parameter")
        for name in names:
            del left[name]
        if names:
            groups.append({"params": [parameters[name] for name in names], **rule.options})
    if left:
        raise SpecError("optimizer.rules", f"no rule matches {', '.join(left)}", "every parameter is matched once")
    return groups
