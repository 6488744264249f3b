"""From texts and records of facts to the passages of a store."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vslm.core.errors import DataError, SpecError
from vslm.data.reading.folders import listing
from vslm.data.reading.notes import Notes
from vslm.data.sources.text import Text
from vslm.knowledge.passages import Fact, Passage, cut_passages, document_key

FEWEST_PASSAGE_TOKENS, MOST_PASSAGE_TOKENS = 4, 100_000
_FACT = ("subject", "relation", "value")
_LOOKED_AT_BYTES = 2**16

Numbered = Callable[[], Iterator[tuple[str, Passage]]]


def passages_of(source: Text, passage_tokens: int, notes: Notes) -> Numbered:
    """The passages of a text, or its facts where its files are JSON lines of them: whether the first record has
    `subject`, `relation` and `value` decides. One without a text is "SUBJECT RELATION VALUE."

    Args:
        source: what to read.
        passage_tokens: words and marks of a passage at most; facts are not cut.
        notes: collects what was read, once.
    Raises: SpecError for passages that are too short or too long; DataError for what cannot be read.
    """
    if not FEWEST_PASSAGE_TOKENS <= passage_tokens <= MOST_PASSAGE_TOKENS:
        allowed = f"{FEWEST_PASSAGE_TOKENS} to {MOST_PASSAGE_TOKENS:,} words and marks are needed"
        raise SpecError("--passage-tokens", f"found {passage_tokens}", allowed)
    files = [each.file for each in listing(source.path).files]
    if files and _holds_facts(files[0]):
        notes.remark(f"facts: {len(files)} file{'' if len(files) == 1 else 's'} of records with {', '.join(_FACT)}")
        return lambda: _facts(files, source.field)

    def stretches() -> Iterator[tuple[str, Passage]]:
        nonlocal notes
        reading, notes = notes, Notes()  # told of the first way through alone
        for document in source.read(reading):
            for passage in cut_passages(document.text, passage_tokens):
                yield document.name, passage

    return stretches


def _holds_facts(file: Path) -> bool:
    with file.open("rb") as opened:
        line = opened.read(_LOOKED_AT_BYTES).partition(b"\n")[0]
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and all(name in record for name in _FACT)


def _facts(files: list[Path], text_field: str) -> Iterator[tuple[str, Passage]]:
    for file in files:
        with file.open(encoding="utf-8") as lines:
            try:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        where = f"{file}:{number}"
                        yield where, _fact(where, line, text_field)
            except UnicodeDecodeError as error:
                raise DataError(str(file), f"not UTF-8 ({error.reason})", "records are JSON in UTF-8") from None


def _fact(where: str, line: str, text_field: str) -> Passage:
    try:
        record: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(where, f"no JSON ({error})", "a record a line is needed", "mend the line") from None
    if isinstance(record, dict) and text_field not in record and all(isinstance(record.get(n), str) for n in _FACT):
        subject, relation, value = (record[name].strip() for name in _FACT)
        record = {**record, text_field: f"{subject} {relation.replace('_', ' ')} {value}."}
    names = (text_field, *_FACT)
    for name in names:
        value = record.get(name) if isinstance(record, dict) else None
        if not isinstance(value, str) or not value.strip():
            found = f"no text in `{name}`"
            raise DataError(where, found, f"every record of facts has {', '.join(names)}", "mend the record")
    text = record[text_field].strip()
    return Passage(text, document_key(text), Fact(*(record[name].strip() for name in _FACT)))
