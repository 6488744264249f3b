"""Run a study in its folder: missing runs are made, choices made before are kept, and a verdict is written."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vslm.core.errors import RunError, SpecError, TooEarlyError
from vslm.core.numbers import passes_words
from vslm.data.corpus import Corpus
from vslm.lab.budgets import Prepared
from vslm.lab.checks import check_study
from vslm.lab.holding import held
from vslm.lab.machine_card import note
from vslm.lab.options import Options, Watcher
from vslm.lab.passes import lints_of_passes, passes
from vslm.lab.pilot import PilotOfStudy, as_declared
from vslm.lab.race import race_arms
from vslm.lab.record import declared
from vslm.lab.screening import screen_arms
from vslm.lab.spent import Spent, say
from vslm.lab.stages import Task, Train, describe_arms, judged_tasks, name_runs, save, shown_name
from vslm.lab.trunks import places_of, whole_end, with_parents
from vslm.lab.tuning import count_runs, tune_arms, tuned_before, with_chosen_rates
from vslm.lab.verdict import is_resolved, write_verdict
from vslm.results.files import write_text
from vslm.results.folder import ANSWERS, FAILED, StudyFolder, run_folder_of
from vslm.results.places import files_below, remove_file, remove_folder
from vslm.results.records import RunEnd, StudyRecord
from vslm.runs.pool import Order, WorkerPool, run_orders
from vslm.study.experiment import Experiment
from vslm.study.own_classes import own_code
from vslm.study.study import Study, auto_looks
from vslm.study.trust import remember


def run_study(study: Study, out: Path, watcher: Watcher, *, study_file: Path | None, options: Options) -> StudyFolder:
    """Train every arm with every seed, and judge. A run that fails is named in the verdict as missing, with why.

    Raises: SpecError or DataError before any compute; RunError when the folder is held by another process, or when the
        disk is full; TooEarlyError where the baseline has not begun to use its context, see `lab/pilot.py`.
    """
    spent = Spent()
    _check_folder(out)
    code = own_code(study, study_file)
    corpora, words, lints = check_study(study, watcher.say)
    for line in (words, *lints):
        watcher.say(line)
    with held(out), WorkerPool() as pool:
        remove_file(out / ANSWERS)  # of fewer runs, or of another file
        arms = tuned_before(study, out)
        at_rates = dataclasses.replace(study, arms=arms)
        prepared = Prepared(at_rates, corpora, out, study_file, watcher, code, pool)
        record = declared(prepared, options)
        save(record, out)
        _say_passes(record, corpora, watcher)
        copy = None if code.text is None else out / f"{record.name}.py"
        if copy is not None:
            remember(code.write(copy))

        def train(tasks: Sequence[Task]) -> None:
            needed = with_parents(tasks, study, record, out)
            _train(needed, record, _Noting(watcher, prepared, record, spent), copy, options, pool, out)

        try:
            arms = PilotOfStudy(study, record, out, corpora, watcher, options).ask(arms, train)
        except TooEarlyError:
            _keep_spent(spent, record, out, watcher)
            raise
        arms = _chosen(study, arms, record, out, train)
        for seeds in _rounds(study, record, options):
            if _is_over(study, out, seeds, record):
                watcher.say(f"max_minutes {study.max_minutes:g} are over, so no further seeds are begun")
                break
            if new := [seed for seed in seeds if seed not in record.seeds]:
                record.seeds = sorted({*record.seeds, *new})
                name_runs(arms, record)
                save(record, out)
            if study.race is None:
                train(judged_tasks(arms, record, out, seeds))
            else:
                race_arms(study.race, arms, record, out, seeds, train)
            if is_resolved(write_verdict(StudyFolder(out), watcher.say)) or not record.in_race:
                break
        _keep_spent(spent, record, out, watcher)
    return StudyFolder(out)


def _keep_spent(spent: Spent, record: StudyRecord, out: Path, watcher: Watcher) -> None:
    if (row := spent.record(record.settings)) is not None:
        record.spent = [*record.spent, row]
        save(record, out)
        say(row, watcher.say)


class _Noting:
    """A watcher that also notes the speed of this machine: seconds spent in training, and what compiling gained."""

    def __init__(self, watcher: Watcher, prepared: Prepared, record: StudyRecord, spent: Spent) -> None:
        self.watcher, self.prepared, self.record, self.spent = watcher, prepared, record, spent
        self.say, self.started = watcher.say, watcher.started
        self.noted: set[str] = set()

    def on_message(self, arm: str, seed: int, message: Mapping[str, Any]) -> None:
        """Pass a message on, and note its seconds."""
        self.watcher.on_message(arm, seed, message)
        if "step" in message:
            self.spent.step()
        if "done" in message and not message.get("was_there"):
            done: RunEnd = message["done"]
            self.spent.done(done, self.record.settings)
            if arm == self.record.baseline and arm not in self.noted:
                self.noted.add(arm)
                note(self.prepared.study.arms[arm], self.prepared.corpora[arm].vocabulary, self.record.settings, done)


def _say_passes(record: StudyRecord, corpora: Mapping[str, Corpus], watcher: Watcher) -> None:
    tokens = {name: record.row(name).tokens for name in corpora}
    most = max((name for name in tokens if name in record.arms), key=lambda arm: passes(tokens[arm], corpora[arm]))
    lints = list(lints_of_passes(tokens, corpora))
    for words in lints or [f"a run: {tokens[most]:,} tokens, {passes_words(passes(tokens[most], corpora[most]))}"]:
        watcher.say(words)


def _chosen(
    study: Study, arms: Mapping[str, Experiment], record: StudyRecord, out: Path, train: Train
) -> Mapping[str, Experiment]:
    """The arms that are judged, at their rates, after a screening and a tuning; both decide once."""
    if study.screen is not None:
        confirmed = screen_arms(study.screen, study.arms, study.baseline, record, out, train)
        name_runs(arms, record)
        as_declared(record, study)
        save(record, out)
        arms = {arm: arms[arm] for arm in confirmed}
    if study.tune is not None and not record.tuned:
        new = {arm: experiment for arm, experiment in arms.items() if arm not in record.tuning}
        found = tune_arms(study.tune, new, record, out, train)
        arms = {**arms, **with_chosen_rates(new, found)}
        record.tuning, record.tuned = {**record.tuning, **found}, True
        describe_arms(arms, study.baseline, record)
        name_runs(arms, record)
        save(record, out)
    count_runs(record, out)
    return arms


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise SpecError(str(out), "a file, not a folder", "", "choose another place with --out")
    if out.exists() and not (out / "study.json").exists() and any(p for p in out.iterdir() if p.name[0] != "."):
        found = "a folder with other files in it, and no study"
        raise SpecError(str(out), found, "an empty or new folder is needed", "choose another place with --out")
    there = next((place for place in (out, *out.absolute().parents) if place.exists()), out)
    if not os.access(there, os.W_OK | os.X_OK):  # known before a corpus is prepared for minutes
        found = "no study can be kept there: the place is read-only for you"
        raise SpecError(str(out), found, "", "choose another place with --out")


def _rounds(study: Study, record: StudyRecord, options: Options) -> list[list[int]]:
    """The seeds that must be done at each look. What was done beyond them stays, and counts."""
    if (options.seeds if options.seeds is not None else study.seeds) != "auto":
        return [record.seeds]
    return [sorted({*record.seeds, *range(look)}) for look in auto_looks(study)]


def _is_over(study: Study, out: Path, seeds: list[int], record: StudyRecord) -> bool:
    """Whether "auto" gives up before a look that needs seeds nobody has begun."""
    if study.max_minutes is None or set(seeds) <= set(record.seeds):
        return False
    # Read from the runs, so that a study which was stopped and goes on knows what it spent before.
    ended = [run_folder_of(done.parent) for done in files_below(out) if done.name == "done.json"]
    seconds = sum(run.done.seconds or 0.0 for run in ended if run.damage is None and run.done is not None)
    return seconds / 60 / record.settings.workers > study.max_minutes


def _train(
    tasks: Sequence[Task],
    record: StudyRecord,
    watcher: Watcher,
    study_file: Path | None,
    options: Options,
    pool: WorkerPool,
    out: Path,
) -> None:
    """Run what is not done, in order, and keep going past a run that fails. A run waits for those that it reads.

    Raises: RunError when the disk is full: no other run could do better.
    """
    orders = []
    watcher.started({(shown_name(job, path), job.data_seed): sum(job.stages_tokens) for job, path in tasks})
    for job, path in tasks:
        done = whole_end(job, path, out, watcher.say)
        if done is not None:
            watcher.on_message(shown_name(job, path), job.data_seed, {"done": done, "was_there": True})
        else:
            remove_file(path / FAILED)
            after = tuple(folder for _, folder in places_of(job, out))
            orders.append(Order(job, path, study_file, samples=options.samples, after=after))
    settled: set[int] = set()

    def on_message(order: Order, message: dict[str, Any]) -> None:
        if "failed" in message and id(order) in settled:
            return  # its process ends with a code beside what it said already
        if "done" in message:
            message = {**message, "done": RunEnd.from_plain(message["done"])}
        watcher.on_message(shown_name(order.job, order.folder), order.job.data_seed, message)
        if "done" in message:
            remove_file(order.folder / "order.json")
            if order.job.is_made_to_choose:  # nobody goes on with it
                remove_folder(order.folder / "checkpoints")
        if message.get("disk_full"):
            raise RunError("", message["failed"])
        if "done" in message or "failed" in message:
            settled.add(id(order))
        if "failed" in message:
            write_text(order.folder / FAILED, message["failed"].rstrip() + "\n")

    run_orders(orders, workers=record.settings.workers, on_message=on_message, pool=pool)
