"""What is found out about a run after it is over, beside what the run itself took.

<run>/later.npz     arrays, named as in arrays.npz; RunFolder.arrays reads both
<run>/later.json    which measures with which values, or which benchmarks; what they declare; by which vslm
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import vslm
from vslm.core.errors import ResultError
from vslm.core.specs import to_plain
from vslm.measure.declared import Declared
from vslm.results.files import read_arrays, read_json, write_arrays, write_json
from vslm.results.folder import DECLARED, LATER, LATER_RECORD
from vslm.results.seals import FILES, checksums, sealed
from vslm.runs.recording import measured_arrays
from vslm.runs.stored_run import StoredRun
from vslm.training.loop import Measurement


def write_later(
    run: StoredRun,
    name: str,
    own: Mapping[str, Any],
    declared: Declared,
    taken: Sequence[Measurement],
    say: Callable[[str], None],
) -> None:
    """Write it beside what was found out earlier; the same again takes the place of its last time. Of a torn file
    nothing can be kept, which is said.

    Args:
        run: whose it is.
        name: the first part of the names of its arrays.
        own: what is recorded of it.
        declared: what it says of its arrays.
        taken: the numbers, under that name.
        say: told of what is begun anew.
    """
    head = f"{name}."
    arrays, record = read_later(run, say)
    kept = {key: array for key, array in arrays.items() if not key.startswith(head)}
    measures = {**record, name: {**own, DECLARED: to_plain(declared), "vslm": vslm.__version__}}
    write_arrays(run.path / LATER, kept | measured_arrays(list(taken)))
    write_json(run.path / LATER_RECORD, sealed({"measures": measures, FILES: checksums(run.path, [LATER])}))


def read_later(run: StoredRun, say: Callable[[str], None]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays that were written earlier, and the record of what they are, by name."""
    path = run.path / LATER_RECORD
    try:
        arrays = read_arrays(run.path / LATER)
    except ResultError as error:
        say(f"{run.name}: {LATER} cannot be read ({error.found}) and is begun anew; measure again what was in it")
        return {}, {}
    try:
        record = read_json(path) if arrays and path.exists() else {}
    except ResultError as error:
        say(f"{run.name}: {LATER_RECORD}: {error.found}; it is begun anew")
        record = {}
    measures = record.get("measures") if isinstance(record, dict) else None
    return arrays, measures if isinstance(measures, dict) else {}
