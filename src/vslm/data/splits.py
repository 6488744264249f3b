"""Which document is for training, which for choices (`select`), which for verdicts (`val`).

Membership is by hash of the document's whitespace-normalized text, never by order, so that adding documents moves none.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from vslm.core.errors import DataError, SpecError
from vslm.core.specs import Spec
from vslm.data.documents import Document

SplitName = Literal["train", "select", "val"]

# With fewer documents, or with one that holds more than this share, hashing whole documents gives splits of wild sizes.
_FEWEST_DOCUMENTS = 100
_LARGEST_SHARE = 0.25
_BLOCK_CHARACTERS = 16_384


@dataclass(frozen=True, kw_only=True)
class Splits(Spec):
    """Shares of the corpus, by documents.

    Args:
        val_fraction: for verdicts only.
        select_fraction: for any choice made during a study.
    """

    val_fraction: float = 0.1
    select_fraction: float = 0.05

    def check(self) -> None:
        """Refuse shares that leave nothing for one of the three."""
        for name in ("val_fraction", "select_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise SpecError(name, f"found {getattr(self, name)}", "a fraction between 0 and 1 is needed")
        if self.val_fraction + self.select_fraction >= 0.9:
            raise SpecError("val_fraction", "val and select leave under a tenth for training", "their sum is below 0.9")

    def of(self, text: str) -> SplitName:
        """The split of a document with this text."""
        place = int(normalized_hash(text)[:13], 16) / 16**13
        if place < self.val_fraction:
            return "val"
        return "select" if place < self.val_fraction + self.select_fraction else "train"


@dataclass(frozen=True)
class SplitDocuments:
    """Documents by split, in the order of the source, and what was done to get them."""

    by_split: dict[SplitName, list[Document]]
    num_repeats: int
    cut_into_blocks: bool


def normalized_hash(text: str) -> str:
    """SHA-256 of the text with every run of whitespace as one space."""
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "surrogatepass")).hexdigest()


def split_documents(documents: Iterable[Document], splits: Splits, where: str) -> SplitDocuments:
    """Drop repeats and empty documents, cut a corpus of too few documents into blocks, and split.

    Raises: DataError when the corpus is empty or a split would be.
    """
    seen: set[str] = set()
    kept: list[Document] = []
    num_repeats = 0
    for document in documents:
        key = normalized_hash(document.text)
        if not document.text.strip():
            continue
        num_repeats += key in seen
        if key not in seen:
            seen.add(key)
            kept.append(document)
    if not kept:
        raise DataError(where, "the corpus is empty", "at least some kilobytes of text are needed")
    num_characters = sum(len(document.text) for document in kept)
    largest = max(len(document.text) for document in kept)
    cut = len(kept) < _FEWEST_DOCUMENTS or largest > _LARGEST_SHARE * num_characters
    if cut:
        size = min(_BLOCK_CHARACTERS, max(256, num_characters // 200))
        kept = [block for document in kept for block in cut_into_blocks(document, size)]
    by_split: dict[SplitName, list[Document]] = {"train": [], "select": [], "val": []}
    for document in kept:
        by_split[splits.of(document.text)].append(document)
    for name, part in by_split.items():
        if not part:
            found = f"no text for the {name} split ({num_characters:,} characters in {len(kept)} pieces)"
            raise DataError(where, found, "about 100 kB of text or more is needed", "give more text")
    return SplitDocuments(by_split, num_repeats, cut)


def cut_into_blocks(document: Document, size: int = _BLOCK_CHARACTERS) -> list[Document]:
    """Cut at blank lines (at line ends, or anywhere, where there are none) into blocks of about `size` characters.

    The blocks joined are the text.

    >>> [block.text for block in cut_into_blocks(Document("d", "aa\\n\\nbb\\n\\ncc"), 5)]
    ['aa\\n\\n', 'bb\\n\\n', 'cc']
    """
    pieces = re.split(r"(?<=\n\n)(?=[^\n])", document.text)
    pieces = [part for piece in pieces for part in _no_longer_than(piece, 2 * size)]
    blocks, current = [], ""
    for piece in pieces:
        if current and len(current) + len(piece) > size:
            blocks.append(current)
            current = ""
        current += piece
    blocks.append(current)
    return [Document(f"{document.name}#{i}", block) for i, block in enumerate(blocks)]


def _no_longer_than(piece: str, size: int) -> list[str]:
    parts = []
    while len(piece) > size:
        at = piece.rfind("\n", size // 2, size) + 1 or size
        parts.append(piece[:at])
        piece = piece[at:]
    return [*parts, piece]
