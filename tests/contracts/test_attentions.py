"""Contracts of attention, in every slot's variants, and of every kernel against the oracle."""

import dataclasses
import math

import pytest
import torch
from model_facts import (
    assert_every_class_is_tested,
    assert_finite_gradients,
    assert_owns_its_parameters,
    assert_reads_back,
    moved,
    with_new_classes,
)
from test_normalizers import NORMALIZERS
from torch import Tensor, nn

from vslm.core.errors import SpecError
from vslm.models.initialization import Init
from vslm.models.parts.attention import Attention
from vslm.models.parts.gates import Gate, SigmoidGate, SignedPower
from vslm.models.parts.kernels import KERNELS, Where, build_kernel, choose_kernel, kernel_serves
from vslm.models.parts.normalizers import Normalizer, Sigmoid, Softmax, SSMax, WeightPower
from vslm.models.parts.norms import LayerNorm, Norm, RMSNorm
from vslm.models.parts.positions import NoPositions, Positions, Rotary
from vslm.models.parts.scales import FanIn
from vslm.models.without_storage import SHAPES_ONLY, module_shapes

POSITIONS = with_new_classes(Positions, [Rotary(), Rotary(base=100.0), NoPositions()])
NORMS = with_new_classes(Norm, [RMSNorm(), LayerNorm(), LayerNorm(bias=False)])
GATES = with_new_classes(
    Gate,
    [SigmoidGate(), SignedPower(exponent=0.5), SignedPower(exponent=1.0, learned=True), SignedPower(exponent=2.0)],
)
ATTENTIONS = [
    *(Attention(heads=3, normalizer=normalizer) for normalizer in NORMALIZERS),
    *(Attention(heads=3, positions=positions, window_tokens=5) for positions in POSITIONS),
    *(Attention(heads=3, qk_norm=norm, bias=True) for norm in NORMS),
    *(Attention(heads=3, gate=gate, window_tokens=11) for gate in GATES),
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
    assert_every_class_is_tested(Gate, [spec.gate for spec in ATTENTIONS if spec.gate])
    assert_every_class_is_tested(Norm, [spec.qk_norm for spec in ATTENTIONS if spec.qk_norm])


def test_reads_back(spec: Attention) -> None:
    """The record of an attention makes the same attention."""
    assert_reads_back(spec)


def test_owns_its_parameters(spec: Attention) -> None:
    """Counted, seeded, saved, and apart from other instances; also for a memory of another width."""
    x_BTD, memory_BTE = normal(BATCH, 17, WIDTH), normal(BATCH, 17, 11, seed=1)
    assert_owns_its_parameters(
        lambda init: built(spec, init=init, memory_width=11),
        module_shapes(built(spec, init=SHAPES_ONLY, memory_width=11)),
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
    """Changing a token leaves every output before it bitwise equal; away from the start."""
    module, num_tokens = moved(built(spec, kernel=kernel)), 71
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


@pytest.mark.parametrize("kernel", ["oracle", "chunked"])
def test_dropout_draws_from_torch_and_only_in_training(kernel: str) -> None:
    """The same torch seed drops the same weights; nothing is dropped in evaluation."""
    module = built(Attention(heads=3, dropout=0.5, window_tokens=5), kernel=kernel)
    x_BTD = normal(BATCH, 67, WIDTH)
    assert torch.equal(module(x_BTD, x_BTD), module(x_BTD, x_BTD))
    module.train()
    outputs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outputs.append(module(x_BTD, x_BTD))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


WINDOWS = (None, 33, 1, 2, 17, 32, 120, 200)
PRECISIONS = ((torch.float64, 80.0, 1e-12), (torch.float32, 10.0, 1e-5), (torch.float32, 80.0, 1e-4))


def each_with_each() -> list:
    """Every normalizer in every window, in every precision without a window and in the one that ends between chunks;
    in the other windows the precisions take turns, so that each is met by every window and every third normalizer.
    """
    return [
        pytest.param(normalizer, window, *precision, id=f"{normalizer}-{window}-{precision[0]}-{precision[1]}")
        for i, normalizer in enumerate(NORMALIZERS)
        for j, window in enumerate(WINDOWS)
        for precision in (PRECISIONS if j < 2 else [PRECISIONS[(i + j) % 3]])
    ]


@pytest.mark.parametrize(("normalizer", "window", "dtype", "score", "tolerance"), each_with_each())
def test_every_kernel_equals_the_oracle(
    normalizer: Normalizer, window: int | None, dtype: torch.dtype, score: float, tolerance: float
) -> None:
    """Forward and backward, at odd lengths, shorter and longer than window and chunk.

    Every row of the output is brought to the scale of 1 before it is compared and before it gets a gradient: a power of
    the sum makes one row e ** 60 times larger than another, and the smaller one would not count.
    """
    module = normalizer.build(heads=2, init=Init(0)).to(dtype)
    for num_tokens in (1, 13, 130, 263):
        where = {"window_tokens": window, "context_tokens": num_tokens, "dropout": 0.0}
        kernels = [name for name in set(KERNELS) - {"oracle", "flex"} if kernel_serves(name, normalizer, **where)]
        inputs = inputs_of(num_tokens, score / largest_factor(normalizer, num_tokens), dtype)
        oracle = build_kernel("oracle", normalizer, **where)
        row_scale = 1 / oracle(*inputs, module).detach().abs().amax(dim=-1, keepdim=True)
        expected = through(oracle, module, inputs, row_scale)
        for kernel in kernels:
            found = through(build_kernel(kernel, normalizer, **where), module, inputs, row_scale)
            # What the gradient of a score is multiplied with: the size of the terms that it is a difference of.
            q_size, k_size = (float(x.detach().abs().max()) for x in inputs[:2])
            floors = [0.0, k_size, q_size, 0.0, *[q_size * k_size] * (len(found) - 4)]
            for a, b, floor in zip(found, expected, floors, strict=True):
                # Fused, the gradient of a score is a difference that rounds where the oracle's is 0, or has up to 2.6
                # times the oracle's own error against float64, in the gradient of a learned scale.
                slack = 3.0 if kernel in ("sdpa", "flash") and window is not None else 1.0
                assert_rows_close(a, b, slack * tolerance, floor)


@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=repr)
@pytest.mark.parametrize("window", [None, 33, 184])
def test_every_kernel_sees_its_window_to_the_bit_across_chunks(normalizer: Normalizer, window: int | None) -> None:
    """A key and a value that change leave every query outside of their window bitwise as it was, and change its ends.

    263 tokens are three chunks of the kernel that takes them in turn, which shorter texts never reach.
    """
    num_tokens = 263
    where = {"window_tokens": window, "context_tokens": num_tokens, "dropout": 0.0}
    module = normalizer.build(heads=2, init=Init(0))
    kernels = [name for name in set(KERNELS) - {"flex"} if kernel_serves(name, normalizer, **where)]
    assert {"oracle", "chunked"} <= {*kernels}
    score = 3.0 / largest_factor(normalizer, num_tokens)
    with torch.no_grad():
        q, k, v = inputs_of(num_tokens, score, torch.float32)
        for kernel in (build_kernel(name, normalizer, **where) for name in kernels):
            before = kernel(q, k, v, module)
            for changed in (1, 127, 128, 200, 262):
                other_k, other_v = k.clone(), v.clone()
                other_k[:, changed], other_v[:, changed] = 3 * k[:, changed], v[:, changed] + 100.0
                is_same = (kernel(q, other_k, other_v, module) == before).flatten(2).all(dim=-1)
                last = num_tokens if window is None else min(num_tokens, changed + window)
                assert is_same[:, :changed].all()
                assert is_same[:, last:].all()
                assert not is_same[:, [changed, last - 1]].any()


@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=repr)
@pytest.mark.parametrize("window", [None, 33])
def test_bf16_is_no_worse_than_the_oracle_in_bf16(normalizer: Normalizer, window: int | None) -> None:
    """The error of a kernel against float64 is at most twice that of the oracle, over the rows of each tensor.

    A parameter of the normalizer has one number per head, and the ratio of two rounding errors is chance there: 2% will
    do as well.
    """
    num_tokens = 263
    where = {"window_tokens": window, "context_tokens": num_tokens, "dropout": 0.0}
    module, exact_module = (normalizer.build(heads=2, init=Init(0)).to(x) for x in (torch.float32, torch.float64))
    oracle = build_kernel("oracle", normalizer, **where)
    inputs = inputs_of(num_tokens, 10.0 / largest_factor(normalizer, num_tokens), torch.bfloat16)
    exact_inputs = [x.detach().double().requires_grad_() for x in inputs]
    row_scale = 1 / oracle(*exact_inputs, exact_module).detach().abs().amax(dim=-1, keepdim=True)
    plain = through(oracle, module, inputs, row_scale)
    exact = through(oracle, exact_module, exact_inputs, row_scale)
    for kernel in set(KERNELS) - {"oracle", "flex"}:
        if not kernel_serves(kernel, normalizer, **where):
            continue
        ours = through(build_kernel(kernel, normalizer, **where), module, inputs, row_scale)
        for a, b, c in zip(ours, plain, exact, strict=True):
            enough = 0.02 * c.norm() if a.ndim == 1 else 0.0
            assert (a.double() - c).norm() <= max(2 * (b.double() - c).norm(), enough)


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: fused kernels train there")
compiler_may_warn = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:TensorFloat32")


