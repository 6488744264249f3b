"""A matrix with initial values of its own: the part that attention, feedforward and readout are made of."""

import torch
from torch import nn

from vslm.models.initialization import Init


def linear(width_in: int, width_out: int, *, bias: bool, std: float, init: Init) -> nn.Linear:
    """A `torch.nn.Linear` whose weight is normal with deviation `std`, and whose bias starts at 0.

    It is made on the meta device first, so that torch's own initialization draws nothing from the global generator.
    """
    layer = nn.Linear(width_in, width_out, bias=bias, device="meta")
    layer.weight = nn.Parameter(init.child("weight").normal((width_out, width_in), std))
    if bias:
        layer.bias = nn.Parameter(torch.zeros(width_out))
    return layer


def num_linear_parameters(width_in: int, width_out: int, *, bias: bool) -> int:
    """How many numbers `linear` holds."""
    return width_in * width_out + (width_out if bias else 0)
