"""The numbers of a run: what its measures took, as rows of `measures.jsonl` and arrays of `arrays.npz`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vslm.data.batches import evaluation_windows_of, mean_over_positions
from vslm.data.corpus import Corpus
from vslm.data.splits import SplitName
from vslm.data.windows import num_target_bytes
from vslm.measure.loss_by_position import LossByPosition
from vslm.measure.measure import Measure, recorded_name
from vslm.measure.token_loss import bits_per_byte
from vslm.results.files import write_arrays, write_rows
from vslm.results.primary import CHOSEN
from vslm.study.experiment import Experiment
from vslm.study.job import Job
from vslm.training.loop import Measurement, Training

Arrays = dict[str, np.ndarray]


def write_numbers(job: Job, folder: Path, vocabulary: int, training: Training) -> None:
    """Write what a training has taken until now: a row a step into `measures.jsonl`, arrays into `arrays.npz`."""
    tokens_per_step = job.experiment.tokens_per_step
    flops_per_token = job.experiment.flops_per_token(vocabulary)
    losses = losses_of(training.measurements, job.split)
    others = [one for one in training.measurements if one.measure != name_in_run(LossByPosition, job.split)]
    rows = []
    for one in losses:
        tokens = one.step * tokens_per_step
        train_loss = mean_loss(one, in_training=True)
        rows.append(
            {
                "step": one.step,
                "tokens": tokens,
                "flops": tokens * flops_per_token,
                "seconds": one.seconds,
                "train_loss": train_loss if math.isfinite(train_loss) else None,
                f"{job.split}_loss": mean_loss(one),
                "learning_rate": one.learning_rate,
                "tokens_per_second": tokens / one.seconds if one.seconds else None,
            }
        )
    write_rows(folder / "measures.jsonl", with_measures(rows, others))
    if losses:
        num_steps = training.objects.num_steps
        arrays = loss_arrays(losses, job.split, tokens_per_step=tokens_per_step, num_steps=num_steps)
        write_arrays(folder / "arrays.npz", arrays | measured_arrays(others))


def final_loss(job: Job, corpus: Corpus, taken: Iterable[Measurement]) -> tuple[float, float]:
    """The last loss of a run on its split: nats per token, bits per byte."""
    loss_nats = mean_loss(losses_of(taken, job.split)[-1])
    return loss_nats, bits_per_byte(loss_nats, scored_bytes_per_token(job.experiment, corpus, job.split))


def name_in_run(measure: Measure | type[Measure], split: SplitName) -> str:
    """The name of a measure in the files of a run that is evaluated on this split.

    >>> name_in_run(LossByPosition, "val"), name_in_run(LossByPosition, "select")
    ('loss_by_position', 'select_loss_by_position')
    """
    return f"{CHOSEN if split == 'select' else ''}{measure.recorded_as}"


def losses_of(taken: Iterable[Measurement], split: SplitName) -> list[Measurement]:
    """The losses of a run that is evaluated on this split."""
    return [one for one in taken if one.measure == name_in_run(LossByPosition, split)]


def mean_loss(losses: Measurement, *, in_training: bool = False) -> float:
    """Over all targets that count: those that were evaluated, or those trained on since the losses before (NaN at the
    first).
    """
    head = "train_" if in_training else ""
    return mean_over_positions(losses.values[f"{head}loss_nats_T"], losses.values.get(f"{head}weight_T"))


def loss_arrays(losses: Sequence[Measurement], split: SplitName, *, tokens_per_step: int, num_steps: int) -> Arrays:
    """The losses as a run's arrays have them, under the name of the split and without that of the measure.

    >>> losses = [Measurement("loss_by_position", 8, {"loss_nats_T": np.ones(3), "train_loss_nats_T": np.ones(3)})]
    >>> list(loss_arrays(losses, "val", tokens_per_step=2, num_steps=8))
    ['steps_S', 'tokens_S', 'val_loss_nats_ST', 'train_loss_nats_ST', 'final_val_loss_nats_T']
    """
    steps_S = np.array([one.step for one in losses])
    arrays = {
        "steps_S": steps_S,
        "tokens_S": steps_S * tokens_per_step,
        f"{split}_loss_nats_ST": np.stack([one.values["loss_nats_T"] for one in losses]),
        "train_loss_nats_ST": np.stack([one.values["train_loss_nats_T"] for one in losses]),
    }
    last = losses[-1]
    is_weighted = "weight_T" in last.values
    if is_weighted:
        for name, kept in (("train_weight_T", "train"), ("weight_T", split)):
            arrays[f"{kept}_weight_ST"] = np.stack([one.values[name] for one in losses])
    if last.step == num_steps:
        arrays[f"final_{split}_loss_nats_T"] = last.values["loss_nats_T"]
        if is_weighted:
            arrays[f"final_{split}_weight_T"] = last.values["weight_T"]
    return arrays


def measured_arrays(taken: Iterable[Measurement]) -> dict[str, np.ndarray]:
    """Every array under its measure's name, with the steps as first axis, beside `NAME.steps_S`.

    >>> taken = [Measurement("lens", step, {"loss_nats_L": np.array([3.0, 2.0])}) for step in (0, 8)]
    >>> {name: array.tolist() for name, array in measured_arrays(taken).items()}
    {'lens.steps_S': [0, 8], 'lens.loss_nats_SL': [[3.0, 2.0], [3.0, 2.0]]}
    """
    by_measure: dict[str, list[Measurement]] = {}
    for one in taken:
        by_measure.setdefault(one.measure, []).append(one)
    arrays = {}
    for measure, found in by_measure.items():
        arrays[f"{measure}.steps_S"] = np.array([one.step for one in found])
        for name in found[0].values:
            arrays[recorded_name(measure, name)] = np.stack([one.values[name] for one in found])
    return arrays


def with_measures(rows: Iterable[Mapping[str, Any]], taken: Iterable[Measurement]) -> list[dict[str, Any]]:
    """Rows by step with the numbers that have no axes as `MEASURE.NAME`; steps without a row get one.

    >>> with_measures([{"step": 8, "val_loss": 2.5}], [Measurement("recall", 8, {"accuracy": np.array(0.5)})])
    [{'step': 8, 'val_loss': 2.5, 'recall.accuracy': 0.5}]
    """
    by_step = {row["step"]: dict(row) for row in rows}
    for one in taken:
        scalars = {f"{one.measure}.{name}": float(value) for name, value in one.values.items() if value.ndim == 0}
        if scalars:
            row = by_step.setdefault(one.step, {"step": one.step})
            row |= {name: value if math.isfinite(value) else None for name, value in scalars.items()}
    return [by_step[step] for step in sorted(by_step)]


def scored_bytes_per_token(
    experiment: Experiment, corpus: Corpus, split: SplitName, positions: tuple[int, int] | None = None
) -> float:
    """Bytes of text per target of the last evaluation, exactly: `bpb = loss_nats / ln 2 / this`.

    Not those of the whole split: what arms with other tokenizers are judged on is other text, and as much of it.

    Args:
        positions: (first, end) of the part of the window that counts; None: all of it.
    """
    windows = evaluation_windows_of(
        corpus.split(split),
        context_tokens=experiment.model.context_tokens,
        num_tokens=experiment.loss_by_position.num_final_tokens,
    )
    first, end = positions or (0, experiment.model.context_tokens)
    part = windows.tokens_NT1[:, first : end + 1]  # a target stands one further than its position
    weight_NT = None if windows.weight_NT is None else windows.weight_NT[:, first:end].astype(np.float64)
    num_targets = part[:, 1:].size if weight_NT is None else float(weight_NT.sum())
    return num_target_bytes(part, corpus.tokenizer.token_num_bytes, weight_NT) / num_targets
