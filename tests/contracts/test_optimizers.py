"""What holds for every optimizer. A new class that needs a learning rate alone gets all of it; others go to `GIVEN`."""

import importlib.util
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from model_facts import final_classes
from torch import Tensor, nn

import vslm.optim
from vslm.core.errors import SpecError
from vslm.core.paths import vary
from vslm.core.specs import from_plain, to_plain
from vslm.optim.adamw import AdamW
from vslm.optim.combined import CombinedOptimizer
from vslm.optim.directions import AdamDirection, Average, Gradient
from vslm.optim.groups import Role, Rule, group_parameters, roles
from vslm.optim.l4_adam import L4Adam
from vslm.optim.momo import Momo, MomoAdam
from vslm.optim.muon import Muon, orthogonal
from vslm.optim.optimizer import Optimizer, check_built
from vslm.optim.optimizer_of import OptimizerOf
from vslm.optim.rate_by_width import RateByWidth
from vslm.optim.reads_loss import ReadsLoss
from vslm.optim.schedule_free import ScheduleFreeAdamW
from vslm.optim.sgd import SGD
from vslm.optim.tangent import Tangent
from vslm.optim.targets import FractionOfBest, KnownTarget
from vslm.study.catalog import KINDS
from vslm.training.checkpoints import (
    Checkpoint,
    load_checkpoint,
    load_optimizer,
    optimizer_numbers,
    optimizer_tensors,
    save_checkpoint,
)


class CountingDescent(torch.optim.Optimizer):
    """Descent whose state is a plain number, and whose step gets shorter by a number that it keeps in its group."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr, "shorter": 1.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step."""
        for group in self.param_groups:
            group["shorter"] *= 0.97
            for p in group["params"]:
                if p.grad is not None:
                    count = self.state[p].setdefault("count", 0)
                    p.add_(p.grad, alpha=-group["lr"] * group["shorter"] / (1.3 + count))
                    self.state[p]["count"] = count + 1


@dataclass(frozen=True, kw_only=True)
class MadeUp(Optimizer):
    """Four torch optimizers at once, one of them made up, one with state before its first step."""

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """Each role has its own."""
        all_roles: tuple[Role, ...] = ("matrix", "embedding", "vector", "stream map")
        rules = [Rule({"lr": self.learning_rate}, roles=(role,), may_match_nothing=True) for role in all_roles]
        kinds = (CountingDescent, torch.optim.Adagrad, torch.optim.NAdam, torch.optim.SGD)
        groups = group_parameters(model, rules)
        return CombinedOptimizer(*(kind([group], lr=0.5) for kind, group in zip(kinds, groups, strict=True)))

    def state_per_parameter(self, role: Role) -> float:
        """None for descent, a sum of squares for tables, two moments for vectors."""
        return {"matrix": 0.0, "embedding": 1.0, "vector": 2.0, "stream map": 0.0}[role]


GIVEN: list[Optimizer] = [
    AdamW(learning_rate=0.01, rate_by_width=RateByWidth(reference_width=7), clip_norm=None),
    Muon(learning_rate=0.01, rest_ratio=0.3, momentum=0.8, weight_decay=0.2, betas=(0.8, 0.9), epsilon=1e-6),
    MadeUp(learning_rate=0.01),
    Tangent(learning_rate=0.3, direction=Gradient(), target=KnownTarget(nats=0.1), clip_norm=None),
    Tangent(learning_rate=0.01, direction=Average(beta=0.3), target=FractionOfBest(), share=0.3, weight_decay=0.0),
    Tangent(learning_rate=0.01, direction=AdamDirection(betas=(0.5, 0.7), epsilon=1e-6), weight_decay=0.3),
    L4Adam(learning_rate=0.01, weight_decay=0.2, share=0.2, target=FractionOfBest(fraction=0.8)),
    MomoAdam(learning_rate=0.01, weight_decay=0.2, estimates_bound=True, bound=0.1),
    OptimizerOf("torch.optim.RAdam", learning_rate=0.01, options={"betas": (0.8, 0.9)}, weight_decay=0.1),
    OptimizerOf("torch.optim.Adagrad", learning_rate=0.01),
    SGD(learning_rate=0.03, momentum=0.0, weight_decay=0.1),
    SGD(learning_rate=0.03, momentum=0.7, nesterov=True),
    Momo(learning_rate=0.03, weight_decay=0.2, estimates_bound=True, beta=0.7),
]
ALONE = sorted(final_classes(Optimizer, vslm.optim), key=lambda cls: cls.__name__)
MISSING = {ScheduleFreeAdamW} if importlib.util.find_spec("schedulefree") is None else set()
OPTIMIZERS = GIVEN + [cls(learning_rate=0.01) for cls in ALONE if cls not in {OptimizerOf, *MISSING}]


