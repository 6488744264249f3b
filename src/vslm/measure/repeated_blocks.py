"""Random blocks of tokens that are given twice: text in which only copying helps."""

from dataclasses import dataclass

import numpy as np

from vslm.core.bounds import Context, Some, Tokens
from vslm.core.errors import SpecError
from vslm.core.seeds import derive_seed
from vslm.data.corpus import Corpus
from vslm.data.sources.source import Source
from vslm.measure.measure import OnWindows
from vslm.measure.token_counts import occurring_tokens
from vslm.models.language_model import Model

_FEWEST_TOKENS = 2  # of a block: the first token is not compared, so one more is needed


@dataclass(frozen=True, kw_only=True)
class OnRepeatedBlocks(OnWindows):
    """Interface: a measure on sequences of a random block and the same block again.

        x_0 ... x_{N-1} x_0 ... x_{N-1}        each x_j uniform over the ids that occur in training, the separator not

    Uniform, and not by the corpus's own frequencies, because then a block holds few repeats of its own and nothing but
    copying can help. Only ids that occur in training, because a byte that no text holds has an embedding that was never
    trained (most of 257 ids of bytes are such), and failing to copy it says nothing about attention.

    The draw depends on the corpus and on N alone, so every arm of that context, every seed and every step sees the same
    sequences.

    Args:
        num_evaluations: see `OnWindows`; copying may come suddenly, so it is looked at along the way.
        num_tokens: tokens that go into the model at each of them, rounded up to whole sequences.
        block_tokens: N, 2 or more, with 2 * N - 1 no more than the context; None: as many as fit.
    """

    num_evaluations: Some = 16
    num_tokens: Tokens = 4096
    block_tokens: Context | None = None

    def check(self) -> None:
        """Refuse a block in which nothing is compared."""
        super().check()
        if self.block_tokens is not None and self.block_tokens < _FEWEST_TOKENS:
            raise SpecError("block_tokens", f"found {self.block_tokens}", f"{_FEWEST_TOKENS} or more are needed")

    def check_fits(self, *, model: Model, source: Source) -> None:
        """The block must fit twice into the context."""
        self._block_tokens(model.context_tokens)

    def windows(self, corpus: Corpus, context_tokens: int) -> np.ndarray:
        """The sequences, [number, 2 * N]: what goes in is all but the last token."""
        block_tokens = self._block_tokens(context_tokens)
        num_blocks = -(-self.num_tokens // (2 * block_tokens - 1))
        return repeated_blocks(occurring_tokens(corpus), num_blocks=num_blocks, block_tokens=block_tokens)

    def _block_tokens(self, context_tokens: int) -> int:
        most = (context_tokens + 1) // 2
        block_tokens = most if self.block_tokens is None else self.block_tokens
        if not _FEWEST_TOKENS <= block_tokens <= most:
            found = f"{type(self).__name__} of blocks of {block_tokens} tokens in a context of {context_tokens}"
            allowed = f"blocks of {_FEWEST_TOKENS} to {most} tokens fit twice" if most > 1 else "a context of 3 or more"
            raise SpecError("measures", found, allowed)
        return block_tokens


def repeated_blocks(ids: np.ndarray, *, num_blocks: int, block_tokens: int) -> np.ndarray:
    """Blocks of ids drawn evenly, each followed by itself: [num_blocks, 2 * block_tokens]. Always the same draw.

    >>> first, second = np.split(repeated_blocks(np.array([3, 5, 7]), num_blocks=2, block_tokens=4), 2, axis=1)
    >>> bool((first == second).all()), sorted(set(first.ravel().tolist()))
    (True, [3, 5, 7])
    """
    # The generator's raw numbers, which no version of numpy changes.
    numbers = np.random.Philox(key=derive_seed("repeated blocks", block_tokens)).random_raw(num_blocks * block_tokens)
    block = ids[(numbers % np.uint64(len(ids))).astype(np.int64)].reshape(num_blocks, block_tokens).astype(np.int64)
    return np.concatenate([block, block], axis=1)
