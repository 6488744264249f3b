"""Contracts of every normalizer, and of the three roles."""

import pytest
import torch
from model_facts import (
    assert_every_class_is_tested,
    assert_owns_its_parameters,
    assert_reads_back,
    final_classes,
    with_new_classes,
)

from vslm.core.errors import SpecError
from vslm.models.initialization import Init
from vslm.models.parts.normalizers import (
    HeadGain,
    LengthPower,
    Normalizer,
    Power,
    RowNormalizer,
    ScoreFactor,
    ScoreFactorModule,
    Sigmoid,
    Sink,
    Softmax,
    SSMax,
    SumGate,
    SumGateModule,
    WeightPower,
)
from vslm.models.without_storage import SHAPES_ONLY, shapes_of

NORMALIZERS = [
    Softmax(),
    Softmax(temperature=0.3),
    Sink(),
    Sink(start=1.5, learned=False),
    Sigmoid(),
    Sigmoid(bias=0.7),
    Power(exponent=0.0),
    Power(exponent=0.75),
    Power(exponent=1.25, centered=True, clamp=2.0),
    Power(exponent=2.0),
    Power(exponent=1.0, learned=True),
    Power(exponent=0.6, learned=True, centered=True),
    LengthPower(exponent=0.6),
    LengthPower(exponent=1.3, learned=True),
    HeadGain(),
    WeightPower(),
    WeightPower(exponent=0.5, learned=False),
    SSMax(),
    SSMax(start=0.4, learned=False),
]
NORMALIZERS = with_new_classes(Normalizer, NORMALIZERS)
HEADS, T, S = 3, 5, 7


@pytest.fixture(params=NORMALIZERS, ids=repr)
def spec(request: pytest.FixtureRequest) -> Normalizer:
    """Each entry of the list above."""
    return request.param


@pytest.fixture(name="visible_TS")
def causal_window() -> torch.Tensor:
    """A causal window that leaves each query at least one key."""
    distance = torch.arange(T)[:, None] + 2 - torch.arange(S)
    return (distance >= 0) & (distance < 4)


def scores_of(scale: float, *shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Random scores in [-scale, scale]."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=generator, dtype=dtype) * 2 - 1) * scale


def test_the_list_is_complete() -> None:
    """Every normalizer of the room is in the list above, and has one of the three roles."""
    assert_every_class_is_tested(Normalizer, NORMALIZERS)
    for cls in final_classes(Normalizer):
        assert sum(issubclass(cls, role) for role in (RowNormalizer, ScoreFactor, SumGate)) == 1
        assert isinstance(cls.sums_to_one, bool)  # type: ignore[attr-defined]


def varied(scores: torch.Tensor) -> torch.Tensor:
    """Factors that differ from key to key: the gradient of a row's plain sum is 0 where rows add up to 1."""
    return torch.linspace(0.5, 1.0, scores.numel(), dtype=scores.dtype).reshape(scores.shape)


def test_reads_back(spec: Normalizer) -> None:
    """The record of a normalizer makes the same normalizer."""
    assert_reads_back(spec)


def test_owns_its_parameters(spec: Normalizer, visible_TS: torch.Tensor) -> None:
    """Counted, seeded, saved, and apart from other instances."""
    scores = scores_of(2.0, 2, HEADS, T, S)
    assert_owns_its_parameters(
        lambda init: spec.build(heads=HEADS, init=init),
        shapes_of(spec, heads=HEADS, init=SHAPES_ONLY),
        lambda module: module(scores, visible_TS),
    )


@pytest.mark.parametrize("scale", [1.0, 80.0])
def test_masked_weights_are_exactly_zero(spec: Normalizer, visible_TS: torch.Tensor, scale: float) -> None:
    """A masked key gets no weight, changes no other weight, and gets no gradient."""
    module = spec.build(heads=HEADS, init=Init(0))
    scores = scores_of(scale, 2, HEADS, T, S).requires_grad_()
    weights = module(scores, visible_TS)
    assert weights.shape == scores.shape
    assert (weights[..., ~visible_TS] == 0).all()
    assert (weights >= 0).all()
    changed = torch.where(visible_TS, scores.detach(), 50.0)
    assert torch.equal(module(changed, visible_TS), weights)
    (weights * varied(weights)).sum().backward()
    assert scores.grad is not None
    assert (scores.grad[..., ~visible_TS] == 0).all()


@pytest.mark.parametrize("fill", [0.0, 80.0, -80.0, 1e4, -1e4, "mixed"])
def test_large_and_equal_scores_give_no_nan(spec: Normalizer, visible_TS: torch.Tensor, fill: float | str) -> None:
    """Rows of equal, very large and very small scores give finite weights and finite gradients."""
    module = spec.build(heads=HEADS, init=Init(0))
    scores = scores_of(1e4, 2, HEADS, T, S) if fill == "mixed" else torch.full((2, HEADS, T, S), float(fill))
    scores.requires_grad_()
    weights = module(scores, visible_TS)
    (weights * varied(weights)).sum().backward()
    assert weights.isfinite().all()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_declares_whether_rows_sum_to_one(spec: Normalizer, visible_TS: torch.Tensor) -> None:
    """`sums_to_one` says what the weights of a row do, whatever the parameters have become."""
    module = spec.build(heads=HEADS, init=Init(0))
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.3)
    sums = module(scores_of(3.0, 2, HEADS, T, S), visible_TS).sum(dim=-1)
    assert torch.allclose(sums, torch.ones_like(sums), atol=1e-6) == spec.sums_to_one


