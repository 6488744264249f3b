"""Early days on models whose answer is known: uniform, n-gram tables, and the truth itself."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vslm.core.errors import SpecError
from vslm.data.ngrams import NOTHING, NGrams, estimate
from vslm.measure.calibration import NUM_BINS, Calibration, bins_of
from vslm.measure.early_days import EarlyDays, EarlyDaysEvaluator, contexts_of

VOCABULARY = 13


class Table(nn.Module):
    """Says a row of logits for the current token."""

    def __init__(self, logits_VV: np.ndarray) -> None:
        super().__init__()
        self.logits_VV = nn.Parameter(torch.from_numpy(logits_VV).float())

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Look it up."""
        return self.logits_VV[tokens_BT]


def chain() -> tuple[np.ndarray, np.ndarray]:
    """The table of a Markov chain and 40,013 tokens of it."""
    rng = np.random.default_rng(11)
    table_VV = rng.dirichlet(np.full(VOCABULARY, 0.3), size=VOCABULARY)
    up_to_VV, units = table_VV.cumsum(axis=1), rng.random(40_013)
    row = [0]
    for unit in units[1:]:
        row.append(min(int(np.searchsorted(up_to_VV[row[-1]], unit)), VOCABULARY - 1))
    return table_VV, np.array(row)


@pytest.fixture(scope="module")
def known() -> tuple[np.ndarray, np.ndarray, NGrams]:
    """The chain's table, windows of 17 + 1 tokens, and n-grams of other tokens of it."""
    table_VV, tokens = chain()
    windows_NT1 = np.lib.stride_tricks.sliding_window_view(tokens[20_000:], 18)[::17]
    return table_VV, np.array(windows_NT1), estimate(tokens[:20_000], VOCABULARY)


def bigram_table(ngrams: NGrams) -> np.ndarray:
    """ln p_2 as logits."""
    contexts_N2 = np.stack([np.full(VOCABULARY, NOTHING), np.arange(VOCABULARY)], axis=1)
    return np.log(ngrams.rows(2, contexts_N2).dense())


def test_a_uniform_model(known: tuple[np.ndarray, np.ndarray, NGrams]) -> None:
    """p = 1 / V and an entropy of ln V everywhere; it is the n-gram model of order 0."""
    _, windows_NT1, ngrams = known
    numbers = EarlyDaysEvaluator(windows_NT1, ngrams)(Table(np.zeros((VOCABULARY, VOCABULARY))))  # type: ignore[arg-type]
    assert numbers["p_true"] == pytest.approx(1 / VOCABULARY)
    assert numbers["p_geometric"] == pytest.approx(1 / VOCABULARY)
    assert numbers["entropy_nats"] == pytest.approx(math.log(VOCABULARY), rel=1e-6)
    assert numbers["kl_nats_G"][0] == pytest.approx(0, abs=1e-6)
    f_V = ngrams.unigram_V
    to_uniform = (f_V * np.log(f_V * VOCABULARY)).sum()
    assert numbers["kl_marginal_nats"] == pytest.approx(to_uniform, abs=1e-6)
    assert numbers["kl_nats_G"][1] == pytest.approx(to_uniform, abs=1e-6)
    assert numbers["tv_marginal"] == pytest.approx(np.abs(f_V - 1 / VOCABULARY).sum() / 2, abs=1e-6)
    assert numbers["ngram_kl_marginal_nats_G"][0] == pytest.approx(to_uniform)
    assert numbers["ngram_p_geometric_G"][0] == pytest.approx(1 / VOCABULARY)
    assert numbers["ngram_entropy_nats_G"][0] == pytest.approx(math.log(VOCABULARY))
    assert numbers["ngram_p_true_G"][0] == pytest.approx(1 / VOCABULARY)


def test_a_bigram_table_is_the_bigram_model(known: tuple[np.ndarray, np.ndarray, NGrams]) -> None:
    """KL_2 = 0, and every other number is the bigram model's own line."""
    _, windows_NT1, ngrams = known
    numbers = EarlyDaysEvaluator(windows_NT1, ngrams)(Table(bigram_table(ngrams)))  # type: ignore[arg-type]
    assert numbers["kl_nats_G"][2] == pytest.approx(0, abs=1e-6)
    assert min(numbers["kl_nats_G"][[0, 1, 3]]) > 0.003
    assert numbers["p_geometric"] == pytest.approx(numbers["ngram_p_geometric_G"][2], rel=1e-6)
    assert numbers["entropy_nats"] == pytest.approx(numbers["ngram_entropy_nats_G"][2], rel=1e-6)
    assert numbers["p_true"] == pytest.approx(numbers["ngram_p_true_G"][2], rel=1e-6)
    assert numbers["kl_marginal_nats"] == pytest.approx(numbers["ngram_kl_marginal_nats_G"][2], abs=1e-6)


