"""Made-up worlds: texts say their facts, answers follow from them, and nothing else tells the answer."""

import hashlib
import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from scipy import stats

from vslm.core.errors import DataError, ResultError, SpecError
from vslm.data.worlds import draws
from vslm.data.worlds.checks import commonest_answers, prove, shortcuts
from vslm.data.worlds.contexts import Diversity
from vslm.data.worlds.examples import Example, Examples
from vslm.data.worlds.facts import fixed_world
from vslm.data.worlds.plans import LEVELS, SPLITS, Plan, plan_of
from vslm.data.worlds.shards import Mix, Written, read_manifest, read_rows, row_of, universe_of, write
from vslm.data.worlds.solver import parse_context, parse_question, solve
from vslm.data.worlds.stories import Stories
from vslm.data.worlds.universe import HELD_OUT, Universe
from vslm.data.worlds.wording import FRAMES, RELATIONS, WORDINGS
from vslm.data.worlds.words import (
    FIRST_NAMES,
    LAST_NAMES,
    NUMBERS,
    UNSEEN_FIRST_NAMES,
    UNSEEN_LAST_NAMES,
    VALUES,
    pairs,
)

UNIVERSE = Universe(people=211)
TRAIN = Plan("train", "", types=Mix().types(UNIVERSE, "fresh"), pool="train", in_turn=False)


