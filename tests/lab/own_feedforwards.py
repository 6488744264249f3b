"""Feedforwards of somebody's own, with an honest mistake or an odd but right way: what checks are tried on."""

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vslm.models.parts.feedforward import Feedforward


@dataclass(frozen=True, kw_only=True)
class Own(Feedforward):
    """Torch's own layers around what `name` does to positions.

    Args:
        name: of `MISTAKES`, `RIGHT` or `BROKEN`.
        amount: how much of a mistake is mixed in.
        flops: what it says that it costs; None: two per weight.
    """

    name: str = "plain"
    amount: float = 1.0
    flops: float | None = None

    def hidden_at(self, width: int) -> int:
        """As wide as the stream."""
        return width

    def forward_flops_per_token(self, width: int) -> float:
        """Two per weight, or as told."""
        return super().forward_flops_per_token(width) if self.flops is None else self.flops

    def build(self, *, width: int, scale: object, output_factor: float, init: object) -> nn.Module:
        """The module; it draws from torch's generator."""
        return OwnModule(width, self.name, self.amount)


def _later(x: Tensor) -> Tensor:
    return functional.pad(x[:, 1:], (0, 0, 0, 1))


def _block_mean(x: Tensor) -> Tensor:
    b, t, d = x.shape
    whole = t - t % 4
    mean = x[:, :whole].reshape(b, -1, 4, d).mean(dim=2, keepdim=True).expand(b, whole // 4, 4, d)
    return torch.cat([mean.reshape(b, whole, d), x[:, whole:]], dim=1)


def _first(x: Tensor) -> Tensor:
    return torch.cat([x.mean(dim=1, keepdim=True), torch.zeros_like(x[:, 1:])], dim=1)


MISTAKES: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "next": lambda _, x: _later(x),
    "wraps around": lambda _, x: x.roll(1, dims=1),
    "mean": lambda _, x: x.mean(dim=1, keepdim=True).expand_as(x),
    "mean of four": lambda _, x: _block_mean(x),
    "the first sees all": lambda _, x: _first(x),
    "long texts": lambda _, x: x.mean(dim=1, keepdim=True).expand_as(x) * (x.shape[1] > 60),
    "argmax": lambda _, x: x.argmax(dim=1, keepdim=True).float().expand_as(x),
    "in training": lambda m, x: x.mean(dim=1, keepdim=True).expand_as(x) * m.training,
    "in evaluation": lambda m, x: x.mean(dim=1, keepdim=True).expand_as(x) * (not m.training),
    "behind a gate": lambda m, x: torch.sigmoid(m.gate) * x.mean(dim=1, keepdim=True).expand_as(x),  # type: ignore
    "starts at zero": lambda _, x: x.mean(dim=1, keepdim=True).expand_as(x),
    "rows: mean": lambda _, x: x.mean(dim=0, keepdim=True).expand_as(x),
    "rows: another": lambda _, x: x.roll(1, dims=0),
    "rows: reshaped": lambda _, x: x.transpose(0, 1).reshape(x.shape),
    "rows: batch norm": lambda m, x: m.batch_norm(x.flatten(0, 1)).view(x.shape),  # type: ignore[operator]
}


def _fft(module: nn.Module, x: Tensor) -> Tensor:
    t = x.shape[1]
    kernel = torch.fft.rfft(torch.linspace(1, 0, 67)[:t, None], n=2 * t, dim=0)
    return torch.fft.irfft(torch.fft.rfft(x.float(), n=2 * t, dim=1) * kernel, n=2 * t, dim=1)[:, :t]


def _moving(module: nn.Module, x: Tensor) -> Tensor:
    """A mean over passes, which is taken after it was used."""
    before = module.state.clone()  # type: ignore[operator, union-attr]
    if module.training:
        module.state.mul_(0.9).add_(0.1 * x.detach().mean(dim=(0, 1)))  # type: ignore[operator, union-attr]
    return x - before


def _counting(module: nn.Module, x: Tensor) -> Tensor:
    module.passes += 1  # type: ignore[operator]
    return x * (1 + 0.1 * module.passes)  # type: ignore[operator]


RIGHT: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "plain": lambda _, x: x,
    "running mean": lambda _, x: x.cumsum(dim=1) / torch.arange(1, x.shape[1] + 1)[:, None],
    "transform": _fft,
    "less the later ones": lambda _, x: x.sum(dim=1, keepdim=True) - x.flip(1).cumsum(dim=1).flip(1),
    "a state between passes": _moving,
    "counts passes": _counting,
    "draws": lambda m, x: x * (random.random() * np.random.rand() if m.training else 0.25),
    "dropout": lambda m, x: functional.dropout(x, 0.1, m.training),
    "logarithm": lambda m, x: x * m.positive.log(),  # type: ignore[operator, union-attr]
}

BROKEN: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "multiples of eight": lambda _, x: x.view(x.shape[0], -1, 8, x.shape[2]).view(x.shape),
    "two rows": lambda _, x: x.view(2, -1, x.shape[2]).view(x.shape),
    "no number": lambda _, x: (x - 100.0).sqrt(),
    "no slope": lambda _, x: (x - x).abs().sqrt(),
    "one precision": lambda m, x: m.input(x).index_add(0, torch.arange(len(x)), x),  # type: ignore[operator]
    "in a list": lambda m, x: m.hidden_away[0](x),  # type: ignore[index]
    "made late": lambda m, x: x * _made(m, x),
    "lazy": lambda m, x: m.lazy(x),  # type: ignore[operator]
    "drawn elsewhere": lambda _, x: x,
}


def _made(module: nn.Module, x: Tensor) -> Tensor:
    if not hasattr(module, "late"):
        module.late = nn.Parameter(torch.ones(x.shape[-1]))
    return module.late  # type: ignore[return-value]


_SIZES = itertools.count(1)


class OwnModule(nn.Module):
    """See `Own`."""

    def __init__(self, width: int, name: str, amount: float) -> None:
        super().__init__()
        self.name, self.amount, self.passes = name, amount, 0
        self.input, self.output = nn.Linear(width, width), nn.Linear(width, width)
        if name == "behind a gate":
            self.gate = nn.Parameter(torch.tensor(-12.0))
        if name == "starts at zero":
            nn.init.zeros_(self.output.weight)
        if name == "rows: batch norm":
            self.batch_norm = nn.BatchNorm1d(width)
        if name == "logarithm":
            self.positive = nn.Parameter(torch.full((width,), 0.5))
        if name == "in a list":
            self.hidden_away = [nn.Linear(width, width)]
        if name == "lazy":
            self.lazy = nn.LazyLinear(width)
        if name == "never used":
            self.unused = nn.Linear(width, width)
        if name == "another size each time":
            self.unlike = nn.Parameter(torch.ones(next(_SIZES)))
        if name == "drawn elsewhere":
            self.input.weight.data.copy_(torch.from_numpy(np.random.randn(width, width)))
        self.register_buffer("state", torch.zeros(width))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """What to add to the stream."""
        if self.name in MISTAKES:
            x_BTD = x_BTD + self.amount * MISTAKES[self.name](self, x_BTD)
        elif self.name == "often":
            for _ in range(30):
                x_BTD = torch.tanh(self.input(x_BTD))
        elif self.name != "never used":
            x_BTD = (RIGHT | BROKEN | {"always dropout": lambda _, x: functional.dropout(x, 0.5)})[self.name](
                self, x_BTD
            )
        return self.output(self.input(x_BTD).relu_())
