"""The words and numbers of the page, ready to be shown: cards, facts, rows of tables.

Everything here is text or lists of text, in the order of the page. Nothing is escaped; the template does that.

Not for: figures, and not for markup.
"""

import json
from typing import Any

import numpy as np

from vslm.report.figures.style import Style
from vslm.report.numbers.curves import ERROR
from vslm.report.numbers.formatting import (
    count,
    decimals_for,
    duration,
    ends,
    formatted,
    is_number,
    joined_differences,
    listing,
    of_folder,
    seeds,
    signed,
    span,
    spec_text,
)
from vslm.report.numbers.runs import Run
from vslm.report.numbers.tables import VERDICT_WORDS, verdict_of
from vslm.results.folder import budget_name
from vslm.results.primary import PrimaryNumber
from vslm.stats.intervals import student_interval

_BAR_PADDING = 0.08  # of the common axis, on both sides
_MOST_SAMPLE_CHARACTERS = 6_000
_SIZES = {  # what Study(equal=...) names: where it is recorded, and in words
    "parameters": ("num_parameters", "parameters"),
    "non_embedding_parameters": ("num_parameters_without_embeddings", "parameters without embeddings"),
    "flops": ("flops_per_token", "useful FLOPs per token"),
}
_MOST_PATHS = 3  # before arms with the same seeds are written as one path


def cards(study: dict[str, Any], rows: list[dict[str, Any]], look: dict[str, Style]) -> list[dict[str, Any]]:
    """One card per judged arm, with its interval as percentages of an axis that all cards share."""
    low, high = _common_axis(rows)
    primary = PrimaryNumber.of(study.get("primary"))
    sides = ("worse", "better") if primary.higher_is_better else ("better", "worse")

    def place(value: Any) -> float | None:
        return round(100 * (value - low) / (high - low), 3) if is_number(value) else None

    cards = []
    for row in rows:
        effect, minutes = row.get("smallest_effect"), row.get("minutes_to_resolve")
        decimals = decimals_for(effect)
        interval = ends(row.get("interval"))
        each = [of_folder(values, dict).get("difference") for values in of_folder(row.get("per_seed"), dict).values()]
        verdict = verdict_of(row)
        cards.append(
            {
                "arm": row["arm"],
                "style": look[row["arm"]],
                "verdict": verdict,
                "label": VERDICT_WORDS[verdict],
                "words": of_folder(row.get("words"), str),
                "delta": signed(row.get("delta"), decimals),
                "interval": span(*interval, decimals),
                "seeds": of_folder(row.get("seeds"), list),
                "diverged": of_folder(row.get("diverged"), list),
                "minutes": minutes if is_number(minutes) else None,
                "bar": {
                    "ends": (signed(low, decimals), signed(high, decimals)),
                    "sides": sides,
                    "low": place(interval[0]),
                    "high": place(interval[1]),
                    "delta": place(row.get("delta")),
                    "zero": place(0.0),
                    "zone": (place(-effect), place(effect)) if is_number(effect) else None,
                    "seeds": [x for value in each if (x := place(value)) is not None],
                },
                "effect": effect if is_number(effect) else None,
                "unit": primary.unit,
            }
        )
    return cards


def _common_axis(rows: list[dict[str, Any]]) -> tuple[float, float]:
    reached: list[float] = [0.0]
    for row in rows:
        effect = row.get("smallest_effect")
        found = [row.get("delta"), *of_folder(row.get("interval"), list)]
        found += [of_folder(values, dict).get("difference") for values in of_folder(row.get("per_seed"), dict).values()]
        found += [effect, -effect] if is_number(effect) else []
        reached += [float(value) for value in found if is_number(value)]
    width = (max(reached) - min(reached)) or 1.0
    return min(reached) - _BAR_PADDING * width, max(reached) + _BAR_PADDING * width


