"""Which blocks should see far?

Six blocks of width 96 and a context of 256. Two windows of 16, two of 40 and two of 184, in every order; beside them
equal windows, and full attention in every third block, matched within 0.1% on the sum of mean visible keys, which is
what attention costs; the three numbers are such that whole windows meet their sum. Every arm reaches the whole context.
`full` sees everything everywhere and costs more: it says what windows cost.

Text does not ask much of a small model's memory, so the same arms belong on a recall task too: `arms_on` takes any
data.
"""

from vslm import (
    Budget,
    Experiment,
    Primary,
    StandardLibrary,
    Study,
    decreasing,
    every_full,
    increasing,
    large_small_large,
    matched_windows,
    permuted,
    small_large_small,
    uniform,
    vary,
    visible_keys,
    windowed,
)

CONTEXT_TOKENS, WINDOWS = 256, (16, 16, 40, 40, 184, 184)
DEPTH = len(WINDOWS)
full = uniform(depth=DEPTH, width=96, heads=6, context_tokens=CONTEXT_TOKENS)
KEYS = visible_keys(windowed(full, WINDOWS))
equal, third_full = (
    matched_windows(pattern, visible_keys=KEYS, context_tokens=CONTEXT_TOKENS).windows
    for pattern in ((1.0,) * DEPTH, every_full(3, depth=DEPTH))
)
PATTERNS = {
    "uniform": equal,
    "increasing": increasing(WINDOWS),
    "decreasing": decreasing(WINDOWS),
    "small-large-small": small_large_small(WINDOWS),
    "large-small-large": large_small_large(WINDOWS),
    "permuted": permuted(WINDOWS),
    "third-full": third_full,
    "full": (None,) * DEPTH,
}


def arms_on(data, budget: Budget) -> dict[str, Experiment]:
    """One arm per pattern, on any text."""
    plain = Experiment(model=full, data=data, budget=budget)
    return {
        name: vary(plain, {"model": windowed(full, windows, at_least=CONTEXT_TOKENS)})
        for name, windows in PATTERNS.items()
    }


STUDY = Study(
    question="Which blocks should see far: the first, the last, or those in the middle?",
    prediction="increasing <= small-large-small < uniform < decreasing, by 0.005 to 0.03 nats",
    baseline="uniform",
    arms=arms_on(StandardLibrary(vocabulary=1024), Budget(tokens=2_000_000)),
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.01),
)
