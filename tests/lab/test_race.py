"""A race: who is dropped when, what is judged of the others, what is shown, and that it can be stopped anywhere."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_this_process import BATCH_TOKENS, InThisProcess, run, stopped_everywhere

from vslm.after.merging import merge_studies
from vslm.core.errors import ResultError, SpecError
from vslm.core.paths import vary
from vslm.lab import runner
from vslm.lab.plan import plan_study
from vslm.live.progress import progress_of
from vslm.report.numbers.tables import list_arms
from vslm.report.pages.study import render
from vslm.report.plan import show_plan
from vslm.report.terminal import show_verdict
from vslm.runs.pool import Order
from vslm.study.experiment import Experiment
from vslm.study.learning_rates import LearningRates
from vslm.study.race import Race
from vslm.study.screening import Screen
from vslm.study.study import Primary, Study


def race_of(base: Experiment, **fields: Any) -> Study:
    """Three arms that hardly learn, one that is fast, one that is as the baseline."""
    arms = {
        "base": base,
        "slow": vary(base, {"optimizer.learning_rate": 1e-6}),
        "same": vary(base, {"model.blocks.*.attention.window_tokens": 17}),
        "fast": vary(base, {"optimizer.learning_rate": 0.016}),
    }
    how = {"seeds": 5, "race": Race(), "pilot": None, "primary": Primary("val_loss", smallest_effect=0.01), **fields}
    return Study(question="?", baseline="base", arms=arms, **how)


def test_arms_that_are_behind_get_no_further_seeds(
    base: Experiment, tmp_path: Path, workers: InThisProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first three seeds of all, then those that are left, who are judged at the error of all that began; it is said
    on the terminal, on the page, and where all arms are listed.
    """
    folder = run(race_of(base), tmp_path / "runs" / "s")
    racing, verdict = folder.study.racing, folder.verdict
    assert [(one.seeds, one.leader) for one in racing.standings] == [([0, 1, 2], "fast"), ([0, 1, 2, 3], "fast")]
    assert set(racing.dropped) == {"slow", "same"}
    assert racing.dropped["slow"].seeds == [0, 1, 2]
    slow, fast, plain = (
        [folder.run(arm, seed).done.val_loss for seed in (0, 1, 2)] for arm in ("slow", "fast", "base")
    )
    assert racing.dropped["slow"].behind == pytest.approx(np.mean(slow) - np.mean(fast))
    assert racing.dropped["slow"].difference == pytest.approx(np.mean(slow) - np.mean(plain))
    assert not (folder.path / "slow" / "seed3").exists()
    assert [one.seed for one in folder.runs("base")] == [0, 1, 2, 3, 4], "the baseline stays, though it is behind"
    assert set(verdict.arms) == {"fast"}
    assert verdict.arms["fast"].seeds == [0, 1, 2, 3, 4]
    assert verdict.arms["fast"].looks[0].error == pytest.approx(0.04 / 3)
    assert verdict.missing == []
    assert set(verdict.dropped) == {"slow", "same"}
    assert progress_of(folder).words == f"{len(workers.trained)} of {len(workers.trained)} runs"

    dropped = folder.study.racing.dropped["slow"]
    capsys.readouterr()
    show_verdict(folder)
    said = f"slow: dropped after 3 seeds, no verdict: {dropped.behind:.3f} nats per token behind fast"
    assert said in capsys.readouterr().out
    page = render(folder)
    assert "2 of 3 arms, 4 runs not needed" in page
    assert "dropped, no verdict" in page
    assert f"{dropped.behind:.3f}" in page
    assert "never started" not in page
    rows = {row["arm"]: row for row in list_arms(tmp_path / "runs")}
    assert rows["slow"]["verdict"] == "dropped"
    assert rows["slow"]["delta"] == dropped.difference
    assert rows["slow"]["seeds"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("every", [3])
def test_a_race_that_is_stopped_anywhere_goes_on_to_the_same_answer(
    base: Experiment, tmp_path: Path, workers: InThisProcess, every: int
) -> None:
    """Nothing is trained twice, the same arms are dropped after the same seeds, and the verdict is equal."""
    study = race_of(base)
    whole = run(study, tmp_path / "whole")
    broken = tmp_path / "broken"
    folder = stopped_everywhere(study, broken, workers, every)
    assert folder.study.racing == whole.study.racing
    assert folder.verdict.arms["fast"].looks == whole.verdict.arms["fast"].looks
    workers.stop_after = len(workers.trained)
    run(study, broken)


def test_a_race_that_only_the_baseline_survives_is_over(
    base: Experiment, tmp_path: Path, workers: InThisProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then there is nothing to judge, and no further run; neither is one when the same command comes again."""
    arms = {"base": base, **{f"slow{i}": vary(base, {"optimizer.learning_rate": i * 1e-6}) for i in (1, 2)}}
    study = vary(race_of(base), {"arms": arms, "seeds": "auto"})
    for _ in range(2):
        folder = run(study, tmp_path / "s")
        assert len(workers.trained) == 9, "the first look has four seeds, and nobody is left after three"
        assert folder.verdict.arms == {}
        assert folder.verdict.missing == []
    assert "Every other arm was dropped" in render(folder)


@pytest.mark.slow
def test_what_a_planned_look_has_resolved_stays(base: Experiment, tmp_path: Path, workers: InThisProcess) -> None:
    """A look at four seeds comes before the drop, so its verdict is one; a dropped arm holds up no study."""
    changes = {"seeds": "auto", "max_seeds": 5, "race.first": 4, "arms.base.budget.tokens": BATCH_TOKENS * 24}
    study = vary(race_of(base), changes)
    folder = run(study, tmp_path / "s")
    assert "slow" in folder.study.racing.dropped
    assert folder.verdict.arms["slow"].verdict == "worse"
    assert folder.verdict.arms["slow"].seeds == [0, 1, 2, 3]
    assert "slow" not in folder.verdict.dropped


@pytest.mark.slow
def test_an_arm_that_diverged_is_dropped_and_one_that_is_missing_waits(
    base: Experiment, tmp_path: Path, workers: InThisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash drops nobody: the run is missing, and the same command makes it again."""
    study = vary(race_of(base), {"arms.fast.optimizer.learning_rate": 1e12})

    def without_one(orders: Iterable[Order], **rest: Any) -> None:
        workers([order for order in orders if (order.job.arm, order.job.data_seed) != ("slow", 1)], **rest)

    monkeypatch.setattr(runner, "run_orders", without_one)
    folder = run(study, tmp_path / "s")
    assert folder.study.racing.dropped["fast"].behind is None
    assert folder.study.racing.dropped["fast"].words == "dropped after 3 seeds, no verdict: a run diverged"
    assert "slow" not in folder.study.racing.dropped
    assert [(gone.arm, gone.seed) for gone in folder.verdict.missing] == [("slow", 1)]
    assert "a run diverged" in render(folder)
    monkeypatch.setattr(runner, "run_orders", workers)
    again = run(study, tmp_path / "s")
    assert again.verdict.missing == []
    assert "slow" not in again.study.racing.dropped, "decided once"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"screen": Screen(keep=1)}, "race: given together with screen"),
        ({"budgets": (0.5, 1)}, "race: given with 2 budgets"),
        ({"seeds": 3}, r"race\.first: every arm gets the first 3 seeds, and the study has 3"),
    ],
)
def test_a_race_that_cannot_be_meant_is_refused(base: Experiment, fields: dict[str, Any], where: str) -> None:
    """Before anything is run."""
    with pytest.raises(SpecError, match=where):
        race_of(base, **fields)
    factors = {"bias": {"model.blocks.*.attention.bias": True}, "fast": {"optimizer.learning_rate": 0.01}}
    with pytest.raises(SpecError, match="race: given with factors"):
        Study(question="?", baseline="base", arms={"base": base}, factors=factors, seeds=5, race=Race())
    with pytest.raises(SpecError, match="first: found 1"):
        Race(first=1)
    with pytest.raises(SpecError, match=r"error: found 0\.5"):
        Race(error=0.5)


