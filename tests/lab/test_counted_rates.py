"""A search for learning rates whose runs are judged: where they lie, what is trained, and that it can be stopped."""

from pathlib import Path
from typing import Any

import pytest
from in_this_process import InThisProcess, Quiet, run, stopped_everywhere

from vslm.core.errors import SpecError
from vslm.core.paths import vary
from vslm.lab.options import Options
from vslm.lab.plan import plan_study
from vslm.lab.runner import run_study
from vslm.lab.stages import stage_sizes
from vslm.report.pages.study import render
from vslm.study.experiment import Experiment
from vslm.study.learning_rates import CountedRates, LearningRates
from vslm.study.pilot import Pilot
from vslm.study.study import Study


def study_of(base: Experiment, **fields: Any) -> Study:
    """Two arms, four seeds, the first two of which choose."""
    arms = {"base": base, "slow": vary(base, {"optimizer.learning_rate": 1e-6})}
    how = {"seeds": 4, "tune": CountedRates(max_widenings=1), "pilot": None, **fields}
    return Study(question="?", baseline="base", arms=arms, **how)


def test_runs_at_the_chosen_rate_are_judged_runs(base: Experiment, tmp_path: Path, workers: InThisProcess) -> None:
    """Nothing is trained twice: of three rates, or four where the best is the last, two runs each, and two more."""
    folder = run(study_of(base), tmp_path / "s")
    record = folder.study
    num_runs = sum(2 * len(row.rates) + 2 for row in record.tuning.values())
    assert len(workers.trained) == len(set(workers.trained)) == num_runs
    slow = record.tuning["slow"]
    assert [row.rate for row in slow.rates] == [5e-7, 1e-6, 2e-6, 4e-6]
    assert (slow.chosen, slow.edge, slow.seeds, slow.split) == (4e-6, "high", [0, 1], "val")
    for arm, row in record.tuning.items():
        assert {tried.rate: len(tried.values) for tried in row.rates} == {tried.rate: 2 for tried in row.rates}
        chosen = next(tried for tried in row.rates if tried.rate == row.chosen)
        assert chosen.value == min(tried.value for tried in row.rates)
        judged = [one.done.val_loss for one in folder.runs(arm)]
        assert len(judged) == 4
        assert judged[:2] == pytest.approx(chosen.values)
        assert not (folder.path / "tuning" / arm / f"rate-{row.chosen:g}" / "seed0").exists()
        other = next(tried.rate for tried in row.rates if tried.rate != row.chosen)
        assert not (folder.path / "tuning" / arm / f"rate-{other:g}" / "seed0" / "checkpoints").exists()
        assert record.arms[arm].experiment["optimizer"]["learning_rate"] == row.chosen
    assert folder.verdict.missing == []
    assert folder.verdict.arms["slow"].seeds == [0, 1, 2, 3]
    assert folder.verdict.arms["slow"].rate_cost.arm is None, "its best rate may lie beyond what was tried"
    assert "these first runs of it are judged with the others" in render(folder)


@pytest.mark.slow
@pytest.mark.parametrize("pilot", [None, Pilot(seeds=1)])
def test_it_is_stopped_anywhere_and_goes_on_to_the_same_answer(
    base: Experiment, tmp_path: Path, workers: InThisProcess, pilot: Pilot | None
) -> None:
    """Nothing is trained twice, and what was moved is found."""
    study = study_of(base, pilot=pilot)
    whole = run(study, tmp_path / "whole")
    folder = stopped_everywhere(study, tmp_path / "broken", workers, every=3)
    assert folder.study.tuning == whole.study.tuning
    assert folder.verdict.arms["slow"].looks == whole.verdict.arms["slow"].looks


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"seeds": 3}, "tune: 3 seeds, 2 of which would choose the learning rates"),
        ({"budgets": (0.5, 1)}, "tune: runs that choose would be judged at one of 2 budgets"),
        ({"seeds": "auto"}, "tune: 16 seeds, 2 of which"),
    ],
)
def test_what_was_not_simulated_is_refused(base: Experiment, fields: dict[str, Any], where: str) -> None:
    """Before anything is run."""
    with pytest.raises(SpecError, match=where):
        study_of(base, **fields)
    with pytest.raises(SpecError, match="num_seeds: found 1"):
        CountedRates(num_seeds=1)
    with pytest.raises(SpecError, match="factor: found 1"):
        CountedRates(factor=1.0)


def test_seeds_beyond_what_was_simulated_cannot_be_added(
    base: Experiment, tmp_path: Path, workers: InThisProcess
) -> None:
    """Nor asked for in place of the declared ones."""
    with pytest.raises(SpecError, match="--seeds: 9 seeds"):
        run_study(study_of(base), tmp_path / "s", Quiet(), study_file=None, options=Options(seeds="9"))
    assert workers.trained == []


def test_a_plan_counts_only_the_runs_that_are_not_judged(base: Experiment) -> None:
    """Three rates and two more at the most, two runs each, but those at the chosen one."""
    sizes = {size.stage: size.num_runs for size in stage_sizes(study_of(base, tune=CountedRates()), 8)}
    assert sizes == {"tuning": 2 * (5 * 2 - 2), "judged": 2 * 8}
    apart = {size.stage: size.num_runs for size in stage_sizes(study_of(base, tune=LearningRates()), 8)}
    assert apart["tuning"] > sizes["tuning"]
    assert plan_study(study_of(base))["stages"][0]["num_runs"] == 2 * (4 * 2 - 2)
