"""Studies with factors: named changes of the baseline, each off or on, and the arms that a design makes of them.

`Study(factors={"norm": {"model.root.normed": True}, "muon": {"optimizer": Muon(...)}}, ...)` trains combinations of
them, so that every run tells of every factor. Which combinations is said by `stats/designs.py`; here changes become
experiments, and what cannot be meant is refused.

Not for: what the runs say of the factors, see `lab/effects.py`.
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vslm.core.errors import SpecError, nearest
from vslm.core.paths import vary
from vslm.core.specs import differences
from vslm.stats.designs import MOST_FACTORS, MOST_RUNS, Design, choose_design
from vslm.study.experiment import Experiment

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,23}")
_JOIN = "+"  # of the factors that are on in an arm's name
_LONGEST_ARM = 60


def interaction_name(factors: Sequence[str]) -> str:
    """How an effect of one factor, or of several on each other, is called.

    >>> interaction_name(["norm"]), interaction_name(["norm", "muon"])
    ('norm', 'norm x muon')
    """
    return " x ".join(factors)


@dataclass(frozen=True)
class Factorial:
    """The factors of a study and its design.

    Args:
        factors: names in the order of declaration.
        interactions: that were declared, as places of their factors.
        design: which combinations are run.
        cells: by arm the factors that are on in it, in the order of the design's runs.
        why: why it is this design, in words.
    """

    factors: tuple[str, ...]
    interactions: tuple[tuple[int, int], ...]
    design: Design
    cells: Mapping[str, tuple[str, ...]]
    why: str

    @property
    def effects(self) -> dict[str, tuple[int, ...]]:
        """What is judged, by name: the factors, then the declared interactions."""
        places = [*((i,) for i in range(len(self.factors))), *self.interactions]
        return {self.name(one): one for one in places}

    def name(self, places: Sequence[int]) -> str:
        """Of an effect."""
        return interaction_name([self.factors[i] for i in places])

    def undeclared(self) -> dict[str, tuple[int, int]]:
        """Interactions of two that were not declared, by name; of those that are one number, the first."""
        return {self.name(pair): pair for pair in self.design.other_pairs(self.interactions)}

    def mixed_with(self, places: Sequence[int]) -> list[str]:
        """The effects that this one cannot be told from, wholly or in part: of a factor interactions of three, of an
        interaction others of two.
        """
        return [self.name(one) for one in self.design.mixed(places, 3 if len(places) == 1 else 2)]

    def words(self) -> list[str]:
        """The design in sentences without a full stop."""
        runs, factors, all_of_them = self.design.num_runs, len(self.factors), 2 ** len(self.factors)
        if self.design.kind == "full":
            return [f"every combination of {factors} factors, {runs} runs a seed ({self.why})"]
        kind = ", Plackett and Burman's design with its mirror image" * (self.design.kind == "plackett-burman")
        lines = [f"{runs} of the {all_of_them:,} combinations of {factors} factors a seed{kind} ({self.why})"]
        lines.append("effects of factors are apart from each other and from all interactions of two")
        if self.design.resolution != 4:
            return [*lines, "interactions of two are apart from each other"]
        if self.interactions:
            lines.append("those that are declared are apart from all others of two")
        how = "in part" if self.design.kind == "plackett-burman" else "in groups"
        return [*lines, f"interactions of two that are not declared are mixed with each other {how}"]


def check_factors(
    baseline: str,
    arms: Mapping[str, Experiment],
    factors: Mapping[str, Mapping[str, Any]],
    interactions: Sequence[tuple[str, str]],
    fraction: float | None,
) -> None:
    """Refuse factors that cannot be meant, and arms that do not come from them.

    Raises: SpecError.
    """
    if not 2 <= len(factors) <= MOST_FACTORS:
        found = f"{len(factors)} factor{'s' if len(factors) != 1 else ''}"
        raise SpecError("factors", found, f"2 to {MOST_FACTORS} are needed", "one change alone is an arm")
    _check_names(factors, baseline)
    base = arms[baseline]
    changed = {name: _one(base, name, changes) for name, changes in factors.items()}
    for first, second in itertools.combinations(factors, 2):
        _check_apart(base, (first, second), changed, factors)
    made = arms_of(baseline, base, factors, factorial_of(factors, interactions, fraction, baseline))
    for arm, experiment in arms.items():
        if arm not in made:
            found = f"{arm!r} is no combination of the factors"
            do = "leave it out, or make it a factor; a study of arms has no factors"
            raise SpecError("arms", found, f"beside factors the baseline {baseline!r} alone is needed", do)
        if experiment != made[arm]:
            path = next(path for path, _, _ in differences(made[arm], experiment))
            found = f"{path} is another than its factors make of {baseline!r}"
            raise SpecError(
                f"arms.{arm}", found, "", "change the baseline or a factor; what a factor sets stays its own"
            )


def _check_names(factors: Mapping[str, Any], baseline: str) -> None:
    seen = {baseline.casefold(): "the baseline"}
    for name in factors:
        if not _NAME.fullmatch(name):
            allowed = "letters, digits, and _ . - after the first, at most 24: names of arms are made of them"
            raise SpecError("factors", f"{name!r} cannot name a factor", allowed)
        if name.casefold() in seen:
            found = f"{name!r} has the name of {seen[name.casefold()]}"
            raise SpecError("factors", found, "every factor has a name of its own, capitals aside")
        seen[name.casefold()] = f"the factor {name!r}"


def _one(base: Experiment, name: str, changes: Mapping[str, Any]) -> Experiment:
    """The baseline with one factor on."""
    try:
        one = vary(base, changes)
    except SpecError as error:
        raise error.within(f"factors.{name}") from None
    if one == base:
        raise SpecError(f"factors.{name}", "it changes nothing of the baseline", "", "leave it out, or mend its values")
    return one


def _check_apart(
    base: Experiment,
    names: tuple[str, str],
    changed: Mapping[str, Experiment],
    factors: Mapping[str, Mapping[str, Any]],
) -> None:
    """Refuse two factors that change one thing, or of which it matters which comes first."""
    first, second = names
    where, do = f"factors.{second}", "make one factor of both, or let one of them leave it alone"
    paths = [[path for path, _, _ in differences(base, changed[name])] for name in names]
    for one, other in itertools.product(*paths):
        if one == other or one.startswith(f"{other}.") or other.startswith(f"{one}."):
            raise SpecError(where, f"{max(one, other, key=len)} is changed by factor {first!r}, too", "", do)
    try:
        orders = [vary(changed[a], factors[b]) for a, b in (names, names[::-1])]
    except SpecError as error:
        raise SpecError(where, f"it does not fit factor {first!r}: {error.where}: {error.found}", "", do) from None
    if orders[0] != orders[1]:
        path = next(path for path, _, _ in differences(orders[0], orders[1]))
        raise SpecError(where, f"{path} depends on whether factor {first!r} comes before it", "", do)


@lru_cache(maxsize=64)
def _chosen(num_factors: int, interactions: tuple[tuple[int, int], ...], num_runs: int | None) -> Design | None:
    return choose_design(num_factors, interactions, num_runs)


def factorial_of(
    factors: Sequence[str] | Mapping[str, Any],
    interactions: Sequence[tuple[str, str]],
    fraction: float | None,
    baseline: str,
) -> Factorial:
    """The design of a study, and its arms by name.

    Raises: SpecError for interactions that cannot be meant, and a fraction that cannot tell them.
    """
    names = tuple(factors)
    pairs = tuple(_places(names, interactions))
    num_runs = None if fraction is None else _num_runs(len(names), fraction)
    design = _chosen(len(names), pairs, num_runs)
    if design is None:
        raise _no_design(names, pairs, fraction)
    cells = {}
    for on_F in design.on_RF:
        on = tuple(name for name, is_on in zip(names, on_F, strict=True) if is_on)
        cells[_JOIN.join(on) or baseline] = on
    if too_long := [arm for arm in cells if len(arm) > _LONGEST_ARM]:
        found = f"an arm would be called {too_long[0]!r}, with {len(too_long[0])} letters"
        raise SpecError("factors", found, f"at most {_LONGEST_ARM} are needed", "give the factors shorter names")
    why = "as declared" if fraction is not None else "all, since they are few" if len(names) <= 3 else "the fewest runs"
    if fraction is None and len(names) > 3:
        why += " that keep apart what is declared" if pairs else " that keep the factors apart"
    return Factorial(names, pairs, design, cells, why)


def arms_of(
    baseline: str, base: Experiment, factors: Mapping[str, Mapping[str, Any]], factorial: Factorial
) -> dict[str, Experiment]:
    """The arms of a design, the baseline first."""
    found = {}
    for arm, on in factorial.cells.items():
        experiment = base
        for name in on:
            experiment = vary(experiment, factors[name])
        found[arm] = experiment
    return found


def _places(names: tuple[str, ...], interactions: Sequence[tuple[str, str]]) -> Iterator[tuple[int, int]]:
    seen = set()
    for number, pair in enumerate(interactions):
        where = f"interactions.{number}"
        for name in pair:
            if name not in names:
                raise SpecError(where, f"{name!r} is no factor", nearest(name, names))
        low, high = sorted(names.index(name) for name in pair)
        if low == high:
            raise SpecError(where, f"{pair[0]!r} with itself", "two different factors are needed")
        if (low, high) in seen:
            raise SpecError(where, f"{interaction_name(pair)} is declared twice", "every interaction once")
        seen.add((low, high))
        yield low, high


def _num_runs(num_factors: int, fraction: float) -> int:
    runs = 2**num_factors * fraction
    if not 0 < fraction <= 1 or runs != math.floor(runs) or math.floor(runs).bit_count() != 1:
        raise SpecError("fraction", f"found {fraction:g}", "1, 1/2, 1/4, 1/8, ... of all combinations is needed")
    if runs > MOST_RUNS:
        found = f"{fraction:g} of {num_factors} factors is {runs:,.0f} runs a seed"
        raise SpecError("fraction", found, f"at most {MOST_RUNS} are needed")
    return int(runs)


def _no_design(names: tuple[str, ...], pairs: tuple[tuple[int, int], ...], fraction: float | None) -> SpecError:
    """What to say where no design keeps apart what is declared."""
    num_runs = None if fraction is None else _num_runs(len(names), fraction)
    if pairs and _chosen(len(names), (), num_runs) is not None:
        shown = ", ".join(interaction_name([names[i] for i in pair]) for pair in pairs[:3])
        more = f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""
        runs = f"{num_runs} runs" if num_runs else f"{MOST_RUNS} runs or fewer"
        found = f"{runs} of {len(names)} factors cannot tell {shown}{more} from other interactions of two"
        do = "leave fraction out, which takes as many runs as it needs" if fraction else "declare fewer"
        return SpecError("interactions", found, "", do)
    found = f"{fraction:g} of {len(names)} factors is {num_runs} runs, which mix a factor with interactions of two"
    least = _chosen(len(names), pairs, None)
    do = f"leave it out for {least.num_runs} runs" if least is not None else "use fewer factors"
    return SpecError("fraction", found, "", do)
