"""Contracts of attention, in every slot's variants, and of every kernel against the oracle."""

import dataclasses

import pytest
import torch
from model_facts import (
    assert_every_class_is_tested,
    assert_finite_gradients,
    assert_owns_its_parameters,
    assert_reads_back,
    with_new_classes,
)
from test_normalizers import NORMALIZERS
from torch import Tensor, nn

from vslm.core.errors import SpecError
from vslm.models.attention import Attention
from vslm.models.initialization import Init
from vslm.models.kernels import KERNELS, build_kernel, kernel_serves
from vslm.models.normalizers import Normalizer, Softmax
from vslm.models.norms import LayerNorm, Norm, RMSNorm
from vslm.models.positions import NoPositions, Positions, Rotary
from vslm.models.scales import FanIn

POSITIONS = with_new_classes(Positions, [Rotary(), Rotary(base=100.0), NoPositions()])
NORMS = with_new_classes(Norm, [RMSNorm(), LayerNorm(), LayerNorm(bias=False)])
ATTENTIONS = [
    *(Attention(heads=3, normalizer=normalizer) for normalizer in NORMALIZERS),
    *(Attention(heads=3, positions=positions, window_tokens=5) for positions in POSITIONS),
    *(Attention(heads=3, qk_norm=norm, bias=True) for norm in NORMS),
    Attention(heads=5, head_width=4, window_tokens=1),
    Attention(heads=1, window_tokens=1000, dropout=0.1),
]
WIDTH, BATCH, CONTEXT_TOKENS = 42, 2, 83


@pytest.fixture(params=ATTENTIONS, ids=repr)
def spec(request: pytest.FixtureRequest) -> Attention:
    """Each entry of the list above."""
    return request.param


def built(
    spec: Attention, *, kernel: str = "chunked", init: Init | None = None, memory_width: int = WIDTH
) -> nn.Module:
    """The module, in evaluation."""
    return spec.build(
        width=WIDTH,
        memory_width=memory_width,
        context_tokens=CONTEXT_TOKENS,
        scale=FanIn(),
        output_factor=0.5,
        kernel=kernel,
        init=init or Init(0),
    ).eval()


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers that depend on the seed alone."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_the_lists_are_complete() -> None:
    """Every class that fills a slot of attention is tried in it."""
    assert_every_class_is_tested(Normalizer, [spec.normalizer for spec in ATTENTIONS])
    assert_every_class_is_tested(Positions, [spec.positions for spec in ATTENTIONS])
    assert_every_class_is_tested(Norm, [spec.qk_norm for spec in ATTENTIONS if spec.qk_norm])


def test_reads_back(spec: Attention) -> None:
    """The record of an attention makes the same attention."""
    assert_reads_back(spec)


def test_owns_its_parameters(spec: Attention) -> None:
    """Counted, seeded, saved, and apart from other instances; also for a memory of another width."""
    x_BTD, memory_BTE = normal(BATCH, 17, WIDTH), normal(BATCH, 17, 11, seed=1)
    assert_owns_its_parameters(
        lambda init: built(spec, init=init, memory_width=11),
        spec.num_parameters(width=WIDTH, memory_width=11),
        lambda module: module(x_BTD, memory_BTE),
    )


@pytest.mark.parametrize("num_tokens", [1, 2, 37, CONTEXT_TOKENS])
def test_shapes_and_gradients(spec: Attention, num_tokens: int) -> None:
    """Any length up to the context gives the same shape back, and finite gradients for everything."""
    module = built(spec)
    x_BTD = normal(BATCH, num_tokens, WIDTH).requires_grad_()
    output = module(x_BTD, x_BTD)
    assert output.shape == x_BTD.shape
    assert output.dtype == torch.float32
    assert_finite_gradients(output, module, x_BTD)


@pytest.mark.parametrize("kernel", ["oracle", "chunked"])
def test_causal_to_the_bit(spec: Attention, kernel: str) -> None:
    """Changing a token leaves every output before it bitwise equal."""
    module, num_tokens = built(spec, kernel=kernel), 71
    x_BTD = normal(BATCH, num_tokens, WIDTH)
    before = module(x_BTD, x_BTD)
    for changed in (1, 33, 64, 70):
        other_BTD = x_BTD.clone()
        other_BTD[:, changed] = 100.0
        after = module(other_BTD, other_BTD)
        assert torch.equal(after[:, :changed], before[:, :changed])
        assert not torch.equal(after[:, changed], before[:, changed])


@pytest.mark.parametrize("kernel", ["oracle", "chunked"])
def test_the_window_is_respected_to_the_token(spec: Attention, kernel: str) -> None:
    """A query's output depends on exactly the keys in its window, its own position included."""
    module, num_tokens = built(spec, kernel=kernel), 71
    window = spec.window_tokens or num_tokens
    x_BTD, positions = normal(1, num_tokens, WIDTH), torch.arange(num_tokens)
    for query in (0, 1, 31, 32, 66):
        inside = (positions <= query) & (positions > query - window)
        reached = torch.zeros(num_tokens, dtype=torch.bool)
        for seed in range(20):  # a normalizer may give a visible key exactly nothing, but not each time
            memory_BTE = normal(1, num_tokens, WIDTH, seed=seed).requires_grad_()
            module(x_BTD, memory_BTE)[:, query].square().sum().backward()
            assert memory_BTE.grad is not None
            seen = memory_BTE.grad[0].abs().sum(dim=-1) > 0
            assert not (seen & ~inside).any()
            reached |= seen
            if torch.equal(reached, inside):
                break
        assert torch.equal(reached, inside)


