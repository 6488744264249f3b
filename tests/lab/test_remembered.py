"""The settings of the same command are those of the first time."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from small_study import made_up_timing

from vslm.lab import remembered as settings
from vslm.runs import timing
from vslm.study.job import Settings

ABOUT = {"cpu": "some", "cores": 2, "model": {"width": 16}}


def test_a_choice_is_kept_and_the_first_one_counts() -> None:
    """Two commands at the same time that both timed go on with one choice; another machine has none."""
    assert settings.remembered(ABOUT) is None
    first = settings.remember(ABOUT, made_up_timing())
    other = {**made_up_timing(), "tokens_per_second": 7.0}
    assert settings.remember(ABOUT, other)["tokens_per_second"] == 1000.0 == first["tokens_per_second"]
    kept = settings.remembered(ABOUT)
    assert kept is not None
    assert kept["settings"] == made_up_timing()["settings"]
    assert settings.remembered({**ABOUT, "cores": 3}) is None
    assert [path.suffix for path in settings.settings_path(ABOUT).parent.iterdir()] == [".json"]


def test_a_torn_choice_is_made_anew() -> None:
    """As after a full disk."""
    settings.remember(ABOUT, made_up_timing())
    for text in ("", '{"settings": ', "[]", "{}"):
        settings.settings_path(ABOUT).write_text(text, encoding="utf-8")
        assert settings.remembered(ABOUT) is None
        again = settings.remember(ABOUT, {**made_up_timing(), "tokens_per_second": 7.0})
        assert again["tokens_per_second"] == 7.0
        assert settings.remembered(ABOUT) == again


def test_a_home_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice holds for this study."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr(settings, "home", lambda: tmp_path / "file")
    assert settings.remember(ABOUT, made_up_timing())["tokens_per_second"] == 1000.0
    assert settings.remembered(ABOUT) is None


class _Readings:
    """A stepper that gives these readings: tokens per second, and the share of the core that it got."""

    given: ClassVar[list[tuple[float, float]]] = []

    def __init__(self, job: Any) -> None:
        self.share_of_core = 1.0

    def rate(self, seconds: float = 0.0) -> float:
        rate, self.share_of_core = self.given.pop(0)
        return rate


def _turns(*rates: tuple[float, float]) -> list[tuple[float, float]]:
    """Readings of the best so far and of what it is compared with, in turns."""
    return [(rate, 1.0) for pair in rates for rate in pair]


class _Clock:
    """Two clocks of which the core's runs at a share of the other."""

    def __init__(self, share: float) -> None:
        self.now, self.share = 0.0, share

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now * self.share


@pytest.mark.parametrize(("threads", "read"), [(1, 70.0), (2, 17.5)])
def test_one_thread_is_read_by_what_its_core_gave(monkeypatch: pytest.MonkeyPatch, threads: int, read: float) -> None:
    """A reading that got a quarter of a core tells the speed of the machine, and that it was disturbed."""
    clock, stepper = _Clock(share=0.25), object.__new__(timing._Stepper)
    monkeypatch.setattr(timing, "time", clock)
    stepper.settings = Settings(device="cpu", precision="fp32", compiled=False, threads=threads)
    stepper.job = SimpleNamespace(experiment=SimpleNamespace(tokens_per_step=35))  # type: ignore[assignment]
    stepper.share_of_core = 1.0
    monkeypatch.setattr(stepper, "_step", lambda: setattr(clock, "now", clock.now + 2.0), raising=False)
    assert stepper.rate(7.0) == pytest.approx(read)
    assert stepper.share_of_core == (0.25 if threads == 1 else 1.0)


@pytest.mark.parametrize(
    ("first", "turns", "precision", "is_busy", "rate"),
    [
        ([(100.0, 1.0)], [(100.0, 104.0)] * 5, "fp32", False, 100.0),  # within the noise of a reading
        ([(100.0, 1.0)], [(100.0, 125.0)] * 5, "bf16", False, 125.0),
        # Other work takes half of the core, now and then, or of one reading alone.
        (
            [(100.0, 1.0)],
            [(50.0, 62.5), (100.0, 125.0), (40.0, 125.0), (100.0, 50.0), (80.0, 100.0)],
            "bf16",
            False,
            125,
        ),
        ([(40.0, 0.4), (90.0, 0.9)], [(90.0, 99.0)] * 5, "bf16", False, 99.0),  # read again where it was disturbed
        ([(20.0, 0.2), (30.0, 0.3), (30.0, 0.3)], [(30.0, 45.0)] * 5, "bf16", True, 45.0),
    ],
)
def test_precision_does_not_follow_other_work(
    monkeypatch: pytest.MonkeyPatch,
    first: list[tuple[float, float]],
    turns: list[tuple[float, float]],
    precision: str,
    is_busy: bool,
    rate: float,
) -> None:
    """The median ratio of turns decides, with a margin, and a disturbed first reading is read again."""
    monkeypatch.setattr(_Readings, "given", [*first, *_turns(*turns)])
    monkeypatch.setattr(timing, "_Stepper", _Readings)
    cpu = Settings(device="cpu", precision="fp32", compiled=False, threads=1)
    job = SimpleNamespace(settings=cpu, stages_tokens=(1000,))
    monkeypatch.setattr(timing.dataclasses, "replace", lambda spec, **new: SimpleNamespace(**{**vars(spec), **new}))
    chooser = timing._Chooser(job, timing.Extent(num_runs=1), 1, None, "fp32")  # type: ignore[arg-type]
    chooser.choose_precision()
    assert chooser.best.precision == precision
    assert chooser.is_busy == is_busy
    assert chooser.share_of_core == (0.3 if is_busy else 1.0)
    assert chooser.best_rate == pytest.approx(rate)


def test_a_container_without_memory_for_all_runs_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven cores and memory for three runs are three at a time, and it is said."""
    monkeypatch.setattr(_Readings, "given", [(100.0, 1.0)])
    monkeypatch.setattr(timing, "_Stepper", _Readings)
    monkeypatch.setattr(timing, "memory_limit", lambda: 4_000_000_000)
    monkeypatch.setattr(timing, "peak_memory", lambda: 1_000_000_000)
    cpu = Settings(device="cpu", precision="fp32", compiled=False, threads=1)
    job = SimpleNamespace(settings=cpu, stages_tokens=(1000,))
    monkeypatch.setattr(timing.dataclasses, "replace", lambda spec, **new: SimpleNamespace(**{**vars(spec), **new}))
    chooser = timing._Chooser(job, timing.Extent(num_runs=11), 7, None, "fp32")  # type: ignore[arg-type]
    chooser.keep_within_memory()
    assert chooser.workers == 3
    assert "3 at the same time fit into the 4.0 GB" in chooser.remarks[0]
