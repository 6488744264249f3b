"""Whether values of facts can be read from the states of a model by a linear map, whatever the model says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from vslm.core.bounds import Real, Some
from vslm.core.errors import SpecError
from vslm.data.corpus import Corpus
from vslm.data.sources.source import Source
from vslm.data.worlds.draws import key_of, shuffled, stream
from vslm.data.worlds.examples import ANSWER, CTX, QUESTION
from vslm.data.worlds.facts import Fact, facts_of
from vslm.data.worlds.universe import SomeFacts, Universe
from vslm.measure.answer_accuracy import check_about
from vslm.measure.declared import Number
from vslm.measure.measure import Evaluator, Measure, log_spaced_steps
from vslm.measure.sections import VALUE_PROBE
from vslm.measure.watch import watch
from vslm.models.language_model import LanguageModel, Model

_FOLDS = 4
_ROWS_AT_A_TIME = 64


@dataclass(frozen=True, kw_only=True)
class ValueProbe(Measure):
    """The share of values of the fixed world that a linear map reads from the states behind a closed-book question.

        <ctx> <q> where does bala badak live? <a>
                                   |            |
                       the entity's last token  where the answer begins

    For each relation, each layer and each of the two places: the states x_n (centered) of N people, their values as
    one-hot rows Y, and W = (X'X + ridge * mean(diag X'X) I)^-1 X'Y, fitted to three quarters of the people and asked
    about the others, in four turns; right is a person whose value has the largest of x W. A map that was fitted to some
    people reads the values of others only where the model holds values along directions that people share, so this is
    a bound from below: a value that is there in another form is not found.

    Controls: the same with the values of a relation dealt out anew among its people (`shuffled`), which must be at
    chance however many directions there are; and the same measure of a model that never knew, such as another arm, or
    step 0 of a training from new weights.

    Cost: a forward pass over `num_facts` short texts, and for each layer and relation a few solves of the width.

    Args:
        universe: of the data, the same in all arms.
        num_facts: that are asked about at most, over all relations.
        ridge: above 0.
        num_evaluations: 1 at the end alone; 2 or more at log-spaced steps, both ends among them.
        some: which facts; None: all.
        seed: of the folds, of which facts are taken, and of what is dealt out.
    Raises: SpecError for data of another universe, or where no relation has enough facts.
    """

    recorded_as: ClassVar[str] = "value_probe"
    asks_its_own: ClassVar[bool] = True
    shown, arrays = VALUE_PROBE.shown, VALUE_PROBE.arrays
    numbers: ClassVar[Mapping[str, Number]] = VALUE_PROBE.numbers
    universe: Universe
    num_facts: Some = 512
    ridge: Real = 0.1
    num_evaluations: Some = 1
    some: SomeFacts | None = field(default=None, metadata={"in_fingerprint": "when set"})
    seed: Some = 0

    def check(self) -> None:
        """Refuse counts of nothing, and facts that no map can be fitted to and tried on."""
        for name, least in (("num_facts", 2 * _FOLDS), ("num_evaluations", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise SpecError(name, f"found {getattr(self, name)}", f"{least} or more is needed")
        if self.ridge <= 0:
            raise SpecError("ridge", f"found {self.ridge}", "a number above 0 is needed")
        self._facts()

    def steps(self, num_steps: int) -> list[int]:
        """The end, or log-spaced steps."""
        return log_spaced_steps(num_steps, self.num_evaluations)

    def check_fits(self, *, model: Model, source: Source) -> None:
        """Questions are about the worlds of the data."""
        del model
        check_about(self.universe, source, type(self).__name__)

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        del model, context_tokens
        encode = corpus.tokenizer.encode
        relations = [_Relation.of(facts, encode, self.seed) for facts in self._facts()]
        return ValueProbeEvaluator(relations, self.ridge)

    def _facts(self) -> list[list[Fact]]:
        """By relation of people to values, those that are asked about, in an order that is drawn."""
        by_relation: dict[str, list[Fact]] = {}
        for fact in facts_of(self.universe, self.some):
            if fact.relation.of == "person" and self.universe.values(fact.relation):
                by_relation.setdefault(fact.relation.name, []).append(fact)
        most = self.num_facts // max(1, len(by_relation))
        found = []
        for name, facts in by_relation.items():
            order = shuffled(range(len(facts)), stream(key_of(f"probe {name}", self.seed)).__next__)[:most]
            if len(order) >= 2 * _FOLDS:
                found.append([facts[place] for place in order])
        if not found:
            words = f"no relation has {2 * _FOLDS} facts about people"
            raise SpecError("num_facts", words, "maps are fitted to some of them and tried on others", "ask about more")
        return found


class _Relation(NamedTuple):
    """The questions of one relation.

    Args:
        ids: of each text.
        entity: place of the last token of its subject.
        value: number of its value.
        dealt: number of a value that was dealt out to it.
    """

    ids: list[np.ndarray]
    entity: np.ndarray
    value: np.ndarray
    dealt: np.ndarray

    @classmethod
    def of(cls, facts: Sequence[Fact], encode, seed: int) -> "_Relation":
        """Of its facts, in their order."""
        number = {value: place for place, value in enumerate(sorted({fact.value for fact in facts}))}
        ids, entity = [], []
        for fact in facts:
            before, _, after = fact.relation.questions[0].partition("{s}")
            head = f"{CTX} {QUESTION} {before}{fact.subject}"
            ids.append(encode(f"{head}{after} {ANSWER}"))
            entity.append(len(encode(head)) - 1)
        value = np.array([number[fact.value] for fact in facts])
        order = shuffled(range(len(facts)), stream(key_of("dealt", seed)).__next__)
        return cls(ids, np.array(entity), value, value[order])


class ValueProbeEvaluator(Evaluator):
    """See `ValueProbe`."""

    def __init__(self, relations: Sequence[_Relation], ridge: float) -> None:
        self._relations, self._ridge = relations, ridge

    def take(self, model: LanguageModel) -> dict[str, np.ndarray | float]:
        """Shares over the facts of all relations; layers are the root's stream and that behind each visit."""
        sums: dict[str, np.ndarray | float] = {}
        total = sum(len(one.ids) for one in self._relations)
        chance = 0.0
        for one in self._relations:
            commonest = np.bincount(one.value).max() / len(one.value)
            chance += commonest * len(one.value) / total
            for place, x_LND in zip(("entity", "answer"), _states(model, one), strict=True):
                for name, value_N in ((place, one.value), (f"{place}_shuffled", one.dealt)):
                    right_L = np.array([held_out_right(x_ND, value_N, self._ridge) for x_ND in x_LND])
                    sums[f"{name}_L"] = sums.get(f"{name}_L", 0.0) + right_L * len(value_N) / total
        best = {
            name.removesuffix("_L"): float(np.max(array))
            for name, array in sums.items()
            if isinstance(array, np.ndarray)
        }
        return {**sums, **best, "chance": chance}


