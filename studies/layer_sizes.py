"""Should the layers of a small model be equally large?

Six blocks of width 64. Heads and the middles of the feedforwards are shared out among the blocks by knots from 0.5 to
1.5 of the uniform size; their sums, and so the parameters, are the same in every arm. Two arms shape one of the two.

Every shape is screened, and the best two are judged against `uniform` with tuned rates at three budgets. All the shapes
stand in the figure of the screening, without an interval; those that are judged above it, with one.

In an hour on two cores a run has about half a million tokens, and four times that at the largest budget.
Eight seeds resolve about 0.05 nats, and published differences between shapes are below 0.02: expect "not resolved", and
read a resolved one as a surprise.
"""

from vslm import (
    AdamW,
    Budget,
    Experiment,
    LearningRates,
    LossByPosition,
    Primary,
    RateByWidth,
    Screen,
    StandardLibrary,
    Study,
    knots,
    sized,
    uniform,
    vary,
)

DEPTH, WIDTH, HEAD_WIDTH = 6, 64, 16
uniform_model = uniform(depth=DEPTH, width=WIDTH, heads=WIDTH // HEAD_WIDTH, context_tokens=256)
baseline = Experiment(
    model=uniform_model,
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=1_000_000),
    # A block with a large middle would otherwise also learn at a higher rate.
    optimizer=AdamW(learning_rate=0.004, rate_by_width=RateByWidth(reference_width=WIDTH)),
    measures=(LossByPosition(num_evaluations=12, num_tokens=2048, num_final_tokens=51_200),),
)
SHAPES = {
    "increasing": knots(0.5, 1.5, depth=DEPTH),
    "decreasing": knots(1.5, 0.5, depth=DEPTH),
    "small-large-small": knots(0.5, 1.5, 0.5, depth=DEPTH),
    "large-small-large": knots(1.5, 0.5, 1.5, depth=DEPTH),
}
models = {name: sized(uniform_model, heads=shape, feedforward=shape) for name, shape in SHAPES.items()}
models["increasing-heads"] = sized(uniform_model, heads=SHAPES["increasing"])
models["increasing-feedforward"] = sized(uniform_model, feedforward=SHAPES["increasing"])

STUDY = Study(
    question="Should the layers of a small model be equally large, or does another shape of sizes do better?",
    prediction="all shapes within 0.02 of uniform and of each other; one of them may beat it, none can be ranked first",
    baseline="uniform",
    arms={"uniform": baseline, **{name: vary(baseline, {"model": model}) for name, model in models.items()}},
    seeds=8,
    primary=Primary("val_loss", smallest_effect=0.01),
    equal="parameters",
    screen=Screen(keep=2, budget_fraction=1),
    tune=LearningRates(),
    budgets=(0.25, 1, 4),
)