def test_divergences_are_those_of_whole_distributions(known: tuple[np.ndarray, np.ndarray, NGrams]) -> None:
    """Against the sum over the vocabulary, position by position, for a model that is none of them."""
    _, windows_NT1, ngrams = known
    some_NT1 = windows_NT1[:7]
    logits_VV = np.random.default_rng(5).standard_normal((VOCABULARY, VOCABULARY))
    numbers = EarlyDaysEvaluator(some_NT1, ngrams)(Table(logits_VV))  # type: ignore[arg-type]
    contexts_N2 = contexts_of(some_NT1)
    q_NV = np.exp(logits_VV)[contexts_N2[:, 1]]
    q_NV /= q_NV.sum(axis=1, keepdims=True)
    for order, found in enumerate(numbers["kl_nats_G"]):
        p_NV = ngrams.rows(order, contexts_N2).dense()
        assert found == pytest.approx((p_NV * np.log(p_NV / q_NV)).sum(axis=1).mean(), rel=1e-5)
    assert numbers["entropy_nats"] == pytest.approx(-(q_NV * np.log(q_NV)).sum(axis=1).mean(), rel=1e-6)


def test_the_truth_is_calibrated_and_a_sharpened_truth_is_not(known: tuple[np.ndarray, np.ndarray, NGrams]) -> None:
    """On the diagonal within four standard errors in every bin; with doubled logits far from it."""
    table_VV, windows_NT1, ngrams = known
    evaluator = EarlyDaysEvaluator(windows_NT1, ngrams)

    def off(logits_VV: np.ndarray) -> np.ndarray:
        numbers = evaluator(Table(logits_VV))  # type: ignore[arg-type]
        expected_P = np.nan_to_num(numbers["calibration_p_P"] * numbers["calibration_count_P"])
        assert numbers["calibration_hits_P"].sum() == windows_NT1[:, 1:].size
        assert expected_P.sum() == pytest.approx(windows_NT1[:, 1:].size, rel=1e-5)
        return np.abs(numbers["calibration_hits_P"] - expected_P) / np.sqrt(np.maximum(expected_P, 1))

    logits_VV = np.log(table_VV + 1e-30)
    assert off(logits_VV).max() < 4
    assert off(2 * logits_VV).max() > 20


def test_calibration_by_hand() -> None:
    """Two positions, three tokens."""
    calibration = Calibration()
    calibration.add(np.array([[0.5, 0.25, 0.25], [0.8, 0.1, 0.1]], dtype=np.float32), np.array([0, 1]))
    numbers = calibration.numbers(2)
    bins = bins_of(np.array([0.5, 0.25, 0.8, 0.1], dtype=np.float32))
    np.testing.assert_array_equal(numbers["calibration_count_P"][bins], [1, 2, 1, 2])
    np.testing.assert_array_equal(numbers["calibration_hits_P"][bins], [1, 0, 0, 1])
    np.testing.assert_allclose(numbers["calibration_p_P"][bins], [0.5, 0.25, 0.8, 0.1], rtol=1e-6)
    assert np.isnan(numbers["calibration_p_P"]).sum() == NUM_BINS - 4
    assert numbers["calibration_error"] == pytest.approx((0.5 + 0.5 + 0.8 + 0.8) / 2)


def test_a_model_that_holds_a_token_impossible_is_infinitely_far(known: tuple[np.ndarray, np.ndarray, NGrams]) -> None:
    """Nothing is NaN."""
    _, windows_NT1, ngrams = known
    logits_VV = np.zeros((VOCABULARY, VOCABULARY))
    logits_VV[:, 3] = -math.inf
    numbers = EarlyDaysEvaluator(windows_NT1[:3], ngrams)(Table(logits_VV))  # type: ignore[arg-type]
    assert numbers["kl_nats_G"].tolist() == [math.inf] * 4
    assert numbers["kl_marginal_nats"] == math.inf
    assert numbers["entropy_nats"] == pytest.approx(math.log(VOCABULARY - 1), rel=1e-6)


def test_steps_double_and_end_with_the_last() -> None:
    """As finely as wanted."""
    assert EarlyDays().steps(1) == [0, 1]
    assert EarlyDays().steps(16) == [0, 1, 2, 4, 8, 16]
    assert EarlyDays(steps_per_doubling=3).steps(9) == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    for wrong in ({"steps_per_doubling": 0}, {"num_tokens": 0}):
        with pytest.raises(SpecError, match="1 or more"):
            EarlyDays(**wrong)
