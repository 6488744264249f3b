"""The words and numbers of the page, ready to be shown: cards, facts, rows of tables.

Everything here is text or lists of text, in the order of the page. Nothing is escaped; the template does that.

Not for: figures, and not for markup.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vslm.core.numbers import passes_number
from vslm.report.figures.style import Style
from vslm.report.numbers import searches
from vslm.report.numbers.curves import ERROR, training_curves
from vslm.report.numbers.formatting import (
    count,
    decimals_for,
    duration,
    ends,
    formatted,
    joined_differences,
    listing,
    seeds,
    signed,
    span,
    spec_text,
)
from vslm.report.numbers.runs import Run
from vslm.report.numbers.tables import VERDICT_WORDS, Judged, effect_word, is_interaction
from vslm.results.folder import budget_name
from vslm.results.forks import Forks
from vslm.results.primary import PrimaryNumber
from vslm.results.records import (
    ArmVerdict,
    BudgetVerdict,
    RacingRecord,
    ScreenedArm,
    SplitRecord,
    StudyRecord,
    TrendRecord,
    Verdict,
)
from vslm.stats.basins import Basin
from vslm.stats.intervals import student_interval
from vslm.stats.pilot import early_in_words

_BAR_PADDING = 0.08  # of the common axis, on both sides
_DIGESTS = ("sha256.", "sizes.")  # of the files of a corpus
_MOST_SAMPLE_CHARACTERS = 6_000
_SIZES = {  # what Study(equal=...) names: where it is recorded, and in words
    "parameters": ("num_parameters", "parameters"),
    "non_embedding_parameters": ("num_parameters_without_embeddings", "parameters without embeddings"),
    "flops": ("flops_per_token", "useful FLOPs per token"),
}
_MORE_OR_LESS = {"better": "more", "worse": "less"}  # that two factors are worth together
_MOST_PATHS = 3  # before arms with the same seeds are written as one path


def cards(primary: PrimaryNumber, rows: Sequence[Judged], style_of: Mapping[str, Style]) -> list[dict[str, Any]]:
    """One card per judged arm, with its interval as percentages of an axis that all cards share."""
    low, high = _common_axis(rows)
    sides = ("worse", "better") if primary.higher_is_better else ("better", "worse")

    def place(value: float | None) -> float | None:
        return None if value is None else round(100 * (value - low) / (high - low), 3)

    cards = []
    for row in rows:
        at, effect = row.at, row.at.smallest_effect
        decimals = decimals_for(effect)
        interval = ends(at.interval)
        cards.append(
            {
                "arm": row.arm,
                "style": style_of[row.arm],
                "verdict": row.verdict,
                "label": effect_word(row),
                "words": at.words or "",
                "delta": signed(at.delta, decimals),
                "interval": span(*interval, decimals),
                "seeds": at.seeds,
                "diverged": at.diverged,
                "minutes": at.minutes_to_resolve,
                "bar": {
                    "ends": (signed(low, decimals), signed(high, decimals)),
                    "sides": tuple(_MORE_OR_LESS[side] for side in sides) if is_interaction(row) else sides,
                    "low": place(interval[0]),
                    "high": place(interval[1]),
                    "delta": place(at.delta),
                    "zero": place(0.0),
                    "zone": None if effect is None else (place(-effect), place(effect)),
                    "seeds": [x for pair in at.per_seed.values() if (x := place(pair.difference)) is not None],
                },
                "effect": effect,
                "unit": primary.unit,
            }
        )
    return cards


def _common_axis(rows: Sequence[Judged]) -> tuple[float, float]:
    reached: list[float] = [0.0]
    for at in (row.at for row in rows):
        effect = at.smallest_effect
        found = [at.delta, *(at.interval or ()), *(pair.difference for pair in at.per_seed.values())]
        found += [] if effect is None else [effect, -effect]
        reached += [float(value) for value in found if value is not None]
    width = (max(reached) - min(reached)) or 1.0
    return min(reached) - _BAR_PADDING * width, max(reached) + _BAR_PADDING * width


def facts(study: StudyRecord, verdict: Verdict) -> list[tuple[str, str]]:
    """What a verdict means nothing without, in a strip under the cards."""
    effect, is_compared = study.primary.smallest_effect, len(study.arms) > 1
    tokens = {arm.tokens for arm in study.arms.values()}
    facts = [
        ("Compared", study.primary.compared) if is_compared else ("Arms", "one, so no verdict"),
        ("Design", f"{len(study.factorial.factors)} factors, {len(study.factorial.cells)} combinations")
        if study.factorial is not None
        else None,
        ("Smallest effect that matters", f"{effect:g}") if effect is not None and is_compared else None,
        ("Seeds declared", seeds(study.seeds)),
        ("Tokens per run", count(tokens.pop()) if len(tokens) == 1 else "differ by arm, see below"),
        _passes(study),
        _pilot(study),
        ("Matched by", str(study.match)) if study.match and is_compared else None,
        ("Equal in", _equality(study)) if study.equal else None,
        _forked(study),
        _dropped(study),
    ]
    missing = verdict.missing
    if missing:
        facts.append(("Missing from the verdict", f"{len(missing)} run{'s' if len(missing) > 1 else ''}, see below"))
    return [fact for fact in facts if fact is not None]


def _forked(study: StudyRecord) -> tuple[str, str] | None:
    """What arms start from, in few words; None where all start from new weights."""
    forks = Forks.of(study)
    told = dict.fromkeys(forks.in_words(arm) for arm in study.arms)
    if not any(told):
        return None
    return "Forked", "differently, see above" if len(told) > 1 else str(next(iter(told))).removeprefix("forked ")


def forked(study: StudyRecord) -> str | None:
    """Whether arms have what came before the fork in common, and for what a verdict holds then; None without forks."""
    forks = Forks.of(study)
    if (words := forks.matched(study.arms)) is None:
        return None
    words = f"{words[0].upper()}{words[1:]}."
    if forks.of_one_model:
        one = "Every seed goes on from one and the same run, so intervals are of continuations of that one model."
        return f"{words} {one}"
    if len(study.arms) > 1 and len(forks.shared(study.arms)) == 1:
        return (
            f"{words} A pair shares its trunk, so what that is worth cancels; a verdict holds over trunks of this kind."
        )
    return words


def trunks(study: StudyRecord, runs: Mapping[str, list[Run]]) -> list[dict[str, Any]]:
    """One row per trunk: what it starts from, what reads it, and what its runs came to."""
    forks = Forks.of(study)
    rows = {**study.trunks, **study.arms}
    found = []
    for name, row in study.trunks.items():
        whole = [run for run in runs.get(name, []) if run.is_whole]
        found.append(
            {
                "name": name,
                "start": forks.in_words(name) or "new weights",
                "readers": listing([other for other, one in rows.items() if name in one.reads]),
                "parameters": count(row.num_parameters),
                "tokens": count(row.tokens),
                "flops": count(mean_of(whole, "flops"), "FLOP"),
                "seconds": duration(mean_of(whole, "seconds")),
                "loss": with_interval(whole, "val_loss"),
                "primary": None if study.primary.is_loss else final_with_interval(whole, study.primary),
                "seeds": seeds([run.seed for run in whole]),
            }
        )
    return found


def _dropped(study: StudyRecord) -> tuple[str, str] | None:
    """How many arms a race has dropped, and how many runs they were spared; None for a study without a race."""
    if study.racing is None:
        return None
    spared = sum(len(study.seeds) - len(study.seeds_of(arm)) for arm in study.confirmed)
    runs = f"{spared} run{'s' if spared != 1 else ''} not needed"
    return "Dropped from the race", f"{len(study.dropped)} of {len(study.confirmed) - 1} arms, {runs}"


def _pilot(study: StudyRecord) -> tuple[str, str] | None:
    """How many runs of the pilot use their context, and what it is worth to them, in few words."""
    runs = list(study.pilot.runs.values()) if study.pilot is not None else []
    gains = [run.gain_nats for run in runs if run.gain_nats is not None]
    if not gains:
        return None
    low, high = f"{min(gains):.2f}", f"{max(gains):.2f}"
    begun = sum(bool(run.has_begun) for run in runs)
    return (
        "Context used in the pilot",
        f"{begun} of {len(runs)} runs ({low if low == high else f'{low} to {high}'} nats)",
    )


_MOST_PASSES = 4  # beyond it a study says so before it trains


def _passes(study: StudyRecord) -> tuple[str, str] | None:
    """How often a run sees the training part of its text, of the arm that sees it most; None without a record of it."""
    most = 0.0
    for name, arm in study.arms.items():
        num_tokens = study.corpus_of(name).splits.get("train", SplitRecord()).num_tokens
        if num_tokens and arm.tokens:
            most = max(most, arm.tokens / num_tokens)
    if not most:
        return None
    warned = f"; above {_MOST_PASSES} a model learns its text by heart" if most > _MOST_PASSES else ""
    return "Passes over the text", f"{passes_number(most)}{warned}"


def corpora(study: StudyRecord) -> list[dict[str, Any]]:
    """Of every corpus its title, facts, and what was read and passed over in words; first what all have in common."""
    found = []
    for key, corpus in study.corpora.items():
        facts = {name: value for name, value in corpus.plain().items() if name != "read"}
        facts = sorted([("fingerprint", key), *flat(facts)], key=lambda fact: fact[0].startswith(_DIGESTS))  # last
        found.append({"title": "Corpus", "facts": facts, "read": corpus.read})
    return with_common_first(found, "All corpora")


def with_common_first(groups: list[dict[str, Any]], title: str) -> list[dict[str, Any]]:
    """Groups of facts, where what all of them have in common is a group of its own in front, and said once.

    >>> with_common_first([{"title": "x", "facts": [("a", "1"), ("b", "2")]}], "all")
    [{'title': 'x', 'facts': [('a', '1'), ('b', '2')]}]
    >>> first, second, third = with_common_first([{"facts": [("a", "1"), ("b", b)]} for b in "23"], "all")
    >>> first, second["facts"], third["facts"]
    ({'title': 'all', 'facts': [('a', '1')]}, [('b', '2')], [('b', '3')])
    """
    if len(groups) < 2:
        return groups
    common = [fact for fact in groups[0]["facts"] if all(fact in group["facts"] for group in groups[1:])]
    if not common:
        return groups
    own = [{**group, "facts": [fact for fact in group["facts"] if fact not in common]} for group in groups]
    return [{"title": title, "facts": common}, *own]


def kinds(verdict: Verdict) -> str | None:
    """How many runs of every arm got going, where runs are of two kinds; None where they are of one."""
    kinds = verdict.kinds
    shares = []
    for arm, row in kinds.arms.items():
        low, high = ends(row.interval)
        if low is not None and high is not None:
            shares.append(f"{arm} {row.going} of {row.seeds} ({low:.0%} to {high:.0%})")
    if kinds.state != "two" or not shares:
        return None
    side = "Above" if verdict.primary.higher_is_better else "Below"
    # Of factors a run is compared with the best of its own combination, so no one number parts the kinds.
    where = "Got going" if kinds.between is None else f"{side} {kinds.between:.3g} ended"
    ended = f"{where}: {listing(shares)}"
    return f"Runs are of two kinds. {ended}. Exact 95 % intervals of each share."


def early(study: StudyRecord, verdict: Verdict) -> str | None:
    """That runs end before the baseline has begun to use its context, or that the study stopped for it; else None."""
    pilot = study.pilot
    if verdict.is_early:
        words = f" Pilot: {pilot.words}." if pilot is not None and pilot.words else ""
        return f"Early: {early_in_words(study.baseline)}.{words}"
    if pilot is not None and pilot.has_begun is False and not pilot.goes_on:
        return f"The study stopped after its pilot, before other arms were judged: {pilot.words}."
    return None


def _equality(study: StudyRecord) -> str:
    """What is equal in all arms, and the arms that are declared unequal, each with its difference in percent."""
    key, words = _SIZES.get(str(study.equal), ("", str(study.equal)))
    base = getattr(study.arms.get(study.baseline), key, None)
    off = []
    for arm in study.unequal:
        size = getattr(study.arms.get(arm), key, None)
        off.append(f"{arm} {size / base - 1:+.1%}" if size is not None and base else arm)
    return f"{words}, within 0.5 %{f'; declared unequal: {listing(off)}' if off else ''}"


def screening(study: StudyRecord) -> dict[str, Any] | None:
    """The rows of the screening, best first, and what was confirmed; None for a study without one."""
    found = study.screening
    if found is None or not found.arms:
        return None

    def place(row: ScreenedArm) -> float:
        return math.inf if row.value is None else study.primary.turned(row.value)

    return {
        "rows": [
            {
                "arm": arm,
                "value": "diverged" if row.value is None else f"{row.value:.4f}",
                "difference": "none" if row.difference is None else signed(row.difference, 4),
                "tokens": count(row.tokens),
                "became": "screened out, no verdict" if row.role == "screened out" else str(row.role),
            }
            for arm, row in sorted(found.arms.items(), key=lambda named: place(named[1]))
        ],
        "seed": found.seed,
        "budget_fraction": found.budget_fraction,
    }


def race(study: StudyRecord) -> dict[str, Any] | None:
    """The arms that a race dropped, in that order, and the leader after each number of seeds; None without a race."""
    found = study.racing
    if found is None:
        return None
    decimals, unit = decimals_for(study.primary.smallest_effect), study.primary.unit
    judged = [arm for arm in study.confirmed if arm != study.baseline]
    order = sorted(judged, key=lambda arm: (arm not in found.dropped, len(study.seeds_of(arm))))
    rows = []
    for arm in order:
        row = found.dropped.get(arm)
        left = "a run diverged" if row is not None and row.behind is None else "dropped, no verdict"
        rows.append(
            {
                "arm": arm,
                "seeds": len(study.seeds_of(arm)),
                "leader": None if row is None or row.behind is None else row.leader,
                "behind": "" if row is None else "none" if row.behind is None else f"{row.behind:.{decimals}f}",
                "least": "" if row is None or row.least is None else signed(row.least, decimals),
                "became": "stayed" if row is None else left,
            }
        )
    return {
        "rows": rows,
        "unit": unit,
        "leaders": _leaders(found),
        "smallest_effect": f"{study.primary.smallest_effect:g}",
    }


def _leaders(racing: RacingRecord) -> list[tuple[str, str]]:
    """(numbers of seeds, arm that led after them); neighbors with the same leader are joined."""
    found: list[tuple[str, list[int]]] = []
    for one in racing.standings:
        if one.leader and found and found[-1][0] == one.leader:
            found[-1][1].append(len(one.seeds))
        elif one.leader:
            found.append((one.leader, [len(one.seeds)]))
    return [(f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}", arm) for arm, counts in found]


def tuning(study: StudyRecord, runs: Mapping[str, Sequence[Run]]) -> list[dict[str, Any]]:
    """One row per arm: the rate it was declared with, the rate it got, and whether that lies at an edge; its best
    number, how wide the stretch of rates near it is, how many runs diverged, and how soon the arm is at the baseline's
    last loss.
    """
    sides = {"low": "lowest", "high": "highest"}
    decimals = decimals_for(study.primary.smallest_effect)
    curves = {arm: training_curves(found, "val_loss") for arm, found in runs.items()}
    when = searches.reached(curves, str(study.baseline)) if study.primary.measure == "val_loss" else {}
    rows = []
    for arm, row in study.tuning.items():
        if None in (row.center, row.chosen):
            continue
        basin, (diverged, tried), soon = searches.basin(study, row), searches.num_diverged(row), when.get(arm)
        rows.append(
            {
                "arm": arm,
                "center": f"{row.center:g}",
                "chosen": f"{row.chosen:g}",
                "tried": len(row.rates),
                "seeds": len(row.seeds),
                "edge": sides.get(str(row.edge)),
                "best": "" if basin is None else f"{study.primary.turned(basin.best):.{decimals}f}",
                "basin": "" if basin is None else _basin_words(basin),
                "band": "" if basin is None else _basin_band(basin),
                "diverged": f"{diverged} of {tried}" if diverged else "none",
                "soon": "" if soon is None else f"{soon.steps:.0f} steps, {duration(soon.seconds)}",
            }
        )
    return rows


def _basin_band(basin: Basin) -> str:
    """Its band, or why there is none."""
    if basin.band is None:
        return "runs too far apart" if basin.is_noisy else ""
    return f"{basin.band[0]:.2f} to {basin.band[1]:.2f}"


def _basin_words(basin: Basin) -> str:
    """Decades, with what the grid left open."""
    is_open = basin.open_low or basin.open_high
    return f"{'at least ' if is_open else ''}{basin.decades:.2f} ({basin.low:.2g} to {basin.high:.2g})"


def budgets(study: StudyRecord, verdict: Verdict) -> list[dict[str, Any]]:
    """Per judged arm its verdict at every budget, and how its difference goes with training; [] for one budget."""
    if not verdict.budgets:
        return []
    by_name: dict[str, BudgetVerdict] = {"x1": verdict, **verdict.budgets}
    names = [name for budget in sorted(study.budgets) if (name := budget_name(budget)) in by_name]
    found = []
    for arm in verdict.arms:
        rows = []
        for name in names:
            row = by_name[name].arms.get(arm, ArmVerdict())
            decimals = decimals_for(row.smallest_effect)
            rows.append(
                {
                    "budget": name,
                    "tokens": count(row.tokens),
                    "delta": signed(row.delta, decimals),
                    "interval": span(*ends(row.interval), decimals),
                    "verdict": VERDICT_WORDS.get(str(row.verdict), "not judged"),
                    "seeds": seeds(row.seeds),
                }
            )
        trend = verdict.trends.get(arm, TrendRecord())
        found.append(
            {
                "arm": arm,
                "rows": rows,
                "words": trend.words or "",
                "change": signed(trend.change, 4),
                "interval": span(*ends(trend.interval), 4),
                "tokens": " to ".join(map(count, trend.tokens)),
                "parameters": count(trend.num_parameters),
            }
        )
    return found


def arm_row(study: StudyRecord, name: str, runs: list[Run], style: Style) -> dict[str, Any]:
    """One row of the table of arms. What was spent is the mean over the runs that ended well."""
    arm, primary = study.arms[name], study.primary
    whole = [run for run in runs if run.is_whole]
    return {
        "name": name,
        "style": style,
        "is_baseline": name == study.baseline,
        "differences": joined_differences(arm.differences),
        "parameters": count(arm.num_parameters),
        "without_embeddings": count(arm.num_parameters_without_embeddings),
        "trained": None if arm.num_trained_parameters is None else count(arm.num_trained_parameters),
        "flops_per_token": count(arm.flops_per_token, "FLOP"),
        "executed_flops_per_token": None
        if arm.executed_flops_per_token is None
        else count(arm.executed_flops_per_token, "FLOP"),
        "tokens": count(mean_of(whole, "tokens") or arm.tokens),
        "flops": count(mean_of(whole, "flops"), "FLOP"),
        "seconds": duration(mean_of(whole, "seconds")),
        "loss": with_interval(whole, "val_loss"),
        "bits": with_interval(whole, "val_bpb"),
        "primary": None if primary.is_loss else final_with_interval(whole, primary),
        "seeds": [run.seed for run in whole],
        "kernels": sorted({str(kernel) for kernel in arm.kernels.values()}),
        "fingerprint": arm.fingerprint,
    }


def mean_of(runs: list[Run], key: str) -> float | None:
    """The mean of a final number over runs; None if no run has it."""
    values = [value for run in runs if (value := getattr(run.done, key)) is not None]
    return float(np.mean(values)) if values else None


def with_interval(runs: list[Run], key: str) -> dict[str, str] | None:
    """A final number of an arm: its mean over seeds, with the 95 % Student-t interval from two seeds on."""
    return _in_words(np.array([x for run in runs if (x := getattr(run.done, key)) is not None], dtype=float))


def final_with_interval(runs: list[Run], primary: PrimaryNumber) -> dict[str, str] | None:
    """The same for a number that a measure recorded."""
    return _in_words(np.array([x for run in runs if (x := primary.last_in(run.arrays)) is not None], dtype=float))


def _in_words(values: np.ndarray) -> dict[str, str] | None:
    if not len(values):
        return None
    if len(values) == 1:
        return {"mean": f"{values[0]:.4f}", "interval": "one seed, no interval"}
    interval = student_interval(values, ERROR)
    return {"mean": f"{interval.mean:.4f}", "interval": f"{interval.low:.4f} to {interval.high:.4f}"}


def sources(runs: dict[str, list[Run]], file: str, *, whole_only: bool) -> list[str]:
    """Where a figure's numbers came from: a path per arm, or one for all where many arms have the same seeds."""
    by_arm = {arm: [run.seed for run in found if run.is_whole or not whole_only] for arm, found in runs.items()}
    by_arm = {arm: numbers for arm, numbers in by_arm.items() if numbers}
    if len(by_arm) > _MOST_PATHS and len({tuple(numbers) for numbers in by_arm.values()}) == 1:
        return [source("*", next(iter(by_arm.values())), file)]
    return [source(arm, numbers, file) for arm, numbers in by_arm.items()]


