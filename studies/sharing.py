"""Weight sharing: which blocks, or which parts of them, can be one?

Four visits in every arm but the smaller model. AABB, ABAB and ABBA have two blocks' weights in three orders; the
smaller model has the same number of parameters and half of the visits, so it tells what the visits are worth.
"""

from vslm import (
    Budget,
    Experiment,
    Primary,
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

model = uniform(depth=4, width=128, heads=4, context_tokens=256)
block = model.blocks["0"]
plain = Experiment(model=model, data=StandardLibrary(vocabulary=1024), budget=Budget(tokens=2_000_000))
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
        "smaller": vary(plain, {"model": uniform(depth=2, width=128, heads=4, context_tokens=256)}),
    },
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.02),
)
