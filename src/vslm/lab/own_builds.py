"""Whether classes of one's own build what their families do: tried once, before any run."""

import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vslm.core.declarations import place_of_class
from vslm.core.errors import RunError, SpecError, VslmError
from vslm.core.types import describe
from vslm.core.user_modules import is_own, line_of
from vslm.data.batches import Batch, training_batch_of
from vslm.data.corpus import Corpus
from vslm.measure.measure import Measure
from vslm.measure.token_loss import token_loss
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.objectives.arm import Arm
from vslm.objectives.objective import Further, Objective, Passes
from vslm.optim.optimizer import Optimizer, check_built
from vslm.runs.stored_run import StoredRun
from vslm.study.experiment import Experiment
from vslm.study.own_classes import own_kinds
from vslm.study.primary import Primary
from vslm.training.checkpoints import optimizer_numbers

_FEW_TOKENS = 13


def check_builds(
    arms: Mapping[str, Experiment],
    corpora: Mapping[str, Corpus],
    primary: Primary | None = None,
    *,
    models: Mapping[str, Experiment] | None = None,
    place: str = "arms",
) -> None:
    """Build what arms with classes of their own are made of: the model, measures, an optimizer, an objective; and
    take once, from the untrained model, the measure that decides and those that declare arrays for the page.

    Args:
        arms: of a study.
        corpora: of its arms.
        primary: what decides; None: not known.
        models: everything of the study that an objective may read; None: there is nothing.
        place: of the arms in the study.
    Raises: SpecError with class, file and line, for a `build` that fails or that returns something else, and for a
        measure that does not record what is to be judged or drawn.
    """
    for arm, experiment in arms.items():
        kinds = own_kinds(experiment)
        if not kinds:
            continue
        with _said_in_words(f"{place}.{arm}"), _watched(kinds):
            vocabulary = corpora[arm].vocabulary
            model = experiment.model.build(vocabulary=vocabulary, init=Init(seed=0))
            for measure in experiment.measures:
                if is_own(type(measure)):
                    context_tokens = experiment.model.context_tokens
                    evaluator = measure.build(model=model, corpus=corpora[arm], context_tokens=context_tokens)
                    decides = primary is not None and measure is primary.of(experiment)
                    taken = evaluator(model) if decides or measure.arrays else {}
                    _check_arrays(measure, taken)
                    if primary is not None and decides:
                        _check_number(type(measure), str(primary.number), taken)
            if experiment.optimizer is not None and is_own(type(experiment.optimizer)):
                _check_optimizer(experiment.optimizer, model)
            if is_own(type(experiment.schedule)):
                _check_factor(experiment)
            if experiment.objective is not None:
                check_objective(experiment.objective, experiment, model, corpora[arm], models=models)


def check_objective(
    objective: Objective,
    experiment: Experiment,
    model: LanguageModel,
    corpus: Corpus,
    *,
    models: Mapping[str, Experiment] | None = None,
) -> None:
    """Try one batch of three windows, in two parts, as accumulation would pass it; a whole batch of the run where
    further text is read beside it.

    Args:
        objective: to be tried.
        experiment: that it stands in.
        model: that is trained.
        corpus: of the experiment.
        models: arms and trunks of the study, which are not trained yet: new weights stand for theirs.
    Raises: SpecError at its class, for what it returns, and whatever its build refuses.
    """
    spec, vocabulary, start = experiment.model, corpus.vocabulary, experiment.start_from

    def finished_model(run: str | Arm) -> LanguageModel:
        if isinstance(run, Arm):
            return (models or {})[run.name].model.build(vocabulary=vocabulary, init=Init(seed=0)).eval()
        return StoredRun(Path(run)).model().requires_grad_(requires_grad=False)

    passes = Passes(
        spec=spec,
        token_loss=lambda tokens_BT, targets_BT: token_loss(model, tokens_BT, targets_BT),
        made=lambda function, _: function,
        data_seed=0,
        finished_model=finished_model,
        start=start if isinstance(start, str | Arm) else None,
        encode=corpus.tokenizer.encode,
        separator=corpus.tokenizer.end_of_text,
        further={
            name: Further(one, lambda step, one=one: _first_batch(one, experiment))
            for name, one in corpus.further.items()
        },
    )
    lowers = objective.build(model, passes)
    num_tokens = min(spec.context_tokens, _FEW_TOKENS)
    tokens_BT1 = torch.arange(3 * (num_tokens + 1)).reshape(3, -1) % vocabulary
    batch = Batch(tokens_BT1[:, :-1].contiguous(), tokens_BT1[:, 1:].contiguous())
    if corpus.further:  # which go with rows of the run's own text
        batch = _first_batch(corpus, experiment)
    place = place_of_class(type(objective))
    for part in batch.parts(2):
        found = lowers(part, 0)
        name = f"{type(objective).__name__}.build(...)(batch, step)"
        if not (isinstance(found, tuple) and len(found) == 2 and all(isinstance(one, Tensor) for one in found)):
            raise SpecError(place, f"{name} returned {describe(found)}", "Lowered(lowered, loss_nats_BT) is needed")
        lowered, loss_nats_BT = found
        if lowered.ndim or not lowered.requires_grad or loss_nats_BT.shape != part.targets_BT.shape:
            shapes = f"shapes {list(lowered.shape)} and {list(loss_nats_BT.shape)}"
            found = f"{name} returned {shapes}{'' if lowered.requires_grad else ', the first without a gradient'}"
            allowed = f"a number with a gradient, and the loss of every target, here {list(part.targets_BT.shape)}"
            raise SpecError(place, found, allowed, "take means with batch.mean(loss_BT)")


