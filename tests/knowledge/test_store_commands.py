"""`vslm store build` and `search`."""

import json
from pathlib import Path

import pytest
from small_store import DOCUMENTS

from vslm.cli import app
from vslm.core.errors import DataError, SpecError


def run(*arguments: str) -> None:
    """A command, as `main` calls it."""
    app([*arguments], result_action="return_value")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """The documents in a file, one of them twice."""
    path = tmp_path / "a.txt"
    path.write_text("\n<|endoftext|>\n".join([*DOCUMENTS, DOCUMENTS[0]]), encoding="utf-8")
    return path


def test_a_store_is_built_and_searched(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """What was read and left out is said; passages come with their scores, as JSON on request."""
    pytest.importorskip("bm25s")
    out = tmp_path / "store"
    run("store", "build", str(text), str(out), "--passage-tokens", "7")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("read: 1 file (a.txt) as plain text: 6 documents")
    assert said[1].endswith("15 passages of 5 documents; 3 passages left out that repeat another")
    assert said[2] == f"folder  {out}"
    run("store", "search", str(out), "Who bakes bread\nfor the harbor?", "-k", "2")
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("[4]  He bakes bread for the harbor.")
    assert float(first.split()[0]) > float(second.split()[0]) > 0
    run("store", "search", str(out), "bread", "--by", "random", "--seed", "3", "--json")
    rows = json.loads(capsys.readouterr().out)
    assert [row["score"] for row in rows] == [0.0] * 3
    run("store", "search", str(out), "zebras")
    assert capsys.readouterr().out == "none of the 15 passages shares a word with the query\n"


def test_what_cannot_be_meant_is_said(text: Path, tmp_path: Path) -> None:
    """Counts, an empty query, states of nobody, a text that is not there, a store that is none."""
    with pytest.raises(SpecError, match="-k: found 0"):
        run("store", "search", str(tmp_path), "x", "-k", "0")
    with pytest.raises(SpecError, match="QUERY: an empty text"):
        run("store", "search", str(tmp_path), " ")
    with pytest.raises(SpecError, match="--run: not given"):
        run("store", "search", str(tmp_path), "x", "--by", "states")
    with pytest.raises(DataError, match="no such file"):
        run("store", "build", str(tmp_path / "none.txt"), str(tmp_path / "store"))
    with pytest.raises(DataError, match="manifest"):
        run("store", "search", str(tmp_path), "x")
