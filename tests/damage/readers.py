"""Read a damaged folder in every way that a user can, and say what should not have happened.

What may happen: a page, a table, or one message in words. What may not: another exception, a page that says the server
failed, a number in a verdict that no run gave, more than five seconds of a processor, or more than a gigabyte.
"""

import contextlib
import io
import json
import resource
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vslm import cli
from vslm.core.errors import ResultError, VslmError
from vslm.lab.verdict import write_verdict
from vslm.live.app import App
from vslm.results.folder import StudyFolder

MOST_SECONDS, MOST_BYTES = 5.0, 2**30
_HEADERS = {"Host": "localhost"}


def _in_words(folder: Path, text: str) -> Any:
    raise ResultError(str(folder), "no text is read here")


def command(*args: str) -> str:
    """A command, in this process; what it printed.

    Raises: whatever is no message in words.
    """
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    try:
        sys.argv = ["vslm", *args]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as end:
        if end.code not in (0, 1, 2):
            raise
    finally:
        sys.argv = before
    return out.getvalue()


def _served(root: Path) -> None:
    app = App(root, _in_words, log=lambda line: None)
    asked = ["/", "/api/studies"]
    for name in app.shelf.names():
        asked += [f"{kind}{quote(name)}" for kind in ("/study/", "/api/card/", "/api/rows/")]
        asked.append(f"/api/rows/{quote(name)}?since=0123456789ab:1,2")
    for target in asked:
        answer = app.answer("GET", target, _HEADERS)
        if answer.status >= 500:
            app._unforeseen = _raise  # type: ignore[method-assign]
            app.answer("GET", target, _HEADERS)


def _raise(error: Exception, target: str) -> str:
    raise error


def _judged(folder: Path, whole: dict[tuple[str, str], Any] | None) -> None:
    """A verdict is refused, or is read from numbers that whole runs gave."""
    copy = folder.with_name(f"{folder.name}-judged")
    shutil.copytree(folder, copy)
    try:
        verdict = write_verdict(StudyFolder(copy)).plain()
    except VslmError:
        return
    finally:
        shutil.rmtree(copy)
    if whole is None:
        return
    for arm, row in verdict["arms"].items():
        for seed, pair in row["per_seed"].items():
            if pair != whole.get((arm, seed)):
                raise AssertionError(
                    f"{arm} seed {seed}: {pair} in a verdict, and whole runs gave {whole.get((arm, seed))}"
                )


def faults(
    folder: Path, other: Path, place: Path, whole: dict[tuple[str, str], Any] | None
) -> Iterator[tuple[str, str]]:
    """Who failed at a folder, and how.

    Args:
        folder: of a study, damaged; alone in its own parent.
        other: the same study from another machine, whole.
        place: for what is written.
        whole: the pairs of a verdict by arm and seed, where nothing but them may be judged.
    """
    readers = {
        "report": lambda: command("report", str(folder)),
        "serve": lambda: _served(folder.parent),
        "ls": lambda: command("ls", str(folder.parent)),
        "ls --json": lambda: json.loads(command("ls", str(folder.parent), "--json")),
        "compare": lambda: command("compare", str(folder), str(other / "full"), "--out", str(place / "compared.html")),
        "judge": lambda: _judged(folder, whole),
        "merge": lambda: command("merge", str(other), str(folder), "--out", str(place / "merged")),
        "pack": lambda: command("pack", str(folder), "--out", str(place / "packed.zip")),
        "rematch": lambda: command("rematch", str(folder), "--arm", "nobody"),
        "sample": lambda: command("sample", str(folder), "--tokens", "3"),
    }
    for name, read in readers.items():
        started, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                read()
        except (Exception, RecursionError) as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            at = f"{Path(last.filename).name}:{last.lineno}"
            yield name, f"{type(error).__name__}: {str(error)[:200]} ({at})"
        seconds = time.process_time() - started
        more = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        if seconds > MOST_SECONDS:
            yield name, f"took {seconds:.1f} s of a processor"
        if more > MOST_BYTES:
            yield name, f"took {more / 2**30:.1f} GB"
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