def on_gpu(inputs: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """The same numbers there."""
    return [x.detach().cuda().to(dtype).requires_grad_() for x in inputs]


def compiled(kernel: nn.Module) -> nn.Module:
    """As in a run: one graph for one shape. Graphs of other tests are forgotten, since torch keeps few of one code."""
    torch._dynamo.reset()
    return torch.compile(kernel, dynamic=False)


@pytest.mark.gpu
@needs_gpu
@compiler_may_warn
@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=repr)
@pytest.mark.parametrize(("num_tokens", "window"), [(263, None), (263, 33), (1, None)])
def test_what_a_gpu_gets_equals_the_oracle(normalizer: Normalizer, window: int | None, num_tokens: int) -> None:
    """Forward, and backward into q, k, v and the normalizer's parameters.

    In fp32 to 1e-3 of the largest number; in bf16, where rows are brought to one scale, with at most twice the error of
    the oracle against float64, or 1e-3 at the root mean square where the oracle has none.
    """
    where = {"window_tokens": window, "context_tokens": num_tokens, "dropout": 0.0}
    name = choose_kernel(normalizer, **where, where=Where("cuda"))
    fast, oracle = compiled(build_kernel(name, normalizer, **where)), build_kernel("oracle", normalizer, **where)
    module = normalizer.build(heads=2, init=Init(0)).cuda()
    exact_module = normalizer.build(heads=2, init=Init(0)).cuda().double()
    score = 10.0 / largest_factor(normalizer, num_tokens)
    inputs = inputs_of(num_tokens, score, torch.bfloat16, head_width=16)  # flex attention takes no narrower heads
    exact_inputs = on_gpu(inputs, torch.float64)
    row_scale = 1 / oracle(*exact_inputs, exact_module).detach().abs().amax(dim=-1, keepdim=True)
    exact = through(oracle, exact_module, exact_inputs, row_scale)
    for a, c in zip(through(fast, module, on_gpu(inputs, torch.float32), row_scale), exact, strict=True):
        assert (a.double() - c).abs().max() <= 1e-3 * max(1.0, float(c.abs().max()))
    ours, plain = (through(one, module, on_gpu(inputs, torch.bfloat16), row_scale) for one in (fast, oracle))
    for a, b, c in zip(ours, plain, exact, strict=True):
        enough = 0.02 * c.norm() if a.ndim == 1 else 1e-3 * math.sqrt(c.numel())
        assert (a.double() - c).norm() <= max(2 * (b.double() - c).norm(), enough)


