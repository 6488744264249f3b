"""`study.json`: what a study is and what was chosen for it, once; a later command adds to it and changes nothing."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import vslm
from vslm.core.errors import SpecError
from vslm.core.machine import available_cores
from vslm.core.specs import differences, fingerprint, to_plain
from vslm.lab.budgets import (
    Prepared,
    baseline_tokens,
    device,
    minutes_of,
    relative_cost,
    seconds_whatever_the_tokens,
    slowed,
    tokens_of_arm,
)
from vslm.lab.effects import factorial_record
from vslm.lab.options import Options
from vslm.lab.pilot import declared_pilot
from vslm.lab.stages import fingerprint_of_arms, name_runs, num_rounds, settings_of, stage_record, stage_sizes
from vslm.lab.trunks import name_trunks, seconds_of_trunks, seeds_of_forks, tokens_of_trunk
from vslm.lab.verdict import look_plan
from vslm.results.files import sha256
from vslm.results.folder import StudyFolder
from vslm.results.primary import PrimaryNumber
from vslm.results.records import (
    FORMAT,
    ArmRecord,
    CorpusRecord,
    FactorialRecord,
    PlanRecord,
    SettingsRecord,
    StudyRecord,
    TimedRecord,
)
from vslm.runs.recording import scored_bytes_per_token
from vslm.stats.looks import LookPlan, fixed_plan, sequential_plan
from vslm.study.experiment import Experiment
from vslm.study.forks import arms_read, at_seed, readers_of, runs_read
from vslm.study.job import objective_checksums, start_checksum
from vslm.study.learning_rates import CountedRates
from vslm.study.own_classes import changed_parts, parts_of_copy
from vslm.study.primary import primary_number
from vslm.study.study import Study, auto_looks, names_seeds, parse_seeds, planned_seeds

_ANOTHER = "choose another place with --out"


def declared(prepared: Prepared, options: Options) -> StudyRecord:
    """The record of the study in its folder: as it was, with what is new added; or refused.

    Raises: SpecError when the folder belongs to another study, or an arm that was run has changed.
    """
    study, out = prepared.study, prepared.out
    before = _before(out, prepared)
    if before is not None:
        _check_same_study(study, before, out)
    stages = stage_record(study, before, out)
    device(options.device)  # refused before anything is timed
    seeds, plan = _seeds_and_plan(study, options, before)
    forked = seeds_of_forks(study, seeds, options.seeds if options.seeds is not None else study.seeds)
    every = {name: _row(prepared, name, forked) for name in study.experiments}
    trunks, rows = ({name: every[name] for name in part} for part in (study.trunks, study.arms))
    for arm, row in rows.items():
        if before and arm in before.arms:
            _check_unchanged(arm, before.arms[arm], row, out)
            _check_own_code(prepared, arm, before, row)
            if before.arms[arm].screened_out:  # compared with the baseline before its rate was tuned
                row.differences = before.arms[arm].differences
    _check_trunks(prepared, trunks, before)
    _check_more_tokens(study, options, before, out)
    sizes = stage_sizes(study, len(seeds))
    if before is None:
        settings, rate = prepared.choose_settings(options, sizes)
    else:
        settings, rate = _with_workers(before.settings, options, prepared), before.tokens_per_second
    flops = {arm: row.flops_per_token for arm, row in rows.items()}
    flops_rate = rate * flops[study.baseline]
    _give_tokens(study, trunks, before, flops_rate)
    if before is None:
        rounds = slowed(num_rounds(sizes, settings.workers), settings.workers, settings.threads)
        rounds *= relative_cost(study, flops)
        fixed = seconds_whatever_the_tokens(
            study, sizes, workers=settings.workers, rate=rate, compile_seconds=settings.compile_seconds or 0.0
        )
        of_trunks = {name: (row.tokens, row.flops_per_token) for name, row in trunks.items()}
        fixed += seconds_of_trunks(study, len(seeds), of_trunks, flops_rate, settings.workers)
        base_tokens = baseline_tokens(
            study, flops[study.baseline], options, rate=rate, rounds=rounds, fixed_seconds=fixed
        )
        minutes = minutes_of(rounds, base_tokens, rate, fixed)
        estimate = {"stages": [size.plain() for size in sizes], "rounds": rounds, "minutes": minutes}
        stages = dataclasses.replace(stages, estimate=estimate)
    else:
        base_tokens = before.arms[study.baseline].stages_tokens[0]
        _check_kept(options, before, base_tokens)
        if options.minutes is not None:
            prepared.watcher.say(f"minutes were turned into {base_tokens:,} tokens a run when this study began")
    old_arms = before.arms if before else {}
    new = [arm for arm in study.arms if arm not in old_arms]
    addition = _number_of_addition(old_arms, out)
    to_time = [arm for arm in new if arm != study.baseline] if study.match == "time" else []
    timed = prepared.time_arms(to_time, settings) if to_time else {}
    for arm, row in rows.items():
        old, speed = old_arms.get(arm), timed.get(arm)
        stages_tokens = list(old.stages_tokens) if old else [tokens_of_arm(study, arm, base_tokens, flops, speed)]
        if options.more_tokens and not _goes_on(out, arm, old, options.more_tokens):
            stages_tokens.append(options.more_tokens)
        row.stages_tokens, row.tokens = stages_tokens, sum(stages_tokens)
        row.addition = (old.addition or 0) if old else addition
        row.timed = old.timed if old else TimedRecord.from_plain(dataclasses.asdict(speed)) if speed else None
    _describe_computation(prepared, every, settings)
    record = StudyRecord(
        format=FORMAT,
        name=study_name(prepared.study_file, out),
        question=study.question,
        prediction=_prediction(prepared, before),
        baseline=study.baseline,
        arms={**old_arms, **rows},
        trunks={**(before.trunks if before else {}), **trunks},
        seeds=seeds,
        primary=_primary(study),
        match=study.match,
        **{one.name: getattr(stages, one.name) for one in dataclasses.fields(stages)},
        pilot=declared_pilot(study, before),
        factorial=factorial_record(study.factorial, study.factors),
        plan=PlanRecord(looks=list(plan.looks), errors=list(plan.errors), reserve=plan.reserve),
        settings=settings,
        tokens_per_second=rate,
        corpora={
            one.fingerprint: CorpusRecord.from_plain(one.meta)
            for corpus in prepared.corpora.values()
            for one in (corpus, *corpus.further.values())
        },
        fingerprint=fingerprint_of_arms(rows, trunks),
        vslm_version=vslm.__version__,
        created=before.created if before else time.strftime("%Y-%m-%dT%H:%M:%S"),
    )
    name_trunks(study, record, forked)
    name_runs(study.arms, record)
    if before is not None and not options.more_tokens:
        _check_same_runs(before, record, out)
    return record


def _primary(study: Study) -> PrimaryNumber:
    return primary_number(study.primary, study.arms[study.baseline])


def study_name(study_file: Path | None, out: Path) -> str:
    """What a study is called, and the copy of its file, with .py behind it."""
    return study_file.stem if study_file else out.resolve().name or "study"


def _before(out: Path, prepared: Prepared) -> StudyRecord | None:
    """What an earlier command declared, or None; that it was changed since is said."""
    folder = StudyFolder(out)
    if not (out / "study.json").exists():
        return None
    if folder.record_problem:
        prepared.watcher.say(folder.record_problem)
    return folder.study_to("run")


def _check_trunks(prepared: Prepared, trunks: Mapping[str, ArmRecord], before: StudyRecord | None) -> None:
    for name, row in trunks.items():
        if before and name in before.trunks:
            _check_unchanged(name, before.trunks[name], row, prepared.out)
            _check_own_code(prepared, name, before, row)


def _describe_computation(prepared: Prepared, rows: Mapping[str, ArmRecord], settings: SettingsRecord) -> None:
    """Write down which kernels serve every arm and trunk, and what they really compute."""
    for name, row in rows.items():
        experiment, vocabulary = prepared.study.experiments[name], prepared.corpora[name].vocabulary
        row.kernels = experiment.model.kernels(settings_of(settings).where)
        row.executed_flops_per_token = experiment.executed_flops_per_token(vocabulary, row.kernels)


def _give_tokens(study: Study, trunks: Mapping[str, ArmRecord], before: StudyRecord | None, flops_rate: float) -> None:
    """Tokens of every trunk: as they were, or from its budget."""
    for name, row in trunks.items():
        if before is not None and name in before.trunks:
            row.stages_tokens = list(before.trunks[name].stages_tokens)
        else:
            flops = row.flops_per_token
            row.stages_tokens = [tokens_of_trunk(study.trunks[name], flops, flops_per_second=flops_rate)]
        row.tokens = sum(row.stages_tokens)


def _seeds_sha256(experiment: Experiment, seeds: Sequence[int]) -> dict[str, str]:
    """SHA-256 of the weights of all runs that are read by their folder, where they differ by seed; else nothing."""
    own = [at_seed(experiment, seed) for seed in seeds]
    if all(one == experiment for one in own):
        return {}
    runs = dict.fromkeys(run for one in own for run in runs_read(one) if isinstance(run, str))
    return {run: sha256(Path(run) / "weights.safetensors") for run in runs}


def _row(prepared: Prepared, arm: str, seeds: Sequence[int]) -> ArmRecord:
    """What an arm or a trunk is, without how long it is trained.

    Args:
        prepared: of the study.
        arm: its name.
        seeds: that it may come to be trained with.
    """
    experiment, corpus = prepared.study.experiments[arm], prepared.corpora[arm]
    by_seed = _seeds_sha256(experiment, seeds)
    files = () if experiment.objective is None else experiment.objective.files()
    return ArmRecord(
        own_code=dict(prepared.code.parts[arm]) if arm in prepared.code.parts else None,
        experiment=to_plain(experiment),
        fingerprint=fingerprint(experiment),
        differences=[]
        if arm in prepared.study.trunks
        else [list(row) for row in differences(prepared.study.arms[prepared.study.baseline], experiment)],
        num_parameters=experiment.num_parameters(corpus.vocabulary),
        num_trained_parameters=experiment.num_trained_parameters(corpus.vocabulary) if experiment.adapter else None,
        num_parameters_without_embeddings=experiment.model.num_parameters_without_embeddings(corpus.vocabulary),
        flops_per_token=experiment.flops_per_token(corpus.vocabulary),
        corpus=corpus.fingerprint,
        bytes_per_token=scored_bytes_per_token(
            experiment, corpus, "val", None if arm in prepared.study.trunks else prepared.study.primary.positions
        ),
        start_sha256=None if by_seed else start_checksum(experiment),
        seeds_sha256=by_seed,
        reads=list(arms_read(experiment)),
        objective_sha256=[sha256(path) for path in files] if by_seed else list(objective_checksums(experiment) or ()),
        objective_corpora=[one.fingerprint for one in corpus.further.values()],
    )


def _number_of_addition(old_arms: Mapping[str, ArmRecord], out: Path) -> int:
    """How often arms will have been added when new ones are now; 0 before the first look."""
    if not old_arms or not (out / "verdict.json").exists():
        return 0
    return 1 + max(row.addition or 0 for row in old_arms.values())


def _prediction(prepared: Prepared, before: StudyRecord | None) -> str | None:
    """What was expected before the first run; later words are no prediction."""
    now = prepared.study.prediction
    if before is None or before.prediction == now:
        return now
    prepared.watcher.say("the prediction is another than before the first run; the first one stays")
    return before.prediction


def _seeds_and_plan(study: Study, options: Options, before: StudyRecord | None) -> tuple[list[int], LookPlan]:
    asked = options.seeds if options.seeds is not None else study.seeds
    looks = auto_looks(study) if asked == "auto" else ()
    seeds = list(range(looks[0])) if looks else list(parse_seeds(asked))
    if before is not None:
        seeds = sorted({*before.seeds, *seeds})
    if isinstance(study.tune, CountedRates):
        study.tune.check_seeds(len(seeds), "--seeds")
    if before is not None:
        return seeds, look_plan(before)
    if looks:
        return seeds, sequential_plan(looks)
    # Named seeds ("3-5") are a part of the declared study, to be merged; a count is what one look is planned for.
    named = isinstance(asked, str) and names_seeds(asked) and study.seeds != "auto"
    return seeds, fixed_plan(len(planned_seeds(study)) if named else len(seeds))


def _with_workers(settings: SettingsRecord, options: Options, prepared: Prepared) -> SettingsRecord:
    """The settings as they were; runs at the same time may be others, since they change no number."""
    if options.workers is None:
        return settings
    workers, threads = options.workers, settings.threads
    # Threads stay those of the runs that are there: other numbers of them give other bits.
    if threads > 1 and settings.device == "cpu" and workers * threads > available_cores():
        workers = max(1, available_cores() // threads)
        prepared.watcher.say(f"runs of this study have {threads} threads, so {workers} at the same time")
    return dataclasses.replace(settings, workers=workers)


def _check_same_study(study: Study, before: StudyRecord, out: Path) -> None:
    # How far numbers can be apart is no choice: a study that was begun before it was recorded goes on.
    primary = dataclasses.replace(_primary(study), largest_difference=before.primary.largest_difference)
    now = {"baseline": study.baseline, "match": study.match, "primary": primary.plain()}
    was = {"baseline": before.baseline, "match": before.match, "primary": before.primary.plain()}
    for key, new in now.items():
        if was[key] != new:
            changed = [f"{key}{f'.{path}' if path else ''}" for path, _, _ in differences(was[key], new)]
            found = f"this folder holds a study with another {', '.join(changed)}"
            allowed = "what decides a study is declared before its first run"
            raise SpecError(str(out), found, allowed, _ANOTHER)
    if _declared_factors(before.factorial) != _declared_factors(factorial_record(study.factorial, study.factors)):
        found = "this folder holds a study with other factors, interactions or combinations of them"
        raise SpecError(str(out), found, "an effect is read from all runs of one design", _ANOTHER)


def _declared_factors(record: FactorialRecord | None) -> Any:
    """What of a design decides the effects."""
    return None if record is None else (record.factors, record.interactions, record.cells)


def _check_unchanged(arm: str, old: ArmRecord, new: ArmRecord, out: Path) -> None:
    if old.fingerprint != new.fingerprint:
        changed = [path for path, _, _ in differences(old.experiment, new.experiment)]
        shown = ", ".join(changed[:4]) + (f" and {len(changed) - 4} more" if len(changed) > 4 else "")
        found = f"arm {arm!r} was run with other values ({shown})"
        raise SpecError(str(out), found, "an arm that was run does not change", _ANOTHER)
    if old.corpus != new.corpus:
        found = f"the corpus of arm {arm!r} has changed ({old.corpus} before, {new.corpus} now)"
        raise SpecError(str(out), found, "", f"bring the old text back, or {_ANOTHER}")
    if old.objective_corpora != new.objective_corpora:
        found = f"a corpus that the objective of arm {arm!r} reads has changed"
        raise SpecError(str(out), found, "", f"bring the old text back, or {_ANOTHER}")
    if old.start_sha256 != new.start_sha256:
        found = f"the weights that arm {arm!r} starts from have changed"
        raise SpecError(str(out), found, "", f"bring the old ones back, or {_ANOTHER}")
    if changed := [run for run, digest in new.seeds_sha256.items() if old.seeds_sha256.get(run, digest) != digest]:
        found = f"the weights of {changed[0]}, which arm {arm!r} reads, have changed"
        raise SpecError(str(out), found, "", f"bring the old ones back, or {_ANOTHER}")
    new.seeds_sha256 = {**old.seeds_sha256, **new.seeds_sha256}
    if old.objective_sha256 != new.objective_sha256:
        found = f"the weights that the objective of arm {arm!r} reads have changed"
        raise SpecError(str(out), found, "", f"bring the old ones back, or {_ANOTHER}")


def _check_own_code(prepared: Prepared, arm: str, before: StudyRecord, row: ArmRecord) -> None:
    """Refuse to mix runs of a class of one's own with runs of what it was changed into."""
    old, new = before.row(arm).own_code, row.own_code or {}
    if old is None:
        # Begun before code was recorded: known is what stands in the copy, and the runs keep the names they have.
        row.own_code = None
        if not new:
            return
        copy = prepared.out / f"{before.name}.py"
        old = {**new, **parts_of_copy(prepared.study.experiments[arm], copy, new)}
    if changed := changed_parts(old, new):
        shown = ", ".join(changed[:4]) + (f" and {len(changed) - 4} more" if len(changed) > 4 else "")
        found = f"the code of arm {arm!r} has changed since it was run: {shown}"
        do = f"bring the old code back (a copy lies in that folder), or {_ANOTHER}"
        raise SpecError(str(prepared.out), found, "an arm that was run does not change", do)


