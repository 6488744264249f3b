"""The sections about context: the same targets seen from further and further back, and loss by position."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vslm.report.figures import axes
from vslm.report.figures import lines as line_figures
from vslm.report.figures.heat_maps import Scale, map_figure, place_text
from vslm.report.figures.style import Figure, Style, numbers, safe_text
from vslm.report.numbers import context
from vslm.report.numbers.context import ContextCurves, Positions, Spread
from vslm.report.numbers.formatting import listing, signed
from vslm.report.numbers.maps import Map
from vslm.report.numbers.runs import Run
from vslm.report.sections.section import Drawing, Section, Table
from vslm.stats.context_learning import Onset

_MISSING = "none"


def curve(runs: Mapping[str, Sequence[Run]], style_of: Mapping[str, Style]) -> Section | None:
    """C(k): by arm at the end, over training, and when far context began to help."""
    found = {arm: curves for arm, its in runs.items() if (curves := context.context_curves(its)) is not None}
    if not found:
        return None
    longest = max(int(curves.context_tokens_K[-1]) for curves in found.values())
    views = {
        "loss": {arm: curves.at_the_end() for arm, curves in found.items()},
        "gain": {arm: curves.gain_at_the_end() for arm, curves in found.items()},
    }
    words = {
        "loss": ("loss", "nats per token, the same targets"),
        "gain": ("gain over one token", "nats per token: C(1) minus C(k)"),
    }
    axis = _log_axis("k: tokens that the model is shown before the target", "last %{x:.0f} tokens", longest)
    drawings = [
        Drawing("context-curve", line_figures.profile_figure(views, style_of, axis), words, "At the end of training")
    ]
    far = {arm: gain for arm, curves in found.items() if (gain := curves.far_gain()) is not None}
    if far:
        figure = line_figures.profile_figure({"far": far}, style_of, axes.decade_axis())
        figure["layout"]["shapes"] = [line_figures.level_line(0.0)]
        text = "nats per token: C(T / 8) minus C(T)"
        drawings.append(Drawing("far-context", figure, {"far": ("far gain", text)}, "What far context is worth"))
        drawings += _maps(found)
    return Section(
        "context",
        "What context is worth, target by target",
        "Context",
        _curve_words(found),
        "arrays.npz: context_curve",
        drawings,
        _curve_table(found),
    )


def _maps(found: Mapping[str, ContextCurves]) -> list[Drawing]:
    several = {arm: curves for arm, curves in found.items() if len(curves.steps_S) > 1}
    words = {arm: (arm, "training step") for arm in several}
    losses = {arm: curves.loss_map() for arm, curves in several.items()}
    slopes = {arm: curves.slope_map() for arm, curves in several.items() if len(curves.context_tokens_K) > 2}
    title = "k: tokens before the target"
    figures = (
        _by_step(losses, "loss", title, "k", "nats"),
        _by_step(slopes, "difference", title, "k about", "nats per e-fold"),
    )
    captions = ("Loss C(k) as training goes", "Slope dC / d ln k as training goes: blue is where more context helps")
    drawn = []
    for place, caption, figure in zip(("context-map", "context-slope"), captions, figures, strict=True):
        views = {view: words[view] for view in (trace["meta"]["view"] for trace in figure["data"])}
        if views:
            drawn.append(Drawing(place, figure, views, caption, has_arms=False))
    return drawn


def _by_step(maps: Mapping[str, Map], scale: Scale, title: str, word: str, unit: str) -> Figure:
    """A view per arm; `word` stands before a place in a hover text."""
    return map_figure(
        maps,
        ("training step", title, f"loss, {unit}" if scale == "loss" else unit),
        lambda arm, step, place: f"{safe_text(arm)}, step {step:,}, {word} {place_text(place)}",
        scale=scale,
        unit=unit,
    )


def _curve_words(found: Mapping[str, ContextCurves]) -> str:
    first = next(iter(found.values()))
    targets = f"{first.num_targets:,} targets" if first.num_targets else "The same targets"
    sems = [float(curves.gain_sem_K[-1]) for curves in found.values() if curves.gain_sem_K is not None]
    unsure = f" The standard error of a gain over targets is {max(sems):.3f} nats or less." if sems else ""
    lacking = [arm for arm, curves in found.items() if curves.far_gain_sem is None]
    far = " Beside the far gain stands its own standard error over targets (SE), which more seeds do not make smaller."
    if lacking:
        far = (far if len(lacking) < len(found) else "") + (
            f" That of the far gain is not stored in the runs of {listing(lacking)}, which an earlier version made."
        )
    return (
        f"{targets} of the validation text, each predicted from its last k tokens and nothing else. The targets do not "
        "change with k, so where a curve falls the model uses what lies that far back, and where it is flat it does "
        "not. Far context is what lies beyond the last eighth of the longest k. It sets in at the first stored step "
        "from which the 95 % interval over seeds stays above 0 to the end; half of it is there when the interval stays "
        f"above half of what it came to. Bands, and what follows ±, are over seeds on fixed targets.{unsure}{far}"
    )


def _far_words(curves: ContextCurves) -> str:
    words = _signed(context.spread_of_last(curves.far_gain_by_seed()))
    return words if curves.far_gain_sem is None else f"{words} (SE over targets {curves.far_gain_sem:.3f})"


def _curve_table(found: Mapping[str, ContextCurves]) -> Table:
    rows = []
    for arm, curves in found.items():
        loss = curves.loss_NSK[:, -1]
        onsets = curves.onsets()
        many = "needs three seeds" if len(curves.loss_NSK) < 3 else "needs several steps"
        rows.append(
            [
                arm,
                _plain(context.spread_of_last(loss[:, :1])),
                _plain(context.spread_of_last(loss)),
                _signed(context.spread_of_last(loss[:, :1] - loss)),
                _far_words(curves),
                *((_when(one) for one in onsets) if onsets else (many, many)),
            ]
        )
    header = ["Arm", "C(1)", "C(T)", "Gain C(1) − C(T)", "Far gain C(T/8) − C(T)", "Sets in at step", "Half of it"]
    return Table(tuple(header), [tuple(row) for row in rows])


def position_profile(runs: Mapping[str, Sequence[Run]], style_of: Mapping[str, Style]) -> Section | None:
    """L(t) from document starts beside random windows, power laws, scores, and the slope over training."""
    kinds = ("document", "random")
    found = {
        kind: {arm: its for arm, some in runs.items() if (its := context.positions(some, kind)) is not None}
        for kind in kinds
    }
    found = {kind: by_arm for kind, by_arm in found.items() if by_arm}
    if not found:
        return None
    views = {kind: {arm: its.profile for arm, its in by_arm.items()} for kind, by_arm in found.items()}
    words = {
        "document": ("document starts", "nats per token, t tokens into a document"),
        "random": ("random windows", "nats per token, t tokens into a window"),
    }
    longest = max(float(its.profile.x[-1]) for by_arm in found.values() for its in by_arm.values())
    axis = _log_axis("t: tokens seen so far", "about %{x:.0f} tokens", longest)
    figure = line_figures.profile_figure(views, style_of, axis)
    figure["data"] += _laws(found, style_of)
    text = {kind: words[kind] for kind in found}
    if len(found) == 2:
        figure["data"] += _beside(figure["data"])
        text["beside"] = ("both", "nats; solid: windows, dotted: documents")
    drawings = [Drawing("position-profile", figure, text, "At the end of training")]
    slopes = {arm: its for arm, some in runs.items() if (its := context.slope_map(some)) is not None}
    if slopes:
        figure = _by_step(slopes, "difference", "t: tokens seen so far", "t about", "nats per e-fold")
        caption = "Slope dL / d ln t of the validation loss as training goes: blue is where more context helps"
        views_by_arm = {arm: (arm, "training step") for arm in slopes}
        drawings.append(Drawing("position-slope", figure, views_by_arm, caption, has_arms=False))
    return Section(
        "position-profile",
        "From the beginning of a document, and from anywhere",
        "Document starts",
        _profile_words(found),
        "arrays.npz: position_profile, final_val_loss_nats_T, val_loss_nats_ST",
        drawings,
        _profile_table(found, runs),
        over_seeds=False,
    )


def _laws(found: Mapping[str, Mapping[str, Positions]], style_of: Mapping[str, Style]) -> list[dict[str, Any]]:
    """The fitted laws, as thin lines under the marks."""
    traces = []
    for kind, by_arm in found.items():
        for arm, its in by_arm.items():
            if its.law is None or math.isnan(its.law.exponent):
                continue  # a loss that does not fall has no law; a level line through it would say that it has
            x = np.geomspace(its.profile.x[0], its.profile.x[-1], 40)
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"{safe_text(arm)}, power law",
                    "x": numbers(x, 3),
                    "y": numbers(its.law.at(x)),
                    "line": {"color": f"@arm{style_of[arm].color}-thin", "width": 1.5},
                    "hoverinfo": "skip",
                    "meta": {"arm": arm, "view": kind, "part": "law"},
                }
            )
    return traces


def _beside(data: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Both kinds in one view: without bands, documents dotted."""
    traces = []
    for trace in (trace for trace in data if trace["meta"]["part"] == "mean"):
        is_document = trace["meta"]["view"] == "document"
        words = "document starts" if is_document else "random windows"
        line = {**trace["line"], "dash": "dot" if is_document else "solid"}
        symbol = trace["marker"]["symbol"] + ("-open" if is_document else "")
        marker = {**trace["marker"], "symbol": symbol}
        meta = {**trace["meta"], "view": "beside"}
        traces.append({**trace, "name": f"{trace['name']}, {words}", "line": line, "marker": marker, "meta": meta})
    return traces