@pytest.mark.gpu
@needs_gpu
@compiler_may_warn
@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=repr)
@pytest.mark.parametrize("window", [None, 33])
def test_what_a_gpu_gets_is_causal(normalizer: Normalizer, window: int | None) -> None:
    """A key and a value that change leave every query outside of their window bitwise as it was."""
    where = {"window_tokens": window, "context_tokens": 263, "dropout": 0.0}
    kernel = compiled(build_kernel(choose_kernel(normalizer, **where, where=Where("cuda")), normalizer, **where))
    module = normalizer.build(heads=2, init=Init(0)).cuda()
    with torch.no_grad():
        score = 3.0 / largest_factor(normalizer, 263)
        q, k, v = on_gpu(inputs_of(263, score, torch.float32, head_width=16), torch.float32)
        before = kernel(q, k, v, module)
        for changed in (1, 127, 128, 262):
            other_k, other_v = k.clone(), v.clone()
            other_k[:, changed], other_v[:, changed] = 3 * k[:, changed], v[:, changed] + 100.0
            is_same = (kernel(q, other_k, other_v, module) == before).flatten(2).all(dim=-1)
            assert is_same[:, :changed].all()
            assert is_same[:, 263 if window is None else changed + window :].all()
            assert not is_same[:, changed].any()


