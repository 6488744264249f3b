"""Recursion: is a loop worth a layer, and what should a loop be given?

One block before, one after, and a core of 1 to 3 blocks that is passed 1, 2 or 4 times: a grid of 3 x 3. Its
`core2-loops1` is the baseline, with as many parameters as `core2-loops2` and `core2-loops4`; `deep` has as many visits
as `core2-loops4`, each with weights of its own. The other arms change what `core2-loops2` is given in each loop.

After a run, `python studies/recursion.py runs/FOLDER` fits the worth exponent to the grid.
"""

import sys
from pathlib import Path

import numpy as np

from vslm import (
    INJECT_MATRIX,
    INJECT_SUM,
    Budget,
    Experiment,
    LearnedState,
    LowRank,
    Model,
    NoiseState,
    Primary,
    StandardLibrary,
    Study,
    UniformLoops,
    ahead,
    looped,
    shifted,
    uniform,
    vary,
)
from vslm.results.folder import StudyFolder
from vslm.stats.worth import fit_worth

CORES, LOOPS = (1, 2, 3), (1, 2, 4)


def plain(depth: int) -> Model:
    return uniform(depth=depth, width=128, heads=4, context_tokens=256)


base = Experiment(model=plain(4), data=StandardLibrary(vocabulary=1024), budget=Budget(tokens=2_000_000))
GRID = {
    f"core{core}-loops{loops}": looped(plain(core + 2), times=loops, inject=None if loops == 1 else INJECT_SUM)
    for core in CORES
    for loops in LOOPS
}
OTHERS = {
    "deep": plain(10),
    "no-injection": looped(plain(4), times=2),
    "matrix": looped(plain(4), times=2, inject=INJECT_MATRIX),
    "learned-start": looped(plain(4), times=2, inject=INJECT_MATRIX, start=LearnedState()),
    "noise-start": looped(plain(4), times=2, inject=INJECT_MATRIX, start=NoiseState()),
    "vectors": looped(plain(4), times=2, inject=INJECT_SUM, vectors=True),
    "low-rank": looped(plain(4), times=2, inject=INJECT_SUM, delta=LowRank(rank=8)),
    "random-loops": looped(plain(4), times=2, inject=INJECT_SUM, training=UniformLoops(counts=(1, 2, 3))),
    "last-loop-only": looped(plain(4), times=2, inject=INJECT_SUM, gradient_loops=1),
    "shifted": shifted(plain(4), passes=2),
    "ahead": ahead(plain(4), tokens=2),
}
STUDY = Study(
    question="Does looping layers help, for the same token and for the next step of the prediction?",
    prediction="every loop helps less than a block of its own: worth exponent below 1, near the published 0.46; "
    "injection is needed; the state of the position before helps less than a loop",
    baseline="core2-loops1",
    arms={name: vary(base, {"model": model}) for name, model in {**GRID, **OTHERS}.items()},
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.02),
)


def worth_of(folder: Path) -> str:
    runs = {arm: [run for run in StudyFolder(folder).runs(arm) if run.done] for arm in GRID}
    losses = {arm: {run.seed: run.done["val_loss"] for run in found if run.done} for arm, found in runs.items()}
    seeds = sorted(
        set.intersection(*({seed for seed, loss in by.items() if loss is not None} for by in losses.values()))
    )
    if not seeds:
        return "no seed has finished every arm of the grid"
    block = plain(2).num_parameters_without_embeddings(1024) - plain(1).num_parameters_without_embeddings(1024)
    found = fit_worth(
        np.array([[losses[arm][seed] for seed in seeds] for arm in GRID]),
        once_A=np.array([2.0 * block for _ in GRID]),
        repeated_A=np.array([float(core * block) for core in CORES for _ in LOOPS]),
        loops_A=np.array([loops for _ in CORES for loops in LOOPS]),
    )
    unresolved = "" if found.is_resolved else "; not resolved at this budget"
    return f"worth exponent {found.phi:.2f} [{found.low:.2f}, {found.high:.2f}], published 0.46{unresolved}"


if __name__ == "__main__":
    print(worth_of(Path(sys.argv[1])))
