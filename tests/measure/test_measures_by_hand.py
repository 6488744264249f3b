"""Every measure by hand, on models whose answer is known."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vslm.core.errors import SpecError
from vslm.data.sources import AssociativeRecall, Text
from vslm.measure.attention_distance import AttentionDistance, AttentionDistanceEvaluator
from vslm.measure.logit_lens import LogitLens, LogitLensEvaluator
from vslm.measure.loss_by_loops import LossByLoops, LossByLoopsEvaluator
from vslm.measure.measure import evaluating, recorded_name
from vslm.measure.parameter_track import ParameterTrack
from vslm.measure.recall_accuracy import RecallAccuracy, RecallAccuracyEvaluator
from vslm.measure.residual_norms import ResidualNormsEvaluator
from vslm.measure.token_loss import token_loss
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.models.layouts.patterns import looped
from vslm.models.layouts.plain import uniform
from vslm.models.parts.stream import Stream
from vslm.models.path.repeats import Repeat
from vslm.models.path.stack import Loop

WINDOWS_NT1 = np.array([[0, 2, 1, 0]])


class Root(nn.Module):
    """The stream starts as a row of the table."""

    def __init__(self, embedding_VE: Tensor) -> None:
        super().__init__()
        self.embedding_VE = nn.Parameter(embedding_VE)

    def forward(self, tokens_BT: Tensor) -> Stream:
        """Look them up."""
        x_BTD = self.embedding_VE[tokens_BT]
        return Stream(x_BTD=x_BTD, memory_BSE=x_BTD, saved={})


class Element(nn.Module):
    """Does one thing to the stream."""

    def __init__(self, change) -> None:
        super().__init__()
        self.change = change

    def forward(self, stream: Stream) -> Stream:
        """Change it."""
        return stream._replace(x_BTD=self.change(stream.x_BTD))


class Read(nn.Module):
    """Logits are the stream against the embedding."""

    def forward(self, x_BTD: Tensor, embedding_VE: Tensor) -> Tensor:
        """Products."""
        return x_BTD @ embedding_VE.T


def model_of(embedding_VE: Tensor, *changes) -> LanguageModel:
    """A model without norm that does `changes` in turn: functions of x_BTD, or elements."""
    elements = [change if isinstance(change, nn.Module) else Element(change) for change in changes]
    return LanguageModel(
        root=Root(embedding_VE),
        modules={f"path.{i}": element for i, element in enumerate(elements)},
        route=tuple(f"path.{i}" for i in range(len(elements))),
        norm=nn.Identity(),
        readout=Read(),
        context_tokens=3,
    )


def test_the_lens_by_hand() -> None:
    """Tokens 0, 2, 1 and a stream of ln 2 at the token's own place, then zeros, then the same turned to the next id.

    At the root the token itself has probability 2 / 4 and each other one 1 / 4; zeros are even. The next tokens are 2,
    1, 0: one below each token but for 0, so a turn by one downwards is right for all three.
    """
    table_VE = math.sqrt(math.log(2)) * torch.eye(3)
    kept = {}

    def zero(x_BTD: Tensor) -> Tensor:
        kept["x"] = x_BTD
        return torch.zeros_like(x_BTD)

    model = model_of(table_VE, zero, lambda x_BTD: kept["x"].roll(-1, dims=-1))
    numbers = LogitLensEvaluator(WINDOWS_NT1)(model)
    assert numbers["p_current_L"] == pytest.approx([1 / 2, 1 / 3, 1 / 4])
    assert numbers["p_next_L"] == pytest.approx([1 / 4, 1 / 3, 1 / 2])
    assert numbers["loss_nats_L"] == pytest.approx([math.log(4), math.log(3), math.log(2)])
    assert numbers["top_current_L"].tolist() == [1.0, 1 / 3, 0.0]  # where all are even, the first token wins


def test_the_lens_is_missing_at_another_width_and_ends_with_the_loss() -> None:
    """A visit of width 5 cannot be read by a readout of width 3."""
    wider = nn.functional.pad
    model = model_of(torch.eye(3), lambda x: wider(x, (0, 2)), lambda x: 2 * x[..., :3])
    numbers = LogitLensEvaluator(WINDOWS_NT1)(model)
    assert np.isnan(numbers["loss_nats_L"]).tolist() == [False, True, False]
    assert np.isnan(numbers["p_current_L"]).tolist() == [False, True, False]
    tokens = torch.from_numpy(WINDOWS_NT1)
    loss = token_loss(model, tokens[:, :-1], tokens[:, 1:]).mean().detach()
    assert numbers["loss_nats_L"][-1] == pytest.approx(float(loss))


def test_loss_by_loops_by_hand() -> None:
    """Each loop adds ln 2 to the logit of the next token, 2, 1, 0 in turn: its share is 2 ** r of 2 ** r + 2."""
    model = LanguageModel(
        root=Root(torch.eye(3)),
        modules={
            "path.0": Element(torch.zeros_like),
            "path.1.body.0": Element(lambda x: x + math.log(2) * torch.tensor([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])),
        },
        route=("path.0", Loop((("path.1.body.0",),), 2, None)),
        norm=nn.Identity(),
        readout=Read(),
        context_tokens=3,
    )
    numbers = LossByLoopsEvaluator(WINDOWS_NT1, (1, 2, 5))(model)
    assert numbers["times_R"].tolist() == [1, 2, 5]
    assert numbers["loss_nats_R"] == pytest.approx([math.log(1 + 2 / 2**loops) for loops in (1, 2, 5)])
    assert model.visits == ("path.0", *("path.1.body.0",) * 2), "the model has its own number of loops afterwards"


def test_loss_by_loops_is_of_one_repeated_part() -> None:
    """The message says how many there are; numbers that do not rise are refused, too."""
    plain = uniform(depth=3, width=8, heads=2, context_tokens=5)
    twice = dataclasses.replace(plain, path=("0", Repeat(body=("1",), times=2), Repeat(body=("2",), times=2)))
    measure = LossByLoops()
    for model, found in ((plain, "0 Repeat"), (twice, "2 Repeat")):
        with pytest.raises(SpecError, match=f"measures: LossByLoops of a model with {found}.*exactly one is needed"):
            measure.check_fits(model=model, source=Text(path="x"))
    measure.check_fits(model=looped(plain, times=2), source=Text(path="x"))
    for times in ((), (0, 1), (2, 1), (1, 1)):
        with pytest.raises(SpecError, match="times: found"):
            LossByLoops(times=times)


def test_norms_by_hand() -> None:
    """Rows of (3, 4, 0) have a root mean square of 5 / sqrt(3); twice that after doubling."""
    table_VE = torch.tensor([[3.0, 4.0, 0.0], [0.0, 3.0, 4.0], [4.0, 0.0, 3.0]])
    numbers = ResidualNormsEvaluator(WINDOWS_NT1)(model_of(table_VE, lambda x: 2 * x))
    assert numbers["rms_L"] == pytest.approx([5 / math.sqrt(3), 10 / math.sqrt(3)])


class Weights(nn.Module):
    """A kernel that is given a normalizer with known weights."""

    window_tokens = None

    def forward(self, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module) -> Tensor:
        """Nothing that matters."""
        return v_BTHK


class Known(nn.Module):
    """Weights that do not look at scores."""

    def __init__(self, weights_HTS: Tensor) -> None:
        super().__init__()
        self.weights_HTS = weights_HTS

    def forward(self, scores: Tensor, visible: Tensor) -> Tensor:
        """The same for every window."""
        return self.weights_HTS.expand(scores.shape)


class Attends(nn.Module):
    """An element with an attention of known weights."""

    def __init__(self, weights_HTS: Tensor) -> None:
        super().__init__()
        self.attention = nn.Module()
        self.attention.kernel = Weights()
        self.attention.normalizer = Known(weights_HTS)

    def forward(self, stream: Stream) -> Stream:
        """Ask the kernel."""
        heads = self.attention.normalizer.weights_HTS.shape[0]
        x = torch.zeros(*stream.x_BTD.shape[:2], heads, 1)
        self.attention.kernel(x, x, x, self.attention.normalizer)
        return stream


def test_distances_by_hand() -> None:
    """Head 0 is even, head 1 looks at itself (and its rows sum to 3), head 2 at the first with one row of nothing."""
    even = torch.tril(torch.ones(3, 3)) / torch.arange(1, 4)[:, None]
    itself = 3 * torch.eye(3)
    first = torch.tensor([[1.0, 0, 0], [0, 0, 0], [-2.0, 0, 0]])
    attends = Attends(torch.stack([even, itself, first])), Attends(even[None])
    model = model_of(torch.eye(3), *attends, lambda x_BTD: x_BTD)
    numbers = AttentionDistanceEvaluator(WINDOWS_NT1)(model)
    nan = math.nan
    expected = {
        "distance_tokens_LH": [[0.5, 0, 1.0], [0.5, nan, nan], [nan] * 3],
        "p_self_LH": [[11 / 18, 1, 0.5], [11 / 18, nan, nan], [nan] * 3],
        "p_first_LH": [[11 / 18, 1 / 3, 1], [11 / 18, nan, nan], [nan] * 3],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(numbers[name], values, atol=1e-12, err_msg=name)


def test_a_model_without_attention_has_no_distance() -> None:
    """It is refused when built."""
    with pytest.raises(SpecError, match="without attention"):
        AttentionDistance().build(model=model_of(torch.eye(3), lambda x: x), corpus=None, context_tokens=3)  # type: ignore[arg-type]


class Answers(nn.Module):
    """Says the token after the current one in a fixed table."""

    def __init__(self, next_of: list[int]) -> None:
        super().__init__()
        self.logits_VV = nn.Parameter(10.0 * torch.eye(len(next_of))[next_of])

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Look it up."""
        return self.logits_VV[tokens_BT]


