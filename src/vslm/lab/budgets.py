"""How a study is run and how long: settings and rates from a short timing in a worker, tokens of every arm from them.

Everything here is decided once, before the first run, and kept in `study.json`.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import vslm
from vslm.core.errors import RunError, SpecError
from vslm.core.machine import available_cores, cpu_name, memory_limit
from vslm.core.numbers import plural
from vslm.core.specs import to_plain
from vslm.data.corpus import Corpus
from vslm.lab.machine_card import expected, note_readings, readings, shape_of
from vslm.lab.options import Options, Watcher
from vslm.lab.remembered import remember, remembered, settings_path
from vslm.lab.stages import StageSize, num_rounds, settings_of
from vslm.results.places import read_shown, remove_folder
from vslm.results.records import SettingsRecord
from vslm.runs.pool import Order, WorkerPool, run_orders
from vslm.runs.timing import START_SECONDS, Extent, has_compiler
from vslm.study.forks import MOST_SEEDS, arms_read, at_seed
from vslm.study.job import Job, Settings, objective_checksums, start_checksum
from vslm.study.learning_rates import CountedRates
from vslm.study.own_classes import OwnCode
from vslm.study.study import Study

_TIMING = ".timing"  # a folder that is there while something is timed
_KEPT = ("workers", "rates", "compile_seconds", "compiled_from_tokens")  # of a timing, beside the settings of a run
_BESIDE_TRAINING = 1.1  # measures, checkpoints, and the caches and memory that runs side by side share
_EVALUATION_SPEED = 2.3  # tokens of an evaluation in the time of one in training; measured, width 64, eager
_LEAST_TRAINING = 0.4  # of the minutes that were asked for, however long the rest takes
_GUESSED_TOKENS_PER_SECOND = 20_000  # before the timing, to judge whether a run is long enough to compile
_GUESSED_MINUTES = 5.0  # of a run with a budget in FLOPs, for the same


@dataclasses.dataclass(frozen=True)
class Timed:
    """Tokens per second of an arm and of the baseline, side by side in one sitting."""

    tokens_per_second: float
    baseline_tokens_per_second: float


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A study with everything that was prepared to run it, and how it is timed.

    Args:
        study: with the learning rates that were chosen by an earlier command.
        corpora: of every arm and trunk, by name.
        out: its folder.
        study_file: where it is declared; None: in Python.
        watcher: shows how it goes.
        code: of its own classes.
        pool: of workers, which stay for its runs; None: new ones.
    """

    study: Study
    corpora: Mapping[str, Corpus]
    out: Path
    study_file: Path | None
    watcher: Watcher
    code: OwnCode = OwnCode()
    pool: WorkerPool | None = None

    def choose_settings(self, options: Options, sizes: Sequence[StageSize]) -> tuple[SettingsRecord, float]:
        """Settings for the whole study of stages of these `sizes`, and tokens per second of a baseline run."""
        cores = available_cores()
        extent = Extent(
            num_runs=max(size.num_runs for size in sizes),
            num_arms=self.study.screen.num_confirmed() if self.study.screen else len(self.study.arms),
            full_runs=sum(size.num_runs * size.budget for size in sizes),
            minutes=options.minutes,
        )
        settings = Settings(device=device(options.device), precision="fp32", compiled=False, threads=1)
        job = self._job(self.study.baseline, settings, self._guessed_tokens(options, num_rounds(sizes, cores)))
        shape = self.shape(self.study.baseline, settings.threads)
        order = Order(
            job,
            self.out / _TIMING,
            None,
            task="settings",
            extent=extent,
            cores=cores,
            workers=options.workers,
            precision=options.precision,
            compiling=expected(shape, settings.device),
            known=readings(shape, settings.device),
        )
        about = self._about(order)
        timing = remembered(about)
        if timing is None:
            self.watcher.say(
                "timing the baseline for some seconds, once for this machine and model: attention, precision, threads"
            )
            order.study_file = self._copy()
            timing = remember(about, self._ask(order)["timing"])
            note_readings(shape, timing["rates"], settings.device)
            why = "the fastest of a short timing, kept for the next time"
            if timing.get("is_busy"):
                why = f"timed while other work went on; to time again, delete {settings_path(about)}"
        else:
            why = f"as timed on {timing['measured']}; to time again, delete {settings_path(about)}"
        for remark in timing["remarks"]:
            self.watcher.say(remark)
        chosen = SettingsRecord.from_plain({**timing["settings"], **{key: timing[key] for key in _KEPT}})
        self.watcher.say(f"{timing['tokens_per_second']:,.0f} tokens/s a run; {_in_words(chosen)} ({why})")
        if chosen.compiled:
            seconds = order.compiling.seconds
            self.watcher.say(f"every arm is compiled in its first step, for about {seconds:.0f} s where it is new here")
        return chosen, timing["tokens_per_second"]

    def shape(self, arm: str, threads: int) -> str:
        """Names what is computed in a step of an arm."""
        return shape_of(self.study.arms[arm], self.corpora[arm].vocabulary, threads)

    def time_arms(self, arms: list[str], settings: SettingsRecord) -> dict[str, Timed]:
        """Time arms side by side with the baseline, in the settings of the study."""
        self.watcher.say(f"timing {', '.join(arms)} beside {self.study.baseline}")
        chosen = settings_of(settings)
        baseline, *beside = (self._job(arm, chosen, 1) for arm in (self.study.baseline, *arms))
        order = Order(baseline, self.out / _TIMING, self._copy(), task="rates", beside=tuple(beside))
        first, *rest = self._ask(order)["rates"]
        timed = {arm: Timed(rate, first) for arm, rate in zip(arms, rest, strict=True)}
        words = ", ".join(f"{arm} {row.tokens_per_second / first:.2f}" for arm, row in timed.items())
        self.watcher.say(f"speed as a share of {self.study.baseline}'s: {words}")
        return timed

    def _copy(self) -> Path | None:
        """The study file for what is timed. That of the study is not written before its record stands."""
        if self.code.text is None:
            return None
        self.code.write(copy := self.out / _TIMING / "study.py")
        return copy

    def _about(self, order: Order) -> dict[str, Any]:
        """What a choice of settings follows from: the machine, what is computed in a step, and how much is run."""
        experiment = order.job.experiment
        return {
            "cpu": cpu_name(),
            "cores": order.cores,
            "memory_limit": memory_limit(),
            "torch": torch.__version__,
            "vslm": vslm.__version__,
            "has_compiler": has_compiler(),
            "device": order.job.settings.device,
            "gpu": torch.cuda.get_device_name() if order.job.settings.device == "cuda" else None,
            "model": to_plain(experiment.model),
            "optimizer": to_plain(experiment.optimizer),
            "batch_tokens": experiment.batch_tokens,
            "accumulation": experiment.accumulation,
            "vocabulary": self.corpora[order.job.arm].vocabulary,
            "tokens": sum(order.job.stages_tokens),
            "extent": dataclasses.asdict(order.extent),
            "workers": order.workers,
            "precision": order.precision,
        }

    def _job(self, arm: str, settings: Settings, tokens: int) -> Job:
        experiment = self.study.arms[arm]
        own, models = at_seed(experiment, MOST_SEEDS), self.study.experiments
        return Job(
            arm=arm,
            experiment=own,
            stages_tokens=(tokens,),
            init_seed=0,
            data_seed=0,
            settings=settings,
            corpus=self.corpora[arm].fingerprint,
            start_sha256=start_checksum(own),
            objective_sha256=objective_checksums(own),
            objective_corpora=tuple(one.fingerprint for one in self.corpora[arm].further.values()) or None,
            stand_ins={name: models[name].model for name in arms_read(experiment)} or None,
        )

    def _guessed_tokens(self, options: Options, rounds: float) -> int:
        budget = self.study.arms[self.study.baseline].budget
        if tokens := options.tokens or (None if options.minutes else budget.tokens):
            return tokens
        minutes = options.minutes / rounds if options.minutes else budget.minutes or _GUESSED_MINUTES
        return max(1, int(minutes * 60 * _GUESSED_TOKENS_PER_SECOND))

    def _ask(self, order: Order) -> dict[str, Any]:
        """What the worker answers.

        Raises: RunError if it cannot train these arms.
        """
        answer: dict[str, Any] = {}
        try:
            run_orders([order], workers=1, on_message=lambda _, message: answer.update(message), pool=self.pool)
            if "failed" in answer:
                arms = ", ".join(job.arm for job in (order.job, *order.beside))
                log = read_shown(order.folder / "worker.log", end=True).strip()
                said = f"{answer['failed']}\n{log[-2000:]}".strip()
                raise RunError(f"arms.{arms}", f"cannot be trained: {said}")
        finally:
            remove_folder(order.folder)
        return answer


