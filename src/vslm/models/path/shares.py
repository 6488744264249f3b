"""An element like another one that shares weights with it: attention only, feedforward only, all but a small change.

`Shares` is an entry of the bank, or of a path, that says whose weights it has; `stack.py` turns it into an element. A
shared parameter is one `torch.nn.Parameter` that both modules hold, as torch ties weights. What lists parameters once
(`named_parameters`, a stored file) names it by its owner, which stands before all that share with it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vslm.core.bounds import Width
from vslm.core.errors import SpecError, nearest
from vslm.core.frozen import FrozenDict
from vslm.core.paths import vary
from vslm.core.specs import Spec
from vslm.models.elements.element import PathElement, Surroundings, element_shapes
from vslm.models.initialization import Init


@dataclass(frozen=True, kw_only=True)
class LowRank(Spec):
    """A small change of a shared matrix: `y = W x + B A x`, with W shared, A and B not.

    Paper: Relaxed Recursive Transformers, Bae et al., 2024, https://arxiv.org/abs/2410.20672, where each loop has its
    own. We differ: B starts at zero, so that all loops start equal; they start from a trained model's weights.
    At the start: A normal, deviation 1 / sqrt(width in); B = 0: the shared matrix alone.
    Cost: rank * (width in + width out) parameters per matrix.

    Args:
        rank: 1 or more; 4 to 16 is usual.
    """

    rank: Width

    def check(self) -> None:
        """Refuse a rank below 1."""
        if self.rank < 1:
            raise SpecError("rank", f"found {self.rank}", "1 or more is needed")


@dataclass(frozen=True, kw_only=True)
class Shares(Spec):
    """An element like the one named `of`, some of whose weights are the same numbers.

    Paper: ALBERT, Lan et al., 2019, https://arxiv.org/abs/1909.11942, for attention or feedforward only.
    At the start: what is shared starts as its owner's; the rest as it would in an element of this name.

    Args:
        of: name of an entry of the bank, an element that the path visits.
        parts: what is shared, by the name of the module that holds it (`attention`, `feedforward.gate`), with
            everything below; None: every weight.
        changes: how it differs from its owner otherwise, as `vary` takes it (`attention.window_tokens`: 16).
        delta: a change of its own for each shared matrix; None: none.
    """

    of: str
    parts: tuple[str, ...] | None = None
    changes: Mapping[str, bool | int | float | str | Spec | None] = FrozenDict()
    delta: LowRank | None = None

    def check(self) -> None:
        """Refuse an entry that shares nothing."""
        if self.parts is not None and not self.parts:
            raise SpecError("parts", "nothing is shared", "", "name a part, or write an element of its own")

    def element(self, bank: Mapping[str, "PathElement | Shares"]) -> PathElement:
        """The element that it is, every weight its own.

        Raises: SpecError at `of` or `changes` where that cannot be.
        """
        owner = bank.get(self.of)
        if owner is None:
            raise SpecError("of", f"no block is named {self.of!r}", nearest(self.of, bank))
        if owner is self:
            raise SpecError(
                "of", f"{self.of!r} would have its weights from itself", nearest(self.of, set(bank) - {self.of})
            )
        if isinstance(owner, Shares):
            *between, last = self._lenders(bank)
            if last in between:
                circle = ", ".join(repr(name) for name in between[between.index(last) :])
                raise SpecError("of", f"{circle} share in a circle", "one of them needs weights of its own")
            raise SpecError("of", f"{self.of!r} has its weights from {owner.of!r}", "", f"name {last!r}")
        try:
            changed = vary(owner, self.changes)
        except SpecError as error:
            raise error.within("changes") from None
        return changed

    def _lenders(self, bank: Mapping[str, "PathElement | Shares"]) -> list[str]:
        """Who has weights from whom, by name, up to one that does not share, or that was there before."""
        names = [self.of]
        while isinstance(lender := bank.get(names[-1]), Shares) and names[-1] not in names[:-1]:
            names.append(lender.of)
        return names

    def shared_shapes(
        self, element: PathElement, around: Surroundings, owner: PathElement, owner_around: Surroundings
    ) -> dict[str, torch.Size]:
        """The shape of every parameter that is shared, by its name in both.

        Raises: SpecError for a part that is not there, has other parameters in its owner, or holds a matrix that
            cannot have a change.
        """
        made = element_shapes(element, around)
        own, theirs = made.parameters, element_shapes(owner, owner_around).parameters
        shared: dict[str, torch.Size] = {}
        for part in self.parts or ("",):
            found = {name: shape for name, shape in own.items() if name.startswith(f"{part}." if part else "")}
            if not found:
                parts = {name.rsplit(".", depth)[0] for name in own for depth in range(1, name.count(".") + 1)}
                raise SpecError("parts", f"nothing is named {part!r}", nearest(part, sorted(parts)))
            for name, shape in found.items():
                if name in shared:
                    raise SpecError("parts", f"{name} is named twice", "each part stands once")
                if theirs.get(name) != shape:
                    has = f"{tuple(theirs[name])}" if name in theirs else "none"
                    raise SpecError("parts", f"{name} is {tuple(shape)} here and {has} in {self.of!r}")
                shared[name] = shape
        for name in shared if self.delta else ():
            where = name.rpartition(".")[0]
            if len(shared[name]) == 2 and made.modules[where] is not nn.Linear:
                found = f"{name} is a matrix of {made.modules[where].__name__}"
                raise SpecError("delta", found, "only those of a torch.nn.Linear can have a change")
        return shared

    def num_delta_parameters(self, shared: Mapping[str, torch.Size]) -> int:
        """Those of the changes: rank * (width in + width out) for each shared matrix."""
        rank = self.delta.rank if self.delta else 0
        return sum(rank * sum(shape) for shape in shared.values() if len(shape) == 2)

    def connect(self, module: nn.Module, owner: nn.Module, shared: Mapping[str, torch.Size], init: Init) -> None:
        """Tie the module's parameters to the owner's, and put the changes beside them."""
        for name in shared:
            part, _, leaf = name.rpartition(".")
            theirs = owner.get_parameter(name)
            if self.delta is not None and theirs.ndim == 2:
                layer = module.get_submodule(part)
                assert isinstance(layer, nn.Linear)
                changed = ChangedLinear(layer, self.delta.rank, init.child(part))
                module.set_submodule(part, changed)
            setattr(module.get_submodule(part), leaf, theirs)


class ChangedLinear(nn.Module):
    """See `LowRank`. Its weight, and its bias if there is one, are set by who makes it."""

    bias: Tensor | None

    def __init__(self, layer: nn.Linear, rank: int, init: Init) -> None:
        super().__init__()
        width_out, width_in = layer.weight.shape
        self.weight, self.bias = layer.weight, layer.bias
        self.down = nn.Parameter(init.child("down").normal((rank, width_in), 1 / math.sqrt(width_in)))
        self.up = nn.Parameter(init.child("up").constant((width_out, rank), 0.0))

    def forward(self, x: Tensor) -> Tensor:
        """The shared matrix and its change."""
        shared = functional.linear(x, self.weight, self.bias)
        return shared + functional.linear(functional.linear(x, self.down), self.up)