def made(name: str, count: int = 97, first_seed: int = 10_007) -> list[Example]:
    """Examples of a split."""
    return list(Examples(UNIVERSE, plan_of(name)).many(first_seed, count if name != "S8" else count // 8))


def test_numbers_are_those_of_splitmix() -> None:
    """Published values of SplitMix64 with seed 0, and rows in numpy are streams in Python."""
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert draws.rows([0], 0, 3) == [published]
    keys = [draws.key_of("a", seed) for seed in (0, 1, 2**62)]
    for key, row in zip(keys, draws.rows(keys, 0, 7), strict=True):
        numbers = draws.stream(key, row[:3])
        assert [next(numbers) for _ in range(7)] == row
        assert draws.rows([key], 4, 3) == [row[4:]]


def test_a_word_means_one_thing() -> None:
    """No value, name, number or word of a sentence is written like another."""
    values = [value for kind, found in VALUES.items() if kind != "friend" for value in found]
    names = [*FIRST_NAMES, *LAST_NAMES, *UNSEEN_FIRST_NAMES, *UNSEEN_LAST_NAMES]
    texts = [text for relation in RELATIONS for text in (*relation.statements, *relation.questions, *relation.phrases)]
    texts += [text for frames in FRAMES.values() for text in frames]
    texts += [text for relation in RELATIONS for text in (*relation.clause, relation.same)]
    spoken = {word.strip("?,.") for text in texts for word in text.split() if "{" not in word}
    spoken |= {"he", "she", "it", "and", "yes", "no", "unknown"}
    assert len({*values, *names}) == len(values) + len(names)
    assert not spoken & {*values, *names, *NUMBERS}
    assert (len(FIRST_NAMES), len(LAST_NAMES)) == (200, 400)
    assert [len(VALUES[relation.kind]) for relation in RELATIONS if relation.kind != "person"] == [
        *(64, 64, 128, 32, 32, 16, 32, 100),
        *(16, 64, 100, 16, 64),
    ]


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_later_sentences_use_words_that_training_shows(relation) -> None:
    """12 sentences and 8 questions, all different; four or more begin with the subject; no new words in a test."""

    def words(texts) -> set[str]:
        return {word for text in texts for word in text.replace("?", "").split()}

    assert (len({*relation.statements}), len({*relation.questions})) == (12, 8)
    assert [len(relation.statements_of(wording)) for wording in WORDINGS] == [8, 2, 2]
    assert [len(relation.questions_of(wording)) for wording in WORDINGS] == [6, 1, 1]
    assert sum(one.joins for one in relation.statements_of("train")) >= 4
    known = words([*relation.statements[:8], *relation.questions[:6]])
    assert words([*relation.statements[8:], *relation.questions[6:]]) <= known
    assert all(" and " not in text and ". " not in text for text in relation.statements)


def test_pairs_of_names_do_not_cross_and_every_name_occurs_in_training() -> None:
    """Also where there are few of them."""
    for sizes in ((200, 400), (16, 32), (8, 47)):
        pools = {pool: set(pairs(pool, *sizes)) for pool in ("fixed", "train", "val", "test")}
        assert sum(map(len, pools.values())) == len(set().union(*pools.values())) == sizes[0] * sizes[1]
        names = {pool: {word for name in found for word in name.split()} for pool, found in pools.items()}
        assert names["val"] | names["test"] <= names["train"] & names["fixed"]
    first = {word for name in pairs("fixed", 16, 32)[:47] for word in name.split()}
    assert len(first) == 48  # the first people know all names
    assert not {word for name in pairs("unseen", 200, 400) for word in name.split()} & {*FIRST_NAMES, *LAST_NAMES}


def test_bits_are_those_of_the_specification() -> None:
    """44.64 a person, and the friend; cities have 16.64 and companies 10."""
    universe = Universe(people=1024)
    assert universe.bits_per_person == pytest.approx(44.64 + 9.9986, abs=0.01)
    assert universe.bits == pytest.approx(1024 * universe.bits_per_person + 64 * 16.644 + 128 * 10, abs=1)


def test_the_fixed_world_is_one_and_everybody_is_somebodys_friend() -> None:
    """A value for every relation; friends are a derangement; another seed is another world."""
    world, other = fixed_world(UNIVERSE), fixed_world(replace(UNIVERSE, seed=3))
    facts = world.facts()
    assert len(facts) == len({(fact.subject, fact.relation.name) for fact in facts}) == 211 * 9 + 64 * 3 + 128 * 2
    friends = {fact.subject: fact.value for fact in facts if fact.relation.name == "friend"}
    assert sorted(friends.values()) == sorted(friends) == sorted(world.people)
    assert all(a != b for a, b in friends.items())
    same = sum(a.value == b.value for a, b in zip(facts, other.facts(), strict=True))
    assert same < 0.1 * len(facts)


@pytest.mark.parametrize("name", SPLITS)
def test_every_answer_follows_from_its_text_alone(name: str) -> None:
    """The text is read back as its facts and its question; what they answer is the answer; spans are what they say."""
    plan = plan_of(name)
    for example in made(name):
        query = prove(row_of(example, plan))
        assert query == example.asked.query
        first, end = example.context_span
        read = parse_context(example.text[first:end])
        assert read == (example.facts if plan.open_book else [])
        if not plan.open_book:
            assert example.text.startswith("<ctx> <q> ")
            assert solve(read, query) in ("unknown", "zero")
        gold = [example.facts[place] for place in example.gold]
        if example.answer not in ("unknown", "zero"):
            assert solve(gold, query) == example.answer
            assert all(solve([fact for fact in gold if fact != one], query) != example.answer for one in gold) or (
                example.type in ("comparison", "negation", "counting")
            )


def test_what_a_split_is_holds_for_its_examples() -> None:
    """Names of their pool, chains that are held out, facts counter to the world, and facts that are left out."""
    world = fixed_world(UNIVERSE)
    for example in made("S4"):
        people = {fact.subject for fact in example.facts if fact.relation.of == "person"}
        assert people <= {*pairs("test", 200, 400)}
    for example in made("S3"):
        assert all(world.value(fact.subject, fact.relation) == fact.value for fact in example.facts)
    for example in made("S5"):
        counter = [fact for fact in example.facts if world.value(fact.subject, fact.relation) != fact.value]
        assert [example.facts[example.gold[-1]]] == counter
        assert example.answer != example.memory
    for example in made("S6"):
        assert (example.answer, example.gold) == ("unknown", [])
        assert solve(world.facts(), example.asked.query) == example.memory
    for example in made("S11"):
        chain = tuple(relation.name for relation in example.asked.query.relations)
        assert len(chain) == 3 or chain in HELD_OUT
    for example in Examples(UNIVERSE, TRAIN).many(0, 499):
        chain = tuple(relation.name for relation in example.asked.query.relations)
        assert len(chain) < 3
        assert chain not in HELD_OUT
    assert {len(example.facts) for example in made("S8")} == {64, 128}
    people = [fact.subject for example in made("S12") for fact in example.facts if fact.relation.of == "person"]
    assert all(name[0] == "e" and name[1:].isdigit() for name in people)


def test_levels_put_beside_the_gold_what_they_say() -> None:
    """The relation asked for, of others; other relations of the one who is asked about; people who share a name."""
    by_level: dict[str, list[Example]] = {}
    for example in made("S7", 389):
        if example.type == "one_hop" and len(example.facts) == 8 and example.asked.query.relations[0].of == "person":
            by_level.setdefault(example.distractors, []).append(example)

    def share(level: str, is_so) -> float:
        found = [
            is_so(fact, example.facts[example.gold[0]])
            for example in by_level[level]
            for place, fact in enumerate(example.facts)
            if place not in example.gold
        ]
        return sum(found) / len(found)

    def same_relation(fact, gold) -> bool:
        return fact.relation == gold.relation and fact.subject != gold.subject

    def shares_a_name(fact, gold) -> bool:
        return same_relation(fact, gold) and bool({*fact.subject.split()} & {*gold.subject.split()})

    assert share("relation", same_relation) > 0.95 > 0.3 > share("random", same_relation)
    assert share("entity", lambda fact, gold: fact.subject == gold.subject) > 0.9
    assert share("name", shares_a_name) > 0.9 > 0.1 > share("relation", shares_a_name)


def test_sentences_are_joined_and_pronouns_are_clear() -> None:
    """Three in ten of neighbors about the same subject, each; never where a pronoun could mean a friend."""
    plan = Plan("t", "", types=("one_hop",), sizes=(8,), levels=("entity",), in_turn=False)
    joined = pronouns = neighbors = 0
    for example in Examples(UNIVERSE, plan).many(0, 499):
        first, end = example.context_span
        context = example.text[first:end]
        joined += context.count(" and ")
        for before, fact in zip(example.facts, example.facts[1:], strict=False):
            neighbors += before.subject == fact.subject
        for before, after in zip(context.split(". "), context.split(". ")[1:], strict=False):
            if after.split()[0] in ("he", "she"):
                pronouns += 1
                if not before.startswith(("he ", "she ")):
                    assert parse_context(f"{before}.")[-1].relation.kind != "person"
    assert joined / neighbors == pytest.approx(0.2, abs=0.08)  # only behind a sentence that begins with its subject
    assert pronouns / neighbors == pytest.approx(0.3, abs=0.08)


@pytest.mark.slow
def test_shortcuts_end_at_chance_and_answers_are_balanced() -> None:
    """6.7 of the specification, on a universe small enough that chance is seen: nobody answers who does not read."""
    plan = replace(TRAIN, types=tuple(kind for kind in TRAIN.types if kind != "unknown"))
    train = [row_of(example, plan) for example in Examples(UNIVERSE, plan).many(0, 3000)]
    commonest = commonest_answers(train)
    # A guess is right by chance; the tolerance of one point is of the expectation, so three errors of it are added.
    for name, kinds in (("S4", ("one_hop", "two_hop", "comparison", "negation", "counting")), ("S2", ("one_hop",))):
        for kind in kinds:
            asked = replace(plan_of(name), types=(kind,))
            rows = [row_of(example, asked) for example in Examples(UNIVERSE, asked).many(2**40, 500)]
            found = shortcuts(rows, commonest)
            most = found.chance + 0.01 + 3 * (found.chance * (1 - found.chance) / len(rows)) ** 0.5
            assert found.question_only <= most, (name, kind, found)
            # What another context says of it, where it says anything, is a guess among what can be said.
            assert found.other_context <= most + 0.01, (name, kind, found)
            if kind == "negation":
                counts = Counter(row["answer"] for row in rows if row["answer"] in ("yes", "no"))
                assert stats.chisquare([*counts.values()]).pvalue > 1e-3
            if kind == "counting":
                counts = Counter(row["answer"] for row in rows)
                assert len(counts) == 6
                assert stats.chisquare([*counts.values()]).pvalue > 1e-3
    for kind in ("city", "pet"):
        values = Counter(fact["facts"][0][2] for fact in train)
        counted = [values[value] for value in VALUES[kind]]
        assert stats.chisquare(counted).pvalue > 1e-3


def test_nothing_of_the_test_stands_in_training() -> None:
    """No pair of names is shared, so no (pair, relation, value, sentence) is."""
    train = {fact.subject for example in Examples(UNIVERSE, TRAIN).many(0, 700) for fact in example.facts}
    test = {fact.subject for example in made("S4", 300) for fact in example.facts if fact.relation.of == "person"}
    assert test
    assert not train & test


def test_gold_facts_stand_everywhere() -> None:
    """In each fifth of the context about equally often, where there is one."""
    plan = Plan("t", "", types=("one_hop",), sizes=(32,), levels=("random",))
    found = Counter(example.gold_quintile for example in Examples(UNIVERSE, plan).many(0, 1000))
    assert set(found) == {0, 1, 2, 3, 4}
    assert stats.chisquare([found[q] for q in range(5)], [1000 * n / 32 for n in (7, 6, 7, 6, 6)]).pvalue > 1e-3


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("diversity", get_args(Diversity))
@pytest.mark.parametrize("world", ["fixed", "fresh"])
def test_the_place_of_a_fact_does_not_tell_that_it_is_asked_for(world, diversity, level) -> None:
    """However the facts are ordered: who reads nothing but places has no answer. The first value that can be the answer
    is right as often as the last one, and a fact that answers stands at every place alike.
    """
    plan = Plan("t", "", world, types=("one_hop",), sizes=(4,), levels=(level,), diversity=diversity)
    examples = list(Examples(UNIVERSE, plan).many(0, 997))
    places = Counter(example.gold[0] for example in examples)
    # Where all facts are of one subject, in the order of relations, their places are those of the relations.
    if level != "entity" or diversity in ("full", "multi5_permute"):
        assert stats.chisquare([places[place] for place in range(4)]).pvalue > 1e-4
    assert max(places.values()) < 0.35 * 997
    found = shortcuts([row_of(example, plan) for example in examples], {})
    assert abs(found.first_value - found.last_value) < 0.1  # three errors of a difference


def test_hops_stand_in_any_order() -> None:
    """The fact that is asked for last is as often the first in the text."""
    for diversity in get_args(Diversity):
        plan = Plan("t", "", types=("two_hop",), sizes=(4,), diversity=diversity)
        gold = [example.gold for example in Examples(UNIVERSE, plan).many(0, 499)]
        first = sum(one < other for one, other in gold)
        assert stats.binomtest(first, len(gold)).pvalue > 1e-4, diversity


def test_exposures_differ_where_they_should() -> None:
    """The n-th person comes with a weight of 1 / n."""
    plan = Plan("t", "", "fixed", types=("one_hop",), open_book=False, zipf=True, in_turn=False)
    universe = Universe(people=64, relations=("job", "pet"))
    rank = fixed_world(universe).rank
    found = Counter(rank(example.asked.query.entities[0]) for example in Examples(universe, plan).many(0, 3000))
    harmonic = sum(1 / n for n in range(1, 65))
    assert found[0] / 3000 == pytest.approx(1 / harmonic, rel=0.15)
    assert found[9] / 3000 == pytest.approx(0.1 / harmonic, rel=0.5)


@pytest.mark.parametrize("diversity", ["single", "multi5", "multi5_permute"])
def test_less_diverse_texts_say_the_same(diversity) -> None:
    """Read back as their facts; one sentence, or five."""
    plan = Plan("t", "", types=("one_hop",), sizes=(6,), diversity=diversity, in_turn=False)
    for example in Examples(UNIVERSE, plan).many(0, 53):
        first, end = example.context_span
        assert parse_context(example.text[first:end]) == example.facts
        if diversity == "single":
            said = [fact.relation.statements[0] for fact in example.facts]
            assert example.text[first:end].count(". ") == 5
            assert all(text.startswith("{s}") for text in said)


def test_stories_follow_from_their_facts() -> None:
    """Every span is a value of its facts, or what two of them compare to; a shuffled context says none of them."""
    kinds = Counter[int]()
    for story in Stories(UNIVERSE, "test").many(3, 101):
        assert parse_context(story.context) == story.facts
        shuffled = parse_context(story.shuffled_context)
        assert [(f.subject, f.relation) for f in shuffled] == [(f.subject, f.relation) for f in story.facts]
        assert all(
            a.value != b.value for a, b in zip(shuffled, story.facts, strict=True) if a.relation.kind != "person"
        )
        for (first, end), hops, gold in zip(story.spans, story.hops, story.gold, strict=True):
            facts = [story.facts[place] for place in gold]
            shown = story.story[first:end]
            kinds[hops] += 1
            assert len(facts) == hops
            if shown not in ("the same city", "different cities", "together", "by two roads"):
                assert shown in (facts[-1].value, *(fact.subject for fact in facts))
        assert "{" not in story.story
    assert kinds[1] > 100
    assert kinds[2] > 100


WHAT = Written(Universe(people=37, first_names=16, last_names=32, seed=5), 5, 41, 3, 7)
# Of all files of WHAT, in their order: regenerated anywhere, they are the same bytes.
DIGEST = "31ebb53e68d76495"


def test_written_twice_it_is_the_same_bytes_and_proves_itself(tmp_path: Path) -> None:
    """And the bytes that every version of Python writes."""
    manifest = write(WHAT, tmp_path / "a", say=lambda words: None)
    write(WHAT, tmp_path / "b", say=lambda words: None)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    assert {str(name) for name in files} == {*manifest["files"], "README.md", "LICENSE", "manifest.json"}
    digests = [file["sha256"] for file in manifest["files"].values()]
    assert hashlib.sha256("".join(digests).encode()).hexdigest()[:16] == DIGEST
    read = read_manifest(tmp_path / "a")
    assert universe_of(read) == WHAT.universe
    fields = set()
    for name in read["files"]:
        rows = list(read_rows(tmp_path / "a" / name))
        assert len(rows) == read["files"][name]["rows"]
        if name.startswith("questions"):
            fields |= {(*row,) for row in rows}
            assert all(prove(row) for row in rows)
    assert len(fields) == 1  # one schema


def test_seeds_of_splits_do_not_meet(tmp_path: Path) -> None:
    """Nor those of another seed."""
    ranges = []
    for seed in (0, 1):
        manifest = write(replace(WHAT, seed=seed), tmp_path / str(seed), say=lambda words: None)
        ranges += [file["seeds"] for file in manifest["files"].values() if "seeds" in file]
    ranges.sort()
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ranges))


