"""What is kept of compiled runs, and what is expected from it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from small_study import Said

from vslm import Budget, Experiment, Text, uniform, vary
from vslm.core.specs import to_plain
from vslm.data.preparing import prepare
from vslm.lab import machine_card
from vslm.lab.machine_card import (
    card_path,
    expected,
    machine,
    note,
    note_readings,
    readings,
    seen_here,
    shape_of,
    speed_seen,
)
from vslm.results.records import RunEnd, SettingsRecord
from vslm.runs import timing
from vslm.runs.timing import SIDE_BY_SIDE, Compiling
from vslm.study.study_file import load_study

EXPERIMENT = Experiment(
    model=uniform(depth=1, width=8, heads=2, context_tokens=5), data=Text("t.txt"), budget=Budget(tokens=35)
)
SOME, FUSED, ANOTHER = (
    vary(EXPERIMENT, {"model.blocks.*.attention.window_tokens": window_tokens}) for window_tokens in (None, 2, 3)
)
SETTINGS = {"device": "cpu", "precision": "fp32", "compiled": True, "threads": 1, "workers": 1}
RATES = {"fp32, 1 thread": 1000.0, "fp32, fused attention, 1 thread": 1250.0, "bf16, 1 thread": 500.0}


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_card, "home", lambda: tmp_path)


def settings(**changes: object) -> SettingsRecord:
    """Of a compiled study."""
    return SettingsRecord.from_plain({**SETTINGS, "rates": RATES, **changes})


def done(**changes: object) -> RunEnd:
    """A run of 101 steps of 1,020 tokens, the first in 30 s and the others in 51 s together. It compiled for 23 s."""
    compiled = {"compile_seconds": 23.0, "graphs_compiled": 2}
    seconds = {"seconds": 81.0, "first_step_seconds": 30.0, **compiled}
    return RunEnd.from_plain({"status": "done", "step": 101, **seconds, **changes})


def known(experiment: Experiment) -> Compiling:
    """What is expected of it."""
    return expected(shape_of(experiment, 256, 1))


def test_before_anything_was_compiled_a_guess_stands() -> None:
    """The same for every shape."""
    assert known(SOME) == Compiling()
    assert seen_here() == []


def test_a_run_tells_the_next_study() -> None:
    """Its speed without the first step over that of eager steps with the same attention; beside others, as if alone."""
    note(SOME, 256, settings(), done())
    assert known(SOME) == Compiling(seconds=23.0, fp32=2.0)
    assert known(ANOTHER).fp32 == 2.0
    assert known(SOME).bf16 == Compiling().bf16
    note(FUSED, 256, settings(fused_attention=True, workers=2), done())
    assert known(FUSED).fp32 == pytest.approx(2000 / SIDE_BY_SIDE / 1250)
    assert known(SOME).fp32 == 2.0
    assert known(ANOTHER).fp32 == pytest.approx((2.0 + known(FUSED).fp32) / 2)


def test_graphs_from_the_cache_say_nothing_of_compiling() -> None:
    """Neither do cards of earlier versions, which had the seconds of the first step."""
    note(SOME, 256, settings(), done(compile_seconds=0.7, graphs_compiled=0))
    assert known(SOME) == Compiling(fp32=2.0)
    assert seen_here()[-1]["compile_seconds"] is None
    note(ANOTHER, 256, settings(), done())
    note(SOME, 256, settings(), done(compile_seconds=0.7, graphs_compiled=0))
    assert known(SOME).seconds == known(ANOTHER).seconds == 23.0
    before = json.loads(card_path().read_text(encoding="utf-8"))
    for row in before["compiled"]:
        del row["compile_seconds"]
        row["seconds"] = 0.7
    card_path().write_text(json.dumps(before), encoding="utf-8")
    assert known(SOME) == Compiling(fp32=2.0)


def test_other_work_beside_a_run_is_no_loss_by_compiling() -> None:
    """With one thread its seconds of a core count, with more the clock."""
    slowed = done(seconds=151.0, step_core_seconds=0.51)
    note(SOME, 256, settings(), slowed)
    assert known(SOME).fp32 == pytest.approx(2.0)
    note(FUSED, 256, settings(threads=2, rates={"fp32, 2 threads": 1000.0}), slowed)
    assert seen_here()[-1]["compiled"] == pytest.approx(100 * 1020 / 121)


@pytest.mark.parametrize(
    ("how", "run"),
    [
        ({"compiled": False}, {}),
        ({"rates": {}}, {}),
        ({}, {"status": "diverged"}),
        ({}, {"step": 19}),  # too few steps for a speed
        ({}, {"first_step_seconds": None}),  # went on where another process had begun with an older version
        ({}, {"seconds": 40.0}),  # ten times as fast: a stalled eager reading
        ({}, {"seconds": 530.0}),  # half as fast, or less: other work
    ],
)
def test_what_tells_nothing_is_not_kept(how: dict[str, object], run: dict[str, object]) -> None:
    """And no other run's note is lost for it."""
    note(ANOTHER, 256, settings(), done())
    note(SOME, 256, settings(**how), done(**run))
    assert [row["shape"] for row in seen_here()] == [shape_of(ANOTHER, 256, 1)]


