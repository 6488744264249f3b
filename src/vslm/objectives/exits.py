"""The loss of a model that reads out more streams than its last one."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from vslm.core.errors import SpecError
from vslm.data.batches import Batch
from vslm.measure.token_loss import loss_of_logits
from vslm.models.language_model import LanguageModel, Model
from vslm.objectives.objective import Lowered, Lowers, Objective, Passes


@dataclass(frozen=True, kw_only=True)
class Exits(Objective):
    """Cross-entropy at the last stream, and at every further exit of the model.

        lowered = mean(loss of the last stream)
                + sum over exits of weight * mean_{t <= T - offset} loss of token t + offset

    Weights and offsets are the exits' own (`vslm.models.elements.exits.Exit`); means are over the targets that count.
    """

    def build(self, model: LanguageModel, passes: Passes) -> Lowers:
        """One pass, read out several times."""
        losses = passes.made(lambda tokens_BT, targets_BT: losses_of_exits(model, tokens_BT, targets_BT), model)

        def lowers(batch: Batch, step: int) -> Lowered:
            del step
            return _lowered(batch, *losses(batch.tokens_BT, batch.targets_BT))

        return lowers

    def check_fits(self, model: Model) -> None:
        """A model without exits has nothing more to lower."""
        if not model.num_exits:
            raise SpecError("objective", "Exits for a model without a further exit", "NextToken() is the same there")


class ExitLoss(NamedTuple):
    """The loss at an exit.

    Args:
        loss_nats_BT: of the targets that it has, [B, T - offset + 1].
        offset: how many tokens ahead it predicts.
        weight: of its mean.
    """

    loss_nats_BT: Tensor
    offset: int
    weight: float


def losses_of_exits(model: LanguageModel, tokens_BT: Tensor, targets_BT: Tensor) -> tuple[Tensor, tuple[ExitLoss, ...]]:
    """The loss of every target at the last stream, [B, T], and those at each exit that has a target.

    Shapes: tokens_BT and targets_BT of integers, targets one position ahead; losses in nats and fp32.
    """
    stream = model.last(tokens_BT)
    loss_nats_BT = loss_of_logits(model.logits(stream.x_BTD), targets_BT)
    others = []
    for at in stream.exits:
        further = at.offset - 1
        num_targets = targets_BT.shape[1] - further
        if num_targets > 0:
            logits_BTV = model.logits(at.x_BTD[:, :num_targets])
            others.append(ExitLoss(loss_of_logits(logits_BTV, targets_BT[:, further:]), at.offset, at.weight))
    return loss_nats_BT, tuple(others)


def loss_with_exits(model: LanguageModel, tokens_BT: Tensor, targets_BT: Tensor) -> Lowered:
    """What `Exits` lowers on a batch whose targets all count, eagerly."""
    return _lowered(Batch(tokens_BT, targets_BT), *losses_of_exits(model, tokens_BT, targets_BT))


def _lowered(batch: Batch, loss_nats_BT: Tensor, others: Iterable[ExitLoss]) -> Lowered:
    lowered = batch.mean(loss_nats_BT)
    for other in others:
        lowered = lowered + other.weight * batch.mean(other.loss_nats_BT, further=other.offset - 1)
    return Lowered(lowered, loss_nats_BT)
