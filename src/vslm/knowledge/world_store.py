"""The facts of the fixed world of a universe as a store: made from its values alone, without a file."""

from vslm.data.worlds.facts import Fact as WorldFact
from vslm.data.worlds.facts import fixed_world
from vslm.data.worlds.universe import Universe
from vslm.knowledge.passages import Fact, Passage, document_key
from vslm.knowledge.store import Store, store_of


def world_store(universe: Universe) -> Store:
    """Every fact of the fixed world, each in the first sentence that training has for its relation.

    >>> from vslm.data.worlds.universe import Universe
    >>> store = world_store(Universe(people=8, relations=("job",), first_names=16, last_names=16))
    >>> len(store), store.passages[0].text.split()[2:5]
    (8, ['works', 'as', 'a'])
    """
    passages = []
    for fact in fixed_world(universe).facts():
        text = sentence(fact)
        passages.append(Passage(text, document_key(text), as_stored(fact)))
    return store_of(passages, f"the fixed world of {universe.people:,} people, seed {universe.seed}")


def as_stored(fact: WorldFact) -> Fact:
    """A fact of a world as a store has it."""
    return Fact(fact.subject, fact.relation.name, fact.value)


def sentence(fact: WorldFact) -> str:
    """What is said of it, with a full stop: the sentence of contexts with diversity="single"."""
    return f"{fact.relation.statements[0].replace('{s}', fact.subject).replace('{v}', fact.value)}."
