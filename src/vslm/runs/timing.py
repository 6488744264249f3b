"""A short timing before a study: which precision, compile or not, how many threads, and how fast every arm is."""

import contextlib
import dataclasses
import math
import os
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vslm.core.machine import memory_limit, peak_memory
from vslm.data.corpus import open_corpus
from vslm.runs.objects import build_objects
from vslm.study.job import Job, Settings
from vslm.training.loop import DivergedError, Training

_SECONDS_PER_READING = 0.8
_SECONDS_PER_TURN, _TURNS = 0.25, 9
# Of a graph. The reading may find the baseline's made by an earlier study, and arms with unlike blocks take longer.
_FEWEST_COMPILE_SECONDS = 25.0
_CLEARLY = 1.1  # as fast as the other precision
_UNDISTURBED = 0.7  # of a core's time, in a reading of one thread
_READ_AGAIN = 2  # times, at most, where it was disturbed
_MEMORY_FRACTION = 0.9  # of a limit; the rest is for the command itself
_NEARLY = 0.75  # of the speed of the faster precision
_LOADING = 0.25  # of that, where another process has made it before
_SIDE_BY_SIDE = 0.9  # what a run keeps of its speed beside others: they share caches and memory
START_SECONDS = 1.0  # of a run, before its first step and after its last one; one core does it, whatever the threads


