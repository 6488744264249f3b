"""What is each part of the recipe worth: the embedding through a norm, twice the learning rate, half the batch, Muon?

Four blocks of width 64 and a context of 128. Each change alone, and those of the embedding, the rate and Muon on top of
each other, at equal tokens. `--data` gives it another corpus; `docs/recipe.md` has what came of it on stories and on
novels.
"""

from vslm import AdamW, Budget, Experiment, LossByPosition, Muon, Primary, StandardLibrary, Study, uniform, vary

WIDTH = 64
RATE = 0.004 * (128 / WIDTH) ** 0.5
NORMED = {"model.root.normed": True, "model.root.multiplier": 1.0}  # uniform(..., recipe="normed")
# Half the tokens in a step, with moments that remember as many tokens.
HALF_BATCH = {"batch_tokens": 512}
SLOWER = {"optimizer.betas": (0.9**0.5, 0.95**0.5)}

plain = Experiment(
    model=uniform(depth=4, width=WIDTH, heads=4, context_tokens=128),
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=1_000_000),
    batch_tokens=1024,
    optimizer=AdamW(learning_rate=RATE),
    measures=(LossByPosition(num_evaluations=12, num_tokens=10_240, num_final_tokens=102_400),),
)
normed = vary(plain, NORMED)


def muon(matrices: float, rest: float) -> Muon:
    """Muon at the rate of its paper for square matrices of this width, and AdamW for the rest."""
    rate = matrices / (0.2 * WIDTH**0.5)
    return Muon(learning_rate=rate, rest_ratio=rest / rate)


STUDY = Study(
    question="What is each part of the recipe worth?",
    prediction="every part gains: twice the rate 0.03, the norm 0.06, half the batch 0.05, Muon 0.1, all together 0.17",
    baseline="plain",
    arms={
        "plain": plain,
        "rate": vary(plain, {"optimizer.learning_rate": 2 * RATE}),
        "batch": vary(plain, HALF_BATCH | SLOWER),
        "muon": vary(plain, {"optimizer": muon(0.02, RATE)}),
        "norm": normed,
        "norm-rate": vary(normed, {"optimizer.learning_rate": 2 * RATE}),
        "norm-muon": vary(normed, {"optimizer": muon(0.03, 2 * RATE)}),
        "norm-muon-batch": vary(normed, {"optimizer": muon(0.03, 2 * RATE), **HALF_BATCH}),
    },
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.02),
)
