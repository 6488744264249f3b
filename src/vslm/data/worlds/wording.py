"""How a fact is stated, and how it is asked for.

Each relation has 12 statements (8 for training, 2 for validation, 2 for test) and 8 questions (6, 1, 1). Words of the
later ones all occur in earlier ones of the same relation, so what is new in a test is the sentence. `{s}` is the
subject and `{v}` the value; a statement that begins with its subject can be joined to another about the same subject
("ada lives in x and works at y"), or begin with a pronoun.
"""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from vslm.data.worlds.words import VALUES

Wording = Literal["train", "val", "test"]
WORDINGS: tuple[Wording, ...] = ("train", "val", "test")

_STATEMENTS = {"train": slice(0, 8), "val": slice(8, 10), "test": slice(10, 12)}
_QUESTIONS = {"train": slice(0, 6), "val": slice(6, 7), "test": slice(7, 8)}
_PHRASES = {"train": slice(0, 2), "val": slice(2, 3), "test": slice(3, 4)}


class Statement(NamedTuple):
    """A sentence around a subject and a value: `before`, one of them, `between`, the other, `after`."""

    before: str
    between: str
    after: str
    subject_first: bool

    @property
    def joins(self) -> bool:
        """Whether it begins with its subject."""
        return self.subject_first and not self.before


@dataclass(frozen=True)
class Relation:
    """What can be said of something, one value at a time.

    Args:
        name: of the relation.
        of: kind of its subject: "person", "city" or "company".
        kind: of its values: "person", or a key of `VALUES`.
        statements: 12 sentences.
        questions: 8 questions.
        phrases: 4 ways to name the value by its subject, where it can be asked about: "the city where {s} lives".
        clause: three forms behind a person: that it is so, that it is not, and of several people; empty where nothing
            is asked in this way.
        same: what two people with the same value do; empty where nothing is asked in this way.
    """

    name: str
    of: str
    kind: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    phrases: tuple[str, ...] = ()
    clause: tuple[str, str, str] | tuple[()] = ()
    same: str = ""

    @functools.cached_property
    def values(self) -> tuple[str, ...]:
        """All values, none for people."""
        return VALUES.get(self.kind, ())

    def statements_of(self, wording: Wording) -> tuple[Statement, ...]:
        """The sentences of a wording."""
        return _taken_apart(self.statements[_STATEMENTS[wording]])

    def questions_of(self, wording: Wording) -> tuple[str, ...]:
        """The questions of a wording."""
        return self.questions[_QUESTIONS[wording]]

    def phrases_of(self, wording: Wording) -> tuple[str, ...]:
        """The phrases of a wording."""
        return self.phrases[_PHRASES[wording]]


@functools.cache
def _taken_apart(statements: tuple[str, ...]) -> tuple[Statement, ...]:
    found = []
    for text in statements:
        first = text.index("{s}") < text.index("{v}")
        marks = ("{s}", "{v}") if first else ("{v}", "{s}")
        before, rest = text.split(marks[0])
        between, after = rest.split(marks[1])
        found.append(Statement(before, between, after, first))
    return tuple(found)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().split("\n"))


