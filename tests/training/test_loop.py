"""The loop by hand: a model of one table, so that every gradient and every mean can be computed beside it."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vslm.data.batches import Batch, Windows
from vslm.training import loop
from vslm.training.averaging import WeightAverage
from vslm.training.loop import DivergedError, Measurement, Objects, Scheduled, Training
from vslm.training.losses import LossesByPosition

_RNG = np.random.default_rng(99)
VOCABULARY, CONTEXT_TOKENS, WINDOWS, STEPS = 7, 3, 5, 4
EVALUATED, EVALUATED_LAST = (Windows(_RNG.integers(0, VOCABULARY, (count, CONTEXT_TOKENS + 1))) for count in (7, 11))


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


def losses_at(*steps: int) -> Scheduled:
    """The losses on seven windows, and on eleven at the end."""
    return Scheduled(LossesByPosition(EVALUATED, EVALUATED_LAST), steps)


def losses_of(run: Training) -> list[Measurement]:
    """The losses that were taken."""
    return [taken for taken in run.measurements if taken.measure == "losses"]


def logits_of(run: Training) -> np.ndarray:
    """A copy of the table as it is now."""
    assert isinstance(run.objects.model, Table)
    return run.objects.model.logits.detach().numpy().copy()


def training(model: Table, **changes: object) -> Training:
    """Plain descent at a peak rate of 0.5, evaluated at the end."""
    given = {
        "model": model,
        "token_loss": model.loss,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.5),
        "rate_factor": lambda step: 1.0,
        "batch": batch,
        "measures": {"losses": losses_at(STEPS)},
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
    """Counted from 0; what is taken tells the rate of the step before, and 0 before the first."""
    model = Table()
    expected = model.logits.detach().clone()
    for step in range(STEPS):
        expected = stepped(expected, step, 0.5 / (1 + step))
    run = training(model, rate_factor=lambda step: 1 / (1 + step), measures={"losses": losses_at(0, 2, STEPS)})
    run.run(lambda _: None)
    torch.testing.assert_close(model.logits.detach(), expected)
    assert [taken.step for taken in run.measurements] == [0, 2, STEPS]
    assert [taken.learning_rate for taken in run.measurements] == [0.0, 0.25, 0.125]


def test_losses_are_of_training_since_the_ones_before_and_of_evaluation_now() -> None:
    """By position. The last ones have their own windows; what fills up the last batch of windows does not count."""
    model = Table()
    run = training(model, measures={"losses": losses_at(0, 1, 3, STEPS)}, accumulation=2)
    trained, validated = [], []

    def note(now: Training) -> None:
        validated.append(loss_of(model.logits.detach(), EVALUATED.tokens_NT1).mean(dim=0).numpy())
        trained.append(2 * loss_of(logits[0], windows(now.step - 1)).mean(dim=0).numpy())
        logits[0] = model.logits.detach().clone()

    logits = [model.logits.detach().clone()]
    start = loss_of(logits[0], EVALUATED.tokens_NT1).mean(dim=0).numpy()
    run.run(note)
    zero, first, middle, last = (taken.values for taken in run.measurements)
    np.testing.assert_allclose(zero["loss_nats_T"], start)
    assert np.isnan(zero["train_loss_nats_T"]).all()
    np.testing.assert_allclose(first["loss_nats_T"], validated[0])
    np.testing.assert_allclose(first["train_loss_nats_T"], trained[0])
    np.testing.assert_allclose(middle["loss_nats_T"], validated[2])
    np.testing.assert_allclose(middle["train_loss_nats_T"], (trained[1] + trained[2]) / 2)
    np.testing.assert_allclose(last["train_loss_nats_T"], trained[3])
    final = loss_of(model.logits.detach(), EVALUATED_LAST.tokens_NT1).mean(dim=0).numpy()
    np.testing.assert_allclose(last["loss_nats_T"], final)
    assert model.training


def test_losses_and_measures_see_the_averaged_weights_and_training_the_others() -> None:
    """The average over a horizon longer than the training is the plain mean of the tables after each step."""
    model, alone = Table(), Table()
    average = WeightAverage(model, horizon_steps=100)
    tables: list[Tensor] = []
    training(alone).run(lambda _: tables.append(alone.logits.detach().clone()))
    measure = Scheduled(lambda seen: {"logits": logits_of(seen)}, {0, STEPS})
    run = training(model, average=average, measures={"losses": losses_at(STEPS), "table": measure})
    run.run(lambda _: None)
    torch.testing.assert_close(model.logits.detach(), alone.logits.detach())
    mean = torch.stack(tables).mean(dim=0)
    assert [(taken.measure, taken.step) for taken in run.measurements] == [
        ("table", 0),
        ("losses", STEPS),
        ("table", STEPS),
    ]
    np.testing.assert_allclose(run.measurements[0].values["logits"], Table().logits.detach().numpy())
    np.testing.assert_allclose(run.measurements[2].values["logits"], mean.numpy())
    expected = loss_of(mean, EVALUATED_LAST.tokens_NT1).mean(dim=0).numpy()
    np.testing.assert_allclose(losses_of(run)[-1].values["loss_nats_T"], expected)


def test_what_goes_on_from_a_checkpoint_ends_as_if_it_had_not_stopped() -> None:
    """Weights, momentum, average, measures and the sum of losses since they were last taken."""
    ended = []
    table = Scheduled(lambda seen: {"sum": logits_of(seen).sum()[None]}, {1, 3})
    for stop in (None, 3):
        checkpoint = None
        for part in ("first", "second") if stop else ("whole",):
            model = Table()
            run = training(
                model,
                optimizer=torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9),
                average=WeightAverage(model, horizon_steps=3),
                measures={"losses": losses_at(0, 2, *(() if part == "first" else (STEPS,))), "table": table},
                num_steps=stop if part == "first" else STEPS,
            )
            if part == "second":
                assert checkpoint is not None
                run.restore(checkpoint)
            run.run(lambda _: None)
            checkpoint = run.checkpoint()
        ended.append(run)
    whole, stopped = ended
    one, other = whole.checkpoint(), stopped.checkpoint()
    assert one.tensors.keys() == other.tensors.keys() >= {"average.logits", "model.logits", "taken.losses.loss_nats_T"}
    for name, tensor in one.tensors.items():
        torch.testing.assert_close(other.tensors[name], tensor, rtol=0, atol=0, equal_nan=True, msg=name)
    for each in (one, other):
        steps = {measure: [row[0] for row in rows] for measure, rows in each.plain["taken"].items()}
        assert steps == {"losses": [0, 2, STEPS], "table": [1, 3]}
        assert [row[2] for row in each.plain["taken"]["losses"]] == [0.0, 0.5, 0.5]
    assert (other.step, other.plain["average_count"]) == (STEPS, STEPS)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_a_checkpoint_from_before_losses_were_a_measure_is_gone_on_from(*, is_weighted: bool) -> None:
    """Written as it was then: looks in rows, and beside them each measure at each step."""
    table = Scheduled(lambda seen: {"sum": logits_of(seen).sum()[None]}, {1, 3})
    measures = {"select_loss_by_position": losses_at(0, 2), "table": table}
    run = training(Table(), measures=measures, num_steps=3)
    run.run(lambda _: None)
    if is_weighted:
        for taken in run.measurements[:1] + run.measurements[2:3]:
            taken.values |= {"weight_T": np.arange(3.0), "train_weight_T": np.arange(3.0) + taken.step}
    checkpoint = run.checkpoint()
    rows, found = checkpoint.plain["taken"].pop("select_loss_by_position"), checkpoint.tensors
    checkpoint.plain["looks"] = rows
    for name, before in loop._NAMES_BEFORE.items():
        if is_weighted or "weight" not in name:
            found[f"looks.{before}"] = found.pop(f"taken.select_loss_by_position.{name}")
    checkpoint.plain["taken"] = [["table", step, ["sum"]] for step in (1, 3)]
    for i, row in enumerate(found.pop("taken.table.sum")):
        found[f"taken.{i}.sum"] = row
    other = training(Table(), measures=measures)
    other.restore(checkpoint)
    in_order = sorted(run.measurements, key=lambda taken: (taken.measure, taken.step))
    assert [(taken.measure, taken.step) for taken in in_order] == [
        (taken.measure, taken.step) for taken in other.measurements
    ]
    for one, again in zip(in_order, other.measurements, strict=True):
        assert one.values.keys() == again.values.keys()
        assert all(np.array_equal(one.values[name], again.values[name], equal_nan=True) for name in one.values)
        if one.measure != "table":
            assert (one.seconds, one.learning_rate) == (again.seconds, again.learning_rate)


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
    """Counted from 1, in training, in the norm of the gradient or in evaluation."""
    for changes, found in (
        ({"token_loss": lambda x, y: Table().loss(x, y) * torch.nan}, 1),
        ({"rate_factor": lambda step: 1e308 * 1e308 if step == 1 else 1.0}, 3),
        ({"rate_factor": lambda step: 1e308 * 1e308 if step == 1 else 1.0, "measures": {"losses": losses_at(2)}}, 2),
    ):
        model = Table()
        with pytest.raises(DivergedError) as error:
            training(model, **changes).run(lambda _: None)
        assert error.value.step == found
