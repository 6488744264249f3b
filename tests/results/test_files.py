"""Files that are whole or not there."""

from pathlib import Path

import numpy as np
import pytest

from vslm.core.errors import ResultError
from vslm.results.files import read_arrays, read_json, read_rows, write_arrays, write_json, write_rows, written_whole


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
