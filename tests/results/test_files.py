"""Files that are whole or not there."""

import contextlib
import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from vslm.core.errors import ResultError, RunError
from vslm.results.files import (
    is_leftover,
    read_arrays,
    read_json,
    read_rows,
    remove_leftovers,
    write_arrays,
    write_json,
    write_rows,
    write_text,
    written_whole,
)


def _stop_in_the_middle(path: Path) -> None:
    with written_whole(path) as file:
        file.write(b"half")
        raise RuntimeError("in the middle")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path):
    """And no temporary one."""
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(RuntimeError, match="in the middle"):
        _stop_in_the_middle(path)
    assert read_json(path) == {"a": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_rows_and_arrays_come_back(tmp_path: Path):
    """Missing files are no rows and no arrays."""
    write_rows(tmp_path / "r.jsonl", [{"a": 1}, {"a": 2}])
    assert read_rows(tmp_path / "r.jsonl") == [{"a": 1}, {"a": 2}]
    write_arrays(tmp_path / "x.npz", {"x_ST": np.arange(6.0).reshape(2, 3)})
    assert read_arrays(tmp_path / "x.npz")["x_ST"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read_rows(tmp_path / "none.jsonl") == []
    assert read_arrays(tmp_path / "none.npz") == {}


def test_a_torn_file_is_named(tmp_path: Path):
    """With the line, for rows."""
    (tmp_path / "r.jsonl").write_text('{"a": 1}\n{"a":')
    with pytest.raises(ResultError, match=r"r\.jsonl:2"):
        read_rows(tmp_path / "r.jsonl")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ResultError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a\n": 1}', "the file is torn; JSON says: Invalid control character at: line 1 column 4"),
        (b'{"a": "caf\xe9"}', "the file is torn: byte 10 is no UTF-8"),
        (b"[" * 100_000, "the file is torn; JSON says: "),
        (b"1" * 5_000, "the file is torn; JSON says: "),
    ],
)
def test_a_torn_file_is_called_torn_first(tmp_path: Path, content: bytes, words: str) -> None:
    """JSON's own words, which name no file and no mishap, stand behind; so it is for a file of rows."""
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ResultError) as torn:
        read_json(tmp_path / "a.json")
    assert torn.value.found.startswith(words)
    with pytest.raises(ResultError, match="is torn"):
        read_rows(tmp_path / "a.json")


@pytest.mark.parametrize("make", ["file where a folder is needed", "folder where a file is needed", "name too long"])
def test_what_cannot_be_written_is_said_in_words(tmp_path: Path, make: str) -> None:
    """One message with the path, and nothing left behind."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder" / "in it").mkdir(parents=True)
    long = "n" * 300
    place = {"file": tmp_path / "file" / "x.json", "folder": tmp_path / "folder", "name": tmp_path / long}
    with pytest.raises(RunError, match="cannot be written") as said:
        write_json(place[make.split()[0]], {})
    assert said.value.where == str(place[make.split()[0]])
    assert said.value.do
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file", "folder"]


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    """Though a temporary name has more in it."""
    write_json(tmp_path / ("ä" * 120 + ".json"), {"a": 1})
    assert read_json(tmp_path / ("ä" * 120 + ".json")) == {"a": 1}


def test_paths_of_odd_bytes_are_written_down_and_come_back(tmp_path: Path) -> None:
    """UTF-8 cannot hold them; JSON escapes them, and a text for people has a question mark there."""
    write_json(tmp_path / "a.json", {"folder": "caf\udce9"})
    assert read_json(tmp_path / "a.json") == {"folder": "caf\udce9"}
    write_text(tmp_path / "a.txt", "caf\udce9")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "caf?"


def test_a_renamed_file_is_synced_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file first, then its name; where a file system cannot do that, nothing is refused for it."""
    synced: list[str] = []

    def refuse_folders(number: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(number).st_mode)
        synced.append("folder" if is_folder else "file")
        if is_folder:
            raise OSError(errno.EINVAL, "not for folders")

    monkeypatch.setattr(os, "fsync", refuse_folders)
    write_json(tmp_path / "a.json", {})
    assert synced == (["file"] if os.name == "nt" else ["file", "folder"])

    def refuse_everything(number: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", refuse_everything)
    with pytest.raises(RunError, match="the device failed"):
        write_json(tmp_path / "b.json", {})


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """Wherever it lies in the folder; not through a link."""
    outside, study = tmp_path / "outside", tmp_path / "study"
    (study / "arm" / "seed0").mkdir(parents=True)
    outside.mkdir()
    kept = [study / "notes.tmp", study / ".mine.tmp", study / "a.0a1b2c3d.tmp", outside / ".a.json.0a1b2c3d.tmp"]
    gone = [study / ".study.json.0a1b2c3d.tmp", study / "arm" / "seed0" / ".done.json.ffffffff.tmp"]
    for path in (*kept, *gone):
        path.write_bytes(b"x")
    with contextlib.suppress(OSError):  # Windows makes no links for everybody
        (study / "link").symlink_to(outside)
    remove_leftovers(study)
    assert [path.exists() for path in kept] == [True] * 4
    assert [path.exists() for path in gone] == [False] * 2


def test_a_leftover_of_written_whole_is_known_as_one(tmp_path: Path) -> None:
    """The names that are given and those that are removed are the same."""
    with written_whole(tmp_path / "a name.json"):
        names = [path.name for path in tmp_path.iterdir()]
    assert [is_leftover(name) for name in names] == [True]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    """`--out /dev/null` by an administrator would take it away from everybody."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunError, match=r"pipe: a device or a pipe; a file is needed"):
        write_text(tmp_path / "pipe", "x")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("odd", [np.array(["1", "2"]), np.array([1, 2], dtype="M8[s]"), np.array([1 + 2j])])
def test_arrays_of_anything_but_real_numbers_are_refused(tmp_path: Path, odd: np.ndarray):
    """Wherever they are read: nobody would expect a date in a mean."""
    np.savez(tmp_path / "x.npz", whole=np.arange(3), odd=odd)
    with pytest.raises(ResultError, match="odd holds no real numbers"):
        read_arrays(tmp_path / "x.npz")
