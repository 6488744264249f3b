"""The verdict of a folder: what is read from its runs, what each arm may spend, and what is said."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vslm.core.errors import ResultError
from vslm.lab.verdict import is_resolved
from vslm.lab.verdict import write_verdict as judge_and_write
from vslm.results.files import write_arrays, write_json
from vslm.results.folder import StudyFolder
from vslm.results.records import FORMAT, Verdict
from vslm.stats.intervals import per_arm_error
from vslm.stats.looks import LookPlan, fixed_plan, plan_of_added_arms
from vslm.stats.verdicts import look_at

BASE = [3.00, 3.04, 2.97, 3.02, 2.99, 3.03, 3.01, 2.98]
UP = [0.21, 0.18, 0.22, 0.19, 0.20, 0.23, 0.17, 0.205]


def write_verdict(folder: StudyFolder) -> dict[str, Any]:
    """As it stands in verdict.json."""
    return judge_and_write(folder).plain()


def folder_of(
    path: Path,
    losses: dict[str, list[float | None]],
    *,
    plan: LookPlan | None = None,
    workers: int = 1,
    **changes: Any,
) -> StudyFolder:
    """A study with finished runs of 30 seconds; None: diverged. `additions` says when arms were added."""
    seeds = list(range(max(map(len, losses.values()))))
    plan = plan or fixed_plan(len(seeds))
    additions = changes.pop("additions", {})
    arms = {
        arm: {
            "stages_tokens": [7_000],
            "num_parameters": 11,
            "bytes_per_token": 3.7,
            "runs": {str(seed): f"{arm}{seed}" for seed in seeds},
            **({"addition": additions[arm]} if arm in additions else {}),
        }
        for arm in losses
    }
    record = {
        "format": FORMAT,
        "name": "made",
        "question": "Which?",
        "baseline": "base",
        "arms": arms,
        "seeds": seeds,
        "budgets": [1.0],
        "corpora": {},
        "primary": {"measure": "val_loss", "smallest_effect": 0.01, "positions": None},
        "plan": {"looks": list(plan.looks), "errors": list(plan.errors), "reserve": plan.reserve},
        "settings": {"workers": workers},
    } | changes
    write_json(path / "study.json", record)
    for arm, values in losses.items():
        for seed, value in enumerate(values):
            run = path / arm / f"seed{seed}"
            if value is not None:
                # Two positions around the loss: what is judged is their mean.
                write_arrays(run / "arrays.npz", {"final_val_loss_nats_T": np.array([value - 0.5, value + 0.5])})
            status = "done" if value is not None else "diverged"
            done = {"status": status, "fingerprint": f"{arm}{seed}", "seconds": 30.0, "flops": 1.0, "val_loss": value}
            write_json(run / "done.json", done)
    return StudyFolder(path)


def plus(differences: list[float]) -> list[float]:
    """The baseline's losses with something added."""
    return [base + difference for base, difference in zip(BASE, differences, strict=False)]


def test_a_verdict_is_the_look_at_paired_differences(tmp_path: Path) -> None:
    """Of one arm among two, at the planned error; what is not finished is missing and no seed of the look."""
    losses = {"base": BASE[:5], "up": plus(UP)[:5], "short": plus(UP)[:3]}
    verdict = write_verdict(folder_of(tmp_path, losses))
    look = look_at(np.array(UP[:5]), error=0.04 / 2, smallest_effect=0.01)
    up, short = verdict["arms"]["up"], verdict["arms"]["short"]
    assert (up["verdict"], up["seeds"]) == ("worse", [0, 1, 2, 3, 4])
    assert up["interval"] == pytest.approx([look.low, look.high])
    assert short["seeds"] == [0, 1, 2]
    assert [(gone["arm"], gone["seed"]) for gone in verdict["missing"]] == [("short", 3), ("short", 4)]
    assert verdict["kinds"] == {"state": "one"}


