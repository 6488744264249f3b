"""A pilot: the baseline is asked first whether its runs are long enough; a study that is early says so everywhere."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vslm.after.merging import merged_pilot
from vslm.core.errors import SpecError, TooEarlyError
from vslm.core.paths import vary
from vslm.data.corpus import home
from vslm.lab import pilot as asking
from vslm.lab.plan import plan_study
from vslm.lab.verdict import _is_early
from vslm.measure.context_gain import Gain
from vslm.objectives.arm import Arm
from vslm.results.files import read_json, write_json
from vslm.results.folder import StudyFolder
from vslm.results.records import ArmRecord, PilotRecord, PilotRun, StudyRecord
from vslm.runs.pool import Order
from vslm.study.pilot import Pilot
from vslm.study.study_file import load_study

EARLY = "these runs end before full has begun to use its context in every seed"


@pytest.fixture
def piloted(place: Path, in_process: list[Order]) -> Path:
    """The small study with a pilot, its runs carried out here."""
    text = (place / "study.py").read_text(encoding="utf-8")
    (place / "study.py").write_text(text.replace(", pilot=None,", ","), encoding="utf-8")
    return place


def gains(monkeypatch: pytest.MonkeyPatch, *values: float) -> list[float]:
    """What context is worth to the models that are asked, in turn; what was asked is taken from the list."""
    left = list(values)
    monkeypatch.setattr(asking, "context_gain", lambda *_, **__: Gain(left.pop(0), 0.01))
    return left


def trained(orders: list[Order]) -> list[str]:
    """The runs that were carried out."""
    return [f"{order.job.arm}/{order.folder.name}" for order in orders if order.task == "train"]


@pytest.mark.slow
def test_a_study_whose_baseline_has_not_begun_stops_and_goes_on_early(
    piloted: Path, vslm: Callable, in_process: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 3 and what to do; nothing is lost, asked twice or trained twice; every verdict says it is early."""
    said = vslm("run", "study.py", "--workers", "1")
    assert said.code == 3, said
    # On a slow machine what it took is said behind it.
    asked = [line for line in said.out.splitlines() if line.startswith("pilot: at")]
    assert asked[-1].startswith("pilot: at 1.31k tokens 2 of 2 seeds of full have not begun")
    for words in ("runs/study: at 1.31k tokens", "is about the first steps", "5.3k is the next to try", "a guess"):
        assert words in said.err
    assert "--tokens 5.3k with another --out" in said.err
    assert "--early" in said.err
    assert trained(in_process) == ["full/seed0", "full/seed1"]
    folder = piloted / "runs" / "study"
    assert not (folder / "verdict.json").exists()
    assert len(read_json(folder / "study.json")["spent"]) == 1  # what it took is kept, too
    assert "The study stopped after its pilot" in (folder / "report.html").read_text(encoding="utf-8")
    assert vslm("ls").code == 0

    gains(monkeypatch)  # nobody is asked again
    assert vslm("run", "study.py", "--json").code == 3
    assert len(trained(in_process)) == 2
    said = vslm("run", "study.py", "--early")
    assert said.code == 0, said.err
    assert trained(in_process)[2:] == ["short/seed0", "short/seed1"]
    assert f"{EARLY}, so this is about the first steps of training" in said.out
    verdict = read_json(folder / "verdict.json")
    assert verdict["is_early"] is True
    assert all(EARLY in arm["words"] for arm in verdict["arms"].values())
    assert f"Early: {EARLY}" in (folder / "report.html").read_text(encoding="utf-8")
    assert "(early)" in vslm("ls").out
    assert [row["is_early"] for row in json.loads(vslm("ls", "--json").out)] == [False, True]
    assert vslm("compare", "runs/study/full", "runs/study/short").code == 0
    said = vslm("run", "study.py", "--seeds", "3")  # it goes on early, as it did
    assert said.code == 0, said.err
    assert trained(in_process)[4:] == ["full/seed2", "short/seed2"]


