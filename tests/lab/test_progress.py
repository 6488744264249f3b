"""What a study says while it runs: how long it will take still."""

import pytest
from rich.console import Console

from vslm.lab import progress
from vslm.results.records import RunEnd


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as a list of one number that a test may change."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_time_left_counts_tokens_and_forgets_the_stage_before(clock: list[float]) -> None:
    """An hour of tuning does not slow the judged runs down, and four times the tokens take four times as long."""
    with progress.progress_for(quiet=True) as lines:
        lines.started({("plain", 10000): 100})
        clock[0] += 3600.0
        lines.on_message("plain", 10000, {"done": RunEnd(status="done", val_loss=2.0, seconds=3600.0)})
        lines.started({("plain x0.25", 0): 100, ("plain x4", 0): 1600, ("plain x4", 1): 1600})
        assert lines.left() == "time left unknown yet"
        clock[0] += 20.0
        lines.on_message("plain x0.25", 0, {"done": RunEnd(status="done", val_loss=2.0, seconds=20.0)})
        assert lines.left() == "about 11 min left"  # 3,200 of 3,300 tokens, at 5 tokens a second


def test_runs_that_were_there_or_failed_take_no_more_time(clock: list[float]) -> None:
    """Neither in what is done nor in what is left."""
    with progress.progress_for(quiet=True) as lines:
        lines.started({("a", 0): 100, ("a", 1): 100, ("b", 0): 100, ("b", 1): 100})
        lines.on_message("a", 0, {"done": RunEnd(status="done", val_loss=2.0, seconds=9.0), "was_there": True})
        lines.on_message("a", 1, {"failed": "why"})
        clock[0] += 300.0  # to load and compile: once, so no part of what is left
        lines.on_message("b", 0, {"step": 0, "num_steps": 10, "loss": 5.0, "tokens_per_second": 0.0})
        assert lines.left() == "time left unknown yet"
        clock[0] += 15.0
        lines.on_message("b", 0, {"step": 5, "num_steps": 10, "loss": 3.0, "tokens_per_second": 7.0})
        assert lines.left() == "about 45 s left"  # 150 of 300 tokens, at 50 in 15 s


def test_a_table_shows_the_runs_under_way(clock: list[float]) -> None:
    """Arm, seed, how far, how fast."""
    console = Console(record=True, width=90, force_terminal=True)
    with progress.Live(console=console) as live:
        table = progress._Table(console, live)
        table.started({("a", 0): 100, ("b", 0): 100})
        table.on_message("a", 0, {"step": 1, "num_steps": 4, "loss": 3.25, "tokens_per_second": 1234.0})
        table.on_message("b", 0, {"done": RunEnd(status="done", val_loss=2.5, seconds=9.0)})
    shown = console.export_text()
    assert "25%" in shown
    assert "1,234" in shown
    assert "waiting" not in shown.split("b ")[-1]


def test_a_sample_stands_below_the_table_and_fits() -> None:
    """On a screen of 24 lines; only the latest, and no line of it is printed above."""
    console = Console(record=True, width=80, height=24, force_terminal=True)
    with progress.Live(console=console) as live:
        table = progress._Table(console, live)
        table.started({("model", 0): 100})
        for number in range(3):
            words = f"sample {number}\x1b[2J " + "word " * 400
            table.on_message("model", 0, {"sample": words, "step": number, "num_steps": 4})
        shown = [str(line) for line in table.shown().renderables[1:]]
    assert 1 < len(shown) <= 8
    assert shown[0].startswith("sample 2?[2J word")
    assert max(map(len, shown)) <= 80
    printed = console.export_text()
    assert "sample 0" not in printed


def test_samples_in_a_file_say_where_they_are_from_and_do_not_flood(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """A short run looks many times a second; one sample in 15 s is printed, with how far the run was."""
    with progress.progress_for(quiet=False) as lines:
        lines.started({("model", 0): 100})
        for step in range(1, 7):
            lines.on_message("model", 0, {"sample": f"sample {step}\n", "step": step, "num_steps": 8})
            clock[0] += 4.0
    assert capsys.readouterr().out == (
        "model seed 0: 12%, it writes:\n\nsample 1\n\nmodel seed 0: 62%, it writes:\n\nsample 5\n\n"
    )