def test_minutes_to_decide_are_divided_by_the_workers(tmp_path: Path) -> None:
    """Two runs of 30 seconds a seed, by one worker or by three; nine in ten take longer than half."""
    noise = [0.1, -0.1, 0.02, -0.05, 0.08]
    found = [
        write_verdict(folder_of(tmp_path / str(n), {"base": BASE[:5], "a": plus(noise)}, workers=n))["arms"]["a"]
        for n in (1, 3)
    ]
    for name in ("minutes_to_resolve", "minutes_to_resolve_nine_in_ten"):
        if found[0][name] is not None:
            assert found[0][name] == pytest.approx(3 * found[1][name])
    assert found[0]["minutes_to_resolve"] == int(found[0]["minutes_to_resolve"]), "a minute a seed"
    assert "half of such studies are decided after" in found[0]["words"]


def test_runs_of_two_kinds_are_said_with_their_shares(tmp_path: Path) -> None:
    """Three of eight runs of an arm have not got going: no direction, and the share of both sides in words."""
    mixed = plus([0.9 if seed in (1, 4, 6) else 0.01 * seed for seed in range(8)])
    verdict = write_verdict(folder_of(tmp_path, {"base": BASE, "mixed": mixed, "up": plus(UP)}))
    assert verdict["kinds"]["state"] == "two"
    assert verdict["kinds"]["arms"]["mixed"]["going"] == 5
    assert verdict["kinds"]["arms"]["base"] == {
        "going": 8,
        "seeds": 8,
        "interval": [pytest.approx(0.6306, abs=1e-4), 1.0],
    }
    row = verdict["arms"]["mixed"]
    assert row["verdict"] == "unresolved"
    assert "runs are of two kinds: 5 of 8 (24% to 91%) ended low, of base 8 of 8 (63% to 100%)" in row["words"]
    assert "so no interval of the mean holds" in row["words"]
    assert "half of such studies" not in row["words"], "which would be about normal scatter"
    assert "two kinds" not in verdict["arms"]["up"]["words"]
    assert verdict["arms"]["up"]["verdict"] == "worse", "all its pairs got going on both sides"


def test_arms_that_are_added_share_what_is_kept_for_them(tmp_path: Path) -> None:
    """Those of the beginning keep their intervals whatever is added; the added ones are told to be."""
    losses: dict[str, list[float | None]] = {"base": [*BASE[:5]], "a": [*plus(UP)[:5]]}
    before = write_verdict(folder_of(tmp_path / "before", losses))
    more = {**losses, "b": [*plus(UP)[:5]], "c": [*plus(UP)[:5]], "d": [*plus(UP)[:5]]}
    after = write_verdict(folder_of(tmp_path / "after", more, additions={"a": 0, "b": 1, "c": 1, "d": 2}))
    assert after["arms"]["a"]["interval"] == before["arms"]["a"]["interval"]
    plan = fixed_plan(5)
    first, second = (plan_of_added_arms(plan, addition).errors[0] for addition in (1, 2))
    errors = {arm: row["looks"][0]["error"] for arm, row in after["arms"].items()}
    assert errors["b"] == errors["c"] == pytest.approx(per_arm_error(first, 2))
    assert errors["d"] == pytest.approx(second)
    assert f"added after the study had begun, so judged at an error of {errors['b']:.2%}" in after["arms"]["b"]["words"]
    assert "added" not in after["arms"]["a"]["words"]
    assert sum(errors.values()) < 0.05


def test_a_later_look_keeps_what_was_resolved_and_its_seeds(tmp_path: Path) -> None:
    """Resolved at five seeds; at eight the differences scatter and nothing would be: the look at five stands."""
    plan = fixed_plan(5)
    folder_of(tmp_path, {"base": [*BASE[:5]], "a": [*plus(UP)[:5]]}, plan=plan)
    assert write_verdict(StudyFolder(tmp_path))["arms"]["a"]["verdict"] == "worse"
    wild = plus([*UP[:5], -0.9, 1.1, -0.8])
    row = write_verdict(folder_of(tmp_path, {"base": BASE, "a": wild}, plan=plan))["arms"]["a"]
    assert (row["verdict"], row["seeds"]) == ("worse", [0, 1, 2, 3, 4])
    assert [(look["seeds"], look["verdict"]) for look in row["looks"]] == [(5, "worse"), (8, "unresolved")]
    assert len(row["per_seed"]) == 8


