"""Any runs or arms beside each other: differences with intervals, and every reason why they may not be comparable.

A comparison that nobody declared before the runs is no verdict, whatever its interval says: words here are `lower`,
`higher` and `not told apart`, never `better`. Its intervals hold together for the differences that are shown, not for
all that somebody may have tried.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vslm.core.errors import SpecError, nearest
from vslm.report.numbers.curves import ERROR
from vslm.report.numbers.formatting import count, is_number, listing, seeds
from vslm.report.numbers.sides import Side
from vslm.results.primary import LOSSES, PrimaryNumber
from vslm.stats.intervals import Interval, per_arm_error, student_interval
from vslm.stats.unpaired import unpaired_interval

_FEWEST_PAIRS = 2  # one pair has no interval, while all runs of both sides, unpaired, may have one
_SAME_BUDGET = 0.005  # steps are whole, so budgets that are meant to be equal differ by a few tokens


@dataclass(frozen=True)
class Warned:
    """A field in which two sides differ, with both values.

    Args:
        field: its name, for people.
        first, second: the values of the first side and of `name`.
        name: of the other side.
        why: what it does to a comparison.
        forbids: whether the numbers are of different things, so that no difference between them means anything.
    """

    field: str
    first: str
    second: str
    name: str
    why: str
    forbids: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.field} is {self.second}, and {self.first} on the first side; {self.why}"


@dataclass(frozen=True)
class Difference:
    """One side minus the first.

    Args:
        side: the other.
        interval: infinite where there is none.
        paired_seeds: that both have, on the same data; empty where the comparison is unpaired, also because a single
            seed is shared.
        how: paired or not, over what, in words.
        words: what the interval allows to say.
        relation: the same in one word.
        warnings: why it may not mean what it seems to.
    """

    side: Side
    interval: Interval
    paired_seeds: list[int]
    how: str
    words: str
    relation: Literal["lower", "higher", "not told apart", "not comparable", "no interval"]
    warnings: list[Warned]


@dataclass(frozen=True)
class Comparison:
    """The first side, the differences of the others from it, and what is compared."""

    primary: PrimaryNumber
    first: Side
    differences: list[Difference]
    error: float

    @property
    def measure(self) -> str:
        """What is compared, by name."""
        return self.primary.name

    @property
    def unit(self) -> str:
        """Of the numbers."""
        return self.primary.unit

    @property
    def sides(self) -> list[Side]:
        """All, in the order in which they were named."""
        return [self.first, *(one.side for one in self.differences)]


def compare(sides: Sequence[Side], measure: str | None = None) -> Comparison:
    """Compare every side with the first.

    Args:
        sides: two or more, from `read_sides`.
        measure: the final number, "val_loss", "val_bpb" or "recall.accuracy"; None: what all their studies are judged
            by, if that is a number of a measure; else nats per token where all have the same tokenizer, and bits per
            byte where they have not.
    Raises: SpecError for an unknown name, and for a number that no run has.
    """
    number = _number(sides, measure)
    sides = [side.having(number) for side in sides]
    error = per_arm_error(ERROR, len(sides) - 1)
    differences = [_difference(sides[0], side, number, error) for side in sides[1:]]
    return Comparison(number, sides[0], differences, error)


def _number(sides: Sequence[Side], measure: str | None) -> PrimaryNumber:
    own = {side.primary.name: dataclasses.replace(side.primary, positions=None) for side in sides}
    if measure is None:
        measure = "val_loss" if len({side.tokenizer for side in sides}) == 1 else "val_bpb"
        first = sides[0].primary
        return own[first.name] if len(own) == 1 and not first.is_loss else PrimaryNumber.of({"measure": measure})
    if measure in LOSSES:
        return PrimaryNumber.of({"measure": measure})
    name, _, number = measure.partition(".")
    # A number that no study here is judged by has its name and no unit.
    found = own.get(measure) or PrimaryNumber.of({"measure": name, "number": number})
    runs = [run for side in sides for run in side.runs.values()]
    if not number or all(found.last_in(run.arrays) is None for run in runs):
        known = {one.removesuffix("_S") for run in runs for one in run.arrays if "." in one and one.endswith("_S")}
        numbers = sorted(one for one in known if not one.endswith(".steps"))
        raise SpecError("--measure", f"no run has {measure!r} at its end", nearest(measure, [*LOSSES, *numbers]))
    return found


def _difference(a: Side, b: Side, measure: PrimaryNumber, error: float) -> Difference:
    warnings = warnings_of(a, b, measure)
    shared = paired_seeds(a, b)
    paired = shared if len(shared) >= _FEWEST_PAIRS else []
    if any(warned.forbids for warned in warnings):
        interval = Interval(-math.inf, math.inf, math.nan, math.nan, 0, error)
        paired, how = [], "no difference is shown, because it would mean nothing"
    elif paired:
        interval = student_interval(b.values(measure, paired) - a.values(measure, paired), error)
        rest = (len(a.runs) - len(paired)) + (len(b.runs) - len(paired))
        how = f"paired by seed ({seeds(paired)})"
        if rest:
            how += f"; {_runs(rest)} without a partner {'are' if rest != 1 else 'is'} not in it"
    else:
        interval = unpaired_interval(a.values(measure), b.values(measure), error)
        how = f"not paired, {_runs(len(a.runs))} and {_runs(len(b.runs))}"
        how += f"; they share seed {seeds(shared)} alone, and one pair has no interval" if shared else ""
    relation, words = _words(interval, warnings, a, b, measure.unit)
    return Difference(b, interval, paired, how, words, relation, warnings)


def _runs(number: int) -> str:
    return f"{number} run{'s' if number != 1 else ''}"


def paired_seeds(a: Side, b: Side) -> list[int]:
    """Seeds that both sides ran on the same corpus with the same order of batches, so that they share what it did."""
    if a.arm.corpus is None or a.arm.corpus != b.arm.corpus:
        return []
    shared = sorted(a.runs.keys() & b.runs.keys())
    return [seed for seed in shared if _data_seed(a, seed) == _data_seed(b, seed)]


def _data_seed(side: Side, seed: int) -> Any:
    return side.runs[seed].environment.get("data_seed", seed)


def _words(interval: Interval, warnings: Sequence[Warned], a: Side, b: Side, unit: str) -> tuple[Any, str]:
    if forbidding := [warned.field for warned in warnings if warned.forbids]:
        return "not comparable", f"not comparable: other {listing(forbidding)}"
    if not a.runs or not b.runs:
        return "no interval", f"no finished run of {(b if a.runs else a).name}"
    if not np.isfinite(interval.low):
        return "no interval", "one run on a side has no interval; three or more tell something"
    low, high = sorted((abs(interval.low), abs(interval.high)))
    if interval.high < 0:
        return "lower", f"lower by {low:.4f} to {high:.4f} {unit}".rstrip()
    if interval.low > 0:
        return "higher", f"higher by {low:.4f} to {high:.4f} {unit}".rstrip()
    between = f"between {abs(interval.low):.4f} lower and {abs(interval.high):.4f} higher"
    return "not told apart", f"not told apart: {between}"


def warnings_of(a: Side, b: Side, measure: PrimaryNumber) -> list[Warned]:
    """Every field in which two sides differ that bears on whether their numbers compare."""
    found: list[Warned] = []

    def check(field: str, first: Any, second: Any, why: str, shown: Any = str, *, forbids: bool = False) -> None:
        if first is None or second is None:
            if first is not second:
                unknown = "it cannot be told whether it is the same, because one record lacks it"
                found.append(Warned(field, _shown(first, shown), _shown(second, shown), b.name, unknown))
        elif first != second:
            found.append(Warned(field, _shown(first, shown), _shown(second, shown), b.name, why, forbids))

    same_tokenizer = a.tokenizer == b.tokenizer
    is_other_text = f"the {'losses' if measure.is_loss else 'numbers'} are of different text"
    if a.arm.corpus != b.arm.corpus:
        why = "they learned from different text or tokens"
        found.append(Warned("corpus", a.shown_corpus, b.shown_corpus, b.name, why))
    per_token = measure.measure != "val_bpb"
    why = (
        "a token is another piece of text" if per_token else "bits per byte allow for it, positions in a window do not"
    )
    check("tokenizer", a.tokenizer, b.tokenizer, why, forbids=per_token)
    if a.validation != b.validation and None not in (a.validation, b.validation):
        shown = (a.shown_validation, b.shown_validation)
        found.append(Warned("validation set", *shown, b.name, is_other_text, forbids=True))
    elif same_tokenizer:
        check("validation set", a.val_sha256, b.val_sha256, is_other_text, lambda x: str(x)[:12], forbids=True)
    if a.tokens is None or b.tokens is None or abs(a.tokens - b.tokens) > _SAME_BUDGET * a.tokens:
        what = "lowers the loss" if measure.is_loss else "changes it"
        check("budget", a.tokens, b.tokens, f"more training {what} by itself", lambda x: f"{count(x)} tokens")
    starts = [side.arm.start_sha256 for side in (a, b)]
    if starts[0] != starts[1]:
        why = "what was trained before the run counts, too"
        shown = [f"those with SHA-256 {start[:12]}" if start else "new ones" for start in starts]
        found.append(Warned("starting weights", shown[0], shown[1], b.name, why))
    why = "a longer window shows more of the text before a token"
    check("context", a.context_tokens, b.context_tokens, why, lambda x: f"{x} tokens")
    why = "the means are over different parts of the validation set"
    if not measure.is_loss:
        for kind in sorted(a.measures.keys() & b.measures.keys()):
            check(kind, a.measures[kind], b.measures[kind], "the numbers may be of other windows", _fields)
        return found
    check("tokens scored", a.scored_tokens, b.scored_tokens, why, lambda x: f"{x:,}" if is_number(x) else str(x))
    return found


def _fields(measure: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in measure.items() if name != "kind")


def _shown(value: Any, shown: Any) -> str:
    return "unknown" if value is None else shown(value)


def finite_ends(interval: Interval) -> list[float | None]:
    """Low and high; None for one that is not there."""
    return [float(end) if np.isfinite(end) else None for end in (interval.low, interval.high)]


def plain(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON values; an interval that is not there has ends None."""

    return {
        "measure": found.measure,
        "unit": found.unit,
        "error_per_interval": found.error,
        "sides": [
            {
                "name": side.name,
                "seeds": list(side.runs),
                "mean": float(side.values(found.primary).mean()) if side.runs else None,
                "interval": finite_ends(student_interval(side.values(found.primary), ERROR)),
                "tokens": side.tokens,
                "parameters": side.arm.num_parameters,
                "context_tokens": side.context_tokens,
                "corpus": side.arm.corpus,
                "left_out": side.left_out,
            }
            for side in found.sides
        ],
        "differences": [
            {
                "name": one.side.name,
                "minus": found.first.name,
                "difference": one.interval.mean if np.isfinite(one.interval.mean) else None,
                "interval": finite_ends(one.interval),
                "paired_seeds": one.paired_seeds,
                "how": one.how,
                "relation": one.relation,
                "words": one.words,
                "warnings": [
                    {
                        "field": w.field,
                        "first": w.first,
                        "second": w.second,
                        "why": w.why,
                        "forbids": w.forbids,
                    }
                    for w in one.warnings
                ],
            }
            for one in found.differences
        ],
    }
