"""Many arms on few cores: every arm runs once and briefly, and the most interesting ones go on to be judged.

The choice is made on the split `select`, with a seed that no study may name, so nothing that a verdict is read from has
been looked at: a verdict over the arms that are kept says false things no more often than one over arms that were
declared alone (`tests/stats/test_screening.py` measures it).

    runs/<study>/screen/<arm>/seed10000/      one run of every arm
    study.json: "screening"                   what came out, and what is confirmed; decided once
"""

from collections.abc import Mapping
from pathlib import Path

from vslm.core.errors import RunError, SpecError
from vslm.lab.stages import Train, job_of, select_value
from vslm.results.folder import RunFolder
from vslm.results.primary import VAL_LOSS, PrimaryNumber
from vslm.results.records import ScreenedArm, ScreeningRecord, StudyRecord
from vslm.study.experiment import Experiment
from vslm.study.screening import SCREEN_SEED, Screen


def kept(
    values: Mapping[str, float | None], *, baseline: str, screen: Screen, primary: PrimaryNumber = VAL_LOSS
) -> tuple[str, ...]:
    """The arms that are confirmed, in the order of declaration.

    Args:
        values: the primary number of every arm on `select`; None for a run that diverged, which is never kept.
        baseline: kept whatever comes out, as are the controls.
        screen: how many.
        primary: what they are numbers of.

    >>> kept({"plain": 3.0, "bias": 2.0, "a": 2.9, "b": 3.1, "c": 2.8}, baseline="plain", screen=Screen(keep=1))
    ('plain', 'bias')
    """
    candidates = {arm: v for arm, v in values.items() if arm != baseline and arm not in screen.controls}
    best = sorted(
        (primary.turned(value), i, arm) for i, (arm, value) in enumerate(candidates.items()) if value is not None
    )
    chosen = {baseline, *screen.controls, *(arm for _, _, arm in best[: screen.keep])}
    return tuple(arm for arm in values if arm in chosen)


def screen_arms(
    screen: Screen, arms: Mapping[str, Experiment], baseline: str, record: StudyRecord, out: Path, train: Train
) -> tuple[str, ...]:
    """Run what is not done of the screening, choose once, write it into the record, and return what is confirmed.

    Raises: RunError while a run has not ended, since a choice without it would not be the declared one; SpecError when
        an arm was added after the choice.
    """
    if record.screening is not None:
        added = [arm for arm in arms if arm not in record.screening.arms]
        if added:
            found = f"arm {added[0]!r} was added after the screening had chosen"
            raise SpecError(str(out), found, "a choice is made once, from all arms", "choose another place with --out")
        return tuple(record.screening.confirmed)
    jobs = {
        arm: job_of(
            record,
            arm,
            experiment,
            seed=SCREEN_SEED,
            budget=screen.budget_fraction,
            split="select",
            label=f"{arm} (screen)",
            is_only=True,
        )
        for arm, experiment in arms.items()
    }
    runs = {arm: RunFolder(out / "screen" / arm / f"seed{SCREEN_SEED}", arm, SCREEN_SEED) for arm in arms}
    train([(jobs[arm], runs[arm].path) for arm in arms])
    ended = {arm: RunFolder(run.path, arm, SCREEN_SEED) for arm, run in runs.items()}
    missing = [arm for arm, run in ended.items() if run.ended_as(jobs[arm].fingerprint) is None]
    if missing:
        found = f"the screening of {', '.join(repr(arm) for arm in missing)} did not finish"
        do = "its worker.log says why; the same command goes on"
        raise RunError(str(out / "screen"), found, "nothing is chosen before every arm was seen", do)
    values = {arm: select_value(run, record, arm) for arm, run in ended.items()}
    confirmed = kept(values, baseline=baseline, screen=screen, primary=record.primary)
    record.screening = ScreeningRecord(
        seed=SCREEN_SEED,
        split="select",
        budget_fraction=screen.budget_fraction,
        confirmed=list(confirmed),
        arms={arm: _row(arm, values, ended[arm], jobs[arm].stages_tokens, baseline, screen, confirmed) for arm in arms},
    )
    return confirmed


def _row(
    arm: str,
    values: Mapping[str, float | None],
    run: RunFolder,
    stages_tokens: tuple[int, ...],
    baseline: str,
    screen: Screen,
    confirmed: tuple[str, ...],
) -> ScreenedArm:
    value, base = values[arm], values[baseline]
    role = "baseline" if arm == baseline else "control" if arm in screen.controls else "kept"
    assert run.done is not None  # none is missing
    return ScreenedArm(
        value=value,
        difference=value - base if value is not None and base is not None else None,
        status=run.done.status,
        role=role if arm in confirmed else "screened out",
        tokens=sum(stages_tokens),
        fingerprint=run.done.fingerprint,
    )