RELATIONS: tuple[Relation, ...] = (
    Relation(
        "born_in",
        "person",
        "city",
        _lines("""{s} was born in {v}
            {s} comes from {v}
            {s} is from {v}
            {s} was a child in {v}
            {s} has roots in {v}
            the birthplace of {s} is {v}
            {v} is where {s} comes from
            it was in {v} where {s} was born
            {v} is the birthplace of {s}
            {v} is where {s} was born
            it is {v} where {s} comes from
            {v} is where {s} was a child"""),
        _lines("""where was {s} born?
            in which city was {s} born?
            what is the birthplace of {s}?
            where does {s} come from?
            which city is {s} from?
            what city was {s} born in?
            which city is the birthplace of {s}?
            what city is {s} from?"""),
        (
            "the city where {s} was born",
            "the birthplace of {s}",
            "the city where {s} comes from",
            "the city {s} was born in",
        ),
        ("was born in {v}", "was not born in {v}", "were born in {v}"),
        "were born in the same city",
    ),
    Relation(
        "lives_in",
        "person",
        "city",
        _lines("""{s} lives in {v}
            {s} has a home in {v}
            {s} makes a home in {v}
            {s} is living in {v}
            the home of {s} is in {v}
            {v} is the home of {s}
            it is {v} where {s} lives
            you find {s} at home in {v}
            {s} is at home in {v}
            {v} is where {s} lives
            {v} is where {s} has a home
            it is in {v} where {s} is living"""),
        _lines("""where does {s} live?
            in which city does {s} live?
            where is the home of {s}?
            what city does {s} live in?
            in what city is the home of {s}?
            which city is the home of {s}?
            where is {s} at home?
            what city is the home of {s}?"""),
        ("the city where {s} lives", "the home city of {s}", "the city where {s} is at home", "the city {s} lives in"),
        ("lives in {v}", "does not live in {v}", "live in {v}"),
        "live in the same city",
    ),
    Relation(
        "works_at",
        "person",
        "company",
        _lines("""{s} works at {v}
            {s} has a job at {v}
            {s} is employed at {v}
            {s} earns a living at {v}
            the employer of {s} is {v}
            {v} employs {s}
            {v} pays {s} for work
            it is at {v} where {s} works
            {v} is the employer of {s}
            {v} is where {s} works
            {v} is where {s} has a job
            it is at {v} where {s} is employed"""),
        _lines("""where does {s} work?
            at which company does {s} work?
            what is the employer of {s}?
            which company employs {s}?
            what company does {s} work at?
            which company pays {s}?
            which company is the employer of {s}?
            at what company does {s} work?"""),
        (
            "the company where {s} works",
            "the employer of {s}",
            "the company where {s} is employed",
            "the company {s} works at",
        ),
        ("works at {v}", "does not work at {v}", "work at {v}"),
        "work at the same company",
    ),
    Relation(
        "job",
        "person",
        "job",
        _lines("""{s} works as a {v}
            {s} is a {v}
            {s} has the job of a {v}
            {s} earns money as a {v}
            the job of {s} is {v}
            the trade of {s} is that of a {v}
            {v} is the job of {s}
            by trade {s} is a {v}
            {s} is by trade a {v}
            {v} is the trade of {s}
            the trade of {s} is {v}
            as a {v} {s} earns money"""),
        _lines("""what is the job of {s}?
            what does {s} do for work?
            which job does {s} have?
            what job does {s} have?
            what is the trade of {s}?
            as what does {s} work?
            which trade does {s} have?
            what trade does {s} have?"""),
        (),
        ("works as a {v}", "does not work as a {v}", "work as a {v}"),
        "have the same job",
    ),
    Relation(
        "pet",
        "person",
        "pet",
        _lines("""{s} has a {v}
            {s} keeps a {v}
            {s} owns a {v}
            {s} lives with a {v}
            {s} feeds the {v}
            the pet of {s} is a {v}
            a {v} is the pet of {s}
            there is a {v} in the house of {s}
            in the house of {s} there is a {v}
            a {v} lives with {s}
            the {v} is the pet of {s}
            a {v} is in the house of {s}"""),
        _lines("""what pet does {s} have?
            which pet does {s} keep?
            what is the pet of {s}?
            which animal does {s} have?
            what animal does {s} own?
            what does {s} keep as a pet?
            which animal is the pet of {s}?
            what animal does {s} keep?"""),
        (),
        ("has a {v}", "does not have a {v}", "have a {v}"),
        "have the same pet",
    ),
    Relation(
        "colour",
        "person",
        "colour",
        _lines("""{s} likes {v}
            {s} likes the colour {v}
            {s} loves the colour {v}
            {s} prefers {v}
            {s} wears {v}
            the favourite colour of {s} is {v}
            {v} is the favourite colour of {s}
            the colour that {s} likes is {v}
            {v} is the colour that {s} likes
            {s} prefers the colour {v}
            {s} loves {v}
            {v} is the colour that {s} prefers"""),
        _lines("""what colour does {s} like?
            which colour does {s} like?
            what is the favourite colour of {s}?
            which colour does {s} prefer?
            which colour is the favourite of {s}?
            what colour does {s} love?
            what colour does {s} prefer?
            which colour does {s} love?"""),
        (),
        ("likes {v}", "does not like {v}", "like {v}"),
        "like the same colour",
    ),
    Relation(
        "instrument",
        "person",
        "instrument",
        _lines("""{s} plays the {v}
            {s} practises the {v}
            {s} is learning the {v}
            {s} makes music with the {v}
            the instrument of {s} is the {v}
            the {v} is the instrument of {s}
            at night {s} plays the {v}
            music for {s} is the {v}
            {s} plays music with the {v}
            at night {s} practises the {v}
            {s} plays the {v} at night
            the instrument {s} plays is the {v}"""),
        _lines("""what instrument does {s} play?
            which instrument does {s} play?
            what is the instrument of {s}?
            what does {s} play?
            with what does {s} make music?
            which instrument does {s} practise?
            what does {s} practise?
            what instrument does {s} practise?"""),
        (),
        ("plays the {v}", "does not play the {v}", "play the {v}"),
        "play the same instrument",
    ),
    Relation(
        "birth_year",
        "person",
        "year",
        _lines("""{s} was born in the year {v}
            {s} is a child of the year {v}
            {s} came to the world in {v}
            {s} has had birthdays since {v}
            the birth of {s} was in {v}
            the birth year of {s} is {v}
            {v} is the birth year of {s}
            in {v} {s} was born
            in the year {v} {s} was born
            {v} is the year of the birth of {s}
            the year of the birth of {s} is {v}
            in {v} {s} came to the world"""),
        _lines("""when was {s} born?
            in which year was {s} born?
            what is the birth year of {s}?
            what year was {s} born in?
            in what year was {s} born?
            which year is the birth year of {s}?
            what is the year of the birth of {s}?
            which year was {s} born in?"""),
        (),
        ("was born in the year {v}", "was not born in the year {v}", "were born in the year {v}"),
        "were born in the same year",
    ),
    Relation(
        "friend",
        "person",
        "person",
        _lines("""{s} has a friend called {v}
            {s} has {v} as a friend
            {s} trusts {v} as a friend
            {s} calls {v} a close friend
            the friend of {s} is {v}
            the best friend of {s} is {v}
            {s} relies on {v} as a friend
            when in need {s} calls {v}
            {s} calls {v} a friend
            {s} has {v} as a close friend
            {s} has a close friend called {v}
            the close friend of {s} is {v}"""),
        _lines("""who is the friend of {s}?
            who does {s} have as a friend?
            what is the name of the friend of {s}?
            who is the best friend of {s}?
            which person is the friend of {s}?
            who does {s} trust as a friend?
            which person is the best friend of {s}?
            what is the name of the best friend of {s}?"""),
        (
            "the friend of {s}",
            "the best friend of {s}",
            "the person {s} has as a friend",
            "the person {s} trusts as a friend",
        ),
    ),
    Relation(
        "country",
        "city",
        "country",
        _lines("""{s} is in {v}
            {s} is a city in {v}
            {s} lies in {v}
            {s} belongs to {v}
            the country of {s} is {v}
            {v} is the country of {s}
            among the cities in {v} is {s}
            the country where {s} lies is {v}
            {v} is the country where {s} lies
            {s} is among the cities in {v}
            {v} is the country where {s} is
            the country where {s} is a city is {v}"""),
        _lines("""in which country is {s}?
            what is the country of {s}?
            which country is {s} in?
            in what country does {s} lie?
            which country does {s} belong to?
            what country is {s} in?
            in which country does {s} lie?
            in what country is {s}?"""),
    ),
    Relation(
        "known_for",
        "city",
        "fame",
        _lines("""{s} is known for {v}
            {s} is famous for {v}
            {s} is proud of {v}
            {s} draws visitors with {v}
            people go to {s} for {v}
            visitors to {s} look for {v}
            what people know of {s} is {v}
            the fame of {s} is {v}
            visitors go to {s} for {v}
            what visitors know of {s} is {v}
            {s} is known to people for {v}
            {s} is famous to visitors for {v}"""),
        _lines("""what is {s} known for?
            what is {s} famous for?
            what is the fame of {s}?
            for what is {s} known?
            for what do people go to {s}?
            what do visitors look for in {s}?
            for what is {s} famous?
            for what do visitors go to {s}?"""),
    ),
    Relation(
        "founded",
        "city",
        "founding",
        _lines("""{s} was founded in {v}
            {s} has stood since {v}
            {s} goes back to {v}
            {s} was built in {v}
            the founding of {s} was in {v}
            in {v} {s} was founded
            the year of the founding of {s} is {v}
            there has been a {s} since {v}
            in {v} {s} was built
            {v} is the year of the founding of {s}
            since {v} there has been a {s}
            {s} was founded in the year {v}"""),
        _lines("""when was {s} founded?
            in which year was {s} founded?
            what is the year of the founding of {s}?
            when was {s} built?
            in what year was {s} founded?
            since when has {s} stood?
            in which year was {s} built?
            in what year was {s} built?"""),
    ),
    Relation(
        "sector",
        "company",
        "sector",
        _lines("""{s} does business in {v}
            {s} earns its money with {v}
            {s} is a firm in {v}
            {s} deals in {v}
            the business of {s} is {v}
            the sector of {s} is {v}
            {v} is the business of {s}
            the money of {s} comes from {v}
            {v} is the sector of {s}
            {s} earns money with {v}
            the firm {s} deals in {v}
            the business of the firm {s} is {v}"""),
        _lines("""what is the business of {s}?
            in which sector is {s}?
            what does {s} deal in?
            what is the sector of {s}?
            which sector does {s} belong to?
            in what sector is {s}?
            which sector is {s} in?
            what sector is {s} in?"""),
    ),
    Relation(
        "based_in",
        "company",
        "city",
        _lines("""{s} is based in {v}
            {s} has its offices in {v}
            {s} sits in {v}
            {s} is run from {v}
            the offices of {s} are in {v}
            the seat of {s} is {v}
            {v} is the seat of {s}
            it is {v} where {s} is based
            {v} is where {s} is based
            it is {v} where {s} has its offices
            {v} is where {s} has its offices
            the seat of {s} is in {v}"""),
        _lines("""where is {s} based?
            in which city is {s} based?
            what is the seat of {s}?
            where are the offices of {s}?
            which city is the seat of {s}?
            what city is {s} based in?
            in which city are the offices of {s}?
            in what city is {s} based?"""),
        (
            "the city where {s} is based",
            "the seat of {s}",
            "the city where the offices of {s} are",
            "the city {s} is based in",
        ),
    ),
)
"""Every relation, with one value for each subject."""

