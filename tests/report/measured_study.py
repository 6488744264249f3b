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
NUM_PLACES, NUM_TOKENS = 11, 7  # of a repeated block, and of maps of attention


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
        "loss_by_loops.steps_S": STEPS_S[-1:],
        "loss_by_loops.times_SR": np.array([[1, 2, 3, 6]]),
        "loss_by_loops.loss_nats_SR": (4 - np.log2([1, 2, 2.5, 2]) + 0.01 * rng.standard_normal(4))[None],
        "beyond_context.steps_S": STEPS_S[-1:],
        "beyond_context.to_tokens_SP": np.array([[64, 96, 128]]),
        "beyond_context.rise_nats_SP": np.array([[0.0, 0.1, 0.3]]) * (1 + 0.1 * rng.standard_normal(3)),
        "beyond_context.beyond_nats_SP": 3 + 0.1 * rng.standard_normal((1, 3)),
        "recall.steps_S": STEPS_S[-1:],
        "recall.accuracy_SP": accuracy_P[None],
        "recall.from_tokens_SP": from_P[None],
        **probed_arrays(window, seed, rng),
        "parameters.steps_S": STEPS_S,
        **tracks,
    }


def probed_arrays(window: int, seed: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What probes store: heads that copy appear late and in another place for each seed."""
    rises_S = np.array([0.0, 0.0, 0.01, 0.3, 1.0]) * np.log2(window) / 8
    score_SLH = 0.01 + 0.005 * rng.random((len(STEPS_S), NUM_VISITS, NUM_HEADS))
    score_SLH[:, 2, seed % NUM_HEADS] += 0.8 * rises_S
    score_SLH[:, 1, 2] = np.nan
    first_ST = np.full((len(STEPS_S), NUM_PLACES), 6.0) + 0.1 * rng.standard_normal((len(STEPS_S), NUM_PLACES))
    second_ST = first_ST - 4 * rises_S[:, None] * np.linspace(0.4, 1.6, NUM_PLACES)
    widths_L = np.array([64, 64, 96, 96, 64])
    share_LHTS = rng.random((2, NUM_HEADS, NUM_TOKENS, NUM_TOKENS)) * np.tri(NUM_TOKENS)
    share_LHTS /= share_LHTS.sum(axis=-1, keepdims=True)
    share_LHTS[1, 2] = np.nan
    text = [b"", b"<b>x</b>", b" and", b"\n", b"\xc3", b"%{y}$", b"."]
    padded_TN = np.array([list(item.ljust(8, b"\0")) for item in text], dtype=np.uint8)
    counts = {"part": [301, 212, 0, 101, 50, 3], "occurrence": [402, 265], "frequency": [0, 3, 64, 600]}
    arrays = {
        "copy_gain.steps_S": STEPS_S,
        "copy_gain.gain_nats_S": (first_ST - second_ST).mean(-1),
        "copy_gain.first_loss_nats_ST": first_ST,
        "copy_gain.second_loss_nats_ST": second_ST,
        "prefix_matching.steps_S": STEPS_S,
        "prefix_matching.score_SLH": score_SLH,
        "effective_rank.steps_S": STEPS_S[-1:],
        "effective_rank.rank_SL": (widths_L / np.linspace(2, 5, 5) + rng.random(5))[None],
        "effective_rank.width_SL": widths_L[None],
        "token_probe.steps_S": STEPS_S[-1:],
        "token_probe.accuracy_current_SL": np.linspace(1, 0.4, 5)[None] - 0.01 * rng.random((1, 5)),
        "token_probe.accuracy_previous_SL": np.linspace(0.1, 0.6, 5)[None] - 0.01 * rng.random((1, 5)),
        "token_probe.chance_S": np.array([0.07]),
        "attention_maps.steps_S": STEPS_S[-1:],
        "attention_maps.share_SLHTS": share_LHTS[None].astype(np.float32),
        "attention_maps.place_SL": np.array([[0, 3]]),
        "attention_maps.token_bytes_STN": padded_TN[None],
        "attention_maps.token_num_bytes_ST": np.array([[len(item) for item in text]]),
        "token_classes.steps_S": STEPS_S[-1:],
        "token_classes.frequency_from_count_SG": np.array([[0, 1, 2, 4]]),
    }
    for division, count in counts.items():
        loss_G = 3 + np.log(300 / (1 + np.array(count))) / 4 + 4 / window + 0.05 * rng.standard_normal(len(count))
        arrays[f"token_classes.{division}_num_tokens_SG"] = np.array([count], dtype=float)
        arrays[f"token_classes.{division}_loss_nats_SG"] = np.where(np.array(count) > 0, loss_G, np.nan)[None]
    return arrays


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
