"""Which kernel serves what, which is chosen, and how queries are cut into chunks."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vslm.core.errors import SpecError
from vslm.models.initialization import Init
from vslm.models.longer import lengthened
from vslm.models.parts.kernels import (
    KERNELS,
    Where,
    build_kernel,
    causal_mask,
    choose_kernel,
    chunks_in_turn,
    executed_mixing_flops_per_token,
    kernel_serves,
    mean_visible_keys,
    window_chunk_tokens,
)
from vslm.models.parts.normalizers import LengthPower, Normalizer, Power, Sigmoid, Sink, Softmax, SSMax, WeightPower

CONTEXT_TOKENS = 256


def chosen(normalizer: Normalizer, window_tokens: int | None, where: Where, dropout: float = 0.0) -> str:
    """The kernel for a context of 256."""
    return choose_kernel(
        normalizer,
        window_tokens=window_tokens,
        context_tokens=CONTEXT_TOKENS,
        dropout=dropout,
        where=where,
    )


@pytest.mark.parametrize("window_tokens", [None, 7, 256, 1000])
@pytest.mark.parametrize("normalizer", [Softmax(), Sink(), Sigmoid()], ids=repr)
def test_a_cpu_gets_the_chunked_kernel(normalizer: Normalizer, window_tokens: int | None) -> None:
    """The fused kernels are slow or cannot train there."""
    assert chosen(normalizer, window_tokens, Where("cpu")) == "chunked"
    assert chosen(normalizer, window_tokens, Where("mps")) == "chunked"


def test_a_cpu_whose_runs_are_fused_gets_the_kernel_that_serves() -> None:
    """torch's fused attention for a softmax and for gates, with windows and without; chunked for what it cannot do."""
    fused = Where("cpu", fused=True)
    for window_tokens in (None, 7, 256):
        assert chosen(SSMax(), window_tokens, fused) == "sdpa"
        assert chosen(Sink(), window_tokens, fused) == "flash"
        assert chosen(Sigmoid(), window_tokens, fused) == "chunked"
    assert chosen(Sink(), None, fused, dropout=0.1) == "chunked"
    assert chosen(Softmax(), None, Where("mps", fused=True)) == "chunked"


def test_cuda_gets_the_fused_kernel_that_serves() -> None:
    """Softmax over everything: sdpa. A window or a gate: flex. What neither serves: chunked."""
    assert chosen(Softmax(temperature=0.5), None, Where("cuda")) == "sdpa"
    assert chosen(Softmax(), 256, Where("cuda"), dropout=0.1) == "sdpa"
    assert chosen(Softmax(), 7, Where("cuda")) == "flex"
    assert chosen(SSMax(), None, Where("cuda")) == chosen(WeightPower(), None, Where("cuda")) == "sdpa"
    assert chosen(SSMax(), 7, Where("cuda")) == "flex"
    assert chosen(Sink(), None, Where("cuda")) == chosen(Power(exponent=0.5), 7, Where("cuda")) == "flex"
    assert chosen(Softmax(), 7, Where("cuda"), dropout=0.1) == "chunked"
    assert chosen(Sigmoid(), None, Where("cuda")) == "chunked"


def test_the_choice_serves() -> None:
    """Whatever is chosen can be built, and the oracle serves everything."""
    for normalizer in (Softmax(), Sink(), Sigmoid()):
        for window_tokens in (None, 7):
            for dropout in (0.0, 0.1):
                attention = {"window_tokens": window_tokens, "context_tokens": CONTEXT_TOKENS, "dropout": dropout}
                for where in (Where("cpu"), Where("cpu", fused=True), Where("cuda")):
                    build_kernel(choose_kernel(normalizer, **attention, where=where), normalizer, **attention)
                assert kernel_serves("oracle", normalizer, **attention)


def test_a_normalizer_of_no_role_is_refused() -> None:
    """A class that says neither how it masks nor what it makes of the sum has no kernel."""

    @dataclass(frozen=True, kw_only=True)
    class Roleless(Normalizer):
        sums_to_one: ClassVar[bool] = True

        def build(self, *, heads: int, init: Init) -> torch.nn.Module:
            return torch.nn.Identity()

    with pytest.raises(SpecError, match="no kernel serves Roleless"):
        choose_kernel(Roleless(), window_tokens=None, context_tokens=5, dropout=0.0, where=Where())


@pytest.mark.parametrize("window_tokens", [None, 1, 2, 5, 11, 13, 20])
def test_the_mean_of_visible_keys_is_the_masks(window_tokens: int | None) -> None:
    """The formula counts what the mask shows."""
    positions_T = torch.arange(13)
    visible_TS = causal_mask(positions_T, positions_T, window_tokens)
    assert mean_visible_keys(13, window_tokens) == pytest.approx(visible_TS.sum().item() / 13)


