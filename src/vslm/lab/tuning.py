"""A learning rate for every arm, found with the same effort for each: `study/learning_rates.py` carried out.

An idea that changes the scale of attention or of the stream changes the best rate too, so arms at one rate are not a
fair comparison. Every arm gets the same grid around its own rate, at full budget, judged on the split `select` with
seeds that no study may name. One run a rate shows where the best lies; more seeds there and beside it, and the vertex
of a parabola through the three, say which rate the arm is judged at.

Why not the best of the grid: with one run a rate it is often the neighbor of the best by chance, so two arms that are
the same are judged at rates that are an octave apart, and the verdict finds the difference that the rates make. By
simulation (`LOG.md`, `tests/stats/test_tuning.py`) 4% to 23% of studies of arms without an effect said something false.

A search whose runs count (`CountedRates`) has the first seeds of the study, and is evaluated as judged runs are, since
those at the chosen rate are judged: then they are moved to where the judged runs lie. Why its bias is small enough:
`docs/verdicts.md`.

    runs/<study>/tuning/<arm>/rate-0.004/seed20000/
    study.json: "tuning"                                each arm's curve, and the rate that was chosen; decided once
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vslm.core.errors import RunError, SpecError
from vslm.lab.stages import Task, Train, job_of, judged_job, select_value
from vslm.lab.verdict import primary_value
from vslm.results.folder import RunFolder, StudyFolder
from vslm.results.places import move_folder, remove_folder
from vslm.results.primary import VAL_LOSS, PrimaryNumber
from vslm.results.records import SearchRecord, StudyRecord, TriedRate
from vslm.study.experiment import Experiment
from vslm.study.job import Job
from vslm.study.learning_rates import (
    MOST_MOVES,
    TUNING_SEED,
    CountedRates,
    LearningRates,
    rate_of,
    short_rate,
    with_rate,
)


@dataclass
class Curve:
    """What is known of one arm: its primary number on `select` per rate and seed; None for a run that diverged."""

    grid: LearningRates
    center: float
    primary: PrimaryNumber = VAL_LOSS
    is_counted: bool = False  # judged at the best of the grid, where its runs are
    values: dict[float, list[float | None]] = dataclasses.field(default_factory=dict)
    num_moves: int = 0

    def wanted(self) -> dict[float, range]:
        """Which seeds are still to be run at which rates: the grid, one beyond an edge, more around the best, none."""
        first = range(self.grid.num_seeds)
        if not self.values:
            return dict.fromkeys(self.grid.grid(self.center), first)
        if self.edge and self.num_widenings < self.grid.max_widenings and not self._is_refined():
            factor = self.grid.factor
            return {short_rate(self.rates[0] / factor if self.edge == "low" else self.rates[-1] * factor): first}
        if self.best is None or self.num_moves > MOST_MOVES:
            return {}
        return {
            rate: range(len(self.values[rate]), self._most_seeds)
            for rate in self._around(self.best)
            if self.mean(rate) is not None and len(self.values[rate]) < self._most_seeds
        }

    def take(self, values: Mapping[float, list[float | None]]) -> None:
        """Note what the wanted runs gave, by rate."""
        self.num_moves += bool(self.values) and set(values) <= set(self.values)
        for rate, found in values.items():
            self.values.setdefault(rate, []).extend(found)

    @property
    def rates(self) -> list[float]:
        """Rising."""
        return sorted(self.values)

    @property
    def num_widenings(self) -> int:
        """Rates beyond the first grid."""
        return max(0, len(self.values) - self.grid.values)

    def mean(self, rate: float) -> float | None:
        """Over seeds; None if any of them diverged."""
        found = [value for value in self.values[rate] if value is not None]
        return sum(found) / len(found) if len(found) == len(self.values[rate]) else None

    @property
    def best(self) -> float | None:
        """The rate with the best mean, the smaller of equals, among those with the most seeds; None if none ended."""
        most = max((len(found) for found in self.values.values()), default=0)
        for rates in ([rate for rate in self.rates if len(self.values[rate]) == most], self.rates):
            means = [(self.primary.turned(mean), rate) for rate in rates if (mean := self.mean(rate)) is not None]
            if means:
                return min(means)[1]
        return None

    def choice(self) -> tuple[float, float] | None:
        """The rate to be judged at and the number expected there, see `LearningRates`; None if no rate ended well."""
        best = self.best
        if best is None or (there := self.mean(best)) is None:
            return None
        if self.is_counted:
            return best, there
        place = min(max(self.rates.index(best), 1), len(self.rates) - 2)
        means = [self.mean(rate) for rate in self.rates[place - 1 : place + 2]]
        if None in means:
            return best, there
        low, middle, high = (self.primary.turned(mean) for mean in means)
        if (curvature := low - 2 * middle + high) <= 0:
            return best, there
        x = min(max((low - high) / (2 * curvature), -1.0), 1.0)
        rate = short_rate(self.rates[place] * self.grid.factor**x)
        return rate, self.primary.turned(middle + (high - low) / 2 * x + curvature / 2 * x**2)

    @property
    def edge(self) -> str | None:
        """The side on which the best is the last; "low" where every rate diverged; None inside."""
        if self.best is None or self.best == self.rates[0]:
            return "low"
        return "high" if self.best == self.rates[-1] else None

    def record(self, seeds: Sequence[int] | None = None) -> SearchRecord:
        """As recorded; `seeds`: of runs that count."""
        chosen, expected = self.choice() or (None, None)
        assert chosen is not None  # who records a search has seen that a rate ended well
        return SearchRecord(
            split="val" if seeds else "select",
            seeds=list(seeds or (TUNING_SEED + i for i in range(max(len(found) for found in self.values.values())))),
            center=self.center,
            chosen=chosen,
            expected=expected,
            best=self.best,
            edge=self.edge,
            num_widenings=self.num_widenings,
            rates=[TriedRate(rate=r, value=self.mean(r), values=self.values[r]) for r in self.rates],
        )

    @property
    def _most_seeds(self) -> int:
        return self.grid.num_seeds + self.grid.more_seeds

    def _is_refined(self) -> bool:
        return any(len(found) > self.grid.num_seeds for found in self.values.values())

    def _around(self, rate: float) -> list[float]:
        place = self.rates.index(rate)
        return self.rates[max(0, place - 1) : place + 2]


def tune_arms(
    tune: LearningRates | CountedRates, arms: Mapping[str, Experiment], record: StudyRecord, out: Path, train: Train
) -> dict[str, SearchRecord]:
    """The curve of every arm as recorded, by running what is not done. A killed tuning goes on where it was.

    Every decision follows from runs that are done, so going through them again leads to the same place.

    Raises: RunError when a run has not ended, or when no rate of an arm ended well.
    """
    primary, counted = record.primary, _counted_seeds(tune, record)
    grid = tune.search if isinstance(tune, CountedRates) else tune
    curves = {
        arm: Curve(grid, rate_of(experiment), primary, is_counted=bool(counted)) for arm, experiment in arms.items()
    }
    while wanted := {arm: rates for arm, curve in curves.items() if (rates := curve.wanted())}:
        jobs = {
            (arm, rate, i): _job(record, arm, arms[arm], rate, i, counted)
            for arm, rates in wanted.items()
            for rate, seeds in rates.items()
            for i in seeds
        }
        tasks: list[Task] = [(job, _folder(out, arm, rate, job.data_seed)) for (arm, rate, _), job in jobs.items()]
        train(tasks)
        for arm, rates in wanted.items():
            curves[arm].take(
                {
                    rate: [
                        _value(record, arm, job := jobs[arm, rate, i], _folder(out, arm, rate, job.data_seed))
                        for i in seeds
                    ]
                    for rate, seeds in rates.items()
                }
            )
    for arm, curve in curves.items():
        if curve.best is None:
            found = f"arm {arm!r} diverged at every learning rate, {curve.rates[0]:g} to {curve.rates[-1]:g}"
            do = "give its optimizer a smaller learning_rate, which the grid is laid around"
            raise RunError(str(out / "tuning" / arm), found, "", do)
    return {arm: curve.record(counted) for arm, curve in curves.items()}


def count_runs(record: StudyRecord, out: Path) -> None:
    """Move the runs at the chosen rates, of searches whose runs count, to where judged runs lie; what only the others
    need to go on is removed. To be done after the choice is written down, and again whenever a study goes on.
    """
    for arm, row in record.tuning.items():
        if row.split != "val":
            continue
        for tried in row.rates:
            for seed in row.seeds:
                source = _folder(out, arm, tried.rate, seed)
                target = StudyFolder(out).run(arm, seed).path
                if tried.rate == row.chosen and source.is_dir() and not target.exists():
                    move_folder(source, target)
                else:
                    remove_folder(source / "checkpoints")


def with_chosen_rates(arms: Mapping[str, Experiment], tuning: Mapping[str, SearchRecord]) -> dict[str, Experiment]:
    """The arms with the rates that an earlier tuning chose for them.

    Raises: SpecError where an arm's own rate is no longer the one that its grid was laid around.
    """
    changed = dict(arms)
    for arm, row in tuning.items():
        if arm not in arms:
            continue
        if rate_of(arms[arm]) != row.center:
            found = f"{rate_of(arms[arm]):g}, and it was tuned around {row.center:g}"
            do = "choose another place with --out"
            raise SpecError(f"arms.{arm}.optimizer.learning_rate", found, "an arm that was run does not change", do)
        changed[arm] = with_rate(arms[arm], row.chosen)
    return changed


def tuned_before(study: Any, out: Path) -> Mapping[str, Experiment]:
    """The arms of a study, with the rates that a tuning in its folder has already chosen."""
    if study.tune is None or not (out / "study.json").exists():
        return study.arms
    return with_chosen_rates(study.arms, StudyFolder(out).study_to("run").tuning)


def _counted_seeds(tune: LearningRates | CountedRates, record: StudyRecord) -> list[int]:
    """The seeds of a search whose runs count; none of one whose runs are apart."""
    return record.seeds[: tune.num_seeds] if isinstance(tune, CountedRates) else []


def _job(record: StudyRecord, arm: str, experiment: Experiment, rate: float, i: int, counted: Sequence[int]) -> Job:
    if counted:
        return judged_job(record, arm, with_rate(experiment, rate), counted[i], 1.0)
    label = f"{arm} rate {rate:g}"
    return job_of(record, arm, with_rate(experiment, rate), seed=TUNING_SEED + i, split="select", label=label)


def _folder(out: Path, arm: str, rate: float, seed: int) -> Path:
    return out / "tuning" / arm / f"rate-{rate:g}" / f"seed{seed}"


def _value(record: StudyRecord, arm: str, job: Job, folder: Path) -> float | None:
    run = RunFolder(folder, arm, job.data_seed)
    if run.ended_as(job.fingerprint) is None:
        found, do = "did not finish", "its worker.log says why; the same command goes on"
        raise RunError(str(folder), found, "no learning rate is chosen before every one was seen", do)
    if job.split == "val":
        return primary_value(run, record.primary, record.arms[arm].bytes_per_token)
    return select_value(run, record, arm)
