"""A source that wraps another: each stretch of its documents with the passages of a store that are found for it."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vslm.core.bounds import Context, Some
from vslm.core.errors import SpecError
from vslm.core.groups import in_groups
from vslm.core.user_modules import is_own
from vslm.data.documents import Document, Scored
from vslm.data.reading.notes import Notes
from vslm.data.sources.source import OpenModel, Source
from vslm.data.splits import Splits, cut_into_blocks
from vslm.knowledge.bm25 import BM25
from vslm.knowledge.passages import cut_text, document_key, nth_word
from vslm.knowledge.preloading import MOST_PASSAGES, laid_out, searched
from vslm.knowledge.retriever import Finder, Found, Query, Retriever, no_models
from vslm.knowledge.store import open_store, store_fingerprint
from vslm.results.files import sha256

_DEFAULT_TOKENIZER = Source.__dataclass_fields__["tokenizer"].default
_RULES = 1  # by which documents are made; other ones are another number
_BLOCK_CHARACTERS = 16_384  # of a long document that are in one split, as where a corpus has few documents
_AT_A_TIME = 256  # stretches that are searched for together
_SPARE = 8  # passages more than wanted that are looked at, where some are in the document itself


class _Stretch(NamedTuple):
    """A part of a document that gets passages.

    Args:
        name, text, scored, group: as of the document that is made of it.
        query: the part of the text that passages are found for; nothing of it counts.
        document: `document_key` of the whole document.
        whole: its text, on one line.
    """

    name: str
    text: str
    scored: tuple[Scored, ...]
    group: str
    query: str
    document: int
    whole: str


@dataclass(frozen=True, kw_only=True)
class Retrieved(Source):
    """Stretches of another source, each with the passages of a store in front that retrieval finds for its beginning.

        row = [separators] [passage k] ... [passage 1] [beginning] [rest] [separator]
        weights         0                0                  0         1         0

    A document is cut into stretches of at most `stretch_words` words and marks, at ends of sentences. The first
    `query_words` of a stretch are its beginning: passages are found for them alone, and they do not count, so nothing
    that is predicted was searched with. (The stretch before would serve as well; it is left out so that a row stands
    for itself.) A stretch that has no more than its beginning is left out. No passage is of the same document, nor
    stands in it word by word. The best one stands next to the text.

    A document of a source that says what counts in it, as examples with questions do, is one stretch, and what stands
    before the first part that counts is its beginning; what counted there counts.

    Every stretch has a row of `own_row_tokens` tokens and ends with it, so that stretch n is window n, at the same
    positions, whatever is in front: two arms that differ in retriever, store or number of passages alone have the same
    targets in the same order, in training and in evaluation. The tokenizer and the splits are those of the text without
    passages. Passages that are too long for the row are cut off at their beginning, which is counted and said.

    Controls: `Random()` for as many tokens that do not help, `passages=0` for none, `Oracle()` for what retrieval could
    be worth at most.

    Not covered: passages are found once, when the corpus is prepared, so `States` finds by a model that was trained
    before. A store may hold text of the validation split; it is then read in training, and never predicted.

    Args:
        source: the text.
        store: folder of a store (`vslm store build`). Where it lies is in no fingerprint; what it holds names the
            corpus.
        retriever: how passages are found.
        passages: how many; 0 for none.
        stretch_words: words and marks of a stretch at most.
        query_words: of its beginning.
        own_row_tokens: of a row; the context of a model is this, or a multiple.
        tokenizer, splits: of `source`, unless they are given.
    Raises: SpecError for counts that leave nothing to predict.
    """

    source: Source
    store: str = dataclasses.field(metadata={"in_fingerprint": False})
    retriever: Retriever = BM25()
    passages: Some = 2
    stretch_words: Some = 96
    query_words: Some = 16
    own_row_tokens: Context = 256  # type: ignore[assignment]

    def __post_init__(self, vocabulary: int | None) -> None:
        """Take the tokenizer and the splits of the source where none are given, then check."""
        if isinstance(self.source, Source):
            if vocabulary is None and self.tokenizer is _DEFAULT_TOKENIZER:
                object.__setattr__(self, "tokenizer", self.source.tokenizer)
            if self.splits == Splits():
                object.__setattr__(self, "splits", self.source.splits)
        super().__post_init__(vocabulary)

    def check(self) -> None:
        """Refuse a store without a name, and counts that leave nothing to predict."""
        if not self.store.strip():
            raise SpecError("store", "an empty path", "the folder of a store is needed")
        if not 0 <= self.passages <= MOST_PASSAGES:
            raise SpecError("passages", f"found {self.passages}", f"0 to {MOST_PASSAGES} can be put in front")
        if not 1 <= self.query_words < self.stretch_words:
            allowed = f"1 to {self.stretch_words - 1} of the {self.stretch_words} words of a stretch are needed"
            raise SpecError("query_words", f"found {self.query_words}", allowed)
        if self.retriever.reads_with_asking:
            found = "a corpus is prepared before any model is there to find with its own states"
            raise SpecError("retriever", found, "words, or the states of a finished run", "States(run=...)")
        if self.own_row_tokens < 2:
            raise SpecError("own_row_tokens", f"found {self.own_row_tokens}", "2 or more are needed")

    def describe(self) -> str:
        """What a person calls this corpus."""
        found = f"{self.passages} passages of {self.store} by {type(self.retriever).__name__}"
        return f"{self.source.describe()}, with {found if self.passages else 'no passages'}"

    def runs(self) -> tuple[str, ...]:
        """Folders of the finished runs that it finds with."""
        return self.retriever.runs() if self.passages else ()

    def files(self) -> Sequence[Path]:
        """Of the text, and of the store."""
        return [*self.source.files(), Path(self.store) / "manifest.json"]

    def identity(self) -> Any | None:
        """Of the text, the store, and the weights that it finds with."""
        text = None if is_own(type(self.source)) else self.source.identity()
        if text is None or is_own(type(self.retriever)):
            return None
        weights = [Path(run) / "weights.safetensors" for run in self.runs()]
        if not all(path.is_file() for path in weights):  # who opens the run says what is missing
            return None
        runs = [sha256(path) for path in weights]
        return [_RULES, type(self.source).__name__, text, store_fingerprint(Path(self.store)), runs]

    def documents(self) -> Iterator[Document]:
        """With a retriever that needs no model. Raises: SpecError with one that does."""
        return self.read_with(Notes(), None)

    def read(self, notes: Notes) -> Iterator[Document]:
        """As `documents`."""
        return self.read_with(notes, None)

    def read_with(self, notes: Notes, models: OpenModel | None) -> Iterator[Document]:
        """A document for each stretch, in the order of the source.

        Raises: DataError for a folder that is no store, and whatever the source and the retriever raise.
        """
        finder = self._finder(models)
        num_stretches, num_without = 0, 0
        for some in in_groups(self._stretches(self.source.read_with(notes, models)), _AT_A_TIME):
            found = self._found(finder, some)
            for stretch, texts in zip(some, found, strict=True):
                num_stretches += 1
                num_without += len(texts) < self.passages
                yield _document(stretch, texts)
        if self.passages and num_without:
            notes.remark(
                f"{num_without:,} of {num_stretches:,} stretches have fewer than {self.passages} passages in front: no "
                "more were found for them"
            )

    def _finder(self, models: OpenModel | None) -> Finder | None:
        if not self.passages:
            return None
        return self.retriever.open(open_store(Path(self.store)), models or no_models)

    def _stretches(self, documents: Iterable[Document]) -> Iterator[_Stretch]:
        for document in documents:
            if not document.text.strip():
                continue
            key, whole = document_key(document.text), " ".join(document.text.split())
            if document.scored:
                text = document.text
                query = text[: document.scored[0].first]
                group = document.group or text
                yield _Stretch(document.name, text, document.scored, group, query, key, whole)
                continue
            for place, block in enumerate(cut_into_blocks(document.text, _BLOCK_CHARACTERS)):
                for first, end in cut_text(block, self.stretch_words):
                    text = block[first:end]
                    begins = nth_word(text, self.query_words)
                    if begins is None:
                        continue
                    scored = (Scored(begins, len(text)),)
                    name = f"{document.name}, character {first:,} of block {place + 1}"
                    yield _Stretch(name, text, scored, f"{key:016x}:{place}", text[:begins], key, whole)

    def _found(self, finder: Finder | None, some: Sequence[_Stretch]) -> list[list[str]]:
        """The texts of the passages of each stretch, best first."""
        if finder is None:
            return [[] for _ in some]
        queries = [Query(searched(one.query), one.document, answer=one.text[one.scored[0].first :]) for one in some]
        rows = finder.find_many(queries, self.passages + _SPARE)
        return [self._outside(finder, row, one.whole) for row, one in zip(rows, some, strict=True)]

    def _outside(self, finder: Finder, row: Sequence[Found], whole: str) -> list[str]:
        texts = (finder.store.passages[found.passage].text for found in row)
        return [text for text in texts if " ".join(text.split()) not in whole][: self.passages]


def _document(stretch: _Stretch, texts: Sequence[str]) -> Document:
    front, rest = laid_out(stretch.text, texts)
    moved = len(front) - (len(stretch.text) - len(rest))
    scored = tuple(Scored(one.first + moved, one.end + moved, one.weight) for one in stretch.scored)
    return Document(stretch.name, front + rest, scored, front=len(front), group=stretch.group)
