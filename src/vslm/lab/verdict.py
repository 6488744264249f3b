"""The verdict of a study, from its finished runs: `verdict.json`."""

import math
from typing import Any

import numpy as np

from vslm.results.files import write_json
from vslm.results.folder import RunFolder, StudyFolder
from vslm.stats.intervals import per_arm_error
from vslm.stats.looks import LookPlan, error_of_look
from vslm.stats.power import minutes_to_resolve
from vslm.stats.verdicts import Look, in_words, take_look

UNITS = {"val_loss": "nats per token", "val_bpb": "bits per byte"}


def primary_value(run: RunFolder, primary: dict[str, Any], bytes_per_token: float) -> float | None:
    """The primary number of a finished run; None for one that diverged."""
    if not run.done or run.done["status"] != "done":
        return None
    first, end = primary["positions"] or (0, None)
    loss_nats = float(run.arrays["final_val_loss_nats_T"][first:end].mean())
    return loss_nats / (math.log(2) * bytes_per_token) if primary["measure"] == "val_bpb" else loss_nats


def write_verdict(folder: StudyFolder) -> dict[str, Any]:
    """Look at what is done, judge every arm, and write `verdict.json`. Looks taken before are kept."""
    study = folder.study
    verdict = _verdict(folder, study, StudyFolder(folder.path).verdict or {"arms": {}})
    write_json(folder.path / "verdict.json", verdict)
    return verdict


def _verdict(folder: StudyFolder, study: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    baseline, primary = study["baseline"], study["primary"]
    others = [arm for arm in study["arms"] if arm != baseline]
    plan = LookPlan(tuple(study["plan"]["looks"]), tuple(study["plan"]["errors"]), study["plan"]["reserve"])
    runs = {arm: {run.seed: run for run in folder.runs(arm) if _counts(run, study, arm)} for arm in study["arms"]}
    values = {
        arm: {seed: primary_value(run, primary, study["arms"][arm]["bytes_per_token"]) for seed, run in found.items()}
        for arm, found in runs.items()
    }
    arms = {}
    for arm in others:
        seeds = sorted(set(values[arm]) & set(values[baseline]))
        diverged = [seed for seed in seeds if values[arm][seed] is None or values[baseline][seed] is None]
        per_seed = {
            str(seed): _pair(values[baseline][seed], values[arm][seed]) for seed in seeds if seed not in diverged
        }
        differences_N = np.array([pair["difference"] for pair in per_seed.values()])
        looks = [dict(look) for look in before["arms"].get(arm, {}).get("looks", [])]
        taken = [look["seeds"] for look in looks]
        record: dict[str, Any] = {
            "verdict": "unresolved",
            "words": "no seed is finished on both sides",
            "delta": None,
            "interval": [None, None],
            "seeds": seeds,
            "diverged": diverged,
            "smallest_effect": primary["smallest_effect"],
            "minutes_to_resolve": None,
            "tokens": sum(study["arms"][arm]["stages_tokens"]),
            "num_parameters": study["arms"][arm]["num_parameters"],
            "flops": _mean(runs[arm], "flops"),
            "seconds": _mean(runs[arm], "seconds"),
            "looks": looks,
            "per_seed": per_seed,
        }
        if diverged:
            record["words"] = f"unresolved ({len(diverged)} of {len(seeds)} diverged)"
        elif seeds:
            found = take_look({arm: differences_N}, plan, taken, primary["smallest_effect"], num_arms=len(others))[arm]
            look = _take_in(record, found, looks)
            minutes = None
            if look.verdict == "unresolved" and len(seeds) > 1:
                next_error = per_arm_error(error_of_look(plan, [*taken, len(seeds)], len(seeds) + 1), len(others))
                per_seed_minutes = _minutes_per_seed(runs, arm, baseline, study)
                minutes = minutes_to_resolve(differences_N, primary["smallest_effect"], next_error, per_seed_minutes)
            record["minutes_to_resolve"] = minutes if minutes is not None and math.isfinite(minutes) else None
            record["words"] = in_words(
                look,
                smallest_effect=primary["smallest_effect"],
                tokens=record["tokens"],
                minutes=minutes,
                unit=UNITS[primary["measure"]],
            )
        arms[arm] = record
    missing = [
        {"arm": arm, "seed": seed, "why": folder.run(arm, seed).failed}
        for arm in study["arms"]
        for seed in study["seeds"]
        if seed not in runs[arm]
    ]
    return {
        "question": study["question"],
        "baseline": baseline,
        "primary": primary,
        "arms": arms,
        "baseline_per_seed": {str(seed): value for seed, value in sorted(values[baseline].items())},
        "missing": missing,
    }


def _counts(run: RunFolder, study: dict[str, Any], arm: str) -> bool:
    """A run counts if it ended under the fingerprint that the study gives it."""
    return run.done is not None and run.done["fingerprint"] == study["arms"][arm]["runs"].get(str(run.seed))


def _pair(baseline: float | None, arm: float | None) -> dict[str, float]:
    assert baseline is not None
    assert arm is not None
    return {"baseline": baseline, "arm": arm, "difference": arm - baseline}


def _take_in(record: dict[str, Any], look: Look, looks: list[dict[str, Any]]) -> Look:
    """Write a look down, and return the one that stands: the newest, unless it is open and an earlier one was not.

    All intervals of a study hold together, so what an earlier look resolved stays resolved.
    """
    finite = math.isfinite(look.low)
    row = {
        "seeds": look.seeds,
        "delta": look.delta,
        "interval": [look.low, look.high] if finite else [None, None],
        "error": look.error,
        "verdict": look.verdict,
    }
    for i, old in enumerate(looks):
        if old["seeds"] == look.seeds:
            looks[i] = row
            break
    else:
        looks.append(row)
    resolved = [old for old in looks if old["verdict"] != "unresolved"]
    if look.verdict == "unresolved" and resolved:
        row = resolved[0]
        low, high = row["interval"]
        look = Look(row["seeds"], row["delta"], low, high, row["error"], row["verdict"])
    record |= {"verdict": look.verdict, "delta": look.delta, "interval": row["interval"]}
    return look


def _mean(runs: dict[int, RunFolder], key: str) -> float | None:
    found = [run.done[key] for run in runs.values() if run.done]
    return float(np.mean(found)) if found else None


def _minutes_per_seed(runs: dict[str, dict[int, RunFolder]], arm: str, baseline: str, study: dict[str, Any]) -> float:
    seconds = (_mean(runs[arm], "seconds") or 0.0) + (_mean(runs[baseline], "seconds") or 0.0)
    return seconds / 60 / max(1, study["settings"]["workers"])
