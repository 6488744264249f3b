"""Should the layers of a small model be equally large?

Six blocks of width 96. Heads and the middles of the feedforwards are shared out among the blocks by knots from 0.5 to
1.5 of the uniform size; their sums, and so the parameters, are the same in every arm. Two arms shape one of the two.
"""

from vslm import AdamW, Budget, Experiment, Primary, RateByWidth, StandardLibrary, Study, knots, sized, uniform, vary

DEPTH, WIDTH = 6, 96
uniform_model = uniform(depth=DEPTH, width=WIDTH, heads=6, context_tokens=256)
baseline = Experiment(
    model=uniform_model,
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=2_000_000),
    # A block with a large middle would otherwise also learn at a higher rate.
    optimizer=AdamW(learning_rate=0.004, rate_by_width=RateByWidth(reference_width=WIDTH)),
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
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.01),
)