@pytest.mark.parametrize("window_tokens", [None, 1, 5, 100, 129, 500])
@pytest.mark.parametrize("num_tokens", [1, 127, 128, 129, 389])
def test_chunks_in_turn_cover_every_query_and_every_visible_key(num_tokens: int, window_tokens: int | None) -> None:
    """Each query is in one chunk, with all the keys that it sees and no chunk's worth more."""
    chunks = chunks_in_turn(num_tokens, window_tokens)
    assert [start for _, start, _ in chunks] == [0, *(stop for _, _, stop in chunks[:-1])]
    assert chunks[-1][2] == num_tokens
    for first, start, _ in chunks:
        assert first == (0 if window_tokens is None else max(0, start - window_tokens + 1))


@pytest.mark.parametrize("window_tokens", [1, 2, 16, 17, 31, 32, 33, 64, 65, 100, 128])
def test_all_chunks_at_once_only_where_it_computes_less(window_tokens: int) -> None:
    """A chunk is never narrower than the window before it, and a short window really is cheaper."""
    for num_tokens in (1, 31, 33, 256, 263, 1024):
        chunk_tokens = window_chunk_tokens(num_tokens, window_tokens)
        if chunk_tokens is None:
            continue
        assert chunk_tokens >= window_tokens - 1
        in_turn = sum(
            (stop - start) * (stop - first) for first, start, stop in chunks_in_turn(num_tokens, window_tokens)
        )
        assert -(-num_tokens // chunk_tokens) * chunk_tokens * chunk_tokens < in_turn
    assert window_chunk_tokens(1024, 32) == 32


def test_sdpa_equals_the_oracle_with_a_temperature() -> None:
    """The fused kernel applies the temperature of the normalizer that it stands for."""
    q, k, v = (torch.randn(2, 13, 3, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    where = {"window_tokens": None, "context_tokens": 13, "dropout": 0.0}
    softmax = Softmax(temperature=0.3)
    outputs = [
        build_kernel(name, softmax, **where)(q, k, v, softmax.build(heads=3, init=Init(0)))
        for name in ("oracle", "sdpa")
    ]
    torch.testing.assert_close(*outputs)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile", "ignore:_FLEX_ATTENTION_DISABLE")
@pytest.mark.parametrize("window_tokens", [None, 5])
@pytest.mark.parametrize(
    "normalizer", [Softmax(temperature=0.3), SSMax(start=0.4), LengthPower(exponent=0.6), Sink(start=1.5)], ids=repr
)
def test_flex_equals_the_oracle_forward(
    normalizer: Normalizer, window_tokens: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a CPU can run of it, plainly: the mask, the factor of a score, the gain, and how many keys each counts."""
    # torch's own switch against tracing, which takes seconds and changes nothing here.
    monkeypatch.setattr("torch.nn.attention.flex_attention._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True, raising=False)
    where = {"window_tokens": window_tokens, "context_tokens": 13, "dropout": 0.0}
    q, k, v = (torch.randn(2, 13, 3, 16, generator=torch.Generator().manual_seed(i)) for i in range(3))
    module = normalizer.build(heads=3, init=Init(0))
    with torch.no_grad():
        found, expected = (build_kernel(name, normalizer, **where)(q, k, v, module) for name in ("flex", "oracle"))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window_tokens", [None, 1, 5, 33, 64, 128, 200])
@pytest.mark.parametrize("num_tokens", [1, 31, 256, 263])
def test_executed_flops_are_what_torch_counts(num_tokens: int, window_tokens: int | None) -> None:
    """Forward and backward, masked scores included, for the kernels that a CPU runs."""
    where = {"window_tokens": window_tokens, "context_tokens": num_tokens, "dropout": 0.0}
    normalizer = Softmax()
    module = normalizer.build(heads=2, init=Init(0))
    for name in ("oracle", "chunked"):
        inputs = [torch.randn(1, num_tokens, 2, 4, requires_grad=True) for _ in range(3)]
        with FlopCounterMode(display=False) as forward:
            output = build_kernel(name, normalizer, **where)(*inputs, module)
        with FlopCounterMode(display=False) as backward:
            output.sum().backward()
        flops = executed_mixing_flops_per_token(
            name, attention_width=8, context_tokens=num_tokens, window_tokens=window_tokens
        )
        assert num_tokens * flops.forward == pytest.approx(forward.get_total_flops(), rel=0.01)
        assert num_tokens * flops.backward == pytest.approx(backward.get_total_flops(), rel=0.01)


def test_executed_flops_of_blocks_by_hand() -> None:
    """384 tokens are 3 x 3 blocks: 6 on and below the diagonal, 5 of them near it, and a window of 1 needs 3."""
    for window_tokens, num_blocks in ((None, 6), (129, 5), (1, 3)):
        flops = executed_mixing_flops_per_token(
            "flex", attention_width=8, context_tokens=384, window_tokens=window_tokens
        )
        assert flops.forward == 4 * 8 * num_blocks * 128**2 / 384
        assert flops.backward == 2.5 * flops.forward
    with pytest.raises(SpecError, match="did you mean flex"):
        executed_mixing_flops_per_token("flexx", attention_width=8, context_tokens=384, window_tokens=None)


def test_executed_flops_are_never_fewer_than_useful_ones() -> None:
    """A kernel computes at least what is visible."""
    for name in KERNELS:
        for window_tokens in (None, 1, 40, 129, 1000):
            flops = executed_mixing_flops_per_token(
                name, attention_width=8, context_tokens=389, window_tokens=window_tokens
            )
            assert flops.forward >= 4 * 8 * mean_visible_keys(389, window_tokens)


def test_a_gain_of_zero_gets_no_gradient_through_flash() -> None:
    """Where the gradient of the output is 0, the sum's is too, and nothing is divided by nothing."""
    sink = Sink(start=1000.0)
    where = {"window_tokens": None, "context_tokens": 13, "dropout": 0.0}
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, 13, 3, 4, generator=generator, requires_grad=True) for _ in range(3)]
    build_kernel("flash", sink, **where)(*inputs, sink.build(heads=3, init=Init(0))).sum().backward()
    assert all(torch.equal(x.grad, torch.zeros_like(x)) for x in inputs)


@pytest.mark.parametrize("normalizer", [Power(exponent=0.5), Sink(start=0.7)], ids=repr)
def test_flash_has_the_gradient_of_queries_keys_and_values_of_the_oracle(normalizer: Normalizer) -> None:
    """Each its own, under a gradient of the output that is another everywhere."""
    where = {"window_tokens": None, "context_tokens": 13, "dropout": 0.0}
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(2, 13, 3, 4, generator=generator) for _ in range(4)]
    module = normalizer.build(heads=3, init=Init(0))
    found = {}
    for name in ("oracle", "flash"):
        inputs = [x.detach().requires_grad_() for x in values[:3]]
        output = build_kernel(name, normalizer, **where)(*inputs, module)
        found[name] = [output, *torch.autograd.grad(output, inputs, values[3])]
    for exact, ours in zip(found["oracle"], found["flash"], strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "normalizer"), [("sdpa", Softmax()), ("flash", Sink())])
