import gzip
import json
from pathlib import Path

import pytest

from vslm.core.errors import DataError, SpecError
from vslm.core.paths import vary
from vslm.core.specs import from_plain, to_plain
from vslm.data.sources.text import Text
from vslm.data.splits import Splits
from vslm.data.tokenizers import BPE, Characters


def texts_of(path: object) -> list[str]:
    """The documents of a path."""
    return [document.text for document in Text(str(path)).documents()]


def put(path: Path, content: bytes | str) -> Path:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_documents_end_at_lines_that_are_the_separator_and_nowhere_else(tmp_path: Path) -> None:
    """A separator with anything else on its line is text."""
    content = "one\n<|endoftext|>\n two <|endoftext|>\n<|endoftext|> \nstill two\n<|endoftext|>\n\n<|endoftext|>"
    assert texts_of(put(tmp_path / "a.txt", content)) == ["one\n", " two <|endoftext|>\n<|endoftext|> \nstill two\n"]


def test_line_ends_of_windows_separate_too_and_are_kept(tmp_path: Path) -> None:
    """Text is kept to the byte, carriage returns included."""
    assert texts_of(put(tmp_path / "a.txt", "a\r\nb\r\n<|endoftext|>\r\nc\rd\r\n")) == ["a\r\nb\r\n", "c\rd\r\n"]


def test_a_byte_order_mark_is_dropped_at_the_start_of_a_file_only(tmp_path: Path) -> None:
    """It marks an encoding there and is text elsewhere."""
    assert texts_of(put(tmp_path / "a.txt", b"\xef\xbb\xbfx\xef\xbb\xbfy")) == ["x\ufeffy"]


def test_one_record_of_jsonl_is_one_document(tmp_path: Path) -> None:
    """Only a newline ends a record: a line separator inside a string does not, nor does a separator line."""
    records = ["a\u2028b\x85c", "x\n<|endoftext|>\ny"]
    lines = [json.dumps({"id": 7, "text": text}, ensure_ascii=False) for text in records]
    assert texts_of(put(tmp_path / "a.jsonl", "\n".join(lines) + "\n\n")) == records


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_gzip_gives_the_same_documents(tmp_path: Path, name: str) -> None:
    """Compressed or not, the text is the same."""
    content = b'{"text": "one"}\n{"text": "two"}\n'
    plain = texts_of(put(tmp_path / name, content))
    assert texts_of(put(tmp_path / f"{name}.gz", gzip.compress(content))) == plain


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    """Folders below are read, hidden ones and other endings are not."""
    for name in ("b.txt", "a/z.md", "a/c.jsonl.gz", "a/.hidden.txt", ".git/d.txt", "e.png"):
        content = gzip.compress(b'{"text": "a/c.jsonl.gz"}') if name.endswith(".gz") else name.encode()
        put(tmp_path / name, content)
    assert texts_of(tmp_path) == ["a/c.jsonl.gz", "a/z.md", "b.txt"]


