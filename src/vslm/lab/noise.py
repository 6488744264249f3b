"""This machine's noise card: how far apart runs end that differ in nothing that matters."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from vslm.core.errors import RunError, SpecError
from vslm.core.paths import vary
from vslm.data.sources import StandardLibrary
from vslm.lab.plan import noise_card_path
from vslm.models.layouts.plain import uniform
from vslm.results.files import write_json
from vslm.results.folder import StudyFolder
from vslm.results.primary import VAL_LOSS
from vslm.stats.looks import fixed_plan
from vslm.stats.power import resolvable_effect
from vslm.study.experiment import Budget, Experiment
from vslm.study.primary import Primary
from vslm.study.study import Study

_FEWEST_PAIRS = 2
_SEED_COUNTS = (3, 5, 8, 16)
_OTHER_INIT = 5000  # far from every seed that a study would use


def noise_study(tokens: int, seeds: int) -> Study:
    """Baselines in pairs on the same data seed: initial weights changed in the last bit, and drawn anew.

    Raises: SpecError for fewer pairs than have a spread.
    """
    if seeds < _FEWEST_PAIRS:
        raise SpecError("--seeds", f"found {seeds}", f"{_FEWEST_PAIRS} pairs or more have a spread")
    plain = Experiment(
        model=uniform(depth=2, width=128, heads=4, context_tokens=256),
        data=StandardLibrary(vocabulary=1024),
        budget=Budget(tokens=tokens),
    )
    return Study(
        question="How far apart do runs end that differ in nothing that matters?",
        baseline="plain",
        arms={
            "plain": plain,
            "last-bit": vary(plain, {"start_from.flip_last_bit": True}),
            "other-init": vary(plain, {"start_from.init_offset": _OTHER_INIT}),
        },
        seeds=seeds,
        primary=Primary("val_loss", smallest_effect=0.01),
        pilot=None,  # it asks for the scatter of runs of this length, whatever that is
    )


def write_noise_card(folder: StudyFolder) -> dict[str, Any]:
    """The card from a finished noise study; kept for `vslm plan`.

    Raises: RunError where too few pairs ended well to have a spread.
    """
    ended = folder.paired(folder.arms)
    seeds = list(ended["plain"])
    if len(seeds) < _FEWEST_PAIRS:
        found = f"{len(seeds)} seeds are finished in every arm"
        raise RunError(str(folder.path), found, f"{_FEWEST_PAIRS} or more have a spread", "the same command goes on")
    count, done = len(seeds), list(ended["plain"].values())
    plain, last_bit, other = (
        np.array([row.val_loss for row in ended[arm].values()]) for arm in ("plain", "last-bit", "other-init")
    )
    seconds = float(np.mean([row.seconds or 0.0 for row in done]))
    paired_sd = float(np.std(other - plain, ddof=1))
    error = sum(fixed_plan(3).errors)
    card = {
        "measure": "val_loss",
        "unit": VAL_LOSS.unit,
        "tokens": done[0].tokens,
        "seeds": count,
        "last_bit_sd": float(np.std(last_bit - plain, ddof=1)),
        "paired_sd": paired_sd,
        "unpaired_sd": float(np.std(plain, ddof=1)) * 2**0.5,
        "flops_per_second": float(np.mean([(row.flops or 0.0) / (row.seconds or math.inf) for row in done])),
        "seconds_per_run": seconds,
        "resolvable": {
            str(n): {
                "effect": resolvable_effect(paired_sd, n, error),
                "minutes": 2 * n * seconds / 60 / folder.study.settings.workers,
            }
            for n in _SEED_COUNTS
        },
        "folder": str(Path(folder.path).resolve()),
        "measured": time.strftime("%Y-%m-%d"),
    }
    write_json(noise_card_path(), card)
    return card
