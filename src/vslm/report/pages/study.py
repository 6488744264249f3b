"""`write_report`: one self-contained page about one study, from its folder alone.

The page asks nothing of the network: plotly.js, style and script stand in it, and a Content-Security-Policy forbids
the rest. Text that others wrote (corpus, samples, names, questions) is escaped by the template, and could not run if it
were not: only the scripts whose SHA-256 the policy names may run. Figures and their numbers travel as JSON in which no
tag can end.

Not for: numbers. They come from `tables.py`, `curves.py` and the run folder.
"""

import base64
import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from vslm.report.figures import arms as arm_figures
from vslm.report.figures import lines as line_figures
from vslm.report.figures import surface as surfaces
from vslm.report.figures.style import Style, styles
from vslm.report.numbers import curves, searches
from vslm.report.numbers.formatting import count, duration, formatted, seeds
from vslm.report.numbers.runs import Run, read_runs, read_trunks
from vslm.report.numbers.tables import (
    Judged,
    headline,
    headline_of_effects,
    judged_arms,
    judged_effects,
    read_verdict,
)
from vslm.report.numbers.token_view import token_view
from vslm.report.pages import content
from vslm.report.sections import factors, measured
from vslm.results.files import write_text
from vslm.results.folder import StudyFolder
from vslm.results.records import StudyRecord

_ASSETS = Path(__file__).parents[1] / "assets"
SCRIPTS = ("plotly-cartesian.min.js", "theme.js", "page.js")
_TOKENS = "token_view"  # the name of its script, its style and its section


def write_report(study_dir: Path, out: Path | None = None) -> Path:
    """Write `report.html` into a study's folder, from what is there, and return its path.

    Args:
        study_dir: the study's folder.
        out: the page in place of `report.html`, for a folder that nobody may write into.
    Raises: ResultError if `study.json` is missing, torn or of a newer format; RunError if the page cannot be written.
    Everything else that is missing is missing on the page.
    """
    target = out or study_dir / "report.html"
    write_text(target, render(StudyFolder(study_dir)))
    return target


@dataclass(frozen=True)
class Live:
    """What a page has more when a server shows it; its script stands beside and is not in the page.

    Args:
        policy: the Content-Security-Policy.
        head, top, nav, section, scripts: markup for these places.
    """

    policy: str
    head: Markup
    top: Markup
    nav: Markup
    section: Markup
    scripts: Markup


def render(folder: StudyFolder, *, runs: dict[str, list[Run]] | None = None, live: Live | None = None) -> str:
    """The page as text. A pure function of the folder: no clock, no machine.

    Args:
        folder: of the study.
        runs: what `read_runs` gives, where it was read already.
        live: for a page that a server shows.
    """
    study = folder.study
    runs = read_runs(folder) if runs is None else runs
    of_trunks = read_trunks(folder)
    every = {**of_trunks, **runs}
    verdict, verdict_problem = read_verdict(folder)
    rows = [row for row in judged_arms(folder) if row.arm in runs]
    style_of = styles(list(runs), study.baseline)
    edges = curves.position_edges(curves.num_positions([run for arm in runs.values() for run in arm]))
    drawn, notes = drawn_figures(study, rows, runs, style_of, edges)
    effects = judged_effects(folder)
    found = measured.sections(study, rows, runs, style_of)
    if (of_factors := factors.section(study, verdict, effects, style_of)) is not None:
        found = [of_factors, *found]
        drawn["pairs"] = factors.pair_figures(effects)
    drawn["measured"] = [drawing.plain() for section in found for drawing in section.drawings]
    drawn[_TOKENS] = token_view(folder, runs)
    names = [f"{_TOKENS}.js", *SCRIPTS] if drawn[_TOKENS] else SCRIPTS
    scripts = {} if live else {name: asset(name) for name in names}
    style = f"{asset('page.css')}\n{asset(f'{_TOKENS}.css')}" if drawn[_TOKENS] else asset("page.css")
    return template("page.html.j2").render(
        study=study,
        name=study.name or folder.path.name,
        verdict_problem=verdict_problem,
        headline=headline(study, rows) or headline_of_effects(effects),
        cards=content.cards(study.primary, rows or effects, style_of if rows else factors.effect_styles(effects)),
        is_of_effects=bool(effects),
        facts=content.facts(study, verdict),
        kinds=content.kinds(verdict),
        early=content.early(study, verdict),
        forked=content.forked(study),
        answers=folder.answers,
        absent=[run for arm in every.values() for run in arm if run.state != "done"],
        remarked=[run for arm in every.values() for run in arm if run.remark],
        arms=[content.arm_row(study, name, arm, style_of[name]) for name, arm in runs.items()],
        trunks=content.trunks(study, of_trunks),
        trunk_runs=of_trunks,
        style_of=style_of,
        looks=content.look_rows(rows or effects),
        per_seed=content.seed_rows(rows or effects),
        screening=content.screening(study),
        race=content.race(study),
        tuning=content.tuning(study, runs),
        tuning_margin=searches.margin(study),
        budgets=content.budgets(study, verdict),
        samples=[content.sample_of(name, arm) for name, arm in runs.items()],
        corpora=content.corpora(study),
        settings=content.flat(study.settings.plain()),
        machines=content.machines(runs),
        runs=runs,
        baseline_spec=content.baseline_spec(study),
        drawn=drawn,
        measured=found,
        notes=notes,
        data=json_in_page(drawn),
        style=Markup(style),
        scripts={name: Markup(text) for name, text in scripts.items()},
        policy=live.policy if live else policy_of(scripts.values()),
        live=live,
        primary=study.primary,
        sources=content.sources,
    )


