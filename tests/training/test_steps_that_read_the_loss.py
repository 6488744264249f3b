"""An optimizer that reads the loss, in the loop: whole batches whatever their parts, clipping, bf16, going on."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vslm.data.batches import Batch
from vslm.optim.directions import Gradient
from vslm.optim.momo import MomoAdam
from vslm.optim.optimizer import Optimizer
from vslm.optim.reads_loss import STEP_NUMBERS
from vslm.optim.tangent import Tangent
from vslm.optim.targets import FractionOfBest, KnownTarget, RelativeDrop
from vslm.training.loop import DivergedError, Objects, Scheduled, Training
from vslm.training.noted import Noted

VOCABULARY, NUM_STEPS = 7, 5


class Table(nn.Module):
    """The next token by the last one alone."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(0)))


def batch(step: int) -> Batch:
    """Five windows of a step, whose targets count differently."""
    rng = np.random.default_rng(step)
    windows_BT1 = torch.from_numpy(rng.integers(0, VOCABULARY, (5, 4)))
    weight_BT = torch.from_numpy(rng.integers(1, 4, (5, 3)).astype(np.float32))
    return Batch(windows_BT1[:, :-1], windows_BT1[:, 1:], weight_BT)


def training(spec: Optimizer, *, accumulation: int = 1, precision: str = "fp32", scale: float = 1.0) -> Training:
    """Of a table, through next tokens, times a number."""
    model = Table()
    noted = Noted(STEP_NUMBERS)

    def lowers(part: Batch, step: int) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits_BTV = functional.one_hot(part.tokens_BT, VOCABULARY).float() @ model.logits
            loss_BT = functional.cross_entropy(logits_BTV.float().transpose(1, 2), part.targets_BT, reduction="none")
        return scale * part.mean(loss_BT), loss_BT

    return Training(
        Objects(
            model=model,
            token_loss=lambda tokens_BT, targets_BT: tokens_BT,
            objective=lowers,
            optimizer=spec.build(model),
            rate_factor=lambda step: 1.0 - 0.1 * step,
            batch=batch,
            num_steps=NUM_STEPS,
            accumulation=accumulation,
            clip_norm=spec.clip_norm,
            steps_noted=noted,
            measures={"optimizer": Scheduled(lambda now: noted.take(now.step), (0, 3, NUM_STEPS))},
        )
    )


def table(run: Training) -> Tensor:
    """As it is now."""
    return run.objects.model.get_parameter("logits").detach().clone()


def whole_loss(logits: Tensor, step: int) -> Tensor:
    """The weighted mean over the batch of a step, by definition."""
    of_step = batch(step)
    assert of_step.weight_BT is not None
    loss_BT = -logits.log_softmax(dim=-1)[of_step.tokens_BT, of_step.targets_BT]
    return (loss_BT * of_step.weight_BT).sum() / of_step.weight_BT.sum()


@pytest.mark.parametrize("clip_norm", [None, 0.05])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_the_tangent_is_that_of_the_mean_over_the_whole_batch(accumulation: int, clip_norm: float | None) -> None:
    """A step along the gradient, uncapped, by definition: clipping changes nothing, nor do parts."""
    spec = Tangent(
        learning_rate=1e5, direction=Gradient(), target=KnownTarget(nats=1.5), clip_norm=clip_norm, weight_decay=0.0
    )
    run = training(spec, accumulation=accumulation)
    before = table(run).requires_grad_()
    loss = whole_loss(before, 0)
    (gradient,) = torch.autograd.grad(loss, before)
    run.train_step()
    expected = before.detach() - float(loss.detach() - 1.5) / float(gradient.square().sum()) * gradient
    torch.testing.assert_close(table(run), expected, rtol=1e-4, atol=1e-5)


def test_in_bf16_the_step_is_nearly_the_same() -> None:
    """The loss and inner products are in fp32 or above."""
    spec = Tangent(learning_rate=3.0, direction=Gradient(), target=KnownTarget(nats=1.5), weight_decay=0.0)
    moved = []
    for precision in ("fp32", "bf16"):
        run = training(spec, precision=precision)
        before = table(run)
        run.train_step()
        moved.append(table(run) - before)
    assert 0 < (moved[0] - moved[1]).norm() < 0.03 * moved[0].norm()


SPECS: list[Optimizer] = [
    Tangent(learning_rate=0.3, target=RelativeDrop(drop=0.2)),
    Tangent(learning_rate=3.0, direction=Gradient(), target=FractionOfBest()),
    MomoAdam(learning_rate=0.3, bound=1.0, estimates_bound=True),
]


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_what_goes_on_from_a_checkpoint_ends_with_the_same_bits(spec: Optimizer) -> None:
    """Weights, what a target keeps, and the means of what steps were, in the middle of a mean."""
    whole = training(spec)
    whole.run(lambda _: None)
    first = training(spec)
    first.objects.measures["optimizer"].take(first)
    first.measurements = whole.measurements[:1]
    for _ in range(2):
        first.train_step()
    second = training(spec)
    second.restore(first.checkpoint())
    second.run(lambda _: None)
    assert torch.equal(table(second), table(whole))
    for one, other in zip(whole.measurements, second.measurements, strict=True):
        assert one.step == other.step
        assert {name: float(value) for name, value in one.values.items()} == pytest.approx(
            {name: float(value) for name, value in other.values.items()}, abs=0, rel=0, nan_ok=True
        )
    last = whole.measurements[-1].values
    assert set(last) == set(STEP_NUMBERS)
    assert all(math.isfinite(value) for value in last.values())
    assert 0 < last["taken_step"] <= last["asked_step"]


def test_a_loss_or_a_gradient_that_is_not_finite_ends_the_run_before_the_step() -> None:
    """Also without clipping, where nothing else looks at the gradient."""
    spec = Tangent(learning_rate=0.3, clip_norm=None)
    run = training(spec, scale=math.inf)
    before = table(run)
    with pytest.raises(DivergedError):
        run.train_step()
    assert torch.equal(table(run), before)
