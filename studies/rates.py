"""At which learning rate does AdamW end best?

Six rates a factor of 1.7 apart, everything else equal, for one width and one budget; another width is another WIDTH
here, another budget `--tokens`. `answers` says where the parabola through the best rate and its neighbors has its
vertex, for every seed and for their mean. `docs/recipe.md` has what was seen.
"""

import math

import numpy as np

from vslm import AdamW, Budget, Experiment, LossByPosition, Primary, StandardLibrary, Study, StudyFolder, uniform, vary

WIDTH = 64
FACTOR = 1.7
MIDDLE = 0.0113 * math.sqrt(64 / WIDTH)
RATES = {f"rate-{rate:.4f}": rate for rate in (MIDDLE * FACTOR**i for i in range(-3, 3))}

first, *others = RATES.items()
slowest = Experiment(
    model=uniform(depth=4, width=WIDTH, heads=max(1, WIDTH // 16), context_tokens=128),
    data=StandardLibrary(vocabulary=1024),
    budget=Budget(tokens=1_000_000),
    optimizer=AdamW(learning_rate=first[1]),
    measures=(LossByPosition(num_evaluations=4, num_tokens=10_240, num_final_tokens=102_400),),
)
STUDY = Study(
    question="At which learning rate does a run of this size and length end best?",
    prediction="at about 0.0113 for width 64 at 1M tokens; 1.4 times less for twice the width or four times the tokens",
    baseline=first[0],
    arms={first[0]: slowest, **{arm: vary(slowest, {"optimizer.learning_rate": rate}) for arm, rate in others}},
    seeds=2,
    primary=Primary("val_loss", smallest_effect=0.01),
    pilot=None,
)


def vertex(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """The rate at the vertex of the parabola in ln(rate) through the best rate and its neighbors; None at an edge."""
    best = int(np.argmin(losses))
    if best in (0, len(rates) - 1):
        return None
    x = np.log(rates[best - 1 : best + 2])
    curvature, slope, _ = np.polyfit(x - x[1], losses[best - 1 : best + 2], 2)
    return float(math.exp(x[1] - slope / (2 * curvature)))


def answers(folder: StudyFolder) -> list[str]:
    ended = folder.paired(list(STUDY.arms))
    rates = np.array(list(RATES.values()))
    by_seed = np.array([[done.val_loss for done in ended[arm].values()] for arm in STUDY.arms]).T
    if not by_seed.size:
        return []
    found = [vertex(rates, losses) for losses in by_seed]
    mean = vertex(rates, by_seed.mean(axis=0))
    if mean is None:
        return [f"width {WIDTH}: the best rate is the {'lowest' if by_seed.mean(axis=0).argmin() == 0 else 'highest'}"]
    each = ", ".join("at an edge" if one is None else f"{one:.4f}" for one in found)
    losses = ", ".join(f"{rate:.4f}: {loss:.3f}" for rate, loss in zip(rates, by_seed.mean(axis=0), strict=True))
    return [f"width {WIDTH}: best rate {mean:.4f} (each seed: {each}); mean losses {losses}"]
