"""Open, make and remove what lies in a study's folder, and never follow a link that lies in it.

A folder of results may be somebody else's. A link in it could show a file of the reader's on a page, or have one
emptied; a pipe would wait forever. So whatever is opened there is a file and no link, and so are the folders that lead
to it. Where the study itself lies is its owner's affair: `runs` may be a link to a larger disk.

Not for: hard links, which nothing tells from a file.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from vslm.core.errors import ResultError, RunError, VslmError

MOST_TEXT_BYTES = 64 * 1024**2  # of a file that is read whole and understood, JSON above all
MOST_SHOWN_BYTES = 64 * 1024  # of a text that is shown
_RECORDS = ("study.json", "experiment.json")  # a folder with one of them is a study or a run
_DEEPEST = 6  # STUDY/tuning/ARM/RATE/seed0/checkpoints/FILE
_ALLOWED = "what lies in a study's folder is a file there, and links in it are not followed"
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_KINDS = (
    (stat.S_ISLNK, "a link", "delete the link, or put what it leads to in its place"),
    (stat.S_ISDIR, "a folder", "move it away"),
    (stat.S_ISFIFO, "a pipe", "delete it"),
    (stat.S_ISSOCK, "a socket", "delete it"),
)


def refuse_links(path: Path, error: type[VslmError] = ResultError, *, itself: bool = True) -> None:
    """Refuse a path that leads through a link inside a study's folder.

    Args:
        path: of a file, or of a folder below a study's.
        error: what is raised.
        itself: whether the last part of the path may be no link either.
    Raises: `error`.
    """
    for part in (*_inside(path), *((str(path),) if itself else ())):
        if os.path.islink(part):  # noqa: PTH114 (a page asks this of thousands of paths)
            raise _refused(Path(part), stat.S_IFLNK, error)


def _inside(path: Path) -> list[str]:
    """The folders between a study's folder, or a run's, and what lies in it, the outermost first."""
    folders: list[str] = []
    outermost, here = 0, str(path)
    for _ in range(_DEEPEST):
        above = os.path.dirname(here)  # noqa: PTH120
        # The outermost record counts: one further in may stand there to make a link look like a study's place.
        if any(os.path.lexists(os.path.join(above, name)) for name in _RECORDS):  # noqa: PTH118
            outermost = len(folders)
        if above in ("", here):
            break
        folders.append(above)
        here = above
    return folders[:outermost][::-1]


def checked(path: Path, error: type[VslmError] = ResultError) -> Path:
    """The path of a file that may be opened by its name.

    Raises: `error` for a link, a pipe and whatever else is no file; OSError if nothing is there.
    """
    refuse_links(path, error)
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        raise _refused(path, mode, error)
    return path


def opened(path: Path) -> BufferedReader:
    """Open a file for reading, as bytes.

    Raises: as `checked`.
    """
    return os.fdopen(_descriptor(path, os.O_RDONLY, ResultError), "rb")


def log_descriptor(path: Path, *, anew: bool) -> int:
    """A file's descriptor to write at its end; made if it is not there.

    Args:
        path: of the file.
        anew: whether it is emptied first.
    Raises: RunError for what is no file; OSError where none can be made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    if not os.path.lexists(path):
        refuse_links(path, RunError)
        return os.open(path, flags | _NO_FOLLOW, 0o644)
    descriptor = _descriptor(path, flags, RunError)
    if anew:
        os.ftruncate(descriptor, 0)
    return descriptor


def _descriptor(path: Path, flags: int, error: type[VslmError]) -> int:
    checked(path, error)  # before it is opened: opening alone can make a device do something
    descriptor = os.open(path, flags | _NO_FOLLOW)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):  # put there in between
        os.close(descriptor)
        raise _refused(path, mode, error)
    return descriptor


def read_bytes(path: Path, *, most: int | None = None) -> bytes:
    """The content of a file.

    Args:
        path: of the file.
        most: so many bytes may be in it; None: any number.
    Raises: as `checked`; ResultError if it is larger.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            found, allowed = f"{size / 1024**2:,.0f} MB", f"at most {most // 1024**2} MB are read of such a file"
            raise ResultError(str(path), found, allowed, "it is not what vslm wrote; delete it and run the study again")
        return file.read()


def read_shown(path: Path, *, end: bool = False) -> str:
    """A text that is shown to people: its beginning or its end where it is long, which is said in it.

    Raises: as `checked`.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - MOST_SHOWN_BYTES) if end else 0)
        text = file.read(MOST_SHOWN_BYTES).decode(errors="replace")
    if size <= MOST_SHOWN_BYTES:
        return text
    left_out = f"[{size - MOST_SHOWN_BYTES:,} bytes of {path.name} are not shown]"
    return f"{left_out}\n{text}" if end else f"{text}\n{left_out}"


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are not there.

    Raises: RunError where a link inside a study's folder leads to it; OSError where none can be made.
    """
    refuse_links(path / "a file in it", RunError, itself=False)
    path.mkdir(parents=True, exist_ok=True)


def remove_file(path: Path) -> None:
    """Remove a file if it is there; of a link the link.

    Raises: RunError where a link inside a study's folder leads to it.
    """
    refuse_links(path, RunError, itself=False)
    path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder with all that is in it, as far as that is possible; of a link the link.

    Raises: RunError where a link inside a study's folder leads to it.
    """
    refuse_links(path, RunError, itself=False)
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)  # which follows no link


def move_folder(path: Path, target: Path) -> None:
    """Move a folder to where nothing is yet, with the folders above it.

    Raises: RunError where a link inside a study's folder leads to either.
    """
    refuse_links(path, RunError, itself=True)
    make_folder(target.parent)
    path.rename(target)


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in a folder and below it, by name; none where there is no folder. Links are passed over, and so is
    what is no file.
    """
    for place, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(place) / name
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def odd_below(folder: Path) -> Iterator[Path]:
    """Every link, pipe, socket and device in a folder and below it."""
    for place, folders, names in os.walk(folder, followlinks=False):
        for name in sorted((*folders, *names)):
            mode = (Path(place) / name).lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                yield Path(place) / name


def copy_file(source: Path, target: Path) -> None:
    """Copy a file and its times.

    Raises: ResultError if the source is a link or no file; RunError where a link leads to the target.
    """
    make_folder(target.parent)
    with opened(source) as file, target.open("xb") as copy:
        shutil.copyfileobj(file, copy)
        found = os.fstat(file.fileno())
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _refused(path: Path, mode: int, error: type[VslmError]) -> VslmError:
    found, do = next(((found, do) for test, found, do in _KINDS if test(mode)), ("a device", "delete it"))
    if found == "a link":
        with contextlib.suppress(OSError):
            found = f"a link to {path.readlink()}"
    return error(str(path), found, _ALLOWED, do)
