"""Losses of three tokens, by hand."""

import math

import pytest
import torch
from torch import nn

from vslm.core.errors import SpecError
from vslm.measure.loss_by_position import LossByPosition
from vslm.measure.token_loss import token_loss


class Table(nn.Module):
    """Logits that depend on the current token alone."""

    def __init__(self, logits_VV: torch.Tensor) -> None:
        super().__init__()
        self.logits_VV = logits_VV

    def forward(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        """Look them up."""
        return self.logits_VV[tokens_BT]


def test_three_tokens_by_hand():
    """Probabilities 1/2, 1/4, 1/4 after token 0; even after the others."""
    logits_VV = torch.tensor([[0.5, 0.25, 0.25], [1 / 3] * 3, [1 / 3] * 3]).log()
    loss_BT = token_loss(Table(logits_VV), torch.tensor([[0, 0, 1]]), torch.tensor([[0, 1, 2]]))
    assert loss_BT.tolist()[0] == pytest.approx([math.log(2), math.log(4), math.log(3)])


def test_a_uniform_model_loses_ln_v_at_every_position():
    """Whatever the text."""
    tokens_BT = torch.randint(0, 7, (3, 5), generator=torch.Generator().manual_seed(1))
    loss_BT = token_loss(Table(torch.zeros(7, 7)), tokens_BT, tokens_BT)
    assert torch.allclose(loss_BT, torch.full((3, 5), math.log(7)))


@pytest.mark.parametrize("num_steps", [1, 2, 37, 1000])
def test_looks_are_log_spaced_and_hold_both_ends(num_steps: int):
    """Rising, without repeats."""
    steps = LossByPosition(num_evaluations=11).steps(num_steps)
    assert steps[0] == 0
    assert steps[-1] == num_steps
    assert steps == sorted(set(steps))
    assert len(steps) <= 11


def test_one_look_is_refused():
    """The first and the last are two."""
    with pytest.raises(SpecError, match="2 to 10,000"):
        LossByPosition(num_evaluations=1)
