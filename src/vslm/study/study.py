"""The declaration of a question: arms against a baseline, seeds, and what number decides."""

import atexit
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vslm.core.bounds import Minutes, Real, Seed, Some
from vslm.core.errors import SpecError, nearest
from vslm.core.frozen import FrozenDict
from vslm.core.specs import Spec
from vslm.core.types import describe
from vslm.results.folder import STAGE_FOLDERS, budget_name
from vslm.stats.skewed import FEWEST as FEWEST_SEEDS
from vslm.study.experiment import Experiment
from vslm.study.factors import Factorial, arms_of, check_factors, factorial_of
from vslm.study.forks import MOST_SEEDS, check_forks, readers_of
from vslm.study.learning_rates import CountedRates, LearningRates
from vslm.study.matching import Size
from vslm.study.pilot import Pilot
from vslm.study.primary import Primary, check_primary
from vslm.study.race import Race
from vslm.study.screening import Screen

_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]{0,59}")
_ENDINGS_OF_FILES = (".json", ".html", ".py")
_AUTO_LOOKS = (4, 8, 16)


@dataclass(frozen=True, kw_only=True)
class Study(Spec):
    """A question with its arms.

    Args:
        question: in words; stands at the top of the report.
        baseline: the arm that all others are compared with.
        arms: experiments by name; with `factors` the baseline alone, and the others are made of it.
        seeds: how many (3 means 0, 1, 2), which ("3-5", or a tuple), or "auto": looks at 4, 8 and 16 seeds.
        primary: the number that decides.
        prediction: what you expect, written before the run.
        match: what the arms have equal: "tokens", "flops" or "time"; budgets derive from the baseline's. For "time" the
            arms are timed side by side before the first run, and what was measured is kept.
        max_seeds: at which "auto" ends, resolved or not.
        max_minutes: after which "auto" ends: no further look is begun after so many minutes of training, at as many
            runs at a time as the study has workers; None: never by time.
        equal: what every arm must have as much of as the baseline has, within 0.5%: "parameters",
            "non_embedding_parameters" or "flops" (useful FLOPs per token); None: nothing is promised. `matched` makes
            such arms.
        unequal: arms for which `equal` is not required; the page says so.
        tune: a search for every arm's learning rate before it is judged, or, with `CountedRates`, by runs that are
            judged; None: rates as declared.
        screen: a first, short run of every arm that chooses which are judged; None: all are.
        race: seed after seed, arms that are behind get no further seeds; None: all arms get all seeds.
        budgets: multiples of the budget at which arms are judged, 1 among them; more than one tells whether a
            difference grows or shrinks with training.
        pilot: first runs of the baseline, which show whether its runs are long enough; None: none, for questions about
            the first steps of training.
        factors: in place of other arms: named changes of the baseline, each a mapping as `vary` takes it. Combinations
            of them are trained, and what each is worth is judged over all runs.
        interactions: pairs of factors of which it is judged, too, how much one depends on the other.
        fraction: of all combinations that is run, 1, 1/2, 1/4, ...; None: as few as keep apart what is judged.
        trunks: experiments by name that are trained for others to start from (`start_from=Arm("NAME")`) or to learn
            from, with every seed that those have, each to its own budget. They are shown and not judged.
    """

    question: str
    baseline: str
    arms: Mapping[str, Experiment]
    seeds: Seed | str | tuple[Seed, ...] = 3
    primary: Primary = Primary()
    prediction: str | None = None
    match: Literal["tokens", "flops", "time"] = "tokens"
    max_seeds: Some = 16
    max_minutes: Minutes | None = None
    equal: Size | None = None
    unequal: tuple[str, ...] = ()
    tune: LearningRates | CountedRates | None = None
    screen: Screen | None = None
    race: Race | None = None
    budgets: tuple[Real, ...] = (1.0,)
    pilot: Pilot | None = Pilot()
    factors: Mapping[str, Mapping[str, Any]] = FrozenDict()
    interactions: tuple[tuple[str, str], ...] = ()
    fraction: Real | None = None
    trunks: Mapping[str, Experiment] = FrozenDict()

    def __post_init__(self, *init_only: Any) -> None:
        """Check what is declared, and make the arms of its factors."""
        super().__post_init__(*init_only)
        if (factorial := self.factorial) is not None:
            arms = arms_of(self.baseline, self.arms[self.baseline], self.factors, factorial)
            object.__setattr__(self, "arms", FrozenDict(arms))
            self.check()

    def check(self) -> None:
        """Refuse a baseline that is no arm, names that are no folder names, and parts that do not fit."""
        if self.baseline not in self.arms:
            raise SpecError("baseline", f"{self.baseline!r} is no arm", nearest(self.baseline, self.arms))
        _check_names([*self.arms, *self.trunks])
        if self.factors or self.interactions or self.fraction is not None:
            _check_factors(self)
        if self.max_seeds < FEWEST_SEEDS or self.max_seeds >= MOST_SEEDS:
            allowed = f"{FEWEST_SEEDS} or more is needed, below {MOST_SEEDS:,}: fewer have no interval"
            raise SpecError("max_seeds", f"found {self.max_seeds}", allowed)
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise SpecError("max_minutes", f"found {self.max_minutes}", "a number above 0, or None, is needed")
        for name, experiment in self.experiments.items():
            try:
                experiment.validate()
            except SpecError as error:
                raise error.within(self.place_of(name)) from None
        for name, experiment in self.arms.items():
            end = self.primary.positions[1] if self.primary.positions else 0
            if end > experiment.model.context_tokens:
                found = f"position {end} is beyond the window of arm {name!r}"
                raise SpecError("primary.positions", found, f"at most {experiment.model.context_tokens}")
        check_primary(self.primary, self.arms, self.baseline)
        planned_seeds(self)
        _check_stages(self)
        _check_trunks(self)
        atexit.unregister(say_how_to_run)
        # At the end Python has forgotten which file it ran.
        atexit.register(say_how_to_run, getattr(sys.modules.get("__main__"), "__file__", None))

    @property
    def others(self) -> list[str]:
        """The arms beside the baseline."""
        return [name for name in self.arms if name != self.baseline]

    @property
    def experiments(self) -> dict[str, Experiment]:
        """Everything that is trained, by name: trunks, then arms."""
        return {**self.trunks, **self.arms}

    def place_of(self, name: str) -> str:
        """Where an arm or a trunk stands in the study, for messages."""
        return f"{'trunks' if name in self.trunks else 'arms'}.{name}"

    @property
    def factorial(self) -> Factorial | None:
        """The factors and their design; None for a study of arms."""
        if not self.factors:
            return None
        return factorial_of(self.factors, self.interactions, self.fraction, self.baseline)


