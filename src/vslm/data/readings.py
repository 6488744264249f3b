"""The documents of a source, gone through as often as preparing needs, in memory that does not grow with them.

Up to 64 MB of text is read once and held. Of more, each way through reads the source again, and holds its documents one
by one against the first: a source that gives others cannot be made a corpus of. What grows is eight bytes a document.
"""

import hashlib
import sys
from array import array
from collections.abc import Iterator

from vslm.core.errors import DataError, VslmError
from vslm.core.user_modules import line_of
from vslm.data.documents import Document
from vslm.data.reading.notes import Notes
from vslm.data.sources.source import OpenModel, Source

HELD_BYTES = 2**26
_BYTES_AROUND = 256  # of a document, beside its text
_SCORED_BYTES = 128
_DIGEST_BYTES = 32


class Readings:
    """The documents, in the order of the source. It is read when this is made; that may raise what the source does.

    Args:
        source: of the documents.
        notes: collects what the first reading found.
        models: opens the runs that the source reads with; None: there is nobody to.
    Raises: DataError while it is gone through, where a document is another than at first.
    """

    def __init__(self, source: Source, notes: Notes, models: OpenModel | None = None) -> None:
        self._source, self._models = source, models
        self._digests = array("Q")  # the beginning of each document's
        self._held: list[Document] | None = []
        self.num_bytes, num_held_bytes, whole = 0, 0, hashlib.sha256()
        for document in _read(source, notes, models):
            text = document.text.encode()
            said = _digest(text, document)
            whole.update(said)
            self.num_bytes += len(text)
            self._digests.append(_number(said))
            if self._held is not None:
                num_held_bytes += sys.getsizeof(document.text) + _BYTES_AROUND
                num_held_bytes += _SCORED_BYTES * len(document.scored or ())
                self._held.append(document)
                if num_held_bytes > HELD_BYTES:
                    self._held = None
        self.content = whole.hexdigest()
        """SHA-256 of the texts in their order, and of what counts in them. Names are left out, so a corpus may move."""

    def __iter__(self) -> Iterator[Document]:
        return self._read_again() if self._held is None else iter(self._held)

    def _read_again(self) -> Iterator[Document]:
        num_read = 0
        for document in _read(self._source, Notes(), self._models):
            number = _number(_digest(document.text.encode(), document))
            if num_read == len(self._digests) or number != self._digests[num_read]:
                raise self._another(f"document {num_read + 1:,} ({document.name})")
            num_read += 1
            yield document
        if num_read != len(self._digests):
            raise self._another(f"the end, after {num_read:,} of {len(self._digests):,} documents,")

    def _another(self, what: str) -> DataError:
        found = f"{what} is another when it is read again than it was at first"
        allowed = "more than 64 MB of text are read several times, and must be the same each time"
        do = "let nothing write to it meanwhile; a source of your own must not draw anew"
        return DataError(self._source.describe(), found, allowed, do)


def _read(source: Source, notes: Notes, models: OpenModel | None) -> Iterator[Document]:
    """The documents of a source. Raises: DataError for what goes wrong in the code of one of the user's."""
    try:
        yield from source.read_with(notes, models)
    except (VslmError, OSError, MemoryError):
        raise
    except Exception as error:
        if not (line := line_of(error)):
            raise
        found = f"{type(source).__name__} gives no documents: {type(error).__name__}: {error}"
        allowed = "`documents` yields Document(name, text), and scored=(Scored(first, end),) where a part counts"
        raise DataError(line, found, allowed, "mend the line") from error


def _digest(text: bytes, document: Document) -> bytes:
    """What is said of a document: the SHA-256 of its text, what counts in it, and what was put in front of it."""
    written = b"" if document.scored is None else repr([tuple(one) for one in document.scored]).encode()
    if document.front or document.group is not None:
        written += repr((document.front, document.group)).encode()
    return hashlib.sha256(text).digest() + written


def _number(said: bytes) -> int:
    digest = said if len(said) == _DIGEST_BYTES else hashlib.sha256(said).digest()
    return int.from_bytes(digest[:8], "big")
