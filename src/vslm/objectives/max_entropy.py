"""Forgetting by answering as who knows the type of an answer and nothing else."""

from dataclasses import dataclass

from torch import Tensor

from vslm.data.batches import Batch
from vslm.data.sources.source import Source
from vslm.models.language_model import LanguageModel
from vslm.objectives.forget import Forgetter, Lost
from vslm.objectives.objective import Further, Passes
from vslm.objectives.priors import priors_of


@dataclass(frozen=True, kw_only=True)
class MaxEntropy(Forgetter):
    """The distance to the prior of the answer's type.

        F = mean_bt KL(prior_type(t) || p(. | x_<=t))    over the targets that count

    It has a least value, 0, at which a question is answered by how often each city, each job is an answer; so it ends
    where nothing is known, and pushes no further. Priors: `vslm.objectives.priors`.

    Paper: maximizing entropy for untargeted forgetting, A Closer Look at Machine Unlearning for Large Language Models,
    Yuan et al., 2024, https://arxiv.org/abs/2410.08109. We differ: to the prior of the type, not to an even
    distribution over all tokens, so that an answer keeps its form.
    """

    def build(self, model: LanguageModel, passes: Passes, forget: Further, source: Source) -> Lost:
        """One pass."""
        priors = priors_of(forget.corpus, source, next(model.parameters()).device)
        logits = passes.made(lambda tokens_BT: model(tokens_BT), model)

        def lost(batch: Batch) -> Tensor:
            return batch.mean(priors.divergence(logits(batch.tokens_BT), batch.targets_BT))

        return lost
