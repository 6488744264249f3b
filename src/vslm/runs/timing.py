"""A short timing before a study: which attention, which precision, how many threads, and how fast every arm is.

Only eager steps are read, for some seconds in all. Whether to compile follows from what this machine was seen to gain
from it (`lab/machine_card.py`): to compile in order to find out would take longer than a short study.
"""

import contextlib
import dataclasses
import math
import os
import shutil
import statistics
import sysconfig
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from vslm.core.machine import memory_limit, peak_memory
from vslm.core.numbers import plural
from vslm.data.corpus import open_corpus
from vslm.runs.objects import build_objects
from vslm.study.job import Job, Settings
from vslm.training.loop import DivergedError, Training

_SECONDS_PER_READING = 0.4
_SECONDS_PER_TURN, _TURNS = 0.25, 9
_TURNS_OF_TWO = 5
_SIDE, _PRODUCTS = 512, 3  # of a matrix, and how often it is multiplied
_CLEARLY = 1.05  # as fast: what is within the noise of readings must not change from day to day
_UNDISTURBED = 0.7  # of a core's time, in a reading of one thread
_READ_AGAIN = 2  # times, at most, where it was disturbed
_MEMORY_FRACTION = 0.9  # of a limit; the rest is for the command itself
_NEARLY = 0.75  # of the speed of the faster precision
_LOADING = 0.25  # of that, where another process has made it before
SIDE_BY_SIDE = 0.9  # what a run keeps of its speed beside others: they share caches and memory
START_SECONDS = 1.0  # of a run, before its first step and after its last one; one core does it, whatever the threads


def has_compiler() -> bool:
    """Whether torch.compile can build code for a CPU here: with a compiler and the headers of this Python."""
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return False
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++", "cl"]
    return any(shutil.which(name) for name in names)


@dataclass(frozen=True)
class Compiling:
    """What compiling an arm is expected to take and to bring.

    The defaults are those of a machine that has compiled nothing yet: 4 x 64 in fp32 with fused attention took 47 s and
    gained 1.33 on two cores with AVX2; 40 to 69 s, and 1.8 in bf16, on two cores with AMX (torch 2.13).

    Args:
        seconds: of the first step of an arm.
        fp32, bf16: speed over that of eager steps, by precision.
    """

    seconds: float = 50.0
    fp32: float = 1.3
    bf16: float = 1.6


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
    job: Job,
    extent: Extent,
    *,
    cores: int,
    workers: int | None = None,
    precision: str = "auto",
    compiling: Compiling = Compiling(),
    has_own_code: bool = False,
    known: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Any]:
    """Settings for a study of such an extent, its tokens per second, and remarks for people.

    Args:
        job: the baseline; its own settings give the device, and `threads` is ignored.
        extent: of the study.
        cores: that may be used.
        workers: runs at the same time, if that is settled; they share the cores.
        precision: "fp32" or "bf16", if that is settled; "auto": the faster one.
        compiling: what is known of it.
        known: readings of eager steps of this shape that were taken here before, by `reading_of`; they stand, so that
            the same model is computed alike in every study.
        has_own_code: whether the model has classes that are not the package's, all of which are known to compile.
    """
    chooser = _Chooser(job, extent, cores, workers, "fp32" if precision == "auto" else precision, known)
    chooser.keep_within_memory()
    chooser.choose_attention()
    if precision == "auto" and may_gain_from_bf16(job.settings.device):
        chooser.choose_precision()
    chooser.choose_compiling(compiling, has_own_code=has_own_code)
    if job.settings.device == "cpu":
        chooser.choose_threads()
    return {
        "settings": dataclasses.asdict(chooser.best),
        "workers": chooser.workers,
        "tokens_per_second": chooser.rate_here,
        "compile_seconds": chooser.compile_seconds,
        "compiled_from_tokens": chooser.compiled_from_tokens,
        "rates": chooser.rates,
        "remarks": chooser.remarks,
        "is_busy": chooser.is_busy,
    }


