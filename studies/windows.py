"""Which blocks should see far?

Six blocks of width 64 and a context of 256. Two windows of 16, two of 40 and two of 184, in every order; beside them
equal windows, and full attention in every third block, matched within 0.1% on the sum of mean visible keys, which is
what attention costs; the three numbers are such that whole windows meet their sum. Every arm reaches the whole context.
`full` sees everything everywhere and costs 13% more: the control that says what windows cost.

Every arm is screened; `uniform`, `full`, the two patterns that the prediction puts first and the best of the others are
judged with tuned rates, at a quarter, one and four times the budget. In an hour on two cores a run has about
0.4 million tokens, and four times that at the largest budget; eight seeds resolve about 0.05 nats, and differences of
0.005 to 0.03 are expected. Text does not ask much of so small a model's memory: `windows_recall.py`
trains the same patterns on a task that asks for nothing else.
"""

from vslm import (
    Budget,
    Experiment,
    LearningRates,
    LossByPosition,
    Primary,
    Screen,
    StandardLibrary,
    Study,
    uniform,
    vary,
    window_patterns,
    windowed,
)

CONTEXT_TOKENS, WINDOWS = 256, (16, 16, 40, 40, 184, 184)
full = uniform(depth=len(WINDOWS), width=64, heads=4, context_tokens=CONTEXT_TOKENS)
PATTERNS = window_patterns(WINDOWS, context_tokens=CONTEXT_TOKENS)
plain = Experiment(
    model=full,
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=1_000_000),
    measures=(LossByPosition(num_evaluations=12, num_tokens=2048, num_final_tokens=51_200),),
)
STUDY = Study(
    question="Which blocks should see far: the first, the last, or those in the middle?",
    prediction="increasing <= small-large-small < uniform < decreasing, by 0.005 to 0.03 nats",
    baseline="uniform",
    arms={
        name: vary(plain, {"model": windowed(full, windows, at_least=CONTEXT_TOKENS)})
        for name, windows in PATTERNS.items()
    },
    seeds=8,
    primary=Primary("val_loss", smallest_effect=0.01),
    equal="flops",
    unequal=("full",),
    screen=Screen(controls=("full", "increasing", "small-large-small"), keep=1, budget_fraction=1),
    tune=LearningRates(),
    budgets=(0.25, 1, 4),
)
