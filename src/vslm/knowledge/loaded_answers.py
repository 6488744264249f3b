"""What a model answers about the fixed world with facts in front that were found for the question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from vslm.core.bounds import Some
from vslm.core.errors import DataError, SpecError
from vslm.data.corpus import Corpus
from vslm.data.sources.source import Source
from vslm.data.tokenizers import FittedTokenizer
from vslm.data.worlds.draws import Take, key_of, shuffled, stream
from vslm.data.worlds.examples import Example, Examples
from vslm.data.worlds.plans import SEEDS_OF_A_SPLIT, SPLITS, Plan, first_seed
from vslm.data.worlds.universe import QuestionType, Universe
from vslm.knowledge.bm25 import BM25
from vslm.knowledge.oracle import Oracle
from vslm.knowledge.preloading import MOST_PASSAGES, laid_out, searched
from vslm.knowledge.random_passages import Random
from vslm.knowledge.recall import facts_by_number
from vslm.knowledge.retriever import ASKING, Found, OpenModel, Query, ReadyModel, Retriever, no_models
from vslm.knowledge.states import OwnStates
from vslm.knowledge.store import Store
from vslm.knowledge.world_store import as_stored, world_store
from vslm.measure.answer_accuracy import answers_of_rows, check_about
from vslm.measure.declared import Array, Axis, Number, Shown
from vslm.measure.measure import Evaluator, Measure, log_spaced_steps
from vslm.measure.worlds_asked import tokens_of
from vslm.models.language_model import LanguageModel, Model

WAYS = ("nothing", "random", "other", "found", "gold")
RECALL_AT = (1, 2, 3, 5, 10)
_SPLIT = "S1"  # closed book, fixed world: what is asked, before anything is put in front
_TYPES: tuple[QuestionType, ...] = (
    "one_hop",
    "two_hop",
    "three_hop",
)  # whose answer is in some facts, and in no others
_MOST_HOPS = 3
_SHARE = "of the questions"


def _share(title: str, *, is_better: bool | None = True) -> Number:
    return Number.share(unit=_SHARE, higher_is_better=is_better, title=title)


def _tokens(title: str) -> Number:
    return Number(unit="tokens per answer", higher_is_better=None, title=title)


@dataclass(frozen=True, kw_only=True)
class LoadedAnswers(Measure):
    """The share of questions about the fixed world that are answered right with facts of a store in front.

        <ctx> facts <q> question <a> answer.

    The store holds every fact of the fixed world of the universe, each in one sentence. Each question is asked with
    nothing in front, with `passages` facts at random, with those that the retriever finds for the question, with those
    that another one finds, and with the facts that answer it ("gold"). Facts stand in an order that is drawn for each
    question, since a model that takes the last one, whatever it says, must not look as if it read; and where fewer are
    found, others at random make up the number. Right means what it means in `AnswerAccuracy`. A model that reads and
    does not know is right with the gold facts and at a guess with none; how
    far the facts that were found go between the two is what finding is worth:

        accuracy                 with what was found; `accuracy_one_hop`, `accuracy_two_hop` of these questions
        accuracy_nothing, accuracy_random, accuracy_other, accuracy_gold
        accuracy_where_whole     of the questions all of whose gold facts are among those that stand in front
        recall, whole            of the gold facts those that stand in front; questions of which all do; `recall_other`
        gold_without_room        questions of which a gold fact was found, and the context had no room for it
        tokens_in_front          of the facts that were found, as the model reads them
        tokens_read              all tokens of the row: facts, question and answer
        tokens_to_find           that a model read to find: of `OwnStates` the question, once for each search

    A fact that has no room, whole, is passed over for the next best one. With `OwnStates` the model finds with the
    weights that it answers with, and the vectors of the store are made at each evaluation. Arms that are judged by it
    may differ in `retriever` and `passages`: they are asked the same.

    Cost: a forward pass over 5 x types x num_examples rows, and with `OwnStates` one over the store.

    Args:
        universe: of the data, the same in all arms.
        retriever: how facts are found; the numbers without a name are of it.
        other: how else; BM25 needs the library bm25s (`pip install 'vslm[retrieval]'`).
        passages: facts in front, at most; 0: nothing is found, and what is judged is the closed book.
        types: of questions: "one_hop", "two_hop"; what the universe has not is left out.
        num_examples: questions of each type.
        num_evaluations: 1 at the end alone; 2 or more at log-spaced steps, both ends among them.
        seed: of the questions, which are those of split S1 of `AnswerAccuracy` with this seed.
    Numbers and arrays: above; by the five ways `accuracy_W`, `nats_W`, `tokens_W`, by hops `accuracy_WH`, and
        `recall_K` of the first 1, 2, 3, 5, 10 facts that are found. NaN for what is not asked.
    Raises: SpecError for data of another universe, and for the states of another run; DataError where no question fits
        into the context.
    """

    recorded_as: ClassVar[str] = "loaded"
    asks_its_own: ClassVar[bool] = True
    of_the_arm: ClassVar[frozenset[str]] = frozenset({"retriever", "passages"})
    shown: ClassVar[Shown | None] = Shown(
        title="What is answered with facts that were loaded",
        short="Loaded",
        read="Questions about the fixed world, asked with nothing in front, with facts of the store at random, with "
        "those that another retriever finds, with those that the arm's own finds, and with those that answer the "
        "question. Right with nothing is knowledge in weights; right with gold facts and not with nothing is reading; "
        "how near what was found comes to gold is what finding is worth. Tokens in front are what an answer costs.",
    )
    arrays: ClassVar[Mapping[str, Array]] = {
        "accuracy_W": Array(
            axes=(Axis(title="in front", names=WAYS),),
            unit=_SHARE,
            title="answered right",
            button="right",
            from_zero=True,
        ),
        "nats_W": Array(
            axes=(Axis(title="in front", names=WAYS),),
            unit="nats",
            title="loss of the answer",
            button="loss",
            from_zero=True,
        ),
        "tokens_W": Array(
            axes=(Axis(title="in front", names=WAYS),),
            unit="tokens",
            title="tokens in front of a question",
            button="cost",
            from_zero=True,
        ),
        "accuracy_WH": Array(
            axes=(Axis(title="in front", names=WAYS), Axis(title="hops", names=("one", "two", "three"))),
            unit=_SHARE,
            title="answered right by hops",
            button="by hops",
        ),
        "recall_K": Array(
            axes=(Axis(title="facts that are looked at", at="at_K", is_log=True),),
            unit="of the gold facts",
            title="gold facts among those found first",
            button="recall",
            from_zero=True,
        ),
    }
    numbers: ClassVar[Mapping[str, Number]] = {
        "accuracy": _share("right with what was found"),
        "accuracy_one_hop": _share("right with what was found, one hop"),
        "accuracy_two_hop": _share("right with what was found, two hops"),
        "accuracy_nothing": _share("right with nothing in front"),
        "accuracy_random": _share("right with facts at random in front"),
        "accuracy_other": _share("right with what the other retriever found"),
        "accuracy_gold": _share("right with the facts that answer in front"),
        "accuracy_where_whole": _share("right where all facts that answer were found"),
        "chance": _share("right by a guess", is_better=None),
        "nats": Number(unit="nats per answer", higher_is_better=False, title="loss of answers with what was found"),
        "recall": Number.share(
            unit="of the gold facts", higher_is_better=True, title="gold facts among those in front"
        ),
        "recall_other": Number.share(
            unit="of the gold facts", higher_is_better=True, title="gold facts among those the other retriever found"
        ),
        "whole": _share("all gold facts in front"),
        "whole_one_hop": _share("all gold facts in front, one hop"),
        "whole_two_hop": _share("all gold facts in front, two hops"),
        "gold_without_room": _share("a gold fact found that had no room", is_better=None),
        "tokens_in_front": _tokens("tokens of the facts in front"),
        "tokens_read": _tokens("tokens read to answer"),
        "tokens_to_find": _tokens("tokens read to find"),
        "num_questions": Number(unit="questions", higher_is_better=None, title="questions asked"),
        "num_left_out": Number(unit="questions", higher_is_better=None, title="questions too long for the context"),
    }
    universe: Universe
    retriever: Retriever = OwnStates()
    other: Retriever = BM25()
    passages: Some = 3
    types: tuple[QuestionType, ...] = ("one_hop", "two_hop")
    num_examples: Some = 200
    num_evaluations: Some = 1
    seed: Some = 0

    def check(self) -> None:
        """Refuse questions that facts do not answer, and counts of nothing."""
        if not self.types:
            raise SpecError("types", "none is given", f"one or more of {', '.join(_TYPES)} are needed")
        for place, kind in enumerate(self.types):
            if kind not in _TYPES:
                allowed = f"the facts that answer are known of {', '.join(_TYPES)}"
                raise SpecError(f"types.{place}", f"found {kind!r}", allowed, "leave it out")
        if not 0 <= self.passages <= MOST_PASSAGES:
            raise SpecError("passages", f"found {self.passages}", f"0 to {MOST_PASSAGES} can be put in front")
        for name, least in (("num_examples", 1), ("num_evaluations", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise SpecError(name, f"found {getattr(self, name)}", f"{least} or more is needed")

    def steps(self, num_steps: int) -> list[int]:
        """The end, or log-spaced steps."""
        return log_spaced_steps(num_steps, self.num_evaluations)

    def check_fits(self, *, model: Model, source: Source) -> None:
        """Questions are about the worlds of the data, and the retriever can be had.

        Raises: SpecError; RunError where a library that it needs is not installed.
        """
        del model
        check_about(self.universe, source, type(self).__name__)
        for name, retriever in (("retriever", self.retriever), ("other", self.other)):
            if retriever.runs():
                found = f"it reads with {', '.join(retriever.runs())}"
                allowed = "the model that is measured finds for itself, or words do"
                raise SpecError(f"measures.loaded.{name}", found, allowed, "OwnStates(), BM25(), Random() or Oracle()")
        if not self._plan(is_choosing=False).asked(self.universe):
            found = f"{', '.join(self.types)} about {', '.join(self.universe.relations)}"
            raise SpecError("measures.loaded.types", found, "a question that can be asked is needed", "add relations")
        for retriever in (self.retriever, self.other):
            if not retriever.reads_with_asking:
                retriever.open(world_store(self.universe))

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        del model
        is_choosing, tokenizer = corpus.evaluated_split == "select", corpus.tokenizer
        store, plan = world_store(self.universe), self._plan(is_choosing=is_choosing)
        numbers = facts_by_number(store)
        examples = Examples(self.universe, plan)
        # Of two runs, one of which chooses and one is judged, none is asked what the other was.
        first = first_seed(self.seed, _SPLIT) + (SEEDS_OF_A_SPLIT // 2) * is_choosing
        made = [
            _Asked(example, tuple(numbers[as_stored(example.facts[place])] for place in example.gold))
            for example in examples.many(first, self.num_examples * len(examples.types))
        ]
        asked = [one for one in made if len(_row(one.example, (), tokenizer).ids) <= context_tokens]
        if not asked:
            found = f"no question fits into the context of {context_tokens} tokens"
            raise DataError("measures.loaded", found, "a question and its answer have to fit", "take a longer context")
        ways = {"nothing": (None, 0), "random": (Random(seed=self.seed), self.passages)}
        ways |= {"other": (self.other, self.passages), "found": (self.retriever, self.passages)}
        ways["gold"] = (Oracle(), max(self.passages, *(len(one.gold) for one in asked)))
        search = _Search(store, tokenizer, asked, context_tokens)
        return LoadedAnswersEvaluator(search, ways, num_left_out=len(made) - len(asked))

    def _plan(self, *, is_choosing: bool) -> Plan:
        plan = SPLITS[_SPLIT]
        return replace(plan, types=self.types, wording="val" if is_choosing else plan.wording)


class _Asked(NamedTuple):
    """A question, and the numbers of the facts that answer it."""

    example: Example
    gold: tuple[int, ...]


class _Row(NamedTuple):
    """What a model reads of a question.

    Args:
        ids, is_answer: of facts, question and answer.
        loaded: numbers of the facts in front.
        without_room: of those that were passed over.
        front_tokens: of the facts in front.
    """

    ids: np.ndarray
    is_answer: np.ndarray
    loaded: tuple[int, ...] = ()
    without_room: tuple[int, ...] = ()
    front_tokens: int = 0


class _Way(NamedTuple):
    """All questions, with what one way puts in front of them.

    Args:
        rows: of each.
        first: numbers of the facts that were found for each, best first.
        tokens_to_find: that a model read, in all.
    """

    rows: list[_Row]
    first: list[list[int]]
    tokens_to_find: int = 0


def _row(example: Example, texts: Sequence[str], tokenizer: FittedTokenizer) -> _Row:
    front, rest = laid_out(example.text, texts)
    moved = len(front) + len(rest) - len(example.text)
    first, end = example.answer_span
    ids, is_answer = tokens_of(front + rest, (first + moved - 1, end + moved + 1), tokenizer)
    return _Row(ids, is_answer)


class _Search(NamedTuple):
    """Questions, and where facts for them are found."""

    store: Store
    tokenizer: FittedTokenizer
    asked: list[_Asked]
    context_tokens: int

    def __call__(self, retriever: Retriever | None, passages: int, models: OpenModel = no_models) -> _Way:
        """All questions, each with at most so many facts in front."""
        if retriever is None or not passages:
            return _Way([_row(one.example, (), self.tokenizer) for one in self.asked], [[] for _ in self.asked])
        finder = retriever.open(self.store, models)
        queries = [Query(searched(one.example.question), gold=one.gold) for one in self.asked]
        found = finder.find_many(queries, max(passages, *RECALL_AT))
        others = Random().open(self.store).find_many(queries, passages)
        rows = [
            self._loaded(asked, [*best, *rest], passages, stream(key_of("order of facts", number)).__next__)
            for number, (asked, best, rest) in enumerate(zip(self.asked, found, others, strict=True))
        ]
        return _Way(rows, [[one.passage for one in row] for row in found], finder.num_tokens_read)

    def _loaded(self, asked: _Asked, found: Sequence[Found], passages: int, take: Take) -> _Row:
        """The best facts that have room, whole, in an order that is drawn."""
        loaded, passed_over = [], []
        for number in dict.fromkeys(one.passage for one in found):
            if len(loaded) == passages:
                break
            has_room = len(self._with_facts(asked, [*loaded, number]).ids) <= self.context_tokens
            (loaded if has_room else passed_over).append(number)
        in_front = tuple(loaded[place] for place in shuffled(range(len(loaded)), take))
        row, alone = (self._with_facts(asked, numbers) for numbers in (in_front, ()))
        front_tokens = len(row.ids) - len(alone.ids)
        return row._replace(loaded=in_front, without_room=tuple(passed_over), front_tokens=front_tokens)

    def _with_facts(self, asked: _Asked, numbers: Sequence[int]) -> _Row:
        return _row(asked.example, [self.store.passages[number].text for number in numbers], self.tokenizer)


class LoadedAnswersEvaluator(Evaluator):
    """See `LoadedAnswers`.

    Args:
        search: questions and store.
        ways: (how facts are found, how many stand in front), by `WAYS`.
        num_left_out: questions that the context does not hold.
    """

    def __init__(self, search: _Search, ways: Mapping[str, tuple[Retriever | None, int]], *, num_left_out: int) -> None:
        self._search, self._ways, self._num_left_out = search, ways, num_left_out
        self._kept = {name: search(*way) for name, way in ways.items() if not _by_asking(way[0])}
        hops = [one.example.hops for one in search.asked]
        self._hops_N = np.array(hops, dtype=np.int64) - 1
        self._chance = float(np.mean([one.example.chance for one in search.asked]))

    def take(self, model: LanguageModel) -> dict[str, np.ndarray | float]:
        """Means over questions."""

        def models(run: str) -> ReadyModel:
            assert run == ASKING
            return ReadyModel(model, self._search.tokenizer)

        ways = [self._kept[name] if name in self._kept else self._search(*self._ways[name], models) for name in WAYS]
        right_WN, nats_WN = np.empty((len(WAYS), len(self._hops_N))), np.empty((len(WAYS), len(self._hops_N)))
        for place, way in enumerate(ways):
            right_WN[place], nats_WN[place], _ = answers_of_rows(model, [(row.ids, row.is_answer) for row in way.rows])
        found = ways[WAYS.index("found")]
        tokens_WN = np.array([[row.front_tokens for row in way.rows] for way in ways])
        arrays = {
            "accuracy_W": right_WN.mean(axis=1),
            "nats_W": nats_WN.mean(axis=1),
            "tokens_W": tokens_WN.mean(axis=1),
            "accuracy_WH": np.stack([self._by_hops(right_N) for right_N in right_WN]),
            "recall_K": np.array([self._recall(found.first, k) for k in RECALL_AT]),
            "at_K": np.array(RECALL_AT),
        }
        other = ways[WAYS.index("other")]
        return self._numbers(found, other, dict(zip(WAYS, right_WN, strict=True)), arrays) | arrays

    def _numbers(
        self, found: _Way, other: _Way, right: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]
    ) -> dict[str, float]:
        asked = self._search.asked
        pairs = list(zip(asked, found.rows, strict=True))
        in_front_N, by_other_N = self._in_front(found), self._in_front(other)
        is_whole_N = in_front_N == 1
        by_hops, whole = self._by_hops(right["found"]), self._by_hops(is_whole_N.astype(np.float64))
        without_room = [bool(set(one.gold) & set(row.without_room)) for one, row in pairs]
        numbers = {f"accuracy_{name}": float(right[name].mean()) for name in WAYS if name != "found"}
        return numbers | {
            "accuracy": float(right["found"].mean()),
            "accuracy_one_hop": float(by_hops[0]),
            "accuracy_two_hop": float(by_hops[1]),
            "accuracy_where_whole": float(right["found"][is_whole_N].mean()) if is_whole_N.any() else float("nan"),
            "chance": self._chance,
            "nats": float(arrays["nats_W"][WAYS.index("found")]),
            "recall": float(in_front_N.mean()),
            "recall_other": float(by_other_N.mean()),
            "whole": float(is_whole_N.mean()),
            "whole_one_hop": float(whole[0]),
            "whole_two_hop": float(whole[1]),
            "gold_without_room": float(np.mean(without_room)),
            "tokens_in_front": float(arrays["tokens_W"][WAYS.index("found")]),
            "tokens_read": float(np.mean([len(row.ids) for row in found.rows])),
            "tokens_to_find": found.tokens_to_find / len(asked),
            "num_questions": float(len(asked)),
            "num_left_out": float(self._num_left_out),
        }

    def _in_front(self, way: _Way) -> np.ndarray:
        """Of each question the share of its gold facts that stands in front."""
        pairs = zip(self._search.asked, way.rows, strict=True)
        return np.array([len(set(one.gold) & set(row.loaded)) / len(one.gold) for one, row in pairs])

    def _by_hops(self, values_N: np.ndarray) -> np.ndarray:
        weights, sums = (np.bincount(self._hops_N, weights=w, minlength=_MOST_HOPS) for w in (None, values_N))
        return np.divide(sums, weights, out=np.full(_MOST_HOPS, np.nan), where=weights > 0)

    def _recall(self, first: Sequence[Sequence[int]], k: int) -> float:
        shares = [
            len(set(one.gold) & set(row[:k])) / len(one.gold)
            for one, row in zip(self._search.asked, first, strict=True)
        ]
        return float(np.mean(shares))


def _by_asking(retriever: Retriever | None) -> bool:
    return retriever is not None and retriever.reads_with_asking
