"""The verdict of a study, from its finished runs: `verdict.json`."""

import math
from typing import Any, Literal

import numpy as np

from vslm.core.errors import ResultError
from vslm.results.files import write_json
from vslm.results.folder import RunFolder, StudyFolder, budget_name
from vslm.stats.intervals import per_arm_error
from vslm.stats.looks import LookPlan, error_of_look
from vslm.stats.power import minutes_to_resolve
from vslm.stats.trends import Span, trend
from vslm.stats.trends import in_words as trend_in_words
from vslm.stats.verdicts import UNITS, Look, in_words, take_look


def primary_value(
    run: RunFolder, primary: dict[str, Any], bytes_per_token: float, *, split: Literal["val", "select"] = "val"
) -> float | None:
    """The primary number of a finished run that was evaluated on `split`; None for one that diverged."""
    if not run.done or run.done["status"] != "done":
        return None
    first, end = primary["positions"] or (0, None)
    name = f"final_{split}_loss_nats_T"
    if name not in run.arrays:
        found, do = f"{name} is not there", "delete done.json beside it and run the study again, which makes it anew"
        raise ResultError(str(run.path / "arrays.npz"), found, "a run that is done has it", do)
    loss_nats = float(run.arrays[name][first:end].mean())
    return loss_nats / (math.log(2) * bytes_per_token) if primary["measure"] == "val_bpb" else loss_nats


def write_verdict(folder: StudyFolder) -> dict[str, Any]:
    """Look at what is done, judge every arm, and write `verdict.json`. Looks taken before are kept."""
    study = folder.study
    verdict = _verdict(folder, study, StudyFolder(folder.path).verdict or {"arms": {}})
    write_json(folder.path / "verdict.json", verdict)
    return verdict


def is_resolved(verdict: dict[str, Any]) -> bool:
    """Whether no judged arm is left to decide, at any budget; not so where no arm is judged at all."""
    judged = [verdict["arms"], *(row["arms"] for row in verdict["budgets"].values())]
    words = [arm["verdict"] for arms in judged for arm in arms.values()]
    return bool(words) and "unresolved" not in words


def num_comparisons(num_others: int, num_budgets: int) -> int:
    """Intervals that hold together: every arm at every budget, and with several of them how each arm's difference goes.

    >>> num_comparisons(2, 1), num_comparisons(2, 3)
    (2, 8)
    """
    return num_others * (num_budgets + (num_budgets > 1))


