"""Questions about made-up worlds with their answers as tokens: what `AnswerAccuracy` asks."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vslm.data.tokenizers import FittedTokenizer
from vslm.data.worlds.draws import key_of, shuffled, stream
from vslm.data.worlds.examples import ANSWER, CTX, QUESTION, Example
from vslm.data.worlds.facts import Fact, FreshWorld, Names, facts_of
from vslm.data.worlds.questions import Asker
from vslm.data.worlds.universe import QuestionType, SomeFacts, Universe
from vslm.data.worlds.words import Pool


class Question(NamedTuple):
    """One answer to one question.

    Args:
        split: it is of.
        type, hops, chance: of the question.
        picked: right by who picks any value of the context that is of the kind asked for: see `picked`.
        role: "answer", the one that is right; "memory", that of the fixed world; "hop", a fact of a chain alone.
        example: number of the example it belongs to, among all.
        copied: first tokens of the values of the context, of which S6 tells whether one is said.
        ids: tokens of the text.
        is_answer: which of them are the answer, with its full stop.
    """

    split: str
    type: QuestionType
    hops: int
    chance: float
    picked: float
    role: str
    example: int
    copied: frozenset[int]
    ids: np.ndarray
    is_answer: np.ndarray


class Stored(NamedTuple):
    """A fact whose value is asked for with nothing in front."""

    is_known: bool
    is_asked: bool
    bits: float
    ids: np.ndarray
    is_value: np.ndarray


def questions_of(split: str, example: Example, asker: Asker, tokenizer: FittedTokenizer) -> Iterator[Question]:
    """The example; in S5 and S6 the answer of the fixed world to it; in S4 each fact of a chain of two alone."""
    copied: frozenset[int] = frozenset()
    if split == "S6":
        copied = frozenset(int(tokenizer.encode(f" {fact.value}")[0]) for fact in example.facts)

    def made(before: str, answer: str, role: str, hops: int) -> Question:
        text = f"{before}{answer}."
        ids, is_answer = tokens_of(text, (len(before) - 1, len(text)), tokenizer)
        number, chance = example.draw_seed, example.chance
        return Question(split, example.type, hops, chance, by_kind, role, number, copied, ids, is_answer)

    by_kind = picked(example)
    before = example.text[: example.answer_span[0]]
    yield made(before, example.answer, "answer", example.hops)
    if split in ("S5", "S6"):
        yield made(before, example.memory, "memory", example.hops)
    if split == "S4" and example.type == "two_hop":
        take = stream(key_of("hops", example.draw_seed)).__next__
        for place in example.gold:
            question, answer = asker.about(example.facts[place], take)
            before = f"{example.text[: example.context_span[1]]} {QUESTION} {question} {ANSWER} "
            yield made(before, answer, "hop", 1)


def picked(example: Example) -> float:
    """How often who picks any value of the context that is of the kind asked for is right: any city where one is asked
    for, whoever lives there. Reads what is asked for and not of whom; at least a guess.
    """
    query, facts = example.asked.query, example.facts if example.value_spans else []
    if query.kind not in ("lookup", "inverse"):
        return example.chance
    asked = query.relations[-1]
    if query.kind == "lookup":
        of_kind = [fact.value for fact in facts if fact.relation.kind == asked.kind]
    else:
        of_kind = [fact.subject for fact in facts if fact.relation == asked]
    return max(example.chance, of_kind.count(example.answer) / len(of_kind) if of_kind else 0.0)


def facts_asked(
    universe: Universe,
    tokenizer: FittedTokenizer,
    *,
    count: int,
    seed: int,
    pool: Pool,
    some: SomeFacts | None = None,
) -> Iterator[Stored]:
    """Facts of people, as statements and as questions: of the fixed world, all or some, and of one that nobody saw."""
    take = stream(key_of("bits", seed)).__next__
    known = [fact for fact in facts_of(universe, some) if fact.relation.of == "person"]
    chosen = [known[place] for place in sorted(shuffled(range(len(known)), take)[:count])]
    fresh, relations = FreshWorld(Names.of(universe, pool), take), universe.used("person")
    people = [fresh.person() for _ in range(-(-count // len(relations)))]
    never = [Fact(one, relation, fresh.value(one, relation)) for one in people for relation in relations]
    for is_known, facts in ((True, chosen), (False, never[:count])):
        for fact in facts:
            statement = fact.relation.statements[0].replace("{s}", fact.subject).replace("{v}", "")
            question = fact.relation.questions[0].replace("{s}", fact.subject)
            for is_asked, before in ((False, f"{CTX} {statement}"), (True, f"{CTX} {QUESTION} {question} {ANSWER} ")):
                text = f"{before}{fact.value}"
                ids, is_value = tokens_of(text, (len(before) - 1, len(text)), tokenizer)
                yield Stored(is_known, is_asked, universe.bits_of(fact.relation), ids, is_value)


def tokens_of(text: str, span: tuple[int, int], tokenizer: FittedTokenizer) -> tuple[np.ndarray, np.ndarray]:
    """The ids of a text, and which of them begin in a stretch of it (worlds are ASCII: characters are bytes).

    A space that is a token of its own in front of the answer is no part of it.
    """
    ids = tokenizer.encode(text)
    ends_N = np.cumsum(tokenizer.token_num_bytes[ids])
    starts_N = ends_N - tokenizer.token_num_bytes[ids]
    return ids, (ends_N > span[0] + 1) & (starts_N < span[1])
