"""Data sets in the hub's own layout through the real `datasets`, from folders here; what is brought once stays."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when `datasets` is imported
pytest.importorskip("datasets", reason="datasets is not installed: pip install 'vslm[datasets]'")
arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

from vslm.core.errors import DataError, SpecError  # noqa: E402
from vslm.data.corpus import home  # noqa: E402
from vslm.data.preparing import prepare  # noqa: E402
from vslm.data.reading.notes import Notes  # noqa: E402
from vslm.data.sources import FineWebEdu, Hub, OpenWebText, TinyStories, WikiText  # noqa: E402
from vslm.data.sources.from_hub import FromHub  # noqa: E402

TEXTS = [f"Story {n}: {'once and again ' * (n % 5 + 1)}é." for n in range(67)]
NAMED: list[tuple[FromHub, str, str | None]] = [
    (TinyStories(), "roneneldan/TinyStories", None),
    (WikiText(size="2"), "Salesforce/wikitext", "wikitext-2-raw-v1"),
    (WikiText(size="103"), "Salesforce/wikitext", "wikitext-103-raw-v1"),
    (OpenWebText(), "Skylion007/openwebtext", None),
    (FineWebEdu(), "HuggingFaceFW/fineweb-edu", "sample-10BT"),
]


def written(folder: Path, columns: dict[str, list[Any]], *, config: str | None = None, split: str = "train") -> Path:
    """A data set of one file, with the card that the hub has."""
    place = folder / (config or "data")
    place.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.table(columns), place / f"{split}-00000-of-00001.parquet")
    lines = ["---", "configs:", f"- config_name: {config or 'default'}", "  data_files:"]
    lines += [f"  - split: {split}", f"    path: {place.name}/{split}-*", "---"]
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")
    return folder


def texts(source: FromHub) -> list[str]:
    """Of its documents."""
    return [document.text for document in source.documents()]


def test_rows_are_documents_and_what_was_brought_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once here, neither the data set nor the package is needed; rows without text are counted."""
    folder = written(tmp_path / "set", {"story": [*TEXTS, None, "  "], "id": list(range(69))}, config="all")
    source = Hub(id=str(folder), config="all", column="story", vocabulary=270)
    notes = Notes()
    assert [document.text for document in source.read(notes)] == TEXTS
    assert any("2 rows have no text" in line for line in notes.lines())
    corpus = prepare(source)
    shutil.rmtree(folder)
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert texts(source) == TEXTS
    assert prepare(source).fingerprint == corpus.fingerprint


def test_no_more_than_the_cap_is_brought(tmp_path: Path) -> None:
    """Whole documents up to the one that reaches it, in bytes and not in characters; that there is more is said."""
    folder = written(tmp_path / "set", {"text": TEXTS})
    wanted = sum(len(text.encode()) for text in TEXTS[:23])
    notes = Notes()
    found = [document.text for document in Hub(id=str(folder), max_bytes=wanted).read(notes)]
    assert found == TEXTS[:23]
    assert any(f"goes on behind max_bytes={wanted:,}" in line for line in notes.lines())
    assert len(texts(Hub(id=str(folder), max_bytes=wanted + 1))) == 24
    whole = Notes()
    assert len(list(Hub(id=str(folder)).read(whole))) == 67
    assert not any("goes on" in line for line in whole.lines())


@pytest.mark.parametrize(("source", "named", "config"), NAMED, ids=[f"{one[1]} {one[2]}" for one in NAMED])
def test_named_corpora_are_read_in_their_layout(
    source: FromHub, named: str, config: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their ids, configurations and columns: from folders of these names, which stand for the hub here."""
    rows = ["", " = One = \n", "", " Text of one . \n", " = = Part = = \n", "", " = Two = \n", " More . \n"]
    written(tmp_path / named, {"text": rows, "id": [str(n) for n in range(8)]}, config=config)
    monkeypatch.chdir(tmp_path)
    found = texts(source)
    if isinstance(source, WikiText):
        one = " = One = \n\n Text of one . \n = = Part = = \n\n"
        assert found == [one, " = Two = \n More . \n"]
    else:
        assert found == [row for row in rows if row.strip()]
    assert source.describe().startswith(named)


def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The column, the split, the configuration, text in the column, the data set, the package; and nothing is left."""
    folder = str(written(tmp_path / "set", {"story": TEXTS, "number": list(range(67))}, config="all"))
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"id": folder, "column": "stori"}, r"no field `stori`; did you mean story\?"),
        ({"id": folder, "column": "number"}, "row 0: column `number` holds int; text is needed"),
        ({"id": folder, "column": "story", "split": "test"}, r"Bad split: test\. Available splits: \['train'\]"),
        ({"id": folder, "column": "story", "config": "some"}, r"'some' not found\. Available: \['all'\]"),
        ({"id": "nobody/nothing-there"}, r"cannot be read \(.*nothing-there.*Or read a copy of its files with Text"),
    )
    for given, said in cases:
        with pytest.raises(DataError, match=said):
            texts(Hub(**given))
    empty = written(tmp_path / "empty", {"text": ["", " "]})
    with pytest.raises(DataError, match="there is no text in it"):
        texts(Hub(id=str(empty)))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"datasets is not installed; pip install 'vslm\[datasets\]'"):
        texts(Hub(id=folder, column="story"))
    assert not list((home() / "hub").glob("*"))
    with pytest.raises(SpecError, match="max_bytes: found 0"):
        Hub(id=folder, max_bytes=0)
    with pytest.raises(SpecError, match="column: an empty text"):
        Hub(id=folder, column=" ")


def test_a_torn_file_is_said(tmp_path: Path) -> None:
    """Of a download that broke off; nothing is left of it."""
    folder = written(tmp_path / "set", {"text": TEXTS * 50})
    (file,) = (folder / "data").iterdir()
    file.write_bytes(file.read_bytes()[:-997])
    with pytest.raises(DataError, match=r"cannot be read .*corrupted"):
        texts(Hub(id=str(folder)))
    assert not list((home() / "hub").glob("*"))
