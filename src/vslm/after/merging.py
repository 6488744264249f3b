"""Join folders of one study from several machines; pack a study into one small file."""

import dataclasses
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from vslm.core.errors import ResultError
from vslm.core.specs import differences
from vslm.lab.verdict import write_verdict
from vslm.results.files import is_leftover, write_json, written_whole
from vslm.results.folder import KEPT, MODULES, RUN_AGAIN, RunFolder, StudyFolder, budget_name
from vslm.results.places import checked, copy_file, files_below, odd_below
from vslm.results.records import ArmRecord, PilotRecord, StudyRecord
from vslm.results.seals import sealed
from vslm.study.own_classes import changed_parts

_SAME = ("question", "baseline", "primary", "match", "plan", "screen", "tune", "budgets", "factorial")
_SAME_OF_AN_ARM = ("fingerprint", "corpus", "objective_corpora", "stages_tokens", "start_sha256")
_SAME_OF_A_SEED = ("machine", "device", "precision", "compiled", "threads", "torch")
_LEFT_OUT = {"weights.safetensors", "worker.log", "order.json", ".lock", ".holder.json", "sent.json"}
_FOLDERS_LEFT_OUT = {"checkpoints", KEPT}


def merge_studies(parts: list[Path], out: Path) -> StudyFolder:
    """One study from several folders of it: all their seeds, each once, judged anew.

    The arms of a seed come from one folder, so that they were paired on one machine.

    Raises: ResultError that names what differs, for an `out` that is not empty, and for a link or a pipe in a part.
    """
    if out.exists() and any(out.iterdir()):
        raise ResultError(str(out), "not empty", "a new folder is needed", "choose another --out")
    folders = [StudyFolder(part) for part in parts]
    for odd in (odd for part in parts for odd in odd_below(part)):
        checked(odd)  # left out, the study would be another one
    first = folders[0].study_to("run")
    if first.race is not None:
        found = "a race: which runs it has follows from the runs before"
        raise ResultError(str(parts[0]), found, "studies without a race are merged", "run all its seeds in one place")
    for folder in folders:
        _check_whole(folder)
    for folder in folders[1:]:
        _check_same(first, folder.study_to("run"), folders[0].path, folder.path)
    arms = {
        arm: dataclasses.replace(row, runs={}, runs_by_budget={name: {} for name in row.runs_by_budget})
        for arm, row in first.arms.items()
    }
    seeds = sorted({seed for folder in folders for seed in folder.study.seeds})
    pilot = merged_pilot([folder.study.pilot for folder in folders])
    trunks = {name: dataclasses.replace(row, runs={}) for name, row in first.trunks.items()}
    whole = dataclasses.replace(first, seeds=seeds, arms=arms, trunks=trunks, pilot=pilot)
    for seed in seeds:
        _take_seed(max(folders, key=lambda folder: _num_done(folder, arms, seed)), seed, arms, trunks, out)
    for seed in {int(seed) for row in first.trunks.values() for seed in row.runs} - {*first.seeds, *seeds}:
        _take_trunks(folders[0], seed, trunks, out)  # of runs that were made to choose, as those are
    for stage in ("screen", "tuning"):
        if (folders[0].path / stage).is_dir():
            _copy(folders[0].path / stage, out / stage)
    for copy in folders[0].path.glob("*.py"):
        copy_file(copy, out / copy.name)
    if (folders[0].path / MODULES).is_dir():
        _copy(folders[0].path / MODULES, out / MODULES)
    write_json(out / "study.json", sealed(whole.plain()))
    write_verdict(StudyFolder(out))
    return StudyFolder(out)


def _num_done(folder: StudyFolder, arms: Iterable[str], seed: int) -> int:
    return sum(_is_done(folder, arm, seed) for arm in arms)


def _take_seed(
    source: StudyFolder, seed: int, arms: Mapping[str, ArmRecord], trunks: Mapping[str, ArmRecord], out: Path
) -> None:
    """All arms of a seed, from one folder."""
    done = [arm for arm in arms if _is_done(source, arm, seed)]
    _check_one_place(source, done, seed)
    for arm in done:
        for budget in source.budgets:
            path = source.run(arm, seed, budget).path
            _copy(path, out / path.relative_to(source.path))
            row = arms[arm]
            names = row.runs if budget == 1 else row.runs_by_budget[budget_name(budget)]
            names[str(seed)] = source.fingerprints(arm, budget)[str(seed)]
    _take_trunks(source, seed, trunks, out)


def _take_trunks(source: StudyFolder, seed: int, trunks: Mapping[str, ArmRecord], out: Path) -> None:
    """The trunks that a seed of the arms was forked from, as far as they are there."""
    for name, row in trunks.items():
        run = source.run(name, seed)
        if (noted := source.fingerprints(name).get(str(seed))) is not None:
            row.runs[str(seed)] = noted
        if run.path.is_dir():
            _copy(run.path, out / run.path.relative_to(source.path))


