"""Short convolutions in front of the blocks of a model."""

import dataclasses
from collections.abc import Sequence

from vslm.core.frozen import FrozenDict
from vslm.models.elements.blocks import Block
from vslm.models.elements.short_convolution import ShortConvolution
from vslm.models.language_model import Model
from vslm.models.path.repeats import PerLoop, Repeat
from vslm.models.path.shares import Shares
from vslm.models.path.stack import PathItem

Item = PathItem | PerLoop


def convolved(model: Model, *, window_tokens: int = 4) -> Model:
    """The model with a `ShortConvolution` before every visit of a block, one for each block of the bank.

    A block that is visited several times, in a loop too, comes with the same convolution each time; one that shares
    another's weights has a convolution of its own. What stands in the path without a name, such as a `PerLoop`,
    gets none.

    >>> from vslm.models.layouts.plain import uniform
    >>> convolved(uniform(depth=2, width=8, heads=2, context_tokens=16)).path
    ('0_convolution', '0', '1_convolution', '1')

    Raises: SpecError for a window below 2.
    """
    convolution = ShortConvolution(window_tokens=window_tokens)
    names = {name: f"{name}_convolution" for name, entry in model.blocks.items() if isinstance(entry, Block | Shares)}

    def before_each(items: Sequence[Item]) -> tuple:
        found: list[Item] = []
        for item in items:
            if isinstance(item, Repeat):
                item = dataclasses.replace(item, body=before_each(item.body))
            found += [names[item], item] if isinstance(item, str) and item in names else [item]
        return tuple(found)

    blocks = FrozenDict({**model.blocks, **dict.fromkeys(names.values(), convolution)})
    changed = dataclasses.replace(model, blocks=blocks, path=before_each(model.path))
    changed.validate()
    return changed
