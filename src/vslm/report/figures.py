"""The figures of the page, as plain dicts in the form that plotly.js draws.

Colors are names (`@arm1`, `@grid`), resolved in the browser, so that one figure serves the light and the dark theme.
What a trace is for stands in its `meta`: the arm, the view it belongs to, and the axes it can be drawn against. The
page's script shows, hides and recolors; it computes no number but what a click selects.

Text that others wrote (names of arms) goes through `safe_text`, because plotly.js reads tags in its labels.

Not for: statistics, see `curves.py`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vslm.report.curves import ByPosition, Curves, Grid, Line, SeedLine
from vslm.report.formatting import is_number, shortened
from vslm.report.profiles import Cost, Profile, Track, equally_dear

NUM_COLORS = 8  # @arm0 (the baseline's neutral) to @arm7, defined in page.css for both themes
# Six of each for the arms beside the baseline, and seven colors: the first 42 arms differ in the pair.
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
_LOSS_DECIMALS = 4
_TITLE_SIZE = 12  # pixels, of an axis title
_LONGEST_TICK = 15  # letters of an arm beside its row
_SATURATION_QUANTILE = 0.98  # of a heat map's cells; the rest get the color of the end of the scale

_NEAR_TICKS = 1.6  # the last step is named, and a power of ten this near below it is not

_STEP_0_AT = 0.4  # on a logarithmic axis of steps; rounded it is 0, as the hover text shows it
_MOST_TICKS = 12
_FEW_DECADES = 2.2

_ACROSS = {"yref": "paper", "y0": 0, "y1": 1, "layer": "below"}  # a shape over the whole height

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
    rounded = np.round(np.asarray(values, dtype=float), decimals)
    finite = np.isfinite(rounded)
    if finite.all():
        return rounded.tolist()
    plain = rounded.astype(object)
    plain[~finite] = None
    return plain.tolist()


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


def _mean(style: Style, values: list[Any], half: np.ndarray | None, decimals: int = _LOSS_DECIMALS) -> dict[str, Any]:
    hover = "%{y:.4f}" + (" ± %{customdata:.4f}" if half is not None else "")
    return {
        "type": "scatter",
        "mode": "lines",
        "name": safe_text(style.arm),
        "line": {"color": f"@arm{style.color}", "width": 2.4, "dash": style.dash},
        "hovertemplate": hover,
        "customdata": numbers(half, decimals) if half is not None else None,
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


def limits(cells: np.ndarray) -> list[float] | None:
    """Of the colors of these numbers, the largest few beyond them; None where there is no number."""
    return [float(cells.min()), float(np.quantile(cells, _SATURATION_QUANTILE))] if len(cells) else None


def symmetric_limits(cells: np.ndarray) -> list[float] | None:
    """The same, even around zero."""
    if not len(cells):
        return None
    limit = float(np.quantile(np.abs(cells), _SATURATION_QUANTILE)) or 1e-3  # equal arms: any width does
    return [-limit, limit]


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


def blank() -> Figure:
    """A figure without traces, in the form that all figures of the page share."""
    return {"data": [], "layout": _layout()}


def decade_axis() -> dict[str, Any]:
    """The axis of training steps without step 0, logarithmic, ticks at powers of ten."""
    plain = {"type": "log", "dtick": 1, "separatethousands": True, "exponentformat": "none"}
    return {"title": _title("training step"), **plain, "unifiedhovertitle": {"text": "step %{x:,}"}}


def block_axis(last: int) -> dict[str, Any]:
    """The axis of places in a repeated block, logarithmic, ticks at powers of two."""
    return octave_axis("place in the block", "token %{x:.0f}", range(1, last.bit_length()))


def color_bar(unit: str | None = None, size: int = _TITLE_SIZE) -> dict[str, Any]:
    """The scale beside a map, with its unit above it."""
    bar = {"thickness": 10, "len": 1, "outlinewidth": 0, "tickfont": {"color": "@muted"}, "xpad": 4}
    title = {"text": unit, "side": "top", "font": {"size": size, "color": "@muted"}}
    return bar if unit is None else {**bar, "title": title}


def map_layout(x_title: str | None = None, *, left: int = 64) -> dict[str, Any]:
    """The layout of a map; `left` has room for the names of its rows, in pixels."""
    layout = _layout()
    layout["hovermode"] = "closest"
    layout["margin"] = {"l": left, "r": 8, "t": 26, "b": 46}
    if x_title is not None:
        layout["xaxis"] |= {"title": _title(x_title)}
    return layout


def octave_axis(title: str, hover: str, powers: Iterable[int]) -> dict[str, Any]:
    """A logarithmic axis with ticks at these powers of two."""
    return {
        "title": _title(title),
        "type": "log",
        "tickmode": "array",
        "tickvals": [2**power for power in powers],
        "unifiedhovertitle": {"text": hover},
    }


def profile_figure(
    views: Mapping[str, Mapping[str, Profile]],
    look: Mapping[str, Style],
    x_axis: Mapping[str, Any],
    *,
    decimals: int = _LOSS_DECIMALS,
) -> Figure:
    """Lines by arm over an axis that all share. `views` is view -> arm -> numbers; one view is shown at a time."""
    data, places = [], max(3, decimals - 1)
    for view, by_arm in views.items():
        for arm, profile in by_arm.items():
            meta, style = {"arm": arm, "view": view}, look[arm]
            if profile.each is not None and profile.each.shape[1] > 1:
                data.append({**_marks(profile, style), "meta": {**meta, "part": "each"}})
            if profile.half is not None:
                keep = np.isfinite(profile.mean) & np.isfinite(profile.half)
                x, mean, half = profile.x[keep], profile.mean[keep], profile.half[keep]
                edge = [*numbers(mean + half, decimals), *reversed(numbers(mean - half, decimals))]
                around = [*numbers(x, places), *reversed(numbers(x, places))]
                data.append({**_band(style, edge), "x": around, "meta": {**meta, "part": "band"}})
            line = {
                **_mean(style, numbers(profile.mean, decimals), profile.half, decimals),
                "x": numbers(profile.x, places),
            }
            marker = {"size": 7, "color": f"@arm{style.color}", "symbol": style.symbol}
            data.append({**line, "mode": "lines+markers", "marker": marker, "meta": {**meta, "part": "mean"}})
    layout = _layout()
    layout["xaxis"] |= x_axis
    return {"data": data, "layout": layout}


def _marks(profile: Profile, style: Style) -> dict[str, Any]:
    """One small mark per head, beside the line of their mean."""
    assert profile.each is not None
    values_LH = profile.each
    pairs = [(x, y) for x, row in zip(profile.x, values_LH, strict=True) for y in row if np.isfinite(y)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{safe_text(style.arm)}, each head",
        "x": numbers(np.array([x for x, _ in pairs]), 3),
        "y": numbers(np.array([y for _, y in pairs])),
        "marker": {"size": 5, "color": f"@arm{style.color}-thin", "symbol": style.symbol},
        "hoverinfo": "skip",
    }


def step_places(steps_S: np.ndarray) -> np.ndarray:
    """Where steps are drawn on a logarithmic axis: as they are, and step 0 left of step 1."""
    return np.where(steps_S > 0, steps_S, _STEP_0_AT).astype(float)


def step_at(place: float) -> int:
    """The step that is drawn there."""
    return 0 if place == _STEP_0_AT else round(place)


def step_axis(steps: Sequence[int]) -> dict[str, Any]:
    """The axis of training steps, logarithmic: ticks at step 0 and at powers of two, fewer where there are many."""
    last = max(1, *steps)
    every = 1 + last.bit_length() // _MOST_TICKS
    ticks = [2**i for i in range(0, last.bit_length(), every)]
    return {
        "title": _title("training step"),
        "type": "log",
        "tickmode": "array",
        "tickvals": [_STEP_0_AT, *ticks],
        "ticktext": ["0", *(f"{tick:,}" for tick in ticks)],
        "unifiedhovertitle": {"text": "step %{x:,.0f}"},
    }


def log_axis(low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis of numbers of any size: ticks at powers of ten, or at 1, 2 and 5 where there are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    parts = (1,) if math.log10(high / low) > _FEW_DECADES else (1, 2, 5)
    ticks = [float(f"{part}e{decade}") for decade in decades for part in parts]
    return {"type": "log", "tickmode": "array", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def log_height(figure: Figure) -> dict[str, Any]:
    """`log_axis` for the heights of a figure's lines."""
    lines = (trace["y"] for trace in figure["data"] if trace["meta"]["part"] != "band")
    heights = [y for line in lines for y in line if y is not None and y > 0]
    return log_axis(min(heights), max(heights)) if heights else {}