def held_out_right(x_ND: np.ndarray, value_N: np.ndarray, ridge: float) -> float:
    """The share of rows whose value is read right by a ridge regression that was fitted to other rows.

    >>> x_ND = np.eye(3)[np.arange(12) % 3] + 5.0
    >>> held_out_right(x_ND, np.arange(12) % 3, 0.1), held_out_right(0 * x_ND, np.arange(12) % 3, 0.1) < 0.6
    (1.0, True)
    """
    fold_N = np.arange(len(value_N)) * _FOLDS // len(value_N)
    y_NC = np.eye(int(value_N.max()) + 1)[value_N]
    right = 0
    for fold in range(_FOLDS):
        fitted, held = fold_N != fold, fold_N == fold
        mean_D, mean_C = x_ND[fitted].mean(axis=0), y_NC[fitted].mean(axis=0)
        x, y = x_ND[fitted] - mean_D, y_NC[fitted] - mean_C
        gram_DD = x.T @ x
        gram_DD += ridge * max(np.trace(gram_DD) / len(gram_DD), np.finfo(np.float64).tiny) * np.eye(len(gram_DD))
        said_MC = (x_ND[held] - mean_D) @ np.linalg.solve(gram_DD, x.T @ y) + mean_C
        right += int((said_MC.argmax(axis=1) == value_N[held]).sum())
    return right / len(value_N)


def _states(model: LanguageModel, one: _Relation) -> tuple[np.ndarray, np.ndarray]:
    """States at the entity and where the answer begins, float64 [L, N, D] each; of layers as wide as the last."""
    device = next(model.parameters()).device
    at_entity, at_answer = [], []
    for start in range(0, len(one.ids), _ROWS_AT_A_TIME):
        some, entity_B = one.ids[start : start + _ROWS_AT_A_TIME], one.entity[start : start + _ROWS_AT_A_TIME]
        tokens_BT = np.zeros(
            (len(some), max(map(len, some))), dtype=np.int64
        )  # filled up behind, where nothing sees it
        for row, ids in enumerate(some):
            tokens_BT[row, : len(ids)] = ids
        last_B = np.array([len(ids) - 1 for ids in some])
        rows_B = torch.arange(len(some))
        with watch(model, "root", "path.*") as seen:
            model(torch.from_numpy(tokens_BT).to(device))
        for found, place_B in ((at_entity, entity_B), (at_answer, last_B)):
            picked = [x_BTD[rows_B, torch.from_numpy(place_B)].double().cpu().numpy() for x_BTD in seen.values()]
            found.append(picked)
    both = [[np.concatenate(parts) for parts in zip(*found, strict=True)] for found in (at_entity, at_answer)]
    widest = max(x_ND.shape[1] for x_ND in both[0])
    stacked = [np.stack([np.pad(x, ((0, 0), (0, widest - x.shape[1]))) for x in layers]) for layers in both]
    return stacked[0], stacked[1]