@functools.cache
def template(name: str, *places: Path) -> jinja2.Template:
    """A template of the report, or of a place that has templates in the same style; names are looked up there first."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*places, _ASSETS]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "duration": duration, "seeds": seeds, "format": formatted}
    return environment.get_template(name)


def asset(name: str) -> str:
    """A file that pages are made of, as text."""
    return (_ASSETS / name).read_text(encoding="utf-8").strip("\n")


def policy_of(scripts: Any) -> str:
    """The Content-Security-Policy of a page that stands alone: nothing from outside, and only these very scripts.

    Style must be free: plotly.js sets it element by element.
    """
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode(errors='replace')).digest()).decode()}'"
        for text in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def json_in_page(value: Any) -> Markup:
    """JSON that can stand in a script element: no character that HTML or an old JavaScript could read as its end."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def drawn_figures(
    study: StudyRecord,
    rows: list[Judged],
    runs: dict[str, list[Run]],
    style_of: dict[str, Style],
    edges: np.ndarray,
) -> tuple[dict[str, Any], dict[str, str]]:
    """The figures with their numbers, and a sentence about what was binned or left out of each."""
    baseline, primary = str(study.baseline), study.primary
    others = [arm for arm in runs if arm != baseline] if baseline in runs else []
    views = {
        measure: {arm: curves.training_curves(found, measure) for arm, found in runs.items()}
        for measure in ("val_loss", "train_loss")
    }
    validation = views["val_loss"]
    differences = {arm: curves.training_differences(validation[baseline], validation[arm]) for arm in others}
    is_whole_window = primary.measure == "val_loss" and not primary.positions
    effect = primary.smallest_effect if is_whole_window else None
    grids = {
        split: {arm: grid for arm, found in runs.items() if (grid := curves.grid(found, edges, split)) is not None}
        for split in ("val", "train")
    }
    grid_differences = {
        split: {
            arm: grid
            for arm in others
            if (grid := curves.grid_difference(runs[baseline], runs[arm], edges, split)) is not None
        }
        for split in grids
    }
    finals = {
        "loss": {arm: final for arm, found in runs.items() if (final := curves.final_by_position(found, edges))},
        "difference": {
            arm: final for arm in others if (final := curves.final_difference(runs[baseline], runs[arm], edges))
        },
    }
    training = line_figures.training_figure({**views, "difference": differences}, style_of, effect)
    drawn = {
        "arms": list(runs),
        "pair_unit": primary.unit,
        "tuning_unit": "final loss on select" if primary.is_loss else f"{primary.title} on select, {primary.unit}",
        "training": training if training["data"] else None,
        "surface": {split: surfaces.surface(grids[split], grid_differences[split]) for split in grids if grids[split]},
        "looks": {arm: {"color": style.color, "dash": style.dash} for arm, style in style_of.items()},
        "labels": {arm: style.label for arm, style in style_of.items()},
        "heat": surfaces.heat_figure(edges),
        "slices": line_figures.slice_figures(edges),
        "edges": edges.tolist(),
        "by_position": line_figures.position_figure(finals, style_of, edges, primary.positions)
        if finals["loss"]
        else None,
        "pairs": [
            arm_figures.pair_figure(row.arm, baseline, row.at.per_seed, style_of)
            for row in rows
            if row.at.per_seed and baseline in style_of
        ],
        "tuning": arm_figures.tuning_figure(study.tuning, style_of, searches.basins(study)) if study.tuning else None,
        "baseline": baseline,
        "others": others,
    }
    return drawn, _notes(views, grids["val"], edges)


def _notes(
    views: dict[str, dict[str, curves.Curves]], grids: dict[str, curves.Grid], edges: np.ndarray
) -> dict[str, str]:
    points = max((curve.num_dropped for by_arm in views.values() for curve in by_arm.values()), default=0)
    steps = max((grid.num_steps_dropped for grid in grids.values()), default=0)
    num_positions, num_bins = int(edges[-1]) if len(edges) else 0, len(edges) - 1
    binning = "Every position is drawn by itself."
    if num_bins < num_positions:
        widest = int(np.diff(edges).max())
        binning = (
            f"{num_positions:,} positions are drawn as {num_bins} bins, single positions first, then up to {widest} "
            "averaged; none is dropped."
        )
    dropped = f" {steps:,} stored steps are left out, evenly, so that {curves.MOST_STEPS} rows remain." if steps else ""
    thinned = f"Lines are thinned: {points:,} of their points are left out, evenly." if points else ""
    return {"training": thinned, "positions": binning, "surface": f"{binning}{dropped}"}
