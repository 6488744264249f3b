"""Figures of studies with factors: effects in rows, the means of combinations, and interactions as pairs of lines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vslm.report.figures.arms import bars, zone_across
from vslm.report.figures.axes import axis_title, layout_of_all
from vslm.report.figures.style import Figure, Style, numbers, safe_text
from vslm.report.numbers.formatting import shortened
from vslm.report.numbers.tables import Judged
from vslm.results.primary import PrimaryNumber
from vslm.stats.intervals import student_interval

_LONGEST_LINE = 17  # letters beside a row, of which a name may have two lines
_LEFT = 132  # pixels for them
_DECIMALS = 5
_ERROR = 0.05
_ACROSS = {"yref": "paper", "y0": 0, "y1": 1, "layer": "below"}


def effects_figure(rows: Sequence[Judged], style_of: Mapping[str, Style], primary: PrimaryNumber) -> Figure:
    """Every factor and declared interaction in one picture: its effect with its interval, in the order declared."""
    data = []
    for place, row in enumerate(rows):
        style = style_of[row.arm]
        delta = row.at.delta
        trace = {
            "type": "scatter",
            "mode": "markers",
            "name": style.label,
            "x": [] if delta is None else [round(delta, _DECIMALS)],
            "y": [] if delta is None else [place],
            "marker": {"size": 11, "color": f"@arm{style.color}", "symbol": style.symbol},
            "hovertemplate": f"{style.label}: %{{x:+.4f}}<extra></extra>",
            "meta": {"arm": None, "view": "effects", "part": "mean"},
        }
        error = bars([row.at], style)
        data.append({**trace, "error_x": error} if error else trace)
    figure = _in_rows(data, [row.arm for row in rows], "x")
    layout = figure["layout"]
    layout["xaxis"]["title"] = axis_title(f"with it minus without it; {_side(primary)} is better")
    layout["meta"] = {"columns": {"effects": (f"with it minus without it, {primary.unit}", "row")}}
    layout["shapes"] = [
        *zone_across(rows[0].at.smallest_effect if rows else None),
        {**_ACROSS, "type": "line", "x0": 0, "x1": 0, "line": {"color": "@faint", "width": 1}},
    ]
    return figure


def cells_figure(cells: Mapping[str, Sequence[float]], style_of: Mapping[str, Style], primary: PrimaryNumber) -> Figure:
    """The mean of every combination over its seeds, with its 95% Student-t interval from three on; the best on top."""
    known = {arm: np.array(values) for arm, values in cells.items() if values}
    order = sorted(known, key=lambda arm: primary.turned(float(known[arm].mean())))
    data = []
    for place, arm in enumerate(order):
        interval = student_interval(known[arm], _ERROR)
        style = style_of[arm]
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "markers",
            "name": style.label,
            "x": [round(interval.mean, _DECIMALS)],
            "y": [place],
            "marker": {"size": 11, "color": f"@arm{style.color}", "symbol": style.symbol},
            "hovertemplate": f"{style.label}: %{{x:.4f}}<extra></extra>",
            "meta": {"arm": None, "view": "cells", "part": "mean"},
        }
        if interval.count > 2:
            half = round(interval.high - interval.mean, _DECIMALS)
            how = {"type": "data", "thickness": 2, "width": 5, "color": f"@arm{style.color}"}
            trace["error_x"] = {**how, "array": [half]}
        data.append(trace)
    figure = _in_rows(data, order, "+")
    figure["layout"]["xaxis"]["title"] = axis_title(f"{primary.title}; {_side(primary)} is better")
    figure["layout"]["meta"] = {"columns": {"cells": (f"{primary.title}, {primary.unit}", "row")}}
    return figure


def lines_figure(
    pairs: Mapping[str, tuple[str, str]], means: Mapping[str, np.ndarray], primary: PrimaryNumber
) -> Figure:
    """Of every interaction a view: the mean where its first factor is off and on, a line for the second off, and on.

    Args:
        pairs: by view the factors.
        means: by view, the first factor off and on along rows, the second along columns.
    """
    data = []
    for view, (_, second) in pairs.items():
        for is_on, (dash, symbol) in enumerate((("solid", "circle"), ("dash", "square"))):
            name = safe_text(f"{'with' if is_on else 'without'} {second}")
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers+text",
                    "name": name,
                    "x": [0, 1],
                    "y": numbers(means[view][:, is_on], _DECIMALS),
                    "text": ["", f" {name}"],
                    "textposition": "middle right",
                    "textfont": {"color": "@muted", "size": 12},
                    "line": {"color": f"@arm{is_on}", "width": 2, "dash": dash},
                    "marker": {"size": 10, "color": f"@arm{is_on}", "symbol": symbol},
                    "hovertemplate": f"{name}: %{{y:.4f}}<extra></extra>",
                    "meta": {"arm": None, "view": view, "part": "mean"},
                }
            )
    layout = layout_of_all()
    layout["hovermode"] = "closest"
    layout["yaxis"] |= {"tickformat": ".3f"}
    layout["xaxis"] |= {"tickvals": [0, 1], "ticktext": ["off", "on"], "range": [-0.25, 1.9], "showgrid": False}
    height = f"{primary.title}, {primary.unit}"
    layout["meta"] = {"columns": {view: (f"{first} on", height) for view, (first, _) in pairs.items()}}
    return {"data": data, "layout": layout}


def _side(primary: PrimaryNumber) -> str:
    return "right" if primary.higher_is_better else "left"


def _in_rows(data: list[Figure], names: Sequence[str], joint: str) -> Figure:
    layout = layout_of_all()
    layout["hovermode"] = "closest"
    layout["margin"] = {**layout["margin"], "l": _LEFT}
    ticks = [_two_lines(name, joint) for name in names]
    layout["yaxis"] |= {"tickvals": list(range(len(names))), "ticktext": ticks, "showgrid": False}
    layout["yaxis"] |= {"range": [len(names) - 0.4, -0.6], "autorange": False}
    return {"data": data, "layout": layout}


def _two_lines(name: str, joint: str) -> str:
    """A name beside a row, in two lines where one is too short for it.

    >>> _two_lines("norm", "+"), _two_lines("norm+half-batch+muon", "+")
    ('norm', 'norm+half-batch<br>+muon')
    """
    lines: list[str] = [""]
    for number, part in enumerate(name.split(joint)):
        text = f"{joint}{part}" if number else part
        if lines[-1] and len(lines[-1]) + len(text) > _LONGEST_LINE:
            lines.append("")
        lines[-1] += text
    rest = "".join(lines[1:]).strip()
    return "<br>".join(safe_text(shortened(line.strip(), _LONGEST_LINE)) for line in (lines[0], rest) if line.strip())
