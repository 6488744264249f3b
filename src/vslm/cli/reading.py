"""Commands that read folders of results: report, ls, compare, serve, send, merge, pack."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vslm.cli.arguments import AllowHost, Count, Flag, Json, RetrieverName, SomePaths
from vslm.cli.printing import print_json, print_verdict
from vslm.core.errors import SpecError

if TYPE_CHECKING:
    from vslm.live.reading import Reading, ReadText


def report(folder: Path, /, *, out: Path | None = None, figures: Path | None = None) -> None:
    """Write the page of a study, report.html, again.

    Args:
        folder: Of a study (runs/NAME), or of one of its runs.
        out: The page, an .html file. Default: report.html in the study's folder.
        figures: Also write every figure there, as PNG, SVG and CSV; needs matplotlib (pip install 'vslm[figures]').
    """
    from vslm.report.pages.study import write_report
    from vslm.results.folder import study_folder_of

    study = study_folder_of(folder).path
    print(write_report(study, out))
    if figures is not None:
        from vslm.report.pages.images import write_images

        print(f"{len(write_images(study, figures))} files in {figures}")


def ls(root: Path = Path("runs"), /, *, json_: Json = False) -> None:
    """List every arm ever run, negative ones included.

    Args:
        root: A folder of studies, or one study.
        json_: Print JSON and nothing else.
    """
    from vslm.report.numbers.tables import list_arms

    if not root.is_dir() and root != Path("runs"):
        raise SpecError(str(root), "a file" if root.exists() else "no such folder", "a folder of studies is needed")
    rows = list_arms(root)
    if json_:
        print_json(rows)
        return
    if not rows:
        print(f"no studies in {root} yet; vslm run STUDY.py makes one")
        return
    from vslm.report.terminal import arms_table, show

    show(arms_table(rows))
    for problem in dict.fromkeys(row["problem"] for row in rows if row["problem"]):
        print(f"cannot be read: {problem}")


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
    from vslm.report.numbers.compare import compare as compared
    from vslm.report.numbers.compare import plain
    from vslm.report.numbers.sides import read_sides

    found = compared(read_sides(paths), measure)
    if out is not None:
        from vslm.report.pages.compare import write_comparison

        write_comparison(found, out)
    if json_:
        print_json(plain(found))
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


def serve(
    root: Path = Path("runs"),
    /,
    *,
    port: Count = 8421,
    host: str = "127.0.0.1",
    allow_host: AllowHost = (),
    store: Path | None = None,
    retriever: RetrieverName = "bm25",
    passages: Count = 2,
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
        store: A store (vslm store build): a text that is typed into a page is also read with passages in front of it
            that are found there for its beginning, to be put beside the reading without them.
        retriever: How they are found: by shared words, by the states of the model that reads, or at random.
        passages: How many.
    """
    from vslm.live.guard import is_loopback
    from vslm.live.server import address_of, is_everywhere, open_server

    loaded = None if store is None else _loaded_reader(store, retriever, passages)
    with open_server(root, _text_reader(), host=host, port=port, allow_hosts=allow_host, read_loaded=loaded) as server:
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
            from vslm.after.typed_text import TextReader

            readers.append(TextReader())
        return readers[0](folder, text)

    return read


def _loaded_reader(folder: Path, retriever: str, passages: int) -> "ReadText":
    """Reads typed text with passages of a store. What is wrong with the store is said before the server starts."""
    from vslm.after.loaded_text import FromStore, LoadedTextReader
    from vslm.knowledge.preloading import check_passages
    from vslm.knowledge.store import open_store

    check_passages(passages)
    return LoadedTextReader(FromStore(store=open_store(folder), retriever=retriever, passages=passages))


def merge(*folders: SomePaths, out: Path) -> None:
    """Join folders of one study from several machines, and judge them together.

    Args:
        folders: Two or more folders of the same study.
        out: A new folder.
    """
    if len(folders) < 2:
        raise SpecError("merge", f"found {len(folders)} folder", "two or more are needed")
    from vslm.after.merging import merge_studies
    from vslm.report.pages.study import write_report

    folder = merge_studies(list(folders), out)
    print_verdict(folder, write_report(folder.path), as_json=False)


def pack(folder: Path, /, *, out: Path | None = None) -> None:
    """Make one file of a study to send, without weights.

    Args:
        folder: Of the study: runs/NAME.
        out: The file. Default: NAME.zip in the working directory.
    """
    from vslm.after.merging import pack_study

    def say(words: str) -> None:
        print(f"vslm: {words}", file=sys.stderr)

    print(pack_study(folder, out or Path(f"{folder.resolve().name}.zip"), say))
