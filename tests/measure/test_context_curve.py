"""The fixed-target context curve, on models whose answer is known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vslm.measure.context_curve import ContextCurve, ContextCurveEvaluator
from vslm.measure.measure import evaluating
from vslm.measure.token_loss import token_loss
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.models.layouts.plain import gpt2, uniform
from vslm.models.parts.stream import Stream

VOCABULARY, CONTEXT_TOKENS = 7, 11
WINDOWS_NT1 = np.random.default_rng(3).integers(0, VOCABULARY, (13, CONTEXT_TOKENS + 1))


class Root(nn.Module):
    """The stream is a row of the table."""

    def __init__(self, table_VV: Tensor) -> None:
        super().__init__()
        self.embedding_VE = nn.Parameter(table_VV)

    def forward(self, tokens_BT: Tensor) -> Stream:
        """Look it up."""
        x_BTD = self.embedding_VE[tokens_BT]
        return Stream(x_BTD=x_BTD, memory_BSE=x_BTD, saved={})


class Change(nn.Module):
    """Does one thing to the stream."""

    def __init__(self, change) -> None:
        super().__init__()
        self.change = change

    def forward(self, stream: Stream) -> Stream:
        """Change it."""
        return stream._replace(x_BTD=self.change(stream.x_BTD))


class AsItIs(nn.Module):
    """The stream is the logits."""

    def forward(self, x_BTD: Tensor, embedding_VE: Tensor) -> Tensor:
        """Nothing."""
        return x_BTD


def logits_of(table_VV: Tensor, change=lambda x_BTV: x_BTV) -> LanguageModel:
    """A model whose logits are `change` of a row of the table for every token."""
    return LanguageModel(
        root=Root(table_VV),
        modules={"path.0": Change(change)},
        route=("path.0",),
        norm=nn.Identity(),
        readout=AsItIs(),
        context_tokens=CONTEXT_TOKENS,
    )


def test_a_uniform_model_loses_ln_v_whatever_it_sees() -> None:
    """At every k, with no gain and no spread."""
    numbers = ContextCurveEvaluator(WINDOWS_NT1)(logits_of(torch.zeros(VOCABULARY, VOCABULARY)))
    assert numbers["context_tokens_K"].tolist() == [1, 2, 4, 8, 11]
    assert numbers["loss_nats_K"] == pytest.approx([math.log(VOCABULARY)] * 5)
    assert numbers["sem_nats_K"] == pytest.approx([0.0] * 5, abs=1e-7)
    assert (float(numbers["gain_nats"]), float(numbers["far_gain_nats"])) == pytest.approx((0.0, 0.0), abs=1e-7)
    assert numbers["num_targets"] == 13


def test_a_bigram_table_is_flat_beyond_the_last_token() -> None:
    """It uses one token: C(k) = C(1), which is the table's own loss on the last two tokens of each window."""
    table_VV = torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(5))
    numbers = ContextCurveEvaluator(WINDOWS_NT1)(logits_of(table_VV))
    log_p_VV = torch.log_softmax(table_VV, dim=-1).numpy()
    losses_N = np.array([-log_p_VV[before, target] for before, target in WINDOWS_NT1[:, -2:]])
    np.testing.assert_allclose(numbers["loss_nats_K"], losses_N.mean(), rtol=1e-6)
    np.testing.assert_allclose(numbers["sem_nats_K"], losses_N.std(ddof=1) / math.sqrt(13), rtol=1e-6)
    np.testing.assert_allclose(numbers["gain_sem_nats_K"], 0.0, atol=1e-7)


def test_three_targets_by_hand() -> None:
    """A model that says a token is likelier (by ln 2 for each) the more often it was seen, of three ids.

    After 2, 0, 1, 1 the counts of (0, 1, 2) are, for the last k = 1, 2, 4 tokens: (0, 1, 0), (0, 2, 0), (1, 2, 1), so
    the probability of 1 is 2/4, 4/6, 4/8.
    """
    windows_NT1 = np.array([[2, 0, 1, 1, 1], [1, 1, 0, 2, 0], [2, 2, 2, 2, 0]])
    model = logits_of(math.log(2) * torch.eye(3), lambda x_BTV: x_BTV.cumsum(dim=1))
    numbers = ContextCurveEvaluator(windows_NT1)(model)
    p_KN = np.array([[2 / 4, 1 / 4, 1 / 4], [4 / 6, 2 / 5, 1 / 6], [4 / 8, 2 / 8, 1 / 18]])
    np.testing.assert_allclose(numbers["loss_nats_K"], -np.log(p_KN).mean(axis=1), rtol=1e-6)
    gains_KN = np.log(p_KN) - np.log(p_KN[0])
    np.testing.assert_allclose(numbers["gain_sem_nats_K"], gains_KN.std(axis=1, ddof=1) / math.sqrt(3), atol=1e-6)
    assert numbers["gain_nats"] == pytest.approx(gains_KN[-1].mean(), abs=1e-6)
    assert numbers["far_gain_nats"] == numbers["gain_nats"], "an eighth of four tokens is less than one"