def has_compiler() -> bool:
    """Whether torch.compile can build code for a CPU here."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++", "cl"]
    return any(shutil.which(name) for name in names)


@dataclass(frozen=True)
class Extent:
    """How much a study will train.

    Args:
        num_runs: of its largest stage.
        num_arms: with more than a run each; they are compiled once, and loaded once more by every other worker.
        full_runs: all stages together, in runs of the job that is timed.
        minutes: of training, where they are settled and tokens follow from them.
    """

    num_runs: int
    num_arms: int = 1
    full_runs: float = 1.0
    minutes: float | None = None


def choose_settings(
    job: Job, extent: Extent, *, cores: int, workers: int | None = None, precision: str = "auto"
) -> dict[str, Any]:
    """Settings for a study of such an extent, its tokens per second, and remarks for people.

    Args:
        job: the baseline; its own settings give the device, and `threads` is ignored.
        extent: of the study.
        cores: that may be used.
        workers: runs at the same time, if that is settled; they share the cores.
        precision: "fp32" or "bf16", if that is settled; "auto": the faster one.
    """
    chooser = _Chooser(job, extent, cores, workers, "fp32" if precision == "auto" else precision)
    chooser.keep_within_memory()
    if precision == "auto":
        chooser.choose_precision()
    chooser.choose_compiling()
    if job.settings.device == "cpu":
        chooser.choose_threads()
    return {
        "settings": dataclasses.asdict(chooser.best),
        "workers": chooser.workers,
        "tokens_per_second": chooser.best_rate,
        "compile_seconds": chooser.compile_seconds,
        "compiled_from_tokens": chooser.compiled_from_tokens,
        "rates": chooser.rates,
        "remarks": chooser.remarks,
        "is_busy": chooser.is_busy,
    }


class _Chooser:
    """The best settings so far, and what was read on the way."""

    def __init__(self, job: Job, extent: Extent, cores: int, workers: int | None, precision: Any) -> None:
        self.job, self.extent, self.cores, self.asked_workers = job, extent, cores, workers
        self.compile_seconds = 0.0  # of the whole study
        self.compiled_from_tokens = 0  # of a run that is the only one of its arm
        self.tokens = sum(job.stages_tokens)
        self.rates: dict[str, float] = {}
        self.remarks: list[str] = []
        self.workers = workers or (min(cores, extent.num_runs) if job.settings.device == "cpu" else 1)
        self.speeds: dict[str, float] = {}  # tokens per second of a core's time, whoever else uses the core
        self.is_busy = False
        self.best = dataclasses.replace(job.settings, threads=1, compiled=False, precision=precision)
        self.best_rate = self._read(f"{precision}, 1 thread", self.best)
        self.other: tuple[Settings, float] = self.best, 0.0  # the slower precision and its rate

    def keep_within_memory(self) -> None:
        """Fewer runs at the same time where the limit of a container does not hold as many."""
        limit, bytes_each = memory_limit(), peak_memory()
        if limit is None or bytes_each is None or self.asked_workers is not None:
            return
        fitting = max(1, int(_MEMORY_FRACTION * limit / bytes_each))
        if fitting < self.workers:
            self.remarks.append(f"{fitting} at the same time fit into the {limit / 1e9:.1f} GB that may be used here")
            self.workers = fitting

    def choose_precision(self) -> None:
        """bf16 where it is clearly faster: what is within the noise of a reading must not change from day to day."""
        bf16 = dataclasses.replace(self.best, precision="bf16")
        self.other = bf16, self._read("bf16, 1 thread", bf16)
        if self.speeds["bf16, 1 thread"] > _CLEARLY * self.speeds["fp32, 1 thread"]:
            (self.best, self.best_rate), self.other = self.other, (self.best, self.best_rate)

    def choose_compiling(self) -> None:
        """Compile where the study is long enough to win back the seconds that compiling every arm takes.

        What is nearly as fast when eager may be the faster one compiled: a graph joins the casts with what they feed.
        """
        if self.job.settings.device == "cpu" and not has_compiler():
            self.remarks.append("no C++ compiler was found, so runs are eager; long ones would be faster with one")
            return
        eager = self._seconds_of_all()
        if eager <= self._seconds_to_compile(_FEWEST_COMPILE_SECONDS):
            return
        eager_rate, candidates = self.best_rate, [self.best]
        if self.other[1] > _NEARLY * eager_rate:
            candidates.append(self.other[0])
        best_seconds = eager
        for candidate in candidates:
            compiled, start = dataclasses.replace(candidate, compiled=True), time.perf_counter()
            try:
                rate = self._read(f"compiled, {candidate.precision}, 1 thread", compiled)
            except Exception as error:  # whatever a compiler can fail with; eager always works
                reason = str(error).strip().splitlines() or [type(error).__name__]
                runs = f"runs are not in {candidate.precision}" if self.best.compiled else "runs are eager"
                self.remarks.append(f"torch.compile does not work here, so {runs} ({reason[0][:200]})")
                return
            one = max(_FEWEST_COMPILE_SECONDS, time.perf_counter() - start)
            compiling = self._seconds_to_compile(one)
            if (seconds := eager * eager_rate / rate + compiling) < best_seconds:
                self.best, self.best_rate, self.compile_seconds, best_seconds = compiled, rate, compiling, seconds
                self.compiled_from_tokens = round(one / (1 / eager_rate - 1 / rate))

    def _seconds_of_all(self) -> float:
        """Of training, in all workers side by side, at the best rate so far."""
        if self.extent.minutes is not None:
            return self.extent.minutes * 60
        return self.extent.full_runs * self.tokens / self.best_rate / self.workers

    def _seconds_to_compile(self, one: float) -> float:
        """Of the whole study: each arm once, shared among the workers, and loaded by those that did not compile it."""
        share = 1 / self.workers
        return self.extent.num_arms * one * (share + (1 - share) * _LOADING)

    def choose_threads(self) -> None:
        """More threads for a run where that is sooner than more runs side by side.

        Where the number of runs at a time is settled, they are all that could use the cores.
        """
        is_settled = self.asked_workers is not None
        threads = max(1, self.cores // self.workers) if is_settled else self.cores
        rounds = math.ceil(self.extent.num_runs / self.workers)
        side_by_side = rounds * self._seconds(_SIDE_BY_SIDE * self.best_rate)
        no_reading_could_win = self.extent.num_runs * self._seconds(threads * self.best_rate) >= side_by_side
        if threads <= 1 or (no_reading_could_win and not is_settled):
            return
        many = dataclasses.replace(self.best, threads=threads)
        rate = self._read(f"chosen, {threads} threads", many)
        is_sooner = is_settled or self.extent.num_runs * self._seconds(rate) < side_by_side
        if is_sooner and rate > 1.1 * self.best_rate:
            self.best, self.best_rate, self.workers = many, rate, self.asked_workers or 1

    def _seconds(self, rate: float) -> float:
        return self.tokens / rate + START_SECONDS

    def _read(self, name: str, settings: Settings) -> float:
        stepper = _Stepper(dataclasses.replace(self.job, settings=settings))
        self.rates[name] = stepper.rate()
        # Other work on the core, or a stall: the longest rest that a reading had counts least, so the best is taken.
        for _ in range(_READ_AGAIN):
            if stepper.share_of_core >= _UNDISTURBED:
                break
            self.rates[name] = max(self.rates[name], stepper.rate())
        self.is_busy = self.is_busy or stepper.share_of_core < _UNDISTURBED
        self.speeds[name] = self.rates[name] if stepper.speed is None else stepper.speed
        return self.rates[name]


def time_side_by_side(jobs: Sequence[Job]) -> list[float]:
    """Training tokens per second of every job, in the settings that they share; the first is the measure of all.

    They take turns, a slice of time each, and what is compared is the ratio to the first within a round: what else the
    machine does changes from second to second, and would decide whoever is timed one after another.
    """
    steppers = [_Stepper(job) for job in jobs]
    rounds = [[stepper.rate(_SECONDS_PER_TURN) for stepper in steppers] for _ in range(_TURNS)]
    first = statistics.median(row[0] for row in rounds)
    return [first * statistics.median(row[i] / row[0] for row in rounds) for i in range(len(jobs))]


class _Stepper:
    """The training of a job, which only goes through its steps, always on one batch."""

    def __init__(self, job: Job) -> None:
        self.job, self.settings = job, job.settings
        self.share_of_core = 1.0  # that it got in the latest reading, where that can be told
        self.speed: float | None = None  # tokens per second of a core's time, the best reading
        torch.set_num_threads(self.settings.threads)
        self.training = Training(build_objects(job, open_corpus(job.corpus), measured=False))
        batch = self.training.objects.batch(0)
        self.training.objects.batch = lambda step: batch
        for _ in range(2):  # the first compiles, the second fills caches
            self._step()

    def rate(self, seconds: float = _SECONDS_PER_READING) -> float:
        """Training tokens per second, over at least so many seconds and two steps."""
        start, spent, steps = time.perf_counter(), time.process_time(), 0
        while steps < 2 or time.perf_counter() - start < seconds:
            self._step()
            steps += 1
        passed, spent = time.perf_counter() - start, time.process_time() - spent
        tokens = steps * self.job.experiment.tokens_per_step
        if self.settings.device == "cpu" and self.settings.threads == 1 and spent > 0:
            self.share_of_core = spent / passed
            self.speed = max(self.speed or 0.0, tokens / spent)
        return tokens / passed

    def _step(self) -> None:
        with contextlib.suppress(DivergedError):  # one batch at a high rate may diverge, which costs as much
            self.training.train_step()
        self.training.step = 0  # where a schedule ends is nothing that is timed
        if self.settings.device == "cuda":
            torch.cuda.synchronize()
