"""The words of all worlds: values by kind, names of people, and whose names are whose.

A word means one thing: no value, name or word of a sentence is written like another, so a text can be read back.
Values that people know are English words; cities, companies and people have names that nobody has met.

    >>> len(VALUES["city"]), VALUES["city"][:3], FIRST_NAMES[:3], LAST_NAMES[:2]
    (64, ('baville', 'bastad', 'bamere'), ('bala', 'bana', 'bara'), ('badak', 'badut'))
"""

import functools
import hashlib
from typing import Literal

Pool = Literal["fixed", "train", "val", "test", "unseen"]
"""Whose pair of names: of the fixed world; of fresh worlds of training, validation and test; of nobody in training."""

_ONSETS = "b d f g h j k l m n p r s t v z"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _product(*parts: str) -> tuple[str, ...]:
    words = [""]
    for part in parts:
        words = [word + piece for word in words for piece in part.split()]
    return tuple(words)


def _spread(words: tuple[str, ...], count: int) -> tuple[str, ...]:
    """`count` of the words, evenly from all of them."""
    return tuple(words[place * len(words) // count] for place in range(count))


NUM_FIRST_NAMES, NUM_LAST_NAMES = 200, 400
FIRST_NAMES = _spread(_product("b d f g j k l m n r s t v", "a e i o", "l n r s", "a i o"), NUM_FIRST_NAMES)
LAST_NAMES = _spread(_product("b d f g k l m n p r s t v z", "a e i o u", "d g v", "ak ut ir"), NUM_LAST_NAMES)
UNSEEN_FIRST_NAMES = _product("b d k m r", "a o", "shu thu")
UNSEEN_LAST_NAMES = _product("b d k m r", "e i", "mpel ntel")

YEARS = tuple(str(year) for year in range(1900, 2000))
NUMBERS = ("zero", "one", "two", "three", "four", "five")
UNKNOWN, YES, NO = "unknown", "yes", "no"

VALUES: dict[str, tuple[str, ...]] = {
    "city": _product("ba do ke lu ma nu pe ri sa to va ze fi go ha ju", "ville stad mere wick"),
    "company": _product(_ONSETS, "a o", "xtek xcorp xnova xsoft"),
    "job": _words(
        "baker barber butcher carpenter cook dancer dentist doctor driver farmer fisher gardener guard hunter judge "
        "lawyer mason miner nurse painter pilot plumber porter potter sailor singer smith soldier tailor teacher "
        "waiter weaver"
    ),
    "pet": _words(
        "beetle canary cat chicken cobra crab dog donkey duck ferret frog goat goose hamster hedgehog horse lizard "
        "monkey mouse parrot pigeon pig pony rabbit raven sheep snail spider swan toad turkey turtle"
    ),
    "colour": _words("red blue green yellow orange purple pink brown black white grey gold silver cyan beige violet"),
    "instrument": _words(
        "banjo bassoon bell bugle cello clarinet cornet cymbal drum fiddle flute gong guitar harp horn kazoo lute lyre "
        "mandolin piano piccolo recorder sitar tabla timpani triangle trombone trumpet tuba viola violin zither"
    ),
    "year": YEARS,
    "country": _words(
        "arland belmark corvia dunmark eastria fenland galvia hestria ironia jorland karvia lomark morvia norland "
        "ostria polvia"
    ),
    "fame": _words(
        "apples bells books bread bridges bronze butter cakes candles canals carpets castles cheese chocolate clocks "
        "coal coffee copper cotton dolls festivals fish flowers fruit furniture gardens glass gloves grapes hats honey "
        "ice ivory jam jewels kites knives lace lamps leather lemons maps marble markets milk mirrors museums nuts oil "
        "opera palaces paper parks pearls perfume plums ponds rice ropes roses ships shoes silk soap"
    ),
    "founding": tuple(str(year) for year in range(1500, 1600)),
    "sector": _words(
        "banking brewing chemistry energy farming fashion fishing insurance logistics media mining printing robotics "
        "shipping steel tourism"
    ),
}
"""Values by kind. `friend` has people as values."""

# Of 16 parts of all pairs, told by hash, whose names these are.
_PARTS: dict[Pool, range] = {"fixed": range(8), "train": range(8, 14), "val": range(14, 15), "test": range(15, 16)}


def first_names(count: int) -> tuple[str, ...]:
    """The first names of a world with so many of them."""
    return _spread(FIRST_NAMES, count)


def last_names(count: int) -> tuple[str, ...]:
    """The last names of a world with so many of them."""
    return _spread(LAST_NAMES, count)


@functools.cache
def pairs(pool: Pool, num_first: int, num_last: int) -> tuple[str, ...]:
    """The names of people in a pool, first and last, in an order told by hash. Pools share no pair.

    The first ones hold every first and last name that the pool has, so that few people know them all.

    >>> len(pairs("test", 200, 400)) + len(pairs("fixed", 200, 400)) < 80_000
    True
    """
    if pool == "unseen":
        return tuple(f"{first} {last}" for first in UNSEEN_FIRST_NAMES for last in UNSEEN_LAST_NAMES)
    found = []
    for first in first_names(num_first):
        for last in last_names(num_last):
            name = f"{first} {last}"
            digest = hashlib.sha256(name.encode()).digest()
            if digest[0] % 16 in _PARTS[pool]:
                found.append((digest, name))
    names = [name for _, name in sorted(found)]
    seen: set[str] = set()
    new, rest = [], []
    for name in names:
        parts = set(name.split())
        (rest if parts <= seen else new).append(name)
        seen |= parts
    return tuple(new + rest)


def pronoun(person: str) -> str:
    """ "he" or "she", by the first name alone, so that it says nothing of a world."""
    return "she" if hashlib.sha256(person.split()[0].encode()).digest()[0] % 2 else "he"
