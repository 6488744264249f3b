"""Screening, tuning and budgets: what is run, what is chosen, what is recorded, and that it can be stopped anywhere."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_this_process import BATCH_TOKENS, CONTEXT_TOKENS, InThisProcess, Quiet, run, stopped_everywhere

from vslm.core.errors import RunError, SpecError
from vslm.core.paths import vary
from vslm.data.sources import Text
from vslm.lab import runner
from vslm.lab.options import Options
from vslm.lab.runner import run_study
from vslm.lab.screening import kept
from vslm.lab.stages import job_of
from vslm.lab.tuning import Curve
from vslm.measure.loss_by_position import LossByPosition
from vslm.models.layouts.plain import uniform
from vslm.optim.adamw import AdamW
from vslm.report.numbers.tables import list_arms
from vslm.report.pages.study import render
from vslm.results.files import read_json
from vslm.results.folder import StudyFolder
from vslm.results.records import StudyRecord
from vslm.runs.pool import Order
from vslm.study.experiment import Budget, Experiment
from vslm.study.learning_rates import TUNING_SEED, LearningRates
from vslm.study.matching import relative_sizes
from vslm.study.pilot import Pilot
from vslm.study.screening import SCREEN_SEED, Screen
from vslm.study.study import Primary, Study

STEPS = 12


@pytest.fixture
def pool(workers: InThisProcess) -> InThisProcess:
    """Workers without processes."""
    return workers


@pytest.fixture
def plain(tmp_path: Path) -> Experiment:
    """A run of 12 steps."""
    rng = np.random.default_rng(5)
    words = ["".join(rng.choice(list("abcdefgh"), 4)) for _ in range(60)]
    documents = [" ".join(rng.choice(words, 60)) for _ in range(300)]
    (tmp_path / "corpus.txt").write_text("\n<|endoftext|>\n".join(documents))
    return Experiment(
        model=uniform(depth=1, width=12, heads=2, context_tokens=CONTEXT_TOKENS),
        data=Text(str(tmp_path / "corpus.txt"), vocabulary=300),
        budget=Budget(tokens=BATCH_TOKENS * STEPS),
        batch_tokens=BATCH_TOKENS,
        optimizer=AdamW(learning_rate=0.004),
        measures=(LossByPosition(num_evaluations=3, num_tokens=95, num_final_tokens=190),),
    )


def study_of(plain: Experiment, **fields: Any) -> Study:
    """Five arms that differ in their windows and rates."""
    arms = {
        "plain": plain,
        "bias": vary(plain, {"model.blocks.*.attention.bias": True}),
        "window": vary(plain, {"model.blocks.*.attention.window_tokens": 3}),
        "slow": vary(plain, {"optimizer.learning_rate": 1e-6}),
        "fast": vary(plain, {"optimizer.learning_rate": 0.016}),
    }
    return Study(question="?", baseline="plain", arms=arms, seeds=2, **{"pilot": None, **fields})


def test_a_screening_confirms_baseline_controls_and_the_best_on_fresh_seeds(
    plain: Experiment, tmp_path: Path, pool: InThisProcess
) -> None:
    """Every arm once on `select` at a quarter; then only what is confirmed; the rest is listed without a verdict."""
    study = study_of(plain, screen=Screen(controls=("bias",), keep=1))
    folder = run(study, tmp_path / "runs" / "s")
    screening = folder.study.plain()["screening"]
    done = {arm: read_json(folder.path / "screen" / arm / f"seed{SCREEN_SEED}" / "done.json") for arm in study.arms}
    assert all(row["tokens"] == BATCH_TOKENS * STEPS / 4 for row in done.values())
    assert all("val_loss" not in row for row in done.values())
    losses = {arm: row["select_loss"] for arm, row in done.items()}
    best = min(("window", "slow", "fast"), key=losses.__getitem__)
    assert best == "fast"
    assert screening["confirmed"] == ["plain", "bias", best]
    assert folder.judged_arms == ["plain", "bias", best]
    assert set(folder.plain_verdict["arms"]) == {"bias", best}
    assert set(folder.plain_verdict["screened_out"]) == {"window", "slow"}
    assert folder.plain_verdict["screened_out"]["slow"]["difference"] == pytest.approx(losses["slow"] - losses["plain"])
    assert folder.plain_verdict["missing"] == []
    assert not (folder.path / "slow").exists()
    assert [run.seed for run in folder.runs(best)] == [0, 1]
    rows = {row["arm"]: row for row in list_arms(tmp_path / "runs")}
    assert {arm: row["verdict"] for arm, row in rows.items()} | {"bias": None, best: None} == {
        "plain": "baseline",
        "bias": None,
        best: None,
        "window": "screened out",
        "slow": "screened out",
    }
    assert "screened out, no verdict" in render(folder)


@pytest.mark.slow
def test_a_tuning_gives_each_arm_its_rate_and_runs_it(plain: Experiment, tmp_path: Path, pool: InThisProcess) -> None:
    """A rate that is far too small is widened upwards as often as allowed, recorded, marked, and used."""
    arms = {"plain": plain, "slow": vary(plain, {"optimizer.learning_rate": 1e-6})}
    study = Study(question="?", baseline="plain", arms=arms, seeds=2, tune=LearningRates(max_widenings=1), pilot=None)
    folder = run(study, tmp_path / "s")
    assert folder.study.plain()["tuned"] is True
    curve = folder.study.plain()["tuning"]["slow"]
    assert [row["rate"] for row in curve["rates"]] == [2.5e-7, 5e-7, 1e-6, 2e-6, 4e-6]
    assert curve["edge"] == "high"
    assert curve["chosen"] == 4e-6
    for arm in arms:
        chosen = folder.study.plain()["tuning"][arm]["chosen"]
        rates = [row["rate"] for row in folder.study.plain()["tuning"][arm]["rates"]]
        at = rates.index(folder.study.plain()["tuning"][arm]["best"])
        for row in folder.study.plain()["tuning"][arm]["rates"]:
            runs = folder.path / "tuning" / arm / f"rate-{row['rate']:g}"
            seeds = range(TUNING_SEED, TUNING_SEED + len(row["values"]))
            assert row["values"] == [read_json(runs / f"seed{seed}" / "done.json")["select_loss"] for seed in seeds]
            assert len(seeds) == 3 or row["rate"] not in rates[max(0, at - 1) : at + 2]
        for seed in (0, 1):
            record = read_json(folder.path / arm / f"seed{seed}" / "experiment.json")
            assert record["job"]["experiment"]["optimizer"]["learning_rate"] == chosen
        assert folder.study.plain()["arms"][arm]["experiment"]["optimizer"]["learning_rate"] == chosen
    assert folder.plain_verdict["missing"] == []
    record = folder.study
    assert ["optimizer.learning_rate", record.tuning["plain"].chosen, 4e-6] in record.arms["slow"].differences
    page = render(folder)
    assert "at the edge of what was tried" in page
    assert "Not tuned" not in page
    with pytest.raises(SpecError, match=r"arms\.slow\.optimizer\.learning_rate"):
        run(vary(study, {"arms.slow.optimizer.learning_rate": 2e-6}), tmp_path / "s")


@pytest.mark.slow
def test_budgets_are_judged_together_and_say_how_the_difference_goes(
    plain: Experiment, tmp_path: Path, pool: InThisProcess
) -> None:
    """Runs of the other budgets lie apart; intervals share the error of the study; the trend is paired by seed."""
    arms = {"plain": plain, "fast": vary(plain, {"optimizer.learning_rate": 0.016})}
    study = Study(question="?", baseline="plain", arms=arms, seeds=2, budgets=(0.5, 1, 2), pilot=None)
    folder = run(study, tmp_path / "s")
    for name, budget in (("x0.5", 0.5), ("x2", 2.0)):
        done = read_json(folder.path / "budgets" / name / "fast" / "seed1" / "done.json")
        assert done["tokens"] == BATCH_TOKENS * STEPS * budget
        assert folder.plain_verdict["budgets"][name]["arms"]["fast"]["tokens"] == done["tokens"]
    verdict = folder.plain_verdict
    ends = [verdict["budgets"][name]["arms"]["fast"]["per_seed"] for name in ("x0.5", "x2")]
    changes = [ends[1][seed]["difference"] - ends[0][seed]["difference"] for seed in ("0", "1")]
    assert verdict["trends"]["fast"]["change"] == pytest.approx(np.mean(changes))
    error = verdict["arms"]["fast"]["looks"][0]["error"]
    assert error == pytest.approx(0.04 / 4)
    assert verdict["budgets"]["x2"]["arms"]["fast"]["looks"][0]["error"] == error
    assert verdict["trends"]["fast"]["looks"][0]["error"] == error
    page = render(folder)
    assert "with training" in page
    assert "x0.5" in page
    with pytest.raises(SpecError, match="budgets"):
        run(Study(question="?", baseline="plain", arms=arms, seeds=2, pilot=None), tmp_path / "s")


@pytest.mark.slow
@pytest.mark.parametrize(("every", "pilot"), [(4, None), (1, Pilot())])
def test_a_study_that_is_stopped_anywhere_goes_on_to_the_same_answer(
    plain: Experiment, tmp_path: Path, pool: InThisProcess, every: int, pilot: Pilot | None
) -> None:
    """Stopped after each run, or after every few, all stages go on; nothing is trained twice; the verdict is equal."""
    rates = LearningRates(values=3, max_widenings=1)
    study = study_of(plain, screen=Screen(keep=1), tune=rates, budgets=(0.5, 1), pilot=pilot)
    study = vary(study, {"arms": {arm: study.arms[arm] for arm in ("plain", "slow", "fast")}})
    whole = run(study, tmp_path / "whole")
    broken = tmp_path / "broken"
    assert len(set(pool.trained)) == len(pool.trained)
    folder = stopped_everywhere(study, broken, pool, every)
    assert folder.plain_verdict["arms"].keys() == whole.plain_verdict["arms"].keys()
    for key in ("screening", "tuning", "tuned", "arms", "fingerprint"):
        assert folder.study.plain()[key] == whole.study.plain()[key], key
    assert without_times(folder) == without_times(whole)
    for arm, row in folder.plain_verdict["arms"].items():
        assert row["interval"] == whole.plain_verdict["arms"][arm]["interval"]
    pool.stop_after = len(pool.trained)
    run(study, broken)


def without_times(folder: StudyFolder) -> dict[str, Any] | None:
    """What a pilot wrote down, but for minutes."""
    pilot = folder.study.plain().get("pilot")
    return pilot and {key: value for key, value in pilot.items() if key != "more_minutes"}


@pytest.mark.slow
def test_a_pilot_changes_the_order_of_the_runs_and_nothing_else(
    plain: Experiment, tmp_path: Path, pool: InThisProcess
) -> None:
    """The baseline's search comes first, then its first judged runs; then what would have been without a pilot."""
    rates = LearningRates(values=3, max_widenings=1)
    stages = {"screen": Screen(keep=1), "tune": rates, "budgets": (0.5, 1)}
    three = {arm: study_of(plain).arms[arm] for arm in ("plain", "slow", "fast")}
    without = run(vary(study_of(plain, **stages), {"arms": three}), tmp_path / "a")
    runs, pool.trained = [path.removeprefix(str(tmp_path / "a")) for path in pool.trained], []
    having = run(vary(study_of(plain, **stages, pilot=Pilot(seeds=1)), {"arms": three}), tmp_path / "b")
    trained = [path.removeprefix(str(tmp_path / "b")) for path in pool.trained]
    assert sorted(trained) == sorted(runs)
    first = trained.index("/plain/seed0")
    assert all(path.startswith("/tuning/plain/") for path in trained[:first])
    assert trained[first + 1 :] == [path for path in runs if path not in trained[: first + 1]]
    for key in ("screening", "tuning", "tuned", "arms", "fingerprint"):
        assert having.study.plain()[key] == without.study.plain()[key], key
    for arm, row in having.plain_verdict["arms"].items():
        assert row["looks"] == without.plain_verdict["arms"][arm]["looks"]


