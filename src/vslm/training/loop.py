"""The one training loop: plain torch, objects in, numbers out. Arms differ only in the objects they bring.

Not for: deciding anything. What to train, how long, on what and in which precision is settled before.
"""

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vslm.training.averaging import WeightAverage, averaged
from vslm.training.checkpoints import (
    Checkpoint,
    load_model_tensors,
    load_optimizer,
    model_tensors,
    optimizer_numbers,
    optimizer_tensors,
)


class DivergedError(Exception):
    """The loss, in training or at a look, or its gradient is not finite. Carries the step, counted from 1."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss is not finite at step {step}")
        self.step = step


@dataclass(frozen=True)
class Scheduled:
    """A measure: what takes its numbers from the model, and after which steps (0: before training)."""

    take: Callable[[Any], Mapping[str, np.ndarray]]
    steps: Collection[int]


@dataclass(kw_only=True)
class Objects:
    """What a training is made of.

    Args:
        model: its parameters are trained in place.
        token_loss: (tokens_BT, targets_BT) -> loss_nats_BT through `model`; may be compiled.
        is_compiled: whether it is.
        objective: (step from 0, tokens_BT, targets_BT) -> (what training lowers, loss_nats_BT); None: the mean of
            token_loss. Recorded losses are loss_nats_BT in training and token_loss in evaluation, whatever is lowered.
        optimizer: over the parameters of `model`; the rate in each group is the peak.
        rate_factor: step (from 0) -> share of the peak rate.
        batch: step (from 0) -> integers [B, T + 1], a pure function.
        validation_NT1: fixed validation windows for the looks along the way, [N, T + 1].
        final_validation_NT1: those of the last look.
        look_steps: after which steps (0: before training) to look.
        num_steps: optimizer steps in all.
        accumulation: micro-batches that a batch is split into.
        clip_norm: global gradient norm to clip to, or None.
        average: weights to evaluate and to keep in place of the last ones, or None.
        measures: what else is taken from the model, by name, and when; none of them may change it or draw.
        device: where tensors go.
    """

    model: nn.Module
    token_loss: Callable[[Tensor, Tensor], Tensor]
    is_compiled: bool = False
    optimizer: torch.optim.Optimizer
    rate_factor: Callable[[int], float]
    batch: Callable[[int], np.ndarray]
    validation_NT1: np.ndarray
    final_validation_NT1: np.ndarray
    look_steps: Collection[int]
    num_steps: int
    objective: Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    accumulation: int = 1
    clip_norm: float | None = None
    average: WeightAverage | None = None
    measures: Mapping[str, Scheduled] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass
class Look:
    """One evaluation: losses by position, in nats, and where training stood."""

    step: int
    seconds: float
    learning_rate: float
    train_loss_nats_T: np.ndarray
    val_loss_nats_T: np.ndarray


@dataclass
class Taken:
    """One measure at one step: its arrays by name."""

    measure: str
    step: int
    values: dict[str, np.ndarray]


class Training:
    """A training that can be stepped, looked at, stopped and gone on with.

    Training and validation loss come by position. The training loss of a look is the mean since the look before.
    """

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.step = 0
        self.seconds = 0.0
        self.looks: list[Look] = []
        self.taken: list[Taken] = []
        self.last_loss_nats = math.nan
        self._peaks = [group["lr"] for group in objects.optimizer.param_groups]
        self._loss_sum_T: Tensor | None = None
        self._num_windows = 0

    def run(self, after_step: Callable[["Training"], None]) -> None:
        """Train to the end, calling `after_step` after every step and its look.

        Raises: DivergedError at the first loss, in training or at a look, or gradient that is not finite.
        """
        if self.step == 0 and not self.looks and 0 in self.objects.look_steps:
            self._look()
        if self.step == 0 and not self.taken:
            self._measure()
        while self.step < self.objects.num_steps:
            start = time.perf_counter()
            self._train_step()
            self.seconds += time.perf_counter() - start
            if self.step in self.objects.look_steps:
                self._look()
            self._measure()
            after_step(self)

    def _train_step(self) -> None:
        o = self.objects
        factor = o.rate_factor(self.step)
        for group, peak in zip(o.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        batch_BT1 = torch.from_numpy(o.batch(self.step)).to(o.device, non_blocking=True)
        sum_T = torch.zeros(batch_BT1.shape[1] - 1, dtype=torch.float64, device=o.device)
        for micro_BT1 in batch_BT1.chunk(o.accumulation):
            loss, loss_nats_BT = self._lowered(micro_BT1[:, :-1].contiguous(), micro_BT1[:, 1:].contiguous())
            (loss * (len(micro_BT1) / len(batch_BT1))).backward()
            sum_T += loss_nats_BT.detach().double().sum(dim=0)
        parameters = [parameter for group in o.optimizer.param_groups for parameter in group["params"]]
        if o.clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(parameters, o.clip_norm)
            finite = torch.isfinite(norm) & torch.isfinite(sum_T).all()
        else:
            finite = torch.isfinite(sum_T).all()
        if not finite:
            raise DivergedError(self.step + 1)
        o.optimizer.step()
        o.optimizer.zero_grad(set_to_none=True)
        if o.average is not None:
            o.average.update()
        self.step += 1
        self._loss_sum_T = sum_T if self._loss_sum_T is None else self._loss_sum_T + sum_T
        self._num_windows += len(batch_BT1)
        self.last_loss_nats = float(sum_T.sum()) / batch_BT1[:, 1:].numel()

    def _lowered(self, tokens_BT: Tensor, targets_BT: Tensor) -> tuple[Tensor, Tensor]:
        """What this step lowers, and the loss of every token."""
        if self.objects.objective is not None:
            return self.objects.objective(self.step, tokens_BT, targets_BT)
        loss_nats_BT = self.objects.token_loss(tokens_BT, targets_BT)
        return loss_nats_BT.mean(), loss_nats_BT

    def _look(self) -> None:
        o = self.objects
        windows = o.final_validation_NT1 if self.step == o.num_steps else o.validation_NT1
        batch_windows = max(1, o.batch(0).shape[0] // o.accumulation)
        val_T = self.evaluate(windows, batch_windows).mean(axis=0, dtype=np.float64)
        if not np.isfinite(val_T).all():  # the update that did it is seen here before a next batch could show it
            raise DivergedError(self.step)
        if self._loss_sum_T is None:
            train_T = np.full_like(val_T, np.nan)
        else:
            train_T = (self._loss_sum_T / self._num_windows).cpu().numpy()
        rate = o.optimizer.param_groups[0]["lr"] if self.step else 0.0
        self.looks.append(Look(self.step, self.seconds, rate, train_T, val_T))
        self._loss_sum_T, self._num_windows = None, 0

    def _measure(self) -> None:
        """Take the measures of this step, under the averaged weights if there are any."""
        o = self.objects
        due = {name: measure for name, measure in o.measures.items() if self.step in measure.steps}
        if due:
            with averaged(o.average):
                self.taken += [Taken(name, self.step, dict(one.take(o.model))) for name, one in due.items()]

    def evaluate(self, windows_NT1: np.ndarray, batch_windows: int) -> np.ndarray:
        """Loss in nats of every target of `windows_NT1`, under the averaged weights if there are any.

        Batches have the shape of training's, and a compiled loss keeps its gradients enabled, so that it is compiled
        once: the graph for no_grad would be another, and building it costs more than the activations kept here.
        """
        o = self.objects
        was_training = o.model.training
        o.model.eval()
        losses = []
        with averaged(o.average):
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
        """Everything needed to go on from here and end with the same bits."""
        o = self.objects
        tensors = {f"model.{name}": tensor for name, tensor in model_tensors(o.model).items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in optimizer_tensors(o.optimizer).items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if o.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(o.device)
        if o.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in o.average.tensors().items()}
        if self._loss_sum_T is not None:
            tensors["loss_sum"] = self._loss_sum_T
        if self.looks:
            tensors["looks.train"] = torch.from_numpy(np.stack([look.train_loss_nats_T for look in self.looks]))
            tensors["looks.val"] = torch.from_numpy(np.stack([look.val_loss_nats_T for look in self.looks]))
        for i, taken in enumerate(self.taken):
            tensors |= {f"taken.{i}.{name}": torch.from_numpy(value) for name, value in taken.values.items()}
        plain: dict[str, Any] = {
            "taken": [[taken.measure, taken.step, list(taken.values)] for taken in self.taken],
            "optimizer": optimizer_numbers(o.optimizer),
            "seconds": self.seconds,
            "num_windows": self._num_windows,
            "average_count": o.average.count if o.average is not None else 0,
            "looks": [[look.step, look.seconds, look.learning_rate] for look in self.looks],
        }
        return Checkpoint(self.step, tensors, plain)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Stand where `checkpoint` stood."""
        o = self.objects
        part = {
            head: {name[len(head) + 1 :]: t for name, t in checkpoint.tensors.items() if name.startswith(f"{head}.")}
            for head in ("model", "optimizer", "average")
        }
        load_model_tensors(o.model, part["model"], f"checkpoint at step {checkpoint.step}")
        load_optimizer(o.optimizer, part["optimizer"], checkpoint.plain.get("optimizer"))
        torch.set_rng_state(checkpoint.tensors["random.cpu"])
        if o.device.type == "cuda" and "random.cuda" in checkpoint.tensors:
            torch.cuda.set_rng_state(checkpoint.tensors["random.cuda"], o.device)
        if o.average is not None:
            o.average.count = checkpoint.plain["average_count"]
            for name, mean in o.average.tensors().items():
                mean.copy_(part["average"][name])
        loss_sum_T = checkpoint.tensors.get("loss_sum")
        self._loss_sum_T = None if loss_sum_T is None else loss_sum_T.to(o.device)
        self._num_windows = checkpoint.plain["num_windows"]
        self.step, self.seconds = checkpoint.step, checkpoint.plain["seconds"]
        self.looks = []
        for i, (step, seconds, rate) in enumerate(checkpoint.plain["looks"]):
            train_T, val_T = (checkpoint.tensors[f"looks.{name}"][i].numpy() for name in ("train", "val"))
            self.looks.append(Look(step, seconds, rate, train_T, val_T))
        self.taken = [
            Taken(measure, step, {name: checkpoint.tensors[f"taken.{i}.{name}"].numpy() for name in names})
            for i, (measure, step, names) in enumerate(checkpoint.plain.get("taken", ()))
        ]
