"""What is in a split: which world, whose names, which sentences, which questions, what is put in front of them.

train_fixed, train_fresh     to train on
val, val_templates           to choose by: other names; other names and other sentences
S1 ... S12                   to judge by
"""

from dataclasses import dataclass
from typing import Literal

from vslm.core.errors import SpecError, nearest
from vslm.data.worlds.contexts import Diversity
from vslm.data.worlds.universe import QUESTION_TYPES, QuestionType, SomeFacts, Universe
from vslm.data.worlds.wording import Wording
from vslm.data.worlds.words import Pool

Level = Literal["random", "relation", "entity", "name"]
LEVELS: tuple[Level, ...] = ("random", "relation", "entity", "name")
"""What else is in a context: anything; the relation asked for, of others; other relations of who is asked about; the
relation asked for, of people who share a name."""

TRAIN_SIZES, LONG_SIZES = (4, 8, 16, 32), (64, 128)
_LOOKED_UP: tuple[QuestionType, ...] = ("one_hop", "two_hop")
_CLOSED: tuple[QuestionType, ...] = ("one_hop", "two_hop", "comparison", "negation")


@dataclass(frozen=True)
class Plan:
    """How the examples of a split are made.

    Args:
        name: of the split.
        about: what it is, in words.
        world: "fixed" or "fresh".
        pool: whose names, of fresh worlds.
        wording: which sentences.
        types: of questions; a type that stands there more often comes more often.
        sizes: facts of a context.
        levels: of what else is in it.
        open_book: whether facts are put in front; else the context is empty.
        counter: whether the answer in the context is counter to the fixed world.
        missing: whether the facts that would answer are left out.
        held_out: whether chains are those that training never asks for.
        anonymous: whether people are e1, e2, ... in place of names.
        in_turn: whether types, sizes and levels come in turn, so that there are as many of each; else they are drawn.
        questions: asked after one context at most.
        zipf: whether people of the fixed world come with a weight of 1 / rank.
        diversity: of sentences.
        some: which facts of the fixed world are asked about; None: all.
    """

    name: str
    about: str
    world: Literal["fixed", "fresh"] = "fresh"
    pool: Pool = "test"
    wording: Wording = "train"
    types: tuple[QuestionType, ...] = QUESTION_TYPES
    sizes: tuple[int, ...] = TRAIN_SIZES
    levels: tuple[Level, ...] = LEVELS
    open_book: bool = True
    counter: bool = False
    missing: bool = False
    held_out: bool = False
    anonymous: bool = False
    in_turn: bool = True
    questions: int = 1
    zipf: bool = False
    diversity: Diversity = "full"
    some: SomeFacts | None = None

    def asked(self, universe: Universe) -> tuple[QuestionType, ...]:
        """Its types that can be asked about a universe."""
        return tuple(kind for kind in self.types if universe.can_ask(kind, world=self.world, held_out=self.held_out))


_TRAINED: tuple[QuestionType, ...] = tuple(kind for kind in QUESTION_TYPES if kind != "three_hop")
SPLITS: dict[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan("S1", "closed book, fixed world: knowledge in weights", "fixed", types=_CLOSED, open_book=False),
        Plan("S2", "closed book, fresh worlds: must be chance", types=_CLOSED, open_book=False),
        Plan("S3", "open book, fixed world", "fixed", types=_TRAINED),
        Plan("S4", "open book, fresh worlds: reading and reasoning", types=_TRAINED),
        Plan("S5", "open book, counter to the fixed world", "fixed", types=_LOOKED_UP, counter=True),
        Plan("S6", "open book, fixed world, what would answer left out", "fixed", types=_LOOKED_UP, missing=True),
        Plan("S7", "by distractor level and number of facts", types=_LOOKED_UP),
        Plan("S8", "long contexts", types=_LOOKED_UP, sizes=LONG_SIZES),
        Plan("S9", "sentences and questions of the test", types=_TRAINED, wording="test"),
        Plan("S10", "names that training never showed", types=_TRAINED, pool="unseen"),
        Plan("S11", "chains that training never asked for", types=("two_hop", "three_hop"), held_out=True),
        Plan("S12", "people without names", types=_TRAINED, anonymous=True),
        Plan("val", "fresh worlds with names of validation", pool="val", types=_TRAINED),
        Plan("val_templates", "the same with sentences of validation", pool="val", types=_TRAINED, wording="val"),
    )
}
"""The splits that something is measured on, by name."""


def plan_of(name: str, where: str = "splits") -> Plan:
    """A split by its name. Raises: SpecError for another name."""
    if name not in SPLITS:
        raise SpecError(where, f"no split {name!r}", nearest(name, SPLITS))
    return SPLITS[name]


TRAINING_SPLITS, STORY_SPLITS = ("train_fixed", "train_fresh"), ("stories_train", "stories_val", "stories_test")
_ORDER = (*TRAINING_SPLITS, *SPLITS, *STORY_SPLITS)
SEEDS_OF_A_SPLIT = 2**32
_MOST_SPLITS = 32
MOST_SEED = 2**63 // (SEEDS_OF_A_SPLIT * _MOST_SPLITS) - 1


def first_seed(seed: int, split: str) -> int:
    """Of the examples of a split of a data set with this seed: no two splits, and no two seeds, share one.

    >>> first_seed(0, "train_fresh") - first_seed(0, "train_fixed") == SEEDS_OF_A_SPLIT
    True
    """
    return (seed * _MOST_SPLITS + _ORDER.index(split)) * SEEDS_OF_A_SPLIT
