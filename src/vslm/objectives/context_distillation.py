"""What a model predicts with a text in front of it, taught to the same model without."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.models.language_model import LanguageModel
from vslm.objectives.arm import Arm
from vslm.objectives.distillation import check_weighing, taught_by
from vslm.objectives.objective import Lowers, Objective, Passes


@dataclass(frozen=True, kw_only=True)
class ContextDistillation(Objective):
    """The predictions of a finished model that has a text in its context, taught to one that has not.

        lowered = (1 - weight) * mean_bt -ln q(x_{t+1}) + weight * temperature^2 * mean_bt sum_v p_v ln(p_v / q_v)

        p, q = softmax of logits divided by the temperature, of the teacher behind the text and of the student

    With an adapter the student is the frozen model itself, and what the text says moves into the adapter: windows of
    training are what is asked about it. Means are over the targets that count. What is recorded as the training loss
    is -ln q(x_{t+1}), as in any run.

    Paper: Learning by Distilling Context, Snell, Klein and Zhong, 2022, https://arxiv.org/abs/2209.15189; of trained
    keys and values Cartridges, Eyuboglu et al., 2025, https://arxiv.org/abs/2506.06266. We differ: what is continued is
    the text of the experiment, not conversations that the model makes up.
    Cost: a forward pass of the teacher over text and window, which is not counted among the student's FLOPs:
    match="time" counts it.

    Args:
        context: the text.
        teacher: a finished run with the same tokenizer, as in `Distillation`; None: the run that training starts from.
        temperature: above 0; higher ones ask for the unlikely tokens, too.
        weight: of the teacher, above 0 and at most 1.
    """

    context: str
    teacher: str | Arm | None = None
    temperature: Real = 1.0
    weight: Real = 1.0

    def check(self) -> None:
        """Refuse an empty text, a temperature of 0 or less, and weights outside (0, 1]."""
        if not self.context:
            raise SpecError("context", "an empty text", "one token or more is needed")
        check_weighing(self.temperature, self.weight)

    def build(self, model: LanguageModel, passes: Passes) -> Lowers:
        """Two passes: the teacher's over text and window, without gradients, and the student's."""
        run = self.teacher or passes.start
        if run is None:
            found, do = "no teacher, and no run to start from", "give teacher=..., or start_from"
            raise SpecError("objective.teacher", found, "a finished run is needed", do)
        assert passes.encode is not None  # a run has a tokenizer
        teacher = passes.finished_model(run)
        ids = passes.encode(self.context)
        needed = len(ids) + model.context_tokens
        if teacher.context_tokens < needed:
            found = f"{len(ids)} tokens of context and a window of {model.context_tokens}, where {run} sees "
            found += f"{teacher.context_tokens}"
            do = f"set model.context_tokens to {max(1, teacher.context_tokens - len(ids))} or less, or give less text"
            raise SpecError("objective.context", found, "the teacher reads both at once", do)
        ids_1C = torch.from_numpy(ids.astype("int64"))[None].to(next(teacher.parameters()).device)
        num_before = len(ids)

        def behind(tokens_BT: Tensor) -> Tensor:
            read = torch.cat((ids_1C.expand(len(tokens_BT), -1), tokens_BT), dim=1)
            return teacher(read)[:, num_before:]

        taught = passes.made(behind, teacher)
        return taught_by(taught, model, passes, temperature=self.temperature, weight=self.weight)

    @property
    def reads_start(self) -> bool:
        """Where no other teacher is named."""
        return self.teacher is None

    def runs(self) -> tuple[str | Arm, ...]:
        """The teacher's, if it is named."""
        return () if self.teacher is None else (self.teacher,)
