"""The command line: parses, calls the lab and the report, prints.

Imports stand inside the commands on purpose: `--help` and `ls` must not wait a second for torch.
"""

import atexit
import contextlib
import inspect
import io
import itertools
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter

import vslm
from vslm.arguments import Count, Minutes, Real, Size, Some, SomePaths, in_words, study_first
from vslm.cli_data import DocumentIs
from vslm.cli_data import app as data_app
from vslm.core.errors import DataError, ResultError, SpecError, VslmError
from vslm.core.jsons import json_text
from vslm.core.machine import available_cores, cpu_quota
from vslm.core.numbers import plural
from vslm.core.system import ELSEWHERE, refused
from vslm.core.visible import plain, visible, visible_streams

if TYPE_CHECKING:
    from rich.console import Console

    from vslm.lab.answers import Answers
    from vslm.lab.study import Study
    from vslm.live.reading import Reading, ReadText
    from vslm.results.folder import StudyFolder

app = App(
    name="vslm",
    help="A laboratory for ideas about very small language models. `vslm COMMAND --help` says more.",
    version=vslm.__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `main` says what it means for the run
)
app.command(data_app)
_GO_ON = ("run", "rematch", "train", "noise")  # commands that begin where they were stopped
_INTERRUPTED = 130  # as a shell says it
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
AllowHost = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]
Texts = Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True, show_default=False)]
Set = Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)]


@app.command(name="run")
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
    json_: Json = False,
) -> None:
    """Train every arm of a study with every seed, and print the verdict. After a stop the same command goes on.

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
        json_: Print verdict.json and nothing else.
    """
    from vslm.lab.study_file import answers_of, load_study

    declared = _changed(load_study(study), set_, data, study)
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
    json_: bool = False,
) -> "StudyFolder":
    """Run a study from Python: train, judge, print, write the report. Returns its folder to read from.

    Runs that failed are listed in its verdict under `missing`, each with why.

    Args:
        study: the declaration.
        study_file: where it comes from; needed when it uses specs of its own.
        answers: what the study asks beside its verdict: called with the folder at the end, returns sentences.
        seeds, tokens, minutes, device, precision, workers: in place of the study's.
        out: default `runs/` and the file's stem, or `runs/study`.
        json_: print `verdict.json` instead of a table.
    """
    from vslm.lab.answers import write_answers
    from vslm.lab.options import Options
    from vslm.lab.progress import progress_for
    from vslm.lab.runner import run_study
    from vslm.lab.study import say_how_to_run
    from vslm.lab.study_module import end_reading
    from vslm.report.page import write_report

    end_reading()
    place = Path(out) if out else Path("runs") / (study_file.stem if study_file else "study")
    options = Options(seeds=seeds, tokens=tokens, minutes=minutes, device=device, precision=precision, workers=workers)
    with progress_for(quiet=json_) as watcher:
        folder = run_study(study, place, watcher, study_file=study_file, options=options)
    atexit.unregister(say_how_to_run)
    problem = write_answers(folder, answers) if answers else None
    page = write_report(folder.path)
    _print_verdict(folder, page, as_json=json_)
    if problem:
        print(f"vslm: {problem}", file=sys.stderr)
    return folder


@app.command
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
        json_: Print JSON and nothing else.
    """
    from vslm.lab.options import Options
    from vslm.lab.plan import plan_study
    from vslm.lab.study_file import load_study

    options = Options(seeds=seeds, tokens=tokens, minutes=minutes, workers=workers, precision=precision)
    declared = _changed(load_study(study), set_, data, study)
    planned = plan_study(declared, options)
    if json_:
        _print_json(planned)
    else:
        _print_plan(planned, declared.baseline)


@app.command
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
        json_: Print verdict.json and nothing else.
        trust: Run the code in the folder even if you did not run it on this machine before, or it was changed since.
    """
    from vslm.lab.rematch import change_named
    from vslm.lab.rematch import rematch as study_of
    from vslm.lab.study_file import trusted_study_file_of
    from vslm.results.folder import study_folder_of

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
        json_=json_,
    )
    _exit_where_missing(done)


