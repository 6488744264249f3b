"""Measures taken after a run, from the weights that it stored, and written beside what it took itself (`later.py`).

Weights that were kept along the training are rounded (see `training/kept_weights.py`), so a number may differ from one
that was taken in the run in its fifth digit. Not for: measures that the run took itself; those stay as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vslm.after.later import write_later
from vslm.core.errors import ResultError, SpecError, VslmError, nearest
from vslm.core.paths import parse_change
from vslm.core.specs import to_plain
from vslm.data.corpus import open_corpus
from vslm.measure.measure import Evaluator, Measure
from vslm.results.naming import named
from vslm.runs.stored_run import StoredRun
from vslm.study.catalog import KINDS
from vslm.study.trust import UntrustedError
from vslm.training.loop import Measurement

PassOver = Callable[[str, VslmError], None]


@dataclass(frozen=True)
class Evaluation:
    """One measure that is due for one run.

    Args:
        run: whose weights.
        measure: what.
        steps: after which steps.
    """

    run: StoredRun
    measure: Measure
    steps: tuple[int, ...]


def evaluations(folder: Path, texts: Sequence[str], pass_over: PassOver, *, trust: bool = False) -> list[Evaluation]:
    """Everything to be taken, checked before the first of it.

    A measure that is taken at the end alone is taken from the last weights, every other one at all stored steps. A run
    that cannot be read, or is not as far as a measure needs it, is passed over.

    Args:
        folder: of a study, of one of its arms, or of a run.
        texts: measures as a study writes them: `TokenView` or `LogitLens(num_tokens=8192)`.
        pass_over: called with the name of a run that is not measured, and why.
        trust: whether code in the folder is run even if this user did not run it before.
    Raises: ResultError where nothing is stored; SpecError for an unknown measure, for one that does not fit the model,
        and for one that the run itself has taken.
    """
    place = named(folder)
    runs = [StoredRun(found.path, trust=trust) for arm in place.arms for found in place.runs(arm)]
    has_torn, found = False, []
    for run in runs:
        try:
            steps, job = run.steps, run.job if run.steps else None
        except UntrustedError:
            raise
        except VslmError as error:
            has_torn = True
            pass_over(run.name, error)
            continue
        if job is None:
            continue
        for text in texts:
            measure = _parsed(text, run)
            if any(measure.recorded_as == own.recorded_as for own in job.experiment.measures):
                raise SpecError(text, f"{run.name} took it while it was trained", "", "its numbers are in arrays.npz")
            measure.check_fits(model=job.experiment.model, source=job.experiment.data)
            measure.declared()
            num_steps = sum(job.stages_steps)
            is_final = measure.steps(num_steps) == [num_steps]
            if is_final and run.last_step is None:
                problem = ResultError(
                    run.name, f"not finished, and {text} is taken at the end", "", "finish the run first"
                )
                has_torn = True
                pass_over(run.name, problem)
            else:
                found.append(Evaluation(run, measure, steps[-1:] if is_final else steps))
    if not found and not has_torn:
        do = "run the study, with Experiment(keep_weights=12) for more than the last weights"
        raise ResultError(str(folder), "no run here has stored weights", "", do)
    return found


def take(taking: Evaluation, say: Callable[[str], None]) -> tuple[int, ...]:
    """Take one measure of one run, write it into the run's folder, and return the steps it was taken at.

    Raises: DataError if the corpus is not on this machine; ResultError if all weights are torn.
    """
    run, measure = taking.run, taking.measure
    corpus = open_corpus(run.job.corpus)
    torch.set_num_threads(run.job.settings.threads)  # as in the run, so that the last weights give its very numbers
    context_tokens = run.job.experiment.model.context_tokens
    taken: list[Measurement] = []
    evaluator: Evaluator | None = None
    for step, model in run.models(say, taking.steps):
        evaluator = evaluator or measure.build(model=model, corpus=corpus, context_tokens=context_tokens)
        taken.append(Measurement(measure.recorded_as, step, evaluator(model)))
    if not taken:
        raise ResultError(run.name, "none of its weights can be read", "", "run it again")
    write_later(run, measure.recorded_as, {"measure": to_plain(measure)}, measure.declared(), taken, say)
    return tuple(one.step for one in taken)


def _parsed(text: str, run: StoredRun) -> Measure:
    name = text.partition("(")[0].strip()
    # A name that the catalog lacks may be that of a measure of the study's own, so its file is run then, and only then.
    known: Mapping[str, type] = KINDS if name in KINDS else run.kinds
    kinds = {known: kind for known, kind in known.items() if issubclass(kind, Measure)}
    if name not in kinds:
        raise SpecError(text, "no measure of that name", nearest(name, kinds))
    value = parse_change(f"measure={name}()" if "(" not in text else f"measure={text}", run.kinds)[1]
    if not isinstance(value, Measure):
        raise SpecError(text, "cannot be read", "a measure as a study writes it, in quotes", f'try "{name}()"')
    return value
