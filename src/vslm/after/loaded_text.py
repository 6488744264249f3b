"""A text that somebody typed, as stored models see it with passages of a store in front of it.

Passages are found for the beginning of the text: what stands before `<a>`, its first line, where there are more, else
the first half of its words. What stands behind it was used by nobody: there one sees tokens turn from surprising to
expected.
"""

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from vslm.after.loading import loader_of
from vslm.after.typed_text import TOP, TextReader
from vslm.data.tokenizers import FittedTokenizer
from vslm.knowledge.choosing import chosen
from vslm.knowledge.preloading import ANSWER, Loaded, laid_out, searched
from vslm.knowledge.retriever import Finder, ReadyModel
from vslm.knowledge.store import Store
from vslm.measure.token_table import TokenTable, token_table
from vslm.models.language_model import LanguageModel
from vslm.runs.stored_run import StoredRun

_WORD = re.compile(r"\S+")


@dataclass(frozen=True, kw_only=True)
class FromStore:
    """What is put in front of a text.

    Args:
        store: opened.
        retriever: "bm25", "states" (of each run that reads, as it ended) or "random".
        passages: how many.
    """

    store: Store
    retriever: str = "bm25"
    passages: int = 2


class LoadedTextReader(TextReader):
    """As `TextReader`, with passages in front. The remark says what was loaded for what.

    Args:
        source: of the passages.
    """

    def __init__(self, source: FromStore) -> None:
        super().__init__()
        self._source = source
        self._finders: dict[Path | None, Finder] = {}
        self._loaded: Loaded | None = None

    def __call__(self, folder: Path, text: str) -> tuple[FittedTokenizer, dict[str, np.ndarray], str]:
        """As of `TextReader`.

        Raises: as it does; DataError where no passage has room, or BM25 is not installed.
        """
        self._loaded = None
        tokenizer, arrays, remark = super().__call__(folder, text)
        assert self._loaded is not None
        loaded = f"for {beginning(text)!r} loaded: {self._loaded.words}"
        return tokenizer, arrays, "; ".join(part for part in (loaded, remark) if part)

    def _table(self, run: StoredRun, model: LanguageModel, text: str, counts_V: np.ndarray | None) -> TokenTable:
        if self._loaded is None:  # the same for every step, so that the slider shows one thing alone
            loader = loader_of(self._finder(run), run.tokenizer, model, self._source.passages)
            self._loaded = loader.load(text, beginning(text))
        rest = laid_out(text, []).text
        if not self._loaded.found or not rest:
            return token_table(model, run.tokenizer, text, top=TOP, counts_V=counts_V)
        table = token_table(model, run.tokenizer, rest, top=TOP, counts_V=counts_V, before_M=self._loaded.front_M)
        if rest == text:
            return table
        place = text.removesuffix(rest)  # `<ctx>` stands before what was loaded, and sees nothing of it
        return _joined(token_table(model, run.tokenizer, place, top=TOP, counts_V=counts_V), table)

    def _finder(self, run: StoredRun) -> Finder:
        """One for each run whose states find, one for all otherwise."""
        by_states = self._source.retriever == "states"
        name = run.path if by_states else None
        if name not in self._finders:
            retriever = chosen(self._source.retriever, run=str(run.path))
            self._finders[name] = retriever.open(self._source.store, lambda _: ReadyModel(run.model(), run.tokenizer))
        return self._finders[name]


def beginning(text: str) -> str:
    r"""What passages are found for.

    >>> beginning("Where is Anna?\nIn Riga."), beginning("Anna lives in Riga.")
    ('Where is Anna?', 'Anna lives')
    >>> beginning("<ctx> <q> where is anna? <a> riga.")
    'where is anna?'
    """
    text = laid_out(text, []).text.lstrip()
    if ANSWER in text:
        return searched(text.partition(ANSWER)[0])
    line, _, more = text.partition("\n")
    if more.strip():
        return line
    words = [*_WORD.finditer(text)]
    return text[: words[(len(words) - 1) // 2].end()] if words else text


def _joined(first: TokenTable, second: TokenTable) -> TokenTable:
    """Two tables of texts that stand side by side."""
    rows = [one.name for one in fields(TokenTable) if one.name.endswith(("_N", "_NK"))]
    columns = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in rows}
    num_bytes = int(first.to_byte_N[-1])
    for name in ("from_byte_N", "to_byte_N"):
        columns[name][len(first) :] += num_bytes
    never = None if None in (first.num_never, second.num_never) else first.num_never + second.num_never  # type: ignore[operator]
    return replace(second, **columns, num_never=never)
