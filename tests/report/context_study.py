"""A finished study whose runs measured how loss depends on context, from formulas."""

from pathlib import Path

import numpy as np
from synthetic_study import write_study

from vslm.results.files import read_arrays, write_arrays

CONTEXT_TOKENS, NUM_DOCUMENTS, NUM_TARGETS = 64, 23, 47
DOCUMENT_OF_N = np.arange(NUM_DOCUMENTS)  # of windows: as many, each of its own
ARMS = {"layers-1": (4, 0.35, 101_000), "layers-2": (64, 0.42, 103_000), "layers-4": (64, 0.45, 107_000)}
STEPS_S = np.array([0, 1, 10, 100, 300, 1750])
LENGTHS_K = 2 ** np.arange(7)
EDGES = np.array([0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64])
SETS_IN = 300  # the step from which an arm with a long window uses far context


def curve_of(window: int, seed: int) -> np.ndarray:
    """C(k) by step: ln 1024 at first, then falling with k up to the window, far context only from `SETS_IN` on."""
    progress_S1 = np.log1p(STEPS_S)[:, None] / np.log1p(STEPS_S[-1])
    reach_S1 = np.where(STEPS_S[:, None] >= SETS_IN, window, min(window, 4))
    used_SK = np.minimum(LENGTHS_K, reach_S1)
    noise_SK = 0.002 * np.random.default_rng([seed, window]).standard_normal((len(STEPS_S), len(LENGTHS_K)))
    return np.log(1024) - progress_S1 * (2.5 + 0.3 * np.log(used_SK)) + np.where(STEPS_S[:, None] > 0, noise_SK, 0)


def context_arrays(window: int, exponent: float, seed: int) -> dict[str, np.ndarray]:
    """What a run stores."""
    loss_SK = curve_of(window, seed)
    num_steps = len(STEPS_S)
    middles_P = np.sqrt((EDGES[:-1] + 1) * EDGES[1:])
    rng = np.random.default_rng([7, seed])
    level_N1 = 0.3 * np.random.default_rng(5).standard_normal(
        (NUM_DOCUMENTS, 1)
    )  # documents are the same for all seeds
    random_NP = 2.5 + 2 * middles_P**-exponent + level_N1 + 0.05 * rng.standard_normal((NUM_DOCUMENTS, len(middles_P)))
    document_NP, counts_NP = random_NP - 0.4, np.tile(np.diff(EDGES), (NUM_DOCUMENTS, 1))
    counts_NP[::2, -2:] = 0  # every second document has ended
    return {
        "context_curve.steps_S": STEPS_S,
        "context_curve.loss_nats_SK": loss_SK,
        "context_curve.gain_sem_nats_SK": np.full(loss_SK.shape, 0.031),
        "context_curve.far_gain_sem_nats_S": np.full(num_steps, 0.017),
        "context_curve.context_tokens_SK": np.tile(LENGTHS_K, (num_steps, 1)),
        "context_curve.num_targets_S": np.full(num_steps, NUM_TARGETS),
        "position_profile.steps_S": STEPS_S[-1:],
        "position_profile.random_nats_SNP": random_NP[None].astype(np.float32),
        "position_profile.random_document_SN": DOCUMENT_OF_N[None],
        "position_profile.document_nats_SNP": np.where(counts_NP > 0, document_NP, np.nan)[None],
        "position_profile.document_targets_SNP": counts_NP[None],
        "position_profile.tokens_SP": middles_P[None],
    }


def write_context_study(path: Path, arms: dict[str, tuple[int, float, int]] | None = None, seeds: int = 3) -> Path:
    """Three arms, three seeds; the first is the baseline."""
    arms = ARMS if arms is None else arms
    write_study(path, arms, seeds=tuple(range(seeds)), num_positions=CONTEXT_TOKENS)
    for arm, (window, exponent, _) in arms.items():
        for seed in range(seeds):
            file = path / arm / f"seed{seed}" / "arrays.npz"
            write_arrays(file, read_arrays(file) | context_arrays(window, exponent, seed))
    return path
