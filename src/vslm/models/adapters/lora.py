"""A change of low rank for each of a model's matrices."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from vslm.core.bounds import Real, Width
from vslm.core.errors import SpecError, nearest
from vslm.models.adapters.adapter import Adapter, AdapterModule, Attachment, Encode, grow
from vslm.models.elements.element import element_shapes
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.path.shares import ChangedLinear
from vslm.models.path.stack import Visit
from vslm.models.without_storage import SHAPES_ONLY, Shapes, shapes_of

ATTENTION = ("attention.query", "attention.key", "attention.value", "attention.output")
FEEDFORWARD = ("feedforward.gate", "feedforward.input", "feedforward.output")

_LINEAR: tuple[type, ...] = (nn.Linear, ChangedLinear)
_SOME_VOCABULARY = 2  # of a model of which matrices inside blocks are asked for


@dataclass(frozen=True, kw_only=True)
class LoRA(Adapter):
    """A change of low rank beside each matrix: `y = W x + (alpha / rank) B A x`, with W frozen, A and B trained.

    Paper: LoRA: Low-Rank Adaptation of Large Language Models, Hu et al., 2021, https://arxiv.org/abs/2106.09685. We
    differ: a weight that several blocks hold has one change, which acts in all of them, so that it can be merged.
    At the start: A normal, deviation 1 / rank; B = 0: the model alone, to the bit.
    Cost: rank * (width in + width out) parameters for each matrix, and two FLOPs for each of them per token and visit.

    Args:
        rank: 1 or more; 4 to 16 is usual.
        parts: which matrices, by the names of the modules that hold them (`attention.query`, `feedforward.output`):
            in every block that has one; None: the four of attention, and of the feedforward `gate`, `input` and
            `output`, as far as they are there.
        alpha: of the factor alpha / rank; None: twice the rank, so that the factor is 2 at every rank.
    """

    rank: Width
    parts: tuple[str, ...] | None = None
    alpha: Real | None = None

    def check(self) -> None:
        """Refuse a rank below 1, no part, one that is named twice, and a factor of 0 or less."""
        if self.rank < 1:
            raise SpecError("rank", f"found {self.rank}", "1 or more is needed")
        if self.parts is not None and not self.parts:
            raise SpecError("parts", "nothing is changed", "one or more names are needed", "leave it out for all")
        for place, part in enumerate(self.parts or ()):
            if part in (self.parts or ())[:place]:
                raise SpecError(f"parts.{place}", f"{part!r} is named twice", "each part stands once")
        if self.alpha is not None and self.alpha <= 0:
            raise SpecError("alpha", f"found {self.alpha}", "a number above 0 is needed")

    @property
    def factor(self) -> float:
        """What the change is multiplied with."""
        return (2.0 * self.rank if self.alpha is None else self.alpha) / self.rank

    def check_fits(self, model: Model) -> None:
        """Every named part is there, and holds a matrix that can have a change."""
        self._shapes(model)

    def build(self, model: LanguageModel, *, init: Init, encode: Encode) -> "LoRAModule":
        """Two factors for each matrix."""
        del encode
        changes = {}
        for name, layers in self._layers(model).items():
            width_out, width_in = layers[0].weight.shape  # type: ignore[misc]
            down_RI = init.child(name).child("down").normal((self.rank, int(width_in)), 1 / self.rank)
            up_OR = init.child(name).child("up").constant((int(width_out), self.rank), 0.0)
            changes[name] = Change(down_RI, up_OR, self.factor)
        return LoRAModule(changes, self._layers)

    def num_parameters(self, model: Model, vocabulary: int) -> int:
        """rank * (width in + width out), for each matrix once."""
        return self.rank * sum(sum(shape) for shape in self._shapes(model).values())

    def forward_flops_per_token(self, visit: Visit) -> float:
        """Two for each of its parameters, as often as the element says that a token sees the element's own."""
        shapes = element_shapes(visit.element, visit.around)
        numbers = self.rank * sum(sum(shapes.parameters[f"{name}.weight"]) for name in self._named(shapes))
        if not numbers:
            return 0.0
        mixed = sum(one.useful_flops_per_token(visit.around.context_tokens) for one in visit.element.mixings())
        products = visit.element.forward_flops_per_token(visit.around) - mixed
        return numbers * products / shapes.num_parameters

    def _shapes(self, model: Model) -> dict[str, torch.Size]:
        """The shape of every matrix that gets a change, by the name of what holds it: its owner where it is shared.

        Raises: SpecError at `parts`.
        """
        shapes = shapes_of(model, vocabulary=_SOME_VOCABULARY, init=SHAPES_ONLY)
        found = {name: shapes.parameters[f"{name}.weight"] for name in self._named(shapes)}
        linear = {name for name, kind in shapes.modules.items() if issubclass(kind, _LINEAR)}
        for part in self.parts or ():
            if not any(_is_of(part, name) for name in found):
                others = [name for name in shapes.modules if _is_of(part, name)]
                raise _no_matrix(part, others and shapes.modules[others[0]].__name__, linear)
        if not found:
            do = "name what to change with LoRA(parts=...)"
            raise SpecError("parts", "none of the usual matrices is there", nearest("", _parts_of(linear)), do)
        return found

    def _named(self, shapes: Shapes) -> Iterator[str]:
        """Names of the modules with a matrix that gets a change."""
        for name, kind in shapes.modules.items():
            if issubclass(kind, _LINEAR) and self._is_meant(name) and f"{name}.weight" in shapes.parameters:
                yield name

    def _is_meant(self, name: str) -> bool:
        return any(_is_of(part, name) for part in self.parts or (*ATTENTION, *FEEDFORWARD))

    def _layers(self, model: LanguageModel) -> dict[str, list[nn.Module]]:
        """The modules that hold each matrix, by the name of the first, its owner.

        Raises: SpecError for one that does something else than to multiply with it.
        """
        found: dict[str, list[nn.Module]] = {}
        owners: dict[int, str] = {}
        for name, module in model.named_modules():
            if not isinstance(module, _LINEAR):
                continue
            owner = owners.setdefault(id(module.weight), name)
            if owner == name and not self._is_meant(name):
                continue
            if owner in found or owner == name:
                if isinstance(module, nn.Linear) and type(module).forward is not nn.Linear.forward:
                    found_words = f"{name} is a {type(module).__name__} with a forward of its own"
                    raise SpecError("parts", found_words, "a product with its weight is needed", "leave it out")
                found.setdefault(owner, []).append(module)
        return found


