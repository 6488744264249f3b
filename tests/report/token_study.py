"""A finished study with the token view measured, on a text that tries to be more than text."""

from pathlib import Path

import numpy as np
from synthetic_study import write_study

from vslm.data.tokenizers import BPE, FittedTokenizer
from vslm.results.files import read_arrays, write_arrays

STEPS_S = np.array([0, 10, 1750])
HOSTILE = (
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    '" onfocus="window.hacked=1" autofocus x="',
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd\u0301",
    "\x1b[31m\x00\u2028 caf\u00e9 \U0001f600",
)
TEXTS = ("\n".join(HOSTILE), "Once upon a time.\n\n    Twice.")
ARMS = {"all-visible": (256, 0.42, 526_592), "window-4": (4, 0.42, 526_592)}
TOP = 3


def tokenizer() -> FittedTokenizer:
    """Bytes, with a few pairs."""
    return BPE(vocabulary=270).fit([" ".join(TEXTS) * 5])


def token_arrays(window: int, seed: int) -> dict[str, np.ndarray]:
    """What a run stores of the token view: losses that fall with training, and alternatives that are made up."""
    rng = np.random.default_rng([seed, window])
    pieces = [tokenizer().encode(text) for text in TEXTS]
    ids_N = np.concatenate(pieces)
    progress_S1 = np.log1p(STEPS_S)[:, None] / np.log1p(STEPS_S[-1])
    own_N = rng.uniform(0.2, 5.0, len(ids_N))
    loss_SN = (1 - progress_S1) * np.log(270) + progress_S1 * own_N
    top_ids_SNK = rng.integers(1, 270, (len(STEPS_S), len(ids_N), TOP))
    top_ids_SNK[:, :, 0] = ids_N
    top_p_SNK = np.exp(-loss_SN)[:, :, None] / np.array([1, 20, 400])
    over_S = len(STEPS_S)
    return {
        "token_view.steps_S": STEPS_S,
        "token_view.ids_SN": np.tile(ids_N, (over_S, 1)),
        "token_view.piece_SN": np.tile(np.repeat([0, 1], [len(piece) for piece in pieces]), (over_S, 1)),
        "token_view.from_token_SP": np.tile([0, 1234], (over_S, 1)),
        "token_view.loss_nats_SN": loss_SN.astype(np.float32),
        "token_view.rank_SN": np.tile(1 + np.arange(len(ids_N)), (over_S, 1)),
        "token_view.entropy_nats_SN": (loss_SN + 0.5).astype(np.float32),
        "token_view.top_ids_SNK": top_ids_SNK,
        "token_view.top_p_SNK": top_p_SNK.astype(np.float32),
    }


def write_token_study(path: Path, seeds: tuple[int, ...] = (0, 1)) -> Path:
    """Two arms, two seeds."""
    write_study(path, ARMS, seeds=seeds, num_positions=13)
    for arm, (window, _, _) in ARMS.items():
        for seed in seeds:
            folder = path / arm / f"seed{seed}"
            write_arrays(folder / "arrays.npz", read_arrays(folder / "arrays.npz") | token_arrays(window, seed))
            tokenizer().save(folder / "tokenizer.json")
    return path
