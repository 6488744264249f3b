"""A matrix with initial values of its own: the part that attention, feedforward and readout are made of."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vslm.models.initialization import Init


class Linear(nn.Linear):
    """A `torch.nn.Linear` that draws nothing when it is made: `linear` sets its values."""

    def reset_parameters(self) -> None:
        """Nothing."""


def linear(width_in: int, width_out: int, *, bias: bool, std: float, init: Init) -> nn.Linear:
    """A `torch.nn.Linear` whose weight is normal with deviation `std`, and whose bias starts at 0."""
    layer = Linear(width_in, width_out, bias=bias, device="meta")
    layer.weight = nn.Parameter(init.child("weight").normal((width_out, width_in), std))
    if bias:
        layer.bias = nn.Parameter(torch.zeros(width_out))
    return layer


def stream_product(x_BTD: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`W x + b`, for a matrix that the whole stream goes through: in the precision of `W`, whatever autocast says.

    What a block adds may be rounded, but not what it is added to. A stream that comes out of a bf16 product stays in
    bf16 from there on, since bf16 + bf16 is bf16, while every other arm's is fp32.
    """
    with torch.autocast(x_BTD.device.type, enabled=False):
        return functional.linear(x_BTD.to(weight.dtype), weight, bias)


def through_stream_layer(layer: nn.Linear, x_BTD: Tensor) -> Tensor:
    """`stream_product` of a layer, which is called and so can be watched."""
    with torch.autocast(x_BTD.device.type, enabled=False):
        return layer(x_BTD.to(layer.weight.dtype))