def test_recall_by_hand() -> None:
    """Queries at distances 2, 3 and 4; two of three answered right."""
    windows_NT1 = np.array([[0, 5, 0, 5, 1, 4, 2, 1, 3]])
    distances_NT = np.array([[0, 0, 2, 0, 4, 0, 0, 3]])
    model = Answers([5, 4, 0, 0, 0, 0])  # after 0 comes 5: right. after 1 comes 4: right once, wrong once
    numbers = RecallAccuracyEvaluator(windows_NT1, distances_NT)(model)  # type: ignore[arg-type]
    np.testing.assert_array_equal(numbers["num_queries_P"], [0, 2, 1])
    np.testing.assert_array_equal(numbers["from_tokens_P"], [1, 2, 4])
    np.testing.assert_array_equal(numbers["accuracy_P"], [math.nan, 0.5, 1.0])
    right, wrong = math.log(math.exp(10) + 5) - 10, math.log(math.exp(10) + 5)
    np.testing.assert_allclose(numbers["loss_nats_P"], [math.nan, (right + wrong) / 2, right], rtol=1e-4, atol=1e-6)
    assert numbers["accuracy"] == pytest.approx(2 / 3)
    # Eight tokens reach back 7, and nine reach 8, which is an octave more.
    for num_tokens, octaves in ((2, 1), (8, 3), (9, 4)):
        windows_NT1, distances_NT = np.zeros((1, num_tokens + 1), int), np.zeros((1, num_tokens), int)
        distances_NT[0, -1] = num_tokens - 1
        numbers = RecallAccuracyEvaluator(windows_NT1, distances_NT)(model)  # type: ignore[arg-type]
        np.testing.assert_array_equal(numbers["num_queries_P"], [0] * (octaves - 1) + [1])
        np.testing.assert_array_equal(numbers["from_tokens_P"], 2 ** np.arange(octaves))
        numbers = RecallAccuracyEvaluator(windows_NT1, 0 * distances_NT)(model)  # type: ignore[arg-type]
        assert len(numbers["accuracy_P"]) == octaves, "as long without a query"