def test_an_interval_that_grew_is_explained(tmp_path: Path) -> None:
    """Not resolved at four seeds, and wider at six, because that look was not planned."""
    noise, plan = [0.05, -0.04, 0.06, -0.03, 0.05, -0.05], fixed_plan(4)
    folder_of(tmp_path, {"base": BASE[:4], "a": plus(noise[:4])}, plan=plan)
    first = write_verdict(StudyFolder(tmp_path))["arms"]["a"]
    row = write_verdict(folder_of(tmp_path, {"base": BASE[:6], "a": plus(noise)}, plan=plan))["arms"]["a"]
    assert row["interval"][1] - row["interval"][0] > first["interval"][1] - first["interval"][0]
    assert "wider than with 4 seeds, because this look was not planned and may spend an error of 0.25%" in row["words"]


def test_a_diverged_run_leaves_its_arm_unresolved(tmp_path: Path) -> None:
    """And is named; a study with it is not resolved."""
    verdict = write_verdict(folder_of(tmp_path, {"base": [*BASE[:4]], "a": [*plus(UP)[:3], None]}))
    assert verdict["arms"]["a"]["words"] == "unresolved (1 of 4 diverged)"
    assert verdict["arms"]["a"]["diverged"] == [3]
    assert not is_resolved(Verdict.from_plain(verdict))


def searched(chosen: float, losses: dict[float, list[float]]) -> dict[str, Any]:
    """A search as it is recorded."""
    return {"chosen": chosen, "rates": [{"rate": rate, "values": values} for rate, values in losses.items()]}


def test_what_a_search_leaves_open_is_in_the_interval(tmp_path: Path) -> None:
    """An inner optimum moves the end on the arm's side a little; one at the edge takes the "worse"."""
    inner = searched(0.004, {0.002: [3.1, 3.11, 3.09], 0.004: [3.0, 3.02, 2.99], 0.008: [3.11, 3.1, 3.12]})
    edge = searched(0.008, {0.002: [3.3], 0.004: [3.2, 3.19, 3.2], 0.008: [3.1, 3.11, 3.1]})
    losses = {"base": [*BASE[:5]], "a": [*plus(UP)[:5]]}
    plain = write_verdict(folder_of(tmp_path / "plain", losses))["arms"]["a"]
    both = write_verdict(folder_of(tmp_path / "inner", losses, tuning={"base": inner, "a": inner}))["arms"]["a"]
    assert 0 < both["rate_cost"]["arm"] < 0.02
    assert both["interval"][0] == pytest.approx(plain["interval"][0] - both["rate_cost"]["arm"])
    assert both["interval"][1] == pytest.approx(plain["interval"][1] + both["rate_cost"]["baseline"])
    row = write_verdict(folder_of(tmp_path / "edge", losses, tuning={"base": inner, "a": edge}))["arms"]["a"]
    assert (row["verdict"], row["rate_cost"]["arm"]) == ("unresolved", None)
    assert row["words"].endswith("its best learning rate may lie beyond what was tried")
    better = {"base": [*BASE[:5]], "a": [*plus([-up for up in UP])[:5]]}
    row = write_verdict(folder_of(tmp_path / "better", better, tuning={"base": inner, "a": edge}))["arms"]["a"]
    assert row["verdict"] == "better", "at its best rate it would be further ahead"