@pytest.fixture(params=OPTIMIZERS, ids=repr)
def spec(request: pytest.FixtureRequest) -> Optimizer:
    """Every optimizer."""
    return request.param


class Net(nn.Module):
    """A parameter of every role, and a matrix of three dimensions; `still` is not trained."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)

        def draw(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator))

        self.tall, self.wide, self.stacked = draw(11, 3), draw(3, 7), draw(2, 3, 5)
        self.bias, self.way, self.still = draw(13), draw(5, 5), draw(3, 2)
        self.table = nn.Embedding(17, 3, _weight=draw(17, 3))
        self.still.requires_grad_(False)

    def stream_maps(self) -> tuple[nn.Parameter, ...]:
        """One of them."""
        return (self.way,)

    def loss(self) -> Tensor:
        """Mean squared distance of every number from 0.5, the tables' and the vector's counting more."""
        terms = [(1 + 3 * (p.ndim == 1)) * (p - 0.5).square().mean() for p in self.parameters() if p.requires_grad]
        return torch.stack(terms).sum()


def step(net: Net, optimizer: torch.optim.Optimizer) -> float:
    """One step; the loss before it."""
    loss = net.loss()
    loss.backward()
    if isinstance(optimizer, ReadsLoss):
        optimizer.read_loss(loss.detach())
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def weights(net: nn.Module) -> dict[str, Tensor]:
    """A copy."""
    return {name: p.detach().clone() for name, p in net.named_parameters()}


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """To the bit."""
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_it_goes_down_on_a_quadratic(spec: Optimizer) -> None:
    """At each of 40 steps; every trained parameter moves, and no other."""
    net = Net()
    before, optimizer = weights(net), spec.build(net)
    losses = [step(net, optimizer) for _ in range(40)]
    assert all(after < before for before, after in itertools.pairwise(losses))
    assert {name for name, p in net.named_parameters() if torch.equal(p, before[name])} == {"still"}


def test_it_is_deterministic_and_draws_nothing(spec: Optimizer) -> None:
    """Two of them end at the same bits, and torch's generator stands where it stood."""
    ended, state = [], torch.get_rng_state()
    for _ in range(2):
        net = Net()
        optimizer = spec.build(net)
        for _ in range(5):
            step(net, optimizer)
        ended.append(weights(net))
    assert_equal(*ended)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_parameter_is_in_one_group_and_the_first_has_the_learning_rate(spec: Optimizer) -> None:
    """Which is also what classes of one's own are held to."""
    net = Net()
    optimizer = spec.build(net)
    check_built(spec, optimizer, net)
    found = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert len(found) == len(set(found))
    assert set(found) >= {id(p) for p in net.parameters() if p.requires_grad}
    assert optimizer.param_groups[0]["lr"] == spec.learning_rate


def test_a_search_for_learning_rates_moves_all_of_them(spec: Optimizer) -> None:
    """Three times the learning rate is three times that of every group, in the same groups."""
    faster = vary(spec, {"learning_rate": 3 * spec.learning_rate})
    groups = [one.build(Net()).param_groups for one in (spec, faster)]
    for slow, fast in zip(*groups, strict=True):
        assert fast["lr"] == pytest.approx(3 * slow["lr"])
        assert [p.shape for p in fast["params"]] == [p.shape for p in slow["params"]]


def test_at_a_learning_rate_of_zero_nothing_moves(spec: Optimizer) -> None:
    """So a schedule that multiplies the groups' learning rates scales all that a step does, weight decay, too."""
    net = Net()
    before, optimizer = weights(net), spec.build(net)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    step(net, optimizer)
    assert_equal(weights(net), before)


def test_its_state_survives_a_checkpoint(spec: Optimizer, tmp_path: Path) -> None:
    """Stopped after three steps, saved, and gone on with in a new optimizer: the same bits as without."""
    whole, kept = Net(), {}
    optimizer = spec.build(whole)
    for number in range(7):
        if number == 3:
            tensors, plain = optimizer_tensors(optimizer), {"optimizer": optimizer_numbers(optimizer)}
            save_checkpoint(tmp_path, Checkpoint(3, tensors, plain))
            kept = weights(whole)
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
        step(whole, optimizer)
    resumed = Net()
    resumed.load_state_dict(kept)
    optimizer = spec.build(resumed)
    found = load_checkpoint(tmp_path, pytest.fail)
    assert found is not None
    load_optimizer(optimizer, found.tensors, found.plain["optimizer"])
    for _ in range(3, 7):
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
        step(resumed, optimizer)
    assert_equal(weights(resumed), weights(whole))


