"""A few pieces of validation text, token by token, through training: what the token view of the page shows."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vslm.core.bounds import Context, Some
from vslm.core.errors import SpecError
from vslm.data.corpus import Corpus
from vslm.data.tokenizers import FittedTokenizer
from vslm.data.windows import document_bounds
from vslm.measure.measure import Evaluator, Measure, log_spaced_steps
from vslm.measure.token_counts import training_counts
from vslm.measure.token_table import token_table
from vslm.models.language_model import LanguageModel

_MOST_PIECES = 100  # each is an entry in a list to choose from
_FEWEST_TOKENS = 8  # of bytes, and still a character among them


@dataclass(frozen=True, kw_only=True)
class TokenView(Measure):
    """Loss, rank, entropy and the likeliest tokens at every token of a few fixed pieces of validation text.

        loss_n = -ln p(x_n | what stands before it in the piece),   rank_n = 1 + #{v : p_v > p_n}

    Each piece begins where a document begins, so a reader and the model know equally much of it; in a corpus of one
    document they are spread evenly. A piece longer than the context is read in windows that slide, see `token_table`.

    Cost: forward passes over `num_pieces * piece_tokens` tokens each time; 60 bytes a token and time in arrays.npz.

    Args:
        num_evaluations: 1 takes it at the end alone; 2 or more at log-spaced steps, step 0 and the last among them.
        num_pieces: how many pieces of text; fewer where the validation text holds fewer.
        piece_tokens: tokens of a piece, up to the end of its character.
        top: how many of the likeliest tokens are recorded.

    Arrays, N tokens of all pieces in a row, K of `top`: `ids_N`; `piece_N`, which piece a token belongs to;
        `loss_nats_N`, NaN where nothing stands before the token; `rank_N`, 1 is the likeliest, 0 where nothing stands
        before; `entropy_nats_N`; `is_never_N`, 1 where training never showed the token; `top_ids_NK` and `top_p_NK`,
        likeliest first. P pieces: `from_token_P`, where in the
        validation tokens they begin. What an id means is in the run's tokenizer.json.
    """

    recorded_as: ClassVar[str] = "token_view"
    num_evaluations: Some = 10
    num_pieces: Some = 2
    piece_tokens: Context = 192
    top: Some = 5

    def check(self) -> None:
        """Refuse counts below one, and more pieces than anybody chooses from."""
        fewest = {"num_evaluations": 1, "num_pieces": 1, "piece_tokens": _FEWEST_TOKENS, "top": 1}
        for name, number in fewest.items():
            if getattr(self, name) < number:
                raise SpecError(name, f"found {getattr(self, name)}", f"{number} or more is needed")
        if self.num_pieces > _MOST_PIECES:
            raise SpecError("num_pieces", f"found {self.num_pieces}", f"at most {_MOST_PIECES}")

    def steps(self, num_steps: int) -> list[int]:
        """The end, or log-spaced steps."""
        return log_spaced_steps(num_steps, self.num_evaluations)

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        tokens, tokenizer = corpus.evaluated.tokens, corpus.tokenizer
        starts_P = piece_starts(tokens, tokenizer.end_of_text, self.num_pieces, self.piece_tokens)
        texts = [piece_text(tokenizer, tokens[start : start + self.piece_tokens]) for start in starts_P]
        return TokenViewEvaluator(tokenizer, texts, starts_P, self.top, training_counts(corpus))


class TokenViewEvaluator(Evaluator):
    """See `TokenView`."""

    def __init__(
        self, tokenizer: FittedTokenizer, texts: list[str], starts_P: np.ndarray, top: int, counts_V: np.ndarray
    ) -> None:
        self.tokenizer, self.texts, self.starts_P, self.top, self.counts_V = tokenizer, texts, starts_P, top, counts_V

    def take(self, model: LanguageModel) -> dict[str, np.ndarray]:
        """All pieces in a row."""
        tables = [token_table(model, self.tokenizer, text, top=self.top) for text in self.texts]
        ids_N = np.concatenate([table.ids_N for table in tables])
        return {
            "ids_N": ids_N.astype(np.int32),
            "is_never_N": (self.counts_V[ids_N] == 0).astype(np.int8),  # a page reads numbers alone
            "piece_N": np.repeat(np.arange(len(tables), dtype=np.int32), [len(table) for table in tables]),
            "loss_nats_N": np.concatenate([table.loss_nats_N for table in tables]).astype(np.float32),
            "rank_N": np.concatenate([table.rank_N for table in tables]).astype(np.int32),
            "entropy_nats_N": np.concatenate([table.entropy_nats_N for table in tables]).astype(np.float32),
            "top_ids_NK": np.concatenate([table.top_ids_NK for table in tables]).astype(np.int32),
            "top_p_NK": np.concatenate([table.top_p_NK for table in tables]).astype(np.float32),
            "from_token_P": self.starts_P.astype(np.int64),
        }


def piece_starts(tokens: np.ndarray, end_of_text: int | None, num_pieces: int, piece_tokens: int) -> np.ndarray:
    """Where pieces begin, rising: at documents that fill a piece, or where none does, at those that are at least half
    as long as the longest.

    Args:
        tokens: of the split, 1-D, a separator after each document.
        end_of_text: the separator; None: one document, and pieces may begin anywhere.
    Shapes: [P], P at most `num_pieces`, spread evenly over the split.

    >>> tokens = np.array([0, 5, 6, 0, 5, 5, 6, 7, 0, 7, 0, 5, 6, 8, 0])
    >>> piece_starts(tokens, 0, 2, 3).tolist(), piece_starts(tokens, 0, 1, 9).tolist()
    ([4, 11], [1])
    >>> piece_starts(tokens, None, 2, 5).tolist()
    [0, 5]
    """
    if end_of_text is None:
        candidates = np.arange(0, max(1, len(tokens) - piece_tokens + 1), piece_tokens)
    else:
        starts, ends = document_bounds(tokens, end_of_text)
        lengths = ends - starts
        longest = int(lengths.max())
        candidates = starts[lengths >= (piece_tokens if longest >= piece_tokens else max(1, longest // 2))]
    count = min(num_pieces, len(candidates))
    return candidates[np.arange(count) * len(candidates) // count]


def piece_text(tokenizer: FittedTokenizer, ids: np.ndarray) -> str:
    """The text of a piece: up to its separator, and without a character that the last token leaves unfinished."""
    separators = np.flatnonzero(ids == tokenizer.end_of_text) if tokenizer.end_of_text is not None else []
    whole = ids[: separators[0]] if len(separators) else ids
    return tokenizer.decode_bytes(whole).decode("utf-8", errors="ignore")