def merged_pilot(pilots: list[PilotRecord | None]) -> PilotRecord | None:
    """What the pilots of all parts saw, as one. Each part has asked its own first seeds; a part that did not ask adds
    nothing, and one that has not begun makes the whole early.
    """
    asked = [one for one in pilots if one is not None and one.has_begun is not None]
    if not asked:
        return next((one for one in pilots if one is not None), None)
    # Of what has not begun, the one that takes longest stands for all.
    worst = max(asked, key=lambda one: (one.has_begun is False, one.past_tokens or 0))
    return dataclasses.replace(
        worst,
        seeds=sum(len(one.runs) for one in asked),
        runs={seed: run for one in asked for seed, run in one.runs.items()},
        words="; ".join(dict.fromkeys(one.words for one in asked if one.words)),
    )


def _check_whole(folder: StudyFolder) -> None:
    """Refuse a folder with a damaged run: it would be left out without a word, and its seed taken from elsewhere."""
    for budget in folder.budgets:
        for run in (run for arm in folder.judged_arms for run in folder.runs(arm, budget)):
            if run.damage is not None:
                do = f"{RUN_AGAIN}, where it was run; or delete the folder of that run"
                raise ResultError(str(run.path), run.damage, "only whole runs are merged", do)


def _check_same(a: StudyRecord, b: StudyRecord, where_a: Path, where_b: Path) -> None:
    different = [key for key in _SAME if getattr(a, key) != getattr(b, key)]
    if a.confirmed != b.confirmed:
        different.append("the choice of the screening")
    if set(a.arms) != set(b.arms) or set(a.trunks) != set(b.trunks):
        different.append("arms" if set(a.arms) != set(b.arms) else "trunks")
    else:
        for arm in (*a.arms, *a.trunks):
            different += _differences_of_arm(arm, a.row(arm), b.row(arm))
    if different:
        found = f"not the same study as {where_a}: {'; '.join(different)}"
        raise ResultError(str(where_b), found, "the same arms, corpus, tokenizer and plan are needed")


def _differences_of_arm(arm: str, a: ArmRecord, b: ArmRecord) -> Iterator[str]:
    for key in _SAME_OF_AN_ARM:
        if getattr(a, key) != getattr(b, key):
            paths = ", ".join(path for path, _, _ in differences(a.experiment, b.experiment))
            yield f"{key} of arm {arm!r}{f' ({paths})' if paths else ''}"
    if changed := changed_parts(a.own_code or {}, b.own_code or {}):
        yield f"the code of arm {arm!r} ({', '.join(changed)})"


def _is_done(folder: StudyFolder, arm: str, seed: int) -> bool:
    """Whether an arm was run with a seed, at every budget."""
    return all(folder.ended(folder.run(arm, seed, budget), budget) is not None for budget in folder.budgets)


def _copy(source: Path, target: Path) -> None:
    for path in files_below(source):
        if not (path.name.startswith(".") and path.name.endswith(".tmp")):
            copy_file(path, target / path.relative_to(source))


def _check_one_place(folder: StudyFolder, arms: list[str], seed: int) -> None:
    places = {_place_of(folder.run(arm, seed)) for arm in arms}
    if len(places) > 1:
        found = f"the arms of seed {seed} were run in {len(places)} different places"
        raise ResultError(str(folder.path), found, f"one {', '.join(_SAME_OF_A_SEED)} for all arms of a seed")


def _place_of(run: RunFolder) -> str:
    """Machine, device and versions of a run as one text, to be compared; equal for all without a record of it."""
    environment = run.environment
    known = environment if isinstance(environment, dict) else {}
    return repr([known.get(key) for key in _SAME_OF_A_SEED])


def pack_study(folder: Path, target: Path, say: Callable[[str], None]) -> Path:
    """One zip file of a study, without weights and checkpoints: everything that the report and `merge` read.

    Args:
        folder: of the study.
        target: the file.
        say: called with a sentence for every link or pipe that is left out.
    Raises: ResultError if the folder is no study.
    """
    study = StudyFolder(folder)
    if not study.study.arms:
        raise ResultError(str(folder), "a study without arms")
    if target.is_dir():
        raise ResultError(str(target), "a folder", "the name of a file is needed", f"try --out {target / 'study.zip'}")
    for odd in odd_below(folder):
        say(f"{odd} is left out: it is a link, or no file")
    # Before the archive is one of them.
    paths = [path for path in files_below(folder) if not _is_left_out(path.relative_to(folder))]
    with written_whole(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            if path.resolve() != target.resolve():
                archive.write(checked(path), Path(folder.resolve().name, path.relative_to(folder)))
    return target


def _is_left_out(place: Path) -> bool:
    """Whether a file of a study is not packed, by its place in the study's folder. The study itself, or an arm, may be
    named as what is left out of a run.
    """
    in_run = place.parts[-3:-2]
    is_kept = bool(in_run) and in_run[0].startswith("seed") and place.parts[-2] in _FOLDERS_LEFT_OUT
    return is_kept or place.name in _LEFT_OUT or is_leftover(place.name)
