"""The winner of a study under every match: which arms, which sizes, which seeds."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from test_stages import InThisProcess, plain, pool, run, study_of  # noqa: F401  (fixtures among them)

from vslm.after.rematch import change_named, rematch
from vslm.core.errors import ResultError, SpecError
from vslm.core.paths import vary
from vslm.models.layouts.plain import uniform
from vslm.models.parts.feedforward import SwiGLU
from vslm.results.files import read_json, write_json
from vslm.results.folder import StudyFolder
from vslm.study.changes import FeedforwardMultiplier
from vslm.study.experiment import Experiment
from vslm.study.matching import SIZES, size_of
from vslm.study.screening import Screen
from vslm.study.study import Study

VOCABULARY = 300


@pytest.fixture
def folder(
    plain: Experiment,  # noqa: F811
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    pool: InThisProcess,  # noqa: F811
) -> StudyFolder:
    """A finished study in which one arm is larger and sees less, and another is the baseline at a rate that fails; run
    once, and copied.
    """
    shared = tmp_path_factory.getbasetemp() / "first of rematch"
    if (shared / "verdict.json").exists():
        shutil.copytree(shared, tmp_path / "first")
        return StudyFolder(tmp_path / "first")
    base = vary(plain, {"model": uniform(depth=3, width=60, heads=2, context_tokens=19)})
    large = vary(base, {"model.blocks.1.feedforward": SwiGLU(hidden=240), "model.blocks.*.attention.window_tokens": 3})
    arms = {"plain": base, "large": large, "slow": vary(base, {"optimizer.learning_rate": 1e-6})}
    finished = run(Study(question="Is it?", baseline="plain", arms=arms, seeds=2, pilot=None), tmp_path / "first")
    shutil.copytree(finished.path, shared)
    return finished


def with_verdicts(folder: StudyFolder, **of_arms: tuple[str, float]) -> StudyFolder:
    """The folder as if its arms had come out so."""
    verdict: dict[str, Any] = read_json(folder.path / "verdict.json")
    for arm, (word, delta) in of_arms.items():
        verdict["arms"][arm] |= {"verdict": word, "delta": delta}
    write_json(folder.path / "verdict.json", verdict)
    (folder.path / ".verdict.json").unlink(missing_ok=True)  # as of a vslm that sealed none
    return StudyFolder(folder.path)


@pytest.mark.slow
def test_the_winner_is_matched_in_every_way_on_new_seeds(folder: StudyFolder, tmp_path: Path):
    """Equal sizes within the tolerance, nothing but the feedforward changed, and it runs."""
    first = with_verdicts(folder, large=("better", -0.2), slow=("worse", 2.0))
    study = rematch(first, change=FeedforwardMultiplier())
    assert list(study.arms) == [
        "plain",
        "large",
        "large-equal-parameters",
        "large-equal-non-embedding-parameters",
        "large-equal-flops",
    ]
    assert study.seeds == (2, 3)
    base, winner = study.arms["plain"], study.arms["large"]
    for by in SIZES:
        equal = study.arms[f"large-equal-{by.replace('_', '-')}"]
        assert size_of(equal.model, by, VOCABULARY) == pytest.approx(size_of(base.model, by, VOCABULARY), rel=0.005)
        assert size_of(winner.model, by, VOCABULARY) != pytest.approx(size_of(base.model, by, VOCABULARY), rel=0.005)
        assert equal.model.blocks["1"].attention == winner.model.blocks["1"].attention
        assert equal.optimizer == winner.optimizer
    again = run(study, tmp_path / "again")
    assert again.plain_verdict["missing"] == []
    assert set(again.plain_verdict["arms"]["large-equal-flops"]["per_seed"]) == {"2", "3"}
    done = [again.run(arm, 2).done for arm in study.arms]
    assert {end.tokens for end in done if end} == {first.run("plain", 0).done.tokens}


def test_no_seed_that_chose_the_winner_judges_it_again(folder: StudyFolder):
    """A number is how many, behind those taken; named ones must be new."""
    first = with_verdicts(folder, large=("better", -0.2))
    for seeds, found in ((None, (2, 3)), (3, (2, 3, 4)), ("3", (2, 3, 4)), ("7-8", (7, 8))):
        assert rematch(first, change=FeedforwardMultiplier(), seeds=seeds).seeds == found
    with pytest.raises(SpecError, match=r"seed 1 is one of those that chose the winner.*begin behind 1"):
        rematch(first, change=FeedforwardMultiplier(), seeds="1-4")


@pytest.mark.slow
def test_arms_get_the_budgets_that_they_were_judged_at(
    plain: Experiment,  # noqa: F811
    tmp_path: Path,
    pool: InThisProcess,  # noqa: F811
):
    """A winner that had fewer tokens for its FLOPs has as few again."""
    deep = vary(plain, {"model": uniform(depth=4, width=12, heads=2, context_tokens=19)})
    arms = {"plain": vary(plain, {"model": uniform(depth=2, width=12, heads=2, context_tokens=19)}), "deep": deep}
    study = Study(question="?", baseline="plain", arms=arms, seeds=2, match="flops", pilot=None)
    first = with_verdicts(run(study, tmp_path / "first"), deep=("better", -0.2))
    again = run(rematch(first, change=change_named("Depth"), arm="deep"), tmp_path / "again")
    tokens = [{arm: there.run(arm, seed).done.tokens for arm in arms} for there, seed in ((first, 0), (again, 2))]
    assert tokens[0] == tokens[1]
    assert tokens[0]["deep"] < tokens[0]["plain"]


def test_the_best_of_the_better_is_the_winner(folder: StudyFolder):
    """By its difference; what is not better is passed over however low it is."""
    both = with_verdicts(folder, large=("better", -0.1), slow=("better", -0.3))
    assert list(rematch(both, change=FeedforwardMultiplier()).arms) == ["plain", "slow"]
    one = with_verdicts(folder, large=("better", -0.1), slow=("unresolved", -0.3))
    assert "large" in rematch(one, change=FeedforwardMultiplier()).arms


def test_what_has_no_winner_is_told(folder: StudyFolder):
    """No better arm, no such arm, no such change, a change that cannot do it."""
    none = with_verdicts(folder, large=("worse", 0.1), slow=("unresolved", 0.3))
    with pytest.raises(ResultError, match=r"no arm is better .* name an arm with --arm"):
        rematch(none, change=FeedforwardMultiplier())
    assert "large" in rematch(none, change=FeedforwardMultiplier(), arm="large").arms
    with pytest.raises(SpecError, match=r"--arm: 'larg' is no judged arm.*large"):
        rematch(none, change=FeedforwardMultiplier(), arm="larg")
    with pytest.raises(SpecError, match=r"within 0\.5% is needed"):
        rematch(none, change=change_named("Depth"), arm="large")
    with pytest.raises(SpecError, match=r"--change: found 'Dept'.*Depth"):
        change_named("Dept")
    with pytest.raises(SpecError, match="Loops needs to be told more"):
        change_named("Loops")


def test_an_arm_that_was_screened_out_has_no_rematch(
    plain: Experiment,  # noqa: F811
    tmp_path: Path,
    pool: InThisProcess,  # noqa: F811
):
    """It was never judged."""
    folder = run(study_of(plain, screen=Screen(controls=("bias",), keep=1)), tmp_path / "s")
    with pytest.raises(SpecError, match="'slow' is no judged arm"):
        rematch(folder, change=FeedforwardMultiplier(), arm="slow")
