"""Is what is cheaper in loss also cheaper in grammar?

Four blocks that see everything, against the same with windows of 8 tokens, and against two blocks that are visited
twice. Judged by the margin of BLiMP (how much likelier the right one of two sentences is per token than the wrong one),
with the loss beside it: the sentences have eight words on average, so a window that costs loss on stories may cost
nothing here, and weights that are shared may.

Accuracy on BLiMP is near chance for models of this size in most paradigms, and moves in steps of whole pairs; margins
move before. By paradigm both are on the page, with a dotted line at chance.

It needs the pairs of BLiMP as JSON lines in VSLM_HOME/evals/blimp.jsonl (`vslm eval --help`), and text to learn English
from: `vslm run studies/benchmark.py --data stories/`. The text of the standard library, which is the default, has some
English in its comments.
"""

from vslm import Budget, Experiment, LossByPosition, MinimalPairs, Primary, StandardLibrary, Study, cycle, uniform, vary

DEPTH = 4
full = Experiment(
    model=uniform(depth=DEPTH, width=128, heads=4, context_tokens=128),
    data=StandardLibrary(),
    budget=Budget(tokens=2_000_000),
    measures=(LossByPosition(num_evaluations=12), MinimalPairs(path="blimp", num_pairs=2_000, num_evaluations=6)),
)
BLOCK = full.model.blocks["0"]
STUDY = Study(
    question="Do short windows, or blocks that are visited twice, cost more grammar than loss?",
    prediction="short windows cost loss and no margin that can be told from 0; shared blocks cost some of both",
    baseline="full",
    arms={
        "full": full,
        "short": vary(full, {"model.blocks.*.attention.window_tokens": 8}),
        "shared": vary(full, {"model": cycle(BLOCK, BLOCK, times=DEPTH // 2).into(full.model)}),
    },
    seeds=4,
    primary=Primary("minimal_pairs", "margin", smallest_effect=0.02),  # nats per token
)
