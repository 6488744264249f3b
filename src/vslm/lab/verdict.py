"""The verdict of a study, from its finished runs: `verdict.json`.

Statistics know one direction: lower is better. So numbers of which higher is better are turned where they go in, and
what comes out is turned back: in the record every value, difference and interval has the number's own sign and unit.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from vslm.core.errors import ResultError
from vslm.data.batches import mean_over_positions
from vslm.lab.effects import Effects
from vslm.lab.standing import (
    finite,
    mean_of,
    minutes_per_seed,
    pair_of,
    say_more_time,
    smallest_effect_of,
    span_of,
    take_in,
)
from vslm.results.files import write_json
from vslm.results.folder import RUN_AGAIN, VERDICT_ANEW, VERDICT_SEAL, RunFolder, StudyFolder, budget_name
from vslm.results.forks import Forks
from vslm.results.primary import LARGEST, PrimaryNumber
from vslm.results.records import (
    ArmVerdict,
    BudgetVerdict,
    Estimate,
    KindsRecord,
    MissingRun,
    Pair,
    RateCostRecord,
    ShareRecord,
    StudyRecord,
    TrendRecord,
    Verdict,
)
from vslm.results.seals import digest_of
from vslm.results.shapes import first_odd
from vslm.stats.intervals import per_arm_error
from vslm.stats.kinds import clearest, share_interval
from vslm.stats.looks import LookPlan, error_of_look, plan_of_added_arms
from vslm.stats.pilot import early_in_words
from vslm.stats.trends import in_words as trend_in_words
from vslm.stats.trends import trend
from vslm.stats.tuned_rates import Search, costs_of_rates
from vslm.stats.verdicts import RateCost, in_words, look_at


def primary_value(
    run: RunFolder, primary: PrimaryNumber, bytes_per_token: float, *, split: Literal["val", "select"] = "val"
) -> float | None:
    """The primary number of a finished run that was evaluated on `split`; None for one that diverged.

    Raises: ResultError where the run has not recorded it.
    """
    if run.done is None or not run.done.ended_well:
        return None
    do = "delete done.json beside it and run the study again, which makes it anew"
    if not primary.is_loss:
        value = primary.last_in(run.arrays, split)
        if value is None:
            found = f"{primary.array_name(split)} is not there, or no number after the last step"
            if primary.array_name(split) in run.arrays:
                found = f"{primary.array_name(split)} ends with no number that can be judged"
                do = f"mend the measure {primary.measure!r}, and begin anew in another place with --out"
            raise ResultError(str(run.path / "arrays.npz"), found, "the study is judged by it", do)
        return value
    first, end = primary.positions or (0, None)
    name = f"final_{split}_loss_nats_T"
    if name not in run.arrays:
        raise ResultError(str(run.path / "arrays.npz"), f"{name} is not there", "a run that is done has it", do)
    loss_nats = _mean_loss(run.arrays[name], run.arrays.get(f"final_{split}_weight_T"), slice(first, end))
    if not abs(loss_nats) <= LARGEST:  # of files that something else wrote, or where no target counts
        found = f"{name} holds no losses at positions {first} to {end or 'the end'}"
        raise ResultError(str(run.path / "arrays.npz"), found, "finite numbers are needed", do)
    return loss_nats / (math.log(2) * bytes_per_token) if primary.measure == "val_bpb" else loss_nats


def _mean_loss(loss_nats_T: np.ndarray, weight_T: np.ndarray | None, part: slice) -> float:
    """Over positions; where targets count differently, NaN stands where none counts. NaN for a mean of nothing."""
    if loss_nats_T.ndim != 1 or (weight_T is not None and weight_T.shape != loss_nats_T.shape):
        return math.nan
    losses_T, weights_T = loss_nats_T[part], np.ones(loss_nats_T.shape)[part] if weight_T is None else weight_T[part]
    counts_T = weights_T > 0
    if not counts_T.any() or not (np.abs(losses_T[counts_T]) <= LARGEST).all():
        return math.nan
    return mean_over_positions(losses_T, None if weight_T is None else weights_T)


def write_verdict(folder: StudyFolder, say: Callable[[str], None] | None = None) -> Verdict:
    """Look at what is done, judge every arm, and write `verdict.json`. Looks taken before are kept; of a verdict that
    is torn, or was changed, they are counted anew, and `say` gets a sentence about it.

    Raises: ResultError where the record of the study lacks what is needed to judge.
    """
    study, there = folder.study_to("judge"), StudyFolder(folder.path)
    known = []
    try:
        before = verdict_before(there)
        known.append(digest_of(there.plain_verdict or {"arms": {}}))
    except ResultError as error:
        before = Verdict()
        if say is not None:
            say(f"{error.where}: {error.found}; it is made anew, and looks are counted anew")
    verdict = _verdict(folder, study, before)
    plain = verdict.plain()
    # Beside it, since a verdict of the same numbers is the same, whenever it was read. First, and with the digest of
    # the one that is there, so that a process which is killed in between leaves a verdict that is known.
    known.append(digest_of(plain))
    write_json(folder.path / VERDICT_SEAL, {"digests": known, "read_from": folder.checksums_of_runs()})
    write_json(folder.path / "verdict.json", plain)
    return verdict


def verdict_before(folder: StudyFolder) -> Verdict:
    """`verdict.json` as it was written; one without arms before the first look.

    Raises: ResultError if it is torn, another than was written, or lacks what a later one is made from.
    """
    verdict = folder.verdict
    if verdict is None:
        return Verdict()
    if odd := first_odd(folder.plain_verdict, Verdict.rules(), to="judge"):
        raise ResultError(str(folder.path / "verdict.json"), odd.found, odd.allowed, VERDICT_ANEW)
    return verdict


def is_resolved(verdict: Verdict) -> bool:
    """Whether no judged arm or effect is left to decide, at any budget; not so where none is judged at all."""
    words = [arm.verdict for at in (verdict, *verdict.budgets.values()) for arm in at.arms.values()]
    words += [effect.verdict for effect in verdict.effects.values()]
    return bool(words) and "unresolved" not in words


def num_comparisons(num_others: int, num_budgets: int) -> int:
    """Intervals that hold together: every arm at every budget, and with several of them how each arm's difference goes.

    >>> num_comparisons(2, 1), num_comparisons(2, 3)
    (2, 8)
    """
    return num_others * (num_budgets + (num_budgets > 1))


def _verdict(folder: StudyFolder, study: StudyRecord, before: Verdict) -> Verdict:
    if study.factorial is not None:
        return _verdict_of_factors(folder, study, before)
    budgets = folder.budgets
    judged = {
        budget: _Judge(folder, study, budget).judge(
            before if budget == 1 else before.budgets.get(budget_name(budget), BudgetVerdict())
        )
        for budget in budgets
    }
    screened = {} if study.screening is None else study.screening.arms
    arms = judged[1.0].arms
    return Verdict(
        question=study.question,
        baseline=study.baseline,
        primary=study.primary,
        arms=arms,
        baseline_per_seed=judged[1.0].baseline_per_seed,
        kinds=judged[1.0].kinds,
        is_early=judged[1.0].is_early,
        budgets={budget_name(budget): row for budget, row in judged.items() if budget != 1},
        missing=[gone for at in judged.values() for gone in at.missing],
        trends=_trends(judged, study, before.trends) if len(budgets) > 1 else {},
        screened_out={
            arm: dataclasses.replace(row, words="screened out, no verdict")
            for arm, row in screened.items()
            if row.role == "screened out"
        },
        dropped={arm: row for arm, row in study.dropped.items() if arm not in arms},
    )


def _verdict_of_factors(folder: StudyFolder, study: StudyRecord, before: Verdict) -> Verdict:
    """What each factor is worth over all runs; no arm is judged by itself."""
    judge = _Judge(folder, study, 1.0)
    effects = Effects(study, folder.path, look_plan(study), judge.runs, judge.values, is_early=judge.is_early)
    return Verdict(
        question=study.question,
        baseline=study.baseline,
        primary=study.primary,
        baseline_per_seed=judge.baseline_per_seed(),
        kinds=effects.kinds_record(),
        missing=judge.missing(),
        is_early=judge.is_early or None,
        effects=effects.judged(before.effects),
        undeclared=effects.undeclared(),
        cells={arm: {str(seed): value for seed, value in sorted(its.items())} for arm, its in judge.values.items()},
    )


class _Errors:
    """What every arm may spend at a look: the arms that a study began with share its planned errors, arms that were
    added later share what is kept for them.
    """

    def __init__(self, study: StudyRecord, others: list[str], num_budgets: int) -> None:
        self._plan, self._num_budgets = look_plan(study), num_budgets
        self._addition = {arm: study.arms[arm].addition or 0 for arm in others}

    def addition(self, arm: str) -> int:
        """0 for an arm that was there at the beginning, n for one that was added the n-th time that arms were."""
        return self._addition[arm]

    def of_look(self, arm: str, taken: list[int], seeds: int) -> float:
        """The error of one interval of this arm at a look at so many seeds."""
        addition = self._addition[arm]
        plan = plan_of_added_arms(self._plan, addition) if addition else self._plan
        together = num_comparisons(sum(other == addition for other in self._addition.values()), self._num_budgets)
        return per_arm_error(error_of_look(plan, taken, seeds), together)


class _Judge:
    """All arms at one budget."""

    def __init__(self, folder: StudyFolder, study: StudyRecord, budget: float) -> None:
        self.folder, self.study, self.budget = folder, study, budget
        self.baseline, self.primary = study.baseline, study.primary
        self.arms = folder.judged_arms
        self.others = [arm for arm in self.arms if arm != self.baseline]
        self.errors = _Errors(study, self.others, len(folder.budgets))
        self.costs = _rate_costs(study, self.others)
        self.is_early = _is_early(study, budget)
        self.runs = {
            arm: {run.seed: run for run in folder.runs(arm, budget) if folder.ended(run, budget) is not None}
            for arm in self.arms
        }
        self.values = {
            arm: {
                seed: primary_value(run, self.primary, study.arms[arm].bytes_per_token) for seed, run in found.items()
            }
            for arm, found in self.runs.items()
        }
        for arm in self.arms:
            self.values[arm] |= dict.fromkeys(self._never(arm))
        self.forks = Forks.of(study)
        self.kinds = clearest({arm: np.array(self._known(arm)) for arm in self.values})

    def _never(self, arm: str) -> list[int]:
        """Seeds at which a run that this arm reads diverged, or one that that one reads: it counts as diverged itself,
        since a seed that is left out on one side would not be left out by chance.
        """
        rows = {**self.study.trunks, **self.study.arms}
        reads, wanted = {name: row.reads for name, row in rows.items()}, [arm]
        for name in wanted:
            wanted += [other for other in reads.get(name, []) if other in rows and other not in wanted]
        ended = {
            (name, seed): self.folder.run(name, seed).ended_as(rows[name].runs.get(str(seed)))
            for name in wanted[1:]
            for seed in self.study.seeds_of(arm)
        }
        return sorted({seed for (_, seed), done in ended.items() if done is not None and not done.ended_well})

    def judge(self, before: BudgetVerdict) -> BudgetVerdict:
        """The arms' records. Looks taken before are kept; an arm that a race has dropped is looked at no more, and is
        what a planned look has made of it before, if that was something.
        """
        arms = {}
        for arm in self.others:
            known = before.arms.get(arm, ArmVerdict())
            if arm not in self.study.dropped:
                arms[arm] = self._arm(arm, known.looks)
            elif known.verdict not in (None, "unresolved"):
                arms[arm] = known
        return BudgetVerdict(
            arms=arms,
            baseline_per_seed=self.baseline_per_seed(),
            kinds=self._kinds(),
            missing=self.missing(),
            is_early=self.is_early or None,
        )

    def baseline_per_seed(self) -> dict[str, float | None]:
        """The primary number of the baseline's runs; None for one that diverged."""
        return {str(seed): value for seed, value in sorted(self.values[self.baseline].items())}

    def missing(self) -> list[MissingRun]:
        """The runs that are lacking, each with why."""
        name = "" if self.budget == 1 else f" {budget_name(self.budget)}"
        return [
            MissingRun(arm=f"{arm}{name}", seed=seed, why=_why_missing(self.folder.run(arm, seed, self.budget)))
            for arm in self.arms
            for seed in self.study.seeds_of(arm)
            if seed not in self.runs[arm]
        ]

    def _kinds(self) -> KindsRecord:
        """Whether runs are of two kinds, and how many of each arm have got going, with the exact 95% interval."""
        if not self.kinds.matter(smallest_effect_of(self.primary)):
            return KindsRecord(state=self.kinds.state)
        rows = {}
        for arm in self.values:
            known = self._known(arm)
            going = sum(value < self.kinds.between for value in known)
            rows[arm] = ShareRecord(going=going, seeds=len(known), interval=list(share_interval(going, len(known))))
        return KindsRecord(state="two", between=self.primary.turned(self.kinds.between), arms=rows)

    def _arm(self, arm: str, looks_before: list[Estimate]) -> ArmVerdict:
        values, baseline = self.values[arm], self.values[self.baseline]
        seeds = sorted(set(values) & set(baseline))
        diverged = [seed for seed in seeds if values[seed] is None or baseline[seed] is None]
        per_seed = {str(seed): pair_of(baseline[seed], values[seed]) for seed in seeds if seed not in diverged}
        cost = self.costs.get(arm, RateCost())
        record = ArmVerdict(
            verdict="unresolved",
            words="no seed is finished on both sides",
            interval=[None, None],
            seeds=seeds,
            diverged=diverged,
            smallest_effect=self.primary.smallest_effect,
            tokens=sum(max(1, round(tokens * self.budget)) for tokens in self.study.arms[arm].stages_tokens),
            num_parameters=self.study.arms[arm].num_parameters,
            flops=mean_of(self.runs[arm], lambda end: end.flops),
            seconds=mean_of(self.runs[arm], lambda end: end.seconds),
            addition=self.errors.addition(arm),
            rate_cost=RateCostRecord(arm=finite(cost.arm), baseline=finite(cost.baseline)),
            looks=list(looks_before),
            per_seed=per_seed,
        )
        if diverged:
            record.words = f"unresolved ({len(diverged)} of {len(seeds)} diverged)"
        elif seeds:
            self._look(arm, record, cost)
        return record

    def _look(self, arm: str, record: ArmVerdict, cost: RateCost) -> None:
        """Look at an arm of which every pair ended well, and write down what follows."""
        looks, seeds, effect = record.looks, record.seeds, smallest_effect_of(self.primary)
        differences_N = self.primary.turned(np.array([pair.difference for pair in record.per_seed.values()]))
        taken = [look.seeds for look in looks]
        found = look_at(
            differences_N,
            error=self.errors.of_look(arm, taken, len(seeds)),
            smallest_effect=effect,
            kinds=self.kinds,
            uneven=self._uneven(record.per_seed),
            cost=cost,
            within=self.primary.most_apart,
        )
        look, before = take_in(record, found, looks, seeds, self.primary)
        more = None
        is_even = self._are_even(arm)
        if look.verdict == "unresolved" and len(seeds) > 1 and is_even and not look.remarks:
            error = self.errors.of_look(arm, [*taken, len(seeds)], len(seeds) + 1)
            per_seed = minutes_per_seed(self.runs, (arm, self.baseline), self.study)
            more = say_more_time(record, differences_N, effect, error=error, minutes_per_seed=per_seed)
        words = in_words(
            look,
            smallest_effect=effect,
            tokens=record.tokens or 0,
            more=more,
            unit=self.primary.unit,
            before=before,
        )
        if not is_even and not self.kinds.cannot_make(look.low, look.high):
            words = f"{words}; {self._share_in_words(arm)}"
        if record.addition:
            words = f"{words}; added after the study had begun, so judged at an error of {look.error:.2%}"
        if forked := self.forks.of_verdict(arm, self.baseline, record.tokens or 0):
            words = f"{words}; {forked}"
        if self.is_early:
            words = f"{words}; {early_in_words(self.baseline)}"
        record.words = words

    def _are_even(self, arm: str) -> bool:
        """Whether runs are of one kind, or all of this arm's and of the baseline's got going."""
        known = [value for name in (arm, self.baseline) for value in self._known(name)]
        return not self.kinds.matter(smallest_effect_of(self.primary)) or max(known) < self.kinds.between

    def _share_in_words(self, arm: str) -> str:
        rows = self._kinds().arms
        own, base = (
            f"{share.going} of {share.seeds} ({' to '.join(f'{end:.0%}' for end in share.interval or [])})"
            for share in (rows[arm], rows[self.baseline])
        )
        end = "high" if self.primary.higher_is_better else "low"
        return f"runs are of two kinds: {own} ended {end}, of {self.baseline} {base}, so no interval of the mean holds"

    def _uneven(self, per_seed: dict[str, Pair]) -> tuple[int, int] | None:
        """Pairs of which the arm's run alone, and the baseline's alone, ended behind; None for runs of one kind."""
        if self.kinds.state != "two":
            return None
        behind = [
            tuple(self.primary.turned(value) > self.kinds.between for value in (pair.arm, pair.baseline))
            for pair in per_seed.values()
        ]
        return sum(arm and not base for arm, base in behind), sum(base and not arm for arm, base in behind)

    def _known(self, arm: str) -> list[float]:
        """Of the runs that ended well, by seed, turned so that lower is better."""
        return [self.primary.turned(value) for _, value in sorted(self.values[arm].items()) if value is not None]


