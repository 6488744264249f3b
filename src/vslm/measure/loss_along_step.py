"""The loss along one step: its tangent line, the target, and what a step to where the two meet would reach."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vslm.core.bounds import Real, Some, Tokens
from vslm.core.errors import SpecError
from vslm.data.corpus import Corpus
from vslm.measure.measure import Evaluator, OnWindows, in_batches, windows_at_a_time
from vslm.measure.sections import LOSS_ALONG_STEP
from vslm.measure.token_loss import token_loss
from vslm.models.language_model import LanguageModel
from vslm.optim.directions import Direction, Gradient

_FURTHEST = 3.0  # of the way to where the tangent meets the target


@dataclass(frozen=True, kw_only=True)
class LossAlongStep(OnWindows):
    """Mean loss on a few windows at w - eta d, from eta = 0 to three times where the tangent meets the target.

        tangent(eta) = f - eta <g, d>;   target = (1 - drop) f;   eta* = drop f / <g, d>

    g is the gradient on these same windows, with dropout off; d is the direction that an optimizer takes at its first
    step, for it knows no other gradient: `Gradient()` is g, `AdamDirection()` about its sign. The model is put back to
    the bit. Not for: the direction that a training has by then, which its averages know.
    Cost: a backward pass and 14 forward passes.

    Args:
        num_evaluations, num_tokens: see `OnWindows`; a training step's number of tokens shows such a step.
        direction: d.
        drop: how far below the loss the target is, as a share of it; in (0, 1).
        num_places: of the curve.
    Arrays, P places: `share_P` (eta / eta*), `loss_nats_P`, `tangent_nats_P`.
    Numbers: `target_nats`; `asked_step` (eta*); `kept_share`, the share of what the tangent promises at eta* that is
        kept: 1 on a straight line, 0 where the step ends as high as it began.
    """

    recorded_as: ClassVar[str] = "loss_along_step"
    shown, arrays, numbers = LOSS_ALONG_STEP.shown, LOSS_ALONG_STEP.arrays, LOSS_ALONG_STEP.numbers
    num_tokens: Tokens = 1024
    direction: Direction = Gradient()
    drop: Real = 0.03
    num_places: Some = 13

    def check(self) -> None:
        """Refuse numbers outside their range."""
        super().check()
        if not 0 < self.drop < 1:
            raise SpecError("drop", f"found {self.drop}", "a number in (0, 1) is needed")
        if self.num_places < 2:
            raise SpecError("num_places", f"found {self.num_places}", "2 or more are needed")

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        windows_NT1, weight_NT = self.windows(corpus, context_tokens), self.weights(corpus, context_tokens)
        return LossAlongStepEvaluator(windows_NT1, weight_NT, self.direction, self.drop, self.num_places)


class LossAlongStepEvaluator(Evaluator):
    """See `LossAlongStep`."""

    def __init__(
        self, windows_NT1: np.ndarray, weight_NT: np.ndarray | None, direction: Direction, drop: float, num_places: int
    ) -> None:
        self.windows_NT1 = windows_NT1
        share_NT = np.ones_like(windows_NT1[:, 1:], dtype=np.float32) if weight_NT is None else weight_NT
        self.share_NT = torch.from_numpy(share_NT / share_NT.sum())
        self.direction, self.drop = direction, drop
        self.shares_P = np.linspace(0.0, _FURTHEST, num_places)

    def take(self, model: LanguageModel) -> dict[str, np.ndarray | float]:
        """All places, of which the first is where the model stands."""
        trained = [p for p in model.parameters() if p.requires_grad]
        loss, gradients = self._with_gradient(model, trained)
        states: list[dict[str, Any]] = [{} for _ in trained]
        ways = [self.direction.along(g, state, 1)[0] for g, state in zip(gradients, states, strict=True)]
        slope = sum(float((g.double() * way.double()).sum()) for g, way in zip(gradients, ways, strict=True))
        step = self.drop * loss / slope if slope > 0 else 0.0
        losses_P = self._along(model, trained, ways, self.shares_P * step)
        (there,) = self._along(model, trained, ways, np.array([step]))
        return {
            "share_P": self.shares_P,
            "loss_nats_P": losses_P,
            "tangent_nats_P": loss - self.shares_P * step * slope,
            "target_nats": (1 - self.drop) * loss,
            "asked_step": step,
            "kept_share": (losses_P[0] - there) / (self.drop * loss),
        }

    def _with_gradient(self, model: LanguageModel, trained: list[nn.Parameter]) -> tuple[float, list[Tensor]]:
        total, gradients = 0.0, [torch.zeros_like(p) for p in trained]
        with torch.enable_grad():
            for loss in self._parts(model):
                total += float(loss.detach())
                of_part = torch.autograd.grad(loss, trained, allow_unused=True)
                gradients = [
                    one if new is None else one + new.detach() for one, new in zip(gradients, of_part, strict=True)
                ]
        return total, gradients

    def _along(
        self, model: LanguageModel, trained: list[nn.Parameter], ways: list[Tensor], steps_P: np.ndarray
    ) -> np.ndarray:
        kept = [p.detach().clone() for p in trained]
        losses = []
        try:
            for step in steps_P:
                for p, start, way in zip(trained, kept, ways, strict=True):
                    p.copy_(start - float(step) * way)
                losses.append(sum(float(loss) for loss in self._parts(model)))
        finally:
            for p, start in zip(trained, kept, strict=True):
                p.copy_(start)
        return np.array(losses)

    def _parts(self, model: LanguageModel) -> Iterator[Tensor]:
        """The weighted mean loss, a part of the windows at a time."""
        batch_windows, start = windows_at_a_time(self.windows_NT1.shape[1] - 1), 0
        for tokens_BT, targets_BT in in_batches(self.windows_NT1, model, batch_windows):
            share_BT = self.share_NT[start : start + len(tokens_BT)].to(tokens_BT.device)
            start += len(tokens_BT)
            yield (token_loss(model, tokens_BT, targets_BT) * share_BT).sum()
