"""How much does a small model gain from seeing further back, and where in the sequence?

Two layers, the text of Python's standard library, three windows; about 8 minutes on two cores. At so small a budget a
model uses its context only if it learns fast: hence a high rate, a norm on queries and keys that bears it, and scores
that start sharp enough to single out a position. Four seeds, because with three an interval is nearly twice as wide.
"""

from vslm import AdamW, Budget, Experiment, Primary, StandardLibrary, Study, uniform, vary

full = Experiment(
    model=vary(
        uniform(depth=2, width=128, heads=4, context_tokens=256, qk_norm=True),
        {"blocks.*.attention.normalizer.temperature": 0.4},
    ),
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=540_000),
    optimizer=AdamW(learning_rate=0.006, clip_norm=0.3),
)
STUDY = Study(
    question="How much does a small model gain from seeing further back?",
    prediction="a window of 4 tokens is clearly worse; one of 32 is close to, or ahead of, all 256",
    baseline="full",
    arms={
        "full": full,
        "window-32": vary(full, {"model.blocks.*.attention.window_tokens": 32}),
        "window-4": vary(full, {"model.blocks.*.attention.window_tokens": 4}),
    },
    seeds=4,
    # Before position 32 there is little further back to see: the window of 32 is all of it there.
    primary=Primary("val_loss", positions=(32, 256), smallest_effect=0.01),
)
