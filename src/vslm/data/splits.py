"""Which document is for training, which for choices made during a study (`select`), which for verdicts (`val`).

Membership is by hash of the document's text, every run of whitespace counting as one space, never by order: the first
48 bits of its SHA-256 are a place between 0 and 1, val takes the lowest places, select the highest. Adding documents to
a large corpus moves none that were there.

Of a text its hash and its size are kept, and no letter; which split it is in is found when it comes again.

Not for: telling near-repeats from new text. Two documents that differ in one word are two documents.
"""

import hashlib
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from vslm.core.bounds import Real, Tokens
from vslm.core.errors import DataError, SpecError
from vslm.core.specs import Spec
from vslm.data.documents import Document, Scored, cut_scored

SplitName = Literal["train", "select", "val"]
SPLITS: tuple[SplitName, ...] = ("train", "select", "val")

# With fewer documents a tenth of them is a handful, and the share of text that it holds is a matter of luck.
_FEWEST_DOCUMENTS = 50
# One document that could fill val alone makes it lumpy; the standard library's largest file is 6% of it.
_LARGEST_SHARE = 0.1
_BLOCK_CHARACTERS = 16_384
_SMALLEST_BLOCK_CHARACTERS = 1_024
_FEWEST_BLOCKS = 64  # below this, blocks are smaller, so that a tenth of them is still several
_LEAST_OF_SHARE = 0.5  # a split that luck left with less than this part of its share is filled up to it
_MOST_VAL_FRACTION = 0.2  # what val may grow to for min_val_tokens
_PLACE_BITS = 48
_CHARACTERS_AT_A_TIME = 2**20
_SPACE = re.compile(r"\s")  # what str.split splits at
_LEFT_OUT = len(SPLITS)  # where a piece that is in a split has the place of that split
_BLANK_LINE = re.compile(r"\n(?:[ \t]*\r?\n)+")


@dataclass(frozen=True, kw_only=True)
class Splits(Spec):
    """Shares of the corpus.

    Args:
        val_fraction: for verdicts only.
        select_fraction: for any choice made during a study.
        min_val_tokens: val grows to about this many tokens where that takes at most a fifth of the text: a small
            validation set is most of the noise of a small study. 0 never grows it.
    Raises: SpecError for fractions outside (0, 0.5], or a negative number of tokens.
    """

    val_fraction: Real = 0.1
    select_fraction: Real = 0.05
    min_val_tokens: Tokens = 200_000

    def check(self) -> None:
        """Refuse shares that leave nothing for one of the three."""
        for name in ("val_fraction", "select_fraction"):
            value = getattr(self, name)
            if not 0 < value <= 0.5:
                raise SpecError(name, f"found {value}", "a fraction above 0 and at most 0.5 is needed")
        if self.val_fraction + self.select_fraction > 0.9:
            raise SpecError("val_fraction", "val and select leave under a tenth for training", "at most 0.9 in sum")
        if self.min_val_tokens < 0:
            raise SpecError("min_val_tokens", f"found {self.min_val_tokens}", "0 or more is needed")


class Part(NamedTuple):
    """A text of a split: a document, or blocks of one that stand side by side.

    Args:
        split: that it is in.
        text: of it.
        scored: the stretches that count; None: all of it.
        front: characters that were put in front of it.
    """

    split: SplitName
    text: str
    scored: tuple[Scored, ...] | None
    front: int = 0