def largest_factor(normalizer: Normalizer, num_tokens: int) -> float:
    """What a normalizer multiplies scores with, at most, before they reach the exponential."""
    if isinstance(normalizer, Softmax):
        return 1 / normalizer.temperature
    if isinstance(normalizer, WeightPower):
        return normalizer.exponent
    return normalizer.start * max(1.0, math.log(num_tokens)) if isinstance(normalizer, SSMax) else 1.0


def inputs_of(num_tokens: int, score: float, dtype: torch.dtype, *, head_width: int = 8) -> list[Tensor]:
    """q, k and v, with scores that reach about `score`."""
    q, k, v = (normal(BATCH, num_tokens, 2, head_width, seed=seed).to(dtype) for seed in range(3))
    q = (q / q.norm(dim=-1, keepdim=True) * score).to(dtype)
    k = (k / k.norm(dim=-1, keepdim=True)).to(dtype)
    return [x.requires_grad_() for x in (q, k, v)]


def through(kernel: nn.Module, normalizer: nn.Module, inputs: list[Tensor], row_scale: Tensor) -> list[Tensor]:
    """The output and its gradients for q, k, v and the normalizer's parameters, rows brought to one scale."""
    output = kernel(*inputs, normalizer)
    gradient = normal(*output.shape, seed=3).to(output) * row_scale.to(output)
    parameters = list(normalizer.parameters())
    return [output.detach() * row_scale, *torch.autograd.grad(output, [*inputs, *parameters], gradient)]


def assert_rows_close(a: Tensor, b: Tensor, tolerance: float, floor: float) -> None:
    """Each row of the last axis is close relative to its own largest number.

    A tenth of the largest row's, or of `floor`, stands in for smaller rows: a gradient of a score that saturates is a
    difference of numbers of that size, and the oracle's own rounding error there is as large.
    """
    scale = b.abs().amax(dim=-1, keepdim=True).clamp(min=0.1 * max(float(b.abs().max()), floor))
    worst = float(((a - b).abs() / scale.clamp(min=1e-30)).max())
    assert worst <= tolerance, worst


def test_a_head_count_that_does_not_divide_is_refused() -> None:
    """The message names both numbers and the nearest counts that would do."""
    with pytest.raises(SpecError, match=r"heads: 4 heads do not divide width 42; 3 or 6 would"):
        Attention(heads=4).width_per_head(42)
    with pytest.raises(SpecError, match="even head width"):
        Attention(heads=14).width_per_head(42)
    assert Attention(heads=14, positions=NoPositions()).width_per_head(42) == 3
    for name in ("heads", "head_width", "window_tokens"):
        with pytest.raises(SpecError, match=name):
            dataclasses.replace(Attention(heads=1), **{name: 0})


def test_a_kernel_that_does_not_serve_is_refused() -> None:
    """A wrong or unknown kernel is an error when the model is built, and no silent other kernel."""
    with pytest.raises(SpecError, match="sdpa does not serve"):
        built(Attention(heads=3, normalizer=Sigmoid()), kernel="sdpa")
    with pytest.raises(SpecError, match="did you mean chunked"):
        built(Attention(heads=3, normalizer=Softmax()), kernel="chunkd")
