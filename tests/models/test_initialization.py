"""Initial values depend on seed, path and shape, and on nothing else."""

import torch

from vslm.models.initialization import Init
from vslm.models.parts.projections import linear


def test_a_path_is_a_stream_of_numbers() -> None:
    """The same seed and path give the same numbers, by whatever way the path was reached; others give others."""
    a = Init(7).child("blocks.0").child("attention").normal((5, 3), 1.0)
    assert torch.equal(a, Init(7, "blocks.0.attention").normal((5, 3), 1.0))
    assert not torch.equal(a, Init(8, "blocks.0.attention").normal((5, 3), 1.0))
    assert not torch.equal(a, Init(7, "blocks.1.attention").normal((5, 3), 1.0))


def test_drawing_twice_is_drawing_once() -> None:
    """An Init has no state, so that the order of construction does not matter."""
    init = Init(7, "x")
    assert torch.equal(init.normal((4,), 1.0), init.normal((4,), 1.0))
    assert torch.equal(torch.rand(4, generator=init.generator()), init.uniform((4,), 0.0, 1.0))


def test_scale_does_not_change_direction() -> None:
    """Arms that differ in scale alone start in the same direction."""
    init = Init(7, "x")
    torch.testing.assert_close(init.normal((4, 5), 0.25), 0.25 * init.normal((4, 5), 1.0))


def test_moments() -> None:
    """Normal numbers have the deviation asked for, uniform ones the range."""
    normal = Init(7, "x").normal((100_003,), 0.02)
    assert abs(normal.std().item() - 0.02) < 2e-4
    assert abs(normal.mean().item()) < 2e-4
    uniform = Init(7, "x").uniform((100_003,), -3.0, 1.0)
    assert -3.0 <= uniform.min() < -2.99 < 0.99 < uniform.max() < 1.0
    assert Init(7, "x").constant((2, 3), 0.5).tolist() == [[0.5] * 3] * 2


def test_a_linear_layer_leaves_the_global_generator_alone() -> None:
    """Weights come from the Init, biases start at zero, and torch's own generator is not touched."""
    before = torch.random.get_rng_state()
    layer = linear(5, 3, bias=True, std=0.1, init=Init(7, "query"))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(layer.weight, Init(7, "query.weight").normal((3, 5), 0.1))
    assert torch.equal(layer.bias, torch.zeros(3))
    assert layer(torch.ones(2, 5)).shape == (2, 3)


def test_numbers_are_pinned() -> None:
    """A run of next year starts where one of today did: derivation and generator are part of the record."""
    pinned = Init(0, "blocks.0.attention.query.weight").normal((3,), 1.0)
    torch.testing.assert_close(pinned, torch.tensor([-0.544452, 0.485501, 0.86396]), rtol=0, atol=1e-6)
