"""What a person's files are taken for, whatever they are called, and what is said of it."""

import bz2
import csv
import gzip
import importlib
import io
import json
import lzma
import zipfile
from pathlib import Path
from typing import Any

import pytest

from vslm.core.errors import DataError, SpecError
from vslm.data.reading.notes import Notes
from vslm.data.sources.text import Text

STORIES = ["Ada found a kite.\n\nIt was red.\n", 'Ben said "no", and left; twice.\n', "Čapek, 春, é\n"]


def put(path: Path, content: bytes | str) -> Path:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: object, **how: Any) -> tuple[list[str], list[str]]:
    """The documents of a path, and what is said."""
    notes = Notes()
    return [document.text for document in Text(str(path), **how).read(notes)], notes.lines()


def message(path: object, **how: Any) -> str:
    """What is said about a path that cannot be read."""
    with pytest.raises(DataError) as caught:
        read(path, **how)
    return str(caught.value)


def table(rows: list[list[str]], delimiter: str = ",") -> str:
    """As a spreadsheet writes it."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue()


RECORDS = [{"id": number, "text": story} for number, story in enumerate(STORIES)]
LINES = "\n".join(json.dumps(record) for record in RECORDS) + "\n"
ROWS = [["id", "text", "stars"], *([str(number), story, "5"] for number, story in enumerate(STORIES))]
LAYOUTS = {
    "JSON lines": LINES,
    "JSON lines, not ASCII": "\n".join(json.dumps(record, ensure_ascii=False) for record in RECORDS),
    "JSON lines of Windows": LINES.replace("\n", "\r\n"),
    "array": json.dumps(RECORDS),
    "array over lines": json.dumps(RECORDS, indent=2),
    "array of texts": json.dumps(STORIES),
    "objects over lines": "\n".join(json.dumps(record, indent=1) for record in RECORDS),
    "CSV": table(ROWS),
    "TSV": table(ROWS, "\t"),
    "semicolons": table(ROWS, ";"),
}


@pytest.mark.parametrize("name", ["a.txt", "a", "A.TXT", "a.json", "a.dat"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_content_decides_and_not_the_ending(tmp_path: Path, layout: str, name: str) -> None:
    """Records are records in a file of any name; only a name that promises records is held to it."""
    if name == "a.json" and layout in ("CSV", "TSV", "semicolons"):
        assert "not valid JSON" in message(put(tmp_path / name, LAYOUTS[layout]))
        return
    texts, said = read(put(tmp_path / name, LAYOUTS[layout]))
    assert texts == STORIES
    assert said[0].startswith(f"read: 1 file ({name}) as ")
    assert "3 documents, " in said[0]


PACKED = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("name", ["A.JSONL", "a.txt", "a"])
def test_what_packs_a_file_is_told_by_its_first_bytes(tmp_path: Path, packing: str, name: str) -> None:
    """With and without its ending, in capitals, one inside the other."""
    pack = PACKED[packing]
    assert read(put(tmp_path / name, pack(LINES.encode())))[0] == STORIES
    assert read(put(tmp_path / f"{name}.{packing}".upper(), pack(gzip.compress(LINES.encode()))))[0] == STORIES


def test_a_file_that_is_named_as_packed_and_is_not_is_read_and_said(tmp_path: Path) -> None:
    """Browsers unpack what they fetch and keep the name."""
    texts, said = read(put(tmp_path / "a.txt.gz", STORIES[0]))
    assert texts == STORIES[:1]
    assert "a.txt.gz is named as packed and is not: it is read as it is" in said


def test_zstd_is_read_over_its_frames_and_missed_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parallel packers write frame after frame; a frame that is cut is torn; without the package it is named."""
    zstandard = pytest.importorskip("zstandard")
    frames = [zstandard.ZstdCompressor().compress(part.encode()) for part in (LINES[:100], LINES[100:])]
    path = put(tmp_path / "a.jsonl.zst", b"".join(frames))
    assert read(path)[0] == STORIES
    assert "cannot be read as zstd" in message(put(tmp_path / "b.jsonl.zst", b"".join(frames)[:-9]))
    without(monkeypatch, "zstandard")
    assert "pip install 'vslm[zstd]'" in message(path)


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """As on a machine where a package is not installed."""
    real = importlib.import_module

    def missing(name: str, *args: Any) -> Any:
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(name)
        return real(name, *args)

    monkeypatch.setattr(importlib, "import_module", missing)


