"""Whether examples ask for what they say: proven answers, and what is got by who does not read.

    proven             the text says its facts, and the answer follows from them
    question only      the commonest answer to such a question in training
    other context      an answer read from the facts of another example, else the commonest
    first, last value  of those in the context that can answer the question: cities where one is asked for
    commonest value    the one that stands in the context most often

The first two of these shortcuts must end at chance (of S6 the answer is always "unknown"). The others use the context,
so they are no leak; what they get is a bound on what looks like reading and is not. If the place of a fact told
whether it is asked for, the first value or the last one would get more than the other.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vslm.core.errors import DataError
from vslm.data.worlds.facts import Fact
from vslm.data.worlds.questions import Query
from vslm.data.worlds.solver import parse_context, parse_question, solve
from vslm.data.worlds.wording import BY_NAME
from vslm.data.worlds.words import UNKNOWN

Row = dict[str, Any]


@dataclass(frozen=True)
class Shortcuts:
    """Shares of right answers to one kind of question.

    Args:
        num: questions.
        chance: mean over them.
        question_only, other_context, first_value, last_value, commonest_value: see above.
    """

    num: int
    chance: float
    question_only: float
    other_context: float
    first_value: float
    last_value: float
    commonest_value: float


def facts_of(row: Row) -> list[Fact]:
    """The facts that a row lists."""
    return [Fact(subject, BY_NAME[name], value) for subject, name, value in row["facts"]]


def prove(row: Row) -> Query:
    """Hold a row against its own text: its sentences say its facts, its spans are what they say, and its answer follows
    (from an empty context nothing does). Gives the question.

    Raises: DataError naming what does not.
    """
    text, where = row["text"], f"{row.get('id', 'row')}"
    first, end = row["context_span"]
    said, query = parse_context(text[first:end]), parse_question(row["question"])
    facts = facts_of(row)
    if said and said != facts:
        raise DataError(where, "the sentences say other facts than are listed")
    spans = [text[a:b] for a, b in row["value_spans"]]
    if said and spans != [fact.value for fact in facts]:
        raise DataError(where, "value_spans are not the values")
    a, b = row["answer_span"]
    if text[a:b] != row["answer"] or text[b:] != ".":
        raise DataError(where, "answer_span is not the answer")
    found = solve(facts, query)
    if found != row["answer"]:
        raise DataError(where, f"the facts answer {found!r}, and the row says {row['answer']!r}")
    return query


def group(query: Query) -> tuple[Any, ...]:
    """What a question asks, without names and values: what is left for who sees the question alone."""
    return (query.kind, query.negated, *(relation.name for relation in query.relations))


def commonest_answers(rows: Iterable[Row]) -> dict[tuple[Any, ...], str]:
    """By what a question asks, the answer that training gives most often; of equals the first in the alphabet."""
    counts: dict[tuple[Any, ...], Counter[str]] = {}
    for row in rows:
        query = parse_question(row["question"])
        counts.setdefault(group(query), Counter())[_placed(row["answer"], query)] += 1
    return {key: min(found, key=lambda word: (-found[word], word)) for key, found in counts.items()}


def _placed(answer: str, query: Query) -> str:
    """The answer, or the place in the question of who it is."""
    return f"#{query.entities.index(answer)}" if answer in query.entities else answer


def shortcuts(rows: Sequence[Row], commonest: dict[tuple[Any, ...], str]) -> Shortcuts:
    """What shortcuts get of these rows, in any order; `commonest` is of training."""
    right = Counter[str]()
    chance = 0.0
    for row, other in zip(rows, [*rows[1:], *rows[:1]], strict=True):
        answer, query = row["answer"], parse_question(row["question"])
        placed = _placed(answer, query)
        blind = commonest.get(group(query), "")
        read = solve(facts_of(other), query) if other["value_spans"] else UNKNOWN
        facts = facts_of(row) if row["value_spans"] else []
        values = [fact.value for fact in facts]
        often = Counter(values)
        asked = query.relations[-1].kind if query.relations else None
        answering = [fact.value for fact in facts if fact.relation.kind == asked] or values
        right["question"] += blind == placed
        right["other"] += (blind if read == UNKNOWN else _placed(read, query)) == placed
        right["first"] += answering[:1] == [answer]
        right["last"] += answering[-1:] == [answer]
        right["often"] += bool(values) and max(values, key=lambda value: often[value]) == answer
        chance += row["chance"]
    num = len(rows)
    shares = (right[name] / num for name in ("question", "other", "first", "last", "often"))
    return Shortcuts(num, chance / num, *shares)