class Change(nn.Module):
    """The change of one matrix. See `LoRA`."""

    def __init__(self, down_RI: Tensor, up_OR: Tensor, factor: float) -> None:
        super().__init__()
        self.down, self.up, self.factor = nn.Parameter(down_RI), nn.Parameter(up_OR), factor

    def forward(self, x: Tensor) -> Tensor:
        """What is added to the matrix's own output."""
        return self.factor * functional.linear(functional.linear(x, self.down), self.up)

    def matrix(self) -> Tensor:
        """What it adds to the matrix, [width out, width in]."""
        return self.factor * (self.up @ self.down)


class LoRAModule(AdapterModule):
    """See `LoRA`. Parameters are named as the model's: `blocks.0.attention.query.down` and `up`.

    Args:
        changes: of each matrix, by the name of its owner.
        layers: model -> the modules that hold each matrix.
    """

    merges: ClassVar[bool] = True

    def __init__(
        self, changes: Mapping[str, Change], layers: Callable[[LanguageModel], Mapping[str, list[nn.Module]]]
    ) -> None:
        super().__init__()
        self._names = tuple(changes)
        self._layers = layers
        for name, change in changes.items():
            grow(self, name, change)

    def put_on(self, model: LanguageModel) -> Attachment:
        """Add to the output of every module that holds one of the matrices."""
        handles = []
        for name, layers in self._checked(model):
            change = self.get_submodule(name)
            handles += [layer.register_forward_hook(_adds(change)) for layer in layers]
        return _Handles(handles)

    @torch.no_grad()
    def merge(self, model: LanguageModel) -> None:
        """W + (alpha / rank) B A in place of W."""
        for name, layers in self._checked(model):
            change = self.get_submodule(name)
            assert isinstance(change, Change)
            layers[0].weight.add_(change.matrix())  # type: ignore[operator]

    def _checked(self, model: LanguageModel) -> Iterator[tuple[str, list[nn.Module]]]:
        found = self._layers(model)
        assert tuple(found) == self._names, "an adapter is put on the model that it was built for"
        yield from found.items()


class _Handles:
    """Hooks that are removed together."""

    def __init__(self, handles: Iterable[Any]) -> None:
        self._handles = list(handles)

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


def _adds(change: nn.Module) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
    def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        del layer
        return output + change(inputs[0])

    return hook


def _is_of(part: str, name: str) -> bool:
    """Whether a module is called so, within whatever block."""
    return name == part or name.endswith(f".{part}")


def _parts_of(names: Iterable[str]) -> list[str]:
    """Names as `parts` takes them: the last two of each, or the last where a block has no room between.

    >>> _parts_of(["blocks.0.attention.query", "blocks.1.attention.query", "root.projection"])
    ['attention.query', 'root.projection']
    """
    return sorted({".".join(name.split(".")[-2:]) for name in names})


def _no_matrix(part: str, kind: str | list[str], linear: Iterable[str]) -> SpecError:
    if kind:
        found = f"{part} is a {kind}"
        return SpecError("parts", found, "only the matrix of a torch.nn.Linear can have a change", "leave it out")
    return SpecError("parts", f"nothing is named {part!r}", nearest(part, _parts_of(linear)))