def test_a_glob_goes_through_folders_and_takes_any_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are from the working directory; what a glob names is read whatever it is called."""
    for name in ("b.tex", "a/z.tex", "a/y/x.tex", "a/n.txt"):
        put(tmp_path / name, name)
    monkeypatch.chdir(tmp_path)
    assert texts_of("**/*.tex") == ["a/y/x.tex", "a/z.tex", "b.tex"]
    assert texts_of(tmp_path / "a" / "*.t*") == ["a/n.txt", "a/z.tex"]


def test_a_file_with_brackets_in_its_name_is_a_file(tmp_path: Path) -> None:
    """A path that exists is never read as a pattern."""
    assert texts_of(put(tmp_path / "draft [1].txt", "kept")) == ["kept"]


def message(path: object) -> str:
    """What is said about a path that cannot be read."""
    with pytest.raises(DataError) as caught:
        texts_of(path)
    return str(caught.value)


def test_a_missing_path_says_from_where_and_offers_the_nearest(tmp_path: Path) -> None:
    """The message names the path as given, the working directory, and a file of nearly that name."""
    put(tmp_path / "stories.txt", "x")
    text = message(tmp_path / "storeis.txt")
    assert text.startswith(str(tmp_path / "storeis.txt"))
    assert "did you mean stories.txt?" in text
    assert str(Path.cwd()) in text


def test_a_glob_without_a_match_and_a_folder_without_text_say_so(tmp_path: Path) -> None:
    """Nothing to read is an error, not an empty corpus."""
    put(tmp_path / "a.png", "x")
    assert "no file matches" in message(tmp_path / "*.txt")
    assert "none of the 1 files" in message(tmp_path)


@pytest.mark.parametrize("compressed", [False, True])
def test_bytes_that_are_not_utf8_are_named_by_file_and_offset(tmp_path: Path, compressed: bool) -> None:
    """The offset counts bytes of the text, after decompression."""
    content = "héllo ".encode() + b"\xff\xfe"
    path = tmp_path / ("a.txt.gz" if compressed else "a.txt")
    assert f"{path}:byte 7: 0xff is not UTF-8" in message(put(path, gzip.compress(content) if compressed else content))


@pytest.mark.parametrize(
    "content", [gzip.compress(b"text" * 1000, mtime=0)[:-9], gzip.compress(b"ab", mtime=0)[:10] + b"\xff"]
)
def test_a_torn_archive_is_named(tmp_path: Path, content: bytes) -> None:
    """Whatever is wrong with a .gz, the message names it."""
    assert "cannot be read" in message(put(tmp_path / "a.txt.gz", content))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"text": "torn', "not valid JSON"),
        ('{"text": 1e999999999999}x', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('["text"]', "a list, not a record"),
        ('{"txet": "x"}', "did you mean txet?"),
        ('{"text": null}', "holds a NoneType"),
        (r'{"text": "half \ud83d"}', "half a surrogate pair"),
    ],
)
def test_a_bad_record_is_named_by_file_and_line(tmp_path: Path, line: str, found: str) -> None:
    """Lines count from one, blank lines included."""
    path = put(tmp_path / "a.jsonl", '{"text": "fine"}\n\n' + line + "\n")
    assert message(path).startswith(f"{path}:3: ")
    assert found in message(path)


def test_vocabulary_is_shorthand_for_bpe() -> None:
    """It is no field: what is recorded is the tokenizer."""
    source = Text("a.txt", vocabulary=512)
    assert source == Text("a.txt", tokenizer=BPE(vocabulary=512)) == Text(path="a.txt", vocabulary=512)
    assert "vocabulary" not in to_plain(source)
    assert Text("a.txt", tokenizer=BPE(vocabulary=512), vocabulary=512) == source


@pytest.mark.parametrize("tokenizer", [BPE(vocabulary=300), BPE(), Characters()])
def test_vocabulary_beside_another_tokenizer_is_refused(tokenizer: BPE | Characters) -> None:
    """Even beside one that is written out and equals the default."""
    with pytest.raises(SpecError, match="vocabulary: found vocabulary=512 beside"):
        Text("a.txt", tokenizer=tokenizer, vocabulary=512)


@pytest.mark.parametrize("arguments", [{"path": ""}, {"path": "a", "vocabulary": 256}, {"path": "a", "vocab": 512}])
def test_what_cannot_be_meant_is_refused(arguments: dict) -> None:
    """An empty path, fewer ids than bytes, an unknown field."""
    with pytest.raises(SpecError):
        Text(**arguments)


def test_a_source_is_varied_and_read_back_like_any_spec() -> None:
    """Dotted paths reach its parts, and the record gives an equal spec."""
    source = vary(Text("a.txt", vocabulary=512), {"tokenizer.vocabulary": 700, "splits.val_fraction": 0.2})
    assert source == Text("a.txt", tokenizer=BPE(vocabulary=700), splits=Splits(val_fraction=0.2))
    assert from_plain(to_plain(source), {"Text": Text, "BPE": BPE, "Splits": Splits}) == source


def test_several_paths_are_one_text(tmp_path: Path) -> None:
    """In the order they are named, every file once, and one path reads as it did."""
    (tmp_path / "more").mkdir()
    for name, text in {"a.txt": "Ada.", "b.txt": "Ben.", "more/c.txt": "Cleo.", "more/d.dat": "Dan."}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    def read(*paths: str) -> list[str]:
        named = tuple(str(tmp_path / path) for path in paths)
        return [document.text for document in Text(named).documents()]

    assert read("b.txt", "a.txt") == ["Ben.", "Ada."]
    assert read("more/c.txt", "more", "more/d.dat", "*.txt") == ["Cleo.", "Dan.", "Ada.", "Ben."]
    assert read("a.txt") == [document.text for document in Text(str(tmp_path / "a.txt")).documents()]
    assert Text(("a.txt", "b.txt", "c.txt")).describe() == "text of a.txt and 2 more"
    with pytest.raises(DataError, match=r"nothere\.txt: no such file or folder"):
        read("a.txt", "nothere.txt")
    for empty in ((), ("a.txt", " ")):
        with pytest.raises(SpecError, match="an empty path"):
            Text(empty)
