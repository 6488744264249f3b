"""What every adapter is: a spec that builds a few weights beside a model, and these weights, put on and taken off.

    module = LoRA(rank=8).build(model, init=init, encode=tokenizer.encode)     # the model is left as it is
    with attached(model, module):                                             # inside, it computes with them
        logits_BTV = model(tokens_BT)
    attachment = module.attach(model)                                         # or until attachment.remove()

The model's own parameters are never written to, and its state has none of the adapter's: what is trained, kept and
handed on is `module` alone. Several adapters on one model act together: changes of a matrix add up.

A compiled graph does not see an adapter that is put on later. Put it on first; swapping is for eager models.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, MutableSequence
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import nn

from vslm.core.specs import Spec
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.path.stack import Visit

Encode = Callable[[str], np.ndarray]
"""A text -> its ids."""


class Attachment(Protocol):
    """What putting an adapter on returns."""

    def remove(self) -> None:
        """Take it off; the model computes as it did before."""
        ...


class AdapterModule(nn.Module, ABC):
    """Interface: the weights of an adapter for one model. What they do is the same in training and in evaluation."""

    merges: ClassVar[bool] = False
    """Whether `merge` can write what it does into the model's own weights."""

    def attach(self, model: LanguageModel) -> Attachment:
        """Let the model compute with these weights, beside whatever else is attached.

        Args:
            model: that it was built for, or one of the same spec. Its `beside` lists what is attached.
        """
        taken_off = self.put_on(model)
        model.beside.append(self)
        return _Attached(model, self, taken_off)

    @abstractmethod
    def put_on(self, model: LanguageModel) -> Attachment:
        """What `attach` does to the model's computation, and how it is undone."""

    def merge(self, model: LanguageModel) -> None:
        """Write what it does into the model's weights, for good. Only where `merges`."""
        raise NotImplementedError


class _Attached:
    """An adapter that a model lists."""

    def __init__(self, model: LanguageModel, module: AdapterModule, put_on: Attachment) -> None:
        self._model, self._module, self._put_on = model, module, put_on

    def remove(self) -> None:
        """Once; afterwards it does nothing."""
        self._put_on.remove()
        remove_first(self._model.beside, self._module)


def remove_first(found: MutableSequence[Any], one: object) -> None:
    """Take an object out of a list, by identity; nothing where it is not in it."""
    for place, other in enumerate(found):
        if other is one:
            del found[place]
            return


class Adapter(Spec):
    """Interface: what is trained beside a finished model."""

    hides_weights: ClassVar[bool] = False
    """Whether attention computes so that measures which look at its weights see nothing."""

    @abstractmethod
    def build(self, model: LanguageModel, *, init: Init, encode: Encode) -> AdapterModule:
        """The weights as training starts with them, on the CPU. The model is left as it is.

        Args:
            model: with the weights that it will have beside them.
            init: where initial values come from.
            encode: of the model's tokenizer.
        Raises: SpecError for a model that it cannot be put on.
        """

    def check_fits(self, model: Model) -> None:
        """Raise SpecError, at a path seen from the adapter, for a model that it cannot be put on."""

    @abstractmethod
    def num_parameters(self, model: Model, vocabulary: int) -> int:
        """How many numbers it adds to a model; that is what is trained."""

    @abstractmethod
    def forward_flops_per_token(self, visit: Visit) -> float:
        """FLOPs that it adds to one visit, per token at full context, forward only."""

    def training_flops_per_token(self, model: Model, vocabulary: int) -> float:
        """Useful FLOPs of training it, per token at full context.

        Forward and backward through the whole model, without gradients of the model's own weights: two products for
        each of them in place of three; three for what the adapter adds.
        """
        added = sum(
            model.in_training(visit, flops, flops)
            for visit in model.longest.visits
            for flops in [self.forward_flops_per_token(visit)]
        )
        frozen = model.flops_per_token(vocabulary) - model.weight_gradient_flops_per_token(vocabulary)
        return frozen + added


def grow(module: nn.Module, path: str, leaf: nn.Module) -> None:
    """Put a module at a dotted path below another one, so that its parameters are named so."""
    *parts, last = path.split(".")
    for part in parts:
        if part not in module._modules:
            module.add_module(part, nn.ModuleDict())
        module = module.get_submodule(part)
    module.add_module(last, leaf)


@contextlib.contextmanager
def attached(model: LanguageModel, *modules: AdapterModule) -> Iterator[LanguageModel]:
    """Inside, the model computes with these adapters; afterwards as it did before."""
    attachments = [module.attach(model) for module in modules]
    try:
        yield model
    finally:
        for attachment in reversed(attachments):
            attachment.remove()
