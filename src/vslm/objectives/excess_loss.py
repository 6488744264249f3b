"""How much more a model loses than a finished one on the same batch: the gradient of the loss, with 0 as its target."""

from dataclasses import dataclass

import torch

from vslm.core.errors import SpecError
from vslm.data.batches import Batch
from vslm.measure.token_loss import loss_of_logits
from vslm.models.language_model import LanguageModel
from vslm.objectives.arm import Arm
from vslm.objectives.objective import Lowered, Lowers, Objective, Passes


@dataclass(frozen=True, kw_only=True)
class ExcessLoss(Objective):
    """The mean loss of the next token less that of a teacher on the same targets.

        lowered = mean_bt (-ln q(x_{t+1}) + ln p(x_{t+1}))         q: the model, p: the teacher

    The teacher's loss is a constant, so gradients are those of `NextToken`; what differs is the number. An optimizer
    that reads the loss then knows the target of every batch, which is 0:

        Experiment(objective=ExcessLoss(teacher="runs/X/ARM"),
                   optimizer=Tangent(learning_rate=1.0, target=KnownTarget(nats=0.0)))

    Paper: Analysis of an Idealized Stochastic Polyak Method and its Application to Black-Box Model Distillation, Gower
    et al., 2025, https://arxiv.org/abs/2504.01898 (SPS* and IAM, with the teacher's loss as the target).
    We differ: the target only; IAM's averaging is `Average()` or the optimizer's own.
    Cost: a forward pass of the teacher, which is not counted among the FLOPs: match="time" counts it.

    Args:
        teacher: a finished run with the same tokenizer: a folder, or Arm("NAME") of the same study.
    """

    teacher: str | Arm

    def build(self, model: LanguageModel, passes: Passes) -> Lowers:
        """Two passes: the teacher's without gradients, the model's with."""
        teacher = passes.finished_model(self.teacher)
        if teacher.context_tokens < model.context_tokens:
            found = f"{self.teacher} sees {teacher.context_tokens} tokens, the model {model.context_tokens}"
            raise SpecError("objective.teacher", found, "a teacher needs a context as long", "choose another one")
        taught = passes.made(lambda tokens_BT, targets_BT: loss_of_logits(teacher(tokens_BT), targets_BT), teacher)

        def lowers(batch: Batch, step: int) -> Lowered:
            del step
            with torch.no_grad():
                reached_BT = taught(batch.tokens_BT, batch.targets_BT)
            loss_nats_BT = passes.token_loss(batch.tokens_BT, batch.targets_BT)
            return Lowered(batch.mean(loss_nats_BT) - batch.mean(reached_BT), loss_nats_BT)

        return lowers

    def runs(self) -> tuple[str | Arm, ...]:
        """The teacher's."""
        return (self.teacher,)