class _Chooser:
    """The best settings so far, and what was read on the way."""

    def __init__(
        self,
        job: Job,
        extent: Extent,
        cores: int,
        workers: int | None,
        precision: Any,
        known: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.known = known
        self.job, self.extent, self.cores, self.asked_workers = job, extent, cores, workers
        self.compile_seconds = 0.0  # of the whole study
        self.compiled_from_tokens = 0  # of a run that is the only one of its arm
        self.tokens = sum(job.stages_tokens)
        self.rates: dict[str, float] = {}
        self.remarks: list[str] = []
        self.workers = workers or (min(cores, extent.num_runs) if job.settings.device == "cpu" else 1)
        self.share_of_core = 1.0  # that runs will get, as far as can be told
        self.best = dataclasses.replace(job.settings, threads=1, compiled=False, precision=precision)
        self.stepper: _Stepper | None = None  # in the best settings so far
        self.best_rate = self._read(self.best)
        self.other: tuple[Settings, float] = self.best, 0.0  # the slower precision and its rate

    @property
    def is_busy(self) -> bool:
        """Whether other work took much of a core in all readings of some settings."""
        return self.share_of_core < 1

    @property
    def rate_here(self) -> float:
        """Tokens per second of the best settings beside what else the machine does: a reading of several threads is by
        the clock and knows it already.
        """
        return self.best_rate * (self.share_of_core if self.best.threads == 1 else 1.0)

    def keep_within_memory(self) -> None:
        """Fewer runs at the same time where the limit of a container does not hold as many."""
        limit, bytes_each = memory_limit(), peak_memory()
        if limit is None or bytes_each is None or self.asked_workers is not None:
            return
        fitting = max(1, int(_MEMORY_FRACTION * limit / bytes_each))
        if fitting < self.workers:
            self.remarks.append(f"{fitting} at the same time fit into the {limit / 1e9:.1f} GB that may be used here")
            self.workers = fitting

    def choose_attention(self) -> None:
        """torch's fused attention on a CPU where it serves this model and is clearly faster."""
        fused, model = dataclasses.replace(self.best, fused_attention=True), self.job.experiment.model
        if model.kernels(fused.where) == model.kernels(self.best.where):
            return
        stepper, rate = self._compared(fused)
        if rate > _CLEARLY * self.best_rate:
            self.stepper, self.best, self.best_rate = stepper, fused, rate

    def choose_precision(self) -> None:
        """bf16 where it is clearly faster."""
        bf16 = dataclasses.replace(self.best, precision="bf16")
        stepper, rate = self._compared(bf16)
        self.other = bf16, rate
        if rate > _CLEARLY * self.best_rate:
            self.stepper = stepper
            (self.best, self.best_rate), self.other = self.other, (self.best, self.best_rate)

    def choose_compiling(self, expected: Compiling, *, has_own_code: bool) -> None:
        """Compile where the study is long enough to win back the seconds that compiling every arm takes.

        What is nearly as fast when eager may be the faster one compiled: a graph joins the casts with what they feed.
        """
        if self.job.settings.device == "cpu" and not has_compiler():
            missing = "no C++ compiler, or no Python.h for it, was found"
            self.remarks.append(f"{missing}, so runs are eager; long ones would be faster with one")
            return
        eager, eager_rate = self._seconds_of_all(), self.best_rate
        seconds_to_compile = self._seconds_to_compile(expected.seconds)
        candidates = [(self.best, eager_rate)]
        if self.other[1] > _NEARLY * eager_rate:
            candidates.append(self.other)
        settings, rate = max(
            ((one, rate * getattr(expected, one.precision)) for one, rate in candidates), key=lambda found: found[1]
        )
        if eager * eager_rate / rate + seconds_to_compile >= eager:
            return
        compiled = dataclasses.replace(settings, compiled=True)
        try:
            if has_own_code:
                trace(dataclasses.replace(self.job, settings=compiled))
        except Exception as error:  # whatever a compiler can fail with; eager always works
            reason = str(error).strip().splitlines() or [type(error).__name__]
            self.remarks.append(f"torch.compile does not work here, so runs are eager ({reason[0][:200]})")
            return
        self.best, self.best_rate, self.compile_seconds = compiled, rate, seconds_to_compile
        self.compiled_from_tokens = round(expected.seconds / (1 / eager_rate - 1 / rate))

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
        side_by_side = rounds * self._seconds(SIDE_BY_SIDE * self.best_rate)
        no_reading_could_win = self.extent.num_runs * self._seconds(threads * self.best_rate) >= side_by_side
        if threads <= 1 or (no_reading_could_win and not is_settled):
            return
        many = dataclasses.replace(self.best, threads=threads)
        rate = self._read(dataclasses.replace(many, compiled=False))
        rate *= self.best_rate / self.rates[reading_of(self.best)]  # a graph gains as much with more threads
        is_sooner = is_settled or self.extent.num_runs * self._seconds(rate) < side_by_side
        if is_sooner and rate > 1.1 * self.best_rate:
            self.best, self.best_rate, self.workers = many, rate, self.asked_workers or 1

    def _seconds(self, rate: float) -> float:
        return self.tokens / rate + START_SECONDS

    def _compared(self, settings: Settings) -> tuple["_Stepper | None", float]:
        """Who steps in these settings, and its tokens per second: those of the best so far, times the median ratio to
        it in turns, in which other work disturbs both alike.
        """
        name = reading_of(settings)
        if name in self.known:
            self.rates[name] = self.known[name]
            return None, self.known[name]
        first = self.stepper or _Stepper(dataclasses.replace(self.job, settings=self.best))
        stepper, ratios = _Stepper(dataclasses.replace(self.job, settings=settings)), []
        for _ in range(_TURNS_OF_TWO):
            before = first.rate(_SECONDS_PER_TURN)
            ratios.append(stepper.rate(_SECONDS_PER_TURN) / before)
        rate = self.rates[name] = self.best_rate * statistics.median(ratios)
        return stepper, rate

    def _read(self, settings: Settings) -> float:
        name = reading_of(settings)
        if name in self.known:
            self.rates[name] = self.known[name]
            return self.known[name]
        stepper = _Stepper(dataclasses.replace(self.job, settings=settings))
        self.rates[name] = stepper.rate()
        # Other work on the core, or a stall: the longest rest that a reading had counts least, so the best is taken.
        for _ in range(_READ_AGAIN):
            if stepper.share_of_core >= _UNDISTURBED:
                break
            self.rates[name] = max(self.rates[name], stepper.rate())
        if stepper.share_of_core < _UNDISTURBED:
            self.share_of_core = min(self.share_of_core, stepper.share_of_core)
        if settings == self.best:
            self.stepper = stepper
        return self.rates[name]


def reading_of(settings: Settings) -> str:
    """What the reading of eager steps in these settings is called.

    >>> reading_of(Settings(device="cpu", precision="fp32", compiled=True, threads=1, fused_attention=True))
    'fp32, fused attention, 1 thread'
    """
    fused = ", fused attention" if settings.fused_attention else ""
    return f"{settings.precision}{fused}, {plural(settings.threads, 'thread')}"


def products_per_second(precision: str) -> float:
    """FLOPs per second of one thread of a CPU in a product of two square matrices: the best of some."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    matrix, threads, readings = torch.ones(_SIDE, _SIDE, dtype=dtype), torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for _ in range(_PRODUCTS):
            start = time.perf_counter()
            torch.mm(matrix, matrix)
            readings.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return 2 * _SIDE**3 / min(readings)


def may_gain_from_bf16(device: str) -> bool:
    """Whether products in bf16 are faster than in fp32: else no step can be. A GPU's steps are always read."""
    return device != "cpu" or products_per_second("bf16") > products_per_second("fp32")


def trace(job: Job) -> None:
    """A step of the job as torch.compile follows it, forward and backward, computed without a compiler.

    Raises: whatever torch raises where it cannot follow it.
    """
    training = Training(build_objects(job, open_corpus(job.corpus), measured=False, backend="aot_eager"))
    with contextlib.suppress(DivergedError):
        training.train_step()
    torch._dynamo.reset()  # its graphs are of no use to the runs that follow in this process


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
        torch.set_num_threads(self.settings.threads)
        self.training = Training(build_objects(job, open_corpus(job.corpus), measured=False))
        batch = self.training.objects.batch(0)
        self.training.objects.batch = lambda step: batch
        for _ in range(2):  # the first compiles, the second fills caches
            self._step()

    def rate(self, seconds: float = _SECONDS_PER_READING) -> float:
        """Training tokens per second, over at least so many seconds and two steps.

        With one thread of a CPU, per second that a core gave to it: what else the machine does at that moment is
        nothing that a study should choose by, and readings are kept for later ones.
        """
        start, spent, steps = time.perf_counter(), time.process_time(), 0
        while steps < 2 or time.perf_counter() - start < seconds:
            self._step()
            steps += 1
        passed, spent = time.perf_counter() - start, time.process_time() - spent
        tokens = steps * self.job.experiment.tokens_per_step
        if self.settings.device == "cpu" and self.settings.threads == 1 and spent > 0:
            self.share_of_core = min(1.0, spent / passed)
        return tokens / (passed * self.share_of_core)

    def _step(self) -> None:
        with contextlib.suppress(DivergedError):  # one batch at a high rate may diverge, which costs as much
            self.training.train_step()
        self.training.step = 0  # where a schedule ends is nothing that is timed
        if self.settings.device == "cuda":
            torch.cuda.synchronize()
