"""AdamW, Muon, Schedule-Free, MoMo-Adam, SGD: per step, each at its own best learning rate.

Every learning rate is searched over 2.5 decades with equal effort; the page says the best, how wide the basin around it
is, after how many steps and seconds an arm is where tuned AdamW ends, and how many runs diverged. For the same time in
place of the same tokens: `MATCH = "time"`. Two sizes are two runs of this file: `WIDTH` 64 and 128; other text: `DATA`.

Schedule-Free has a schedule that stays, all others the cosine; it is an arm where its library is installed
(`pip install 'vslm[schedulefree]'`).
"""

import importlib.util
from typing import Literal

from vslm import (
    SGD,
    AdamW,
    Budget,
    Experiment,
    LearningRates,
    LossByPosition,
    MomoAdam,
    Muon,
    Primary,
    ScheduleFreeAdamW,
    StandardLibrary,
    Study,
    WarmupStableDecay,
    uniform,
    vary,
)

WIDTH, DATA = 64, StandardLibrary(vocabulary=1024)
MATCH: Literal["tokens", "time"] = "tokens"

adamw = Experiment(
    model=uniform(depth=4, width=WIDTH, heads=WIDTH // 16, context_tokens=128),
    data=DATA,
    budget=Budget(tokens=600_000),
    batch_tokens=1024,
    optimizer=AdamW(learning_rate=0.01),
    measures=(LossByPosition(num_evaluations=16, num_tokens=10_240, num_final_tokens=51_200),),
)
ARMS = {
    "adamw": adamw,
    "muon": vary(adamw, {"optimizer": Muon(learning_rate=0.01)}),
    "momo-adam": vary(adamw, {"optimizer": MomoAdam(learning_rate=0.03, betas=(0.9, 0.95), weight_decay=0.1)}),
    "sgd": vary(adamw, {"optimizer": SGD(learning_rate=1.0, nesterov=True)}),
}
if importlib.util.find_spec("schedulefree"):
    stays = {"schedule": WarmupStableDecay(warmup_fraction=0.05, decay_fraction=0.0)}
    ARMS["schedule-free"] = vary(adamw, {"optimizer": ScheduleFreeAdamW(learning_rate=0.03), **stays})
STUDY = Study(
    question="Which optimizer ends best at this size, and which needs the least search?",
    prediction=(
        "muon ends 0.02 to 0.08 nats ahead of adamw per step; schedule-free within 0.02 behind; momo-adam equal; sgd "
        "0.2 or more behind; the widest basin is that of muon"
    ),
    baseline="adamw",
    arms=ARMS,
    tune=LearningRates(values=6, factor=10**0.5, more_seeds=1),
    seeds=5,
    match=MATCH,
    primary=Primary("val_loss", smallest_effect=0.01),
)
