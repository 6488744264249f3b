"""One world: who is in it, and the value of every relation of everybody.

    FixedWorld    the same for everyone, from the universe's seed
    FreshWorld    made up while an example is: a value is drawn when it is first asked for

Both answer the same questions; what an example changes in the fixed world (a value that is counter to it) stays in the
example.
"""

import functools
from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple

from vslm.core.errors import SpecError
from vslm.data.worlds.draws import Take, key_of, rows
from vslm.data.worlds.universe import SomeFacts, Universe
from vslm.data.worlds.wording import Relation
from vslm.data.worlds.words import VALUES, Pool

_ZIPF_SCALE = 2**40  # of the weight of the first person; whole numbers, so that no rounding decides who is drawn
_TRIES = 64
_MARKERS = tuple(f"e{number}" for number in range(1, 257))  # in place of names; of any number, which must tell nothing
_REUSED = 2  # of so many friends in a fresh world one is somebody who is there already


class Fact(NamedTuple):
    """What is said of something.

    Args:
        subject: a person, a city or a company.
        relation: what is said.
        value: of it.
    """

    subject: str
    relation: Relation
    value: str


class FixedWorld:
    """All facts of the fixed world of a universe."""

    def __init__(self, universe: Universe) -> None:
        self.universe = universe
        self.people = universe.names("fixed")[: universe.people]
        self._number = {name: place for place, name in enumerate(self.people)}
        self._values: dict[str, dict[str, str]] = {}
        for relation in universe.used():
            subjects = self.people if relation.of == "person" else VALUES[relation.of][: universe.num_values]
            (drawn,) = rows([key_of(f"fixed {relation.name}", universe.seed)], 0, len(subjects))
            if relation.kind == "person":
                order = sorted(range(len(subjects)), key=drawn.__getitem__)
                found = {subjects[a]: subjects[b] for a, b in zip(order, order[1:] + order[:1], strict=True)}
            else:
                values = universe.values(relation)
                found = {subject: values[n % len(values)] for subject, n in zip(subjects, drawn, strict=True)}
            self._values[relation.name] = found
        self._zipf = list(accumulate(_ZIPF_SCALE // rank for rank in range(1, len(self.people) + 1)))
        self._by_first: dict[str, list[str]] = {}
        for name in self.people:
            for part in name.split():
                self._by_first.setdefault(part, []).append(name)

    def value(self, subject: str, relation: Relation) -> str:
        """Of a relation of somebody or something."""
        return self._values[relation.name][subject]

    def rank(self, person: str) -> int:
        """The place of a person, from 0: the first ones come most often where exposures differ."""
        return self._number[person]

    def facts(self) -> list[Fact]:
        """All of them."""
        return [
            Fact(subject, relation, value)
            for relation in self.universe.used()
            for subject, value in self._values[relation.name].items()
        ]

    def drawn(self, take: Take, *, zipf: bool) -> str:
        """Somebody: everybody alike, or the n-th person with a weight of 1 / n."""
        if zipf:
            return self.people[bisect_right(self._zipf, take() % self._zipf[-1])]
        return self.people[take() % len(self.people)]

    def near(self, person: str) -> list[str]:
        """Others who share a name."""
        return [name for part in person.split() for name in self._by_first[part] if name != person]


@functools.lru_cache(maxsize=8)
def fixed_world(universe: Universe) -> FixedWorld:
    """The fixed world of a universe, made once."""
    return FixedWorld(universe)


def facts_of(universe: Universe, some: SomeFacts | None = None) -> list[Fact]:
    """The facts of the fixed world, or a part of them.

    Raises: SpecError where no fact is in that part.
    """
    facts = fixed_world(universe).facts()
    found = [fact for fact in facts if some is None or some.holds(fact.subject, fact.relation.name)]
    if not found:
        words = f"none of {len(facts):,} facts is in it"
        raise SpecError("some", words, "one or more are needed", "give a larger part, or a larger universe")
    return found


class FixedView:
    """The fixed world, as one example uses it."""

    def __init__(self, world: FixedWorld, take: Take, *, zipf: bool = False) -> None:
        self._world, self._take, self._is_zipf = world, take, zipf
        self.people: list[str] = []
        self._changed: dict[tuple[str, str], str] = {}

    def person(self) -> str:
        """Somebody who was not drawn yet; somebody again where everybody was."""
        name = self._world.drawn(self._take, zipf=self._is_zipf)
        for _ in range(_TRIES):
            if name not in self.people:
                break
            name = self._world.drawn(self._take, zipf=self._is_zipf)
        self.people.append(name)
        return name

    def near(self, person: str) -> str | None:
        """Somebody who shares a name; None where nobody does."""
        others = self._world.near(person)
        return others[self._take() % len(others)] if others else None

    def value(self, subject: str, relation: Relation) -> str:
        """Of a relation."""
        return self._changed.get((subject, relation.name)) or self._world.value(subject, relation)

    def change(self, subject: str, relation: Relation, value: str) -> None:
        """Counter to the world, from now on."""
        self._changed[subject, relation.name] = value


class Names(NamedTuple):
    """Who can be in fresh worlds, and what can be said of them.

    Args:
        people: of a pool.
        sharing: by each first or last name, who has it.
        values: by the name of a relation; none for a person.
    """

    people: tuple[str, ...]
    sharing: dict[str, list[str]]
    values: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, universe: Universe, pool: Pool) -> "Names":
        """Of a pool of a universe; of "fixed", those who are in its fixed world."""
        people = universe.names(pool)[: universe.people if pool == "fixed" else None]
        sharing: dict[str, list[str]] = {}
        for name in people:
            for part in name.split():
                sharing.setdefault(part, []).append(name)
        return cls(people, sharing, {one.name: universe.values(one) for one in universe.used()})


class FreshWorld:
    """A world of one example.

    Args:
        names: who can be in it.
        take: of draws.
        anonymous: whether people are e1, e2, ... in any order.
    """

    def __init__(self, names: "Names", take: Take, *, anonymous: bool = False) -> None:
        self._take, self._is_anonymous = take, anonymous
        self._names, self._sharing, self._value_lists = names
        self.people: list[str] = []
        self._values: dict[tuple[str, str], str] = {}
        self._has_friend: set[str] = set()

    def person(self) -> str:
        """Somebody new; where a few draws find nobody, since few names are left, anybody."""
        names = _MARKERS if self._is_anonymous else self._names
        for _ in range(_TRIES):
            name = names[self._take() % len(names)]
            if name not in self.people:
                self.people.append(name)
                return name
        return self.people[self._take() % len(self.people)]

    def near(self, person: str) -> str | None:
        """Somebody who shares a name and is new, or None where a few tries find nobody."""
        if self._is_anonymous:
            return None
        parts = person.split()
        for _ in range(3):
            others = self._sharing[parts[self._take() % 2]]
            name = others[self._take() % len(others)]
            if name not in self.people:
                self.people.append(name)
                return name
        return None

    def value(self, subject: str, relation: Relation) -> str:
        """Of a relation; drawn now if it was not asked for before."""
        known = self._values.get((subject, relation.name))
        if known is None:
            if relation.kind == "person":
                known = self._friend(subject)
            else:
                values = self._value_lists[relation.name]
                known = values[self._take() % len(values)]
            self._values[subject, relation.name] = known
        return known

    def change(self, subject: str, relation: Relation, value: str) -> None:
        """This value from now on."""
        self._values[subject, relation.name] = value

    def _friend(self, subject: str) -> str:
        """Nobody has two people as whose friend he is, and nobody is his own."""
        free = [name for name in self.people if name != subject and name not in self._has_friend]
        friend = free[self._take() % len(free)] if free and self._take() % _REUSED == 0 else self.person()
        if friend == subject or friend in self._has_friend:  # few names are left
            friend = free[0] if free else next(name for name in self._names if name != subject)
        self._has_friend.add(friend)
        return friend


World = FixedView | FreshWorld
