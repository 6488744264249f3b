"""The same parameters in a longer context: what a model makes of positions that it was not built for.

A module that holds something for each position (a table of angles, a fixed noise) has a method `lengthened`, which
returns one like it, for more positions. All others are copied as they are, with the very same parameters.
"""

import copy
from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class Lengthened(Protocol):
    """A module that depends on how long the context is."""

    def lengthened(self, context_tokens: int) -> nn.Module:
        """One like it for a longer context. Raises: SpecError where there can be none."""
        ...


def lengthened(module: nn.Module, context_tokens: int) -> nn.Module:
    """A copy for a longer context: what is trained in one is trained in both."""
    known: dict[int, nn.Module] = {}

    def copied(one: nn.Module) -> nn.Module:
        if id(one) not in known:  # a module that two parts share stays one
            known[id(one)] = one.lengthened(context_tokens) if isinstance(one, Lengthened) else _copy(one)
        return known[id(one)]

    def _copy(one: nn.Module) -> nn.Module:
        view = copy.copy(one)
        view._modules = {name: child if child is None else copied(child) for name, child in one._modules.items()}
        return view

    return copied(module)
