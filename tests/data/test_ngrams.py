"""n-gram estimates by hand, their properties, and their cache."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from synthetic_text import stories, written

from vslm.data import ngrams
from vslm.data.ngrams import NOTHING, estimate, ngrams_of
from vslm.data.preparing import prepare
from vslm.data.sources import Text

A, B, C = 0, 1, 2


def test_by_hand() -> None:
    """a b a b a c, and a d that never comes.

    Bigrams: ab 2, ba 2, ac 1; trigrams: aba 2, bab 1, bac 1. Discounts: of tokens 1 once (c), 1 twice (b): 1/3; of
    bigrams 1 / (1 + 4) = 1/5; of trigrams 2 / (2 + 2) = 1/2. Different tokens before: a 1 (b), b 1 (a), c 1 (a): D is
    1. Before a bigram, from trigrams: ba 1 (a), ab 1 (b), ac 1 (b): D is 1 again.
    """
    found = estimate(np.array([A, B, A, B, A, C], dtype=np.uint16), 4)
    np.testing.assert_allclose(found.unigram_V, np.array([8 / 18, 5 / 18, 2 / 18, 0]) + (1 / 3) * 3 / 6 / 4)
    assert found._two.discount == pytest.approx(1 / 5)
    assert found._three.discount == pytest.approx(1 / 2)
    lower_V = np.full(4, 1 / 4)  # all continuation counts are 1 and discounted away
    after_a_V = np.array([0, 1.8 / 3, 0.8 / 3, 0]) + (0.2 * 2 / 3) * lower_V
    np.testing.assert_allclose(found.rows(2, np.array([[NOTHING, A]])).dense()[0], after_a_V)
    np.testing.assert_allclose(found.rows(2, np.array([[B, A]])).dense()[0], after_a_V)
    np.testing.assert_allclose(found.rows(3, np.array([[NOTHING, A]])).dense()[0], after_a_V)
    # After b a came b once and c once; the lower order's three bigrams leave everything to the uniform one.
    np.testing.assert_allclose(found.rows(3, np.array([[B, A]])).dense()[0], [1 / 8, 3 / 8, 3 / 8, 1 / 8])
    # After c a, which never came, the lower order alone; after c c even that knows nothing.
    np.testing.assert_allclose(found.rows(3, np.array([[C, A]])).dense()[0], lower_V)
    np.testing.assert_allclose(found.rows(3, np.array([[C, C]])).dense()[0], lower_V)
    np.testing.assert_allclose(found.rows(0, np.array([[A, B]])).dense()[0], [1 / 4] * 4)


def drawn(num_tokens: int, vocabulary: int, seed: int) -> np.ndarray:
    """A row of a Markov chain with few likely tokens."""
    rng = np.random.default_rng(seed)
    up_to_VV = rng.dirichlet(np.full(vocabulary, 0.1), size=vocabulary).cumsum(axis=1)
    row = [0]
    for unit in rng.random(num_tokens - 1):
        row.append(min(int(up_to_VV[row[-1]].searchsorted(unit)), vocabulary - 1))
    return np.array(row)


def test_rows_are_distributions_without_a_zero() -> None:
    """Every order, seen contexts and others."""
    found = estimate(drawn(2003, 29, 1), 31)
    contexts_N2 = np.random.default_rng(2).integers(-1, 31, size=(211, 2)).clip([NOTHING, 0])
    for order in ngrams.ORDERS:
        p_NV = found.rows(order, contexts_N2).dense()
        np.testing.assert_allclose(p_NV.sum(axis=1), 1, rtol=1e-12)
        assert p_NV.min() > 0


def test_three_tokens_by_the_formula() -> None:
    """Counted with dictionaries, on a chain in which no discount is everything: every order leaves something below."""
    size = 5
    tokens = drawn(400, size, 7)
    three = Counter(zip(tokens, tokens[1:], tokens[2:], strict=False))
    two = Counter((b, c) for _, b, c in three)  # different tokens before a bigram
    one = Counter(b for _, b in set(pairwise(tokens)))

    def part(counts: Counter, place: tuple, c: int, below: float) -> float:
        """Interpolated Kneser-Ney: what is discounted goes to the order below."""
        discount = ngrams._discount(np.array([*counts.values()]))
        assert 0 < discount < 1
        after = {key: n for key, n in counts.items() if key[:-1] == place}
        total = sum(after.values())
        if not total:
            return below
        return max(after.get((*place, c), 0) - discount, 0) / total + discount * len(after) / total * below

    def expected(a: int, b: int, c: int) -> float:
        low = part(Counter({(key,): n for key, n in one.items()}), (), c, 1 / size)
        return part(three, (a, b), c, part(two, (b,), c, low))

    contexts = [(a, b) for a in range(size) for b in range(size)]
    found = estimate(tokens, size).rows(3, np.array(contexts)).dense()
    np.testing.assert_allclose(found, [[expected(a, b, c) for c in range(size)] for a, b in contexts])


def test_the_marginal_of_the_bigram_model_is_the_unigram_distribution() -> None:
    """What Kneser and Ney chose the lower order for."""
    tokens = drawn(20_011, 23, 3)
    found = estimate(tokens, 23)
    contexts_N2 = np.stack([np.full(23, NOTHING), np.arange(23)], axis=1)
    shares_V = np.bincount(tokens[:-1], minlength=23) / (len(tokens) - 1)
    marginal_V = shares_V @ found.rows(2, contexts_N2).dense()
    np.testing.assert_allclose(marginal_V, np.bincount(tokens[1:], minlength=23) / (len(tokens) - 1), atol=2e-4)


def test_more_context_predicts_a_chain_up_to_its_own_order() -> None:
    """On text that was not counted: two tokens are much better than one, three cannot be better than two."""
    tokens = drawn(40_009, 19, 4)
    found, held_out = estimate(tokens[:30_000], 19), tokens[30_000:]
    contexts_N2 = np.stack([held_out[:-2], held_out[1:-1]], axis=1)
    losses = []
    for order in ngrams.ORDERS:
        p_NV = found.rows(order, contexts_N2).dense()
        losses.append(-np.log(p_NV[np.arange(len(contexts_N2)), held_out[2:]]).mean())
    assert losses[0] == pytest.approx(np.log(19))
    assert losses[0] > losses[1] > losses[2] + 0.5
    assert losses[2] <= losses[3] < losses[2] + 0.1


def test_of_very_much_text_pieces_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spread evenly, the first and the last token among them; no n-gram bridges two pieces."""
    monkeypatch.setattr(ngrams, "MOST_TOKENS", 40)
    monkeypatch.setattr(ngrams, "_PIECE_TOKENS", 10)
    found = estimate(np.arange(97), 97)
    assert found.counts_V.sum() == 40
    assert found.counts_V[[0, 96]].tolist() == [1, 1]
    keys = found.bigrams[0]
    assert set(keys % 97 - keys // 97) == {1}


def test_counts_are_kept_beside_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted once; a torn file, or one of another corpus, is counted again."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path / "home"))
    corpus = prepare(Text(written(tmp_path / "a.txt", stories(97)), vocabulary=300))
    first = ngrams_of(corpus)
    file = corpus.folder / "ngrams.npz"
    whole = file.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(ngrams, "estimate", lambda *args: pytest.fail("counted twice"))
        again = ngrams_of(corpus)
    contexts_N2 = np.array([[NOTHING, 5], [40, 41], [300 - 1, 7]])
    for order in ngrams.ORDERS:
        np.testing.assert_array_equal(
            first.rows(order, contexts_N2).dense(), again.rows(order, contexts_N2).dense(), err_msg=str(order)
        )
    file.write_bytes(whole[: len(whole) // 2])
    np.testing.assert_array_equal(ngrams_of(corpus).counts_V, first.counts_V)
    assert file.read_bytes() == whole
    with np.load(file) as arrays:
        other = dict(arrays) | {"made_for": arrays["made_for"] + 1}
    np.savez(file, **other)
    ngrams_of(corpus)
    assert file.read_bytes() == whole
