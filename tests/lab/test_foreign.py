"""A folder that is somebody else's: packed and joined without what its links lead to."""

import json
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from vslm import cli
from vslm.after import sampling
from vslm.after.merging import merge_studies, pack_study
from vslm.core.errors import ResultError


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of one arm, with a link to a file and one to a folder of its reader's."""
    folder, mine = tmp_path / "study", tmp_path / "mine"
    (folder / "full" / "seed0").mkdir(parents=True)
    mine.mkdir()
    (mine / "secret.txt").write_text("my secret")
    (folder / "study.json").write_text(json.dumps({"format": 1, "arms": {"full": {}}, "name": "study"}))
    (folder / "full" / "seed0" / "sample.txt").write_text("Once upon a time")
    (folder / "notes.txt").symlink_to(mine / "secret.txt")
    (folder / "full" / "seed1").symlink_to(mine)
    return folder


def test_links_are_not_packed(study: Path, tmp_path: Path) -> None:
    """Each is named; the files are packed."""
    said: list[str] = []
    with zipfile.ZipFile(pack_study(study, tmp_path / "study.zip", said.append)) as packed:
        assert sorted(packed.namelist()) == ["study/full/seed0/sample.txt", "study/study.json"]
    assert [words.split(" is left out")[0] for words in said] == [
        str(study / "notes.txt"),
        str(study / "full" / "seed1"),
    ]


def test_a_study_with_links_is_not_joined(study: Path, tmp_path: Path) -> None:
    """Without what they lead to it would be another study, so it is said before anything is written."""
    with pytest.raises(ResultError, match=r"notes\.txt: a link to .*links in it are not followed"):
        merge_studies([study, study], tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


@pytest.mark.parametrize(("on_terminal", "expected"), [(True, "a\\x1b[2J\n"), (False, "a\x1b[2J\n")])
def test_a_sample_is_shown_on_a_terminal_and_whole_in_a_file(
    on_terminal: bool, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a model writes may hold anything; who sends it into a file wants all of it."""
    writer = SimpleNamespace(
        run=SimpleNamespace(path=Path("runs/study")),
        cut_words=lambda prompt: None,
        stream=lambda prompt: iter([prompt, "a\x1b", "[2J"]),
    )
    monkeypatch.setattr(sampling, "open_run", lambda *_, **__: writer)
    monkeypatch.setattr(sys, "argv", ["vslm", "sample", "runs/study"])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: on_terminal)
    cli.main()
    assert capsys.readouterr().out == expected