def test_recall_needs_its_source() -> None:
    """Other corpora have no queries."""
    model = uniform(depth=1, width=8, heads=1, context_tokens=128)
    RecallAccuracy().check_fits(model=model, source=AssociativeRecall())
    with pytest.raises(SpecError, match="only AssociativeRecall"):
        RecallAccuracy().check_fits(model=model, source=Text("a.txt"))


def small() -> LanguageModel:
    """Two blocks."""
    return uniform(depth=2, width=8, heads=2, context_tokens=11).build(vocabulary=7, init=Init(1))


def test_parameters_are_found_by_name() -> None:
    """In the order of the model, flat, and as they are when taken."""
    model = small()
    track = ParameterTrack(names=("blocks.*.attention_norm.*", "norm.*"))
    take = track.build(model=model, corpus=None, context_tokens=11)  # type: ignore[arg-type]
    before = take(model)
    assert list(before) == ["blocks.0.attention_norm.weight_N", "blocks.1.attention_norm.weight_N", "norm.weight_N"]
    with torch.no_grad():
        model.norm.weight[3] = 2.5
    assert before["norm.weight_N"].tolist() == [1.0] * 8
    assert take(model)["norm.weight_N"].tolist() == [1, 1, 1, 2.5, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("blocks.*.attention.normaliser.exponent",), "matches nothing"),
        (("norm.weigth",), "did you mean norm.weight"),
        (("norm.weight", "root.embedding_VE"), "root.embedding_VE has 56 numbers"),
    ],
)
def test_a_parameter_that_is_not_there_or_too_large_is_refused(names: tuple[str, ...], words: str) -> None:
    """Before the first step."""
    with pytest.raises(SpecError, match=words):
        ParameterTrack(names=names, most_numbers=55).build(model=small(), corpus=None, context_tokens=11)  # type: ignore[arg-type]


