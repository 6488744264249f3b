"""From specs to objects: the model, optimizer, batches and measures of a job."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vslm.core.errors import RunError
from vslm.core.seeds import derive_seed
from vslm.data.batches import Batch, evaluation_windows_of, training_batch_of
from vslm.data.corpus import Corpus, open_corpus
from vslm.measure.loss_by_position import LossByPosition
from vslm.measure.measure import Measure
from vslm.measure.token_loss import token_loss
from vslm.models.adapters.adapter import AdapterModule, Encode
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.objectives.arm import Arm
from vslm.objectives.drawn_loops import own_objective
from vslm.objectives.objective import Further, Lowers, Objective, Passes
from vslm.runs.parents import ParentRuns
from vslm.runs.recording import name_in_run
from vslm.runs.stored_run import starting_tensors
from vslm.study.experiment import FreshStart
from vslm.study.job import Job, Settings
from vslm.training.averaging import WeightAverage
from vslm.training.checkpoints import load_model_tensors
from vslm.training.graphs import compared, has_modes
from vslm.training.loop import Objects, Scheduled, Training
from vslm.training.losses import LossesByPosition
from vslm.training.noted import Noted
from vslm.training.precision import autocast

_MOST_GRAPHS = 4096  # of one function in one process
_BACKEND = "inductor"  # of torch.compile
OBJECTIVE = "objective"
"""The name under which a run records what its objective notes of itself."""
OPTIMIZER = "optimizer"
"""The name under which a run records what its optimizer notes of its steps."""


def build_model(job: Job, vocabulary: int, parents: ParentRuns | None = None) -> LanguageModel:
    """The model of a job with its initial weights, on its device. `parents`: what it reads of its study."""
    start = job.experiment.start_from
    offset = start.init_offset if isinstance(start, FreshStart) else 0
    spec = job.experiment.model
    init = Init(seed=job.init_seed + offset)
    model = spec.build(vocabulary=vocabulary, init=init, kernels=spec.kernels(job.settings.where))
    if isinstance(start, str):
        load_model_tensors(model, starting_tensors(Path(start), job.start_sha256), start)
    elif isinstance(start, Arm):
        if (tensors := (parents or ParentRuns.of(job, None, vocabulary)).tensors(start)) is not None:
            load_model_tensors(model, tensors, str(start))
    elif start.flip_last_bit:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.view(torch.int32).bitwise_xor_(1)
    return model.to(job.settings.device)


def attach_adapter(model: LanguageModel, job: Job, encode: Encode) -> AdapterModule | None:
    """Attach the adapter of a job, with its initial values, and freeze the model's own weights; None where the model
    itself is trained.
    """
    spec = job.experiment.adapter
    if spec is None:
        return None
    model.requires_grad_(requires_grad=False)
    module = spec.build(model, init=Init(seed=job.init_seed).child("adapter"), encode=encode)
    module.to(job.settings.device).attach(model)
    return module


def build_loss(model: LanguageModel, settings: Settings, backend: str = _BACKEND) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of every token in the study's precision, compiled if the study compiles."""

    return _in_precision(
        lambda tokens_BT, targets_BT: token_loss(model, tokens_BT, targets_BT), model, settings, backend
    )


def _in_precision(
    function: Callable[..., Any], module: nn.Module, settings: Settings, backend: str = _BACKEND
) -> Callable[..., Any]:
    """A function of tensors in the study's precision, compiled if the study compiles. A compiled one is compared with
    the eager one at its first call.

    All arms and numbers of loops share its code, and each is a graph of its own. torch stops compiling code after a few
    graphs; here their number is bounded by that of arms and loops.
    """

    def eager(*tensors: Tensor) -> Any:
        with autocast(settings.precision, settings.device):
            return function(*tensors)

    if not settings.compiled:
        return eager
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = _MOST_GRAPHS
    return compared(torch.compile(eager, dynamic=False, backend=backend), eager, module, settings.precision)


