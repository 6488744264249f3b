r"""JSON of any layout -> texts: a record a line, an array of records or of texts, or one object after another.

The text of a record is in a field, named as in `text`, or by a path as in `data.paragraphs.context`, which goes through
lists: every text at its end is a document.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vslm.core.errors import DataError, nearest
from vslm.data.reading.pieces import Pieces, split

_LINES_LOOKED_AT = 5
_MOST_PATHS = 12
_DEEPEST = 8
_LOOSE_END = 32  # characters: a number, a word or an escape that is cut is wrong a little before its end
_LINE_END = re.compile("\n")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Entry:
    """A value of a file of JSON.

    Args:
        where: file and line, or file and number.
        value: a record, or a text.
    """

    where: str
    value: Any


def layout(text: str, *, declared: bool, field: str) -> str:
    """ "JSON lines", "a JSON array" or "JSON objects", by what the text looks like; empty where it is none.

    Args:
        declared: whether the file's name says that it is JSON; then a record or two are enough to believe it.
        field: whose presence is enough to believe it, too.
    """
    begin = text.lstrip()[:1]
    if begin == "[":
        return _array_layout(text, declared=declared)
    if begin != "{":
        return ""
    lines = [line for line in _first_lines(text) if line.strip()]
    values = [_parsed_or_none(line) for line in lines]
    if values and all(isinstance(value, dict) for value in values):
        is_believed = declared or len(values) > 1 or bool(field in values[0])  # type: ignore[operator]
        return "JSON lines" if is_believed else ""
    if isinstance(values[0], dict):  # the second line is torn: of JSON lines, where a name or a field says so
        return "JSON lines" if declared or field in values[0] else ""
    try:
        value, end = _DECODER.raw_decode(text, len(text) - len(text.lstrip()))
    except (ValueError, RecursionError):
        return ""
    is_whole = text[end : end + 1_000].lstrip()[:1] in ("", "{", ",")
    return "JSON objects" if is_whole and (declared or field.split(".")[0] in value) else ""


def _first_lines(text: str) -> list[str]:
    lines, start = [], 0
    while len(lines) < _LINES_LOOKED_AT and start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if line := text[start:end].strip():
            lines.append(line)
        start = end + 1
    return lines


def _parsed_or_none(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def goes_on(head: str) -> bool:
    """Whether the beginning of a text may be the beginning of one JSON value: then only all of it tells."""
    begin = head.lstrip()
    try:
        _DECODER.raw_decode(begin)
    except RecursionError:
        return False
    except json.JSONDecodeError as error:
        return begin[:1] in ("[", "{") and (
            error.msg.startswith("Unterminated") or error.pos >= len(begin) - _LOOSE_END
        )
    return begin[:1] == "["


def _array_layout(text: str, *, declared: bool) -> str:
    """An array is read whole to be sure: prose may begin with a bracket."""
    values = _parsed_or_none(text)
    if not isinstance(values, list):
        return ""
    is_of_records = bool(values) and all(isinstance(value, dict | str) for value in values)
    return "a JSON array" if is_of_records or declared else ""


def entries(where: str, text: Pieces, form: str) -> Iterator[Entry]:
    """The values of a file, one by one. All but JSON lines are held in memory whole.

    Args:
        where: the file.
        text: of it.
        form: as `layout` says; a file that is called .jsonl has "JSON lines" whatever it holds.
    Raises: DataError at the line or the character that is no JSON.
    """
    if form == "JSON lines":
        # Only "\n" ends a line: other line ends that str.splitlines knows may stand inside a record's string.
        for number, line in enumerate(split(text, _LINE_END), start=1):
            if line.strip():
                yield Entry(f"{where}:{number}", _parsed(f"{where}:{number}", line))
    elif form == "a JSON array":
        for number, value in enumerate(_parsed(where, text.joined()), start=1):
            yield Entry(f"{where}: entry {number}", value)
    else:
        yield from _objects(where, text.joined())


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(where, f"not valid JSON ({error})", "one record per line is needed") from None


def _objects(where: str, text: str) -> Iterator[Entry]:
    place = number = 0
    while True:
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
        if place == len(text):
            return
        number += 1
        try:
            value, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, place) + 1
            raise DataError(
                f"{where}:{line}", f"not valid JSON ({error})", "one record after another is needed"
            ) from None
        yield Entry(f"{where}: record {number}", value)


def texts_of(entry: Entry, field: str) -> Iterator[str]:
    """The texts of an entry: itself if it is one, else what its field holds.

    Raises: DataError where the field is missing or holds no text; the fields that do are offered.
    """
    value = entry.value
    if isinstance(value, str):
        yield whole(entry.where, value, "this text")
        return
    if not isinstance(value, dict):
        allowed = f'a record like {{"{field}": "..."}} is needed'
        raise DataError(entry.where, f"a {type(value).__name__}, not a record", allowed)
    parts = [field] if field in value else field.split(".")
    found = list(_at(value, parts))
    if not found:
        raise missing_field(entry.where, field, text_paths(value))
    for item in found:
        if not isinstance(item, str):
            held = f"the field `{field}` holds a {type(item).__name__}"
            raise DataError(entry.where, held, "text is needed", _advice(text_paths(value)))
        yield whole(entry.where, item, f"`{field}`")


def _at(value: Any, parts: list[str]) -> Iterator[Any]:
    """What a path leads to. Lists on the way are gone through; one at its end is what is there."""
    if not parts:
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _at(item, parts)
    elif isinstance(value, dict) and parts[0] in value:
        yield from _at(value[parts[0]], parts[1:])


def text_paths(value: Any) -> list[str]:
    """The paths in a record that lead to text, that with the longest text first."""
    found: dict[str, int] = {}

    def walk(value: Any, path: str, depth: int) -> None:
        if isinstance(value, str) and path:
            found[path] = max(found.get(path, 0), len(value))
        elif isinstance(value, dict) and depth < _DEEPEST:
            for name, item in value.items():
                walk(item, f"{path}.{name}" if path else str(name), depth + 1)
        elif isinstance(value, list) and depth < _DEEPEST:
            for item in value[:3]:
                if isinstance(item, dict):
                    walk(item, path, depth + 1)

    walk(value, "", 0)
    return sorted(found, key=found.__getitem__, reverse=True)[:_MOST_PATHS]


def missing_field(where: str, field: str, known: list[str]) -> DataError:
    """A record or a table without the field: the nearest names, and how to give one."""
    if not known:
        allowed = f'a record like {{"{field}": "..."}} is needed'
        return DataError(where, f"no field `{field}`, and none that holds text", allowed)
    return DataError(where, f"no field `{field}`", nearest(field, known), _advice(known))


def _advice(known: list[str]) -> str:
    return (
        f"name the field that holds the text: field={known[0]!r} (--field {known[0]} on the command line)"
        if known
        else ""
    )


def whole(where: str, text: str, which: str) -> str:
    """The text, if UTF-8 can hold it.

    Raises: DataError for half of a surrogate pair, which JSON can write.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        found = f"half a surrogate pair ({text[error.start]!r}) at character {error.start} of {which}"
        raise DataError(where, found, "text that UTF-8 can hold is needed") from None
    return text
