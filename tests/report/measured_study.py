"""A finished study with everything beside the loss measured, from formulas."""

from pathlib import Path

import numpy as np
from synthetic_study import write_study

from vslm.results.files import read_arrays, read_json, write_arrays, write_json

ARMS = {
    "full": (256, 0.42, 526_592),
    "window-64": (64, 0.42, 526_592),
    "window-32-then-a-long-name": (32, 0.45, 401_000),
    "window-16": (16, 0.44, 401_500),
    "window-8": (8, 0.43, 300_000),
    "window-4": (4, 0.42, 700_000),
}
STEPS_S = np.array([0, 1, 10, 100, 1750])
NUM_VISITS, NUM_HEADS, NUM_OCTAVES = 4, 3, 8


def measured_arrays(window: int, seed: int) -> dict[str, np.ndarray]:
    """What a run stores beside the loss."""
    rng = np.random.default_rng([seed, window])
    visits_L = np.arange(1 + NUM_VISITS)
    from_P = 2 ** np.arange(NUM_OCTAVES)
    accuracy_P = 1 / (1 + np.exp(np.log2(from_P) - np.log2(window))) + 0.01 * rng.standard_normal(NUM_OCTAVES)
    accuracy_P[0] = np.nan
    heads_LH = rng.uniform(0.2, 1.0, (NUM_VISITS, NUM_HEADS)) * window / 3
    heads_LH[1, 2] = np.nan  # a visit with fewer heads
    progress_S1 = np.log1p(STEPS_S)[:, None] / np.log1p(STEPS_S[-1])
    exponent_SN = 1 + progress_S1 * np.linspace(-0.3, 0.2, NUM_HEADS) * (1 + 0.05 * rng.standard_normal())
    tracks = {f"parameters.blocks.{i}.attention.normalizer.exponent_SN": exponent_SN * (1 + 0.01 * i) for i in (0, 1)}
    tracks = {name: values - values[:1] + 1 for name, values in tracks.items()}
    return {
        "logit_lens.steps_S": STEPS_S[-1:],
        "logit_lens.p_current_SL": (0.6 * np.exp(-visits_L * window / 64) + 0.001 * rng.random(5))[None],
        "logit_lens.top_current_SL": np.exp(-visits_L)[None],
        "logit_lens.p_next_SL": (0.1 * visits_L / NUM_VISITS)[None],
        "logit_lens.loss_nats_SL": (7 - visits_L + 0.01 * rng.standard_normal(5))[None],
        "attention_distance.steps_S": STEPS_S[-1:],
        "attention_distance.distance_tokens_SLH": heads_LH[None],
        "attention_distance.p_self_SLH": (heads_LH / window)[None],
        "residual_norms.steps_S": STEPS_S[-1:],
        "residual_norms.rms_SL": (1.0 + visits_L + 0.1 * rng.standard_normal(5))[None],
        "recall.steps_S": STEPS_S[-1:],
        "recall.accuracy_SP": accuracy_P[None],
        "recall.from_tokens_SP": from_P[None],
        "parameters.steps_S": STEPS_S,
        **tracks,
    }


def write_measured_study(path: Path, arms: dict[str, tuple[int, float, int]] | None = None) -> Path:
    """Six arms, three seeds."""
    arms = ARMS if arms is None else arms
    write_study(path, arms, num_positions=41)
    for arm, (window, _, _) in arms.items():
        for seed in range(3):
            file = path / arm / f"seed{seed}" / "arrays.npz"
            write_arrays(file, read_arrays(file) | measured_arrays(window, seed))
    study = read_json(path / "study.json")
    for arm in study["arms"].values():
        arm["experiment"]["data"] = {"kind": "AssociativeRecall", "num_pairs": 16}
    write_json(path / "study.json", study)
    return path
