"""What was timed on this machine, what compiling gained and what it took: the card that studies choose by.

    $VSLM_HOME/machine/<key>.json     one card: for a kind of machine and versions of what runs on it

Runs write into it what they saw anyway, so no study measures for the next one. A home that cannot be written keeps no
card. A study that was begun stays as it was chosen, and so does the same command (`remembered.py`): a card decides
about studies of other models and lengths.
"""

import contextlib
import math
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import vslm
from vslm.core.errors import VslmError
from vslm.core.machine import available_cores, cpu_name, cpu_quota, memory_limit
from vslm.core.specs import fingerprint, to_plain
from vslm.data.corpus import home
from vslm.lab.stages import settings_of
from vslm.results.files import read_json, write_json
from vslm.results.records import RunEnd, SettingsRecord
from vslm.runs.timing import SIDE_BY_SIDE, Compiling, has_compiler, reading_of
from vslm.study.experiment import Experiment

_MOST_SEEN = 200  # of the latest
_FEWEST_STEPS = 20  # of a run whose speed is noted
_LEAST_GAIN, _MOST_GAIN = 0.5, 5.0  # what is beyond was no gain of compiling, but other work


def machine(device: str = "cpu") -> dict[str, Any]:
    """What speed depends on, and stays as it is."""
    return {
        "cpu": cpu_name(),
        "cores": available_cores(),
        "quota": cpu_quota(),
        "memory_limit": memory_limit(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "torch": torch.__version__,
        "vslm": vslm.__version__,
        "has_compiler": has_compiler(),
    }


def card_path(device: str = "cpu") -> Path:
    """Where the card of this machine is kept."""
    return home() / "machine" / f"{fingerprint(machine(device))}.json"


def seen_here(device: str = "cpu") -> list[dict[str, Any]]:
    """Compiled runs that this machine has seen, the latest last; each with its `shape`, `precision`, tokens per second
    `eager` and `compiled`, and the `compile_seconds` that it took; None where torch had its graphs already. What cannot
    be read is nothing.
    """
    seen = _card(device).get("compiled")
    return [row for row in seen if _is_whole(row)] if isinstance(seen, list) else []


def readings(shape: str, device: str = "cpu") -> dict[str, float]:
    """Tokens per second of eager steps of that shape, as they were read here the first time, by `reading_of`."""
    found = _all_readings(device).get(shape)
    return {name: speed for name, speed in found.items() if _is_positive(speed)} if isinstance(found, dict) else {}


def speed_seen(shape: str, device: str = "cpu") -> float | None:
    """Tokens per second of one run of that shape beside others, as it was seen here: compiled where a run was, else the
    best of eager steps with one thread. None: it was never timed here.
    """
    compiled = [row["compiled"] for row in seen_here(device) if row.get("shape") == shape]
    eager = [speed for name, speed in readings(shape, device).items() if name.endswith(", 1 thread")]
    if compiled:
        return SIDE_BY_SIDE * statistics.median(compiled)
    return SIDE_BY_SIDE * max(eager) if eager else None


def note_readings(shape: str, rates: Mapping[str, float], device: str = "cpu") -> None:
    """Keep what was read of a shape for the first time; what is kept already stands."""
    kept = readings(shape, device)
    if rates.keys() <= kept.keys():
        return
    _keep({**_card(device), "readings": {**_all_readings(device), shape: {**rates, **kept}}}, device)


def _all_readings(device: str) -> dict[str, Any]:
    found = _card(device).get("readings")
    return found if isinstance(found, dict) else {}


def _card(device: str) -> dict[str, Any]:
    try:
        card = read_json(card_path(device))
    except (VslmError, OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def _is_whole(row: Any) -> bool:
    if not isinstance(row, dict) or not all(_is_positive(row.get(name)) for name in ("eager", "compiled")):
        return False
    # Cards from before have the seconds of the first step, which is not where a run compiles that is evaluated before.
    return row.setdefault("compile_seconds", None) is None or _is_positive(row["compile_seconds"])


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf


def shape_of(experiment: Experiment, vocabulary: int, threads: int) -> str:
    """Names what is computed in a step."""
    what = {
        "model": to_plain(experiment.model),
        "batch_tokens": experiment.batch_tokens,
        "accumulation": experiment.accumulation,
        "vocabulary": vocabulary,
        "threads": threads,
    }
    if experiment.adapter is not None:
        what["adapter"] = to_plain(experiment.adapter)
    return fingerprint(what)


def expected(shape: str, device: str = "cpu") -> Compiling:
    """What compiling an arm of that shape is expected to take and to bring: as it was for this shape, or as for the
    middle one of those that were seen, or as for a machine that has compiled nothing yet.

    The first arm that a machine compiles takes longest, for what torch keeps for all that follow; so of seconds the
    middle one of the latest counts.
    """
    seen = seen_here(device)
    same = [row for row in seen if row.get("shape") == shape] or seen
    found: dict[str, float] = {}
    if seconds := _seconds_of(same) or _seconds_of(seen):
        found["seconds"] = statistics.median(seconds[-5:])
    for precision in ("fp32", "bf16"):
        gains = [row["compiled"] / row["eager"] for row in same if row.get("precision") == precision]
        if gains:
            found[precision] = statistics.median(gains)
    return Compiling(**found)


def _seconds_of(rows: list[dict[str, Any]]) -> list[float]:
    """Of those that were compiled: a graph that torch had already says nothing about one that it has not."""
    return [row["compile_seconds"] for row in rows if row["compile_seconds"] is not None]


def note(experiment: Experiment, vocabulary: int, settings: SettingsRecord, done: RunEnd) -> None:
    """Write down how a compiled run of the baseline went, where it was long enough to tell.

    With one thread of a CPU its speed is that of the seconds of a core that it took, as in the readings of eager steps:
    else other work beside a long run would look like a loss by compiling.
    """
    chosen = settings_of(settings)
    eager = settings.rates.get(reading_of(chosen))
    first, seconds, steps = done.first_step_seconds, done.seconds, done.step
    if not (settings.compiled and done.ended_well and eager and first and seconds and steps):
        return
    if steps < _FEWEST_STEPS or seconds <= first:
        return
    rate = (steps - 1) * experiment.tokens_per_step / (seconds - first)
    if chosen.device == "cpu" and chosen.threads == 1 and done.step_core_seconds:
        rate = experiment.tokens_per_step / done.step_core_seconds
    rate /= SIDE_BY_SIDE if settings.workers > 1 else 1.0
    if not _LEAST_GAIN < rate / eager < _MOST_GAIN:
        return
    row = {
        "shape": shape_of(experiment, vocabulary, chosen.threads),
        "parameters": experiment.model.num_parameters(vocabulary),
        "context_tokens": experiment.model.context_tokens,
        "tokens_per_step": experiment.tokens_per_step,
        "precision": chosen.precision,
        "fused_attention": chosen.fused_attention,
        "eager": eager,
        "compiled": rate,
        "compile_seconds": done.compile_seconds if done.graphs_compiled else None,
        "measured": time.strftime("%Y-%m-%d"),
    }
    seen = [*seen_here(chosen.device), row][-_MOST_SEEN:]
    _keep({**_card(chosen.device), "compiled": seen}, chosen.device)


def timed_here() -> list[dict[str, Any]]:
    """Every choice of settings that is kept for this machine: what was read, and what was chosen from it, with the name
    of its reading as `chosen`.
    """
    found = []
    here = {key: value for key, value in machine().items() if key in ("cpu", "cores", "torch", "vslm")}
    for path in sorted((home() / "settings").glob("*.json")):
        with contextlib.suppress(VslmError, OSError, ValueError, KeyError, TypeError):
            kept = read_json(path)
            about = kept["about"]
            if {key: about[key] for key in here} == here:
                row = {key: kept[key] for key in ("measured", "settings", "workers", "rates", "about")}
                chosen = settings_of(SettingsRecord.from_plain(row["settings"]))
                found.append({**row, "chosen": reading_of(chosen)})
    return found


def _keep(card: Mapping[str, Any], device: str) -> None:
    path = card_path(device)
    with contextlib.suppress(VslmError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**card, "machine": machine(device)})