@pytest.mark.parametrize("scale", [1.0, 10.0, 80.0])
def test_gradients_equal_finite_differences(spec: Normalizer, visible_TS: torch.Tensor, scale: float) -> None:
    """Autograd agrees with central differences in float64, for every score and every parameter.

    Weights of two rows may differ by e ** 80, so each row of weights is judged at its own scale: its largest weight or
    its largest derivative, whichever is larger. A step of h leaves an error of h ** 2 / 6 times the third derivative,
    which for a weight of e ** (p * 80) and a step in p is 80 ** 3 * h ** 2 / 6 of it, 1e-7 at h = 1e-6; and one from
    rounding, 80 * 1e-16 / h = 1e-8. 1e-6 stands above both, and far below what a missing term would be.
    """
    step, tolerance = 1e-6, 1e-6
    module = spec.build(heads=HEADS, init=Init(0)).double()
    scores = scores_of(scale, 1, HEADS, T, S, dtype=torch.float64)
    inputs = [scores, *module.parameters()]
    jacobians = torch.autograd.functional.jacobian(
        lambda *values: torch.func.functional_call(
            module, dict(zip(dict(module.named_parameters()), values[1:], strict=True)), (values[0], visible_TS)
        ),
        tuple(inputs),
    )
    weights = module(scores, visible_TS).detach()
    with torch.no_grad():
        for x, jacobian in zip(inputs, jacobians, strict=True):
            exact = jacobian.reshape(*weights.shape, x.numel())
            for place, value in enumerate(x.flatten().tolist()):
                sides = []
                for moved in (value + step, value - step):
                    x.view(-1)[place] = moved
                    sides.append(module(scores, visible_TS))
                x.view(-1)[place] = value
                numeric = (sides[0] - sides[1]) / (2 * step)
                row_scale = torch.maximum(weights, exact[..., place].abs()).amax(dim=-1, keepdim=True)
                worst = ((numeric - exact[..., place]).abs() / row_scale).max()
                assert worst <= tolerance, (worst, place)


