"""Facts that hold for every variant of the models room; the contract tests of each family call these."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TypeVar

import torch
from torch import Tensor, nn

import vslm.models
from vslm.core.specs import Spec, from_plain, to_plain
from vslm.models.initialization import Init
from vslm.models.without_storage import Shapes

M = TypeVar("M", bound=nn.Module)


def final_classes(interface: type[Spec] = Spec, room: ModuleType = vslm.models) -> set[type[Spec]]:
    """Every class in a room that fills `interface`, can be built, and that nothing else in the room derives from."""
    for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
        importlib.import_module(module.name)
    found: set[type[Spec]] = set()
    waiting = [interface]
    while waiting:
        cls = waiting.pop()
        below = [child for child in cls.__subclasses__() if child.__module__.startswith(f"{room.__name__}.")]
        waiting += below
        if not below and cls is not interface and not inspect.isabstract(cls):
            found.add(cls)
    return found


def with_new_classes(interface: type[Spec], specs: list) -> list:
    """`specs`, and the defaults of every class that is not among them, so that a new class is tested for nothing."""
    missing = final_classes(interface) - {type(spec) for spec in specs}
    return [*specs, *(cls() for cls in sorted(missing, key=lambda cls: cls.__name__) if _has_defaults(cls))]


def _has_defaults(cls: type[Spec]) -> bool:
    parameters = inspect.signature(cls.__init__).parameters.values()
    return all(p.default is not inspect.Parameter.empty for p in parameters if p.name != "self")


def assert_every_class_is_tested(interface: type[Spec], specs: Iterable[Spec]) -> None:
    """A new class belongs into the list that the contracts run over."""
    missing = final_classes(interface) - {type(spec) for spec in specs}
    assert not missing, f"add {sorted(cls.__name__ for cls in missing)} to the list at the top of this file"


def assert_reads_back(spec: Spec) -> None:
    """Spec -> plain -> spec is equal."""
    kinds = {cls.__name__: cls for cls in final_classes()}
    assert from_plain(to_plain(spec), kinds) == spec


def assert_owns_its_parameters(build: Callable[[Init], nn.Module], counted: Shapes | int, forward: Callable) -> None:
    """Count, seeds, saving, and independence of two instances.

    Args:
        build: makes the module from an Init.
        counted: without building it: the shape of every parameter, or how many there are of a whole model.
        forward: module -> Tensor, the same inputs at each call.
    """
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    module, same, other = build(Init(3, "a")), build(Init(3, "a")), build(Init(4, "a"))
    assert torch.equal(before, torch.random.get_rng_state()), "initial values come from the Init alone"
    if isinstance(counted, Shapes):
        assert counted.parameters == {name: p.shape for name, p in module.named_parameters()}
        counted = counted.num_parameters
    assert sum(p.numel() for p in module.parameters()) == counted
    assert all(p.dtype == torch.float32 for p in module.parameters())
    for (name, p), (_, q) in zip(module.named_parameters(), same.named_parameters(), strict=True):
        assert torch.equal(p, q), name
    module.eval(), same.eval(), other.eval()
    expected = forward(module)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1.0)
    forward(other)
    assert torch.equal(forward(same), expected), "another instance changed this one"
    other.load_state_dict(module.state_dict())
    assert torch.equal(forward(other), expected), "saved and loaded weights give the same output"


def moved(module: M) -> M:
    """The module with numbers that no longer stand where they started: what starts at zero would hide what it does."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.1)
    return module


def assert_finite_gradients(output: Tensor, module: nn.Module, *inputs: Tensor) -> None:
    """Output, gradients of inputs and gradients of all parameters are finite, and every parameter gets one."""
    assert output.isfinite().all()
    weights = torch.linspace(0.5, 1.5, output.numel(), dtype=output.dtype).reshape(output.shape)
    (output * weights).sum().backward()
    for name, p in module.named_parameters():
        assert p.grad is not None, f"{name} gets no gradient"
        assert p.grad.isfinite().all(), name
    for x in inputs:
        assert x.grad is not None
        assert x.grad.isfinite().all()