def _profile_words(found: Mapping[str, Mapping[str, Positions]]) -> str:
    num = {kind: max(its.num_rows for its in by_arm.values()) for kind, by_arm in found.items()}
    documents = f"{num['document']:,} documents" if "document" in num else "no documents: the corpus has no separators"
    windows, bands = _windows_words(found.get("random", {}).values())
    return (
        "The loss after t tokens: once from the first token of a document, after a separator, and once from windows "
        f"that start anywhere ({documents}; {num.get('random', 0):,} windows{windows}). From a document's start, t is "
        "also how far the document has got, and beginnings are unlike the rest; what falls in both is the use of "
        f"context. Means over seeds; bands are 95 % intervals from drawing whole documents anew. {bands}Thin lines are "
        "power laws a + b t^−c with a, b of 0 or more, by least squares on bins that are even in ln t; the interval of "
        "c is from the same draws. The in-context learning score is the loss late in the context minus the loss early "
        "in it, on the whole validation set: negative is good. Slopes are taken between octaves of t."
    )


def _windows_words(found: Iterable[Positions]) -> tuple[str, str]:
    """Of how many documents windows are, and what their bands are worth."""
    known = {its.num_documents for its in found}
    nums = sorted(num for num in known if num is not None)
    of = f" of {nums[-1]:,} document{'s' if nums[-1] != 1 else ''}" if nums else ""
    words = "Windows of one document are drawn together. " if nums else ""
    if nums and nums[0] == 1:
        words += "Windows of a single document have no interval. "
    if None in known:
        words += (
            "Runs that do not say which document a window is of, because an earlier version made them or their corpus "
            "has no separators, have single windows drawn anew: where these share documents, the band is too narrow. "
        )
    return of, words


