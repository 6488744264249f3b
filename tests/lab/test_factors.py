"""Studies with factors: what is declared, which arms are made of it, and what their runs say of every factor."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_study import Said
from test_verdict import BASE, folder_of

from vslm import Budget, Experiment, LearningRates, Muon, Screen, StandardLibrary, Study, uniform, vary
from vslm.core.errors import ResultError, SpecError
from vslm.lab.checks import Checked
from vslm.lab.effects import factorial_record
from vslm.lab.plan import plan_study
from vslm.lab.verdict import is_resolved, write_verdict
from vslm.results.folder import StudyFolder
from vslm.runs.pool import Order
from vslm.stats.intervals import per_arm_error
from vslm.stats.looks import fixed_plan, sequential_plan
from vslm.stats.power import resolvable_effect
from vslm.stats.skewed import skewed_interval

plain = Experiment(
    model=uniform(depth=2, width=32, heads=2, context_tokens=48),
    data=StandardLibrary(vocabulary=512),
    budget=Budget(tokens=70_000),
    batch_tokens=960,
)
THREE: dict[str, Any] = {
    "norm": {"model.root.normed": True, "model.root.multiplier": 1.0},
    "half": {"batch_tokens": 480},
    "muon": {"optimizer": Muon(learning_rate=0.013)},
}
WINDOW = {"model.blocks.*.attention.window_tokens": 9}


def declared(**changes: Any) -> Study:
    """A study of three factors."""
    asked = {
        "question": "What pays?",
        "baseline": "plain",
        "arms": {"plain": plain},
        "factors": THREE,
        "interactions": (("norm", "muon"),),
    }
    return Study(**{**asked, **changes})


# ---- what is declared ------------------------------------------------------------------------------------------------
def test_arms_are_the_combinations_and_the_baseline_has_none() -> None:
    """Each made of the baseline by the changes of its factors."""
    study = declared()
    names = ["plain", "norm", "half", "muon", "norm+half", "norm+muon", "half+muon", "norm+half+muon"]
    assert list(study.arms) == names
    assert study.arms["plain"] == plain
    assert study.arms["norm+muon"] == vary(plain, THREE["norm"] | THREE["muon"])
    assert study.arms["norm+half+muon"] == vary(plain, THREE["norm"] | THREE["half"] | THREE["muon"])
    assert study.factorial is not None
    assert list(study.factorial.effects) == ["norm", "half", "muon", "norm x muon"]
    # A study that is changed as the command line changes one, every arm of it, is the same study of another baseline.
    slower = {arm: vary(one, {"budget.tokens": 35_000}) for arm, one in study.arms.items()}
    assert dataclasses.replace(study, arms=slower).arms["norm"] == vary(study.arms["norm"], {"budget.tokens": 35_000})


def test_four_factors_are_run_in_half_of_their_combinations() -> None:
    """Which keeps them apart from each other and from interactions of two; all of them where one is declared."""
    study = declared(factors={**THREE, "window": WINDOW}, interactions=())
    assert study.factorial is not None
    assert len(study.arms) == 8
    assert study.factorial.mixed_with((0,)) == ["half x muon x window"]
    assert study.factorial.mixed_with((0, 1)) == ["muon x window"]
    assert len(declared(factors={**THREE, "window": WINDOW}).arms) == 16
    assert len(declared(factors={**THREE, "window": WINDOW}, interactions=(), fraction=1).arms) == 16


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"factors": {"half": THREE["half"]}, "interactions": ()}, "factors: 1 factor; 2 to 16 are needed"),
        ({"factors": {**THREE, "root": {"model.root.normed": True}}}, "model.root.normed is changed by factor 'norm'"),
        ({"factors": {**THREE, "rate": {"optimizer.learning_rate": 0.1}}}, "changed by factor 'muon', too"),
        ({"factors": {**THREE, "same": {"batch_tokens": 960}}}, "factors.same: it changes nothing of the baseline"),
        ({"factors": {**THREE, "bach": {"bach_tokens": 7}}}, "factors.bach.bach_tokens: no such name; did you mean"),
        ({"factors": {**THREE, "Plain": WINDOW}}, "'Plain' has the name of the baseline"),
        ({"factors": {**THREE, "Norm": WINDOW}}, "'Norm' has the name of the factor 'norm'"),
        ({"factors": {**THREE, "a+b": WINDOW}}, "'a+b' cannot name a factor"),
        ({"interactions": (("norm", "mon"),)}, "interactions.0: 'mon' is no factor; did you mean muon?"),
        ({"interactions": (("norm", "norm"),)}, "interactions.0: 'norm' with itself"),
        ({"interactions": (("norm", "muon"), ("muon", "norm"))}, "interactions.1: muon x norm is declared twice"),
        ({"fraction": 0.3}, "fraction: found 0.3; 1, 1/2, 1/4"),
        ({"fraction": 0.5, "interactions": ()}, "fraction: 0.5 of 3 factors is 4 runs, which mix a factor with"),
        (
            {"factors": {**THREE, "window": WINDOW}, "fraction": 0.5},
            "interactions: 8 runs of 4 factors cannot tell norm x muon from other interactions of two; leave fraction",
        ),
        ({"arms": {"plain": plain, "other": vary(plain, {"batch_tokens": 96})}}, "'other' is no combination"),
        ({"arms": {"plain": plain, "half": vary(plain, {"batch_tokens": 96})}}, "arms.half: batch_tokens is another"),
        ({"factors": {}}, "interactions: given without factors"),
        ({"factors": {}, "interactions": (), "fraction": 0.5}, "fraction: given without factors"),
        ({"screen": Screen()}, "screen: given with factors"),
        ({"tune": LearningRates()}, "tune: given with factors"),
        ({"budgets": (0.5, 1.0)}, "budgets: 2 given with factors"),
    ],
)
def test_what_cannot_be_meant_is_said_before_any_run(changes: dict[str, Any], words: str) -> None:
    """In one message that names the factor."""
    with pytest.raises(SpecError) as refused:
        declared(**changes)
    assert words in str(refused.value)


def test_factors_of_which_the_order_matters_are_refused() -> None:
    """One adds a block, and the other changes all blocks there are."""
    deeper = uniform(depth=3, width=32, heads=2, context_tokens=48)
    factors = {"deep": {"model": deeper}, "window": WINDOW}
    with pytest.raises(SpecError, match="depends on whether factor 'deep' comes before it"):
        declared(factors=factors, interactions=())


def test_names_of_arms_that_no_folder_could_have_are_refused() -> None:
    """Of three factors with long names."""
    paths = ["model.blocks.0.attention.window_tokens", "batch_tokens", "model.root.multiplier"]
    named = {f"{letter}_with_a_lot_of_letters": {path: 48} for letter, path in zip("abc", paths, strict=True)}
    with pytest.raises(SpecError, match="give the factors shorter names"):
        declared(factors=named, interactions=())


def test_a_plan_has_a_row_per_factor_and_what_arms_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """A factor has a row alone, whether it is an arm alone or not; an effect is known better than a difference."""
    corpus = SimpleNamespace(
        vocabulary=512,
        fingerprint="text",
        tokenizer_fingerprint="one",
        train=SimpleNamespace(num_tokens=3_000_000),
        meta={},
        further={},
    )

    def untried(study: Study) -> Checked:  # models are tried in test_model_checks.py
        return Checked(dict.fromkeys(study.experiments, corpus), "", ())  # type: ignore[arg-type]

    monkeypatch.setattr("vslm.lab.plan.check_study", untried)
    wide = {"model.blocks.*.feedforward.hidden": 256}
    study = declared(factors={**THREE, "wide": wide}, interactions=(), seeds=5)
    planned = plan_study(study)
    assert len(planned["arms"]) == 8
    rows = planned["factors"]["rows"]
    assert list(rows) == ["norm", "half", "muon", "wide"]
    assert "wide" not in planned["arms"]
    assert rows["wide"]["num_parameters"] > rows["half"]["num_parameters"] == planned["arms"]["plain"]["num_parameters"]
    assert rows["wide"]["minutes"] > rows["half"]["minutes"]
    assert [path for path, _, _ in rows["half"]["differences"]] == ["batch_tokens"]
    assert planned["factors"]["mixed"]["norm x half"] == ["muon x wide"]
    error, sd = fixed_plan(5).errors[0] / 4, planned["noise_sd"]
    assert planned["resolvable_effect"] == pytest.approx(resolvable_effect(sd / 2, 5, error))
    with_arms = planned["factors"]["with_arms"]
    assert with_arms["runs"] == 5 * with_arms["seeds"]
    assert resolvable_effect(sd, with_arms["seeds"], error) <= planned["resolvable_effect"]
    assert planned["factors"]["resolvable_interaction"] is None
    assert not [lint for lint in planned["lints"] if "no screen" in lint]
    declared_one = plan_study(declared(seeds=5))
    assert declared_one["factors"]["resolvable_interaction"] == pytest.approx(2 * declared_one["resolvable_effect"])


# ---- what their runs say ---------------------------------------------------------------------------------------------
def study_of(path: Path, losses: dict[str, list[float | None]], **changes: Any) -> StudyFolder:
    """The folder of a study of three factors with finished runs."""
    study = declared(**{key: changes.pop(key) for key in ("factors", "interactions") if key in changes})
    record = factorial_record(study.factorial, study.factors)
    assert record is not None
    assert list(losses) == list(study.arms)
    return folder_of(
        path,
        {"base" if arm == "plain" else arm: its for arm, its in losses.items()},
        **{
            "factorial": json.loads(json.dumps(record.plain()).replace('"plain": []', '"base": []')),
            **changes,
        },
    )


def losses_of(effects: dict[str, list[float]], seeds: int, **changes: Any) -> dict[str, list[float | None]]:
    """Every combination's losses: the baseline's and what its factors add, seed by seed."""
    study = declared(**changes)
    assert study.factorial is not None
    found: dict[str, list[float | None]] = {}
    for arm, on in study.factorial.cells.items():
        parts = [effects[name] for name in on if name in effects]
        parts += [its for name, its in effects.items() if " x " in name and set(name.split(" x ")) <= set(on)]
        found[arm] = [BASE[seed] + sum(part[seed] for part in parts) for seed in range(seeds)]
    return found


NORM = [-0.051, -0.047, -0.056, -0.049, -0.053]
HALF = [0.031, 0.028, 0.036, 0.027, 0.032]
MUON = [0.004, -0.003, 0.001, -0.002, 0.0015]
BOTH = [0.042, 0.044, 0.037, 0.045, 0.041]


def test_an_effect_is_the_mean_over_all_runs_and_its_interval_that_of_the_house(tmp_path: Path) -> None:
    """By hand: norm and muon together are 0.042 worse than added up, so either alone is on average 0.021 worse."""
    folder = study_of(tmp_path, losses_of({"norm": NORM, "half": HALF, "muon": MUON, "norm x muon": BOTH}, 5))
    verdict = write_verdict(folder)
    assert not verdict.arms
    assert list(verdict.effects) == ["norm", "half", "muon", "norm x muon"]
    error = per_arm_error(fixed_plan(5).errors[0], 4)
    expected = {
        "norm": np.array(NORM) + np.array(BOTH) / 2,
        "half": np.array(HALF),
        "muon": np.array(MUON) + np.array(BOTH) / 2,
        "norm x muon": np.array(BOTH),
    }
    for name, numbers in expected.items():
        row, interval = verdict.effects[name], skewed_interval(numbers, error)
        assert [pair.difference for pair in row.per_seed.values()] == pytest.approx(numbers.tolist())
        assert row.delta == pytest.approx(numbers.mean())
        assert row.interval == pytest.approx([interval.low, interval.high])
        assert row.looks[0].error == pytest.approx(error)
    pair = verdict.effects["norm x muon"].per_seed["1"]
    assert pair.baseline == pytest.approx(NORM[1])  # the effect of norm without muon
    assert pair.arm == pytest.approx(NORM[1] + BOTH[1])
    assert {name: row.verdict for name, row in verdict.effects.items()} == {
        "norm": "better",
        "half": "worse",
        "muon": "worse",
        "norm x muon": "worse",
    }
    assert "an average, for it depends on another factor (norm x muon)" in (verdict.effects["muon"].words or "")
    assert "depends" not in (verdict.effects["half"].words or "")
    assert "norm and muon together are worth less than what each is worth alone, added up" in (
        verdict.effects["norm x muon"].words or ""
    )
    assert is_resolved(verdict)
    assert verdict.effects["norm"].seconds == 30.0
    assert list(verdict.undeclared) == ["norm x half", "half x muon"]
    assert not any(row.is_seen for row in verdict.undeclared.values())
    assert StudyFolder(tmp_path).verdict is not None


def test_an_interaction_that_nobody_declared_is_named_and_not_judged(tmp_path: Path) -> None:
    """And where a fraction cannot tell which it is, all that it may be."""
    changes = {"factors": {**THREE, "window": WINDOW}, "interactions": ()}
    losses = losses_of({"norm": NORM, "half": HALF, "muon": MUON, "norm x muon": BOTH}, 5, **changes)
    verdict = write_verdict(study_of(tmp_path, losses, **changes))
    assert list(verdict.effects) == ["norm", "half", "muon", "window"]
    row = verdict.undeclared["norm x muon"]
    assert row.is_seen
    assert row.mixed == ["half x window"]
    assert row.delta == pytest.approx(np.mean(BOTH))
    assert (row.words or "").startswith("not declared and no verdict: norm x muon or half x window shows, +0.0418")
    assert "cannot tell which" in (row.words or "")
    assert not verdict.undeclared["norm x half"].is_seen


def test_a_run_that_diverged_leaves_every_effect_open(tmp_path: Path) -> None:
    """Since every run is in all of them; a run that is missing takes its seed out."""
    losses = losses_of({"norm": NORM, "half": HALF, "muon": MUON}, 4)
    losses["half+muon"][2] = None
    verdict = write_verdict(study_of(tmp_path / "a", losses))
    assert {row.words for row in verdict.effects.values()} == {"unresolved (1 of 4 seeds have a run that diverged)"}
    assert not verdict.undeclared
    folder = study_of(tmp_path / "b", losses_of({"norm": NORM, "half": HALF, "muon": MUON}, 5))
    (tmp_path / "b" / "norm+half" / "seed3" / "done.json").unlink()
    verdict = write_verdict(StudyFolder(folder.path))
    assert verdict.effects["norm"].seeds == [0, 1, 2, 4]
    assert [(gone.arm, gone.seed) for gone in verdict.missing] == [("norm+half", 3)]


def test_looks_that_were_taken_are_kept_and_what_was_resolved_stays(tmp_path: Path) -> None:
    """As in a study of arms."""
    first = losses_of({"norm": NORM, "half": HALF, "muon": MUON}, 4)
    plan = sequential_plan((4, 5))
    write_verdict(study_of(tmp_path, first, plan=plan))
    again = losses_of({"norm": [*NORM[:4], 0.9], "half": HALF, "muon": MUON}, 5)
    verdict = write_verdict(study_of(tmp_path, again, plan=plan))
    assert [look.seeds for look in verdict.effects["norm"].looks] == [4, 5]
    assert verdict.effects["norm"].verdict == "better"
    assert verdict.effects["norm"].looks[1].verdict == "unresolved"


def test_runs_of_two_kinds_are_seen_over_all_combinations(tmp_path: Path) -> None:
    """Three of 24 runs, at most one of each combination, end far above the others: no effect, and no equivalence."""
    losses = losses_of({"norm": [0.001, -0.002, 0.0005]}, 3)
    for arm, seed in (("norm", 0), ("norm+muon", 1), ("norm+half+muon", 2)):
        before = losses[arm][seed]
        assert before is not None
        losses[arm][seed] = before + 0.7
    for effect in (0.1, 3.0):
        primary = {"measure": "val_loss", "smallest_effect": effect, "positions": None}
        verdict = write_verdict(study_of(tmp_path / f"{effect}", losses, primary=primary))
        assert verdict.kinds.state == "two"
        going = {arm: share.going for arm, share in verdict.kinds.arms.items() if arm in ("norm", "half")}
        # Which of two kinds a run ended in is told where they differ by more than what matters.
        assert going == ({"norm": 2, "half": 3} if effect < 0.7 else {})
        assert {row.verdict for row in verdict.effects.values()} == {"unresolved"}
        assert "3 seeds against 0 in which more runs with it" in (verdict.effects["norm"].words or "")


def test_a_record_whose_design_was_changed_is_refused(tmp_path: Path) -> None:
    """A factor that is on in three of eight runs has no effect to read."""
    folder = study_of(tmp_path, losses_of({"norm": NORM, "half": HALF, "muon": MUON}, 5))
    record = json.loads((tmp_path / "study.json").read_text())
    record["factorial"]["cells"]["norm"] = []
    (tmp_path / "study.json").write_text(json.dumps(record))
    with pytest.raises(ResultError, match="cells of known factors, each on in half of them"):
        write_verdict(StudyFolder(folder.path))


# ---- from the command line -------------------------------------------------------------------------------------------
SMALL = """
from vslm import AdamW, Budget, Experiment, LossByPosition, Primary, Study, Text, uniform