@app.command
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
    from vslm.lab.options import Options
    from vslm.lab.progress import progress_for
    from vslm.lab.runner import run_study
    from vslm.lab.single import ARM, Wanted, at_options, study_of
    from vslm.report.page import write_report

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
    if model.done and model.done["status"] == "done":
        print(f"\n{model.sample}\n")
        print(f"validation loss {model.done['val_loss']:.4f} nats per token, {model.done['val_bpb']:.4f} bits per byte")
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


@app.command
def report(folder: Path, /, *, out: Path | None = None, figures: Path | None = None) -> None:
    """Write the page of a study, report.html, again.

    Args:
        folder: Of a study (runs/NAME), or of one of its runs.
        out: The page, an .html file. Default: report.html in the study's folder.
        figures: Also write every figure there, as PNG, SVG and CSV; needs matplotlib (pip install 'vslm[figures]').
    """
    from vslm.report.page import write_report
    from vslm.results.folder import study_folder_of

    study = study_folder_of(folder).path
    print(write_report(study, out))
    if figures is not None:
        from vslm.report.images import write_images

        print(f"{len(write_images(study, figures))} files in {figures}")


@app.command
def ls(root: Path = Path("runs"), /, *, json_: Json = False) -> None:
    """List every arm ever run, negative ones included.

    Args:
        root: A folder of studies, or one study.
        json_: Print JSON and nothing else.
    """
    from vslm.report.tables import list_arms

    if not root.is_dir() and root != Path("runs"):
        raise SpecError(str(root), "a file" if root.exists() else "no such folder", "a folder of studies is needed")
    rows = list_arms(root)
    if json_:
        _print_json(rows)
        return
    if not rows:
        print(f"no studies in {root} yet; vslm run STUDY.py makes one")
        return
    from vslm.report.terminal import arms_table, show

    show(arms_table(rows))
    for problem in dict.fromkeys(row["problem"] for row in rows if row["problem"]):
        print(f"cannot be read: {problem}")


@app.command
def compare(
    *paths: SomePaths,
    measure: str | None = None,
    out: Path | None = None,
    json_: Json = False,
) -> None:
    """Put any runs or arms beside the first one, across studies, and warn where they are not comparable.

    Args:
        paths: Of studies (runs/NAME), arms (runs/NAME/ARM) or runs (runs/NAME/ARM/seed0).
        measure: The final number: val_loss, val_bpb, or one that a measure recorded, such as recall.accuracy. Default:
            what all their studies are judged by, if that is one of a measure; else val_loss where all have one
            tokenizer, and val_bpb where they have not.
        out: Also write a page there, an .html file.
        json_: Print JSON and nothing else.
    """
    from vslm.report.compare import compare as compared
    from vslm.report.compare import plain
    from vslm.report.sides import read_sides

    found = compared(read_sides(paths), measure)
    if out is not None:
        from vslm.report.compare_page import write_comparison

        write_comparison(found, out)
    if json_:
        _print_json(plain(found))
        return
    from vslm.report.terminal import comparison_table, show

    show(comparison_table(found))
    for one in found.differences:
        print(f"{one.side.name}: {one.words} ({one.how})")
    for one in found.differences:
        for warned in one.warnings:
            print(f"warning: {warned}")
    for side in found.sides:
        for words in side.left_out:
            print(f"not in it: {side.name} {words}")
    if len(found.differences) > 1:
        print(f"the {len(found.differences)} intervals hold together, 95 % of the time")
    if out is not None:
        print(f"page  {out}")


@app.command
def send(
    path: Path,
    /,
    *,
    to: Literal["wandb", "trackio", "tensorboard"],
    project: str = "vslm",
    out: Path = Path("tensorboard"),
    follow: Flag = False,
) -> None:
    """Send runs to a tracker: what it was not sent yet. The run folder stays what counts.

    A run that is torn is named and passed over; the command then ends with 1.

    Args:
        path: Of a study (runs/NAME), an arm (runs/NAME/ARM) or a run (runs/NAME/ARM/seed0).
        to: Where. Each is an extra: pip install 'vslm[wandb]', 'vslm[trackio]' or 'vslm[tensorboard]'.
        project: Of wandb or trackio.
        out: The folder of TensorBoard's files.
        follow: Go on until each run is over, one after the other.
    """
    from vslm.trackers.sending import TRACKERS
    from vslm.trackers.sending import send as send_to

    if send_to(path, TRACKERS[to](project, out), follow=follow):
        sys.exit(1)


