"""A finished study with factors, as a real one leaves it: runs from formulas, judged by the lab."""

import json
from pathlib import Path

from synthetic_study import write_study

from vslm.lab.verdict import write_verdict
from vslm.results.files import write_json
from vslm.results.folder import StudyFolder
from vslm.stats.looks import fixed_plan
from vslm.study.factors import factorial_of

EFFECTS = {"norm": 0.045, "muon": 0.07, "half-batch": -0.012}
TOGETHER = -0.055  # of norm and muon, which do not add up
FACTORS = {
    "norm": {"model.root.normed": True},
    "muon": {"optimizer": {"kind": "Muon", "learning_rate": 0.0125}},
    "half-batch": {"batch_tokens": 512},
}


def write_factor_study(path: Path, *, seeds: int = 6, interactions: tuple[tuple[str, str], ...] = ()) -> Path:
    """Three factors in all combinations."""
    factorial = factorial_of(list(FACTORS), interactions, None, "plain")
    arms = {}
    for arm, on in factorial.cells.items():
        gain = 0.42 + sum(EFFECTS[name] for name in on) + TOGETHER * ({"norm", "muon"} <= set(on))
        arms[arm] = (256 + len(arms), gain, 526_592 + 256 * len(on))
    write_study(path, arms, seeds=tuple(range(seeds)), question="What are the norm, Muon and half the batch worth?")
    record = json.loads((path / "study.json").read_text())
    plan = fixed_plan(seeds)
    for arm, on in factorial.cells.items():
        row = record["arms"][arm]
        row["differences"] = [[key, "as it was", value] for name in on for key, value in FACTORS[name].items()]
        row |= {"runs": {str(seed): "feed0000beef" for seed in range(seeds)}, "bytes_per_token": 2.6}
        row |= {"stages_tokens": [row["tokens"]]}
    record |= {
        "prediction": "the norm 0.05, Muon 0.09, half the batch 0.04 better; the first two less than added up",
        "plan": {"looks": list(plan.looks), "errors": list(plan.errors), "reserve": plan.reserve},
        "factorial": {
            "factors": FACTORS,
            "interactions": [list(pair) for pair in interactions],
            "kind": factorial.design.kind,
            "words": factorial.words(),
            "cells": {arm: list(on) for arm, on in factorial.cells.items()},
        },
    }
    write_json(path / "study.json", record)
    (path / "verdict.json").unlink()
    write_verdict(StudyFolder(path))
    return path
