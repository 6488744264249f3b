"""How large a number of a spec may be, declared with its type: `width: Width`.

A number without a bound plans for hours, takes all memory or overflows somewhere deep inside. These bounds are far
above what a very small model needs and far below where arithmetic fails; what a field cannot mean beyond that (a width
of 0, a share above 1) its spec says in `check`.

A bound holds for the size of a number, with either sign, and for every number of a tuple.
"""

import dataclasses
import functools
import typing
from dataclasses import dataclass
from typing import Annotated, Any

from vslm.core.errors import SpecError
from vslm.core.types import describe


@dataclass(frozen=True)
class AtMost:
    """The largest size of a number, as an annotation of its type."""

    size: float


Width = Annotated[int, AtMost(2**16)]  # of a stream, a head, a rank, a hidden layer
Heads = Annotated[int, AtMost(2**12)]
Vocabulary = Annotated[int, AtMost(2**20)]
Context = Annotated[int, AtMost(2**20)]  # tokens of one sequence, or of a part of it
Loops = Annotated[int, AtMost(1_024)]
Tokens = Annotated[int, AtMost(10**15)]  # of a training or of a measure
BatchTokens = Annotated[int, AtMost(2**30)]
Documents = Annotated[int, AtMost(2**17)]
Some = Annotated[int, AtMost(100_000)]  # looks, arms, pieces, parts
Seed = Annotated[int, AtMost(2**63 - 1)]
Real = Annotated[float, AtMost(1e6)]  # a deviation, a factor, a temperature
LearningRate = Annotated[float, AtMost(1e30)]  # one at which a run diverges is a question, too
Period = Annotated[float, AtMost(1e12)]
Minutes = Annotated[float, AtMost(1e7)]  # 19 years
Flops = Annotated[float, AtMost(1e27)]


@functools.cache
def bounds_of(cls: type) -> dict[str, float]:
    """The largest size of the numbers of every field of a spec class that declares one."""
    hints = typing.get_type_hints(cls, include_extras=True)
    found = {field.name: _bound(hints[field.name]) for field in dataclasses.fields(cls)}
    return {name: bound for name, bound in found.items() if bound is not None}


def _bound(hint: Any) -> float | None:
    if typing.get_origin(hint) is Annotated:
        return next((extra.size for extra in hint.__metadata__ if isinstance(extra, AtMost)), None)
    return next((bound for part in typing.get_args(hint) if (bound := _bound(part)) is not None), None)


def check_bound(value: Any, bound: float, where: str) -> None:
    """Refuse a number, or one in a tuple, whose size is beyond the bound.

    Raises: SpecError naming `where`.
    """
    if isinstance(value, tuple):
        for place, item in enumerate(value):
            check_bound(item, bound, f"{where}.{place}")
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > bound:
        allowed = f"at most {bound:,} is needed" if value > 0 else f"{-bound:,} or more is needed"
        raise SpecError(where, f"found {describe(value)}", allowed)