@pytest.mark.parametrize("layout", [uniform, gpt2])
def test_at_the_whole_context_it_is_the_models_own_loss(layout) -> None:
    """And at one token that of a text of one token, also where positions are absolute."""
    model = layout(depth=2, width=12, heads=3, context_tokens=CONTEXT_TOKENS, dropout=0.3).build(
        vocabulary=VOCABULARY, init=Init(3)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    numbers = ContextCurveEvaluator(WINDOWS_NT1)(model.train())
    assert model.training
    with evaluating(model):
        for place, num_seen in ((0, 1), (-1, CONTEXT_TOKENS)):
            windows = torch.from_numpy(WINDOWS_NT1[:, -num_seen - 1 :])
            losses_B = token_loss(model, windows[:, :-1], windows[:, 1:])[:, -1].double()
            assert numbers["loss_nats_K"][place] == pytest.approx(float(losses_B.mean()), abs=1e-5)
    assert abs(float(numbers["gain_nats"])) > 0.01


def test_a_window_is_flat_beyond_its_reach() -> None:
    """Two blocks that see three tokens each reach five back: eight and eleven are one, and two are another."""
    model = uniform(depth=2, width=12, heads=3, context_tokens=CONTEXT_TOKENS, window_tokens=3).build(
        vocabulary=VOCABULARY, init=Init(3)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    loss_K = ContextCurveEvaluator(WINDOWS_NT1)(model)["loss_nats_K"]
    assert loss_K[3] == pytest.approx(loss_K[4], abs=1e-5)
    assert abs(loss_K[1] - loss_K[4]) > 1e-3


def test_far_gain_is_beyond_an_eighth() -> None:
    """Of 11 tokens: beyond the last 1. Of 24: beyond the last 2."""
    model = logits_of(math.log(2) * torch.eye(VOCABULARY), lambda x_BTV: x_BTV.cumsum(dim=1))
    windows_NT1 = np.random.default_rng(4).integers(0, VOCABULARY, (5, 25))
    model.context_tokens = 24
    numbers = ContextCurveEvaluator(windows_NT1)(model)
    loss_K = numbers["loss_nats_K"]
    assert numbers["context_tokens_K"].tolist() == [1, 2, 4, 8, 16, 24]
    assert numbers["far_gain_nats"] == pytest.approx(loss_K[1] - loss_K[5])


def test_the_error_of_the_far_gain_is_paired_over_targets() -> None:
    """Of the differences target by target, which scatter less than either loss; nan for a single target."""
    model = logits_of(math.log(2) * torch.eye(VOCABULARY), lambda x_BTV: x_BTV.cumsum(dim=1))
    evaluator = ContextCurveEvaluator(WINDOWS_NT1)
    alone = [ContextCurveEvaluator(window_1T1[None])(model) for window_1T1 in WINDOWS_NT1]
    gains_N = np.array([float(one["far_gain_nats"]) for one in alone])
    found = float(evaluator(model)["far_gain_sem_nats"])
    assert found == pytest.approx(gains_N.std(ddof=1) / math.sqrt(len(gains_N)), rel=1e-5)
    assert np.isnan(alone[0]["far_gain_sem_nats"])


def test_targets_are_num_tokens_by_the_context() -> None:
    """Rounded up, different, and as many as there are."""

    class Split:
        tokens = np.arange(101)
        weights = None

    class Held:
        evaluated = Split()

    windows_NT1 = ContextCurve(num_tokens=67).windows(Held(), CONTEXT_TOKENS)  # type: ignore[arg-type]
    assert windows_NT1.shape == (7, 12)
    assert windows_NT1[0, 0] == 0
    np.testing.assert_array_equal(np.diff(windows_NT1, axis=1), 1)
    assert len(ContextCurve(num_tokens=10_000).windows(Held(), CONTEXT_TOKENS)) == 90  # type: ignore[arg-type]
