"""Changes of the stream's width: elements that stand in the path between blocks of different width.

A family says where new coordinates come from when the stream widens, and where the old ones go when it narrows:

    ZeroPad      zeros                           cut off
    LearnedPad   learned, the same everywhere    cut off
    Carry        the latest state that had them  cut off, and kept for a later Carry
    Project      a matrix                        the same matrix
    UNet         a matrix that also reads the latest state of the new width

`Carry` adds no parameter and lets gradients past a bottleneck. None of them is free of the norms behind it: an RMSNorm
over a vector of d numbers to which zeros were appended multiplies the old part by sqrt(d' / d), which pre-norm gains
can take back.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vslm.core.bounds import Real, Width
from vslm.core.errors import SpecError
from vslm.models.elements.element import PathElement, Reach, Surroundings
from vslm.models.initialization import Init
from vslm.models.parts.projections import stream_product
from vslm.models.parts.stream import PRIVATE, Stream

_CARRIED = f"{PRIVATE}carried"


class Resize(PathElement):
    """Interface: an element whose module changes the width of the stream to `width`, and adds nothing to it.

    With no change of width, all but `Project` and `UNet` return the stream as it is.
    """

    width: int

    def check(self) -> None:
        """Refuse a width below 1."""
        if self.width < 1:
            raise SpecError("width", f"found {self.width}", "1 or more is needed")

    def width_out(self, width: int) -> int:
        """Its own, whatever arrives."""
        return self.width


@dataclass(frozen=True, kw_only=True)
class ZeroPad(Resize):
    """Zeros behind the stream, or its first coordinates alone: `[x; 0]` or `x[:width]`.

    Cost: nothing.

    Args:
        width: of the stream afterwards.
    """

    width: Width

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        """The module; it holds nothing."""
        return ZeroPadModule(self.width)


@dataclass(frozen=True, kw_only=True)
class LearnedPad(Resize):
    """A learned vector behind the stream, or its first coordinates alone: `[x; e]` or `x[:width]`.

    At the start: e is normal with deviation `std`; for the default of 0, identical to ZeroPad.
    Cost: one parameter per new coordinate.

    Args:
        width: of the stream afterwards.
        std: deviation of the initial e. A GPT-2 layout starts the stream at the scale of its embedding, 0.02, so a
            deviation of 1 leaves next to nothing of it behind the next norm.
    """

    width: Width
    std: Real = 0.0

    def check(self) -> None:
        """Refuse a width below 1 and a deviation below 0."""
        super().check()
        _check_std(self.std)

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        """The module, with one number per new coordinate."""
        num_new = max(0, self.width - around.width)
        return LearnedPadModule(self.width, init.child("extra").normal((num_new,), self.std))


@dataclass(frozen=True, kw_only=True)
class Carry(Resize):
    """Cut coordinates off and keep them; bring back, when the stream widens, those that were cut off last.

        narrower: x[:width]
        wider:    [x; c],  c_i: coordinate i of the latest state that a Carry cut it from, 0 if there is none

    The stream is then as wide as its widest part all along, and a narrow block sees and changes a part of it.

    Paper: Variable-Width Transformers, Wu et al., 2026, https://arxiv.org/abs/2606.18246.
    Cost: nothing but the memory of the states that are kept.

    Args:
        width: of the stream afterwards.
    """

    width: Width

    def saves(self, around: Surroundings) -> Mapping[str, int]:
        """The coordinates kept so far, those that are still in the stream included."""
        if self.width >= around.width:
            return {}
        return {_CARRIED: max(around.width, around.saved_widths.get(_CARRIED, 0))}

    def reach(self, before: Reach, around: Surroundings) -> Reach:
        """As far as what is kept, or brought back."""
        widens = self.width > around.width
        carried = before.saved[_CARRIED] if widens and around.saved_widths.get(_CARRIED, 0) > around.width else 0
        seen = max(before.stream, carried)
        if self.width < around.width:
            return before._replace(saved={**before.saved, _CARRIED: seen})
        return before._replace(stream=seen)

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        """The module; it holds nothing."""
        return CarryModule(self.width)


@dataclass(frozen=True, kw_only=True)
class Project(Resize):
    """A matrix: `y = W x`.

    At the start: `W = identity * [I 0] + N(0, std^2)`, [I 0] being as wide and high as W; by default nearly ZeroPad.
    The product is computed in fp32 whatever the precision around it: see `stream_product`.
    Cost: width before * width after weights.

    Args:
        width: of the stream afterwards.
        std: deviation of what is added to the identity.
        identity: the identity's factor; 0 leaves the noise alone, and with it no straight way through the model.
        bias: whether there is one.
    """

    width: Width
    std: Real = 1e-3
    identity: Real = 1.0
    bias: bool = False

    def check(self) -> None:
        """Refuse a width below 1 and a deviation below 0."""
        super().check()
        _check_std(self.std)

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        weight = init.child("weight").normal((self.width, around.width), self.std)
        weight.diagonal().add_(self.identity)
        bias = init.child("bias").constant((self.width,), 0.0) if self.bias else None
        return ProjectModule(weight, bias, starts_straight=self.identity != 0)


@dataclass(frozen=True, kw_only=True)
class UNet(Resize):
    """A matrix that also reads an earlier state: `y = W [x; c]`, c the latest state of the new width that a UNet left.

    Where there was no such state, `y = W x`. So a path that widens and narrows again projects on its way up, and joins
    each state with its mirror image on its way down.

    Paper: U-Net, Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597, figure 1, for convolutions. We differ: the
    width changes and not the length.
    At the start: nearly [x; c past the end of x], or x[:width]; N(0, std^2) is added to that. In fp32, as `Project`.
    Cost: (width before + width after) * width after weights, or without c as many as Project.

    Args:
        width: of the stream afterwards.
        std: deviation of what is added to the identity.
    """

    width: Width
    std: Real = 1e-3

    def check(self) -> None:
        """Refuse a width below 1 and a deviation below 0."""
        super().check()
        _check_std(self.std)

    def saves(self, around: Surroundings) -> Mapping[str, int]:
        """The state that arrives."""
        return {_state_name(around.width): around.width}

    def reach(self, before: Reach, around: Surroundings) -> Reach:
        """As far as the stream and the state that is read beside it."""
        state = before.saved.get(_state_name(self.width), 0)
        saved = {**before.saved, _state_name(around.width): before.stream}
        return before._replace(stream=max(before.stream, state), saved=saved)

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        width_read = around.width + around.saved_widths.get(_state_name(self.width), 0)
        weight = init.child("weight").normal((self.width, width_read), self.std)
        weight[:, : around.width].diagonal().add_(1.0)
        weight[around.width :, 2 * around.width :].diagonal().add_(1.0)
        return UNetModule(weight, width_before=around.width)


class ZeroPadModule(nn.Module):
    """See `ZeroPad`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, stream: Stream) -> Stream:
        """The stream at its new width."""
        return stream._replace(x_BTD=_padded(stream.x_BTD[..., : self.width], self.width))