@pytest.mark.parametrize(
    ("codec", "mark", "words"),
    [
        ("utf-8", b"\xef\xbb\xbf", ""),
        ("utf-16-le", b"\xff\xfe", ", UTF-16"),
        ("utf-16-be", b"\xfe\xff", ", UTF-16"),
        ("utf-32-le", b"\xff\xfe\0\0", ", UTF-32"),
        ("utf-32-be", b"\0\0\xfe\xff", ", UTF-32"),
        ("utf-16-le", b"", ", UTF-16"),
        ("utf-16-be", b"", ", UTF-16"),
        ("utf-32-le", b"", ", UTF-32"),
    ],
)
@pytest.mark.parametrize("layout", ["plain", "JSON lines, not ASCII", "CSV"])
def test_unicode_of_every_width_is_read(tmp_path: Path, codec: str, mark: bytes, words: str, layout: str) -> None:
    """With a byte order mark or, where the letters are Latin, without one. It is said."""
    text = STORIES[0] * 9 if layout == "plain" else LAYOUTS[layout]
    texts, said = read(put(tmp_path / "a.txt", mark + text.encode(codec)))
    assert texts == ([text] if layout == "plain" else STORIES)
    assert words in said[0]
    assert ("UTF" in said[0]) == bool(words)


def test_utf16_that_is_cut_is_torn(tmp_path: Path) -> None:
    """And not other text."""
    assert "it begins as UTF-16 and is not UTF-16 here" in message(
        put(tmp_path / "a.txt", STORIES[0].encode("utf-16")[:-1])
    )


def test_another_encoding_is_refused_with_what_it_may_be_and_read_when_it_is_named(tmp_path: Path) -> None:
    """Western text shows how it would read; of other scripts the encodings are named."""
    path = put(tmp_path / "a.txt", "A letter to Müller from the café, dated 1921.\n".encode("cp1252"))
    assert "with encoding='cp1252' it reads 'A letter to Müller from t'" in message(path)
    assert read(path, encoding="cp1252") == (
        ["A letter to Müller from the café, dated 1921.\n"],
        ["read: 1 file (a.txt) as plain text, cp1252: 1 document, 48 bytes of text"],
    )
    assert "'gb18030', 'shift_jis'" in message(put(tmp_path / "b.txt", ("春天来了。" * 20).encode("gb18030")))
    assert "is not ascii here" in message(put(tmp_path / "c.txt", "é"), encoding="ascii")


@pytest.mark.parametrize("encoding", ["utf8000", "hex", "rot13", "", "a\0"])
def test_what_is_no_encoding_is_refused_before_anything_is_read(encoding: str) -> None:
    """Some names of codecs are not of text."""
    with pytest.raises(SpecError, match=r"^encoding: "):
        Text("a.txt", encoding=encoding)


def _zip(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "x" * 99)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        (b"/annex/objects/SHA256E-s1--2.txt\n", "git annex get"),
        (b"%PDF-1.7 ...", "a PDF file"),
        (_zip("a.txt"), "a zip archive"),
        (_zip("word/document.xml"), "a Word document"),
        (b"{\\rtf1\\ansi text}", "an RTF file"),
        (b"a.txt" + b"\0" * 252 + b"ustar\x0000" + b"\0" * 248 + b"text", "a tar archive"),
        (gzip.compress(b"a.txt" + b"\0" * 252 + b"ustar  \0" + b"\0" * 248, mtime=0), "a tar archive"),
        (bytes(range(1, 32)) * 9, "control characters"),
        (b"\x80\x02\xff\x01\x02\x03" * 9, "does not look like text at all"),
    ],
)
def test_what_is_no_text_is_named_for_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    """Whatever its ending says."""
    assert words in message(put(tmp_path / "stories.txt", content))