def _profile_table(found: Mapping[str, Mapping[str, Positions]], runs: Mapping[str, Sequence[Run]]) -> Table:
    lengths = {_context_of(its) for its in runs.values()} - {None}
    length = lengths.pop() if len(lengths) == 1 else None
    score = context.score_words(length) if length else "late − early"
    near = f"the same, ± {context.around_tokens(length)} positions" if length else "the same, with neighbors"
    header = ["Arm", *(f"Power law, {kind} {'starts' if kind == 'document' else 'windows'}" for kind in found)]
    rows = []
    for arm in dict.fromkeys(arm for by_arm in found.values() for arm in by_arm):
        laws = [_law_words(by_arm.get(arm)) for by_arm in found.values()]
        both = context.scores(runs[arm])
        rows.append([arm, *laws, *((_signed(one) for one in both) if both else (_MISSING, _MISSING))])
    return Table((*header, f"Score {score}", near), [tuple(row) for row in rows])


def _context_of(runs: Sequence[Run]) -> int | None:
    lengths = {run.arrays["final_val_loss_nats_T"].shape[0] for run in runs if "final_val_loss_nats_T" in run.arrays}
    return lengths.pop() if len(lengths) == 1 else None


def _law_words(its: Positions | None) -> str:
    if its is None or its.law is None:
        return _MISSING
    law = its.law
    if law.scale_nats <= 0:
        return "does not fall"
    interval = f"c {law.low:.2f} to {law.high:.2f}" if law.is_resolved else "c not resolved"
    return f"{law.floor_nats:.2f} + {law.scale_nats:.2f} t^−{law.exponent:.2f} ({interval})"


def _when(found: Onset | None) -> str:
    """A step is known as well as steps were stored."""
    if found is None:
        return "not seen"
    return f"{found.at:,}" if found.after is None else f"{found.after:,} to {found.at:,}"


def _plain(its: Spread) -> str:
    return f"{its.mean:.3f}" + (f" ± {its.half:.3f}" if its.half is not None else "")


def _signed(its: Spread) -> str:
    return signed(its.mean, 3) + (f" ± {its.half:.3f}" if its.half is not None else "")


def _log_axis(title: str, hover: str, last: float) -> dict[str, Any]:
    return axes.octave_axis(title, hover, range(int(last).bit_length() + 1))
