"""A model that learns, beside the next token, to tell from its own states which fact of a store answers a question."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vslm.core.bounds import Real, Some
from vslm.core.errors import DataError, SpecError
from vslm.core.seeds import derive_seed
from vslm.data.batches import Batch
from vslm.knowledge.recall import facts_by_number, read_questions
from vslm.knowledge.states import filled_rows
from vslm.knowledge.store import Store, open_store
from vslm.models.language_model import LanguageModel
from vslm.objectives.objective import Lowered, Lowers, Objective, Passes

_ROW_TOKENS = 16  # rows are as long as the longest text, rounded up to this: few shapes, few compiled graphs
_FEWEST_PAIRS = 2


Drawn = tuple[list[str], Tensor]
"""Texts of I questions, then of J facts, of which the first I are the questions' own; and [I, J], the facts that are no
wrong answer to a question without being its own."""


class _Pair(NamedTuple):
    question: str
    gold: tuple[int, ...]


class Pairs(NamedTuple):
    """Questions with their facts, in a store.

    Args:
        store: of the facts.
        pairs: each question, and the numbers of the facts that answer it.
        by_relation: numbers of facts by their relation.
        relation: of each fact, by number.
    """

    store: Store
    pairs: list[_Pair]
    by_relation: dict[str, list[int]]
    relation: dict[int, str]


@dataclass(frozen=True, kw_only=True)
class FactLoading(Objective):
    """The loss of the next token, and of telling which fact answers a question among the facts of others.

        lowered = mean_bt -ln q(x_{t+1}) + weight * mean_i -ln( exp(s_ii / T) / sum_j exp(s_ij / T) )
        s_ij = cos(u_i, v_j),   u_i, v_j: mean over the tokens of question i, of fact j, of the last state of the path

    At each step `pairs` questions are drawn, and for each one of its facts. j goes over the facts of all of them, and
    for each over `same_relation` others of its relation, which differ from it in subject and value alone. A fact that
    also answers question i is not counted as wrong. What is drawn depends on the data seed and the step.

    Afterwards `States(run=...)` of that run finds facts by the same states, in `vslm store recall`, in `vslm sample
    --retriever states`, and in `Retrieved`; it subtracts the mean of the store first, which this loss drives to 0.

    Paper: Representation Learning with Contrastive Predictive Coding, van den Oord et al., 2018,
    https://arxiv.org/abs/1807.03748, equation 4, with the temperature and the cosine of later ones.
    Cost: pairs * (2 + same_relation) texts through the model at each step, which are not counted among its FLOPs:
    match="time" counts them. A text longer than the context is cut off at its end.

    Args:
        store: folder of a store of facts.
        questions: JSON lines with `question`, `facts` and `gold`, as `vslm worlds write` makes them; those whose facts
            are not in the store are left out.
        weight: of the second term, above 0.
        temperature: T, above 0.
        pairs: questions at each step, 2 or more.
        same_relation: other facts of the same relation for each.
    """

    store: str
    questions: str
    weight: Real = 0.5
    temperature: Real = 0.05
    pairs: Some = 32
    same_relation: Some = 1

    def check(self) -> None:
        """Refuse numbers that cannot be meant."""
        check_pairs(self, "same_relation")

    def files(self) -> tuple[Path, ...]:
        """The questions, and what names the store."""
        return Path(self.questions), Path(self.store) / "manifest.json"

    def check_files(self) -> None:
        """Read both. Raises: SpecError or DataError for what is not there, or does not fit together."""
        self.read()

    def read(self) -> Pairs:
        """The questions whose facts are in the store.

        Raises: as `open_store` and `read_questions`; DataError where no question is left.
        """
        store = open_store(Path(self.store))
        numbers = facts_by_number(store)
        pairs = [
            _Pair(asked.question, tuple(numbers[fact] for fact in asked.gold))
            for asked in read_questions(Path(self.questions))
            if asked.gold and all(fact in numbers for fact in asked.gold)
        ]
        if not pairs:
            found = f"no question has its facts in {self.store}"
            raise DataError(self.questions, found, "questions about the facts of the store are needed")
        by_relation: dict[str, list[int]] = {}
        for fact, number in numbers.items():
            by_relation.setdefault(fact.relation, []).append(number)
        return Pairs(store, pairs, by_relation, {number: fact.relation for fact, number in numbers.items()})

    def build(self, model: LanguageModel, passes: Passes) -> Lowers:
        """A pass over the batch, and one over the texts of the pairs."""
        read = self.read()
        return lowered_beside(
            model, passes, lambda seed: self._drawn(read, seed), weight=self.weight, temperature=self.temperature
        )

    def _drawn(self, read: Pairs, seed: int) -> Drawn:
        """Texts of a step: questions, their facts, then others; and which of the facts j also answer question i."""
        draw = iter(np.random.Philox(key=seed).random_raw(self.pairs * (2 + self.same_relation)).tolist())
        asked = [read.pairs[next(draw) % len(read.pairs)] for _ in range(self.pairs)]
        facts = [pair.gold[next(draw) % len(pair.gold)] for pair in asked]
        for gold in [*facts]:
            others = read.by_relation[read.relation[gold]]
            facts += [others[next(draw) % len(others)] for _ in range(self.same_relation)]
        is_gold_IJ = torch.tensor([[number in pair.gold for number in facts] for pair in asked])
        is_gold_IJ[torch.arange(self.pairs), torch.arange(self.pairs)] = False
        texts = [pair.question for pair in asked] + [read.store.passages[number].text for number in facts]
        return texts, is_gold_IJ


def lowered_beside(
    model: LanguageModel, passes: Passes, drawn: Callable[[int], Drawn], *, weight: float, temperature: float
) -> Lowers:
    """The next token's loss, and `told_apart` of texts that are drawn at each step.

    Args:
        model: that is trained.
        passes: through which text is passed.
        drawn: seed -> the texts of a step.
        weight: of the second term.
        temperature: of it.
    """
    assert passes.encode is not None  # a run has a tokenizer
    encode, separator, context_tokens = passes.encode, passes.separator, model.context_tokens
    begin = [] if separator is None else [separator]
    device = next(model.parameters()).device

    def means(tokens_NT: Tensor, own_NT: Tensor) -> Tensor:
        sums_ND = torch.einsum("ntd,nt->nd", model.last(tokens_NT).x_BTD.float(), own_NT)
        return functional.normalize(sums_ND, dim=-1)  # of the mean and of the sum the same

    made = passes.made(means, model)

    def lowers(batch: Batch, step: int) -> Lowered:
        loss_nats_BT = passes.token_loss(batch.tokens_BT, batch.targets_BT)
        texts, is_other_gold_IJ = drawn(derive_seed("fact loading", passes.data_seed, step))
        ids = [encode(text) for text in texts]
        tokens_NT, own_NT = filled_rows(ids, begin, _row_tokens(ids, begin, context_tokens))
        states_ND = made(tokens_NT.to(device), own_NT.to(device))
        share = len(batch) / len(batch.whole or batch)  # of a batch that is passed in parts
        told = told_apart(states_ND, is_other_gold_IJ.to(device), temperature)
        return Lowered(batch.mean(loss_nats_BT) + weight * share * told, loss_nats_BT)

    return lowers


def check_pairs(objective: Any, *others: str) -> None:
    """Refuse numbers of pairs that cannot be meant.

    Args:
        objective: with `weight`, `temperature` and `pairs`.
        others: names of its fields that say how many other facts stand beside each.
    Raises: SpecError at the field.
    """
    for name in ("weight", "temperature"):
        if getattr(objective, name) <= 0:
            raise SpecError(name, f"found {getattr(objective, name)}", "a number above 0 is needed")
    if objective.pairs < _FEWEST_PAIRS:
        raise SpecError("pairs", f"found {objective.pairs}", f"{_FEWEST_PAIRS} or more are needed: facts of others")
    for name in others:
        if getattr(objective, name) < 0:
            raise SpecError(name, f"found {getattr(objective, name)}", "0 or more is needed")


def told_apart(states_ND: Tensor, is_other_gold_IJ: Tensor, temperature: float) -> Tensor:
    """Mean over I questions of the cross-entropy of fact i among J facts, in nats.

    Args:
        states_ND: unit vectors of I questions, then of J facts, of which the first I are the questions' own.
        is_other_gold_IJ: facts that are no wrong answer to question i, but not its own; they are left out.
        temperature: what cosines are divided by.
    """
    num_questions = len(is_other_gold_IJ)
    scores_IJ = states_ND[:num_questions] @ states_ND[num_questions:].T / temperature
    scores_IJ = scores_IJ.masked_fill(is_other_gold_IJ, -torch.inf)
    return functional.cross_entropy(scores_IJ, torch.arange(num_questions, device=states_ND.device))


def _row_tokens(ids: Sequence[np.ndarray], begin: list[int], context_tokens: int) -> int:
    longest = max(map(len, ids)) + len(begin)
    return min(context_tokens, -(-longest // _ROW_TOKENS) * _ROW_TOKENS)