def probability_axis(title: str, lowest: float) -> dict[str, Any]:
    """The axis of probabilities, logarithmic."""
    hover = {"unifiedhovertitle": {"text": "probability %{x:.3g}"}}
    return {"title": _title(title), **log_axis(lowest, 1.0), **hover}


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
        "name": f"{safe_text(style.arm)}, minimum",
        "x": [round(x, 4)],
        "y": [round(y, 6)],
        "text": [safe_text(style.arm)],
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


def visit_axis(last: int) -> dict[str, Any]:
    """The axis of visits: 0 is the root, every whole number a visit of the path."""
    every = 1 + last // 16
    return {
        "title": _title("visit of the path (0: the root)"),
        "tickvals": list(range(0, last + 1, every)),
        "range": [-0.25, last + 0.25],
        "unifiedhovertitle": {"text": "after visit %{x:.0f}"},
    }


def distance_axis(last_tokens: float) -> dict[str, Any]:
    """The axis of distances in tokens, logarithmic, ticks at powers of two."""
    title, powers = "tokens back to the latest mention of the key", range(int(last_tokens).bit_length() + 1)
    return octave_axis(title, "about %{x:.0f} tokens back", powers)


def chance_line(height: float) -> dict[str, Any]:
    """What a guess reaches, across the figure."""
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


