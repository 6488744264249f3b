"""Rotary positions see distances only."""

import pytest
import torch

from vslm.core.errors import SpecError
from vslm.models.parts.positions import NoPositions, Rotary


def test_scores_depend_on_the_distance_alone() -> None:
    """Equal queries and keys everywhere: a score changes with t - s, and not with t."""
    q, k = (torch.randn(1, 1, 1, 6, generator=torch.Generator().manual_seed(i)).expand(1, 29, 1, 6) for i in (0, 1))
    q, k = Rotary().build(head_width=6, context_tokens=29)(q, k)
    scores_TS = q[0, :, 0] @ k[0, :, 0].T
    for distance in (-20, -3, 0, 1, 17):
        diagonal = scores_TS.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-5)
    assert abs(scores_TS[0, 0] - scores_TS[5, 0]) > 1e-2


def test_lengths_are_kept_and_position_zero_is_unchanged() -> None:
    """A rotation changes no length, and does nothing at the start."""
    x = torch.randn(2, 29, 3, 6)
    turned, _ = Rotary(base=100.0).build(head_width=6, context_tokens=31)(x, x)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, 0], x[:, 0])


def test_a_pair_by_hand() -> None:
    """Coordinates i and i + K/2 turn by t * base ** (-2i / K)."""
    x = torch.tensor([1.0, 0.0, 0.0, 1.0]).expand(1, 4, 1, 4)  # pairs (1, 0) and (0, 1)
    turned, _ = Rotary(base=100.0).build(head_width=4, context_tokens=4)(x, x)
    t = torch.tensor(3.0)
    expected = torch.stack((t.cos(), -(t / 10).sin(), t.sin(), (t / 10).cos()))
    torch.testing.assert_close(turned[0, 3, 0], expected)


def test_tables_are_not_saved_and_not_trained() -> None:
    """The table follows from the arguments, so a longer context can load the same weights."""
    module = Rotary().build(head_width=6, context_tokens=29)
    assert not module.state_dict()
    assert not list(module.parameters())


def test_no_positions_does_nothing() -> None:
    """Queries and keys come back as they are."""
    q, k = torch.randn(1, 2, 3, 5), torch.randn(1, 2, 3, 5)
    a, b = NoPositions().build(head_width=5, context_tokens=2)(q, k)
    assert a is q
    assert b is k


def test_what_cannot_be_is_refused() -> None:
    """An odd head width has no pairs; a base of 1 turns all alike."""
    with pytest.raises(SpecError, match="heads of width 7"):
        Rotary().check_head_width(7)
    NoPositions().check_head_width(7)
    with pytest.raises(SpecError, match="base"):
        Rotary(base=1.0)
