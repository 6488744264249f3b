"""Which people and which relations there are, as a value that a source and a measure share."""

import functools
import hashlib
import math
from dataclasses import dataclass
from typing import Literal

from vslm.core.bounds import Real, Seed, Some
from vslm.core.errors import SpecError, nearest
from vslm.core.specs import Spec
from vslm.data.worlds.wording import BY_NAME, RELATIONS, Relation
from vslm.data.worlds.words import NUM_FIRST_NAMES, NUM_LAST_NAMES, VALUES, Pool, pairs

QuestionType = Literal["one_hop", "inverse", "two_hop", "three_hop", "comparison", "negation", "counting", "unknown"]
QUESTION_TYPES: tuple[QuestionType, ...] = (
    "one_hop",
    "inverse",
    "two_hop",
    "three_hop",
    "comparison",
    "negation",
    "counting",
    "unknown",
)
HELD_OUT: tuple[tuple[str, str], ...] = (("friend", "pet"), ("works_at", "sector"))
"""Two-hop questions that no training asks."""
_FEWEST_PEOPLE, _FEWEST_NAMES = 8, 8
_FEWEST_IN_A_POOL = 12  # people with names of their own in a context


_PLACE_BYTES = 6  # of a hash: a place between 0 and 1


@dataclass(frozen=True, kw_only=True)
class SomeFacts(Spec):
    """A part of the facts of the fixed world, told by the hash of who or what each is about and of its relation.

        first <= hash(subject, relation) / 2**48 < end

    Parts that do not overlap share no fact, and which fact is in which depends on no seed and on nothing else that is
    asked: train on `SomeFacts(end=0.05)` and ask about `SomeFacts(first=0.05)`.

    Args:
        first: 0 or more.
        end: at most 1.
    Raises: SpecError for a part without any room.
    """

    first: Real = 0.0
    end: Real = 1.0

    def check(self) -> None:
        """Refuse what is no part of 0 to 1."""
        if not 0 <= self.first < self.end <= 1:
            found = f"found {self.first} to {self.end}"
            raise SpecError("first", found, "0 <= first < end <= 1 is needed", "give a part of 0 to 1")

    def holds(self, subject: str, relation: str) -> bool:
        """Whether a fact is in it.

        >>> [SomeFacts(end=0.5).holds("bala badak", name) for name in ("job", "lives_in", "pet")]
        [True, False, True]
        """
        digest = hashlib.sha256(f"{relation}|{subject}".encode()).digest()
        return self.first <= int.from_bytes(digest[:_PLACE_BYTES], "big") / 2 ** (8 * _PLACE_BYTES) < self.end


