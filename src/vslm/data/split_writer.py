"""The token file of a split, written as its texts come, and beside it how much each token counts."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from vslm.data.documents import token_weights
from vslm.data.rows import Row, Rows
from vslm.data.splits import Part
from vslm.data.tokenizers import FittedTokenizer

_CHARACTERS_AT_A_TIME = 2**21  # encoded together: enough for several threads
_TEXTS_AT_A_TIME = 2**14


@dataclass
class OwnRows:
    """What was done to fill rows: padding tokens, documents whose beginning was cut off, and those of which something
    that counts was.
    """

    num_padding: int = 0
    num_cut: int = 0
    num_scored_cut: int = 0


class SplitWriter:
    """Open while texts are added; what it wrote is on the disk, and known by size and checksum, once it is closed.

    Args:
        path: of the ids; weights get another ending.
        tokenizer: fitted. Behind each text stands its separator, where it has one.
        dtype: of an id in the file.
        has_weights: whether weights are written: fp32, 1 where a text says nothing of what counts.
        own_row_tokens: see `Source.own_row_tokens`.
        row_tokens: of rows that hold whole texts, whose padding counts nothing; a longer text is left out and counted.
            None: texts follow each other and are cut anywhere.
    """

    def __init__(
        self,
        path: Path,
        tokenizer: FittedTokenizer,
        dtype: np.dtype,
        *,
        has_weights: bool,
        own_row_tokens: int | None = None,
        row_tokens: int | None = None,
    ) -> None:
        self._tokenizer, self._dtype, self._own_row_tokens = tokenizer, dtype, own_row_tokens
        self._ids = _Digested(path)
        self._weights = _Digested(path.with_suffix(".weights")) if has_weights else None
        self._rows = None if row_tokens is None else Rows(row_tokens, tokenizer.end_of_text or 0)
        self._waiting: list[Part] = []
        self._num_waiting = 0  # characters
        self.num_tokens, self.num_bytes, self.num_documents = 0, 0, 0
        self.num_padding, self.num_too_long = 0, 0
        self.weight = 0.0
        """The sum of what counts, where weights are written."""
        self.own_rows = OwnRows()
        """What was done to fill rows."""
        self._judged = hashlib.sha256()

    def __enter__(self) -> "SplitWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._write()
                for row in self._rows.finish() if self._rows else ():
                    self._write_row(row)
        finally:
            for file in self._files():
                file.close(is_whole=kind is None)

    def add(self, part: Part) -> None:
        """The next text."""
        self._waiting.append(part)
        self._num_waiting += len(part.text)
        if self._num_waiting >= _CHARACTERS_AT_A_TIME or len(self._waiting) == _TEXTS_AT_A_TIME:
            self._write()

    @property
    def judged(self) -> str:
        """The SHA-256 of the tokens that count, with how much they do, where each text has a row of its own: equal for
        two corpora that are judged by the same targets, whatever else stands in them.
        """
        return self._judged.hexdigest()

    def sizes(self) -> dict[str, int]:
        """What a corpus records of a split."""
        sizes = {"num_tokens": self.num_tokens, "num_bytes": self.num_bytes, "num_documents": self.num_documents}
        if self._rows is not None:
            sizes |= {"num_padding": self.num_padding, "num_too_long": self.num_too_long}
        return sizes

    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file, by its name."""
        return {file.name: file.digest() for file in self._files()}

    def _files(self) -> list["_Digested"]:
        return [self._ids] if self._weights is None else [self._ids, self._weights]

    def _write(self) -> None:
        tokenizer = self._tokenizer
        parts, self._waiting, self._num_waiting = self._waiting, [], 0
        for part, ids in zip(parts, tokenizer.encode_many([part.text for part in parts]), strict=True):
            row = ids if tokenizer.end_of_text is None else np.append(ids, tokenizer.end_of_text)
            if self._rows is not None and not self._rows.fits(len(row)):
                self.num_too_long += 1
                continue
            weights, num_bytes = None, len(part.text.encode())
            if self._weights is not None:
                weights = np.full(len(row), float(part.scored is None), dtype=np.float32)
                if part.scored is not None:  # the separator behind it does not count
                    weights[: len(ids)] = token_weights(part.text, part.scored, tokenizer.token_num_bytes[ids])
            if self._own_row_tokens is not None:
                row, weights = self._filled(row, weights, self._own_row_tokens)
                num_bytes = int(tokenizer.token_num_bytes[row].sum())
            self.num_bytes += num_bytes
            self.num_documents += 1
            if self._rows is not None and weights is not None:
                for one in self._rows.add(row, weights):
                    self._write_row(one)
            else:
                self._write_ids(row, weights)

    def _write_row(self, row: Row) -> None:
        self.num_padding += row.num_padding
        self._write_ids(row.ids, row.weights)

    def _write_ids(self, ids: np.ndarray, weights: np.ndarray | None) -> None:
        self._ids.write(ids.astype(self._dtype).tobytes())
        self.num_tokens += len(ids)
        if self._weights is not None and weights is not None:
            self._weights.write(weights.astype("<f4").tobytes())
            self.weight += float(weights.sum(dtype=np.float64))
            if self._own_row_tokens is not None:
                self._judge(ids, weights)

    def _filled(
        self, row: np.ndarray, weights: np.ndarray | None, own_row_tokens: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """A document as the end of a row."""
        num_missing = max(0, own_row_tokens - len(row))
        cut = len(row) - own_row_tokens if len(row) > own_row_tokens else 0
        self.own_rows.num_padding += num_missing
        self.own_rows.num_cut += cut > 0
        if weights is not None:
            self.own_rows.num_scored_cut += bool(weights[:cut].any())
            weights = np.concatenate([np.zeros(num_missing, dtype=np.float32), weights[cut:]])
            weights[0] = 0  # what it is predicted from stands in another row
        return np.concatenate([np.full(num_missing, self._tokenizer.end_of_text or 0), row[cut:]]), weights

    def _judge(self, row: np.ndarray, weights: np.ndarray) -> None:
        counts = weights > 0
        self._judged.update(row[counts].astype("<i8").tobytes())
        self._judged.update(weights[counts].astype("<f4").tobytes())


class _Digested:
    """A file whose checksum is taken while it is written."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._file: BinaryIO = path.open("wb")
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """The next bytes."""
        self._file.write(data)
        self._hash.update(data)

    def digest(self) -> str:
        """Of all bytes that were written, as hex digits."""
        return self._hash.hexdigest()

    def close(self, *, is_whole: bool) -> None:
        """With its bytes on the disk, where it is whole."""
        with self._file:
            if is_whole:
                self._file.flush()
                os.fsync(self._file.fileno())
