"""Steps to where a tangent meets its target: published rules by hand, and what a tangent cannot do without a cap."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vslm.core.errors import RunError, SpecError
from vslm.optim.arctan import Arctan
from vslm.optim.directions import AdamDirection, Average, Direction, Gradient
from vslm.optim.l4_adam import L4Adam
from vslm.optim.momo import Momo, MomoAdam
from vslm.optim.optimizer import Optimizer
from vslm.optim.reads_loss import TangentStep
from vslm.optim.tangent import Tangent
from vslm.optim.targets import FractionOfBest, KnownTarget, RelativeDrop, Target

Array = np.ndarray


class Bowl(nn.Module):
    """f(w) = least + sum_i c_i (w_i - 1)^2 / 2, over a matrix and a vector, in double precision."""

    def __init__(self, least: float = 1.0, curvature: tuple[float, float] = (0.3, 3.0)) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.matrix = nn.Parameter(torch.randn(3, 5, generator=generator, dtype=torch.float64))
        self.vector = nn.Parameter(torch.randn(7, generator=generator, dtype=torch.float64))
        self.least, self.curvature = least, curvature

    @property
    def numbers(self) -> Array:
        """All weights in a row, the vector first, as in its optimizers."""
        return np.concatenate([p.detach().numpy().ravel() for p in (self.vector, self.matrix)])

    def loss(self, noise: float = 0.0) -> torch.Tensor:
        terms = [c * (p - 1 - noise).square().sum() / 2 for c, p in zip(self.curvature, self.parameters(), strict=True)]
        return self.least + sum(terms)


def gradient(bowl: Bowl, w: Array, noise: float) -> tuple[float, Array]:
    """Loss and gradient by hand."""
    c = np.concatenate([np.full(7, bowl.curvature[1]), np.full(15, bowl.curvature[0])])
    return bowl.least + float((c * (w - 1 - noise) ** 2).sum() / 2), c * (w - 1 - noise)


def steps(bowl: Bowl, built: Any, num_steps: int, noise: Callable[[int], float] = lambda k: 0.0) -> list[Array]:
    """Weights after each step."""
    found = []
    for k in range(1, num_steps + 1):
        loss = bowl.loss(noise(k))
        loss.backward()
        built.read_loss(loss.detach())
        built.step()
        built.zero_grad(set_to_none=True)
        found.append(bowl.numbers)
    return found


def wave(k: int) -> float:
    """As batches differ."""
    return 0.3 * math.sin(1.7 * k)


def test_l4_adam_is_the_published_rule() -> None:
    """Thirteen steps of the paper's algorithm 1 with Adam's direction, in plain numbers; without a cap."""
    bowl = Bowl()
    built = L4Adam(learning_rate=1e6).build(bowl)
    w, n = bowl.numbers, bowl.numbers.size
    m, v, lowest = np.zeros(n), np.zeros(n), 0.0
    expected = []
    for k in range(1, 14):
        f, g = gradient(bowl, w, wave(k))
        lowest = min(0.75 * f if k == 1 else lowest, f)
        m += (g - m) / 10
        v += (g * g - v) / 1000
        corrected = m / (1 - 0.9**k)
        way = corrected / (np.sqrt(v / (1 - 0.999**k)) + 1e-4)
        w = w - 0.15 * (f - 0.9 * lowest) / (corrected @ way + 1e-12) * way
        lowest *= 1 + 1 / 1000
        expected.append(w)
    np.testing.assert_allclose(steps(bowl, built, 13, wave), expected, rtol=1e-5)


@pytest.mark.parametrize("estimates", [False, True])
@pytest.mark.parametrize(("rate", "decay", "bound"), [(0.003, 0.0, 0.0), (0.3, 0.0, 0.9), (0.3, 0.2, 0.3)])
def test_momo_adam_is_the_published_rule(*, rate: float, decay: float, bound: float, estimates: bool) -> None:
    """Seventeen steps of the paper's algorithm 3 and its estimate of the bound, all weights decayed alike."""
    bowl = Bowl()
    spec = MomoAdam(learning_rate=rate, weight_decay=decay, bound=bound, estimates_bound=estimates)
    built = spec.build(bowl)
    for group in built.param_groups:
        group["weight_decay"] = decay
    w, n = bowl.numbers, bowl.numbers.size
    m, v, fs, gamma, lb = np.zeros(n), np.zeros(n), 0.0, 0.0, bound
    expected, capped = [], 0
    for k in range(1, 18):
        f, g = gradient(bowl, w, wave(k))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        fs, gamma = 0.9 * fs + 0.1 * f, 0.9 * gamma + 0.1 * (g @ w)
        rho, scale = 1 - 0.9**k, np.sqrt(v / (1 - 0.999**k)) + 1e-8
        long = 1 + rate * decay
        cut = long * (fs - gamma) + m @ w
        if estimates and cut < long * rho * lb:
            lb = max(cut / (2 * long * rho), bound)
        asked = max(cut - long * rho * lb, 0) / (m @ (m / scale))
        tau = min(rate / rho, asked)
        capped += asked > rate / rho
        if estimates:
            lb = max((fs + m @ w - gamma - tau * (m @ (m / scale)) / 2) / rho, bound)
        w = (w - tau * m / scale) / long
        expected.append(w)
    np.testing.assert_allclose(steps(bowl, built, 17, wave), expected, rtol=1e-5)
    assert capped > 13 if rate == 0.003 else capped < 17, "both branches are seen"