def _check_same_runs(before: StudyRecord, record: StudyRecord, out: Path) -> None:
    """Refuse to run a seed again that was run in other settings: a merged folder holds seeds of several machines, and
    an arm that is added to such a seed would not be paired with the others.
    """
    for name, corpus in record.corpora.items():
        old = before.corpora[name].sha256 if name in before.corpora else {}
        if old and old != corpus.sha256:  # made again, by another version of what cuts a text into tokens
            found = f"the tokens of corpus {name} are others than those that were trained on"
            raise SpecError(str(out), found, "all runs of a study read the same tokens", _ANOTHER)
    for arm, row in record.arms.items():
        old = before.arms[arm].runs if arm in before.arms else {}
        changed = [seed for seed, name in row.runs.items() if old.get(seed, name) != name]
        if changed:
            found = f"seed {changed[0]} of arm {arm!r} was run in other settings than are chosen here"
            do = "go on in the folders that were merged, and merge them again"
            raise SpecError(str(out), found, "the arms of a seed come from one machine and one version of vslm", do)


def _check_kept(options: Options, before: StudyRecord, base_tokens: int) -> None:
    """Refuse options that ask for something else than was chosen when the study began: it is chosen once.

    Minutes are turned into tokens once and may come again, as the same command does.
    """
    kept = before.settings.device
    do = f"leave it out, or {_ANOTHER}"
    if options.tokens is not None and options.tokens != base_tokens:
        found = f"found {options.tokens:,}, and this study began with {base_tokens:,} a run"
        raise SpecError("--tokens", found, "the budget is chosen once", do)
    precision = before.settings.precision
    if options.precision not in ("auto", precision):
        found = f"found {options.precision}, and this study runs in {precision}"
        raise SpecError("--precision", found, "it is chosen once", do)
    if options.device != "auto" and options.device != kept:
        raise SpecError("--device", f"found {options.device}, and this study runs on {kept}", "it is chosen once", do)