def test_it_keeps_as_many_numbers_as_it_says(spec: Optimizer) -> None:
    """For each number of a parameter, by role; of a matrix of another shape it may keep more."""
    net = Net()
    optimizer = spec.build(net)
    step(net, optimizer)
    for name, role in roles(net).items():
        parameter = net.get_parameter(name)
        kept = sum(t.numel() for t in optimizer.state[parameter].values() if isinstance(t, Tensor) and t.ndim)
        declared = spec.state_per_parameter(role) * parameter.numel()
        assert kept == declared or (parameter.ndim > 2 and kept > declared), name


def test_it_reads_back_and_refuses_what_it_cannot_mean(spec: Optimizer) -> None:
    """Spec -> plain -> spec is equal; a learning rate or a norm of nothing is refused at its field."""
    assert from_plain(to_plain(spec), {**KINDS, "MadeUp": MadeUp}) == spec
    for name in ("learning_rate", "clip_norm"):
        for value in (0.0, -0.5):
            with pytest.raises(SpecError) as said:
                vary(spec, {name: value})
            assert said.value.where == name
    assert vary(spec, {"clip_norm": None}).clip_norm is None


def test_every_optimizer_is_here() -> None:
    """Some of the room, and the walk finds them."""
    assert {AdamW, Muon, Tangent, Momo} <= set(ALONE) == {cls for cls in KINDS.values() if issubclass(cls, Optimizer)}


@pytest.mark.parametrize(
    "kind",
    [
        *(torch.optim.SGD, torch.optim.Adam, torch.optim.NAdam, torch.optim.RAdam, torch.optim.Adamax),
        *(torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.Adadelta, torch.optim.ASGD, torch.optim.Rprop),
        torch.optim.Adafactor,
    ],
)
def test_torchs_own_survive_a_checkpoint_too(kind: type[torch.optim.Optimizer], tmp_path: Path) -> None:
    """Any of them can be one of a study's own."""

    @dataclass(frozen=True, kw_only=True)
    class Own(Optimizer):
        def build(self, model: nn.Module) -> torch.optim.Optimizer:
            return kind([p for p in model.parameters() if p.requires_grad], lr=self.learning_rate)  # type: ignore[call-arg]

    test_its_state_survives_a_checkpoint(Own(learning_rate=0.01), tmp_path)


def test_adamw_by_hand() -> None:
    """Three steps by the formula of its docstring, in double precision."""
    spec = AdamW(learning_rate=0.07, betas=(0.8, 0.9), epsilon=1e-3, weight_decay=0.3)
    net = Net()
    w, m, v = weights(net), {}, {}
    optimizer = spec.build(net)
    for t in range(1, 4):
        net.loss().backward()
        for name, p in net.named_parameters():
            if p.grad is not None:
                g, old = p.grad.double(), w[name].double()
                m[name] = 0.8 * m.get(name, 0.0) + 0.2 * g
                v[name] = 0.9 * v.get(name, 0.0) + 0.1 * g.square()
                ratio = m[name] / (1 - 0.8**t) / ((v[name] / (1 - 0.9**t)).sqrt() + 1e-3)
                decay = 0.3 if name in ("tall", "wide", "stacked") else 0.0
                w[name] = old - 0.07 * (ratio + decay * old)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    for name, p in net.named_parameters():
        torch.testing.assert_close(p.detach().double(), w[name].double(), rtol=1e-5, atol=1e-6)


def test_muon_by_hand() -> None:
    """Three steps of a tall and a wide matrix: singular vectors of the momentum, and the size of the docstring."""
    spec = Muon(learning_rate=0.03, momentum=0.8, weight_decay=0.3)
    net = Net()
    optimizer = spec.build(net)
    b = {"tall": torch.zeros(11, 3), "wide": torch.zeros(3, 7)}
    for _ in range(3):
        before = weights(net)
        net.loss().backward()
        gradients = {name: net.get_parameter(name).grad for name in b}
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for name, g in gradients.items():
            assert g is not None
            b[name] = 0.8 * b[name] + 0.2 * g
            p_, s, qt = torch.linalg.svd(0.8 * b[name] + 0.2 * g, full_matrices=False)
            moved = before[name] * (1 - 0.03 * 0.3) - net.get_parameter(name).detach()
            o = moved / (0.03 * 0.2 * math.sqrt(max(g.shape)))
            turned = p_.T @ o @ qt.T  # diagonal where the step has the momentum's singular vectors
            assert (turned - turned.diag().diag()).abs().max() < 0.03
            assert s.max() > 1.3 * s.min()
            assert turned.diag().min() > 0.65
            assert turned.diag().max() < 1.25


@pytest.mark.parametrize("shape", [(11, 3), (3, 11), (7, 7)])
def test_five_steps_are_a_polynomial_of_each_singular_value(shape: tuple[int, int]) -> None:
    """In double precision, singular vectors stay, and a zero matrix stays zero."""
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    p_, s, qt = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / s.square().sum().sqrt()
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    torch.testing.assert_close(orthogonal(matrix).double(), p_ * s @ qt, rtol=1e-4, atol=1e-4)
    assert torch.equal(orthogonal(torch.zeros(shape)), torch.zeros(shape))


