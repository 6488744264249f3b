"""Tables -> texts: CSV and TSV by a header, Parquet and Arrow by their schema. The text is in one column.

Parquet and Arrow need `pyarrow`, which is imported here and nowhere else.
"""

import csv
import importlib
import io
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from vslm.core.errors import DataError
from vslm.data.reading.contents import Content, NotTextError, TornFileError
from vslm.data.reading.records import Entry, missing_field

_DELIMITERS = (",", "\t", ";", "|")
_ROWS_LOOKED_AT = 20
_LONGEST_HEADER = 2_000
_LONGEST_NAME = 60
_ROWS_AT_A_TIME = 1_024
_LIMIT = threading.Lock()  # the limit of a cell is the whole process's


def delimiter_of(text: str, field: str, *, declared: bool) -> str | None:
    """What separates the cells, or None where the text is no table with this column.

    Args:
        text: its first piece.
        field: the column that is asked for.
        declared: whether the file's name says that it is a table; otherwise the header must name the column beside
            others, and the first rows must have as many cells.
    """
    end = text.find("\n")
    head = text[: end if end >= 0 else len(text)].rstrip("\r")
    if len(head) > _LONGEST_HEADER:
        return None
    candidates = [sign for sign in _DELIMITERS if sign in head]
    if declared:
        best = max(candidates, key=head.count, default=",")
        return next((sign for sign in candidates if field in _cells(head, sign)), best)
    for sign in candidates:
        cells = _cells(head, sign)
        if field in cells and len(set(cells)) == len(cells) and all(0 < len(cell) <= _LONGEST_NAME for cell in cells):
            rows = _first_rows(text, sign)
            if len(rows) > 1 and all(len(row) == len(cells) for row in rows):
                return sign
    return None


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _first_rows(text: str, delimiter: str) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        for row in _rows([text], delimiter):
            if row:
                rows.append(row)
            if len(rows) > _ROWS_LOOKED_AT:
                break
    except csv.Error:
        return []
    return rows


def _rows(pieces: Iterable[str], delimiter: str, *, quoted: bool = True) -> Iterator[list[str]]:
    """Rows as the csv module reads them, with cells of any length; a quote that is never closed is an error."""
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    lines = (line for piece in pieces for line in io.StringIO(piece, newline=""))
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=quoted)
    while True:
        with _LIMIT:
            before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
            try:
                row = next(reader, None)
            finally:
                csv.field_size_limit(before)
        if row is None:
            return
        yield row


def csv_entries(where: str, text: Iterable[str], delimiter: str, field: str) -> Iterator[Entry]:
    """The cells of a column, from the row below the header; "" where a row has none.

    Raises: DataError for a column that is not there, a row of another length, or quotes that do not fit.
    """
    quoted = delimiter != "\t" or _is_quoted_well(text, delimiter)  # many tables of tabs take quotes for text
    place, number, header = None, 0, []
    try:
        for number, row in enumerate(_rows(text, delimiter, quoted=quoted), start=1):
            if not row:
                continue
            if place is None:
                header = [cell.strip().removeprefix("\ufeff") for cell in row]
                if field not in header:
                    raise _no_column(where, field, header)
                place = header.index(field)
            elif len(row) != len(header):
                found = f"{len(row)} cells, and the header names {len(header)}"
                raise DataError(
                    f"{where}: row {number}", found, "", "quote cells that hold the separator or a line end"
                )
            else:
                yield Entry(f"{where}: row {number}", row[place])
    except csv.Error as error:
        do = "a quote inside a quoted cell is written twice; is it CSV?"
        raise DataError(f"{where}: row {number + 1}", f"cannot be read as CSV ({error})", "", do) from None


def _is_quoted_well(text: Iterable[str], delimiter: str) -> bool:
    try:
        return len({len(row) for row in _rows(text, delimiter) if row}) == 1
    except csv.Error:
        return False


