"""From specs to objects: the model, optimizer, batches and looks of a job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from vslm.core.seeds import derive_seed
from vslm.data.corpus import Corpus
from vslm.data.splits import SplitName
from vslm.data.windows import evaluation_windows, num_target_bytes, training_batch
from vslm.lab.experiment import Experiment, FreshStart
from vslm.lab.job import Job, Settings
from vslm.measure.loss_by_position import LossByPosition
from vslm.measure.measure import Measure
from vslm.measure.token_loss import token_loss
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.models.repeats import count_at
from vslm.results.places import checked
from vslm.training.averaging import WeightAverage
from vslm.training.checkpoints import load_model_tensors
from vslm.training.exits import loss_with_exits
from vslm.training.graphs import compared
from vslm.training.loop import Objects, Scheduled
from vslm.training.precision import autocast

_SEEDS = 2**63  # one more than the largest seed
_MOST_GRAPHS = 4096  # of one function in one process


def build_model(job: Job, vocabulary: int) -> LanguageModel:
    """The model of a job with its initial weights, on its device."""
    start = job.experiment.start_from
    offset = start.init_offset if isinstance(start, FreshStart) else 0
    spec = job.experiment.model
    init = Init(seed=job.init_seed + offset)
    model = spec.build(vocabulary=vocabulary, init=init, kernels=spec.kernels(job.settings.device))
    if isinstance(start, str):
        load_model_tensors(model, load_file(checked(Path(start) / "weights.safetensors")), start)
    elif start.flip_last_bit:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.view(torch.int32).bitwise_xor_(1)
    return model.to(job.settings.device)


def build_loss(model: LanguageModel, settings: Settings) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of every token in the study's precision, compiled if the study compiles."""

    def loss(tokens_BT: Tensor, targets_BT: Tensor) -> Tensor:
        with autocast(settings.precision, settings.device):
            return token_loss(model, tokens_BT, targets_BT)

    return _compiled(loss, model, settings) if settings.compiled else loss


def _compiled(loss: Callable[..., Any], model: LanguageModel, settings: Settings) -> Callable[..., Any]:
    """The loss as a graph, held to the eager one when it is first used.

    Its code is that of every other arm and every count of loops, each a graph of its own, and torch gives up on code
    after a few of them; here their number is bounded by what a study has.
    """
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = _MOST_GRAPHS
    return compared(torch.compile(loss, dynamic=False), loss, model, settings.precision)


def build_objective(model: LanguageModel, job: Job) -> Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """What training lowers where that is not the mean loss of one fixed pass; None where it is.

    The number of loops of a step is a pure function of the data seed and the step, so a training that was interrupted
    goes on with the same numbers, and arms with the same seed draw the same ones.

    Cost: compiled, one graph for every number of loops that is drawn.
    """
    spec, settings = job.experiment.model, job.settings
    repeats = spec.repeats
    if not spec.num_exits and not any(repeat.training for repeat in repeats):
        return None
    probabilities = [repeat.probabilities() for repeat in repeats]

    def loss_of(times: tuple[int, ...]) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        looped = model.with_loops(*times)

        def loss(tokens_BT: Tensor, targets_BT: Tensor) -> tuple[Tensor, Tensor]:
            with autocast(settings.precision, settings.device):
                return loss_with_exits(looped, tokens_BT, targets_BT)

        return _compiled(loss, looped, settings) if settings.compiled else loss

    losses: dict[tuple[int, ...], Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {}

    def objective(step: int, tokens_BT: Tensor, targets_BT: Tensor) -> tuple[Tensor, Tensor]:
        units = (derive_seed("loops", job.data_seed, step, number) / _SEEDS for number in range(len(repeats)))
        times = tuple(count_at(counts, unit) for counts, unit in zip(probabilities, units, strict=True))
        if times not in losses:
            losses[times] = loss_of(times)
        return losses[times](tokens_BT, targets_BT)

    return objective


def build_objects(job: Job, corpus: Corpus) -> Objects:
    """Everything that the training loop of a job needs. Sets torch's seed, for dropout."""
    experiment = job.experiment
    torch.manual_seed(derive_seed("dropout", job.init_seed))
    model = build_model(job, corpus.vocabulary)
    assert experiment.optimizer is not None  # filled in when the experiment was made
    num_steps = sum(job.stages_steps)
    averaging = experiment.averaging
    train, evaluated = corpus.split("train").tokens, corpus.split(job.split).tokens
    context_tokens, measure = experiment.model.context_tokens, experiment.loss_by_position
    final_tokens = measure.final_tokens(is_made_to_choose=job.is_made_to_choose)
    return Objects(
        model=model,
        token_loss=build_loss(model, job.settings),
        is_compiled=job.settings.compiled,
        objective=build_objective(model, job),
        optimizer=experiment.optimizer.build(model),
        rate_factor=lambda step: experiment.schedule.factor(fraction_of_stage(job.stages_steps, step)),
        batch=lambda step: training_batch(
            train,
            context_tokens=context_tokens,
            batch_windows=experiment.batch_windows,
            data_seed=job.data_seed,
            step=step,
            align_tokens=corpus.align_tokens,
        ),
        validation_NT1=evaluation_windows(evaluated, context_tokens=context_tokens, num_tokens=measure.num_tokens),
        final_validation_NT1=evaluation_windows(evaluated, context_tokens=context_tokens, num_tokens=final_tokens),
        look_steps={num_steps} if job.is_made_to_choose else steps_of(measure, job.stages_steps),
        num_steps=num_steps,
        accumulation=experiment.accumulation,
        clip_norm=experiment.optimizer.clip_norm,
        average=WeightAverage(model, averaging.horizon_fraction * num_steps) if averaging else None,
        measures={
            other.recorded_as: Scheduled(
                other.build(model=model, corpus=corpus, context_tokens=context_tokens),
                steps_of(other, job.stages_steps),
            )
            for other in experiment.measures
            if not isinstance(other, LossByPosition) and not job.is_made_to_choose
        },
        device=torch.device(job.settings.device),
    )


def scored_bytes_per_token(
    experiment: Experiment, corpus: Corpus, split: SplitName, positions: tuple[int, int] | None = None
) -> float:
    """Bytes of text per target of the last look, exactly: `bpb = loss_nats / ln 2 / this`.

    Not those of the whole split: what arms with other tokenizers are judged on is other text, and as much of it.

    Args:
        positions: (first, end) of the part of the window that counts; None: all of it.
    """
    windows_NT1 = evaluation_windows(
        corpus.split(split).tokens,
        context_tokens=experiment.model.context_tokens,
        num_tokens=experiment.loss_by_position.num_final_tokens,
    )
    first, end = positions or (0, experiment.model.context_tokens)
    part = windows_NT1[:, first : end + 1]  # a target stands one further than its position
    return num_target_bytes(part, corpus.tokenizer.token_num_bytes) / part[:, 1:].size


def steps_of(measure: Measure, stages_steps: tuple[int, ...]) -> set[int]:
    """The steps of a measure, counted from the first stage: each stage is looked at as if it stood alone."""
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
