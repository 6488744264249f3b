"""Heat maps: loss over (step, position), parameters over training, and cells with names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vslm.report.figures.axes import LONGEST_TICK, MOST_TICKS, axis_title, color_bar, map_layout, position_axis
from vslm.report.figures.style import LOSS_DECIMALS, Figure, cell_text, numbers, safe_text
from vslm.report.numbers.curves import Grid
from vslm.report.numbers.formatting import shortened
from vslm.report.numbers.profiles import Track

_SATURATION_QUANTILE = 0.98  # of a heat map's cells; the rest get the color of the end of the scale
_NARROWEST = 1e-3  # half a scale of color, where all cells are alike: any width does
_NEAR_TICKS = 1.6  # the last step is named, and a power of ten this near below it is not


def surface(grids: Mapping[str, Grid], differences: Mapping[str, Grid]) -> dict[str, Any]:
    """What the heat map and its slices are cut from: per arm the loss, and the difference from the baseline.

    The limits of the colors are shared by all arms.
    """
    losses, apart = _cells(grids.values()), _cells(differences.values())
    return {
        "loss": {arm: _plain_grid(grid) for arm, grid in grids.items()},
        "difference": {arm: _plain_grid(grid) for arm, grid in differences.items()},
        "limits": {"loss": limits(losses), "difference": symmetric_limits(apart)},
    }


def limits(cells: np.ndarray) -> list[float] | None:
    """Of the colors of these numbers, the largest few beyond them; None where there is no number."""
    return [float(cells.min()), float(np.quantile(cells, _SATURATION_QUANTILE))] if len(cells) else None


def symmetric_limits(cells: np.ndarray) -> list[float] | None:
    """The same, even around zero."""
    if not len(cells):
        return None
    limit = float(np.quantile(np.abs(cells), _SATURATION_QUANTILE)) or _NARROWEST
    return [-limit, limit]


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


def _cells(grids: Any) -> np.ndarray:
    values = [grid.mean_SP[np.isfinite(grid.mean_SP)] for grid in grids]
    return np.concatenate(values) if values else np.empty(0)


def heat_figure(edges: np.ndarray) -> Figure:
    """The heat map without its numbers; the script fills in the arm that is chosen."""
    layout = map_layout(left=56)
    layout["xaxis"] |= {**position_axis(edges), "showgrid": False}
    layout["yaxis"] |= {"showgrid": False, "type": "log"}
    trace = {"type": "heatmap", "hoverinfo": "text", "x": numbers(edges + 0.5, 1), "colorbar": color_bar("nats")}
    return {"data": [trace], "layout": layout}


def track_figure(track: Track, limits: Sequence[float]) -> Figure:
    """A heat map of parameters: a row per number, a column per stored step, colors even around where they started."""
    half = track.half_RS
    low, high = _ends(*limits)
    text = [
        [
            cell_text(
                f"{safe_text(label)}, step {int(step):,}",
                track.mean_RS[r, s],
                None if half is None else half[r, s],
                track.count,
            )
            for s, step in enumerate(track.steps_S)
        ]
        for r, label in enumerate(track.labels)
    ]
    last = len(track.steps_S) - 1
    ticks = sorted({round(last * i / 5) for i in range(6)})
    trace = {
        "type": "heatmap",
        "hoverinfo": "text",
        "x": list(range(last + 1)),
        "y": list(range(len(track.labels))),
        "z": numbers(track.mean_RS),
        "text": text,
        "zmin": low,
        "zmax": high,
        "colorbar": color_bar(),
        "meta": {
            "arm": None,
            "view": "values",
            "part": "cells",
            "labels": track.labels,
            "steps": track.steps_S.tolist(),
        },
    }
    layout = map_layout()
    names = {"tickvals": ticks, "ticktext": [f"{int(track.steps_S[i]):,}" for i in ticks]}
    layout["xaxis"] |= {"title": axis_title("training step"), "showgrid": False, **names}
    rows = sorted({round((len(track.labels) - 1) * i / 11) for i in range(12)})
    layout["yaxis"] |= {"showgrid": False, "tickvals": rows, "ticktext": [safe_text(track.labels[r]) for r in rows]}
    layout["yaxis"]["autorange"] = "reversed"
    layout["meta"] = {"columns": {"values": ("block · number", "training step", "parameter")}}
    return {"data": [trace], "layout": layout}


def _ends(low: float, high: float) -> tuple[float, float]:
    """Of a scale of color, rounded as its cells are. Cells that are then all alike get a scale that has a width.

    >>> _ends(-1.23456, 1.23456), _ends(-4e-5, 4e-5)
    ((-1.2346, 1.2346), (-0.001, 0.001))
    """
    low, high = round(float(low), LOSS_DECIMALS), round(float(high), LOSS_DECIMALS)
    return (low, high) if low < high else (low - _NARROWEST, high + _NARROWEST)


def labeled_map(
    values_RC: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    limit: float,
    text: Sequence[Sequence[str]],
    columns_of_csv: tuple[str, str, str],
) -> Figure:
    """A heat map of cells with names, colors even around zero; columns are numbered from 1.

    Args:
        limit: how far colors reach on both sides.
        text: of each cell when it is pointed at, ready for plotly.js.
        columns_of_csv: what a row, a column (the title of its axis, too) and the number of a cell are.
    """
    low, high = _ends(-limit, limit)
    trace = {
        "type": "heatmap",
        "hoverinfo": "text",
        "x": list(range(len(columns))),
        "y": list(range(len(rows))),
        "z": numbers(values_RC),
        "text": [list(row) for row in text],
        "zmin": low,
        "zmax": high,
        "colorbar": color_bar(),
        "xgap": 1,
        "ygap": 1,
        "meta": {"arm": None, "view": "values", "part": "cells", "labels": list(rows), "steps": list(columns)},
    }
    layout = map_layout(left=132)
    ticks = list(range(0, len(columns), 1 + len(columns) // MOST_TICKS))
    layout["xaxis"] |= {"title": axis_title(columns_of_csv[1]), "showgrid": False}
    layout["meta"] = {"columns": {"values": columns_of_csv}}
    layout["xaxis"] |= {"tickvals": ticks, "ticktext": [str(i + 1) for i in ticks]}
    names = [safe_text(shortened(row, LONGEST_TICK)) for row in rows]
    layout["yaxis"] |= {"showgrid": False, "tickvals": list(range(len(rows))), "ticktext": names}
    layout["yaxis"]["autorange"] = "reversed"
    return {"data": [trace], "layout": layout}