def _check_more_tokens(study: Study, options: Options, before: StudyRecord | None, out: Path) -> None:
    """Refuse to go on with what is not there or not finished."""
    if not options.more_tokens:
        return
    if before is None:
        found = "there is no run to go on with"
        raise SpecError(str(out), found, "--more-tokens needs a finished run", "leave --more-tokens out first")
    read = readers_of(study.arms, study.experiments)
    if read:
        arm, reader = next(iter(read.items()))
        found = f"{reader!r} reads the arm {arm!r}, whose weights would be others"
        raise SpecError("--more-tokens", found, "what others start from ends where it ended", "declare it in trunks")
    for arm in study.arms:
        old = before.arms.get(arm)
        if not _is_finished(out, arm, old) and not _goes_on(out, arm, old, options.more_tokens):
            do = "give the command that began it once more, then --more-tokens"
            raise SpecError(str(out), f"the run of {arm!r} is not finished", "--more-tokens needs a finished run", do)


def _is_finished(out: Path, arm: str, old: ArmRecord | None) -> bool:
    """Whether every run of an arm ended well, under the fingerprint it has in the record."""
    if old is None:
        return False
    for seed, name in old.runs.items():
        done = StudyFolder(out).run(arm, int(seed)).ended_as(name)
        if done is None or not done.ended_well:
            return False
    return True


def _goes_on(out: Path, arm: str, old: ArmRecord | None, more_tokens: int) -> bool:
    """Whether this same stage was begun before and not finished, so that the same command means to go on with it."""
    return (
        old is not None
        and len(old.stages_tokens) > 1
        and old.stages_tokens[-1] == more_tokens
        and not _is_finished(out, arm, old)
    )