def test_no_choice_is_made_while_a_run_is_missing(
    plain: Experiment, tmp_path: Path, pool: InThisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that crashed stops the study before it chooses; the next start runs it."""
    study = study_of(plain, screen=Screen(keep=1))

    def without_one(orders: Iterable[Order], **rest: Any) -> None:
        pool([order for order in orders if order.job.arm != "fast (screen)"], **rest)

    monkeypatch.setattr(runner, "run_orders", without_one)
    with pytest.raises(RunError, match="'fast' did not finish"):
        run(study, tmp_path / "s")
    assert "screening" not in read_json(tmp_path / "s" / "study.json")
    monkeypatch.setattr(runner, "run_orders", pool)
    assert "fast" in run(study, tmp_path / "s").study.plain()["screening"]["confirmed"]
    with pytest.raises(SpecError, match="added after the screening"):
        run(vary(study, {"arms": {**study.arms, "late": plain}}), tmp_path / "s")


def test_a_promise_of_equal_size_is_held_before_any_compute(
    plain: Experiment, tmp_path: Path, pool: InThisProcess
) -> None:
    """The message names arm, numbers and what to do; an arm that is listed passes, and is shown."""
    wide = vary(plain, {"model.blocks.*.feedforward.hidden": 40})
    arms = {"plain": plain, "wide": wide}
    promised = Study(question="?", baseline="plain", arms=arms, seeds=1, equal="parameters", pilot=None)
    with pytest.raises(SpecError) as error:
        run(promised, tmp_path / "s")
    assert not (tmp_path / "s").exists()
    assert "arms.wide" in str(error.value)
    assert f"{wide.model.num_parameters(300):,}" in str(error.value)
    assert f"{plain.model.num_parameters(300):,}" in str(error.value)
    assert "matched(" in str(error.value)
    folder = run(vary(promised, {"unequal": ("wide",)}), tmp_path / "s")
    assert folder.study.plain()["equal"] == "parameters"
    more = relative_sizes(arms, "plain", dict.fromkeys(arms, 300))["wide"]["parameters"]
    assert f"wide {more:+.1%}" in render(folder).replace("&#43;", "+")


def test_a_screening_compiles_only_runs_that_win_it_back_alone(plain: Experiment, tmp_path: Path) -> None:
    """All other runs share what their arm has compiled, so they keep the study's settings whatever their length."""
    settings = {"device": "cpu", "precision": "bf16", "compiled": True, "threads": 1, "compiled_from_tokens": 700}
    row = {"tokens": 1000, "stages_tokens": [1000], "corpus": "c", "start_sha256": None}
    record = StudyRecord.from_plain({"settings": settings, "arms": {"plain": row}})

    def is_compiled(**how: Any) -> bool:
        return job_of(record, "plain", plain, seed=0, **how).settings.compiled

    assert is_compiled(is_only=True)
    assert is_compiled(budget=0.7, is_only=True)
    assert not is_compiled(budget=0.5, is_only=True)
    assert is_compiled(budget=0.5)
    record.settings.compiled_from_tokens = None  # a study that began before there was such a number
    assert is_compiled(budget=0.5, is_only=True)


def test_minutes_of_a_study_count_all_of_its_stages(plain: Experiment, tmp_path: Path, pool: InThisProcess) -> None:
    """Screen, widest tuning, all budgets and seeds fit into what was asked for, and the estimate is kept."""
    study = study_of(plain, screen=Screen(keep=1), tune=LearningRates(), budgets=(0.5, 1))
    flops = {arm: experiment.model.flops_per_token(300) for arm, experiment in study.arms.items()}
    rounds = (5 * 0.25 + 2 * (6 + 2 * 4) + 2 * 2 * 1.5) * sum(flops.values()) / len(flops) / flops["plain"]
    record: dict[str, Any] = {}
    pool.stop_after = 0
    for minutes in (3.0, 30.0):
        with pytest.raises(KeyboardInterrupt):
            run_study(study, tmp_path / "s", Quiet(), study_file=None, options=Options(minutes=minutes))
        record = read_json(tmp_path / "s" / "study.json")
        assert record["estimate"]["rounds"] == pytest.approx(rounds, rel=0.01)  # some arms are a little dearer
        assert record["estimate"]["minutes"] == pytest.approx(3.0, rel=0.01)
        starts = 5 + 2 * (6 + 2 * 4) + 2 * 2 * 2  # one worker, a second each; evaluating takes a little more
        of_training = (3 * 60 - starts) * 1000 / 1.1 / record["estimate"]["rounds"]
        assert 0.93 * of_training < record["arms"]["plain"]["tokens"] < of_training


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"unequal": ("bias",)}, "unequal"),
        ({"equal": "flops", "unequal": ("bais",)}, "did you mean bias"),
        ({"screen": Screen(controls=("plain",))}, "screen.controls"),
        ({"screen": Screen(keep=4)}, "screen"),
        ({"budgets": (0.25, 4)}, "budgets"),
        ({"budgets": (1, 1)}, "budgets"),
    ],
)
def test_stages_that_cannot_be_meant_are_refused(plain: Experiment, fields: dict[str, Any], where: str) -> None:
    """Before anything is run."""
    with pytest.raises(SpecError, match=where):
        study_of(plain, **fields)


