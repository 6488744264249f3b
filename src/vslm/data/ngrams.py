"""n-gram models of a corpus: what can be known of the next token from none, one or two tokens before it.

    p_0(v)      = 1 / V
    p_n(v | h)  = max(c(h v) - D, 0) / c(h .)  +  D * N1+(h .) / c(h .) * p_{n-1}(v | h without its first token)

Interpolated Kneser-Ney of orders 1 to 3, with one discount per order, D = n1 / (n1 + 2 n2) (n1, n2: how many n-grams
occur once and twice; 1/2 where no n-gram occurs once, which leaves room for what was not seen). c(h v) counts at the
highest order; at every lower one it is how many different tokens stand before (h v). N1+(h .) is how many different
tokens follow h. After an h that was never seen the lower order speaks alone. No probability is zero.

The marginal of p_2 over the corpus is its unigram distribution, which is what the lower order's counts are for.

Papers: Improved backing-off for m-gram language modeling, Kneser and Ney, 1995; An Empirical Study of Smoothing
Techniques for Language Modeling, Chen and Goodman, 1998, section 2.7 and equation 13, for the interpolation and D.
We differ: no padding, since tokens are one row in which the separator is a token, as a model sees them.

Memory: 12 bytes for every different bigram and trigram, nothing of size V^2. Counts of 4M tokens take about a second.
Not for: text. Ids in, probabilities out; no torch.
"""

import contextlib
from dataclasses import dataclass

import numpy as np

from vslm.core.errors import ResultError, RunError
from vslm.data.corpus import Corpus
from vslm.results.files import read_arrays, write_arrays

ORDERS = (0, 1, 2, 3)
NOTHING = -1  # in a context: there is no such token, so the lower order is asked
MOST_TOKENS = 2**24
_PIECE_TOKENS = 2**16
_FORMAT = 1  # of the cached counts
_NO_DISCOUNT_KNOWN = 0.5


@dataclass(frozen=True)
class Rows:
    """Distributions over the vocabulary, one for each of N contexts, written as a few numbers each.

    p_n(v) = sum of `p_X` where (row_X, token_X) is (n, v)  +  rest_N[n] * base_V[v]
    """

    row_X: np.ndarray
    token_X: np.ndarray
    p_X: np.ndarray
    rest_N: np.ndarray
    base_V: np.ndarray

    def dense(self) -> np.ndarray:
        """p_NV, each row with a sum of one."""
        p_NV = self.rest_N[:, None] * self.base_V
        np.add.at(p_NV, (self.row_X, self.token_X), self.p_X)
        return p_NV


