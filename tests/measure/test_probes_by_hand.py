"""Token classes, effective rank, the linear probe and attention maps, where the answer is known."""

import math

import numpy as np
import pytest
import torch
from test_measures_by_hand import Answers, Attends, model_of

from vslm.core.errors import DataError, SpecError
from vslm.data.corpus import Corpus
from vslm.data.preparing import prepare
from vslm.data.sources import Text
from vslm.data.tokenizers import BPE
from vslm.measure.attention_maps import AttentionMaps, AttentionMapsEvaluator
from vslm.measure.effective_rank import EffectiveRankEvaluator, effective_rank
from vslm.measure.logit_lens import LogitLensEvaluator
from vslm.measure.measure import in_batches
from vslm.measure.parts_of_word import parts_of_word
from vslm.measure.token_classes import TokenClasses, TokenClassesEvaluator, occurs_before
from vslm.measure.token_counts import training_counts
from vslm.measure.token_loss import token_loss
from vslm.measure.token_probe import TokenProbe, TokenProbeEvaluator
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.models.layouts.plain import uniform
from vslm.results.token_classes import OCCURRENCES, PARTS_OF_WORD

CONTEXT_TOKENS = 23


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A few documents of words, digits, punctuation and letters outside ASCII, in pairs of bytes."""
    folder = tmp_path_factory.mktemp("text")
    lines = [f"The {word} no. {i * i} sat, and the café's {word}s ran.\n" for i in range(97) for word in ("cat", "dog")]
    for name in range(11):
        (folder / f"{name}.txt").write_text("".join(lines[name::3]), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VSLM_HOME", str(tmp_path_factory.mktemp("home")))
        return prepare(Text(str(folder), tokenizer=BPE(vocabulary=263)))


def test_parts_of_words_by_hand() -> None:
    """Letters go on after letters, and start after anything else; half a character is something else."""
    token_bytes = [b"", b"Do", b"n't", b" caf", b"\xc3", "é".encode(), b"_x", b"x", b" 12", b"\n ", b"!", b"s"]
    names = dict(enumerate(PARTS_OF_WORD))

    def parts(*tokens: int) -> list[str]:
        return [names[part] for part in parts_of_word(np.array([tokens]), token_bytes)[0]]

    assert parts(0, 1, 2, 11) == ["word start", "word inside", "word inside"]
    assert parts(1, 3, 5, 7, 10, 7) == ["word start", "word inside", "word inside", "punctuation", "word start"]
    assert parts(3, 4, 7, 0, 7) == ["other", "word start", "other", "word start"]
    assert parts(8, 11, 8, 9, 11, 6, 7) == [
        "word start",
        "digits",
        "whitespace",
        "word start",
        "punctuation",
        "word inside",
    ]


def test_classes_by_hand() -> None:
    """Targets 5, 0, 5, 1 of a table that is right twice; two classes, of one, three and no target."""
    windows_NT1 = np.array([[0, 5, 0, 5, 1]])
    np.testing.assert_array_equal(occurs_before(windows_NT1), [[False, True, True, False]])
    model = Answers([5, 0, 0, 0, 0, 1])  # right: 5 after 0, twice, and 1 after the last 5
    classes = {"part": np.array([[2, 0, 0, 0]])}
    numbers = TokenClassesEvaluator(windows_NT1, classes, {"part": 3}, {})(model)  # type: ignore[arg-type]
    right, wrong = math.log(math.exp(10) + 5) - 10, math.log(math.exp(10) + 5)
    np.testing.assert_array_equal(numbers["part_num_tokens_G"], [3, 0, 1])
    np.testing.assert_allclose(numbers["part_loss_nats_G"], [(wrong + right + right) / 3, math.nan, right], atol=1e-6)


def test_shares_of_classes_add_up_to_the_loss(corpus: Corpus) -> None:
    """In each of the three divisions: all targets, and their whole loss; buckets hold tokens as often as they say."""
    model = uniform(depth=1, width=8, heads=1, context_tokens=CONTEXT_TOKENS)
    module = model.build(vocabulary=corpus.vocabulary, init=Init(0))
    measure = TokenClasses(num_tokens=1000)
    numbers = measure.build(model=module, corpus=corpus, context_tokens=CONTEXT_TOKENS)(module)
    windows_NT1 = measure.windows(corpus, CONTEXT_TOKENS)
    with torch.no_grad():
        loss = sum(float(token_loss(module, *batch).double().sum()) for batch in in_batches(windows_NT1, module, 7))
    for division in ("frequency", "occurrence", "part"):
        count_G, mean_G = numbers[f"{division}_num_tokens_G"], numbers[f"{division}_loss_nats_G"]
        assert count_G.sum() == windows_NT1[:, 1:].size
        assert np.nansum(count_G * mean_G) == pytest.approx(loss, rel=1e-6)
        np.testing.assert_array_equal(np.isnan(mean_G), count_G == 0)
    assert numbers["occurrence_num_tokens_G"].shape == (len(OCCURRENCES),)
    assert (numbers["part_num_tokens_G"] > 0).tolist() == [True] * len(PARTS_OF_WORD)
    from_G = numbers["frequency_from_count_G"]
    counts_N = training_counts(corpus)[windows_NT1[:, 1:]].ravel()
    edges = [*from_G, 2 * from_G[-1]]
    np.testing.assert_array_equal(np.histogram(counts_N, bins=edges)[0], numbers["frequency_num_tokens_G"])


def test_effective_rank_by_hand() -> None:
    """Shares 1/2, 1/4, 1/4 have an entropy of 1.5 ln 2; equal ones give their number."""
    assert effective_rank(np.diag([2.0, 1.0, 1.0])) == pytest.approx(2**1.5)
    assert effective_rank(np.eye(7)) == pytest.approx(7)
    assert math.isnan(effective_rank(np.zeros((3, 3))))


def test_the_rank_of_a_stream_and_one_that_does_not_vary() -> None:
    """Corners of a triangle vary equally in two directions, also scaled; then one direction is left, then none."""
    table_VE = 5 + torch.eye(3)
    changes = (lambda x: 3 * x, lambda x: x * torch.tensor([1.0, 0, 0]), lambda x: torch.full_like(x, 0.1))
    numbers = EffectiveRankEvaluator(np.array([[0, 1, 2, 1], [2, 1, 0, 1]]))(model_of(table_VE, *changes))
    np.testing.assert_allclose(numbers["rank_L"], [2, 2, 1, math.nan], rtol=1e-9)
    assert numbers["width_L"].tolist() == [3, 3, 3, 3]


def probed(model: LanguageModel, num_tokens: int = 5) -> dict[str, np.ndarray]:
    """The probe on random windows."""
    windows_NT1 = np.random.default_rng(3).integers(num_tokens, size=(41, 12))
    model.context_tokens = 11
    return TokenProbeEvaluator(windows_NT1, 1e-3)(model)


def test_the_probe_reads_what_is_there_and_guesses_what_is_not() -> None:
    """The embedding in any basis, with more tokens than dimensions; then the previous token; then nothing."""
    num_tokens = 13
    table_VE = torch.randn(num_tokens, 4, generator=torch.Generator().manual_seed(1))
    turn_DD = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(2)))[0]

    def back(x_BTD: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros_like(x_BTD[:, :1]), x_BTD[:, :-1]], dim=1)

    model = model_of(table_VE, lambda x: 1 + x @ turn_DD, back, torch.ones_like)
    numbers = probed(model, num_tokens)
    np.testing.assert_array_equal(numbers["accuracy_current_L"][:2], [1, 1])
    assert numbers["accuracy_previous_L"][2] == 1
    assert (numbers["accuracy_previous_L"][:2] < 0.3).all()
    assert numbers["accuracy_current_L"][2] < 0.3
    assert numbers["accuracy_current_L"][3] == pytest.approx(numbers["chance"])
    # The lens asks the model's own readout, to which the turned stream says nothing.
    lens = LogitLensEvaluator(np.random.default_rng(3).integers(num_tokens, size=(41, 12)))(model)
    assert lens["top_current_L"][1] < 0.5


def test_the_probe_is_tested_on_other_windows_than_it_is_fitted_on() -> None:
    """Noise of many dimensions could be learned by heart; it names tokens no better than chance does."""
    noise = torch.Generator().manual_seed(5)
    model = model_of(torch.zeros(3, 3), lambda x: torch.randn(*x.shape[:2], 61, generator=noise), lambda x: x[..., :3])
    numbers = probed(model, 3)
    assert numbers["accuracy_current_L"][1] == pytest.approx(1 / 3, abs=0.17)


def test_a_probe_needs_windows_to_test_on(corpus: Corpus) -> None:
    """Four windows at least, and a ridge."""
    model = model_of(torch.eye(3), lambda x: x)
    with pytest.raises(DataError, match="on 2 windows of 23 tokens; 4 or more"):
        TokenProbe(num_tokens=46).build(model=model, corpus=corpus, context_tokens=CONTEXT_TOKENS)
    with pytest.raises(SpecError, match="above 0"):
        TokenProbe(ridge=0.0)


def test_maps_by_hand() -> None:
    """Shares of each row, negative weights as their size, a row of nothing as zeros, a missing head as NaN."""
    first = torch.tensor([[2.0, 0, 0], [-1, 3, 0], [0, 0, 0]])
    attends = Attends(torch.stack([first, torch.eye(3)])), Attends(torch.eye(3)[None])
    model = model_of(torch.eye(3), lambda x: x, *attends)
    names = ["path.1.attention.weights", "path.2.attention.weights"]
    numbers = AttentionMapsEvaluator(np.array([[0, 2, 1, 0]]), names, 4, [b"a", b"", "é".encode()])(model)
    expected = np.full((2, 2, 3, 3), np.nan)
    expected[0, 0] = [[1, 0, 0], [0.25, 0.75, 0], [0, 0, 0]]
    expected[0, 1] = expected[1, 0] = np.eye(3)
    np.testing.assert_array_equal(numbers["share_LHTS"], expected)
    assert numbers["place_L"].tolist() == [1, 2]
    assert numbers["token_bytes_TN"].tolist() == [[97, 0], [0, 0], list("é".encode())]
    assert numbers["token_num_bytes_T"].tolist() == [1, 0, 2]


def test_maps_are_of_the_first_tokens_and_of_visits_from_end_to_end(corpus: Corpus) -> None:
    """Five visits of two heads, three asked for; no more tokens than the context; and a limit to what is stored."""
    model = uniform(depth=5, width=8, heads=2, context_tokens=CONTEXT_TOKENS)
    module = model.build(vocabulary=corpus.vocabulary, init=Init(0))
    take = AttentionMaps(num_visits=3).build(model=module, corpus=corpus, context_tokens=CONTEXT_TOKENS)
    numbers = take(module)
    assert numbers["place_L"].tolist() == [0, 2, 4]
    assert numbers["share_LHTS"].shape == (3, 2, CONTEXT_TOKENS, CONTEXT_TOKENS)
    np.testing.assert_allclose(numbers["share_LHTS"].sum(axis=-1), 1, rtol=1e-5)
    found = [bytes(row[:n]) for row, n in zip(numbers["token_bytes_TN"], numbers["token_num_bytes_T"], strict=True)]
    assert found == [corpus.tokenizer.token_bytes[token] for token in corpus.val.tokens[:CONTEXT_TOKENS]]
    assert AttentionMaps().steps(37) == [37]
    with pytest.raises(SpecError, match="num_tokens: found 129; 1 to 128"):
        AttentionMaps(num_tokens=129)
    with pytest.raises(SpecError, match="without attention"):
        AttentionMaps().build(model=model_of(torch.eye(3), lambda x: x), corpus=corpus, context_tokens=3)
