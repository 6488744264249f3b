"""Forgetting by preferring any other answer to the one that the start run gives."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vslm.core.bounds import Real
from vslm.core.errors import SpecError
from vslm.data.batches import Batch
from vslm.data.sources.source import Source
from vslm.measure.token_loss import token_loss
from vslm.models.language_model import LanguageModel
from vslm.objectives.forget import Forgetter, Lost, start_of
from vslm.objectives.objective import Further, Passes


@dataclass(frozen=True, kw_only=True)
class NPO(Forgetter):
    """Negative preference optimization against the run that training starts from.

        F = - (2 / beta) mean over answers of ln sigmoid( beta * (nll(answer) - nll_start(answer)) )

    nll: minus ln of the probability of all tokens of an answer together. An answer is a stretch of targets that count,
    up to one that does not. Where nll is the start's, F is (2 / beta) ln 2, and its slope that of gradient ascent; as
    the answer becomes unlikely both go to 0, so it slows down where gradient ascent does not.

    Paper: Negative Preference Optimization, Zhang et al., 2024, https://arxiv.org/abs/2404.05868, equation 3.
    Cost: a pass of the start without gradients beside the model's own.

    Args:
        beta: above 0; towards 0 it is gradient ascent.
    """

    beta: Real = 0.1

    def check(self) -> None:
        """Refuse what divides by 0."""
        if self.beta <= 0:
            raise SpecError("beta", f"found {self.beta}", "a number above 0 is needed")

    @property
    def reads_start(self) -> bool:
        """It is compared with it."""
        return True

    def build(self, model: LanguageModel, passes: Passes, forget: Further, source: Source) -> Lost:
        """Two passes."""
        del model, forget, source
        start = start_of(passes, "objective.by")
        theirs = passes.made(lambda tokens_BT, targets_BT: token_loss(start, tokens_BT, targets_BT), start)

        def lost(batch: Batch) -> Tensor:
            nll_BT = passes.token_loss(batch.tokens_BT, batch.targets_BT)
            with torch.no_grad():
                reference_BT = theirs(batch.tokens_BT, batch.targets_BT)
            number_BT, num_answers = answers_of(batch)
            nll_A, reference_A = (_sums(one, number_BT, num_answers) for one in (nll_BT, reference_BT))
            _, num_of_whole = answers_of(batch.whole or batch)
            f_A = functional.softplus(-self.beta * (nll_A - reference_A))  # -ln sigmoid(x) = softplus(-x)
            return 2 / self.beta * f_A.sum() / max(1, num_of_whole)

        return lost


def answers_of(batch: Batch) -> tuple[Tensor, int]:
    """The number of the answer that each target is of, -1 for one that does not count, and how many there are.

    >>> targets = torch.zeros(2, 4, dtype=torch.long)
    >>> weights = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]])
    >>> number_BT, count = answers_of(Batch(targets, targets, weights))
    >>> number_BT.tolist(), count
    ([[-1, 0, 0, -1], [1, -1, -1, 2]], 3)
    """
    if batch.weight_BT is None:
        rows_B1 = torch.arange(len(batch), device=batch.targets_BT.device)[:, None]
        return rows_B1.expand_as(batch.targets_BT), len(batch)
    counts_BT = batch.weight_BT > 0
    begins_BT = counts_BT.clone()
    begins_BT[:, 1:] &= ~counts_BT[:, :-1]
    number_BT = begins_BT.flatten().cumsum(0).view_as(begins_BT) - 1
    return torch.where(counts_BT, number_BT, -1), int(begins_BT.sum())


def _sums(nll_BT: Tensor, number_BT: Tensor, num_answers: int) -> Tensor:
    counts_BT = number_BT >= 0
    return nll_BT.new_zeros(num_answers).index_add(0, number_BT[counts_BT], nll_BT[counts_BT])
