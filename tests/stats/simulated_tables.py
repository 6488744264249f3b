"""Tables of `docs/verdicts/`: a row for each cell of a simulation, with shares of its studies."""

import argparse
import csv
import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

SEED = 20261130


def parser_of(description: str | None, *, trials: int, out: str) -> argparse.ArgumentParser:
    """Options that all of them have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--trials", type=int, default=trials)
    parser.add_argument("--out", type=Path, default=Path(out))
    return parser


def columns_of(*kinds: Any) -> list[str]:
    """Names of the fields of some dataclasses."""
    return [field.name for kind in kinds for field in dataclasses.fields(kind)]


def write_table(
    out: Path,
    columns: Iterable[str],
    cells: Iterable[Any],
    find: Callable[[Any, int, np.random.Generator], Iterable[float]],
    trials: int,
) -> None:
    """Simulate cell by cell, each with luck of its own, and write every row when it is there.

    Args:
        out: the file.
        columns: of a cell and of what is found, without the number of trials.
        cells: dataclasses.
        find: (cell, trials, luck) -> shares.
        trials: studies of a cell.
    """
    with out.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([*columns, "trials"])
        for number, cell in enumerate(cells):
            found = tuple(find(cell, trials, np.random.default_rng([SEED, number])))
            rows.writerow([*dataclasses.astuple(cell), *(f"{share:.4f}" for share in found), trials])
            file.flush()
            print(cell, found, flush=True)
