"""Every study file: it can be planned, keeps what it promises, and a tiny run of it shows its own figure."""

import dataclasses
import json
import os
import runpy
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_study import carry_out, made_up_text, made_up_timing

from vslm import AssociativeRecall, Budget, Experiment, LossByPosition, PromptEffect, Screen, Study, Text, vary
from vslm.lab import budgets, runner
from vslm.lab.checks import Checked
from vslm.lab.options import Options
from vslm.lab.plan import plan_study
from vslm.lab.runner import run_study
from vslm.measure.measure import Measure, OnWindows
from vslm.models.initialization import Init
from vslm.objectives.exits import loss_with_exits
from vslm.report.figures.style import styles
from vslm.report.numbers.runs import read_runs
from vslm.report.numbers.tables import judged_arms
from vslm.report.pages.study import render
from vslm.report.sections.measured import Section, sections
from vslm.results.files import write_json
from vslm.results.folder import FORMAT, StudyFolder
from vslm.runs.pool import OnMessage, Order, WorkerPool
from vslm.study.matching import check_equal
from vslm.study.study_file import load_study

STUDIES = Path(__file__).parents[2] / "studies"
NAMES = sorted(path.stem for path in STUDIES.glob("*.py"))
# Every cell of a grid, every pattern's curve, every optimizer's basin, and two others for one answer: nothing there may
# be left out.
UNSCREENED = {
    "rates",
    "recipe",
    "recipe_factors",
    "root_width",
    "recursion",
    "windows_recall",
    "group_diamond",
    "where_facts_live",
    "forget",
    "optimizers",
    "tangent_descent",
}
MOST_PLAN_SECONDS = 2.0
VOCABULARY = 1024


@pytest.fixture(autouse=True)
def _benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home with a benchmark in it, for the study that asks for one, and without a noise card that another test
    measured; corpora are shared.
    """
    home = tmp_path / "home"
    (home / "evals").mkdir(parents=True)
    (home / "corpora").symlink_to(Path(os.environ["VSLM_HOME"]) / "corpora")
    pairs = [{"sentence_good": f"Ann {n} has left.", "sentence_bad": f"Ann {n} have left."} for n in range(4001)]
    (home / "evals" / "blimp.jsonl").write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    monkeypatch.setenv("VSLM_HOME", str(home))


def study_of(name: str) -> Study:
    """A study by the name of its file."""
    return load_study(STUDIES / f"{name}.py")


@pytest.mark.parametrize("name", NAMES)
def test_a_study_plans_quickly_and_keeps_its_promises(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As equal as it says, screened above four arms, 0.4 million tokens a run in an hour on two cores."""
    for room in ("plan", "budgets"):
        monkeypatch.setattr(f"vslm.lab.{room}.available_cores", lambda: 2)
    start = time.process_time()
    study = study_of(name)
    train = SimpleNamespace(num_tokens=3_000_000)
    corpus = SimpleNamespace(
        vocabulary=VOCABULARY, fingerprint="text", tokenizer_fingerprint="one", train=train, meta={}, further={}
    )
    found = Checked(dict.fromkeys(study.experiments, corpus), "", ())
    monkeypatch.setattr("vslm.lab.plan.check_study", lambda study: found)  # models are tried in test_model_checks.py
    plan = plan_study(study, Options(minutes=60))
    assert time.process_time() - start < MOST_PLAN_SECONDS
    assert plan["minutes"] < 66
    assert all(arm["tokens"] >= 400_000 for arm in plan["arms"].values())
    assert not [lint for lint in plan["lints"] if "equals the baseline" in lint]
    assert study.prediction
    assert (study.screen is not None) == (len(study.arms) > 4 and name not in UNSCREENED)
    if study.equal:
        vocabularies = dict.fromkeys(study.arms, VOCABULARY)
        check_equal(study.arms, study.baseline, by=study.equal, unequal=study.unequal, vocabularies=vocabularies)


@pytest.mark.parametrize("name", NAMES)
def test_no_coordinate_of_an_embedding_is_dead(name: str) -> None:
    """A path that drops coordinates and a tied readout that gets zeros there leave them without a gradient: parameters
    that are counted, matched and never learn. Weights are moved first, since new parts start at zero.
    """
    for arm, experiment in study_of(name).arms.items():
        model = experiment.model.build(vocabulary=7, init=Init(seed=0)).eval()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        tokens_BT = torch.randint(7, (2, 13), generator=generator)
        loss_with_exits(model, tokens_BT[:, :-1], tokens_BT[:, 1:])[0].backward()
        embeddings = {where: p.grad for where, p in model.named_parameters() if "root" in where and p.shape[:1] == (7,)}
        assert embeddings, arm
        for where, grad_VE in embeddings.items():
            assert grad_VE is not None, (arm, where)
            assert grad_VE.any(dim=0).all(), (arm, where)