def test_axes_before_the_heads_are_free(spec: Normalizer, visible_TS: torch.Tensor) -> None:
    """A kernel may put its own axes before the heads, with a mask for each."""
    module = spec.build(heads=HEADS, init=Init(0))
    scores = scores_of(2.0, 2, 4, HEADS, T, S)
    masks = torch.stack([visible_TS, visible_TS | (torch.arange(S) == 0), visible_TS, torch.ones_like(visible_TS)])
    together = module(scores, masks[:, None])
    for chunk in range(4):
        torch.testing.assert_close(together[:, chunk], module(scores[:, chunk], masks[chunk]), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("spec", [spec for spec in NORMALIZERS if isinstance(spec, SumGate)], ids=repr)
def test_a_sum_gate_is_softmax_times_its_gain(spec: SumGate, visible_TS: torch.Tensor) -> None:
    """What a fused kernel computes from the log-sum-exp is what whole rows give."""
    module = spec.build(heads=HEADS, init=Init(0))
    assert isinstance(module, SumGateModule)
    scores = scores_of(2.0, 2, HEADS, T, S)
    masked = scores.masked_fill(~visible_TS, -torch.inf)
    gain = module.gain(masked.logsumexp(dim=-1), visible_TS.sum(dim=-1))
    assert gain.shape == (2, HEADS, T)
    torch.testing.assert_close(module(scores, visible_TS), masked.softmax(dim=-1) * gain[..., None])


@pytest.mark.parametrize("spec", [spec for spec in NORMALIZERS if isinstance(spec, ScoreFactor)], ids=repr)
def test_a_score_factor_is_softmax_of_scores_times_it(spec: ScoreFactor, visible_TS: torch.Tensor) -> None:
    """What a fused kernel does to its queries is what whole rows give."""
    module = spec.build(heads=HEADS, init=Init(0))
    assert isinstance(module, ScoreFactorModule)
    scores = scores_of(2.0, 2, HEADS, T, S)
    factor = torch.as_tensor(module.factor(visible_TS.sum(dim=-1))).expand(HEADS, T)
    scaled = (scores * factor[..., None]).masked_fill(~visible_TS, -torch.inf)
    torch.testing.assert_close(module(scores, visible_TS), scaled.softmax(dim=-1))


def test_a_sink_is_one_more_score() -> None:
    """Sink(b) is softmax over the row with b appended, without the appended column."""
    scores = scores_of(2.0, 2, HEADS, T, S)
    weights = Sink(start=0.4).build(heads=HEADS, init=Init(0))(scores, torch.ones(T, S, dtype=torch.bool))
    extended = torch.cat((scores, torch.full((2, HEADS, T, 1), 0.4)), dim=-1).softmax(dim=-1)
    torch.testing.assert_close(weights, extended[..., :-1])


def test_softmax_and_sigmoid_by_hand() -> None:
    """Two visible keys of three, computed on paper."""
    scores = torch.tensor([[[[0.0, 1.0, 5.0]]]])
    visible = torch.tensor([[True, True, False]])
    softmax = Softmax(temperature=0.5).build(heads=1, init=Init(0))(scores, visible)
    torch.testing.assert_close(softmax, torch.tensor([[[[0.11920292, 0.88079708, 0.0]]]]))
    sigmoid = Sigmoid().build(heads=1, init=Init(0))(scores, visible)  # sigmoid(-log 2), sigmoid(1 - log 2)
    torch.testing.assert_close(sigmoid, torch.tensor([[[[1 / 3, 0.57611688, 0.0]]]]))


def test_the_default_of_ssmax_starts_near_softmax() -> None:
    """Over the first 256 positions scores are multiplied with 1 on average; a position with one key has nothing to."""
    module = SSMax().build(heads=HEADS, init=Init(0))
    assert isinstance(module, ScoreFactorModule)
    factor = torch.as_tensor(module.factor(torch.arange(1, 257)))
    torch.testing.assert_close(factor.mean(dim=-1), torch.ones(HEADS), rtol=0.01, atol=0)
    assert (factor[:, 0] == 0).all()


def test_a_temperature_of_zero_is_refused() -> None:
    """No row can be divided by it."""
    with pytest.raises(SpecError, match="temperature"):
        Softmax(temperature=0.0)


def test_what_cannot_be_is_refused() -> None:
    """Exponents outside their range and numbers that leave no order among keys are errors at their field."""
    for exponent in (-0.1, 2.1):
        for make in (Power, LengthPower):
            with pytest.raises(SpecError, match=r"exponent: found .*\[0, 2\]"):
                make(exponent=exponent)
    with pytest.raises(SpecError, match="clamp: found 0"):
        Power(exponent=1.0, clamp=0.0)
    with pytest.raises(SpecError, match="exponent: found 0"):
        WeightPower(exponent=0.0)
    with pytest.raises(SpecError, match="start: found -0"):
        SSMax(start=-0.1)
