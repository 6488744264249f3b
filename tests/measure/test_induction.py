"""Copying by hand: what a block gains the second time, and which heads look at the token that comes next."""

import math

import numpy as np
import pytest
import torch
from test_measures_by_hand import Answers, Attends, model_of
from torch import Tensor, nn

from vslm.core.errors import SpecError
from vslm.core.paths import vary
from vslm.data.corpus import Corpus
from vslm.data.preparing import prepare
from vslm.data.sources import AssociativeRecall
from vslm.measure.copy_gain import CopyGain, CopyGainEvaluator
from vslm.measure.prefix_matching import PrefixMatching, PrefixMatchingEvaluator
from vslm.measure.repeated_blocks import repeated_blocks
from vslm.measure.token_counts import occurring_tokens, training_counts
from vslm.measure.watch import watch
from vslm.models.elements.blocks import Block
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.layouts.plain import uniform
from vslm.models.layouts.roots import two_streams
from vslm.models.layouts.windows import windowed
from vslm.models.parts.attention import Attention
from vslm.models.parts.feedforward import GELU
from vslm.models.parts.normalizers import Normalizer
from vslm.models.parts.positions import NoPositions
from vslm.models.parts.readouts import Tied
from vslm.models.parts.roots import TokenPositionRoot
from vslm.study.catalog import MODELS

VOCABULARY = 7
BLOCK = [2, 5, 0, 3, 5]
N = len(BLOCK)
SEQUENCES_NT1 = np.array([BLOCK + BLOCK])
GIVEN = {"Power": {"exponent": 0.75}, "LengthPower": {"exponent": 0.6}}  # what has no default
NORMALIZERS = [kind(**GIVEN.get(name, {})) for name, kind in MODELS.items() if issubclass(kind, Normalizer)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A small one."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VSLM_HOME", str(tmp_path_factory.mktemp("home")))
        return prepare(AssociativeRecall(num_pairs=3, document_tokens=20, num_letters=5, num_documents=211))


def known(*changes) -> LanguageModel:
    """`model_of` with a context for the sequences; its logits are even."""
    model = model_of(torch.zeros(VOCABULARY, 3), *changes)
    model.context_tokens = 2 * N - 1
    return model


class Copies(nn.Module):
    """Even over all tokens, but in the second block e times as likely for the token that comes next."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits: 1 for the token that stood N - 1 positions ago, from position N - 1 on."""
        logits_BTV = torch.zeros(*tokens_BT.shape, VOCABULARY)
        logits_BTV[:, N - 1 :].scatter_(2, tokens_BT[:, : tokens_BT.shape[1] - N + 1, None], 1.0)
        return logits_BTV * self.one


def test_the_gain_of_a_model_that_copies_by_hand() -> None:
    """ln 7 before, ln(e + 6) - 1 after, at each of the four places that are compared."""
    numbers = CopyGainEvaluator(np.repeat(SEQUENCES_NT1, 3, axis=0))(Copies())  # type: ignore[arg-type]
    first, second = math.log(7), math.log(math.e + 6) - 1
    np.testing.assert_allclose(numbers["first_loss_nats_T"], [first] * 4, rtol=1e-6)
    np.testing.assert_allclose(numbers["second_loss_nats_T"], [second] * 4, rtol=1e-6)
    assert numbers["gain_nats"] == pytest.approx(first - second)


def test_a_uniform_model_and_one_that_knows_pairs_gain_nothing() -> None:
    """The same targets after the same tokens: exactly zero, also where some tokens are likelier than others."""
    pairs = Answers([5, 4, 5, 0, 0, 3, 1])
    for model in (pairs, known()):
        numbers = CopyGainEvaluator(SEQUENCES_NT1)(model)  # type: ignore[arg-type]
        assert numbers["gain_nats"] == 0
    assert numbers["first_loss_nats_T"] == pytest.approx([math.log(7)] * 4)


