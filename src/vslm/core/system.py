"""What the operating system refuses, in words: the one place where an OSError becomes a message.

Who opens a file where more can be said (which option names another place) says it there; what slips through is put into
words by the command line.
"""

import errno
import os
from pathlib import Path

from vslm.core.errors import RunError

_ROOM = "make room, in bytes or in numbers of files, and run the same command again"
ELSEWHERE = "copy the folder to where you may write"  # what every command can do; some take --out, too
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV}
_WORDS = {
    errno.ENOSPC: ("the disk is full", _ROOM),
    errno.EDQUOT: ("the disk is full for you: your quota is used up", _ROOM),
    errno.EFBIG: ("the file is larger than the place or a limit (`ulimit -f`) allows", _ROOM),
    errno.EROFS: ("the place is read-only", ELSEWHERE),
    errno.EACCES: ("permission denied", ELSEWHERE),
    errno.EPERM: ("not permitted", ELSEWHERE),
    errno.ENAMETOOLONG: (
        "a name in it, or the whole path, is longer than the file system takes",
        "choose a shorter name",
    ),
    errno.ENOTDIR: ("a file stands where a folder is needed", "choose another place, or move the file away"),
    errno.EISDIR: ("a folder stands where a file is needed", "name a file"),
    errno.EEXIST: ("something of that name is there already", "choose another place, or move it away"),
    errno.ELOOP: ("it is a link that leads to itself, or one that is not followed", "choose another place"),
    errno.ESTALE: ("the server of this file system forgot the file", "run the same command again"),
    errno.EIO: ("the device failed to read or write", "look at the disk; what was written before is kept"),
    errno.EMFILE: ("this process has too many files open", "raise `ulimit -n`"),
    errno.ENFILE: ("this machine has too many files open", "end other programs"),
    errno.ENOMEM: ("memory ran out", "give it a smaller model or batch, or end other programs"),
    errno.EAGAIN: ("this machine takes no further process or thread", "end other programs, or raise `ulimit -u`"),
    errno.ENOLCK: ("this file system has no locks", ELSEWHERE),
}


def has_no_locks(error: OSError | NotImplementedError) -> bool:
    """Whether a lock failed because the file system knows none, and not because somebody holds it."""
    return isinstance(error, NotImplementedError) or error.errno in _NO_LOCKS


def is_full(error: BaseException | None) -> bool:
    """Whether no other write there could do better: no room, no quota, no more files."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def why(error: OSError) -> str:
    """The reason alone, in words.

    >>> why(OSError(errno.ENOSPC, "No space left on device"))
    'the disk is full'
    """
    known = _WORDS.get(error.errno or 0)
    return known[0] if known else (error.strerror or str(error) or type(error).__name__)


def refused(error: OSError, where: str | Path = "", *, found: str = "cannot be used", do: str = "") -> RunError:
    """The message for what the system refused.

    Args:
        error: what it said; it becomes the cause of the message.
        where: the path as a person named it; empty: as the error names it.
        found: what cannot be done with it.
        do: what helps here; empty: what helps in general.
    """
    if error.errno == errno.ENOENT and _is_nowhere():
        where, do = "the working directory", "change into a folder that exists"
        message = RunError(where, "it was deleted or moved", "", do)
    else:
        place = str(where) or _named_in(error)
        message = RunError(place, f"{found}: {why(error)}", "", do or _WORDS.get(error.errno or 0, ("", ""))[1])
    message.__cause__ = error
    return message


def _named_in(error: OSError) -> str:
    name = error.filename
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else "" if name is None else str(name)


def _is_nowhere() -> bool:
    try:
        Path.cwd()
    except OSError:
        return True
    return False
