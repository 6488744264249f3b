"""The token file of a split, written as its texts come, and beside it how much each token counts."""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from vslm.data.documents import token_weights
from vslm.data.splits import Part
from vslm.data.tokenizers import FittedTokenizer

_CHARACTERS_AT_A_TIME = 2**21  # encoded together: enough for several threads
_TEXTS_AT_A_TIME = 2**14


class SplitWriter:
    """Open while texts are added; what it wrote is on the disk, and known by size and checksum, once it is closed.

    Args:
        path: of the ids; weights get another ending.
        tokenizer: fitted. Behind each text stands its separator, where it has one.
        dtype: of an id in the file.
        has_weights: whether weights are written: fp32, 1 where a text says nothing of what counts.
    """

    def __init__(self, path: Path, tokenizer: FittedTokenizer, dtype: np.dtype, *, has_weights: bool) -> None:
        self._tokenizer, self._dtype = tokenizer, dtype
        self._ids = _Digested(path)
        self._weights = _Digested(path.with_suffix(".weights")) if has_weights else None
        self._waiting: list[Part] = []
        self._num_waiting = 0  # characters
        self.num_tokens, self.num_bytes, self.num_documents = 0, 0, 0
        self.weight = 0.0
        """The sum of what counts, where weights are written."""

    def __enter__(self) -> "SplitWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._write()
        finally:
            for file in self._files():
                file.close(is_whole=kind is None)

    def add(self, part: Part) -> None:
        """The next text."""
        self._waiting.append(part)
        self._num_waiting += len(part.text)
        if self._num_waiting >= _CHARACTERS_AT_A_TIME or len(self._waiting) == _TEXTS_AT_A_TIME:
            self._write()

    def sizes(self) -> dict[str, int]:
        """What a corpus records of a split."""
        return {"num_tokens": self.num_tokens, "num_bytes": self.num_bytes, "num_documents": self.num_documents}

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
            self._ids.write(row.astype(self._dtype).tobytes())
            self.num_tokens += len(row)
            self.num_bytes += len(part.text.encode())
            self.num_documents += 1
            if self._weights is not None:
                weights = np.full(len(row), float(part.scored is None), dtype=np.float32)
                if part.scored is not None:  # the separator behind it does not count
                    weights[: len(ids)] = token_weights(part.text, part.scored, tokenizer.token_num_bytes[ids])
                self._weights.write(weights.astype("<f4").tobytes())
                self.weight += float(weights.sum(dtype=np.float64))


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
