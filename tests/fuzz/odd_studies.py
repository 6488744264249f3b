"""Thousands of studies with something odd in them: each plans and builds, or is refused in words.

    python tests/fuzz/odd_studies.py --count 10000 --seed 0

Nothing may raise anything but a VslmError, abort, take more than 5 s of CPU time or a gigabyte, or print a plan that is
no JSON. A list of faults with their numbers is printed; the same seed and number make the same study again (--only).
"""

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from children import tried
from odd_things import mutant, valid_studies, write_corpus

from vslm.core.errors import VslmError
from vslm.lab.plan import plan_study
from vslm.models.initialization import Init

_MOST_BUILT = 20_000_000  # parameters: what is larger is only counted


def attempt_of(seed: int) -> Callable[[int], None]:
    """A function that tries the study of a number."""
    studies = valid_studies()

    def attempt(number: int) -> None:
        try:
            _, make, options = mutant(studies, seed, number)
            study = make()
            planned = plan_study(study, options)
            json.dumps(planned, allow_nan=False)
            for arm, row in planned["arms"].items():
                if row["num_parameters"] <= _MOST_BUILT:
                    with torch.device("meta"):
                        study.arms[arm].model.build(vocabulary=300, init=Init(seed=0))
        except VslmError as error:
            if not str(error).strip():
                raise AssertionError("a refusal without words") from error

    return attempt


def faults_of(count: int, seed: int, first: int, say: Callable[[str], None]) -> dict[int, str]:
    """What went wrong, by number; in a folder of its own that is gone afterwards."""
    before, home = Path.cwd(), os.environ.get("VSLM_HOME")
    with tempfile.TemporaryDirectory() as place:
        write_corpus(Path(place))
        os.environ["VSLM_HOME"] = f"{place}/home"
        os.chdir(place)
        try:
            for study in valid_studies():
                plan_study(study)  # the corpora are there, and everything is imported
            return tried(attempt_of(seed), range(first, first + count), say=say)
        finally:
            os.chdir(before)
            if home is not None:
                os.environ["VSLM_HOME"] = home


def main() -> None:
    """Try, and list the faults by kind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, default=None, help="the number of one study")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    first, count = (0, asked.count) if asked.only is None else (asked.only, 1)
    faults = faults_of(count, asked.seed, first, lambda words: print(words, flush=True))
    studies = valid_studies()
    for number, fault in faults.items():
        print(f"{number}: {mutant(studies, asked.seed, number)[0]}\n    {fault}")
    print(f"{count:,} studies, {len(faults)} faults")
    for place, times in Counter(fault.partition(" at ")[2] or fault for fault in faults.values()).most_common():
        print(f"  {times} x {place}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
