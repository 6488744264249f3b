"""One process at a time, also where a place knows no locks."""

import errno
from pathlib import Path

import filelock
import pytest

from vslm.results.locks import lock


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    """Until it is given back."""
    first = lock(tmp_path / ".lock", wait=False)
    assert first is not None
    assert lock(tmp_path / ".lock", wait=False) is None
    first.release()
    again = lock(tmp_path / ".lock", wait=True)
    assert again is not None
    again.release()


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOLCK, "none"), OSError(errno.EOPNOTSUPP, "none"), NotImplementedError()]
)
def test_a_file_stands_in_where_there_are_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """As on some network drives; two processes are kept apart all the same."""

    def none(self: filelock.FileLock, *_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", none)
    first = lock(tmp_path / ".lock", wait=False)
    assert first is not None
    assert lock(tmp_path / ".lock", wait=False) is None
    first.release()
    assert not (tmp_path / ".lock.held").exists()


def test_a_place_where_no_file_can_be_made_is_no_place_without_locks(tmp_path: Path) -> None:
    """Who asked says what to do."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"(?i)not a directory|no such file|exists"):
        lock(tmp_path / "file" / ".lock", wait=False)
