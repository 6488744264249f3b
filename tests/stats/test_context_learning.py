"""How loss depends on context: scores, slopes, laws and onsets against known answers."""

import numpy as np
import pytest

from vslm.stats.bootstrap import bootstrap_means, percentile_interval, pooled_means
from vslm.stats.context_learning import Onset, far_place, icl_score, onset, score_positions, slope_by_log
from vslm.stats.power_law import fit_power_law


def test_the_score_is_exactly_500th_minus_50th_from_512_on() -> None:
    """By tokens seen; the losses here are their own positions."""
    assert icl_score(np.arange(1.0, 513.0)) == 450.0
    assert icl_score(np.arange(1.0, 1025.0)) == 450.0
    assert icl_score(np.arange(1.0, 257.0)) == 251 - 26
    assert icl_score(np.arange(1.0, 12.0)) == 11 - 1
    assert score_positions(1) == (1, 1)


def test_a_score_over_neighbors_keeps_within_the_window() -> None:
    """Leading axes stay; at the ends fewer neighbors are there."""
    loss_ST = np.stack([np.arange(1.0, 101.0), np.zeros(100)])
    np.testing.assert_allclose(icl_score(loss_ST, around_tokens=1), [98 - 10, 0])
    np.testing.assert_allclose(icl_score(loss_ST, around_tokens=5), [(93 + 100) / 2 - 10, 0])
    # On a curve that bends, neighbors on one side alone would tell another mean.
    np.testing.assert_allclose(icl_score(loss_ST**2, around_tokens=1), [98**2 - 10**2, 0])


def test_far_context_begins_at_an_eighth() -> None:
    """The last k up to it, also where one is an eighth to the token; the first where there is none."""
    assert [far_place(np.array(k)) for k in ([1, 2, 4, 8, 16], [1, 2, 3, 8, 24], [1, 4, 16], [3, 7])] == [1, 2, 0, 0]


def test_a_line_in_the_logarithm_has_one_slope() -> None:
    """At every bin, however they are spaced, for every row."""
    tokens_P = np.array([1.0, 2.0, 3.0, 7.0, 50.0])
    loss_SP = np.array([[5.0], [3.0]]) - np.array([[0.2], [0.7]]) * np.log(tokens_P)
    places, slopes = slope_by_log(tokens_P, loss_SP)
    np.testing.assert_allclose(slopes, [[-0.2] * 4, [-0.7] * 4])
    np.testing.assert_allclose(places, np.sqrt(tokens_P[1:] * tokens_P[:-1]))


@pytest.mark.parametrize(
    ("low_S", "above", "found"),
    [
        ([0.1, 0.2, 0.3], 0.0, Onset(None, 0)),
        ([-0.1, 0.2, 0.3], 0.0, Onset(0, 5)),
        ([0.3, np.nan, 0.3], 0.0, Onset(5, 70)),
        ([-0.1, 0.2, 0.3], 0.25, Onset(5, 70)),
        ([0.3, 0.3, 0.0], 0.0, None),
        ([np.nan] * 3, 0.0, None),
    ],
)
def test_an_onset_is_where_an_interval_stays_above(low_S: list[float], above: float, found: Onset | None) -> None:
    """To the end: an excursion before does not count, and a missing number is not above."""
    assert onset(np.array([0, 5, 70]), np.array(low_S), above=above) == found


def test_the_law_is_found_again() -> None:
    """Also where the floor is nought, and bins are missing."""
    tokens_P = np.geomspace(1, 300, 19)
    for floor, scale, exponent in ((2.4, 5.1, 0.61), (0.5, 3.0, 1.1), (0.0, 4.0, 0.25)):
        loss_P = floor + scale * tokens_P**-exponent
        loss_P[3] = np.nan
        law = fit_power_law(tokens_P, loss_P)
        assert (law.floor_nats, law.scale_nats) == pytest.approx((floor, scale), abs=1e-4)
        assert law.exponent == pytest.approx(exponent, abs=1e-5)
        np.testing.assert_allclose(np.delete(law.at(tokens_P), 3), np.delete(loss_P, 3), atol=1e-5)
        assert np.isnan(law.low)
        assert not law.is_resolved