def source(arm: str, numbers: list[int], file: str) -> str:
    """Where a number came from, as one path: `full/seed{0-2}/done.json`."""
    those = f"seed{numbers[0]}" if len(numbers) == 1 else f"seed{{{seeds(numbers)}}}"
    return f"{arm}/{those}/{file}".rstrip("/")


def look_rows(rows: Sequence[Judged]) -> list[dict[str, Any]]:
    """One row per arm and look, planned or not."""
    looks = []
    for row in rows:
        decimals = decimals_for(row.at.smallest_effect)
        for number, look in enumerate(row.at.looks, start=1):
            looks.append(
                {
                    "arm": row.arm,
                    "number": number,
                    "seeds": formatted("%d", look.seeds),
                    "delta": signed(look.delta, decimals),
                    "interval": span(*ends(look.interval), decimals),
                    "error": "unknown" if look.error is None else f"{100 * look.error:.2g} %",
                    "verdict": VERDICT_WORDS.get(look.verdict, "unknown"),
                }
            )
    return looks


def seed_rows(rows: Sequence[Judged]) -> list[dict[str, Any]]:
    """One row per arm and seed: the numbers that a verdict came from."""
    table = []
    for row in rows:
        decimals = max(4, decimals_for(row.at.smallest_effect))
        for seed, pair in row.at.per_seed.items():
            both = {"baseline": pair.baseline, "arm": pair.arm}
            shown = {side: "missing" if value is None else f"{value:.4f}" for side, value in both.items()}
            shown["difference"] = "none" if pair.difference is None else signed(pair.difference, decimals)
            table.append({"name": row.arm, "seed": seed, **shown})
    return table


