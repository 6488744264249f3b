"""Decays that are known are found again, and intervals hold what they say."""

import numpy as np
import pytest

from vslm.stats.decay import Decay, fit_decay, resampled_means


@pytest.mark.parametrize("truth", [Decay(0.3, 5.0, 0.02), Decay(1.0, 0.7, 0.0), Decay(0.05, 40.0, 0.5)])
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


def test_a_pair_counts_as_often_as_its_members() -> None:
    """By hand for the draw that a seed gives; and one that gives no pair is drawn again."""
    members_Q2 = np.array([[0, 1], [0, 2], [1, 2], [2, 2]])
    values_QT = np.array([[1.0], [10.0], [100.0], [1000.0]])
    rng = np.random.default_rng(3)
    times_I = np.bincount(rng.integers(3, size=3), minlength=3)
    weights_Q = [times_I[0] * times_I[1], times_I[0] * times_I[2], times_I[1] * times_I[2], times_I[2]]
    mean = np.dot(weights_Q, values_QT[:, 0]) / sum(weights_Q)
    assert resampled_means(values_QT, members_Q2, np.random.default_rng(3), 5)[0, 0] == pytest.approx(mean)
    single = resampled_means(np.array([[7.0]]), np.array([[0, 1]]), np.random.default_rng(4), 9)
    assert single.tolist() == [[7.0]] * 9


def test_intervals_of_shared_members_are_wide_enough() -> None:
    """Pairs share their members' noise: the interval holds the truth about as often as it says."""
    rng, held, trials, num_members = np.random.default_rng(5), 0, 120, 12
    members_Q2 = np.array([(i, j) for i in range(num_members) for j in range(i)])
    for _ in range(trials):
        noise_I = rng.standard_normal(num_members)
        values_QT = (noise_I[members_Q2[:, 0]] + noise_I[members_Q2[:, 1]])[:, None]
        low, high = np.quantile(resampled_means(values_QT, members_Q2, rng, 200), [0.025, 0.975])
        held += low <= 0 <= high
    assert held / trials > 0.85
