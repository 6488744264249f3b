"""Whether arms fit the arms and trunks of the same study that they read: known before any of them is trained.

the same tokenizer                     an id means the same text in both
the same weights, name by name         of what an arm starts from; beside an adapter the same model, too
an adapter that can be written in      where what it starts from trained one
a teacher with a context as long       whatever the objective refuses: it is tried on a few tokens
"""

from collections.abc import Mapping

from vslm.core.errors import RunError, SpecError
from vslm.data.corpus import Corpus
from vslm.lab.adapter_checks import check_same_model
from vslm.lab.own_builds import check_objective
from vslm.models.initialization import Init
from vslm.models.language_model import Model
from vslm.objectives.arm import Arm
from vslm.study.experiment import Experiment
from vslm.study.forks import arms_read
from vslm.study.study import Study
from vslm.training.checkpoints import check_shapes, model_tensors


def check_fork(study: Study, experiment: Experiment, corpora: Mapping[str, Corpus], name: str) -> None:
    """Refuse an arm of the study to start from that does not fit.

    Raises: SpecError or RunError.
    """
    corpus = corpora[name]
    for other in arms_read(experiment):
        if corpora[other].tokenizer_fingerprint != corpus.tokenizer_fingerprint:
            theirs = corpora[other].tokenizer_fingerprint
            found = f"its tokenizer ({theirs}) is not that of {name!r} ({corpus.tokenizer_fingerprint})"
            raise SpecError(
                study.place_of(other), found, "an id must mean the same text in both", "use the same corpus"
            )
    if not isinstance(experiment.start_from, Arm):
        return
    other = experiment.start_from.name
    start = study.experiments[other]
    if start.adapter is not None:
        _check_merges(start, corpus.vocabulary, study.place_of(other), corpus)
    if experiment.adapter is not None:
        check_same_model(experiment.model, start.model, study.place_of(other))
    if experiment.model != start.model:
        own, theirs = (_shapes(model, corpus.vocabulary) for model in (experiment.model, start.model))
        try:
            check_shapes(own, theirs, study.place_of(other))
        except RunError as error:
            do = "let both have the same model, but for what has no weights (windows, the length of the context)"
            raise SpecError(error.where, error.found, error.allowed, do) from None


def check_taught(study: Study, experiment: Experiment, corpora: Mapping[str, Corpus], name: str) -> None:
    """Try an objective that reads arms of the study on a few tokens. One beside an adapter is tried with it.

    Raises: SpecError at the arm.
    """
    objective = experiment.objective
    reads_arms = objective is not None and (
        any(isinstance(run, Arm) for run in objective.runs())
        or (objective.reads_start and isinstance(experiment.start_from, Arm))
    )
    if objective is None or experiment.adapter is not None or not reads_arms:
        return
    model = experiment.model.build(vocabulary=corpora[name].vocabulary, init=Init(seed=0))
    try:
        check_objective(objective, experiment, model, corpora[name], models=study.experiments)
    except SpecError as error:
        raise error.within(study.place_of(name)) from None


def _shapes(model: Model, vocabulary: int) -> dict[str, tuple[int, ...]]:
    built = model.build(vocabulary=vocabulary, init=Init(seed=0))
    return {name: tuple(tensor.shape) for name, tensor in model_tensors(built).items()}


def _check_merges(start: Experiment, vocabulary: int, place: str, corpus: Corpus) -> None:
    assert start.adapter is not None
    built = start.model.build(vocabulary=vocabulary, init=Init(seed=0))
    module = start.adapter.build(built, init=Init(seed=0), encode=corpus.tokenizer.encode)
    if not module.merges:
        found = f"it trains a {type(start.adapter).__name__}, which cannot be written into weights"
        raise SpecError(
            place, found, "a whole model, or an adapter that can, is needed", "start from what it starts from"
        )
