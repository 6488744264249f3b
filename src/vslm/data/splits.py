"""Which document is for training, which for choices made during a study (`select`), which for verdicts (`val`).

Membership is by hash of the document's text, never by order: every document has a place between 0 and 1, val takes the
lowest places, select the highest. Adding documents to a large corpus moves none that were there.

Not for: telling near-repeats from new text. Two documents that differ in one word are two documents.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True)
class Piece:
    """What is hashed: a document, or a block of one. Pieces of one document that stand side by side are one text."""

    document: int
    number: int
    text: str
    scored: tuple[Scored, ...] | None = None


@dataclass(frozen=True)
class SplitDocuments:
    """Texts by split, in the order of the source, and what was done to get them.

    Args:
        by_split: texts; blocks that follow one another in a document and fell into one split are joined again.
        scored_by_split: of each of these texts, the stretches that count; None: all of it.
        num_documents: different documents that are not blank.
        num_repeats: documents (or blocks) left out because their text was there already.
        block_characters: about how long the blocks are; None where whole documents were split.
    """

    by_split: dict[SplitName, list[str]]
    scored_by_split: dict[SplitName, list[tuple[Scored, ...] | None]]
    num_documents: int
    num_repeats: int
    block_characters: int | None

    @property
    def cut_into_blocks(self) -> bool:
        """Whether documents were cut."""
        return self.block_characters is not None


def place(text: str) -> float:
    """A number in [0, 1) from the text, every run of whitespace counting as one space.

    >>> place("a  b\\n") == place("a b") != place("ab")
    True
    """
    return int.from_bytes(_normalized_digest(text)[:6], "big") / 2**48


def _normalized_digest(text: str) -> bytes:
    return hashlib.sha256(" ".join(text.split()).encode()).digest()


def split_documents(
    documents: Iterable[Document], splits: Splits, *, bytes_per_token: float, where: str
) -> SplitDocuments:
    """Drop blank documents and repeats, cut a corpus of too few documents into blocks, and split.

    It is cut when it has fewer than 50 documents, or one that holds over a tenth of the text. Blocks are about 16 KB,
    less (to 1 KB) where there would be fewer than 64.

    Args:
        bytes_per_token: a guess, for `min_val_tokens`: the tokenizer is not there before its training split is.
        where: the corpus, for messages.
    Raises: DataError when there is no text, or when a split would be empty.
    """
    pieces, num_repeats = _without_repeats(
        Piece(i, 0, document.text, document.scored) for i, document in enumerate(documents) if document.text.strip()
    )
    if not pieces:
        raise DataError(where, "there is no text in it", "some kilobytes are needed, a megabyte is better")
    num_documents = len(pieces)
    sizes = [len(piece.text) for piece in pieces]
    block_characters = None
    if num_documents < _FEWEST_DOCUMENTS or max(sizes) > _LARGEST_SHARE * sum(sizes):
        block_characters = min(_BLOCK_CHARACTERS, max(_SMALLEST_BLOCK_CHARACTERS, sum(sizes) // _FEWEST_BLOCKS))
        pieces, num_repeated_blocks = _without_repeats(
            block for piece in pieces for block in _blocks_of(piece, block_characters)
        )
        num_repeats += num_repeated_blocks
    members = _members(pieces, splits, bytes_per_token, where)
    joined = {name: _joined(members[name]) for name in SPLITS}
    by_split: dict[SplitName, list[str]] = {name: [text for text, _ in joined[name]] for name in SPLITS}
    scored: dict[SplitName, list[tuple[Scored, ...] | None]] = {
        name: [part for _, part in joined[name]] for name in SPLITS
    }
    return SplitDocuments(by_split, scored, num_documents, num_repeats, block_characters)


def _blocks_of(piece: Piece, block_characters: int) -> Iterator[Piece]:
    start = 0
    for number, text in enumerate(cut_into_blocks(piece.text, block_characters)):
        end = start + len(text)
        yield Piece(piece.document, number, text, cut_scored(piece.scored, start, end))
        start = end


def _without_repeats(pieces: Iterable[Piece]) -> tuple[list[Piece], int]:
    kept: dict[bytes, Piece] = {}
    num_repeats = 0
    for piece in pieces:
        num_repeats += kept.setdefault(_normalized_digest(piece.text), piece) is not piece
    return list(kept.values()), num_repeats


def _members(pieces: list[Piece], splits: Splits, bytes_per_token: float, where: str) -> dict[SplitName, list[Piece]]:
    places = [place(piece.text) for piece in pieces]
    sizes = [len(piece.text.encode()) for piece in pieces]
    total = sum(sizes)
    least_val = _LEAST_OF_SHARE * splits.val_fraction * total
    grown = splits.min_val_tokens * bytes_per_token
    if grown <= _MOST_VAL_FRACTION * total:
        least_val = max(least_val, grown)
    by_place = sorted(range(len(pieces)), key=places.__getitem__)
    val = _lowest(by_place, places, sizes, splits.val_fraction, least_val)
    from_above = [i for i in reversed(by_place) if i not in val]
    heights = [1 - value for value in places]
    least_select = _LEAST_OF_SHARE * splits.select_fraction * total
    select = _lowest(from_above, heights, sizes, splits.select_fraction, least_select)
    chosen: dict[SplitName, list[Piece]] = {
        "train": [piece for i, piece in enumerate(pieces) if i not in val and i not in select],
        "select": [piece for i, piece in enumerate(pieces) if i in select],
        "val": [piece for i, piece in enumerate(pieces) if i in val],
    }
    empty = [name for name in SPLITS if not chosen[name]]
    if empty:
        found = f"{total:,} bytes of text in {len(pieces)} different pieces leave nothing for {' and '.join(empty)}"
        least = 4 * _SMALLEST_BLOCK_CHARACTERS
        raise DataError(where, found, f"{least:,} bytes that do not repeat are the least", "give more text")
    return chosen


def _lowest(order: list[int], places: list[float], sizes: list[int], fraction: float, least_bytes: float) -> set[int]:
    """The pieces placed below `fraction`, and as many of the next ones as `least_bytes` needs."""
    taken: set[int] = set()
    num_bytes = 0
    for i in order:
        if places[i] >= fraction and num_bytes >= least_bytes:
            break
        taken.add(i)
        num_bytes += sizes[i]
    return taken


def _joined(pieces: list[Piece]) -> list[tuple[str, tuple[Scored, ...] | None]]:
    rows: list[list[Piece]] = []
    for piece in pieces:
        last = rows[-1][-1] if rows else None
        if last is not None and (piece.document, piece.number) == (last.document, last.number + 1):
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return [_join(row) for row in rows]


def _join(row: list[Piece]) -> tuple[str, tuple[Scored, ...] | None]:
    """Blocks that stand side by side, as one text again."""
    text = "".join(piece.text for piece in row)
    if row[0].scored is None:
        return text, None
    scored, start = [], 0
    for piece in row:
        scored += [Scored(one.first + start, one.end + start, one.weight) for one in piece.scored or ()]
        start += len(piece.text)
    return text, tuple(scored)


def cut_into_blocks(text: str, block_characters: int = _BLOCK_CHARACTERS) -> list[str]:
    r"""Cut a text at the first blank line after every `block_characters`.

    Where none comes before twice that length: at a line end, else at a space, else anywhere. The blocks joined are the
    text, to the byte.

    >>> cut_into_blocks("aa\n\nbb\n\ncccc\n\ndddd", 5)
    ['aa\n\nbb\n\n', 'cccc\n\n', 'dddd']
    """
    blocks = []
    start = 0
    while len(text) - start > 1.5 * block_characters:
        first, last = start + block_characters, start + 2 * block_characters
        blank = _BLANK_LINE.search(text, first, last)
        line, space = text.find("\n", first, last), text.find(" ", first, last)
        end = blank.end() if blank else (line if line >= 0 else space) + 1 or first
        blocks.append(text[start:end])
        start = end
    return [*blocks, text[start:]] if start < len(text) or not blocks else blocks
