"""What are the norm, Muon and half the batch worth, over all combinations of them, and does Muon need the norm?

The parts of `recipe.py` as factors: each is on or off, all eight combinations are trained, and every run tells of every
part. What `recipe.py` asks of single rungs (is a part worth anything once the others are there?) is asked here of the
mean over the others, and of one interaction by name. Half the batch keeps the optimizer's betas, so its moments
remember half as many tokens: a factor may set nothing that another one replaces, and Muon is an optimizer of its own.
"""

from vslm import AdamW, Budget, Experiment, LossByPosition, Muon, Primary, StandardLibrary, Study, uniform

WIDTH = 64
RATE = 0.004 * (128 / WIDTH) ** 0.5
MATRICES = 0.02 / (0.2 * WIDTH**0.5)  # Muon's rate in its paper, for square matrices of this width

plain = Experiment(
    model=uniform(depth=4, width=WIDTH, heads=4, context_tokens=128),
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=1_000_000),
    batch_tokens=1024,
    optimizer=AdamW(learning_rate=RATE),
    measures=(LossByPosition(num_evaluations=12, num_tokens=10_240, num_final_tokens=102_400),),
)

STUDY = Study(
    question="What are the norm, Muon and half the batch worth, over all combinations of them?",
    prediction="the norm 0.05, Muon 0.09, half the batch 0.04 better; the norm and Muon together less than added up",
    baseline="plain",
    arms={"plain": plain},
    factors={
        "norm": {"model.root.normed": True, "model.root.multiplier": 1.0},  # uniform(..., recipe="normed")
        "muon": {"optimizer": Muon(learning_rate=MATRICES, rest_ratio=RATE / MATRICES)},
        "half-batch": {"batch_tokens": 512},
    },
    interactions=(("norm", "muon"),),
    seeds=7,
    primary=Primary("val_loss", smallest_effect=0.02),
)