@app.command
def serve(
    root: Path = Path("runs"),
    /,
    *,
    port: Count = 8421,
    host: str = "127.0.0.1",
    allow_host: AllowHost = (),
) -> None:
    """Show a folder of studies in the browser, while they run. Stop it with Ctrl-C.

    No code of the folder is run.
    The commands sample, prompts, measure and rematch run the study file in it where the study has specs of its own, if
    you ran it here before or with --trust.

    Args:
        root: A folder of studies, or one study.
        port: Where to listen; 0 takes a free one.
        host: An address of this machine. Any other than loopback lets others read all of the folder.
        allow_host: The name of a proxy or tunnel of yours that asks under its own name (Colab, Jupyter, Codespaces):
            what the browser shows between // and the next /. May be repeated.
    """
    from vslm.live.guard import is_loopback
    from vslm.live.server import address_of, is_everywhere, open_server

    with open_server(root, _text_reader(), host=host, port=port, allow_hosts=allow_host) as server:
        print(f"{root} is shown at {address_of(server)} (Ctrl-C stops it)", flush=True)
        if not is_loopback(host):
            where = "this machine over any network" if is_everywhere(host) else host
            print(f"vslm: whoever reaches {where} can read all of {root}", file=sys.stderr, flush=True)
        server.serve_forever(poll_interval=0.2)


def _text_reader() -> "ReadText":
    """Reads typed text with stored weights. torch comes with the first text, so that the pages are there at once."""
    readers: list[ReadText] = []

    def read(folder: Path, text: str) -> "Reading":
        if not readers:
            from vslm.lab.typed_text import TextReader

            readers.append(TextReader())
        return readers[0](folder, text)

    return read


@app.command
def sample(
    folder: Path,
    /,
    *,
    prompt: str | None = None,
    interactive: Flag = False,
    tokens: Count = 200,
    temperature: Real = 0.8,
    top_k: Count | None = None,
    seed: Count = 0,
    trust: Flag = False,
) -> None:
    """Let a trained model write.

    On a terminal control characters in the text are shown as escapes; into a file or a pipe it goes as it is.
    Of a study with specs of its own this runs the study file in its folder, if you ran it here or with --trust.

    Args:
        folder: Of a run (runs/NAME/ARM/seed0), or of an arm or a study: then the (baseline's) first finished seed.
        prompt: What it goes on from. Default: the start of a document.
        interactive: Read prompts, one a line, until an empty line, Ctrl-D or Ctrl-C.
        tokens: How many to write.
        temperature: Below 1 is more likely text, 0 always the likeliest token.
        top_k: Draw from the k likeliest tokens only. Default: from all.
        seed: Of the draws: the same seed writes the same text.
        trust: Run the code in the folder even if you did not run it on this machine before, or it was changed since.
    """
    from vslm.lab.sampling import Draws, converse, open_run

    writer = open_run(folder, Draws(tokens=tokens, temperature=temperature, top_k=top_k, seed=seed), trust=trust)
    if writer.run.path.resolve() != folder.resolve():
        print(f"vslm: {writer.run.path} writes", file=sys.stderr)
    if interactive:
        converse(writer)
        return
    if words := writer.cut_words(prompt or ""):
        print(f"vslm: {words}", file=sys.stderr)
    # Into a file or a pipe goes what the model wrote, byte for byte; on a terminal control characters are shown.
    to = sys.stdout if sys.stdout.isatty() else plain(sys.stdout)
    for piece in writer.stream(prompt or ""):
        print(piece, end="", file=to, flush=True)
    print(file=to)


