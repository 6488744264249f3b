"""The worth of a recurrence, on losses that follow the law."""

import numpy as np
import pytest
from scipy.stats import f

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


def test_the_fit_and_its_ends_are_those_of_least_squares() -> None:
    """The whole regression, one constant per seed and all, beside it: at the best exponent and on both sides of each
    end, which lies one step of the search outside of what an F test does not exclude.
    """
    rng = np.random.default_rng(5)
    size = (ONCE + LOOPS**0.46 * REPEATED) / 1e6
    loss_AS = 2.0 + size[:, None] ** -0.3 + 0.05 * rng.standard_normal(3) + 4e-3 * rng.standard_normal((9, 3))
    found = fit_worth(loss_AS, ONCE, REPEATED, LOOPS, error=0.1)
    seeds = np.tile(np.eye(3), (9, 1))

    def squares(phi: float) -> float:
        size_A = (ONCE + LOOPS**phi * REPEATED) / 1e6
        designs = (np.column_stack([seeds, np.repeat(size_A**-power, 3)]) for power in np.geomspace(0.02, 3.0, 240))
        return min(float(np.linalg.lstsq(x, loss_AS.ravel())[1][0]) for x in designs)

    least, freedom, step = squares(found.phi), 27 - 6, 0.005
    assert found.residual_sd_nats == pytest.approx((least / freedom) ** 0.5, rel=1e-6)
    assert squares(found.phi - step) > least < squares(found.phi + step)
    limit = least * (1 + f.ppf(0.9, 1, freedom) / freedom)
    assert found.low < found.phi < found.high
    for end, inwards in ((found.low, step), (found.high, -step)):
        assert squares(end + inwards) <= limit < squares(end)


def test_an_end_that_was_not_searched_is_not_resolved() -> None:
    """Also where the other end tells the exponent from 0 or from 1."""
    above, below = fitted(1.49, noise=3e-3), fitted(-0.49, noise=3e-3)
    assert above.high == 1.5
    assert above.low > 0
    assert below.low == -0.5
    assert below.high < 1
    assert not above.is_resolved
    assert not below.is_resolved
    assert fitted(1.3, noise=1e-5).is_resolved
    assert fitted(-0.3, noise=1e-5).is_resolved


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """95% of 60 intervals, within three standard errors, at a noise that leaves most of them resolved."""
    inside = [fit.low <= 0.46 <= fit.high for fit in (fitted(0.46, noise=2e-3, seed=seed) for seed in range(60))]
    assert np.mean(inside) >= 0.86


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
