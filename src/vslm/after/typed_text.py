"""A text that somebody typed, as the stored models of a run see it, after every step whose weights were kept."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vslm.core.errors import ResultError
from vslm.data.tokenizers import FittedTokenizer
from vslm.measure.token_table import TokenTable, token_table
from vslm.models.language_model import LanguageModel
from vslm.runs.stored_run import StoredRun

_MOST_OPEN = 32  # models kept in memory: two runs with all their steps
_MOST_SCORED = 40_000  # tokens of all steps together, some seconds of a small model
TOP = 5  # likeliest tokens that are kept


class TextReader:
    """Opens the models of runs when a text is to be read by them, and keeps the latest open.

    For one thread at a time.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[Path, int], tuple[tuple[int, int], LanguageModel]] = OrderedDict()
        self._counts: dict[str, np.ndarray] = {}  # by corpus: what training showed does not change

    def __call__(self, folder: Path, text: str) -> tuple[FittedTokenizer, dict[str, np.ndarray], str]:
        """What the models of a run say of every token of a text.

        A run with an adapter is read without it, too: as step 0.
        A long text is read after fewer of the stored steps, and torn weights are left out; both are said. No code of
        the folder is run.

        Args:
            folder: of the run.
            text: one character or more.
        Returns: the tokenizer of the run; arrays of S steps, N tokens and K likeliest: `ids_N`, `steps_S`,
            `loss_nats_SN`, `rank_SN`, `entropy_nats_SN`, `top_ids_SNK` and `top_p_SNK`, as in `TokenTable`; and what a
            reader has to know of how it was read, empty if nothing.
        Raises: ResultError for a run without weights, with torn ones alone, or with specs of its study's own; DataError
            for a character that its tokenizer does not know.
        """
        run = StoredRun(folder, may_run_code=False)
        stored = run.steps
        has_adapter = bool(stored) and run.job.experiment.adapter is not None
        if has_adapter:
            stored = tuple(sorted({0, *stored}))
        if not stored:
            found, do = "its weights are not stored", "run it again"
            raise ResultError(f"{folder.parent.name}/{folder.name}", found, "", do)
        run.check_readable()
        num_tokens = max(1, len(run.tokenizer.encode(text)))
        by_step, torn = self._tables(run, text, stored, max(1, _MOST_SCORED // num_tokens))
        steps, tables = list(by_step), list(by_step.values())
        left_out = len(stored) - len(torn) - len(steps)
        remarks = [tables[-1].remark] if tables[-1].remark else []
        if has_adapter:
            remarks.append(f"step 0 is {run.job.experiment.start_from}, without the adapter")
        if torn:
            named = ", ".join(f"{step:,}" for step in torn)
            remarks.append(f"not read after step{'s' if len(torn) > 1 else ''} {named}, whose weights are torn")
        if left_out:
            remarks.append(f"read after {len(steps)} of {len(stored)} stored steps, since the text is long")
        arrays = {
            "ids_N": tables[-1].ids_N,
            "steps_S": np.array(steps),
            "loss_nats_SN": np.stack([table.loss_nats_N for table in tables]),
            "rank_SN": np.stack([table.rank_N for table in tables]),
            "entropy_nats_SN": np.stack([table.entropy_nats_N for table in tables]),
            "top_ids_SNK": np.stack([table.top_ids_NK for table in tables]),
            "top_p_SNK": np.stack([table.top_p_NK for table in tables]),
        }
        return run.tokenizer, arrays, "; ".join(remarks)

    def _tables(
        self, run: StoredRun, text: str, stored: Sequence[int], most: int
    ) -> tuple[dict[int, TokenTable], list[int]]:
        """By step, at most so many, evenly among those that can be read; and the steps whose weights are torn.

        Raises: ResultError if all of them are.
        """
        counts_V = self._counts_of(run)
        tables: dict[int, TokenTable] = {}
        torn: dict[int, ResultError] = {}

        def chosen() -> list[int]:
            return _some([step for step in stored if step not in torn], most)

        # A torn step makes room for others, which may be torn, too.
        while missing := [step for step in chosen() if step not in tables]:
            for step in missing:
                try:
                    tables[step] = self._table(run, self._model(run, step), text, counts_V)
                except ResultError as error:
                    torn[step] = error
        if not tables:
            raise torn[stored[-1]]
        return {step: tables[step] for step in chosen()}, sorted(torn)

    def _table(self, run: StoredRun, model: LanguageModel, text: str, counts_V: np.ndarray | None) -> TokenTable:
        """What one model says."""
        return token_table(model, run.tokenizer, text, top=TOP, counts_V=counts_V)

    def _counts_of(self, run: StoredRun) -> np.ndarray | None:
        """None where its corpus is not on this machine, which is asked again: it may come."""
        name = run.job.corpus
        if name not in self._counts and run.training_counts is not None:
            self._counts[name] = run.training_counts
        return self._counts.get(name)

    def _model(self, run: StoredRun, step: int) -> LanguageModel:
        is_without = step == 0 and run.job.experiment.adapter is not None
        path = run.weights_path(run.steps[-1] if is_without else step)
        stamp = path.stat().st_mtime_ns, path.stat().st_size
        kept = self._open.get((run.path, step))
        if kept is None or kept[0] != stamp:
            kept = stamp, run.without_adapter() if is_without else run.model(step)
            self._open[run.path, step] = kept
        self._open.move_to_end((run.path, step))
        while len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)
        return kept[1]


def _some(steps: Sequence[int], most: int) -> list[int]:
    """At most so many steps, evenly, the last one among them.

    >>> _some((0, 1, 10, 100), 2), _some((0, 1, 10, 100), 1), _some((0, 1), 9)
    ([0, 100], [100], [0, 1])
    """
    if len(steps) <= most:
        return list(steps)
    places = np.linspace(len(steps) - 1, 0, most).round().astype(int)
    return [steps[i] for i in sorted(set(places.tolist()))]
