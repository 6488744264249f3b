"""The sections of the page that appear when something beside the loss was measured, and only then.

Most are made of what a measure declares (`declared.py`). Here are those that need more than one measure's numbers: the
study, its verdict, or another form of figure; larger ones have files of their own.

Not for: statistics, see `numbers`; nor the form of a figure, see `figures`.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from vslm.report.figures import arms as arm_figures
from vslm.report.figures import axes
from vslm.report.figures import lines as line_figures
from vslm.report.figures.heat_maps import cells_of, map_figure, map_pixels
from vslm.report.figures.style import Figure, Style, safe_text
from vslm.report.numbers.costs import costs
from vslm.report.numbers.formatting import is_number, of_folder
from vslm.report.numbers.maps import Map, tracks
from vslm.report.numbers.profiles import by_distance
from vslm.report.numbers.runs import Run
from vslm.report.numbers.tables import Judged
from vslm.report.sections import calibration, early_days, probes, prompt_effect, token_classes
from vslm.report.sections import context as context_sections
from vslm.report.sections.declared import sections as declared_sections
from vslm.report.sections.section import Drawing, Section, last_place, profile_views
from vslm.results.records import StudyRecord

_FEWEST_FOR_FOREST = 5  # judged arms; fewer are compared well enough by their cards
_FEWEST_COSTS = 3  # arms that cost differently, for a curve worth looking at
_DIFFERENT_COST = 0.02
_ROW_PIXELS = 30


def sections(
    study: StudyRecord, rows: Sequence[Judged], runs: dict[str, list[Run]], style_of: Mapping[str, Style]
) -> list[Section]:
    """What there is, in the order of the page."""
    declared = declared_sections(runs, style_of)
    found = [
        _forest(study, rows, style_of),
        _recall(study, runs, style_of),
        declared.pop("loss_by_loops", None),
        declared.pop("beyond_context", None),
        context_sections.curve(runs, style_of),
        context_sections.position_profile(runs, style_of),
        *early_days.sections(runs, style_of),
        calibration.section(runs, style_of),
        *prompt_effect.sections(runs, style_of),
        declared.pop("logit_lens", None),
        declared.pop("attention_distance", None),
        declared.pop("residual_norms", None),
        probes.copying(runs, style_of),
        declared.pop("prefix_matching", None),
        probes.ranks(runs, style_of),
        declared.pop("token_probe", None),
        probes.maps(runs),
        token_classes.section(runs, style_of, study.baseline),
        _parameters(runs),
        *declared.values(),
        _costs(study, runs, style_of),
    ]
    return [section for section in found if section is not None]


def _recall(study: StudyRecord, runs: dict[str, list[Run]], style_of: Mapping[str, Style]) -> Section | None:
    names = {
        "accuracy": ("recall.accuracy_SP", "accuracy", "share of queries answered right"),
        "loss": ("recall.loss_nats_SP", "loss", "nats per answer"),
    }
    views, words = profile_views(by_distance, runs, names)
    if not views:
        return None
    figure = line_figures.profile_figure(views, style_of, axes.distance_axis(2 * last_place(views)))
    figure["layout"]["yaxis"] |= {"rangemode": "tozero"}
    pairs = _num_pairs(study)
    chance = ""
    if pairs is not None:
        figure["layout"]["shapes"] = [{**line_figures.level_line(1 / pairs), "view": "accuracy"}]
        chance = f" The dotted line is a guess among the {pairs} values that the document holds."
    return Section(
        "recall",
        "Recall by distance",
        "Recall",
        "Every query names a key that was given earlier; right is the value that stood after it. The distance is "
        "counted from the latest mention of the key, in octaves, each drawn at its middle. Lines are means over seeds, "
        f"small marks are single seeds: a model has learned to recall, or it has not.{chance}",
        "arrays.npz: recall",
        [Drawing("recall", figure, words)],
        over_seeds=False,
    )


def _num_pairs(study: StudyRecord) -> int | None:
    """Pairs of a document, where all arms have the same."""
    found = {of_folder(arm.experiment.get("data"), dict).get("num_pairs") for arm in study.arms.values()}
    pairs = found.pop() if len(found) == 1 else None
    return int(pairs) if is_number(pairs) and pairs >= 1 else None


def _parameters(runs: dict[str, list[Run]]) -> Section | None:
    by_arm = {arm: found for arm, its in runs.items() if (found := tracks(its))}
    kinds = list(dict.fromkeys(kind for found in by_arm.values() for kind in found))
    drawings = []
    for kind in kinds:
        its = {arm: found[kind] for arm, found in by_arm.items() if kind in found}
        ends = _ends(list(its.values()))
        for arm, track in its.items():
            figure = map_figure(
                {"values": track},
                ("block · number", "training step", "parameter"),
                lambda _, row, step: f"{safe_text(row)}, step {step:,}",
                scale="difference",
                ends=ends,
                is_top_down=True,
            )
            text = "block · number" if any(" · " in label for label in track.rows) else "block"
            pixels = map_pixels(len(track.rows))
            place = f"parameters-{len(drawings)}"
            words = {"values": ("values", text)}
            drawings.append(Drawing(place, figure, words, f"{kind}, {arm}", has_arms=False, pixels=pixels))
    if not drawings:
        return None
    return Section(
        "parameters",
        "Learned numbers through training",
        "Parameters",
        "Each row is one number of the model (its block, then its place in the parameter, such as the head), each "
        "column a stored step; means over seeds. Blue is below where the numbers started and orange above; figures of "
        "the same parameter share one scale.",
        "arrays.npz: parameters",
        drawings,
    )


def _ends(found: Sequence[Map]) -> tuple[float, float]:
    """Of the colors: even around where the numbers of all arms started, as far as the farthest went from there."""
    starts = np.concatenate([track.mean_RC[:, 0] for track in found])
    middle, values = float(np.median(starts)), cells_of(track.mean_RC for track in found)
    reach = float(np.abs(values - middle).max()) if len(values) and np.ptp(values) > 0 else 0.0
    return middle - reach, middle + reach


def _forest(study: StudyRecord, rows: Sequence[Judged], style_of: Mapping[str, Style]) -> Section | None:
    judged = [row for row in rows if row.at.delta is not None]
    arms = {} if study.screening is None else study.screening.arms
    screened = {
        arm: row.difference for arm, row in arms.items() if arm != study.baseline and row.difference is not None
    }
    has_budgets = any(len(row.by_budget) > 1 for row in judged)
    if len(judged) < _FEWEST_FOR_FOREST and not (judged and (screened or has_budgets)):
        return None
    words, primary = {"difference": ("difference", "")}, study.primary

    def drawing(place: str, figure: Figure, num_rows: int, caption: str) -> Drawing:
        return Drawing(place, figure, words, caption, has_arms=False, pixels=80 + _ROW_PIXELS * num_rows)

    drawings = [
        drawing(
            "forest", arm_figures.forest_figure(judged, style_of, primary), len(judged), "judged" if screened else ""
        )
    ]
    read = (
        "Differences from the baseline with their intervals, the best on top; the shaded zone holds differences too "
        "small to matter. The same numbers as on the cards."
    )
    if has_budgets:
        figure = arm_figures.budget_figure(judged, style_of, primary.unit)
        words_of_budgets = {"difference": ("difference", f"arm minus baseline, {primary.unit}")}
        drawings.append(Drawing("budgets", figure, words_of_budgets, "shorter and longer training", has_arms=False))
        read += " Then the same at every budget: whether a difference grows, shrinks or crosses with training."
    if screened:
        caption = "the first, short run: one seed, no interval, no verdict"
        drawings.append(
            drawing("screened", arm_figures.screening_figure(screened, style_of, primary), len(screened), caption)
        )
        read += " Last, every arm in the screening; hollow marks were not judged."
    return Section("forest", "All arms at a glance", "All arms", read, "verdict.json", drawings, over_seeds=False)


def _costs(study: StudyRecord, runs: dict[str, list[Run]], style_of: Mapping[str, Style]) -> Section | None:
    fields = {
        "parameters": ("num_parameters", "parameters", "all parameters"),
        "inner": ("num_parameters_without_embeddings", "without embeddings", "parameters without embeddings"),
        "flops": ("flops_per_token", "FLOPs per token", "training FLOPs per token"),
    }
    primary = study.primary
    title = "final validation loss" if primary.is_loss else f"{primary.title}, {primary.unit},"
    views, words, titles = {}, {}, {}
    for view, (name, button, text) in fields.items():
        found = costs(study, runs, name)
        values = sorted(cost.cost for cost in found.values())
        num_different = 1 + sum(b > a * (1 + _DIFFERENT_COST) for a, b in itertools.pairwise(values))
        if len(found) >= _FEWEST_COSTS and num_different > 1:
            views[view], words[view] = found, (button, f"{title} against {text}")
            titles[view] = text
    if "parameters" not in views and "inner" not in views:
        return None
    return Section(
        "costs",
        "Loss against size" if primary.is_loss else f"{primary.title.capitalize()} against size",
        "Size",
        "Each mark is an arm at the end of training, with the 95 % interval over seeds. Dotted lines join arms that "
        "compute equally much per token (within 2 %): along one of them only the number of weights differs.",
        "done.json" if primary.is_loss else f"arrays.npz: {primary.array_name()}",
        [Drawing("costs", arm_figures.cost_figure(views, style_of, titles, primary), words)],
        over_seeds=False,
    )