class Texts:
    """Texts that can be gone through as often as wanted, each time from the first; without what was put in front."""

    def __init__(self, parts: Callable[[], Iterator[Part]]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[str]:
        return (part.text[part.front :] for part in self._parts())


class Fronts(Texts):
    """What was put in front of the texts, where something was."""

    def __iter__(self) -> Iterator[str]:
        return (part.text[: part.front] for part in self._parts() if part.front)


class Pieces:
    """What is known of the pieces of a corpus (documents, or blocks of them): 32 bytes each, and none of their text."""

    def __init__(self) -> None:
        self._columns = tuple(array("Q") for _ in range(4))
        self._grouped: dict[int, int] = {}  # piece -> the hash that decides its place, where that is not its own

    def add(self, text: str, group: str | None = None) -> None:
        """The next piece, and what it has in common with those that are to be in the same split."""
        if group is not None:
            self._grouped[len(self)] = int.from_bytes(normalized_digest(group)[:8], "big")
        digest = normalized_digest(text)
        halves = (int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big"))
        for column, number in zip(self._columns, (*halves, len(text.encode()), len(text)), strict=True):
            column.append(number)

    def __len__(self) -> int:
        return len(self._columns[0])

    @property
    def high(self) -> np.ndarray:
        """The first 64 bits of the hash of each."""
        return self._column(0)

    @property
    def low(self) -> np.ndarray:
        """The next 64."""
        return self._column(1)

    @property
    def places(self) -> np.ndarray:
        """Of each, its place in [0, 1)."""
        decides = self.high
        if self._grouped:
            decides = decides.copy()
            decides[list(self._grouped)] = np.array([*self._grouped.values()], dtype=np.uint64)
        return (decides >> np.uint64(64 - _PLACE_BITS)) / 2.0**_PLACE_BITS

    @property
    def num_bytes(self) -> np.ndarray:
        """Of each, in UTF-8."""
        return self._column(2).astype(np.int64)

    @property
    def num_characters(self) -> np.ndarray:
        """Of each."""
        return self._column(3).astype(np.int64)

    def _column(self, number: int) -> np.ndarray:
        return np.frombuffer(self._columns[number], dtype=np.uint64)

    def is_first(self) -> np.ndarray:
        """Whether no piece before has the same text, for each; by 128 bits of its hash."""
        order = np.lexsort((self.low, self.high))  # stable, so the first of equals comes first
        is_first = np.ones(len(self), dtype=bool)
        high, low = self.high[order], self.low[order]
        is_first[order[1:]] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        return is_first


def normalized_digest(text: str) -> bytes:
    """SHA-256 of `" ".join(text.split())`, some words at a time: all words of a long text take ten times its memory."""
    digest, start, space = hashlib.sha256(), 0, b""
    while start < len(text):
        cut = _SPACE.search(text, start + _CHARACTERS_AT_A_TIME)
        end = cut.start() if cut else len(text)
        if words := text[start:end].split():
            digest.update(space + " ".join(words).encode())
            space = b" "
        start = end
    return digest.digest()


@dataclass(frozen=True)
class SplitDocuments:
    """Which text is in which split, and what was done to get there. Holds no text: documents are gone through again.

    Args:
        documents: of the source.
        num_documents: different documents that are not blank.
        num_repeats: documents (or blocks) left out because their text was there already.
        block_characters: about how long the blocks are; None where whole documents were split.
        has_scored: whether a document says what counts in it.
        is_kept: 1 for each document that is not blank and no repeat, 0 for repeats.
        pieces: what was split: the documents, or the blocks of those that are kept.
        labels: of each piece the place of its split in `SPLITS`; of a repeat another number.
    """

    documents: Iterable[Document]
    num_documents: int
    num_repeats: int
    block_characters: int | None
    has_scored: bool
    is_kept: bytes
    pieces: Pieces
    labels: bytes

    @property
    def cut_into_blocks(self) -> bool:
        """Whether documents were cut."""
        return self.block_characters is not None

    def parts(self, *names: SplitName) -> Iterator[Part]:
        """The texts of these splits, in the order of the source; blocks that stand side by side in one are one."""
        return self._parts(self.labels, names)

    def texts(self, *names: SplitName) -> Texts:
        """Their texts alone."""
        return Texts(lambda: self.parts(*names))

    def fronts(self) -> Texts:
        """What was put in front of them, of all splits."""
        return Fronts(lambda: self.parts(*SPLITS))

    def train_texts(self, most_bytes: int | None) -> Texts:
        """The texts of the training split, or some of them: those lowest by another part of their hash, so that they
        are the same in any order, and mostly the same as the corpus grows.

        Args:
            most_bytes: of all texts together, one at least; None: all there are.
        """
        labels, train_label = np.frombuffer(self.labels, dtype=np.uint8), SPLITS.index("train")
        train = np.flatnonzero(labels == train_label)
        order = train[np.argsort(self.pieces.low[train], kind="stable")]
        sizes = self.pieces.num_bytes[order].cumsum()
        if most_bytes is None or sizes[-1] <= most_bytes:
            return self.texts("train")
        chosen = np.full(len(labels), _LEFT_OUT, dtype=np.uint8)
        chosen[order[: max(1, int(np.searchsorted(sizes, most_bytes, side="right")))]] = train_label
        return Texts(lambda: self._parts(chosen.tobytes(), ("train",)))

    def _parts(self, labels: bytes, names: tuple[SplitName, ...]) -> Iterator[Part]:
        wanted = {SPLITS.index(name) for name in names}
        first = 0  # piece of the document
        for is_kept, document in zip(self.is_kept, _not_blank(self.documents), strict=True):
            if self.block_characters is None:
                ends = [len(document.text)]
            else:
                ends = list(_block_ends(document.text, self.block_characters)) if is_kept else []
            start = 0
            for number, end in enumerate(ends, first):
                label, is_last = labels[number], end == len(document.text)
                if is_last or labels[number + 1] != label:
                    if label in wanted:
                        scored = cut_scored(document.scored, start, end)
                        yield Part(SPLITS[label], document.text[start:end], scored, document.front)
                    start = end
            first += len(ends)


def split_documents(
    documents: Iterable[Document], splits: Splits, *, bytes_per_token: float, where: str, whole: bool = False
) -> SplitDocuments:
    """Drop blank documents and repeats, cut a corpus of too few documents into blocks, and split.

    It is cut when it has fewer than 50 documents, or one that holds over a tenth of the text. Blocks are about 16 KB,
    less (to 1 KB) where there would be fewer than 64.

    Args:
        documents: gone through once, twice where they are cut, and again whenever the texts of a split are asked for.
        bytes_per_token: a guess, for `min_val_tokens`: the tokenizer is not there before its training split is.
        where: the corpus, for messages.
        whole: whether documents are never cut, however few there are.
    Raises: DataError when there is no text, or when a split would be empty.
    """
    pieces, are_scored = Pieces(), bytearray()
    for document in _not_blank(documents):
        pieces.add(document.text[document.front :], document.group)
        are_scored.append(document.scored is not None)
    if not len(pieces):
        raise DataError(where, "there is no text in it", "some kilobytes are needed, a megabyte is better")
    is_kept = is_first = pieces.is_first()
    sizes = pieces.num_characters[is_kept]
    num_documents, num_characters = len(sizes), int(sizes.sum())
    num_repeats = len(pieces) - num_documents
    has_scored = bool(np.frombuffer(are_scored, dtype=bool)[is_kept].any())
    block_characters = None
    is_uneven = num_documents < _FEWEST_DOCUMENTS or int(sizes.max()) > _LARGEST_SHARE * num_characters
    if is_uneven and not whole:
        block_characters = min(_BLOCK_CHARACTERS, max(_SMALLEST_BLOCK_CHARACTERS, num_characters // _FEWEST_BLOCKS))
        pieces = _blocks_of(documents, is_kept, block_characters)
        is_first = pieces.is_first()
        num_repeats += int((~is_first).sum())
    labels = _labels(pieces, is_first, splits, bytes_per_token, where)
    return SplitDocuments(
        documents, num_documents, num_repeats, block_characters, has_scored, is_kept.tobytes(), pieces, labels.tobytes()
    )


def _not_blank(documents: Iterable[Document]) -> Iterator[Document]:
    return (document for document in documents if document.text.strip())


def _blocks_of(documents: Iterable[Document], is_kept: np.ndarray, block_characters: int) -> Pieces:
    blocks = Pieces()
    for kept, document in zip(is_kept, _not_blank(documents), strict=True):
        if kept:
            for text in cut_into_blocks(document.text, block_characters):
                blocks.add(text)
    return blocks


def _labels(pieces: Pieces, is_first: np.ndarray, splits: Splits, bytes_per_token: float, where: str) -> np.ndarray:
    """The place in `SPLITS` of each piece; of a repeat, `_LEFT_OUT`."""
    places, sizes, kept = pieces.places, pieces.num_bytes, np.flatnonzero(is_first)
    total = int(sizes[kept].sum())
    least_val = _LEAST_OF_SHARE * splits.val_fraction * total
    grown = splits.min_val_tokens * bytes_per_token
    if grown <= _MOST_VAL_FRACTION * total:
        least_val = max(least_val, grown)
    from_below = kept[np.argsort(places[kept], kind="stable")]
    num_val = _num_lowest(places[from_below], sizes[from_below], splits.val_fraction, least_val)
    from_above = from_below[num_val:][::-1]
    least_select = _LEAST_OF_SHARE * splits.select_fraction * total
    num_select = _num_lowest(1 - places[from_above], sizes[from_above], splits.select_fraction, least_select)
    members: dict[SplitName, np.ndarray] = {
        "train": from_above[num_select:],
        "select": from_above[:num_select],
        "val": from_below[:num_val],
    }
    empty = [name for name in SPLITS if not len(members[name])]
    if empty:
        found = f"{total:,} bytes of text in {len(kept)} different pieces leave nothing for {' and '.join(empty)}"
        least = 4 * _SMALLEST_BLOCK_CHARACTERS
        raise DataError(where, found, f"{least:,} bytes that do not repeat are the least", "give more text")
    labels = np.full(len(pieces), _LEFT_OUT, dtype=np.uint8)
    for label, name in enumerate(SPLITS):
        labels[members[name]] = label
    return labels


def _num_lowest(places: np.ndarray, sizes: np.ndarray, fraction: float, least_bytes: float) -> int:
    """How many of these, which rise, are placed below `fraction`, and of the next ones as `least_bytes` needs."""
    is_enough = (places >= fraction) & (sizes.cumsum() - sizes >= least_bytes)
    num = int(is_enough.argmax()) if is_enough.any() else len(places)
    while 0 < num < len(places) and places[num] == places[num - 1]:  # of one group
        num += 1
    return num


def cut_into_blocks(text: str, block_characters: int) -> Iterator[str]:
    r"""Cut a text at the first blank line after every `block_characters`.

    Where none comes before twice that length: at a line end, else at a space, else anywhere. The blocks joined are the
    text, to the byte.

    >>> list(cut_into_blocks("aa\n\nbb\n\ncccc\n\ndddd", 5))
    ['aa\n\nbb\n\n', 'cccc\n\n', 'dddd']
    """
    start = 0
    for end in _block_ends(text, block_characters):
        yield text[start:end]
        start = end


def _block_ends(text: str, block_characters: int) -> Iterator[int]:
    start = 0
    while len(text) - start > 1.5 * block_characters:
        first, last = start + block_characters, start + 2 * block_characters
        blank = _BLANK_LINE.search(text, first, last)
        line, space = text.find("\n", first, last), text.find(" ", first, last)
        start = blank.end() if blank else (line if line >= 0 else space) + 1 or first
        yield start
    if start < len(text):
        yield len(text)
