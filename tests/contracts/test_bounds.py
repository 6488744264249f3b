"""Every number of every spec has a bound, declared with its type, and a number beyond it is refused in words."""

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any

import pytest

from vslm import Budget, Experiment, Text, uniform
from vslm.core.bounds import AtMost, bounds_of, check_bound
from vslm.core.errors import SpecError
from vslm.core.specs import Spec, field_types
from vslm.lab.memory import check_memory, least_bytes
from vslm.models.language_model import Model
from vslm.models.parts.normalizers import Softmax
from vslm.models.path.repeats import Repeat
from vslm.models.path.stack import MOST_VISITS
from vslm.study.catalog import KINDS


def holds_numbers(hint: Any) -> bool:
    """Whether a field of that type may hold a number of its own; a mapping holds values for fields of other specs."""
    if hint in (int, float):
        return True
    origin = typing.get_origin(hint)
    return not (origin is Mapping or origin is typing.Literal) and any(map(holds_numbers, typing.get_args(hint)))


NUMBERS = [(cls, name) for cls in KINDS.values() for name, hint in field_types(cls).items() if holds_numbers(hint)]


@pytest.mark.parametrize("cls", dict.fromkeys(cls for cls, _ in NUMBERS), ids=lambda cls: cls.__name__)
def test_every_number_has_a_bound(cls: type) -> None:
    """Declared where the field is: `width: Width`, from `vslm.core.bounds`."""
    for name in [name for owner, name in NUMBERS if owner is cls]:
        bound = bounds_of(cls).get(name)
        assert bound is not None, f"{cls.__name__}.{name} has no bound"
        assert math.isfinite(bound)


def test_the_walk_finds_numbers() -> None:
    """In unions and in tuples, too."""
    found = {(cls.__name__, name) for cls, name in NUMBERS}
    assert {("Block", "width"), ("AdamW", "betas"), ("UniformLoops", "counts"), ("Attention", "window_tokens")} <= found
    assert ("Shares", "changes") not in found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bounded(Spec):
    """With a bound of each kind."""

    whole: typing.Annotated[int, AtMost(7)] = 0
    part: typing.Annotated[float, AtMost(2.5)] | None = None
    both: tuple[typing.Annotated[int, AtMost(7)], ...] = ()
    free: int = 0


@pytest.mark.parametrize("allowed", [{"whole": 7}, {"whole": -7}, {"part": 2.5}, {"both": (7, -7)}, {"free": 10**9}])
def test_a_number_at_its_bound_is_taken(allowed: dict[str, Any]) -> None:
    """With either sign."""
    assert Bounded(**allowed) == Bounded(**allowed)


@pytest.mark.parametrize(
    ("refused", "where", "words"),
    [
        ({"whole": 8}, "whole", "at most 7 is needed"),
        ({"whole": -8}, "whole", "-7 or more is needed"),
        ({"part": 2.6}, "part", "at most 2.5 is needed"),
        ({"both": (0, 8)}, "both.1", "at most 7 is needed"),
    ],
)
def test_a_number_beyond_its_bound_is_refused(refused: dict[str, Any], where: str, words: str) -> None:
    """At its field, with what is allowed."""
    with pytest.raises(SpecError) as said:
        Bounded(**refused)
    assert (said.value.where, words in str(said.value)) == (where, True)
    check_bound(True, 0.5, "a flag is no number")


def test_a_deviation_of_1e200_and_5000_loops_are_refused() -> None:
    """Each at its field."""
    with pytest.raises(SpecError, match=r"temperature: found 1e\+200; at most 1,000,000"):
        Softmax(temperature=1e200)
    with pytest.raises(SpecError, match="times: found 5000; at most 1,024"):
        Repeat(body=("a",), times=5000)


def looped(times: int, body: int) -> Model:
    """A loop over as many visits of one block."""
    model = uniform(depth=1, width=8, heads=2, context_tokens=5)
    return dataclasses.replace(model, path=(Repeat(body=("0",) * body, times=times),))


def test_a_path_of_too_many_visits_is_refused() -> None:
    """However they come about; one of as many as are allowed is followed."""
    assert len(looped(MOST_VISITS // 4, 4).visits()) == MOST_VISITS
    with pytest.raises(SpecError, match=r"path: 1,028 visits.*at most 1,024"):
        looped(MOST_VISITS // 4 + 1, 4).visits()
    with pytest.raises(SpecError, match="depth: found 1000000; at most 1,024 blocks"):
        uniform(depth=10**6, width=8, heads=2, context_tokens=5)


def test_memory_is_counted_before_anything_is_allocated() -> None:
    """A parameter, its gradient and two moments, and the stream of every token of a micro-batch at every visit, 4 bytes
    each.
    """
    model = uniform(depth=3, width=8, heads=2, context_tokens=5)
    experiment = Experiment(model=model, data=Text("t.txt"), budget=Budget(tokens=350), batch_tokens=70, accumulation=2)
    needed = 4 * (4 * model.num_parameters(101) + 35 * 3 * 8)
    assert least_bytes(experiment, 101) == needed
    check_memory(experiment, 101, needed)
    check_memory(experiment, 101, None)
    with pytest.raises(SpecError, match=r"model: .* parameters and 70 tokens a step need .*this machine has"):
        check_memory(experiment, 101, needed - 1)


def test_a_model_that_no_machine_holds_is_refused_by_its_bytes() -> None:
    """Each number is within its bound, their product is not; nothing of it is built."""
    large = uniform(depth=1000, width=2**16, heads=2, context_tokens=5)
    experiment = Experiment(model=large, data=Text("t.txt"), budget=Budget(tokens=350), batch_tokens=70)
    with pytest.raises(SpecError, match="GB of memory or more"):
        check_memory(experiment, 101, 2**40)