@pytest.mark.parametrize("estimates", [False, True])
def test_momo_is_the_published_rule(*, estimates: bool) -> None:
    """Seventeen steps of the paper's algorithm 2: averages begin at the first value of each."""
    bowl = Bowl()
    rate, decay, bound = 0.5, 0.1, 0.7
    built = Momo(learning_rate=rate, weight_decay=decay, bound=bound, estimates_bound=estimates).build(bowl)
    for group in built.param_groups:
        group["weight_decay"] = decay
    w, long, lb = bowl.numbers, 1 + rate * decay, bound
    m, fs, gamma = np.zeros(w.size), 0.0, 0.0
    expected = []
    for k in range(1, 18):
        f, g = gradient(bowl, w, wave(k))
        keep = 0.0 if k == 1 else 0.9
        m, fs, gamma = (keep * old + (1 - keep) * new for old, new in ((m, g), (fs, f), (gamma, g @ w)))
        cut = long * (fs - gamma) + m @ w
        if estimates and cut < long * lb:
            lb = max(cut / (2 * long), bound)
        tau = min(rate, max(cut - long * lb, 0) / (m @ m))
        if estimates:
            lb = max(fs + m @ w - gamma - tau * (m @ m) / 2, bound)
        w = (w - tau * m) / long
        expected.append(w)
    np.testing.assert_allclose(steps(bowl, built, 17, wave), expected, rtol=1e-5)


TARGETS: list[tuple[Target, Callable[[list[float]], float]]] = [
    (KnownTarget(nats=0.2), lambda losses: 0.2),
    (
        RelativeDrop(drop=0.1, decay=0.7),
        lambda losses: 0.9 * np.average(losses, weights=0.7 ** np.arange(len(losses))[::-1]),
    ),
]


@pytest.mark.parametrize(("target", "by_hand"), TARGETS, ids=["known", "relative"])
@pytest.mark.parametrize("direction", [Gradient(), Average(beta=0.6), AdamDirection(betas=(0.6, 0.8))], ids=repr)
def test_a_tangent_step_by_hand(direction: Direction, target: Target, by_hand: Callable[[list[float]], float]) -> None:
    """eta = min(cap, share (f - target)+ / <g, d>), with decay of the matrix by eta."""
    bowl = Bowl()
    cap = 3.0 if isinstance(direction, AdamDirection) else 0.4
    built = Tangent(learning_rate=cap, direction=direction, target=target, share=0.8, weight_decay=0.3).build(bowl)
    w, n = bowl.numbers, bowl.numbers.size
    m, v, losses, expected, taken = np.zeros(n), np.zeros(n), [], [], []
    decays = np.concatenate([np.zeros(7), np.full(15, 0.3)])
    for k in range(1, 12):
        f, g = gradient(bowl, w, wave(k))
        losses.append(f)
        m, v = 0.6 * m + 0.4 * g, 0.8 * v + 0.2 * g * g
        ways = {
            Gradient: g,
            Average: m / (1 - 0.6**k),
            AdamDirection: m / (1 - 0.6**k) / (np.sqrt(v / (1 - 0.8**k)) + 1e-8),
        }
        way = ways[type(direction)]
        slope = float(g @ way)
        eta = min(cap, 0.8 * max(f - by_hand(losses), 0) / slope) if slope > 0 else 0.0
        taken.append(eta)
        w = w - eta * (way + decays * w)
        expected.append(w)
    np.testing.assert_allclose(steps(bowl, built, 11, wave), expected, rtol=1e-4)
    assert 0 < min(eta for eta in taken if eta) < cap, "the tangent decides somewhere"