@app.command
def measure(folder: Path, /, *measures: Some, trust: Flag = False) -> None:
    """Take measures of finished runs from the weights that they stored, and write the page again.

    A run that is torn is named and passed over; the command then ends with 1.
    Of a study with specs of its own this runs the study file in its folder, if you ran it here or with --trust.

    Args:
        folder: Of a study (runs/NAME), of an arm (runs/NAME/ARM), or of a run (runs/NAME/ARM/seed0).
        measures: As a study writes them: TokenView, or in quotes "LogitLens(num_tokens=8192)". There are
            AttentionDistance, AttentionMaps, BeyondContext, ContextCurve, CopyGain, EarlyDays, EffectiveRank,
            LogitLens, LossByLoops, LossByPosition, ParameterTrack, PositionProfile, PrefixMatching, PromptEffect,
            RecallAccuracy, ResidualNorms, TokenClasses, TokenProbe, TokenView.
        trust: Run the code in the folder even if you did not run it on this machine before, or it was changed since.
    """
    import time

    from vslm.lab.measuring import take, takings
    from vslm.report.page import write_report
    from vslm.results.folder import study_folder_of

    passed_over: set[str] = set()

    def pass_over(name: str, error: VslmError) -> None:
        said = f"vslm: {name}: passed over, {error}"
        if said not in passed_over:  # two measures of a torn run are one thing to be told
            print(said, file=sys.stderr)
        passed_over.add(said)

    for taking in takings(folder, measures, pass_over, trust=trust):
        start = time.perf_counter()
        try:
            steps = take(taking, say=print)
        except VslmError as error:
            if isinstance(error.__cause__, OSError):  # the disk is full: no other run could do better
                raise
            pass_over(taking.run.name, error)
            continue
        at = f"step {steps[0]:,}" if len(steps) == 1 else f"{len(steps)} steps from {steps[0]:,} to {steps[-1]:,}"
        print(f"{taking.run.name}: {taking.measure.recorded_as} at {at}, {time.perf_counter() - start:.1f} s")
    print(f"report  {write_report(study_folder_of(folder).path)}")
    if passed_over:
        sys.exit(1)


@app.command
def prompts(
    folder: Path,
    /,
    *,
    prompts: Path,
    continuations: Path | None = None,
    out: Path | None = None,
    figures: Path | None = None,
    seed: Count = 0,
    json_: Json = False,
    trust: Flag = False,
) -> None:
    """Say what prompts do to what follows: how much likelier each makes a continuation, and for how many tokens.

    Of a study with specs of its own this runs the study file in its folder, if you ran it here or with --trust.

    Args:
        folder: Of a run (runs/NAME/ARM/seed0), or of an arm or a study: then the (baseline's) first finished seed.
        prompts: A text file, one prompt a line; with <|endoftext|> between them a prompt may have several lines.
        continuations: Likewise, what may follow. Default: what the model itself writes after each prompt.
        out: The page. Default: prompts.html in the working directory.
        figures: Also write every figure there, as PNG, SVG and CSV; needs matplotlib (pip install 'vslm[figures]').
        seed: Of what the model writes and of the shuffled prompts.
        json_: Print JSON and nothing else; no page is written unless --out names one.
        trust: Run the code in the folder even if you did not run it on this machine before, or it was changed since.
    """
    from vslm.lab.prompts import effect_of_prompts
    from vslm.report.prompts_page import decay_words, terminal_tables, write_figures, write_page
    from vslm.report.terminal import show

    effect = effect_of_prompts(folder, prompts, continuations, seed=seed, trust=trust)
    page = out or Path("prompts.html")
    if figures is not None:
        write_figures(effect, figures)
    if out is not None or not json_:
        write_page(effect, page)
    if json_:
        _print_json(effect)
        return
    for table in terminal_tables(effect):
        show(table)
    for words in (decay_words(effect), *effect["remarks"]):
        print(words)
    print(f"page  {page}")


@app.command
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


@app.command
def merge(*folders: SomePaths, out: Path) -> None:
    """Join folders of one study from several machines, and judge them together.

    Args:
        folders: Two or more folders of the same study.
        out: A new folder.
    """
    if len(folders) < 2:
        raise SpecError("merge", f"found {len(folders)} folder", "two or more are needed")
    from vslm.lab.merging import merge_studies
    from vslm.report.page import write_report

    folder = merge_studies(list(folders), out)
    _print_verdict(folder, write_report(folder.path), as_json=False)


@app.command
def pack(folder: Path, /, *, out: Path | None = None) -> None:
    """Make one file of a study to send, without weights.

    Args:
        folder: Of the study: runs/NAME.
        out: The file. Default: NAME.zip in the working directory.
    """
    from vslm.lab.merging import pack_study

    def say(words: str) -> None:
        print(f"vslm: {words}", file=sys.stderr)

    print(pack_study(folder, out or Path(f"{folder.resolve().name}.zip"), say))