def test_a_study_whose_baseline_has_begun_goes_on(
    piloted: Path, vslm: Callable, in_process: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a word but the pilot's own; what was seen is kept for plans of the same corpus."""
    assert gains(monkeypatch, 0.83, 0.79) is not None
    said = vslm("run", "study.py", "--workers", "1")
    assert said.code == 0, said.err
    assert "pilot: at 1.31k tokens 2 of 2 seeds of full have begun to use their context (gain 0.83 and 0.79" in said.out
    assert trained(in_process) == ["full/seed0", "full/seed1", "short/seed0", "short/seed1"]
    folder = piloted / "runs" / "study"
    verdict, record = read_json(folder / "verdict.json"), read_json(folder / "study.json")["pilot"]
    assert "is_early" not in verdict
    assert EARLY not in said.out
    assert record["has_begun"] is True
    assert record["runs"]["1"]["gain_nats"] == 0.79
    assert record["loss_sd_nats"] > 0
    study = load_study(piloted / "study.py")
    (kept,) = plan_study(study)["earlier_pilots"]
    assert kept["words"] == record["words"]
    kept["onset_tokens"] = [300, 900]
    write_json(next((home() / "pilots").glob("*.json")), kept)
    words = (
        "runs like this one began to use their context at about 900 tokens (300 to 900, from 2 runs); yours have 1.31k"
    )
    assert plan_study(study)["transition"] == f"{words}, which was enough"
    assert words in vslm("plan", "study.py").out
    assert "which was too few for all of them" in vslm("plan", "study.py", "--tokens", "200").out
    forked = {arm: vary(one, {"start_from": Arm("knows")}) for arm, one in study.arms.items()}
    on = dataclasses.replace(study, trunks={"knows": study.arms["full"]}, arms=forked)
    assert plan_study(on)["transition"] is None, "tokens after a fork are not all that a run learned from"
    other = vslm("plan", "study.py", "--json", "--set", "model.context_tokens=34", "--set", "batch_tokens=34")
    assert json.loads(other.out)["earlier_pilots"] == []


def test_one_seed_that_has_not_begun_is_enough_to_stop(
    piloted: Path, vslm: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said with the gains of all, how many tokens would do, and what that costs."""
    gains(monkeypatch, 0.31, 0.02)
    said = vslm("run", "study.py", "--workers", "1")
    assert said.code == 3
    assert "1 of 2 seeds of full has not begun to use its context (gain 0.02 nats; 0.31 in the other)" in said.err
    assert "would do, about 1 minute more for the study (an estimate" in said.err
    record = read_json(piloted / "runs" / "study" / "study.json")["pilot"]
    assert (record["basis"], record["enough_tokens"], record["past_tokens"]) == ("some", 5300, 5300)


@pytest.mark.slow
def test_a_folder_keeps_what_it_began_with(piloted: Path, vslm: Callable, in_process: list[Order]) -> None:
    """One that began without a pilot, as all did once, has none later; and one that began with it is not let off."""
    piloted_text = (piloted / "study.py").read_text(encoding="utf-8")
    plain_text = piloted_text.replace("seeds=2,", "seeds=2, pilot=None,")
    (piloted / "study.py").write_text(plain_text, encoding="utf-8")
    assert vslm("run", "study.py", "--seeds", "1", "--workers", "1", "--out", "a").code == 0
    (piloted / "study.py").write_text(piloted_text, encoding="utf-8")
    assert vslm("run", "study.py", "--out", "a").code == 0
    assert "pilot" not in read_json(piloted / "a" / "study.json")
    assert vslm("run", "study.py", "--workers", "1", "--out", "b").code == 3
    (piloted / "study.py").write_text(plain_text, encoding="utf-8")
    assert vslm("run", "study.py", "--out", "b").code == 3


def test_of_a_baseline_that_diverges_nothing_is_asked(piloted: Path, vslm: Callable, in_process: list[Order]) -> None:
    """The verdict says what there is to say."""
    said = vslm("run", "study.py", "--workers", "1", "--set", "optimizer.learning_rate=1e30")
    assert said.code == 0, said.err
    assert "the pilot is not answered" in said.out
    assert "diverged" in said.out
    assert "has_begun" not in read_json(piloted / "runs" / "study" / "study.json")["pilot"]


def test_from_python_it_is_an_error_of_its_own(piloted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run(..., early=True)` goes on."""
    import vslm

    gains(monkeypatch, 0.0, 0.0)
    study = load_study(piloted / "study.py")
    with pytest.raises(TooEarlyError, match="has"):
        vslm.run(study, study_file=piloted / "study.py", out="s", workers=1)
    folder = vslm.run(study, study_file=piloted / "study.py", out="s", workers=1, early=True)
    assert folder.verdict is not None
    assert folder.verdict.is_early


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"seeds": 4}, {"gain_nats": 0.0}])
def test_what_is_no_pilot_is_refused(wrong: dict[str, Any]) -> None:
    """No seed, a whole study of seeds, a gain that nothing lacks."""
    with pytest.raises(SpecError, match=next(iter(wrong))):
        Pilot(**wrong)


