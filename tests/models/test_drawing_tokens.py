"""How a token is drawn: what `tests/contracts/test_generation.py` does not compare."""

import pytest
import torch

from vslm import uniform
from vslm.core.errors import RunError
from vslm.models.generation import _probabilities, generate
from vslm.models.initialization import Init

LOGITS = torch.tensor([50.0, -3.0, 53.0, 52.9, -torch.inf])


@pytest.mark.parametrize("temperature", [5e-324, 1e-45, 1e-38, 1e-30, 1e-4])
def test_a_temperature_near_0_takes_the_likeliest(temperature: float) -> None:
    """Nothing overflows, though a logit over 1e-45 is infinite."""
    assert _probabilities(LOGITS, temperature).tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("temperature", [1e6, 1e38, 1e308])
def test_a_temperature_without_bounds_draws_evenly_from_what_can_be_drawn(temperature: float) -> None:
    """What top-k left out stays out."""
    torch.testing.assert_close(
        _probabilities(LOGITS, temperature), torch.tensor([0.25, 0.25, 0.25, 0.25, 0.0]), atol=1e-4, rtol=0
    )


def test_a_temperature_divides_the_logits() -> None:
    """As the definition says, at a temperature that is not 1."""
    expected = torch.softmax(LOGITS / 0.7, dim=-1)
    torch.testing.assert_close(_probabilities(LOGITS, 0.7), expected)


def test_a_model_that_diverged_is_named() -> None:
    """In place of an error from inside a draw."""
    model = uniform(depth=1, width=8, heads=2, context_tokens=5).build(vocabulary=7, init=Init(0))
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    with pytest.raises(RunError, match="its logits are not finite"):
        next(generate(model, torch.tensor([1]), num_tokens=1, generator=torch.Generator()))
