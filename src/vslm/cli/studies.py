"""Commands that train: run, plan, rematch, train, noise. And `run`, which is the same from Python."""

import atexit
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vslm.cli.arguments import Count, Device, DocumentIs, Flag, Json, Minutes, Precision, Set, Size, Some, Texts
from vslm.cli.printing import print_json, print_verdict
from vslm.runs.fork_server import begin as begin_fork_server

if TYPE_CHECKING:
    from vslm.lab.answers import Answers
    from vslm.results.folder import StudyFolder
    from vslm.study.study import Study


def run_command(
    study: Path,
    /,
    *,
    set_: Set = (),
    data: Texts = (),
    seeds: str | None = None,
    tokens: Count | None = None,
    minutes: Minutes | None = None,
    out: Path | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Count | None = None,
    early: Flag = False,
    json_: Json = False,
) -> None:
    """Train every arm of a study with every seed, and print the verdict. After a stop the same command goes on.

    A study whose baseline has not begun to use its context in its first seeds stops with status 3, before the rest is
    spent, and says how many tokens would do.

    Args:
        study: The study file: Python that defines STUDY.
        set_: PATH=VALUE changes every arm, arms.NAME.PATH=VALUE one. May be repeated.
        data: Files, folders or globs that replace every arm's corpus.
        seeds: 3 means seeds 0, 1 and 2; 3-5 or 3,5 names them; auto adds seeds until the question is resolved.
        tokens: Training tokens of one run of the baseline, such as 500k or 2e6.
        minutes: Time for the whole study, such as 90 or 1h30m.
        out: The study's folder. Default: runs/ and the name of the study file.
        device: Where to train.
        precision: Of the forward pass. Default: the faster one, timed once on this machine and kept.
        workers: Runs at the same time. Default: what was fastest in a short timing.
        early: Go on although the baseline has not begun to use its context. Every verdict then says so.
        json_: Print verdict.json and nothing else.
    """
    begin_fork_server()
    from vslm.study.study_file import answers_of, load_study
    from vslm.study.typed_changes import changed_as_typed

    declared = changed_as_typed(load_study(study), set_, data, study)
    folder = run(
        declared,
        study_file=study,
        answers=answers_of(study),
        seeds=seeds,
        tokens=tokens,
        minutes=minutes,
        out=out,
        device=device,
        precision=precision,
        workers=workers,
        early=early,
        json_=json_,
    )
    _exit_where_missing(folder)


def run(
    study: "Study",
    *,
    study_file: Path | None = None,
    answers: "Answers | None" = None,
    seeds: int | str | None = None,
    tokens: int | None = None,
    minutes: float | None = None,
    out: Path | str | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    workers: int | None = None,
    early: bool = False,
    json_: bool = False,
) -> "StudyFolder":
    """Run a study from Python: train, judge, print, write the report. Returns its folder to read from.

    Runs that failed are listed in its verdict under `missing`, each with why. Raises `TooEarlyError` where the baseline
    has not begun to use its context (see `Pilot`); the folder and its report are there then, too.

    Args:
        study: the declaration.
        study_file: where it comes from; needed when it uses specs of its own.
        answers: what the study asks beside its verdict: called with the folder at the end, returns sentences.
        seeds, tokens, minutes, device, precision, workers: in place of the study's.
        out: default `runs/` and the file's stem, or `runs/study`.
        early: whether it goes on although the baseline has not begun to use its context.
        json_: print `verdict.json` instead of a table.
    """
    from vslm.core.errors import TooEarlyError
    from vslm.lab.answers import write_answers
    from vslm.lab.options import Options
    from vslm.lab.progress import progress_for
    from vslm.lab.runner import run_study
    from vslm.report.pages.study import write_report
    from vslm.study.study import say_how_to_run
    from vslm.study.study_module import end_reading

    end_reading()
    place = Path(out) if out else Path("runs") / (study_file.stem if study_file else "study")
    options = Options(
        seeds=seeds,
        tokens=tokens,
        minutes=minutes,
        device=device,
        precision=precision,
        workers=workers,
        early=early,
    )
    try:
        with progress_for(quiet=json_) as watcher:
            folder = run_study(study, place, watcher, study_file=study_file, options=options)
    except TooEarlyError:
        atexit.unregister(say_how_to_run)
        write_report(place)
        raise
    atexit.unregister(say_how_to_run)
    problem = write_answers(folder, answers) if answers else None
    page = write_report(folder.path)
    print_verdict(folder, page, as_json=json_)
    if problem:
        print(f"vslm: {problem}", file=sys.stderr)
    return folder


