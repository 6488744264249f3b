"""Made-up documents that can only be continued by remembering: keys with values, and later the keys again.

What it asks of a model is exactly one thing, so that its answers can be counted by distance.

How soon it is learned is a matter of steps more than of tokens: a model first learns which letters the document holds
(accuracy 1 / num_pairs) and stays there until attention has learned to look one token back. Few pairs, few letters and
small batches shorten that wait.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vslm.core.bounds import Context, Documents, Seed, Vocabulary
from vslm.core.errors import SpecError
from vslm.core.seeds import derive_seed
from vslm.data.documents import Document, Scored
from vslm.data.sources.source import Source
from vslm.data.tokenizers import Characters, FittedTokenizer, Tokenizer

_LATIN, _GREEK, _CYRILLIC, _ARMENIAN = (0x61, 0x7A), (0x3B1, 0x3C9), (0x430, 0x44F), (0x561, 0x586)
_FINAL_SIGMA = 0x3C2  # shares its capital with another letter
KEYS = "".join(
    chr(code)
    for first, last in (_LATIN, _GREEK, _CYRILLIC, _ARMENIAN)
    for code in range(first, last + 1)
    if code != _FINAL_SIGMA
)
"""Small letters: what can be a key."""
VALUES = KEYS.upper()
"""Capital letters: what can be a value."""

_END_TOKENS = 2  # a line end and the separator close every document
_DOCUMENTS_AT_A_TIME = 4096  # drawn together, so that a longer corpus starts with the documents of a shorter one
_MOST_TOKENS = 2**24  # drawn in about a minute, and held in memory as text
_FEWEST_DOCUMENTS = 64  # below, the splits would cut documents into blocks
_MANTISSA_BITS = 53
_RULES = 2  # by which documents are drawn, and what counts in them; other ones are another number


@dataclass(frozen=True, kw_only=True)
class AssociativeRecall(Source):
    r"""Multi-query associative recall: pairs of key and value, then the keys again, and their values are to be said.

    A document is a row of pairs. The first `num_pairs` have different keys (small letters) with different values
    (capitals), drawn anew for every document. All later pairs are queries: a key that was there already, then the same
    value. A key cannot be foreseen; the value of a query can, from the document alone.

    >>> source = AssociativeRecall(num_pairs=3, document_tokens=20, num_letters=4, seed=1)
    >>> next(source.documents()).text
    'cCbDaBbDaBaBbDaBaB\n'

    Here `cC`, `bD` and `aB` are the pairs. The first query, `b` at token 6, reaches back 4 tokens, to the `b` at token
    2, and `D` is its answer; the next, `a` at token 8, reaches back to token 4; then `a` again, 2 tokens after it.

    Distances are controlled: for each query a distance is drawn whose logarithm is even between 1 pair and all pairs
    so far, and the key whose latest mention is nearest to it is asked. So near and far queries are about equally
    frequent per octave. The distance of a query is counted from the latest mention of its key, because that is how far
    back a model has to look at least.

    One letter is one token, and every document has exactly `document_tokens` of them, its line end and the separator
    included. Windows start where documents start (`align_tokens`), so no query is cut off from its pair, and
    `context_tokens` has to be a multiple of `document_tokens`. Only the values of queries are scored, since nobody can
    foresee a key, or the value of a pair. They are `predictable_fraction` of all targets, 37% at the defaults.

    Paper: Zoology: Measuring and Improving Recall in Efficient Language Models, Arora et al., 2023,
    https://arxiv.org/abs/2312.04927, which defines the task. We differ: they space queries by a power law within
    filler; we have no filler, and draw distances evenly in their logarithm. Keys and values there are from 8,192
    tokens, here from at most 120 letters.

    Chance: 1 / num_letters for a guess among all values, 1 / num_pairs for a guess among those of the document.

    Args:
        num_pairs: pairs to remember.
        document_tokens: of a document, even; queries fill what the pairs leave.
        num_letters: how many different keys there are, and as many values; at least num_pairs, at most 120.
        num_documents: in all three splits together. They are different draws, split by hash as any corpus is.
        seed: of all draws.
        tokenizer: `Characters()`; no other gives one token per letter.
        splits: see `Source`.
    Raises: SpecError for counts that leave no query, too many letters, or another tokenizer.
    """

    tokenizer: Tokenizer = Characters()
    num_pairs: Context = 16
    document_tokens: Context = 128
    num_letters: Vocabulary = 64
    num_documents: Documents = 16_384
    seed: Seed = 0

    def check(self) -> None:
        """Refuse what cannot be drawn, and a document without a query."""
        if not isinstance(self.tokenizer, Characters):
            found = f"found {type(self.tokenizer).__name__}"
            raise SpecError("tokenizer", found, "Characters() is needed: a letter is a token here")
        if self.num_pairs < 1:
            raise SpecError("num_pairs", f"found {self.num_pairs}", "1 or more is needed")
        if not self.num_pairs <= self.num_letters <= len(KEYS):
            allowed = f"at least num_pairs={self.num_pairs} and at most {len(KEYS)} are needed"
            raise SpecError("num_letters", f"found {self.num_letters}", allowed)
        least = 2 * (self.num_pairs + 1) + _END_TOKENS
        if self.document_tokens < least or self.document_tokens % 2:
            allowed = f"an even number of {least} or more is needed: {self.num_pairs} pairs, a query and two tokens"
            raise SpecError("document_tokens", f"found {self.document_tokens}", allowed)
        if self.num_documents < _FEWEST_DOCUMENTS:
            raise SpecError("num_documents", f"found {self.num_documents}", f"{_FEWEST_DOCUMENTS} or more are needed")
        if self.num_documents * self.document_tokens > _MOST_TOKENS:
            found = f"{self.num_documents:,} documents of {self.document_tokens:,} tokens"
            raise SpecError("num_documents", found, f"at most {_MOST_TOKENS:,} tokens in all are drawn")

    @property
    def align_tokens(self) -> int:
        """Windows start where a document starts."""
        return self.document_tokens

    @property
    def reach_tokens(self) -> int:
        """From the last query back to the first pair.

        >>> AssociativeRecall().reach_tokens
        125
        """
        return 2 * (self._num_places - 1) + 1

    @property
    def plateau_nats(self) -> float:
        """Of a model that knows which values a document holds, and not whose they are.

        >>> round(AssociativeRecall(num_pairs=8).plateau_nats, 3)
        2.079
        """
        return math.log(self.num_pairs)

    @property
    def predictable_fraction(self) -> float:
        """The share of targets that are values of queries.

        >>> round(AssociativeRecall().predictable_fraction, 3)
        0.367
        """
        return (self._num_places - self.num_pairs) / self.document_tokens

    @property
    def _num_places(self) -> int:
        """Pairs of a document, queries included."""
        return (self.document_tokens - _END_TOKENS) // 2

    def describe(self) -> str:
        """What a person calls this corpus."""
        return (
            f"associative recall of {self.num_pairs} pairs in {self.document_tokens} tokens, "
            f"{self.num_documents:,} documents, seed {self.seed}"
        )

    def identity(self) -> int:
        """Of the rules by which documents are drawn; all else are fields."""
        return _RULES

    def documents(self) -> Iterator[Document]:
        """Every document, in the order of the draws."""
        scored = tuple(Scored(2 * place + 1, 2 * place + 2) for place in range(self.num_pairs, self._num_places))
        for start in range(0, self.num_documents, _DOCUMENTS_AT_A_TIME):
            texts = self._texts(start // _DOCUMENTS_AT_A_TIME)[: self.num_documents - start]
            for number, text in enumerate(texts, start):
                yield Document(f"recall#{number}", text, scored)

    def _texts(self, part: int) -> list[str]:
        """One part of the corpus. Raw numbers of Philox alone are used, which no version of numpy changes."""
        generator = np.random.Philox(key=derive_seed("associative recall", self.seed, part))

        def uniform(*shape: int) -> np.ndarray:
            raw = generator.random_raw(_DOCUMENTS_AT_A_TIME * int(np.prod(shape)))
            return (raw >> (64 - _MANTISSA_BITS)).reshape(-1, *shape) / 2.0**_MANTISSA_BITS

        letters_NP, capitals_NP = (
            np.argsort(uniform(self.num_letters), axis=1, kind="stable")[:, : self.num_pairs] for _ in range(2)
        )
        asked_NQ = _asked(uniform(self._num_places - self.num_pairs), self.num_pairs)
        pairs_N1 = np.broadcast_to(np.arange(self.num_pairs), letters_NP.shape)
        order_NQ = np.concatenate([pairs_N1, asked_NQ], axis=1)
        codes = np.empty((_DOCUMENTS_AT_A_TIME, 2 * self._num_places + 1), dtype=np.uint32)
        key_codes, value_codes = (np.array([ord(letter) for letter in text], np.uint32) for text in (KEYS, VALUES))
        codes[:, 0:-1:2] = key_codes[np.take_along_axis(letters_NP, order_NQ, axis=1)]
        codes[:, 1:-1:2] = value_codes[np.take_along_axis(capitals_NP, order_NQ, axis=1)]
        codes[:, -1] = ord("\n")
        return codes.view(f"<U{codes.shape[1]}").ravel().tolist()


def _asked(draws_NQ: np.ndarray, num_pairs: int) -> np.ndarray:
    """Which pair each query asks for.

    Args:
        draws_NQ: numbers in [0, 1): where the distance lies between 1 pair and all pairs so far, on a log scale.
        num_pairs: that were given before the first query.
    """
    num_documents, num_queries = draws_NQ.shape
    log_ages = np.log(np.maximum(np.arange(num_pairs + num_queries + 1), 1))
    latest_NP = np.tile(np.arange(num_pairs), (num_documents, 1))
    asked_NQ = np.empty((num_documents, num_queries), dtype=np.int64)
    rows = np.arange(num_documents)
    for query in range(num_queries):
        place = num_pairs + query
        wanted_N1 = draws_NQ[:, query, None] * log_ages[place]
        asked_NQ[:, query] = np.abs(log_ages[place - latest_NP] - wanted_N1).argmin(axis=1)
        latest_NP[rows, asked_NQ[:, query]] = place
    return asked_NQ


def query_distances(tokens_NT: np.ndarray, tokenizer: FittedTokenizer) -> np.ndarray:
    """How far back the latest mention of the key lies, in tokens, for every token that is a query; 0 for all others.

    A query is a key that stood earlier in the same document and in the same window, so its value can be foreseen.

    Args:
        tokens_NT: windows of a corpus of `AssociativeRecall`.
        tokenizer: of that corpus.
    """
    is_key_V = np.array([item.decode() in KEYS and len(item) > 0 for item in tokenizer.token_bytes])
    latest_NV = np.full((len(tokens_NT), tokenizer.vocabulary), -1)
    distances_NT = np.zeros(tokens_NT.shape, dtype=np.int64)
    rows = np.arange(len(tokens_NT))
    for t, tokens_N in enumerate(tokens_NT.T):
        latest_N = latest_NV[rows, tokens_N]
        distances_NT[:, t] = np.where(is_key_V[tokens_N] & (latest_N >= 0), t - latest_N, 0)
        latest_NV[rows, tokens_N] = t
        latest_NV[tokens_N == tokenizer.end_of_text] = -1
    return distances_NT
