"""Attention in five slots: query, key, value, scores -> weights, weights and values -> output.

Each slot is a named part with its own parameters (`attention.query.weight`, ...), so that an adapter, a shared part or
an initial value can be given to one of them. The fourth slot is the normalizer; how it is computed is the kernel's
matter.
"""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from vslm.core.bounds import Context, Heads, Real, Width
from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.models.initialization import Init
from vslm.models.parts.gates import Gate, NoGateModule
from vslm.models.parts.kernels import Where, build_kernel, choose_kernel
from vslm.models.parts.normalizers import Normalizer, Softmax
from vslm.models.parts.norms import Norm
from vslm.models.parts.past import WHOLE, Past
from vslm.models.parts.positions import Positions, Rotary
from vslm.models.parts.projections import linear
from vslm.models.parts.scales import WeightScale

_MOST_TRIED = 10_000  # divisors, for a message


@dataclass(frozen=True, kw_only=True)
class Attention(Spec):
    """Causal attention of several heads, over all earlier positions or a window of them.

        s_ts = q_t . k_s / sqrt(K),   w_t = normalizer(s_t over visible s),   y_t = W_o gate(sum_s w_ts v_s)

    Paper: Attention Is All You Need, Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.2.
    Cost: 4 * width ** 2 weights where heads * head_width is the width.

    Args:
        heads: how many; must divide the width unless `head_width` is given.
        head_width: numbers per head; None: width / heads.
        window_tokens: how many positions a query sees, its own included; None: all earlier ones.
        positions: what is done to queries and keys.
        normalizer: scores -> weights.
        qk_norm: a norm over each head's queries and keys, before positions; None: none. Keeps scores from growing
            (Query-Key Normalization for Transformers, Henry et al., 2020, https://arxiv.org/abs/2010.04245).
        gate: what is done to the sum of values before the output projection; None: nothing.
        bias: whether the four projections have one.
        dropout: probability that a weight is dropped in training.
    """

    heads: Heads
    head_width: Width | None = None
    window_tokens: Context | None = None
    positions: Positions = Rotary()
    normalizer: Normalizer = Softmax()
    qk_norm: Norm | None = None
    gate: Gate | None = None
    bias: bool = False
    dropout: Real = 0.0

    def check(self) -> None:
        """Refuse numbers below 1 and a dropout that leaves nothing."""
        for name in ("heads", "head_width", "window_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SpecError(name, f"found {value}", "1 or more is needed")
        if not 0 <= self.dropout < 1:
            raise SpecError("dropout", f"found {self.dropout}", "at least 0 and below 1 is needed")

    def width_per_head(self, width: int) -> int:
        """Numbers per head at this width of the stream.

        Raises: SpecError at `heads` if they do not divide it, at `positions` if those cannot serve the head width.
        """
        if self.head_width is None and width % self.heads:
            near = _nearest_divisors(width, self.heads)
            raise SpecError(
                "heads",
                f"{self.heads} heads do not divide width {width}",
                f"{' or '.join(map(str, near))} would",
                "or give head_width",
            )
        head_width = self.head_width or width // self.heads
        self.positions.check_head_width(head_width)
        return head_width

    def kernel(self, *, context_tokens: int, where: Where) -> str:
        """The name of the kernel that this attention gets there."""
        return choose_kernel(
            self.normalizer,
            window_tokens=self.window_tokens,
            context_tokens=context_tokens,
            dropout=self.dropout,
            where=where,
        )

    def build(
        self,
        *,
        width: int,
        memory_width: int,
        context_tokens: int,
        scale: WeightScale,
        output_factor: float,
        kernel: str,
        init: Init,
    ) -> nn.Module:
        """The module.

        Args:
            width: of the stream, which queries read and the output is added to.
            memory_width: of what keys and values read; the same width for attention to the stream itself.
            context_tokens: the longest sequence.
            scale: of the initial weights.
            output_factor: multiplies the initial output projection; `1 / sqrt(number of additions to the stream)`.
            kernel: name of the kernel, from `kernel(...)`.
            init: where initial values come from.
        """
        head_width = self.width_per_head(width)
        inner = self.heads * head_width

        def projection(name: str, width_in: int, width_out: int, factor: float = 1.0) -> nn.Linear:
            std = scale.std(width_in) * factor
            return linear(width_in, width_out, bias=self.bias, std=std, init=init.child(name))

        return AttentionModule(
            heads=self.heads,
            query=projection("query", width, inner),
            key=projection("key", memory_width, inner),
            value=projection("value", memory_width, inner),
            output=projection("output", inner, width, output_factor),
            query_norm=self.qk_norm.build(width=head_width) if self.qk_norm else nn.Identity(),
            key_norm=self.qk_norm.build(width=head_width) if self.qk_norm else nn.Identity(),
            positions=self.positions.build(head_width=head_width, context_tokens=context_tokens),
            normalizer=self.normalizer.build(heads=self.heads, init=init.child("normalizer")),
            kernel=build_kernel(
                kernel,
                self.normalizer,
                window_tokens=self.window_tokens,
                context_tokens=context_tokens,
                dropout=self.dropout,
            ),
            gate=self.gate.build(width=width, heads=self.heads, scale=scale, init=init.child("gate"))
            if self.gate
            else NoGateModule(),
        )


def _nearest_divisors(width: int, heads: int) -> list[int]:
    """The divisors of `width` on both sides of `heads`, for a message.

    >>> _nearest_divisors(128, 5), _nearest_divisors(7, 9)
    ([4, 8], [7])
    """
    small = [n for n in range(1, min(math.isqrt(width), _MOST_TRIED) + 1) if width % n == 0]
    divisors = {*small, *(width // n for n in small)}
    below, above = [n for n in divisors if n < heads], [n for n in divisors if n > heads]
    return [*([max(below)] if below else []), *([min(above)] if above else [])]


class AttentionModule(nn.Module):
    """See `Attention`."""

    def __init__(
        self,
        *,
        heads: int,
        query: nn.Module,
        key: nn.Module,
        value: nn.Module,
        output: nn.Module,
        query_norm: nn.Module,
        key_norm: nn.Module,
        positions: nn.Module,
        normalizer: nn.Module,
        kernel: nn.Module,
        gate: nn.Module,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = query, key, value, output
        self.query_norm, self.key_norm = query_norm, key_norm
        self.positions, self.normalizer, self.kernel = positions, normalizer, kernel
        self.gate = gate

    def forward(self, x_BTD: Tensor, memory_BTE: Tensor, past: Past = WHOLE) -> Tensor:
        """What to add to the stream.

        Args:
            x_BTD: what queries and the gate read.
            memory_BTE: what keys and values read, at the same positions; the same tensor for the plain case.
            past: what came before these positions.
        """
        q_BTHK, k_BTHK, v_BTHK = (
            x.unflatten(-1, (self.heads, -1)) for x in (self.query(x_BTD), self.key(memory_BTE), self.value(memory_BTE))
        )
        q_BTHK, k_BTHK = self.positions(self.query_norm(q_BTHK), self.key_norm(k_BTHK), past.first_position)
        q_BTHK = q_BTHK / math.sqrt(q_BTHK.shape[-1])
        q_BTHK, k_BTHK = q_BTHK.to(v_BTHK.dtype), k_BTHK.to(v_BTHK.dtype)
        y_BTHK = past.attend(self.kernel, q_BTHK, k_BTHK, v_BTHK, self.normalizer)
        return self.output(self.gate(y_BTHK, x_BTD).flatten(-2))
