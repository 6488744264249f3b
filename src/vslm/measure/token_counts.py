"""How often every token occurs in the training split."""

import numpy as np

from vslm.data.corpus import Corpus

_TOKENS_AT_A_TIME = 2**22  # counted together: the file may be larger than memory


def training_counts(corpus: Corpus) -> np.ndarray:
    """Occurrences of every id in `train`, [V]. Cost: one pass over the split, about 2 ms per million tokens."""
    tokens = corpus.train.tokens
    count_V = np.zeros(corpus.vocabulary, dtype=np.int64)
    for start in range(0, len(tokens), _TOKENS_AT_A_TIME):
        count_V += np.bincount(tokens[start : start + _TOKENS_AT_A_TIME], minlength=corpus.vocabulary)
    return count_V


def occurring_tokens(corpus: Corpus) -> np.ndarray:
    """The ids that training shows at least once, rising, without the separator of documents."""
    ids = np.flatnonzero(training_counts(corpus))
    return ids[ids != corpus.tokenizer.end_of_text]


def never_words(num_tokens: int) -> str:
    """What a reader has to know of so many tokens that training never showed; empty for none.

    >>> never_words(0), never_words(1)[:41]
    ('', '1 token never occurs in the training text')
    >>> never_words(3)
    '3 tokens never occur in the training text, so what is said of them is little more than the initial weights'
    """
    if not num_tokens:
        return ""
    verb, them = ("tokens never occur", "them") if num_tokens > 1 else ("token never occurs", "it")
    text = "in the training text, so what is said of"
    return f"{num_tokens:,} {verb} {text} {them} is little more than the initial weights"
