"""Facts in an order, written as sentences, with the place of every value.

Neighbors about the same subject may be joined ("ada lives in x and works at y") or begin with a pronoun, each in three
of ten; a pronoun only where it can mean nobody else.
"""

from collections.abc import Sequence
from typing import Literal

from vslm.data.worlds.draws import Take, shuffled
from vslm.data.worlds.facts import Fact
from vslm.data.worlds.wording import Relation, Statement, Wording
from vslm.data.worlds.words import pronoun

Span = tuple[int, int]
Diversity = Literal["full", "multi5_permute", "multi5", "single"]
"""How differently facts are stated: all sentences in any order, joined at times; five in any order; five, and what is
said of one subject always in the same order; one, and that order."""

_JOINED, _PRONOUN, _OF = 3, 6, 10  # of ten: joined below 3, with a pronoun below 6
_FEW = 5


def in_order(facts: Sequence[Fact], take: Take, diversity: Diversity, relations: Sequence[str]) -> list[Fact]:
    """The facts in the order of the text. Whichever it is, the place of a fact does not tell whether it is asked for:
    of "multi5" and "single", too, it is drawn who comes first.

    Args:
        facts: those that answer first, as they were drawn.
        take: of draws.
        diversity: of the text.
        relations: names, in the order in which a subject's facts stand if that is always the same.
    """
    if diversity in ("full", "multi5_permute"):
        return [facts[place] for place in shuffled(range(len(facts)), take)]
    subjects = list(dict.fromkeys(fact.subject for fact in facts))
    places = {subjects[number]: place for place, number in enumerate(shuffled(range(len(subjects)), take))}
    return sorted(facts, key=lambda fact: (places[fact.subject], relations.index(fact.relation.name)))


def sentences_of(relation: Relation, wording: Wording, diversity: Diversity) -> tuple[Statement, ...]:
    """The sentences that may state a relation."""
    found = relation.statements_of(wording)
    return found if diversity == "full" else found[: 1 if diversity == "single" else _FEW]


def written(
    facts: Sequence[Fact], take: Take, *, wording: Wording, diversity: Diversity, offset: int
) -> tuple[str, list[Span]]:
    """The facts as sentences, and where the value of each stands.

    Args:
        facts: in the order of the text.
        take: of draws.
        wording: which sentences are used.
        diversity: how many of them.
        offset: of the first character.
    """
    pieces: list[str] = []
    spans: list[Span] = []
    length = offset
    before: Fact | None = None
    can_join = False  # the sentence before begins with its subject and holds nothing else yet
    for subject, relation, value in facts:
        sentences = sentences_of(relation, wording, diversity)
        before_it, between, after, subject_first = sentences[take() % len(sentences)]
        head, joined = subject, False
        if before is not None and before.subject == subject and diversity == "full":
            how = take() % _OF
            if how < _PRONOUN and (choices := [one for one in sentences if one.joins]):
                before_it, between, after, subject_first = choices[take() % len(choices)]
                joined = how < _JOINED and can_join
                if not joined and not _is_unclear(before):
                    head = pronoun(subject) if relation.of == "person" else "it"
        first, second = (head, value) if subject_first else (value, head)
        if joined:
            lead, first = " and", ""
        elif pieces:
            lead = f". {before_it}"
        else:
            lead = before_it
        pieces += (lead, first, between, second, after)
        start = length + len(lead) + (len(first) + len(between) if subject_first else 0)
        spans.append((start, start + len(value)))
        length += len(lead) + len(first) + len(between) + len(second) + len(after)
        can_join = not joined and subject_first and not before_it
        before = Fact(subject, relation, value)
    return f"{''.join(pieces)}." if pieces else "", spans


def _is_unclear(before: Fact) -> bool:
    """Whether a pronoun behind this fact could mean its value."""
    return before.relation.kind == "person" or (before.relation.of == "company" and before.relation.kind == "city")