def _in_words(chosen: SettingsRecord) -> str:
    words = [str(chosen.precision), "compiled" if chosen.compiled else "eager"]
    words += ["fused attention"] * bool(chosen.fused_attention)
    return ", ".join([*words, plural(chosen.threads, "thread"), f"{plural(chosen.workers, 'run')} at a time"])


def baseline_tokens(
    study: Study, flops_per_token: float, options: Options, *, rate: float, rounds: float, fixed_seconds: float = 0.0
) -> int:
    """Tokens of one run of the baseline.

    Args:
        study: its baseline's budget counts where the options give none.
        flops_per_token: of the baseline.
        options: `tokens` of a run, or `minutes` of the whole study.
        rate: tokens per second of one run of the baseline.
        rounds: how long the whole study takes, in runs of the baseline one after the other.
        fixed_seconds: of the whole study, whatever the tokens.
    """
    budget = study.arms[study.baseline].budget
    if options.tokens is not None:
        return options.tokens
    if options.minutes is not None:
        seconds = max(options.minutes * 60 - fixed_seconds, _LEAST_TRAINING * options.minutes * 60)
        return max(1, int(seconds / _BESIDE_TRAINING / rounds * rate))
    if budget.tokens is not None:
        return budget.tokens
    if budget.minutes is not None:
        return max(1, int(budget.minutes * 60 * rate))
    assert budget.flops is not None  # a budget has exactly one of three
    return max(1, int(budget.flops / flops_per_token))


