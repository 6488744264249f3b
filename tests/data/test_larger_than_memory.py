"""Preparing holds what it needs and not the text: pieces of files, sources that are read again, parts of long texts."""

import bz2
import csv
import dataclasses
import gzip
import io
import json
import lzma
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_text import stories, story

from vslm.core.errors import DataError
from vslm.data import readings, split_writer, tokenizers
from vslm.data.corpus import home
from vslm.data.documents import Document, Scored
from vslm.data.preparing import prepare
from vslm.data.reading import contents, pieces, plain
from vslm.data.reading.notes import Notes
from vslm.data.sources import AssociativeRecall, Source, Text
from vslm.data.splits import Splits, split_documents
from vslm.data.tokenizers import BPE, Characters, FittedBPE

STORIES = [f"{story(number)}春天 é {number}\n" for number in range(61)]


def records(form: str) -> str:
    """The stories as records."""
    rows = [{"id": number, "text": text} for number, text in enumerate(STORIES)]
    if form == "lines":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if form == "objects":
        return "\n".join(json.dumps(row, indent=1) for row in rows)
    if form in ("array", "array over lines"):
        return json.dumps(rows, indent=2 if "over" in form else None)
    out = io.StringIO()
    csv.writer(out, delimiter=form).writerows([["id", "text"], *([str(row["id"]), row["text"]] for row in rows)])
    return out.getvalue()


FILES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "JSON lines": (records("lines").encode(), {}),
    "JSON objects": (records("objects").encode(), {}),
    "JSON array": (records("array").encode(), {}),
    "JSON array over lines": (records("array over lines").encode(), {}),
    "CSV": (records(",").encode(), {}),
    "TSV": (records("\t").encode(), {}),
    "separators on lines": ("<|endoftext|>\r\n".join(STORIES).encode(), {}),
    "separators inside": ("<|endoftext|>".join(STORIES).replace("\n", " ").encode(), {}),
    "separators inside, over lines": ("<|endoftext|>".join(STORIES).replace("\n\n", "\n").encode(), {}),
    "lines": ("".join(STORIES).encode(), {"document": "line"}),
    "paragraphs": ("\n\n \t\n".join(STORIES).encode(), {"document": "paragraph"}),
    "paragraphs of Windows": ("".join(STORIES).replace("\n", "\r\n").encode(), {"document": "paragraph"}),
    "one file": ("".join(STORIES).encode(), {"document": "file"}),
    "a separator over lines": ("\n---\n-\n".join(STORIES).encode(), {"separator": "\n---\n-"}),
    "prose in brackets": (b"[Enter Hamlet]\n" + "".join(STORIES).encode(), {}),
    "prose in braces": (b"{Enter Hamlet}\n" + "".join(STORIES).encode(), {}),
    "UTF-16": ("<|endoftext|>\n".join(STORIES).encode("utf-16"), {}),
    "a mark": (b"\xef\xbb\xbf" + records("lines").encode(), {}),
    "a named encoding": ("".join(STORIES).encode("gb18030"), {"encoding": "gb18030"}),
    "gzip": (gzip.compress(records("lines").encode(), mtime=0), {}),
    "gzip in members": (b"".join(gzip.compress(text.encode()) for text in STORIES) + bytes(99), {"document": "line"}),
    "bzip2 with something behind": (bz2.compress(records("lines").encode()) + b"more", {}),
    "xz in gzip": (gzip.compress(lzma.compress(records("lines").encode())), {}),
    "not UTF-8 in the middle": ("".join(STORIES).encode() + b"\xff" + "".join(STORIES).encode(), {}),
    "not UTF-8 at the end": ("".join(STORIES).encode() + b"\xe6", {}),
    "torn gzip": (gzip.compress("".join(STORIES).encode() * 9, mtime=0)[:-20], {}),
    "spoiled gzip": (gzip.compress("".join(STORIES).encode())[:-8] + bytes(8), {}),
    "a line that is no JSON": (records("lines").encode() + b'{"text": \n' + records("lines").encode(), {}),
    "a row that is too long": (records(",").encode() + b"1,2,3\r\n" + records(",").encode(), {}),
    "nothing": (b"", {}),
    "blank": (b" \n" * 9_000, {}),
}


