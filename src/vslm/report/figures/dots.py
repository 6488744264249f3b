"""Dots in rows: one row per name, one dot per arm, and a line through the dots of a row."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vslm.report.figures.axes import LONGEST_TICK, axis_title, blank
from vslm.report.figures.style import Figure, Style, decimals_of, digits_of, numbers, safe_text
from vslm.report.numbers.classes import ByName
from vslm.report.numbers.formatting import shortened

_Point = tuple[float, float, ByName, int]  # number, height, and where it came from
_ROW_PIXELS, _ARM_PIXELS, _AROUND_PIXELS = 26, 11, 84
_SPREAD = 0.7  # of a row's height, over which the dots of all arms are laid out, so that intervals do not cover others


def dot_figure(
    views: Mapping[str, Mapping[str, ByName]],
    style_of: Mapping[str, Style],
    title: str,
    columns: Mapping[str, tuple[str, str]],
) -> Figure:
    """Numbers by name. `views` is view -> arm -> numbers; one view is shown at a time, and all share their rows.

    Args:
        views: the view `difference` gets a line at zero.
        style_of: of the arms.
        title: of the axis of numbers; none where views are of different numbers.
        columns: what a number and a row are, by view, for a CSV.
    """
    all_of_them = [found for by_arm in views.values() for found in by_arm.values()]
    shares: dict[str, float | None] = {}
    for found in all_of_them:
        of_each = [None] * len(found.names) if found.shares_G is None else found.shares_G.tolist()
        shares |= {name: share for name, share in zip(found.names, of_each, strict=True) if name not in shares}
    row_of = {name: row for row, name in enumerate(shares)}
    is_shared = sum(len(found.names) for found in next(iter(views.values())).values()) > len(row_of)
    data: list[dict[str, Any]] = []
    for view, by_arm in views.items():
        decimals = decimals_of(np.concatenate([found.mean_G for found in by_arm.values()]))
        half_spread = _SPREAD / 2 if is_shared and len(by_arm) > 1 else 0.0
        offsets = np.linspace(-half_spread, half_spread, len(by_arm))
        points: dict[str, list[_Point]] = {}
        for offset, (arm, found) in zip(offsets, by_arm.items(), strict=True):
            points[arm] = [(found.mean_G[i], row_of[name] + offset, found, i) for i, name in enumerate(found.names)]
        meta = {"arm": None, "view": view, "part": "row"}
        data.append({**_joined(points.values(), len(shares), decimals), "meta": meta})
        data += [_dots(style_of[arm], its, view, decimals) for arm, its in points.items()]
    figure = blank()
    layout = figure["layout"]
    layout["hovermode"] = "closest"
    layout["margin"] = {**layout["margin"], "l": 138}
    layout["xaxis"]["title"] = axis_title(safe_text(title))
    names = [_row_name(name, share) for name, share in shares.items()]
    layout["yaxis"] |= {"tickvals": list(range(len(names))), "ticktext": names, "showgrid": False}
    layout["yaxis"] |= {"range": [len(names) - 0.4, -0.6], "autorange": False}
    across = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "layer": "below", "view": "difference"}
    layout["shapes"] = [{**across, "x0": 0, "x1": 0, "line": {"color": "@faint", "width": 1}}]
    layout["meta"] = {"columns": {view: tuple(map(safe_text, names)) for view, names in columns.items()}}
    return {"data": data, "layout": layout}


def dot_pixels(num_rows: int, num_arms: int) -> int:
    """The height of a figure of dots."""
    return _AROUND_PIXELS + num_rows * max(_ROW_PIXELS, _ARM_PIXELS * num_arms)


def _row_name(name: str, share: float | None) -> str:
    if share is None:
        return safe_text(shortened(name, LONGEST_TICK))
    return safe_text(f"{name} · {f'{100 * share:.0f} %' if share >= 0.01 else '<1 %'}")


def _dots(style: Style, points: list[_Point], view: str, decimals: int) -> Figure:
    halves = [None if found.half_G is None else found.half_G[i] for _, _, found, i in points]
    color = f"@arm{style.color}"
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": style.label,
        "x": numbers(np.array([x for x, *_ in points]), decimals),
        "y": [round(float(y), 3) for _, y, *_ in points],
        "marker": {"size": 9, "color": color, "symbol": style.symbol},
        "hovertemplate": f"{style.label}: %{{x:{digits_of(decimals)}}}<extra></extra>",
        "meta": {
            "arm": style.arm,
            "view": view,
            "part": "mean",
            "names": [found.names[i] for _, _, found, i in points],
        },
    }
    if all(half is not None for half in halves) and halves:
        error = {"type": "data", "thickness": 1.6, "width": 3, "color": color}
        trace["error_x"] = {**error, "array": numbers(np.array(halves, dtype=float), decimals)}
    return trace


def _joined(points: Any, num_rows: int, decimals: int) -> Figure:
    """A pale line through the dots of every row, from the first arm to the last."""
    x: list[Any] = []
    y: list[Any] = []
    for row in range(num_rows):
        in_row = [(value, place) for its in points for value, place, *_ in its if round(place) == row]
        x += [*(round(float(value), decimals) for value, _ in in_row), None]
        y += [*(round(float(place), 3) for _, place in in_row), None]
    line = {"color": "@faint", "width": 1.5}
    return {"type": "scatter", "mode": "lines", "name": "", "x": x, "y": y, "line": line, "hoverinfo": "skip"}
