"""The rows of measures.jsonl that came since a cursor, so that an open page gets what is new and no more.

A cursor is text that the server gave and gets back: how many rows of each run were sent, in the order of runs, behind a
name of that order. It needs no memory here, so that a server may be started anew under an open page.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from vslm.report.numbers.formatting import is_number
from vslm.report.numbers.runs import Run

FIELDS = ("step", "tokens", "flops", "seconds", "train_loss", "val_loss")
_CURSOR = re.compile(r"([0-9a-f]{12}):([0-9]{1,9}(?:,[0-9]{1,9})*)?")
_ENDED = ("done", "diverged", "torn")

Runs = Mapping[str, list[Run]]


def cursor_of(runs: Runs) -> str:
    """The cursor behind everything that these runs hold."""
    return f"{_order(runs)}:{','.join(str(len(run.rows)) for run in _flat(runs))}"


def rows_since(runs: Runs, since: str) -> list[dict[str, Any]] | None:
    """What came since a cursor: `arm`, `seed`, and rows of numbers in the order of `FIELDS`, None where there is none.

    None if that is unknown, so that the page has to be read anew: other runs, a run that began anew, no cursor.
    """
    found = _CURSOR.fullmatch(since)
    flat = _flat(runs)
    if found is None or found[1] != _order(runs):
        return None
    counts = [int(count) for count in (found[2] or "").split(",") if count]
    if len(counts) != len(flat) or any(count > len(run.rows) for count, run in zip(counts, flat, strict=True)):
        return None
    return [
        {"arm": run.arm, "seed": run.seed, "rows": [_numbers(row) for row in run.rows[count:]]}
        for count, run in zip(counts, flat, strict=True)
        if count < len(run.rows)
    ]


def results_of(runs: Runs, verdict_stamp: object) -> str:
    """A name of what the page was made of beside rows that are still coming: which runs ended, what was measured of
    them, in the run or afterwards, and the verdict.
    """
    ended = [
        (run.where, run.state, run.done.fingerprint, sorted(run.arrays), run.remark)
        for run in _flat(runs)
        if run.state in _ENDED
    ]
    return _name([ended, verdict_stamp])


def _flat(runs: Runs) -> list[Run]:
    return [run for found in runs.values() for run in found]


def _order(runs: Runs) -> str:
    return _name([run.where for run in _flat(runs)])


def _name(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


def _numbers(row: Mapping[str, Any]) -> list[float | None]:
    return [value if is_number(value := row.get(field)) else None for field in FIELDS]
