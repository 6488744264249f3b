"""Seed after seed, and arms that are behind get no further ones: `study/race.py` carried out, `stats/racing.py` asked.

Who is dropped is decided from the judged runs themselves, once, and kept; a killed race goes on where it was. What is
decided after some seeds is decided when further seeds are asked for, so a planned look comes before it.

    study.json: "racing"      who was ahead after which seeds, and who was dropped; decided once
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vslm.lab.stages import Train, judged_tasks, name_runs, save
from vslm.lab.standing import finite, smallest_effect_of
from vslm.lab.verdict import primary_value
from vslm.results.folder import StudyFolder
from vslm.results.records import DroppedArm, RaceStanding, RacingRecord, StudyRecord
from vslm.stats.racing import Behind, in_words, standing
from vslm.study.experiment import Experiment
from vslm.study.race import Race

Values = dict[str, dict[int, float | None]]


def race_arms(
    race: Race,
    arms: Mapping[str, Experiment],
    record: StudyRecord,
    out: Path,
    seeds: Sequence[int],
    train: Train,
) -> None:
    """Train what a look at these seeds needs: the first seeds of all arms, then one seed of those that are left.

    A race in which only the baseline is left is over, and trains nothing more.
    """
    if record.racing is None:
        record.racing = RacingRecord()
    seen = record.racing.standings[-1].seeds if record.racing.standings else []
    order = [*seen, *(seed for seed in sorted(seeds) if seed not in seen)]
    start = 0
    for end in range(min(race.first, len(order)), len(order) + 1):
        if start > len(seen) and record.in_race:
            _decide(race, record, out, order[:start])
            name_runs(arms, record)
            save(record, out)
        new = order[start:end]
        train(judged_tasks({arm: arms[arm] for arm in _who_runs(record, new)}, record, out, new))
        start = end


def _who_runs(record: StudyRecord, seeds: Sequence[int]) -> list[str]:
    """The arms that have these seeds; those that were dropped later among them, so that a damaged run is made again."""
    return [arm for arm in record.confirmed if set(seeds) <= set(record.seeds_of(arm))]


def _decide(race: Race, record: StudyRecord, out: Path, seeds: list[int]) -> None:
    """Look at who is behind after these seeds, and write it down."""
    assert record.racing is not None
    primary = record.primary
    values = _values(record, out, seeds)
    turned = {
        arm: {seed: None if value is None else primary.turned(value) for seed, value in row.items()}
        for arm, row in values.items()
    }
    found = standing(
        turned,
        baseline=record.baseline,
        seeds=len(seeds),
        smallest_effect=smallest_effect_of(primary),
        error=race.error,
    )
    record.racing.standings.append(RaceStanding(seeds=seeds, leader=found.leader))
    for arm, row in found.dropped.items():
        record.racing.dropped[arm] = _record_of(row, record, seeds, values[arm], values[record.baseline])


def _values(record: StudyRecord, out: Path, seeds: Sequence[int]) -> Values:
    """The primary number of every arm that is left; a run that did not end is not there."""
    folder, values = StudyFolder(out), {}
    for arm in record.in_race:
        row, values[arm] = record.arms[arm], {}
        for seed in seeds:
            run = folder.run(arm, seed)
            if run.ended_as(row.runs.get(str(seed))) is not None:
                values[arm][seed] = primary_value(run, record.primary, row.bytes_per_token)
    return values


def _record_of(
    row: Behind,
    record: StudyRecord,
    seeds: list[int],
    own: Mapping[int, float | None],
    baseline: Mapping[int, float | None],
) -> DroppedArm:
    pairs = [a - b for seed in seeds if (a := own.get(seed)) is not None and (b := baseline.get(seed)) is not None]
    effect, unit = smallest_effect_of(record.primary), record.primary.unit
    return DroppedArm(
        seeds=seeds,
        leader=row.leader,
        behind=finite(row.by),
        least=finite(row.least),
        difference=float(np.mean(pairs)) if pairs else None,
        words=in_words(row, seeds=len(seeds), smallest_effect=effect, unit=unit),
    )
