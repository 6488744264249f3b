"""The command line: parses, calls the lab and the report, prints.

Imports stand inside the commands on purpose: `--help` and `ls` must not wait a second for torch.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

import vslm
from vslm.core.errors import DataError, SpecError, VslmError

if TYPE_CHECKING:
    from vslm.lab.study import Study
    from vslm.results.folder import StudyFolder

app = App(
    name="vslm",
    help="A laboratory for ideas about very small language models.",
    version=vslm.__version__,
    help_format="plaintext",
)
Device = Literal["auto", "cpu", "cuda", "mps"]
Json = Annotated[bool, Parameter(name="--json", negative="")]
Set = Annotated[tuple[str, ...], Parameter(name="--set", negative="")]


@app.command(name="run")
def run_command(
    study: Path,
    *,
    set_: Set = (),
    seeds: str | None = None,
    tokens: int | None = None,
    minutes: float | None = None,
    data: str | None = None,
    out: Path | None = None,
    device: Device = "auto",
    workers: int | None = None,
    json_: Json = False,
) -> None:
    """Train every arm of a study with every seed, and print the verdict. The same command goes on after a stop.

    Parameters
    ----------
    study: the study file.
    set_: PATH=VALUE changes every arm, arms.NAME.PATH=VALUE one; may be repeated.
    seeds: 3 means 0, 1, 2; 3-5 names them; auto stops when it is resolved.
    tokens: of one run of the baseline.
    minutes: of the whole study.
    data: a file, folder or glob in place of every arm's corpus.
    out: the folder of the study; default runs/NAME.
    device: where to train.
    workers: runs at the same time.
    json_: print verdict.json instead of a table.
    """
    from vslm.lab.study_file import load_study

    declared = _changed(load_study(study), set_, data, study)
    run(
        declared,
        study_file=study,
        seeds=seeds,
        tokens=tokens,
        minutes=minutes,
        out=out,
        device=device,
        workers=workers,
        json_=json_,
    )


def run(
    study: "Study",
    *,
    study_file: Path | None = None,
    seeds: int | str | None = None,
    tokens: int | None = None,
    minutes: float | None = None,
    out: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    json_: bool = False,
) -> "StudyFolder":
    """Run a study from Python: train, judge, print, write the report. Returns its folder to read from.

    Args:
        study: the declaration.
        study_file: where it comes from; needed when it uses specs of its own.
        seeds, tokens, minutes, device, workers: in place of the study's.
        out: default `runs/` and the file's stem, or `runs/study`.
        json_: print `verdict.json` instead of a table.
    """
    from vslm.lab.progress import progress_for
    from vslm.lab.runner import Options, run_study
    from vslm.report.page import write_report

    place = Path(out) if out else Path("runs") / (study_file.stem if study_file else "study")
    asked = _seeds(seeds) if isinstance(seeds, str) else seeds
    options = Options(seeds=asked, tokens=tokens, minutes=minutes, device=device, workers=workers)
    with progress_for(quiet=json_) as watcher:
        folder = run_study(study, place, watcher, study_file=study_file, options=options)
    page = write_report(folder.path)
    _print_verdict(folder, page, as_json=json_)
    return folder


@app.command
def plan(
    study: Path,
    *,
    set_: Set = (),
    data: str | None = None,
    seeds: str | None = None,
    tokens: int | None = None,
    json_: Json = False,
) -> None:
    """Say what a study would cost and what it could resolve, before a second is spent.

    Parameters
    ----------
    study: the study file.
    set_: as in `run`.
    data: as in `run`.
    seeds: as in `run`.
    tokens: of one run of the baseline.
    json_: print JSON instead of tables.
    """
    import dataclasses

    from vslm.lab.plan import plan_study
    from vslm.lab.study_file import load_study

    declared = _changed(load_study(study), set_, data, study)
    if tokens is not None:
        from vslm.lab.experiment import Budget

        arms = {arm: dataclasses.replace(item, budget=Budget(tokens=tokens)) for arm, item in declared.arms.items()}
        declared = dataclasses.replace(declared, arms=arms)
    if seeds is not None:
        declared = dataclasses.replace(declared, seeds=_seeds(seeds))
    planned = plan_study(declared)
    if json_:
        print(json.dumps(planned, indent=1))
    else:
        _print_plan(planned, declared.baseline)


@app.command
def train(
    path: str,
    *,
    minutes: float | None = None,
    tokens: int | None = None,
    more_tokens: int | None = None,
    depth: int = 4,
    width: int = 128,
    heads: int = 4,
    context_tokens: int = 256,
    vocabulary: int = 2048,
    out: Path | None = None,
    device: Device = "auto",
) -> None:
    """Train one model on your text: progress, fresh samples on the way, no verdict.

    Parameters
    ----------
    path: a file, folder or glob.
    minutes: how long; default 15 if no tokens are given.
    tokens: how many training tokens.
    more_tokens: let a finished run go on.
    depth: number of blocks.
    width: of the stream.
    heads: per block.
    context_tokens: the longest sequence.
    vocabulary: of the tokenizer.
    out: default runs/train-NAME.
    device: where to train.
    """
    from vslm.data.sources import Text
    from vslm.lab.experiment import Budget, Experiment
    from vslm.lab.progress import progress_for
    from vslm.lab.runner import Options, run_study
    from vslm.lab.study import Study
    from vslm.models.language_model import uniform
    from vslm.report.page import write_report

    if tokens is not None and minutes is not None:
        raise SpecError("--tokens", "both --tokens and --minutes are given", "one of them")
    budget = Budget(tokens=tokens) if tokens is not None else Budget(minutes=minutes or 15.0)
    experiment = Experiment(
        model=uniform(depth=depth, width=width, heads=heads, context_tokens=context_tokens),
        data=Text(path, vocabulary=vocabulary),
        budget=budget,
    )
    study = Study(question=f"A model of {path}", baseline="model", arms={"model": experiment}, seeds=1)
    place = out or Path("runs") / f"train-{Path(path).stem.split('.')[0].strip('*') or 'text'}"
    options = Options(more_tokens=more_tokens, device=device, samples=True)
    with progress_for(quiet=False) as watcher:
        folder = run_study(study, place, watcher, study_file=None, options=options)
    done = folder.run("model", 0).done
    page = write_report(folder.path)
    if done and done["status"] == "done":
        print(f"\n{folder.run('model', 0).sample}\n")
        print(f"validation loss {done['val_loss']:.4f} nats per token, {done['val_bpb']:.4f} bits per byte")
    print(f"folder  {folder.run('model', 0).path}\nreport  {page}")


@app.command
def report(folder: Path, *, figures: Path | None = None) -> None:
    """Write report.html of a study's folder again.

    Parameters
    ----------
    folder: runs/NAME.
    figures: also write every figure there, as PNG, SVG and CSV; needs matplotlib (pip install 'vslm[figures]').
    """
    from vslm.report.page import write_report

    print(write_report(folder))
    if figures is not None:
        from vslm.report.images import write_images

        print(f"{len(write_images(folder, figures))} files in {figures}")


@app.command
def ls(
    root: Path = Path("runs"),
    *,
    json_: Json = False,
) -> None:
    """List every arm ever run, negative ones included.

    Parameters
    ----------
    root: a folder of studies.
    json_: print JSON instead of a table.
    """
    from vslm.report.tables import list_arms

    rows = list_arms(root)
    if json_:
        print(json.dumps(rows, indent=1, default=str))
        return
    if not rows:
        print(f"no studies in {root}")
        return
    from vslm.report.terminal import arms_table, show

    show(arms_table(rows))


@app.command
def sample(
    folder: Path,
    *,
    prompt: str | None = None,
    interactive: bool = False,
    tokens: int = 200,
    temperature: float = 0.8,
    top_k: int | None = None,
    seed: int = 0,
) -> None:
    """Let a trained model write.

    Parameters
    ----------
    folder: of a run (runs/NAME/ARM/seed0), or of a study (its baseline's first seed).
    prompt: what it goes on from; default: the start of a document.
    interactive: read prompts until an empty line.
    tokens: how many to write.
    temperature: 0 takes the likeliest token.
    top_k: draw from the k likeliest only.
    seed: of the draws.
    """
    from vslm.lab.sampling import open_run

    if temperature < 0:
        raise SpecError("--temperature", f"found {temperature}", "0 or more is needed")
    if tokens < 1:
        raise SpecError("--tokens", f"found {tokens}", "1 or more is needed")
    if top_k is not None and top_k < 1:
        raise SpecError("--top-k", f"found {top_k}", "1 or more is needed")
    model = open_run(folder)

    def write(text: str) -> None:
        for piece in model.stream(text, num_tokens=tokens, temperature=temperature, top_k=top_k, seed=seed):
            print(piece, end="", flush=True)
        print()

    if not interactive:
        write(prompt or "")
        return
    while line := input("> "):
        write(line)


@app.command
def noise(*, seeds: int = 4, tokens: int = 1_000_000, out: Path = Path("runs/noise"), device: Device = "auto") -> None:
    """Measure this machine's noise: pairs of baselines that differ in nothing that matters.

    Parameters
    ----------
    seeds: pairs.
    tokens: of one run.
    out: the folder.
    device: where to train.
    """
    from vslm.lab.noise import noise_study, write_noise_card
    from vslm.lab.progress import progress_for
    from vslm.lab.runner import Options, run_study

    with progress_for(quiet=False) as watcher:
        options = Options(device=device)
        folder = run_study(noise_study(tokens, seeds), out, watcher, study_file=None, options=options)
    card = write_noise_card(folder)
    print(f"noise of this machine, {card['tokens']:,} tokens a run, {card['seeds']} pairs, nats per token")
    print(f"  same data, initial weights changed in the last bit   SD {card['last_bit_sd']:.5f}")
    print(f"  same data, other initial weights                     SD {card['paired_sd']:.5f}")
    print(f"  other data order and initial weights (unpaired)      SD {card['unpaired_sd']:.5f}")
    for count, row in card["resolvable"].items():
        print(f"  {count:>2} seeds resolve {row['effect']:.4f} in about {row['minutes']:.0f} minutes")


@app.command
def merge(*folders: Path, out: Path) -> None:
    """Join folders of one study from several machines, and judge them together.

    Parameters
    ----------
    folders: two or more, of the same study.
    out: a new folder.
    """
    from vslm.lab.merging import merge_studies
    from vslm.report.page import write_report

    if len(folders) < 2:
        raise SpecError("merge", f"found {len(folders)} folder", "two or more are needed")
    folder = merge_studies(list(folders), out)
    _print_verdict(folder, write_report(folder.path), as_json=False)


@app.command
def pack(folder: Path, *, out: Path | None = None) -> None:
    """Make one file of a study to send, without weights.

    Parameters
    ----------
    folder: runs/NAME.
    out: default NAME.zip in the working directory.
    """
    from vslm.lab.merging import pack_study

    print(pack_study(folder, out or Path(f"{folder.resolve().name}.zip")))


def _seeds(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdigit() else text


def _changed(study: "Study", set_: tuple[str, ...], data: str | None, path: Path | None) -> "Study":
    """The study with the changes of the command line."""
    import dataclasses

    from vslm.core.paths import parse_change, vary
    from vslm.data.sources import Text
    from vslm.lab.study_file import kinds_with

    arms: dict[str, Any] = dict(study.arms)
    if data is not None:
        for arm, experiment in arms.items():
            source = Text(data, tokenizer=experiment.data.tokenizer, splits=experiment.data.splits)
            arms[arm] = dataclasses.replace(experiment, data=source)
    for text in set_:
        where, value = parse_change(text, kinds_with(path))
        if where.startswith("arms."):
            arms = _vary_arm(arms, where.removeprefix("arms."), value)
        else:
            arms = {arm: vary(experiment, {where: value}) for arm, experiment in arms.items()}
    return dataclasses.replace(study, arms=arms) if set_ or data is not None else study


def _vary_arm(arms: Mapping[str, Any], where: str, value: Any) -> dict[str, Any]:
    from vslm.core.errors import nearest
    from vslm.core.paths import vary

    arm, _, rest = where.partition(".")
    if arm not in arms or not rest:
        raise SpecError(f"--set arms.{where}", f"no arm {arm!r} with a path behind it", nearest(arm, arms))
    return {**arms, arm: vary(arms[arm], {rest: value})}


def _print_verdict(folder: "StudyFolder", page: Path, *, as_json: bool) -> None:
    from vslm.report.terminal import show, verdict_table

    verdict = folder.verdict or {"arms": {}}
    if as_json:
        print(json.dumps(verdict, indent=1))
        return
    print(f"\n{folder.study['question']}")
    if folder.study["prediction"]:
        print(f"predicted: {folder.study['prediction']}")
    if verdict["arms"]:
        show(verdict_table(folder))
        for arm, row in verdict["arms"].items():
            print(f"{arm}: {row['words']}")
    for gone in verdict.get("missing", []):
        print(f"missing: arm {gone['arm']} seed {gone['seed']} did not finish; its worker.log says why")
    print(f"report  {page}")


def _print_plan(planned: dict[str, Any], baseline: str) -> None:
    print(planned["question"])
    for arm, row in planned["arms"].items():
        print(f"\n{arm}{'  (baseline)' if arm == baseline else ''}")
        for path, old, new in row["differences"]:
            print(f"  {path}: {old} -> {new}")
        without = row["num_parameters_without_embeddings"]
        print(f"  {row['num_parameters']:,} parameters ({without:,} without embeddings)")
        print(f"  {row['flops_per_token']:,.0f} FLOPs per token, {row['tokens']:,} tokens")
        print(f"  about {row['minutes']:.1f} minutes a run, {row['disk_mb']:.0f} MB for {planned['seeds']} seeds")
    print(f"\n{planned['seeds']} seeds, about {planned['minutes']:.0f} minutes in all")
    print(f"noise SD {planned['noise_sd']:.4f} ({planned['noise_from']})")
    print(f"smallest effect that this resolves: {planned['resolvable_effect']:.4f}")
    needed = planned["minutes_for_smallest_effect"]
    print(
        f"the declared effect needs {f'about {needed:.0f} minutes' if needed is not None else 'more than is in reach'}"
    )
    for lint in planned["lints"]:
        print(f"note: {lint}")


def main() -> None:
    """Run a command; what vslm has to say about a mistake goes to standard error, without a traceback."""
    try:
        app(result_action="return_value")
    except (SpecError, DataError) as error:
        print(f"vslm: {error}", file=sys.stderr)
        sys.exit(2)
    except VslmError as error:
        print(f"vslm: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # `vslm plan ... | head`: whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
