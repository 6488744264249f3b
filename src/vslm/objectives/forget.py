"""Forgetting some answers beside the run's own text: the objective, and what every way to forget is.

Forget(forget=..., by=MaxEntropy())       objective: the text's loss + weight * F + retain.weight * KL(start || model)
Forgetter                                 F, a value: max_entropy.py, npo.py, gradient_ascent.py
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vslm.core.bounds import Real
from vslm.core.errors import DataError, SpecError
from vslm.core.specs import Spec
from vslm.data.batches import Batch
from vslm.data.corpus import Corpus
from vslm.data.sources.source import Source
from vslm.measure.declared import Number
from vslm.models.language_model import LanguageModel
from vslm.objectives.distillation import divergence
from vslm.objectives.objective import Further, Lowered, Lowers, Objective, Passes

Lost = Callable[[Batch], Tensor]
"""A batch of what is to be forgotten, or a part of one -> F of it; of a part, its share of the whole batch's."""


class Forgetter(Spec, ABC):
    """Interface: what is lowered on the answers that are to be forgotten."""

    @abstractmethod
    def build(self, model: LanguageModel, passes: Passes, forget: Further, source: Source) -> Lost:
        """F as a function of a batch of `forget`.

        Args:
            model: that is trained.
            passes: its passes.
            forget: the corpus of what is to be forgotten.
            source: that it was prepared from.
        """

    @property
    def reads_start(self) -> bool:
        """Whether it reads the run that training starts from."""
        return False


@dataclass(frozen=True, kw_only=True)
class Retain(Spec):
    """What a model must go on saying as it did.

        weight * mean_bt KL(p_start || p)    over the targets that count

    Args:
        source: of the text.
        weight: above 0.
    """

    source: Source
    weight: Real = 1.0

    def check(self) -> None:
        """Refuse a weight that does nothing."""
        check_weight(self.weight)


@dataclass(frozen=True, kw_only=True)
class Forget(Objective):
    """The run's own text beside answers that are to be forgotten, and text that is to be kept.

        lowered = mean_bt -ln p(x_{t+1}) + weight * F(forget) + retain.weight * mean_bt KL(p_start || p)

    Mostly the run's text is what is to be read from now on, such as questions with facts in front that are new in every
    example, and `forget` are questions about facts that are known, with nothing in front. Start from a run that knows
    and reads: what it reads with has to be there already.

    At a step as many rows of `forget`, and of `retain`, are passed as the step has of its own text. Means are over the
    targets that count.

    Paper: TOFU, Maini et al., 2024, https://arxiv.org/abs/2401.06121, for the sum of such losses.
    Cost: a pass over each of them, and of the start without gradients, which are not counted among the model's FLOPs:
    match="time" counts them.

    Args:
        forget: a source that says what counts in it: the answers.
        by: how.
        weight: of F, above 0.
        retain: what is to be kept; None: the text alone keeps it.
    """

    forget: Source
    by: Forgetter
    weight: Real = 1.0
    retain: Retain | None = None

    def check(self) -> None:
        """Refuse a weight that does nothing."""
        check_weight(self.weight)

    @property
    def reads_start(self) -> bool:
        """For what is kept, and for ways to forget that do."""
        return self.retain is not None or self.by.reads_start

    def numbers(self) -> Mapping[str, Number]:
        """What it notes."""
        found = {
            "forget": Number(
                unit="nats", higher_is_better=None, title="F, what is lowered on the answers to be forgotten"
            ),
        }
        if self.retain is not None:
            title = "KL from the start on what is kept"
            found["retain"] = Number(unit="nats per token", higher_is_better=None, title=title)
        return found

    def sources(self) -> Mapping[str, Source]:
        """What is to be forgotten, and what is to be kept."""
        kept = {} if self.retain is None else {"retain.source": self.retain.source}
        return {"forget": self.forget, **kept}

    def check_corpora(self, corpus: Corpus) -> None:
        """Refuse text of which nobody said what is to be forgotten."""
        check_scored(corpus.further["forget"], "forget")

    def build(self, model: LanguageModel, passes: Passes) -> Lowers:
        """A pass over the text, one over what is forgotten, and two over what is kept."""
        forget = passes.further["forget"]
        lost = self.by.build(model, passes, forget, self.forget)
        kept = None if self.retain is None else _kept(model, passes, passes.further["retain.source"])

        def lowers(batch: Batch, step: int) -> Lowered:
            loss_nats_BT = passes.token_loss(batch.tokens_BT, batch.targets_BT)
            f = lost(forget.beside(batch, step))
            passes.note("forget", f)
            lowered = batch.mean(loss_nats_BT) + self.weight * f
            if kept is not None and self.retain is not None:
                apart = kept(batch, step)
                passes.note("retain", apart)
                lowered = lowered + self.retain.weight * apart
            return Lowered(lowered, loss_nats_BT)

        return lowers


def start_of(passes: Passes, where: str) -> LanguageModel:
    """The model of the run that training starts from, frozen.

    Raises: SpecError where training starts from new weights.
    """
    if passes.start is None:
        found = "no run to start from"
        raise SpecError(where, found, "a finished run is needed: the model is compared with it", "give start_from")
    return passes.finished_model(passes.start)


def check_weight(weight: float) -> None:
    """Refuse a weight that is not above 0."""
    if weight <= 0:
        raise SpecError("weight", f"found {weight}", "a number above 0 is needed")


def check_scored(further: Corpus, name: str) -> None:
    """Refuse a corpus in which all counts.

    Raises: DataError naming it.
    """
    if not further.has_weights:
        found = f"in {further.meta['description']} every token counts"
        do = 'give a source that says what counts, such as Worlds(counts="answer")'
        raise DataError(name, found, "what is to be forgotten are answers, not the words of a question", do)


def _kept(model: LanguageModel, passes: Passes, retain: Further) -> Callable[[Batch, int], Tensor]:
    start = start_of(passes, "objective.retain")
    theirs = passes.made(lambda tokens_BT: start(tokens_BT), start)
    own = passes.made(lambda tokens_BT: model(tokens_BT), model)

    def kept(batch: Batch, step: int) -> Tensor:
        beside = retain.beside(batch, step)
        with torch.no_grad():
            theirs_BTV = theirs(beside.tokens_BT)
        return beside.mean(divergence(theirs_BTV, own(beside.tokens_BT), 1.0))

    return kept
