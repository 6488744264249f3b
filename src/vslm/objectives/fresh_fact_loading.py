"""A model that learns to tell which fact answers a question, in worlds that are new at every step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from vslm.core.bounds import Real, Some
from vslm.core.errors import SpecError
from vslm.data.worlds.draws import Take, key_of, stream
from vslm.data.worlds.facts import Fact, FreshWorld, Names
from vslm.data.worlds.plans import Plan
from vslm.data.worlds.questions import Asker
from vslm.data.worlds.universe import QuestionType, Universe
from vslm.knowledge.hops import what_is_left
from vslm.knowledge.preloading import searched
from vslm.knowledge.world_store import sentence
from vslm.models.language_model import LanguageModel
from vslm.objectives.fact_loading import Drawn, check_pairs, lowered_beside
from vslm.objectives.objective import Lowers, Objective, Passes

_TYPES: tuple[QuestionType, ...] = ("one_hop", "two_hop")


class _Pair(NamedTuple):
    """What is searched with, the fact that it is to find, all that answer the question, and others beside it."""

    query: str
    own: Fact
    gold: list[Fact]
    others: list[Fact]


@dataclass(frozen=True, kw_only=True)
class FreshFactLoading(Objective):
    """As `FactLoading`, of questions and facts about people who were never there before and never come again.

        lowered = mean_bt -ln q(x_{t+1}) + weight * mean_i -ln( exp(s_ii / T) / sum_j exp(s_ij / T) )
        s_ij = cos(u_i, v_j),   u_i, v_j: mean over the tokens of question i, of fact j, of the last state of the path

    At each step `pairs` questions are made up, each about a world of its own with names of training, so that no fact
    can be learned by heart: what is learned is to find. Beside the facts of all of them stand, for each, the same
    relation of `same_relation` others and `same_subject` other relations of the same person or thing. Of a question of
    two hops either the first fact is to be found by the question, or the second one by what `Hops` searches with then:
    what the question still asks, with what the first fact said.

    Nothing is read from files. Afterwards the model finds with `OwnStates()`, or `Hops(by=OwnStates())`, in a store of
    any world of that universe (`LoadedAnswers`), and `States(run=...)` finds with it.

    Cost: pairs * (2 + same_relation + same_subject) texts through the model at each step, which are not counted among
    its FLOPs: match="time" counts them. A text longer than the context is cut off at its end.

    Args:
        universe: of the data.
        types: of questions: "one_hop", "two_hop"; what the universe has not is left out.
        weight: of the second term, above 0.
        temperature: T, above 0.
        pairs: questions at each step, 2 or more.
        same_relation: others of whom the same is said, for each.
        same_subject: other things that are said of whom is asked about, for each, as far as there are any.
    Raises: SpecError for numbers that cannot be meant, and where nothing of it can be asked.
    """

    universe: Universe
    types: tuple[QuestionType, ...] = ("one_hop",)
    weight: Real = 0.5
    temperature: Real = 0.05
    pairs: Some = 32
    same_relation: Some = 1
    same_subject: Some = 1

    def check(self) -> None:
        """Refuse numbers that cannot be meant."""
        check_pairs(self, "same_relation", "same_subject")
        for place, kind in enumerate(self.types):
            if kind not in _TYPES:
                raise SpecError(f"types.{place}", f"found {kind!r}", f"{' or '.join(_TYPES)} is found by its facts")
        if not self._plan.asked(self.universe):
            found = f"{', '.join(self.types) or 'no type'} about {', '.join(self.universe.relations)}"
            raise SpecError("types", found, "a question that can be asked is needed", "add relations, or types")

    @property
    def _plan(self) -> Plan:
        return Plan("train_fresh", "", pool="train", types=self.types, open_book=False)

    def build(self, model: LanguageModel, passes: Passes) -> Lowers:
        """A pass over the batch, and one over the texts of the pairs."""
        draw = _Draw(self)
        return lowered_beside(model, passes, draw, weight=self.weight, temperature=self.temperature)


class _Draw:
    """seed -> the texts of a step."""

    def __init__(self, spec: FreshFactLoading) -> None:
        self._spec, plan = spec, spec._plan
        self._asker, self._types = Asker(spec.universe, plan), plan.asked(spec.universe)
        self._names = Names.of(spec.universe, plan.pool)

    def __call__(self, seed: int) -> Drawn:
        take = stream(key_of("fresh fact loading", seed)).__next__
        pairs = [self._pair(take) for _ in range(self._spec.pairs)]
        facts = [pair.own for pair in pairs] + [fact for pair in pairs for fact in pair.others]
        # A name may come in two worlds; what is said of it there is then no wrong answer, whatever its value.
        said = [(fact.subject, fact.relation.name) for fact in facts]
        asked = [{(fact.subject, fact.relation.name) for fact in pair.gold} for pair in pairs]
        is_gold_IJ = torch.tensor([[one in gold for one in said] for gold in asked])
        is_gold_IJ[torch.arange(len(pairs)), torch.arange(len(pairs))] = False
        return [pair.query for pair in pairs] + [sentence(fact) for fact in facts], is_gold_IJ

    def _pair(self, take: Take) -> _Pair:
        world = FreshWorld(self._names, take)
        asked = self._asker.ask(self._types[take() % len(self._types)], world, take)
        hop = take() % len(asked.gold)
        query, own = searched(asked.text), asked.gold[hop]
        for before in asked.gold[:hop]:
            query = what_is_left(query, sentence(before))
        return _Pair(query, own, asked.gold, list(self._others(own, world, take)))

    def _others(self, own: Fact, world: FreshWorld, take: Take) -> Iterator[Fact]:
        relation = own.relation
        for _ in range(self._spec.same_relation):
            subject = self._asker.subject(relation, world, take)
            if subject == own.subject:  # of few cities one may come again
                continue
            yield Fact(subject, relation, world.value(subject, relation))
        beside = [one for one in self._spec.universe.used(relation.of) if one is not relation]
        for _ in range(min(self._spec.same_subject, len(beside))):
            other = beside.pop(take() % len(beside))
            yield Fact(own.subject, other, world.value(own.subject, other))
