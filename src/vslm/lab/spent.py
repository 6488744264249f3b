"""How much of what a command had of the machine went into training and evaluation, and how much into all else.

    share = (seconds of training steps and measures, times threads, over all runs) / (seconds of the command * cores)

Cores are those that the runs of the study can use at the same time. What is not in it: imports, reading the text,
checks, timing, compiling, writing, and cores that wait for the last run.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vslm.core.machine import available_cores
from vslm.core.numbers import plural
from vslm.results.records import RunEnd, SettingsRecord, SpentRecord

_SECONDS_WORTH_SAYING = 20.0
_YOUNG_SECONDS = 60.0  # a process that is older was not started for this study


def command_began() -> float:
    """When the command that trains was started, on the clock of `time.monotonic`: this process, if it is so young that
    it was started for a study and the system says when; else now.
    """
    now = time.monotonic()
    try:
        started = float(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        age = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0]) - started / _TICKS_PER_SECOND
    except (OSError, ValueError, IndexError):
        return now
    return now - age if 0 < age < _YOUNG_SECONDS else now


_TICKS_PER_SECOND = 100.0  # what /proc counts in, on every Linux


@dataclass
class Spent:
    """What one command spends on a study.

    Args:
        began: when it began, on the clock of `time.monotonic`.
    """

    began: float = field(default_factory=command_began)
    worked: float = 0.0
    first_step: float | None = None

    def step(self) -> None:
        """A run took a step; the first one is when training began."""
        if self.first_step is None:
            self.first_step = time.monotonic() - self.began

    def done(self, run: RunEnd, settings: SettingsRecord) -> None:
        """A run ended in this command."""
        self.worked += max(0.0, (run.worked_seconds or 0.0) - (run.compile_seconds or 0.0)) * settings.threads

    def record(self, settings: SettingsRecord) -> SpentRecord | None:
        """For `study.json`; None where nothing was trained."""
        if not self.worked:
            return None
        cores = max(1, min(settings.workers * settings.threads, available_cores()))
        return SpentRecord(
            seconds=time.monotonic() - self.began,
            seconds_to_first_step=self.first_step,
            worked_seconds=self.worked,
            cores=cores,
        )


def say(spent: SpentRecord, say_to: Callable[[str], None]) -> None:
    """One line, for what took longer than a moment."""
    if (spent.seconds or 0.0) < _SECONDS_WORTH_SAYING or not spent.cores or not spent.worked_seconds:
        return
    share = spent.worked_seconds / ((spent.seconds or 0.0) * spent.cores)
    first = "" if spent.seconds_to_first_step is None else f", the first step after {spent.seconds_to_first_step:.0f} s"
    cores = plural(round(spent.cores), "core")
    say_to(f"{min(share, 1.0):.0%} of {spent.seconds:.0f} s on {cores} went into training and evaluation{first}")
