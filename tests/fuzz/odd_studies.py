"""Thousands of studies with something odd in them: each plans and builds, or is refused in words.

    python tests/fuzz/odd_studies.py --count 10000 --seed 0

Nothing may raise anything but a VslmError, abort, take more than 5 s of CPU time (30 s where it prepares the standard
library) or a gigabyte, or print a plan that is no JSON. A list of faults with their numbers is printed; the same seed
and number make the same study again (--only).
"""

import argparse
import functools
import json
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from children import tried
from odd_things import mutant, valid_studies, write_corpus

from vslm.core.errors import VslmError
from vslm.data.sources import StandardLibrary
from vslm.lab import model_checks
from vslm.lab.plan import plan_study
from vslm.models.initialization import Init
from vslm.models.language_model import Model

_MOST_BUILT = 20_000_000  # parameters: what is larger is only counted
_SECONDS_WITH_LIBRARY = (
    30.0  # of CPU time: ten megabytes are read and a tokenizer is trained on them, which was asked for
)
_NO_ROOM = ("can't allocate memory", "MemoryError")  # of torch and of Python, where a message was made of them


def attempt_of(seed: int) -> Callable[[int], str]:
    """A function that tries the study of a number."""
    studies = valid_studies()

    def attempt(number: int) -> str:
        try:
            _, make, options = mutant(studies, seed, number)
            study = make()
            if any(isinstance(arm.data, StandardLibrary) for arm in study.arms.values()):
                signal.setitimer(signal.ITIMER_PROF, _SECONDS_WITH_LIBRARY)
            planned = plan_study(study, options)
            json.dumps(planned, allow_nan=False)
            for arm, row in planned["arms"].items():
                # What the plan did not build itself, to try it.
                model = study.arms[arm].model
                if row["num_parameters"] <= _MOST_BUILT and model_checks.is_too_large(model, 300):
                    _built_of_nothing(model)
            return "planned"
        except VslmError as error:
            if not str(error).strip():
                raise AssertionError("a refusal without words") from error
            if any(words in str(error) for words in _NO_ROOM):
                raise MemoryError from error
            return "refused"

    return attempt


def _built_of_nothing(model: Model) -> None:
    with torch.device("meta"):
        model.build(vocabulary=300, init=Init(seed=0))


def faults_of(count: int, seed: int, first: int, say: Callable[[str], None]) -> dict[int, str]:
    """What went wrong, by number; in a folder of its own that is gone afterwards."""
    before, home, check = Path.cwd(), os.environ.get("VSLM_HOME"), model_checks.check_model
    model_checks.check_model = functools.cache(check)  # of two arms one is as it was: it is tried once
    with tempfile.TemporaryDirectory() as place:
        write_corpus(Path(place))
        os.environ["VSLM_HOME"] = f"{place}/home"
        os.chdir(place)
        try:
            for study in valid_studies():
                plan_study(study)  # the corpora are there, and everything is imported
            _built_of_nothing(study.arms[study.baseline].model)  # this, too, loads what takes seconds
            return tried(attempt_of(seed), range(first, first + count), say=say)
        finally:
            model_checks.check_model = check
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
