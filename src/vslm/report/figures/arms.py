"""Figures with one mark or one line per arm: differences, pairs of seeds, learning rates, cost."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vslm.report.figures.axes import LONGEST_TICK, axis_title, layout_of_all
from vslm.report.figures.style import Figure, Style, safe_text
from vslm.report.numbers.costs import Cost, equally_dear
from vslm.report.numbers.formatting import count, ends, shortened
from vslm.report.numbers.tables import Judged
from vslm.results.primary import PrimaryNumber
from vslm.results.records import ArmVerdict, Pair, SearchRecord
from vslm.stats.basins import Basin, spread_of_runs

_ACROSS = {"yref": "paper", "y0": 0, "y1": 1, "layer": "below"}  # a shape over the whole height
_ALONG = {"xref": "paper", "x0": 0, "x1": 1, "layer": "below"}  # over the whole width
_BESIDE = 0.05  # of a logarithm: how far marks of one budget stand apart


def pair_figure(arm: str, baseline: str, per_seed: Mapping[str, Pair], style_of: Mapping[str, Style]) -> Figure:
    """One line per seed from the baseline's number to the arm's."""
    names = [style_of[baseline].label, style_of[arm].label]
    data: list[dict[str, Any]] = []
    for seed, values in per_seed.items():
        pair = [value for value in (values.baseline, values.arm) if value is not None]
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
                    "color": ["@arm0", f"@arm{style_of[arm].color}"],
                    "symbol": [style_of[baseline].symbol, style_of[arm].symbol],
                    "line": {"width": 1.5, "color": "@surface"},
                },
                "hovertemplate": f"seed {safe_text(str(seed))}: %{{y:.4f}}<extra></extra>",
                "meta": {"arm": arm, "view": "pairs", "part": "seed"},
            }
        )
    layout = layout_of_all()
    layout["hovermode"] = "closest"
    layout["yaxis"] |= {"tickformat": ".3f"}
    layout["xaxis"] |= {"tickvals": [0, 1], "ticktext": names, "range": [-0.35, 1.35], "showgrid": False}
    return {"data": data, "layout": layout}


def tuning_figure(
    tuning: Mapping[str, SearchRecord], style_of: Mapping[str, Style], basins: Mapping[str, tuple[Basin, float]]
) -> Figure:
    """The primary number on `select` by learning rate, one line per arm with two standard errors around it; the rate
    that was chosen is filled, and the stretch near the best (`basins`) is a thick line where its limit is.
    """
    data: list[dict[str, Any]] = []
    rates: set[float] = set()
    for arm, row in tuning.items():
        points = [(tried.rate, tried.value) for tried in row.rates if tried.value is not None]
        if arm not in style_of or not points:
            continue
        style, color, chosen = style_of[arm], f"@arm{style_of[arm].color}", row.chosen
        rates |= {rate for rate, _ in points}
        if (band := _search_band(row, style)) is not None:
            data.append({**band, "meta": {"arm": arm, "view": "tuning", "part": "band"}})
        if arm in basins:
            data.append(_basin_mark(style, *basins[arm]))
        if row.expected is not None and chosen not in rates:  # between two rates that were tried
            points = sorted([*points, (chosen, row.expected)])
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": style.label,
                "x": [rate for rate, _ in points],
                "y": [round(value, 5) for _, value in points],
                "line": {"color": color, "width": 2, "dash": style.dash},
                "marker": {
                    "size": 9,
                    "symbol": style.symbol,
                    "color": [color if rate == chosen else "@surface" for rate, _ in points],
                    "line": {"width": 2, "color": color},
                },
                "hovertemplate": "%{y:.4f}",
                "meta": {"arm": arm, "view": "tuning", "part": "mean"},
            }
        )
    layout = layout_of_all()
    layout["xaxis"] |= {
        "title": axis_title("learning rate"),
        "type": "log",
        "tickmode": "array",
        "tickvals": sorted(rates),
        "ticktext": [f"{rate:g}" for rate in sorted(rates)],
        "unifiedhovertitle": {"text": "learning rate %{x:.3g}"},
    }
    layout["yaxis"] |= {"tickformat": ".3f"}
    return {"data": data, "layout": layout}


def _basin_mark(style: Style, basin: Basin, level: float) -> dict[str, Any]:
    """From the lowest to the highest rate near the best, at the height that still counts; an arrow at an open end."""
    symbols = ["triangle-left" if basin.open_low else "line-ns", "triangle-right" if basin.open_high else "line-ns"]
    color = f"@arm{style.color}"
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [float(f"{basin.low:.4g}"), float(f"{basin.high:.4g}")],
        "y": [round(level, 5)] * 2,
        "line": {"color": color, "width": 4},
        "marker": {"size": 10, "symbol": symbols, "color": color, "line": {"width": 2, "color": color}},
        "opacity": 0.6,
        "hoverinfo": "skip",
        "meta": {"arm": style.arm, "view": "tuning", "part": "basin"},
    }


def _search_band(row: SearchRecord, style: Style) -> dict[str, Any] | None:
    """Two standard errors of the mean at every rate, with the spread of runs pooled over the rates of the arm."""
    sd = spread_of_runs([tried.values for tried in row.rates])
    points = (
        [(one.rate, one.value, 2 * sd / math.sqrt(len(one.values))) for one in row.rates if one.value is not None]
        if sd
        else []
    )
    if len(points) < 2:
        return None
    color = f"@arm{style.color}-band"
    return {
        "type": "scatter",
        "mode": "lines",
        "fill": "toself",
        "fillcolor": color,
        "line": {"width": 0, "color": color},
        "hoverinfo": "skip",
        "x": [rate for rate, _, _ in (*points, *reversed(points))],
        "y": [
            *(round(value + half, 5) for _, value, half in points),
            *(round(value - half, 5) for _, value, half in reversed(points)),
        ],
    }


def forest_figure(rows: Sequence[Judged], style_of: Mapping[str, Style], primary: PrimaryNumber) -> Figure:
    """Every judged arm in one picture: its difference from the baseline with its interval, the best on top."""
    known = [(row.at.delta, row) for row in rows if row.at.delta is not None]
    known.sort(key=lambda one: primary.turned(one[0]))
    data = []
    for place, (delta, row) in enumerate(known):
        style = style_of[row.arm]
        error = bars([row.at], style)
        trace = {
            "type": "scatter",
            "mode": "markers",
            "name": style.label,
            "x": [round(delta, 5)],
            "y": [place],
            "marker": {"size": 11, "color": f"@arm{style.color}", "symbol": style.symbol},
            "hovertemplate": f"{style.label}: %{{x:+.4f}}<extra></extra>",
            "meta": {"arm": style.arm, "view": "difference", "part": "mean"},
        }
        data.append({**trace, "error_x": error} if error else trace)
    figure = _by_row(data, [row.arm for _, row in known], primary)
    figure["layout"]["shapes"][:0] = zone_across(known[0][1].at.smallest_effect if known else None)
    return figure


def zone_across(smallest_effect: float | None) -> list[dict[str, Any]]:
    """The differences that are too small to matter, over the whole height."""
    if smallest_effect is None:
        return []
    zone = {"x0": -smallest_effect, "x1": smallest_effect, "fillcolor": "@zone", "line": {"width": 0}}
    return [{**_ACROSS, "type": "rect", **zone}]


def budget_figure(rows: Sequence[Judged], style_of: Mapping[str, Style], unit: str) -> Figure:
    """Every judged arm's difference from the baseline, with its interval, against the tokens that runs were given.

    Marks of the same budget stand a little beside each other; a CSV has the tokens themselves.

    Args:
        rows: of the judged arms.
        style_of: of the arms.
        unit: of the differences.
    """
    data = []
    for place, row in enumerate(rows):
        style = style_of[row.arm]
        known = [one for one in row.by_budget if one.delta is not None]
        tokens, deltas = [int(one.tokens or 0) for one in known], [float(one.delta or 0.0) for one in known]
        beside = math.exp(_BESIDE * (place - (len(rows) - 1) / 2))
        trace = {
            "type": "scatter",
            "mode": "lines+markers",
            "name": style.label,
            "x": [round(value * beside) for value in tokens],
            "y": [round(delta, 5) for delta in deltas],
            "line": {"color": f"@arm{style.color}", "width": 1.5, "dash": style.dash},
            "marker": {"size": 10, "color": f"@arm{style.color}", "symbol": style.symbol},
            "hovertemplate": f"{style.label}: %{{y:+.4f}}<extra></extra>",
            "meta": {"arm": style.arm, "view": "difference", "part": "mean", "x": tokens},
        }
        error = bars(known, style)
        data.append({**trace, "error_y": error} if error else trace)
    layout = layout_of_all()
    layout["hovermode"] = "closest"
    ticks = sorted({value for trace in data for value in trace["meta"]["x"]})
    layout["xaxis"] |= {"type": "log", "tickvals": ticks, "ticktext": [count(value) for value in ticks]}
    layout["xaxis"] |= {"title": axis_title("tokens of a run")}
    layout["meta"] = {"columns": {"difference": ("tokens of a run", f"arm minus baseline, {unit}")}}
    zero = {"y0": 0, "y1": 0, "line": {"color": "@faint", "width": 1}}
    layout["shapes"] = [{**_ALONG, "type": "line", **zero}]
    effect = rows[0].at.smallest_effect if rows else None
    if effect is not None:
        zone = {"y0": -effect, "y1": effect, "fillcolor": "@zone", "line": {"width": 0}}
        layout["shapes"].insert(0, {**_ALONG, "type": "rect", **zone})
    return {"data": data, "layout": layout}


def bars(rows: Sequence[ArmVerdict], style: Style) -> dict[str, Any] | None:
    """The intervals of some differences, as plotly.js draws them; None unless every one has both ends."""
    above, below = [], []
    for row in rows:
        low, high = ends(row.interval)
        if low is None or high is None or row.delta is None:
            return None
        above.append(round(high - row.delta, 5))
        below.append(round(row.delta - low, 5))
    how = {"type": "data", "symmetric": False, "thickness": 2, "width": 5, "color": f"@arm{style.color}"}
    return {**how, "array": above, "arrayminus": below} if rows else None


def screening_figure(differences: Mapping[str, float], style_of: Mapping[str, Style], primary: PrimaryNumber) -> Figure:
    """Every arm's difference in the one short run of the screening: arms that are judged in their color, others hollow.

    Args:
        differences: by arm.
        style_of: of the arms that are judged.
        primary: what they are differences of.
    """
    known = sorted(differences, key=lambda arm: primary.turned(differences[arm]))
    data = []
    for place, arm in enumerate(known):
        style = style_of.get(arm)
        judged = {"color": f"@arm{style.color}", "symbol": style.symbol} if style else {}
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": safe_text(arm),
                "x": [round(differences[arm], 5)],
                "y": [place],
                "marker": {"size": 11, "color": "@faint", "symbol": "circle-open", **judged},
                "hovertemplate": f"{safe_text(arm)}: %{{x:+.4f}}<extra></extra>",
                "meta": {"arm": arm, "view": "difference", "part": "mean"},
            }
        )
    return _by_row(data, known, primary)


def _by_row(data: list[Figure], names: Sequence[str], primary: PrimaryNumber) -> Figure:
    """Differences from the baseline, a row per arm, the first on top."""
    layout = layout_of_all()
    layout["hovermode"] = "closest"
    layout["xaxis"] |= {
        "title": axis_title(f"arm minus baseline; {'right' if primary.higher_is_better else 'left'} is better")
    }
    layout["meta"] = {"columns": {"difference": (f"arm minus baseline, {primary.unit}", "row")}}
    layout["margin"] = {**layout["margin"], "l": 132}
    ticks = [safe_text(shortened(name, LONGEST_TICK)) for name in names]
    layout["yaxis"] |= {"tickvals": list(range(len(names))), "ticktext": ticks, "showgrid": False}
    layout["yaxis"] |= {"range": [len(names) - 0.4, -0.6], "autorange": False}
    zero = {"x0": 0, "x1": 0, "line": {"color": "@faint", "width": 1}}
    layout["shapes"] = [{**_ACROSS, "type": "line", **zero}]
    return {"data": data, "layout": layout}


def cost_figure(
    views: Mapping[str, Mapping[str, Cost]],
    style_of: Mapping[str, Style],
    titles: Mapping[str, str],
    primary: PrimaryNumber,
) -> Figure:
    """What arms reached against what they cost; dotted lines join arms with the same FLOPs per token."""
    data = []
    for view, found in views.items():
        for group in equally_dear(found):
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": "equal FLOPs per token",
                    "x": [found[arm].cost for arm in group],
                    "y": [round(found[arm].final, 5) for arm in group],
                    "line": {"color": "@faint", "width": 1.5, "dash": "dot"},
                    "hoverinfo": "skip",
                    "meta": {"arm": None, "view": view, "part": "equal"},
                }
            )
        for arm, cost in found.items():
            style = style_of[arm]
            trace = {
                "type": "scatter",
                "mode": "markers",
                "name": style.label,
                "x": [cost.cost],
                "y": [round(cost.final, 5)],
                "marker": {"size": 12, "color": f"@arm{style.color}", "symbol": style.symbol},
                "hovertemplate": f"{style.label}: %{{y:.4f}}<br>{titles[view]} %{{x:.4s}}<extra></extra>",
                "meta": {"arm": arm, "view": view, "part": "mean"},
            }
            if cost.half is not None:
                error = {"type": "data", "array": [round(cost.half, 5)], "thickness": 2, "width": 5}
                trace["error_y"] = {**error, "color": f"@arm{style.color}"}
            data.append(trace)
    layout = layout_of_all()
    layout["hovermode"] = "closest"
    layout["xaxis"] |= {"type": "log", "exponentformat": "SI", "title": axis_title("on a logarithmic scale")}
    final = "final validation loss, nats per token" if primary.is_loss else f"{primary.title}, {primary.unit}"
    layout["meta"] = {"columns": {view: (title, final) for view, title in titles.items()}}
    return {"data": data, "layout": layout}
