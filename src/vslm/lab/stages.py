"""What a study goes through: a screening, a tuning, then the runs that are judged, at one budget or several.

This file knows the parts that all of them share: how a run becomes a job, where its folder lies, and what is written
into `study.json`. The stages themselves are in `screening.py` and `tuning.py`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from vslm.core.errors import SpecError
from vslm.core.specs import differences, fingerprint, to_plain
from vslm.lab.verdict import primary_value
from vslm.results.files import write_json
from vslm.results.folder import RunFolder, StudyFolder, budget_name
from vslm.results.primary import PrimaryNumber
from vslm.results.seals import sealed
from vslm.study.experiment import Experiment
from vslm.study.job import Job, Settings, digest_of

Record = dict[str, Any]
Task = tuple[Job, Path]
Train = Callable[[Sequence[Task]], None]  # runs what is not done of some tasks

_SETTINGS = ("device", "precision", "compiled", "threads")


def job_of(
    record: Record,
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
    if split == "select" and not (primary := PrimaryNumber.of(record["primary"])).is_loss:
        chosen_by = primary.measure
    row, settings = record["arms"][arm], {key: record["settings"][key] for key in _SETTINGS}
    if is_only and budget * row["tokens"] < record["settings"].get("compiled_from_tokens", 0):
        settings["compiled"] = False
    return Job(
        arm=label or arm,
        experiment=experiment,
        stages_tokens=tuple(max(1, round(tokens * budget)) for tokens in row["stages_tokens"]),
        init_seed=seed,
        data_seed=seed,
        settings=Settings(**settings),
        corpus=row["corpus"],
        start_sha256=row["start_sha256"],
        split=split,
        objective_sha256=tuple(row["objective_sha256"]) if row.get("objective_sha256") else None,
        chosen_by=chosen_by,
        own_code=digest_of(row.get("own_code")),
    )


def judged_job(record: Record, arm: str, experiment: Experiment, seed: int, budget: float) -> Job:
    """The job of a run that a verdict is read from."""
    label = arm if budget == 1 else f"{arm} {budget_name(budget)}"
    return job_of(record, arm, experiment, seed=seed, budget=budget, label=label)


def judged_tasks(arms: Mapping[str, Experiment], record: Record, out: Path, seeds: Sequence[int]) -> list[Task]:
    """All runs that a look needs: all budgets and arms of a seed before the next seed; of the last seed the dearest
    first, so that no worker waits long for the others in the end.
    """
    folder = StudyFolder(out)
    every = [(arm, seed, budget) for seed in seeds for budget in record["budgets"] for arm in arms]
    last = seeds[-1] if seeds else None

    def flops_of_last(run: tuple[str, int, float]) -> float:
        arm, seed, budget = run
        row = record["arms"][arm]
        return budget * row["tokens"] * row["flops_per_token"] if seed == last else math.inf

    return [
        (judged_job(record, arm, arms[arm], seed, budget), folder.run(arm, seed, budget).path)
        for arm, seed, budget in sorted(every, key=flops_of_last, reverse=True)
    ]


def name_runs(arms: Mapping[str, Experiment], record: Record) -> None:
    """Write into the record which fingerprint every run of its seeds must have to count. No run of an arm that was
    screened out does.
    """
    confirmed = record.get("screening", {}).get("confirmed", list(arms))
    for arm, experiment in arms.items():
        row = record["arms"][arm]
        row["screened_out"] = arm not in confirmed
        by_budget = {
            budget_name(budget): {
                str(seed): judged_job(record, arm, experiment, seed, budget).fingerprint
                for seed in record["seeds"]
                if arm in confirmed
            }
            for budget in record["budgets"]
        }
        row["runs"] = by_budget.pop(budget_name(1.0))
        row["runs_by_budget"] = by_budget


def describe_arms(arms: Mapping[str, Experiment], baseline: str, record: Record) -> None:
    """Write into the record what every arm is; after a tuning it has another rate than was declared."""
    for arm, experiment in arms.items():
        record["arms"][arm] |= {
            "experiment": to_plain(experiment),
            "fingerprint": fingerprint(experiment),
            "differences": [list(row) for row in differences(arms[baseline], experiment)],
        }
    record["fingerprint"] = fingerprint({arm: row["fingerprint"] for arm, row in record["arms"].items()})


def select_value(run: RunFolder, record: Record, arm: str) -> float | None:
    """The primary number of a run on the split `select`; None for one that diverged."""
    part = record["corpora"][record["arms"][arm]["corpus"]]["splits"]["select"]
    primary = PrimaryNumber.of(record["primary"])
    return primary_value(run, primary, part["num_bytes"] / part["num_tokens"], split="select")


def save(record: Record, out: Path) -> None:
    """Write `study.json`."""
    write_json(out / "study.json", sealed(record))


def stage_sizes(study: Any, num_seeds: int) -> list[dict[str, Any]]:
    """What a study runs, stage by stage: how many runs of which part of the budget. A tuning counts as if every grid
    were widened as far as it may be.
    """
    num_arms, sizes = len(study.arms), []
    if study.screen is not None:
        sizes.append({"stage": "screen", "num_runs": num_arms, "budget": study.screen.budget_fraction})
        num_arms = study.screen.num_confirmed()
    if study.tune is not None:
        sizes.append({"stage": "tuning", "num_runs": num_arms * study.tune.most_runs(), "budget": 1.0})
    judged = [{"stage": "judged", "num_runs": num_arms * num_seeds, "budget": budget} for budget in study.budgets]
    return [*sizes, *judged]


def num_rounds(sizes: Sequence[Mapping[str, Any]], workers: int) -> float:
    """How long that takes, in runs of the baseline one after the other, with `workers` at the same time.

    >>> num_rounds([{"num_runs": 5, "budget": 0.25}, {"num_runs": 6, "budget": 1.0}], workers=2)
    3.75
    """
    return sum(math.ceil(size["num_runs"] / workers) * size["budget"] for size in sizes)


def stage_record(study: Any, before: Record | None, out: Path) -> Record:
    """The part of `study.json` about equality and stages: as declared, with what was decided before.

    Raises: SpecError when a study that has begun is to go through other stages.
    """
    declared = {
        "screen": to_plain(study.screen),
        "tune": to_plain(study.tune),
        "budgets": list(study.budgets),
    }
    if before is not None:
        old = {
            "screen": None,
            "tune": None,
            "budgets": [1.0],
            **{key: before[key] for key in declared if key in before},
        }
        changed = [path for path, _, _ in differences(old, declared)]
        if changed:
            found = f"this study was begun with other values of {', '.join(changed)}"
            raise SpecError(str(out), found, "stages are declared before the first run", "choose another --out")
    kept = {key: before[key] for key in ("screening", "tuning", "estimate") if before and key in before}
    confirmed = kept.get("screening", {}).get("confirmed", list(study.arms))
    return {
        **declared,
        **kept,
        "tuned": study.tune is not None and set(confirmed) <= set(kept.get("tuning", {})),
        "equal": study.equal,
        "unequal": list(study.unequal),
    }
