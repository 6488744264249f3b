"""The loss along a step of a small model: where it begins, how steep, and what the tangent promises."""

import dataclasses

import numpy as np
import pytest
import torch

from vslm import LossAlongStep
from vslm.core.errors import SpecError
from vslm.measure.loss_along_step import LossAlongStepEvaluator
from vslm.measure.measure import Evaluator
from vslm.measure.token_loss import token_loss
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.models.layouts.plain import uniform
from vslm.optim.directions import AdamDirection, Direction, Gradient

VOCABULARY, CONTEXT_TOKENS = 13, 7
WINDOWS = np.random.default_rng(3).integers(0, VOCABULARY, (5, CONTEXT_TOKENS + 1))
WEIGHTS = np.random.default_rng(4).integers(0, 3, (5, CONTEXT_TOKENS)).astype(np.float32)


def model() -> LanguageModel:
    """Of two blocks."""
    return uniform(depth=2, width=12, heads=2, context_tokens=CONTEXT_TOKENS).build(vocabulary=VOCABULARY, init=Init(1))


def evaluator(direction: Direction, drop: float, num_places: int) -> Evaluator:
    """On five windows whose targets count differently."""
    return LossAlongStepEvaluator(WINDOWS, WEIGHTS, direction, drop, num_places)


@pytest.mark.parametrize("direction", [Gradient(), AdamDirection()], ids=repr)
def test_a_short_step_goes_along_its_tangent_and_a_far_target_bends_away(direction: Direction) -> None:
    """The loss begins at the weighted mean, the tangent is at the target at 1, and a small drop is nearly kept."""
    one = model()
    tokens = torch.from_numpy(WINDOWS)
    loss_BT = token_loss(one.eval(), tokens[:, :-1], tokens[:, 1:]).detach().numpy()
    mean = float((loss_BT * WEIGHTS).sum() / WEIGHTS.sum())
    near = evaluator(direction, 0.0005, 4)(one)
    np.testing.assert_allclose(near["share_P"], [0, 1, 2, 3])
    assert near["loss_nats_P"][0] == pytest.approx(mean, rel=1e-5)
    assert near["target_nats"] == pytest.approx(0.9995 * mean, rel=1e-5)
    np.testing.assert_allclose(near["tangent_nats_P"], mean * (1 - 0.0005 * near["share_P"]), rtol=1e-5)
    assert float(near["kept_share"]) == pytest.approx(1.0, abs=0.1)
    far = evaluator(direction, 0.9, 4)(one)
    assert float(far["asked_step"]) == pytest.approx(0.9 / 0.0005 * float(near["asked_step"]), rel=1e-4)
    assert float(far["kept_share"]) < 0.7
    assert far["kept_share"] == pytest.approx((far["loss_nats_P"][0] - far["loss_nats_P"][1]) / (0.9 * mean), rel=1e-4)


def test_what_it_cannot_mean_is_refused() -> None:
    """At the field."""
    for name, value in (("drop", 0.0), ("drop", 1.0), ("num_places", 1)):
        with pytest.raises(SpecError) as said:
            dataclasses.replace(LossAlongStep(), **{name: value})  # type: ignore[arg-type]
        assert said.value.where == name
