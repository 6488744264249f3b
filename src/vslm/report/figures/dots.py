"""Dots in rows: one row per class, one dot per arm, and a line through the dots of a row."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vslm.report.figures.axes import blank
from vslm.report.figures.style import Figure, Style, numbers, safe_text
from vslm.report.numbers.probe_profiles import ClassLosses

_Point = tuple[float, float, ClassLosses, int]  # loss, height, and where it came from
_SPREAD = 0.5  # of a row's height, over which the dots of all arms are laid out, so that intervals do not cover others


def dot_figure(views: Mapping[str, Mapping[str, ClassLosses]], look: Mapping[str, Style], title: str) -> Figure:
    """Losses of classes. `views` is view -> arm -> numbers; one view is shown at a time, and the first names the rows.

    Args:
        views: the view `difference` gets a line at zero.
        look: of the arms.
        title: of the axis of losses.
    """
    first = next(iter(next(iter(views.values())).values()))
    row_of = {name: row for row, name in enumerate(first.names)}
    data: list[dict[str, Any]] = []
    for view, by_arm in views.items():
        offsets = np.linspace(-_SPREAD / 2, _SPREAD / 2, len(by_arm)) if len(by_arm) > 1 else [0.0]
        points: dict[str, list[_Point]] = {}
        for offset, (arm, found) in zip(offsets, by_arm.items(), strict=True):
            kept = [(i, row_of[name]) for i, name in enumerate(found.names) if name in row_of]
            points[arm] = [(found.mean_G[i], row + offset, found, i) for i, row in kept]
        data.append({**_joined(points.values(), len(first.names)), "meta": {"arm": None, "view": view, "part": "row"}})
        data += [_dots(look[arm], its, view) for arm, its in points.items()]
    figure = blank()
    layout = figure["layout"]
    layout["hovermode"] = "closest"
    layout["margin"] = {**layout["margin"], "l": 138}
    layout["xaxis"]["title"] = {**layout["xaxis"]["title"], "text": title}
    shares = [f"{name} · {_percent(share)}" for name, share in zip(first.names, first.shares_G, strict=True)]
    layout["yaxis"] |= {"tickvals": list(range(len(shares))), "ticktext": shares, "showgrid": False}
    layout["yaxis"] |= {"range": [len(shares) - 0.4, -0.6], "autorange": False}
    across = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "layer": "below", "view": "difference"}
    layout["shapes"] = [{**across, "x0": 0, "x1": 0, "line": {"color": "@faint", "width": 1}}]
    sides = {view: f"{title}, arm minus baseline" if view == "difference" else f"loss, {title}" for view in views}
    layout["meta"] = {"columns": {view: (side, "class") for view, side in sides.items()}}
    return {"data": data, "layout": layout}


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else safe_text("<1 %")


def _dots(style: Style, points: list[_Point], view: str) -> Figure:
    halves = [None if found.half_G is None else found.half_G[i] for _, _, found, i in points]
    color = f"@arm{style.color}"
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": safe_text(style.arm),
        "x": numbers(np.array([x for x, *_ in points])),
        "y": [round(float(y), 3) for _, y, *_ in points],
        "marker": {"size": 9, "color": color, "symbol": style.symbol},
        "hovertemplate": f"{safe_text(style.arm)}: %{{x:.4f}}<extra></extra>",
        "meta": {
            "arm": style.arm,
            "view": view,
            "part": "mean",
            "names": [found.names[i] for _, _, found, i in points],
        },
    }
    if all(half is not None for half in halves) and halves:
        error = {"type": "data", "array": numbers(np.array(halves, dtype=float)), "thickness": 1.6, "width": 3}
        trace["error_x"] = {**error, "color": color}
    return trace


def _joined(points: Any, num_rows: int) -> Figure:
    """A pale line through the dots of every row, from the first arm to the last."""
    x: list[Any] = []
    y: list[Any] = []
    for row in range(num_rows):
        in_row = [(value, place) for its in points for value, place, *_ in its if round(place) == row]
        x += [*(round(float(value), 4) for value, _ in in_row), None]
        y += [*(round(float(place), 3) for _, place in in_row), None]
    line = {"color": "@faint", "width": 1.5}
    return {"type": "scatter", "mode": "lines", "name": "", "x": x, "y": y, "line": line, "hoverinfo": "skip"}
