"""How often a run sees its text: tokens of the run / tokens of the training split."""

from collections.abc import Iterator, Mapping

from vslm.core.numbers import passes_words
from vslm.data.corpus import Corpus

# "Scaling Data-Constrained Language Models" (Muennighoff et al., 2023, https://arxiv.org/abs/2305.16264): up to four
# passes are worth nearly as much as new text, and more are worth less and less.
MOST_PASSES = 4


def passes(tokens: int, corpus: Corpus) -> float:
    """How often each token of the training split is seen."""
    return tokens / corpus.train.num_tokens


def lints_of_passes(tokens: Mapping[str, int], corpora: Mapping[str, Corpus]) -> Iterator[str]:
    """What is said of runs that see their text more than four times; arms that do so alike share a sentence.

    Args:
        tokens: of one run of each arm.
        corpora: of each arm.
    """
    alike: dict[str, list[str]] = {}
    for arm, num_tokens in tokens.items():
        count = passes(num_tokens, corpora[arm])
        if count > MOST_PASSES:
            in_text = corpora[arm].train.num_tokens
            words = (
                f"{passes_words(count)}: a run trains on {num_tokens:,} tokens, and the training part of the text has "
                f"{in_text:,}; beyond {MOST_PASSES} a model learns it by heart: give more text or fewer tokens"
            )
            alike.setdefault(words, []).append(arm)
    for words, arms in alike.items():
        of_some = f"arm{'s' if len(arms) > 1 else ''} {', '.join(map(repr, arms))}: " if len(arms) < len(tokens) else ""
        yield of_some + words
