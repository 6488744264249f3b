"""The loss of a model that reads out more streams than its last one."""

from torch import Tensor

from vslm.measure.token_loss import loss_of_logits
from vslm.models.language_model import LanguageModel


def loss_with_exits(model: LanguageModel, tokens_BT: Tensor, targets_BT: Tensor) -> tuple[Tensor, Tensor]:
    """What training lowers, and the loss of every token at the last stream.

        mean(loss of the last stream) + sum over exits of weight * mean_{t < T - offset + 1} loss of token t + offset

    Shapes: tokens_BT and targets_BT of integers, targets one position ahead; a number and loss_nats_BT in fp32.
    """
    stream = model.last(tokens_BT)
    loss_nats_BT = loss_of_logits(model.logits(stream.x_BTD), targets_BT)
    lowered = loss_nats_BT.mean()
    for at in stream.exits:
        further = at.offset - 1
        num_targets = targets_BT.shape[1] - further
        if num_targets > 0:
            logits_BTV = model.logits(at.x_BTD[:, :num_targets])
            lowered = lowered + at.weight * loss_of_logits(logits_BTV, targets_BT[:, further:]).mean()
    return lowered, loss_nats_BT
