"""The predictions of a finished run, taught to another model."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.data.batches import Batch
from vslm.measure.token_loss import loss_of_logits
from vslm.models.language_model import LanguageModel
from vslm.objectives.arm import Arm
from vslm.objectives.objective import Lowered, Lowers, Objective, Passes


@dataclass(frozen=True, kw_only=True)
class Distillation(Objective):
    """Cross-entropy with the text and with a teacher's predictions.

        lowered = (1 - weight) * mean_bt -ln q(x_{t+1})
                + weight * temperature^2 * mean_bt sum_v p_v ln(p_v / q_v)

        p, q = softmax of the teacher's and of the student's logits divided by the temperature; q(x) without it

    The factor temperature^2 keeps the gradient of the second term as large as it is at 1. Means are over the targets
    that count. What is recorded as the training loss is -ln q(x_{t+1}), as in any run.

    Paper: Distilling the Knowledge in a Neural Network, Hinton, Vinyals and Dean, 2015,
    https://arxiv.org/abs/1503.02531, section 2.
    Cost: a forward pass of the teacher, which is not counted among the student's FLOPs: match="time" counts it.

    Args:
        teacher: a finished run with the same tokenizer: a folder (runs/NAME/ARM/seed0, or runs/NAME/ARM for the run of
            the same seed there), or Arm("NAME") of the same study.
        temperature: above 0; higher ones ask for the unlikely tokens, too.
        weight: of the teacher, above 0 and at most 1.
    """

    teacher: str | Arm
    temperature: Real = 2.0
    weight: Real = 0.5

    def check(self) -> None:
        """Refuse a temperature of 0 or less, and weights outside (0, 1]."""
        check_weighing(self.temperature, self.weight)

    def build(self, model: LanguageModel, passes: Passes) -> Lowers:
        """Two passes: the teacher's without gradients, the student's with."""
        teacher = passes.finished_model(self.teacher)
        if teacher.context_tokens < model.context_tokens:
            found = f"{self.teacher} sees {teacher.context_tokens} tokens, the student {model.context_tokens}"
            raise SpecError("objective.teacher", found, "a teacher needs a context as long", "choose another one")
        taught = passes.made(lambda tokens_BT: teacher(tokens_BT), teacher)
        return taught_by(taught, model, passes, temperature=self.temperature, weight=self.weight)

    def runs(self) -> tuple[str | Arm, ...]:
        """The teacher's."""
        return (self.teacher,)


def check_weighing(temperature: float, weight: float) -> None:
    """Refuse a temperature of 0 or less, and a weight of the teacher outside (0, 1].

    Raises: SpecError at the field.
    """
    if temperature <= 0:
        raise SpecError("temperature", f"found {temperature}", "a number above 0 is needed")
    if not 0 < weight <= 1:
        raise SpecError("weight", f"found {weight}", "a number above 0 and at most 1 is needed")


def taught_by(
    taught: Callable[[Tensor], Tensor], model: LanguageModel, passes: Passes, *, temperature: float, weight: float
) -> Lowers:
    """What lowers the loss of the text, and the distance to what a teacher makes of it; see `Distillation`.

    Args:
        taught: tokens_BT -> the teacher's logits_BTV; called without gradients.
        model: the student.
        passes: its passes.
        temperature, weight: of the teacher.
    """

    def losses(tokens_BT: Tensor, targets_BT: Tensor, taught_BTV: Tensor) -> tuple[Tensor, Tensor]:
        logits_BTV = model(tokens_BT)
        return loss_of_logits(logits_BTV, targets_BT), divergence(taught_BTV, logits_BTV, temperature)

    student = passes.made(losses, model)

    def lowers(batch: Batch, step: int) -> Lowered:
        del step
        with torch.no_grad():
            taught_BTV = taught(batch.tokens_BT)
        loss_nats_BT, divergence_BT = student(batch.tokens_BT, batch.targets_BT, taught_BTV)
        lowered = (1 - weight) * batch.mean(loss_nats_BT)
        lowered = lowered + weight * temperature**2 * batch.mean(divergence_BT)
        return Lowered(lowered, loss_nats_BT)

    return lowers


def divergence(teacher_BTV: Tensor, student_BTV: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) of every prediction, in nats and fp32, [B, T]; logits in."""
    log_p_BTV, log_q_BTV = (
        functional.log_softmax(logits_BTV.float() / temperature, dim=-1) for logits_BTV in (teacher_BTV, student_BTV)
    )
    return (log_p_BTV.exp() * (log_p_BTV - log_q_BTV)).sum(dim=-1)
