"""What came before the positions that a pass computes: nothing in training, keys and values when a text is continued.

An element that mixes positions asks `stream.past`, and knows nothing of caches:

    attention       y = past.attend(kernel, q, k, v, normalizer)
    a shifted state before_B1D = past.before(x_BTD)
    positions       past.first_position

`WHOLE` answers for a text that begins at position 0, at no cost; `TextSoFar` for one that goes on, and keeps what it
needs by the place of the visit in the path, so that a block that is visited three times has three pasts.

Not for: the root. It is a lookup, so it runs over the whole text again and `rest` cuts off what was seen.
"""

import copy
from abc import ABC, abstractmethod

from torch import Tensor, cat, nn

from vslm.models.parts.kernels import attend_last


class Past(ABC):
    """Interface: what an element may ask about earlier positions."""

    first_position: int
    """Position of the first of the vectors that this pass computes; below 0 for what stands before every text."""

    @abstractmethod
    def at(self, place: int | str) -> "Past":
        """The past of one visit, or of a named part of it where an element mixes positions more than once."""

    @abstractmethod
    def rest(self, x_BTD: Tensor) -> Tensor:
        """The positions that were not seen before, of a tensor that holds the whole text."""

    @abstractmethod
    def attend(
        self, kernel: nn.Module, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module
    ) -> Tensor:
        """Attention's output for these positions, over them and everything before."""

    @abstractmethod
    def continued(self, k_BTHK: Tensor, v_BTHK: Tensor, window_tokens: int | None) -> tuple[Tensor, Tensor]:
        """Keys and values of these positions behind those that were seen before; what a later one can see is kept."""

    @abstractmethod
    def before(self, x_BTD: Tensor) -> Tensor:
        """The vector just before the first of `x_BTD`, as `[B, 1, D]`; zero where the text begins."""


class WholeText(Past):
    """Nothing came before."""

    first_position = 0

    def at(self, place: int | str) -> Past:
        """Itself: nothing is kept, so all places are alike."""
        return self

    def rest(self, x_BTD: Tensor) -> Tensor:
        """All of it."""
        return x_BTD

    def attend(
        self, kernel: nn.Module, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module
    ) -> Tensor:
        """What the kernel gives."""
        return kernel(q_BTHK, k_BTHK, v_BTHK, normalizer)

    def continued(self, k_BTHK: Tensor, v_BTHK: Tensor, window_tokens: int | None) -> tuple[Tensor, Tensor]:
        """These alone."""
        return k_BTHK, v_BTHK

    def before(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.new_zeros(x_BTD.shape[0], 1, x_BTD.shape[2])


WHOLE = WholeText()
"""The past of a text that begins at position 0; holds nothing."""


class TextSoFar(Past):
    """Keys, values and states of the positions that were seen, for one text that is continued.

    A window keeps only the keys that a later query can see. Positions never move, so this serves up to the context.

    Cost: 2 * width numbers per visit and position; each new position computes one row of scores per visit.
    """

    def __init__(self) -> None:
        self.first_position = 0
        self._kept: dict[tuple[int | str, ...], tuple[Tensor, ...]] = {}
        self._place: tuple[int | str, ...] = ()

    def at(self, place: int | str) -> Past:
        """A view of the same memory that writes and reads under its place."""
        there = copy.copy(self)
        there._place = (*self._place, place)
        return there

    def go_on(self, num_tokens: int) -> None:
        """All visits of a pass are done: the next pass begins after the first `num_tokens` positions of the text."""
        self.first_position = num_tokens

    def rest(self, x_BTD: Tensor) -> Tensor:
        """From `first_position` on."""
        return x_BTD[:, self.first_position :]

    def attend(
        self, kernel: nn.Module, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module
    ) -> Tensor:
        """The kernel's answer for the first positions of a text; the oracle's last rows for those that follow."""
        window_tokens: int | None = kernel.window_tokens  # type: ignore[assignment]
        is_first = self._place not in self._kept
        k_BSHK, v_BSHK = self.continued(k_BTHK, v_BTHK, window_tokens)
        if is_first:
            return kernel(q_BTHK, k_BTHK, v_BTHK, normalizer)
        return attend_last(q_BTHK, k_BSHK, v_BSHK, normalizer, window_tokens=window_tokens)

    def continued(self, k_BTHK: Tensor, v_BTHK: Tensor, window_tokens: int | None) -> tuple[Tensor, Tensor]:
        """With those that are kept; of a window, those that a query of the next position can see are kept."""
        if self._place in self._kept:
            k_BSHK, v_BSHK = self._kept[self._place]
            k_BTHK, v_BTHK = cat((k_BSHK, k_BTHK), dim=1), cat((v_BSHK, v_BTHK), dim=1)
        first = 0 if window_tokens is None else max(0, k_BTHK.shape[1] - (window_tokens - 1))
        self._kept[self._place] = (k_BTHK[:, first:], v_BTHK[:, first:])
        return k_BTHK, v_BTHK

    def before(self, x_BTD: Tensor) -> Tensor:
        """The last vector of the pass before."""
        (before_B1D,) = self._kept.get(self._place, (WHOLE.before(x_BTD),))
        self._kept[self._place] = (x_BTD[:, -1:],)
        return before_B1D
