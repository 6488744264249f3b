"""Run a study in a folder: what is not done is done, what was chosen once stays, and every look is a verdict."""

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

from vslm.core.errors import RunError, SpecError
from vslm.lab.budgets import Bench
from vslm.lab.checks import prepared_corpora
from vslm.lab.holding import held
from vslm.lab.job import Job
from vslm.lab.options import Options, Watcher
from vslm.lab.pool import Order, run_orders
from vslm.lab.record import Record, declared, jobs_of, name_runs
from vslm.lab.study import Study, auto_looks
from vslm.lab.verdict import write_verdict
from vslm.results.files import write_json, write_text
from vslm.results.folder import FAILED, StudyFolder


def run_study(study: Study, out: Path, watcher: Watcher, *, study_file: Path | None, options: Options) -> StudyFolder:
    """Train every arm with every seed, and judge. A run that fails is named in the verdict as missing, with why.

    Raises: SpecError or DataError before any compute; RunError when the folder is held by another process, or when the
        disk is full.
    """
    _check_folder(out)
    corpora = prepared_corpora(study, watcher.say)
    with held(out):
        record = declared(Bench(study, corpora, out, study_file, watcher), options)
        write_json(out / "study.json", record)
        copy = None
        if study_file:
            copy = out / study_file.name
            with contextlib.suppress(shutil.SameFileError):
                shutil.copyfile(study_file, copy)
        begun = time.monotonic()
        for seeds in _rounds(study, record, options):
            if _is_over(study, options, begun, seeds, record):
                watcher.say(f"max_minutes {study.max_minutes:g} are over, so no further seeds are begun")
                break
            if new := [seed for seed in seeds if seed not in record["seeds"]]:
                record["seeds"] = sorted({*record["seeds"], *new})
                name_runs(study, record)
                write_json(out / "study.json", record)
            _train(jobs_of(study, record, seeds), seeds, record, out, watcher, copy, options)
            verdict = write_verdict(StudyFolder(out))
            if study.others and all(arm["verdict"] != "unresolved" for arm in verdict["arms"].values()):
                break
    return StudyFolder(out)


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise SpecError(str(out), "a file, not a folder", "", "choose another place with --out")
    if out.exists() and not (out / "study.json").exists() and any(p for p in out.iterdir() if p.name[0] != "."):
        found = "a folder with other files in it, and no study"
        raise SpecError(str(out), found, "an empty or new folder is needed", "choose another place with --out")


def _rounds(study: Study, record: Record, options: Options) -> list[list[int]]:
    """The seeds that must be done at each look. What was done beyond them stays, and counts."""
    if (options.seeds if options.seeds is not None else study.seeds) != "auto":
        return [record["seeds"]]
    return [sorted({*record["seeds"], *range(look)}) for look in auto_looks(study)]


def _is_over(study: Study, options: Options, begun: float, seeds: list[int], record: Record) -> bool:
    """Whether "auto" gives up before a look that needs seeds nobody has begun."""
    return (
        study.max_minutes is not None
        and not set(seeds) <= set(record["seeds"])
        and time.monotonic() - begun > study.max_minutes * 60
    )


def _train(
    jobs: dict[str, dict[int, Job]],
    seeds: list[int],
    record: Record,
    out: Path,
    watcher: Watcher,
    study_file: Path | None,
    options: Options,
) -> None:
    """Run what is not done, all arms of a seed before the next, and keep going past a run that fails.

    Raises: RunError when the disk is full: no other run could do better.
    """
    folder, orders = StudyFolder(out), []
    watcher.started(list(jobs), seeds)
    for seed in seeds:
        for arm in jobs:
            run = folder.run(arm, seed)
            if run.done and run.done["fingerprint"] == jobs[arm][seed].fingerprint:
                watcher.heard(arm, seed, {"done": run.done, "was_there": True})
            else:
                (run.path / FAILED).unlink(missing_ok=True)
                orders.append(Order(jobs[arm][seed], run.path, study_file, samples=options.samples))
    settled: set[int] = set()

    def hear(order: Order, message: dict[str, Any]) -> None:
        if "failed" in message and id(order) in settled:
            return  # its process ends with a code beside what it said already
        watcher.heard(order.job.arm, order.job.data_seed, message)
        if "done" in message:
            (order.folder / "order.json").unlink(missing_ok=True)
        if message.get("disk_full"):
            raise RunError("", message["failed"])
        if "done" in message or "failed" in message:
            settled.add(id(order))
        if "failed" in message:
            write_text(order.folder / FAILED, message["failed"].rstrip() + "\n")

    run_orders(orders, workers=record["settings"]["workers"], hear=hear)
