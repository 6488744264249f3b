"""Write a file whole or not at all, and notice when what is read is torn.

Every write goes to a temporary name beside the target and is renamed over it, so a killed process leaves the old file
or the new one. No file is opened with pickle allowed, and none through a link in a study's folder (`places.py`).
"""

import errno
import hashlib
import json
import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vslm.core.errors import ResultError, RunError
from vslm.results.places import MOST_TEXT_BYTES, make_folder, opened, read_bytes

RUN_ANEW = "delete done.json beside it and run the study again, which makes it anew"


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` when the block ends well, and vanishes when it does not.

    Raises: RunError when the disk is full or the folder cannot be written.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        raise RunError(
            str(path), f"cannot be written: {reason}", "", "make room and run the same command again"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON. NaN and infinities are refused: they are not JSON."""
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
    with written_whole(path) as file:
        file.write(text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises: ResultError if it is missing, torn, not UTF-8, a link or no file at all.
    """
    try:
        return json.loads(read_bytes(path, most=MOST_TEXT_BYTES).decode())
    except FileNotFoundError:
        raise ResultError(str(path), "no such file", "", "is this a run folder made by vslm?") from None
    except UnicodeDecodeError as error:
        raise ResultError(str(path), f"the file is torn: byte {error.start:,} is no UTF-8") from None
    except (ValueError, RecursionError) as error:  # no JSON, brackets too deep, or a number too long
        raise ResultError(str(path), f"the file is torn; JSON says: {error}") from None


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, with the line ends it has."""
    with written_whole(path) as file:
        file.write(text.encode())


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
    try:
        rows = json.loads(f"[{','.join(lines)}]")  # one call for all of them: a page reads many thousands
        if len(rows) == len(lines):
            return rows
    except (ValueError, RecursionError):
        pass  # which line it is, is found below
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise ResultError(f"{path}:{number}", f"the line is torn; JSON says: {error}") from None
    return rows


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as an uncompressed `.npz`, without pickle."""
    with written_whole(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read named arrays; a missing file is no arrays.

    Raises: ResultError if the file is torn or needs pickle.
    """
    if not path.exists():
        return {}
    try:
        # Opened here, because numpy leaves a torn file open.
        with opened(path) as raw:
            _check_archive(path, raw)
            with np.load(raw, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
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


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hex digits."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
