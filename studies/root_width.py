"""Does a learned root make it easier to change the stream's size?

Three widths of the stream under three roots. `token`: the embedding is as wide as the stream. `projected`: it stays at
64, and a matrix leads to the stream. `memory`: it stays at 64, the stream starts learned, and every block may read the
tokens. The readouts of the last two go through a matrix at every width, also where it is not needed, so that the arms
of a root differ in the width alone.

The answer is a difference of differences: how much more the loss moves with the width under one root than under
`token`. The verdict compares every arm with `token-64`; `answers` says those, with intervals over seeds, and they stand
below the verdict.

Nothing is screened, because a cell that is missing answers nothing. Rates are tuned, since the best one moves with the
width, and there is one budget: nine arms, eight seeds and one budget are what an hour on two cores holds, at about
0.6 million tokens a run. It can tell a change of about 0.05 nats from none. With more time, add `budgets=(0.25, 1, 4)`.
"""

import numpy as np

from vslm import (
    BothReads,
    Budget,
    Experiment,
    LearningRates,
    LossByPosition,
    Primary,
    StandardLibrary,
    Study,
    StudyFolder,
    TiedProjected,
    learned_root,
    projected_root,
    uniform,
    vary,
)
from vslm.stats.intervals import per_arm_error, student_interval

EMBEDDING_WIDTH = 64
WIDTHS = (32, 64, 96)

plain = {width: uniform(depth=4, width=width, heads=4, context_tokens=256) for width in WIDTHS}
token = Experiment(
    model=plain[EMBEDDING_WIDTH],
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=1_000_000),
    measures=(LossByPosition(num_evaluations=12, num_tokens=2048, num_final_tokens=51_200),),
)
fixed = {"readout": TiedProjected()}
ROOTS = {
    "token": lambda model: model,
    "projected": lambda model: vary(projected_root(model, embedding_width=EMBEDDING_WIDTH), fixed),
    "memory": lambda model: vary(
        learned_root(model, first_reads=BothReads(), later_reads=BothReads(), embedding_width=EMBEDDING_WIDTH), fixed
    ),
}
STUDY = Study(
    question="Does a learned root make it easier to change the stream's size?",
    prediction="from 64 to 32 the loss rises less under memory than under token, and no less than under projected",
    baseline="token-64",
    arms={
        f"{name}-{width}": vary(token, {"model": root(model)})
        for name, root in ROOTS.items()
        for width, model in plain.items()
    },
    seeds=8,
    primary=Primary("val_loss", smallest_effect=0.01),
    tune=LearningRates(values=3, max_widenings=1),
)


def answers(folder: StudyFolder) -> list[str]:
    """How much more the loss moves from 64 to another width under a root than under `token`, per seed and in the mean.

    (L(root, width) - L(root, 64)) - (L(token, width) - L(token, 64)), in nats; intervals hold together with 95%.
    """
    ended = folder.paired(STUDY.arms)
    losses = {arm: np.array([done.val_loss for done in by_seed.values()]) for arm, by_seed in ended.items()}
    seeds = list(ended[STUDY.baseline])
    if not seeds:
        return ["no seed has finished every arm"]
    pairs = [(root, width) for root in ROOTS if root != "token" for width in WIDTHS if width != EMBEDDING_WIDTH]
    lines = []
    for root, width in pairs:
        moved = {name: losses[f"{name}-{width}"] - losses[f"{name}-{EMBEDDING_WIDTH}"] for name in (root, "token")}
        found = student_interval(moved[root] - moved["token"], per_arm_error(0.05, len(pairs)))
        told = "less" if found.high < 0 else "more" if found.low > 0 else "not resolved"
        lines.append(
            f"{EMBEDDING_WIDTH} to {width}: {moved[root].mean():+.4f} under {root}, {moved['token'].mean():+.4f} under "
            f"token; difference {found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}], {told} ({len(seeds)} seeds)"
        )
    return lines