@dataclass(frozen=True, kw_only=True)
class Universe(Spec):
    """People, what can be said of them, and the one fixed world.

    A fixed world holds one value for every relation of each of `people` people (and of each city and company). Fresh
    worlds are drawn anew for every example, with people of other pairs of names, so that a name says nothing.

    At the defaults a person has 44.6 bits and a friend, 10 more.

    >>> round(Universe().bits_per_person, 2), round(Universe().bits, 0)
    (54.64, 58299.0)

    Args:
        people: of the fixed world.
        relations: by name; those of cities and companies count where somebody lives or works there.
        num_values: of each relation at most; None: all, 16 to 128.
        first_names: how many there are, at most 200.
        last_names: how many there are, at most 400.
        seed: of the fixed world.
    Raises: SpecError for a world too large for its names, a relation that nothing leads to, or an unknown one.
    """

    people: Some = 1024
    relations: tuple[str, ...] = tuple(BY_NAME)
    num_values: Some | None = None
    first_names: Some = NUM_FIRST_NAMES
    last_names: Some = NUM_LAST_NAMES
    seed: Seed = 0

    def check(self) -> None:
        """Refuse what cannot be drawn."""
        for place, name in enumerate(self.relations):
            if name not in BY_NAME:
                raise SpecError(f"relations.{place}", f"no relation {name!r}", nearest(name, BY_NAME))
            if name in self.relations[:place]:
                raise SpecError(f"relations.{place}", f"{name!r} is there twice", "every relation once")
        kinds = {"person", *(BY_NAME[name].kind for name in self.relations if BY_NAME[name].of != "city")}
        for place, name in enumerate(self.relations):
            if (of := BY_NAME[name].of) not in kinds:
                leads = [one.name for one in RELATIONS if one.kind == of]
                raise SpecError(
                    f"relations.{place}", f"{name!r} is about a {of}, and nobody has one", nearest("", leads)
                )
        if not any(BY_NAME[name].of == "person" for name in self.relations):
            raise SpecError("relations", f"found {self.relations}", "one or more of people are needed")
        if self.num_values is not None and self.num_values < 2:
            raise SpecError("num_values", f"found {self.num_values}", "2 or more, or None, is needed")
        for name, most in (("first_names", NUM_FIRST_NAMES), ("last_names", NUM_LAST_NAMES)):
            if not _FEWEST_NAMES <= getattr(self, name) <= most:
                raise SpecError(name, f"found {getattr(self, name)}", f"{_FEWEST_NAMES} to {most} are needed")
        self._check_people()

    def _check_people(self) -> None:
        room = len(self.names("fixed"))
        if not _FEWEST_PEOPLE <= self.people <= room:
            found = f"found {self.people:,}"
            allowed = f"{_FEWEST_PEOPLE} to {room:,} have a name of their own: half of the pairs are for fresh worlds"
            raise SpecError("people", found, allowed, "give more first_names or last_names, or fewer people")
        for pool in ("train", "val", "test"):
            if len(self.names(pool)) < _FEWEST_IN_A_POOL:
                found = f"{self.first_names} x {self.last_names} names leave {len(self.names(pool))} pairs for {pool}"
                raise SpecError("last_names", found, f"{_FEWEST_IN_A_POOL} or more are needed", "give more names")

    def names(self, pool: Pool) -> tuple[str, ...]:
        """People of a pool; of "fixed", all that there is room for."""
        return pairs(pool, self.first_names, self.last_names)

    def values(self, relation: Relation) -> tuple[str, ...]:
        """What a relation's value can be; none for a person."""
        return relation.values[: self.num_values]

    def used(self, of: str | None = None) -> list[Relation]:
        """The relations, or those of one kind of subject."""
        return [BY_NAME[name] for name in self.relations if of in (None, BY_NAME[name].of)]

    def bits_of(self, relation: Relation) -> float:
        """Bits of one value of a relation in the fixed world."""
        return math.log2(len(self.values(relation)) or self.people - 1)

    @property
    def bits_per_person(self) -> float:
        """Of everything that is said of one person."""
        return sum(map(self.bits_of, self.used("person")))

    @property
    def bits(self) -> float:
        """Of the whole fixed world, its cities and companies included."""
        about = sum(
            len(VALUES[of][: self.num_values]) * sum(map(self.bits_of, self.used(of))) for of in ("city", "company")
        )
        return self.people * self.bits_per_person + about

    @functools.cached_property
    def compositions(self) -> dict[int, list[tuple[Relation, ...]]]:
        """Chains of relations that can be asked for at once, by their length: 2 or 3. The last one is no friend."""
        used = self.used()
        steps = [(a, b) for a in used for b in used if a.phrases and a.kind == b.of]
        twos = [pair for pair in steps if pair[1].name != "friend"]
        threes = [(a, *pair) for a, b in steps for pair in twos if b.name == pair[0].name and a.of == "person"]
        return {2: [pair for pair in twos if pair[0].of == "person"], 3: threes}

    def compositions_of(self, hops: int, *, held_out: bool) -> list[tuple[Relation, ...]]:
        """Those that training asks for, or those that it never does; of three hops there is no such difference."""
        names = [tuple(relation.name for relation in chain) for chain in self.compositions[hops]]
        chains = zip(self.compositions[hops], names, strict=True)
        return [chain for chain, name in chains if hops != 2 or (name in HELD_OUT) == held_out]

    def can_ask(self, kind: QuestionType, *, world: str = "fresh", held_out: bool = False) -> bool:
        """Whether there is such a question about a world.

        Of the fixed world, whose facts cannot be chosen, nobody is counted, and people are compared by age alone.
        """
        is_fixed = world == "fixed"
        if kind in ("two_hop", "three_hop"):
            return bool(self.compositions_of(2 if kind == "two_hop" else 3, held_out=held_out))
        if kind == "comparison":
            years = "birth_year" in self.relations
            return years or (not is_fixed and any(relation.same for relation in self.used()))
        if kind in ("inverse", "negation", "counting"):
            return any(relation.clause for relation in self.used()) and not (is_fixed and kind == "counting")
        return True
