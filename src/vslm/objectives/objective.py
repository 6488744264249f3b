"""What every objective is: a spec that builds a function from a batch and a step to what is lowered.

    Objective       a spec in `Experiment(objective=...)`
    build(...)      once, before the first step, with the model that is trained
    Lowers          (batch, step) -> Lowered(lowered, loss_nats_BT)

Not for: gradients, clipping, accumulation and the optimizer, which are the training loop's.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from torch import Tensor, nn

from vslm.core.specs import Spec
from vslm.data.batches import Batch
from vslm.data.corpus import Corpus
from vslm.data.sources.source import Source
from vslm.measure.declared import Number
from vslm.models.language_model import LanguageModel, Model
from vslm.objectives.arm import Arm


class Lowered(NamedTuple):
    """What a batch, or a part of one, gives.

    Args:
        lowered: a number with a gradient; of a part, its share of the whole batch's, as `Batch.mean` gives it, so that
            the numbers of all parts add up to it.
        loss_nats_BT: the loss of every target at the last stream, for the record.
    """

    lowered: Tensor
    loss_nats_BT: Tensor


Lowers = Callable[[Batch, int], Lowered]
"""(batch or a part of it, step from 0) -> what it gives."""


class Further(NamedTuple):
    """A further corpus that an objective reads.

    Args:
        corpus: with the ids of the run's own.
        batch: step -> as many rows of its training split as a step of the run has, on the run's device: a pure function
            of the data seed, with the order that the run's own batches have. So two corpora with as many rows, whose
            documents lie alike, give the same rows of each.
    """

    corpus: Corpus
    batch: Callable[[int], Batch]

    def beside(self, part: Batch, step: int) -> Batch:
        """Its rows that go with a batch of the run, or with a part of one."""
        return part.part_beside(self.batch(step))


@dataclass(frozen=True, kw_only=True)
class Passes:
    """How a run passes text through a model.

    Args:
        spec: what the model that is trained was built from.
        token_loss: (tokens_BT, targets_BT) -> loss_nats_BT of the model that is trained; evaluation uses the same one,
            so that it is compiled once.
        made: (function of tensors, the module it passes through) -> the same function in the run's precision, compiled
            if the run compiles.
        data_seed: what an objective may draw from, with `vslm.core.seeds.derive_seed` and the step, and from nothing
            else: then a run that was interrupted goes on with the same numbers, and arms of a seed draw the same ones.
        finished_model: a finished run, as a folder or as an arm of the study -> its model with its last weights, in
            evaluation mode and without gradients, on the run's device.
        start: the finished run that training starts from; None: it starts from new weights.
        encode: a text -> its ids, of the run's tokenizer; None: not known.
        separator: what stands before a document; None: nothing, or not known.
        further: what the objective names in `sources`, by the same names.
        note: takes one of the objective's `numbers` at this step; of a part of a batch, its share of it.
    """

    spec: Model
    token_loss: Callable[[Tensor, Tensor], Tensor]
    made: Callable[[Callable[..., Any], nn.Module], Callable[..., Any]]
    data_seed: int
    finished_model: Callable[[str | Arm], LanguageModel]
    start: str | Arm | None = None
    encode: Callable[[str], np.ndarray] | None = None
    separator: int | None = None
    further: Mapping[str, Further] = field(default_factory=dict)
    note: Callable[[str, Tensor], None] = lambda name, value: None


class Objective(Spec, ABC):
    """Interface: what training lowers."""

    @abstractmethod
    def build(self, model: LanguageModel, passes: Passes) -> Lowers:
        """The function that training calls at every step.

        Args:
            model: the module that is trained.
            passes: through which text is passed.
        """

    def check_fits(self, model: Model) -> None:
        """Raise SpecError where this objective means nothing for that model."""

    @property
    def reads_start(self) -> bool:
        """Whether it reads the run that training starts from, which then has to be one."""
        return False

    def numbers(self) -> Mapping[str, Number]:
        """What it notes of itself at every step (`Passes.note`), by name: a run records means over its steps."""
        return {}

    def sources(self) -> Mapping[str, Source]:
        """Further text that it reads, by the names of its fields. Each is prepared as the run's own text is, with the
        run's tokenizer, and what is in it is part of what names a run. `build` has them in `Passes.further`.
        """
        return {}

    def check_corpora(self, corpus: Corpus) -> None:
        """Raise an error in words where the further corpora (`corpus.further`) do not serve beside the run's own."""

    def runs(self) -> tuple[str | Arm, ...]:
        """The finished runs that it reads, by folder, or by the arm of the study. They are part of what names a run."""
        return ()

    def with_runs(self, at: Callable[[str], str]) -> Self:
        """The same objective with another folder in every field that holds one of `runs()`.

        Args:
            at: gives the folder in place of one.
        """
        read = {run for run in self.runs() if isinstance(run, str)}
        held = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}  # type: ignore[arg-type]
        changed = {name: at(run) for name, run in held.items() if isinstance(run, str) and run in read}
        inner = {name: one.with_runs(at) for name, one in held.items() if isinstance(one, Objective)}
        return dataclasses.replace(self, **changed, **inner)  # type: ignore[type-var]

    def files(self) -> tuple[Path, ...]:
        """Other files that it reads. What is in them is part of what names a run."""
        return ()

    def check_files(self) -> None:
        """Raise an error in words where these cannot be read, before any run."""