def build_objective(
    model: LanguageModel,
    job: Job,
    token_loss: Callable[[Tensor, Tensor], Tensor],
    backend: str = _BACKEND,
    encode: Encode | None = None,
    separator: int | None = None,
    noted: Noted | None = None,
    parents: ParentRuns | None = None,
) -> Lowers:
    """What training lowers: the experiment's objective, or the model's own. `encode`, `separator`: of its tokenizer;
    `noted` gets what it notes of itself; `parents`: what it reads of its study.
    """
    spec, settings = job.experiment.model, job.settings
    objective = job.experiment.objective or own_objective(spec)

    reads = parents or ParentRuns.of(job, None, 0)
    passes = Passes(
        spec=spec,
        token_loss=token_loss,
        made=lambda function, module: _in_precision(function, module, settings, backend),
        data_seed=job.data_seed,
        finished_model=lambda run: reads.model(run, settings.device),
        start=job.experiment.start_from if isinstance(job.experiment.start_from, str | Arm) else None,
        encode=encode,
        separator=separator,
        further=further_corpora(objective, job),
        **({} if noted is None else {"note": noted.note}),
    )
    return objective.build(model, passes)


def further_corpora(objective: Objective, job: Job) -> dict[str, Further]:
    """What the objective of a job reads beside its own text, by name.

    Raises: DataError for a corpus that is gone or damaged.
    """
    names, fingerprints = list(objective.sources()), job.objective_corpora or ()
    return {
        name: Further(corpus, _further_batch(name, corpus, job))
        for name, corpus in zip(names, map(open_corpus, fingerprints), strict=True)
    }


def _batch_of_step(corpus: Corpus, job: Job, step: int) -> Batch:
    """The batch of a step (from 0) of a job, on the CPU."""
    return training_batch_of(
        corpus.train,
        context_tokens=job.experiment.model.context_tokens,
        batch_windows=job.experiment.batch_windows,
        data_seed=job.data_seed,
        step=step,
        align_tokens=corpus.align_tokens,
    )


def _further_batch(name: str, corpus: Corpus, job: Job) -> Callable[[int], Batch]:
    device = torch.device(job.settings.device)
    latest: dict[int, Batch] = {}  # the parts of a step ask for the same batch

    def batch(step: int) -> Batch:
        if step not in latest:
            latest.clear()
            try:
                found = _batch_of_step(corpus, job, step)
            except RunError as error:
                raise RunError(f"objective.{name}", error.found, error.allowed, error.do) from None
            latest[step] = found.to(device)
        return latest[step]

    return batch


def build_objects(
    job: Job, corpus: Corpus, *, measured: bool = True, backend: str = _BACKEND, parents: ParentRuns | None = None
) -> Objects:
    """Everything that the training loop of a job needs. Sets torch's seed, for dropout.

    Args:
        job: what to train.
        corpus: of the job.
        measured: whether its measures are built, too; a timing has no use for them.
        backend: of torch.compile.
        parents: what it reads of its study; None: nothing, or what stands in for it in a timing.
    """
    experiment = job.experiment
    parents = parents or ParentRuns.of(job, None, corpus.vocabulary)
    torch.manual_seed(derive_seed("dropout", job.init_seed))
    model = build_model(job, corpus.vocabulary, parents)
    adapter = attach_adapter(model, job, corpus.tokenizer.encode)
    trained = model if adapter is None else adapter
    assert experiment.optimizer is not None  # filled in when the experiment was made
    num_steps = sum(job.stages_steps)
    averaging = experiment.averaging
    loss = build_loss(model, job.settings, backend)
    noted, steps_noted = noted_of(job), steps_noted_of(job)
    encode, separator = corpus.tokenizer.encode, corpus.tokenizer.end_of_text
    return Objects(
        model=model,
        trained=trained,
        token_loss=loss,
        is_compiled=job.settings.compiled,
        has_modes=has_modes(model),
        objective=build_objective(model, job, loss, backend, encode, separator, noted, parents),
        optimizer=experiment.optimizer.build(trained),
        rate_factor=lambda step: experiment.schedule.factor(fraction_of_stage(job.stages_steps, step)),
        batch=lambda step: _batch_of_step(corpus, job, step),
        num_steps=num_steps,
        accumulation=experiment.accumulation,
        clip_norm=experiment.optimizer.clip_norm,
        average=WeightAverage(trained, averaging.horizon_fraction * num_steps) if averaging else None,
        measures=_measures(job, model, corpus) | _noting(job, noted, steps_noted) if measured else {},
        noted=noted,
        steps_noted=steps_noted if measured else None,
        device=torch.device(job.settings.device),
    )


