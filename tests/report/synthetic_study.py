"""Write a study's folder as a real run leaves it, from formulas: falling loss, learning in context, scatter by seed."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from vslm.results.files import write_arrays, write_json, write_rows, write_text

T_QUANTILE = 4.303  # two-sided 95 %, two degrees of freedom
STEPS = (0, 1, 2, 3, 5, 8, 12, 17, 25, 36, 52, 75, 108, 156, 224, 322, 463, 666, 957, 1750)
TOKENS_PER_STEP = 2048
FLOPS_PER_TOKEN = 3.1e6
UNTRAINED_NATS = math.log(1024)
SAMPLE = """def close(self):
    \"\"\"Close the file, and the file it wraps.\"\"\"
    if self.fp is None:
        return
    try:
        if self.mode in ('w', 'x', 'a') and self._didModify:
            self.fp.seek(self.start_dir)
            self._write_end_record()
    finally:
        fp = self.fp
        self.fp = None
"""

# name -> (window in tokens, what seeing further back is worth, number of parameters)
ARMS = {"all-visible": (256, 0.42, 526_592), "window-32": (32, 0.572, 526_592), "window-4": (4, 0.42, 526_592)}


def loss_by_position(window: int, gain: float, num_positions: int, step: int, wobble: float) -> np.ndarray:
    """Mean loss at every position: it falls with training, and with the tokens that are seen, up to the window."""
    seen_T = np.minimum(np.arange(1, num_positions + 1), window)
    progress = 1 - (1 + step / 12) ** -0.55
    context_T = gain * np.log(seen_T) / np.log(128) * progress**3
    return UNTRAINED_NATS - progress * (UNTRAINED_NATS - 2.95) / 0.935 - context_T + wobble * progress


def write_study(
    path: Path,
    arms: dict[str, tuple[int, float, int]] | None = None,
    *,
    seeds: tuple[int, ...] = (0, 1, 2),
    num_positions: int = 256,
    steps: tuple[int, ...] = STEPS,
    question: str = "How much does a small model gain from seeing further back, and where in the sequence?",
    sample: str = SAMPLE,
) -> Path:
    """Write a finished study; the first arm is the baseline. Returns `path`."""
    arms = ARMS if arms is None else arms
    baseline = next(iter(arms))
    finals = {
        arm: {
            seed: _write_run(path / arm / f"seed{seed}", arm, shape, seed, num_positions, steps, sample)
            for seed in seeds
        }
        for arm, shape in arms.items()
    }
    primary = {"measure": "val_loss", "positions": None, "smallest_effect": 0.01}
    write_json(
        path / "study.json",
        {
            "format": 1,
            "name": path.name,
            "question": question,
            "prediction": "A window of 4 costs at least 0.1 nats; a window of 32 costs nothing that matters.",
            "baseline": baseline,
            "arms": {arm: _arm(arm, shape, baseline, arms[baseline], steps) for arm, shape in arms.items()},
            "seeds": list(seeds),
            "primary": primary,
            "match": "tokens",
            "tuned": False,
            "settings": {"precision": "float32", "compile": True, "threads": 1, "workers": 2, "device": "cpu"},
            "corpora": {
                "5f2c90d1ab34": {
                    "description": "the source and documentation of Python 3.11.7",
                    "documents": 1641,
                    "repeats_removed": 13,
                    "vocabulary": 1024,
                    "tokens": {"train": 4_412_907, "select": 251_119, "val": 248_033},
                    "bytes": {"train": 11_402_113, "select": 640_201, "val": 631_877},
                }
            },
            "fingerprint": "0a1b2c3d4e5f",
            "vslm_version": "0.1.0",
            "created": "2026-03-14T15:09:26+00:00",
        },
    )
    if len(arms) > 1:
        write_json(path / "verdict.json", _verdict(question, baseline, primary, finals, arms, steps))
    return path


def _arm(arm: str, shape: Any, baseline: str, baseline_shape: Any, steps: tuple[int, ...]) -> dict[str, Any]:
    window, _, num_parameters = shape
    paths = [f"model.blocks.{name}.attention.window_tokens" for name in "01"]
    return {
        "experiment": {"kind": "Experiment", "model": {"kind": "Model", "context_tokens": 256}},
        "fingerprint": f"{abs(hash((window, num_parameters))) % 16**12:012x}",
        "differences": [] if arm == baseline else [[path, None, window] for path in paths],
        "num_parameters": num_parameters,
        "num_parameters_without_embeddings": num_parameters - 131_072,
        "flops_per_token": FLOPS_PER_TOKEN * (1 + window / 1024),
        "tokens": steps[-1] * TOKENS_PER_STEP,
        "kernels": {"0": "chunked", "1": "chunked"},
    }


def _write_run(path: Path, arm: str, shape: Any, seed: int, num_positions: int, steps: Any, sample: str) -> float:
    window, gain, _ = shape
    shared, own = np.random.default_rng(seed), np.random.default_rng([seed, window])
    wobble = 0.02 * shared.standard_normal() + 0.006 * own.standard_normal()
    hard_T = 0.03 * np.random.default_rng(97).standard_normal(num_positions)  # some validation tokens are harder
    val_ST = np.stack([loss_by_position(window, gain, num_positions, step, wobble) for step in steps])
    progress_S1 = 1 - (1 + np.array(steps)[:, None] / 12) ** -0.55
    val_ST = val_ST + progress_S1 * (hard_T + 0.012 * own.standard_normal(val_ST.shape))
    train_ST = val_ST - 0.02 * progress_S1 + 0.03 * own.standard_normal(val_ST.shape)
    train_ST[0] = np.nan
    flops = FLOPS_PER_TOKEN * (1 + window / 1024)
    rows = []
    for s, step in enumerate(steps):
        tokens = step * TOKENS_PER_STEP
        rows.append(
            {
                "step": step,
                "tokens": tokens,
                "flops": tokens * flops,
                "seconds": round(step * 0.056 * (1 + window / 2000) * (1 + 0.02 * seed), 3),
                "train_loss": None if s == 0 else float(train_ST[s].mean()),
                "val_loss": float(val_ST[s].mean()),
                "learning_rate": 0.003,
                "tokens_per_second": 36_000.0,
            }
        )
    write_rows(path / "measures.jsonl", rows)
    final_T = val_ST[-1]
    write_arrays(
        path / "arrays.npz",
        {
            "steps_S": np.array(steps),
            "tokens_S": np.array(steps) * TOKENS_PER_STEP,
            "val_loss_nats_ST": val_ST,
            "train_loss_nats_ST": train_ST,
            "final_val_loss_nats_T": final_T,
        },
    )
    write_text(path / "sample.txt", f"def close(self):\n{sample}")
    write_json(
        path / "environment.json",
        {
            "vslm_version": "0.1.0",
            "torch": "2.9.1",
            "python": "3.11.7",
            "platform": "Linux-6.1-x86_64",
            "cpu": "a processor",
            "cores": 2,
            "device": "cpu",
            "threads": 1,
            "precision": "float32",
            "compile": True,
            "init_seed": seed,
            "data_seed": seed,
        },
    )
    final = float(final_T.mean())
    write_json(
        path / "done.json",
        {
            "status": "done",
            "fingerprint": "feed0000beef",
            "val_loss": final,
            "val_bpb": final * 0.393 / math.log(2),
            "tokens": rows[-1]["tokens"],
            "flops": rows[-1]["flops"],
            "seconds": rows[-1]["seconds"],
            "step": steps[-1],
        },
    )
    return final


def _verdict(question: str, baseline: str, primary: Any, finals: Any, arms: Any, steps: Any) -> dict[str, Any]:
    judged = {}
    for arm, by_seed in finals.items():
        if arm == baseline:
            continue
        differences = np.array([by_seed[seed] - finals[baseline][seed] for seed in by_seed])
        delta = float(differences.mean())
        half = (
            T_QUANTILE * float(differences.std(ddof=1)) / math.sqrt(len(differences)) if len(differences) > 1 else None
        )
        interval = [None, None] if half is None else [delta - half, delta + half]
        verdict = "unresolved" if half is None or abs(delta) < half else "worse" if delta > 0 else "better"
        judged[arm] = {
            "verdict": verdict,
            "words": f"{arm} is {verdict} at 3.6M tokens.",
            "delta": delta,
            "interval": interval,
            "seeds": list(by_seed),
            "smallest_effect": primary["smallest_effect"],
            "minutes_to_resolve": 40.0 if verdict == "unresolved" else None,
            "tokens": steps[-1] * TOKENS_PER_STEP,
            "num_parameters": arms[arm][2],
            "flops": 1.1e13,
            "seconds": 98.0,
            "diverged": [],
            "looks": [
                {"seeds": len(by_seed), "delta": delta, "interval": interval, "error": 0.025, "verdict": verdict}
            ],
            "per_seed": {
                str(seed): {
                    "baseline": finals[baseline][seed],
                    "arm": value,
                    "difference": value - finals[baseline][seed],
                }
                for seed, value in by_seed.items()
            },
        }
    return {"question": question, "baseline": baseline, "primary": primary, "arms": judged, "missing": []}
