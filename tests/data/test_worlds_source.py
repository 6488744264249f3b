"""Worlds as a corpus: what counts, which kinds of documents come, and words as tokens."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from vslm.core.errors import SpecError
from vslm.data.documents import Document, Scored
from vslm.data.preparing import prepare
from vslm.data.sources import Worlds
from vslm.data.tokenizers import BPE, load_tokenizer
from vslm.data.word_tokenizer import Words, WorldWords
from vslm.data.worlds.facts import facts_of
from vslm.data.worlds.shards import Mix
from vslm.data.worlds.universe import SomeFacts, Universe

UNIVERSE = Universe(people=61, first_names=16, last_names=32)
SOURCE = Worlds(universe=UNIVERSE, facts=(2, 5), num_documents=211, context_tokens=131)


def counted(source: Worlds) -> list[list[str]]:
    """The stretches of each document that count."""
    return [[one.text[first:end] for first, end, _ in one.scored or ()] for one in source.documents()]


def test_what_counts_is_what_is_said() -> None:
    """All; the answers; all but the values of the context, which together are the text."""
    texts = [document.text for document in SOURCE.documents()]
    assert counted(replace(SOURCE, counts="all")) == [[text] for text in texts]
    for text, (answer,) in zip(texts, counted(replace(SOURCE, counts="answer")), strict=True):
        assert text.endswith(f" <a>{answer}")
        assert answer.startswith(" ")
    for text, parts in zip(texts, counted(SOURCE), strict=True):
        assert parts[0].startswith("<ctx>")  # and no more, where a value is the first word
        left = text
        for part in parts:  # what is left are values, with the space before each
            assert part in left
            left = left.replace(part, "|", 1)
        values = [value for value in left.split("|") if value]
        assert values
        assert all(value.startswith(" ") for value in values)
        assert parts[-1].endswith(".")
        assert "<a>" in parts[-1]


def test_contexts_are_dropped_as_often_as_said() -> None:
    """Half of them, or all; and the fixed world comes in turn with fresh ones."""
    texts = [one.text for one in replace(SOURCE, num_documents=1009, context_share=0.5, world="both").documents()]
    closed = sum(text.startswith("<ctx> <q>") for text in texts)
    assert closed / 1009 == pytest.approx(0.5, abs=0.06)
    assert all(one.text.startswith("<ctx> <q>") for one in replace(SOURCE, context_share=0.0).documents())
    fixed = {*UNIVERSE.names("fixed")}
    for number, text in enumerate(texts[:100]):
        words = text.replace("<q>", "").replace("?", "").replace(".", "").replace(",", "").split()
        people = {f"{a} {b}" for a, b in itertools.pairwise(words)}
        assert not (people & fixed and people & {*UNIVERSE.names("train")}), text
        if people & {*fixed, *UNIVERSE.names("train")}:
            assert bool(people & fixed) == (number % 2 == 0)


def test_several_questions_follow_one_context() -> None:
    """About other facts of it; each answer counts."""
    source = replace(SOURCE, questions=4, facts=(5,), counts="answer", mix=Mix(one_hop=1, two_hop=0, inverse=0))
    for document in source.documents():
        assert document.text.count("<q>") == document.text.count("<a>") == len(document.scored or ()) >= 3
        context = document.text.split("<q>")[0]
        if "unknown" not in document.text and "yes" not in document.text and "no." not in document.text:
            answers = [document.text[first + 1 : end - 1] for first, end, _ in document.scored or ()]
            assert sum(answer in context for answer in answers[1:]) == len(answers) - 1


def test_exposures_and_seeds_change_documents() -> None:
    """Head people come most; another seed is other documents; a longer corpus begins with the shorter one."""
    source = replace(SOURCE, world="fixed", context_share=0.0, num_documents=701, mix=Mix(two_hop=0))
    first = UNIVERSE.names("fixed")[0]
    found = Counter(first in one.text for one in replace(source, zipf=True).documents())
    even = Counter(first in one.text for one in source.documents())
    assert found[True] > 5 * even[True]
    assert [one.text for one in source.documents()] != [one.text for one in replace(source, seed=1).documents()]
    longer = [one.text for one in replace(source, num_documents=1301).documents()]
    assert longer[:701] == [one.text for one in source.documents()]


def test_a_value_is_one_token_and_other_words_are_bytes() -> None:
    """The tokenizer of worlds, saved and read back."""
    corpus = prepare(SOURCE)
    tokenizer = load_tokenizer(corpus.folder / "tokenizer.json")
    text = next(iter(SOURCE.documents())).text
    words = [tokenizer.token_bytes[token].decode() for token in tokenizer.encode(text)]
    assert words[0] == "<ctx>"
    assert {" <q>", " <a>"} <= {*words}
    assert "".join(words) == text
    assert np.mean([len(word) > 1 or word in ".?,>" for word in words]) > 0.99
    odd = "ádám\n<|endoftext|> <q>\x00 10_000 日本"
    assert tokenizer.decode(tokenizer.encode(odd)) == odd
    assert 0 not in tokenizer.encode(odd)
    assert tokenizer.fingerprint == corpus.tokenizer_fingerprint
    for other in (replace(SOURCE, world="fixed", context_share=0.0), replace(SOURCE, counts="all")):
        assert other.tokenizer == WorldWords(universe=UNIVERSE)
        assert prepare(other).tokenizer_fingerprint == corpus.tokenizer_fingerprint
    assert corpus.vocabulary == WorldWords(universe=UNIVERSE).known_vocabulary
    fewer = Universe(people=61, first_names=16, last_names=32, relations=("job",))
    assert replace(SOURCE, universe=fewer).tokenizer == WorldWords(universe=fewer)


def test_words_are_the_commonest_ones_and_no_more_than_asked_for() -> None:
    """Of equals the first in the alphabet; a text of fewer has fewer."""
    fitted = Words(vocabulary=261).fit(["b a a c", " b d e"])
    assert fitted.vocabulary == 261
    assert [fitted.token_bytes[token].decode() for token in range(257, 261)] == [" a", " b", " c", " d"]
    assert Words().fit(["one two"]).vocabulary == 259
    with pytest.raises(SpecError, match="258 or more"):
        Words(vocabulary=257)


def test_another_tokenizer_will_do() -> None:
    """Rows are of its tokens."""
    corpus = prepare(replace(SOURCE, tokenizer=BPE(vocabulary=509), num_documents=307, context_tokens=251))
    assert len(corpus.train.tokens) % 251 == 0
    assert corpus.vocabulary == 509


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"facts": ()}, "one number or more"),
        ({"facts": (0,)}, "1 to 128"),
        ({"levels": ()}, "none is given"),
        ({"context_share": 1.5}, "a share from 0 to 1"),
        ({"questions": 5}, "1 to 4"),
        ({"zipf": True}, "of fresh worlds"),
        ({"num_documents": 7}, "64 or more"),
        ({"seed": 2**60}, "is needed"),
        ({"mix": Mix(one_hop=0, inverse=0, two_hop=1, comparison=0, negation=0, counting=0, unknown=0)}, "relations"),
        (
            {
                "context_share": 0.5,
                "mix": Mix(one_hop=0, inverse=1, two_hop=0, comparison=0, negation=0, counting=0, unknown=0),
            },
            "without a context",
        ),
    ],
)
def test_what_cannot_be_made_is_refused(fields: dict, words: str) -> None:
    """Before any document."""
    universe = Universe(people=8, relations=("job", "pet"))
    with pytest.raises(SpecError, match=words):
        replace(Worlds(universe=universe, num_documents=64), **fields)


def test_rows_of_their_own_hold_the_same_questions_with_facts_and_without() -> None:
    """Document by document the same questions and answers, the same split; in one the facts stand in front."""
    opened = replace(
        SOURCE, world="fixed", counts="answer", mix=Mix(two_hop=0), questions=3, own_rows="open", num_documents=307
    )
    closed = replace(opened, own_rows="closed")
    pairs = list(zip(opened.documents(), closed.documents(), strict=True))
    for one, other in pairs:
        assert one.text[one.front :] == other.text[other.front :]
        assert other.text.startswith("<ctx> <q>")
        assert one.front > other.front == len("<ctx>")
        answers = [[text[first:end] for first, end, _ in scored] for text, scored in (_scored(one), _scored(other))]
        assert answers[0] == answers[1] != []
    first, second = (prepare(source) for source in (opened, closed))
    assert first.align_tokens == 131
    for split in ("train", "select", "val"):
        assert first.meta["judged"][split] == second.meta["judged"][split]
        assert first.split(split).num_tokens == second.split(split).num_tokens
    for fields in ({"counts": "all"}, {"context_share": 0.5}):
        with pytest.raises(SpecError, match=f'{next(iter(fields))}: found .* with own_rows="open"'):
            replace(opened, **fields)


def _scored(document: Document) -> tuple[str, tuple[Scored, ...]]:
    return document.text, document.scored or ()


def test_parts_of_the_fixed_world_share_no_fact_and_are_all_of_it() -> None:
    """Every question of a part is about one of its facts, with several questions and with facts in front, too."""
    asked: list[set[tuple[str, str]]] = []
    one_hop = Mix(one_hop=1, inverse=0, two_hop=0, comparison=0, negation=0, counting=0, unknown=0)
    small = replace(SOURCE, universe=Universe(people=11, relations=("lives_in", "job"), first_names=16, last_names=16))
    every = {(fact.subject, fact.relation.name) for fact in facts_of(small.universe)}
    for some in (SomeFacts(end=0.3), SomeFacts(first=0.3)):
        for share in (0.0, 1.0):
            source = replace(small, world="fixed", mix=one_hop, questions=2, some=some, context_share=share)
            found = set()
            for document in source.documents():
                for part in document.text.split("<q>")[1:]:
                    question = part.split("?")[0]
                    found |= {
                        (name, "job" if any(word in question for word in ("job", "work", "trade")) else "lives_in")
                        for name in small.universe.names("fixed")[:11]
                        if name in question
                    }
            asked.append(found)
    assert asked[0] == asked[1]
    assert asked[2] == asked[3]
    assert not asked[0] & asked[2]
    assert asked[0] | asked[2] == every
    assert len(facts_of(small.universe, SomeFacts(end=0.3))) == len(asked[0])
    with pytest.raises(SpecError, match='some: found a part of the facts of world="fresh"'):
        replace(small, some=SomeFacts(end=0.3), mix=one_hop)
    with pytest.raises(SpecError, match="mix: found other questions beside one_hop"):
        replace(SOURCE, world="fixed", some=SomeFacts(end=0.3))
    with pytest.raises(SpecError, match="some: none of 22 facts is in it"):
        replace(small, world="fixed", mix=one_hop, some=SomeFacts(end=1e-9))
    with pytest.raises(SpecError, match=r"0 <= first < end <= 1"):
        SomeFacts(first=0.5, end=0.5)


def test_one_world_is_known_and_others_are_read() -> None:
    """The fixed world has a share of contexts of its own."""
    source = replace(SOURCE, world="both", fixed_context_share=0.0, mix=Mix(inverse=0, counting=0, unknown=0))
    for number, document in enumerate(source.documents()):
        assert document.text.startswith("<ctx> <q>") == (number % 2 == 0)
    with pytest.raises(SpecError, match=r'fixed_context_share: found 0\.0 of world="fresh"'):
        replace(SOURCE, fixed_context_share=0.0)


def test_answers_of_one_type_are_told() -> None:
    """The values that the universe has of each kind; people where somebody has a friend."""
    assert set(SOURCE.answer_types()) >= {"city", "job", "person", "year"}
    assert SOURCE.answer_types()["person"] == UNIVERSE.names("fixed")[:61]
    few = replace(SOURCE, universe=Universe(people=11, relations=("job",), num_values=3))
    assert few.answer_types() == {"job": ("baker", "barber", "butcher")}


def test_worlds_counter_to_the_fixed_one_have_its_people_and_other_values() -> None:
    """Drawn anew for every example: right about as often as by chance, with facts in front and without."""
    small = Universe(people=13, relations=("lives_in", "job"), num_values=5, first_names=16, last_names=16)
    one_hop = Mix(one_hop=1, inverse=0, two_hop=0, comparison=0, negation=0, counting=0, unknown=0)
    source = replace(SOURCE, universe=small, mix=one_hop, counts="answer", world="counter", num_documents=499)
    true = {
        fact.subject: {one.value for one in facts_of(small) if one.subject == fact.subject} for fact in facts_of(small)
    }
    for share in (1.0, 0.0):
        as_known, people = 0, set()
        for document in replace(source, context_share=share).documents():
            question = document.text.split("<q>")[1]
            (person,) = (name for name in true if name in question)
            ((first, end, _),) = document.scored or ()
            people.add(person)
            as_known += document.text[first + 1 : end - 1] in true[person]
            assert share == 0 or document.text[first + 1 : end - 1] in document.text.split("<q>")[0]
        assert people == set(true)
        assert as_known / 499 == pytest.approx(0.2, abs=0.07)
    with pytest.raises(SpecError, match="zipf: found True of counter worlds"):
        replace(source, zipf=True)
