"""What holds for every measure. A new class with defaults gets all of it; others are added to `MEASURES`."""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_facts import final_classes

import vslm.knowledge
import vslm.measure
from vslm.core.errors import SpecError
from vslm.core.paths import vary
from vslm.core.specs import from_plain, to_plain
from vslm.data.corpus import Corpus, TokenFile
from vslm.data.preparing import prepare
from vslm.data.sources import AssociativeRecall, Squad, Worlds
from vslm.data.splits import SplitName, Splits
from vslm.data.word_tokenizer import Words
from vslm.data.worlds.universe import Universe
from vslm.knowledge.loaded_answers import LoadedAnswers
from vslm.knowledge.random_passages import Random
from vslm.measure.answer_accuracy import AnswerAccuracy
from vslm.measure.declared import read_declared
from vslm.measure.likelier_answers import LikelierAnswers
from vslm.measure.loss_by_position import LossByPosition
from vslm.measure.measure import Measure, recorded_name
from vslm.measure.minimal_pairs import MinimalPairs
from vslm.measure.parameter_track import ParameterTrack
from vslm.measure.quantized_answers import QuantizedAnswers
from vslm.measure.sections import RECORDED_AS
from vslm.measure.squad_accuracy import SquadAccuracy
from vslm.measure.value_probe import ValueProbe
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.layouts.plain import uniform
from vslm.models.path.repeats import Repeat
from vslm.runs.recording import measured_arrays, with_measures
from vslm.study.catalog import KINDS
from vslm.study.experiment import Budget, Experiment
from vslm.training.loop import Measurement

CONTEXT_TOKENS = 20
SOURCE = AssociativeRecall(num_pairs=3, document_tokens=CONTEXT_TOKENS, num_letters=5, num_documents=211)
UNIVERSE = Universe(people=17, relations=("job", "lives_in", "country", "friend"), first_names=16, last_names=32)
WORLDS = Worlds(universe=UNIVERSE, facts=(2,), num_documents=211, context_tokens=71)

ABOUT_WORLDS = AnswerAccuracy(universe=UNIVERSE, facts=(2, 3), num_examples=5, num_facts=11)
_FILE = Path(tempfile.mkdtemp(prefix="vslm-questions-")) / "questions.jsonl"
_FILE.write_text('{"question": "b", "answer": "a", "perturbed_answer": ["c", "d"]}\n', encoding="utf-8")
_PAIRS = _FILE.with_name("pairs.jsonl")
_PAIRS.write_text(
    "".join(
        json.dumps({"sentence_good": f"a {n} b", "sentence_bad": f"b {n + 1} a {n}", "UID": f"u{n % 3}"}) + "\n"
        for n in range(17)
    ),
    encoding="utf-8",
)
ON_WORLDS = [
    ABOUT_WORLDS,
    QuantizedAnswers(answers=ABOUT_WORLDS),
    ValueProbe(universe=UNIVERSE),
    LikelierAnswers(forget=str(_FILE), retain=str(_FILE)),
    LoadedAnswers(universe=UNIVERSE, other=Random(), passages=2, num_examples=5),
    MinimalPairs(path=str(_PAIRS), num_pairs=7),
]
ON_PARAGRAPHS = SquadAccuracy(num_examples=5, most_tokens=3)
GIVEN: list[Measure] = [
    ParameterTrack(names=("blocks.*.attention_norm.weight", "norm.weight")),
    *ON_WORLDS,
    ON_PARAGRAPHS,
]
ALL_OF_THEM = final_classes(Measure, vslm.measure) | final_classes(Measure, vslm.knowledge)
MEASURES = GIVEN + [cls() for cls in sorted(ALL_OF_THEM - {type(m) for m in GIVEN}, key=lambda cls: cls.__name__)]


def context_of(measure: Measure) -> int:
    """Of the model that it is taken of."""
    return WORLDS.context_tokens if measure in (*ON_WORLDS, ON_PARAGRAPHS) else CONTEXT_TOKENS


