"""The share of a command that goes into training and evaluation."""

import pytest

from vslm.lab import spent
from vslm.lab.spent import Spent, say
from vslm.results.records import RunEnd, SettingsRecord, SpentRecord


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test moves."""
    now = [100.0]
    monkeypatch.setattr(spent.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(spent, "available_cores", lambda: 2)
    return now


def settings(**changes: object) -> SettingsRecord:
    """Two runs at a time, a thread each."""
    plain = {"device": "cpu", "precision": "fp32", "compiled": False, "threads": 1, "workers": 2}
    return SettingsRecord.from_plain({**plain, **changes})


def run(**changes: object) -> RunEnd:
    """Eleven steps, the first in 5 s and each of the others in one, and 3 s of measures."""
    plain = {"status": "done", "step": 11, "seconds": 15.0, "first_step_seconds": 5.0, "worked_seconds": 18.0}
    return RunEnd.from_plain({**plain, **changes})


def test_the_share_by_hand(clock: list[float]) -> None:
    """Two runs of 18 s on two cores in a command of 30 s, 7 of which came before the first step."""
    one = Spent(began=100.0)
    clock[0] = 107.0
    one.step()
    clock[0] = 120.0
    one.step()
    for _ in range(2):
        one.done(run(), settings())
    clock[0] = 130.0
    row = one.record(settings())
    assert row == SpentRecord(seconds=30.0, seconds_to_first_step=7.0, worked_seconds=36.0, cores=2)
    said: list[str] = []
    say(row, said.append)
    assert said == ["60% of 30 s on 2 cores went into training and evaluation, the first step after 7 s"]


def test_compiling_is_no_training(clock: list[float]) -> None:
    """Wherever a run compiled, in a step or in the evaluation before the first."""
    one = Spent(began=100.0)
    one.done(run(compile_seconds=4.5), settings(compiled=True))
    clock[0] = 120.0
    assert one.record(settings()).worked_seconds == 13.5  # type: ignore[union-attr]


def test_threads_of_a_run_work_together(clock: list[float]) -> None:
    """And no more cores count than there are."""
    one = Spent(began=100.0)
    one.done(run(), settings(threads=2, workers=1))
    clock[0] = 140.0
    row = one.record(settings(threads=2, workers=3))
    assert row is not None
    assert (row.worked_seconds, row.cores) == (36.0, 2)


def test_nothing_is_said_of_nothing(clock: list[float]) -> None:
    """Where no run was left to do, and where a command took a moment."""
    assert Spent(began=100.0).record(settings()) is None
    said: list[str] = []
    say(SpentRecord(seconds=19.0, worked_seconds=18.0, cores=1), said.append)
    assert said == []


def test_a_command_begins_when_its_process_does() -> None:
    """As long as that is a moment ago; the process of these tests was not started for a study once it is older."""
    began, now = spent.command_began(), spent.time.monotonic()
    assert 0 <= now - began <= spent._YOUNG_SECONDS