def facts(study: dict[str, Any], verdict: dict[str, Any]) -> list[tuple[str, str]]:
    """What a verdict means nothing without, in a strip under the cards."""
    effect = of_folder(study.get("primary"), dict).get("smallest_effect")
    arms = of_folder(study.get("arms"), dict)
    tokens = {arm.get("tokens") for arm in arms.values() if isinstance(arm, dict)}
    facts = [
        ("Compared", PrimaryNumber.of(study.get("primary")).compared)
        if len(arms) > 1
        else ("Arms", "one, so no verdict"),
        ("Smallest effect that matters", f"{effect:g}") if is_number(effect) and len(arms) > 1 else None,
        ("Seeds declared", seeds(of_folder(study.get("seeds"), list))),
        ("Tokens per run", count(tokens.pop()) if len(tokens) == 1 else "differ by arm, see below"),
        _passes(study, arms),
        ("Matched by", str(study.get("match"))) if study.get("match") and len(arms) > 1 else None,
        ("Equal in", _equality(study, arms)) if study.get("equal") else None,
    ]
    missing = of_folder(verdict.get("missing"), list)
    if missing:
        facts.append(("Missing from the verdict", f"{len(missing)} run{'s' if len(missing) > 1 else ''}, see below"))
    return [fact for fact in facts if fact is not None]


_MOST_PASSES = 4  # beyond it a study says so before it trains


def _passes(study: dict[str, Any], arms: dict[str, Any]) -> tuple[str, str] | None:
    """How often a run sees the training part of its text, of the arm that sees it most; None without a record of it."""
    most = 0.0
    for arm in (arm for arm in arms.values() if isinstance(arm, dict)):
        corpus = of_folder(of_folder(study.get("corpora"), dict).get(str(arm.get("corpus"))), dict)
        num_tokens = of_folder(of_folder(corpus.get("splits"), dict).get("train"), dict).get("num_tokens")
        if is_number(num_tokens) and num_tokens > 0 and is_number(arm.get("tokens")):
            most = max(most, arm["tokens"] / num_tokens)
    if not most:
        return None
    digits = 0 if most >= 10 else 1 if most >= 0.95 else 2
    warned = f"; above {_MOST_PASSES} a model learns its text by heart" if most > _MOST_PASSES else ""
    return "Passes over the text", f"{most:,.{digits}f}{warned}"


def corpora(study: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]], list[str]]]:
    """Fingerprint, facts, and what was read and passed over in words, of every corpus."""
    found = []
    for key, value in of_folder(study.get("corpora"), dict).items():
        corpus = dict(of_folder(value, dict))
        read = [words for words in of_folder(corpus.pop("read", None), list) if isinstance(words, str)]
        found.append((key, flat(corpus), read))
    return found


def kinds(verdict: dict[str, Any]) -> str | None:
    """How many runs of every arm got going, where runs are of two kinds; None where they are of one."""
    kinds = of_folder(verdict.get("kinds"), dict)
    shares = []
    for arm, row in of_folder(kinds.get("arms"), dict).items():
        low, high = ends(of_folder(row, dict).get("interval"))
        if low is not None and high is not None:
            numbers = " of ".join(formatted("%d", row.get(name)) for name in ("going", "seeds"))
            shares.append(f"{arm} {numbers} ({low:.0%} to {high:.0%})")
    between = kinds.get("between")
    if kinds.get("state") != "two" or not shares or not is_number(between):
        return None
    side = "Above" if PrimaryNumber.of(verdict.get("primary")).higher_is_better else "Below"
    return f"Runs are of two kinds. {side} {between:.3g} ended: {listing(shares)}. Exact 95 % intervals of each share."


def _equality(study: dict[str, Any], arms: dict[str, Any]) -> str:
    """What the study promises that its arms have equal, and the arms that are let off it with how far off they are."""
    key, words = _SIZES.get(str(study["equal"]), ("", str(study["equal"])))
    base = of_folder(arms.get(str(study.get("baseline"))), dict).get(key)
    off = []
    for arm in of_folder(study.get("unequal"), list):
        size = of_folder(arms.get(arm), dict).get(key)
        off.append(f"{arm} {size / base - 1:+.1%}" if is_number(size) and is_number(base) and base else str(arm))
    return f"{words}, within 0.5 %{f'; declared unequal: {listing(off)}' if off else ''}"


