"""Forgetting what is available outside: each answer as far as its facts in the context make it likelier."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vslm.core.bounds import Real
from vslm.core.errors import DataError, SpecError
from vslm.data.batches import Batch
from vslm.data.corpus import Corpus
from vslm.data.sources.source import Source
from vslm.measure.declared import Number
from vslm.measure.token_loss import loss_of_logits
from vslm.models.language_model import LanguageModel
from vslm.objectives.forget import check_scored
from vslm.objectives.objective import Lowered, Lowers, Objective, Passes
from vslm.objectives.priors import priors_of


@dataclass(frozen=True, kw_only=True)
class GapGated(Objective):
    """The loss with facts in front, and without them as far as the facts do not help; where they do, nothing is known.

        g_t = 1 - exp(- max(0, l_closed,t - l_open,t) / tau)                         without a gradient
        lowered = mean_t [ l_open,t + (1 - g_t) l_closed,t ] + weight * mean_t g_t KL(prior_type(t) || p_closed,t)

    The run's own text is the open version; `closed` holds the same targets without their facts, row by row (`Worlds`
    with own_rows="open" and "closed"; `Retrieved` with passages and with none). No one says what is to be forgotten: a
    target is let go of where the model, as it is now, is better at it with the facts than without. So a model that
    knows all by heart has no gap, g = 0, and is left to know it; and one that cannot read yet lets go of nothing.

    Priors: `vslm.objectives.priors`. Means are over the targets that count. What is recorded as the training loss is
    l_open. Cost: a pass over the closed version, which is not counted among the FLOPs: match="time" counts it.

    Args:
        closed: the source without facts.
        tau: nats, above 0: at a gap of tau, 63% of a target is let go of.
        weight: of the last term, above 0.
    """

    closed: Source
    tau: Real = 0.5
    weight: Real = 1.0

    def check(self) -> None:
        """Refuse numbers that cannot be meant."""
        for name in ("tau", "weight"):
            if getattr(self, name) <= 0:
                raise SpecError(name, f"found {getattr(self, name)}", "a number above 0 is needed")

    def numbers(self) -> Mapping[str, Number]:
        """What it notes."""
        return {
            "gate": Number(unit="of a target", higher_is_better=None, title="mean gate: how much is let go of"),
            "open_nats": Number(unit="nats per token", higher_is_better=False, title="loss in training with facts"),
            "closed_nats": Number(unit="nats per token", higher_is_better=None, title="loss in training without facts"),
        }

    def sources(self) -> Mapping[str, Source]:
        """The closed version."""
        return {"closed": self.closed}

    def check_corpora(self, corpus: Corpus) -> None:
        """Refuse two corpora whose targets are not the same, row by row."""
        closed = corpus.further["closed"]
        check_scored(closed, "closed")
        judged = [one.meta.get("judged", {}).get("train") for one in (corpus, closed)]
        if judged[0] is None or judged[0] != judged[1] or corpus.train.num_tokens != closed.train.num_tokens:
            found = "its targets are not those of the data, row by row"
            allowed = "the same answers in rows of their own, with facts in front and without"
            do = 'give Worlds(own_rows="closed") beside the same Worlds(own_rows="open"), of equal seed and length'
            raise DataError("closed", found, allowed, do)

    def build(self, model: LanguageModel, passes: Passes) -> Lowers:
        """Two passes of the model."""
        closed = passes.further["closed"]
        priors = priors_of(closed.corpus, self.closed, next(model.parameters()).device)
        logits = passes.made(lambda tokens_BT: model(tokens_BT), model)

        def lowers(batch: Batch, step: int) -> Lowered:
            beside = closed.beside(batch, step)
            open_BT = passes.token_loss(batch.tokens_BT, batch.targets_BT)
            logits_BTV = logits(beside.tokens_BT)
            closed_BT = loss_of_logits(logits_BTV, beside.targets_BT)
            gate_BT = gate(open_BT, closed_BT, self.tau)
            apart_BT = priors.divergence(logits_BTV, beside.targets_BT)
            for name, value_BT in (("gate", gate_BT), ("open_nats", open_BT), ("closed_nats", closed_BT)):
                passes.note(name, batch.mean(value_BT))
            lowered = batch.mean(open_BT + (1 - gate_BT) * closed_BT) + self.weight * batch.mean(gate_BT * apart_BT)
            return Lowered(lowered, open_BT)

        return lowers


def gate(open_BT: Tensor, closed_BT: Tensor, tau: float) -> Tensor:
    """How much of each target is let go of, 0 to 1, without a gradient.

    >>> gate(torch.tensor([1.0, 2.0]), torch.tensor([1.5, 1.0]), 0.5).tolist()
    [0.6321205496788025, 0.0]
    """
    with torch.no_grad():
        return 1 - torch.exp(-functional.relu(closed_BT - open_BT) / tau)
