"""What measures of attention weights share: their names, how many fit at a time, rows by visit and head."""

from collections.abc import Mapping

import numpy as np

from vslm.core.errors import SpecError
from vslm.measure.names import matches
from vslm.measure.watch import watchable
from vslm.models.language_model import LanguageModel

# The attention of a block, and of a block that works on the token memory or on two streams. Two streams call it twice
# in a visit, the prediction stream last, so its weights are the ones that are seen.
_WEIGHTS = ("path.*.attention.weights", "path.*.block.attention.weights")
_MOST_WEIGHTS = 2**23  # numbers of one visit's weights at a time: 32 MB
_USUAL_HEADS = 8


def weights_patterns(model: LanguageModel, measure: str) -> list[str]:
    """The patterns for `watch` that name the attention weights of every visit.

    Raises: SpecError, naming `measure`, for a model without attention in its path.
    """
    names = watchable(model)
    found = [pattern for pattern in _WEIGHTS if any(matches(pattern, name) for name in names)]
    if not found:
        raise SpecError("measures", f"{measure} for a model without attention", "", "leave it out")
    return found


def place_of(name: str) -> int:
    """The visit that a watched name is about.

    >>> place_of("path.3.attention.weights")
    3
    """
    return int(name.split(".")[1])


def windows_of_weights(num_tokens: int) -> int:
    """How many windows to take at a time, so that the weights of one visit stay small."""
    return max(1, _MOST_WEIGHTS // (_USUAL_HEADS * num_tokens**2))


def by_visit_and_head(found: Mapping[int, np.ndarray], num_visits: int) -> np.ndarray:
    """Rows of heads by visit, as one array [L, H]: NaN for a visit without attention, and beyond a visit's own heads.

    >>> by_visit_and_head({1: np.array([0.5, 0.25]), 2: np.array([1.0])}, 3).tolist()
    [[nan, nan], [0.5, 0.25], [1.0, nan]]
    """
    num_heads = max(len(values_H) for values_H in found.values())
    values_LH = np.full((max(num_visits, 1 + max(found)), num_heads), np.nan)
    for place, values_H in found.items():
        values_LH[place, : len(values_H)] = values_H
    return values_LH
