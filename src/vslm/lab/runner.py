"""Run a study in a folder: what is not done is done, what was chosen once stays, and every look is a verdict."""

import dataclasses
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from filelock import FileLock, Timeout

import vslm
from vslm.core.errors import RunError, SpecError
from vslm.core.specs import differences, fingerprint, to_plain
from vslm.data.corpus import Corpus, prepare
from vslm.lab.experiment import Experiment
from vslm.lab.job import Job, Settings, start_checksum
from vslm.lab.matching import check_equal
from vslm.lab.pool import Order, run_orders
from vslm.lab.screening import screen_arms
from vslm.lab.stages import (
    Task,
    describe_arms,
    judged_tasks,
    name_runs,
    num_rounds,
    save,
    stage_record,
    stage_sizes,
)
from vslm.lab.study import Study, auto_looks, parse_seeds, planned_seeds
from vslm.lab.tuning import tune_arms, with_chosen_rates
from vslm.lab.verdict import is_resolved, write_verdict
from vslm.models.language_model import Model
from vslm.results.files import read_json, write_json
from vslm.results.folder import FORMAT, RunFolder, StudyFolder
from vslm.stats.looks import LookPlan, fixed_plan, sequential_plan

_BASELINE_SHARE_OF_EVALUATION = 1.15  # measured evaluations, compile loading and start-up on top of training time


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may override: the budget and the place.

    Args:
        seeds: in place of the study's.
        tokens: of one baseline run, in place of the budget.
        minutes: of the whole study, in place of the budget.
        more_tokens: let finished runs go on for another stage.
        device: "auto", "cpu", "cuda" or "mps".
        workers: runs at the same time; None: as timed.
        samples: whether runs show text on the way.
    """

    seeds: int | str | tuple[int, ...] | None = None
    tokens: int | None = None
    minutes: float | None = None
    more_tokens: int | None = None
    device: str = "auto"
    workers: int | None = None
    samples: bool = False


class Watcher(Protocol):
    """Who is told how a study goes."""

    def say(self, text: str) -> None:
        """A line for people."""
        ...

    def heard(self, arm: str, seed: int, message: Mapping[str, Any]) -> None:
        """What a run said: progress, a sample, that it is done or failed."""
        ...

    def started(self, arms: list[str], seeds: list[int]) -> None:
        """Runs are about to start."""
        ...


def run_study(study: Study, out: Path, watcher: Watcher, *, study_file: Path | None, options: Options) -> StudyFolder:
    """Train every arm with every seed, and judge.

    Raises: SpecError or DataError before any compute; RunError when the folder is held by another process.
    """
    corpora = {arm: _prepared(arm, study, watcher.say) for arm in study.arms}
    _check_comparable(study, corpora)
    if study.equal is not None:
        vocabularies = {arm: corpus.vocabulary for arm, corpus in corpora.items()}
        check_equal(study.arms, study.baseline, by=study.equal, unequal=study.unequal, vocabularies=vocabularies)
    _check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    with _held(out):
        arms = _tuned_before(study, out)
        record = _declared(dataclasses.replace(study, arms=arms), out, corpora, options, watcher, study_file)
        save(record, out)
        copy = out / study_file.name if study_file else None

        def train(tasks: Sequence[Task]) -> None:
            _train(tasks, record, watcher, copy, options)

        if study.screen is not None:
            confirmed = screen_arms(study.screen, arms, study.baseline, record, out, train)
            name_runs(arms, record, _nameable_seeds(study, record))
            save(record, out)
            arms = {arm: arms[arm] for arm in confirmed}
        if study.tune is not None and not record["tuned"]:
            new = {arm: experiment for arm, experiment in arms.items() if arm not in record.get("tuning", {})}
            record["tuning"] = {**record.get("tuning", {}), **tune_arms(study.tune, new, record, out, train)}
            arms = with_chosen_rates(arms, {arm: record["tuning"][arm] for arm in new})
            record["tuned"] = True
            describe_arms(arms, study.baseline, record)
            name_runs(arms, record, _nameable_seeds(study, record))
            save(record, out)
        for seeds in _rounds(study, record, options):
            train(judged_tasks(arms, record, out, seeds))
            if is_resolved(write_verdict(StudyFolder(out))):
                break
    return StudyFolder(out)


def _tuned_before(study: Study, out: Path) -> Mapping[str, Experiment]:
    """The arms, with the rates that a tuning in this folder has already chosen."""
    if study.tune is None or not (out / "study.json").exists():
        return study.arms
    return with_chosen_rates(study.arms, read_json(out / "study.json").get("tuning", {}))


def _prepared(arm: str, study: Study, say: Callable[[str], None]) -> Corpus:
    try:
        return prepare(study.arms[arm].data, say=say)
    except SpecError as error:
        raise error.within(f"arms.{arm}") from None


def _check_comparable(study: Study, corpora: Mapping[str, Corpus]) -> None:
    tokenizers = {corpus.meta["tokenizer_fingerprint"] for corpus in corpora.values()}
    if study.primary.measure == "val_loss" and len(tokenizers) > 1:
        found = f"val_loss over {len(tokenizers)} different tokenizers"
        do = "use Primary('val_bpb'), which compares bits per byte"
        raise SpecError("primary.measure", found, "nats per token compare within one tokenizer only", do)


def _check_folder(out: Path) -> None:
    if out.exists() and not (out / "study.json").exists() and any(p for p in out.iterdir() if p.name[0] != "."):
        raise SpecError(str(out), "a folder with other files in it", "", "choose another place with --out")


class _held:  # noqa: N801 (reads as the statement it is: `with _held(out)`)
    """Hold a study's folder; a second run is told who holds it. The lock ends with the process, however it ends."""

    def __init__(self, out: Path) -> None:
        self.out, self.lock = out, FileLock(str(out / ".lock"))
        self.holder = out / ".holder.json"

    def __enter__(self) -> None:
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            who = json.loads(self.holder.read_text()) if self.holder.exists() else {}
            found = f"held by process {who.get('process')} on {who.get('machine')} since {who.get('since')}"
            raise RunError(str(self.out), found, "", "wait for it, stop it, or choose another --out") from None
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        write_json(self.holder, {"process": os.getpid(), "machine": platform.node(), "since": since})

    def __exit__(self, *_: object) -> None:
        self.holder.unlink(missing_ok=True)
        self.lock.release()


