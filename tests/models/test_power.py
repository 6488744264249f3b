"""What the power of the sum is, what cancels it, and what a trained model shows of it."""

import pytest
import torch

from vslm.core.paths import vary
from vslm.models.initialization import Init
from vslm.models.language_model import Model
from vslm.models.layouts.plain import uniform
from vslm.models.parts.kernels import build_kernel, kernel_serves
from vslm.models.parts.normalizers import HeadGain, LengthPower, Normalizer, Power, Softmax, SSMax, WeightPower
from vslm.optim.adamw import AdamW

HEADS, T = 3, 23


def scores_and_mask(scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores in float64 and a causal mask."""
    generator = torch.Generator().manual_seed(0)
    scores = (torch.rand(2, HEADS, T, T, generator=generator, dtype=torch.float64) * 2 - 1) * scale
    return scores, torch.ones(T, T, dtype=torch.bool).tril()


def weights_of(spec: Normalizer, scores: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """The weights in float64."""
    return spec.build(heads=HEADS, init=Init(0)).double()(scores, visible)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_the_definition(exponent: float) -> None:
    """Exponentials over a power of their sum, as it is written down."""
    scores, visible = scores_and_mask()
    exponentials = scores.exp() * visible
    sums = exponentials.sum(dim=-1, keepdim=True)
    expected = exponentials / sums**exponent
    torch.testing.assert_close(weights_of(Power(exponent=exponent), scores, visible), expected)
    num_visible = visible.sum(dim=-1, keepdim=True)
    centered = exponentials / sums * (sums / num_visible) ** (1 - exponent)
    torch.testing.assert_close(weights_of(Power(exponent=exponent, centered=True), scores, visible), centered)


def test_one_is_softmax_to_the_bit() -> None:
    """With p = 1 nothing is left of the sum, plain and centered, fixed and learned."""
    scores, visible = scores_and_mask()
    softmax = Softmax().build(heads=HEADS, init=Init(0))(scores.float(), visible)
    for learned in (False, True):
        for centered in (False, True):
            power = Power(exponent=1.0, learned=learned, centered=centered).build(heads=HEADS, init=Init(0))
            assert torch.equal(power(scores.float(), visible), softmax)
    for spec in (WeightPower(), LengthPower(exponent=1.0), LengthPower(exponent=1.0, learned=True), HeadGain()):
        assert torch.equal(spec.build(heads=HEADS, init=Init(0))(scores.float(), visible), softmax), spec


def test_plain_is_centered_times_the_length() -> None:
    """The power of the sum is the power of the mean times the power of the length."""
    scores, visible = scores_and_mask()
    whole = weights_of(Power(exponent=0.4), scores, visible)
    centered = weights_of(Power(exponent=0.4, centered=True), scores, visible)
    length = weights_of(LengthPower(exponent=0.4), scores, visible) / weights_of(Softmax(), scores, visible)
    torch.testing.assert_close(whole, centered * length.nan_to_num())


def test_the_centered_form_starts_as_softmax() -> None:
    """Equal scores of 0 have a sum of n; the plain form multiplies by n ** (1 - p), the centered one by 1."""
    scores, visible = torch.zeros(1, HEADS, T, T, dtype=torch.float64), scores_and_mask()[1]
    softmax = weights_of(Softmax(), scores, visible)
    torch.testing.assert_close(weights_of(Power(exponent=0.5, centered=True), scores, visible), softmax)
    length = torch.arange(1, T + 1, dtype=torch.float64)[:, None]
    plain = weights_of(Power(exponent=0.5), scores, visible)
    torch.testing.assert_close(plain, softmax * length.sqrt(), rtol=1e-6, atol=1e-12)


def test_a_number_added_to_all_scores_is_a_volume() -> None:
    """Not shift-invariant: adding c multiplies the weights by exp((1 - p) c)."""
    scores, visible = scores_and_mask()
    a, b = (weights_of(Power(exponent=0.75), scores + c, visible) for c in (0.0, 2.0))
    torch.testing.assert_close(b, a * torch.tensor(0.5, dtype=torch.float64).exp())


def test_the_clamp_bounds_what_content_does_and_leaves_the_length() -> None:
    """(1 - p) (LSE - log n) stays within it; inside it nothing changes."""
    scores, visible = scores_and_mask(scale=9.0)
    softmax = weights_of(Softmax(), scores, visible)
    clamped = weights_of(Power(exponent=0.25, centered=True, clamp=1.5), scores, visible).sum(dim=-1)
    free = weights_of(Power(exponent=0.25, centered=True), scores, visible).sum(dim=-1)
    torch.testing.assert_close(clamped, free.clamp(min=1 / torch.e**1.5, max=torch.e**1.5))
    assert (clamped < free).any()
    length = torch.arange(1, T + 1, dtype=torch.float64)[:, None] ** 0.75
    plain = weights_of(Power(exponent=0.25, clamp=1.5), scores, visible)
    torch.testing.assert_close(plain, softmax * clamped[..., None] * length, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("kernel", ["oracle", "chunked", "flash"])
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.7])
def test_a_norm_per_head_cancels_any_power(kernel: str, exponent: float) -> None:
    """In float64, with nothing added to the mean square, what comes out of it is softmax's."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 151, HEADS, 8, generator=generator, dtype=torch.float64) for _ in range(3))
    where = {"window_tokens": None, "context_tokens": 151, "dropout": 0.0}
    outputs = []
    for spec, name in ((Softmax(), "oracle"), (Power(exponent=exponent), kernel)):
        module = spec.build(heads=HEADS, init=Init(0)).double()
        y_BTHK = build_kernel(name, spec, **where)(2 * q, k, v, module)
        outputs.append(y_BTHK / y_BTHK.square().mean(dim=-1, keepdim=True).sqrt())
    torch.testing.assert_close(*outputs, rtol=1e-11, atol=1e-11)


def test_scores_get_a_gradient_through_the_sum() -> None:
    """With values that are all equal softmax's output cannot move; a power of the sum moves it by (1 - p) w y."""
    scores, visible = scores_and_mask()
    scores.requires_grad_()
    output = weights_of(Power(exponent=0.75), scores, visible).sum(dim=-1)
    (gradient,) = torch.autograd.grad(output.sum(), scores)
    softmax = weights_of(Softmax(), scores, visible).detach()
    torch.testing.assert_close(gradient, 0.25 * softmax * output.detach()[..., None])


@pytest.mark.parametrize(("start", "push"), [(0.0, 1.0), (2.0, -1.0)])
def test_a_learned_exponent_stays_in_its_range_and_comes_back(start: float, push: float) -> None:
    """At its edge and beyond it, only a gradient that leads further out is stopped."""
    scores, visible = scores_and_mask()
    scores = scores + 4.0  # every sum is above 1
    module = Power(exponent=start, learned=True).build(heads=HEADS, init=Init(0)).double()
    exponent = module.get_parameter("exponent")

    def gradient(sign: float) -> torch.Tensor:
        return torch.autograd.grad(sign * module(scores, visible).sum(), exponent)[0]

    assert (gradient(1.0) != 0).all(), "alive at the start"
    at_edge = module(scores, visible)
    with torch.no_grad():
        exponent.sub_(0.1 * push)
    assert torch.equal(module(scores, visible), at_edge)
    # A sum above 1 makes more of the weights as p falls: the loss that wants them small raises p.
    raises_p, lowers_p = gradient(1.0), gradient(-1.0)
    back, out = (raises_p, lowers_p) if push > 0 else (lowers_p, raises_p)
    assert (back * push < 0).all()
    assert (out == 0).all()


def test_ssmax_multiplies_scores() -> None:
    """n to the power of a times the score; a shift by a log n, as it is sometimes written, would be softmax."""
    scores, visible = scores_and_mask()
    num_visible = visible.sum(dim=-1, keepdim=True).double()
    powers = (num_visible ** (0.5 * scores)) * visible
    weights = weights_of(SSMax(start=0.5), scores, visible)
    torch.testing.assert_close(weights, powers / powers.sum(dim=-1, keepdim=True))
    assert not torch.allclose(weights, weights_of(Softmax(), scores, visible), atol=1e-3)


def test_softmax_to_a_power_is_a_temperature() -> None:
    """Weights to the power a, made to add up to 1 again."""
    scores, visible = scores_and_mask()
    powers = weights_of(Softmax(), scores, visible) ** 0.7 * visible
    expected = powers / powers.sum(dim=-1, keepdim=True)
    found = weights_of(WeightPower(exponent=0.7), scores, visible)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def learned(normalizer: Normalizer) -> Model:
    """A small model with that normalizer in every block."""
    plain = uniform(depth=2, width=12, heads=HEADS, context_tokens=T)
    return vary(plain, {"blocks.*.attention.normalizer": normalizer})


def test_the_exponent_of_every_layer_and_head_can_be_read_and_does_not_decay() -> None:
    """A parameter if learned, a buffer if fixed, under one name; it moves in training without weight decay."""
    name = "blocks.1.attention.normalizer.exponent"
    fixed = learned(Power(exponent=0.75)).build(vocabulary=53, init=Init(0))
    assert torch.equal(fixed.get_buffer(name), torch.full((HEADS,), 0.75))
    model = learned(Power(exponent=1.0, learned=True)).build(vocabulary=53, init=Init(0))
    assert torch.equal(model.get_parameter(name), torch.ones(HEADS))
    assert name in model.state_dict()
    optimizer = AdamW(learning_rate=0.01, weight_decay=0.5).build(model)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay[id(model.get_parameter(name))] == 0.0
    tokens_BT = torch.randint(53, (4, T), generator=torch.Generator().manual_seed(0))
    torch.nn.functional.cross_entropy(model(tokens_BT).flatten(0, 1), tokens_BT.flatten()).backward()
    optimizer.step()
    assert (model.get_parameter(name) != 1.0).all()


def test_flash_is_for_gates() -> None:
    """With a window or without; no dropout, no other role."""
    where = {"window_tokens": None, "context_tokens": 64, "dropout": 0.0}
    assert kernel_serves("flash", Power(exponent=0.5), **where)
    assert not kernel_serves("flash", Softmax(), **where)
    assert kernel_serves("flash", Power(exponent=0.5), **{**where, "window_tokens": 5})
    assert not kernel_serves("flash", Power(exponent=0.5), **{**where, "dropout": 0.1})
