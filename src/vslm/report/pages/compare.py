"""The page of a comparison: one self-contained file in the style of the report."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from vslm.core.specs import differences
from vslm.report.figures import lines as line_figures
from vslm.report.figures.style import Style, styles
from vslm.report.numbers import curves
from vslm.report.numbers.compare import Comparison, finite_ends, paired_seeds
from vslm.report.numbers.formatting import (
    count,
    decimals_for,
    duration,
    is_number,
    joined_differences,
    seeds,
    signed,
    span,
)
from vslm.report.numbers.runs import Run
from vslm.report.numbers.sides import Side
from vslm.report.numbers.tables import Judged
from vslm.report.pages import content
from vslm.report.pages.study import SCRIPTS, asset, json_in_page, policy_of, template
from vslm.results.files import write_text
from vslm.results.primary import VAL_LOSS
from vslm.results.records import ArmVerdict, Pair

_TONES = {"lower": "told", "higher": "told", "not comparable": "apart"}


def write_comparison(found: Comparison, target: Path) -> Path:
    """Write the page to a file, and return its path."""
    write_text(target, render_comparison(found))
    return target


def render_comparison(found: Comparison) -> str:
    """The page as text."""
    names = [side.name for side in found.sides]
    style_of = styles(names, found.first.name)
    drawn = _drawn(found, style_of)
    scripts = {name: asset(name) for name in SCRIPTS}
    return template("compare.html.j2").render(
        names=names,
        cards=_cards(found, style_of),
        first=found.first.name,
        unit=found.unit,
        primary=found.primary,
        error=found.error,
        sides=[_side_row(side, found) for side in found.sides],
        warnings=[warned for one in found.differences for warned in one.warnings],
        left_out=[(side.name, words) for side in found.sides for words in side.left_out],
        style_of=style_of,
        runs=dict.fromkeys(names),  # whose keys the choice of arms is made of
        drawn=drawn,
        data=json_in_page(drawn),
        style=Markup(asset("page.css")),
        scripts={name: Markup(text) for name, text in scripts.items()},
        policy=policy_of(scripts.values()),
        sources=content.sources,
    )


def _cards(found: Comparison, style_of: dict[str, Style]) -> list[dict[str, Any]]:
    rows = []
    for one in found.differences:
        pairs = zip(
            one.paired_seeds,
            one.side.values(found.primary, one.paired_seeds) - found.first.values(found.primary, one.paired_seeds),
            strict=True,
        )
        delta = one.interval.mean if is_number(one.interval.mean) else None
        per_seed = {str(seed): Pair(difference=float(value)) for seed, value in pairs}
        at = ArmVerdict(delta=delta, interval=finite_ends(one.interval), per_seed=per_seed)
        rows.append(Judged(one.side.name, at))
    cards = content.cards(VAL_LOSS, rows, style_of)
    decimals = max(4, decimals_for(None))
    for card, one, row in zip(cards, found.differences, rows, strict=True):
        low, high = row.at.interval or (None, None)
        card |= {
            "words": one.words,
            "relation": one.relation,
            "tone": _TONES.get(one.relation, "open"),
            "how": one.how,
            "delta": signed(row.at.delta, decimals),
            "interval": span(low, high, decimals),
            "num_warnings": len(one.warnings),
        }
    return cards


def _side_row(side: Side, found: Comparison) -> dict[str, Any]:
    first, own = found.first.arm.experiment, side.arm.experiment
    runs = list(side.runs.values())
    differs = joined_differences([list(row) for row in differences(first, own)]) if first and own else []
    return {
        "name": side.name,
        "differences": differs,
        "loss": content.with_interval(runs, "val_loss"),
        "bits": content.with_interval(runs, "val_bpb"),
        "primary": None if found.primary.is_loss else content.final_with_interval(runs, found.primary),
        "seeds": seeds(side.runs),
        "parameters": count(side.arm.num_parameters),
        "tokens": count(side.tokens),
        "context": count(side.context_tokens),
        "seconds": duration(content.mean_of(runs, "seconds")),
        "corpus": side.shown_corpus,
    }


def _drawn(found: Comparison, style_of: dict[str, Style]) -> dict[str, Any]:
    """Figures of all sides; differences only where seeds are shared, be it one."""
    runs = {side.name: list(side.runs.values()) for side in found.sides}
    edges = curves.position_edges(curves.num_positions([run for its in runs.values() for run in its]))
    views = {
        measure: {name: curves.training_curves(its, measure) for name, its in runs.items()}
        for measure in ("val_loss", "train_loss")
    }
    paired = {side.name: _partners(found.first, side) for side in found.sides[1:] if paired_seeds(found.first, side)}
    apart = {
        name: curves.training_differences(
            curves.training_curves(first, "val_loss"), curves.training_curves(its, "val_loss")
        )
        for name, (first, its) in paired.items()
    }
    training = line_figures.training_figure({**views, **({"difference": apart} if apart else {})}, style_of, None)
    finals = {
        "loss": {name: final for name, its in runs.items() if (final := curves.final_by_position(its, edges))},
        "difference": {
            name: final
            for name, (first, its) in paired.items()
            if (final := curves.final_difference(first, its, edges))
        },
    }
    return {
        "arms": list(runs),
        "pair_unit": found.unit,
        "training": training if training["data"] else None,
        "surface": {},
        "looks": {name: {"color": style.color, "dash": style.dash} for name, style in style_of.items()},
        "labels": {name: style.label for name, style in style_of.items()},
        "token_view": None,
        "heat": None,
        "slices": None,
        "edges": edges.tolist(),
        "by_position": line_figures.position_figure(finals, style_of, edges, None) if finals["loss"] else None,
        "pairs": [],
        "tuning": None,
        "measured": [],
        "baseline": found.first.name,
        "others": list(paired),
    }


def _partners(a: Side, b: Side) -> tuple[list[Run], list[Run]]:
    shared = paired_seeds(a, b)
    return [a.runs[seed] for seed in shared], [b.runs[seed] for seed in shared]
