"""Decays that are known are found again, and noise is no decay."""

import numpy as np
import pytest

from vslm.stats.decay import SMALLEST_NATS, Decay, fit_decay, fit_decays


@pytest.mark.parametrize("truth", [Decay(0.3, 5.0, 0.02), Decay(1.0, 0.7, 0.0), Decay(0.05, 31.0, 0.5)])
def test_an_exact_curve_is_found_again(truth: Decay) -> None:
    """Also one that ends long before it is flat."""
    found = fit_decay(truth.at(np.arange(37)))
    assert found.tau == pytest.approx(truth.tau, rel=2e-3)
    assert found.amplitude == pytest.approx(truth.amplitude, rel=5e-3)
    assert found.floor == pytest.approx(truth.floor, abs=2e-3)


@pytest.mark.parametrize("curve", [np.full(11, 0.4), np.linspace(0, 1, 11), np.zeros(11)])
def test_what_does_not_fall_has_no_length(curve: np.ndarray) -> None:
    """Infinite, and the curve is its mean."""
    found = fit_decay(curve)
    assert found.tau == np.inf
    np.testing.assert_allclose(found.at(np.arange(11)), curve.mean(), atol=1e-9)


def test_what_falls_too_slowly_has_no_length_either() -> None:
    """It loses a hundredth over its length."""
    assert fit_decay(1 - 0.001 * np.arange(13)).tau == np.inf


def test_a_length_beyond_the_curve_is_none() -> None:
    """37 points tell a tau of 31 and none of 43, however exact they are."""
    k = np.arange(37)
    assert fit_decay(Decay(0.05, 31.0, 0.5).at(k)).is_resolved
    assert not fit_decay(Decay(0.05, 43.0, 0.5).at(k)).is_resolved


def test_rounding_is_no_decay() -> None:
    """What falls by less than the rounding of entropies is not printed as a result."""
    k = np.arange(37)
    assert not fit_decay(Decay(0.5 * SMALLEST_NATS, 5.0, 0.0).at(k)).is_resolved
    assert fit_decay(Decay(2 * SMALLEST_NATS, 5.0, 0.0).at(k)).is_resolved


def _noise(rng: np.random.Generator, kind: str, shape: tuple[int, int]) -> np.ndarray:
    if kind == "exponential":
        return rng.exponential(size=shape)
    noise_NT = rng.standard_normal(shape)
    if kind == "alike":  # neighbors correlate by 0.5
        for t in range(1, shape[1]):
            noise_NT[:, t] = 0.5 * noise_NT[:, t - 1] + 0.75**0.5 * noise_NT[:, t]
    return noise_NT


@pytest.mark.parametrize("kind", ["normal", "exponential", "alike"])
@pytest.mark.parametrize("num_points", [4, 7, 31, 63])
def test_a_flat_curve_with_noise_seldom_has_a_length(kind: str, num_points: int) -> None:
    """A finite tau in at most 7 % of draws; without a test of its scatter it was a third to a half."""
    rng = np.random.default_rng(17)
    _, tau_N, _ = fit_decays(0.05 + 0.001 * _noise(rng, kind, (1000, num_points)))
    found = np.isfinite(tau_N).mean()
    print(f"{kind}, {num_points} points: {found:.3f}")
    assert found <= 0.07


@pytest.mark.parametrize("kind", ["normal", "exponential", "alike"])
def test_a_decay_under_noise_is_seen(kind: str) -> None:
    """Six times as large as its noise, over 31 points: nearly always."""
    rng, truth = np.random.default_rng(19), Decay(0.006, 5.0, 0.05)
    _, tau_N, _ = fit_decays(truth.at(np.arange(31)) + 0.001 * _noise(rng, kind, (500, 31)))
    assert np.isfinite(tau_N).mean() > 0.95
    assert np.median(tau_N) == pytest.approx(5.0, rel=0.1)


def test_no_number_is_negative() -> None:
    """A curve that would need a floor below zero gets none."""
    found = fit_decay(np.maximum(Decay(1.0, 30.0, -0.3).at(np.arange(23)), 0))
    assert found.floor == 0
    assert found.amplitude > 0


def test_too_little_is_refused() -> None:
    """Three numbers need four points."""
    with pytest.raises(ValueError, match="4 finite points"):
        fit_decay(np.ones(3))
    with pytest.raises(ValueError, match="4 finite points"):
        fit_decay(np.array([1, 2, np.nan, 3, 4]))