def test_damage_is_named(tmp_path: Path) -> None:
    """A file that was changed, one that is gone, a folder that has no manifest, one that is not empty."""
    write(WHAT, tmp_path / "a", say=lambda words: None)
    with pytest.raises(SpecError, match="there is something there"):
        write(WHAT, tmp_path / "a")
    place = tmp_path / "a" / "questions" / "S4.jsonl"
    text = place.read_text()
    place.write_text(text.replace("lives", "dwells"))
    with pytest.raises(DataError, match=r"S4\.jsonl: missing, or not as it was written"):
        read_manifest(tmp_path / "a")
    place.write_text("{\n")
    with pytest.raises(DataError, match=r"S4\.jsonl:1: no JSON"):
        list(read_rows(place))
    with pytest.raises(ResultError):
        read_manifest(tmp_path)
    row = json.loads(text.splitlines()[0])
    with pytest.raises(DataError, match="answer_span is not the answer"):
        prove(row | {"answer": "nothing"})


def test_a_text_that_is_not_of_worlds_is_refused() -> None:
    """In words."""
    with pytest.raises(DataError, match="means nothing"):
        parse_context("bala badak dwells in bastad.")
    with pytest.raises(DataError, match="means nothing"):
        parse_question("where does bala badak dwell?")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"people": 40_000}, "have a name of their own"),
        ({"people": 300, "first_names": 16, "last_names": 32}, "have a name of their own"),
        ({"relations": ("livs_in",)}, "did you mean lives_in"),
        ({"relations": ("job", "job")}, "twice"),
        ({"relations": ("country", "job")}, "nobody has one"),
        ({"relations": ("country",)}, "nobody has one"),
        ({"num_values": 1}, "2 or more"),
        ({"first_names": 201}, "8 to 200"),
        ({"first_names": 8, "last_names": 8}, "12 or more are needed"),
    ],
)
def test_a_universe_that_cannot_be_is_refused(fields: dict, words: str) -> None:
    """Before anything is drawn."""
    with pytest.raises(SpecError, match=words):
        Universe(**{"people": 8, **fields})


def test_a_folder_is_loaded_by_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its card, all splits with one schema."""
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    manifest = write(WHAT, tmp_path / "a", say=lambda words: None)
    for kind in ("questions", "stories", "facts"):
        found = datasets.load_dataset(str(tmp_path / "a"), kind, cache_dir=str(tmp_path / "cache"))
        files = {name: one for name, one in manifest["files"].items() if name.startswith(kind)}
        assert sum(split.num_rows for split in found.values()) == sum(one["rows"] for one in files.values())
        assert len({str(split.features) for split in found.values()}) == 1