plain = Experiment(
    model=uniform(depth=1, width=16, heads=2, context_tokens=17),
    data=Text("corpus.txt", vocabulary=270),
    budget=Budget(tokens=17 * 7 * 11),
    batch_tokens=17 * 7,
    optimizer=AdamW(learning_rate=0.01, clip_norm=None),
    measures=(LossByPosition(num_evaluations=3, num_tokens=170, num_final_tokens=340),),
)
STUDY = Study(
    question="What pays?",
    baseline="plain",
    arms={"plain": plain},
    factors={"short": {"model.blocks.*.attention.window_tokens": 3}, "slow": {"optimizer.learning_rate": 0.004}},
    interactions=(("short", "slow"),),
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.01), pilot=None,
)
"""


@pytest.mark.slow
def test_a_study_with_factors_is_planned_run_shown_and_goes_on(
    place: Path, vslm: Callable[..., Said], in_process: list[Order]
) -> None:
    """Four runs a seed; a second command trains nothing, and other factors are refused."""
    (place / "study.py").write_text(SMALL, encoding="utf-8")
    said = vslm("plan", "study.py")
    assert said.code == 0, said.err
    assert "every combination of 2 factors, 4 runs a seed" in said.out
    said = vslm("run", "study.py", "--out", "out", "--workers", "1")
    assert said.code == 0, said.err
    assert "short x slow" in said.out
    trained = [order for order in in_process if order.task not in ("settings", "rates")]
    assert len(trained) == 12
    verdict = json.loads((place / "out" / "verdict.json").read_text())
    assert list(verdict["effects"]) == ["short", "slow", "short x slow"]
    assert (place / "out" / "report.html").is_file()
    assert vslm("run", "study.py", "--out", "out").code == 0
    assert "short" in vslm("ls", ".").out
    (place / "study.py").write_text(SMALL.replace("0.004", "0.003"), encoding="utf-8")
    said = vslm("run", "study.py", "--out", "out")
    assert said.code != 0
    assert "holds a study with other factors" in said.err