def test_a_negative_floor_is_refused_by_the_fit() -> None:
    """A straight line in ln t wants a floor far below nought; the best law with none below it is taken."""
    tokens_P = 2.0 ** np.arange(9)
    law = fit_power_law(tokens_P, 0.7 - 0.1 * np.log(tokens_P))
    assert law.floor_nats == 0.0
    assert law.scale_nats > 0


def test_a_loss_that_does_not_fall_has_no_exponent() -> None:
    """Flat or rising: the floor is the mean."""
    tokens_P = 2.0 ** np.arange(7)
    for loss_P in (np.full(7, 3.0), np.linspace(3.0, 4.0, 7)):
        law = fit_power_law(tokens_P, loss_P, np.tile(loss_P, (10, 1)))
        assert law.scale_nats == pytest.approx(0.0, abs=1e-9)
        assert law.floor_nats == pytest.approx(loss_P.mean())
        assert not law.is_resolved
        assert np.isnan([law.exponent, law.low, law.high]).all()
        np.testing.assert_allclose(law.at(tokens_P), loss_P.mean())
    with pytest.raises(ValueError, match="3 bins"):
        fit_power_law(tokens_P[:3], np.ones(3))


def documents(generator: np.random.Generator, count: int, tokens_P: np.ndarray) -> np.ndarray:
    """Losses by bin of documents that differ in their level."""
    level_N1 = 0.5 * generator.standard_normal((count, 1))
    return 3 + 2 * tokens_P**-0.5 + level_N1 + 0.1 * generator.standard_normal((count, len(tokens_P)))


@pytest.mark.slow
def test_intervals_over_documents_hold_the_truth() -> None:
    """About 95 of 100 times: for the mean, whose documents differ in level, and for the exponent, which has none."""
    tokens_P = 2.0 ** np.arange(8)
    generator = np.random.default_rng(17)
    hits = {"mean": 0, "exponent": 0}
    for _ in range(100):
        values_NP = documents(generator, 40, tokens_P)
        counts_NP = np.full_like(values_NP, 3)
        draws_RP = bootstrap_means(values_NP, counts_NP, num_draws=300, generator=generator)
        low_P, high_P = percentile_interval(draws_RP, 0.05)
        hits["mean"] += low_P[-1] < 3 + 2 * 128**-0.5 < high_P[-1]
        law = fit_power_law(tokens_P, pooled_means(values_NP, counts_NP), draws_RP)
        hits["exponent"] += law.low < 0.5 < law.high
        assert law.is_resolved
    assert 88 <= hits["mean"] <= 99
    assert 88 <= hits["exponent"] <= 100


def test_documents_count_by_their_targets() -> None:
    """One with three targets weighs three times; a bin that no document reaches is missing in every draw."""
    values_NP = np.array([[1.0, 2.0, np.nan], [5.0, np.nan, np.nan]])
    counts_NP = np.array([[3, 1, 0], [1, 0, 0]])
    assert pooled_means(values_NP, counts_NP)[:2].tolist() == [2.0, 2.0]
    assert np.isnan(pooled_means(values_NP, counts_NP)[2])
    draws_RP = bootstrap_means(values_NP, counts_NP, num_draws=700, generator=np.random.default_rng(1))
    assert draws_RP.shape == (700, 3)
    assert set(np.unique(draws_RP[:, 0])) == {1.0, 2.0, 5.0}
    assert np.isnan(draws_RP[:, 2]).all()
    assert 0.15 < np.isnan(draws_RP[:, 1]).mean() < 0.35, "a quarter of the draws hold the second document alone"


def test_draws_come_from_the_generator_that_is_given() -> None:
    """The same seed gives the same, and nothing else is touched."""
    values_NP, counts_NP = np.arange(6.0).reshape(3, 2), np.ones((3, 2))
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    one, same, other = (
        bootstrap_means(values_NP, counts_NP, num_draws=300, generator=np.random.default_rng(seed))
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[index]


def test_a_steep_law_is_found_as_well_as_a_flat_one() -> None:
    """Up to an exponent of 3, where the search ends."""
    tokens_P = np.geomspace(1, 512, 19)
    for exponent in (0.02, 1.9, 2.8):
        law = fit_power_law(tokens_P, 2.0 + 3.0 * tokens_P**-exponent)
        assert law.exponent == pytest.approx(exponent, rel=0.01)
