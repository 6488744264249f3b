"""A store: passages in a folder with a fingerprint, read as needed; or in memory.

    STORE/manifest.json    what it is, how it was made, sizes and checksums; sealed
          passages.jsonl   a passage a line: text, document, and of a fact subject, relation and value
          offsets.npy      where each line starts, and where the last one ends
          documents.npy    the document of each passage, so that those of one are found without reading them
          bm25-.../ states-.../   what retrievers keep there; made again where it is missing (`kept.py`)

Nothing is pickled. Passages are read by their offsets, so a store may be larger than memory; while it is built, about a
hundred bytes a passage are held, to leave repeats out and to find facts that contradict each other.

Not for: a store that grows. Another text is another store.
"""

import hashlib
import json
import mmap
import os
import secrets
import shutil
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from vslm.core.errors import DataError, ResultError, SpecError
from vslm.core.system import refused
from vslm.knowledge.passages import Fact, Passage, document_key
from vslm.results.files import read_json, sha256, write_json
from vslm.results.seals import sealed, was_changed

_FORMAT = 1
_KIND = "store"
_FILES = ("passages.jsonl", "offsets.npy", "documents.npy")
_FINGERPRINT_DIGITS = 12
_REBUILD = "build it again: vslm store build SOURCE OUT"

Contradictions = Literal["refuse", "leave-out", "keep"]


@dataclass(frozen=True)
class Store:
    """Passages that can be searched.

    Args:
        passages: by their number.
        documents_N: `Passage.document` of each, uint64.
        fingerprint: 12 hex digits of the passages in their order.
        folder: where they lie; None: in memory alone.
        description: what they were made from.
    """

    passages: Sequence[Passage]
    documents_N: np.ndarray
    fingerprint: str
    folder: Path | None = None
    description: str = "passages in memory"

    def __len__(self) -> int:
        return len(self.passages)

    @property
    def where(self) -> str:
        """The folder, or "store", for messages."""
        return "store" if self.folder is None else str(self.folder)


def store_of(passages: Iterable[Passage], description: str = "passages in memory") -> Store:
    """A store in memory.

    Raises: DataError if there is none.
    """
    held = tuple(passages)
    if not held:
        raise _empty("store")
    digest = hashlib.sha256()
    for passage in held:
        digest.update(_line(passage))
    documents_N = np.array([passage.document for passage in held], dtype=np.uint64)
    return Store(held, documents_N, digest.hexdigest()[:_FINGERPRINT_DIGITS], description=description)


@dataclass
class Counts:
    """Numbers of passages that were kept and left out while a store was built."""

    kept: int = 0
    repeats: int = 0
    contradicting: int = 0
    documents: set[int] = field(default_factory=set)


def build_store(
    passages: Callable[[], Iterator[tuple[str, Passage]]],
    out: Path,
    *,
    description: str,
    contradictions: Contradictions = "refuse",
) -> tuple[Store, Counts]:
    """Write a store into a new folder, whole or not at all.

    Args:
        passages: (where it was found, passage), in their order; gone through twice where they hold facts.
        out: the folder; it must not be there.
        description: what they were made from.
        contradictions: what is done with facts of one subject and relation that have several values: "refuse" them,
            "leave-out" all of these, or "keep" them, where a relation may have several.
    Raises: SpecError if the folder is there; DataError for no passages, or facts that contradict each other; RunError
        where it cannot be written.
    """
    if os.path.lexists(out):
        do = "name a new folder, or delete it first"
        raise SpecError(str(out), "it is there already", "a store is written once, whole", do)
    left_out = _contradicting(passages(), contradictions)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            temporary.mkdir(parents=True)
            counts, fingerprint = _write(temporary, passages(), left_out)
            if not counts.kept:
                raise _empty(description)
            _write_manifest(temporary, counts, fingerprint, description)
            temporary.rename(out)
        except OSError as error:
            raise refused(error, out, found="cannot be written") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return open_store(out), counts


def _contradicting(passages: Iterator[tuple[str, Passage]], contradictions: Contradictions) -> set[tuple[str, str]]:
    """Subjects with relations that have several values and are to be left out.

    Raises: DataError for the first of them where they are refused.
    """
    known: dict[tuple[str, str], tuple[str, str]] = {}
    found: set[tuple[str, str]] = set()
    if contradictions == "keep":
        return found
    for where, passage in passages:
        if passage.fact is None:
            continue
        subject, relation, value = passage.fact
        before, first_where = known.setdefault((subject, relation), (value, where))
        if before == value:
            continue
        if contradictions == "refuse":
            words = f"the {relation} of {subject} is {value!r}, and {before!r} at {first_where}"
            do = "correct one; or --contradictions leave-out, or keep where a relation has several values"
            raise DataError(where, words, "facts of a store do not contradict each other", do)
        found.add((subject, relation))
    return found


