"""What a study goes through: a screening, a tuning, then the runs that are judged, at one budget or several.

This file knows the parts that all of them share: how a run becomes a job, where its folder lies, and what is written
into `study.json`. The stages themselves are in `screening.py` and `tuning.py`.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vslm.core.errors import SpecError
from vslm.core.specs import differences, fingerprint, to_plain
from vslm.lab.verdict import primary_value
from vslm.results.files import write_json
from vslm.results.folder import RunFolder, StudyFolder, budget_name
from vslm.results.records import ArmRecord, RacingRecord, ScreeningRecord, SearchRecord, SettingsRecord, StudyRecord
from vslm.results.seals import sealed
from vslm.study.experiment import Experiment
from vslm.study.forks import arms_read, at_seed, in_order
from vslm.study.job import Job, Parent, Settings, digest_of

Task = tuple[Job, Path]
Train = Callable[[Sequence[Task]], None]  # runs what is not done of some tasks


@dataclass(frozen=True)
class StageSize:
    """How much a stage of a study runs.

    Args:
        stage: "screen", "tuning" or "judged".
        num_runs: at the most.
        budget: of each, as a multiple of the arm's.
    """

    stage: Literal["screen", "tuning", "judged"]
    num_runs: int
    budget: float

    def plain(self) -> dict[str, float | str]:
        """As recorded."""
        return dataclasses.asdict(self)


def job_of(
    record: StudyRecord,
    arm: str,
    experiment: Experiment,
    *,
    seed: int,
    budget: float = 1.0,
    split: Literal["val", "select"] = "val",
    label: str | None = None,
    is_only: bool = False,
) -> Job:
    """The job of one run.

    Args:
        record: `study.json`, with the settings, and with tokens, corpus and start of the arm.
        arm: whose run it is.
        experiment: what to train; the arm's own, or a change of it.
        seed: of the initialization and of the data.
        budget: as a multiple of the arm's tokens.
        split: where it is evaluated.
        label: what messages call it; None: the arm.
        is_only: of its arm, so that it is compiled only where that is sooner for it alone.
    """
    chosen_by = None
    if split == "select" and not record.primary.is_loss:
        chosen_by = record.primary.measure
    row, settings = record.row(arm), settings_of(record.settings)
    experiment, start, taught = _read_by_seed(experiment, row, seed)
    if is_only and budget * row.tokens < (record.settings.compiled_from_tokens or 0):
        settings = dataclasses.replace(settings, compiled=False)
    return Job(
        arm=label or arm,
        experiment=experiment,
        stages_tokens=tuple(max(1, round(tokens * budget)) for tokens in row.stages_tokens),
        init_seed=seed,
        data_seed=seed,
        settings=settings,
        corpus=row.corpus,
        start_sha256=start,
        split=split,
        objective_sha256=taught,
        objective_corpora=tuple(row.objective_corpora) or None,
        chosen_by=chosen_by,
        own_code=digest_of(row.own_code),
        parents=tuple(_parent(record, name, seed) for name in arms_read(experiment)) or None,
    )


def _parent(record: StudyRecord, name: str, seed: int) -> Parent:
    """The run of a seed of another arm or trunk, which is named before what reads it."""
    return Parent(arm=name, seed=seed, fingerprint=record.row(name).runs[str(seed)])


def _read_by_seed(
    experiment: Experiment, row: ArmRecord, seed: int
) -> tuple[Experiment, str | None, tuple[str, ...] | None]:
    """The experiment with the runs of a seed, and the SHA-256 of the weights to start from and of what its objective
    reads.
    """
    if not row.seeds_sha256:
        return experiment, row.start_sha256, tuple(row.objective_sha256) or None
    own, of_runs = at_seed(experiment, seed), row.seeds_sha256
    start = of_runs[own.start_from] if isinstance(own.start_from, str) else None
    runs = () if own.objective is None else own.objective.runs()
    taught = tuple(of_runs[run] for run in runs if isinstance(run, str)) + tuple(row.objective_sha256)
    return own, start, taught or None


def shown_name(job: Job, folder: Path) -> str:
    """What messages call a run: its arm; with the learning rate, where it is one of several that may come to be judged.

    >>> from types import SimpleNamespace
    >>> job = SimpleNamespace(arm="full")
    >>> shown_name(job, Path("tuning/full/rate-0.004/seed0")), shown_name(job, Path("full/seed0"))
    ('full rate 0.004', 'full')
    """
    rate = folder.parent
    is_search = rate.parent.name == job.arm and rate.name.startswith("rate-") and rate.parent.parent.name == "tuning"
    return f"{job.arm} {rate.name.replace('-', ' ', 1)}" if is_search else job.arm


def judged_job(record: StudyRecord, arm: str, experiment: Experiment, seed: int, budget: float) -> Job:
    """The job of a run that a verdict is read from."""
    label = arm if budget == 1 else f"{arm} {budget_name(budget)}"
    return job_of(record, arm, experiment, seed=seed, budget=budget, label=label)


def judged_tasks(arms: Mapping[str, Experiment], record: StudyRecord, out: Path, seeds: Sequence[int]) -> list[Task]:
    """All runs that a look needs: all budgets and arms of a seed before the next seed; of the last seed the dearest
    first, so that no worker waits long for the others in the end.
    """
    folder = StudyFolder(out)
    every = [(arm, seed, budget) for seed in seeds for budget in record.budgets for arm in arms]
    last = seeds[-1] if seeds else None

    def flops_of_last(run: tuple[str, int, float]) -> float:
        arm, seed, budget = run
        row = record.arms[arm]
        return budget * row.tokens * row.flops_per_token if seed == last else math.inf

    return [
        (judged_job(record, arm, arms[arm], seed, budget), folder.run(arm, seed, budget).path)
        for arm, seed, budget in sorted(every, key=flops_of_last, reverse=True)
    ]


def name_runs(arms: Mapping[str, Experiment], record: StudyRecord) -> None:
    """Write into the record which fingerprint every run of its seeds must have to count. No run of an arm that was
    screened out does.
    """
    confirmed = list(arms) if record.screening is None else record.screening.confirmed
    for arm in in_order(arms):  # a run that reads another is named by it
        experiment, row = arms[arm], record.arms[arm]
        row.screened_out = arm not in confirmed
        by_budget = {
            budget_name(budget): {
                str(seed): judged_job(record, arm, experiment, seed, budget).fingerprint
                for seed in record.seeds_of(arm)
                if arm in confirmed
            }
            for budget in record.budgets
        }
        row.runs = by_budget.pop(budget_name(1.0))
        row.runs_by_budget = by_budget


def describe_arms(arms: Mapping[str, Experiment], baseline: str, record: StudyRecord) -> None:
    """Write into the record what every arm is; after a tuning it has another rate than was declared."""
    for arm, experiment in arms.items():
        row = record.arms[arm]
        row.experiment, row.fingerprint = to_plain(experiment), fingerprint(experiment)
        row.differences = [list(one) for one in differences(arms[baseline], experiment)]
    record.fingerprint = fingerprint_of_arms(record.arms, record.trunks)


def fingerprint_of_arms(arms: Mapping[str, ArmRecord], trunks: Mapping[str, ArmRecord]) -> str:
    """Names all that is trained."""
    return fingerprint({name: row.fingerprint for name, row in {**arms, **trunks}.items()})


def select_value(run: RunFolder, record: StudyRecord, arm: str) -> float | None:
    """The primary number of a run on the split `select`; None for one that diverged."""
    part = record.corpus_of(arm).splits["select"]
    assert part.num_bytes is not None  # a corpus has counted them
    assert part.num_tokens is not None
    return primary_value(run, record.primary, part.num_bytes / part.num_tokens, split="select")


def save(record: StudyRecord, out: Path) -> None:
    """Write `study.json`."""
    write_json(out / "study.json", sealed(record.plain()))


def settings_of(record: SettingsRecord) -> Settings:
    """What a run is computed with, from what was chosen for its study."""
    plain = record.plain()
    chosen = {one.name: plain.get(one.name) for one in dataclasses.fields(Settings)}
    # A study from before a setting was recorded ran without it.
    return Settings(**{name: value for name, value in chosen.items() if value is not None})


def stage_sizes(study: Any, num_seeds: int) -> list[StageSize]:
    """What a study runs, stage by stage: how many runs of which part of the budget. A tuning counts as if every grid
    were widened as far as it may be.
    """
    num_arms, sizes = len(study.arms), []
    if study.screen is not None:
        sizes.append(StageSize("screen", num_arms, study.screen.budget_fraction))
        num_arms = study.screen.num_confirmed()
    if study.tune is not None:
        sizes.append(StageSize("tuning", num_arms * study.tune.most_runs(), 1.0))
    return [*sizes, *(StageSize("judged", num_arms * num_seeds, budget) for budget in study.budgets)]


def num_rounds(sizes: Sequence[StageSize], workers: int) -> float:
    """How long that takes, in runs of the baseline one after the other, with `workers` at the same time.

    >>> num_rounds([StageSize("screen", 5, 0.25), StageSize("judged", 6, 1.0)], workers=2)
    3.75
    """
    return sum(math.ceil(size.num_runs / workers) * size.budget for size in sizes)


@dataclass(frozen=True)
class StagesOfRecord:
    """The part of `study.json` about equality and stages."""

    screen: dict[str, Any] | None
    tune: dict[str, Any] | None
    race: dict[str, Any] | None
    budgets: list[float]
    screening: ScreeningRecord | None
    tuning: dict[str, SearchRecord]
    racing: RacingRecord | None
    estimate: dict[str, Any]
    tuned: bool
    equal: str | None
    unequal: list[str]


def stage_record(study: Any, before: StudyRecord | None, out: Path) -> StagesOfRecord:
    """What a study declares of its stages, with what was decided before.

    Raises: SpecError when a study that has begun is to go through other stages.
    """
    declared = {
        "screen": to_plain(study.screen),
        "tune": to_plain(study.tune),
        "race": to_plain(study.race),
        "budgets": list(study.budgets),
    }
    if before is not None:
        old = {"screen": before.screen, "tune": before.tune, "race": before.race, "budgets": before.budgets or [1.0]}
        changed = [path for path, _, _ in differences(old, declared)]
        if changed:
            found = f"this study was begun with other values of {', '.join(changed)}"
            raise SpecError(str(out), found, "stages are declared before the first run", "choose another --out")
    kept = before or StudyRecord()
    new = [] if kept.racing is None else [arm for arm in study.arms if arm not in kept.arms]
    if new:
        found = f"arm {new[0]!r} was added after the race had begun"
        raise SpecError(str(out), found, "all arms of a race begin together", "choose another place with --out")
    confirmed = list(study.arms) if kept.screening is None else kept.screening.confirmed
    return StagesOfRecord(
        **declared,
        screening=kept.screening,
        tuning=kept.tuning,
        racing=kept.racing,
        estimate=kept.estimate,
        tuned=study.tune is not None and set(confirmed) <= set(kept.tuning),
        equal=study.equal,
        unequal=list(study.unequal),
    )
