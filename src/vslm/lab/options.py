"""What the command line may override in a study, and the interface of what shows its progress."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from vslm.core.errors import SpecError
from vslm.core.types import describe
from vslm.study.study import parse_seeds

_MOST = {"tokens": 10**15, "minutes": 10**7, "more_tokens": 10**15, "workers": 1024}  # beyond any machine


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may override: the budget and the place.

    Args:
        seeds: in place of the study's.
        tokens: of one baseline run, in place of the budget.
        minutes: of the whole study, in place of the budget.
        more_tokens: let finished runs go on for another stage.
        device: "auto", "cpu", "cuda" or "mps".
        workers: runs at the same time; None: as timed.
        precision: of the forward pass; "auto": the faster one, as timed on this machine.
        samples: whether runs show text on the way.
        early: whether a study goes on whose baseline has not begun to use its context.

    Raises: SpecError, at the option's name on the command line, for a number that is not above 0.
    """

    seeds: int | str | tuple[int, ...] | None = None
    tokens: int | None = None
    minutes: float | None = None
    more_tokens: int | None = None
    device: str = "auto"
    workers: int | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    samples: bool = False
    early: bool = False

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            if value is not None and not 0 < value <= most:
                allowed = f"a number above 0, at most {most:,}, is needed"
                raise SpecError(f"--{name.replace('_', '-')}", f"found {describe(value)}", allowed)
        if self.seeds not in (None, "auto"):
            parse_seeds(self.seeds, "--seeds")
        if self.tokens is not None and self.minutes is not None:
            raise SpecError("--tokens", "--minutes is given, too", "one of them says how long the study is")


class Watcher(Protocol):
    """Interface: shows how a study goes."""

    def say(self, text: str) -> None:
        """A line for people."""
        ...

    def on_message(self, arm: str, seed: int, message: Mapping[str, Any]) -> None:
        """A message of a run: progress, a sample, its end, or why it failed."""
        ...

    def started(self, tokens: Mapping[tuple[str, int], int]) -> None:
        """Runs are about to start: (arm, seed) -> how many tokens each trains on."""
        ...
