"""Does a step that a tangent chooses need less of a search for learning rates?

"Tangent descent" is no published optimizer; `docs/tangent-descent.md` says which readings these arms are. Every arm has
its cap (`learning_rate`, eta_max) searched over 2.5 decades around a guess, with equal effort, and is judged with five
seeds at what was found. What the question asks for is on the page under "Learning rates": loss against scale for every
arm, and its basin, the decades within 0.02 nats of its best. The section "Steps" says how often the cap, and not the
tangent, was the step: an arm that is capped at nearly every step is its direction at a constant learning rate.

Further readings are further lines of `OPTIMIZERS`: the averaged gradient (`Average()`), a fraction of the best loss so
far (`FractionOfBest()`), MoMo with its bound estimated, the gradient's arctangent (`Arctan`). No arm is screened out:
its basin is the answer, whatever its loss. The schedule is the same for all: it multiplies the cap. Other text: `DATA`;
another size: `WIDTH`.
"""

from vslm import (
    AdamDirection,
    AdamW,
    Budget,
    Experiment,
    Gradient,
    KnownTarget,
    L4Adam,
    LearningRates,
    LossByPosition,
    MomoAdam,
    Optimizer,
    Primary,
    RelativeDrop,
    StandardLibrary,
    Study,
    Tangent,
    uniform,
    vary,
)

WIDTH, DATA = 64, StandardLibrary(vocabulary=1024)
HALF_DECADE = 10**0.5
LEAST_NATS = 1.5  # below what these runs reach: a guess, as anybody has one

adamw = Experiment(
    model=uniform(depth=4, width=WIDTH, heads=WIDTH // 16, context_tokens=128),
    data=DATA,
    budget=Budget(tokens=600_000),
    batch_tokens=1024,
    optimizer=AdamW(learning_rate=0.01),
    measures=(LossByPosition(num_evaluations=16, num_tokens=10_240, num_final_tokens=51_200),),
)
OPTIMIZERS: dict[str, Optimizer] = {
    "drop-adam": Tangent(learning_rate=0.03, direction=AdamDirection(), target=RelativeDrop(drop=0.03)),
    "l4-adam": L4Adam(learning_rate=0.03, weight_decay=0.1),
    "momo-adam": MomoAdam(learning_rate=0.03, betas=(0.9, 0.95), weight_decay=0.1),
    "polyak": Tangent(learning_rate=3.0, direction=Gradient(), target=KnownTarget(nats=LEAST_NATS)),
}
STUDY = Study(
    question="Does a step that a tangent of the loss chooses save the search for a learning rate?",
    prediction=(
        "best losses of the Adam directions equal tuned AdamW within 0.01 nats; their basins are 1.5 to 3 times as "
        "wide; momo-adam with its bound at 0 is capped at nine steps in ten; polyak ends 0.2 nats or more behind"
    ),
    baseline="adamw",
    arms={"adamw": adamw, **{name: vary(adamw, {"optimizer": one}) for name, one in OPTIMIZERS.items()}},
    tune=LearningRates(values=6, factor=HALF_DECADE, more_seeds=1),
    seeds=5,
    primary=Primary("val_loss", smallest_effect=0.01),
)
