"""Weight sharing: which blocks, or which parts of them, can be one?

Four visits in every arm but the smaller model. AABB, ABAB and ABBA have two blocks' weights in three orders; the
smaller model has the same number of parameters and half of the visits, so it tells what the visits are worth. What the
others have equal is compute.

Every arm is screened; `plain`, the control `smaller` and the best two of the others are judged with tuned rates, at a
quarter, one and four times the budget.

In an hour on two cores a run has about half a million tokens, and four times that at the largest budget;
eight seeds resolve about 0.05 nats. What half of the weights cost is of that size; the orders among each other are not
to be told apart.
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
    cycle,
    cycle_reversed,
    repeat_each,
    share_attention,
    share_feedforward,
    uniform,
    vary,
)

model = uniform(depth=4, width=64, heads=4, context_tokens=256)
block = model.blocks["0"]
plain = Experiment(
    model=model,
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=1_000_000),
    measures=(LossByPosition(num_evaluations=12, num_tokens=2048, num_final_tokens=51_200),),
)
STUDY = Study(
    question="Does sharing weights between layers cost anything, and does it matter which are shared?",
    prediction="attention shared is within 0.02 of plain, feedforward shared is worse; AABB, ABAB and ABBA lie between "
    "plain and the smaller model, AABB first",
    baseline="plain",
    arms={
        "plain": plain,
        "AABB": vary(plain, {"model": repeat_each(block, block).into(model)}),
        "ABAB": vary(plain, {"model": cycle(block, block).into(model)}),
        "ABBA": vary(plain, {"model": cycle_reversed(block, block).into(model)}),
        "attention": vary(plain, {"model": share_attention(block, depth=4).into(model)}),
        "feedforward": vary(plain, {"model": share_feedforward(block, depth=4).into(model)}),
        "smaller": vary(plain, {"model": uniform(depth=2, width=64, heads=4, context_tokens=256)}),
    },
    seeds=8,
    primary=Primary("val_loss", smallest_effect=0.02),
    equal="flops",
    unequal=("smaller",),
    screen=Screen(controls=("smaller",), keep=2, budget_fraction=1),
    tune=LearningRates(),
    budgets=(0.25, 1, 4),
)
