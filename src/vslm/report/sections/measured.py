"""The sections of the page that appear when something beside the loss was measured, and only then.

One entry of `sections` per measure: which arrays it reads, what the axis is, and how to read it, in words. Each section
has one figure or several; a figure has views (buttons) when there is more than one number to show.

Sections of probes and of classes of tokens have files of their own (`probes.py`, `token_classes.py`).

Not for: statistics, see `profiles.py`; nor the form of a figure, see `line_figures.py` and its neighbours.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vslm.report.figures import arms as arm_figures
from vslm.report.figures import axes
from vslm.report.figures import heat_maps as heat_figures
from vslm.report.figures import lines as line_figures
from vslm.report.figures.style import Figure, Style
from vslm.report.numbers import profiles
from vslm.report.numbers.formatting import is_number, of_folder
from vslm.report.numbers.profiles import Track
from vslm.report.numbers.runs import Run
from vslm.report.sections import calibration, early_days, probes, prompt_effect, token_classes
from vslm.report.sections import context as context_sections
from vslm.report.sections.section import Drawing, Section, last_place, profile_views
from vslm.results.primary import PrimaryNumber

_FEWEST_FOR_FOREST = 5  # judged arms; fewer are compared well enough by their cards
_FEWEST_COSTS = 3  # arms that cost differently, for a curve worth looking at
_DIFFERENT_COST = 0.02
_ROW_PIXELS = 30


def sections(
    study: dict[str, Any], rows: Sequence[dict[str, Any]], runs: dict[str, list[Run]], look: Mapping[str, Style]
) -> list[Section]:
    """What there is, in the order of the page."""
    found = [
        _forest(study, rows, look),
        _recall(study, runs, look),
        _loops(runs, look),
        _beyond(runs, look),
        context_sections.curve(runs, look),
        context_sections.position_profile(runs, look),
        *early_days.sections(runs, look),
        calibration.section(runs, look),
        *prompt_effect.sections(runs, look),
        _layers(runs, look),
        _attention(runs, look),
        _norms(runs, look),
        *probes.sections(runs, look),
        token_classes.section(runs, look, study.get("baseline")),
        _parameters(runs),
        _costs(study, runs, look),
    ]
    return [section for section in found if section is not None]


def _layers(runs: dict[str, list[Run]], look: Mapping[str, Style]) -> Section | None:
    names = {
        "current": ("logit_lens.p_current_SL", "current token", "mean probability of the current token"),
        "top": ("logit_lens.top_current_SL", "current is likeliest", "share where the current token is likeliest"),
        "next": ("logit_lens.p_next_SL", "next token", "mean probability of the next token"),
        "loss": ("logit_lens.loss_nats_SL", "loss", "nats per token, read after each visit"),
    }
    views, words = profile_views(profiles.by_visit, runs, names)
    if not views:
        return None
    figure = line_figures.profile_figure(views, look, axes.visit_axis(int(last_place(views))))
    return Section(
        "layers",
        "What the stream says, layer by layer",
        "Layers",
        "The stream after each visit of the path, read by the model's own norm and readout as if the model ended "
        "there. A high probability of the current token means that the token itself is still in the stream; the next "
        "token is what the model is for, and its loss after the last visit is the model's own. Where the stream has "
        "another width than the readout, the point is missing.",
        "arrays.npz: logit_lens",
        [Drawing("layers", figure, words)],
    )


def _attention(runs: dict[str, list[Run]], look: Mapping[str, Style]) -> Section | None:
    names = {
        "distance": ("attention_distance.distance_tokens_SLH", "distance", "tokens back, mean over attention"),
        "self": ("attention_distance.p_self_SLH", "to itself", "share of attention to the own position"),
        "first": ("attention_distance.p_first_SLH", "to the first", "share of attention to the first position"),
    }
    views, words = profile_views(profiles.by_visit_and_head, runs, names)
    if not views:
        return None
    figure = line_figures.profile_figure(views, look, axes.visit_axis(int(last_place(views))))
    return Section(
        "attention",
        "How far back attention looks",
        "Attention",
        "Lines are means over heads, small marks single heads. Distances are weighted by attention, as shares of each "
        "query's own sum of weights.",
        "arrays.npz: attention_distance",
        [Drawing("attention", figure, words)],
    )


def _norms(runs: dict[str, list[Run]], look: Mapping[str, Style]) -> Section | None:
    names = {"rms": ("residual_norms.rms_SL", "size", "root mean square of the stream")}
    views, words = profile_views(profiles.by_visit, runs, names)
    if not views:
        return None
    figure = line_figures.profile_figure(views, look, axes.visit_axis(int(last_place(views))))
    return Section(
        "norms",
        "How large the stream is",
        "Stream",
        "The root mean square over the width, mean over tokens, after the root and after each visit.",
        "arrays.npz: residual_norms",
        [Drawing("norms", figure, words)],
    )


def _recall(study: dict[str, Any], runs: dict[str, list[Run]], look: Mapping[str, Style]) -> Section | None:
    names = {
        "accuracy": ("recall.accuracy_SP", "accuracy", "share of queries answered right"),
        "loss": ("recall.loss_nats_SP", "loss", "nats per answer"),
    }
    views, words = profile_views(profiles.by_distance, runs, names)
    if not views:
        return None
    figure = line_figures.profile_figure(views, look, axes.distance_axis(2 * last_place(views)))
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


def _loops(runs: dict[str, list[Run]], look: Mapping[str, Style]) -> Section | None:
    names = {"loss": ("loss_by_loops.loss_nats_SR", "loss", "nats per token")}
    views, words = profile_views(profiles.by_loops, runs, names)
    if not views:
        return None
    counts = (count for profile in views["loss"].values() for count in profile.x)
    figure = line_figures.profile_figure(views, look, axes.loop_axis(counts))
    return Section(
        "loops",
        "Fewer or more loops than were trained",
        "Loops",
        "Validation loss at the end of training when the repeated part is passed so many times, with the same weights "
        "on the same text. Where a line goes on falling beyond the loops of its training, more compute still helps; "
        "where it is level, the state has come to rest; where it rises again, the loops work in their own number only.",
        "arrays.npz: loss_by_loops",
        [Drawing("loops", figure, words)],
    )


def _beyond(runs: dict[str, list[Run]], look: Mapping[str, Style]) -> Section | None:
    names = {
        "rise": ("beyond_context.rise_nats_SP", "rise", "nats per token: beyond minus within"),
        "loss": ("beyond_context.beyond_nats_SP", "loss", "nats per token, seen from the first token on"),
    }
    views, words = profile_views(profiles.by_length, runs, names)
    if not views:
        return None
    figure = line_figures.profile_figure(views, look, axes.token_axis(int(last_place(views)), "tokens into the text"))
    figure["layout"]["shapes"] = [{**line_figures.level_line(0.0), "view": "rise"}]
    return Section(
        "beyond",
        "Further into a text than training went",
        "Beyond",
        "Validation tokens in windows longer than the context that the model was trained in, half a context at a time; "
        "the first point ends at that context. The rise holds content fixed: the same tokens, seen from the beginning "
        "of the text and from within a trained context. At 0 more text changes nothing, below it helps, above it the "
        "model breaks on what it never met.",
        "arrays.npz: beyond_context",
        [Drawing("beyond", figure, words)],
    )


def _num_pairs(study: dict[str, Any]) -> int | None:
    """Pairs of a document, where all arms have the same."""
    found = set()
    for arm in of_folder(study.get("arms"), dict).values():
        data = of_folder(of_folder(of_folder(arm, dict).get("experiment"), dict).get("data"), dict)
        found.add(data.get("num_pairs"))
    pairs = found.pop() if len(found) == 1 else None
    return int(pairs) if is_number(pairs) and pairs >= 1 else None


def _parameters(runs: dict[str, list[Run]]) -> Section | None:
    by_arm = {arm: found for arm, its in runs.items() if (found := profiles.tracks(its))}
    kinds = list(dict.fromkeys(kind for found in by_arm.values() for kind in found))
    drawings = []
    for kind in kinds:
        its = {arm: found[kind] for arm, found in by_arm.items() if kind in found}
        middle, reach = _middle(list(its.values()))
        for arm, track in its.items():
            figure = heat_figures.track_figure(track, (middle - reach, middle + reach))
            text = "block · number" if any(" · " in label for label in track.labels) else "block"
            pixels = max(230, 90 + min(len(track.labels), 24) * 18)
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


def _middle(found: Sequence[Track]) -> tuple[float, float]:
    """Where the numbers of all arms started, and how far the farthest went from there."""
    starts = np.concatenate([track.mean_RS[:, 0] for track in found])
    middle = float(np.median(starts))
    values = np.concatenate([track.mean_RS.ravel() for track in found])
    values = values[np.isfinite(values)]
    return middle, float(np.abs(values - middle).max()) if len(values) and np.ptp(values) > 0 else 1e-3


def _forest(study: dict[str, Any], rows: Sequence[dict[str, Any]], look: Mapping[str, Style]) -> Section | None:
    judged = [row for row in rows if is_number(row.get("delta"))]
    screening = of_folder(of_folder(study.get("screening"), dict).get("arms"), dict)
    screened = [{"arm": arm, **of_folder(row, dict)} for arm, row in screening.items() if arm != study.get("baseline")]
    screened = [row for row in screened if is_number(row.get("difference"))]
    has_budgets = any(len(row["by_budget"]) > 1 for row in judged)
    if len(judged) < _FEWEST_FOR_FOREST and not (judged and (screened or has_budgets)):
        return None
    words = {"difference": ("difference", "")}
    primary = PrimaryNumber.of(study.get("primary"))

    def drawing(place: str, figure: Figure, num_rows: int, caption: str) -> Drawing:
        return Drawing(place, figure, words, caption, has_arms=False, pixels=80 + _ROW_PIXELS * num_rows)

    drawings = [
        drawing("forest", arm_figures.forest_figure(judged, look, primary), len(judged), "judged" if screened else "")
    ]
    read = (
        "Differences from the baseline with their intervals, the best on top; the shaded zone holds differences too "
        "small to matter. The same numbers as on the cards."
    )
    if has_budgets:
        figure = arm_figures.budget_figure(judged, look, primary.unit)
        words_of_budgets = {"difference": ("difference", f"arm minus baseline, {primary.unit}")}
        drawings.append(Drawing("budgets", figure, words_of_budgets, "shorter and longer training", has_arms=False))
        read += " Then the same at every budget: whether a difference grows, shrinks or crosses with training."
    if screened:
        caption = "the first, short run: one seed, no interval, no verdict"
        drawings.append(
            drawing("screened", arm_figures.screening_figure(screened, look, primary), len(screened), caption)
        )
        read += " Last, every arm in the screening; hollow marks were not judged."
    return Section("forest", "All arms at a glance", "All arms", read, "verdict.json", drawings, over_seeds=False)


def _costs(study: dict[str, Any], runs: dict[str, list[Run]], look: Mapping[str, Style]) -> Section | None:
    fields = {
        "parameters": ("num_parameters", "parameters", "all parameters"),
        "inner": ("num_parameters_without_embeddings", "without embeddings", "parameters without embeddings"),
        "flops": ("flops_per_token", "FLOPs per token", "training FLOPs per token"),
    }
    primary = PrimaryNumber.of(study.get("primary"))
    title = "final validation loss" if primary.is_loss else f"{primary.title}, {primary.unit},"
    views, words, titles = {}, {}, {}
    for view, (name, button, text) in fields.items():
        found = profiles.costs(study, runs, name)
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
        [Drawing("costs", arm_figures.cost_figure(views, look, titles, primary), words)],
        over_seeds=False,
    )
