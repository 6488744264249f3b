"""Loss by position, from fixed windows and from the beginnings of documents, kept apart by document."""

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vslm.core.bounds import Tokens
from vslm.data.batches import Windows
from vslm.data.corpus import Corpus
from vslm.data.windows import document_bounds, document_of_windows, evaluation_starts
from vslm.measure.measure import Evaluator, OnWindows
from vslm.measure.token_loss import window_losses
from vslm.models.language_model import LanguageModel
from vslm.stats.bootstrap import pooled_means

_BINS_PER_OCTAVE = 3


@dataclass(frozen=True, kw_only=True)
class PositionProfile(OnWindows):
    """L(t), the loss after t tokens, in two ways, with what an interval over documents needs.

        L(t) = mean over windows of -ln p(x_{t+1} | x_1 ... x_t)

    `random`: windows side by side, that start anywhere in a document, as in training. What falls with t is the use of
    context. `document`: the separator, then a document from its first token, up to its end or the end of the context.
    There t is also how far the document has got, and beginnings are unlike the rest: a title, an import, a name that
    comes for the first time. So the two are to be read beside each other; what is content is where they part.

    Losses are kept by window and by document, in bins of t that grow by a constant factor, because tokens of one
    document are no independent draws: intervals come from drawing whole documents, see `stats/bootstrap.py`. Windows of
    one document are drawn together; a window that holds several counts as of the one that has most of it.

    Cost: two forward passes over `num_tokens`.

    Args:
        num_evaluations: 1 takes it at the end alone; 2 or more at log-spaced steps, step 0 and the last among them.
        num_tokens: validation tokens of the windows, rounded up to whole ones. As many documents as windows are taken,
            spread evenly over `val`, or all there are.
    Arrays, N windows or documents, P bins of t: `random_nats_NP`, means by window; `random_document_N`, the document of
        each window, by its number in `corpus.evaluated`; `document_nats_NP`, means by
        document (NaN beyond its end), and `document_targets_NP`, how many targets they are of; `from_tokens_P`, the
        first t of each bin, and `tokens_P`, its middle; and by single positions `random_nats_T` and `document_nats_T`
        (NaN where no document reaches). A corpus without separators has no documents, and none of their arrays.
    """

    recorded_as: ClassVar[str] = "position_profile"
    num_tokens: Tokens = 16_384

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        windows_NT1 = self.windows(corpus, context_tokens)
        separator = corpus.tokenizer.end_of_text
        weight_NT = self.weights(corpus, context_tokens)
        if separator is None or weight_NT is not None:  # beginnings would need the weights of a text of their own
            return PositionProfileEvaluator(windows_NT1, weight_NT=weight_NT)
        tokens = corpus.evaluated.tokens
        starts_N = evaluation_starts(tokens, context_tokens=context_tokens, num_tokens=self.num_tokens)
        document_N = document_of_windows(tokens, separator, starts_N, context_tokens)
        documents = beginnings(tokens, separator, context_tokens, len(windows_NT1))
        return PositionProfileEvaluator(windows_NT1, *documents, document_N)