NAMES = {"CSV": "a.csv", "TSV": "a.tsv", "a row that is too long": "a.csv"}


def found(path: Path, how: dict[str, Any]) -> object:
    """The documents of a file, what is said of it, or what is wrong with it."""
    notes = Notes()
    try:
        return list(Text(str(path), **how).read(notes)), notes.lines()
    except DataError as error:
        return type(error), str(error)


@pytest.mark.parametrize("size", [101, 4_099])
@pytest.mark.parametrize("name", FILES)
def test_a_file_in_pieces_is_what_it_is_whole(
    name: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents, names, remarks and errors, wherever a piece ends."""
    content, how = FILES[name]
    path = tmp_path / NAMES.get(name, "a.txt")
    path.write_bytes(content)
    whole = found(path, how)
    monkeypatch.setattr(pieces, "PIECE_BYTES", size)
    monkeypatch.setattr(contents, "_BYTES_AT_A_TIME", 53)
    monkeypatch.setattr(contents, "_UNPACKED_AT_A_TIME", 61)
    assert found(path, how) == whole


@pytest.mark.parametrize("name", ["JSON lines", "CSV", "separators on lines", "lines", "paragraphs", "packed"])
def test_a_file_is_read_in_less_memory_than_it_has_bytes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two megabytes a piece of 16 KB at a time, some copies of it, and no more."""
    content, how = FILES.get(name, (b"", {}))
    path = tmp_path / NAMES.get(name, "a.txt")
    path.write_bytes(
        content * (2_000_000 // len(content)) if content else gzip.compress(records("lines").encode() * 40)
    )
    monkeypatch.setattr(pieces, "PIECE_BYTES", 2**14)
    monkeypatch.setattr(contents, "_BYTES_AT_A_TIME", 2**12)
    monkeypatch.setattr(contents, "_UNPACKED_AT_A_TIME", 2**12)
    monkeypatch.setattr(plain, "SAMPLE_CHARACTERS", 2**14)
    assert peak_bytes(lambda: sum(1 for _ in Text(str(path), **how).read(Notes()))) < 700_000


def peak_bytes(work: Any) -> int:
    """The most that Python holds at one time while it works, above what it held before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


# Sources


@dataclasses.dataclass(frozen=True, kw_only=True)
class Made(Source):
    """Documents that are made when they are asked for; every `scored_every`-th says what counts in it."""

    count: int = 211
    num_words: int = 120
    scored_every: int = 0
    reads: ClassVar[list[int]] = []

    def documents(self) -> Iterator[Document]:
        """Different stories, one that is blank, and one repeat."""
        self.reads.append(self.count)
        yield Document("blank", " \n")
        for number in range(self.count):
            text = story(number, self.num_words)
            is_scored = self.scored_every and number % self.scored_every == 0
            yield Document(str(number), text, (Scored(3, 9), Scored(12, 40, 0.5)) if is_scored else None)
        yield Document("again", story(3, self.num_words))

    def describe(self) -> str:
        """In words."""
        return f"{self.count} made-up stories"


SOURCES: dict[str, Source] = {
    "documents": Made(vocabulary=300),
    "blocks": Made(count=7, num_words=4_001, vocabulary=300),
    "weights": Made(scored_every=3, vocabulary=300),
    "weights in blocks": Made(count=3, num_words=6_007, scored_every=2, vocabulary=300),
    "characters": Made(tokenizer=Characters()),
    "recall": AssociativeRecall(num_pairs=3, document_tokens=20, num_letters=4, num_documents=300),
}


def files_of(source: Source, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Every file of a corpus that is made anew."""
    monkeypatch.setenv("VSLM_HOME", str(folder))
    corpus = prepare(source)
    corpus.verify()
    return {path.name: path.read_bytes() for path in corpus.folder.iterdir()}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_that_is_not_held_gives_the_same_bytes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read again and written in small parts: ids, weights, tokenizer and record."""
    held = files_of(SOURCES[name], tmp_path / "held", monkeypatch)
    monkeypatch.setattr(readings, "HELD_BYTES", 0)
    monkeypatch.setattr(split_writer, "_CHARACTERS_AT_A_TIME", 1_009)
    monkeypatch.setattr(Made, "reads", [])
    assert files_of(SOURCES[name], tmp_path / "again", monkeypatch) == held
    assert name == "recall" or len(Made.reads) > 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cheap(Made):
    """Documents of 10 KB that cost nothing to make."""

    text: ClassVar[str] = "\n".join(stories(23))

    def documents(self) -> Iterator[Document]:
        """The same letters, from another place on."""
        for number in range(self.count):
            yield Document(str(number), f"{number} {self.text[number : number + 10_000]}")


@pytest.mark.slow
@pytest.mark.parametrize("tokenizer", [Characters(), BPE(vocabulary=260)])
def test_memory_does_not_grow_with_the_corpus(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four times the text, 0.7 MB to 2.8, Python holds at most 100 KB more; held, it would be 2 MB."""
    monkeypatch.setattr(split_writer, "_CHARACTERS_AT_A_TIME", 2**14)
    few, many = (Cheap(count=count, tokenizer=tokenizer) for count in (71, 283))

    def more_for_many(held_bytes: int) -> int:
        monkeypatch.setattr(readings, "HELD_BYTES", held_bytes)
        monkeypatch.setenv("VSLM_HOME", str(tmp_path / str(held_bytes)))
        prepare(Cheap(count=61, tokenizer=tokenizer))  # whatever is loaded once
        peaks = [peak_bytes(lambda source=source: prepare(source)) for source in (few, many)]
        return peaks[1] - peaks[0]

    assert more_for_many(2**16) < 100_000
    assert isinstance(tokenizer, BPE) or more_for_many(2**26) > 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fickle(Made):
    """Another at every reading."""

    how: str

    def documents(self) -> Iterator[Document]:
        """As often as it is asked, with something else in it."""
        documents = list(super().documents())
        again = len(self.reads) - 1
        if self.how == "more":
            documents += [Document("more", f"more {number}") for number in range(again)]
        elif self.how == "fewer":
            documents = documents[: len(documents) - again]
        elif self.how == "another":
            documents[5] = Document("another", f"{documents[5].text} {again}" if again else documents[5].text)
        else:
            documents[5] = Document("scored", documents[5].text, ((again, again + 1),))  # type: ignore[arg-type]
        yield from documents


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("more", "document 214 (more) is another"),
        ("fewer", "the end, after 212 of 213 documents, is another"),
        ("another", "document 6 (another) is another"),
        ("scored", "document 6 (scored) is another"),
    ],
)
def test_a_source_that_gives_other_documents_again_is_refused(
    how: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words, and nothing is left that could be taken for a corpus."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path))
    monkeypatch.setattr(readings, "HELD_BYTES", 0)
    monkeypatch.setattr(Made, "reads", [])
    with pytest.raises(DataError, match=re.escape(f"211 made-up stories: {words}") + ".*the same each time"):
        prepare(Fickle(how=how, vocabulary=300))
    assert not [path for path in (home() / "corpora").glob("*") if path.is_dir()]


def test_a_source_that_changes_while_the_tokenizer_is_trained_is_refused_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside the library: the message comes out as it is. The fifth reading is the one for training."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path))
    monkeypatch.setattr(readings, "HELD_BYTES", 0)
    monkeypatch.setattr(Made, "reads", [])
    made = Made.documents

    def documents(self: Made) -> Iterator[Document]:
        for document in made(self):
            yield Document(document.name, document.text + ("!" if len(self.reads) == 5 else ""))

    monkeypatch.setattr(Made, "documents", documents)
    with pytest.raises(DataError, match=r"document 1 \(blank\) is another"):
        prepare(Made(vocabulary=300))
    assert len(Made.reads) == 5


# Tokenizers


def test_a_tokenizer_of_a_large_corpus_sees_a_part_that_does_not_hang_on_the_order() -> None:
    """At most so many bytes, nearly all of them, and the same documents however they are shuffled."""
    texts = stories(307)

    def seen(order: list[str], most: int | None) -> list[str]:
        documents = [Document(str(number), text) for number, text in enumerate(order)]
        return list(split_documents(documents, Splits(), bytes_per_token=4.0, where="here").train_texts(most))

    all_of_train, some = seen(texts, None), seen(texts, 50_000)
    assert some == [text for text in all_of_train if text in some]  # in the order of the source
    assert 50_000 - max(map(len, texts)) < sum(len(text.encode()) for text in some) <= 50_000
    assert set(seen(texts[::-1], 50_000)) == set(some)
    assert seen(texts, 10**9) == all_of_train
    assert len(seen(texts, 1)) == 1


def test_a_corpus_whose_tokenizer_saw_a_part_has_a_name_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said; the record opens it; a tokenizer that sees all has no use for the bound."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path))
    said: list[str] = []
    letters, whole = prepare(Made(tokenizer=Characters())), prepare(Made(vocabulary=400), say=said.append)
    assert not any("made from at most" in words for words in said)
    monkeypatch.setattr(tokenizers, "_MOST_TRAIN_BYTES", 2**16)
    part = prepare(Made(vocabulary=400), say=said.append)
    assert "the tokenizer is made from at most 0 MB of train, chosen by hash" in said
    assert part.fingerprint != whole.fingerprint
    assert part.tokenizer_fingerprint != whole.tokenizer_fingerprint
    assert prepare(Made(tokenizer=Characters())).fingerprint == letters.fingerprint


_SIGNS = " \n\t\r\u00a0\u3000'sdtlvre.,!-_12é春🏳\u0301x"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet=_SIGNS, max_size=200), min_size=1, max_size=5))
@pytest.mark.parametrize("has_long_words", [False, True])
def test_long_texts_are_encoded_in_parts_with_the_ids_that_they_have_whole(
    has_long_words: bool, texts: list[str]
) -> None:
    """Cut between words of both kinds, over several threads, in order."""
    fitted = WITH_LONG_WORDS if has_long_words else WITHOUT
    whole = fitted._encoded(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizers, "_LONG_TEXT", 0)
        patch.setattr(tokenizers, "_PART_CHARACTERS", 3)
        patch.setattr(tokenizers, "_GROUP_CHARACTERS", 17)
        patch.setattr(tokenizers, "num_threads", lambda: 3)
        assert all("".join(tokenizers.parts_at_words(text)) == text for text in texts)
        parts = fitted.encode_many(texts)
    assert all(np.array_equal(*pair) for pair in zip(parts, whole, strict=True))


_TAUGHT = [*stories(23), "it's we'll  don't --  -- 12 12 \n\n \n\n 春天春天 é é ''' '''"] * 2
WITHOUT = BPE(vocabulary=400).fit(_TAUGHT)
WITH_LONG_WORDS = BPE(vocabulary=400).fit([*_TAUGHT, "x" * 500])


def test_parts_are_no_longer_than_they_have_to_be() -> None:
    """Of a usual text some 65,000 characters; a run without a space stays whole."""
    assert isinstance(WITHOUT, FittedBPE)
    parts = list(tokenizers.parts_at_words("a few words. " * 50_000))
    assert {len(part) // 100 for part in parts[:-1]} == {655}
    assert len(list(tokenizers.parts_at_words("春天" * 99_991))) == 1


def test_threads_are_as_many_as_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the machine, and by what the environment says to the library or to torch."""
    monkeypatch.setattr(tokenizers, "available_cores", lambda: 7)
    for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert tokenizers.num_threads() == 7
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert tokenizers.num_threads() == 5
    monkeypatch.setenv("RAYON_NUM_THREADS", "3")
    assert tokenizers.num_threads() == 3
    monkeypatch.setenv("RAYON_NUM_THREADS", "0")
    assert tokenizers.num_threads() == 5