class LearnedPadModule(nn.Module):
    """See `LearnedPad`."""

    def __init__(self, width: int, extra: Tensor) -> None:
        super().__init__()
        self.width = width
        self.extra = nn.Parameter(extra) if len(extra) else None

    def forward(self, stream: Stream) -> Stream:
        """The stream at its new width."""
        x_BTD = stream.x_BTD
        if self.extra is None:
            return stream._replace(x_BTD=x_BTD[..., : self.width])
        extra = self.extra.to(x_BTD.dtype).expand(*x_BTD.shape[:-1], -1)
        return stream._replace(x_BTD=torch.cat((x_BTD, extra), dim=-1))


class CarryModule(nn.Module):
    """See `Carry`.

    What is kept is the whole state that was cut, behind it what older states had beyond its width. A coordinate is read
    from there only while it is not in the stream, and then the state that was cut last is the one that stands there.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, stream: Stream) -> Stream:
        """The stream at its new width."""
        x_BTD, carried_BTD = stream.x_BTD, stream.saved.get(_CARRIED)
        width_before = x_BTD.shape[-1]
        if self.width < width_before:
            whole_BTD = x_BTD
            if carried_BTD is not None and carried_BTD.shape[-1] > width_before:
                whole_BTD = torch.cat((x_BTD, carried_BTD[..., width_before:]), dim=-1)
            return stream._replace(x_BTD=x_BTD[..., : self.width], saved={**stream.saved, _CARRIED: whole_BTD})
        if carried_BTD is not None and carried_BTD.shape[-1] > width_before:
            x_BTD = torch.cat((x_BTD, carried_BTD[..., width_before : self.width]), dim=-1)
        return stream._replace(x_BTD=_padded(x_BTD, self.width))


class ProjectModule(nn.Module):
    """See `Project`."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, starts_straight: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias) if bias is not None else None
        self.starts_straight = starts_straight

    def stream_maps(self) -> tuple[nn.Parameter, ...]:
        """The matrix, unless it starts without the identity."""
        return (self.weight,) if self.starts_straight else ()

    def forward(self, stream: Stream) -> Stream:
        """The stream at its new width."""
        return stream._replace(x_BTD=stream_product(stream.x_BTD, self.weight, self.bias))


class UNetModule(nn.Module):
    """See `UNet`."""

    def __init__(self, weight: Tensor, *, width_before: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.reads_state = weight.shape[1] > width_before

    def stream_maps(self) -> tuple[nn.Parameter, ...]:
        return (self.weight,)

    def forward(self, stream: Stream) -> Stream:
        """The stream at its new width."""
        x_BTD = stream.x_BTD
        saved = {**stream.saved, _state_name(x_BTD.shape[-1]): x_BTD}
        if self.reads_state:
            x_BTD = torch.cat((x_BTD, stream.saved[_state_name(self.weight.shape[0])]), dim=-1)
        return stream._replace(x_BTD=stream_product(x_BTD, self.weight), saved=saved)


def _padded(x_BTD: Tensor, width: int) -> Tensor:
    missing = width - x_BTD.shape[-1]
    return functional.pad(x_BTD, (0, missing)) if missing else x_BTD


def _state_name(width: int) -> str:
    return f"{PRIVATE}state of width {width}"


def _check_std(std: float) -> None:
    if std < 0:
        raise SpecError("std", f"found {std}", "0 or more is needed")