def spec(context_tokens: int = CONTEXT_TOKENS) -> Model:
    """Three visits of two blocks, one of them looped, with dropout that must be off while something is measured."""
    plain = uniform(depth=2, width=12, heads=2, context_tokens=context_tokens, dropout=0.2)
    return dataclasses.replace(plain, path=("0", Repeat(body=("1",), times=2)))


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    """Of `SOURCE`, of `WORLDS`, and of questions about paragraphs."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "squad.json").write_text(json.dumps({"data": squad_articles()}), encoding="utf-8")
    squad = Squad(path=str(folder / "squad.json"), tokenizer=Words(), context_tokens=WORLDS.context_tokens)
    squad = dataclasses.replace(squad, splits=Splits(min_val_tokens=0))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VSLM_HOME", str(folder))
        return {"pairs": prepare(SOURCE), "worlds": prepare(WORLDS), "squad": prepare(squad)}


def squad_articles() -> list[dict[str, Any]]:
    """A paragraph and a question for each of some numbers."""
    return [
        {
            "title": f"{n}",
            "paragraphs": [
                {
                    "context": f"There are {n} boats in harbor {m}.",
                    "qas": [{"question": f"What is in harbor {m} beside {n}?", "answers": [{"text": f"{n} boats"}]}],
                }
                for m in range(7)
            ],
        }
        for n in range(31)
    ]


@pytest.fixture
def corpus(measure: Measure, corpora: dict[str, Corpus]) -> Corpus:
    """That a measure has something to ask about."""
    if measure is ON_PARAGRAPHS:
        return corpora["squad"]
    return corpora["worlds" if measure in ON_WORLDS else "pairs"]


@pytest.fixture
def model(measure: Measure, corpus: Corpus) -> LanguageModel:
    """In training mode, as the loop has it."""
    return spec(context_of(measure)).build(vocabulary=corpus.vocabulary, init=Init(5)).train()


@pytest.fixture(params=MEASURES, ids=lambda measure: type(measure).__name__)
def measure(request: pytest.FixtureRequest) -> Measure:
    """Every measure."""
    return request.param


def _logits(model: LanguageModel) -> torch.Tensor:
    tokens_BT = torch.arange(2 * CONTEXT_TOKENS).reshape(2, -1) % 7
    model.eval()
    logits = model(tokens_BT).detach()
    model.train()
    return logits


def test_nothing_changes_when_it_is_taken(measure: Measure, model: LanguageModel, corpus: Corpus) -> None:
    """Logits bitwise, weights, mode, gradients and torch's generator; and no hook stays."""
    before = _logits(model)
    take = measure.build(model=model, corpus=corpus, context_tokens=context_of(measure))
    state = torch.random.get_rng_state()
    take(model)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.training
    assert torch.is_grad_enabled()
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert torch.equal(_logits(model), before)


def test_taken_twice_it_is_the_same_and_its_shapes_stay(measure: Measure, model: LanguageModel, corpus: Corpus) -> None:
    """A function of weights and windows: other weights change numbers and no shape."""
    take = measure.build(model=model, corpus=corpus, context_tokens=context_of(measure))
    first, again = take(model), take(model)
    assert first
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name], err_msg=name)
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    other = take(model)
    assert {name: values.shape for name, values in other.items()} == {name: v.shape for name, v in first.items()}
    assert any(not np.array_equal(first[name], other[name], equal_nan=True) for name in first)
    for name, values in again.items():
        np.testing.assert_array_equal(first[name], values, err_msg=f"{name} changed after it was taken")


def test_what_is_taken_can_be_recorded(measure: Measure, model: LanguageModel, corpus: Corpus) -> None:
    """Plain numbers, names that end with as many letters as there are axes, rows that are JSON."""
    values = measure.build(model=model, corpus=corpus, context_tokens=context_of(measure))(model)
    for name, value in values.items():
        assert np.issubdtype(value.dtype, np.number), name
        axes = recorded_name("m", name).rsplit("_", 1)[1]
        assert len(axes) == 1 + value.ndim, f"{name} has shape {value.shape}"
        # What no split asks, or no answer tells, has no number.
        may_lack = measure in ON_WORLDS and value.ndim == 0
        assert may_lack or np.isfinite(value).any(), f"{name} holds no number"
    taken = [Measurement(measure.recorded_as, step, values) for step in (0, 7)]
    assert all(len(array) == 2 for array in measured_arrays(taken).values())
    assert measured_arrays(taken)[f"{measure.recorded_as}.steps_S"].tolist() == [0, 7]
    json.dumps(with_measures([], taken), allow_nan=False)


