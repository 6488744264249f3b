"""The loop by hand: a model of one table, so that every gradient and every mean can be computed beside it."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vslm.data.batches import Batch, Windows
from vslm.training.averaging import WeightAverage
from vslm.training.loop import DivergedError, Objects, Scheduled, Training

VOCABULARY, CONTEXT_TOKENS, WINDOWS, STEPS = 7, 3, 5, 4


class Table(nn.Module):
    """The next token by the last one alone."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.logits = nn.Parameter(torch.randn(VOCABULARY, VOCABULARY, generator=generator, dtype=torch.float64))

    def loss(self, tokens_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Nats of every target; twice as many in training, as with something that evaluation leaves out."""
        loss_BT = functional.cross_entropy(self.logits[tokens_BT].transpose(1, 2), targets_BT, reduction="none")
        return 2 * loss_BT if self.training else loss_BT


def windows(step: int) -> np.ndarray:
    """Of a step."""
    return np.random.default_rng(step).integers(0, VOCABULARY, (WINDOWS, CONTEXT_TOKENS + 1))


def batch(step: int) -> Batch:
    """The batch of a step; every target counts."""
    windows_BT1 = torch.from_numpy(windows(step))
    return Batch(windows_BT1[:, :-1], windows_BT1[:, 1:])


def loss_of(logits: Tensor, windows_NT1: np.ndarray) -> Tensor:
    """Nats of every target by definition."""
    tokens_NT1 = torch.from_numpy(windows_NT1)
    return -logits.log_softmax(dim=-1)[tokens_NT1[:, :-1], tokens_NT1[:, 1:]]


def training(model: Table, **changes: object) -> Training:
    """Plain descent at a peak rate of 0.5, evaluated on seven windows, and on eleven at the end."""
    rng = np.random.default_rng(99)
    given = {
        "model": model,
        "token_loss": model.loss,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.5),
        "rate_factor": lambda step: 1.0,
        "batch": batch,
        "validation": Windows(rng.integers(0, VOCABULARY, (7, CONTEXT_TOKENS + 1))),
        "final_validation": Windows(rng.integers(0, VOCABULARY, (11, CONTEXT_TOKENS + 1))),
        "look_steps": {STEPS},
        "num_steps": STEPS,
        **changes,
    }

    def next_token(part: Batch, step: int) -> tuple[Tensor, Tensor]:
        loss_BT = given["token_loss"](part.tokens_BT, part.targets_BT)  # type: ignore[operator]
        return part.mean(loss_BT), loss_BT

    return Training(Objects(**{"objective": next_token, **given}))  # type: ignore[arg-type]


def stepped(logits: Tensor, step: int, rate: float, clip_norm: float | None = None) -> Tensor:
    """The table after one step of descent, by definition."""
    logits = logits.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(2 * loss_of(logits, windows(step)).mean(), logits)
    if clip_norm is not None:
        gradient = gradient * min(1.0, clip_norm / float(gradient.norm()))
    return logits.detach() - rate * gradient


@pytest.mark.parametrize("clip_norm", [None, 0.05])
@pytest.mark.parametrize("accumulation", [1, 2, 3, 5])
def test_a_step_is_one_of_the_mean_over_the_batch(accumulation: int, clip_norm: float | None) -> None:
    """However the batch is split, also where its parts are not equally large (5 = 3 + 2 = 2 + 2 + 1)."""
    model = Table()
    expected = stepped(model.logits, 0, 0.5, clip_norm)
    before = loss_of(model.logits, windows(0)).detach()
    run = training(model, accumulation=accumulation, clip_norm=clip_norm)
    run.train_step()
    torch.testing.assert_close(model.logits.detach(), expected, rtol=1e-5, atol=1e-7)
    assert run.last_loss_nats == pytest.approx(2 * float(before.mean()))


def test_the_rate_is_the_peak_times_the_factor_of_the_step() -> None:
    """Counted from 0; looks tell the rate of the step before them, and 0 before the first."""
    model = Table()
    expected = model.logits.detach().clone()
    for step in range(STEPS):
        expected = stepped(expected, step, 0.5 / (1 + step))
    run = training(model, rate_factor=lambda step: 1 / (1 + step), look_steps={0, 2, STEPS})
    run.run(lambda _: None)
    torch.testing.assert_close(model.logits.detach(), expected)
    assert [look.step for look in run.looks] == [0, 2, STEPS]
    assert [look.learning_rate for look in run.looks] == [0.0, 0.25, 0.125]


def test_a_look_tells_the_training_loss_since_the_one_before_and_the_validation_loss_now() -> None:
    """By position. The last look has its own windows; what fills up the last batch of windows does not count."""
    model = Table()
    run = training(model, look_steps={0, 1, 3, STEPS}, accumulation=2)
    trained, validated = [], []

    def note(now: Training) -> None:
        validated.append(loss_of(model.logits.detach(), now.objects.validation.tokens_NT1).mean(dim=0).numpy())
        trained.append(2 * loss_of(logits[0], windows(now.step - 1)).mean(dim=0).numpy())
        logits[0] = model.logits.detach().clone()

    logits = [model.logits.detach().clone()]
    start = loss_of(logits[0], run.objects.validation.tokens_NT1).mean(dim=0).numpy()
    run.run(note)
    zero, first, middle, last = run.looks
    np.testing.assert_allclose(zero.val_loss_nats_T, start)
    assert np.isnan(zero.train_loss_nats_T).all()
    np.testing.assert_allclose(first.val_loss_nats_T, validated[0])
    np.testing.assert_allclose(first.train_loss_nats_T, trained[0])
    np.testing.assert_allclose(middle.val_loss_nats_T, validated[2])
    np.testing.assert_allclose(middle.train_loss_nats_T, (trained[1] + trained[2]) / 2)
    np.testing.assert_allclose(last.train_loss_nats_T, trained[3])
    final = loss_of(model.logits.detach(), run.objects.final_validation.tokens_NT1).mean(dim=0).numpy()
    np.testing.assert_allclose(last.val_loss_nats_T, final)
    assert model.training


def test_looks_and_measures_see_the_averaged_weights_and_training_the_others() -> None:
    """The average over a horizon longer than the training is the plain mean of the tables after each step."""
    model, alone = Table(), Table()
    average = WeightAverage(model, horizon_steps=100)
    tables: list[Tensor] = []
    training(alone).run(lambda _: tables.append(alone.logits.detach().clone()))
    measure = Scheduled(lambda seen: {"logits": seen.logits.detach().numpy().copy()}, {0, STEPS})
    run = training(model, average=average, measures={"table": measure})
    run.run(lambda _: None)
    torch.testing.assert_close(model.logits.detach(), alone.logits.detach())
    mean = torch.stack(tables).mean(dim=0)
    assert [taken.step for taken in run.taken] == [0, STEPS]
    np.testing.assert_allclose(run.taken[0].values["logits"], Table().logits.detach().numpy())
    np.testing.assert_allclose(run.taken[1].values["logits"], mean.numpy())
    expected = loss_of(mean, run.objects.final_validation.tokens_NT1).mean(dim=0).numpy()
    np.testing.assert_allclose(run.looks[-1].val_loss_nats_T, expected)


def test_what_goes_on_from_a_checkpoint_ends_as_if_it_had_not_stopped() -> None:
    """Weights, momentum, average, looks, measures and the sum of losses since the last look."""
    ended = []
    for stop in (None, 3):
        checkpoint = None
        for part in ("first", "second") if stop else ("whole",):
            model = Table()
            run = training(
                model,
                optimizer=torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9),
                average=WeightAverage(model, horizon_steps=3),
                measures={"table": Scheduled(lambda seen: {"sum": seen.logits.detach().sum().numpy()[None]}, {1, 3})},
                look_steps={0, 2, STEPS},
                num_steps=stop if part == "first" else STEPS,
            )
            if part == "second":
                assert checkpoint is not None
                run.restore(checkpoint)
            if part == "first":
                run.objects.look_steps = {0, 2}
            run.run(lambda _: None)
            checkpoint = run.checkpoint()
        ended.append(run)
    whole, stopped = ended
    one, other = whole.checkpoint(), stopped.checkpoint()
    assert one.tensors.keys() == other.tensors.keys() >= {"average.logits", "model.logits", "looks.val"}
    for name, tensor in one.tensors.items():
        torch.testing.assert_close(other.tensors[name], tensor, rtol=0, atol=0, equal_nan=True, msg=name)
    assert other.plain["taken"] == one.plain["taken"] == [["table", 1, ["sum"]], ["table", 3, ["sum"]]]
    assert [look[::2] for look in other.plain["looks"]] == [look[::2] for look in one.plain["looks"]]
    assert (other.step, other.plain["average_count"]) == (STEPS, STEPS)


def test_a_short_horizon_forgets_by_its_share() -> None:
    """d = min(1 - 1 / horizon, (t - 1) / t): of four steps with a horizon of 2, half of each new table."""
    model = Table()
    average = WeightAverage(model, horizon_steps=2)
    expected = torch.full_like(model.logits, 99.0)
    for t in range(1, 5):
        with torch.no_grad():
            model.logits.add_(t)
        keep = min(0.5, (t - 1) / t)
        expected = keep * expected + (1 - keep) * model.logits.detach()
        average.update()
        torch.testing.assert_close(average.mean[0], expected)
    latest = WeightAverage(model, horizon_steps=0.5)
    for _ in range(2):
        with torch.no_grad():
            model.logits.add_(1)
        latest.update()
    torch.testing.assert_close(latest.mean[0], model.logits.detach())


def test_a_training_that_breaks_names_the_step_that_did_it() -> None:
    """Counted from 1, in training, in the norm of the gradient or at a look."""
    for changes, found in (
        ({"token_loss": lambda x, y: Table().loss(x, y) * torch.nan}, 1),
        ({"rate_factor": lambda step: 1e308 * 1e308 if step == 1 else 1.0}, 3),
        ({"rate_factor": lambda step: 1e308 * 1e308 if step == 1 else 1.0, "look_steps": {2}}, 2),
    ):
        model = Table()
        with pytest.raises(DivergedError) as error:
            training(model, **changes).run(lambda _: None)
        assert error.value.step == found