def _print_json(value: Any) -> None:
    # JSON takes DEL as it is, and a terminal does not; everything else that acts on one is escaped already.
    print(json_text(value).replace("\x7f", "\\u007f"))


def _changed(study: "Study", set_: tuple[str, ...], data: tuple[str, ...], path: Path | None) -> "Study":
    """The study with the changes of the command line."""
    import dataclasses

    from vslm.core.paths import parse_change, vary
    from vslm.data.sources import Text
    from vslm.lab.study_file import kinds_with

    arms: dict[str, Any] = dict(study.arms)
    if data:
        for arm, experiment in arms.items():
            source = Text(
                data[0] if len(data) == 1 else data, tokenizer=experiment.data.tokenizer, splits=experiment.data.splits
            )
            arms[arm] = dataclasses.replace(experiment, data=source)
    for text in set_:
        where, value = parse_change(text, kinds_with(path))
        if where.startswith("arms."):
            arms = _vary_arm(arms, where.removeprefix("arms."), value)
        else:
            try:
                arms = {arm: vary(experiment, {where: value}) for arm, experiment in arms.items()}
            except SpecError as error:
                raise error.within("--set") from None
    try:
        return dataclasses.replace(study, arms=arms) if set_ or data else study
    except SpecError as error:
        raise _as_typed(error, set_) from None


def _as_typed(error: SpecError, changes: tuple[str, ...]) -> SpecError:
    """A problem of a changed study, at the change that it most likely comes from: the one that goes nearest to it."""

    def shared(change: str) -> int:
        typed, found = (
            re.sub(r"^arms\.[^.]+\.", "", text).split(".") for text in (change.partition("=")[0], error.where)
        )
        alike = (one in ("*", other) for one, other in zip(typed, found, strict=False))
        return sum(1 for _ in itertools.takewhile(bool, alike))

    nearest_one = max(changes, key=shared, default="")
    if not nearest_one or not shared(nearest_one):
        return error
    return SpecError(f"--set {nearest_one}", f"{error.where}: {error.found}", error.allowed, error.do)


def _vary_arm(arms: Mapping[str, Any], where: str, value: Any) -> dict[str, Any]:
    from vslm.core.errors import nearest
    from vslm.core.paths import vary

    # Names of arms may hold dots themselves, so the longest that fits is meant.
    named = [arm for arm in arms if where.startswith(f"{arm}.")]
    if not named:
        arm = where.partition(".")[0]
        raise SpecError(f"--set arms.{where}", f"no arm {arm!r} with a path behind it", nearest(arm, arms))
    arm = max(named, key=len)
    try:
        return {**arms, arm: vary(arms[arm], {where.removeprefix(f"{arm}."): value})}
    except SpecError as error:
        raise error.within(f"--set arms.{arm}") from None


def _exit_where_missing(folder: "StudyFolder") -> None:
    """Status 1 for a study whose verdict lacks runs."""
    if (folder.verdict or {}).get("missing"):
        sys.exit(1)


def _print_verdict(folder: "StudyFolder", page: Path, *, as_json: bool) -> None:
    from vslm.report.terminal import show, verdict_table
    from vslm.results.primary import PrimaryNumber

    verdict = folder.verdict or {"arms": {}}
    if as_json:
        _print_json(verdict)
        return
    print(f"\n{folder.study['question']}")
    if folder.study["prediction"]:
        print(f"predicted: {folder.study['prediction']}")
    if verdict["arms"]:
        if not (primary := PrimaryNumber.of(folder.study.get("primary"))).is_loss:
            print(f"judged by: {primary.compared}")
        show(verdict_table(folder))
        for arm, row in verdict["arms"].items():
            print(f"{arm}: {row['words']}")
        for name, at_budget in verdict.get("budgets", {}).items():
            for arm, row in at_budget["arms"].items():
                print(f"{arm} {name}: {row['words']}")
    for arm, row in verdict.get("trends", {}).items():
        small, large = row["tokens"]
        print(f"{arm}: {row['words']}, from {small:,} to {large:,} tokens with {row['num_parameters']:,} parameters")
    for arm, row in verdict.get("screened_out", {}).items():
        print(f"{arm}: {row['words']}")
    for answer in folder.answers:
        print(answer)
    for gone in verdict.get("missing", []):
        print(f"missing: {gone['arm']} seed {gone['seed']} {_last_line(gone['why'])}")
    print(f"report  {page}")
    if folder.study.get("equal") and any(row["verdict"] == "better" for row in verdict["arms"].values()):
        print(f"next    vslm rematch {folder.path}  (the winner again: other sizes, new seeds)")