def test_shorter_budgets_are_early_where_the_baseline_begins_later() -> None:
    """Judged by when it began; without a pilot, or where nothing tells, nothing is said."""
    record = StudyRecord(baseline="full", arms={"full": ArmRecord(tokens=1000)})
    assert not _is_early(record, 0.25)
    record.pilot = PilotRecord(seeds=2, has_begun=True)
    assert not _is_early(record, 0.25)
    record.pilot.past_tokens = 400
    assert [_is_early(record, budget) for budget in (0.25, 0.4, 1.0)] == [True, False, False]


def test_of_merged_parts_the_one_that_has_not_begun_counts() -> None:
    """Runs of both are told; a part that was not asked adds nothing."""
    good = PilotRecord(seeds=1, has_begun=True, past_tokens=90, words="a", runs={"0": PilotRun(gain_nats=0.5)})
    bad = PilotRecord(seeds=1, has_begun=False, past_tokens=80, words="b", runs={"7": PilotRun(gain_nats=0.0)})
    for parts in ([good, bad], [bad, None, good]):
        whole = merged_pilot(parts)
        assert whole is not None
        assert whole.has_begun is False
        assert whole.past_tokens == 80
        assert set(whole.runs) == {"0", "7"}
    assert merged_pilot([None, None]) is None
    assert merged_pilot([None, PilotRecord(seeds=2)]) == PilotRecord(seeds=2)


@pytest.mark.slow
def test_merged_halves_have_the_pilots_of_both(piloted: Path, vslm: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each asked its own seeds; what is early in one is early in the whole."""
    gains(monkeypatch, 0.8, 0.7, 0.1, 0.6)
    assert vslm("run", "study.py", "--workers", "1", "--seeds", "0-1", "--out", "a").code == 0
    assert vslm("run", "study.py", "--workers", "1", "--seeds", "4-5", "--out", "b", "--early").code == 0
    said = vslm("merge", "a", "b", "--out", "c")
    assert said.code == 0, said.err
    folder = StudyFolder(piloted / "c")
    assert folder.study.pilot is not None
    assert {seed: run.gain_nats for seed, run in folder.study.pilot.runs.items()} == {
        "0": 0.8,
        "1": 0.7,
        "4": 0.1,
        "5": 0.6,
    }
    assert folder.verdict is not None
    assert folder.verdict.is_early


def test_cores_that_would_wait_train_what_is_needed_next(
    piloted: Path, vslm: Callable, in_process: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three at a time one beside the two that are asked."""
    gains(monkeypatch, 0.02, 0.03)
    assert vslm("run", "study.py", "--workers", "3").code == 3
    assert trained(in_process) == ["full/seed0", "full/seed1", "short/seed0"]
    assert vslm("run", "study.py", "--early").code == 0
    assert trained(in_process)[3:] == ["short/seed1"]
