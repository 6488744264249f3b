"""The one training loop: plain torch, objects in, numbers out. Arms differ only in the objects they bring.

Not for: decisions. What is trained, how long, on which data and in which precision is decided before.
"""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vslm.data.batches import Batch
from vslm.optim.reads_loss import ReadsLoss
from vslm.training.averaging import WeightAverage, evaluated
from vslm.training.checkpoints import (
    Checkpoint,
    load_model_tensors,
    load_optimizer,
    model_tensors,
    optimizer_numbers,
    optimizer_tensors,
)
from vslm.training.graphs import Compiled, compiled_so_far
from vslm.training.noted import Noted

_BESIDE_NORM = 1e-6  # what torch adds to the norm that it divides by when it clips


class DivergedError(Exception):
    """The loss, in training or in evaluation, or its gradient is not finite. Carries the step, counted from 1."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss is not finite at step {step}")
        self.step = step


@dataclass(frozen=True)
class Scheduled:
    """A measure as a function of the training, and the steps after which it is called (0: before the first)."""

    take: Callable[["Training"], Mapping[str, np.ndarray]]
    steps: Collection[int]


@dataclass(kw_only=True)
class Objects:
    """Everything that a training needs.

    Args:
        model: what text goes through.
        trained: whose parameters are trained in place, checkpointed and averaged; None: the model's. An adapter that
            is attached to the model is no part of it.
        token_loss: (tokens_BT, targets_BT) -> loss_nats_BT through `model`; may be compiled.
        is_compiled: whether it is.
        has_modes: whether the model may compute otherwise in training than in evaluation.
        objective: (batch or a part of it, step from 0) -> (what training lowers, loss_nats_BT); see `objectives`.
            Recorded losses are loss_nats_BT in training and token_loss in evaluation, whatever is lowered.
        optimizer: over the parameters of `trained`; the rate in each group is the peak.
        rate_factor: step (from 0) -> share of the peak rate.
        batch: step (from 0) -> the batch on the CPU, a pure function.
        num_steps: optimizer steps in all.
        accumulation: micro-batches that a batch is split into.
        clip_norm: global gradient norm to clip to, or None.
        average: weights to evaluate and to keep in place of the last ones, or None.
        measures: what is taken, by name, and when, the losses first; none may change the model or draw.
        noted: what the objective notes of itself, if anything; checkpoints keep it.
        steps_noted: what the optimizer notes of its steps, if anything; checkpoints keep it.
        device: where tensors go.
    """

    model: nn.Module
    trained: nn.Module | None = None
    token_loss: Callable[[Tensor, Tensor], Tensor]
    is_compiled: bool = False
    has_modes: bool = True
    optimizer: torch.optim.Optimizer
    rate_factor: Callable[[int], float]
    objective: Callable[[Batch, int], tuple[Tensor, Tensor]]
    batch: Callable[[int], Batch]
    num_steps: int
    accumulation: int = 1
    clip_norm: float | None = None
    average: WeightAverage | None = None
    measures: Mapping[str, Scheduled] = field(default_factory=dict)
    noted: Noted | None = None
    steps_noted: Noted | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def weights(self) -> nn.Module:
        """What is trained."""
        return self.model if self.trained is None else self.trained


@dataclass
class Measurement:
    """What a measure gave at a step: its arrays by name, the seconds of training so far and the learning rate."""

    measure: str
    step: int
    values: dict[str, np.ndarray]
    seconds: float = math.nan
    learning_rate: float = math.nan


class Training:
    """A training that can be stepped, measured, stopped and resumed."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.step = 0
        self.seconds = 0.0
        self.worked_seconds = 0.0  # of this process, measures among them
        self.first_step_seconds: float | None = None  # of this process
        self._core_seconds, self._core_steps = 0.0, 0  # of this process, without its first step
        self._compiled_before = compiled_so_far()  # in this process, by other trainings
        self.measurements: list[Measurement] = []
        self.last_loss_nats = math.nan
        self._peaks = [group["lr"] for group in objects.optimizer.param_groups]
        self._loss_sum_T: Tensor | None = None
        self._weight_sum_T: Tensor | None = None  # where targets count differently; else windows are counted
        self._num_windows = 0

    def run(self, after_step: Callable[["Training"], None]) -> None:
        """Train to the end, calling `after_step` after every step and what is measured after it.

        Raises: DivergedError at the first loss, in training or in evaluation, or gradient that is not finite.
        """
        if self.step == 0 and not self.measurements:
            self._measure()
        while self.step < self.objects.num_steps:
            start, core_start = time.perf_counter(), time.process_time()
            self.train_step()
            seconds = time.perf_counter() - start
            self.seconds += seconds
            self.worked_seconds += seconds
            if self.first_step_seconds is None:
                self.first_step_seconds = seconds
            else:
                self._core_seconds += time.process_time() - core_start
                self._core_steps += 1
            self._measure()
            after_step(self)

    @property
    def step_core_seconds(self) -> float | None:
        """Core seconds of a step, the mean over this process without its first: other work on the machine does not
        lengthen them. None before the second step.
        """
        return self._core_seconds / self._core_steps if self._core_steps else None

    @property
    def compiled(self) -> Compiled:
        """What this process compiled since this training was made, in steps and in measures."""
        now, before = compiled_so_far(), self._compiled_before
        return Compiled(now.seconds - before.seconds, now.graphs - before.graphs)

    def train_step(self) -> None:
        """One step of the optimizer: forward and backward of every part, clipping, the update, the averaged weights.

        Raises: DivergedError before the update, for a loss or a gradient that is not finite.
        """
        o = self.objects
        factor = o.rate_factor(self.step)
        for group, peak in zip(o.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        batch = o.batch(self.step).to(o.device)
        sum_T = torch.zeros(batch.tokens_BT.shape[1], dtype=torch.float64, device=o.device)
        whole = torch.zeros((), dtype=torch.float64, device=o.device)
        for part in batch.parts(o.accumulation):
            lowered, loss_nats_BT = o.objective(part, self.step)
            lowered.backward()
            whole += lowered.detach()
            sum_T += part.sum_by_position(loss_nats_BT.detach())
        if not self._clip(sum_T, whole):
            raise DivergedError(self.step + 1)
        o.optimizer.step()
        if o.steps_noted is not None and isinstance(o.optimizer, ReadsLoss):
            for name, value in o.optimizer.noted().items():
                o.steps_noted.note(name, torch.tensor(value, dtype=torch.float64))
        o.optimizer.zero_grad(set_to_none=True)
        if o.average is not None:
            o.average.update()
        self.step += 1
        self._loss_sum_T = sum_T if self._loss_sum_T is None else self._loss_sum_T + sum_T
        self._num_windows += len(batch)
        if batch.weight_BT is None:
            self.last_loss_nats = float(sum_T.sum()) / batch.targets_BT.numel()
        else:
            weight_T = batch.weight_BT.double().sum(dim=0)
            self._weight_sum_T = weight_T if self._weight_sum_T is None else self._weight_sum_T + weight_T
            self.last_loss_nats = float(sum_T.sum() / weight_T.sum())

    def _clip(self, sum_T: Tensor, lowered: Tensor) -> bool:
        """Clip the gradients, and tell an optimizer that reads it the loss; whether all of it is finite.

        What such a one makes of a gradient that is not finite would not show in the loss, so it is looked at there
        without clipping, too.
        """
        o = self.objects
        parameters = [parameter for group in o.optimizer.param_groups for parameter in group["params"]]
        reads_loss = isinstance(o.optimizer, ReadsLoss)
        finite = torch.isfinite(sum_T).all()
        if o.clip_norm is not None or reads_loss:
            most = math.inf if o.clip_norm is None else o.clip_norm
            norm = nn.utils.clip_grad_norm_(parameters, most)
            finite = torch.isfinite(norm) & finite
            if isinstance(o.optimizer, ReadsLoss):
                finite = torch.isfinite(lowered) & finite
                o.optimizer.read_loss(lowered, (most / (norm + _BESIDE_NORM)).clamp(max=1.0))
        return bool(finite)

    def take_train_losses(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The mean loss at each position since the last call, and the sums of the weights where targets count
        differently; None without a step since then.
        """
        sum_T, weight_T, num_windows = self._loss_sum_T, self._weight_sum_T, self._num_windows
        self._loss_sum_T, self._weight_sum_T, self._num_windows = None, None, 0
        if sum_T is None:
            return None, None
        if weight_T is None:
            return (sum_T / num_windows).cpu().numpy(), None
        return (sum_T / weight_T).cpu().numpy(), weight_T.cpu().numpy()

    def _measure(self) -> None:
        """Call the measures that are due at this step, with the averaged weights if there are any."""
        o = self.objects
        due = {name: measure for name, measure in o.measures.items() if self.step in measure.steps}
        start = time.perf_counter()
        if due:
            learning_rate = o.optimizer.param_groups[0]["lr"] if self.step else 0.0
            with evaluated(o.average, o.optimizer):
                for name, measure in due.items():
                    values = dict(measure.take(self))
                    self.measurements.append(Measurement(name, self.step, values, self.seconds, learning_rate))
        self.worked_seconds += time.perf_counter() - start

    def evaluate(self, windows_NT1: np.ndarray, batch_windows: int) -> np.ndarray:
        """Loss in nats of every target of `windows_NT1`, under the weights as they are.

        Batches have the shape of training's, and a compiled loss keeps its gradients enabled, so that it is compiled
        once: the graph for no_grad would be another, and building it costs more than the activations kept here. So
        would that of another mode, where the modes of the model differ in nothing.
        """
        o = self.objects
        was_training = o.model.training
        if o.has_modes or not o.is_compiled:
            o.model.eval()
        losses = []
        for start in range(0, len(windows_NT1), batch_windows):
            part = windows_NT1[start : start + batch_windows]
            missing = batch_windows - len(part)
            full = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part
            batch = torch.from_numpy(full).to(o.device)
            with torch.set_grad_enabled(o.is_compiled):
                loss_nats_BT = o.token_loss(batch[:, :-1].contiguous(), batch[:, 1:].contiguous())
            losses.append(loss_nats_BT.detach()[: len(part)].cpu().numpy())
        o.model.train(was_training)
        return np.concatenate(losses)

    def checkpoint(self) -> Checkpoint:
        """Everything needed to resume from here and end with the same bits."""
        o = self.objects
        tensors = {f"model.{name}": tensor for name, tensor in model_tensors(o.weights).items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in optimizer_tensors(o.optimizer).items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if o.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(o.device)
        if o.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in o.average.tensors().items()}
        if self._loss_sum_T is not None:
            tensors["loss_sum"] = self._loss_sum_T
        if self._weight_sum_T is not None:
            tensors["weight_sum"] = self._weight_sum_T
        if o.noted is not None:
            tensors |= {f"noted.{name}": tensor for name, tensor in o.noted.tensors().items()}
        if o.steps_noted is not None:
            tensors |= {f"steps_noted.{name}": tensor for name, tensor in o.steps_noted.tensors().items()}
        by_measure: dict[str, list[Measurement]] = {}
        for taken in self.measurements:
            by_measure.setdefault(taken.measure, []).append(taken)
        for measure, found in by_measure.items():
            for name in found[0].values:
                stacked = np.stack([taken.values[name] for taken in found])
                tensors[f"taken.{measure}.{name}"] = torch.from_numpy(stacked)
        plain: dict[str, Any] = {
            "taken": {
                measure: [[taken.step, taken.seconds, taken.learning_rate] for taken in found]
                for measure, found in by_measure.items()
            },
            "optimizer": optimizer_numbers(o.optimizer),
            "seconds": self.seconds,
            "num_windows": self._num_windows,
            "average_count": o.average.count if o.average is not None else 0,
            **({} if o.noted is None else {"noted_since": o.noted.since}),
            **({} if o.steps_noted is None else {"steps_noted_since": o.steps_noted.since}),
        }
        return Checkpoint(self.step, tensors, plain)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over weights, optimizer, random state and measurements of a checkpoint."""
        o = self.objects
        part = {
            head: {name[len(head) + 1 :]: t for name, t in checkpoint.tensors.items() if name.startswith(f"{head}.")}
            for head in ("model", "optimizer", "average", "noted", "steps_noted")
        }
        load_model_tensors(o.weights, part["model"], f"checkpoint at step {checkpoint.step}")
        load_optimizer(o.optimizer, part["optimizer"], checkpoint.plain.get("optimizer"))
        torch.set_rng_state(checkpoint.tensors["random.cpu"])
        if o.device.type == "cuda" and "random.cuda" in checkpoint.tensors:
            torch.cuda.set_rng_state(checkpoint.tensors["random.cuda"], o.device)
        if o.average is not None:
            o.average.count = checkpoint.plain["average_count"]
            for name, mean in o.average.tensors().items():
                mean.copy_(part["average"][name])
        if o.noted is not None:
            o.noted.restore(part["noted"], checkpoint.plain["noted_since"])
        if o.steps_noted is not None:
            o.steps_noted.restore(part["steps_noted"], checkpoint.plain["steps_noted_since"])
        sums = (checkpoint.tensors.get(name) for name in ("loss_sum", "weight_sum"))
        self._loss_sum_T, self._weight_sum_T = (None if sum_T is None else sum_T.to(o.device) for sum_T in sums)
        self._num_windows = checkpoint.plain["num_windows"]
        self.step, self.seconds = checkpoint.step, checkpoint.plain["seconds"]
        self.measurements = _taken_of(checkpoint, next(iter(o.measures), ""))


def _taken_of(checkpoint: Checkpoint, losses: str) -> list[Measurement]:
    """What a checkpoint holds of measures.

    Args:
        losses: what the losses are called, of which a checkpoint from before they were a measure has no name.
    """
    taken = checkpoint.plain.get("taken", {})
    if isinstance(taken, list):
        return [*_losses_before(checkpoint, losses), *_taken_before(checkpoint, taken)]
    found = []
    for measure, rows in taken.items():
        head = f"taken.{measure}."
        arrays = {name[len(head) :]: t for name, t in checkpoint.tensors.items() if name.startswith(head)}
        for i, (step, seconds, learning_rate) in enumerate(rows):
            values = {name: tensor[i].numpy() for name, tensor in arrays.items()}
            found.append(Measurement(measure, step, values, seconds, learning_rate))
    return found


_NAMES_BEFORE = {
    "loss_nats_T": "val",
    "train_loss_nats_T": "train",
    "weight_T": "val_weight",
    "train_weight_T": "train_weight",
}
"""Name of an array of the losses -> its name in a checkpoint from before they were a measure."""


def _losses_before(checkpoint: Checkpoint, losses: str) -> Iterator[Measurement]:
    for i, (step, seconds, learning_rate) in enumerate(checkpoint.plain.get("looks", ())):
        values = {
            name: checkpoint.tensors[f"looks.{before}"][i].numpy()
            for name, before in _NAMES_BEFORE.items()
            if f"looks.{before}" in checkpoint.tensors
        }
        yield Measurement(losses, step, values, seconds, learning_rate)


def _taken_before(checkpoint: Checkpoint, taken: list[Any]) -> Iterator[Measurement]:
    for i, (measure, step, names) in enumerate(taken):
        yield Measurement(measure, step, {name: checkpoint.tensors[f"taken.{i}.{name}"].numpy() for name in names})