def at_half(path: Path, losses: dict[str, list[float | None]], half: dict[str, list[float | None]]) -> StudyFolder:
    """The same study with runs of half the budget beside it."""
    folder_of(path, losses, budgets=[0.5, 1.0], plan=fixed_plan(5))
    record = json.loads((path / "study.json").read_text())
    for arm, values in half.items():
        record["arms"][arm]["runs_by_budget"] = {"x0.5": {str(seed): f"{arm}-half{seed}" for seed in range(5)}}
        for seed, value in enumerate(values):
            run = path / "budgets" / "x0.5" / arm / f"seed{seed}"
            status = "diverged" if value is None else "done"
            if value is not None:
                write_arrays(run / "arrays.npz", {"final_val_loss_nats_T": np.array([value - 0.25, value + 0.25])})
            done = {"status": status, "fingerprint": f"{arm}-half{seed}", "seconds": 10.0, "flops": 1.0}
            write_json(run / "done.json", {**done, "val_loss": value})
    write_json(path / "study.json", record)
    return StudyFolder(path)


AHEAD = [0.52, 0.49, 0.53, 0.485, 0.51]


def test_a_trend_is_the_look_at_what_changed_from_budget_to_budget(tmp_path: Path) -> None:
    """Both budgets and the change share the error; a look again at the same seeds spends nothing new."""
    losses: dict[str, list[float | None]] = {"base": [*BASE[:5]], "a": [*plus(UP)[:5]]}
    half: dict[str, list[float | None]] = {"base": [*BASE[:5]], "a": [*plus(AHEAD)]}
    for _ in range(2):
        verdict = write_verdict(at_half(tmp_path, losses, half))
        found = verdict["trends"]["a"]
        changes = np.array(UP[:5]) - np.array(AHEAD)
        look = look_at(changes, error=0.04 / 3, smallest_effect=0.01)
        assert found["interval"] == pytest.approx([look.low, look.high])
        assert found["change"] == pytest.approx(changes.mean())
        assert (found["trend"], found["words"]) == ("shrinks", "the difference shrinks with training")
        assert (found["tokens"], found["budgets"], found["seeds"]) == ([3_500, 7_000], [0.5, 1.0], [0, 1, 2, 3, 4])
        assert [(one["seeds"], one["error"]) for one in found["looks"]] == [(5, pytest.approx(0.04 / 3))]
        row = verdict["budgets"]["x0.5"]["arms"]["a"]
        low = look_at(np.array(AHEAD), error=0.04 / 3, smallest_effect=0.01)
        assert row["interval"] == pytest.approx([low.low, low.high])
        assert (row["seconds"], verdict["arms"]["a"]["seconds"]) == (10.0, 30.0)
        assert [(one["seeds"], one["of"]) for one in row["looks"]] == [(5, [0, 1, 2, 3, 4])]
        assert is_resolved(Verdict.from_plain(verdict))


def test_a_trend_is_paired_and_needs_runs_that_ended_well(tmp_path: Path) -> None:
    """A run that is missing at one budget is no pair; one that diverged leaves the trend open."""
    losses: dict[str, list[float | None]] = {"base": [*BASE[:5]], "a": [*plus(UP)[:5]]}
    half: dict[str, list[float | None]] = {"base": [*BASE[:5]], "a": [*plus(AHEAD)[:4]]}
    verdict = write_verdict(at_half(tmp_path / "missing", losses, half))
    assert [(gone["arm"], gone["seed"]) for gone in verdict["missing"]] == [("a x0.5", 4)]
    found = verdict["trends"]["a"]
    assert found["seeds"] == [0, 1, 2, 3]
    assert found["change"] == pytest.approx(np.mean(np.array(UP[:4]) - np.array(AHEAD[:4])))
    half["a"] = [*plus(AHEAD)[:4], None]
    verdict = write_verdict(at_half(tmp_path / "diverged", losses, half))
    found = verdict["trends"]["a"]
    assert (found["trend"], found["interval"], found["change"]) == ("unresolved", [None, None], None)
    assert not is_resolved(Verdict.from_plain(verdict))
    assert verdict["arms"]["a"]["verdict"] == "worse"