def test_prefix_matching_by_hand() -> None:
    """Head 0 looks at the next token alone (with a row that sums to -2), head 1 evenly, head 2 at the token itself."""
    num_inputs = 2 * N - 1
    next_TS = torch.zeros(num_inputs, num_inputs)
    for i in range(N, num_inputs):
        next_TS[i, i - N + 1] = 1.0
    next_TS[N] *= -2
    even_TS = torch.tril(torch.ones(num_inputs, num_inputs))
    even_TS[N + 1] = 0  # a row of nothing is left out
    weights_HTS = torch.stack([next_TS, even_TS, torch.eye(num_inputs)])
    model = known(lambda x: x, Attends(weights_HTS), Attends(torch.zeros(1, 9, 9)))
    score_LH = PrefixMatchingEvaluator(np.repeat(SEQUENCES_NT1, 3, axis=0))(model)["score_LH"]
    nan = math.nan
    even = (1 / (N + 1) + sum(1 / (i + 1) for i in range(N + 2, num_inputs))) / (N - 2)
    np.testing.assert_allclose(score_LH, [[nan] * 3, [1, even, 0], [nan] * 3], atol=1e-12)


def test_prefix_matching_is_a_mean_over_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sequence at a time: a head that looks at the next token in every second of five of them scores 3 / 5."""
    monkeypatch.setattr("vslm.measure.prefix_matching.windows_of_weights", lambda num_tokens: 1)
    num_inputs = 2 * N - 1
    attends = Attends(torch.zeros(1, num_inputs, num_inputs))
    next_TS = torch.zeros(num_inputs, num_inputs)
    for i in range(N, num_inputs):
        next_TS[i, i - N + 1] = 1.0
    sequence = iter((next_TS, torch.eye(num_inputs)) * 3)
    attends.register_forward_pre_hook(
        lambda *_: setattr(attends.attention.normalizer, "weights_HTS", next(sequence)[None])
    )
    score_LH = PrefixMatchingEvaluator(np.repeat(SEQUENCES_NT1, 5, axis=0))(known(attends))["score_LH"]
    np.testing.assert_allclose(score_LH, [[3 / 5]])


def test_a_real_head_that_is_wired_to_the_next_token_scores_one() -> None:
    """Positions are the unit vectors, keys are positions, and the query of i asks for i - N + 1."""
    width = 2 * N
    block = Block(width=width, attention=Attention(heads=1, positions=NoPositions()), feedforward=GELU(hidden=3))
    spec = Model(
        root=TokenPositionRoot(width=width),
        blocks={"a": block},
        path=("a",),
        readout=Tied(),
        context_tokens=width,
    )
    model = spec.build(vocabulary=VOCABULARY, init=Init(0))
    attention = model.blocks["a"].attention
    with torch.no_grad():
        model.root.embedding_VE.zero_()  # type: ignore[operator]
        model.root.position_TE.copy_(torch.eye(width))  # type: ignore[operator]
        attention.key.weight.copy_(torch.eye(width))  # type: ignore[union-attr]
        attention.query.weight.zero_()  # type: ignore[union-attr, operator]
        for i in range(N, width):
            attention.query.weight[i - N + 1, i] = 20.0  # type: ignore[union-attr, index]
    assert PrefixMatchingEvaluator(SEQUENCES_NT1)(model)["score_LH"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=lambda one: type(one).__name__)
def test_the_score_is_the_share_of_the_weights_for_every_normalizer(normalizer: Normalizer) -> None:
    """Counted query by query from the weights that are watched."""
    spec = vary(uniform(depth=2, width=12, heads=3, context_tokens=11), {"blocks.*.attention.normalizer": normalizer})
    model = spec.build(vocabulary=VOCABULARY, init=Init(3))
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    sequences_NT1 = repeated_blocks(np.arange(VOCABULARY), num_blocks=3, block_tokens=N)
    score_LH = PrefixMatchingEvaluator(sequences_NT1)(model)["score_LH"]
    with watch(model, "path.*.attention.weights") as seen, torch.no_grad():
        model(torch.from_numpy(sequences_NT1[:, :-1]))
    for place in range(2):
        weights_BHTS = seen[f"path.{place}.attention.weights"].abs().double()
        shares = [weights_BHTS[:, :, i, i - N + 1] / weights_BHTS[:, :, i].sum(dim=-1) for i in range(N, 2 * N - 1)]
        expected_H = torch.stack(shares).mean(dim=(0, 1))
        np.testing.assert_allclose(score_LH[place], expected_H, rtol=1e-9)
    assert ((score_LH > 0) & (score_LH < 1)).all()


def test_a_window_that_ends_too_early_scores_zero(corpus: Corpus) -> None:
    """The next token is N - 1 positions back: a window of N sees it, one of N - 1 does not."""
    spec = windowed(uniform(depth=2, width=12, heads=2, context_tokens=11), (N - 1, N))
    model = spec.build(vocabulary=corpus.vocabulary, init=Init(1))
    score_LH = PrefixMatching(block_tokens=N).build(model=model, corpus=corpus, context_tokens=11)(model)["score_LH"]
    assert (score_LH[0] == 0).all()
    assert (score_LH[1] > 0).all()


def test_heads_of_two_streams_are_seen(corpus: Corpus) -> None:
    """Their attention stands one level deeper."""
    spec = two_streams(uniform(depth=2, width=12, heads=2, context_tokens=11))
    model = spec.build(vocabulary=corpus.vocabulary, init=Init(1))
    score_LH = PrefixMatching().build(model=model, corpus=corpus, context_tokens=11)(model)["score_LH"]
    assert np.isfinite(score_LH).all()
    assert len(score_LH) == len(model.visits)


def test_occurrences_are_counted_in_pieces(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece that lacks the last ids counts like any other."""
    whole_V = training_counts(corpus)
    monkeypatch.setattr("vslm.measure.token_counts._TOKENS_AT_A_TIME", 7)
    np.testing.assert_array_equal(training_counts(corpus), whole_V)
    np.testing.assert_array_equal(whole_V, np.bincount(corpus.train.tokens, minlength=corpus.vocabulary))


