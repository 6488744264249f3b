"""The declaration of a question: arms against a baseline, seeds, and what number decides."""

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from vslm.core.errors import SpecError, nearest
from vslm.core.specs import Spec
from vslm.lab.experiment import Experiment

_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]{0,59}")
_AUTO_LOOKS = (4, 8, 16)


@dataclass(frozen=True)
class Primary(Spec):
    """The number that decides, at the end of training, on the validation set.

    Args:
        measure: "val_loss" (nats per token; one tokenizer) or "val_bpb" (bits per byte; any).
        smallest_effect: differences within plus or minus this are of no interest; in the unit of the measure.
        positions: (first, end) of the part of the window that counts; None: all of it.
    """

    measure: Literal["val_loss", "val_bpb"] = "val_loss"
    _: KW_ONLY
    smallest_effect: float = 0.01
    positions: tuple[int, int] | None = None

    def check(self) -> None:
        """Refuse an effect below 0 and an empty stretch of positions."""
        if self.smallest_effect < 0:
            raise SpecError("smallest_effect", f"found {self.smallest_effect}", "0 or more is needed")
        if self.positions and not 0 <= self.positions[0] < self.positions[1]:
            raise SpecError("positions", f"found {self.positions}", "(first, end) with 0 <= first < end is needed")


@dataclass(frozen=True, kw_only=True)
class Study(Spec):
    """A question with its arms.

    Args:
        question: in words; stands at the top of the report.
        baseline: the arm that all others are compared with.
        arms: experiments by name.
        seeds: how many (3 means 0, 1, 2), which ("3-5", or a tuple), or "auto": looks at 4, 8 and 16 seeds.
        primary: the number that decides.
        prediction: what you expect, written before the run.
        match: what the arms have equal: "tokens" or "flops"; budgets derive from the baseline's.
        max_seeds: where "auto" gives up.
        max_minutes: where "auto" gives up; None: never by time.
    """

    question: str
    baseline: str
    arms: Mapping[str, Experiment]
    seeds: int | str | tuple[int, ...] = 3
    primary: Primary = Primary()
    prediction: str | None = None
    match: Literal["tokens", "flops"] = "tokens"
    max_seeds: int = 16
    max_minutes: float | None = None

    def check(self) -> None:
        """Refuse a baseline that is no arm, names that are no folder names, and parts that do not fit."""
        if self.baseline not in self.arms:
            raise SpecError("baseline", f"{self.baseline!r} is no arm", nearest(self.baseline, self.arms))
        for name, experiment in self.arms.items():
            if not _ARM_NAME.fullmatch(name):
                found = f"{name!r} cannot name a folder"
                raise SpecError("arms", found, "letters, digits, and _ + . - after the first, at most 60")
            try:
                experiment.validate()
            except SpecError as error:
                raise error.within(f"arms.{name}") from None
            end = self.primary.positions[1] if self.primary.positions else 0
            if end > experiment.model.context_tokens:
                found = f"position {end} is beyond the window of arm {name!r}"
                raise SpecError("primary.positions", found, f"at most {experiment.model.context_tokens}")
        planned_seeds(self)

    @property
    def others(self) -> list[str]:
        """The arms beside the baseline."""
        return [name for name in self.arms if name != self.baseline]


def planned_seeds(study: Study) -> tuple[int, ...]:
    """The seeds of a study, or all that "auto" could come to."""
    if study.seeds == "auto":
        return tuple(range(study.max_seeds))
    return parse_seeds(study.seeds)


def auto_looks(study: Study) -> tuple[int, ...]:
    """Numbers of seeds at which "auto" looks."""
    looks = [look for look in _AUTO_LOOKS if look < study.max_seeds]
    return (*looks, study.max_seeds)


def parse_seeds(seeds: int | str | tuple[int, ...]) -> tuple[int, ...]:
    """Seeds as numbers.

    >>> parse_seeds(3), parse_seeds("3-5"), parse_seeds("4")
    ((0, 1, 2), (3, 4, 5), (0, 1, 2, 3))
    """
    found: tuple[int, ...] = ()
    if isinstance(seeds, str):
        if match := re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", seeds):
            first, last = int(match[1]), match[2]
            found = tuple(range(first, int(last) + 1)) if last is not None else tuple(range(first))
    else:
        found = tuple(range(seeds)) if isinstance(seeds, int) else seeds
    if not found or min(found) < 0 or max(found) >= 10_000:
        raise SpecError("seeds", f"found {seeds!r}", 'a number such as 3, a range such as "3-5", or "auto" is needed')
    if len(set(found)) < len(found):
        raise SpecError("seeds", f"{seeds!r} names a seed twice", "every seed once")
    return found