def _first_batch(corpus: Corpus, experiment: Experiment) -> Batch:
    return training_batch_of(
        corpus.train,
        context_tokens=experiment.model.context_tokens,
        batch_windows=experiment.batch_windows,
        data_seed=0,
        step=0,
        align_tokens=corpus.align_tokens,
    )


def _check_optimizer(spec: Optimizer, model: nn.Module) -> None:
    optimizer = spec.build(model)
    check_built(spec, optimizer, model)
    try:
        optimizer_numbers(optimizer)  # as a checkpoint asks for them
    except RunError as error:
        raise SpecError(place_of_class(type(spec)), f"{error.where} {error.found}", error.allowed) from None


def _check_number(kind: type, number: str, taken: Mapping[str, np.ndarray]) -> None:
    if number not in taken:
        found = f"{kind.__name__} declares {number!r} and records {', '.join(map(repr, taken))}"
        raise SpecError(place_of_class(kind), found, "the study is judged by it", "return it from `take`")
    if taken[number].ndim:
        found = f"{number!r} of {kind.__name__} has the shape {taken[number].shape}"
        raise SpecError(place_of_class(kind), found, "one number a run decides", "return a mean, or a part of it")


def _check_arrays(measure: Measure, taken: Mapping[str, np.ndarray]) -> None:
    kind = type(measure)
    for name, array in measure.arrays.items():
        for needed in (name, *(axis.at for axis in array.axes if axis.at is not None)):
            if needed not in taken:
                found = f"{kind.__name__} declares {needed!r} and records {', '.join(map(repr, taken))}"
                do = "return it from `take`, or leave it out of `arrays`"
                raise SpecError(place_of_class(kind), found, "a page draws what is declared", do)
        shape = taken[name].shape
        allowed = [len(axis.names) or None for axis in array.axes]
        if len(shape) != len(allowed) or any(size not in (None, own) for size, own in zip(allowed, shape, strict=True)):
            found = f"{name!r} of {kind.__name__} has the shape {shape}"
            sizes = ", ".join(f"{len(axis.names)} {axis.title}" if axis.names else axis.title for axis in array.axes)
            raise SpecError(place_of_class(kind), found, f"it is declared over: {sizes}")


def _check_factor(experiment: Experiment) -> None:
    for done in (0.0, 0.5, 1.0):
        factor = experiment.schedule.factor(done)
        if not isinstance(factor, int | float):
            kind = type(experiment.schedule)
            found = f"{kind.__name__}.factor({done}) returned {describe(factor)}"
            raise SpecError(place_of_class(kind), found, "a number is needed, the share of the peak learning rate")


@contextmanager
def _watched(kinds: Iterable[type]) -> Iterator[None]:
    """Inside, every `build` of these classes says what is wrong with what it returns."""
    before: list[tuple[type, Any]] = []
    try:
        for kind in kinds:
            if callable(getattr(kind, "build", None)):
                before.append((kind, vars(kind).get("build")))
                kind.build = _checked(kind, kind.build)  # type: ignore[attr-defined]
        yield
    finally:
        for kind, build in before:
            if build is None:
                del kind.build  # type: ignore[attr-defined]
            else:
                kind.build = build  # type: ignore[attr-defined]


def _checked(kind: type, build: Callable[..., Any]) -> Callable[..., Any]:
    wanted = _wanted(kind)

    def checked(*args: Any, **kwargs: Any) -> Any:
        built = build(*args, **kwargs)
        if wanted is not None and not isinstance(built, wanted):
            code = getattr(build, "__code__", None)
            place = f"{code.co_filename}:{code.co_firstlineno}" if code else place_of_class(kind)
            found = f"{kind.__name__}.build returned {describe(built)}"
            do = "return it at its end" if built is None else "build and return one"
            raise SpecError(place, found, f"a {wanted.__module__}.{wanted.__name__} is needed", do)
        return built

    return checked


def _wanted(kind: type) -> type | None:
    """What the family's `build` returns, if that is a class."""
    family = next((base for base in kind.__mro__ if not is_own(base) and "build" in vars(base)), None)
    if family is None:
        return None
    try:
        wanted = typing.get_type_hints(vars(family)["build"]).get("return")
    except NameError:  # a name that its file knows only while types are checked
        return None
    return wanted if isinstance(wanted, type) else None


@contextmanager
def _said_in_words(where: str) -> Iterator[None]:
    try:
        yield
    except VslmError:
        raise
    except Exception as error:
        place = f" at {line}" if (line := line_of(error)) else ""
        found = f"cannot be built: {type(error).__name__}: {error}{place}"
        raise SpecError(where, found, "every arm's model is built once before any run", "mend the line") from error