def plan(
    study: Path,
    /,
    *,
    set_: Set = (),
    data: Texts = (),
    seeds: str | None = None,
    tokens: Count | None = None,
    minutes: Minutes | None = None,
    workers: Count | None = None,
    precision: Precision = "auto",
    full: Flag = False,
    json_: Json = False,
) -> None:
    """Say what a study would cost and what it could resolve, before a second is spent.

    Args:
        study: The study file: Python that defines STUDY.
        set_: PATH=VALUE changes every arm, arms.NAME.PATH=VALUE one. May be repeated.
        data: Files, folders or globs that replace every arm's corpus.
        seeds: 3 means seeds 0, 1 and 2; 3-5 or 3,5 names them; auto adds seeds until the question is resolved.
        tokens: Training tokens of one run of the baseline, such as 500k or 2e6.
        minutes: Time for the whole study, such as 90 or 1h30m.
        workers: Runs at the same time. Default: one per core.
        precision: Of the forward pass. Default: the faster one, timed once on this machine and kept.
        full: Also every difference and block of each arm, stages, corpora and checks.
        json_: Print JSON and nothing else.
    """
    from vslm.lab.options import Options
    from vslm.lab.plan import plan_study
    from vslm.report.plan import show_plan
    from vslm.study.study_file import load_study
    from vslm.study.typed_changes import changed_as_typed

    options = Options(seeds=seeds, tokens=tokens, minutes=minutes, workers=workers, precision=precision)
    declared = changed_as_typed(load_study(study), set_, data, study)
    planned = plan_study(declared, options)
    if json_:
        print_json(planned)
    else:
        show_plan(planned, declared.baseline, in_full=full)


def rematch(
    folder: Path,
    /,
    *,
    change: str = "FeedforwardMultiplier",
    arm: str | None = None,
    seeds: str | None = None,
    tokens: Count | None = None,
    minutes: Minutes | None = None,
    out: Path | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Count | None = None,
    early: Flag = False,
    json_: Json = False,
    trust: Flag = False,
) -> None:
    """Train the winner of a study again, on new seeds, as large as the baseline in every way of counting.

    Args:
        folder: The folder of a study that has a verdict.
        change: What makes the winner as large: FeedforwardMultiplier, Depth or WidthScale.
        arm: Whose rematch it is. Default: the best of the arms that are better than the baseline.
        seeds: How many, behind those of the study, or which (20-24). Default: as many as the study had.
        tokens: Training tokens of one run. Default: as in the study.
        minutes: Time for the whole rematch.
        out: Its folder. Default: that of the study with -rematch behind it.
        device: Where to train.
        precision: Of the forward pass. Default: the faster one, timed once on this machine and kept.
        workers: Runs at the same time. Default: what was fastest in a short timing.
        early: Go on although the baseline has not begun to use its context. Every verdict then says so.
        json_: Print verdict.json and nothing else.
        trust: Run the code in the folder even if you did not run it on this machine before, or it was changed since.
    """
    begin_fork_server()
    from vslm.after.rematch import change_named
    from vslm.after.rematch import rematch as study_of
    from vslm.results.folder import study_folder_of
    from vslm.study.study_file import trusted_study_file_of

    first = study_folder_of(folder)
    done = run(
        study_of(first, change=change_named(change), arm=arm, seeds=seeds, trust=trust),
        study_file=trusted_study_file_of(first.path, trust=trust),
        tokens=tokens,
        minutes=minutes,
        out=out or first.path.with_name(f"{first.path.resolve().name}-rematch"),
        device=device,
        precision=precision,
        workers=workers,
        early=early,
        json_=json_,
    )
    _exit_where_missing(done)