def test_a_window_that_hid_nothing_hides_something_in_a_longer_context(name: str, normalizer: Normalizer) -> None:
    """A fused kernel serves windows as long as the context; in a longer one they are windows again."""
    where = {"window_tokens": 13, "dropout": 0.0}
    module = normalizer.build(heads=3, init=Init(0))
    q, k, v = (torch.randn(2, 29, 3, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    kernel = build_kernel(name, normalizer, context_tokens=13, **where)
    meant = build_kernel("oracle", normalizer, context_tokens=29, **where)
    torch.testing.assert_close(lengthened(kernel, 29)(q, k, v, module), meant(q, k, v, module))


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device: flash attention's CUDA kernel was never run here"
)
@pytest.mark.parametrize("head_width", [16, 20])
@pytest.mark.parametrize("normalizer", [Power(exponent=0.5), Power(exponent=1.2, centered=True), Sink()], ids=repr)
def test_flash_on_a_gpu_is_no_worse_than_the_oracle_in_bf16(normalizer: Normalizer, head_width: int) -> None:
    """Forward and backward, against float64, with a head width that it pads and one that it does not."""
    where = {"window_tokens": None, "context_tokens": 263, "dropout": 0.0}
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(2, 263, 2, head_width, generator=generator).bfloat16().cuda() for _ in range(4)]
    found = {}
    for name, kernel, dtype in (
        ("exact", "oracle", torch.float64),
        ("plain", "oracle", torch.bfloat16),
        ("ours", "flash", torch.bfloat16),
    ):
        module = normalizer.build(heads=2, init=Init(0)).cuda().to(torch.promote_types(dtype, torch.float32))
        inputs = [x.detach().to(dtype).requires_grad_() for x in values[:3]]
        output = build_kernel(kernel, normalizer, **where)(*inputs, module)
        found[name] = [x.double() for x in (output, *torch.autograd.grad(output, inputs, values[3].to(dtype)))]
    for exact, plain, ours in zip(found["exact"], found["plain"], found["ours"], strict=True):
        assert (ours - exact).norm() <= 2 * (plain - exact).norm()