def test_batch_rows_are_independent(spec: Attention) -> None:
    """Changing one row of the batch leaves the other bitwise equal."""
    module = built(spec)
    x_BTD = normal(BATCH, 37, WIDTH)
    before = module(x_BTD, x_BTD)[0]
    x_BTD[1] = 7.0
    assert torch.equal(module(x_BTD, x_BTD)[0], before)


def test_dropout_draws_from_torch_and_only_in_training() -> None:
    """The same torch seed drops the same weights; nothing is dropped in evaluation."""
    module = built(Attention(heads=3, dropout=0.5, window_tokens=5))
    x_BTD = normal(BATCH, 67, WIDTH)
    assert torch.equal(module(x_BTD, x_BTD), module(x_BTD, x_BTD))
    module.train()
    outputs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outputs.append(module(x_BTD, x_BTD))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=repr)
@pytest.mark.parametrize("window", [None, 1, 2, 17, 32, 33, 120, 200])
@pytest.mark.parametrize(
    ("dtype", "score", "tolerance"),
    [(torch.float32, 10.0, 1e-5), (torch.float32, 80.0, 1e-4), (torch.float64, 80.0, 1e-12)],
)
def test_every_kernel_equals_the_oracle(
    normalizer: Normalizer, window: int | None, dtype: torch.dtype, score: float, tolerance: float
) -> None:
    """Forward and backward, at odd lengths, shorter and longer than window and chunk."""
    module = normalizer.build(heads=2, init=Init(0)).to(dtype)
    score *= normalizer.temperature if isinstance(normalizer, Softmax) else 1.0  # what the exponential sees
    for num_tokens in (1, 13, 130, 263):
        for kernel in set(KERNELS) - {"oracle", "flex"}:
            where = {"window_tokens": window, "context_tokens": num_tokens, "dropout": 0.0}
            if not kernel_serves(kernel, normalizer, **where):
                continue
            expected = through(build_kernel("oracle", normalizer, **where), module, num_tokens, score, dtype)
            found = through(build_kernel(kernel, normalizer, **where), module, num_tokens, score, dtype)
            for a, b in zip(found, expected, strict=True):
                assert_rows_close(a, b, tolerance)


@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=repr)
@pytest.mark.parametrize("window", [None, 33])
def test_bf16_is_no_worse_than_the_oracle_in_bf16(normalizer: Normalizer, window: int | None) -> None:
    """The error of a kernel against float64 is at most twice that of the oracle."""
    num_tokens = 263
    where = {"window_tokens": window, "context_tokens": num_tokens, "dropout": 0.0}
    module = normalizer.build(heads=2, init=Init(0))
    oracle, chunked = (build_kernel(name, normalizer, **where) for name in ("oracle", "chunked"))
    half = {"num_tokens": num_tokens, "score": 10.0, "rounded_to": torch.bfloat16}
    plain = through(oracle, module, **half)
    ours = through(chunked, module, **half)
    exact = through(oracle, module.double(), **half, computed_in=torch.float64)
    for a, b, c in zip(ours, plain, exact, strict=True):
        assert (a.double() - c).abs().max() <= 2 * (b.double() - c).abs().max()


def through(
    kernel: nn.Module,
    normalizer: nn.Module,
    num_tokens: int,
    score: float,
    rounded_to: torch.dtype = torch.float32,
    computed_in: torch.dtype | None = None,
) -> list[Tensor]:
    """Output and the gradients of q, k and v, for queries and keys whose scores reach about `score`."""
    q, k, v = (
        normal(BATCH, num_tokens, 2, 8, seed=seed).to(rounded_to).to(computed_in or rounded_to) for seed in range(3)
    )
    q = (q / q.norm(dim=-1, keepdim=True) * score).to(rounded_to).to(q.dtype)
    k = (k / k.norm(dim=-1, keepdim=True)).to(rounded_to).to(k.dtype)
    inputs = [x.requires_grad_() for x in (q, k, v)]
    output = kernel(*inputs, normalizer)
    gradient = normal(*output.shape, seed=3).to(rounded_to).to(output.dtype)
    return [output.detach(), *torch.autograd.grad(output, inputs, gradient)]


def assert_rows_close(a: Tensor, b: Tensor, tolerance: float) -> None:
    """Each row of the last axis is close relative to its own largest number.

    A tenth of the largest row's stands in for smaller rows: a gradient of a score that saturates is a difference of
    numbers of that size, and the oracle's own rounding error there is as large.
    """
    scale = b.abs().amax(dim=-1, keepdim=True).clamp(min=0.1 * float(b.abs().max()))
    worst = float(((a - b).abs() / scale.clamp(min=1e-30)).max())
    assert worst <= tolerance, worst


def test_a_head_count_that_does_not_divide_is_refused() -> None:
    """The message names both numbers and the nearest counts that would do."""
    with pytest.raises(SpecError, match=r"heads: 4 heads do not divide width 42; 3 or 6 would"):
        Attention(heads=4).num_parameters(width=42, memory_width=42)
    with pytest.raises(SpecError, match="even head width"):
        Attention(heads=14).width_per_head(42)
    assert Attention(heads=14, positions=NoPositions()).width_per_head(42) == 3
    for name in ("heads", "head_width", "window_tokens"):
        with pytest.raises(SpecError, match=name):
            dataclasses.replace(Attention(heads=1), **{name: 0})


def test_a_kernel_that_does_not_serve_is_refused() -> None:
    """A wrong or unknown kernel is an error when the model is built, and no silent other kernel."""
    with pytest.raises(SpecError, match="sdpa does not serve"):
        built(Attention(heads=3, window_tokens=5), kernel="sdpa")
    with pytest.raises(SpecError, match="did you mean chunked"):
        built(Attention(heads=3, normalizer=Softmax()), kernel="chunkd")
