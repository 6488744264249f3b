"""How attention is computed: kernels that give the same answer at different cost.

A kernel is chosen once, when a model is built for a device, and its name is recorded with the run. The plain one, the
oracle, defines the answer; a test holds every other equal to it, forward and backward.

    kernel    serves                                      where
    oracle    every normalizer, every window, dropout     anywhere; memory grows as T * T
    chunked   every normalizer, every window, dropout     anywhere; a short window is cheaper in time
    sdpa      ScoreFactor, every window, dropout          CUDA, without a window; a CPU whose runs are fused
    flex      ScoreFactor and SumGate, every window       CUDA, windows and gates; no backward on a CPU
    flash     SumGate, every window                       a CPU whose runs are fused; CUDA (no window): not yet run

Which is sooner on a CPU depends on the processor and on the width of a head, so it is timed once (`runs/timing.py`) and
kept in the settings of a run (`fused_attention`). Heads of 64 in bf16 on an AVX-512 machine: torch's fused attention is
slow in its backward pass, and takes three times the chunked kernel. Heads of 16: in fp32 on AVX-512 it takes 0.55 of
the compiled chunked kernel, on AVX2 0.61 of the eager one, and a whole step of 4 x 64 takes 0.78 of the time
(forward and backward, 256 tokens, torch 2.13).

Every kernel maps (q_BTHK, k_BTHK, v_BTHK, normalizer) to y_BTHK, and has `window_tokens`. Queries come scaled: a score
is a plain dot product. A text that is continued gets the oracle's last rows (`attend_last`).
A query sees the last `window_tokens` positions up to and with its own; None is all of them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import AuxRequest, create_block_mask, flex_attention

from vslm.core.errors import SpecError, nearest
from vslm.models.parts.normalizers import (
    Normalizer,
    RowNormalizer,
    ScoreFactor,
    ScoreFactorModule,
    SumGate,
    SumGateModule,
)

# 128 queries at a time was the fastest of 32, 64, 128 and 256 at 256 to 1024 tokens on an AVX-512 CPU in bf16.
_CHUNK_TOKENS = 128
_Dropped = Callable[[Tensor], Tensor]
# Fused kernels compute and skip scores in blocks of this many queries and keys. It is flex attention's default; flash
# attention's own blocks depend on the head width and the machine.
_BLOCK_TOKENS = 128
# Flash attention on CUDA takes head widths that are a multiple of this.
_CUDA_HEAD_MULTIPLE = 8
# Below this many queries a product is too small to be worth its own bookkeeping.
_SMALLEST_WINDOW_CHUNK_TOKENS = 32


def causal_mask(query_positions: Tensor, key_positions: Tensor, window_tokens: int | None) -> Tensor:
    """Which keys a query sees: `visible[..., t, s]`. Keys before position 0 are padding and are never seen.

    Made anew in each forward pass: under torch.compile the comparisons are part of the kernel that reads them and cost
    nothing, and there is no cache to go stale.
    """
    distance_TS = query_positions[..., :, None] - key_positions[..., None, :]
    visible_TS = (distance_TS >= 0) & (key_positions >= 0)[..., None, :]
    return visible_TS if window_tokens is None else visible_TS & (distance_TS < window_tokens)


class OracleKernel(nn.Module):
    """The whole score matrix at once: what attention means. All other kernels are tested against this one."""

    def __init__(self, *, window_tokens: int | None, dropout: float) -> None:
        super().__init__()
        self.window_tokens = window_tokens
        self.dropout = dropout

    def forward(self, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module) -> Tensor:
        return attend_last(q_BTHK, k_BTHK, v_BTHK, normalizer, window_tokens=self.window_tokens, dropped=self._dropped)

    def _dropped(self, weights: Tensor) -> Tensor:
        return functional.dropout(weights, self.dropout, self.training) if self.dropout else weights


class ChunkedKernel(nn.Module):
    """A chunk of queries at a time, with only the keys that the chunk can see.

    Each chunk holds whole rows of scores, so any normalizer works with ordinary autograd. Without a window, and with a
    wide one, chunks of 128 queries are taken in turn. With a narrow window all chunks see equally many keys (their own
    positions and the window before them), so that they go through one batched product.

    Cost: T * (T + 128) / 2 scores per head without a window; at most 2 * T * max(window, 32) with a narrow one.
    """

    def __init__(self, *, window_tokens: int | None, dropout: float) -> None:
        super().__init__()
        self.window_tokens = window_tokens
        self.dropout = dropout

    def forward(self, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module) -> Tensor:
        chunk_tokens = window_chunk_tokens(q_BTHK.shape[1], self.window_tokens)
        if chunk_tokens is None:
            return self._in_turn(q_BTHK, k_BTHK, v_BTHK, normalizer)
        return self._all_at_once(q_BTHK, k_BTHK, v_BTHK, normalizer, chunk_tokens)

    def _in_turn(self, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q_BTHK, k_BTHK, v_BTHK))
        positions_T = torch.arange(q.shape[2], device=q.device)
        outputs = []
        for first, start, stop in chunks_in_turn(q.shape[2], self.window_tokens):
            visible_TS = causal_mask(positions_T[start:stop], positions_T[first:stop], self.window_tokens)
            chunk = (q[:, :, start:stop], k[:, :, first:stop], v[:, :, first:stop])
            outputs.append(_rows(*chunk, visible_TS, normalizer, self._dropped))
        return torch.cat(outputs, dim=2).transpose(1, 2)

    def _all_at_once(
        self, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module, chunk_tokens: int
    ) -> Tensor:
        num_tokens = q_BTHK.shape[1]
        q, k, v, visible_CTS = _chunks_with_keys(q_BTHK, k_BTHK, v_BTHK, self.window_tokens or 1, chunk_tokens)
        visible_CHTS = visible_CTS[:, None]
        q, k, v = (x.transpose(2, 3) for x in (q, k, v))
        outputs = _rows(q, k, v, visible_CHTS, normalizer, self._dropped).transpose(2, 3)
        return outputs.flatten(1, 2)[:, :num_tokens]

    def _dropped(self, weights: Tensor) -> Tensor:
        return functional.dropout(weights, self.dropout, self.training) if self.dropout else weights


class SDPAKernel(nn.Module):
    """torch's fused attention, for a softmax.

    A window is a mask over all scores; a narrow one over chunks of queries, each with the keys that it can see.
    """

    def __init__(self, *, window_tokens: int | None, dropout: float) -> None:
        super().__init__()
        self.window_tokens = window_tokens
        self.dropout = dropout

    def forward(self, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module) -> Tensor:
        q_BTHK = _with_factor(q_BTHK, normalizer, self.window_tokens)
        view = _FusedView(q_BTHK, k_BTHK, v_BTHK, self.window_tokens)
        dropout = self.dropout if self.training else 0.0
        y = functional.scaled_dot_product_attention(
            view.q, view.k, view.v, attn_mask=view.mask, dropout_p=dropout, is_causal=view.mask is None, scale=1.0
        )
        return view.back(y)


class _FusedView:
    """Queries, keys and values as torch's fused attention takes them, `[rows, H, T, K]`, and a mask where a window
    hides something: 0 for what is seen, -inf for what is not; None: all earlier positions.

    On a CPU they are fp32: its fused attention is slower in bf16, by more than two at heads of 16 (torch 2.13).
    """

    def __init__(self, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, window_tokens: int | None) -> None:
        self.dtype, self.num_tokens, self.num_texts = q_BTHK.dtype, q_BTHK.shape[1], q_BTHK.shape[0]
        window = None if window_tokens is None or window_tokens >= self.num_tokens else window_tokens
        self.chunk_tokens = window_chunk_tokens(self.num_tokens, window)
        self.mask: Tensor | None = None
        if q_BTHK.device.type == "cpu" and self.dtype == torch.bfloat16:
            q_BTHK, k_BTHK, v_BTHK = q_BTHK.float(), k_BTHK.float(), v_BTHK.float()
        if window is not None and self.chunk_tokens is None:
            positions_T = torch.arange(self.num_tokens, device=q_BTHK.device)
            self.mask = _added(causal_mask(positions_T, positions_T, window), q_BTHK.dtype)
        elif window is not None and self.chunk_tokens is not None:
            q, k, v, visible_CTS = _chunks_with_keys(q_BTHK, k_BTHK, v_BTHK, window, self.chunk_tokens)
            mask_C1TS = _added(visible_CTS, q.dtype)[:, None]
            self.mask = mask_C1TS.expand(self.num_texts, *mask_C1TS.shape).flatten(0, 1)
            q_BTHK, k_BTHK, v_BTHK = (x.flatten(0, 1) for x in (q, k, v))
        self.q, self.k, self.v = (x.transpose(1, 2) for x in (q_BTHK, k_BTHK, v_BTHK))

    def back(self, y: Tensor) -> Tensor:
        """y_BTHK of what the fused attention returned."""
        return self.in_order(y.transpose(1, 2)).to(self.dtype)

    def in_order(self, x: Tensor) -> Tensor:
        """`[rows, T, ...]` as `[B, T, ...]`."""
        if self.mask is None or self.chunk_tokens is None:
            return x
        return x.unflatten(0, (self.num_texts, -1)).flatten(1, 2)[:, : self.num_tokens]


def _added(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to scores: 0 where a key is seen, -inf where not. A query that sees nothing (behind the end of the
    text, in the last chunk) sees all, so that no row is 0 / 0; its answer is cut off.
    """
    sees_none = ~visible.any(dim=-1, keepdim=True)
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(~(visible | sees_none), -math.inf)


