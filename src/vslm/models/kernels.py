"""How attention is computed: kernels that give the same answer at different cost.

A kernel is chosen once, when a model is built for a device, and its name is recorded with the run. The plain one, the
oracle, defines the answer; a test holds every other equal to it, forward and backward.

    kernel    serves                                      where
    oracle    every normalizer, every window, dropout     anywhere; memory grows as T * T
    chunked   every normalizer, every window, dropout     anywhere; the CPU's default; a short window is cheaper in time
    sdpa      Softmax, all earlier positions, dropout     CUDA's default there
    flex      Softmax and SumGate, every window           CUDA's default for windows and gates; no backward on a CPU

On a CPU torch's own fused attention is slow in its backward pass (three times the chunked kernel at 256 tokens on an
AVX-512 machine with torch 2.13), which is why a CPU never gets it.

Every kernel maps (q_BTHK, k_BTHK, v_BTHK, normalizer) to y_BTHK. Queries come scaled: a score is a plain dot product.
A query sees the last `window_tokens` positions up to and with its own; None is all of them.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import AuxRequest, create_block_mask, flex_attention

from vslm.core.errors import SpecError, nearest
from vslm.models.normalizers import Normalizer, RowNormalizer, Softmax, SumGate, SumGateModule

# 128 queries at a time was the fastest of 32, 64, 128 and 256 at 256 to 1024 tokens on an AVX-512 CPU in bf16.
_CHUNK_TOKENS = 128
_Dropped = Callable[[Tensor], Tensor]
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
        """Attention's output."""
        positions_T = torch.arange(q_BTHK.shape[1], device=q_BTHK.device)
        visible_TS = causal_mask(positions_T, positions_T, self.window_tokens)
        q, k, v = (x.transpose(1, 2) for x in (q_BTHK, k_BTHK, v_BTHK))
        return _rows(q, k, v, visible_TS, normalizer, self._dropped).transpose(1, 2)

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
        """Attention's output."""
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
        before_tokens = _keys_before(self.window_tokens or 1, chunk_tokens)
        q, k, v = (_in_chunks(x, chunk_tokens) for x in (q_BTHK, k_BTHK, v_BTHK))
        k, v = (_with_keys_before(x, before_tokens) for x in (k, v))
        starts_C1 = torch.arange(0, num_tokens, chunk_tokens, device=q.device)[:, None]
        query_positions_CT = starts_C1 + torch.arange(chunk_tokens, device=q.device)
        key_positions_CS = starts_C1 + torch.arange(-before_tokens, chunk_tokens, device=q.device)
        visible_CHTS = causal_mask(query_positions_CT, key_positions_CS, self.window_tokens)[:, None]
        q, k, v = (x.transpose(2, 3) for x in (q, k, v))
        outputs = _rows(q, k, v, visible_CHTS, normalizer, self._dropped).transpose(2, 3)
        return outputs.flatten(1, 2)[:, :num_tokens]

    def _dropped(self, weights: Tensor) -> Tensor:
        return functional.dropout(weights, self.dropout, self.training) if self.dropout else weights


class SDPAKernel(nn.Module):
    """torch's fused attention, for softmax over all earlier positions."""

    def __init__(self, *, window_tokens: int | None, dropout: float) -> None:
        super().__init__()
        self.window_tokens = window_tokens
        self.dropout = dropout

    def forward(self, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module) -> Tensor:
        """Attention's output."""
        q, k, v = (x.transpose(1, 2) for x in (q_BTHK, k_BTHK, v_BTHK))
        y = functional.scaled_dot_product_attention(
            q,
            k,
            v,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=True,
            scale=1.0 / float(normalizer.temperature),  # type: ignore[arg-type]
        )
        return y.transpose(1, 2)


class FlexKernel(nn.Module):
    """torch's flex attention: skips the blocks that a window hides, and returns the log-sum-exp that a SumGate needs.

    The mask of blocks is made per call; under torch.compile it is a constant of the graph.
    """

    def __init__(self, *, window_tokens: int | None, dropout: float) -> None:
        super().__init__()
        self.window_tokens = window_tokens

    def forward(self, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module) -> Tensor:
        """Attention's output."""
        num_tokens, device = q_BTHK.shape[1], q_BTHK.device
        window_tokens = self.window_tokens or num_tokens

        def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (query >= key) & (query - key < window_tokens)

        mask = create_block_mask(visible, None, None, num_tokens, num_tokens, device=device)
        q, k, v = (x.transpose(1, 2) for x in (q_BTHK, k_BTHK, v_BTHK))
        if not isinstance(normalizer, SumGateModule):
            scale = 1.0 / float(normalizer.temperature)  # type: ignore[arg-type]
            return flex_attention(q, k, v, block_mask=mask, scale=scale).transpose(1, 2)  # type: ignore[union-attr]
        y, aux = flex_attention(q, k, v, block_mask=mask, scale=1.0, return_aux=AuxRequest(lse=True))
        log_sum_exp_BHT = cast(Tensor, aux.lse)  # type: ignore[union-attr]
        num_visible_T = torch.arange(1, num_tokens + 1, device=device).clamp(max=window_tokens)
        return (y * normalizer.gain(log_sum_exp_BHT, num_visible_T)[..., None].to(y.dtype)).transpose(1, 2)


KERNELS: Mapping[str, type[nn.Module]] = MappingProxyType(
    {"oracle": OracleKernel, "chunked": ChunkedKernel, "sdpa": SDPAKernel, "flex": FlexKernel}
)
"""Every kernel by its recorded name."""


def kernel_serves(
    kernel: str, normalizer: Normalizer, *, window_tokens: int | None, context_tokens: int, dropout: float
) -> bool:
    """The table at the top of this file, for one attention."""
    is_full = window_tokens is None or window_tokens >= context_tokens
    if kernel in ("oracle", "chunked"):
        return isinstance(normalizer, RowNormalizer | SumGate)
    if kernel == "sdpa":
        return isinstance(normalizer, Softmax) and is_full
    return kernel == "flex" and isinstance(normalizer, Softmax | SumGate) and dropout == 0


def choose_kernel(
    normalizer: Normalizer, *, window_tokens: int | None, context_tokens: int, dropout: float, device_type: str
) -> str:
    """The kernel for one attention on one type of device ("cpu", "cuda"): the first in order that serves it."""
    order = ("sdpa", "flex", "chunked") if device_type == "cuda" else ("chunked",)
    for kernel in order:
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
    if kernel not in KERNELS:
        raise SpecError("kernel", f"unknown kernel {kernel!r}", nearest(kernel, KERNELS))
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


def mean_visible_keys(context_tokens: int, window_tokens: int | None) -> float:
    """How many keys a query sees, averaged over the positions of a full context.

    >>> mean_visible_keys(4, None), mean_visible_keys(4, 2)
    (2.5, 1.75)
    """
    window = min(window_tokens or context_tokens, context_tokens)
    return window - window * (window - 1) / (2 * context_tokens)


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