def screening(study: dict[str, Any]) -> dict[str, Any] | None:
    """The rows of the screening, best first, and what was confirmed; None for a study without one."""
    found = of_folder(study.get("screening"), dict)
    rows = [{"arm": arm, **of_folder(row, dict)} for arm, row in of_folder(found.get("arms"), dict).items()]
    if not rows:
        return None
    primary = PrimaryNumber.of(study.get("primary"))
    rows.sort(key=lambda row: primary.turned(row["value"]) if is_number(row.get("value")) else float("inf"))
    return {
        "rows": [
            {
                "arm": row["arm"],
                "value": f"{row['value']:.4f}" if is_number(row.get("value")) else "diverged",
                "difference": signed(row.get("difference"), 4) if is_number(row.get("difference")) else "none",
                "tokens": count(row.get("tokens")),
                "became": "screened out, no verdict" if row.get("role") == "screened out" else str(row.get("role")),
            }
            for row in rows
        ],
        "seed": found.get("seed"),
        "budget_fraction": found.get("budget_fraction"),
    }


def tuning(study: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per arm: the rate it was declared with, the rate it got, and whether that lies at an edge."""
    sides = {"low": "lowest", "high": "highest"}
    return [
        {
            "arm": arm,
            "center": f"{row['center']:g}",
            "chosen": f"{row['chosen']:g}",
            "tried": len(of_folder(row.get("rates"), list)),
            "seeds": len(of_folder(row.get("seeds"), list)),
            "edge": sides.get(str(row.get("edge"))),
        }
        for arm, row in of_folder(study.get("tuning"), dict).items()
        if isinstance(row, dict) and is_number(row.get("center")) and is_number(row.get("chosen"))
    ]


def budgets(study: dict[str, Any], verdict: dict[str, Any]) -> list[dict[str, Any]]:
    """Per judged arm its verdict at every budget, and how its difference goes with training; [] for one budget."""
    others = {name: of_folder(row, dict) for name, row in of_folder(verdict.get("budgets"), dict).items()}
    if not others:
        return []
    by_name = {"x1": verdict, **others}
    names = [budget_name(budget) for budget in sorted(of_folder(study.get("budgets"), list)) if is_number(budget)]
    found = []
    for arm in of_folder(verdict.get("arms"), dict):
        rows = []
        for name in (name for name in names if name in by_name):
            row = of_folder(of_folder(by_name[name].get("arms"), dict).get(arm), dict)
            decimals = decimals_for(row.get("smallest_effect"))
            rows.append(
                {
                    "budget": name,
                    "tokens": count(row.get("tokens")),
                    "delta": signed(row.get("delta"), decimals),
                    "interval": span(*ends(row.get("interval")), decimals),
                    "verdict": VERDICT_WORDS.get(str(row.get("verdict")), "not judged"),
                    "seeds": seeds(of_folder(row.get("seeds"), list)),
                }
            )
        trend = of_folder(of_folder(verdict.get("trends"), dict).get(arm), dict)
        tokens = [count(value) for value in of_folder(trend.get("tokens"), list)]
        found.append(
            {
                "arm": arm,
                "rows": rows,
                "words": of_folder(trend.get("words"), str),
                "change": signed(trend.get("change"), 4),
                "interval": span(*ends(trend.get("interval")), 4),
                "tokens": " to ".join(tokens),
                "parameters": count(trend.get("num_parameters")),
            }
        )
    return found


def arm_row(study: dict[str, Any], name: str, runs: list[Run], style: Style) -> dict[str, Any]:
    """One row of the table of arms. What was spent is the mean over the runs that ended well."""
    arm, primary = of_folder(study["arms"].get(name), dict), PrimaryNumber.of(study.get("primary"))
    whole = [run for run in runs if run.is_whole]
    return {
        "name": name,
        "style": style,
        "is_baseline": name == study.get("baseline"),
        "differences": joined_differences(of_folder(arm.get("differences"), list)),
        "parameters": count(arm.get("num_parameters")),
        "without_embeddings": count(arm.get("num_parameters_without_embeddings")),
        "flops_per_token": count(arm.get("flops_per_token"), "FLOP"),
        "executed_flops_per_token": count(executed, "FLOP")
        if is_number(executed := arm.get("executed_flops_per_token"))
        else None,
        "tokens": count(mean_of(whole, "tokens") or arm.get("tokens")),
        "flops": count(mean_of(whole, "flops"), "FLOP"),
        "seconds": duration(mean_of(whole, "seconds")),
        "loss": with_interval(whole, "val_loss"),
        "bits": with_interval(whole, "val_bpb"),
        "primary": None if primary.is_loss else final_with_interval(whole, primary),
        "seeds": [run.seed for run in whole],
        "kernels": sorted({str(kernel) for kernel in of_folder(arm.get("kernels"), dict).values()}),
        "fingerprint": arm.get("fingerprint"),
    }


def mean_of(runs: list[Run], key: str) -> float | None:
    """The mean of a final number over runs; None if no run has it."""
    values = [run.done[key] for run in runs if is_number(run.done.get(key))]
    return float(np.mean(values)) if values else None


def with_interval(runs: list[Run], key: str) -> dict[str, str] | None:
    """A final number of an arm: its mean over seeds, with the 95 % Student-t interval from two seeds on."""
    return _in_words(np.array([run.done[key] for run in runs if is_number(run.done.get(key))], dtype=float))


def final_with_interval(runs: list[Run], primary: PrimaryNumber) -> dict[str, str] | None:
    """The same of a number that a measure recorded."""
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


def look_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per arm and look, planned or not."""
    looks = []
    for row in rows:
        decimals = decimals_for(row.get("smallest_effect"))
        for number, look in enumerate(of_folder(row.get("looks"), list), start=1):
            look = of_folder(look, dict)
            error, verdict = look.get("error"), of_folder(look.get("verdict"), str)
            looks.append(
                {
                    "arm": row["arm"],
                    "number": number,
                    "seeds": formatted("%d", look.get("seeds")),
                    "delta": signed(look.get("delta"), decimals),
                    "interval": span(*ends(look.get("interval")), decimals),
                    "error": f"{100 * error:.2g} %" if is_number(error) else "unknown",
                    "verdict": VERDICT_WORDS.get(verdict, verdict) or "unknown",
                }
            )
    return looks


def seed_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per arm and seed: the numbers that a verdict came from."""
    table = []
    for row in rows:
        decimals = max(4, decimals_for(row.get("smallest_effect")))
        for seed, values in of_folder(row.get("per_seed"), dict).items():
            values = of_folder(values, dict)
            shown = {
                key: f"{values[key]:.4f}" if is_number(values.get(key)) else "missing" for key in ("baseline", "arm")
            }
            difference = values.get("difference")
            shown["difference"] = signed(difference, decimals) if is_number(difference) else "none"
            table.append({"name": row["arm"], "seed": seed, **shown})
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
    """Environments that differ by more than their seeds, each with the runs made there."""
    groups: dict[str, dict[str, Any]] = {}
    for run in (run for arm in runs.values() for run in arm if run.environment):
        shared = {key: value for key, value in run.environment.items() if not key.endswith("_seed")}
        key = json.dumps(shared, sort_keys=True, default=str)
        groups.setdefault(key, {"facts": flat(shared), "runs": []})["runs"].append(run)
    return [{**group, "runs": _grouped(group["runs"])} for group in groups.values()]


def _grouped(runs: list[Run]) -> str:
    arms = dict.fromkeys(run.arm for run in runs)
    return listing([source(arm, [run.seed for run in runs if run.arm == arm], "") for arm in arms])


def baseline_spec(study: dict[str, Any]) -> str | None:
    """The whole declaration of the baseline, as recorded."""
    arms = of_folder(study.get("arms"), dict)
    name = study.get("baseline") if study.get("baseline") in arms else next(iter(arms), None)
    spec = of_folder(arms.get(name), dict).get("experiment")
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