def _declared(
    study: Study,
    out: Path,
    corpora: Mapping[str, Corpus],
    options: Options,
    watcher: Watcher,
    study_file: Path | None,
) -> dict[str, Any]:
    """`study.json`: as it was, with what is new added; or refused."""
    before = read_json(out / "study.json") if (out / "study.json").exists() else None
    stages = stage_record(study, before, out)
    asked = options.seeds if options.seeds is not None else study.seeds
    looks = auto_looks(study) if asked == "auto" else ()
    seeds = list(range(looks[0])) if looks else list(parse_seeds(asked))
    # Named seeds ("3-5") are a part of the declared study, to be merged; a count is what one look is planned for.
    named = isinstance(asked, str) and "-" in asked and study.seeds != "auto"
    plan = sequential_plan(looks) if looks else fixed_plan(len(planned_seeds(study)) if named else len(seeds))
    if before is None:
        sizes = stage_sizes(study, len(seeds))
        settings, rate = _timed(study, out, corpora, options, watcher, study_file, sizes)
        rounds = num_rounds(sizes, settings["workers"])
        tokens = _tokens(study, corpora, options, rate, rounds)
        minutes = rounds * tokens[study.baseline] / rate / 60 * _BASELINE_SHARE_OF_EVALUATION
        stages["estimate"] = {"sizes": sizes, "rounds": rounds, "minutes": minutes}
    else:
        settings, rate = before["settings"], before["tokens_per_second"]
        kept = before["plan"]
        plan = LookPlan(tuple(kept["looks"]), tuple(kept["errors"]), kept["reserve"])
        seeds = sorted({*before["seeds"], *seeds})
        known = next(iter(before["arms"].values()))["stages_tokens"]
        base = before["arms"][study.baseline]["stages_tokens"] if study.baseline in before["arms"] else known
        tokens = _derived(study, corpora, base[0])
    if options.workers is not None:
        settings = {**settings, "workers": options.workers}
    if study_file:
        shutil.copyfile(study_file, out / study_file.name)
    baseline = study.arms[study.baseline]
    arms: dict[str, Any] = {}
    for arm, experiment in study.arms.items():
        corpus = corpora[arm]
        old = before["arms"].get(arm) if before else None
        stages_tokens = list(old["stages_tokens"]) if old else [tokens[arm]]
        if options.more_tokens:
            stages_tokens.append(options.more_tokens)
        arms[arm] = {
            "experiment": to_plain(experiment),
            "fingerprint": fingerprint(experiment),
            "differences": [list(row) for row in differences(baseline, experiment)],
            "num_parameters": experiment.model.num_parameters(corpus.vocabulary),
            "num_parameters_without_embeddings": experiment.model.num_parameters_without_embeddings(corpus.vocabulary),
            "flops_per_token": experiment.model.flops_per_token(corpus.vocabulary),
            "tokens": sum(stages_tokens),
            "stages_tokens": stages_tokens,
            "kernels": experiment.model.kernels(settings["device"]),
            "corpus": corpus.fingerprint,
            "bytes_per_token": corpus.bytes_per_token("val"),
            "start_sha256": start_checksum(experiment),
        }
        if old:
            _check_unchanged(arm, old, arms[arm], out)
            if old.get("screened_out"):  # compared with the baseline as it was screened, before its rate was tuned
                arms[arm]["differences"] = old["differences"]
    record = {
        "format": FORMAT,
        "name": study_file.stem if study_file else out.name,
        "question": study.question,
        "prediction": study.prediction,
        "baseline": study.baseline,
        "arms": {**(before["arms"] if before else {}), **arms},
        "seeds": seeds,
        "primary": to_plain(study.primary),
        "match": study.match,
        **stages,
        "plan": dataclasses.asdict(plan),
        "settings": settings,
        "tokens_per_second": rate,
        "corpora": {corpus.fingerprint: corpus.meta for corpus in corpora.values()},
        "fingerprint": fingerprint({arm: row["fingerprint"] for arm, row in arms.items()}),
        "vslm_version": vslm.__version__,
        "created": before["created"] if before else time.strftime("%Y-%m-%dT%H:%M:%S"),
    }
    name_runs(study.arms, record, _nameable_seeds(study, record))
    if before and before["baseline"] != study.baseline:
        raise SpecError(str(out), f"its baseline is {before['baseline']!r}", "", "choose another place with --out")
    return record