class Quiet:
    """Hears everything and says nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def started(self, tokens: Any) -> None:
        """Nothing."""

    def on_message(self, arm: str, seed: int, message: Any) -> None:
        """Nothing."""


def brief(measure: Measure) -> Measure:
    """The same measure, on a few tokens."""
    if isinstance(measure, LossByPosition):
        return LossByPosition(num_evaluations=2, num_tokens=1, num_final_tokens=1)
    if isinstance(measure, OnWindows):
        return dataclasses.replace(measure, num_tokens=1)
    if isinstance(measure, PromptEffect):
        return dataclasses.replace(measure, num_prompts=2)
    return measure


def tiny(experiment: Experiment, corpus: Path) -> Experiment:
    """Two steps of one window."""
    data = experiment.data
    small = (
        dataclasses.replace(data, num_documents=200)
        if isinstance(data, AssociativeRecall)
        else Text(str(corpus), vocabulary=300)
    )
    return vary(
        experiment,
        {
            "data": small,
            "budget": Budget(tokens=2 * experiment.model.context_tokens),
            "batch_tokens": experiment.model.context_tokens,
            "measures": tuple(brief(measure) for measure in experiment.measures),
        },
    )


def run_orders(orders: Iterable[Order], *, workers: int, on_message: OnMessage, pool: WorkerPool | None = None) -> None:
    """In this process, one after the other, at settings that nobody timed."""
    for order in orders:
        if order.task == "settings":
            order.folder.mkdir(parents=True, exist_ok=True)
            on_message(order, {"timing": made_up_timing()})
        else:
            carry_out(order, on_message)


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Section]]:
    """The sections of the page after a tiny run of some arms of a study, by name."""
    for room in (budgets, runner):
        monkeypatch.setattr(room, "run_orders", run_orders)
    monkeypatch.setattr("vslm.runs.run._SAMPLE_TOKENS", 1)
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(made_up_text(), encoding="utf-8")

    def run(name: str, arms: tuple[str, ...], screen: Screen | None = None) -> dict[str, Section]:
        study = study_of(name)
        small = dataclasses.replace(
            study,
            arms={arm: tiny(study.arms[arm], corpus) for arm in (study.baseline, *arms)},
            seeds=1,
            equal=None,
            unequal=(),
            screen=screen,
            tune=None,
            budgets=(1.0,),
            pilot=None,
        )
        folder = run_study(small, tmp_path / name, Quiet(), study_file=None, options=Options(workers=1))
        assert folder.plain_verdict is not None
        assert folder.plain_verdict["missing"] == []
        runs = read_runs(folder)
        found = sections(folder.study, judged_arms(folder), runs, styles(list(runs), study.baseline))
        page = render(folder)
        assert all(f'id="measured-{section.id}"' in page for section in found)
        return {section.id: section for section in found}

    return run


def arms_drawn(section: Section) -> set[str]:
    """Who is in the figures of a section."""
    return {trace["meta"]["arm"] for drawing in section.drawings for trace in drawing.figure["data"]} - {None}


@pytest.mark.slow
def test_roots_show_the_current_token_layer_by_layer(shown: Callable[..., dict[str, Section]]) -> None:
    """Also of a stream that starts learned, and of one whose readout goes through a matrix."""
    layers = shown("root_variants", ("learned", "widened"))["logit_lens"]
    assert "p_current" in layers.drawings[0].views
    assert arms_drawn(layers) == {"token", "learned", "widened"}


def test_recall_is_shown_by_distance(shown: Callable[..., dict[str, Section]]) -> None:
    """With the line of a guess."""
    recall = shown("windows_recall", ("increasing",))["recall"]
    assert arms_drawn(recall) == {"uniform", "increasing"}
    assert recall.drawings[0].figure["layout"]["shapes"][0]["y0"] == 1 / 8


@pytest.mark.slow
def test_learned_exponents_are_shown_through_training(shown: Callable[..., dict[str, Section]]) -> None:
    """By block and head, of the arms that have them."""
    drawings = shown("attention_power", ("power-learned", "head-gain"))["parameters"].drawings
    assert [drawing.caption for drawing in drawings] == ["blocks.*.attention.normalizer.exponent, power-learned"]
    assert len(drawings[0].figure["data"][0]["z"]) == 4 * 4


@pytest.mark.slow
def test_a_shape_that_was_screened_out_is_still_in_the_picture(shown: Callable[..., dict[str, Section]]) -> None:
    """Of four arms two are judged."""
    judged, screened = shown("layer_sizes", ("increasing", "decreasing"), Screen(keep=1))["forest"].drawings
    assert len(judged.figure["data"]) == 1
    assert {trace["meta"]["arm"] for trace in screened.figure["data"]} == {"increasing", "decreasing"}


@pytest.mark.slow
def test_loops_are_shown_against_unique_parameters(shown: Callable[..., dict[str, Section]]) -> None:
    """Arms of equal cost are joined."""
    drawing = shown("recursion", ("core2-loops2", "depth-6"))["costs"].drawings[0]
    joined = [trace for trace in drawing.figure["data"] if trace["meta"]["part"] == "equal"]
    assert "parameters" in drawing.views
    assert len(joined[0]["x"]) == 2


@pytest.mark.slow
def test_trained_loops_are_shown_at_other_numbers(shown: Callable[..., dict[str, Section]]) -> None:
    """Of the arms with loops alone: fewer and more than they were trained with."""
    section = shown("recursion_variants", ("loop-random", "shifted", "ahead"))["loss_by_loops"]
    assert arms_drawn(section) == {"loop-random", "shifted"}
    assert section.drawings[0].figure["data"][0]["x"] == [1, 2, 3, 4, 6, 8]


def test_the_use_of_context_is_shown_by_arm_and_over_training(shown: Callable[..., dict[str, Section]]) -> None:
    """The curve, its map over steps, and loss from document starts."""
    found = shown("context_learning", ("layers-1",))
    assert arms_drawn(found["context"]) == {"layers-1", "layers-2"}
    assert {"context-curve", "context-map"} <= {drawing.id for drawing in found["context"].drawings}
    assert set(found["position-profile"].drawings[0].views) == {"document", "random", "beside"}


def test_the_first_steps_are_shown_with_their_minima(shown: Callable[..., dict[str, Section]]) -> None:
    """Both arms, all three figures, and a row per arm and n-gram model."""
    found = shown("early_training", ("untied",))
    assert list(found)[:3] == ["early-days", "ngrams", "calibration"]
    assert arms_drawn(found["early-days"]) == {"tied", "untied"}
    table = found["ngrams"].table
    assert table is not None
    assert [row[:2] for row in table.rows] == [
        (arm, order) for arm in ("tied", "untied") for order in ("unigram", "bigram", "trigram")
    ]


def test_prompts_are_forgotten_beyond_a_window(shown: Callable[..., dict[str, Section]]) -> None:
    """What a window cannot reach has no divergence: 31 tokens of two blocks of 16; where all is seen it goes on."""
    figure = shown("prompts", ("window-16",))["prompt-distance"].drawings[0].figure
    lines = {
        trace["meta"]["arm"]: np.array(trace["y"])
        for trace in figure["data"]
        if (trace["meta"]["view"], trace["meta"]["part"]) == ("prompts", "mean")
    }
    assert lines["window-16"][:31].min() > 0
    assert lines["window-16"][31:].max() < 1e-6
    assert lines["full"][31:].min() > lines["window-16"][31:].max()


def written(path: Path, losses: dict[str, dict[int, float]]) -> StudyFolder:
    """A folder with final losses and nothing else."""
    arms = {arm: {"runs": {str(seed): f"{arm}-{seed}" for seed in by_seed}} for arm, by_seed in losses.items()}
    write_json(path / "study.json", {"format": FORMAT, "arms": arms, "budgets": [1.0]})
    for arm, by_seed in losses.items():
        for seed, loss in by_seed.items():
            done = {"status": "done", "fingerprint": f"{arm}-{seed}", "val_loss": loss}
            write_json(path / arm / f"seed{seed}" / "done.json", done)
    return StudyFolder(path)


def test_the_worth_exponent_is_fitted_to_the_grid(tmp_path: Path) -> None:
    """A law with 0.46 is found again, and a seed that misses a cell is left out."""
    file = runpy.run_path(str(STUDIES / "recursion.py"))
    sizes = {f"core{c}-loops{r}": 2 + r**0.46 * c for c in file["CORES"] for r in file["LOOPS"]}
    losses = {arm: {seed: 2.0 + 0.01 * seed + size**-0.3 for seed in (0, 1)} for arm, size in sizes.items()}
    losses["core1-loops1"][2] = 9.0
    (found,) = file["answers"](written(tmp_path / "s", losses))
    assert found.startswith("x1: worth exponent 0.46")
    assert "2 seeds" in found
    assert file["answers"](written(tmp_path / "empty", {arm: {} for arm in sizes})) == [
        "x1: no seed has finished every arm of the grid"
    ]


def test_the_change_with_the_width_is_a_difference_of_differences(tmp_path: Path) -> None:
    """What a root costs at every width cancels; what it costs at one does not."""
    file = runpy.run_path(str(STUDIES / "root_width.py"))
    losses = {
        f"{root}-{width}": {
            seed: 3
            + offset
            + 0.1 * (width == 32)
            + 0.01 * seed
            + (0.001 * seed - 0.05) * (root == "memory" and width == 32)
            for seed in (0, 1, 2)
        }
        for root, offset in (("token", 0.0), ("projected", 0.3), ("memory", 0.2))
        for width in file["WIDTHS"]
    }
    lines = file["answers"](written(tmp_path / "s", losses))
    assert len(lines) == 4
    memory = next(line for line in lines if line.startswith("64 to 32") and "memory" in line)
    assert "+0.1000 under token" in memory
    assert "difference -0.0490" in memory
    assert "less (3 seeds)" in memory
    assert file["answers"](written(tmp_path / "empty", {arm: {} for arm in losses})) == [
        "no seed has finished every arm"
    ]
