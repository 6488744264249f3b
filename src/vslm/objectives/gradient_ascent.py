"""Forgetting by making answers unlikely without end: the poor control."""

from dataclasses import dataclass

from torch import Tensor

from vslm.data.batches import Batch
from vslm.data.sources.source import Source
from vslm.models.language_model import LanguageModel
from vslm.objectives.forget import Forgetter, Lost
from vslm.objectives.objective import Further, Passes


@dataclass(frozen=True, kw_only=True)
class GradientAscent(Forgetter):
    """Minus the loss of the answers.

        F = - mean_bt -ln p(x_{t+1} | x_<=t)    over the targets that count

    It has no least value: the further it is lowered the more it outweighs the text beside it, which is why others were
    made. A run that it ruins, without a loss that is not finite, ends as any other and is judged; one whose loss is not
    finite has diverged, and the verdict says so.

    Paper: Knowledge Unlearning for Mitigating Privacy Risks in Language Models, Jang et al., 2022,
    https://arxiv.org/abs/2210.01504.
    """

    def build(self, model: LanguageModel, passes: Passes, forget: Further, source: Source) -> Lost:
        """One pass, with the loss that evaluation uses."""
        del model, forget, source

        def lost(batch: Batch) -> Tensor:
            return -batch.mean(passes.token_loss(batch.tokens_BT, batch.targets_BT))

        return lost