def test_a_few_control_characters_are_text(tmp_path: Path) -> None:
    """A page break, a bell, a NUL: kept to the byte."""
    text = "before\x00after\x00" + "\x0c\x1b[0m" * 9
    assert read(put(tmp_path / "a.txt", text))[0] == [text]


# Parquet and Arrow


def test_parquet_and_arrow_are_read_by_column(tmp_path: Path) -> None:
    """By any name, packed, from the file and stream formats, from a column inside a column; rows without text count."""
    pa = pytest.importorskip("pyarrow")
    pq = importlib.import_module("pyarrow.parquet")
    rows = pa.table(
        {"id": [1, 2, 3, 4], "text": [*STORIES, None], "meta": [{"note": story} for story in [*STORIES, "x"]]}
    )
    pq.write_table(rows, tmp_path / "a.parquet")
    texts, said = read(tmp_path / "a.parquet")
    assert texts == STORIES
    assert said[0].startswith("read: 1 file (a.parquet) as Parquet, column `text`: 3 documents")
    assert said[0].endswith("1 entry without text")
    assert read(tmp_path / "a.parquet", field="meta.note")[0] == [*STORIES, "x"]
    packed = put(tmp_path / "b.bin", gzip.compress((tmp_path / "a.parquet").read_bytes()))
    assert read(packed)[0] == STORIES
    assert "did you mean text?" in message(packed, field="txt")
    assert "the field `id` holds a int" in message(packed, field="id")
    for name, opener in (("file.arrow", pa.ipc.new_file), ("stream.arrow", pa.ipc.new_stream)):
        with opener(str(tmp_path / name), rows.schema) as writer:
            writer.write_table(rows)
        assert read(tmp_path / name)[0] == STORIES
        content = (tmp_path / name).read_bytes()
        spoiled = put(tmp_path / f"spoiled-{name}", content.replace(b"Ada", b"\xff\xfe\xfd"))
        assert "cannot be read as Arrow" in message(spoiled)
    torn = put(tmp_path / "c.parquet", (tmp_path / "a.parquet").read_bytes()[:-30])
    assert "cannot be read as Parquet" in message(torn)