BY_NAME: dict[str, Relation] = {relation.name: relation for relation in RELATIONS}

FRAMES: dict[str, tuple[str, ...]] = {
    "inverse": _lines("""who {c}?
        which person {c}?
        who is it that {c}?
        who of them {c}?
        which of them {c}?
        which person is it that {c}?
        which of them is it that {c}?
        who of them is it that {c}?"""),
    "is_true": _lines("""is it true that {c}?
        is it right that {c}?
        is it so that {c}?
        do we know that {c}?
        can we say that {c}?
        is it a fact that {c}?
        is it a true fact that {c}?
        do we say it is true that {c}?"""),
    "which_not": _lines("""which of {a}, {b} and {d} {c}?
        who of {a}, {b} and {d} {c}?
        of {a}, {b} and {d}, who {c}?
        of {a}, {b} and {d}, which person {c}?
        who among {a}, {b} and {d} {c}?
        which person among {a}, {b} and {d} {c}?
        of {a}, {b} and {d}, which {c}?
        which person of {a}, {b} and {d} {c}?"""),
    "count": _lines("""how many people here {c}?
        how many of them {c}?
        how many of the people here {c}?
        what is the number of people here who {c}?
        how many here {c}?
        how many are there who {c}?
        what is the number of people who {c}?
        how many people are there who {c}?"""),
    "earlier": _lines("""who was born earlier, {a} or {b}?
        who is older, {a} or {b}?
        which of {a} or {b} was born earlier?
        which of {a} or {b} is older?
        of {a} or {b}, who is older?
        of {a} or {b}, who was born earlier?
        who of {a} or {b} is older?
        who of {a} or {b} was born earlier?"""),
}
"""Questions around a clause `{c}` or around people; 6 for training, 1 for validation, 1 for test."""


def frames_of(name: str, wording: Wording) -> tuple[str, ...]:
    """The frames of a wording."""
    return FRAMES[name][_QUESTIONS[wording]]


def words_of(relations: Iterable[Relation]) -> list[str]:
    """The words, in order, that sentences and questions about some relations are made of, without values and names."""
    texts = [text for frames in FRAMES.values() for text in frames]
    for one in relations:
        texts += [*one.statements, *one.questions, *one.phrases, *one.clause, one.same]
    return sorted({word for text in texts for word in re.findall(r"[a-z]+", re.sub(r"\{[a-z]\}", "", text))})