def seconds_whatever_the_tokens(
    study: Study, sizes: Sequence[StageSize], *, workers: int, rate: float, compile_seconds: float
) -> float:
    """How long a study's runs start and are evaluated, `workers` at the same time: what longer runs do not prolong.

    Args:
        study: whose baseline says how much is evaluated.
        sizes: its stages, see `stage_sizes`.
        workers: runs at the same time.
        rate: training tokens per second of one run of the baseline.
        compile_seconds: of all arms together.
    """
    measure, seconds = study.arms[study.baseline].loss_by_position, compile_seconds
    at_once = min(workers, available_cores())  # more than that make none of them faster
    for size in sizes:
        is_judged = size.stage == "judged" or (size.stage == "tuning" and isinstance(study.tune, CountedRates))
        evaluated = measure.tokens_of_a_run(is_made_to_choose=not is_judged)
        of_a_run = START_SECONDS + evaluated / (_EVALUATION_SPEED * rate)
        seconds += math.ceil(size.num_runs / at_once) * of_a_run
    return seconds


def minutes_of(rounds: float, tokens: int, rate: float, fixed_seconds: float) -> float:
    """Minutes of a study of so many runs one after the other, with what is spent beside training."""
    return minutes_of_rounds(rounds, tokens / rate / 60, fixed_seconds)


def minutes_of_rounds(rounds: float, minutes: float, fixed_seconds: float) -> float:
    """Minutes of so many runs one after the other that train for `minutes` each, with what is spent beside training."""
    return rounds * minutes * _BESIDE_TRAINING + fixed_seconds / 60


def relative_cost(study: Study, flops_per_token: Mapping[str, float]) -> float:
    """How long a run of an average arm takes, in runs of the baseline, if speed goes with FLOPs.

    An arm with fewer counts as the baseline: a part that is left out saves less time than FLOPs.
    """
    if study.match != "tokens":
        return 1.0
    base = flops_per_token[study.baseline]
    return sum(max(1.0, flops_per_token[arm] / base) for arm in study.arms) / len(study.arms)


def slowed(rounds: float, workers: int, threads: int) -> float:
    """More threads at once than there are cores make every run slower by as much."""
    return rounds * max(1.0, workers * threads / available_cores())


def tokens_of_arm(
    study: Study, arm: str, base_tokens: int, flops_per_token: Mapping[str, float], timed: Timed | None
) -> int:
    """Tokens of an arm from the baseline's, by what is matched."""
    if study.match == "flops":
        return max(1, int(base_tokens * flops_per_token[study.baseline] / flops_per_token[arm]))
    if study.match == "time" and timed is not None:
        return max(1, int(base_tokens * timed.tokens_per_second / timed.baseline_tokens_per_second))
    return base_tokens


def device(asked: str) -> Any:
    """The device that "auto" means here, or the one that is asked for.

    Raises: SpecError if torch does not see it.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        return "cuda" if there["cuda"] else "cpu"
    if not there.get(asked, False):
        usable = " or ".join(name for name, is_there in there.items() if is_there)
        raise SpecError("--device", f"torch sees no {asked} device here", f"auto or {usable} is needed")
    return asked
