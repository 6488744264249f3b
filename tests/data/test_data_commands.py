"""`vslm data show`, `prepare` and `ls`, and what `vslm train` is told about reading."""

import json
from pathlib import Path

import pytest
from synthetic_text import stories, written

from vslm.cli import app
from vslm.core.errors import DataError, SpecError
from vslm.data.sources import Text
from vslm.study.single import Wanted, study_of


def run(*arguments: str) -> None:
    """A command, as `main` calls it."""
    app([*arguments], result_action="return_value")


def test_show_tells_what_is_read_and_the_first_documents(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """With counts and lengths; what a terminal would obey is written out, and long documents are cut and say so."""
    texts = ["short \x1b[2J one", "x" * 1_000, *stories(5)]
    (tmp_path / "a.json").write_text(json.dumps([{"story": text} for text in texts]))
    run("data", "show", str(tmp_path / "a.json"), "--field", "story", "--documents", "2")
    shown = capsys.readouterr().out
    assert shown.startswith("read: 1 file (a.json) as a JSON array, field `story`: 7 documents, ")
    assert "7 documents of 14 to 1,000 characters" in shown
    assert r"short \x1b[2J one" in shown
    assert "--- document 2, its first 400 of 1,000 characters" in shown
    assert "document 3" not in shown
    run("data", "show", str(tmp_path / "a.json"), "--field", "story", "--documents", "1", "--json")
    plain = json.loads(capsys.readouterr().out)
    assert [document["text"] for document in plain["documents"]] == texts[:1]
    assert plain["lengths"]["characters"] == sum(map(len, texts))


def test_show_of_what_cannot_be_read_still_tells_what_was_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Then the message."""
    (tmp_path / "a.jsonl").write_text('{"story": "x"}')
    (tmp_path / "LICENSE.txt").write_text("As you like.")
    with pytest.raises(DataError, match="known: story"):
        run("data", "show", str(tmp_path))
    assert "1 .txt file, not read (LICENSE.txt)" in capsys.readouterr().err
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(SpecError, match="there is no text in it"):
        run("data", "show", str(tmp_path / "empty.txt"))


def test_prepare_makes_a_corpus_and_ls_lists_it(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its sizes; a torn one is named."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path / "home"))
    run("data", "ls")
    assert "no corpora in" in capsys.readouterr().out
    run("data", "prepare", written(tmp_path / "a.txt", stories(71)), "--vocabulary", "300")
    assert "71 documents, 300 ids" in capsys.readouterr().out
    run("data", "ls", "--json")
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["documents"], row["vocabulary"]) == (71, 300)
    assert sum(row["tokens"].values()) > 10_000
    (meta,) = (tmp_path / "home" / "corpora").glob("*/meta.json")
    meta.write_text("{")
    run("data", "ls")
    assert "not whole" in capsys.readouterr().out


def test_how_a_text_is_read_is_asked_for_and_kept_when_training_goes_on(tmp_path: Path) -> None:
    """A short command goes on with what the folder holds."""
    study = study_of("a.json", tmp_path / "new", Wanted(field="story", encoding="cp1252"))
    (experiment,) = study.arms.values()
    assert experiment.data == Text("a.json", vocabulary=2048, field="story", encoding="cp1252")
    plain = study_of("a.txt", tmp_path / "new", Wanted(document="line"))
    assert plain.arms["model"].data == Text("a.txt", vocabulary=2048, document="line")
