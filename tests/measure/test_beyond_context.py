"""Beyond the trained context: by hand, and what refuses it."""

import numpy as np
import pytest
import torch

from vslm.core.errors import SpecError
from vslm.data.sources import AssociativeRecall
from vslm.measure.beyond_context import BeyondContext, BeyondContextEvaluator
from vslm.measure.measure import evaluating
from vslm.measure.token_loss import token_loss
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.models.layouts.plain import gpt2, uniform

T, VOCABULARY = 7, 11
WINDOWS_NT1 = np.random.default_rng(3).integers(VOCABULARY, size=(3, 3 * T + 1))


def model(window_tokens: int | None = None) -> LanguageModel:
    """Away from its start, so that what it sees matters."""
    module = uniform(depth=2, width=12, heads=2, context_tokens=T, window_tokens=window_tokens).build(
        vocabulary=VOCABULARY, init=Init(0)
    )
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())) * 0.3)
    return module


def test_by_hand() -> None:
    """Bins of 3 targets, ending at 7, 10, 13, 16 and 19: from the whole text before each, and from its last 5 to 7."""
    module = model()
    found = BeyondContextEvaluator(WINDOWS_NT1, T)(module)
    assert found["to_tokens_P"].tolist() == [7, 10, 13, 16, 19]
    longer = module.with_context(3 * T)
    tokens = torch.from_numpy(WINDOWS_NT1)
    with evaluating(module):
        for place, end in enumerate((7, 10, 13, 16, 19)):
            whole = [token_loss(longer, tokens[:, :t], tokens[:, 1 : t + 1]) for t in range(end - 2, end + 1)]
            beyond = [float(loss_BT[:, -1].mean()) for loss_BT in whole]
            near = tokens[:, end - T : end + 1]
            within = token_loss(module, near[:, :-1], near[:, 1:])[:, -3:]
            assert found["beyond_nats_P"][place] == pytest.approx(np.mean(beyond), abs=1e-5)
            assert found["rise_nats_P"][place] == pytest.approx(np.mean(beyond) - float(within.mean()), abs=1e-5)
    assert abs(found["rise_nats_P"][0]) < 1e-5, "up to the trained context both are one"
    assert found["rise_nats_P"][1:].any()
    assert found["mean_rise_nats"] == pytest.approx(found["rise_nats_P"][1:].mean())


def test_a_model_that_sees_two_tokens_does_not_mind() -> None:
    """Three tokens back are in every window of half a context, so it makes no difference where the text began."""
    found = BeyondContextEvaluator(WINDOWS_NT1, T)(model(window_tokens=2))
    np.testing.assert_allclose(found["rise_nats_P"], 0, atol=1e-5)


def test_what_cannot_be_is_refused() -> None:
    """Learned positions, one context, and a context of nothing."""
    source = AssociativeRecall(num_pairs=3, document_tokens=20, num_letters=5, num_documents=64)
    with pytest.raises(
        SpecError, match="measures: BeyondContext of a model with TokenPositionRoot; positions that go on"
    ):
        BeyondContext().check_fits(model=gpt2(depth=1, width=8, heads=1, context_tokens=20), source=source)
    with pytest.raises(SpecError, match="times: found 1"):
        BeyondContext(times=1)
    with pytest.raises(SpecError, match="context of 1"):
        BeyondContext().check_fits(model=uniform(depth=1, width=8, heads=1, context_tokens=1), source=source)