def test_a_parameter_of_as_many_numbers_as_allowed_is_tracked() -> None:
    """56 of 56."""
    track = ParameterTrack(names=("root.embedding_VE",), most_numbers=56)
    track.build(model=small(), corpus=None, context_tokens=11)  # type: ignore[arg-type]


def test_when_measures_are_taken() -> None:
    """At the end alone, or log-spaced with both ends."""
    assert LogitLens().steps(100) == [100]
    assert LogitLens(num_evaluations=4).steps(100) == [0, 1, 10, 100]
    assert ParameterTrack(names=("a",), num_evaluations=2).steps(9) == [0, 9]
    for wrong in ({"num_evaluations": 0}, {"num_tokens": 0}):
        with pytest.raises(SpecError, match="1 or more"):
            LogitLens(**wrong)
    with pytest.raises(SpecError, match="2 or more"):
        ParameterTrack(names=("a",), num_evaluations=1)
    with pytest.raises(SpecError, match="no name"):
        ParameterTrack(names=())


def test_names_of_records_say_their_axes() -> None:
    """Steps first."""
    assert recorded_name("a", "b_c_LH") == "a.b_c_SLH"
    assert recorded_name("parameters", "blocks.0.score_N") == "parameters.blocks.0.score_SN"


def test_evaluation_mode_is_left_as_it_was() -> None:
    """Also after an exception."""
    model = small().train()
    seen = []

    def look_and_fail() -> None:
        seen.extend([model.training, torch.is_grad_enabled()])
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"), evaluating(model):
        look_and_fail()
    assert seen == [False, False]
    assert model.training
    assert torch.is_grad_enabled()