def _verdict(folder: StudyFolder, study: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    budgets = folder.budgets
    known = before.get("budgets", {})
    judged = {
        budget: _Judge(folder, study, budget).judge(
            before["arms"] if budget == 1 else known.get(budget_name(budget), {}).get("arms", {})
        )
        for budget in budgets
    }
    verdict = {"question": study["question"], "baseline": study["baseline"], "primary": study["primary"]}
    verdict |= judged[1.0]
    verdict["budgets"] = {budget_name(budget): row for budget, row in judged.items() if budget != 1}
    verdict["missing"] = [gone for row in judged.values() for gone in row["missing"]]
    verdict["trends"] = _trends(judged, study, before.get("trends", {})) if len(budgets) > 1 else {}
    verdict["screened_out"] = {
        arm: {**row, "words": "screened out, no verdict"}
        for arm, row in study.get("screening", {}).get("arms", {}).items()
        if row["role"] == "screened out"
    }
    return verdict


class _Judge:
    """All arms at one budget."""

    def __init__(self, folder: StudyFolder, study: dict[str, Any], budget: float) -> None:
        self.folder, self.study, self.budget = folder, study, budget
        self.baseline, self.primary = study["baseline"], study["primary"]
        self.arms = folder.judged_arms
        self.others = [arm for arm in self.arms if arm != self.baseline]
        self.num_comparisons = num_comparisons(len(self.others), len(folder.budgets))
        self.plan = _plan(study)
        self.runs = {
            arm: {run.seed: run for run in folder.runs(arm, budget) if folder.ended(run, budget) is not None}
            for arm in self.arms
        }
        self.values = {
            arm: {
                seed: primary_value(run, self.primary, study["arms"][arm]["bytes_per_token"])
                for seed, run in found.items()
            }
            for arm, found in self.runs.items()
        }

    def judge(self, before: dict[str, Any]) -> dict[str, Any]:
        """The arms' records, and which runs are missing. Looks taken before are kept."""
        missing = [
            {
                "arm": arm if self.budget == 1 else f"{arm} {budget_name(self.budget)}",
                "seed": seed,
                "why": self.folder.run(arm, seed, self.budget).failed,
            }
            for arm in self.arms
            for seed in self.study["seeds"]
            if seed not in self.runs[arm]
        ]
        return {
            "arms": {arm: self._arm(arm, before.get(arm, {}).get("looks", [])) for arm in self.others},
            "baseline_per_seed": {str(seed): value for seed, value in sorted(self.values[self.baseline].items())},
            "missing": missing,
        }

    def _arm(self, arm: str, looks_before: list[dict[str, Any]]) -> dict[str, Any]:
        values, baseline, primary = self.values[arm], self.values[self.baseline], self.primary
        seeds = sorted(set(values) & set(baseline))
        diverged = [seed for seed in seeds if values[seed] is None or baseline[seed] is None]
        per_seed = {str(seed): _pair(baseline[seed], values[seed]) for seed in seeds if seed not in diverged}
        differences_N = np.array([pair["difference"] for pair in per_seed.values()])
        looks = [dict(look) for look in looks_before]
        taken = [look["seeds"] for look in looks]
        tokens = sum(max(1, round(tokens * self.budget)) for tokens in self.study["arms"][arm]["stages_tokens"])
        record: dict[str, Any] = {
            "verdict": "unresolved",
            "words": "no seed is finished on both sides",
            "delta": None,
            "interval": [None, None],
            "seeds": seeds,
            "diverged": diverged,
            "smallest_effect": primary["smallest_effect"],
            "minutes_to_resolve": None,
            "tokens": tokens,
            "num_parameters": self.study["arms"][arm]["num_parameters"],
            "flops": _mean(self.runs[arm], "flops"),
            "seconds": _mean(self.runs[arm], "seconds"),
            "looks": looks,
            "per_seed": per_seed,
        }
        if diverged:
            record["words"] = f"unresolved ({len(diverged)} of {len(seeds)} diverged)"
        elif seeds:
            effect = primary["smallest_effect"]
            found = take_look({arm: differences_N}, self.plan, taken, effect, num_arms=self.num_comparisons)[arm]
            look = _take_in(record, found, looks)
            minutes = None
            if look.verdict == "unresolved" and len(seeds) > 1:
                error = error_of_look(self.plan, [*taken, len(seeds)], len(seeds) + 1)
                next_error = per_arm_error(error, self.num_comparisons)
                per_seed_minutes = _minutes_per_seed(self.runs, arm, self.baseline, self.study)
                minutes = minutes_to_resolve(differences_N, effect, next_error, per_seed_minutes)
            record["minutes_to_resolve"] = minutes if minutes is not None and math.isfinite(minutes) else None
            record["words"] = in_words(
                look, smallest_effect=effect, tokens=tokens, minutes=minutes, unit=UNITS[primary["measure"]]
            )
        return record


def _plan(study: dict[str, Any]) -> LookPlan:
    return LookPlan(tuple(study["plan"]["looks"]), tuple(study["plan"]["errors"]), study["plan"]["reserve"])


def _trends(judged: dict[float, dict[str, Any]], study: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """How each arm's difference goes from the smallest budget to the largest, paired by seed."""
    small, large = min(judged), max(judged)
    effect, plan = study["primary"]["smallest_effect"], _plan(study)
    found: dict[str, Any] = {}
    for arm in judged[1.0]["arms"]:
        ends = [judged[budget]["arms"][arm] for budget in (small, large)]
        seeds = sorted(set(ends[0]["per_seed"]) & set(ends[1]["per_seed"]), key=int)
        looks = [dict(look) for look in before.get(arm, {}).get("looks", [])]
        record: dict[str, Any] = {
            "trend": "unresolved",
            "words": trend_in_words("unresolved"),
            "change": None,
            "interval": [None, None],
            "budgets": [small, large],
            "tokens": [end["tokens"] for end in ends],
            "num_parameters": ends[0]["num_parameters"],
            "seeds": [int(seed) for seed in seeds],
            "looks": looks,
        }
        if seeds and not any(end["diverged"] for end in ends):
            changes_N = np.array(
                [ends[1]["per_seed"][s]["difference"] - ends[0]["per_seed"][s]["difference"] for s in seeds]
            )
            comparisons = num_comparisons(len(judged[1.0]["arms"]), len(judged))
            taken = [look["seeds"] for look in looks]
            change: dict[str, Any] = {}
            look = _take_in(change, take_look({arm: changes_N}, plan, taken, effect, num_arms=comparisons)[arm], looks)
            way = trend(_span(ends[0]), _span(ends[1]), Span(look.low, look.high), effect)
            record |= {"trend": way, "words": trend_in_words(way), "change": look.delta, "interval": change["interval"]}
        found[arm] = record
    return found


def _span(record: dict[str, Any]) -> Span:
    low, high = record["interval"]
    return Span(-math.inf if low is None else low, math.inf if high is None else high)


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
