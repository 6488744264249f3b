"""How far apart do paired runs end, and how skewed are their differences?

What a verdict promises depends on the scatter of paired differences (docs/verdicts.md). Simulated noises are chosen;
this study shows what runs here really have: sixteen seeds of a baseline, of an arm that changes what the model can use,
and of one that changes how it is trained. `answers` says SD, skewness and correlations, which no verdict does.
"""

import numpy as np

from vslm import Budget, Experiment, LossByPosition, Primary, StandardLibrary, Study, StudyFolder, uniform, vary

full = Experiment(
    model=uniform(depth=2, width=64, heads=2, context_tokens=128),
    data=StandardLibrary(vocabulary=512),
    budget=Budget(tokens=400_000),
    batch_tokens=1024,
    measures=(LossByPosition(num_evaluations=4, num_tokens=2048, num_final_tokens=65536),),
)
STUDY = Study(
    question="How do differences of real runs scatter?",
    prediction="less skewed than lognormal with sigma 0.5; correlations of arms above 0.7",
    baseline="full",
    arms={
        "full": full,
        "window-4": vary(full, {"model.blocks.*.attention.window_tokens": 4}),
        "half-rate": vary(full, {"optimizer.learning_rate": 0.0028}),
    },
    seeds=16,
    primary=Primary("val_loss", smallest_effect=0.01),
)


def answers(folder: StudyFolder) -> list[str]:
    ended = folder.paired(list(STUDY.arms))
    losses = {arm: np.array([done.val_loss for done in by_seed.values()]) for arm, by_seed in ended.items()}
    base, n = losses[STUDY.baseline], len(losses[STUDY.baseline])
    if n < 4:  # fewer have no skewness worth a number
        return []
    error = np.sqrt(6 * n * (n - 1) / ((n - 2) * (n + 1) * (n + 3)))  # of the skewness of normal values
    said = [f"{STUDY.baseline}: SD of a run {base.std(ddof=1):.4f} nats over {n} seeds"]
    for arm in STUDY.others:
        apart = losses[arm] - base
        skewness = ((apart - apart.mean()) ** 3).mean() / apart.std() ** 3 * np.sqrt(n * (n - 1)) / (n - 2)
        said.append(
            f"{arm} minus {STUDY.baseline}: SD {apart.std(ddof=1):.4f} nats, skewness {skewness:+.2f} (standard error "
            f"{error:.2f}), correlation of the two losses of a seed {np.corrcoef(base, losses[arm])[0, 1]:.2f}"
        )
    return said
