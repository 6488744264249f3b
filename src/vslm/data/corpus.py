"""From a source to flat token files, once: cached under `VSLM_HOME` by content, built under a temporary name.

    $VSLM_HOME/corpora/<fingerprint>/{train,select,val}.bin, tokenizer.json, meta.json

Two processes that ask for the same corpus build it once; the second waits. The lock is the operating system's, held
through filelock, so a killed process leaves none behind.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from vslm.core.errors import DataError, SpecError
from vslm.core.specs import to_plain
from vslm.data.documents import Document
from vslm.data.sources import Source
from vslm.data.splits import SplitName, split_documents
from vslm.data.tokenizers import FittedTokenizer, load_tokenizer
from vslm.results.files import read_json, sha256, write_json

_FORMAT = 1
_SPLITS: tuple[SplitName, ...] = ("train", "select", "val")
_UINT16_IDS = 65_536


def home() -> Path:
    """Where vslm keeps what it can make again: `VSLM_HOME`, or `~/.cache/vslm`."""
    return Path(os.environ.get("VSLM_HOME") or Path.home() / ".cache" / "vslm")


@dataclass(frozen=True)
class TokenFile:
    """The tokens of one split, documents in a row."""

    path: Path
    dtype: str
    num_bytes: int
    num_documents: int

    @cached_property
    def tokens(self) -> np.ndarray:
        """1-D, read from the file as needed."""
        return np.memmap(self.path, dtype=self.dtype, mode="r")


@dataclass(frozen=True)
class Corpus:
    """A corpus that is ready to train on."""

    folder: Path
    meta: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """12 hex digits of the text, the tokenizer and the splits."""
        return self.meta["fingerprint"]

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self.meta["vocabulary"]

    @cached_property
    def tokenizer(self) -> FittedTokenizer:
        """Text to ids and back."""
        return load_tokenizer(self.folder / "tokenizer.json")

    def split(self, name: SplitName) -> TokenFile:
        """The tokens of a split."""
        part = self.meta["splits"][name]
        return TokenFile(self.folder / f"{name}.bin", self.meta["dtype"], part["num_bytes"], part["num_documents"])

    def bytes_per_token(self, name: SplitName) -> float:
        """Bytes of text per token, the separators counted as tokens of no bytes."""
        part = self.meta["splits"][name]
        return part["num_bytes"] / part["num_tokens"]


def prepare(source: Source, *, say: Callable[[str], None] = lambda text: None) -> Corpus:
    """The corpus of a source: from the cache, or built now.

    Raises: DataError or SpecError, with a place in the source, for a corpus that cannot be used.
    """
    documents = list(source.documents())
    fingerprint = _fingerprint(source, documents)
    folder = home() / "corpora" / fingerprint
    folder.parent.mkdir(parents=True, exist_ok=True)
    found = _opened(folder, say)
    if found is not None:
        return found
    lock = FileLock(str(folder) + ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another process is preparing {source.describe()}; waiting for it")
        lock.acquire()
    try:
        return _opened(folder, say) or _built(source, documents, folder, say)
    finally:
        lock.release()


def open_corpus(fingerprint: str) -> Corpus:
    """A corpus that was prepared on this machine.

    Raises: DataError if it is not there.
    """
    found = _opened(home() / "corpora" / fingerprint, lambda text: None)
    if found is None:
        raise DataError(f"corpus {fingerprint}", "not in the cache", "", "run `vslm run` on the study again")
    return found


def _fingerprint(source: Source, documents: Iterable[Document]) -> str:
    digest = hashlib.sha256(json.dumps([_FORMAT, to_plain(source.tokenizer), to_plain(source.splits)]).encode())
    for document in documents:
        digest.update(hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()[:12]


def _opened(folder: Path, say: Callable[[str], None]) -> Corpus | None:
    if not (folder / "meta.json").exists():
        return None
    meta = read_json(folder / "meta.json")
    size = np.dtype(meta["dtype"]).itemsize
    for name in _SPLITS:
        path = folder / f"{name}.bin"
        if not path.exists() or path.stat().st_size != meta["splits"][name]["num_tokens"] * size:
            say(f"{path}: torn, so the corpus is prepared again")
            return None
    return Corpus(folder, meta)


def _built(source: Source, documents: list[Document], folder: Path, say: Callable[[str], None]) -> Corpus:
    say(f"preparing {source.describe()}: {len(documents):,} documents")
    parts = split_documents(documents, source.splits, source.describe())
    separated = len(documents) > 1
    try:
        train = parts.by_split["train"]
        tokenizer = source.tokenizer.fit(lambda: (document.text for document in train), separated=separated)
    except SpecError as error:
        raise error.within("data.tokenizer") from None
    if parts.cut_into_blocks:
        say("few or very uneven documents: cut at blank lines into blocks, which are split instead")
    dtype = "uint16" if tokenizer.vocabulary <= _UINT16_IDS else "uint32"
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    splits = {}
    for name in _SPLITS:
        texts = [document.text for document in parts.by_split[name]]
        ids = tokenizer.encode_many(texts)
        if tokenizer.end_of_text is not None:
            ids = [np.append(item, tokenizer.end_of_text) for item in ids]
        tokens = np.concatenate(ids).astype(dtype)
        path = temporary / f"{name}.bin"
        tokens.tofile(path)
        splits[name] = {
            "num_tokens": len(tokens),
            "num_bytes": sum(len(text.encode("utf-8", "surrogatepass")) for text in texts),
            "num_documents": len(texts),
            "sha256": sha256(path),
        }
    tokenizer.save(temporary / "tokenizer.json")
    meta = {
        "format": _FORMAT,
        "fingerprint": folder.name,
        "description": source.describe(),
        "vocabulary": tokenizer.vocabulary,
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "dtype": dtype,
        "num_documents": len(documents),
        "num_repeats": parts.num_repeats,
        "cut_into_blocks": parts.cut_into_blocks,
        "splits": splits,
    }
    write_json(temporary / "meta.json", meta)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    return Corpus(folder, meta)
