"""A user's own text: a file, a folder, a glob; plain, JSON, CSV or Parquet; packed or not.

Not for: formats with markup (PDF, Word, HTML). Extract their text first.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vslm.core.errors import SpecError
from vslm.data.documents import Document
from vslm.data.reading.contents import check_encoding
from vslm.data.reading.files import Wanted, read_files
from vslm.data.reading.folders import listing
from vslm.data.reading.notes import Notes
from vslm.data.reading.plain import DocumentIs
from vslm.data.sources.source import Source

# In no fingerprint: a corpus is known by its text, whatever it was read from, so it may move or be packed.
_BY_CONTENT: dict[str, Any] = {"in_fingerprint": False}


@dataclass(frozen=True)
class Text(Source):
    r"""Documents from files. What a file holds is decided by its content, not by its ending.

    Plain text is split at lines that are exactly `<|endoftext|>`; one without such a line is one document, unless the
    separator stands inside its lines again and again (`Separators`). JSON (a record a line, an array of
    records or of texts, objects), CSV, TSV, Parquet and Arrow hold a document a record, in the field `text`. Any of
    them may be packed (gzip, bzip2, xz, zstd). Text is kept to the byte, line ends included; only a byte order mark at
    the start of a file is dropped. `vslm data show PATH` shows what comes out.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     written = Path(folder, "two.txt").write_bytes(b"Once.\n<|endoftext|>\nTwice: <|endoftext|>.\n")
    ...     [document.text for document in Text(folder).documents()]
    ['Once.\n', 'Twice: <|endoftext|>.\n']

    Args:
        path: one, or several in a tuple: a file; a folder (every file below it that is text or records by its ending,
            and not hidden, a license or the card of a data set); or a glob (`**` goes through folders). From the
            working directory.
        tokenizer, vocabulary, splits: see `Source`.
        field: where a record has its text; `a.b` goes into records, and through lists.
        document: what a document of a plain text is: "auto" as above, "file", "line", "paragraph" (what blank lines
            separate), "row" (rows of one column, quoted as a spreadsheet does). Other than "auto", JSON and CSV are
            plain text, too.
        separator: in place of `<|endoftext|>`; then plain text is cut wherever it stands.
        encoding: of files that are not UTF-8, such as "cp1252"; UTF-16 and UTF-32 are found out.
    Raises: SpecError for an empty path, an unknown encoding, or two ways to tell documents. DataError, when read, for
        what is missing, empty, in another encoding, or no record.
    """

    path: str | tuple[str, ...] = dataclasses.field(metadata=_BY_CONTENT)
    field: str = dataclasses.field(default="text", kw_only=True, metadata=_BY_CONTENT)
    document: DocumentIs = dataclasses.field(default="auto", kw_only=True, metadata=_BY_CONTENT)
    separator: str | None = dataclasses.field(default=None, kw_only=True, metadata=_BY_CONTENT)
    encoding: str | None = dataclasses.field(default=None, kw_only=True, metadata=_BY_CONTENT)

    def check(self) -> None:
        """Refuse an empty path, what is no encoding, and two ways to tell documents."""
        if not self.path or not all(path.strip() for path in self.paths):
            raise SpecError("path", "an empty path", "a file, a folder or a glob is needed")
        for name in ("field", "separator"):
            if getattr(self, name) == "":
                raise SpecError(name, "an empty string", "one letter or more is needed")
        for name, is_given in (("separator", self.separator is not None), ("field", self.field != "text")):
            if is_given and self.document != "auto":
                found = f"document={self.document!r} is given, too"
                raise SpecError(name, found, "one of the two tells documents apart", "leave one out")
        if self.encoding is not None:
            check_encoding(self.encoding)

    def describe(self) -> str:
        """What a person calls this corpus."""
        first, *others = self.paths
        return f"text of {first}{f' and {len(others)} more' if others else ''}"

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths, one or several."""
        return (self.path,) if isinstance(self.path, str) else self.path

    def files(self) -> list[Path]:
        """The files, by name; in a folder by their place in it.

        Raises: DataError if there are none.
        """
        return [found.file for found in listing(self.path).files]

    def documents(self) -> Iterator[Document]:
        """Every document, in the order of the files."""
        yield from self.read(Notes())

    def read(self, notes: Notes) -> Iterator[Document]:
        """Every document; `notes` collects what was read, as what, and what was passed over."""
        wanted = Wanted(self.field, self.document, self.separator, self.encoding)
        yield from read_files(listing(self.path), wanted, notes)
