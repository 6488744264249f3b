"""Answers from the facts of a context and nothing else; and facts and questions read back from a text.

With both, an example is proven: its text says its facts, and its answer follows from its text.

    parse_context   sentences -> (subject, relation, value), one for each
    parse_question  a question -> Query
    solve           facts and a Query -> the answer
"""

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from vslm.core.errors import DataError
from vslm.data.worlds.facts import Fact
from vslm.data.worlds.questions import Query
from vslm.data.worlds.wording import FRAMES, RELATIONS, Relation
from vslm.data.worlds.words import (
    FIRST_NAMES,
    LAST_NAMES,
    NO,
    NUMBERS,
    UNKNOWN,
    UNSEEN_FIRST_NAMES,
    UNSEEN_LAST_NAMES,
    VALUES,
    YES,
)

T = TypeVar("T")
_MARKER = re.compile(r"e[0-9]+")
_NAMES = {*FIRST_NAMES, *LAST_NAMES, *UNSEEN_FIRST_NAMES, *UNSEEN_LAST_NAMES}
_PRONOUNS = ("he", "she", "it")
_KINDS = {value: kind for kind, values in VALUES.items() for value in values}


def solve(facts: Iterable[Fact], query: Query) -> str:
    """The answer to a question by these facts; "unknown" where they do not tell.

    >>> from vslm.data.worlds.wording import BY_NAME
    >>> lives, country = BY_NAME["lives_in"], BY_NAME["country"]
    >>> facts = [Fact("bala badak", lives, "bastad"), Fact("bastad", country, "norland")]
    >>> solve(facts, Query("lookup", (lives, country), ("bala badak",)))
    'norland'
    >>> solve(facts, Query("count", (lives,), (), "bastad"))
    'one'
    """
    facts = list(facts)
    known = {(fact.subject, fact.relation.name): fact.value for fact in facts}
    relation = query.relations[0]
    if query.kind == "lookup":
        entity = query.entities[0]
        for step in query.relations:
            if (entity := known.get((entity, step.name), "")) == "":
                return UNKNOWN
        return entity
    having = [fact.subject for fact in facts if fact.relation is relation and fact.value == query.value]
    if query.kind == "inverse":
        return having[0] if len(having) == 1 else UNKNOWN
    if query.kind == "count":
        return NUMBERS[len(having)] if len(having) < len(NUMBERS) else UNKNOWN
    values = [known.get((entity, relation.name)) for entity in query.entities]
    if None in values:
        return UNKNOWN
    return _compared(query, [value for value in values if value is not None])


def _compared(query: Query, values: Sequence[str]) -> str:
    if query.kind == "same":
        return YES if values[0] == values[1] else NO
    if query.kind == "is_true":
        return YES if (values[0] == query.value) != query.negated else NO
    if query.kind == "earlier":
        return query.entities[0 if values[0] < values[1] else 1] if values[0] != values[1] else UNKNOWN
    others = [entity for entity, value in zip(query.entities, values, strict=True) if value != query.value]
    return others[0] if len(others) == 1 else UNKNOWN


def parse_context(text: str) -> list[Fact]:
    """The facts that sentences state, in their order.

    >>> [fact.value for fact in parse_context("bala badak lives in bastad and is a baker. she keeps a cat.")]
    ['bastad', 'baker', 'cat']

    Raises: DataError for a sentence that states nothing, or more than one thing.
    """
    facts: list[Fact] = []
    for sentence in text.strip().removesuffix(".").split(". ") if text.strip() else ():
        for place, part in enumerate(sentence.split(" and ")):
            subject = facts[-1].subject if facts else ""
            first = part.split(" ", 1)[0]
            if place:
                part = f"{subject} {part}"
            found = set(_statements(part))
            if not found and first in _PRONOUNS:  # "it is x where ada lives" begins with none
                found = set(_statements(f"{subject}{part[len(first) :]}"))
            facts.append(_one(found, part))
    return facts


def parse_question(text: str) -> Query:
    """A question as its parts. Raises: DataError for one that asks for nothing, or for more than one thing."""
    form, named = _form(text)
    return _one({*_lookups(form, named), *_others(form, named)}, text)


def _one(found: set[T], text: str) -> T:
    if len(found) != 1:
        what = "means nothing" if not found else f"means {len(found)} things"
        raise DataError("worlds", f"{text!r} {what}", "sentences of the wording of worlds are needed")
    return found.pop()