def _check_unchanged(arm: str, old: dict[str, Any], new: dict[str, Any], out: Path) -> None:
    if old["fingerprint"] != new["fingerprint"]:
        changed = [path for path, _, _ in differences(old["experiment"], new["experiment"]) if path != "budget.tokens"]
        found = f"arm {arm!r} was run with other values ({', '.join(changed) or 'budget.tokens'})"
        raise SpecError(str(out), found, "an arm that was run does not change", "choose another place with --out")
    if old["corpus"] != new["corpus"]:
        found = f"the corpus of arm {arm!r} has changed ({old['corpus']} before, {new['corpus']} now)"
        raise SpecError(str(out), found, "", "choose another place with --out")


def _timed(
    study: Study,
    out: Path,
    corpora: Mapping[str, Corpus],
    options: Options,
    watcher: Watcher,
    study_file: Path | None,
    sizes: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], float]:
    """Time the baseline in a worker: settings for the study, and tokens per second."""
    watcher.say("timing the baseline: precision, compile, threads")
    num_runs = sum(size["num_runs"] for size in sizes)
    cores = options.workers or available_cores()
    experiment = study.arms[study.baseline]
    budget = options.tokens or experiment.budget.tokens
    if budget is None:
        minutes = options.minutes / num_rounds(sizes, cores) if options.minutes else experiment.budget.minutes or 5.0
        budget = int(minutes * 60 * 20_000)
    settings = Settings(device=_device(options.device), precision="fp32", compiled=False, threads=1)  # type: ignore[arg-type]
    job = Job(
        arm=study.baseline,
        experiment=experiment,
        stages_tokens=(budget,),
        init_seed=0,
        data_seed=0,
        settings=settings,
        corpus=corpora[study.baseline].fingerprint,
        start_sha256=start_checksum(experiment),
    )
    answer: dict[str, Any] = {}
    order = Order(job, out / ".timing", study_file, task="time", num_runs=num_runs, cores=cores)
    run_orders([order], workers=1, hear=lambda _, message: answer.update(message))
    if "timing" not in answer:
        raise RunError(f"arms.{study.baseline}", f"cannot be trained: {answer.get('failed', 'no answer')}")
    timing = answer["timing"]
    shutil.rmtree(out / ".timing", ignore_errors=True)
    settings_plain = {**timing["settings"], "workers": timing["workers"], "rates": timing["rates"]}
    chosen = ", ".join(f"{key} {settings_plain[key]}" for key in ("precision", "compiled", "threads", "workers"))
    watcher.say(f"{timing['tokens_per_second']:,.0f} tokens/s a run; {chosen}")
    return settings_plain, timing["tokens_per_second"]


