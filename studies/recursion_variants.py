"""Recursion: what should a loop be given, and can it run towards the next step of the prediction?

Four blocks of width 64, the middle two passed once in the baseline and twice in every `loop...`, with the same
parameters but for what a variant brings. `loop` adds the stream before the core in every loop, and `once-injection` is
its control: the same addition, one pass. The others change what `loop` does: no injection, a matrix, where the state
starts, a vector or a low-rank change per loop, a random number of loops in training, gradients through the last loop
alone. `shifted` passes the whole model twice, the second time from the last state of the position before, and `ahead`
predicts the token after the next in its second pass: the two readings of "recursive for the next step of the
prediction". `depth-6` and `depth-8` spend the compute of a loop and of a second pass on blocks of their own, with more
parameters.

Every arm is screened; `once`, `once-injection`, `loop`, `shifted` and the best of the others are judged with tuned
rates, at a quarter, one and four times the budget. In an hour on two cores a run has about 0.4 million tokens, and four
times that at the largest budget; eight seeds resolve about 0.05 nats: whether a variant is worth its compute at all,
not which of two good ones is better. Every `loop...` and `shifted` are also measured with fewer and more loops than
they were trained with. What a loop is worth beside a layer: `recursion.py`.
"""

from vslm import (
    INJECT_MATRIX,
    INJECT_SUM,
    Budget,
    Experiment,
    LearnedState,
    LearningRates,
    LossByLoops,
    LossByPosition,
    LowRank,
    NoiseState,
    Primary,
    Screen,
    StandardLibrary,
    Study,
    UniformLoops,
    ahead,
    looped,
    shifted,
    uniform,
    vary,
)

plain = uniform(depth=4, width=64, heads=4, context_tokens=256)
once = Experiment(
    model=plain,
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=1_000_000),
    measures=(LossByPosition(num_evaluations=12, num_tokens=2048, num_final_tokens=51_200),),
)
MODELS = {
    "once-injection": looped(plain, times=1, inject=INJECT_SUM),
    "loop": looped(plain, times=2, inject=INJECT_SUM),
    "loop-no-injection": looped(plain, times=2),
    "loop-matrix": looped(plain, times=2, inject=INJECT_MATRIX),
    "loop-learned-start": looped(plain, times=2, inject=INJECT_MATRIX, start=LearnedState()),
    "loop-noise-start": looped(plain, times=2, inject=INJECT_MATRIX, start=NoiseState()),
    "loop-vectors": looped(plain, times=2, inject=INJECT_SUM, vectors=True),
    "loop-low-rank": looped(plain, times=2, inject=INJECT_SUM, delta=LowRank(rank=8)),
    "loop-random": looped(plain, times=2, inject=INJECT_SUM, training=UniformLoops(counts=(1, 2, 3))),
    "loop-last-gradient": looped(plain, times=2, inject=INJECT_SUM, gradient_loops=1),
    "shifted": shifted(plain, passes=2),
    "ahead": ahead(plain, tokens=2),
    "depth-6": uniform(depth=6, width=64, heads=4, context_tokens=256),
    "depth-8": uniform(depth=8, width=64, heads=4, context_tokens=256),
}


def measured(name: str) -> Experiment:
    """The arm; where loops are before the main loss it is measured at other numbers of them, too."""
    arm = vary(once, {"model": MODELS[name]})
    has_loops = name.startswith("loop") or name == "shifted"
    return vary(arm, {"measures": (*once.measures, LossByLoops(num_tokens=4096))}) if has_loops else arm


STUDY = Study(
    question="Does looping layers help, for the same token and for the next step of the prediction?",
    prediction="loop beats once by less than 0.05 nats; injection is needed; the state of the position before helps "
    "less than a loop",
    baseline="once",
    arms={"once": once, **{name: measured(name) for name in MODELS}},
    seeds=8,
    primary=Primary("val_loss", smallest_effect=0.02),
    screen=Screen(controls=("once-injection", "loop", "shifted"), keep=1, budget_fraction=1),
    tune=LearningRates(),
    budgets=(0.25, 1, 4),
)
