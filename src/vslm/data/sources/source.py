"""What every source is: a spec that yields documents, with the tokenizer and the splits that they are to get.

Not for: reading formats (each source does its own), or caching (`vslm.data.corpus` does, for all of them).
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import Any

from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.data.documents import Document
from vslm.data.reading.notes import Notes
from vslm.data.splits import Splits
from vslm.data.tokenizers import BPE, Tokenizer

OpenModel = Callable[[str], Any]
"""Folder of a finished run -> its model, for a source that reads with one. Who knows runs gives it."""
_DEFAULT_TOKENIZER = BPE()
_SETTLED_SECONDS = 2.0  # a file younger than this may change again without a new time on some file systems


@dataclass(frozen=True, kw_only=True)
class Source(Spec, ABC):
    """Documents, and how they become tokens.

    Two sources with the same text in the same order, the same tokenizer and the same splits are the same corpus,
    wherever their files lie.

    Args:
        tokenizer: how text becomes tokens; default byte-level BPE.
        vocabulary: shorthand for `tokenizer=BPE(vocabulary=...)`; not a field.
        splits: shares of train, select and val.
    Raises: SpecError if `vocabulary` is given beside another tokenizer.
    """

    tokenizer: Tokenizer = _DEFAULT_TOKENIZER
    vocabulary: InitVar[int | None] = None
    splits: Splits = Splits()

    def __post_init__(self, vocabulary: int | None) -> None:
        """Read the shorthand, then check as every spec does."""
        if vocabulary is not None:
            wanted = BPE(vocabulary=vocabulary)
            # By identity: a tokenizer that was written down is never overruled, not even one equal to the default.
            if self.tokenizer is not _DEFAULT_TOKENIZER and self.tokenizer != wanted:
                found = f"found vocabulary={vocabulary} beside tokenizer={self.tokenizer!r}"
                raise SpecError("vocabulary", found, "it is shorthand for tokenizer=BPE(vocabulary=...)", "give one")
            object.__setattr__(self, "tokenizer", wanted)
        super().__post_init__()

    @abstractmethod
    def documents(self) -> Iterator[Document]:
        """Every document, in an order that depends on the content of the source alone."""

    def read(self, notes: Notes) -> Iterator[Document]:
        """The same documents; a source of files tells `notes` what they were, and what was passed over."""
        del notes
        return self.documents()

    def read_with(self, notes: Notes, models: OpenModel | None) -> Iterator[Document]:
        """The same documents, of a source that finds out with models of finished runs what they are."""
        del models
        return self.read(notes)

    @abstractmethod
    def describe(self) -> str:
        """What a person calls this corpus, in a few words."""

    @property
    def align_tokens(self) -> int:
        """Windows start at multiples of this many tokens: the length of every document where all have the same, or of
        a row.
        """
        return self.row_tokens or self.own_row_tokens or 1

    @property
    def row_tokens(self) -> int | None:
        """Documents are laid whole into rows of so many tokens, what is left of a row is padding that does not count,
        and documents that are longer are left out and counted; None: documents follow each other, and a window begins
        and ends anywhere. Rows are for texts that mean nothing when they are cut, such as a context with a question.
        """
        return None

    @property
    def own_row_tokens(self) -> int | None:
        """So many tokens belong to each document alone, and it ends with the last of them: separators stand in front of
        a shorter one, and of a longer one the beginning is cut off, which is counted. So document n is window n, and
        ends at the same position whatever stands in front of it. None: documents lie side by side.
        """
        return None

    @property
    def reach_tokens(self) -> int:
        """How many tokens a model must see, the last one included, to answer what is asked; 1 where nothing is."""
        return 1

    @property
    def plateau_nats(self) -> float | None:
        """The loss at which a model stands that has not begun to use its context for what is asked, although it knows
        all else; None: measured as in any text, against what the last token alone says.
        """
        return None

    def answer_types(self) -> Mapping[str, tuple[str, ...]]:
        """Which answers are of one type (a city, a job), by the type's name; none where that is not known."""
        return {}

    def files(self) -> Sequence[Path]:
        """The files that decide the documents, so that unchanged ones need not be read again; none: there are none."""
        return ()

    def identity(self) -> Any | None:
        """What decides the documents beside the fields of this source, as JSON values, known without reading them.

        Two sources of one class with equal fields and equal identities have the same documents, so a corpus that was
        prepared from one is that of the other: the revision of what is downloaded, a number for the rules by which
        documents are drawn. By default place, size and time of the files. None: only reading tells, as where a file
        is so young that it may change again without a new time.
        Raises: DataError where there is nothing to be known of, such as a file that is gone.
        """
        states = [(str(path.resolve()), path.stat()) for path in self.files()]
        newest = max((stat.st_mtime for _, stat in states), default=time.time())
        if time.time() - newest < _SETTLED_SECONDS:
            return None
        return [(path, stat.st_size, stat.st_mtime_ns) for path, stat in states]