def _write(folder: Path, passages: Iterator[tuple[str, Passage]], left_out: set[tuple[str, str]]) -> tuple[Counts, str]:
    counts, digest = Counts(), hashlib.sha256()
    offsets, documents, known = array("q", [0]), array("Q"), set()
    with (folder / "passages.jsonl").open("wb") as file:
        for _, passage in passages:
            if passage.fact is not None and passage.fact[:2] in left_out:
                counts.contradicting += 1
                continue
            key = document_key(passage.text)  # so that what differs in space alone is a repeat
            if key in known:
                counts.repeats += 1
                continue
            known.add(key)
            line = _line(passage)
            file.write(line)
            digest.update(line)
            offsets.append(offsets[-1] + len(line))
            documents.append(passage.document)
            counts.kept += 1
            counts.documents.add(passage.document)
        file.flush()
        os.fsync(file.fileno())
    np.save(folder / "offsets.npy", np.frombuffer(offsets, dtype=np.int64), allow_pickle=False)
    np.save(folder / "documents.npy", np.array(documents, dtype=np.uint64), allow_pickle=False)
    return counts, digest.hexdigest()[:_FINGERPRINT_DIGITS]


def _write_manifest(folder: Path, counts: Counts, fingerprint: str, description: str) -> None:
    manifest = {
        "kind": _KIND,
        "format": _FORMAT,
        "fingerprint": fingerprint,
        "description": description,
        "num_passages": counts.kept,
        "num_documents": len(counts.documents),
        "num_repeats_left_out": counts.repeats,
        "num_contradicting_left_out": counts.contradicting,
        "sizes": {name: (folder / name).stat().st_size for name in _FILES},
        "sha256": {name: sha256(folder / name) for name in _FILES},
    }
    write_json(folder / "manifest.json", sealed(manifest))


def open_store(folder: Path) -> Store:
    """The store in a folder. Every file is read and its checksum compared.

    Raises: DataError for a folder that is no store, and for a file that is not as it was written.
    """
    manifest = _manifest(folder)
    for name in _FILES:
        path = folder / name
        if not path.is_file() or path.stat().st_size != manifest["sizes"][name]:
            raise DataError(str(path), "missing, or cut short", "a store is read as it was written", _REBUILD)
        if sha256(path) != manifest["sha256"][name]:
            found = "its bytes are not those that were written"
            raise DataError(str(path), found, "a store is not edited", _REBUILD)
    documents_N = np.load(folder / "documents.npy", mmap_mode="r", allow_pickle=False)
    offsets = np.load(folder / "offsets.npy", mmap_mode="r", allow_pickle=False)
    passages = PassageFile(folder / "passages.jsonl", offsets)
    return Store(passages, documents_N, manifest["fingerprint"], folder, str(manifest["description"]))


def store_fingerprint(folder: Path) -> str:
    """The fingerprint in the manifest of a store; passages are not read. Raises: DataError as `open_store`."""
    return str(_manifest(folder)["fingerprint"])


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise DataError(str(folder), found, "the folder of a store is needed", "vslm store build SOURCE OUT makes one")
    try:
        manifest = read_json(path)
    except ResultError as error:
        raise DataError(str(folder), f"manifest.json: {error.found}", "a store has one", _REBUILD) from None
    if not isinstance(manifest, dict) or manifest.get("kind") != _KIND:
        raise DataError(str(path), "not the manifest of a store", "", "vslm store build SOURCE OUT makes one")
    if was_changed(manifest) or manifest.get("format") != _FORMAT or "digest" not in manifest:
        raise DataError(str(path), "not as it was written, or by another version", "a store is not edited", _REBUILD)
    return manifest


class PassageFile(Sequence[Passage]):
    """Passages on disk, each read when it is indexed.

    Args:
        path: of the lines.
        offsets: where each starts, and where the last one ends.
    """

    def __init__(self, path: Path, offsets: np.ndarray) -> None:
        self._path, self._offsets = path, offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, number: int) -> Passage: ...
    @overload
    def __getitem__(self, number: slice) -> list[Passage]: ...
    def __getitem__(self, number: int | slice) -> Passage | list[Passage]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        number %= len(self)
        line = self._bytes[int(self._offsets[number]) : int(self._offsets[number + 1])]
        return _passage(json.loads(line))

    @cached_property
    def _bytes(self) -> mmap.mmap:
        with self._path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _line(passage: Passage) -> bytes:
    content: dict[str, Any] = {"text": passage.text, "document": f"{passage.document:016x}"}
    if passage.fact is not None:
        content |= passage.fact._asdict()
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _passage(content: dict[str, Any]) -> Passage:
    fact = Fact(content["subject"], content["relation"], content["value"]) if "subject" in content else None
    return Passage(content["text"], int(content["document"], 16), fact)


def _empty(where: str) -> DataError:
    return DataError(where, "there is no passage in it", "one or more are needed", "give some text")