def test_blocks_are_drawn_evenly_from_what_training_shows(corpus: Corpus) -> None:
    """Never the separator, never an id that does not occur; the same for every model and call."""
    counts_V = training_counts(corpus)
    assert counts_V.sum() == len(corpus.train.tokens)
    ids = occurring_tokens(corpus)
    assert set(ids) == set(np.asarray(corpus.train.tokens)) - {corpus.tokenizer.end_of_text}
    windows_NT1 = CopyGain(num_tokens=5000).windows(corpus, 20)
    assert windows_NT1.shape == (math.ceil(5000 / 19), 20)
    np.testing.assert_array_equal(windows_NT1[:, :10], windows_NT1[:, 10:])
    found, count = np.unique(windows_NT1, return_counts=True)
    np.testing.assert_array_equal(found, ids)
    assert count.min() > 0.7 * count.mean()
    np.testing.assert_array_equal(windows_NT1, CopyGain(num_tokens=5000).windows(corpus, 20))


def test_a_block_that_does_not_fit_twice_is_refused() -> None:
    """Before the first step, in words."""
    model = uniform(depth=1, width=8, heads=1, context_tokens=11)
    CopyGain(block_tokens=6).check_fits(model=model, source=AssociativeRecall())
    with pytest.raises(SpecError, match="blocks of 7 tokens in a context of 11; blocks of 2 to 6"):
        CopyGain(block_tokens=7).check_fits(model=model, source=AssociativeRecall())
    with pytest.raises(SpecError, match="a context of 3 or more"):
        PrefixMatching().check_fits(model=vary(model, {"context_tokens": 2}), source=AssociativeRecall())
    with pytest.raises(SpecError, match="2 or more"):
        CopyGain(block_tokens=1)
