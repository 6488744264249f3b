"""Write a file whole or not at all, and notice when what is read is torn.

Every write goes to a temporary name beside the target and is renamed over it, so a killed process leaves the old file
or the new one. No file is opened with pickle allowed, and none through a link in a study's folder (`places.py`).
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vslm.core.errors import ResultError, RunError
from vslm.core.system import refused, why
from vslm.results.places import MOST_TEXT_BYTES, make_folder, opened, read_bytes

_DEEPEST = 100  # brackets in brackets; a spec of blocks in banks in arms has about fifteen
RUN_ANEW = "delete done.json beside it and run the study again, which makes it anew"


_NAME_LETTERS = 40  # of a target that its temporary name repeats: a name may be as long as the file system takes
_RANDOM_DIGITS = 8
_UNSYNCED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` when the block ends well, and vanishes when it does not.

    Raises: RunError when the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name[:_NAME_LETTERS]}.{secrets.token_hex(_RANDOM_DIGITS // 2)}.tmp")
    try:
        make_folder(path.parent)
        if path.exists() and not (path.is_file() or path.is_dir()):  # a rename would put a file in its place
            raise RunError(str(path), "a device or a pipe", "a file is needed", "name a file, or a new one")
        with temporary.open("xb") as file:
            yield file
            file.flush()
            _synced(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise refused(error, path, found="cannot be written") from error
    finally:
        with contextlib.suppress(OSError):  # a folder that is gone or cannot be written: said above
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: a file that was synced is found after a power cut if its name was, too.
    Systems that cannot do this to a folder (Windows, some network drives) do it in their own time.
    """
    try:
        number = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:  # Windows opens no folders; a folder may be written into and not be read
        return
    try:
        _synced(number)
    finally:
        os.close(number)


def _synced(number: int) -> None:
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in _UNSYNCED:
            raise


def is_leftover(name: str) -> bool:
    """Whether a file's name is one that `written_whole` gives while it writes.

    >>> is_leftover(".study.json.0a1b2c3d.tmp"), is_leftover("notes.tmp"), is_leftover(".mine.tmp")
    (True, False, False)
    """
    stem, _, digits = name.removesuffix(".tmp").rpartition(".")
    is_random = len(digits) == _RANDOM_DIGITS and all(digit in "0123456789abcdef" for digit in digits)
    return name.endswith(".tmp") and stem.startswith(".") and is_random


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed left in a folder and below it. Only for who holds the folder: a file that
    somebody writes at the moment looks the same. Links are not followed.
    """
    for place, _, names in os.walk(folder, onerror=None, followlinks=False):
        for name in names:
            if is_leftover(name):
                with contextlib.suppress(OSError):
                    (Path(place) / name).unlink()


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON. NaN and infinities are refused: they are not JSON."""
    try:
        content = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a path with bytes that are no text: JSON can escape what UTF-8 cannot hold
        content = json.dumps(value, indent=1, allow_nan=False).encode()
    with written_whole(path) as file:
        file.write(content + b"\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises: ResultError if it is missing, torn, not UTF-8, a link or no file at all.
    """
    try:
        value = json.loads(read_bytes(path, most=MOST_TEXT_BYTES).decode(), parse_constant=_no_json)
        _check_depth(value)
        return value
    except FileNotFoundError:
        raise ResultError(str(path), "no such file", "", "is this a run folder made by vslm?") from None
    except UnicodeDecodeError as error:
        raise ResultError(str(path), f"the file is torn: byte {error.start:,} is no UTF-8") from None
    except (ValueError, RecursionError) as error:  # no JSON, brackets too deep, or a number too long
        raise ResultError(str(path), f"the file is torn; JSON says: {error}") from None
    except OSError as error:
        raise ResultError(str(path), f"cannot be read: {why(error)}") from None


def _no_json(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _check_depth(value: Any) -> None:
    """Refuse brackets deeper than anything that is written here: who walks through them calls himself as often."""
    level = [value] if type(value) is dict or type(value) is list else []
    for _ in range(_DEEPEST):
        level = [
            part
            for item in level
            for part in (item.values() if type(item) is dict else item)
            if type(part) is dict or type(part) is list
        ]
        if not level:
            return
    raise ValueError(f"brackets deeper than {_DEEPEST}")


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, with the line ends it has. What UTF-8 cannot hold (odd bytes of a path) becomes `?`."""
    with written_whole(path) as file:
        file.write(text.encode(errors="replace"))


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one JSON object per line."""
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    with written_whole(path) as file:
        file.write(text.encode())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read one JSON object per line; a missing file is no rows.

    Raises: ResultError naming the line that is torn.
    """
    if not path.exists():
        return []
    try:
        lines = read_bytes(path, most=MOST_TEXT_BYTES).decode().splitlines()
    except UnicodeDecodeError as error:
        raise ResultError(str(path), f"the file is torn: byte {error.start:,} is no UTF-8") from None
    except OSError as error:
        raise ResultError(str(path), f"cannot be read: {why(error)}") from None
    try:
        # One call for all of them: a page reads many thousands.
        rows = json.loads(f"[{','.join(lines)}]", parse_constant=_no_json)
        if len(rows) == len(lines):
            return rows
    except (ValueError, RecursionError):
        pass  # which line it is, is found below
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line, parse_constant=_no_json))
        except (ValueError, RecursionError) as error:
            raise ResultError(f"{path}:{number}", f"the line is torn; JSON says: {error}") from None
    return rows


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as an uncompressed `.npz`, without pickle."""
    with written_whole(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read named arrays; a missing file is no arrays.

    Raises: ResultError if the file is torn, needs pickle, or holds what is no real number.
    """
    if not path.exists():
        return {}
    try:
        # Opened here, because numpy leaves a torn file open.
        with opened(path) as raw:
            _check_archive(path, raw)
            with np.load(raw, allow_pickle=False) as file:
                _check_sizes(file.zip, path.stat().st_size)
                return {name: _checked(file[name], name) for name in file.files}
    except ResultError:
        raise
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise ResultError(str(path), f"cannot be read ({error})", "the file is torn", RUN_ANEW) from None


def _check_archive(path: Path, raw: BinaryIO) -> None:
    """Refuse what is no archive, and one that would unpack to more than it is: arrays are stored as they are.

    Raises: ResultError; what zipfile raises for a torn one.
    """
    if not zipfile.is_zipfile(raw):
        raise ResultError(str(path), "no archive of arrays", "the file is torn", RUN_ANEW)
    with zipfile.ZipFile(raw) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > raw.seek(0, os.SEEK_END):
        found = f"an archive that unpacks to {unpacked / 1024**2:,.0f} MB"
        raise ResultError(str(path), found, "arrays are stored as they are, not packed", RUN_ANEW)
    raw.seek(0)


def _check_sizes(archive: Any, num_bytes: int) -> None:
    """Refuse an archive whose arrays claim to be larger than the file: space for them would be taken before anything
    is read.
    """
    for entry in archive.infolist():
        with archive.open(entry) as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(member)
        claimed = math.prod(shape) * dtype.itemsize
        if claimed > num_bytes:
            raise ValueError(f"{entry.filename} claims {claimed:,} bytes of {num_bytes:,}")


def _checked(value: Any, name: str) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{name} is no array")
    if value.dtype.kind not in "biuf":  # dates, texts and complex numbers are nothing that anything here reads
        raise ValueError(f"{name} holds no real numbers, but {value.dtype.name}")
    return value


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hex digits."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