def test_an_arm_cannot_be_named_like_a_stage(plain: Experiment) -> None:
    """Its folder would be the stage's."""
    with pytest.raises(SpecError, match="folder of a stage"):
        Study(question="?", baseline="tuning", arms={"tuning": plain})


def test_a_diverged_arm_is_never_kept() -> None:
    """And fewer are confirmed where fewer ended well."""
    values = {"plain": None, "a": None, "b": 3.0, "c": None}
    assert kept(values, baseline="plain", screen=Screen(keep=2)) == ("plain", "b")


def test_a_rate_that_diverges_is_the_far_side_of_an_optimum() -> None:
    """No widening towards it; with several seeds one that diverged spoils the rate; no parabola through it."""
    curve = Curve(LearningRates(values=3, num_seeds=2, more_seeds=1), 0.004)
    curve.take({0.002: [3.0, 3.2], 0.004: [2.9, 3.1], 0.008: [2.0, None]})
    assert curve.best == 0.004
    assert curve.edge is None
    assert curve.wanted() == {0.002: range(2, 3), 0.004: range(2, 3)}
    curve.take({0.002: [3.1], 0.004: [3.0]})
    assert curve.wanted() == {}
    assert curve.choice() == (0.004, 3.0)


def test_a_grid_is_widened_to_the_side_of_the_best_and_only_so_often() -> None:
    """Down twice, then it stays marked, and nothing beyond the last rate is chosen."""
    curve = Curve(LearningRates(values=3, max_widenings=2, more_seeds=0), 0.004)
    assert curve.wanted() == dict.fromkeys((0.002, 0.004, 0.008), range(1))
    curve.take({rate: [rate] for rate in curve.wanted()})
    for wanted in (0.001, 0.0005):
        assert curve.wanted() == {wanted: range(1)}
        curve.take({wanted: [wanted]})
    assert curve.wanted() == {}
    assert curve.record().edge == "low"
    assert curve.record().num_widenings == 2
    assert curve.record().chosen == 0.0005