def test_muon_is_torchs_two_side_by_side() -> None:
    """torch.optim.Muon for matrices of two dimensions, but for its bf16; torch.optim.AdamW for what is left, to the
    bit.
    """
    spec = Muon(learning_rate=0.03, rest_ratio=0.3, momentum=0.8, weight_decay=0.3, betas=(0.8, 0.9), epsilon=1e-6)
    ours, theirs = Net(), Net()
    optimizer = spec.build(ours)
    assert [group["lr"] for group in optimizer.param_groups] == [0.03, 0.3 * 0.03, 0.3 * 0.03]
    muon = torch.optim.Muon(
        [theirs.tall, theirs.wide], lr=0.03, momentum=0.8, weight_decay=0.3, adjust_lr_fn="match_rms_adamw"
    )
    groups = [
        {"params": [theirs.bias, theirs.way, theirs.table.weight], "weight_decay": 0.0},
        {"params": [theirs.stacked], "weight_decay": 0.3},
    ]
    adamw = torch.optim.AdamW(groups, lr=0.3 * 0.03, betas=(0.8, 0.9), eps=1e-6, fused=True)
    for _ in range(5):
        step(ours, optimizer)
        theirs.loss().backward()
        for one in (muon, adamw):
            one.step()
            one.zero_grad()
    start, mine, its = weights(Net()), weights(ours), weights(theirs)
    for name in ("tall", "wide"):
        moved = (mine[name] - start[name]).norm()
        assert (mine.pop(name) - its.pop(name)).norm() < 0.02 * moved
    assert_equal(mine, its)
    alone = Muon(learning_rate=0.03).build(nn.Linear(3, 5, bias=False))
    assert [group["lr"] for group in alone.param_groups] == [0.03]
    for without in (nn.Embedding(5, 3), nn.Conv1d(3, 5, kernel_size=2)):
        with pytest.raises(
            SpecError, match="the model has no matrix of two dimensions; Muon moves those; choose AdamW"
        ):
            Muon(learning_rate=0.03).build(without)


OUTSIDE = {"momentum": (1.0, -0.1), "rest_ratio": (0.0,), "weight_decay": (-0.1,), "epsilon": (0.0,)}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in OUTSIDE.items() for value in values])
def test_muon_refuses_numbers_outside_their_range(name: str, value: float) -> None:
    """Before any compute, at the field; what AdamW cannot mean, too."""
    with pytest.raises(SpecError) as said:
        Muon(learning_rate=0.1, **{name: value})  # type: ignore[arg-type]
    assert said.value.where == name
    edges: dict[str, Any] = {"momentum": 0.0, "weight_decay": 0.0, "betas": (0.0, 0.0)}
    assert Muon(learning_rate=0.1, **edges).momentum == 0
    with pytest.raises(SpecError, match=r"betas\.1: found 1"):
        Muon(learning_rate=0.1, betas=(0.9, 1.0))


def test_several_at_once_share_no_parameter_and_one_closure() -> None:
    """What torch refuses of groups is refused of optimizers, too; a closure is called once."""
    line = nn.Linear(3, 5)
    with pytest.raises(ValueError, match="more than one parameter group"):
        CombinedOptimizer(torch.optim.SGD(line.parameters()), torch.optim.Adam([line.bias]))
    both = CombinedOptimizer(torch.optim.SGD([line.weight], lr=0.1), torch.optim.Adam([line.bias], lr=0.1))
    calls = []

    def closure() -> Any:
        loss = line(torch.ones(2, 3)).square().mean()
        loss.backward()
        calls.append(loss)
        return loss

    before = weights(line)
    early = torch.optim.Adagrad([line.weight], lr=0.1)
    assert CombinedOptimizer(early, torch.optim.SGD([line.bias])).state.keys() == {line.weight}, "kept before a step"
    assert both.step(closure) is calls[0]
    assert len(calls) == 1
    assert not any(torch.equal(p, before[name]) for name, p in line.named_parameters())
    alone = Muon(learning_rate=0.1).build(nn.ModuleList([nn.Linear(3, 5, bias=False)]))
    assert alone.step(closure) is calls[1]


def test_a_checkpoint_from_before_numbers_were_kept_is_loaded() -> None:
    """Its tensors go in, and the groups stay as they are."""
    one, other = Net(), Net()
    spec = AdamW(learning_rate=0.01)
    first, second = spec.build(one), spec.build(other)
    for _ in range(3):
        step(one, first)
    other.load_state_dict(one.state_dict())
    load_optimizer(second, {name: tensor.clone() for name, tensor in optimizer_tensors(first).items()}, None)
    for net, optimizer in ((one, first), (other, second)):
        step(net, optimizer)
    assert_equal(weights(one), weights(other))
