"""What measures took, as rows for measures.jsonl and arrays for arrays.npz."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from vslm.measure.measure import recorded_name
from vslm.training.loop import Taken


def measured_arrays(taken: Iterable[Taken]) -> dict[str, np.ndarray]:
    """Every array under its measure's name, with the steps as first axis, beside `NAME.steps_S`.

    >>> taken = [Taken("lens", step, {"loss_nats_L": np.array([3.0, 2.0])}) for step in (0, 8)]
    >>> {name: array.tolist() for name, array in measured_arrays(taken).items()}
    {'lens.steps_S': [0, 8], 'lens.loss_nats_SL': [[3.0, 2.0], [3.0, 2.0]]}
    """
    by_measure: dict[str, list[Taken]] = {}
    for one in taken:
        by_measure.setdefault(one.measure, []).append(one)
    arrays = {}
    for measure, found in by_measure.items():
        arrays[f"{measure}.steps_S"] = np.array([one.step for one in found])
        for name in found[0].values:
            arrays[recorded_name(measure, name)] = np.stack([one.values[name] for one in found])
    return arrays


def with_measures(rows: Iterable[Mapping[str, Any]], taken: Iterable[Taken]) -> list[dict[str, Any]]:
    """Rows by step with the numbers that have no axes as `MEASURE.NAME`; steps without a row get one.

    >>> with_measures([{"step": 8, "val_loss": 2.5}], [Taken("recall", 8, {"accuracy": np.array(0.5)})])
    [{'step': 8, 'val_loss': 2.5, 'recall.accuracy': 0.5}]
    """
    by_step = {row["step"]: dict(row) for row in rows}
    for one in taken:
        scalars = {f"{one.measure}.{name}": float(value) for name, value in one.values.items() if value.ndim == 0}
        if scalars:
            row = by_step.setdefault(one.step, {"step": one.step})
            row |= {name: value if math.isfinite(value) else None for name, value in scalars.items()}
    return [by_step[step] for step in sorted(by_step)]