def test_the_rate_is_the_vertex_of_a_parabola_through_the_best_three() -> None:
    """By hand: loss 3 + (x - 0.25) ** 2 for x octaves from 0.004, first with the neighbor ahead by chance."""
    curve = Curve(LearningRates(values=3, more_seeds=1, max_widenings=1), 0.004)
    loss = {rate: 3.0 + (x - 0.25) ** 2 for rate, x in ((0.002, -1), (0.004, 0), (0.008, 1), (0.016, 2))}
    curve.take({rate: [loss[rate] - (0.6 if rate == 0.008 else 0.0)] for rate in curve.wanted()})
    assert curve.wanted() == {0.016: range(1)}
    curve.take({0.016: [loss[0.016]]})
    assert curve.wanted() == dict.fromkeys((0.004, 0.008, 0.016), range(1, 2))
    curve.take({0.004: [loss[0.004]], 0.008: [loss[0.008] + 0.6], 0.016: [loss[0.016]]})
    assert curve.best == 0.004
    assert curve.wanted() == {0.002: range(1, 2)}, "the new best has a neighbor with one run"
    curve.take({0.002: [loss[0.002]]})
    assert curve.wanted() == {}
    rate, expected = curve.choice()
    assert rate == pytest.approx(0.004 * 2**0.25, rel=1e-5)
    assert expected == pytest.approx(3.0)


