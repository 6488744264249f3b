"""Any torch optimizer class from anywhere, as an arm in one line."""

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from vslm.core.bounds import Real
from vslm.core.errors import SpecError, nearest
from vslm.core.frozen import FrozenDict
from vslm.core.user_modules import is_users_file
from vslm.optim.groups import Role, decayed_matrices
from vslm.optim.optimizer import Optimizer

_SIDE = 4  # of the matrix that shows how many numbers are kept


@dataclass(frozen=True, kw_only=True)
class OptimizerOf(Optimizer):
    """A class of `torch.optim`, or of an installed package, by its dotted path.

        OptimizerOf("torch.optim.RAdam", learning_rate=0.004, options={"betas": (0.9, 0.95)}, weight_decay=0.1)

    It is made as Class(groups, lr=learning_rate, **options). What it does is its own documentation's business; what it
    keeps is counted on a small matrix. A class whose weights for evaluation are others than those for training, and
    which has methods `train` and `eval` for it, is switched by the training loop.

    Not for: a class in your own files, whose code names the run; derive from `Optimizer` for that.

    Args:
        path: "torch.optim.RAdam", or the class itself, whose path is recorded.
        learning_rate: the peak of the schedule.
        clip_norm: gradients are scaled down to this global norm; None clips nothing.
        options: further arguments, by name.
        weight_decay: the group option of that name, of matrices; all else gets 0. None: the class knows no such option,
            or its default is for all.
    """

    path: str = field(kw_only=False)
    options: Mapping[str, Any] = FrozenDict()
    weight_decay: Real | None = None

    def __post_init__(self) -> None:
        """A class is kept as its path."""
        given: Any = self.path
        if isinstance(given, type):
            _refuse_own(given, "path")
            object.__setattr__(self, "path", f"{given.__module__}.{given.__qualname__}")
        super().__post_init__()

    def check(self) -> None:
        """Refuse a path without a module, options that have fields of their own, and to go up."""
        super().check()
        if self.weight_decay is not None and self.weight_decay < 0:
            raise SpecError("weight_decay", f"found {self.weight_decay}", "0 or more is needed")
        if self.options.get("maximize"):
            found, do = "found True", "leave it out, or write an objective that lowers its negative"
            raise SpecError("options.maximize", found, "training lowers what the objective gives", do)
        if not all(part.isidentifier() for part in self.path.split(".")) or "." not in self.path:
            raise SpecError("path", f"found {self.path!r}", 'a dotted path is needed, as in "torch.optim.RAdam"')
        for name, instead in (("lr", "learning_rate"), ("weight_decay", "weight_decay"), ("params", None)):
            if name in self.options:
                do = f"write {instead}=..." if instead else "they are the model's"
                raise SpecError(f"options.{name}", "found among the options", "it is no option", do)

    def check_here(self) -> None:
        """Refuse a class that is not there, that cannot be made of these options for a matrix and a vector, or whose
        step asks for more than gradients.
        """
        try:
            self._stepped((_SIDE, _SIDE), (_SIDE,))
        except SpecError:
            raise
        except Exception as error:
            found = f"a step of {self.path} fails: {type(error).__name__}: {error}"
            allowed = "training calls step() alone, once gradients are there"
            raise SpecError("optimizer.path", found, allowed, "choose another class") from None

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over every trainable parameter of `model`.

        Raises: SpecError for a class that is not there, or cannot be made.
        """
        if self.weight_decay is None:
            groups = [{"params": [p for p in model.parameters() if p.requires_grad]}]
        else:
            groups = decayed_matrices(model, self.weight_decay)
        built = self._made(groups)
        if callable(switch := getattr(built, "train", None)):
            switch()
        return built

    def state_per_parameter(self, role: Role) -> float:
        """As many as it keeps for a small matrix after one step; 2 where that step fails without a loss."""
        try:
            built = self._stepped((_SIDE, _SIDE))
        except SpecError:
            raise
        except Exception:  # whatever it asks for, `check_here` says it
            return super().state_per_parameter(role)
        (parameter,) = (p for group in built.param_groups for p in group["params"])
        kept = sum(one.numel() for one in built.state[parameter].values() if isinstance(one, Tensor) and one.ndim)
        return kept / parameter.numel()

    def _stepped(self, *shapes: tuple[int, ...]) -> torch.optim.Optimizer:
        """Of parameters of these shapes, after one step."""
        parameters = [nn.Parameter(torch.zeros(shape)) for shape in shapes]
        built = self._made([{"params": parameters}])
        if callable(switch := getattr(built, "train", None)):
            switch()
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        built.step()
        return built

    def _made(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        kind = self._class()
        known = _arguments(kind)
        for name in self.options:
            if known and name not in known:
                found = f"{self.path} takes no such option"
                raise SpecError(f"optimizer.options.{name}", found, nearest(name, known))
        try:
            built = kind(groups, lr=self.learning_rate, **self.options)
        except Exception as error:
            found = f"{self.path} refuses what it is made of: {type(error).__name__}: {error}"
            do = "leave out what it does not know; its documentation says what it takes"
            raise SpecError(
                "optimizer.options", found, "Class(groups, lr=learning_rate, **options) is called", do
            ) from None
        if self.weight_decay is not None and "weight_decay" not in built.defaults:
            found = f"found {self.weight_decay:g}, and {self.path} has no weight decay"
            raise SpecError("optimizer.weight_decay", found, "a class that knows it is needed", "leave it out")
        return built

    def _class(self) -> Any:
        module, _, name = self.path.rpartition(".")
        try:
            holder = importlib.import_module(module)
        except Exception as error:  # an installed module may fail as it likes
            what = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
            found, do = f"{module} cannot be imported: {what}", "install the package that has it"
            raise SpecError("optimizer.path", found, "a class that is installed is needed", do) from None
        kind = getattr(holder, name, None)
        if not _is_optimizer(kind):
            known = [one for one, it in vars(holder).items() if _is_optimizer(it) and it is not torch.optim.Optimizer]
            found = f"{module} has no optimizer {name!r}" + (
                "" if kind is None else ", only something else of that name"
            )
            allowed = nearest(name, known) if known else f"no torch.optim.Optimizer is in {module}"
            raise SpecError("optimizer.path", found, allowed)
        _refuse_own(kind, "optimizer.path")
        return kind


def _is_optimizer(it: Any) -> TypeGuard[type[torch.optim.Optimizer]]:
    return isinstance(it, type) and issubclass(it, torch.optim.Optimizer)


def _arguments(kind: type) -> list[str]:
    """Names that a class is made with but for parameters and learning rate; none where it takes any."""
    taken = [*inspect.signature(kind).parameters.values()]
    if any(one.kind is one.VAR_KEYWORD for one in taken):
        return []
    return [one.name for one in taken if one.name not in ("params", "lr", "weight_decay")]


def _refuse_own(kind: type, where: str) -> None:
    """Refuse a class whose code would be in no name of a run."""
    if is_users_file(Path(inspect.getfile(kind))):
        do = "write a class that derives from Optimizer: docs/adding-an-optimizer.md"
        found = f"{kind.__name__} is a class of your own"
        raise SpecError(where, found, "a class of torch or of an installed package is needed", do)
