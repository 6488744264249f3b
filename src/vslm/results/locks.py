"""One process at a time: the lock of the operating system, and what stands in for it where a place has none."""

from pathlib import Path

import filelock

from vslm.core.system import has_no_locks


def lock(path: Path, *, wait: bool) -> filelock.BaseFileLock | None:
    """Take a lock, which ends with the process, however that ends; None if another process has it.

    Some network and phone drives know no locks. There a file that is only made where none is stands in for one: it
    keeps two processes apart, but one that was killed may leave it behind.

    Args:
        path: of the lock's file, which stays there.
        wait: until whoever has it gives it back.
    Raises: OSError where no file can be made.
    """
    timeout = -1 if wait else 0
    taken = filelock.FileLock(str(path))
    try:
        taken.acquire(timeout=timeout)
    except filelock.Timeout:
        return None
    except (OSError, NotImplementedError) as error:
        if not has_no_locks(error):
            raise
        taken = filelock.SoftFileLock(f"{path}.held")
        try:
            taken.acquire(timeout=timeout)
        except filelock.Timeout:
            return None
    return taken