def test_what_is_compared_are_the_positions_in_the_unit_that_was_declared(tmp_path: Path) -> None:
    """The second of two positions alone, half a nat above their mean, over ln 2 and 3.7 bytes a token."""
    losses: dict[str, list[float | None]] = {"base": [*BASE[:3]], "a": [*plus(UP)[:3]]}
    primary = {"measure": "val_bpb", "smallest_effect": 0.01, "positions": [1, 2]}
    verdict = write_verdict(folder_of(tmp_path, losses, primary=primary))
    found = verdict["arms"]["a"]["per_seed"]["0"]
    assert found["baseline"] == pytest.approx((BASE[0] + 0.5) / (math.log(2) * 3.7))
    assert found["difference"] == pytest.approx(UP[0] / (math.log(2) * 3.7))
    assert verdict["baseline_per_seed"] == {
        str(n): pytest.approx((BASE[n] + 0.5) / math.log(2) / 3.7) for n in range(3)
    }
    assert "bits per byte worse at 7k tokens" in verdict["arms"]["a"]["words"]


def test_an_open_look_without_an_interval_is_read_back(tmp_path: Path) -> None:
    """Two seeds have none; at five it is looked at again, and nothing is said to have grown."""
    losses: dict[str, list[float | None]] = {"base": [*BASE[:2]], "a": [*plus(UP)[:2]]}
    row = write_verdict(folder_of(tmp_path, losses, plan=fixed_plan(5)))["arms"]["a"]
    assert row["interval"] == [None, None]
    assert row["words"].startswith("2 seeds have no interval that holds")
    losses = {"base": [*BASE[:5]], "a": [*plus(UP)[:5]]}
    row = write_verdict(folder_of(tmp_path, losses, plan=fixed_plan(5)))["arms"]["a"]
    assert [look["interval"][0] is None for look in row["looks"]] == [True, False]
    assert row["verdict"] == "worse"
    assert "wider" not in row["words"]


@pytest.mark.parametrize(
    "final_T",
    [np.array([1.0, np.inf]), np.array([1.0, np.nan]), np.full(3, 1e308), np.zeros(0), np.ones((2, 2)), np.array(2.0)],
    ids=["infinite", "nan", "beyond", "empty", "two axes", "no axis"],
)
def test_what_is_no_loss_judges_nothing(tmp_path: Path, final_T: np.ndarray) -> None:
    """Of a run that nothing seals: said with the file and what to do, in place of a number that no run gave."""
    folder = folder_of(tmp_path / "s", {"base": BASE[:3], "arm": UP[:3]})
    path = folder.path / "arm" / "seed1" / "arrays.npz"
    write_arrays(path, {"final_val_loss_nats_T": final_T})
    with pytest.raises(ResultError, match=r"seed1/arrays\.npz: final_val_loss_nats_T holds no losses"):
        write_verdict(StudyFolder(folder.path))


def test_a_loss_with_weights_is_the_mean_over_what_counts(tmp_path: Path) -> None:
    """Positions at which nothing counts hold NaN, and weights of another length are of another run."""
    folder = folder_of(tmp_path / "s", {"base": BASE[:3], "arm": UP[:3]})
    path = folder.path / "arm" / "seed1" / "arrays.npz"
    final_T = np.array([5.0, np.nan, 2.0])
    write_arrays(path, {"final_val_loss_nats_T": final_T, "final_val_weight_T": np.array([1.0, 0.0, 3.0])})
    pair = write_verdict(StudyFolder(folder.path))["arms"]["arm"]["per_seed"]["1"]
    assert pair["arm"] == pytest.approx((5 + 6) / 4)
    write_arrays(path, {"final_val_loss_nats_T": final_T, "final_val_weight_T": np.ones(2)})
    with pytest.raises(ResultError, match="holds no losses"):
        write_verdict(StudyFolder(folder.path))