def _last_line(why: str | None) -> str:
    """Of a message its line, of a traceback the last, which says what happened."""
    return f"failed: {why.strip().splitlines()[-1]}" if why and why.strip() else "is not finished"


def _print_plan(planned: dict[str, Any], baseline: str) -> None:
    from vslm.lab.passes import passes_words

    print(planned["question"])
    for words in planned["read"]:
        print(f"  {words}")
    from vslm.report.content import joined_differences

    shown: dict[str, str] = {}
    for arm, row in planned["arms"].items():
        print(f"\n{arm}{'  (baseline)' if arm == baseline else ''}")
        for path, old, new in joined_differences(row["differences"]):
            print(f"  {path}: {old} -> {new}")
        without = row["num_parameters_without_embeddings"]
        print(f"  {row['num_parameters']:,} parameters ({without:,} without embeddings)")
        print(
            f"  {row['flops_per_token']:,.0f} FLOPs per token, {row['tokens']:,} tokens, {passes_words(row['passes'])}"
        )
        table = "\n".join(_block_lines(row["blocks"]))
        print(f"  blocks as in {shown[table]}" if table in shown else table)
        shown.setdefault(table, arm)
        if executed := row.get("executed_flops_per_token"):
            print(f"  {executed:,.0f} FLOPs per token are executed, masked scores included")
        if arm != baseline:
            sizes = (f"{name.replace('_', ' ')} {more:+.1%}" for name, more in row["relative_sizes"].items())
            print(f"  beside {baseline}: {', '.join(sizes)}")
        kept = (
            f", {row['kept_mb']:.0f} of them weights kept at {row['kept_weights']} steps" if row["kept_weights"] else ""
        )
        of_seeds = plural(planned["seeds"], "seed")
        print(f"  {_time(row['minutes'])} a run, {row['disk_mb']:.0f} MB for {of_seeds}{kept}")
    if planned["equal"]:
        off = f", but for {', '.join(planned['unequal'])}" if planned["unequal"] else ""
        print(f"\nequal within 0.5%: {planned['equal'].replace('_', ' ')}{off}")
    print(f"\n{plural(planned['seeds'], 'seed')}, {_time(planned['minutes'])} in all")
    if len(planned["stages"]) > 1:
        for stage in planned["stages"]:
            runs = f"{plural(stage['num_runs'], 'run')} of {stage['budget']:g} of the budget"
            limit = "at most " if stage["stage"] == "tuning" else ""
            print(f"  {stage['stage']}: {limit}{runs}, {_time(stage['minutes'], limit or 'about ')}")
    print(f"speed: {planned['speed_from']}; precision: {planned['precision']}")
    if planned["tokens_from"]:
        print(f"tokens of the arms: {planned['tokens_from']}")
    _print_noise(planned)
    print(planned["checked"])
    for lint in planned["lints"]:
        print(f"note: {lint}")


def _print_noise(planned: dict[str, Any]) -> None:
    if planned["noise_sd"] is None:
        print(f"judged by: {planned['judged_by']}")
        print(f"noise, and what this resolves: {planned['noise_from']}")
        return
    print(f"noise SD {planned['noise_sd']:.4f} ({planned['noise_from']})")
    effect = planned["resolvable_effect"]
    print(f"smallest effect that this resolves: {f'{effect:.4f}' if effect is not None else 'none, with one seed'}")
    needed = planned["minutes_for_smallest_effect"]
    print(f"the declared effect needs {_time(needed) if needed is not None else 'more than is in reach'}")


def _time(minutes: float, about: str = "about ") -> str:
    """Minutes in words.

    >>> _time(0.3), _time(1.2), _time(1234.0)
    ('less than a minute', 'about 1 minute', 'about 1,234 minutes')
    """
    return "less than a minute" if minutes < 1 else f"{about}{plural(round(minutes), 'minute')}"


