"""A short timing before a study: which precision, compile or not, how many threads, and how fast a run is."""

import dataclasses
import shutil
import time
from typing import Any

import torch

from vslm.data.corpus import open_corpus
from vslm.data.windows import training_batch
from vslm.lab.job import Job, Settings
from vslm.lab.objects import build_loss, build_model

_SECONDS_PER_READING = 0.8
# A run shorter than this is over before a compiled graph would have paid for the seconds it takes to load.
_SHORTEST_COMPILED_SECONDS = 25.0
_COMPILE_SECONDS_WARM = 8.0


def has_compiler() -> bool:
    """Whether torch.compile can build code for a CPU here."""
    return any(shutil.which(name) for name in ("g++", "clang++", "c++", "cl"))


def time_job(job: Job, num_runs: int, cores: int) -> dict[str, Any]:
    """Settings for a study of `num_runs` runs like this one, and its tokens per second.

    Args:
        job: the baseline; its own settings give the device, and `threads` is ignored.
        num_runs: runs that the study will make.
        cores: that may be used.
    """
    device = job.settings.device
    one = dataclasses.replace(job.settings, threads=1, compiled=False, precision="fp32")
    rates: dict[str, float] = {"fp32, 1 thread": _rate(job, one)}
    bf16 = dataclasses.replace(one, precision="bf16")
    rates["bf16, 1 thread"] = _rate(job, bf16)
    best = bf16 if rates["bf16, 1 thread"] > rates["fp32, 1 thread"] else one
    rate = rates[f"{best.precision}, 1 thread"]
    run_seconds = sum(job.stages_tokens) / rate
    if (device != "cpu" or has_compiler()) and run_seconds > _SHORTEST_COMPILED_SECONDS:
        compiled = dataclasses.replace(best, compiled=True)
        rates["compiled, 1 thread"] = _rate(job, compiled)
        compiled_seconds = sum(job.stages_tokens) / rates["compiled, 1 thread"] + _COMPILE_SECONDS_WARM
        if compiled_seconds < run_seconds:
            best, rate = compiled, rates["compiled, 1 thread"]
    if device != "cpu":
        return {"settings": dataclasses.asdict(best), "workers": 1, "tokens_per_second": rate, "rates": rates}
    workers = min(cores, num_runs)
    if cores > 1:
        many = dataclasses.replace(best, threads=cores)
        rates[f"chosen, {cores} threads"] = _rate(job, many)
        # Side by side, runs share caches and memory, so a run's own threads must beat the sum by less than all of it.
        if rates[f"chosen, {cores} threads"] > 0.9 * workers * rate and rates[f"chosen, {cores} threads"] > 1.1 * rate:
            best, rate, workers = many, rates[f"chosen, {cores} threads"], 1
    return {"settings": dataclasses.asdict(best), "workers": workers, "tokens_per_second": rate, "rates": rates}


def _rate(job: Job, settings: Settings) -> float:
    """Training tokens per second: forward, backward, optimizer, after one step to warm up."""
    torch.set_num_threads(settings.threads)
    job = dataclasses.replace(job, settings=settings)
    corpus = open_corpus(job.corpus)
    model = build_model(job, corpus.vocabulary)
    loss = build_loss(model, settings)
    assert job.experiment.optimizer is not None  # filled in when the experiment was made
    optimizer = job.experiment.optimizer.build(model)
    batch = training_batch(
        corpus.split("train").tokens,
        context_tokens=job.experiment.model.context_tokens,
        batch_windows=job.experiment.batch_windows,
        data_seed=0,
        step=0,
    )
    micro = torch.from_numpy(batch).to(settings.device).chunk(job.experiment.accumulation)
    start, steps = 0.0, -2
    while steps < 2 or time.perf_counter() - start < _SECONDS_PER_READING:
        if steps == 0:
            start = time.perf_counter()
        for part_BT1 in micro:
            loss(part_BT1[:, :-1].contiguous(), part_BT1[:, 1:].contiguous()).mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if settings.device == "cuda":
            torch.cuda.synchronize()
        steps += 1
    return steps * job.experiment.tokens_per_step / (time.perf_counter() - start)