def test_on_a_quadratic_only_the_true_target_or_a_cap_settles() -> None:
    """f* = 1: aimed at 1.0 it arrives; aimed below, uncapped, it never settles; the cap alone settles all of them."""

    def gaps(target: float, cap: float, share: float = 1.0) -> list[float]:
        bowl = Bowl(curvature=(1.0, 10.0))
        spec = Tangent(
            learning_rate=cap,
            direction=Gradient(),
            target=KnownTarget(nats=target),
            share=share,
            weight_decay=0.0,
            clip_norm=None,
        )
        built = spec.build(bowl)
        found = []
        for _ in range(200):
            steps(bowl, built, 1)
            found.append(bowl.loss().item() - 1)
        return found

    assert gaps(1.0, 1e6)[-1] < 1e-6
    for target, share in ((0.9, 1.0), (0.0, 0.5)):
        uncapped = gaps(target, 1e6, share)
        assert max(uncapped[-50:]) > 0.03, "it never settles"
        assert gaps(target, 0.1, share)[-1] < 1e-9, "the cap alone settles it"


@pytest.mark.parametrize("direction", [Gradient(), Average(), AdamDirection()], ids=repr)
def test_the_slope_is_that_of_the_loss_whatever_was_clipped(direction: Direction) -> None:
    """Clipped gradients and their factor: the step along the gradient is what it is without; the tangent of others
    still meets its target.
    """
    factor = 0.2
    bowls = [Bowl(), Bowl()]
    spec = Tangent(learning_rate=1e6, direction=direction, target=KnownTarget(nats=0.9), weight_decay=0.0)
    for bowl, scale in zip(bowls, (1.0, factor), strict=True):
        built = spec.build(bowl)
        before = bowl.numbers
        loss = bowl.loss()
        loss.backward()
        true = gradient(bowl, before, 0.0)[1]
        for p in bowl.parameters():
            assert p.grad is not None
            p.grad.mul_(scale)
        assert isinstance(built, TangentStep)
        built.read_loss(loss.detach(), scale)
        built.step()
        met = loss.item() + true @ (bowl.numbers - before)
        assert met == pytest.approx(0.9, rel=1e-5)
    np.testing.assert_allclose(bowls[0].numbers, bowls[1].numbers, rtol=1e-5)


def test_what_is_no_descent_is_refused_and_counted() -> None:
    """An average that points uphill moves nothing; with the target reached nothing is asked; numbers say which."""
    bowl = Bowl()
    spec = Tangent(learning_rate=0.1, direction=Average(beta=0.9), target=KnownTarget(nats=0.5), weight_decay=0.0)
    built = spec.build(bowl)
    assert isinstance(built, TangentStep)

    def step(sign: float, loss: float) -> dict[str, float]:
        for p in bowl.parameters():
            p.grad = torch.full_like(p, sign)
        built.read_loss(loss)
        before = bowl.numbers
        built.step()
        noted = dict(built.noted())
        assert (noted["taken_step"] == 0) == np.array_equal(bowl.numbers, before)
        return noted

    assert step(1.0, 3.0) == {
        "asked_step": pytest.approx(2.5 / 22),
        "taken_step": 0.1,
        "target_nats": 0.5,
        "capped_share": 1.0,
        "refused_share": 0.0,
        "reached_share": 0.0,
    }
    refused = step(-0.5, 3.0)
    assert (refused["refused_share"], refused["asked_step"], refused["taken_step"]) == (1.0, 0.0, 0.0)
    reached = step(1.0, 0.4)
    assert (reached["reached_share"], reached["refused_share"], reached["taken_step"]) == (1.0, 0.0, 0.0)


READING: list[Optimizer] = [
    Tangent(learning_rate=0.1, target=KnownTarget(nats=1e3)),
    MomoAdam(learning_rate=0.1, bound=1e3),
    Momo(learning_rate=0.1, bound=1e3),
]


@pytest.mark.parametrize("spec", READING, ids=repr)
def test_a_target_that_is_reached_before_the_first_step_is_said(spec: Optimizer) -> None:
    """No step would ever be taken."""
    bowl = Bowl()
    with pytest.raises(RunError, match=r"before the first step, and the target 1000; a target below it is needed"):
        steps(bowl, spec.build(bowl), 1)


@pytest.mark.parametrize("spec", READING, ids=repr)
def test_a_target_that_new_weights_have_reached_is_said_before_any_run(spec: Optimizer) -> None:
    """At the field; one below the loss of equal chances is fine, and so are targets that follow the loss."""
    with pytest.raises(SpecError, match=r"optimizer\.(target\.nats|bound): a target of 1000 nats, .* loss of 6.931"):
        spec.check_start(math.log(1024))
    spec.check_start(1000.1)
    Tangent(learning_rate=0.1, target=RelativeDrop()).check_start(0.0)


