"""Stores: what is written is what is read, damage is named, and what cannot be a store is refused in words."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_store import DOCUMENTS, passages

from vslm.core.errors import DataError, SpecError
from vslm.data.reading.notes import Notes
from vslm.data.sources import Text
from vslm.knowledge.building import passages_of
from vslm.knowledge.passages import Fact, Passage, cut_passages, cut_text, document_key, num_words
from vslm.knowledge.store import build_store, open_store, store_of

FACTS = [
    ("Anna", "city", "Riga"),
    ("Boris", "city", "Oslo"),
    ("Anna", "pet", "swan"),
]


def numbered() -> Iterator[tuple[str, Passage]]:
    """The passages with where they are from."""
    yield from ((f"text:{number}", passage) for number, passage in enumerate(passages()))


def written_facts(folder: Path, facts: list[tuple[str, str, str]]) -> Text:
    """JSON lines of facts."""
    names = ("subject", "relation", "value")
    lines = [
        json.dumps({"text": f"{s}'s {r} is {v}.", **dict(zip(names, (s, r, v), strict=True))}) for s, r, v in facts
    ]
    (folder / "facts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return Text(str(folder / "facts.jsonl"))


def test_a_store_is_read_as_it_was_written(tmp_path: Path) -> None:
    """From the disk by offsets, with the documents of its passages; in memory it has the same name."""
    store, counts = build_store(numbered, tmp_path / "store", description="a test")
    assert counts.kept == len(store) == len(passages()) == 15
    assert [*store.passages] == passages()
    assert store.passages[-1] == passages()[-1]
    assert store.passages[3:11:5] == passages()[3:11:5]
    assert len(counts.documents) == len(DOCUMENTS) == len(set(store.documents_N.tolist()))
    assert store.fingerprint == store_of(passages()).fingerprint
    with pytest.raises(IndexError):
        store.passages[15]
    assert not [*tmp_path.glob(".*")], "nothing temporary is left"


def test_the_same_text_is_the_same_store_wherever_it_lies(tmp_path: Path) -> None:
    """To the byte; another cut is another store."""
    (tmp_path / "a.txt").write_text("\n<|endoftext|>\n".join(DOCUMENTS), encoding="utf-8")
    (tmp_path / "b.jsonl").write_text("\n".join(json.dumps({"text": one}) for one in DOCUMENTS), encoding="utf-8")
    stores = [
        build_store(passages_of(Text(str(tmp_path / file)), size, Notes()), tmp_path / name, description="x")[0]
        for name, file, size in (("one", "a.txt", 7), ("two", "b.jsonl", 7), ("three", "a.txt", 11))
    ]
    assert [store.fingerprint for store in stores[:2]] == [store_of(passages()).fingerprint] * 2
    assert stores[2].fingerprint != stores[0].fingerprint
    first, second = (tmp_path / name / "passages.jsonl" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_repeats_are_left_out_and_counted(tmp_path: Path) -> None:
    """Also where only space differs; the first one stays."""

    def twice() -> Iterator[tuple[str, Passage]]:
        yield from numbered()
        yield "again", Passage("Anna  lives\nin Riga.", 5)

    store, counts = build_store(twice, tmp_path / "store", description="x")
    assert (counts.kept, counts.repeats) == (15, 1)
    assert store.passages[0].document == document_key(DOCUMENTS[0])


def test_facts_are_told_by_their_records(tmp_path: Path) -> None:
    """Each is a passage and a document of its own, and is not cut."""
    notes = Notes()
    source = written_facts(tmp_path, FACTS)
    store, counts = build_store(passages_of(source, 4, notes), tmp_path / "store", description="x")
    assert [passage.fact for passage in store.passages] == [Fact(*fact) for fact in FACTS]
    assert store.passages[1].text == "Boris's city is Oslo."
    assert len(counts.documents) == 3
    assert notes.lines() == ["facts: 1 file of records with subject, relation, value"]


def test_facts_that_contradict_each_other(tmp_path: Path) -> None:
    """Are refused with both places; left out, all of them, and counted; or kept."""
    source = written_facts(tmp_path, [*FACTS, ("Anna", "city", "Oslo"), ("Boris", "city", "Oslo")])
    with pytest.raises(DataError) as refused:
        build_store(passages_of(source, 50, Notes()), tmp_path / "store", description="x")
    assert str(refused.value).startswith(f"{tmp_path}/facts.jsonl:4: the city of Anna is 'Oslo', and 'Riga' at ")
    assert "facts.jsonl:1" in str(refused.value)
    assert not (tmp_path / "store").exists()
    counted = {}
    for how in ("leave-out", "keep"):
        found = build_store(passages_of(source, 50, Notes()), tmp_path / how, description="x", contradictions=how)
        counted[how] = (found[1].kept, found[1].contradicting, found[1].repeats)
    assert counted == {"leave-out": (2, 2, 1), "keep": (4, 0, 1)}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "facts.jsonl:2: no JSON"),
        ('{"text": "x", "subject": "a", "relation": "b"}', "no text in `value`"),
        ('{"text": " ", "subject": "a", "relation": "b", "value": "c"}', "no text in `text`"),
        ('{"text": "x", "subject": 3, "relation": "b", "value": "c"}', "no text in `subject`"),
        ("[]", "no text in `text`"),
    ],
)
def test_a_record_that_is_no_fact_is_named(tmp_path: Path, line: str, words: str) -> None:
    """At its line."""
    source = written_facts(tmp_path, FACTS[:1])
    facts = tmp_path / "facts.jsonl"
    facts.write_text(f"{facts.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"facts\.jsonl:2") as refused:
        build_store(passages_of(source, 50, Notes()), tmp_path / "store", description="x")
    assert words in str(refused.value)


def test_what_is_no_store_is_said(tmp_path: Path) -> None:
    """None at all, an empty one, a folder without a manifest, one that is there already, odd sizes."""
    with pytest.raises(DataError, match="no such folder"):
        open_store(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="manifest"):
        open_store(tmp_path / "folder")
    (tmp_path / "folder" / "manifest.json").write_text('{"kind": "else"}')
    with pytest.raises(DataError, match="not the manifest of a store"):
        open_store(tmp_path / "folder")
    with pytest.raises(DataError, match="there is no passage in it"):
        build_store(lambda: iter(()), tmp_path / "store", description="a text")
    with pytest.raises(DataError, match="there is no passage in it"):
        store_of([])
    with pytest.raises(SpecError, match="it is there already"):
        build_store(numbered, tmp_path / "folder", description="x")
    with pytest.raises(SpecError, match="--passage-tokens: found 3"):
        passages_of(Text("x"), 3, Notes())


@pytest.mark.parametrize("name", ["passages.jsonl", "offsets.npy", "documents.npy", "manifest.json"])
def test_a_store_that_was_changed_is_refused(tmp_path: Path, name: str) -> None:
    """One flipped bit in any file; and a missing one."""
    build_store(numbered, tmp_path / "store", description="a test")
    path = tmp_path / "store" / name
    content = bytearray(path.read_bytes())
    place = content.index(b"15") if name == "manifest.json" else len(content) // 2
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"vslm store build|not edited|not the manifest"):
        open_store(tmp_path / "store")
    path.unlink()
    with pytest.raises(DataError, match=r"build it again"):
        open_store(tmp_path / "store")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 101])
def test_a_text_is_cut_without_a_loss(size: int) -> None:
    """Joined it is the text, no stretch has more words than that, and sentences stay whole where they fit."""
    text = "  One two.\n\nThree four (five)! six seven eight nine\nten... eleven\u2026 \u00e9 a-b 'c'  "
    stretches = [text[first:end] for first, end in cut_text(text, size)]
    assert "".join(stretches) == text
    assert max(map(num_words, stretches)) <= size
    assert [p.text for p in cut_passages(text, size)] == [s.strip() for s in stretches if s.strip()]
    if size == 5:
        assert stretches[0] == "  One two.\n\n"
    assert [*cut_text("", size)] == []


def test_offsets_are_those_of_bytes(tmp_path: Path) -> None:
    """Letters of several bytes, line ends within a passage."""
    odd = [Passage("z\u00fc\n\u2028rich \U0001f98a", 1), Passage("\x85", 2), Passage("plain", 2**64 - 1)]
    store, _ = build_store(lambda: (("x", one) for one in odd), tmp_path / "store", description="x")
    assert [*store.passages] == odd
    assert store.documents_N.dtype == np.uint64