def _no_column(where: str, field: str, header: list[str]) -> DataError:
    if len(header) > 1 and all(len(cell) <= _LONGEST_NAME for cell in header):
        return missing_field(where, field, [cell for cell in header if cell])
    do = "name the column in the first row; for a document a line give document='line' (--document line), "
    do += "for quoted rows without a header document='row'"
    return DataError(where, f"the first row names no column `{field}`", "", do)


def quoted_rows(where: str, text: Iterable[str]) -> Iterator[Entry]:
    """The rows of one column without a header, as a spreadsheet writes them: quotes around, two for one inside.

    Raises: DataError for a row of more cells, or quotes that do not fit.
    """
    number = 0
    try:
        for number, row in enumerate(_rows(text, ","), start=1):
            if len(row) > 1:
                do = "give the column a name in a first row, and field=; or read it as plain text"
                raise DataError(f"{where}: row {number}", f"{len(row)} cells", "rows of one cell are needed", do)
            if row:
                yield Entry(f"{where}: row {number}", row[0])
    except csv.Error as error:
        do = "read it as plain text, or with document='line'"
        raise DataError(f"{where}: row {number + 1}", f"no quoted row ({error})", "", do) from None


def _pyarrow(module: str, where: str, kind: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        found = f"a {kind} file, and the package that reads these is not installed"
        raise NotTextError(where, found, "", "pip install 'vslm[parquet]'", kind=f"{kind} file") from None


def table_entries(where: str, content: Content, field: str) -> Iterator[Entry]:
    """The values of a column of a Parquet or Arrow file; None where a row has none. A packed one is unpacked in memory.

    Raises: DataError for a torn file, or a column that is not there; NotTextError where `pyarrow` is not installed.
    """
    kind = content.table
    arrow = _pyarrow("pyarrow", where, kind)
    opener = _parquet_batches if kind == "Parquet" else _arrow_batches
    number = 0
    try:
        source = arrow.BufferReader(b"".join(content.parts())) if content.packings else str(content.file)
        for batch in opener(where, source, field):
            for value in batch:
                number += 1
                yield Entry(f"{where}: row {number}", value)
    except (arrow.ArrowException, OSError, ValueError) as error:  # ValueError: text that is not UTF-8
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TornFileError(where, f"cannot be read as {kind} ({reason})") from None


def _parquet_batches(where: str, source: Any, field: str) -> Iterator[list[Any]]:
    parquet = _pyarrow("pyarrow.parquet", where, "Parquet")
    with parquet.ParquetFile(source) as file:
        root = _root(where, field, file.schema_arrow)
        for batch in file.iter_batches(batch_size=_ROWS_AT_A_TIME, columns=[root]):
            batch.validate(full=True)
            yield [{root: value} for value in batch.column(0).to_pylist()]


def _arrow_batches(where: str, source: Any, field: str) -> Iterator[list[Any]]:
    arrow = _pyarrow("pyarrow", where, "Arrow")
    ipc = _pyarrow("pyarrow.ipc", where, "Arrow")
    opened = arrow.OSFile(source) if isinstance(source, str) else source
    with opened:
        begin = opened.read(6)
        opened.seek(0)
        reader = ipc.open_file(opened) if begin == b"ARROW1" else ipc.open_stream(opened)
        root = _root(where, field, reader.schema)
        batches = map(reader.get_batch, range(reader.num_record_batches)) if begin == b"ARROW1" else reader
        for batch in batches:
            batch.validate(full=True)  # offsets of a torn file may lead anywhere in memory
            yield [{root: value} for value in batch.column(root).to_pylist()]


def _root(where: str, field: str, schema: Any) -> str:
    """The column that a field is in: its own name, or the part before the first dot."""
    for name in (field, field.split(".")[0]):
        if name in schema.names:
            return name
    texts = [name for name in schema.names if "string" in str(schema.field(name).type)]
    raise missing_field(where, field, texts or list(schema.names))


def is_missing(value: Any, field: str) -> bool:
    """Whether a row of a table has nothing in the column."""
    return isinstance(value, dict) and list(value.values()) == [None] and (field in value or "." in field)