def say_how_to_run(file: str | None) -> None:
    """At the end of `python study.py` that ran no study, print the command that runs the one it declares.

    Args:
        file: the script; None where there is none.
    """
    main = sys.modules.get("__main__")
    if file is None or not isinstance(getattr(main, "STUDY", None), Study) or hasattr(sys, "last_type"):
        return
    path = Path(file)
    shown = str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
    name = shlex.quote(shown)
    print(f"{shown} declares a study: `vslm run {name}` runs it, `vslm plan {name}` says what it would cost")


def _check_names(arms: Iterable[str]) -> None:
    """Refuse names that cannot be folders beside a study's own files, on any system."""
    seen: dict[str, str] = {}
    for name in arms:
        folded = name.casefold()
        if not _ARM_NAME.fullmatch(name) or name.endswith(".") or folded.endswith(_ENDINGS_OF_FILES):
            found = f"{name!r} cannot name a folder"
            allowed = "letters, digits, and _ + . - after the first, at most 60, and not the ending of a study's files"
            raise SpecError("arms", found, allowed)
        if seen.setdefault(folded, name) != name:
            # One folder where the file system does not tell capitals.
            raise SpecError(
                "arms", f"{seen[folded]!r} and {name!r} differ in capitals alone", "some file systems see one name"
            )


def _check_factors(study: Study) -> None:
    """Refuse factors that contradict each other, and fields that studies with factors do not have."""
    if not study.factors:
        where = "interactions" if study.interactions else "fraction"
        raise SpecError(where, "given without factors", "", "say which changes are on or off: factors={...}")
    if study.screen is not None:
        do = "leave screen out; a fraction of the combinations is run as it is"
        raise SpecError("screen", "given with factors", "an effect is read from every run of the design", do)
    if study.tune is not None:
        do = "leave tune out, and let a factor set the learning rate that it needs"
        raise SpecError("tune", "given with factors", "every combination would be searched by itself", do)
    if study.race is not None:
        do = "leave race out; all combinations get all seeds"
        raise SpecError("race", "given with factors", "an effect is read from every run of the design", do)
    if len(study.budgets) > 1:
        do = "leave budgets out; make a study of each budget"
        raise SpecError("budgets", f"{len(study.budgets)} given with factors", "one is needed", do)
    check_factors(study.baseline, study.arms, study.factors, study.interactions, study.fraction)


def _check_stages(study: Study) -> None:
    """Refuse names that are no arms or that stages need for themselves, and stages with nothing to do."""
    for name in study.experiments:
        if name.casefold() in STAGE_FOLDERS:
            raise SpecError("arms", f"{name!r} is the folder of a stage", "another name is needed")
    controls = study.screen.controls if study.screen else ()
    for where, names in (("unequal", study.unequal), ("screen.controls", controls)):
        for name in names:
            if name not in study.others:
                found = f"{name!r} is the baseline" if name == study.baseline else f"{name!r} is no arm"
                raise SpecError(where, found, nearest(name, study.others))
    if study.unequal and study.equal is None:
        raise SpecError("unequal", "given without equal", "", "say what the other arms have equal")
    if study.screen and study.screen.num_confirmed() >= len(study.arms):
        found = f"{study.screen.num_confirmed()} of {len(study.arms)} arms would be confirmed"
        raise SpecError("screen", found, "a screening leaves some out", "leave screen out, or keep fewer")
    names = {budget_name(budget) for budget in study.budgets}  # of their folders
    if 1.0 not in study.budgets or min(study.budgets) <= 0 or len(names) < len(study.budgets):
        raise SpecError("budgets", f"found {study.budgets}", "different numbers above 0 with 1 among them are needed")
    if study.race is not None:
        _check_race(study, study.race)
    if isinstance(study.tune, CountedRates):
        _check_counted(study, study.tune)