class _Counts:
    """Counts of (context, token) by sorted key `context * V + token`, and what is made of them per context."""

    def __init__(self, keys_X: np.ndarray, counts_X: np.ndarray, vocabulary: int) -> None:
        self.keys_X, self.counts_X, self.vocabulary = keys_X, counts_X, vocabulary
        self.discount = _discount(counts_X)
        self._sum_up_to = np.concatenate([[0], np.cumsum(counts_X, dtype=np.int64)])

    def rows(self, context_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(row_X, token_X, p_X, rest_N): the discounted part, and what is left for the lower order."""
        start_N = np.searchsorted(self.keys_X, context_N * self.vocabulary)
        end_N = np.searchsorted(self.keys_X, (context_N + 1) * self.vocabulary)
        length_N = end_N - start_N
        total_N = self._sum_up_to[end_N] - self._sum_up_to[start_N]
        row_X = np.repeat(np.arange(len(context_N)), length_N)
        place_X = np.arange(len(row_X)) + np.repeat(start_N - (np.cumsum(length_N) - length_N), length_N)
        p_X = np.maximum(self.counts_X[place_X] - self.discount, 0.0) / total_N[row_X]
        rest_N = np.where(total_N > 0, self.discount * length_N / np.maximum(total_N, 1), 1.0)
        return row_X, self.keys_X[place_X] % self.vocabulary, p_X, rest_N


class NGrams:
    """The estimates p_0 to p_3 of one row of tokens.

    Args:
        vocabulary: V.
        bigrams: (sorted keys `a * V + b`, counts).
        trigrams: (sorted keys `(a * V + b) * V + c`, counts).
        counts_V: of every token.
    """

    def __init__(
        self,
        vocabulary: int,
        counts_V: np.ndarray,
        bigrams: tuple[np.ndarray, np.ndarray],
        trigrams: tuple[np.ndarray, np.ndarray],
    ) -> None:
        self.vocabulary = vocabulary
        self.counts_V, self.bigrams, self.trigrams = counts_V, bigrams, trigrams
        self.uniform_V = np.full(vocabulary, 1 / vocabulary)
        self.unigram_V = self._interpolated(counts_V)
        self._follows_V = self._interpolated(np.bincount(bigrams[0] % vocabulary, minlength=vocabulary))
        self._two = _Counts(*bigrams, vocabulary)
        self._three = _Counts(*trigrams, vocabulary)
        # How many different tokens stand before a bigram: the same count for every trigram that ends in it.
        self._two_lower = _Counts(*np.unique(trigrams[0] % vocabulary**2, return_counts=True), vocabulary)

    def _interpolated(self, counts_V: np.ndarray) -> np.ndarray:
        """One distribution, from counts and the uniform one."""
        discount, total = _discount(counts_V), max(int(counts_V.sum()), 1)
        left = discount * np.count_nonzero(counts_V) / total if counts_V.any() else 1.0
        return np.maximum(counts_V - discount, 0.0) / total + left * self.uniform_V

    def rows(self, order: int, contexts_N2: np.ndarray) -> Rows:
        """p_order of what follows each context.

        Args:
            order: 0 to 3.
            contexts_N2: the last two tokens, the latest at the right; `NOTHING` in the left column: there is but one.
        """
        contexts_N2 = np.asarray(contexts_N2, dtype=np.int64)
        if order < 2:
            nothing, base_V = np.empty(0, dtype=np.int64), (self.uniform_V, self.unigram_V)[order]
            return Rows(nothing, nothing, np.empty(0), np.ones(len(contexts_N2)), base_V)
        before_N, last_N = contexts_N2.T
        has_two_N = (before_N != NOTHING) & (order == 3)
        parts, rest_N = [], np.ones(len(contexts_N2))
        for where_N, chain in ((~has_two_N, [self._two]), (has_two_N, [self._three, self._two_lower])):
            places = np.flatnonzero(where_N)
            for counts in chain:
                is_three = counts is self._three
                context = before_N[places] * self.vocabulary + last_N[places] if is_three else last_N[places]
                row_X, token_X, p_X, left = counts.rows(context)
                parts.append((places[row_X], token_X, p_X * rest_N[places][row_X]))
                rest_N[places] *= left
        row_X, token_X, p_X = (np.concatenate(part) for part in zip(*parts, strict=True))
        in_order = np.argsort(row_X, kind="stable")
        return Rows(row_X[in_order], token_X[in_order], p_X[in_order], rest_N, self._follows_V)


def estimate(tokens: np.ndarray, vocabulary: int) -> NGrams:
    """Count a row of tokens.

    Args:
        tokens: three or more ids below `vocabulary`. Of more than `MOST_TOKENS`, pieces of 65,536 tokens are counted
            that are spread evenly and hold about as many together.
    """
    trigrams, bigrams, counts_V = [], [], np.zeros(vocabulary, dtype=np.int64)
    for piece in _pieces(tokens):
        ids = np.asarray(piece, dtype=np.int64)
        counts_V += np.bincount(ids, minlength=vocabulary)
        bigrams.append(ids[:-1] * vocabulary + ids[1:])
        trigrams.append(bigrams[-1][:-1] * vocabulary + ids[2:])
    two, three = (_counted(np.concatenate(keys)) for keys in (bigrams, trigrams))
    return NGrams(vocabulary, counts_V, two, three)


def ngrams_of(corpus: Corpus) -> NGrams:
    """The estimates of a corpus's training split: counted once, then kept beside it as `ngrams.npz`
    where the cache can be written.
    """
    path, made_for = corpus.folder / "ngrams.npz", [_FORMAT, int(corpus.fingerprint, 16), corpus.vocabulary]
    try:
        found = read_arrays(path)
    except ResultError:  # torn: counted again
        found = {}
    if "made_for" in found and found["made_for"].tolist() == made_for:
        two, three = ((found[f"{name}_keys"], found[f"{name}_counts"]) for name in ("bigram", "trigram"))
        return NGrams(corpus.vocabulary, found["counts_V"], two, three)
    ngrams = estimate(corpus.train.tokens, corpus.vocabulary)
    arrays = {"made_for": np.array(made_for), "counts_V": ngrams.counts_V}
    for name, (keys, counts) in (("bigram", ngrams.bigrams), ("trigram", ngrams.trigrams)):
        arrays |= {f"{name}_keys": keys, f"{name}_counts": counts}
    with contextlib.suppress(RunError):
        write_arrays(path, arrays)
    return ngrams


def _pieces(tokens: np.ndarray) -> list[np.ndarray]:
    if len(tokens) <= MOST_TOKENS:
        return [tokens]
    num_pieces = MOST_TOKENS // _PIECE_TOKENS
    starts = np.linspace(0, len(tokens) - _PIECE_TOKENS, num_pieces).astype(np.int64)
    return [tokens[start : start + _PIECE_TOKENS] for start in starts]


def _counted(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    different, counts = np.unique(keys, return_counts=True)
    return different, counts.astype(np.int32)


def _discount(counts: np.ndarray) -> float:
    once, twice = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
    return once / (once + 2 * twice) if once else _NO_DISCOUNT_KNOWN