def test_it_declares_the_numbers_that_it_records(measure: Measure, model: LanguageModel, corpus: Corpus) -> None:
    """Every one without axes, and no other, so that whatever is recorded can be judged by; with words for people."""
    values = measure.build(model=model, corpus=corpus, context_tokens=context_of(measure))(model)
    assert set(measure.numbers) == {name for name, value in values.items() if value.ndim == 0}
    for name, number in measure.numbers.items():
        assert number.unit, name
        assert number.title[:1].islower(), name


def test_the_arrays_that_it_declares_are_recorded(measure: Measure, model: LanguageModel, corpus: Corpus) -> None:
    """With as many axes, and with the arrays that hold their places; the declaration is read back from a record."""
    values = measure.build(model=model, corpus=corpus, context_tokens=context_of(measure))(model)
    for name, array in measure.arrays.items():
        assert values[name].ndim == len(array.axes), name
        for axis, size in zip(array.axes, values[name].shape, strict=True):
            assert axis.at is None or values[axis.at].shape == (size,), name
    assert read_declared(json.loads(json.dumps(to_plain(measure.declared())))) == measure.declared()


def test_sections_of_the_package_are_those_of_its_measures() -> None:
    """What a page of old runs is made with is what new runs record."""
    declared = {measure.recorded_as: measure.declared() for measure in MEASURES}
    assert {name: one for name, one in declared.items() if name in RECORDED_AS} == dict(RECORDED_AS)


def test_it_reads_the_split_that_it_is_opened_for(measure: Measure, model: LanguageModel, corpus: Corpus) -> None:
    """A run that is made to choose is measured on `select`, so none that is built for it looks at `val`."""
    read: list[str] = []

    class Watched(Corpus):
        def split(self, name: SplitName) -> TokenFile:
            read.append(name)
            return super().split(name)

    opened = Watched(corpus.folder, corpus.meta, "select")
    measure.build(model=model, corpus=opened, context_tokens=context_of(measure))
    assert "val" not in read


@pytest.mark.parametrize("num_steps", [1, 2, 37])
def test_it_is_taken_at_the_end_at_least(measure: Measure, num_steps: int) -> None:
    """Steps rise, without repeats, none beyond the training."""
    steps = measure.steps(num_steps)
    assert steps == sorted(set(steps))
    assert steps[0] >= 0
    assert steps[-1] == num_steps


def test_it_is_read_back_from_its_record(measure: Measure) -> None:
    """Spec -> plain -> spec is equal."""
    assert from_plain(to_plain(measure), KINDS) == measure


def test_every_measure_is_here_under_a_name_of_its_own() -> None:
    """In the catalog, in this list, and recorded under different names."""
    assert {type(measure) for measure in MEASURES} == ALL_OF_THEM
    names = [measure.recorded_as for measure in MEASURES]
    assert len(set(names)) == len(names)
    assert all("." not in name for name in names)


def test_all_of_them_fit_one_experiment() -> None:
    """Beside each other; and two of a kind are refused."""
    others = (*ON_WORLDS, ON_PARAGRAPHS)  # which ask about other data
    beside = tuple(measure for measure in MEASURES if measure not in others)
    experiment = Experiment(model=spec(), data=SOURCE, budget=Budget(tokens=1000), measures=beside)
    experiment.validate()
    other = vary(experiment, {"data": WORLDS, "model": spec(71), "measures": (LossByPosition(), *ON_WORLDS)})
    other.validate()
    with pytest.raises(SpecError, match="only Worlds has such questions"):
        vary(experiment, {"measures": (LossByPosition(), ABOUT_WORLDS)}).validate()
    with pytest.raises(SpecError, match="the same universe is needed"):
        vary(other, {"data.universe.seed": 3}).validate()
    assert isinstance(experiment.loss_by_position, LossByPosition)
    with pytest.raises(Exception, match=r"measures\.1: a second LossByPosition"):
        Experiment(model=spec(), data=SOURCE, budget=Budget(tokens=1), measures=(LossByPosition(), LossByPosition()))
