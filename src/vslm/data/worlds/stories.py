"""Derivable prose: facts first, then a short story that can be written from them by reasoning alone.

    <ctx> facts <story> in the morning ada lund woke up in bastad and fed the cat. ...

Every stretch of a story that only the facts tell is named, with the facts that it follows from: one of them (where she
woke up), two in a row (where her friend came from), two compared (who is the older one). How much facts help is the
loss of these stretches without facts less that with them; beside it stands a context of the same people and relations
with other values, which must not help.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from vslm.core.errors import SpecError
from vslm.data.worlds.contexts import Span, written
from vslm.data.worlds.draws import Take, key_of, shuffled, stream
from vslm.data.worlds.examples import CTX
from vslm.data.worlds.facts import Fact, FreshWorld, Names
from vslm.data.worlds.universe import Universe
from vslm.data.worlds.wording import BY_NAME, Wording
from vslm.data.worlds.words import Pool

STORY = "<story>"
_MOST_SCENES = 6

# What happens: `A` is who it is about; `{A.relation}` is a value, `{A.one.other}` one of a chain, `{older}` who was
# born first, `{where}` whether the two live in the same city, and `{how}` what follows from that.
_SCENES: tuple[str, ...] = (
    "in the morning {A} woke up in {A.lives_in} .",
    "{A} fed the {A.pet} before work .",
    "at work {A} was the best {A.job} of all .",
    "the door of {A.works_at} was open when {A} came to work .",
    "at {A.works_at} , where {A} worked , all talk was of {A.works_at.sector} .",
    "{A} put on a coat , and the coat was {A.colour} .",
    "from the window {A} saw the lights of {A.lives_in} , which all of {A.lives_in.country} knows .",
    "{A} bought {A.lives_in.known_for} , as people in {A.lives_in} do .",
    "at noon {A} thought of {A.born_in} and of being a child there .",
    "at night {A} played the {A.instrument} until it was late .",
    "then {A} met {A.friend} , who had come from {A.friend.lives_in} .",
    "{A.friend} , the friend of {A} , had brought the {A.friend.pet} .",
    "{A.friend} spoke of the day of a {A.friend.job} .",
    "{A} and {A.friend} ate together , and {older} , the older one , paid .",
    "as {A} and {A.friend} live in {where} , they went home {how} .",
)
_NEEDED = {"older": ("friend", "birth_year"), "where": ("friend", "lives_in"), "how": ("friend", "lives_in")}
_SAME, _OTHER = ("the same city", "together"), ("different cities", "by two roads")


@dataclass(slots=True)
class Story:
    """One story with its facts.

    Args:
        context: the facts as sentences.
        shuffled_context: of the same people and relations with other values.
        story: the prose.
        spans: stretches of `story` that the facts tell.
        hops: of each, how many facts it follows from.
        gold: of each, the numbers of these facts.
        facts: of the context, in its order.
        world_seed: of the world.
    """

    context: str
    shuffled_context: str
    story: str
    spans: list[Span]
    hops: list[int]
    gold: list[list[int]]
    facts: list[Fact]
    world_seed: int

    @property
    def text(self) -> str:
        """With its facts."""
        return f"{CTX} {self.context} {STORY} {self.story}"


class Stories:
    """Makes the stories of a split.

    Args:
        universe: whose relations they are about.
        pool: whose names.
        wording: of the facts.
    Raises: SpecError for a universe about which there is nothing to tell.
    """

    def __init__(self, universe: Universe, pool: Pool, wording: Wording = "train") -> None:
        self._wording: Wording = wording
        self._pool = pool
        self._names = Names.of(universe, pool)
        self._scenes = [scene for scene in _SCENES if _relations_of(scene) <= set(universe.relations)]
        if not self._scenes:
            found = f"found {', '.join(universe.relations)}"
            raise SpecError("relations", found, "none is what stories tell of", f"add one: {_SCENES[0]}")

    def many(self, first_seed: int, count: int) -> Iterator[Story]:
        """So many, with seeds from `first_seed` on."""
        for seed in range(first_seed, first_seed + count):
            yield self._made(seed, stream(key_of(f"story {self._pool}", seed)).__next__)

    def _made(self, seed: int, take: Take) -> Story:
        world = FreshWorld(self._names, take)
        hero = world.person()
        scenes = [self._scenes[place] for place in sorted(shuffled(range(len(self._scenes)), take)[:_MOST_SCENES])]
        told = _Told(world, hero)
        for scene in scenes:
            told.tell(scene)
        order = shuffled(range(len(told.facts)), take)
        facts = [told.facts[place] for place in order]
        others = [Fact(subject, relation, self._other(fact, take)) for fact in facts for subject, relation, _ in [fact]]
        numbers = {fact: place for place, fact in enumerate(facts)}
        context, shuffled_context = (
            written(some, take, wording=self._wording, diversity="full", offset=0)[0] for some in (facts, others)
        )
        gold = [[numbers[fact] for fact in found] for found in told.gold]
        hops = [len(found) for found in gold]
        return Story(context, shuffled_context, told.text, told.spans, hops, gold, facts, seed)

    def _other(self, fact: Fact, take: Take) -> str:
        """Another value; a friend stays, or nobody in the story would be known."""
        values = self._names.values[fact.relation.name]
        if not values:
            return fact.value
        return values[(values.index(fact.value) + 1 + take() % (len(values) - 1)) % len(values)]


class _Told:
    """A story as it grows."""

    def __init__(self, world: FreshWorld, hero: str) -> None:
        self._world, self._hero = world, hero
        self.facts: list[Fact] = []
        self.text = ""
        self.spans: list[Span] = []
        self.gold: list[list[Fact]] = []

    def tell(self, scene: str) -> None:
        """The next sentence."""
        words = []
        length = len(self.text) + bool(self.text)
        for word in scene.split(" "):
            shown, found = self._filled(word)
            # A sign stands behind the word before it.
            glued = word in (",", ".") and words
            start = length - 1 if glued else length
            if found:
                self.spans.append((start, start + len(shown)))
                self.gold.append(found)
            words.append(shown if glued or not words else f" {shown}")
            length = start + len(shown) + 1
        self.text += (" " if self.text else "") + "".join(words)

    def _filled(self, word: str) -> tuple[str, list[Fact]]:
        if not word.startswith("{"):
            return word, []
        name = word.strip("{}")
        if name == "A":
            return self._hero, []
        if name in _NEEDED:
            return self._compared(name)
        entity, found = self._hero, []
        for step in name.split(".")[1:]:
            found.append(self._fact(entity, step))
            entity = found[-1].value
        return entity, found

    def _fact(self, subject: str, name: str) -> Fact:
        relation = BY_NAME[name]
        fact = Fact(subject, relation, self._world.value(subject, relation))
        if fact not in self.facts:
            self.facts.append(fact)
        return fact

    def _compared(self, name: str) -> tuple[str, list[Fact]]:
        friend = self._fact(self._hero, "friend").value
        relation = _NEEDED[name][1]
        mine, other = self._fact(self._hero, relation), self._fact(friend, relation)
        if name == "older":
            # Of one age: the first one, as a comparison of two equal numbers has no second.
            return (self._hero if mine.value <= other.value else friend), [mine, other]
        return (_SAME if mine.value == other.value else _OTHER)[name == "how"], [mine, other]


def _relations_of(scene: str) -> set[str]:
    found: set[str] = set()
    for word in scene.split(" "):
        name = word.strip("{}")
        if word.startswith("{"):
            found |= set(_NEEDED.get(name, name.split(".")[1:]))
    return found