def _check_race(study: Study, race: Race) -> None:
    """Refuse a race that has nothing to drop, or that another stage would decide for."""
    if study.screen is not None:
        found = "given together with screen"
        raise SpecError("race", found, "both choose which arms are judged", "leave one of them out")
    if len(study.budgets) > 1:
        found = f"given with {len(study.budgets)} budgets"
        raise SpecError("race", found, "a race is run at one budget", "leave race or the other budgets out")
    if len(study.others) < 2:
        raise SpecError("race", "one arm beside the baseline", "two or more are needed to drop one", "leave race out")
    if race.first >= (num := len(planned_seeds(study))):
        found = f"every arm gets the first {race.first} seeds, and the study has {num}"
        allowed = "fewer than the study has are needed"
        raise SpecError("race.first", found, allowed, "declare more seeds, or leave race out")


def _check_counted(study: Study, tune: CountedRates) -> None:
    """Refuse what does not hold, or was not simulated: other numbers of seeds, and runs at other budgets."""
    tune.check_seeds(len(planned_seeds(study)))
    if len(study.budgets) > 1:
        found = f"runs that choose would be judged at one of {len(study.budgets)} budgets"
        raise SpecError("tune", found, "CountedRates goes with one budget", "take LearningRates(), or one budget")


def _check_trunks(study: Study) -> None:
    """Refuse forks that lead nowhere, and stages that would change, or leave out, an arm that others start from."""
    if both := [name for name in study.trunks if name in study.arms]:
        raise SpecError(f"trunks.{both[0]}", "is an arm as well", "one of the two", "a trunk is not judged, an arm is")
    check_forks(study.arms, study.trunks)
    read = readers_of(study.arms, study.experiments)
    for stage, given in (("tune", study.tune), ("screen", study.screen), ("race", study.race)):
        if given is not None and read:
            arm, reader = next(iter(read.items()))
            found = f"given where {reader!r} reads the arm {arm!r}"
            allowed = "what others start from is trained as it is declared, with every seed"
            raise SpecError(stage, found, allowed, f"declare {arm!r} in trunks=..., or leave {stage} out")


def planned_seeds(study: Study) -> tuple[int, ...]:
    """The seeds of a study, or all that "auto" could come to."""
    if study.seeds == "auto":
        return tuple(range(study.max_seeds))
    return parse_seeds(study.seeds)


def auto_looks(study: Study) -> tuple[int, ...]:
    """Numbers of seeds at which "auto" looks."""
    looks = [look for look in _AUTO_LOOKS if look < study.max_seeds]
    return (*looks, study.max_seeds)


def parse_seeds(seeds: int | str | tuple[int, ...], where: str = "seeds") -> tuple[int, ...]:
    """Seeds as numbers: a number alone is how many, anything else names them.

    >>> parse_seeds(3), parse_seeds("3-5"), parse_seeds("4"), parse_seeds("3,5"), parse_seeds("7-7,0-1")
    ((0, 1, 2), (3, 4, 5), (0, 1, 2, 3), (3, 5), (7, 0, 1))
    """
    allowed = f'a number such as 3, seeds such as "3-5" or "3,5", or "auto" is needed, below {MOST_SEEDS:,}'
    refused = SpecError(where, f"found {describe(seeds)}", allowed)
    if isinstance(seeds, int) or (isinstance(seeds, str) and re.fullmatch(r"\s*[0-9]{1,9}\s*", seeds, re.ASCII)):
        ranges = [(0, int(seeds) - 1)]
    elif isinstance(seeds, str):
        parts = [re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", part) for part in seeds.split(",")]
        if not all(parts):
            raise refused
        ranges = [(int(match[1]), int(match[2] or match[1])) for match in parts if match]
    else:
        ranges = [(seed, seed) for seed in seeds]
    if not ranges or not all(0 <= first <= last < MOST_SEEDS for first, last in ranges):
        raise refused
    found = tuple(seed for first, last in ranges for seed in range(first, last + 1))
    if len(set(found)) < len(found):
        raise SpecError(where, f"{seeds!r} names a seed twice", "every seed once")
    return found


def names_seeds(seeds: object) -> bool:
    """Whether seeds are named ("3-5"), not counted ("3")."""
    return isinstance(seeds, tuple) or (isinstance(seeds, str) and ("-" in seeds or "," in seeds))