def test_primary_in_bits_per_byte_is_read_on_select_too(plain: Experiment, tmp_path: Path, pool: InThisProcess) -> None:
    """The choice uses the declared number, in its unit and over its positions."""
    primary = Primary("val_bpb", positions=(3, 19))
    folder = run(study_of(plain, screen=Screen(keep=1), primary=primary), tmp_path / "s")
    run_folder = folder.path / "screen" / "fast" / f"seed{SCREEN_SEED}"
    with np.load(run_folder / "arrays.npz") as arrays:
        loss = arrays["final_select_loss_nats_T"][3:19].mean()
    part = next(iter(folder.study.plain()["corpora"].values()))["splits"]["select"]
    value = folder.study.plain()["screening"]["arms"]["fast"]["value"]
    assert value == pytest.approx(loss / np.log(2) / (part["num_bytes"] / part["num_tokens"]))


@pytest.mark.parametrize("max_seeds", [0, 1, 2])
def test_auto_may_not_give_up_before_there_is_an_interval(plain: Experiment, max_seeds: int) -> None:
    """Two seeds have no interval, so a study that ends there could only say so."""
    with pytest.raises(SpecError, match="3 or more is needed"):
        Study(question="?", baseline="plain", arms={"plain": plain}, seeds="auto", max_seeds=max_seeds)
    assert Study(question="?", baseline="plain", arms={"plain": plain}, seeds="auto", max_seeds=3).max_seeds == 3