def _form(text: str) -> tuple[str, list[str]]:
    """A text with kinds in the place of people and values, and those in their order."""
    words = text.replace("?", " ?").replace(",", " ,").split(" ")
    form, named = [], []
    place = 0
    while place < len(words):
        word = words[place]
        is_name = word in _NAMES and place + 1 < len(words) and words[place + 1] in _NAMES
        kind = "person" if is_name or _MARKER.fullmatch(word) else _KINDS.get(word)
        form.append(word if kind is None else f"<{kind}>")
        if kind is not None:
            named.append(f"{word} {words[place + 1]}" if is_name else word)
        place += 2 if is_name else 1
    return " ".join(form), named


def _as_form(template: str, **kinds: str) -> str:
    for name, kind in kinds.items():
        template = template.replace(f"{{{name}}}", kind)
    return template.replace("?", " ?").replace(",", " ,")


@functools.cache
def _statement_forms() -> dict[str, list[tuple[Relation, bool]]]:
    """Every sentence: the relations that it states, and whether its subject comes first."""
    found: dict[str, list[tuple[Relation, bool]]] = {}
    for relation in RELATIONS:
        for text in relation.statements:
            form = _as_form(text, s=f"<{relation.of}>", v=f"<{relation.kind}>")
            found.setdefault(form, []).append((relation, text.index("{s}") < text.index("{v}")))
    return found


def _statements(text: str) -> Iterator[Fact]:
    form, named = _form(text)
    for relation, subject_first in _statement_forms().get(form, ()):
        subject, value = named if subject_first else reversed(named)
        yield Fact(subject, relation, value)


@functools.cache
def _question_forms() -> dict[str, list[Relation]]:
    found: dict[str, list[Relation]] = {}
    for relation in RELATIONS:
        for text in relation.questions:
            found.setdefault(_as_form(text, s=f"<{relation.of}>"), []).append(relation)
    return found


@functools.cache
def _phrase_forms() -> list[tuple[str, Relation]]:
    return [(_as_form(text, s=f"<{relation.of}>"), relation) for relation in RELATIONS for text in relation.phrases]


def _lookups(form: str, named: Sequence[str], chain: tuple[Relation, ...] = ()) -> Iterator[Query]:
    """A chain of relations from one subject, the innermost phrase first."""
    if len(named) != 1:
        return
    for relation in _question_forms().get(form, ()):
        yield Query("lookup", (*chain, relation), (named[0],))
    for phrase, relation in _phrase_forms():
        if phrase in form:
            yield from _lookups(form.replace(phrase, f"<{relation.kind}>", 1), named, (*chain, relation))


@functools.cache
def _other_forms() -> dict[str, list[tuple[str, Relation]]]:
    """Every question around a clause, or around people: what kind of question it is."""
    found: dict[str, list[tuple[str, Relation]]] = {}
    one, people = "<person>", {"a": "<person>", "b": "<person>", "d": "<person>"}
    for relation in RELATIONS:
        asked: list[tuple[str, str, dict[str, str]]] = []
        if relation.clause:
            so, not_so, of_many = (clause.replace("{v}", f"<{relation.kind}>") for clause in relation.clause)
            asked += [
                ("inverse", "inverse", {"c": so}),
                ("count", "count", {"c": of_many}),
                ("which_not", "which_not", {"c": not_so, **people}),
                ("is_true", "is_true", {"c": f"{one} {so}"}),
                ("is_not_true", "is_true", {"c": f"{one} {not_so}"}),
            ]
        if relation.same:
            asked.append(("same", "is_true", {"c": f"{one} and {one} {relation.same}"}))
        if relation.name == "birth_year":
            asked.append(("earlier", "earlier", people))
        for kind, frames, parts in asked:
            for frame in FRAMES[frames]:
                found.setdefault(_as_form(frame, **parts), []).append((kind, relation))
    return found


def _others(form: str, named: Sequence[str]) -> Iterator[Query]:
    for kind, relation in _other_forms().get(form, ()):
        has_value = kind not in ("same", "earlier")
        people = tuple(named[:-1] if has_value else named)
        negated = kind == "is_not_true"
        value = named[-1] if has_value else ""
        yield Query("is_true" if negated else kind, (relation,), people, value, negated)