def _chunks_with_keys(
    q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, window_tokens: int, chunk_tokens: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries in chunks, keys and values of each chunk and of the window before it, and visible_CTS between them."""
    num_tokens, device = q_BTHK.shape[1], q_BTHK.device
    before_tokens = _keys_before(window_tokens, chunk_tokens)
    q, k, v = (_in_chunks(x, chunk_tokens) for x in (q_BTHK, k_BTHK, v_BTHK))
    k, v = (_with_keys_before(x, before_tokens) for x in (k, v))
    starts_C1 = torch.arange(0, num_tokens, chunk_tokens, device=device)[:, None]
    query_positions_CT = starts_C1 + torch.arange(chunk_tokens, device=device)
    key_positions_CS = starts_C1 + torch.arange(-before_tokens, chunk_tokens, device=device)
    return q, k, v, causal_mask(query_positions_CT, key_positions_CS, window_tokens)


class FlexKernel(nn.Module):
    """torch's flex attention: skips the blocks that a window hides, and returns the log-sum-exp that a SumGate needs.

    The mask of blocks is made per call; under torch.compile it is a constant of the graph.
    """

    def __init__(self, *, window_tokens: int | None, dropout: float) -> None:
        super().__init__()
        self.window_tokens = window_tokens

    def forward(self, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module) -> Tensor:
        num_tokens, device = q_BTHK.shape[1], q_BTHK.device
        window_tokens = self.window_tokens or num_tokens

        def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (query >= key) & (query - key < window_tokens)

        mask = create_block_mask(visible, None, None, num_tokens, num_tokens, device=device)
        if not isinstance(normalizer, SumGateModule):
            q_BTHK = _with_factor(q_BTHK, normalizer, self.window_tokens)
        q, k, v = (x.transpose(1, 2) for x in (q_BTHK, k_BTHK, v_BTHK))
        if not isinstance(normalizer, SumGateModule):
            return flex_attention(q, k, v, block_mask=mask, scale=1.0).transpose(1, 2)  # type: ignore[union-attr]
        y, aux = flex_attention(q, k, v, block_mask=mask, scale=1.0, return_aux=AuxRequest(lse=True))
        # Its backward pass subtracts the log-sum-exp's gradient from the sum that it takes off every score's gradient,
        # and scales between its own base of 2 and ours, so scores get their full gradient (read in torch 2.13).
        log_sum_exp_BHT = cast(Tensor, aux.lse)  # type: ignore[union-attr]
        gain_BHT = normalizer.gain(log_sum_exp_BHT, _num_visible(num_tokens, self.window_tokens, device))
        return _gated(y, gain_BHT).transpose(1, 2)


class FlashKernel(nn.Module):
    """torch's flash attention with a SumGate on its log-sum-exp, and the exact gradient through both.

    Works without a compiler and holds no scores: memory grows as T.
    """

    def __init__(self, *, window_tokens: int | None, dropout: float) -> None:
        super().__init__()
        self.window_tokens = window_tokens

    def forward(self, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module) -> Tensor:
        num_tokens, head_width = q_BTHK.shape[1], q_BTHK.shape[3]
        view = _FusedView(q_BTHK, k_BTHK, v_BTHK, self.window_tokens)
        q, k, v = view.q, view.k, view.v
        if q.device.type == "cuda" and head_width % _CUDA_HEAD_MULTIPLE:
            q, k, v = (functional.pad(x, (0, -head_width % _CUDA_HEAD_MULTIPLE)) for x in (q, k, v))
        y, log_sum_exp = cast(tuple[Tensor, Tensor], _FlashWithSum.apply(q, k, v, view.mask))
        log_sum_exp_BHT = view.in_order(log_sum_exp.transpose(1, 2)).transpose(1, 2)
        num_visible_T = _num_visible(num_tokens, self.window_tokens, q.device)
        gain_BHT = cast(SumGateModule, normalizer).gain(log_sum_exp_BHT, num_visible_T)
        return _gated(view.back(y)[..., :head_width].transpose(1, 2), gain_BHT).transpose(1, 2)


class _FlashWithSum(torch.autograd.Function):
    """Causal flash attention that returns (y, log-sum-exp), for an output `y * gain(log-sum-exp)`.

    torch returns the log-sum-exp without a gradient. The gradient of a score is

        dS_ts = w_ts (dy_t . v_s - dy_t . y_t + dLSE_t)

    and the fused backward pass reads its argument `y` only for the product dy_t . y_t. So it is given instead

        y'_t = y_t - dy_t dLSE_t / (dy_t . dy_t),   for which dy_t . y'_t = dy_t . y_t - dLSE_t.

    No tensor grows by a column of ones, which is the other way to the same gradient and slower. It needs dLSE = 0 where
    dy = 0, which holds when both come from one product: there dLSE_t = (d log gain / dLSE) dy_t . y_t, so that y' is at
    most that factor larger than y.
    """

    @staticmethod
    def forward(ctx: Any, q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        ctx.mask = mask
        if q_BHTK.device.type == "cuda":
            found = torch.ops.aten._scaled_dot_product_flash_attention(q_BHTK, k_BHTK, v_BHTK, 0.0, True, scale=1.0)
            y_BHTK, log_sum_exp_BHT, ctx.starts_q, ctx.starts_k, ctx.longest_q, ctx.longest_k = found[:6]
            ctx.save_for_backward(q_BHTK, k_BHTK, v_BHTK, y_BHTK, log_sum_exp_BHT, found[6], found[7])
        else:
            y_BHTK, log_sum_exp_BHT = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                q_BHTK, k_BHTK, v_BHTK, 0.0, mask is None, attn_mask=mask, scale=1.0
            )
            ctx.save_for_backward(q_BHTK, k_BHTK, v_BHTK, y_BHTK, log_sum_exp_BHT)
        return y_BHTK, log_sum_exp_BHT

    @staticmethod
    def backward(ctx: Any, dy_BHTK: Tensor, d_log_sum_exp_BHT: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # type: ignore[override]
        q, k, v, y, log_sum_exp_BHT, *random = ctx.saved_tensors
        shifted = _shifted(y, dy_BHTK, d_log_sum_exp_BHT)
        if q.device.type == "cuda":
            lengths = (ctx.starts_q, ctx.starts_k, ctx.longest_q, ctx.longest_k)
            gradients = torch.ops.aten._scaled_dot_product_flash_attention_backward(
                dy_BHTK, q, k, v, shifted, log_sum_exp_BHT, *lengths, 0.0, True, *random, scale=1.0
            )
        else:
            gradients = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                dy_BHTK, q, k, v, shifted, log_sum_exp_BHT, 0.0, ctx.mask is None, attn_mask=ctx.mask, scale=1.0
            )
        return (*gradients, None)


def _shifted(y_BHTK: Tensor, dy_BHTK: Tensor, d_log_sum_exp_BHT: Tensor) -> Tensor:
    """`y'` of `_FlashWithSum`. Rows of dy are brought to a largest number of 1 first: squares of small ones vanish."""
    dtype = torch.promote_types(y_BHTK.dtype, torch.float32)
    tiny = torch.finfo(dtype).tiny
    dy_BHTK = dy_BHTK.to(dtype)
    largest_BHT1 = dy_BHTK.abs().amax(dim=-1, keepdim=True).clamp(min=tiny)
    direction_BHTK = dy_BHTK / largest_BHT1
    square_BHT1 = direction_BHTK.square().sum(dim=-1, keepdim=True).clamp(min=tiny)
    step_BHT1 = d_log_sum_exp_BHT.to(dtype)[..., None] / largest_BHT1 / square_BHT1
    return (y_BHTK.to(dtype) - direction_BHTK * step_BHT1).to(y_BHTK.dtype)


KERNELS: Mapping[str, type[nn.Module]] = MappingProxyType(
    {"oracle": OracleKernel, "chunked": ChunkedKernel, "sdpa": SDPAKernel, "flex": FlexKernel, "flash": FlashKernel}
)
"""Every kernel by its recorded name."""


def kernel_serves(
    kernel: str, normalizer: Normalizer, *, window_tokens: int | None, context_tokens: int, dropout: float
) -> bool:
    """The table at the top of this file, for one attention."""
    if kernel in ("oracle", "chunked"):
        return isinstance(normalizer, RowNormalizer | ScoreFactor | SumGate)
    if kernel == "sdpa":
        return isinstance(normalizer, ScoreFactor)
    if kernel == "flash":
        return isinstance(normalizer, SumGate) and dropout == 0
    return kernel == "flex" and isinstance(normalizer, ScoreFactor | SumGate) and dropout == 0


@dataclass(frozen=True)
class Where:
    """Where attention runs, as far as the choice of its kernel depends on it.

    Args:
        device: "cpu", "cuda" or "mps".
        fused: whether torch's fused attention is the faster one there; a GPU has it anyway.
    """

    device: str = "cpu"
    fused: bool = False

    def kernels(self, *, hides: bool) -> tuple[str, ...]:
        """The kernels that are used there, the best first; `hides`: whether a window hides something."""
        if self.device == "cuda":
            return ("flex", "chunked") if hides else ("sdpa", "flex", "chunked")
        return ("sdpa", "flash", "chunked") if self.fused and self.device == "cpu" else ("chunked",)


ON_A_CPU = Where()
"""A CPU whose runs are not fused: where everything can be computed."""


def choose_kernel(
    normalizer: Normalizer, *, window_tokens: int | None, context_tokens: int, dropout: float, where: Where
) -> str:
    """The kernel for one attention: the first that serves it there."""
    hides = window_tokens is not None and window_tokens < context_tokens
    for kernel in where.kernels(hides=hides):
        if kernel_serves(
            kernel, normalizer, window_tokens=window_tokens, context_tokens=context_tokens, dropout=dropout
        ):
            return kernel
    raise SpecError("normalizer", f"no kernel serves {type(normalizer).__name__}")


def build_kernel(
    kernel: str, normalizer: Normalizer, *, window_tokens: int | None, context_tokens: int, dropout: float
) -> nn.Module:
    """The kernel of that name.

    Raises: SpecError for an unknown name, or for a kernel that does not serve this attention.
    """
    _check_known(kernel)
    if not kernel_serves(
        kernel, normalizer, window_tokens=window_tokens, context_tokens=context_tokens, dropout=dropout
    ):
        raise SpecError(
            "kernel",
            f"{kernel} does not serve {type(normalizer).__name__} with window {window_tokens} and dropout {dropout}",
            "",
            "choose chunked, which serves all",
        )
    return KERNELS[kernel](window_tokens=window_tokens, dropout=dropout)


def attend_last(
    q_BTHK: Tensor,
    k_BSHK: Tensor,
    v_BSHK: Tensor,
    normalizer: nn.Module,
    *,
    window_tokens: int | None,
    dropped: _Dropped = lambda weights: weights,
) -> Tensor:
    """The oracle: whole rows of scores for queries at the last T of S positions, in one piece."""
    positions_S = torch.arange(k_BSHK.shape[1], device=q_BTHK.device)
    visible_TS = causal_mask(positions_S[-q_BTHK.shape[1] :], positions_S, window_tokens)
    q, k, v = (x.transpose(1, 2) for x in (q_BTHK, k_BSHK, v_BSHK))
    return _rows(q, k, v, visible_TS, normalizer, dropped).transpose(1, 2)


def attend_behind(
    q_BTHK: Tensor,
    k_BSHK: Tensor,
    v_BSHK: Tensor,
    k_PHK: Tensor,
    v_PHK: Tensor,
    normalizer: nn.Module,
    *,
    window_tokens: int | None,
    dropped: _Dropped = lambda weights: weights,
) -> Tensor:
    """As `attend_last`, with P keys and values more that every query sees: they stand before the row of each.

    A chunk of queries at a time, each with the text's keys that it can see; so memory grows as T.
    """
    num_rows, num_queries = q_BTHK.shape[:2]
    num_before = k_BSHK.shape[1] - num_queries
    prefix = (x.to(v_BSHK.dtype).expand(num_rows, *x.shape) for x in (k_PHK, v_PHK))
    q, k, v, k_P, v_P = (x.transpose(1, 2) for x in (q_BTHK, k_BSHK, v_BSHK, *prefix))
    positions_S = torch.arange(k.shape[2], device=q.device)
    outputs = []
    for start in range(0, num_queries, _CHUNK_TOKENS):
        stop = min(start + _CHUNK_TOKENS, num_queries)
        first = 0 if window_tokens is None else max(0, num_before + start - window_tokens + 1)
        seen = slice(first, num_before + stop)
        visible_TS = causal_mask(positions_S[num_before + start : seen.stop], positions_S[seen], window_tokens)
        visible_TS = functional.pad(visible_TS, (k_P.shape[2], 0), value=True)
        keys, values = torch.cat((k_P, k[:, :, seen]), dim=2), torch.cat((v_P, v[:, :, seen]), dim=2)
        outputs.append(_rows(q[:, :, start:stop], keys, values, visible_TS, normalizer, dropped))
    return torch.cat(outputs, dim=2).transpose(1, 2)


def mean_visible_keys(context_tokens: int, window_tokens: int | None) -> float:
    """How many keys a query sees, averaged over the positions of a full context.

    >>> mean_visible_keys(4, None), mean_visible_keys(4, 2)
    (2.5, 1.75)
    """
    window = min(window_tokens or context_tokens, context_tokens)
    return window - window * (window - 1) / (2 * context_tokens)


class MixingFLOPs(NamedTuple):
    """Executed FLOPs of scores and of weighted values, per token.

    Args:
        forward: of the forward pass.
        backward: of the backward pass; a fused kernel computes its scores again there.
    """

    forward: float
    backward: float


def executed_mixing_flops_per_token(
    kernel: str, *, attention_width: int, context_tokens: int, window_tokens: int | None
) -> MixingFLOPs:
    """What a kernel really computes for a full context: masked scores of its shapes included.

    The useful ones count visible keys only. Exact for the kernels that hold whole rows; for the fused ones, scores in
    whole blocks of 128 by 128 that hold a visible pair, as flex attention cuts them; torch's own fused attention is
    given a window as a mask, and computes what is masked.

    Args:
        kernel: its recorded name.
        attention_width: heads times numbers per head.
        context_tokens: queries and keys.
        window_tokens: of the attention; None: all earlier positions.

    Raises: SpecError for an unknown kernel.

    >>> executed_mixing_flops_per_token("oracle", attention_width=8, context_tokens=256, window_tokens=None)
    MixingFLOPs(forward=8192.0, backward=16384.0)
    """
    _check_known(kernel)
    is_fused = kernel not in ("oracle", "chunked")
    hides = window_tokens is not None and window_tokens < context_tokens
    if kernel in ("sdpa", "flash") and hides:
        chunked = window_chunk_tokens(context_tokens, window_tokens) is not None
        num_scores = _num_scores_in_chunks(context_tokens, window_tokens) if chunked else context_tokens**2
    elif is_fused:
        num_scores = _num_scores_in_blocks(context_tokens, window_tokens)
    elif kernel == "chunked":
        num_scores = _num_scores_in_chunks(context_tokens, window_tokens)
    else:
        num_scores = context_tokens**2
    product = 2 * attention_width * num_scores / context_tokens
    # Two products forward, and two for each of them backward; a fused kernel's backward has the scores once more.
    return MixingFLOPs(forward=2 * product, backward=(5 if is_fused else 4) * product)


def _num_scores_in_blocks(num_tokens: int, window_tokens: int | None) -> int:
    window = window_tokens or num_tokens
    num_blocks = 0
    for first_query in range(0, num_tokens, _BLOCK_TOKENS):
        last_query = min(first_query + _BLOCK_TOKENS, num_tokens) - 1
        num_blocks += last_query // _BLOCK_TOKENS - max(0, first_query - window + 1) // _BLOCK_TOKENS + 1
    return num_blocks * _BLOCK_TOKENS**2


def _num_scores_in_chunks(num_tokens: int, window_tokens: int | None) -> int:
    chunk_tokens = window_chunk_tokens(num_tokens, window_tokens)
    if chunk_tokens is None:
        chunks = chunks_in_turn(num_tokens, window_tokens)
        return sum((stop - start) * (stop - first) for first, start, stop in chunks)
    num_chunks = -(-num_tokens // chunk_tokens)
    return num_chunks * chunk_tokens * (chunk_tokens + _keys_before(window_tokens or 1, chunk_tokens))


def chunks_in_turn(num_tokens: int, window_tokens: int | None) -> list[tuple[int, int, int]]:
    """(first key, first query, one past the last of both) of each chunk that is computed by itself.

    >>> chunks_in_turn(300, 100)
    [(0, 0, 128), (29, 128, 256), (157, 256, 300)]
    """
    before_tokens = num_tokens if window_tokens is None else window_tokens - 1
    return [
        (max(0, start - before_tokens), start, min(start + _CHUNK_TOKENS, num_tokens))
        for start in range(0, num_tokens, _CHUNK_TOKENS)
    ]


def window_chunk_tokens(num_tokens: int, window_tokens: int | None) -> int | None:
    """Queries per chunk when all chunks go at once, or None where taking chunks in turn computes fewer scores.

    >>> window_chunk_tokens(256, 4), window_chunk_tokens(256, 32), window_chunk_tokens(256, 200)
    (32, 32, None)
    """
    if window_tokens is None or num_tokens <= _SMALLEST_WINDOW_CHUNK_TOKENS:
        return None
    chunk_tokens = max(_SMALLEST_WINDOW_CHUNK_TOKENS, window_tokens - window_tokens % -16)
    num_chunks = -(-num_tokens // chunk_tokens)
    at_once = num_chunks * chunk_tokens * (chunk_tokens + _keys_before(window_tokens, chunk_tokens))
    in_turn = sum((stop - start) * (stop - first) for first, start, stop in chunks_in_turn(num_tokens, window_tokens))
    return chunk_tokens if at_once < in_turn else None


def _check_known(kernel: str) -> None:
    if kernel not in KERNELS:
        raise SpecError("kernel", f"unknown kernel {kernel!r}", nearest(kernel, KERNELS))


def _num_visible(num_tokens: int, window_tokens: int | None, device: torch.device) -> Tensor:
    """num_visible_T of a whole sequence."""
    num_visible_T = torch.arange(1, num_tokens + 1, device=device)
    return num_visible_T if window_tokens is None else num_visible_T.clamp(max=window_tokens)


def _with_factor(q_BTHK: Tensor, normalizer: nn.Module, window_tokens: int | None) -> Tensor:
    """Queries times what a ScoreFactor multiplies their scores with."""
    num_visible_T = _num_visible(q_BTHK.shape[1], window_tokens, q_BTHK.device)
    factor = cast(ScoreFactorModule, normalizer).factor(num_visible_T)
    if isinstance(factor, Tensor):
        return (q_BTHK * factor.transpose(-1, -2)[..., None]).to(q_BTHK.dtype)
    return q_BTHK if factor == 1.0 else q_BTHK * factor


def _gated(y: Tensor, gain: Tensor) -> Tensor:
    """The output of a fused kernel times its gain, multiplied in the gain's precision and rounded once."""
    return (y * gain[..., None]).to(y.dtype)


def _keys_before(window_tokens: int, chunk_tokens: int) -> int:
    """How many keys before a chunk it looks at: its window, rounded up to whole vector registers."""
    needed = window_tokens - 1
    return min(chunk_tokens, needed - needed % -16)


def _in_chunks(x_BTHK: Tensor, chunk_tokens: int) -> Tensor:
    """`[B, C, chunk, H, K]`, with zeros after the end where the last chunk is not full."""
    missing = -x_BTHK.shape[1] % chunk_tokens
    if missing:
        x_BTHK = functional.pad(x_BTHK, (0, 0, 0, 0, 0, missing))
    return x_BTHK.unflatten(1, (-1, chunk_tokens))


def _with_keys_before(x_BCTHK: Tensor, before_tokens: int) -> Tensor:
    """Each chunk with the last keys of the one before it in front; zeros before the first."""
    if before_tokens == 0:
        return x_BCTHK
    tails = functional.pad(x_BCTHK[:, :-1, -before_tokens:], (0, 0, 0, 0, 0, 0, 1, 0))
    return torch.cat((tails, x_BCTHK), dim=2)


def _rows(q: Tensor, k: Tensor, v: Tensor, visible: Tensor, normalizer: nn.Module, dropped: _Dropped) -> Tensor:
    """Attention over whole rows of scores: `[..., H, T, K]` and `[..., H, S, K]` to `[..., H, T, K]`.

    Weights are computed in fp32 (or better) and rounded once, because the sum of a row of bf16 exponentials is not
    accurate enough to add up to 1.
    """
    scores = q @ k.transpose(-1, -2)
    weights = normalizer(scores.to(torch.promote_types(scores.dtype, torch.float32)), visible)
    return dropped(weights.to(v.dtype)) @ v
