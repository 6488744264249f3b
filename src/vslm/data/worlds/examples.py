"""An example: facts as text, a question, its answer, and where everything stands in the text.

    <ctx> ada lund lives in x. ada lund works at y. <q> where does ada lund live? <a> x.

An empty context is `<ctx> <q> ...`. The text, its facts and all else are a function of the universe, the plan of the
split, the number of the example and its seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vslm.data.worlds.contexts import Span, in_order, written
from vslm.data.worlds.draws import Take, key_of, rows, shuffled, stream
from vslm.data.worlds.facts import Fact, FixedView, FreshWorld, Names, World, fixed_world
from vslm.data.worlds.plans import Level, Plan
from vslm.data.worlds.questions import Asked, Asker
from vslm.data.worlds.universe import QuestionType, Universe
from vslm.data.worlds.wording import Relation

CTX, QUESTION, ANSWER = "<ctx>", "<q>", "<a>"
_AT_A_TIME = 512  # examples whose numbers are drawn together
_NUMBERS_AROUND, _NUMBERS_PER_FACT = 24, 9  # that an example mostly needs; more are drawn one by one
_TRIES_PER_FACT = 8
_LEAST_TO_COUNT = 8  # facts of a context in which up to five people are counted
_OTHER_KINDS = 4  # of so many facts beside, one is about a city or a company that somebody has
Candidate = tuple[str, Relation]


@dataclass(slots=True)
class Example:
    """What is written down of one example.

    Args:
        text: all of it.
        facts: of the context in its order; of an empty one those that would answer.
        context_span: of the sentences; empty where there are none.
        value_spans: of each fact's value in the context; none where it is empty.
        question, answer: the first, or only, question.
        answer_span: of the answer, its full stop not included.
        type, hops, chance: of the question; see `Asked`.
        gold: numbers of the facts that answer it.
        memory: the answer by the fixed world, whatever the context says; empty in fresh worlds.
        distractors: level of what else is in the context.
        gold_quintile: in which fifth of the context the first of the gold facts stands; -1 where there is none.
        world_seed: of the world; of the fixed one its universe's.
        draw_seed: of all else.
        asked: the question, with its parts.
        more: further questions about the same context: question, answer, and the answer's span.
    """

    text: str
    facts: list[Fact]
    context_span: Span
    value_spans: list[Span]
    question: str
    answer: str
    answer_span: Span
    type: QuestionType
    hops: int
    chance: float
    gold: list[int]
    memory: str
    distractors: Level
    gold_quintile: int
    world_seed: int
    draw_seed: int
    asked: Asked
    more: list[tuple[str, str, Span]] = field(default_factory=list)

    @property
    def answer_spans(self) -> list[Span]:
        """Of all questions, in the order of the text."""
        return [self.answer_span, *(span for _, _, span in self.more)]


class Examples:
    """Makes the examples of one split."""

    def __init__(self, universe: Universe, plan: Plan) -> None:
        self.universe, self.plan = universe, plan
        self._asker = Asker(universe, plan)
        self._types = plan.asked(universe)
        self._person = universe.used("person")
        self._about = {of: universe.used(of) for of in ("city", "company")}
        self._fixed, self._names = fixed_world(universe), Names.of(universe, plan.pool)
        self._purpose = f"{plan.world} {plan.pool}"

    @property
    def types(self) -> tuple[QuestionType, ...]:
        """What can be asked; nothing where the universe has no such question."""
        return self._types

    def many(self, first_seed: int, count: int, first_number: int = 0) -> Iterator[Example]:
        """So many, with seeds from `first_seed` on; `first_number` is that of the first one in its split."""
        return self.each(range(first_seed, first_seed + count), first_number)

    def each(self, seeds: Sequence[int], first_number: int = 0) -> Iterator[Example]:
        """One for each seed, in their order."""
        mean_size = sum(self.plan.sizes) / len(self.plan.sizes) if self.plan.open_book else 1
        count = _NUMBERS_AROUND + int(_NUMBERS_PER_FACT * mean_size)
        for start in range(0, len(seeds), _AT_A_TIME):
            some = seeds[start : start + _AT_A_TIME]
            keys = [key_of(self._purpose, seed) for seed in some]
            drawn = rows(keys, 0, count)
            for place, (seed, key, known) in enumerate(zip(some, keys, drawn, strict=True), first_number + start):
                yield self._made(seed, place, stream(key, known).__next__)

    def _made(self, seed: int, number: int, take: Take) -> Example:
        plan, types = self.plan, self._types
        if plan.in_turn:
            kind, number = types[number % len(types)], number // len(types)
            level, number = plan.levels[number % len(plan.levels)], number // len(plan.levels)
            size = plan.sizes[number % len(plan.sizes)]
        else:
            kind = types[take() % len(types)]
            level, size = plan.levels[take() % len(plan.levels)], plan.sizes[take() % len(plan.sizes)]
        world: World
        if plan.world == "fixed":
            world = FixedView(self._fixed, take, zipf=plan.zipf)
        else:
            world = FreshWorld(self._names, take, anonymous=plan.anonymous)
        asked = self._asker.ask(kind, world, take)
        facts, spans, text = asked.gold, [], CTX
        if plan.open_book:
            facts = self._filled(asked, world, level, max(size, _LEAST_TO_COUNT if kind == "counting" else 0), take)
            facts = in_order(facts, take, plan.diversity, self.universe.relations)
            context, spans = written(facts, take, wording=plan.wording, diversity=plan.diversity, offset=len(CTX) + 1)
            text = f"{CTX} {context}"
        return self._finished(asked, world, take, text, facts, spans, level, seed)

    def _finished(
        self,
        asked: Asked,
        world: World,
        take: Take,
        text: str,
        facts: list[Fact],
        spans: list[Span],
        level: Level,
        seed: int,
    ) -> Example:
        context_span = (min(len(CTX) + 1, len(text)), len(text)) if spans else (len(CTX), len(CTX))
        gold = [facts.index(fact) for fact in asked.gold] if spans else list(range(len(facts)))
        text, answer_span = _with_question(text, asked.text, asked.answer)
        more = []
        for question, answer in self._further(asked, world, facts, gold, take):
            text, span = _with_question(text, question, answer)
            more.append((question, answer, span))
        return Example(
            text,
            facts,
            context_span,
            spans,
            asked.text,
            asked.answer,
            answer_span,
            asked.type,
            asked.hops,
            asked.chance,
            gold,
            asked.memory,
            level,
            5 * min(gold) // len(facts) if gold and spans else -1,
            self.universe.seed if self.plan.world == "fixed" else seed,
            seed,
            asked,
            more,
        )

    def _further(
        self, asked: Asked, world: World, facts: list[Fact], gold: list[int], take: Take
    ) -> Iterator[tuple[str, str]]:
        """More questions: about other facts of the context, each at most once; of an empty one, as the first was."""
        if not self.plan.open_book:
            for _ in range(self.plan.questions - 1):
                one = self._asker.ask(self._types[take() % len(self._types)], world, take)
                yield one.text, one.answer
            return
        if self.plan.questions > 1:
            some = self.plan.some
            others = [
                place
                for place, fact in enumerate(facts)
                if place not in gold and (some is None or some.holds(fact.subject, fact.relation.name))
            ]
            for place in shuffled(others, take)[: self.plan.questions - 1]:
                yield self._asker.about(facts[place], take)

    def _filled(self, asked: Asked, world: World, level: Level, size: int, take: Take) -> list[Fact]:
        """The gold facts, those beside them, and others up to `size`."""
        facts = list(asked.gold)
        used = {(fact.subject, fact.relation.name) for fact in facts} | asked.left_out
        for subject, relation, value in asked.decoys:
            key = (subject, relation.name)
            if len(facts) < size and key not in used and (relation.name, value) not in asked.taken:
                facts.append(Fact(subject, relation, value))
                used.add(key)
        tries = 0
        while len(facts) < size and tries < _TRIES_PER_FACT * size:
            tries += 1
            subject, relation = self._candidate(asked, facts, world, level if tries <= 2 * size else "random", take)
            key = (subject, relation.name)
            if key in used:
                continue
            value = world.value(subject, relation)
            if (relation.name, value) in asked.taken:
                continue
            used.add(key)
            facts.append(Fact(subject, relation, value))
        return facts

    def _candidate(self, asked: Asked, facts: list[Fact], world: World, level: Level, take: Take) -> Candidate:
        relations = asked.query.relations
        if level == "relation" or (level == "name" and relations[0].of != "person"):
            relation = relations[take() % len(relations)]
            return self._asker.subject(relation, world, take), relation
        if level == "name":
            entities = asked.query.entities or (asked.answer,)
            near = world.near(entities[take() % len(entities)]) if asked.query.kind != "count" else None
            if near is not None:
                return near, relations[0]
        if level == "entity" and facts:
            subject, relation, _ = facts[take() % max(1, len(asked.gold))]
            others = self._person if relation.of == "person" else self._about[relation.of]
            return subject, others[take() % len(others)]
        return self._anything(facts, world, take)

    def _anything(self, facts: list[Fact], world: World, take: Take) -> Candidate:
        """Any relation of somebody, known or new, or of a city or company that stands in a fact."""
        if facts and take() % _OTHER_KINDS == 0:
            _, relation, value = facts[take() % len(facts)]
            if others := self._about.get(relation.kind):
                return value, others[take() % len(others)]
        people = world.people
        person = people[take() % len(people)] if people and take() % 2 else world.person()
        return person, self._person[take() % len(self._person)]


def _with_question(text: str, question: str, answer: str) -> tuple[str, Span]:
    text = f"{text} {QUESTION} {question} {ANSWER} "
    return f"{text}{answer}.", (len(text), len(text) + len(answer))
