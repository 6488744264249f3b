"""Recursion: is a loop worth a layer?

One block before, one after, and a core of 1 to 3 blocks that is passed 1, 2 or 4 times, with the stream before it added
in every loop, also where there is one: a grid of 3 x 3, of width 64, in which nothing but weights and loops differs.
`core2-loops1` is the baseline, with as many parameters as `core2-loops2` and `core2-loops4`. `depth-6` and `depth-10`
have as many visits as those two, each with weights of its own, and the same addition before their core: what the same
compute buys without sharing.

The figure is in the report under "Loss against size": loss against unique parameters, with dotted lines that join arms
of equal cost. `answers` fits the worth exponent to the grid, at each budget; it stands below the verdict. What a loop
should be given, and a loop for the next step of the prediction: `recursion_variants.py`.

Nothing is screened, because the exponent needs every cell of the grid. Rates are tuned from three values on, at two
budgets: eleven arms with eight seeds leave a third of a million tokens to a run in an hour on two cores. That
resolves about 0.05 nats, so the hour can say whether a loop helps much; whether it resolves the exponent, the fit says
itself. With more time, make it `budgets=(0.25, 1, 4)`.
"""

import numpy as np

from vslm import (
    INJECT_SUM,
    Budget,
    Experiment,
    LearningRates,
    LossByPosition,
    Model,
    Primary,
    StandardLibrary,
    Study,
    StudyFolder,
    looped,
    uniform,
    vary,
)
from vslm.results.folder import budget_name
from vslm.stats.worth import fit_worth

CORES, LOOPS = (1, 2, 3), (1, 2, 4)


def plain(depth: int) -> Model:
    """So many blocks, each with weights of its own."""
    return uniform(depth=depth, width=64, heads=4, context_tokens=256)


base = Experiment(
    model=plain(4),
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=1_000_000),
    measures=(LossByPosition(num_evaluations=12, num_tokens=2048, num_final_tokens=51_200),),
)
GRID = {
    f"core{core}-loops{loops}": looped(plain(core + 2), times=loops, inject=INJECT_SUM)
    for core in CORES
    for loops in LOOPS
}
EQUAL_COST = {f"depth-{depth}": looped(plain(depth), times=1, inject=INJECT_SUM) for depth in (6, 10)}
STUDY = Study(
    question="Does looping layers help: is a loop worth a layer?",
    prediction="every loop helps less than a block of its own: worth exponent below 1, near the published 0.46",
    baseline="core2-loops1",
    arms={name: vary(base, {"model": model}) for name, model in {**GRID, **EQUAL_COST}.items()},
    seeds=8,
    primary=Primary("val_loss", smallest_effect=0.02),
    tune=LearningRates(values=3, max_widenings=1),
    budgets=(0.25, 1),
)


def answers(folder: StudyFolder) -> list[str]:
    """The worth exponent, at each budget."""
    return [f"{budget_name(one)}: {worth_of(folder, one)}" for one in folder.budgets]


def worth_of(folder: StudyFolder, budget: float = 1.0) -> str:
    """The worth exponent of the grid at one budget, in words; over the seeds that have finished every cell."""
    ended = folder.paired(GRID, budget)
    seeds = list(ended[STUDY.baseline])
    if not seeds:
        return "no seed has finished every arm of the grid"
    block = plain(2).num_parameters_without_embeddings(1024) - plain(1).num_parameters_without_embeddings(1024)
    found = fit_worth(
        np.array([[done.val_loss for done in ended[arm].values()] for arm in GRID]),
        once_A=np.array([2.0 * block for _ in GRID]),
        repeated_A=np.array([float(core * block) for core in CORES for _ in LOOPS]),
        loops_A=np.array([loops for _ in CORES for loops in LOOPS]),
    )
    interval = f"{found.low:.2f} to {found.high:.2f}"
    what = f"{found.phi:.2f}, interval {interval}" if found.is_resolved else f"not resolved, {interval} would fit"
    return f"worth exponent {what} ({len(seeds)} seeds; published 0.46)"