def test_without_pyarrow_parquet_is_named_and_other_text_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of nothing else, license and card beside it, is an error with the command to give."""
    without(monkeypatch, "pyarrow")
    for number in range(3):
        put(tmp_path / "data" / f"train-{number}.parquet", b"PAR1" + bytes(99))
    put(tmp_path / "README.md", "---\nlicense: mit\n---\n# Card\n")
    put(tmp_path / "LICENSE.txt", "As you like.\n")
    assert "pip install 'vslm[parquet]'" in message(tmp_path)
    put(tmp_path / "more.txt", STORIES[0])
    texts, said = read(tmp_path)
    assert texts == STORIES[:1]
    assert (
        "3 Parquet files, not read (data/train-0.parquet, data/train-1.parquet and 1 more): pip install 'vslm[parquet]'"
        in said
    )


# Fields


def test_a_field_is_named_and_goes_into_records_and_through_lists(tmp_path: Path) -> None:
    """As SQuAD and others nest them; every text at the end is a document."""
    nested = {
        "data": [{"pages": [{"body": STORIES[0]}, {"body": STORIES[1]}]}, {"pages": []}, {"pages": [{"body": "x"}]}]
    }
    path = put(tmp_path / "a.json", json.dumps(nested, indent=1))
    assert read(path, field="data.pages.body")[0] == [*STORIES[:2], "x"]
    assert "no field `text`; known: data.pages.body" in message(path)
    assert "(--field data.pages.body on the command line)" in message(path)
    dotted = put(tmp_path / "b.json", json.dumps([{"a.b": "one"}, {"a.b": "two"}]))
    assert read(dotted, field="a.b")[0] == ["one", "two"]


def test_a_column_that_is_not_there_is_offered_by_its_nearest_name(tmp_path: Path) -> None:
    """And a table without a header is told from one of other columns."""
    path = put(tmp_path / "a.csv", table([["story", "stars"], ["Once.", "5"]]))
    assert "did you mean story or stars?" in message(path, field="storys")
    assert read(path, field="story")[0] == ["Once."]
    assert "document='row'" in message(put(tmp_path / "b.csv", table([[story] for story in STORIES])))
    assert "2 cells, and the header names 3" in message(put(tmp_path / "c.csv", "id,text,stars\n1,one,5\n2,two\n"))
    assert "cannot be read as CSV" in message(put(tmp_path / "d.csv", 'id,text\n1,"one\n2,two\n'))


def test_tabs_without_quoting_keep_their_quotes(tmp_path: Path) -> None:
    """As many tables of tabs are written."""
    path = put(tmp_path / "a.tsv", 'id\ttext\n1\t"Stop," he said\n2\tan inch is 1"\n')
    assert read(path)[0] == ['"Stop," he said', 'an inch is 1"']


def test_a_cell_of_any_length_is_read_and_the_limit_of_the_process_stays(tmp_path: Path) -> None:
    """The csv module refuses cells above 131,072 characters by itself."""
    before = csv.field_size_limit()
    long = "word " * 60_000
    assert read(put(tmp_path / "a.csv", table([["text", "n"], [long, "1"]])))[0] == [long]
    assert csv.field_size_limit() == before


def test_a_field_of_plain_text_is_refused(tmp_path: Path) -> None:
    """It would be passed by without a word."""
    assert "plain text, which has no fields" in message(put(tmp_path / "a.txt", "x"), field="story")


@pytest.mark.parametrize(
    "text",
    [
        '{"not": "json',
        "{Enter Hamlet.}\n[Aside]\nWords.\n",
        "[Enter Hamlet]\nWords, words.\n",
        "[1, 2, 3]\n",
        "text, he said\nand more, and more, of it\n",
        '"text",he said\n',
    ],
)
def test_prose_that_begins_like_records_stays_prose(tmp_path: Path, text: str) -> None:
    """To the byte."""
    assert read(put(tmp_path / "a.txt", text))[0] == [text]


# Folders


def test_a_folder_passes_over_what_is_about_its_data_and_says_so(tmp_path: Path) -> None:
    """Cards, licenses, checksums, requirements, JSON that holds no records, images; hidden files without a word."""
    put(tmp_path / "stories.txt", STORIES[0])
    about = ["README.md", "LICENSE.txt", "requirements.txt", "SHA256SUMS.txt", "CITATION.md", "sub/LICENSE-MIT.txt"]
    for name in about:
        put(tmp_path / name, f"{name} says something")
    put(tmp_path / "config.json", '{"name": "tales", "version": 3}')
    put(tmp_path / "cover.png", b"\x89PNG")
    put(tmp_path / "empty.txt", b"")
    for name in (".hidden.txt", ".git/a.txt", "__MACOSX/stories.txt", ".ipynb_checkpoints/b.txt"):
        put(tmp_path / name, "hidden")
    texts, said = read(tmp_path)
    assert texts == STORIES[:1]
    assert said[0] == "read: 1 file (stories.txt) as plain text: 1 document, 31 bytes of text"
    told = "\n".join(said)
    for count in (
        "2 .md files",
        "4 .txt files",
        "1 .png file, not read (cover.png)",
        "1 empty file, not read (empty.txt)",
    ):
        assert count in told
    assert "1 .json file, not read (config.json): no field `text`" in told
    assert "hidden" not in told


@pytest.mark.parametrize(
    "name", ["license_to_kill.txt", "noticeable.txt", "readme_and_weep/a.txt", "requirements of love.txt"]
)
def test_stories_with_such_words_in_their_names_are_read(tmp_path: Path, name: str) -> None:
    """Whole names count."""
    put(tmp_path / "a.txt", "one")
    put(tmp_path / name, "two")
    assert len(read(tmp_path)[0]) == 2


def test_pages_of_documentation_include_their_readme_but_no_card(tmp_path: Path) -> None:
    """A card begins with facts between dashes."""
    put(tmp_path / "README.md", "# Manual\n")
    put(tmp_path / "use.md", "# Use\n")
    assert read(tmp_path)[0] == ["# Manual\n", "# Use\n"]
    put(tmp_path / "README.md", "---\nlicense: mit\n---\n# Card\n")
    assert read(tmp_path)[0] == ["# Use\n"]


def test_a_folder_of_nothing_but_a_readme_is_that(tmp_path: Path) -> None:
    """Then it is what is meant."""
    put(tmp_path / "README.md", "# Manual\n")
    assert read(tmp_path)[0] == ["# Manual\n"]


def test_files_without_an_ending_are_read_where_there_are_no_others(tmp_path: Path) -> None:
    """As many programs write the parts of a corpus."""
    for number in range(3):
        put(tmp_path / "out" / f"part-0000{number}", LINES.splitlines()[number])
    assert read(tmp_path)[0] == STORIES
    put(tmp_path / "out" / "all.txt", "only this")
    assert read(tmp_path)[0] == ["only this"]


def test_a_pointer_is_passed_over_beside_text_and_refused_alone(tmp_path: Path) -> None:
    """A clone without its large files."""
    put(tmp_path / "train.jsonl", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    put(tmp_path / "README.md", "# Card\n")
    assert "a pointer to a large file, not the file; git lfs pull" in message(tmp_path)
    put(tmp_path / "valid.txt", STORIES[0])
    texts, said = read(tmp_path)
    assert texts == STORIES[:1]
    assert any(words.startswith("1 pointer to a large file, not read (train.jsonl): ") for words in said)


def test_what_is_broken_is_never_passed_over(tmp_path: Path) -> None:
    """A torn file beside whole ones stops, at its place."""
    put(tmp_path / "a.txt", STORIES[0])
    put(tmp_path / "b.txt.gz", gzip.compress(b"text" * 1000)[:-9])
    assert "b.txt.gz: cannot be read as gzip" in message(tmp_path)


def test_linked_folders_are_followed_once_and_circles_are_not(tmp_path: Path) -> None:
    """Each link is said."""
    put(tmp_path / "elsewhere" / "b.txt", "two")
    root = tmp_path / "data"
    put(root / "a.txt", "one")
    (root / "deep").mkdir()
    (root / "deep" / "up").symlink_to(root)
    (root / "far").symlink_to(tmp_path / "elsewhere")
    (root / "far2").symlink_to(tmp_path / "elsewhere")
    (root / "near").symlink_to(root / "deep")
    (root / "gone").symlink_to(tmp_path / "nowhere")
    (root / "c.txt").symlink_to(tmp_path / "elsewhere" / "b.txt")
    texts, said = read(root)
    assert texts == ["one", "two", "two"]
    told = "\n".join(said)
    for words in (
        "deep/up: a link to a folder around this one, not followed",
        "far: a link to another folder, followed",
        "far2: a second link to the same folder, not followed",
        "near: a link to a folder that is read at its own place",
        "gone: a link that leads nowhere, not read",
        "far/b.txt holds the same text as c.txt; it counts once",
    ):
        assert words in told


def test_the_same_text_twice_is_said(tmp_path: Path) -> None:
    """Packed and plain."""
    put(tmp_path / "a.txt", STORIES[0])
    put(tmp_path / "a.txt.gz", gzip.compress(STORIES[0].encode()))
    assert "a.txt.gz holds the same text as a.txt; it counts once" in read(tmp_path)[1]


# What a document is


def test_separators_inside_lines_separate_where_they_are_the_rule(tmp_path: Path) -> None:
    """With and without line ends behind them; it is said, and can be had otherwise."""
    joined = "<|endoftext|>".join([*STORIES, "The end."])
    path = put(tmp_path / "a.txt", joined + "<|endoftext|>")
    texts, said = read(path)
    assert texts == [*STORIES, "The end."]
    assert any("stands 4 times inside lines" in words for words in said)
    assert read(path, document="file")[0] == [joined + "<|endoftext|>"]
    assert read(put(tmp_path / "b.txt", " <|endoftext|>\n".join(["one", "two", "three", "four"])))[0] == [
        "one ",
        "two ",
        "three ",
        "four",
    ]


def test_a_text_that_speaks_of_the_separator_is_left_whole_and_said(tmp_path: Path) -> None:
    """In quotes, or once or twice."""
    quoted = "Write `<|endoftext|>` there.\n" * 9
    for text in (quoted, "It is <|endoftext|> here.\n"):
        texts, said = read(put(tmp_path / "a.txt", text))
        assert texts == [text]
        assert any("inside a line, where it is text" in words for words in said)
    assert read(tmp_path / "a.txt", separator="<|endoftext|>")[0] == ["It is ", " here.\n"]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"document": "line"}, ["a b", "c", "", "d"]),
        ({"document": "paragraph"}, ["a b\r\nc", "\r\nd\n"]),
        ({"document": "file"}, ["a b\r\nc\n \n\r\nd\n"]),
        ({"separator": " "}, ["a", "b\r\nc\n", "\r\nd\n"]),
    ],
)
def test_documents_are_what_is_asked_for(tmp_path: Path, how: dict, expected: list[str]) -> None:
    """Lines without their ends; blank ones are none."""
    texts = read(put(tmp_path / "a.txt", "a b\r\nc\n \n\r\nd\n"), **how)[0]
    assert [text.strip("\r\n ") for text in texts] == [text.strip("\r\n ") for text in expected if text.strip()]


def test_quoted_rows_of_one_column_are_documents(tmp_path: Path) -> None:
    """Over several lines, two quotes for one."""
    rows = table([[story + str(number)] for number in range(60) for story in STORIES[:2]])
    texts, said = read(put(tmp_path / "a.txt", rows))
    assert len(texts) == 1
    assert any("document='row'" in words for words in said)
    texts, said = read(tmp_path / "a.txt", document="row")
    assert texts == [story + str(number) for number in range(60) for story in STORIES[:2]]
    assert "120 documents" in said[0]


def test_a_text_of_short_lines_is_remarked_on_and_a_poem_is_not(tmp_path: Path) -> None:
    """Names, one a line, are most often documents; what has blank lines is a text."""
    names = "".join(f"name{number}\n" for number in range(300))
    assert any("300 lines of about 7 characters" in words for words in read(put(tmp_path / "names.txt", names))[1])
    poem = "".join(f"name{number}\n" + "\n" * (number % 4 == 0) for number in range(200))
    assert len(read(put(tmp_path / "poem.txt", poem))[1]) == 1


def test_signs_that_look_like_separators_and_markup_are_remarked_on(tmp_path: Path) -> None:
    """They may be meant."""
    said = read(put(tmp_path / "a.txt", "one</s>two\n" * 30))[1]
    assert any("</s> stands 30 times in it, as letters; separator='</s>'" in words for words in said)
    assert read(tmp_path / "a.txt", separator="</s>")[0][:2] == ["one", "two\none"]
    assert any("begins as HTML" in words for words in read(put(tmp_path / "b.txt", "<!DOCTYPE html>\n<p>x"))[1])


@pytest.mark.parametrize(
    "how",
    [
        {"document": "line", "separator": "#"},
        {"document": "line", "field": "story"},
        {"document": "lines"},
        {"separator": ""},
        {"field": ""},
    ],
)
def test_two_ways_to_tell_documents_are_refused(how: dict) -> None:
    """And what names nothing."""
    with pytest.raises(SpecError):
        Text("a.txt", **how)


def test_names_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    """A file's name may hold what a terminal would act on."""
    put(tmp_path / "a\x1b[2J.txt", STORIES[0])
    assert r"(a\x1b[2J.txt)" in read(tmp_path)[1][0]
