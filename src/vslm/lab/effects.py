"""The verdict of a study with factors: what each is worth over all runs, and declared interactions; from finished runs.

A seed counts when every run of the design has it. Errors are shared by the effects, as in a study of arms by the arms.
Lower is better in here; what comes out has the number's own sign.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vslm.core.errors import ResultError
from vslm.core.specs import to_plain
from vslm.lab.standing import finite, mean_of, minutes_per_seed, say_more_time, smallest_effect_of, take_in
from vslm.results.folder import RunFolder
from vslm.results.records import (
    EffectVerdict,
    FactorialRecord,
    InteractionRecord,
    KindsRecord,
    Pair,
    RateCostRecord,
    ShareRecord,
    StudyRecord,
)
from vslm.stats.designs import Design
from vslm.stats.effects import is_behind, kinds_of_cells, look_at_effect, undeclared, weights_of
from vslm.stats.intervals import per_arm_error
from vslm.stats.kinds import share_interval
from vslm.stats.looks import LookPlan, error_of_look
from vslm.stats.pilot import early_in_words
from vslm.stats.verdicts import in_words
from vslm.study.factors import Factorial, interaction_name

_ANEW = "begin the study anew in another place with --out"
_MOST_WARNINGS = 4
_WARNING_ERROR = 0.05  # of all interactions that were not declared, together


def factorial_record(factorial: Factorial | None, factors: Mapping[str, Mapping[str, Any]]) -> FactorialRecord | None:
    """What a study declares of its factors, as recorded; None for a study of arms."""
    if factorial is None:
        return None
    is_in_part = factorial.design.kind == "plackett-burman"  # then with nearly everything
    every = {} if is_in_part else {**factorial.effects, **factorial.undeclared()}
    return FactorialRecord(
        factors={name: {path: to_plain(value) for path, value in changes.items()} for name, changes in factors.items()},
        interactions=[[factorial.factors[i] for i in pair] for pair in factorial.interactions],
        kind=factorial.design.kind,
        words=factorial.words(),
        cells={arm: list(on) for arm, on in factorial.cells.items()},
        mixed={name: mixed for name, places in every.items() if (mixed := factorial.mixed_with(places))},
    )


class Effects:
    """The effects of a study, from its runs.

    Args:
        study: the record, with factors. place: its folder.
        plan: its looks.
        runs: that ended, by arm and seed.
        values: the primary number of each, None for one that diverged.
        is_early: whether runs end before the baseline has begun to use its context.
    """

    def __init__(
        self,
        study: StudyRecord,
        place: Path,
        plan: LookPlan,
        runs: Mapping[str, Mapping[int, RunFolder]],
        values: Mapping[str, Mapping[int, float | None]],
        *,
        is_early: bool,
    ) -> None:
        assert study.factorial is not None
        self.study, self.plan, self.runs, self.is_early = study, plan, runs, is_early
        self.factorial, self.primary = study.factorial, study.primary
        self.factors = list(self.factorial.factors)
        self.design = _design(self.factorial)
        self.cells = list(self.factorial.cells)
        if set(self.cells) != set(study.arms):
            odd = sorted(set(self.cells) ^ set(study.arms))[0]
            found = f"factorial.cells: {odd!r} is not both there and an arm"
            raise ResultError(str(place / "study.json"), found, "every arm is a combination of the factors", _ANEW)
        every = [values[arm] for arm in self.cells]
        self.seeds = sorted(set.intersection(*(set(found) for found in every)))
        self.diverged = [seed for seed in self.seeds if any(found[seed] is None for found in every)]
        well = [seed for seed in self.seeds if seed not in self.diverged]
        self.well, self.own_RN = well, np.array([[found[seed] for seed in well] for found in every], dtype=float)
        self.values_RN = self.primary.turned(self.own_RN)
        self.kinds = kinds_of_cells(self.values_RN)

    def judged(self, before: Mapping[str, EffectVerdict]) -> dict[str, EffectVerdict]:
        """Every effect. Looks taken before are kept."""
        found = {
            interaction_name(names): self._effect(names, before.get(interaction_name(names), EffectVerdict()))
            for names in [*([name] for name in self.factors), *self.factorial.interactions]
        }
        for effect in found.values():
            if len(effect.factors) == 1:
                self._say_what_it_depends_on(effect, found)
        return found

    def kinds_record(self) -> KindsRecord:
        """Whether runs are of two kinds, and how many of each arm got going; not where the two hardly differ."""
        if not self.kinds.matter(smallest_effect_of(self.primary)):
            return KindsRecord(state=self.kinds.state)
        count, rows = len(self.well), {}
        for arm, behind_N in zip(self.cells, is_behind(self.values_RN, self.kinds), strict=True):
            going = count - int(behind_N.sum())
            rows[arm] = ShareRecord(going=going, seeds=count, interval=list(share_interval(going, count)))
        return KindsRecord(state="two", arms=rows)

    def undeclared(self) -> dict[str, InteractionRecord]:
        """Interactions of two that were not declared, from two seeds on, and what is to be said of those that show."""
        declared = [sorted(self.factors.index(name) for name in pair) for pair in self.factorial.interactions]
        groups = self.design.other_pairs([(first, second) for first, second in declared])
        if len(self.well) < 2 or self.diverged:
            return {}
        found = {}
        for pair, mixed in groups.items():
            name = self._name(pair)
            weights_R = weights_of(self.design, pair)
            interval = undeclared(self.values_RN, weights_R, error=per_arm_error(_WARNING_ERROR, len(groups)))
            row = InteractionRecord(
                delta=self.primary.turned(interval.mean),
                interval=[finite(end) for end in self.primary.turned_interval(interval.low, interval.high)],
                seeds=self.well,
                mixed=[self._name(one) for one in mixed],
                is_seen=interval.low > 0 or interval.high < 0,
            )
            found[name] = row
        seen = sorted(
            (name for name, row in found.items() if row.is_seen), key=lambda name: -abs(found[name].delta or 0)
        )
        # Of one that is there, a design that mixes in part shows a part in many others, too.
        for name in seen[: 1 if self.factorial.kind == "plackett-burman" else _MOST_WARNINGS]:
            found[name].words = self._warning(name, found[name])
        return found

    def _warning(self, name: str, row: InteractionRecord) -> str:
        low, high = row.interval or (None, None)
        names = " or ".join([name, *row.mixed[:2]]) + (f" or {len(row.mixed) - 2} others" if len(row.mixed) > 2 else "")
        which = ", and the design cannot tell which" if row.mixed else ""
        return (
            f"not declared and no verdict: {names} shows, {row.delta:+.3g} ({low:+.3g} to {high:+.3g} "
            f"{self.primary.unit}){which}; effects of these factors are averages over the other's being off and on"
        )

    def _name(self, places: tuple[int, ...]) -> str:
        return interaction_name([self.factors[i] for i in places])

    def _effect(self, names: list[str], before: EffectVerdict) -> EffectVerdict:
        places = [self.factors.index(name) for name in names]
        weights_R = weights_of(self.design, places)
        on = self._with(names[0]) if len(names) == 1 else []
        record = EffectVerdict(
            verdict="unresolved",
            words="no seed is finished in every run of the design",
            interval=[None, None],
            factors=list(names),
            seeds=self.seeds,
            diverged=self.diverged,
            smallest_effect=self.primary.smallest_effect,
            tokens=self.study.arms[self.study.baseline].tokens,
            flops=_mean([mean_of(self.runs[arm], lambda end: end.flops) for arm in on]),
            seconds=_mean([mean_of(self.runs[arm], lambda end: end.seconds) for arm in on]),
            addition=0,
            rate_cost=RateCostRecord(arm=0.0, baseline=0.0),
            looks=list(before.looks),
            per_seed=self._sides(places),
        )
        if self.diverged:
            record.words = f"unresolved ({len(self.diverged)} of {len(self.seeds)} seeds have a run that diverged)"
        elif self.seeds:
            self._look(record, weights_R)
        return record

    def _with(self, factor: str) -> list[str]:
        return [arm for arm, on in self.factorial.cells.items() if factor in on]

    def _sides(self, places: list[int]) -> dict[str, Pair]:
        """By seed: means with and without a factor, or the effect of one with the other on and off."""
        on_RF = self.design.on_RF
        last_R = on_RF[:, places[-1]]
        arm_R, baseline_R = (np.where(side_R, 1.0, 0.0) / side_R.sum() for side_R in (last_R, ~last_R))
        if len(places) == 2:
            first_R = weights_of(self.design, places[:1])
            arm_R, baseline_R = (np.where(side_R, 2 * first_R, 0.0) for side_R in (last_R, ~last_R))
        pairs = zip(baseline_R @ self.own_RN, arm_R @ self.own_RN, strict=True)
        return {
            str(seed): Pair(baseline=float(baseline), arm=float(arm), difference=float(arm - baseline))
            for seed, (baseline, arm) in zip(self.well, pairs, strict=True)
        }

    def _look(self, record: EffectVerdict, weights_R: np.ndarray) -> None:
        """Look at an effect of which every run ended well, and write down what follows."""
        num_effects = len(self.factors) + len(self.factorial.interactions)
        looks, effect, count = record.looks, smallest_effect_of(self.primary), len(self.seeds)
        taken = [look.seeds for look in looks]
        found = look_at_effect(
            self.values_RN,
            weights_R,
            error=per_arm_error(error_of_look(self.plan, taken, count), num_effects),
            smallest_effect=effect,
            kinds=self.kinds,
            within=self.primary.most_apart,
        )
        look, before = take_in(record, found, looks, self.seeds, self.primary)
        more = None
        if look.verdict == "unresolved" and count > 1 and self.kinds.state != "two" and not look.remarks:
            error = per_arm_error(error_of_look(self.plan, [*taken, count], count + 1), num_effects)
            per_seed = minutes_per_seed(self.runs, self.cells, self.study)
            differences_N = weights_R @ self.values_RN
            more = say_more_time(record, differences_N, effect, error=error, minutes_per_seed=per_seed)
        tokens, unit = record.tokens or 0, self.primary.unit
        words = [in_words(look, smallest_effect=effect, tokens=tokens, more=more, unit=unit, before=before)]
        if len(record.factors) == 2 and look.verdict in _TOGETHER:
            words.append(_TOGETHER[look.verdict].format(first=record.factors[0], second=record.factors[1]))
        if self.is_early:
            words.append(early_in_words(self.study.baseline))
        record.words = "; ".join(words)

    def _say_what_it_depends_on(self, effect: EffectVerdict, found: Mapping[str, EffectVerdict]) -> None:
        """That a factor's effect is an average over another's being off and on, where that is known to matter."""
        own = effect.factors[0]
        for name, other in found.items():
            if len(other.factors) == 2 and own in other.factors and other.verdict in ("better", "worse"):
                effect.words = f"{effect.words}; an average, for it depends on another factor ({name})"


_TOGETHER = {
    "better": "{first} and {second} together are worth more than what each is worth alone, added up",
    "worse": "{first} and {second} together are worth less than what each is worth alone, added up",
    "equivalent": "what {first} and {second} are worth adds up",
}


def _design(record: FactorialRecord) -> Design:
    """The runs of a study, as recorded: its arms in their order."""
    factors = list(record.factors)
    on_RF = np.array([[name in on for name in factors] for on in record.cells.values()], dtype=bool)
    return Design("fraction", on_RF, 4)  # what is mixed is read from the runs


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
