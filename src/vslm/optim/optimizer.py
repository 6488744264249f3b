"""What every optimizer is: a spec that builds a torch optimizer over the parameters of a model."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from vslm.core.bounds import LearningRate, Real
from vslm.core.declarations import place_of_class
from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.optim.groups import Role, roles
from vslm.optim.reads_loss import ReadsLoss

_SOME_LOSS = 100.0  # nats, of a step that is only tried


@dataclass(frozen=True, kw_only=True)
class Optimizer(Spec):
    """Interface: builds the optimizer of a model.

    An optimizer with several learning rates has one that is the learning rate: it stands in the record of every
    evaluation, and a search for learning rates varies it. The others are fields of their own that say a ratio to it, so
    that a search moves all of them. A schedule multiplies every group's learning rate with the same factor.

    Args:
        learning_rate: the peak of the schedule.
        clip_norm: gradients are scaled down to this norm, taken over all parameters; None clips nothing.
    """

    notes: ClassVar[tuple[str, ...]] = ()
    """Names of the numbers that what it builds notes at every step (`ReadsLoss.noted`); a run records their means."""
    learning_rate: LearningRate
    clip_norm: Real | None = 1.0

    def check(self) -> None:
        """Refuse numbers outside their range."""
        if self.learning_rate <= 0:
            raise SpecError("learning_rate", f"found {self.learning_rate}", "a number above 0 is needed")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise SpecError("clip_norm", f"found {self.clip_norm}", "a number above 0, or None, is needed")

    def check_here(self) -> None:
        """Raise SpecError where this machine lacks what it is built of: a library, a class. Asked before any run."""

    def check_start(self, loss_nats: float) -> None:
        """Raise SpecError where nothing would be learned from weights that know nothing.

        Args:
            loss_nats: of every token as likely as any other: about that of the first step.
        """

    @abstractmethod
    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over every trainable parameter of `model`; several of torch's in a `CombinedOptimizer`.

        The learning rate in each group is its peak, and that of the first group is `learning_rate`.
        """

    def state_per_parameter(self, role: Role) -> float:
        """How many fp32 numbers are kept from step to step for each number of a parameter with that role.

        What a training needs of memory and of disk is counted with it. Two, as Adam and its kin keep, unless an
        optimizer says otherwise; where it depends on the shape, the fewest.
        """
        return 2.0


def refuse_target(where: str, nats: float, loss_nats: float) -> None:
    """Refuse a target that is reached before the first step.

    Raises: SpecError at the field.
    """
    if nats >= loss_nats:
        found = f"a target of {nats:g} nats, and tokens that are equally likely have a loss of {loss_nats:.4g}"
        raise SpecError(where, found, "a target below it is needed, or no step is taken", "lower it")


def refuse_clipping(spec: Optimizer) -> None:
    """Refuse a norm to clip to, where an optimizer averages gradients as slopes.

    Raises: SpecError at the field.
    """
    if spec.clip_norm is not None:
        found, allowed = f"found {spec.clip_norm}", f"{type(spec).__name__} averages gradients as they are"
        raise SpecError("clip_norm", found, allowed, "write clip_norm=None, or take Tangent, which may be clipped")


def check_built(spec: Optimizer, built: torch.optim.Optimizer, model: nn.Module) -> None:
    """Hold a built optimizer to what training and its record take for granted, and take one step along zero gradients.

    Raises: SpecError at the class, for a parameter that it would not train, another learning rate than the declared,
        or a step that fails.
    """
    kind = type(spec)
    trained = {id(parameter) for group in built.param_groups for parameter in group["params"]}
    parameters = dict(model.named_parameters())
    left_out = [name for name in roles(model) if id(parameters[name]) not in trained]
    if left_out:
        shown = ", ".join(left_out[:3]) + (f" and {len(left_out) - 3} more" if len(left_out) > 3 else "")
        found, do = f"{kind.__name__}.build leaves out {shown}", "give it model.parameters(), or use group_parameters"
        raise SpecError(place_of_class(kind), found, "every trainable parameter is needed in one of its groups", do)
    first = built.param_groups[0]["lr"]
    if first != spec.learning_rate:
        found = f"the first group that {kind.__name__}.build makes has the learning rate {float(first):g}"
        allowed = f"{spec.learning_rate:g} is needed, its learning_rate: it is recorded, and varied by a search"
        raise SpecError(place_of_class(kind), found, allowed, "write lr=self.learning_rate")
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    try:
        if isinstance(built, ReadsLoss):
            built.read_loss(_SOME_LOSS)
        built.step()
    except Exception as error:
        found = f"a step of what {kind.__name__}.build returned fails: {type(error).__name__}: {error}"
        allowed = "training calls step() alone, once gradients are there"
        raise SpecError(place_of_class(kind), found, allowed) from error
    built.zero_grad(set_to_none=True)
