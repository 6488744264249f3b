"""Hold a study's folder, so that no two processes run it at once."""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vslm.core.errors import ResultError, RunError, SpecError
from vslm.results.files import read_json, write_json
from vslm.results.places import checked, remove_file


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Hold a folder, which is made if it is not there. The lock is the operating system's: it ends with the process,
    however that ends.

    Raises: RunError that says who holds it; SpecError where no folder can be.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpecError(str(out), f"cannot be made: {reason}", "", "choose another place with --out") from None
    if os.path.lexists(out / ".lock"):  # which would be emptied
        checked(out / ".lock", RunError)
    lock, holder = FileLock(str(out / ".lock")), out / ".holder.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        do = "wait for it, stop it, or choose another place with --out"
        raise RunError(str(out), f"held by {_who(holder)}", "", do) from None
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        write_json(holder, {"process": os.getpid(), "machine": platform.node(), "since": since})
        yield
    finally:
        remove_file(holder)
        lock.release()


def _who(holder: Path) -> str:
    try:
        who = read_json(holder)
        return f"process {who['process']} on {who['machine']} since {who['since']}"
    except (ResultError, KeyError, TypeError):  # it has the lock, and is about to say who it is
        return "another process"
