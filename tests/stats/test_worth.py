"""The worth of a recurrence, on losses that follow the law."""

import numpy as np
import pytest

from vslm.stats.worth import Worth, fit_worth

ONCE = np.repeat(500_000.0, 9)
REPEATED = np.tile([200_000.0, 400_000.0, 600_000.0], 3)
LOOPS = np.repeat([1.0, 2.0, 4.0], 3)


def fitted(phi: float, noise: float, seed: int = 0, amount: float = 1.0) -> Worth:
    """A fit to losses of three seeds with that exponent, and noise that arms share and do not share."""
    rng = np.random.default_rng(seed)
    size = (ONCE + LOOPS**phi * REPEATED) / 1e6
    shared_S = 0.05 * rng.standard_normal(3)
    loss_AS = 2.0 + amount * size[:, None] ** -0.3 + shared_S + noise * rng.standard_normal((9, 3))
    return fit_worth(loss_AS, ONCE, REPEATED, LOOPS)


@pytest.mark.parametrize("phi", [0.0, 0.46, 1.0])
def test_it_finds_the_exponent(phi: float) -> None:
    """Nearly without noise, whatever a seed adds to all arms."""
    found = fitted(phi, noise=1e-5)
    assert found.phi == pytest.approx(phi, abs=0.02)
    assert found.low <= phi <= found.high
    assert found.is_resolved


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """95% of 200 intervals, within three standard errors, at a noise that leaves most of them resolved."""
    inside = [fit.low <= 0.46 <= fit.high for fit in (fitted(0.46, noise=2e-3, seed=seed) for seed in range(200))]
    assert 0.90 <= np.mean(inside) <= 1.0


def test_noise_is_not_resolved() -> None:
    """Where size does not matter, or noise hides it, no exponent is claimed."""
    assert not fitted(0.46, noise=0.1).is_resolved
    assert not fitted(0.46, noise=0.01, amount=0.0).is_resolved


def test_too_few_losses_are_refused() -> None:
    """A law with more numbers than losses fits anything."""
    with pytest.raises(ValueError, match="4 losses for 4 numbers"):
        fit_worth(np.ones((4, 1)), ONCE[:4], REPEATED[:4], LOOPS[:4])
    with pytest.raises(ValueError, match="every arm"):
        fit_worth(np.ones((9, 3)), ONCE[:4], REPEATED, LOOPS)
