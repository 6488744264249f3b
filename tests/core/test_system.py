"""What the operating system refuses becomes one message: where, why, what to do."""

import errno
import os
from pathlib import Path

import pytest

from vslm.core.jsons import json_text
from vslm.core.system import has_no_locks, is_full, refused, why


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "your quota"),
        (errno.EROFS, "read-only"),
        (errno.ENAMETOOLONG, "longer than the file system takes"),
        (errno.ENOTDIR, "a file stands where a folder is needed"),
        (errno.EISDIR, "a folder stands where a file is needed"),
        (errno.EXDEV, os.strerror(errno.EXDEV)),
    ],
)
def test_a_refusal_says_where_and_why(number: int, words: str) -> None:
    """Also one that nobody foresaw, in the system's own words; the error stays the cause of the message."""
    error = OSError(number, os.strerror(number), "runs/x")
    assert words in why(error)
    message = refused(error, found="cannot be written")
    assert str(message).startswith(f"runs/x: cannot be written: {why(error)}")
    assert message.__cause__ is error
    assert str(refused(error, "there", do="go away")).startswith("there: ")
    assert str(refused(error, "there", do="go away")).endswith("; go away.")


def test_a_path_of_odd_bytes_can_be_said() -> None:
    """As Python hands it on; a terminal shows a question mark."""
    assert refused(OSError(errno.EACCES, "", b"caf\xe9")).where == "caf\udce9"
    assert refused(OSError(errno.EACCES, "")).where == ""


def test_a_working_directory_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system only says that something is not there."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        assert "the working directory: it was deleted" in str(refused(FileNotFoundError(errno.ENOENT, "")))
    finally:
        os.chdir(tmp_path)
    assert "deleted" not in str(refused(FileNotFoundError(errno.ENOENT, "No such file", "x")))


def test_kinds_of_refusals() -> None:
    """No room anywhere ends a study; a place without locks is not a lock that is held."""
    full, held = OSError(errno.EDQUOT, ""), OSError(errno.EAGAIN, "")
    assert is_full(full)
    assert is_full(OSError(errno.ENOSPC, ""))
    assert not is_full(OSError(errno.EROFS, ""))
    assert not is_full(None)
    assert has_no_locks(OSError(errno.ENOLCK, ""))
    assert has_no_locks(NotImplementedError())
    assert not has_no_locks(held)


def test_json_has_no_number_that_is_none() -> None:
    """NaN and infinities are null, however deep."""
    plain = {"a": [1, (float("inf"), {"b": float("nan")})], "c": Path("x"), "d": float("-inf"), "e": 0.5}
    assert "".join(json_text(plain).split()) == '{"a":[1,[null,{"b":null}]],"c":"x","d":null,"e":0.5}'
