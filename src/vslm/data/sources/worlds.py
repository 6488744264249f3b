"""Documents of made-up worlds: facts in front of questions, or questions alone."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from vslm.core.bounds import Context, Documents, Real, Seed, Some
from vslm.core.errors import SpecError
from vslm.data.documents import Document, Scored
from vslm.data.sources.source import Source
from vslm.data.tokenizers import Tokenizer
from vslm.data.word_tokenizer import WorldWords
from vslm.data.worlds.contexts import Diversity
from vslm.data.worlds.draws import key_of, rows
from vslm.data.worlds.examples import CTX, Example, Examples
from vslm.data.worlds.facts import facts_of
from vslm.data.worlds.plans import LEVELS, MOST_SEED, TRAINING_SPLITS, Level, Plan, first_seed
from vslm.data.worlds.shards import Mix
from vslm.data.worlds.universe import SomeFacts, Universe

Counted = Literal["all", "answer", "novalue"]
_AT_A_TIME = 512
_SHARES = 2**32  # of draws that decide which kind of document comes
_FEWEST_DOCUMENTS = 64  # below, the splits would cut documents into blocks
_MOST_QUESTIONS, _MOST_FACTS = 4, 128
_RULES = 2  # by which documents are made, and what counts in them


@dataclass(frozen=True, kw_only=True)
class Worlds(Source):
    """Facts and questions about made-up people, whole in rows of the model's context.

        <ctx> bala badak lives in bastad. she works as a baker. <q> where does bala badak live? <a> bastad.

    Each document is one context, at times an empty one, with one to four questions. Which names, sentences and chains
    are asked for is that of training: `AnswerAccuracy` measures on others. Documents are split by hash as those of any
    corpus; the validation loss is therefore that of the same kind of documents, and what a model knows or reads is
    told by the measure. A document that comes twice is left out, so a small closed-book world has few documents, which
    are seen in every epoch.

    What counts of a document, `counts`: "all" tokens; the "answer" alone; or all but the values in the context
    ("novalue"), which nobody can foresee in a fresh world, and which are learned by heart in a fixed one.

    Args:
        tokenizer: `WorldWords` of the universe, so that a value is one token and all arms have the same ids; any other
            will do.
        universe: people and relations; the measure's must be the same.
        world: "fresh" worlds, the "fixed" one, or "both" in turn; or worlds "counter" to it: its people, with values
            that are drawn anew for every example, so that what is known of them by heart is wrong.
        mix: of questions.
        facts: of a context, each as often: 1 to 128.
        levels: of what else is in a context, each as often.
        counts: see above.
        context_share: of documents that have a context: 1 always, 0 never.
        fixed_context_share: the same of documents of the fixed world beside fresh ones (world="both"): 0 for a model
            that knows one world and reads others. None: as context_share.
        questions: of a document at most; those after the first are about other facts of the context.
        zipf: whether the n-th person of the fixed world comes with a weight of 1 / n; else all alike.
        diversity: of sentences.
        num_documents: in all three splits together.
        context_tokens: of a row: the model's context, or a part of it. Longer documents are left out and counted.
        seed: of all draws but the fixed world.
        own_rows: each document has a row of its own and ends with it: "open", with its facts in front, or "closed", the
            same questions with the facts cut out. Two sources that differ in this alone have the same targets in the
            same order at the same positions. Only answers count in them. None: rows are filled.
        some: of the fixed world, which facts are asked about; None: all.
    Raises: SpecError for what cannot be asked about the universe, or numbers that nothing can be made of.
    """

    tokenizer: Tokenizer = WorldWords()
    universe: Universe = Universe()
    world: Literal["fresh", "fixed", "both", "counter"] = "fresh"
    mix: Mix = Mix()
    facts: tuple[Some, ...] = (4, 8)
    levels: tuple[Level, ...] = LEVELS
    counts: Counted = "novalue"
    context_share: Real = 1.0
    questions: Some = 1
    zipf: bool = False
    diversity: Diversity = "full"
    num_documents: Documents = 65_536
    context_tokens: Context = 256
    seed: Seed = 0
    fixed_context_share: Real | None = field(default=None, metadata={"in_fingerprint": "when set"})
    own_rows: Literal["open", "closed"] | None = field(default=None, metadata={"in_fingerprint": "when set"})
    some: SomeFacts | None = field(default=None, metadata={"in_fingerprint": "when set"})

    def __post_init__(self, vocabulary: int | None) -> None:
        """Fill in whose words the tokenizer has, then check."""
        if isinstance(self.tokenizer, WorldWords) and isinstance(self.universe, Universe):
            object.__setattr__(self, "tokenizer", WorldWords(universe=self.universe))
        super().__post_init__(vocabulary)

    def check(self) -> None:
        """Refuse what cannot be made."""
        if not self.facts or not all(1 <= size <= _MOST_FACTS for size in self.facts):
            raise SpecError("facts", f"found {self.facts}", f"one number or more, 1 to {_MOST_FACTS}, are needed")
        if not self.levels:
            raise SpecError("levels", "none is given", f"one or more of {', '.join(LEVELS)}")
        if not 1 <= self.questions <= _MOST_QUESTIONS:
            raise SpecError("questions", f"found {self.questions}", f"1 to {_MOST_QUESTIONS} are needed")
        if self.zipf and self.world in ("fresh", "counter"):
            raise SpecError(
                "zipf", f"found True of {self.world} worlds", 'people come again in world="fixed" or "both"'
            )
        if self.num_documents < _FEWEST_DOCUMENTS:
            raise SpecError("num_documents", f"found {self.num_documents}", f"{_FEWEST_DOCUMENTS} or more are needed")
        if not 0 <= self.seed <= MOST_SEED:
            raise SpecError("seed", f"found {self.seed}", f"0 to {MOST_SEED:,} is needed")
        if self.context_tokens < 2:
            raise SpecError("context_tokens", f"found {self.context_tokens}", "2 or more are needed")
        self._check_shares()
        self._check_questions()
        self._check_rows_and_part()

    def _check_shares(self) -> None:
        for name in ("context_share", "fixed_context_share"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise SpecError(name, f"found {share}", "a share from 0 to 1 is needed")
        if self.fixed_context_share is not None and self.world != "both":
            found = f'found {self.fixed_context_share} of world="{self.world}"'
            raise SpecError("fixed_context_share", found, 'it is for world="both"', "give context_share")

    def _check_questions(self) -> None:
        for world in self._worlds:
            share = self._share(world)
            if not self._types(world, is_open=share > 0):
                found = f"none of its questions can be asked of the {world} world about {len(self.universe.relations)}"
                raise SpecError("mix", f"{found} relations", "more relations, or other questions, are needed")
            if share < 1 and not self._types(world, is_open=False):
                raise SpecError("mix", "none of its questions has an answer without a context", "one_hop has one")

    def _check_rows_and_part(self) -> None:
        if self.own_rows is not None and self.counts != "answer":
            allowed = 'what counts must be the same with facts and without: counts="answer"'
            raise SpecError("counts", f'found "{self.counts}" with own_rows="{self.own_rows}"', allowed)
        if self.own_rows is not None and not all(self._share(world) == 1 for world in self._worlds):
            found = f'found {self.context_share} with own_rows="{self.own_rows}"'
            raise SpecError("context_share", found, "every question has facts that are shown or cut out: 1 is needed")
        if self.some is None:
            return
        if self.world != "fixed":
            raise SpecError("some", f'found a part of the facts of world="{self.world}"', 'world="fixed" is needed')
        if {*self._types("fixed", is_open=True)} != {"one_hop"}:
            found = "found other questions beside one_hop"
            do = "mix=Mix(one_hop=1, inverse=0, ...)"
            raise SpecError("mix", found, "a part of the facts is asked about in questions of one fact each", do)
        facts_of(self.universe, self.some)

    @property
    def _worlds(self) -> tuple[Literal["fixed", "fresh", "counter"], ...]:
        return ("fixed", "fresh") if self.world == "both" else (self.world,)

    def _share(self, world: str) -> float:
        """Of the documents of a world, those that have a context."""
        is_own = world == "fixed" and self.fixed_context_share is not None
        return self.fixed_context_share if is_own else self.context_share  # type: ignore[return-value]

    def _types(self, world: str, *, is_open: bool) -> tuple:
        types = self.mix.types(self.universe, "fixed" if world == "fixed" else "fresh")
        # An empty context has no "here", and nothing is missing in it that was there.
        return types if is_open else tuple(kind for kind in types if kind not in ("inverse", "counting", "unknown"))

    @property
    def row_tokens(self) -> int | None:
        """Examples are never cut."""
        return self.context_tokens if self.own_rows is None else None

    @property
    def own_row_tokens(self) -> int | None:
        """Of a row that holds one document alone."""
        return None if self.own_rows is None else self.context_tokens

    def describe(self) -> str:
        """What a person calls this corpus."""
        has = {1.0: "with their facts in front", 0.0: "without their facts"}
        share = has.get(self.context_share, f"with their facts in front of {self.context_share:g} of them")
        if self.fixed_context_share is not None:
            share += f" ({self.fixed_context_share:g} of those of the fixed world)"
        worlds = {"fixed": "the fixed world", "fresh": "fresh worlds", "both": "the fixed and fresh worlds"}
        worlds["counter"] = "the people of the fixed world with other facts"
        if self.own_rows is not None:
            share = f"in rows of their own, their facts {'in front' if self.own_rows == 'open' else 'cut out'}"
        if self.some is not None:
            share += f", about facts {self.some.first:g} to {self.some.end:g} of all"
        return (
            f"questions about {worlds[self.world]} {share}, {len(self.universe.relations)} relations, "
            f"{self.num_documents:,} documents, seed {self.seed}"
        )

    def identity(self) -> int:
        """Of the rules by which documents are made; all else are fields."""
        return _RULES

    def answer_types(self) -> Mapping[str, tuple[str, ...]]:
        """The values of each kind that is asked for: cities, jobs, people of the fixed world."""
        used = self.universe.used()
        types = {one.kind: self.universe.values(one) for one in used if self.universe.values(one)}
        if any(one.kind == "person" for one in used):
            types["person"] = self.universe.names("fixed")[: self.universe.people]
        return types

    def plans(self) -> dict[tuple[str, bool], Plan]:
        """How documents are made, by world and by whether they have a context."""
        return {
            (world, is_open): Plan(
                f"train_{world}",
                "",
                "fixed" if world == "fixed" else "fresh",
                pool="fixed" if world == "counter" else "train",
                types=self._types(world, is_open=is_open),
                sizes=self.facts,
                levels=self.levels,
                open_book=is_open,
                in_turn=False,
                questions=self.questions,
                zipf=self.zipf and world == "fixed",
                diversity=self.diversity,
                some=self.some,
            )
            for world in self._worlds
            for is_open in (True, False)
            if (self._share(world) > 0 if is_open else self._share(world) < 1)
        }

    def documents(self) -> Iterator[Document]:
        """Every document, in the order of the draws."""
        makers = {kind: Examples(self.universe, plan) for kind, plan in self.plans().items()}
        worlds = self._worlds
        most_open = {world: round(self._share(world) * _SHARES) for world in worlds}
        key = key_of("documents", self.seed)
        for start in range(0, self.num_documents, _AT_A_TIME):
            count = min(_AT_A_TIME, self.num_documents - start)
            (drawn,) = rows([key], start, count)
            kinds = [
                (world := worlds[number % len(worlds)], draw % _SHARES < most_open[world])
                for number, draw in enumerate(drawn, start)
            ]
            # Seeds of a world are those of its training split, so they are never those of a measure.
            made = {
                kind: maker.each(
                    [
                        first_seed(self.seed, TRAINING_SPLITS[kind[0] == "fresh"]) + number
                        for number, other in enumerate(kinds, start)
                        if other == kind
                    ]
                )
                for kind, maker in makers.items()
            }
            for number, kind in enumerate(kinds, start):
                example = next(made[kind])
                document = Document(f"worlds#{number}", example.text, scored_of(example, self.counts))
                yield document if self.own_rows is None else self._with_own_row(document, example.context_span[1])

    def _with_own_row(self, document: Document, end: int) -> Document:
        """The same document, split and told from others by its questions alone; its facts are cut out if asked for.

        Args:
            document: with facts in front.
            end: of the facts.
        """
        if self.own_rows == "open":
            return dataclasses.replace(document, front=end)
        gone = end - len(CTX)
        scored = tuple(Scored(one.first - gone, one.end - gone, one.weight) for one in document.scored or ())
        return Document(document.name, f"{CTX}{document.text[end:]}", scored, front=len(CTX))


def scored_of(example: Example, counts: Counted) -> tuple[Scored, ...]:
    """What counts of an example, each answer with the space before it and its full stop.

    >>> example = next(Examples(Universe(), Plan("a", "", types=("one_hop",), open_book=False)).many(0, 1))
    >>> [example.text[first:end] for first, end, _ in scored_of(example, "answer")] == [f" {example.answer}."]
    True
    """
    length = len(example.text)
    if counts == "all":
        return (Scored(0, length),)
    if counts == "answer":
        return tuple(Scored(first - 1, end + 1) for first, end in example.answer_spans)
    return around(example.value_spans, example.text)


def around(spans: Sequence[tuple[int, int]], text: str) -> tuple[Scored, ...]:
    """All of a text but some spans, each with the space before it.

    >>> around([(3, 5), (7, 8)], "ab cd, e")
    (Scored(first=0, end=2, weight=1.0), Scored(first=5, end=6, weight=1.0))
    """
    found, end = [], 0
    for first, last in spans:
        start = first - (text[first - 1 : first] == " ")
        if start > end:
            found.append(Scored(end, start))
        end = last
    return (*found, Scored(end, len(text))) if end < len(text) else tuple(found)
