"""Data sets of the Hugging Face hub as documents, through `datasets` (an extra), up to a cap.

What is asked for is streamed once, up to `max_bytes`, into `VSLM_HOME/hub`, and read from there ever after: neither the
network nor the package is needed again. An interrupted download leaves nothing and begins anew. Order is that of the
data set; nothing is shuffled, and no code of a data set is run.

Not for: files that are here already (`Text` reads JSON lines, CSV and Parquet, packed or not).
"""

import dataclasses
import hashlib
import importlib
import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from vslm.core.bounds import AtMost
from vslm.core.errors import DataError, SpecError
from vslm.data.corpus import home
from vslm.data.documents import Document
from vslm.data.reading.notes import Notes
from vslm.data.reading.records import missing_field
from vslm.data.sources.source import Source
from vslm.results.files import read_json, write_json, written_whole

Bytes = Annotated[int, AtMost(10**13)]
_BY_CONTENT: dict[str, Any] = {"in_fingerprint": False}  # a corpus is known by its text
_MB = 1_000_000


class Place(NamedTuple):
    """Where a data set lies.

    Args:
        id: on the hub, OWNER/NAME; or a folder in its layout.
        config: of those that it has; None: its only one, or its default.
        column: that holds the text.
    """

    id: str
    config: str | None
    column: str


@dataclass(frozen=True, kw_only=True)
class FromHub(Source):
    """Interface: documents from a data set of the hub.

    Args:
        max_bytes: of text; no document is cut, and none comes after the one that reaches it.
        split: "train", "validation" or whatever the data set has. Here it is split anew, by hash.
        revision: a branch, a tag or a commit; None: the newest when it is first read.
        tokenizer, vocabulary, splits: see `Source`.
    Raises: DataError, when read for the first time, without the package or the network, and for a data set, a split or
        a column that is not there.
    """

    max_bytes: Bytes = dataclasses.field(default=64 * _MB, metadata=_BY_CONTENT)
    split: str = dataclasses.field(default="train", metadata=_BY_CONTENT)
    revision: str | None = dataclasses.field(default=None, metadata=_BY_CONTENT)

    def check(self) -> None:
        """Refuse a cap below one byte."""
        if self.max_bytes < 1:
            raise SpecError("max_bytes", f"found {self.max_bytes}", "1 or more is needed")

    @property
    @abstractmethod
    def place(self) -> Place:
        """Where it lies."""

    def texts(self, rows: Iterable[str]) -> Iterator[str]:
        """The documents that rows of the column make up: each is one, unless a data set says otherwise."""
        yield from rows

    def describe(self) -> str:
        """What a person calls this corpus."""
        config = f" ({self.place.config})" if self.place.config else ""
        return f"{self.place.id}{config} from the hub, {self.split}, up to {self.max_bytes / _MB:,.0f} MB"

    def files(self) -> Sequence[Path]:
        """What was brought here; it is brought now if it was not before. Raises: DataError."""
        file = self._file()
        if not file.is_file():
            self._bring(file)
        return [file]

    def documents(self) -> Iterator[Document]:
        """Every document, in the order of the data set."""
        yield from self.read(Notes())

    def read(self, notes: Notes) -> Iterator[Document]:
        """Every document; `notes` is told how many there are, and whether the data set goes on."""
        (file,) = self.files()
        kind = f"hub data set, column `{self.place.column}`"
        notes.file(kind, self.place.id)
        about = read_json(file.with_suffix(".about.json"))
        if about["num_blank"]:
            notes.remark(f"{about['num_blank']:,} rows have no text")
        if about["is_cut"]:
            notes.remark(f"the data set goes on behind max_bytes={self.max_bytes:,}")
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                text = json.loads(line)
                notes.document(kind, text)
                yield Document(f"{self.place.id}#{number}", text)

    def _file(self) -> Path:
        asked = [*self.place, self.split, self.revision, self.max_bytes]
        digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]
        name = "".join(letter if letter.isalnum() else "-" for letter in self.place.id)[-60:]
        return home() / "hub" / f"{name}-{digest}.jsonl"

    def _bring(self, file: Path) -> None:
        """Stream the data set into a file, a document a line, up to the cap."""
        blank, num_bytes, is_cut = [0], 0, False
        with written_whole(file) as out:
            for text in self.texts(self._rows(blank)):
                if not text.strip():
                    blank[0] += 1
                    continue
                if num_bytes >= self.max_bytes:
                    is_cut = True
                    break
                out.write(json.dumps(text).encode() + b"\n")
                num_bytes += len(text.encode("utf-8", "surrogatepass"))
            if not num_bytes:
                raise DataError(self.place.id, "there is no text in it", f"looked at column `{self.place.column}`")
            write_json(file.with_suffix(".about.json"), {"num_blank": blank[0], "is_cut": is_cut, "bytes": num_bytes})

    def _rows(self, blank: list[int]) -> Iterator[str]:
        """The column, row by row; empty fields are counted in `blank` and passed over. Raises: DataError."""
        place = self.place
        for number, row in enumerate(self._streamed()):
            if place.column not in row:
                raise missing_field(place.id, place.column, [name for name, value in row.items() if type(value) is str])
            value = row[place.column]
            if value is None:
                blank[0] += 1
            elif isinstance(value, str):
                yield value
            else:
                found = f"column `{place.column}` holds {type(value).__name__}"
                raise DataError(f"{place.id}: row {number}", found, "text is needed", "name another column")

    def _streamed(self) -> Iterator[dict[str, Any]]:
        place = self.place
        try:
            library = importlib.import_module("datasets")
        except ImportError:
            do = "pip install 'vslm[datasets]'; or download its files, and read them with Text(path)"
            raise DataError(place.id, "the package datasets is not installed", "", do) from None
        library.disable_progress_bars()
        how = {"name": place.config, "split": self.split, "revision": self.revision, "streaming": True}
        try:
            found = library.load_dataset(place.id, **how)
        except (OSError, RuntimeError, ValueError) as error:  # no network, no such data set, a gate, a torn file
            if type(error) is ValueError:  # no such configuration or split
                raise DataError(place.id, _first_line(error), "", "name one that there is") from None
            do = "are the id and the network right, and is it open to you? Or read a copy of its files with Text(path)"
            raise DataError(place.id, f"cannot be read ({_first_line(error)})", "", do) from None
        try:
            yield from found
        except (OSError, RuntimeError, ValueError) as error:  # the network broke off, or a file is torn
            do = "try again; nothing of it was kept"
            raise DataError(place.id, f"cannot be read on ({_first_line(error)})", "", do) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
