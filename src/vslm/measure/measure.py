"""What every measure is: a spec that says which numbers to take when, and builds the evaluator that takes them.

    Measure       a spec in `Experiment(measures=(...))`: which numbers, at which steps, on how many tokens
    build(...)    once, before the first step: checks names against the model, cuts the windows
    Evaluator     take(model) -> {"loss_nats_L": array, ...}; arrays have fixed axes, the letters that names end with

What is taken is recorded in arrays.npz under the measure's own name with the steps as first axis (`S`):
`loss_nats_L` of `logit_lens` is `logit_lens.loss_nats_SL`, beside `logit_lens.steps_S`. A number without axes is also a
field of the row of its step in measures.jsonl, and a study can be judged by it if the measure declares it in `numbers`.
What it declares in `arrays` and `numbers` a page draws, from the run's record. Adding one: docs/adding-a-measure.md.

A measure is taken in fp32, eagerly, with dropout off and under the averaged weights if there are any, whatever the
precision that the model is trained in; so the loss that a lens reads at the end may differ from the run's in the third
digit under bf16. Not for: anything that draws random numbers. A measure is a function of weights and windows, which is
why a run with one ends with the same weights as a run without.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vslm.core.bounds import Some, Tokens
from vslm.core.errors import DataError, SpecError
from vslm.core.specs import Spec
from vslm.data.corpus import Corpus
from vslm.data.sources.source import Source
from vslm.data.windows import evaluation_starts, evaluation_windows, weights_at
from vslm.measure.declared import Array, Declared, Number, Shown
from vslm.models.language_model import LanguageModel, Model

_AXES = re.compile(r"_([A-Z]+)$")


class Evaluator(ABC):
    """What a measure builds: takes its numbers from a model, any number of times.

    Calling it is what the training loop does: evaluation mode, no gradients, everything put back, plain arrays out.
    """

    @abstractmethod
    def take(self, model: LanguageModel) -> Mapping[str, np.ndarray | float]:
        """The numbers by name. Names end with the letters of their axes; those and their sizes never change."""

    def __call__(self, model: LanguageModel) -> dict[str, np.ndarray]:
        """`take`, with the model in evaluation mode and left as it was."""
        with evaluating(model):
            return {name: np.array(value, order="C") for name, value in self.take(model).items()}


class Measure(Spec):
    """Interface: which numbers are taken from a model, and after which steps."""

    recorded_as: ClassVar[str]
    """The first part of the names of its arrays; two measures of one experiment have different ones."""
    numbers: ClassVar[Mapping[str, Number]] = {}
    """The numbers without axes that it records, by name: all of them, and no other."""
    arrays: ClassVar[Mapping[str, Array]] = {}
    """Arrays that a page draws, by name; others are recorded all the same."""
    looks_at_weights: ClassVar[bool] = False
    """Whether it watches the weights of attention, which not every adapter lets be seen."""
    shown: ClassVar[Shown | None] = None
    """The title of its section on a page, and how to read it."""
    asks_its_own: ClassVar[bool] = False
    """Whether it asks questions of its own, the same whatever text a corpus holds: arms that are judged by it may be
    trained, and have their validation loss, on different texts with the same ids."""

    of_the_arm: ClassVar[frozenset[str]] = frozenset()
    """Fields that say what a model answers with, and not what is asked: arms of a study that is judged by the measure
    may differ in them, and in no other."""

    def declared(self) -> Declared:
        """Title, arrays and numbers that it declares. Raises: SpecError where they contradict each other."""
        try:
            return Declared(shown=self.shown, arrays=self.arrays, numbers=self.numbers)
        except SpecError as error:
            raise error.within(f"measures.{type(self).__name__}") from None

    @abstractmethod
    def steps(self, num_steps: int) -> list[int]:
        """After which steps of a training of `num_steps` to take it; 0 is before the first."""

    @abstractmethod
    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        """The evaluator.

        Args:
            model: the module that will be measured, untrained; for its names and sizes alone.
            corpus: where windows come from: `corpus.evaluated`, which is `val`, and `select` in a run that is made to
                choose and is chosen by this measure.
            context_tokens: of the model.
        Raises: SpecError for a name that the model does not have.
        """

    def check_fits(self, *, model: Model, source: Source) -> None:
        """Raise SpecError where this measure means nothing for that model or that source."""

    def longest_tokens(self, context_tokens: int) -> int:
        """The longest window of `corpus.evaluated` that it reads; checked before any compute."""
        return context_tokens


@dataclass(frozen=True, kw_only=True)
class OnWindows(Measure):
    """Interface: a measure on a few fixed windows of `corpus.evaluated`, at the end of training or at log-spaced steps.

    Args:
        num_evaluations: 1 takes it at the end alone; 2 or more at log-spaced steps, step 0 and the last among them.
        num_tokens: validation tokens at each of them, rounded up to whole windows.
    """

    num_evaluations: Some = 1
    num_tokens: Tokens = 4096

    def check(self) -> None:
        """Refuse counts below one."""
        for name in ("num_evaluations", "num_tokens"):
            if getattr(self, name) < 1:
                raise SpecError(name, f"found {getattr(self, name)}", "1 or more is needed")

    def steps(self, num_steps: int) -> list[int]:
        """The end, or log-spaced steps."""
        return log_spaced_steps(num_steps, self.num_evaluations)

    def windows(self, corpus: Corpus, context_tokens: int) -> np.ndarray:
        """The windows, [N, T + 1]: the same for every arm, seed and step."""
        tokens = corpus.evaluated.tokens
        return evaluation_windows(tokens, context_tokens=context_tokens, num_tokens=self.num_tokens)

    def weights(self, corpus: Corpus, context_tokens: int) -> np.ndarray | None:
        """How much each target of these windows counts, fp32 [N, T]; None where all count the same.

        A mean over targets is a weighted one. Raises: DataError where none of them counts.
        """
        split = corpus.evaluated
        starts_N = evaluation_starts(split.tokens, context_tokens=context_tokens, num_tokens=self.num_tokens)
        weight_NT = weights_at(split.weights, starts_N, context_tokens)
        if weight_NT is not None and not weight_NT.any():
            found = f"none of the {weight_NT.size:,} targets that {type(self).__name__} looks at counts"
            raise DataError("measures", found, "a mean is over targets that count", "look at more: num_tokens")
        return weight_NT


def log_spaced_steps(num_steps: int, num_evaluations: int) -> list[int]:
    """0, then log-spaced up to `num_steps`, rising, without repeats; the end alone for one evaluation.

    >>> log_spaced_steps(1000, 5), log_spaced_steps(1000, 1)
    ([0, 1, 10, 100, 1000], [1000])
    """
    if num_evaluations == 1:
        return [num_steps]
    count = num_evaluations - 1
    exponents = [i / max(count - 1, 1) for i in range(count)] if count > 1 else [1.0]
    return sorted({0, num_steps, *(round(math.exp(math.log(max(num_steps, 1)) * e)) for e in exponents)})


def recorded_name(measure: str, name: str) -> str:
    """The name of an array over steps: the letter of the steps comes before those of the other axes.

    >>> recorded_name("logit_lens", "loss_nats_L"), recorded_name("recall", "accuracy")
    ('logit_lens.loss_nats_SL', 'recall.accuracy_S')
    """
    axes = _AXES.search(name)
    return f"{measure}.{name[: axes.start()]}_S{axes[1]}" if axes else f"{measure}.{name}_S"


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout off and no gradients inside; the model is as it was afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def in_batches(windows_NT1: np.ndarray, model: nn.Module, batch_windows: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(tokens_BT, targets_BT) on the model's device, a few windows at a time."""
    device = next(model.parameters()).device
    for start in range(0, len(windows_NT1), batch_windows):
        part = torch.from_numpy(windows_NT1[start : start + batch_windows]).to(device)
        yield part[:, :-1].contiguous(), part[:, 1:].contiguous()


def windows_at_a_time(context_tokens: int, most_tokens: int = 2048) -> int:
    """How many windows hold about `most_tokens`: logits of 2,048 tokens and 2,048 ids are 17 MB."""
    return max(1, most_tokens // context_tokens)
