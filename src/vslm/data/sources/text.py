"""A user's own text: a file, a folder, a glob, `.jsonl` (field `text`), any of them as `.gz`.

Not for: other record formats, or encodings other than UTF-8. Convert those first.
"""

import glob
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vslm.core.errors import DataError, SpecError, nearest
from vslm.data.documents import Document
from vslm.data.sources.source import Source
from vslm.data.tokenizers import END_OF_TEXT

# What a folder is searched for. A file that is named, or that a glob finds, is read whatever its ending is.
_ENDINGS = (".txt", ".text", ".md", ".rst", ".jsonl")
_SEPARATOR = re.compile(rf"^{re.escape(END_OF_TEXT)}\r?(?:\n|\Z)", re.MULTILINE)


@dataclass(frozen=True)
class Text(Source):
    r"""Documents from files.

    A text file is split at lines that are exactly `<|endoftext|>`; one without such a line is one document. A `.jsonl`
    file holds one record per line, its text in the field `text`. Text is kept to the byte, line ends included; only a
    byte order mark at the start of a file is dropped.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     written = Path(folder, "two.txt").write_bytes(b"Once.\n<|endoftext|>\nTwice: <|endoftext|>.\n")
    ...     [document.text for document in Text(folder).documents()]
    ['Once.\n', 'Twice: <|endoftext|>.\n']

    Args:
        path: a file; a folder (every .txt, .text, .md, .rst and .jsonl below it, hidden ones passed over); or a glob
            (`**` goes through folders). Any of them as `.gz`. From the working directory.
        tokenizer, vocabulary, splits: see `Source`.
    Raises: SpecError for an empty path. DataError, when read, for what is missing, empty, not UTF-8 or no record.
    """

    path: str = field(metadata={"in_fingerprint": False})  # the fingerprint is by content, so a corpus may move

    def check(self) -> None:
        """Refuse an empty path."""
        if not self.path.strip():
            raise SpecError("path", "an empty path", "a file, a folder or a glob is needed")

    def describe(self) -> str:
        """What a person calls this corpus."""
        return f"text of {self.path}"

    def files(self) -> list[Path]:
        """The files, by name; in a folder by their place in it.

        Raises: DataError if there are none.
        """
        try:
            path = Path(self.path).expanduser()
            if path.is_dir():
                return self._below(path)
            if path.exists():
                return [path]
        except (OSError, RuntimeError) as error:  # a name too long, a folder that may not be read, a user unknown
            reason = getattr(error, "strerror", None) or str(error)
            raise DataError(
                self.path, f"cannot be looked up ({reason})", "a file, a folder or a glob is needed"
            ) from None
        # glob.glob, because Path.glob takes no absolute pattern.
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))  # noqa: PTH207
        files = [file for file in found if file.is_file()]
        if not files:
            is_pattern = any(sign in self.path for sign in "*?[")
            beside = path.parent.iterdir() if path.parent.is_dir() and not is_pattern else ()
            offered = nearest(path.name, sorted(file.name for file in beside)[:50]) if not is_pattern else ""
            do = f"paths are from the working directory, {Path.cwd()}"
            raise DataError(self.path, "no file matches" if is_pattern else "no such file or folder", offered, do)
        return files

    def _below(self, folder: Path) -> list[Path]:
        everything = sorted((file.relative_to(folder).parts, file) for file in folder.rglob("*") if file.is_file())
        files = [
            file
            for parts, file in everything
            if _is_read(file.name) and not any(part.startswith(".") for part in parts)
        ]
        if not files:
            found = f"none of the {len(everything)} files in this folder is text by its name"
            allowed = f"{', '.join(_ENDINGS)} and these with .gz are read from a folder"
            raise DataError(self.path, found, allowed, f"name others by a glob, as in {self.path}/**/*.tex")
        return files

    def documents(self) -> Iterator[Document]:
        """Every document, in the order of the files."""
        for file in self.files():
            text = _read(file)
            if file.name.removesuffix(".gz").endswith(".jsonl"):
                yield from _records(file, text)
            else:
                yield from _separated(file, text)


def _is_read(name: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(_ENDINGS)


def _read(file: Path) -> str:
    try:
        content = file.read_bytes()
        content = gzip.decompress(content) if file.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(str(file), f"cannot be read ({error})", "", "is the file whole?") from None
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        found = f"{content[error.start]:#04x} is not UTF-8 here ({error.reason})"
        do = "convert the file to UTF-8, or leave it out"
        raise DataError(f"{file}:byte {error.start}", found, "UTF-8 text is needed", do) from None


def _separated(file: Path, text: str) -> Iterator[Document]:
    for number, part in enumerate(_SEPARATOR.split(text)):
        if part.strip():
            yield Document(f"{file}#{number}" if number else str(file), part)


def _records(file: Path, text: str) -> Iterator[Document]:
    # Only "\n" ends a line: other line ends that str.splitlines knows may stand inside a record's string.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield Document(f"{file}:{number}", _text_of_record(f"{file}:{number}", line))


def _text_of_record(where: str, line: str) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(where, f"not valid JSON ({error})", "one record per line is needed") from None
    allowed = 'a record like {"text": "..."} is needed'
    if not isinstance(record, dict):
        raise DataError(where, f"a {type(record).__name__}, not a record", allowed)
    if "text" not in record:
        raise DataError(where, "no field `text`", allowed, nearest("text", map(str, record)))
    text = record["text"]
    if not isinstance(text, str):
        raise DataError(where, f"the field `text` holds a {type(text).__name__}", allowed)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        found = f"half a surrogate pair ({text[error.start]!r}) at character {error.start} of `text`"
        raise DataError(where, found, "text that UTF-8 can hold is needed") from None
    return text
