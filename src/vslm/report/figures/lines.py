"""Figures of lines: over training, along positions, and over any axis that arms share; and the marks beside them.

What a trace is for stands in its `meta`: the arm, the view it belongs to, and the axes it can be drawn against. The
page's script shows, hides and recolors; it computes no number but what a click selects.

Not for: statistics, see `curves.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vslm.report.figures.axes import axis_title, layout_of_all, position_axis, zone_of_no_interest
from vslm.report.figures.style import LOSS_DECIMALS, Figure, Style, decimals_of, digits_of, numbers, safe_text
from vslm.report.numbers.curves import Curves, Line, Profile, SeedLine

_UNEVEN = "%{y:.3g} (%{customdata[0]:.3g} to %{customdata[1]:.3g})"


def training_figure(
    curves: Mapping[str, Mapping[str, Curves]], style_of: Mapping[str, Style], smallest_effect: float | None
) -> Figure:
    """Lines over training. `curves` is view -> arm -> curves; the views share the figure and one is shown at a time.

    `smallest_effect` draws the zone of no interest under the view named `difference`.
    """
    data = []
    for view, by_arm in curves.items():
        for arm, found in by_arm.items():
            data += [_seed_trace(line, style_of[arm], view) for line in found.seeds]
        for arm, found in by_arm.items():
            if found.mean is not None:
                data += _mean_traces(found.mean, style_of[arm], view)
    return {"data": data, "layout": {**layout_of_all(), "shapes": zone_of_no_interest("y", smallest_effect)}}


def _seed_trace(line: SeedLine, style: Style, view: str) -> dict[str, Any]:
    note = "" if line.is_whole else " (did not end well)"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"{style.label}, seed {line.seed}{note}",
        "line": {"color": f"@arm{style.color}-thin", "width": 1, "dash": "solid" if line.is_whole else "dot"},
        "hoverinfo": "skip",
        "y": numbers(line.values),
        "meta": {"arm": style.arm, "view": view, "axes": _axes(line.axes), "part": "seed", "seed": line.seed},
    }


def _mean_traces(line: Line, style: Style, view: str) -> list[dict[str, Any]]:
    meta = {"arm": style.arm, "view": view, "axes": _axes(line.axes)}
    traces: list[dict[str, Any]] = []
    if line.half is not None:
        around = {axis: [*values, *reversed(values)] for axis, values in _axes(line.axes).items()}
        edge = [*numbers(line.mean + line.half), *reversed(numbers(line.mean - line.half))]
        traces.append({**_band(style, edge), "meta": {**meta, "axes": around, "part": "band"}})
    traces.append(
        {
            **_mean(style, numbers(line.mean), line.half),
            "meta": {**meta, "part": "mean"},
        }
    )
    return traces


def _axes(axes: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    return {axis: numbers(values, 3) for axis, values in axes.items()}


def position_figure(
    finals: Mapping[str, Mapping[str, Profile]],
    style_of: Mapping[str, Style],
    edges: np.ndarray,
    zone: Sequence[int] | None,
) -> Figure:
    """Loss by position at the end. `finals` is view -> arm -> numbers; `zone` holds the positions of the verdict."""
    figure = profile_figure(finals, style_of, position_axis(edges), has_marks=False)
    shapes = []
    if zone is not None:
        x0, x1 = zone[0] + 0.5, zone[1] + 0.5
        box = {"type": "rect", "xref": "x", "yref": "paper", "x0": x0, "x1": x1, "y0": 0, "y1": 1}
        shapes.append({**box, "fillcolor": "@zone", "line": {"width": 0}, "layer": "below"})
    figure["layout"]["shapes"] = shapes
    return figure


def slice_figures(edges: np.ndarray) -> dict[str, Figure]:
    """Both slices without their numbers: along positions at one step, along steps at one position."""
    along_position, along_training = layout_of_all(), layout_of_all()
    along_position["xaxis"] |= position_axis(edges)
    along_training["xaxis"] |= {
        "title": axis_title("training step"),
        "type": "log",
        "dtick": 1,
        "separatethousands": True,
    }
    along_training["xaxis"]["unifiedhovertitle"] = {"text": "step %{x:,}"}
    return {
        "along_position": {"data": [], "layout": along_position},
        "along_training": {"data": [], "layout": along_training},
    }


def profile_figure(
    views: Mapping[str, Mapping[str, Profile]],
    style_of: Mapping[str, Style],
    x_axis: Mapping[str, Any],
    *,
    decimals: int | None = None,
    has_marks: bool = True,
) -> Figure:
    """Lines by arm over an axis that all share. `views` is view -> arm -> numbers; one view is shown at a time.

    Args:
        views: the numbers.
        style_of: of the arms.
        x_axis: what the axis has beside what all have.
        decimals: behind the point; None: as many as the largest number of a view needs. Of more than four a hover text
            shows four digits that count.
        has_marks: whether each place has a mark.
    """
    data, given = [], decimals
    for view, by_arm in views.items():
        means = np.concatenate([np.empty(0), *(profile.mean for profile in by_arm.values())])
        decimals = decimals_of(means[np.isfinite(means)]) if given is None else given
        x = np.abs(np.concatenate([np.empty(0), *(profile.x for profile in by_arm.values())]))
        places = max(3, decimals_of(np.atleast_1d(x[x > 0].min(initial=1.0))) - 1)
        for arm, profile in by_arm.items():
            meta, style = {"arm": arm, "view": view}, style_of[arm]
            if profile.each is not None and profile.each.shape[1] > 1:
                data.append({**_marks(profile, style, places, decimals), "meta": {**meta, "part": "each"}})
            ends = _ends(profile)
            if ends is not None:
                keep = np.isfinite(ends).all(axis=0)
                x, (low, high) = profile.x[keep], ends[:, keep]
                edge = [*numbers(high, decimals), *reversed(numbers(low, decimals))]
                around = [*numbers(x, places), *reversed(numbers(x, places))]
                data.append({**_band(style, edge), "x": around, "meta": {**meta, "part": "band"}})
            line = {
                **_mean(style, numbers(profile.mean, decimals), profile.half, decimals),
                "x": numbers(profile.x, places),
                "connectgaps": True,  # where nothing counts there is no number, and single points have no line
            }
            meta = {**meta, "part": "mean"}
            if profile.ends is not None:
                low, high = (numbers(end, decimals) for end in profile.ends)
                line |= {"customdata": list(zip(low, high, strict=True)), "hovertemplate": _UNEVEN}
                meta |= {"ends": [low, high]}
            marker = {"size": 7, "color": f"@arm{style.color}", "symbol": style.symbol}
            marks = {"mode": "lines+markers", "marker": marker} if has_marks else {}
            data.append({**line, **marks, "meta": meta})
    layout = layout_of_all()
    layout["xaxis"] |= x_axis
    return {"data": data, "layout": layout}


def _ends(profile: Profile) -> np.ndarray | None:
    """Low and high ends of the interval at every place, [2, X]."""
    if profile.ends is not None:
        return np.stack(profile.ends)
    return None if profile.half is None else np.stack([profile.mean - profile.half, profile.mean + profile.half])


def _marks(profile: Profile, style: Style, places: int, decimals: int) -> dict[str, Any]:
    """One small mark for each of those that the line is the mean of: heads, or seeds."""
    assert profile.each is not None
    pairs = [(x, y) for x, row in zip(profile.x, profile.each, strict=True) for y in row if np.isfinite(y)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{style.label}, one by one",
        "x": numbers(np.array([x for x, _ in pairs]), places),
        "y": numbers(np.array([y for _, y in pairs]), decimals),
        "marker": {"size": 5, "color": f"@arm{style.color}-thin", "symbol": style.symbol},
        "hoverinfo": "skip",
    }


def _band(style: Style, edge: list[Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "fill": "toself",
        "fillcolor": f"@arm{style.color}-band",
        "line": {"width": 0, "color": f"@arm{style.color}-band"},
        "hoverinfo": "skip",
        "y": edge,
    }


def _mean(style: Style, values: list[Any], half: np.ndarray | None, decimals: int = LOSS_DECIMALS) -> dict[str, Any]:
    digits = digits_of(decimals)
    hover = f"%{{y:{digits}}}" + (f" ± %{{customdata:{digits}}}" if half is not None else "")
    return {
        "type": "scatter",
        "mode": "lines",
        "name": style.label,
        "line": {"color": f"@arm{style.color}", "width": 2.4, "dash": style.dash},
        "hovertemplate": hover,
        "customdata": numbers(half, decimals) if half is not None else None,
        "y": values,
    }


def reference_line(ends: Sequence[float], height: float, name: str, view: str) -> dict[str, Any]:
    """A number that is the same everywhere, across the figure, with its name over its left end."""
    return {
        "type": "scatter",
        "mode": "lines+text",
        "name": safe_text(name),
        "x": [round(float(x), 4) for x in ends],
        "y": [round(height, 7)] * 2,
        "text": [safe_text(name), ""],
        "textposition": "top right",
        "textfont": {"color": "@muted", "size": 11},
        "line": {"color": "@faint", "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
        "meta": {"arm": None, "view": view, "part": "reference"},
    }


def diagonal(low: float, high: float, name: str, view: str) -> dict[str, Any]:
    """Where what is given equals what is found."""
    line = reference_line((low, high), low, name, view)
    return {**line, "mode": "lines", "x": [low, high], "y": [low, high], "text": None}


def lowest_point(x: float, y: float, style: Style, view: str) -> dict[str, Any]:
    """The lowest point of a line, with the line's name."""
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": f"{style.label}, minimum",
        "x": [round(x, 4)],
        "y": [round(y, 6)],
        "text": [style.label],
        "textposition": "bottom center",
        "textfont": {"color": f"@arm{style.color}", "size": 12},
        "marker": {
            "size": 15,
            "color": f"@arm{style.color}",
            "symbol": style.symbol,
            "line": {"width": 2, "color": "@surface"},
        },
        "hoverinfo": "skip",
        "meta": {"arm": None, "view": view, "part": "lowest"},
    }


def level_line(height: float) -> dict[str, Any]:
    """A height to compare with, across the figure: what a guess reaches, or no difference."""
    line = {"color": "@faint", "width": 1.5, "dash": "dot"}
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": height,
        "y1": height,
        "layer": "below",
        "line": line,
    }
