"""Hold a study's folder, so that no two processes run it at once."""

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vslm.core.errors import ResultError, RunError, SpecError
from vslm.core.system import why
from vslm.results.files import read_json, remove_leftovers, write_json
from vslm.results.locks import lock
from vslm.results.places import checked, remove_file


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Hold a folder, which is made if it is not there. The lock is the operating system's: it ends with the process,
    however that ends.

    Raises: RunError that says who holds it; SpecError where no folder can be.
    """
    holder, taken = out / ".holder.json", None
    try:
        out.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(out / ".lock"):  # which would be emptied
            checked(out / ".lock", RunError)
        taken = lock(out / ".lock", wait=False)
    except OSError as error:
        raise SpecError(
            str(out), f"no study can be kept there: {why(error)}", "", "choose another place with --out"
        ) from None
    if taken is None:
        do = "wait for it, stop it, or choose another place with --out"
        raise RunError(str(out), f"held by {_who(holder)}", "", do)
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        write_json(holder, {"process": os.getpid(), "machine": platform.node(), "since": since})
        remove_leftovers(out)
        yield
    finally:
        with contextlib.suppress(OSError):  # the place may have become read-only
            remove_file(holder)
        taken.release()


def _who(holder: Path) -> str:
    try:
        who = read_json(holder)
        return f"process {who['process']} on {who['machine']} since {who['since']}"
    except (ResultError, KeyError, TypeError):  # it has the lock, and is about to say who it is
        return "another process"
