"""From specs to objects: the model, optimizer, batches and looks of a job."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from vslm.core.seeds import derive_seed
from vslm.data.corpus import Corpus
from vslm.data.windows import evaluation_windows, training_batch
from vslm.lab.experiment import FreshStart
from vslm.lab.job import Job, Settings
from vslm.measure.token_loss import token_loss
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.training.averaging import WeightAverage
from vslm.training.checkpoints import load_model_tensors
from vslm.training.loop import Objects
from vslm.training.precision import autocast


def build_model(job: Job, vocabulary: int) -> LanguageModel:
    """The model of a job with its initial weights, on its device."""
    start = job.experiment.start_from
    offset = start.init_offset if isinstance(start, FreshStart) else 0
    spec = job.experiment.model
    init = Init(seed=job.init_seed + offset)
    model = spec.build(vocabulary=vocabulary, init=init, kernels=spec.kernels(job.settings.device))
    if isinstance(start, str):
        load_model_tensors(model, load_file(Path(start) / "weights.safetensors"), start)
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

    return torch.compile(loss, dynamic=False) if settings.compiled else loss


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
    looks, before = set(), 0
    for steps in job.stages_steps:
        looks |= {before + step for step in measure.steps(steps)}
        before += steps
    return Objects(
        model=model,
        token_loss=build_loss(model, job.settings),
        optimizer=experiment.optimizer.build(model),
        rate_factor=lambda step: experiment.schedule.factor(fraction_of_stage(job.stages_steps, step)),
        batch=lambda step: training_batch(
            train,
            context_tokens=context_tokens,
            batch_windows=experiment.batch_windows,
            data_seed=job.data_seed,
            step=step,
        ),
        validation_NT1=evaluation_windows(evaluated, context_tokens=context_tokens, num_tokens=measure.num_tokens),
        final_validation_NT1=evaluation_windows(
            evaluated, context_tokens=context_tokens, num_tokens=measure.num_final_tokens
        ),
        look_steps=looks,
        num_steps=num_steps,
        accumulation=experiment.accumulation,
        clip_norm=experiment.optimizer.clip_norm,
        average=WeightAverage(model, averaging.horizon_fraction * num_steps) if averaging else None,
        device=torch.device(job.settings.device),
    )


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
