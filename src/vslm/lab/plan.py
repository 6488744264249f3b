"""What a study would cost and could resolve, before a second is spent."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vslm.core.specs import differences, to_plain
from vslm.data.corpus import home, prepare
from vslm.lab.runner import available_cores
from vslm.lab.study import Study, auto_looks, planned_seeds
from vslm.models.block_table import block_table, folded
from vslm.stats.intervals import per_arm_error
from vslm.stats.looks import fixed_plan, sequential_plan
from vslm.stats.power import resolvable_effect, seeds_to_resolve

# Nats, between two arms of the same seed at about 2M tokens; a guess until this machine has a noise card.
_GUESSED_SD = 0.01
# Training FLOP/s of one core; a guess until a study was timed here.
_GUESSED_FLOPS_PER_SECOND = 6e10
_BYTES_PER_PARAMETER_ON_DISK = 16  # weights once, and a checkpoint with two optimizer moments


def noise_card_path() -> Path:
    """Where `vslm noise` keeps what it found about this machine."""
    return home() / "noise.json"


def noise_card() -> dict[str, Any] | None:
    """This machine's noise card, or None before `vslm noise`."""
    path = noise_card_path()
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def plan_study(study: Study) -> dict[str, Any]:
    """Per arm: differences, parameters, FLOPs, tokens, minutes, disk; what can be resolved; and lints."""
    corpora = {arm: prepare(experiment.data) for arm, experiment in study.arms.items()}
    card = noise_card()
    rate = card["flops_per_second"] if card else _GUESSED_FLOPS_PER_SECOND
    seeds = auto_looks(study)[0] if study.seeds == "auto" else len(planned_seeds(study))
    baseline = study.arms[study.baseline]
    base_flops = baseline.model.flops_per_token(corpora[study.baseline].vocabulary)
    budget = baseline.budget
    base_tokens = budget.tokens or (
        budget.flops / base_flops if budget.flops else (budget.minutes or 0) * 60 * rate / base_flops
    )
    arms = {}
    for arm, experiment in study.arms.items():
        vocabulary = corpora[arm].vocabulary
        flops = experiment.model.flops_per_token(vocabulary)
        tokens = base_tokens * base_flops / flops if study.match == "flops" else base_tokens
        parameters = experiment.model.num_parameters(vocabulary)
        arms[arm] = {
            "differences": list(differences(baseline, experiment)),
            "num_parameters": parameters,
            "num_parameters_without_embeddings": experiment.model.num_parameters_without_embeddings(vocabulary),
            "flops_per_token": flops,
            "tokens": int(tokens),
            "minutes": tokens * flops / rate / 60,
            "blocks": [to_plain(row) for row in folded(block_table(experiment.model))],
            "disk_mb": parameters * _BYTES_PER_PARAMETER_ON_DISK * seeds / 1e6,
        }
    plan = sequential_plan(auto_looks(study)) if study.seeds == "auto" else fixed_plan(seeds)
    error = per_arm_error(plan.errors[0], max(1, len(study.others)))
    sd = card["paired_sd"] if card else _GUESSED_SD
    minutes_per_seed = sum(arm["minutes"] for arm in arms.values()) / available_cores()
    needed = seeds_to_resolve(study.primary.smallest_effect, sd, error)
    return {
        "question": study.question,
        "arms": arms,
        "seeds": seeds,
        "minutes": minutes_per_seed * seeds,
        "noise_sd": sd,
        "noise_from": "this machine's noise card" if card else "a guess; `vslm noise` measures it",
        "resolvable_effect": resolvable_effect(sd, seeds, error),
        "minutes_for_smallest_effect": needed * minutes_per_seed if math.isfinite(needed) else None,
        "lints": _lints(study, arms, seeds, sd, error),
    }


def _lints(study: Study, arms: Mapping[str, Any], seeds: int, sd: float, error: float) -> list[str]:
    found = []
    if study.others and seeds < 3:
        found.append(f"{seeds} seeds: fewer than 3 rarely resolve anything")
    if study.others and resolvable_effect(sd, seeds, error) > study.primary.smallest_effect:
        found.append(f"an effect of {study.primary.smallest_effect:g} is probably out of reach with {seeds} seeds")
    flops = [arm["flops_per_token"] * arm["tokens"] for arm in arms.values()]
    if max(flops) > 1.05 * min(flops):
        found.append(f"arms differ in FLOPs by a factor of {max(flops) / min(flops):.2f} (match={study.match!r})")
    parameters = [arm["num_parameters"] for arm in arms.values()]
    if max(parameters) > 1.05 * min(parameters):
        found.append(f"arms differ in parameters by a factor of {max(parameters) / min(parameters):.2f}")
    contexts = {experiment.model.context_tokens for experiment in study.arms.values()}
    if len(contexts) > 1:
        found.append("arms differ in context_tokens: they do not see the same windows")
    for arm in study.others:
        if not arms[arm]["differences"]:
            found.append(f"arm {arm!r} equals the baseline")
    return found
