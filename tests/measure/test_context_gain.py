"""What context is worth to a model, held against `ContextCurve`, and by hand."""

import math

import numpy as np
import pytest
import torch

from vslm.data.batches import Windows
from vslm.data.sources import AssociativeRecall, StandardLibrary
from vslm.measure.context_curve import ContextCurveEvaluator
from vslm.measure.context_gain import alone_nats, context_gain
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.models.layouts.plain import gpt2, uniform

VOCABULARY, CONTEXT_TOKENS = 23, 11
WINDOWS_NT1 = np.random.default_rng(3).integers(0, VOCABULARY, (7, CONTEXT_TOKENS + 1))


def model_of(layout=uniform) -> LanguageModel:
    """Weights that are far from their start, so that every position says something else."""
    spec = layout(depth=2, width=16, heads=2, context_tokens=CONTEXT_TOKENS)
    model = spec.build(vocabulary=VOCABULARY, init=Init(seed=5))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("layout", [uniform, gpt2])
def test_of_the_last_target_alone_it_is_that_of_the_context_curve(layout) -> None:
    """C(1) - C(T), of the same windows; learned positions begin at 0 in both."""
    model = model_of(layout)
    weight_NT = np.zeros((7, CONTEXT_TOKENS), dtype=np.float32)
    weight_NT[:, -1] = 3.0
    gain = context_gain(model, Windows(WINDOWS_NT1, weight_NT))
    curve = ContextCurveEvaluator(WINDOWS_NT1)(model)
    assert gain.nats == pytest.approx(float(curve["gain_nats"]), abs=1e-5)
    assert gain.sem_nats == pytest.approx(float(curve["gain_sem_nats_K"][-1]), abs=1e-5)
    assert alone_nats(model, Windows(WINDOWS_NT1, weight_NT)) == pytest.approx(float(curve["loss_nats_K"][0]), abs=1e-5)


def test_late_targets_count_with_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, from the losses of single windows; C(1) is the same however few tokens are passed at a time."""
    model, rng = model_of(), np.random.default_rng(4)
    weight_NT = rng.random((7, CONTEXT_TOKENS), dtype=np.float32)
    weight_NT[2] = 0.0
    late = CONTEXT_TOKENS // 2
    whole, total = 0.0, 0.0
    with torch.no_grad():
        for row, weights in zip(WINDOWS_NT1, weight_NT, strict=True):
            tokens = torch.from_numpy(row[:-1])
            log_p = model(tokens[None])[0].log_softmax(dim=-1)
            for t in range(late, CONTEXT_TOKENS):
                alone = model(tokens[t].reshape(1, 1))[0, 0].log_softmax(dim=-1)
                whole += float(weights[t]) * float(log_p[t, row[t + 1]] - alone[row[t + 1]])
                total += float(weights[t])
    windows = Windows(WINDOWS_NT1, weight_NT)
    assert context_gain(model, windows).nats == pytest.approx(whole / total, abs=1e-5)
    monkeypatch.setattr("vslm.measure.context_gain._MOST_LOGITS", 5 * VOCABULARY)
    assert context_gain(model, windows).nats == pytest.approx(whole / total, abs=1e-5)
    assert model.training, "it is left as it was"


def test_a_plateau_takes_the_place_of_the_last_token() -> None:
    """Where a source says where a model stands that has not begun."""
    model, windows = model_of(), Windows(WINDOWS_NT1)
    gain, other = context_gain(model, windows, plateau_nats=2.0), context_gain(model, windows, plateau_nats=5.0)
    assert other.nats - gain.nats == pytest.approx(3.0)
    assert other.sem_nats == pytest.approx(gain.sem_nats)
    assert AssociativeRecall(num_pairs=5).plateau_nats == math.log(5)
    assert StandardLibrary().plateau_nats is None


def test_one_window_tells_no_error() -> None:
    """So nothing has begun by it."""
    assert context_gain(model_of(), Windows(WINDOWS_NT1[:1])).sem_nats == math.inf
