"""The mean loss of the next token."""

from dataclasses import dataclass

from vslm.data.batches import Batch
from vslm.models.language_model import LanguageModel
from vslm.objectives.objective import Lowered, Lowers, Objective, Passes


@dataclass(frozen=True, kw_only=True)
class NextToken(Objective):
    """Cross-entropy of the next token at the model's last stream, over the targets that count.

        lowered = sum_bt w_bt * -ln p(x_{b,t+1} | x_{b,<=t}) / sum_bt w_bt

    A model's further exits are not trained by it, and its loops have their declared number.
    """

    def build(self, model: LanguageModel, passes: Passes) -> Lowers:
        """One pass; the loss is the one that evaluation uses."""
        del model

        def lowers(batch: Batch, step: int) -> Lowered:
            del step
            loss_nats_BT = passes.token_loss(batch.tokens_BT, batch.targets_BT)
            return Lowered(batch.mean(loss_nats_BT), loss_nats_BT)

        return lowers
