"""For how many tokens does a prompt matter, and what of it: its words, their order, or only that there is one?

Two blocks of width 96 and a context of 192 on the standard library. Every prompt is the first 48 tokens of a validation
file and every continuation the next 96, so a model that uses them knows whose file it is in: names, style, language.

`full` sees everything. `window-16` sees 16 positions in each block, so a prompt reaches 2 * 15 = 30 tokens into a
continuation and no further: its divergence must be zero from token 32 on, which tests the measure, and its tau cannot
be long. `one-block` sees everything and has no second block that could find what the first one marked; its feedforward
is wider, so that all three have as many parameters.

The rate is high and scores start sharp, as in the quickstart, because at so small a budget a model begins to use its
context only if it learns fast.
"""

from vslm import (
    AdamW,
    Budget,
    Experiment,
    FeedforwardMultiplier,
    LossByPosition,
    Primary,
    PromptEffect,
    StandardLibrary,
    Study,
    matched,
    uniform,
    vary,
)

CONTEXT_TOKENS = 192


def model(depth: int):
    return vary(
        uniform(depth=depth, width=96, heads=4, context_tokens=CONTEXT_TOKENS, qk_norm=True),
        {"blocks.*.attention.normalizer.temperature": 0.4},
    )


full = Experiment(
    model=model(2),
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=1_000_000),
    optimizer=AdamW(learning_rate=0.006, clip_norm=0.3),
    measures=(LossByPosition(num_evaluations=12, num_tokens=4096), PromptEffect(num_prompts=16)),
)
STUDY = Study(
    question="For how many tokens does a prompt matter to a small model?",
    prediction="tau of full is at least twice that of window-16; one-block forgets more, down to a lower floor",
    baseline="full",
    arms={
        "full": full,
        "window-16": vary(full, {"model.blocks.*.attention.window_tokens": 16}),
        "one-block": matched(vary(full, {"model": model(1)}), to=full, by="parameters", change=FeedforwardMultiplier()),
    },
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.01),
    equal="parameters",
)