@pytest.mark.parametrize("text", ["", "{}", '{"compiled": 3}', '{"compiled": [3, {"eager": 0, "compiled": 1}]}'])
def test_a_torn_card_is_no_card(text: str) -> None:
    """It is written anew."""
    card_path().parent.mkdir(parents=True)
    card_path().write_text(text, encoding="utf-8")
    assert known(SOME) == Compiling()
    note(SOME, 256, settings(), done())
    assert len(seen_here()) == 1


def test_a_shape_is_what_is_computed_in_a_step() -> None:
    """Not how long, on what, or at which learning rate."""
    same = [vary(EXPERIMENT, {"budget.tokens": 350}), vary(EXPERIMENT, {"optimizer.learning_rate": 0.1})]
    assert {shape_of(one, 256, 1) for one in [EXPERIMENT, *same]} == {shape_of(EXPERIMENT, 256, 1)}
    others = [vary(EXPERIMENT, {"batch_tokens": 10}), vary(EXPERIMENT, {"model.blocks.*.attention.window_tokens": 2})]
    shapes = {shape_of(one, 256, 1) for one in [EXPERIMENT, *others]} | {
        shape_of(EXPERIMENT, 257, 1),
        shape_of(EXPERIMENT, 256, 2),
    }
    assert len(shapes) == 5


def test_a_plan_is_told_the_speed_that_was_seen(vslm: Callable[..., Said], place: Path) -> None:
    """Of eager steps that were timed, then of a compiled run; nothing else is a guess any more."""
    assert place
    guessed = json.loads(vslm("plan", "study.py", "--json").out)
    assert guessed["speed_from"].startswith("a guess")
    study = load_study(Path("study.py"))
    experiment, vocabulary = study.arms["full"], prepare(study.arms["full"].data).vocabulary
    shape = shape_of(experiment, vocabulary, 1)
    note_readings(shape, {"fp32, 1 thread": 50.0, "fp32, 2 threads": 999.0})
    timed = json.loads(vslm("plan", "study.py", "--json").out)
    assert timed["speed_from"] == "as it was timed here"
    minutes = experiment.budget.tokens / (50.0 * SIDE_BY_SIDE) / 60  # type: ignore[operator]
    assert timed["arms"]["full"]["minutes"] == pytest.approx(minutes)
    assert speed_seen(shape) == 50.0 * SIDE_BY_SIDE
    run = {"step": 101, "seconds": 30.0 + 100 * experiment.tokens_per_step / 70.0, "first_step_seconds": 30.0}
    note(experiment, vocabulary, settings(rates={"fp32, 1 thread": 50.0}), done(**run))
    assert speed_seen(shape) == pytest.approx(70.0 * SIDE_BY_SIDE)


def test_it_is_shown(vslm: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine, what was timed with what was chosen, and what compiling gained; as JSON, too."""
    monkeypatch.setattr(timing, "products_per_second", lambda precision: 5e10)
    said = vslm("machine")
    assert said.code == 0
    assert "50 GFLOP/s a thread" in said.out
    assert "compiled runs" not in said.out
    note(SOME, 256, settings(), done())
    about = {**machine(), "model": to_plain(SOME.model), "batch_tokens": 1024}
    kept_timing = {"settings": {**SETTINGS, "fused_attention": False}, "workers": 1, "rates": RATES, "about": about}
    place = card_path().parent.parent / "settings"
    place.mkdir(exist_ok=True)
    for name, kept in (
        ("whole", {**kept_timing, "measured": "2026-01-02"}),
        ("torn", {}),
        ("other", kept_timing | {"about": {}}),
    ):
        (place / f"{name}.json").write_text(json.dumps(kept), encoding="utf-8")
    said = vslm("machine")
    rows = [line.replace("|", " ").split() for line in said.out.splitlines()]
    assert ["2026-01-02", "5", "1,024", "fp32,", "1", "thread", "1,000", "compiled"] in rows
    assert ["2026-01-02", "5", "1,024", "bf16,", "1", "thread", "500"] in rows
    (row,) = [row for row in rows if "2.00" in row]
    assert row[-5:] == ["1,000", "2,000", "2.00", "23", "s"]
    found = json.loads(vslm("machine", "--json").out)
    assert found["machine"]["cores"] == machine()["cores"]
    assert [one["rates"] for one in found["timed"]] == [RATES]
    assert [one["compiled"] for one in found["compiled"]] == [pytest.approx(2000.0)]


def test_what_was_read_first_stands() -> None:
    """The same model is computed alike in every study on this machine; what is new is added, and runs' notes stay."""
    note(SOME, 256, settings(), done())
    note_readings("some", {"fp32, 1 thread": 100.0})
    note_readings("some", {"fp32, 1 thread": 70.0, "fp32, 2 threads": 150.0})
    note_readings("other", {"fp32, 1 thread": 7.0})
    assert readings("some") == {"fp32, 1 thread": 100.0, "fp32, 2 threads": 150.0}
    assert readings("other") == {"fp32, 1 thread": 7.0}
    assert readings("none") == {}
    note(ANOTHER, 256, settings(), done())
    assert len(seen_here()) == 2
    assert readings("other")
    card_path().write_text('{"readings": {"some": 3}}', encoding="utf-8")
    assert readings("some") == {}
