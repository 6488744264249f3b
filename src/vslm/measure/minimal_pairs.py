"""Whether a model finds the right one of two sentences likelier, and by how much: BLiMP through training."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from vslm.core.bounds import Some
from vslm.core.errors import DataError, SpecError
from vslm.data.corpus import Corpus
from vslm.data.eval_items import Items, read_items
from vslm.data.reading.folders import listing
from vslm.data.sources.source import Source
from vslm.measure.declared import Array, Number, Shown
from vslm.measure.item_numbers import arrays_of, item_numbers, numbers_of, shown_of
from vslm.measure.item_scores import LaidOut, lay_out, score_items
from vslm.measure.measure import Evaluator, Measure, log_spaced_steps
from vslm.models.language_model import LanguageModel, Model


@dataclass(frozen=True, kw_only=True)
class MinimalPairs(Measure):
    """The share of minimal pairs whose right sentence is the likelier one, and the margin between the two.

        right   nats(good) < nats(bad), the whole sentence behind a separator; a tie counts half
        margin  mean of (nats(bad) - nats(good)) / mean of their tokens, in nats per token

    A very small model is near chance, 0.5, in most of grammar; its margin tells it from others long before. Pairs are
    spread over the file, so that every paradigm is in it; a run that is made to choose is asked others, half a step
    further on. `vslm eval` asks all of them.

    Paper: BLiMP: The Benchmark of Linguistic Minimal Pairs for English, Warstadt et al., 2020,
    https://arxiv.org/abs/1912.00582. We differ: margins, and some of the pairs through training.
    Cost: a forward pass over two sentences a pair; 3 seconds for 1,000 pairs of BLiMP and 1M parameters on one core.
    Which file it is names a run, and what is in it does not.

    Args:
        path: file, folder or glob of JSON lines with sentence_good and sentence_bad, or "blimp" where its file lies in
            VSLM_HOME/evals.
        num_pairs: at most.
        by: the field that says what a pair is about; None: `UID`, or the file where there are several.
        num_evaluations: 1 at the end alone; 2 or more at log-spaced steps, both ends among them.
    Numbers: `accuracy`, `margin`, each with its standard error over pairs, `chance`, and how many pairs there were.
    Arrays, G paradigms: `margin_G`, `accuracy_G`.
    Raises: SpecError for a file that is not there, or has no pairs.
    """

    recorded_as: ClassVar[str] = "minimal_pairs"
    asks_its_own: ClassVar[bool] = True
    shown: ClassVar[Shown | None] = shown_of("pairs", "What it takes for right: minimal pairs", "Minimal pairs")
    numbers: ClassVar[Mapping[str, Number]] = numbers_of("pairs")
    path: str
    num_pairs: Some = 1000
    by: str | None = None
    num_evaluations: Some = 1

    def check(self) -> None:
        """Refuse counts of nothing."""
        for name in ("num_pairs", "num_evaluations"):
            if getattr(self, name) < 1:
                raise SpecError(name, f"found {getattr(self, name)}", "1 or more is needed")

    @property
    def arrays(self) -> Mapping[str, Array]:  # type: ignore[override]
        """By paradigm, which the file names."""
        return arrays_of(self._asked(is_choosing=False))

    def steps(self, num_steps: int) -> list[int]:
        """The end, or log-spaced steps."""
        return log_spaced_steps(num_steps, self.num_evaluations)

    def check_fits(self, *, model: Model, source: Source) -> None:
        """The file is there and has pairs, before any run."""
        del model, source
        self._asked(is_choosing=False)

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        del model
        items = self._asked(is_choosing=corpus.evaluated_split == "select")
        laid_out = lay_out(items, corpus.tokenizer, context_tokens)
        if laid_out.num_left_out == len(items.items):
            found = f"none of {len(items.items):,} pairs of {self.path} fits into {context_tokens} tokens"
            raise DataError("measures.minimal_pairs", found, "", "take a longer context")
        return MinimalPairsEvaluator(items, laid_out)

    def _asked(self, *, is_choosing: bool) -> Items:
        try:
            items = _read(self.path, self.by, _state(self.path))
            if items.form != "pairs":
                found = f"{self.path}: items of the form {items.form}"
                raise DataError("", found, "minimal pairs are needed", "vslm eval asks others")
        except DataError as error:
            found = f"{error.where}: {error.found}" if error.where else error.found
            raise SpecError("measures.MinimalPairs.path", found, error.allowed, error.do) from None
        if is_choosing and 2 * self.num_pairs > len(items.items):  # some would be asked again
            found, allowed = f"{len(items.items):,} pairs in {self.path}", f"{2 * self.num_pairs:,} are needed"
            raise SpecError(
                "measures.MinimalPairs.num_pairs", found, f"{allowed} where something is chosen", "ask fewer"
            )
        return items.some(self.num_pairs, between=is_choosing)


def _state(path: str) -> tuple[tuple[str, int, int], ...]:
    """Of the files, so that a file that changed is read again; nothing for a name."""
    try:
        files = [found.file for found in listing(path).files]
    except DataError:
        return ()
    return tuple((str(file), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files)


@lru_cache(maxsize=4)
def _read(path: str, by: str | None, state: tuple[tuple[str, int, int], ...]) -> Items:
    """As `read_items`; the same file is asked for by every arm, and again when arrays are declared."""
    del state
    return read_items(path, by=by)


class MinimalPairsEvaluator(Evaluator):
    """See `MinimalPairs`.

    Args:
        items: the pairs.
        laid_out: as ids.
    """

    def __init__(self, items: Items, laid_out: LaidOut) -> None:
        self._items, self._laid_out = items, laid_out

    def take(self, model: LanguageModel) -> dict[str, np.ndarray | float]:
        """Means over pairs."""
        return item_numbers(self._items, self._laid_out, score_items(model, self._laid_out))
