"""Heat maps over training step and something else, one view per arm on one scale of color.

Rows are stored steps and columns the places of the other axis, each as wide as the next: both are spaced evenly in the
logarithm when they are measured, so a map of equal cells is a map on two logarithmic axes.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from vslm.report.figures import axes
from vslm.report.figures import heat_maps as heat_figures
from vslm.report.figures.style import Figure, cell_text, numbers, safe_text
from vslm.report.numbers.context import StepMap
from vslm.report.numbers.formatting import count

_MOST_TICKS = 8
_UNIT_SIZE = 11  # pixels, of the unit over the scale
_LONG = 10_000  # from here on a tick has a prefix, or a phone has no room for it


def map_figure(
    maps: Mapping[str, StepMap], *, scale: Literal["loss", "difference"], x_title: str, x_word: str, unit: str
) -> Figure:
    """One view per arm, in the order given; all have the same colors for the same numbers.

    Args:
        maps: by arm.
        scale: "loss" from the lowest to the highest cell, "difference" even around 0.
        x_title: of the horizontal axis.
        x_word: before a place in a hover text.
        unit: of the color bar.
    """
    low, high = _limits(maps, scale)
    data = [_cells(arm, found, scale, low, high, x_word, unit) for arm, found in maps.items()]
    longest = max(maps.values(), key=lambda found: len(found.x_X))
    deepest = max(maps.values(), key=lambda found: len(found.steps_S))
    layout = axes.map_layout(x_title)
    layout["xaxis"] |= {"showgrid": False, **_ticks(longest.x_X)}
    layout["yaxis"] |= {"showgrid": False, **_ticks(deepest.steps_S)}
    number = f"loss, {unit}" if scale == "loss" else unit
    layout["meta"] = {"columns": dict.fromkeys(maps, ("training step", x_title, number))}
    return {"data": data, "layout": layout}


def _cells(arm: str, found: StepMap, scale: str, low: float, high: float, x_word: str, unit: str) -> dict[str, Any]:
    half = found.half_SX
    text = [
        [
            cell_text(
                f"{safe_text(arm)}, step {int(step):,}, {x_word} {_short(x)}",
                found.mean_SX[s, i],
                None if half is None else half[s, i],
                found.count,
                unit,
            )
            for i, x in enumerate(found.x_X)
        ]
        for s, step in enumerate(found.steps_S)
    ]
    return {
        "type": "heatmap",
        "hoverinfo": "text",
        "x": list(range(len(found.x_X))),
        "y": list(range(len(found.steps_S))),
        "z": numbers(found.mean_SX),
        "text": text,
        "zmin": low,
        "zmax": high,
        "colorbar": axes.color_bar(unit, _UNIT_SIZE),
        "meta": {
            "arm": None,
            "view": arm,
            "part": "cells",
            "scale": scale,
            "labels": [int(step) for step in found.steps_S],
            "steps": numbers(found.x_X, 2),
        },
    }


def _limits(maps: Mapping[str, StepMap], scale: str) -> tuple[float, float]:
    """Of all arms together, so that a color means one number."""
    cells = np.concatenate([found.mean_SX[np.isfinite(found.mean_SX)] for found in maps.values()])
    found = heat_figures.limits(cells) if scale == "loss" else heat_figures.symmetric_limits(cells)
    if found is None:
        return 0.0, 1.0
    low, high = found
    if scale == "loss":
        return round(low, 4), round(max(high, low + 1e-3), 4)
    limit = round(high, 4) or 1e-3
    return -limit, limit


def _ticks(values: np.ndarray) -> dict[str, Any]:
    """As many as are readable, the first and the last among them."""
    last = len(values) - 1
    places = sorted({round(last * i / (_MOST_TICKS - 1)) for i in range(_MOST_TICKS)})
    names = [count(float(values[i])) if values[i] >= _LONG else _short(values[i]) for i in places]
    return {"tickvals": places, "ticktext": names}


def _short(value: float) -> str:
    """A step or a number of tokens: whole where it is whole.

    >>> _short(2.0), _short(2.828), _short(1750)
    ('2', '2.8', '1,750')
    """
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"
