"""A short convolution over the last few positions: what a token's neighbors were is in its stream before attention."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from vslm.core.bounds import Context
from vslm.core.errors import SpecError
from vslm.models.elements.element import PathElement, Reach, Surroundings
from vslm.models.initialization import Init
from vslm.models.parts.stream import Stream


@dataclass(frozen=True, kw_only=True)
class ShortConvolution(PathElement):
    """A causal depthwise convolution of the stream, added to it; positions before the text are zero.

        x_t <- x_t + sum_i w_i * x_(t-i),   i = 0 ... window_tokens - 1,   w_i a vector, * by coordinate

    Attention that looks for "what followed this name" has to learn two things, one after the other: to carry the name
    to what follows it, and to match it. With the first one given, matching is learned from fewer tokens.
    Paper: Physics of Language Models: Part 4.1, Allen-Zhu, 2025, https://arxiv.org/abs/2512.17351 (Canon layers; there
    inside of the residual branch, behind its norm); the same in front of attention for associative recall: Zoology,
    Arora et al., 2023, https://arxiv.org/abs/2312.04927.
    At the start: uniform within 1 / sqrt(window_tokens), as torch's own convolutions.
    Cost: window_tokens * width parameters.

    Args:
        window_tokens: how many positions are seen, the own included: 2 or more.
    """

    window_tokens: Context = 4

    def check(self) -> None:
        """Refuse a window that sees no other position."""
        if self.window_tokens < 2:
            raise SpecError("window_tokens", f"found {self.window_tokens}", "2 or more are needed")

    def reach(self, before: Reach, around: Surroundings) -> Reach:
        """A window further than the stream that arrives, if that sees a token."""
        return before._replace(stream=before.stream + self.window_tokens - 1 if before.stream else 0)

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        """The module."""
        most = 1 / math.sqrt(self.window_tokens)
        names = [init.child(f"weights.{back}") for back in range(self.window_tokens)]
        return ShortConvolutionModule([name.uniform((around.width,), -most, most) for name in names])


class ShortConvolutionModule(nn.Module):
    """See `ShortConvolution`."""

    def __init__(self, weights_D: Sequence[Tensor]) -> None:
        super().__init__()
        # One vector for each position back, and no matrix: it mixes no coordinates, so Muon has nothing to do with it.
        self.weights = nn.ParameterList([nn.Parameter(weight_D) for weight_D in weights_D])

    def forward(self, stream: Stream) -> Stream:
        """The stream with its neighborhood added."""
        x_BTD = stream.x_BTD
        window_tokens, num_tokens = len(self.weights), x_BTD.shape[1]
        # The past keeps what a window sees, of keys and values alike; there is one head of the whole width here.
        seen_BSD = stream.past.continued(x_BTD[:, :, None], x_BTD[:, :, None], window_tokens)[0][:, :, 0]
        padded_BSD = functional.pad(seen_BSD, (0, 0, window_tokens - 1, 0))
        last = padded_BSD.shape[1]
        y_BTD = x_BTD
        for back, weight_D in enumerate(self.weights):
            y_BTD = y_BTD + padded_BSD[:, last - back - num_tokens : last - back] * weight_D
        return stream._replace(x_BTD=y_BTD)