def track_figure(track: Track, limits: Sequence[float]) -> Figure:
    """A heat map of parameters: a row per number, a column per stored step, colors even around where they started."""
    half = track.half_RS
    text = [
        [
            f"{safe_text(label)}, step {int(step):,}<br><b>{track.mean_RS[r, s]:.4f}</b>"
            + (f" ± {half[r, s]:.4f}" if half is not None else "")
            + f" ({track.count} seed{'s' if track.count != 1 else ''})"
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
        "zmin": round(float(limits[0]), 4),
        "zmax": round(float(limits[1]), 4),
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
    layout["xaxis"] |= {"title": _title("training step"), "showgrid": False, **names}
    rows = sorted({round((len(track.labels) - 1) * i / 11) for i in range(12)})
    layout["yaxis"] |= {"showgrid": False, "tickvals": rows, "ticktext": [safe_text(track.labels[r]) for r in rows]}
    layout["yaxis"]["autorange"] = "reversed"
    return {"data": [trace], "layout": layout}


def labeled_map(
    values_RC: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    limit: float,
    text: Sequence[Sequence[str]],
    x_title: str,
) -> Figure:
    """A heat map of cells with names, colors even around zero; columns are numbered from 1.

    Args:
        limit: how far colors reach on both sides.
        text: of each cell when it is pointed at, ready for plotly.js.
    """
    trace = {
        "type": "heatmap",
        "hoverinfo": "text",
        "x": list(range(len(columns))),
        "y": list(range(len(rows))),
        "z": numbers(values_RC),
        "text": [list(row) for row in text],
        "zmin": -round(limit, 4),
        "zmax": round(limit, 4),
        "colorbar": color_bar(),
        "xgap": 1,
        "ygap": 1,
        "meta": {"arm": None, "view": "values", "part": "cells", "labels": list(rows), "steps": list(columns)},
    }
    layout = map_layout(left=132)
    ticks = list(range(0, len(columns), 1 + len(columns) // _MOST_TICKS))
    layout["xaxis"] |= {"title": _title(x_title), "showgrid": False}
    layout["xaxis"] |= {"tickvals": ticks, "ticktext": [str(i + 1) for i in ticks]}
    names = [safe_text(shortened(row, _LONGEST_TICK)) for row in rows]
    layout["yaxis"] |= {"showgrid": False, "tickvals": list(range(len(rows))), "ticktext": names}
    layout["yaxis"]["autorange"] = "reversed"
    return {"data": [trace], "layout": layout}


def token_axis(last: int, title: str) -> dict[str, Any]:
    """The axis of tokens from the first on, logarithmic, ticks at powers of two."""
    axis = octave_axis(title, "token %{x:.0f}", range(last.bit_length()))
    return {**axis, "ticktext": [str(tick) for tick in axis["tickvals"]]}


def forest_figure(rows: Sequence[Mapping[str, Any]], look: Mapping[str, Style]) -> Figure:
    """Every judged arm in one picture: its difference from the baseline with its interval, the best on top."""
    known = [row for row in rows if is_number(row.get("delta"))]
    known = sorted(known, key=lambda row: float(row["delta"]))
    data = []
    for place, row in enumerate(known):
        style, delta = look[row["arm"]], float(row["delta"])
        low, high = (*(row.get("interval") or ()), None, None)[:2]
        error = None
        if is_number(low) and is_number(high):
            arms = {"array": [round(float(high) - delta, 5)], "arrayminus": [round(delta - float(low), 5)]}
            error = {"type": "data", "symmetric": False, **arms, "thickness": 2, "width": 5}
            error["color"] = f"@arm{style.color}"
        trace = {
            "type": "scatter",
            "mode": "markers",
            "name": safe_text(style.arm),
            "x": [round(delta, 5)],
            "y": [place],
            "marker": {"size": 11, "color": f"@arm{style.color}", "symbol": style.symbol},
            "hovertemplate": f"{safe_text(style.arm)}: %{{x:+.4f}}<extra></extra>",
            "meta": {"arm": style.arm, "view": "difference", "part": "mean"},
        }
        data.append({**trace, "error_x": error} if error else trace)
    figure = _by_row(data, [str(row["arm"]) for row in known])
    effect = known[0].get("smallest_effect") if known else None
    if is_number(effect):
        zone = {"x0": -effect, "x1": effect, "fillcolor": "@zone", "line": {"width": 0}}
        figure["layout"]["shapes"].insert(0, {**_ACROSS, "type": "rect", **zone})
    return figure


def screening_figure(rows: Sequence[Mapping[str, Any]], look: Mapping[str, Style]) -> Figure:
    """Every arm's difference in the one short run of the screening: arms that are judged in their color, others hollow.

    Args:
        rows: `arm` and `difference`, a number.
        look: of the arms that are judged.
    """
    known = sorted(rows, key=lambda row: float(row["difference"]))
    data = []
    for place, row in enumerate(known):
        arm, style = str(row["arm"]), look.get(str(row["arm"]))
        judged = {"color": f"@arm{style.color}", "symbol": style.symbol} if style else {}
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": safe_text(arm),
                "x": [round(float(row["difference"]), 5)],
                "y": [place],
                "marker": {"size": 11, "color": "@faint", "symbol": "circle-open", **judged},
                "hovertemplate": f"{safe_text(arm)}: %{{x:+.4f}}<extra></extra>",
                "meta": {"arm": arm, "view": "difference", "part": "mean"},
            }
        )
    return _by_row(data, [str(row["arm"]) for row in known])


def _by_row(data: list[Figure], names: Sequence[str]) -> Figure:
    """Differences from the baseline, a row per arm, the first on top."""
    layout = _layout()
    layout["hovermode"] = "closest"
    layout["xaxis"] |= {"title": _title("arm minus baseline; left is better")}
    layout["margin"] = {**layout["margin"], "l": 132}
    ticks = [safe_text(shortened(name, _LONGEST_TICK)) for name in names]
    layout["yaxis"] |= {"tickvals": list(range(len(names))), "ticktext": ticks, "showgrid": False}
    layout["yaxis"] |= {"range": [len(names) - 0.4, -0.6], "autorange": False}
    zero = {"x0": 0, "x1": 0, "line": {"color": "@faint", "width": 1}}
    layout["shapes"] = [{**_ACROSS, "type": "line", **zero}]
    return {"data": data, "layout": layout}


def cost_figure(
    views: Mapping[str, Mapping[str, Cost]], look: Mapping[str, Style], titles: Mapping[str, str]
) -> Figure:
    """Final loss against what an arm costs; dotted lines join arms with the same FLOPs per token."""
    data = []
    for view, found in views.items():
        for group in equally_dear(found):
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": "equal FLOPs per token",
                    "x": [found[arm].cost for arm in group],
                    "y": [round(found[arm].loss, 5) for arm in group],
                    "line": {"color": "@faint", "width": 1.5, "dash": "dot"},
                    "hoverinfo": "skip",
                    "meta": {"arm": None, "view": view, "part": "equal"},
                }
            )
        for arm, cost in found.items():
            style = look[arm]
            trace = {
                "type": "scatter",
                "mode": "markers",
                "name": safe_text(arm),
                "x": [cost.cost],
                "y": [round(cost.loss, 5)],
                "marker": {"size": 12, "color": f"@arm{style.color}", "symbol": style.symbol},
                "hovertemplate": f"{safe_text(arm)}: %{{y:.4f}}<br>{titles[view]} %{{x:.4s}}<extra></extra>",
                "meta": {"arm": arm, "view": view, "part": "mean"},
            }
            if cost.half is not None:
                error = {"type": "data", "array": [round(cost.half, 5)], "thickness": 2, "width": 5}
                trace["error_y"] = {**error, "color": f"@arm{style.color}"}
            data.append(trace)
    layout = _layout()
    layout["hovermode"] = "closest"
    layout["xaxis"] |= {"type": "log", "exponentformat": "SI", "title": _title("on a logarithmic scale")}
    return {"data": data, "layout": layout}