def train(
    *paths: Some,
    minutes: Minutes | None = None,
    tokens: Count | None = None,
    more_tokens: Count | None = None,
    depth: Count | None = None,
    width: Size | None = None,
    heads: Count | None = None,
    context_tokens: Size | None = None,
    vocabulary: Size | None = None,
    field: str | None = None,
    document: DocumentIs | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    out: Path | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Train one model on your text, with samples on the way and no verdict. After a stop the same command goes on.

    Args:
        paths: Files, folders or globs of text; `vslm data show` says what is read of them.
        minutes: How long to train, such as 15 or 1h30m. Default: 15, unless tokens are given.
        tokens: How many tokens to train on, such as 500k or 2e6.
        more_tokens: Let a finished run go on for so many tokens.
        depth: Number of blocks. Default: 4.
        width: Width of the stream. Default: 128.
        heads: Heads per block. Default: 4.
        context_tokens: The longest sequence. Default: 256.
        vocabulary: Number of tokens that the tokenizer has. Default: 2048, or fewer where the text is small.
        field: Where a record of JSON, CSV or Parquet has its text. Default: text.
        document: What a document of a plain text is. Default: auto, what the separator <|endoftext|> separates.
        separator: Cut plain text wherever this stands.
        encoding: Of files that are not UTF-8, such as cp1252.
        out: The folder. Default: runs/train- and the name of the text.
        device: Where to train.
        precision: Of the forward pass. Default: the faster one, timed once on this machine and kept.
    """
    begin_fork_server()
    from vslm.lab.options import Options
    from vslm.lab.progress import progress_for
    from vslm.lab.runner import run_study
    from vslm.report.pages.study import write_report
    from vslm.study.single import ARM, Wanted, at_options, study_of

    path = paths[0] if len(paths) == 1 else paths
    place = out or Path("runs") / f"train-{_name_of_texts(paths)}"
    options = Options(more_tokens=more_tokens, device=device, precision=precision, samples=True)
    wanted = Wanted(
        tokens=tokens,
        minutes=minutes,
        depth=depth,
        width=width,
        heads=heads,
        context_tokens=context_tokens,
        vocabulary=vocabulary,
        field=field,
        document=document,
        separator=separator,
        encoding=encoding,
    )
    with at_options(wanted), progress_for(quiet=False) as watcher:
        study = study_of(path, place, wanted)
        folder = run_study(study, place, watcher, study_file=None, options=options)
    model, page = folder.run(ARM, 0), write_report(folder.path)
    if model.done and model.done.ended_well:
        print(f"\n{model.sample}\n")
        print(f"validation loss {model.done.val_loss:.4f} nats per token, {model.done.val_bpb:.4f} bits per byte")
    print(f"folder  {model.path}\nreport  {page}")
    _exit_where_missing(folder)


def _name_of_texts(paths: tuple[str, ...]) -> str:
    """What a folder is called by: of several texts, the folder that they lie in, or the first of them."""
    if len(paths) == 1:
        return _name_of_text(paths[0])
    around = {Path(path).parent for path in paths}
    name = around.pop().name if len(around) == 1 else ""
    return name or f"{_name_of_text(paths[0])}-and-{len(paths) - 1}-more"


def _name_of_text(path: str) -> str:
    stem = Path(path).stem.split(".")[0].strip("*")
    return stem or Path(path).parent.name or "text"


def noise(
    *,
    seeds: Count = 4,
    tokens: Count = 1_000_000,
    out: Path = Path("runs/noise"),
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Measure this machine's noise: pairs of baselines that differ in nothing that matters.

    Args:
        seeds: How many pairs.
        tokens: Training tokens of one run.
        out: The folder.
        device: Where to train.
        precision: Of the forward pass. Default: the faster one, timed once on this machine and kept.
    """
    begin_fork_server()
    from vslm.lab.noise import noise_study, write_noise_card
    from vslm.lab.options import Options
    from vslm.lab.progress import progress_for
    from vslm.lab.runner import run_study

    with progress_for(quiet=False) as watcher:
        options = Options(device=device, precision=precision)
        folder = run_study(noise_study(tokens, seeds), out, watcher, study_file=None, options=options)
    card = write_noise_card(folder)
    print(f"noise of this machine, {card['tokens']:,} tokens a run, {card['seeds']} pairs, {card['unit']}")
    print(f"  same data, initial weights changed in the last bit   SD {card['last_bit_sd']:.5f}")
    print(f"  same data, other initial weights                     SD {card['paired_sd']:.5f}")
    print(f"  other data order and initial weights (unpaired)      SD {card['unpaired_sd']:.5f}")
    for count, row in card["resolvable"].items():
        print(f"  {count:>2} seeds resolve {row['effect']:.4f} in about {row['minutes']:.0f} minutes")


def _exit_where_missing(folder: "StudyFolder") -> None:
    """Status 1 for a study whose verdict lacks runs."""
    if folder.verdict is not None and folder.verdict.missing:
        sys.exit(1)
