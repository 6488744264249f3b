"""The figures of the page, as plain dicts in the form that plotly.js draws.

Colors are names (`@arm1`, `@grid`), resolved in the browser, so that one figure serves the light and the dark theme.
What a trace is for stands in its `meta`: the arm, the view it belongs to, and the axes it can be drawn against. The
page's script shows, hides and recolors; it computes no number but what a click selects.

Text that others wrote (names of arms) goes through `safe_text`, because plotly.js reads tags in its labels.

Not for: statistics, see `curves.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vslm.report.curves import ByPosition, Curves, Grid, Line, SeedLine
from vslm.report.formatting import is_number

NUM_COLORS = 8  # @arm0 (the baseline's neutral) to @arm7, defined in page.css for both themes
# Six of each for the arms beside the baseline, and seven colors: the first 42 arms differ in the pair.
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
_LOSS_DECIMALS = 4
_TITLE_SIZE = 12  # pixels, of an axis title
_SATURATION_QUANTILE = 0.98  # of a heat map's cells; the rest get the color of the end of the scale

Figure = dict[str, Any]


@dataclass(frozen=True)
class Style:
    """How an arm looks everywhere on the page: a color, and a dash and a symbol for who cannot tell colors apart."""

    arm: str
    color: int
    dash: str
    symbol: str


def styles(arms: Sequence[str], baseline: str | None) -> dict[str, Style]:
    """A style per arm: neutral for the baseline, then one color after the other."""
    others = [arm for arm in arms if arm != baseline]
    look = {}
    for arm in arms:
        i = 0 if arm == baseline else 1 + others.index(arm)
        color = 0 if i == 0 else 1 + (i - 1) % (NUM_COLORS - 1)
        turn = max(0, i - 1)
        look[arm] = Style(arm, color, _DASHES[turn % len(_DASHES)], _SYMBOLS[turn % len(_SYMBOLS)])
    return look


def safe_text(text: str) -> str:
    """Text that plotly.js shows as it is: no tags, no entities, no formulas, no `%{...}`.

    >>> safe_text("<b>$x$</b>")
    '&lt;b&gt;＄x＄&lt;/b&gt;'
    """
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("$", "＄").replace("%{", "%\u200b{")


def numbers(values: np.ndarray, decimals: int = _LOSS_DECIMALS) -> list[Any]:
    """Nested lists of rounded numbers; None where there is none, because NaN is not JSON."""
    if values.ndim > 1:
        return [numbers(row, decimals) for row in values]
    return [round(float(x), decimals) if np.isfinite(x) else None for x in values]


def training_figure(
    curves: Mapping[str, Mapping[str, Curves]], look: Mapping[str, Style], smallest_effect: float | None
) -> Figure:
    """Lines over training. `curves` is view -> arm -> curves; the views share the figure and one is shown at a time.

    `smallest_effect` draws the zone of no interest under the view named `difference`.
    """
    data = []
    for view, by_arm in curves.items():
        for arm, found in by_arm.items():
            data += [_seed_trace(line, look[arm], view) for line in found.seeds]
        for arm, found in by_arm.items():
            if found.mean is not None:
                data += _mean_traces(found.mean, look[arm], view)
    return {"data": data, "layout": {**_layout(), "shapes": _zone("y", smallest_effect)}}


def _seed_trace(line: SeedLine, style: Style, view: str) -> dict[str, Any]:
    note = "" if line.is_whole else " (did not end well)"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"{safe_text(style.arm)}, seed {line.seed}{note}",
        "line": {"color": f"@arm{style.color}-thin", "width": 1, "dash": "solid" if line.is_whole else "dot"},
        "hoverinfo": "skip",
        "y": numbers(line.values),
        "meta": {"arm": style.arm, "view": view, "axes": _axes(line.axes), "part": "seed"},
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


def _mean(style: Style, values: list[Any], half: np.ndarray | None) -> dict[str, Any]:
    hover = "%{y:.4f}" + (" ± %{customdata:.4f}" if half is not None else "")
    return {
        "type": "scatter",
        "mode": "lines",
        "name": safe_text(style.arm),
        "line": {"color": f"@arm{style.color}", "width": 2.4, "dash": style.dash},
        "hovertemplate": hover,
        "customdata": numbers(half) if half is not None else None,
        "y": values,
    }


def position_figure(
    finals: Mapping[str, Mapping[str, ByPosition]],
    look: Mapping[str, Style],
    edges: np.ndarray,
    zone: Sequence[int] | None,
) -> Figure:
    """Loss by position at the end. `finals` is view -> arm -> numbers; `zone` holds the positions of the verdict."""
    centers = numbers(bin_centers(edges), 2)
    data = []
    for view, by_arm in finals.items():
        for arm, final in by_arm.items():
            meta = {"arm": arm, "view": view}
            if final.half_P is not None:
                keep = np.isfinite(final.mean_P)
                x = [*bin_centers(edges)[keep].tolist(), *bin_centers(edges)[keep][::-1].tolist()]
                high, low = (final.mean_P + final.half_P)[keep], (final.mean_P - final.half_P)[keep]
                edge = [*numbers(high), *reversed(numbers(low))]
                data.append({**_band(look[arm], edge), "x": x, "meta": {**meta, "part": "band"}})
            mean = {**_mean(look[arm], numbers(final.mean_P), final.half_P), "x": centers}
            data.append({**mean, "meta": {**meta, "part": "mean"}})
    shapes = []
    if zone is not None:
        x0, x1 = zone[0] + 0.5, zone[1] + 0.5
        box = {"type": "rect", "xref": "x", "yref": "paper", "x0": x0, "x1": x1, "y0": 0, "y1": 1}
        shapes.append({**box, "fillcolor": "@zone", "line": {"width": 0}, "layer": "below"})
    layout = _layout()
    layout["xaxis"] |= position_axis(edges)
    return {"data": data, "layout": {**layout, "shapes": shapes}}


def bin_centers(edges: np.ndarray) -> np.ndarray:
    """Where a bin is drawn: the middle of the numbers of tokens seen, of which the first position has one."""
    return (edges[:-1] + 1 + edges[1:]) / 2


def position_axis(edges: np.ndarray) -> dict[str, Any]:
    """The axis of positions: ticks at powers of two, which read well on both scales."""
    last = int(edges[-1])
    ticks = [2**i for i in range(last.bit_length()) if 2**i <= last]
    return {
        "title": _title("position: tokens seen so far"),
        "tickmode": "array",
        "tickvals": ticks,
        "unifiedhovertitle": {"text": "position %{x:.0f}"},
    }


def pair_figure(
    arm: str, baseline: str, per_seed: Mapping[str, Mapping[str, Any]], look: Mapping[str, Style]
) -> Figure:
    """One line per seed from the baseline's number to the arm's."""
    names = [safe_text(baseline), safe_text(arm)]
    data: list[dict[str, Any]] = []
    for seed, values in per_seed.items():
        pair = [float(value) for value in (values.get("baseline"), values.get("arm")) if is_number(value)]
        if len(pair) < 2:
            continue
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"seed {safe_text(str(seed))}",
                "x": [0, 1],
                "y": [round(value, 5) for value in pair],
                "line": {"color": "@faint", "width": 1.5},
                "marker": {
                    "size": 11,
                    "color": ["@arm0", f"@arm{look[arm].color}"],
                    "symbol": [look[baseline].symbol, look[arm].symbol],
                    "line": {"width": 1.5, "color": "@surface"},
                },
                "hovertemplate": f"seed {safe_text(str(seed))}: %{{y:.4f}}<extra></extra>",
                "meta": {"arm": arm, "view": "pairs", "part": "seed"},
            }
        )
    layout = _layout()
    layout["hovermode"] = "closest"
    layout["yaxis"] |= {"tickformat": ".3f"}
    layout["xaxis"] |= {"tickvals": [0, 1], "ticktext": names, "range": [-0.35, 1.35], "showgrid": False}
    return {"data": data, "layout": layout}


def tuning_figure(tuning: Mapping[str, Any], look: Mapping[str, Style]) -> Figure:
    """The final loss on `select` against the learning rate, one line per arm; the rate that was chosen is filled."""
    data: list[dict[str, Any]] = []
    rates: set[float] = set()
    for arm, row in tuning.items():
        points = [
            (point["rate"], point["value"])
            for point in row.get("rates", [])
            if is_number(point.get("rate")) and is_number(point.get("value"))
        ]
        if arm not in look or not points:
            continue
        style, color = look[arm], f"@arm{look[arm].color}"
        rates |= {rate for rate, _ in points}
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": safe_text(arm),
                "x": [rate for rate, _ in points],
                "y": [round(value, 5) for _, value in points],
                "line": {"color": color, "width": 2, "dash": style.dash},
                "marker": {
                    "size": 9,
                    "symbol": style.symbol,
                    "color": [color if rate == row.get("chosen") else "@surface" for rate, _ in points],
                    "line": {"width": 2, "color": color},
                },
                "hovertemplate": "%{y:.4f}",
                "meta": {"arm": arm, "view": "tuning", "part": "mean"},
            }
        )
    layout = _layout()
    layout["xaxis"] |= {
        "title": _title("learning rate"),
        "type": "log",
        "tickmode": "array",
        "tickvals": sorted(rates),
        "ticktext": [f"{rate:g}" for rate in sorted(rates)],
        "unifiedhovertitle": {"text": "rate %{x:.3g}"},
    }
    layout["yaxis"] |= {"tickformat": ".3f"}
    return {"data": data, "layout": layout}


def surface(grids: Mapping[str, Grid], differences: Mapping[str, Grid], look: Mapping[str, Style]) -> dict[str, Any]:
    """What the heat map and its slices are cut from: per arm the loss, and the difference from the baseline."""
    return {
        "loss": {arm: _plain_grid(grid) for arm, grid in grids.items()},
        "difference": {arm: _plain_grid(grid) for arm, grid in differences.items()},
        "limits": {
            "loss": dict.fromkeys(grids, _limits(grids.values())),
            "difference": {arm: _symmetric_limits([grid]) for arm, grid in differences.items()},
        },
        "looks": {arm: {"color": style.color, "dash": style.dash} for arm, style in look.items()},
        "labels": {arm: safe_text(arm) for arm in look},
    }


def _plain_grid(grid: Grid) -> dict[str, Any]:
    return {
        "steps": [int(step) for step in grid.steps_S],
        "mean": numbers(grid.mean_SP),
        "half": None if grid.half_SP is None else numbers(grid.half_SP),
        "seeds": grid.count,
    }


def _limits(grids: Any) -> list[float] | None:
    cells = _cells(grids)
    return [float(cells.min()), float(np.quantile(cells, _SATURATION_QUANTILE))] if len(cells) else None


def _symmetric_limits(grids: Any) -> list[float] | None:
    cells = _cells(grids)
    if not len(cells):
        return None
    limit = float(np.quantile(np.abs(cells), _SATURATION_QUANTILE)) or 1e-3  # equal arms: any width does
    return [-limit, limit]


def _cells(grids: Any) -> np.ndarray:
    values = [grid.mean_SP[np.isfinite(grid.mean_SP)] for grid in grids]
    return np.concatenate(values) if values else np.empty(0)


def heat_figure(edges: np.ndarray) -> Figure:
    """The heat map without its numbers; the script fills in the arm that is chosen."""
    layout = _layout()
    layout["hovermode"] = "closest"
    layout["margin"] = {"l": 56, "r": 8, "t": 26, "b": 46}
    layout["xaxis"] |= {**position_axis(edges), "showgrid": False}
    layout["yaxis"] |= {"showgrid": False}
    bar = {"thickness": 10, "len": 1, "outlinewidth": 0, "tickfont": {"color": "@muted"}, "xpad": 4}
    trace = {"type": "heatmap", "hoverinfo": "text", "x": numbers(edges + 0.5, 1), "colorbar": bar}
    return {"data": [trace], "layout": layout}


def slice_figures(edges: np.ndarray) -> dict[str, Figure]:
    """Both slices without their numbers: along positions at one step, along steps at one position."""
    along_position, along_training = _layout(), _layout()
    along_position["xaxis"] |= position_axis(edges)
    along_training["xaxis"] |= {"title": _title("training step"), "type": "log", "dtick": 1, "separatethousands": True}
    along_training["xaxis"]["unifiedhovertitle"] = {"text": "step %{x:,}"}
    return {
        "along_position": {"data": [], "layout": along_position},
        "along_training": {"data": [], "layout": along_training},
    }


def _zone(axis: str, smallest_effect: float | None) -> list[dict[str, Any]]:
    """Zero, and the differences that are too small to matter, across the figure."""
    if not is_number(smallest_effect):
        return []
    across = {"type": "rect", "xref": "paper", "yref": axis, "x0": 0, "x1": 1, "layer": "below"}
    size = float(smallest_effect)
    return [
        {**across, "y0": -size, "y1": size, "fillcolor": "@zone", "line": {"width": 0}},
        {**across, "type": "line", "y0": 0, "y1": 0, "line": {"color": "@faint", "width": 1}},
    ]


def _title(text: str) -> dict[str, Any]:
    return {"text": text, "standoff": 8, "font": {"size": _TITLE_SIZE, "color": "@muted"}}


def _layout() -> dict[str, Any]:
    """What all figures share. Space for the y label is above the plot, where it can be read without turning."""
    axis = {
        "gridcolor": "@grid",
        "linecolor": "@faint",
        "tickfont": {"color": "@muted"},
        "title": _title(""),
        "zeroline": False,
        "automargin": False,
        "fixedrange": False,
    }
    return {
        "autosize": True,
        "margin": {"l": 56, "r": 12, "t": 26, "b": 46},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "@muted"},
        "paper_bgcolor": "@none",
        "plot_bgcolor": "@none",
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": "@surface", "bordercolor": "@grid", "font": {"color": "@ink"}},
        "showlegend": False,
        "hoverdistance": -1,
        "modebar": {"bgcolor": "@none", "color": "@faint", "activecolor": "@ink"},
        "xaxis": {**axis},
        "yaxis": {**axis},
    }