class PositionProfileEvaluator(Evaluator):
    """See `PositionProfile`.

    Args:
        windows_NT1: that start anywhere.
        documents_NT1: a separator and the beginning of a document, then anything; None: there are none.
        is_target_NT: which of the T targets of each belong to it.
        document_N: the document of each window that starts anywhere.
        weight_NT: how much each target of those windows counts; None: all the same.
    """

    def __init__(
        self,
        windows_NT1: np.ndarray,
        documents_NT1: np.ndarray | None = None,
        is_target_NT: np.ndarray | None = None,
        document_N: np.ndarray | None = None,
        weight_NT: np.ndarray | None = None,
    ) -> None:
        self.weight_NT = weight_NT
        self.windows_NT1, self.documents_NT1, self.is_target_NT = windows_NT1, documents_NT1, is_target_NT
        self.document_N = document_N
        self.edges = log_edges(windows_NT1.shape[1] - 1)

    def take(self, model: LanguageModel) -> dict[str, np.ndarray]:
        """Means by bin and by position."""
        starts, ends = self.edges[:-1] + 1, self.edges[1:]
        loss_NT = window_losses(model, self.windows_NT1)
        counts_NT = np.ones(loss_NT.shape, dtype=bool) if self.weight_NT is None else self.weight_NT
        taken = {
            "random_nats_NP": _binned(loss_NT, counts_NT, self.edges)[0],
            "random_nats_T": Windows(self.windows_NT1, self.weight_NT).by_position(loss_NT),
            "from_tokens_P": starts,
            "tokens_P": np.sqrt(starts * ends),
        }
        if self.document_N is not None:
            taken["random_document_N"] = self.document_N
        if self.documents_NT1 is not None and self.is_target_NT is not None:
            loss_NT = window_losses(model, self.documents_NT1)
            means_NP, counts_NP = _binned(loss_NT, self.is_target_NT, self.edges)
            taken |= {
                "document_nats_NP": means_NP,
                "document_targets_NP": counts_NP,
                "document_nats_T": pooled_means(loss_NT, self.is_target_NT),
            }
        return taken


def beginnings(
    tokens: np.ndarray, separator: int, context_tokens: int, num_documents: int
) -> tuple[np.ndarray, np.ndarray]:
    """Documents from their first token, after a separator; and which targets are theirs, the separator behind included.

    Args:
        tokens: of a split, a separator behind every document.
        separator: the id between documents.
        context_tokens: T.
        num_documents: N wanted, spread evenly over the split.
    Shapes: int64 [N, T + 1], and bool [N, T], out. What follows a document that is shorter is filled with separators.

    >>> rows, is_target = beginnings(np.array([5, 6, 0, 7, 8, 9, 4, 0]), 0, context_tokens=4, num_documents=2)
    >>> rows.tolist()
    [[0, 5, 6, 0, 0], [0, 7, 8, 9, 4]]
    >>> is_target.tolist()
    [[True, True, True, False], [True, True, True, True]]
    """
    starts, ends = document_bounds(tokens, separator)
    wanted = min(len(starts), num_documents)
    chosen = np.arange(wanted) * len(starts) // wanted
    rows_NT1 = np.full((wanted, context_tokens + 1), separator, dtype=np.int64)
    is_target_NT = np.zeros((wanted, context_tokens), dtype=bool)
    for row, (start, end) in enumerate(zip(starts[chosen], ends[chosen], strict=True)):
        length = min(end + 1 - start, context_tokens)  # the separator behind it, too
        rows_NT1[row, 1 : 1 + length] = tokens[start : start + length]
        is_target_NT[row, :length] = True
    return rows_NT1, is_target_NT


def log_edges(context_tokens: int) -> np.ndarray:
    """Bins of t - 1: single positions first, then three to an octave. Ends with the context.

    >>> log_edges(20).tolist()
    [0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20]
    """
    octaves = int(np.ceil(np.log2(max(context_tokens, 2)) * _BINS_PER_OCTAVE))
    edges = np.round(2 ** (np.arange(octaves + 1) / _BINS_PER_OCTAVE)).astype(int)
    return np.unique(np.concatenate([[0], edges[edges < context_tokens], [context_tokens]]))


def _binned(loss_NT: np.ndarray, counts_NT: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the targets of every bin that count, in the digits of an fp32 loss, and their number (or weight)."""
    sums_NP, counts_NP = (
        np.stack([values[:, a:b].sum(axis=1) for a, b in itertools.pairwise(edges)], axis=1)
        for values in (np.where(counts_NT, loss_NT * counts_NT, 0.0), counts_NT)
    )
    with np.errstate(invalid="ignore"):  # no target in a bin: NaN is the answer
        return (sums_NP / counts_NP).astype(np.float32), counts_NP
