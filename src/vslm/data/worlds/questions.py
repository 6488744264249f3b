"""What is asked of a world, the facts that answer it, and what may not stand beside them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vslm.data.worlds.draws import Take
from vslm.data.worlds.facts import Fact, World, facts_of
from vslm.data.worlds.plans import Plan
from vslm.data.worlds.universe import QuestionType, Universe
from vslm.data.worlds.wording import Relation, frames_of
from vslm.data.worlds.words import NO, NUMBERS, UNKNOWN, VALUES, YES

_TRIES = 64


class Query(NamedTuple):
    """A question as its parts, for who answers it from facts.

    Args:
        kind: "lookup", "inverse", "earlier", "same", "is_true", "which_not" or "count".
        relations: one, or the chain of a lookup.
        entities: who is asked about.
        value: that is asked about.
        negated: of "is_true": whether it is asked if it is not so.
    """

    kind: str
    relations: tuple[Relation, ...]
    entities: tuple[str, ...] = ()
    value: str = ""
    negated: bool = False


@dataclass
class Asked:
    """A question with all that an example needs to know of it.

    Args:
        type: of the question.
        query: as parts.
        text: of the question.
        answer: by the facts of the context.
        gold: the facts that answer it.
        hops: facts that follow from one another.
        chance: of a guess by who reads the question alone.
        decoys: facts that stand beside them where there is room, so that no value is the only one of its kind.
        left_out: (subject, relation) that may not be in the context.
        taken: (relation, value) that nobody else in the context may have.
        memory: the answer by the fixed world; empty in fresh ones.
    """

    type: QuestionType
    query: Query
    text: str
    answer: str
    gold: list[Fact]
    chance: float
    hops: int = 1
    decoys: list[Fact] = field(default_factory=list)
    left_out: frozenset[tuple[str, str]] = frozenset()
    taken: frozenset[tuple[str, str]] = frozenset()
    memory: str = ""


class Asker:
    """Asks the questions of a split about worlds of a universe."""

    def __init__(self, universe: Universe, plan: Plan) -> None:
        self.universe, self.plan = universe, plan
        self._used = universe.used()
        self._with_clause = [relation for relation in self._used if relation.clause]
        self._with_same = [relation for relation in self._used if relation.same]
        self._year = next((relation for relation in self._used if relation.name == "birth_year"), None)
        self._chains = {hops: universe.compositions_of(hops, held_out=plan.held_out) for hops in (2, 3)}
        pool = universe.people if plan.world == "fixed" else len(universe.names(plan.pool))
        self._facts = [] if plan.some is None else facts_of(universe, plan.some)
        self._person_chance = 1 / max(1, pool - 1)
        # Of a question of this shape in this mix, how often nobody can know.
        num_unknown, num_known = plan.types.count("unknown"), plan.types.count("one_hop")
        self._unknown_chance = num_unknown / max(1, num_unknown + num_known)
        self._by_type: dict[QuestionType, Callable[[World, Take], Asked]] = {
            "one_hop": self._one_hop,
            "unknown": self._unknown,
            "inverse": self._inverse,
            "two_hop": lambda world, take: self._chain(world, take, 2),
            "three_hop": lambda world, take: self._chain(world, take, 3),
            "comparison": self._comparison,
            "negation": self._negation,
            "counting": self._counting,
        }

    def ask(self, kind: QuestionType, world: World, take: Take) -> Asked:
        """A question of this type about a world."""
        return self._by_type[kind](world, take)

    def about(self, fact: Fact, take: Take) -> tuple[str, str]:
        """A question for one fact, and its answer."""
        questions = fact.relation.questions_of(self.plan.wording)
        return questions[take() % len(questions)].replace("{s}", fact.subject), fact.value

    def chance_of(self, relation: Relation) -> float:
        """Of a guess among all values of a relation."""
        values = self.universe.values(relation)
        return 1 / len(values) if values else self._person_chance

    def subject(self, relation: Relation, world: World, take: Take) -> str:
        """Somebody or something that has this relation."""
        if relation.of == "person":
            return world.person()
        entities = _entities(self.universe, relation.of)
        return entities[take() % len(entities)]

    def _one_hop(self, world: World, take: Take) -> Asked:
        if self._facts:
            subject, relation, _ = self._facts[take() % len(self._facts)]
            if relation.of == "person":
                world.people.append(subject)
            return self._lookup(world, take, (relation,), "one_hop", subject)
        return self._lookup(world, take, (self._used[take() % len(self._used)],), "one_hop")

    def _chain(self, world: World, take: Take, hops: int) -> Asked:
        chains = self._chains[hops]
        return self._lookup(world, take, chains[take() % len(chains)], "two_hop" if hops == 2 else "three_hop")

    def _lookup(
        self, world: World, take: Take, chain: Sequence[Relation], kind: QuestionType, about: str | None = None
    ) -> Asked:
        subject = entity = about or self.subject(chain[0], world, take)
        gold: list[Fact] = []
        for relation in chain:
            gold.append(Fact(entity, relation, world.value(entity, relation)))
            entity = gold[-1].value
        memory = entity if self.plan.world == "fixed" else ""
        if self.plan.counter:
            last = gold[-1]
            gold[-1] = Fact(last.subject, last.relation, self._another(world, take, last))
            world.change(*gold[-1])
        named = subject
        for relation in chain[:-1]:
            phrases = relation.phrases_of(self.plan.wording)
            named = phrases[take() % len(phrases)].replace("{s}", named)
        questions = chain[-1].questions_of(self.plan.wording)
        asked = Asked(
            kind,
            Query("lookup", tuple(chain), (subject,)),
            questions[take() % len(questions)].replace("{s}", named),
            gold[-1].value,
            gold,
            self.chance_of(chain[-1]),
            hops=len(chain),
            decoys=self._beside(world, take, chain) if len(chain) > 1 and self.plan.open_book else [],
            memory=memory,
        )
        return self._without_gold(asked) if self.plan.missing else asked

    def _without_gold(self, asked: Asked) -> Asked:
        asked.left_out = frozenset((fact.subject, fact.relation.name) for fact in asked.gold)
        asked.gold, asked.answer, asked.chance = [], UNKNOWN, 0.0
        return asked

    def _unknown(self, world: World, take: Take) -> Asked:
        asked = self._without_gold(self._one_hop(world, take))
        asked.type, asked.chance = "unknown", self._unknown_chance
        return asked

    def _another(self, world: World, take: Take, fact: Fact) -> str:
        """A value that is not the one of this fact."""
        values = self.universe.values(fact.relation)
        if values:
            place = values.index(fact.value)
            return values[(place + 1 + take() % (len(values) - 1)) % len(values)]
        name = world.person()
        while name in (fact.value, fact.subject):
            name = world.person()
        return name

    def _beside(self, world: World, take: Take, chain: Sequence[Relation]) -> list[Fact]:
        """Somebody else's facts along the same chain, the last first."""
        entity, found = self.subject(chain[0], world, take), []
        for relation in chain:
            found.append(Fact(entity, relation, world.value(entity, relation)))
            entity = found[-1].value
        return found[::-1]

    def _inverse(self, world: World, take: Take) -> Asked:
        relation = self._with_clause[take() % len(self._with_clause)]
        person = world.person()
        value = world.value(person, relation)
        frames = frames_of("inverse", self.plan.wording)
        return Asked(
            "inverse",
            Query("inverse", (relation,), (), value),
            _framed(frames, take, c=relation.clause[0].replace("{v}", value)),  # type: ignore[misc]
            person,
            [Fact(person, relation, value)],
            self._person_chance,
            taken=frozenset({(relation.name, value)}),
            memory=person if self.plan.world == "fixed" else "",
        )

    def _comparison(self, world: World, take: Take) -> Asked:
        is_fixed = self.plan.world == "fixed"
        if self._year is not None and (is_fixed or not self._with_same or take() % 2):
            return self._earlier(world, take, self._year)
        relation = self._with_same[take() % len(self._with_same)]
        a, b = world.person(), world.person()
        value = world.value(a, relation)
        is_same = take() % 2 == 0
        other = value if is_same else self._another(world, take, Fact(a, relation, value))
        world.change(b, relation, other)
        frames = frames_of("is_true", self.plan.wording)
        return Asked(
            "comparison",
            Query("same", (relation,), (a, b)),
            _framed(frames, take, c=f"{a} and {b} {relation.same}"),
            YES if is_same else NO,
            [Fact(a, relation, value), Fact(b, relation, other)],
            1 / 2,
            hops=2,
        )

    def _earlier(self, world: World, take: Take, year: Relation) -> Asked:
        a, b = world.person(), world.person()
        first, second = world.value(a, year), world.value(b, year)
        for _ in range(_TRIES):
            if first != second and a != b:
                break
            b = world.person()
            second = world.value(b, year)
        answer = a if first < second else b
        frames = frames_of("earlier", self.plan.wording)
        return Asked(
            "comparison",
            Query("earlier", (year,), (a, b)),
            _framed(frames, take, a=a, b=b),
            answer,
            [Fact(a, year, first), Fact(b, year, second)],
            1 / 2,
            hops=2,
            memory=answer if self.plan.world == "fixed" else "",
        )

    def _negation(self, world: World, take: Take) -> Asked:
        relation = self._with_clause[take() % len(self._with_clause)]
        if self.plan.world == "fresh" and take() % 2:
            return self._which_not(world, take, relation)
        person = world.person()
        value = world.value(person, relation)
        is_so, negated = take() % 2 == 0, take() % 2 == 0
        shown = value if is_so else self._another(world, take, Fact(person, relation, value))
        clause = relation.clause[1 if negated else 0].replace("{v}", shown)  # type: ignore[misc]
        answer = YES if is_so != negated else NO
        return Asked(
            "negation",
            Query("is_true", (relation,), (person,), shown, negated),
            _framed(frames_of("is_true", self.plan.wording), take, c=f"{person} {clause}"),
            answer,
            [Fact(person, relation, value)],
            1 / 2,
            memory=answer if self.plan.world == "fixed" else "",
        )

    def _which_not(self, world: World, take: Take, relation: Relation) -> Asked:
        people = [world.person() for _ in range(3)]
        value = world.value(people[0], relation)
        odd = take() % 3
        other = self._another(world, take, Fact(people[0], relation, value))
        gold = [Fact(name, relation, other if place == odd else value) for place, name in enumerate(people)]
        for fact in gold:
            world.change(*fact)
        a, b, d = people
        clause = relation.clause[1].replace("{v}", value)  # type: ignore[misc]
        return Asked(
            "negation",
            Query("which_not", (relation,), tuple(people), value),
            _framed(frames_of("which_not", self.plan.wording), take, a=a, b=b, d=d, c=clause),
            people[odd],
            gold,
            1 / 3,
        )

    def _counting(self, world: World, take: Take) -> Asked:
        relation = self._with_clause[take() % len(self._with_clause)]
        number = take() % len(NUMBERS)
        values = self.universe.values(relation)
        value = values[take() % len(values)]
        gold = [Fact(world.person(), relation, value) for _ in range(number)]
        for fact in gold:
            world.change(*fact)
        clause = relation.clause[2].replace("{v}", value)  # type: ignore[misc]
        return Asked(
            "counting",
            Query("count", (relation,), (), value),
            _framed(frames_of("count", self.plan.wording), take, c=clause),
            NUMBERS[number],
            gold,
            1 / len(NUMBERS),
            taken=frozenset({(relation.name, value)}),
        )


def _entities(universe: Universe, of: str) -> tuple[str, ...]:

    return VALUES[of][: universe.num_values]


def _framed(frames: Sequence[str], take: Take, **parts: str) -> str:
    text = frames[take() % len(frames)]
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    return text