@pytest.mark.slow
def test_a_race_is_declared_once_and_run_in_one_place(base: Experiment, tmp_path: Path, workers: InThisProcess) -> None:
    """Another race, an arm that comes later, and folders to be joined are refused."""
    folder = run(race_of(base), tmp_path / "s")
    with pytest.raises(SpecError, match=r"race\.first"):
        run(race_of(base, race=Race(first=4)), tmp_path / "s")
    with pytest.raises(SpecError, match="'late' was added after the race had begun"):
        run(vary(race_of(base), {"arms": {**race_of(base).arms, "late": base}}), tmp_path / "s")
    with pytest.raises(ResultError, match="a race"):
        merge_studies([folder.path, folder.path], tmp_path / "merged")


@pytest.mark.slow
def test_more_seeds_go_to_those_that_are_left(base: Experiment, tmp_path: Path, workers: InThisProcess) -> None:
    """Their look is one that nobody planned."""
    run(race_of(base), tmp_path / "s")
    folder = run(race_of(base, seeds=6), tmp_path / "s")
    assert [one.seed for one in folder.runs("fast")] == [0, 1, 2, 3, 4, 5]
    assert [one.seed for one in folder.runs("slow")] == [0, 1, 2]
    assert folder.verdict.arms["fast"].looks[-1].error == pytest.approx(0.0025 / 3)
    assert folder.verdict.missing == []


@pytest.mark.slow
def test_a_race_goes_with_a_search_for_learning_rates(base: Experiment, tmp_path: Path, workers: InThisProcess) -> None:
    """Arms race at the rates that were found for them."""
    rates = LearningRates(values=3, more_seeds=0, max_widenings=0)
    folder = run(race_of(base, tune=rates), tmp_path / "s")
    assert "slow" in folder.study.racing.dropped
    assert folder.study.arms["slow"].experiment["optimizer"]["learning_rate"] == folder.study.tuning["slow"].chosen


def test_a_plan_says_how_few_and_how_many_runs_it_may_be(base: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    """From all others behind after the first seeds to none."""
    planned = plan_study(race_of(base))
    race = planned["race"]
    assert (race["first"], race["least_runs"], race["most_runs"]) == (3, 12, 20)
    assert race["most_minutes"] == planned["minutes"]
    assert race["least_minutes"] == pytest.approx(planned["minutes"] * 12 / 20)
    show_plan(planned, "base", in_full=True)
    said = capsys.readouterr().out
    assert "race: 12 to 20 runs, " in said
    assert "judged: at most 20 runs" in said
    assert plan_study(race_of(base, race=None))["race"] is None