def _block_lines(rows: list[dict[str, Any]]) -> list[str]:
    """The table of blocks of an arm; visits in a row that are alike are one line."""

    def span(first: object, last: object) -> str:
        return str(first) if first == last else f"{first} to {last}"

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:,.0f}"

    lines: list[tuple[str, ...]] = [
        ("visit", "element", "weights", "width", "heads", "hidden", "window", "parameters", "FLOPs per token")
    ]
    for row in rows:
        counts = (row["width"], row["heads"], row["hidden"], row["window_tokens"], row["num_parameters"])
        names = (span(*row["visits"]), row["element"], span(*row["weights"]))
        lines.append((*names, *map(number, counts), number(row["flops_per_token"])))
    sizes = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = 3  # columns of words; numbers are set to the right
    return [
        "  "
        + "  ".join(
            cell.ljust(size) if i < left else cell.rjust(size)
            for i, (cell, size) in enumerate(zip(line, sizes, strict=True))
        )
        for line in lines
    ]


def main() -> None:
    """Run a command; what vslm has to say about a mistake goes to standard error, without a traceback.

    The exit status is 2 for what was asked wrongly, 1 for what went wrong, 130 after Ctrl-C.
    """
    _open_streams()
    try:
        _command()
    except CycloptsError as error:
        _end(str(in_words(error)), 2)
    except (SpecError, DataError, ResultError) as error:
        _end(str(error), 2)
    except VslmError as error:
        _end(str(_with_out(error)), 1)
    except BrokenPipeError:  # `vslm plan ... | head`: whoever read has read enough
        _forget_output()
    except OSError as error:  # what nobody nearer could say more about
        _forget_output()
        _end(str(_with_out(refused(error))), 1)
    except MemoryError:
        _end("memory ran out; give it a smaller model, batch or text, or end other programs.", 1)
    except RecursionError:
        _end("something in what was given is nested too deeply; at most some hundred levels are read.", 2)
    except KeyboardInterrupt:
        goes_on = sys.argv[1:2] and sys.argv[1] in _GO_ON
        words = "; what was done is kept, and the same command goes on from here" if goes_on else ""
        _end(f"stopped{words}", 130)


def _with_out(error: VslmError) -> VslmError:
    """The same, with the way out that this command has where nothing may be written: `--out`, if it takes one."""
    if error.do != ELSEWHERE or "out" not in _taken_by(sys.argv[1:]):
        return error
    return type(error)(error.where, error.found, error.allowed, f"choose another place with --out, or {ELSEWHERE}")


def _taken_by(typed: Sequence[str]) -> Mapping[str, Any]:
    function = app[typed[0]].default_command if typed and typed[0] in app else None
    return inspect.signature(function).parameters if function else {}


def _command() -> None:
    if cpu_quota() is not None:  # torch would begin a thread for every core that it sees
        os.environ.setdefault("OMP_NUM_THREADS", str(available_cores()))
    drawn: Console | None = None
    if sys.stdout.isatty():  # where help is drawn with what `visible_streams` would not let through
        from vslm.results.console import console

        drawn = console()
    with visible_streams():
        try:
            _called(sys.argv[1:], drawn)
        except MissingArgumentError:
            again = study_first(sys.argv[1:])
            if again == sys.argv[1:]:
                raise
            _called(again, drawn)
    sys.stdout.flush()


def _called(words: Sequence[str], drawn: "Console | None") -> None:
    # The console is given for this call alone: kept in `app`, it would outlive the stream that it draws on.
    app(words, console=drawn, result_action="return_value", exit_on_error=False, print_error=False)


def _open_streams() -> None:
    """See to it that everything can be printed: a stream that whoever started this had closed leads nowhere, and a
    terminal that lacks a character is no reason to stop.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:  # else the next file that is opened would be the one that is printed to
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _forget_output() -> None:
    """Let go of what cannot be printed, or it is tried once more when the interpreter ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(words: str, status: int) -> NoReturn:
    with contextlib.suppress(OSError):
        print(f"{chr(10) if status == _INTERRUPTED else ''}vslm: {visible(words)}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
