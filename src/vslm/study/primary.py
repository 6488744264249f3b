"""What decides: a number of any measure that the arms of a study take, or the loss that every run ends with.

    Primary("val_loss", smallest_effect=0.01)                  nats per token
    Primary("recall", "accuracy", smallest_effect=0.02)        `accuracy`, as RecallAccuracy declares it

It is read at the end of training: on `val` for verdicts, on `select` where something is chosen during a study.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from vslm.core.bounds import Context, Real
from vslm.core.errors import SpecError, nearest
from vslm.core.specs import Spec, field_types
from vslm.measure.measure import Measure
from vslm.results.primary import LOSSES, PrimaryNumber
from vslm.study.experiment import Experiment

_AXES = re.compile(r"_[A-Z]+$")
_STEPS_TRIED = (1, 2, 7, 1000)  # lengths of a training at which a measure has to be taken at the end


@dataclass(frozen=True)
class Primary(Spec):
    """The number that decides, at the end of training, on the validation set.

    Args:
        measure: "val_loss" (nats per token; one tokenizer) or "val_bpb" (bits per byte; any); or a measure that every
            arm takes, by the name that it is recorded under ("recall") or by its class ("RecallAccuracy").
        number: which of that measure's numbers, one that it declares with a direction; None for a loss.
        smallest_effect: differences within plus or minus this are of no interest; in the unit of the number.
        positions: (first, end) of the part of the window that counts, of a loss; None: all of it.
    """

    measure: str = "val_loss"
    number: str | None = None
    _: KW_ONLY
    smallest_effect: Real = 0.01
    positions: tuple[Context, Context] | None = None

    def check(self) -> None:
        """Refuse an effect below 0, an empty stretch of positions, and a measure without a number."""
        if self.smallest_effect < 0:
            raise SpecError("smallest_effect", f"found {self.smallest_effect}", "0 or more is needed")
        if self.positions and not 0 <= self.positions[0] < self.positions[1]:
            raise SpecError("positions", f"found {self.positions}", "(first, end) with 0 <= first < end is needed")
        if self.is_loss and self.number is not None:
            raise SpecError("number", f"found {self.number!r}", f"{self.measure} is one number", "leave it out")
        if not self.is_loss and self.number is None:
            close = nearest(self.measure, LOSSES)
            allowed = "val_loss or val_bpb, or a measure with one of its numbers, is needed"
            do = close if close.startswith("did") else f"write Primary({self.measure!r}, NUMBER)"
            raise SpecError("measure", f"found {self.measure!r} and no number", allowed, do)
        if not self.is_loss and self.positions is not None:
            found, allowed = f"found {self.positions} with {self.measure!r}", "a loss alone is judged by position"
            raise SpecError("positions", found, allowed, "leave it out")

    @property
    def is_loss(self) -> bool:
        """Whether it is a loss that every run has, whatever its measures."""
        return self.measure in LOSSES

    def of(self, experiment: Experiment) -> Measure | None:
        """The measure of an experiment that it is a number of; None for a loss, or where there is none."""
        named = (one for one in experiment.measures if self.measure in (one.recorded_as, type(one).__name__))
        return None if self.is_loss else next(named, None)


def check_primary(primary: Primary, arms: Mapping[str, Experiment], baseline: str) -> None:
    """Refuse a number that an arm does not take, or that nothing can be judged by.

    Raises: SpecError at `primary`.
    """
    if primary.is_loss:
        return
    base = None
    for arm in (baseline, *(name for name in arms if name != baseline)):
        measure = primary.of(arms[arm])
        if measure is None:
            found = f"arm {arm!r} takes no measure {primary.measure!r}"
            allowed = nearest(primary.measure, [*LOSSES, *(one.recorded_as for one in arms[arm].measures)])
            raise SpecError("primary.measure", found, allowed, "every arm needs it among its measures")
        base = base or measure
        if _what_is_asked(measure) != _what_is_asked(base):
            found = f"{measure.recorded_as!r} of arm {arm!r} is another measure than that of {baseline!r}"
            raise SpecError("primary.measure", found, "all arms are judged by the same one, with the same values")
    if base is not None:
        _check_number(primary, base)


def _what_is_asked(measure: Measure) -> tuple[type, dict[str, Any]]:
    """A measure without what an arm may answer with."""
    names = [name for name in field_types(type(measure)) if name not in measure.of_the_arm]
    return type(measure), {name: getattr(measure, name) for name in names}


def _check_number(primary: Primary, measure: Measure) -> None:
    kind, number = type(measure), str(primary.number)
    declared = measure.numbers
    judged = [name for name, one in declared.items() if one.higher_is_better is not None]
    if number in declared and number not in judged:
        found = f"{number!r} of {kind.__name__} has no better and worse"
        raise SpecError("primary.number", found, nearest(number, judged))
    if number not in declared:
        found, do = f"{kind.__name__} declares no number {number!r}", ""
        if _AXES.search(number):
            found, do = f"{number!r} has axes", "one number a run decides: one without axes"
        elif not judged:
            do = f"declare it: {kind.__name__}.numbers = {{{number!r}: Number(unit=..., higher_is_better=..., ...)}}"
        raise SpecError("primary.number", found, nearest(number, judged), do)
    if missed := [num for num in _STEPS_TRIED if num not in measure.steps(num)]:
        found = f"{kind.__name__} is not taken after the last step of a training of {missed[0]}"
        raise SpecError("primary.measure", found, "what decides is read there")


def primary_number(primary: Primary, experiment: Experiment) -> PrimaryNumber:
    """With what a reader of the record needs to know of it; see `vslm.results.primary`.

    Args:
        primary: as declared.
        experiment: of any arm, since all take the same measure.
    """
    measure = primary.of(experiment)
    number = PrimaryNumber.of({"measure": primary.measure if measure is None else measure.recorded_as})
    if measure is not None and primary.number is not None:
        one = measure.numbers[primary.number]
        number = PrimaryNumber(
            number.measure,
            primary.number,
            one.unit,
            higher_is_better=one.higher_is_better is True,
            title=one.title,
            largest_difference=one.largest_difference,
        )
    return dataclasses.replace(number, smallest_effect=primary.smallest_effect, positions=primary.positions)


def primary_of(number: PrimaryNumber) -> Primary:
    """What was declared, from its record."""
    effect = {} if number.smallest_effect is None else {"smallest_effect": number.smallest_effect}
    return Primary(number.measure, number.number, **effect, positions=number.positions)
