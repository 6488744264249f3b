"""What a model answers: from its weights, from the context, and where the two say different things."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch.nn import functional

from vslm.core.bounds import Some
from vslm.core.errors import DataError, SpecError
from vslm.data.corpus import Corpus
from vslm.data.sources.source import Source
from vslm.data.sources.worlds import Worlds
from vslm.data.worlds.contexts import Diversity
from vslm.data.worlds.examples import Examples
from vslm.data.worlds.facts import facts_of
from vslm.data.worlds.plans import SEEDS_OF_A_SPLIT, SPLITS, Plan, first_seed, plan_of
from vslm.data.worlds.questions import Asker
from vslm.data.worlds.universe import QUESTION_TYPES, QuestionType, SomeFacts, Universe
from vslm.data.worlds.words import Pool
from vslm.measure.declared import Number
from vslm.measure.measure import Evaluator, Measure, log_spaced_steps
from vslm.measure.sections import ANSWERS, JUDGED_SPLITS
from vslm.measure.worlds_asked import Question, Stored, facts_asked, questions_of
from vslm.models.language_model import LanguageModel, Model

_MOST_TOKENS = 4096  # of a batch, its padding among them
_MOST_HOPS = 3
_MOST_CONTEXT_FACTS = 128


@dataclass(frozen=True, kw_only=True)
class AnswerAccuracy(Measure):
    """The share of questions about made-up worlds that are answered right, by split, type and hops.

    Right means that every token of the answer, its full stop included, is the likeliest one after those before it: what
    greedy decoding says. Beside it stands the loss of the answer, summed over its tokens, and the chance of a guess by
    who reads the question alone. With acc' = (acc - chance) / (1 - chance), and splits as in `vslm worlds`:

        knowledge_in_weights    acc'(S1)                       closed book, fixed world
        context_reading         acc'(S4)                       open book, fresh worlds
        separation              acc'(S4) (1 - acc'(S1))        both cut to 0 to 1
        gap                     acc'(S4) - acc'(S1)
        context_matching        (acc(S4) - picked) / (1 - picked); picked_s4 = picked: right by who picks any value of
                                the context of the kind that is asked for, whomever it is of
        through_context         acc(S3) - acc(S4)              weights that are read through the context
        follows_context         share of S5 that is answered by the context
        memorization_ratio      n_v / (n_v + n_v') of S5       answers by the fixed world among those by either
        composition             share of two-hop questions that are right, of those whose hops are both right alone
        unknown_rate            of S6, where what would answer is left out: "unknown"
        memory_rate, copy_rate  of S6: by the fixed world; a value of the context

    Bits stored are counted on facts of the fixed world, from a statement alone (`<ctx> bala badak lives in`) and from a
    question alone, as sum over facts of max(0, log2 |V| - bits of the value); of facts that nobody ever saw the same
    estimate must be about 0.

    Questions are of the test: its names, and of S9 its sentences; a run that is made to choose is asked those of
    validation in their place. Examples that the context does not hold are left out and counted.

    Paper: knowledge as bits per parameter, Physics of Language Models, part 3.3, Allen-Zhu and Li, 2024,
    https://arxiv.org/abs/2404.05405. We differ: facts are asked for one by one, in one wording.

    Cost: a forward pass over splits x types x num_examples examples.

    Args:
        universe: of the data, the same in all arms.
        splits: which are asked: "S1" to "S12".
        types: of questions; those that a split or the universe has not are left out.
        facts: of a context, each as often; of S8 eight and sixteen times the first.
        num_examples: of each type in each split.
        num_facts: that bits are counted on; 0 counts none.
        num_evaluations: 1 at the end alone; 2 or more at log-spaced steps, both ends among them.
        seed: of the questions.
        diversity: of the sentences in contexts, as `Worlds` has it.
        some: which facts of the fixed world are asked about, in questions of one fact each; None: all, in all of them.
    Numbers and arrays: see `ANSWERS` in `vslm.measure.sections`; NaN for what is not asked.
    Raises: SpecError for data of another universe; DataError for a split that the context does not hold at all.
    """

    recorded_as: ClassVar[str] = "answers"
    asks_its_own: ClassVar[bool] = True
    shown, arrays = ANSWERS.shown, ANSWERS.arrays
    numbers: ClassVar[Mapping[str, Number]] = ANSWERS.numbers
    universe: Universe
    splits: tuple[str, ...] = ("S1", "S2", "S3", "S4", "S5", "S6")
    types: tuple[QuestionType, ...] = QUESTION_TYPES
    facts: tuple[Some, ...] = (4, 8)
    num_examples: Some = 200
    num_facts: Some = 400
    num_evaluations: Some = 1
    seed: Some = 0
    diversity: Diversity = "full"
    some: SomeFacts | None = field(default=None, metadata={"in_fingerprint": "when set"})

    def check(self) -> None:
        """Refuse splits that are none, and counts of nothing."""
        for place, name in enumerate(self.splits):
            plan_of(name, f"splits.{place}")
            if name not in JUDGED_SPLITS:
                allowed = f"{JUDGED_SPLITS[0]} to {JUDGED_SPLITS[-1]} are judged by"
                raise SpecError(
                    f"splits.{place}", f"found {name!r}", allowed, "it is for choices: runs that choose take it"
                )
        for name in ("splits", "types", "facts"):
            if not getattr(self, name):
                raise SpecError(name, "none is given", "one or more are needed")
        if not all(1 <= size <= _MOST_CONTEXT_FACTS for size in self.facts):
            raise SpecError("facts", f"found {self.facts}", f"1 to {_MOST_CONTEXT_FACTS} are needed")
        for name, least in (("num_examples", 1), ("num_facts", 0), ("num_evaluations", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise SpecError(name, f"found {getattr(self, name)}", f"{least} or more is needed")
        if self.some is not None:
            facts_of(self.universe, self.some)

    def steps(self, num_steps: int) -> list[int]:
        """The end, or log-spaced steps."""
        return log_spaced_steps(num_steps, self.num_evaluations)

    def check_fits(self, *, model: Model, source: Source) -> None:
        """Questions are about the worlds of the data."""
        del model
        check_about(self.universe, source, type(self).__name__)

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        is_choosing, tokenizer = corpus.evaluated_split == "select", corpus.tokenizer
        asked: list[Question] = []
        for name in self.splits:
            plan = self._plan(SPLITS[name], is_choosing=is_choosing)
            examples, asker = Examples(self.universe, plan), Asker(self.universe, plan)
            # Of two runs, one of which chooses and one is judged, none is asked what the other was.
            first = first_seed(self.seed, name) + (SEEDS_OF_A_SPLIT // 2) * is_choosing
            many = examples.many(first, self.num_examples * len(examples.types))
            found = [one for example in many for one in questions_of(name, example, asker, tokenizer)]
            shortest = min((len(one.ids) for one in found), default=0)
            if shortest > context_tokens:
                words = f"the shortest of its examples has {shortest} tokens, and the context {context_tokens}"
                raise DataError(f"measures.answers.splits: {name}", words, "", "take fewer facts, or a longer context")
            asked += found
        pool: Pool = "val" if is_choosing else "test"
        facts = facts_asked(self.universe, tokenizer, count=self.num_facts, seed=self.seed, pool=pool, some=self.some)
        # What an adapter knows is in its own parameters; the model beside it was there before.
        trained = model.beside or [model]
        num_parameters = sum(parameter.numel() for module in trained for parameter in module.parameters())
        num_facts = sum(fact.relation.of == "person" for fact in facts_of(self.universe, self.some))
        return AnswerAccuracyEvaluator(asked, list(facts), context_tokens, num_facts, num_parameters)

    def _plan(self, plan: Plan, *, is_choosing: bool) -> Plan:
        """As this measure asks, of validation where something is chosen."""
        sizes = (8 * self.facts[0], 16 * self.facts[0]) if plan.name == "S8" else self.facts
        pool, wording = plan.pool, plan.wording
        if is_choosing:
            pool = "val" if pool == "test" else pool
            wording = "val" if wording == "test" else wording
        types = tuple(kind for kind in plan.types if kind in self.types)
        some = self.some if plan.world == "fixed" else None
        if some is not None:
            types = tuple(kind for kind in types if kind == "one_hop")
        how = {"sizes": sizes, "types": types, "pool": pool, "wording": wording}
        return replace(plan, **how, diversity=self.diversity, some=some)


def check_about(universe: Universe, source: Source, name: str) -> None:
    """Refuse a measure of worlds (by its name) on data that is not about the same universe.

    Raises: SpecError.
    """
    while (inner := getattr(source, "source", None)) is not None:
        source = inner
    if not isinstance(source, Worlds):
        found = f"{name} with data={type(source).__name__}"
        raise SpecError("measures", found, "only Worlds has such questions", "change data, or leave it out")
    if source.universe != universe:
        found = f"{name} about {universe!r}, data about {source.universe!r}"
        raise SpecError("measures", found, "the same universe is needed", "give both the same value")


class AnswerAccuracyEvaluator(Evaluator):
    """See `AnswerAccuracy`.

    Args:
        asked: questions with their answers.
        facts: whose bits are counted.
        context_tokens: of the model; what is longer is left out.
        num_facts: of people in the fixed world.
        num_parameters: of the model, or of the adapters that are on.
    """

    def __init__(
        self,
        asked: Sequence[Question],
        facts: Sequence[Stored],
        context_tokens: int,
        num_facts: int,
        num_parameters: int,
    ) -> None:
        self._asked = [one for one in asked if len(one.ids) <= context_tokens]
        self._left_out = [one for one in asked if len(one.ids) > context_tokens and one.role == "answer"]
        self._facts, self._num_facts, self._num_parameters = facts, num_facts, num_parameters

    def take(self, model: LanguageModel) -> dict[str, np.ndarray | float]:
        """Means over questions."""
        right, nats, firsts = answers_of_rows(model, [(one.ids, one.is_answer) for one in self._asked])
        numbers, arrays = self._by_split(right, nats)
        numbers |= self._composed(right) | self._said(right, firsts) | self._bits(model)
        return {name: numbers.get(name, float("nan")) for name in ANSWERS.numbers} | arrays

    def _by_split(self, right: np.ndarray, nats: np.ndarray) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        count = len(JUDGED_SPLITS)
        main = [place for place, one in enumerate(self._asked) if one.role == "answer"]
        split_N = np.array([JUDGED_SPLITS.index(self._asked[place].split) for place in main], dtype=np.int64)
        type_N = np.array([QUESTION_TYPES.index(self._asked[place].type) for place in main], dtype=np.int64)
        hops_N = np.array([self._asked[place].hops - 1 for place in main], dtype=np.int64)
        chance_N, picked_N = (
            np.array([getattr(self._asked[place], name) for place in main]) for name in ("chance", "picked")
        )
        right_N, nats_N = right[main].astype(np.float64), nats[main]

        def mean(values_N: np.ndarray, among_N: np.ndarray, size: int) -> np.ndarray:
            weights, sums = (np.bincount(among_N, weights=w, minlength=size) for w in (None, values_N))
            return np.divide(sums, weights, out=np.full(size, np.nan), where=weights > 0)

        accuracy_P, chance_P, picked_P, nats_P = (
            mean(values, split_N, count) for values in (right_N, chance_N, picked_N, nats_N)
        )
        above_P, matching_P = (_above(accuracy_P, zero_P) for zero_P in (chance_P, picked_P))
        by_type = mean(right_N, split_N * len(QUESTION_TYPES) + type_N, count * len(QUESTION_TYPES))
        by_hops = mean(right_N, split_N * _MOST_HOPS + hops_N, count * _MOST_HOPS)
        left_out = [JUDGED_SPLITS.index(one.split) for one in self._left_out]
        numbers = {f"accuracy_s{place + 1}": float(value) for place, value in enumerate(accuracy_P)}
        s1, s3, s4 = 0, 2, 3
        knows, reads = np.clip(above_P[s1], 0, 1), np.clip(above_P[s4], 0, 1)
        numbers |= {
            "nats_s1": float(nats_P[s1]),
            "nats_s4": float(nats_P[s4]),
            "knowledge_in_weights": float(above_P[s1]),
            "context_reading": float(above_P[s4]),
            "separation": float(reads * (1 - knows)),
            "gap": float(above_P[s4] - above_P[s1]),
            "context_matching": float(matching_P[s4]),
            "picked_s4": float(picked_P[s4]),
            "through_context": float(accuracy_P[s3] - accuracy_P[s4]),
        }
        return numbers, {
            "accuracy_P": accuracy_P,
            "chance_P": chance_P,
            "picked_P": picked_P,
            "nats_P": nats_P,
            "num_examples_P": np.bincount(split_N, minlength=count),
            "num_left_out_P": np.bincount(np.array(left_out, dtype=np.int64), minlength=count),
            "accuracy_PQ": by_type.reshape(count, -1),
            "accuracy_PH": by_hops.reshape(count, -1),
        }

    def _rights(self, right: np.ndarray, split: str, role: str) -> dict[int, list[bool]]:
        """By example, whether its answers of this role are right."""
        found: dict[int, list[bool]] = {}
        for one, is_right in zip(self._asked, right, strict=True):
            if one.split == split and one.role == role:
                found.setdefault(one.example, []).append(bool(is_right))
        return found

    def _composed(self, right: np.ndarray) -> dict[str, float]:
        whole, hops = self._rights(right, "S4", "answer"), self._rights(right, "S4", "hop")
        both = [
            whole[number][0] for number, found in hops.items() if number in whole and len(found) == 2 and all(found)
        ]
        return {"composition": float(np.mean(both))} if both else {}

    def _said(self, right: np.ndarray, firsts: np.ndarray) -> dict[str, float]:
        """What is said where context and weights differ, and where the context lacks what is asked for."""
        numbers = {}
        by_context, by_memory = (
            sum(sum(found) for found in self._rights(right, "S5", role).values()) for role in ("answer", "memory")
        )
        if asked := len(self._rights(right, "S5", "answer")):
            numbers["follows_context"] = by_context / asked
            if by_context + by_memory:
                numbers["memorization_ratio"] = by_memory / (by_context + by_memory)
        missing = [place for place, one in enumerate(self._asked) if one.split == "S6" and one.role == "answer"]
        if missing:
            copied = [int(firsts[place]) in self._asked[place].copied for place in missing]
            remembered = self._rights(right, "S6", "memory")
            numbers |= {
                "unknown_rate": float(np.mean(right[missing])),
                "memory_rate": sum(sum(found) for found in remembered.values()) / len(missing),
                "copy_rate": float(np.mean(copied)),
            }
        return numbers

    def _bits(self, model: LanguageModel) -> dict[str, float]:
        if not self._facts:
            return {}
        _, nats, _ = answers_of_rows(model, [(fact.ids, fact.is_value) for fact in self._facts])
        gained = np.maximum(0, np.array([fact.bits for fact in self._facts]) - nats / np.log(2))

        def total(*, is_known: bool, is_asked: bool) -> float:
            chosen = [fact.is_known == is_known and fact.is_asked == is_asked for fact in self._facts]
            return float(gained[chosen].mean()) * self._num_facts

        stored = total(is_known=True, is_asked=False)
        return {
            "bits_stored": stored,
            "bits_asked": total(is_known=True, is_asked=True),
            "bits_never_seen": total(is_known=False, is_asked=False),
            "bits_per_parameter": stored / self._num_parameters,
        }


def _above(share_P: np.ndarray, zero_P: np.ndarray) -> np.ndarray:
    """Shares on a scale on which `zero_P` is 0 and all right is 1; NaN where nothing can be above it."""
    room_P = 1 - zero_P
    return np.divide(share_P - zero_P, room_P, out=np.full_like(share_P, np.nan), where=room_P > 0)


def answers_of_rows(
    model: LanguageModel, rows: Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row: whether all tokens of its answer are the likeliest, their loss in nats, summed, and the token that
    is likeliest where the answer begins.

    Rows of like length go together, filled up behind, where nothing that counts sees it.
    """
    device = next(model.parameters()).device
    right, nats, firsts = np.zeros(len(rows), dtype=bool), np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
    for places in _batches([len(ids) for ids, _ in rows]):
        longest = max(len(rows[place][0]) for place in places)
        tokens_BT = np.zeros((len(places), longest), dtype=np.int64)
        is_answer_BT = np.zeros((len(places), longest), dtype=bool)
        for row, place in enumerate(places):
            ids, is_answer = rows[place]
            tokens_BT[row, : len(ids)], is_answer_BT[row, : len(ids)] = ids, is_answer
        tokens = torch.from_numpy(tokens_BT).to(device)
        row_N, at_N = np.nonzero(is_answer_BT[:, 1:])
        logits_NV = model(tokens[:, :-1])[torch.from_numpy(row_N), torch.from_numpy(at_N)].float()
        targets_N = tokens[:, 1:][torch.from_numpy(row_N), torch.from_numpy(at_N)]
        loss_N = functional.cross_entropy(logits_NV, targets_N, reduction="none").double().cpu().numpy()
        said_N = logits_NV.argmax(dim=-1).cpu().numpy()
        wrong_N = said_N != targets_N.cpu().numpy()
        nats[places] = np.bincount(row_N, weights=loss_N, minlength=len(places))
        right[places] = np.bincount(row_N, weights=wrong_N, minlength=len(places)) == 0
        _, begins = np.unique(row_N, return_index=True)
        firsts[places] = said_N[begins]
    return right, nats, firsts


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of rows, like lengths together, so that a batch has about so many tokens."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    start = 0
    while start < len(order):
        count = max(1, _MOST_TOKENS // lengths[order[start]])
        while count > 1 and count * lengths[order[min(start + count, len(order)) - 1]] > _MOST_TOKENS:
            count -= 1
        yield order[start : start + count]
        start += count