def _is_early(study: StudyRecord, budget: float) -> bool:
    """Whether runs at a budget end before the baseline has begun to use its context, as far as a pilot tells."""
    if study.pilot is None or study.pilot.past_tokens is None:
        return False
    return budget * study.arms[study.baseline].tokens < study.pilot.past_tokens


def _rate_costs(study: StudyRecord, others: list[str]) -> dict[str, RateCost]:
    """What the searches for learning rates leave open on both sides; none where rates are as declared."""
    turned = study.primary.turned
    searches = {
        arm: Search(
            [at.rate for at in row.rates],
            [[None if value is None else turned(value) for value in at.values] for at in row.rates],
            row.chosen,
        )
        for arm, row in study.tuning.items()
    }
    costs = costs_of_rates(searches)
    return {arm: RateCost(costs.get(arm, 0.0), costs.get(study.baseline, 0.0)) for arm in others if costs}


def _why_missing(run: RunFolder) -> str | None:
    return f"{run.damage}; {RUN_AGAIN}" if run.damage else run.failed


def look_plan(study: StudyRecord) -> LookPlan:
    """The planned looks of a study, as its record holds them."""
    return LookPlan(tuple(study.plan.looks), tuple(study.plan.errors), study.plan.reserve)


def _trends(
    judged: dict[float, BudgetVerdict], study: StudyRecord, before: dict[str, TrendRecord]
) -> dict[str, TrendRecord]:
    """How each arm's difference goes from the smallest budget to the largest, paired by seed."""
    small, large = min(judged), max(judged)
    primary, effect = study.primary, smallest_effect_of(study.primary)
    errors = _Errors(study, list(judged[1.0].arms), len(judged))
    found = {}
    for arm in judged[1.0].arms:
        ends = [judged[budget].arms[arm] for budget in (small, large)]
        seeds = sorted(set(ends[0].per_seed) & set(ends[1].per_seed), key=int)
        record = TrendRecord(
            trend="unresolved",
            words=trend_in_words("unresolved"),
            interval=[None, None],
            budgets=[small, large],
            tokens=[end.tokens or 0 for end in ends],
            num_parameters=ends[0].num_parameters,
            seeds=[int(seed) for seed in seeds],
            looks=list(before.get(arm, TrendRecord()).looks),
        )
        if seeds and not any(end.diverged for end in ends):
            start_N, end_N = (np.array([end.per_seed[seed].difference for seed in seeds]) for end in ends)
            error = errors.of_look(arm, [look.seeds for look in record.looks], len(seeds))
            # Rates were searched at one budget, so what they cost at another may be as much again on either side.
            cost = (ends[0].rate_cost.arm or 0.0) + (ends[0].rate_cost.baseline or 0.0)
            taken = look_at(
                primary.turned(end_N - start_N),
                error=error,
                smallest_effect=effect,
                cost=RateCost(cost, cost),
                within=2 * primary.most_apart,  # a difference of two differences
            )
            stands = ArmVerdict()
            take_in(stands, taken, record.looks, record.seeds, primary)
            way = trend(span_of(ends[0].interval), span_of(ends[1].interval), span_of(stands.interval), effect)
            if _is_barred(ends, [judged[budget].kinds.state for budget in (small, large)]):
                way = "unresolved"
            record.trend, record.words = way, trend_in_words(way)
            record.change, record.interval = stands.delta, stands.interval
        found[arm] = record
    return found


def _is_barred(ends: list[ArmVerdict], states: list[str | None]) -> bool:
    """Whether the intervals that a trend is deduced from do not hold: runs of two kinds, or a rate at the edge."""
    return "two" in states or any(None in (end.rate_cost.arm, end.rate_cost.baseline) for end in ends)
