"""The loss over step and position, and its difference from the baseline: what the heat map and its slices are cut from.

The page's script fills in the arm that is chosen, `pictured` any of them for paper.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from vslm.report.figures.axes import color_bar, map_layout, position_axis
from vslm.report.figures.heat_maps import COLORS, UNRESOLVED, cells_of, limits, symmetric_limits
from vslm.report.figures.style import Figure, numbers
from vslm.report.numbers.curves import Grid

_NEAR_TICKS = 1.6  # the last step is named, and a power of ten this near below it is not


def surface(grids: Mapping[str, Grid], differences: Mapping[str, Grid]) -> dict[str, Any]:
    """What the heat map and its slices are cut from: per arm the loss, and the difference from the baseline.

    The limits of the colors are shared by all arms.
    """
    losses, apart = (cells_of(grid.mean_SP for grid in found.values()) for found in (grids, differences))
    return {
        "loss": {arm: _plain_grid(grid) for arm, grid in grids.items()},
        "difference": {arm: _plain_grid(grid) for arm, grid in differences.items()},
        "limits": {"loss": limits(losses), "difference": symmetric_limits(apart)},
    }


def step_edges(steps_S: np.ndarray) -> np.ndarray:
    """Where the rows of a heat map start, and the last one ends, on a logarithmic axis of steps.

    Rows meet at the geometric mean of their steps. Step 0, which has no place on such an axis, is drawn as half of the
    step after it.

    >>> step_edges(np.array([0, 2, 8])).round(3).tolist()
    [0.707, 1.414, 4.0, 16.0]
    """
    places_S = _step_places(steps_S)
    if len(places_S) == 1:
        return places_S[0] * np.array([0.5, 2.0]) ** 0.5
    inner = np.sqrt(places_S[:-1] * places_S[1:])
    return np.array([places_S[0] ** 2 / inner[0], *inner, places_S[-1] ** 2 / inner[-1]])


def _step_places(steps_S: np.ndarray) -> np.ndarray:
    places_S = np.asarray(steps_S, dtype=float)
    after = places_S[1] if len(places_S) > 1 else 1.0
    return np.where(places_S == 0, after / 2, places_S)


def _step_ticks(steps_S: np.ndarray) -> dict[str, list[Any]]:
    """Step 0 if it is there, powers of ten, and the last step where it is not too near to one of them."""
    first, last = int(steps_S[0]), int(steps_S[-1])
    powers = [10**i for i in range(len(str(last))) if max(first, 1) <= 10**i <= last]
    kept = [power for power in powers if power * _NEAR_TICKS <= last or power == last]
    ticks = sorted({*kept, last} - {0})
    places = [float(_step_places(steps_S)[0]), *ticks] if first == 0 else [float(tick) for tick in ticks]
    return {"tickvals": places, "ticktext": [*(["0"] if first == 0 else []), *(f"{tick:,}" for tick in ticks)]}


def _plain_grid(grid: Grid) -> dict[str, Any]:
    return {
        "steps": [int(step) for step in grid.steps_S],
        "edges": numbers(step_edges(grid.steps_S)),
        "ticks": _step_ticks(grid.steps_S),
        "mean": numbers(grid.mean_SP),
        "half": None if grid.half_SP is None else numbers(grid.half_SP),
        "seeds": grid.count,
    }


def heat_figure(edges: np.ndarray) -> Figure:
    """The heat map of a surface without its numbers; the script fills in the arm that is chosen."""
    layout = map_layout(left=56)
    layout["xaxis"] |= {**position_axis(edges), "showgrid": False}
    layout["yaxis"] |= {"showgrid": False, "type": "log"}
    trace = {"type": "heatmap", "hoverinfo": "text", "x": numbers(edges + 0.5, 1), "colorbar": color_bar("nats")}
    return {"data": [trace], "layout": layout, "colors": {**COLORS, "unresolved": UNRESOLVED}}


def pictured(heat: Figure, surface: Mapping[str, Any], view: str, arm: str) -> Figure:
    """One arm's map with its numbers, as the page's script fills it in."""
    grid, (trace,), layout = surface[view][arm], heat["data"], heat["layout"]
    low, high = surface["limits"][view] or (None, None)
    half, places = grid["half"], [f"{a + 0.5:g} to {b - 0.5:g}" for a, b in itertools.pairwise(trace["x"])]
    meta = {"arm": arm, "view": view, "part": "cells", "rows": grid["steps"], "columns": places, "half": half}
    cells = {**trace, "z": grid["mean"], "y": grid["edges"], "zmin": low, "zmax": high, "meta": meta}
    data = [{**cells, "colorscale": heat["colors"][view]}]
    if view == "difference" and half:
        grey = {"z": _unresolved(grid["mean"], half), "zmin": 0, "zmax": 1, "colorscale": heat["colors"]["unresolved"]}
        data.append({**cells, **grey, "showscale": False, "meta": {**meta, "part": "cover"}})
    number = "loss, nats" if view == "loss" else "arm minus baseline, nats"
    columns = {view: ("training step", layout["xaxis"]["title"]["text"], number)}
    x_axis, y_axis = {**layout["xaxis"], "type": "log"}, {**layout["yaxis"], **grid["ticks"]}
    return {"data": data, "layout": {**layout, "xaxis": x_axis, "yaxis": y_axis, "meta": {"columns": columns}}}


def _unresolved(mean: list[list[Any]], half: list[list[Any]]) -> list[list[int | None]]:
    """1 where the interval of a difference includes zero, which is covered by grey."""
    return [
        [1 if value is not None and abs(value) <= around else None for value, around in zip(*rows, strict=True)]
        for rows in zip(mean, half, strict=True)
    ]
