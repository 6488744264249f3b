"""Heat maps: every cell and scale of color on a page is made here.

    map_figure          rows and columns of any kind, one view per arm: over training, parameters, cells with names
    attention_figure    small multiples, a tile per visit and head

Rows and columns of a map are each as wide as the next: steps and lengths of context are spaced evenly in the logarithm
when they are measured, so a map of equal cells is a map on two logarithmic axes. Colors are part of a figure (their
names stand for those of the theme), so that the page and paper show the same.

Not for: the loss over step and position with its slices, see `surface.py`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from vslm.report.figures.axes import LONGEST_TICK, color_bar, map_layout
from vslm.report.figures.style import LOSS_DECIMALS, Figure, cell_text, decimals_of, numbers, safe_text
from vslm.report.numbers.formatting import count, shortened
from vslm.report.numbers.maps import AttentionMaps, Map

Scale = Literal["loss", "difference", "share"]

_SATURATION_QUANTILE = 0.98  # of a heat map's cells; the rest get the color of the end of the scale
_NARROWEST = 1e-3  # half a scale of color, where all cells are alike: any width does
_MOST_TICKS = 8
_UNIT_SIZE = 11  # pixels, of the unit over the scale
_LONG = 10_000  # from here on a tick has a prefix, or a phone has no room for it
_GAP = 2  # empty cells between tiles
_TILE_PIXELS, _AROUND_PIXELS, _ROW_PIXELS = 215, 84, 18
_WHOLE_VW, _AROUND_VW = 76, 24  # of a phone's width: all tiles of a row, and what stands above and below them

# Dark is low. The colors crowd at the low end, where a trained model's loss differs from position to position.
_LOSS_COLORS = ("#0a1f44", "#0d3b66", "#1f6f8b", "#3f8f8c", "#7fb37c", "#c3cd72", "#fbe9a0")
_CURVATURE = 2.4
_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # follow the square root, so that small ones can be seen
COLORS: dict[Scale, list[list[Any]]] = {
    "loss": [[(i / (len(_LOSS_COLORS) - 1)) ** _CURVATURE, name] for i, name in enumerate(_LOSS_COLORS)],
    "difference": [[0.0, "@cold"], [0.5, "@middle"], [1.0, "@warm"]],
    "share": [[part**2, f"@middle>cold:{part:g}"] for part in _SHARES],
}
UNRESOLVED = [[0.0, "@masked"], [1.0, "@masked"]]


def heat_trace(
    values_RC: np.ndarray,
    rows: Sequence[Any],
    columns: Sequence[Any],
    text: list[list[str]] | None,
    *,
    view: str,
    scale: Scale,
    ends: tuple[float, float],
    unit: str = "",
    decimals: int = LOSS_DECIMALS,
) -> dict[str, Any]:
    """Cells with their colors; `rows` and `columns` are what a CSV calls them."""
    return {
        "type": "heatmap",
        "hoverinfo": "text",
        "x": list(range(len(columns))),
        "y": list(range(len(rows))),
        "z": numbers(values_RC, decimals),
        "text": text,
        "zmin": ends[0],
        "zmax": ends[1],
        "colorscale": COLORS[scale],
        "colorbar": color_bar(unit or None, _UNIT_SIZE),
        "meta": {"arm": None, "view": view, "part": "cells", "rows": list(rows), "columns": list(columns)},
    }


def map_figure(
    maps: Mapping[str, Map],
    titles: tuple[str, str, str],
    head: Callable[[str, Any, Any], str],
    *,
    scale: Scale,
    ends: tuple[float, float] | None = None,
    unit: str = "",
    is_top_down: bool = False,
    text: Callable[[Map, int, int], str] | None = None,
) -> Figure:
    """One view per map, in the order given; all have the same colors for the same numbers.

    Args:
        maps: by view.
        titles: what a row, a column and the number of a cell are, for a CSV; the second is that of the horizontal axis.
        head: what a hover text begins with, from view, row and column; ready for plotly.js.
        scale: "difference" is even around the middle of `ends`, "loss" rises from dark.
        ends: of the colors; None: of all cells, the largest few beyond them.
        unit: of the numbers.
        is_top_down: whether the first row stands on top, as in a table; training goes upwards.
        text: of a cell, in place of `head` and its number with interval and seeds.
    """
    known = cells_of(found.mean_RC for found in maps.values())
    ends = ends or (limits(known) if scale == "loss" else symmetric_limits(known)) or (0.0, 1.0)
    decimals = decimals_of(known)
    data = []
    for view, found in maps.items():
        texts = [
            [
                text(found, r, c)
                if text
                else cell_text(
                    head(view, row, column),
                    found.mean_RC[r, c],
                    None if found.half_RC is None else found.half_RC[r, c],
                    found.count,
                    safe_text(unit),
                    decimals,
                )
                for c, column in enumerate(found.columns)
            ]
            for r, row in enumerate(found.rows)
        ]
        rows, columns = ([plain_place(place) for place in places] for places in (found.rows, found.columns))
        its = {"view": view, "scale": scale, "ends": _widened(*ends, decimals), "unit": safe_text(unit)}
        data.append(heat_trace(found.mean_RC, rows, columns, texts, **its, decimals=decimals))
    widest, deepest = (max(maps.values(), key=lambda its: its.mean_RC.shape[axis], default=None) for axis in (1, 0))
    layout = map_layout(safe_text(titles[1]))
    layout["xaxis"] |= {"showgrid": False, **(_ticks(widest.columns) if widest else {})}
    layout["yaxis"] |= {"showgrid": False, **(_ticks(deepest.rows) if deepest else {})}
    if is_top_down:
        layout["yaxis"]["autorange"] = "reversed"
    layout["meta"] = {"columns": dict.fromkeys(maps, tuple(safe_text(title) for title in titles))}
    return {"data": data, "layout": layout}


def map_pixels(num_rows: int) -> int:
    """The height of a map with a name beside each row."""
    return max(230, _AROUND_PIXELS + _ROW_PIXELS * min(num_rows, 24))


def cells_of(grids: Iterable[np.ndarray]) -> np.ndarray:
    """All numbers of some maps, in a row."""
    return np.concatenate([np.empty(0), *(grid[np.isfinite(grid)] for grid in grids)])


def limits(cells: np.ndarray) -> tuple[float, float] | None:
    """Of the colors of these numbers, the largest few beyond them; None where there is no number."""
    return (float(cells.min()), float(np.quantile(cells, _SATURATION_QUANTILE))) if len(cells) else None


def symmetric_limits(cells: np.ndarray) -> tuple[float, float] | None:
    """The same, even around zero."""
    if not len(cells):
        return None
    limit = float(np.quantile(np.abs(cells), _SATURATION_QUANTILE)) or _NARROWEST
    return -limit, limit


def _widened(low: float, high: float, decimals: int = LOSS_DECIMALS) -> tuple[float, float]:
    """Ends of a scale of color, rounded as its cells are. Cells that are then all alike get a scale that has a width.

    >>> _widened(-1.23456, 1.23456), _widened(-4e-5, 4e-5)
    ((-1.2346, 1.2346), (-0.001, 0.001))
    """
    low, high = round(float(low), decimals), round(float(high), decimals)
    return (low, high) if low < high else (low - _NARROWEST, high + _NARROWEST)


def plain_place(place: Any) -> Any:
    """A step, a place or a name as a CSV has it."""
    return place if isinstance(place, str | int) else int(place) if place == round(place) else round(float(place), 2)


def place_text(place: Any) -> str:
    """A step, a number of tokens or a name as people read it, ready for plotly.js: whole where it is whole.

    >>> place_text(2.0), place_text(2.828), place_text(1750), place_text("a<b")
    ('2', '2.8', '1,750', 'a&lt;b')
    """
    if isinstance(place, str):
        return safe_text(shortened(place, LONGEST_TICK))
    return f"{place:,.0f}" if place >= 10 or place == round(place) else f"{place:.1f}"


def _ticks(places: Sequence[Any]) -> dict[str, Any]:
    """As many as are readable, the first and the last among them; every name, up to twelve."""
    last, most = len(places) - 1, 12 if isinstance(places[0], str) else _MOST_TICKS
    kept = sorted({round(last * i / (most - 1)) for i in range(most)})
    shown = [places[i] for i in kept]
    names = [count(float(x)) if not isinstance(x, str) and x >= _LONG else place_text(x) for x in shown]
    return {"tickvals": kept, "ticktext": names}


def attention_figure(maps: AttentionMaps) -> Figure:
    """A row of tiles per visit, a column per head. In a tile, queries go down and keys go right.

    Cells above the diagonal, which no query sees, are empty. The script adds what a cell says when it is pointed at.
    """
    num_visits, num_heads, num_tokens, _ = maps.share_LHTS.shape
    step = num_tokens + _GAP
    cells = np.full((num_visits * step - _GAP, num_heads * step - _GAP), np.nan)
    hidden_TS = np.triu(np.ones((num_tokens, num_tokens), dtype=bool), k=1)
    for visit, row in enumerate(maps.share_LHTS):
        for head, share_TS in enumerate(row):
            corner = (slice(visit * step, visit * step + num_tokens), slice(head * step, head * step + num_tokens))
            cells[corner] = np.where(hidden_TS, np.nan, share_TS)
    visits, heads = [f"visit {place + 1}" for place in maps.places], [f"head {head}" for head in range(num_heads)]
    rows, columns = _cell_names(visits, "query", num_tokens), _cell_names(heads, "key", num_tokens)
    trace = heat_trace(
        cells, rows, columns, None, view="maps", scale="share", ends=(0.0, 1.0), unit="share", decimals=3
    )
    tokens = [safe_text(shown(text)) for text in maps.tokens]
    trace["meta"] |= {"part": "maps", "tokens": tokens, "visits": [place + 1 for place in maps.places], "gap": _GAP}
    layout = map_layout()
    middle = (num_tokens - 1) / 2
    for axis, tiles in (("xaxis", heads), ("yaxis", visits)):
        ticks = [middle + i * step for i in range(len(tiles))]
        plain = {"tickvals": ticks, "ticktext": tiles, "showgrid": False, "constrain": "domain", "ticks": ""}
        layout[axis] |= {**plain, "linecolor": "@none"}
    layout["yaxis"] |= {"autorange": "reversed", "scaleanchor": "x"}
    layout["meta"] = {"columns": {"maps": ("visit and query", "head and key", "share of attention")}}
    return {"data": [trace], "layout": layout}


def _cell_names(tiles: Sequence[str], what: str, num_tokens: int) -> list[str]:
    """What the rows or columns of the cells stand for; empty between tiles."""
    places = [*(f", {what} {place}" for place in range(num_tokens)), *[""] * _GAP]
    names = [place and f"{tile}{place}" for tile in tiles for place in places]
    return names[: len(names) - _GAP]


def attention_height(maps: AttentionMaps) -> tuple[int, int]:
    """Of the figure, in pixels, and at most in percent of the window's width, so that tiles are squares on a phone."""
    num_visits, num_heads = maps.share_LHTS.shape[:2]
    return _AROUND_PIXELS + _TILE_PIXELS * num_visits, _AROUND_VW + _WHOLE_VW * num_visits // num_heads


def shown(text: str) -> str:
    """A token as it can be read: its white space as signs.

    >>> shown(" a\\n"), shown("")
    ('␣a⏎', 'end of text')
    """
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") if text else "end of text"