def _tokens(
    study: Study, corpora: Mapping[str, Corpus], options: Options, rate: float, rounds: float
) -> dict[str, int]:
    budget = study.arms[study.baseline].budget
    if options.tokens is not None:
        base = options.tokens
    elif options.minutes is not None:
        base = int(options.minutes * 60 / _BASELINE_SHARE_OF_EVALUATION / rounds * rate)
    elif budget.tokens is not None:
        base = budget.tokens
    elif budget.minutes is not None:
        base = int(budget.minutes * 60 * rate)
    else:
        assert budget.flops is not None  # a budget has exactly one of three
        model = study.arms[study.baseline].model
        base = int(budget.flops / model.flops_per_token(corpora[study.baseline].vocabulary))
    return _derived(study, corpora, base)


def _derived(study: Study, corpora: Mapping[str, Corpus], base_tokens: int) -> dict[str, int]:
    """Tokens of every arm from the baseline's, by what is matched."""
    if study.match == "tokens":
        return dict.fromkeys(study.arms, base_tokens)
    cost: dict[str, float] = {}
    for arm, experiment in study.arms.items():
        model: Model = experiment.model
        cost[arm] = model.flops_per_token(corpora[arm].vocabulary)
    return {arm: int(base_tokens * cost[study.baseline] / cost[arm]) for arm in study.arms}


def _nameable_seeds(study: Study, record: dict[str, Any]) -> list[int]:
    """Seeds whose runs may come to count."""
    return record["seeds"] if study.seeds != "auto" else sorted({*record["seeds"], *range(study.max_seeds)})


def _rounds(study: Study, record: dict[str, Any], options: Options) -> list[list[int]]:
    if options.seeds is None and study.seeds == "auto":
        return [list(range(look)) for look in auto_looks(study)]
    return [record["seeds"]]


def _train(
    tasks: Sequence[Task], record: dict[str, Any], watcher: Watcher, study_file: Path | None, options: Options
) -> None:
    """Run what is not done, in order, and keep going past a run that fails."""
    orders = []
    watcher.started(list(dict.fromkeys(job.arm for job, _ in tasks)), sorted({job.data_seed for job, _ in tasks}))
    for job, path in tasks:
        done = RunFolder(path, job.arm, job.data_seed).done
        if done and done["fingerprint"] == job.fingerprint:
            watcher.heard(job.arm, job.data_seed, {"done": done, "was_there": True})
        else:
            orders.append(Order(job, path, study_file, samples=options.samples))

    def hear(order: Order, message: dict[str, Any]) -> None:
        watcher.heard(order.job.arm, order.job.data_seed, message)
        if "done" in message:
            (order.folder / "order.json").unlink(missing_ok=True)
            if order.job.split == "select":  # it was made to choose: nobody goes on with it
                shutil.rmtree(order.folder / "checkpoints", ignore_errors=True)

    run_orders(orders, workers=record["settings"]["workers"], hear=hear)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _device(asked: str) -> str:
    if asked != "auto":
        if asked == "cuda" and not torch.cuda.is_available():
            raise SpecError("--device", "found cuda, but torch sees no CUDA device", "cpu or auto work here")
        return asked
    if torch.cuda.is_available():
        return "cuda"
    return "cpu"