def _measures(job: Job, model: LanguageModel, corpus: Corpus) -> dict[str, Scheduled]:
    """What a run takes, by name, its losses first. A run that is made to choose takes them and what it is chosen by,
    once, at its end, on its own split and under names that say so.
    """
    opened = dataclasses.replace(corpus, evaluated_split=job.split)
    wanted = sorted(job.experiment.measures, key=lambda measure: not isinstance(measure, LossByPosition))
    at_the_end = None
    if job.is_made_to_choose:
        wanted = [one for one in wanted if isinstance(one, LossByPosition) or one.recorded_as == job.chosen_by]
        at_the_end = {sum(job.stages_steps)}
    return {
        name_in_run(one, job.split): Scheduled(
            _evaluator(one, job, model, opened), at_the_end or steps_of(one, job.stages_steps)
        )
        for one in wanted
    }


def noted_of(job: Job) -> Noted | None:
    """What keeps the numbers that the objective of a job notes; None where it notes none, or the run is made to choose
    and nobody will ask.
    """
    objective = job.experiment.objective
    names = {} if objective is None or job.is_made_to_choose else objective.numbers()
    return Noted(names) if names else None


def steps_noted_of(job: Job) -> Noted | None:
    """The same of the numbers that the optimizer notes."""
    optimizer = job.experiment.optimizer
    names = () if optimizer is None or job.is_made_to_choose else optimizer.notes
    return Noted(names) if names else None


def _noting(job: Job, noted: Noted | None, steps_noted: Noted | None) -> dict[str, Scheduled]:
    """The objective's own numbers, and the optimizer's, taken whenever the losses are."""
    steps = steps_of(job.experiment.loss_by_position, job.stages_steps)

    def taken(one: Noted) -> Scheduled:
        return Scheduled(lambda training: one.take(training.step), steps)

    found = {OBJECTIVE: noted, OPTIMIZER: steps_noted}
    return {name: taken(one) for name, one in found.items() if one is not None}


def _evaluator(
    measure: Measure, job: Job, model: LanguageModel, corpus: Corpus
) -> Callable[[Training], Mapping[str, np.ndarray]]:
    context_tokens = job.experiment.model.context_tokens
    if not isinstance(measure, LossByPosition):
        evaluator = measure.build(model=model, corpus=corpus, context_tokens=context_tokens)
        return lambda training: evaluator(training.objects.model)  # type: ignore[arg-type]
    final_tokens = measure.final_tokens(is_made_to_choose=job.is_made_to_choose)
    windows, final_windows = (
        evaluation_windows_of(corpus.evaluated, context_tokens=context_tokens, num_tokens=num_tokens)
        for num_tokens in (measure.num_tokens, final_tokens)
    )
    return LossesByPosition(windows, final_windows)


def steps_of(measure: Measure, stages_steps: tuple[int, ...]) -> set[int]:
    """The steps of a measure, counted from the first stage: each stage is measured as if it stood alone."""
    steps, before = set(), 0
    for stage_steps in stages_steps:
        steps |= {before + step for step in measure.steps(stage_steps)}
        before += stage_steps
    return steps


def fraction_of_stage(stages_steps: tuple[int, ...], step: int) -> float:
    """How much of its stage is done once `step` (from 0) is taken, between 0 and 1.

    >>> [fraction_of_stage((2, 4), step) for step in range(6)]
    [0.25, 0.75, 0.125, 0.375, 0.625, 0.875]
    """
    for steps in stages_steps[:-1]:
        if step < steps:
            return (step + 0.5) / steps
        step -= steps
    return (step + 0.5) / stages_steps[-1]
