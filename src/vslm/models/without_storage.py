"""Modules as shapes: built without storage and without a draw, to be counted and looked at.

A part of a model is counted by building it: with an `Init` that has shapes and no values, on torch's meta device. What
a class of somebody else's draws and allocates in its `build` (`nn.Linear`, `torch.randn`) is turned into shapes, too;
one that needs values is built as it is. Answers are kept by spec and surroundings, so a thousand equal blocks are built
once.

Not for: what a whole model has and costs; that is `accounting.py`.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.overrides import TorchFunctionMode

from vslm.core.errors import SpecError, VslmError
from vslm.core.paths import specs_in
from vslm.core.types import describe
from vslm.core.user_modules import is_own, line_of
from vslm.models.initialization import Init, default_draws

_KEPT = 8_192  # answers: some two thousand bytes each

_has_no_storage: ContextVar[bool] = ContextVar("has_no_storage", default=False)


class ShapesOnly(Init):
    """Initial values without values: a module built from it holds shapes."""

    def child(self, name: str) -> Init:
        """Itself: names do not matter."""
        return self

    def normal(self, shape: object, std: float) -> Tensor:
        return torch.empty(shape, device="meta")  # type: ignore[call-overload]

    def uniform(self, shape: object, low: float, high: float) -> Tensor:
        return torch.empty(shape, device="meta")  # type: ignore[call-overload]

    def constant(self, shape: object, value: float) -> Tensor:
        return torch.empty(shape, device="meta")  # type: ignore[call-overload]


SHAPES_ONLY = ShapesOnly(0)


def table(shape: tuple[int, ...], make: Callable[[], Tensor]) -> Tensor:
    """What `make` computes, or its shape alone in a module that is built to be counted.

    For what has a row per position and is no parameter: a long context need not be allocated to be counted.
    """
    return torch.empty(shape, device="meta") if _has_no_storage.get() else make()


@dataclass(frozen=True)
class Shapes:
    """What a build makes.

    Args:
        parameters: shape of every parameter, once, by its name.
        tables: names of those that have one row per token or position (`lookup_tables`, `nn.Embedding`).
        modules: class of every module that holds one, by its name; `nn.Linear` for whatever derives from that.
    """

    parameters: Mapping[str, torch.Size]
    tables: frozenset[str]
    modules: Mapping[str, type]

    @functools.cached_property
    def num_parameters(self) -> int:
        """All of them."""
        return sum(shape.numel() for shape in self.parameters.values())

    @functools.cached_property
    def num_table_parameters(self) -> int:
        """Those in tables."""
        return sum(self.parameters[name].numel() for name in self.tables)


def shapes_of(spec: Any, **given: Any) -> Shapes:
    """The parameters that `spec.build(**given)` makes; give `init=SHAPES_ONLY` where a build takes one.

    Raises: SpecError, at no place, for a build that fails, with the line of it that is the user's.
    """
    try:
        hash((spec, *given.values()))
    except TypeError:  # a class of somebody's own that holds what cannot be a key
        return _shapes(spec, tuple(given.items()))
    return _kept_shapes(spec, tuple(given.items()))


def module_shapes(module: nn.Module) -> Shapes:
    """The parameters of a module. One that has no shape before a first pass is left out."""
    names: dict[int, str] = {}
    shapes: dict[str, torch.Size] = {}
    modules: dict[str, type] = {}
    tables: list[Tensor] = []
    for where, part in module.named_modules():
        for leaf, parameter in part._parameters.items():
            if parameter is None or isinstance(parameter, UninitializedParameter) or id(parameter) in names:
                continue
            names[id(parameter)] = name = f"{where}.{leaf}" if where else leaf
            shapes[name] = parameter.shape
            modules[where] = nn.Linear if isinstance(part, nn.Linear) else type(part)
        tables += [part.weight] if isinstance(part, nn.Embedding) else getattr(part, "lookup_tables", list)()
    return Shapes(shapes, frozenset(names[id(table)] for table in tables if id(table) in names), modules)


def _shapes(spec: Any, given: tuple[tuple[str, Any], ...]) -> Shapes:
    module = _built(spec, dict(given))
    if not isinstance(module, nn.Module):
        found = f"{type(spec).__name__}.build returned {describe(module)}"
        raise SpecError("", found, "a torch.nn.Module is needed", "build and return one")
    return module_shapes(module)


_kept_shapes = functools.lru_cache(maxsize=_KEPT)(_shapes)


def _built(spec: Any, given: dict[str, Any]) -> Any:
    if not _holds_own(spec):
        with _without_storage():
            return spec.build(**given)
    try:
        with _without_storage(), default_draws(SHAPES_ONLY), _ShapesOnlyMode():
            return spec.build(**given)
    except Exception:  # it may need values: it is built as a run builds it
        return _really_built(spec, given)


def _really_built(spec: Any, given: dict[str, Any]) -> Any:
    if "init" in given:
        given = {**given, "init": Init(0)}
    try:
        with default_draws(Init(0)):
            return spec.build(**given)
    except VslmError:
        raise
    except Exception as error:
        place = f" at {line}" if (line := line_of(error)) else ""
        found = f"cannot be built: {type(error).__name__}: {error}{place}"
        raise SpecError("", found, "a part is built to be counted", "mend the line") from error


@contextlib.contextmanager
def _without_storage() -> Iterator[None]:
    token = _has_no_storage.set(True)
    try:
        yield
    finally:
        _has_no_storage.reset(token)


def _holds_own(spec: Any) -> bool:
    """Whether it or a part of it is of a class from outside the package."""
    return any(is_own(type(part)) for _, part in specs_in(spec))


def _named(place: Any, *names: str) -> set[Callable[..., Any]]:
    return {getattr(place, name) for name in names}


_DRAWS = _named(nn.init, *(name for name in vars(nn.init) if name.endswith("_") and not name.startswith("_")))
_DRAWS |= _named(Tensor, *("uniform_", "normal_", "random_", "bernoulli_", "exponential_", "cauchy_", "log_normal_"))
_OF_A_SIZE = _named(torch, "empty", "zeros", "ones", "rand", "randn")
_BY_NUMBER = _named(torch, "add", "sub", "mul", "div", "neg") | _named(
    Tensor, *("add", "sub", "mul", "div", "neg", "__add__", "__sub__", "__mul__", "__truediv__", "__neg__"), "__rmul__"
)


class _ShapesOnlyMode(TorchFunctionMode):
    """Inside, torch's own initial values and what is made of a size are shapes.

    A draw on the meta device, and nearly every computation there, makes torch import its decompositions, which takes
    seconds; so a draw is left out, and a number times a tensor is that tensor.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        if func in _OF_A_SIZE and kwargs.get("device") is None:
            taken = {name: kwargs[name] for name in ("size", "dtype", "requires_grad") if name in kwargs}
            return torch.empty(*args, **taken, device="meta")
        if func in _BY_NUMBER and _is_shape(args[0]) and not any(isinstance(x, Tensor) for x in args[1:]):
            return args[0]
        return func(*args, **kwargs)


def _is_shape(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_meta
