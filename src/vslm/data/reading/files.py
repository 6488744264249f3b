"""One file -> its documents: unpacked, decoded, told apart by its content, and read as what it is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vslm.core.errors import DataError
from vslm.data.documents import Document
from vslm.data.reading import columns, plain, records
from vslm.data.reading.contents import Content, NotTextError, TornFileError, opened, text_of
from vslm.data.reading.folders import Found, Listing, is_packed_by_name, unpacked_ending
from vslm.data.reading.notes import Notes, shown
from vslm.data.reading.pieces import Pieces

_LINES_BY_NAME = (".jsonl", ".ndjson", ".jsonlines")
_JSON_BY_NAME = (*_LINES_BY_NAME, ".json")
_TABLE_BY_NAME = (".csv", ".tsv")


@dataclass(frozen=True)
class Wanted:
    """How a person wants files to be read; see `vslm.data.sources.Text`."""

    field: str
    document: plain.DocumentIs
    separator: str | None
    encoding: str | None


class _NothingReadError(Exception):
    """A file is wrong before its first document."""

    def __init__(self, error: DataError) -> None:
        super().__init__(str(error))
        self.error = error


def read_files(found: Listing, wanted: Wanted, notes: Notes) -> Iterator[Document]:
    """Every document, in the order of the files.

    In a folder, a file that may be something else by its ending, a pointer of a large-file store, and a format whose
    package is not installed are passed over where other files are read; `notes` says so. All else that is wrong is an
    error.

    Raises: DataError, at a place in the file.
    """
    for kind, why, name in found.passed_over:
        notes.passed_over(kind, why, name)
    for words in found.remarks:
        notes.remark(shown(words))
    refused: list[DataError] = []
    same: dict[bytes, str] = {}
    num_read = 0
    for each in found.files:
        try:
            is_empty = True
            for document in _documents(each, wanted, notes, same):
                is_empty = False
                yield document
        except _NothingReadError as nothing:
            error = nothing.error
            if not _may_be_passed_over(each, error, len(found.files)):
                raise error from None
            refused.append(error)
            kind = error.kind if isinstance(error, NotTextError) else f"{unpacked_ending(each.name)} file"
            notes.passed_over(kind, _why(error), each.name)
        else:
            num_read += not is_empty
            if is_empty:
                notes.passed_over("empty file", "no text in it", each.name)
    if refused and not num_read:
        raise refused[0]


def _may_be_passed_over(each: Found, error: DataError, num_files: int) -> bool:
    if isinstance(error, TornFileError):
        return False
    is_away = isinstance(error, NotTextError) and (
        error.kind.startswith("pointer") or error.do.startswith("pip install")
    )
    return num_files > 1 and (is_away or each.perhaps)


def _why(error: DataError) -> str:
    if error.do.startswith("pip install"):
        return error.do
    return "; ".join(part for part in (error.found, error.do or error.allowed) if part)


def _documents(each: Found, wanted: Wanted, notes: Notes, same: dict[bytes, str]) -> Iterator[Document]:
    """The documents of a file. What is wrong before the first of them is raised as `_NothingReadError`."""
    is_first = True
    try:
        kind, texts = _read(each, wanted, notes, same)
        for name, text in texts:
            if text is None or not text.strip():
                if text is None or not kind.startswith("plain"):
                    notes.blank(kind)
                continue
            if is_first:
                notes.file(kind, each.name)
            is_first = False
            notes.document(kind, text)
            yield Document(name, text)
    except DataError as error:
        if is_first:
            raise _NothingReadError(error) from None
        raise


Named = tuple[str, str | None]  # a document's name, and its text; None where a row has none


def _read(each: Found, wanted: Wanted, notes: Notes, same: dict[bytes, str]) -> tuple[str, Iterable[Named]]:
    """What a file is, in words, and its texts."""
    content, where = opened(each.file), str(each.file)
    packed = f", {content.packed}" if content.packed else ""
    if not content.packed and is_packed_by_name(each.name):
        notes.remark(f"{shown(each.name)} is named as packed and is not: it is read as it is")
    if content.table:
        kind = f"{content.table}{packed}, column `{wanted.field}`"
        return kind, _of_table(where, content, wanted.field)
    text, encoding = text_of(content, wanted.encoding)
    _say_if_seen(each, text, notes, same)
    packed += f", {encoding}" if encoding else ""
    if wanted.document == "auto" and wanted.separator is None:
        ending = unpacked_ending(each.name)
        if form := _json_form(text, ending, wanted.field):
            return f"{form}{packed}, field `{wanted.field}`", _of_records(where, text, form, wanted.field)
        delimiter = columns.delimiter_of(text.head, wanted.field, declared=ending in _TABLE_BY_NAME)
        if delimiter is not None and not text.is_blank:
            name = "TSV" if delimiter == "\t" else "CSV"
            entries = columns.csv_entries(where, text, delimiter, wanted.field)
            return f"{name}{packed}, column `{wanted.field}`", ((entry.where, entry.value) for entry in entries)
    return _of_plain(each, text, packed, wanted, notes)


def _json_form(text: Pieces, ending: str, field: str) -> str:
    form = records.layout(text.head, declared=ending in _JSON_BY_NAME, field=field)
    if not form and not text.is_one and records.goes_on(text.head):
        form = records.layout(text.joined(), declared=ending in _JSON_BY_NAME, field=field)
    # A file that is named as one of records must be one: lines that are no records are reported, and not read as text.
    return form or ("JSON lines" if ending in _JSON_BY_NAME and not text.is_blank else "")


def _of_records(where: str, text: Pieces, form: str, field: str) -> Iterator[Named]:
    for entry in records.entries(where, text, form):
        for found in records.texts_of(entry, field):
            yield entry.where, found


def _of_table(where: str, content: Content, field: str) -> Iterator[Named]:
    for entry in columns.table_entries(where, content, field):
        if columns.is_missing(entry.value, field):
            yield entry.where, None
        else:
            for found in records.texts_of(entry, field):
                yield entry.where, found


def _of_plain(each: Found, text: Pieces, packed: str, wanted: Wanted, notes: Notes) -> tuple[str, Iterable[Named]]:
    where = str(each.file)
    if wanted.field != "text" and not each.perhaps:
        found = "plain text, which has no fields"
        raise DataError(where, found, f"records with a field `{wanted.field}` are needed", "leave out field=")
    if wanted.document == "row":
        rows = columns.quoted_rows(where, text)
        return f"plain text{packed}, a document a quoted row", ((row.where, row.value) for row in rows)
    separators = plain.Separators(text) if wanted.document == "auto" else None
    if separators is not None:
        for words in plain.remarks_on(separators, text.begin(plain.SAMPLE_CHARACTERS), separator=wanted.separator):
            notes.remark(f"{shown(each.name)}: {words}")
    cut = "" if wanted.document == "auto" else f", a document a {wanted.document}"
    cut = f", cut at {shown(wanted.separator)}" if wanted.separator is not None else cut
    parts = plain.parts_of(text, wanted.document, wanted.separator, separators)
    return f"plain text{packed}{cut}", _numbered(where, parts)


def _numbered(where: str, parts: Iterable[str]) -> Iterator[Named]:
    for number, part in enumerate(parts):
        yield f"{where}#{number}" if number else where, part


def _say_if_seen(each: Found, text: Pieces, notes: Notes, same: dict[bytes, str]) -> None:
    if not text.is_blank:
        before = same.setdefault(text.digest, each.name)
        if before is not each.name:
            notes.remark(f"{shown(each.name)} holds the same text as {shown(before)}; it counts once")