def sample_of(name: str, runs: list[Run]) -> dict[str, Any]:
    """The text of the first seed that has one, cut if it is long."""
    for run in runs:
        if run.sample:
            cut = run.sample[:_MOST_SAMPLE_CHARACTERS]
            return {
                "arm": name,
                "text": cut,
                "dropped": len(run.sample) - len(cut),
                "source": f"{run.where}/sample.txt",
            }
    return {"arm": name, "text": None, "dropped": 0, "source": ""}


def machines(runs: dict[str, list[Run]]) -> list[dict[str, Any]]:
    """Environments (machine, versions, settings) without repeats, each with its runs; first what all have in common."""
    groups: dict[str, dict[str, Any]] = {}
    for run in (run for arm in runs.values() for run in arm if run.environment):
        shared = {key: value for key, value in run.environment.items() if not key.endswith("_seed")}
        key = json.dumps(shared, sort_keys=True, default=str)
        groups.setdefault(key, {"facts": flat(shared), "runs": []})["runs"].append(run)
    found = [
        {"title": "Machine", "facts": [*group["facts"], ("runs", _grouped(group["runs"]))]} for group in groups.values()
    ]
    return with_common_first(found, "All machines and runs")


def _grouped(runs: list[Run]) -> str:
    arms = dict.fromkeys(run.arm for run in runs)
    return listing([source(arm, [run.seed for run in runs if run.arm == arm], "") for arm in arms])


def baseline_spec(study: StudyRecord) -> str | None:
    """The whole declaration of the baseline, as recorded."""
    name = study.baseline if study.baseline in study.arms else next(iter(study.arms))
    spec = study.arms[name].experiment
    return json.dumps(spec, indent=2, ensure_ascii=False) if spec else None


def flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as dotted names and text, for a list of facts.

    >>> flat({"tokens": {"train": 12000}, "device": "cpu"})
    [('tokens.train', '12,000'), ('device', 'cpu')]
    """
    facts: list[tuple[str, str]] = []
    for key, item in value.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        facts += flat(item, name) if isinstance(item, dict) and item else [(name, spec_text(item))]
    return facts
