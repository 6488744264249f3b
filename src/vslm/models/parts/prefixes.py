"""Keys and values that stand before every text: what attention sees beside the text's own.

    model.prefixes.append(prefix)         from now on every position of every text sees them

A position sees all of a prefix, whatever the window of its attention; the text's own positions begin at 0 as they do
without. Keys stand as attention compares them, after norms and positions.

Who knows which are whose: a pass asks each prefix for the visit that it is at, by the name of its element and how often
the pass was there before (`VisitName`), and by the part of it where an element has two attentions.

Not for: what was before a text in the text itself; that is `past.py`.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from torch import Tensor, cat, nn
from torch.nn import functional

from vslm.models.parts.kernels import attend_behind
from vslm.models.parts.past import Past

VisitName = tuple[str | int, ...]
"""Where a visit goes, how often the pass was there before, and a part of it: `("blocks.core", 2)`."""


class Prefix(Protocol):
    """Keys and values for every visit that has some."""

    def keys_and_values(self, visit: VisitName) -> tuple[Tensor, Tensor] | None:
        """(k_PHK, v_PHK) at a visit; None: none there."""
        ...


def names_of(wheres: Iterable[str]) -> list[VisitName]:
    """The name of every visit of a pass.

    >>> names_of(["blocks.in", "blocks.core", "blocks.core"])
    [('blocks.in', 0), ('blocks.core', 0), ('blocks.core', 1)]
    """
    seen: Counter[str] = Counter()
    names: list[VisitName] = []
    for where in wheres:
        names.append((where, seen[where]))
        seen[where] += 1
    return names


class Behind(Past):
    """A past with prefixes before it.

    Args:
        past: of the text itself.
        prefixes: whose keys and values are seen, side by side.
        visits: the name of each visit, by its place in the path.
    """

    def __init__(self, past: Past, prefixes: Sequence[Prefix], visits: Sequence[VisitName]) -> None:
        self.first_position = past.first_position
        self._past, self._prefixes, self._visits = past, prefixes, visits
        self._visit: VisitName = ()

    def at(self, place: int | str) -> Past:
        there = copy.copy(self)
        there._past = self._past.at(place)
        there._visit = self._visits[place] if isinstance(place, int) else (*self._visit, place)
        return there

    def _found(self) -> list[tuple[Tensor, Tensor]]:
        """Keys and values at this visit, of every prefix that has some."""
        found = []
        for prefix in self._prefixes:
            pair = prefix.keys_and_values(self._visit)
            if pair is not None:
                found.append(pair)
        return found

    def rest(self, x_BTD: Tensor) -> Tensor:
        return self._past.rest(x_BTD)

    def continued(self, k_BTHK: Tensor, v_BTHK: Tensor, window_tokens: int | None) -> tuple[Tensor, Tensor]:
        return self._past.continued(k_BTHK, v_BTHK, window_tokens)

    def before(self, x_BTD: Tensor) -> Tensor:
        return self._past.before(x_BTD)

    def attend(
        self, kernel: nn.Module, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module
    ) -> Tensor:
        """Whole rows over prefixes, what was kept and the text; the kernel's where no prefix has keys here."""
        found = self._found()
        if not found:
            return self._past.attend(kernel, q_BTHK, k_BTHK, v_BTHK, normalizer)
        window_tokens: int | None = kernel.window_tokens  # type: ignore[assignment]
        dropout = float(getattr(kernel, "dropout", 0.0))

        def dropped(weights: Tensor) -> Tensor:
            return functional.dropout(weights, dropout, kernel.training) if dropout else weights

        k_BSHK, v_BSHK = self._past.continued(k_BTHK, v_BTHK, window_tokens)
        return attend_behind(
            q_BTHK,
            k_BSHK,
            v_BSHK,
            cat([k_PHK for k_PHK, _ in found]),
            cat([v_PHK for _, v_PHK in found]),
            normalizer,
            window_tokens=window_tokens,
            dropped=dropped,
        )