@pytest.mark.parametrize("spec", READING, ids=repr)
def test_a_step_without_its_loss_is_said_and_a_closure_gives_it(spec: Optimizer) -> None:
    """What torch calls a closure is one way to hand it over."""
    bowl = Bowl()
    low = {"target": KnownTarget()} if isinstance(spec, Tangent) else {"bound": 0.0}
    built = type(spec)(learning_rate=0.1, **low).build(bowl)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="its length depends on the loss; call read_loss"):
        built.step()

    def closure() -> torch.Tensor:
        loss = bowl.loss()
        loss.backward()
        return loss

    before = bowl.numbers
    assert built.step(closure) == pytest.approx(gradient(bowl, before, 0.0)[0])  # type: ignore[arg-type]
    assert not np.array_equal(bowl.numbers, before)


OUTSIDE: list[tuple[Callable[..., Any], str, Any]] = [
    *((Tangent, name, value) for name, value in (("share", 0.0), ("weight_decay", -0.1))),
    *((L4Adam, name, value) for name, value in (("share", 0.0), ("weight_decay", -0.1), ("clip_norm", 1.0))),
    *((MomoAdam, name, value) for name, value in (("bound", -0.1), ("weight_decay", -0.1), ("clip_norm", 1.0))),
    *((Momo, name, value) for name, value in (("bound", -0.1), ("beta", 1.0), ("weight_decay", -1.0))),
    *((Arctan, name, value) for name, value in (("scale", 0.0), ("beta", -0.1), ("weight_decay", -0.1))),
]


@pytest.mark.parametrize(("kind", "name", "value"), OUTSIDE)
def test_optimizers_refuse_numbers_outside_their_range(kind: Callable[..., Any], name: str, value: Any) -> None:
    """At the field, before any compute."""
    with pytest.raises(SpecError) as said:
        kind(learning_rate=0.1, **{name: value})
    assert said.value.where == name


PARTS: list[tuple[Callable[..., Any], str, Any]] = [
    (KnownTarget, "nats", -0.1),
    *((FractionOfBest, name, value) for name, value in (("fraction", 1.0), ("start", 0.0), ("forget", -0.1))),
    *((RelativeDrop, name, value) for name, value in (("drop", 0.0), ("decay", 1.0))),
    (Average, "beta", 1.0),
    (AdamDirection, "epsilon", 0.0),
]


@pytest.mark.parametrize(("kind", "name", "value"), PARTS)
def test_targets_and_directions_refuse_numbers_outside_their_range(
    kind: Callable[..., Any], name: str, value: Any
) -> None:
    """At the field."""
    with pytest.raises(SpecError) as said:
        kind(**{name: value})
    assert said.value.where == name


def test_arctan_by_hand() -> None:
    """Three steps by the formula of its docstring; a tiny scale moves every number by the sign."""
    bowl = Bowl()
    built = Arctan(learning_rate=0.07, scale=0.5, beta=0.8, weight_decay=0.3, clip_norm=None).build(bowl)
    w, m = bowl.numbers, np.zeros(22)
    for _ in range(3):
        m = 0.8 * m + 0.2 * gradient(bowl, w, 0.0)[1]
        size = np.concatenate([np.full(k, np.sqrt((part**2).mean())) for k, part in ((7, m[:7]), (15, m[7:]))])
        decay = np.concatenate([np.zeros(7), np.full(15, 0.3)])
        w = w - 0.07 * (2 / np.pi * np.arctan(m / (0.5 * size)) + decay * w)
        bowl.loss().backward()
        built.step()
        built.zero_grad(set_to_none=True)
    np.testing.assert_allclose(bowl.numbers, w, rtol=1e-6)
    before = bowl.numbers
    built = Arctan(learning_rate=0.1, scale=1e-6, weight_decay=0.0).build(bowl)
    bowl.loss().backward()
    built.step()
    np.testing.assert_allclose(np.abs(bowl.numbers - before), 0.1, rtol=1e-4)


def test_losses_fall_along_the_way_with_every_direction() -> None:
    """Below its cap, a tangent aimed at the lowest loss goes down at every step of a well-rounded bowl."""
    for direction in (Gradient(), Average(beta=0.3)):
        bowl = Bowl(curvature=(1.0, 1.5))
        spec = Tangent(learning_rate=10.0, direction=direction, target=KnownTarget(nats=1.0), weight_decay=0.0)
        built, losses = spec.build(bowl), []
        for _ in range(7):
            steps(bowl, built, 1)
            losses.append(bowl.loss().item())
        assert all(after < before for before, after in itertools.pairwise(losses))
