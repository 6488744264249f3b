"""Small multiples of attention: a tile per visit and head, all in one heat map, so that they share their colors."""

from typing import Any

import numpy as np

from vslm.report.figures.axes import color_bar, map_layout
from vslm.report.figures.style import Figure, numbers, safe_text
from vslm.report.numbers.probe_profiles import Maps

GAP = 2  # empty cells between tiles
_DECIMALS = 3
_TILE_PIXELS, _AROUND_PIXELS = 215, 84
_WHOLE_VW, _AROUND_VW = 76, 24  # of a phone's width: all tiles of a row, and what stands above and below them


def map_figure(maps: Maps) -> Figure:
    """A row of tiles per visit, a column per head. In a tile, queries go down and keys go right.

    Cells above the diagonal, which no query sees, are empty. The script adds what a cell says when it is pointed at.
    """
    num_visits, num_heads, num_tokens, _ = maps.share_LHTS.shape
    step = num_tokens + GAP
    cells = np.full((num_visits * step - GAP, num_heads * step - GAP), np.nan)
    hidden_TS = np.triu(np.ones((num_tokens, num_tokens), dtype=bool), k=1)
    for visit, row in enumerate(maps.share_LHTS):
        for head, share_TS in enumerate(row):
            corner = (slice(visit * step, visit * step + num_tokens), slice(head * step, head * step + num_tokens))
            cells[corner] = np.where(hidden_TS, np.nan, share_TS)
    meta = {
        "arm": None,
        "view": "maps",
        "part": "maps",
        "tokens": [safe_text(shown(text)) for text in maps.tokens],
        "visits": [place + 1 for place in maps.places],
        "heads": num_heads,
        "gap": GAP,
    }
    trace: dict[str, Any] = {
        "type": "heatmap",
        "hoverinfo": "text",
        "x": list(range(cells.shape[1])),
        "y": list(range(cells.shape[0])),
        "z": numbers(cells, _DECIMALS),
        "zmin": 0.0,
        "zmax": 1.0,
        "colorbar": color_bar("share"),
        "meta": meta,
    }
    layout = map_layout()
    middle = (num_tokens - 1) / 2
    heads = [f"head {head}" for head in range(num_heads)]
    visits = [f"visit {place + 1}" for place in maps.places]
    for axis, names in (("xaxis", heads), ("yaxis", visits)):
        ticks = [middle + i * step for i in range(len(names))]
        plain = {"tickvals": ticks, "ticktext": names, "showgrid": False, "constrain": "domain", "ticks": ""}
        layout[axis] |= {**plain, "linecolor": "@none"}
    layout["yaxis"] |= {"autorange": "reversed", "scaleanchor": "x"}
    layout["meta"] = {"columns": {"maps": ("visit and query", "head and key", "share of attention")}}
    return {"data": [trace], "layout": layout}


def height(maps: Maps) -> tuple[int, int]:
    """Of the figure, in pixels, and at most in percent of the window's width, so that tiles are squares on a phone."""
    num_visits, num_heads = maps.share_LHTS.shape[:2]
    return _AROUND_PIXELS + _TILE_PIXELS * num_visits, _AROUND_VW + _WHOLE_VW * num_visits // num_heads


def shown(text: str) -> str:
    """A token as it can be read: its white space as signs.

    >>> shown(" a\\n"), shown("")
    ('␣a⏎', 'end of text')
    """
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") if text else "end of text"


def cell_names(meta: dict[str, Any]) -> tuple[list[str | None], list[str | None]]:
    """What the rows and columns of the cells stand for; None between tiles."""
    places = [*range(len(meta["tokens"])), *[None] * meta["gap"]]

    def named(tiles: list[str], what: str) -> list[str | None]:
        names = [None if place is None else f"{tile}, {what} {place}" for tile in tiles for place in places]
        return names[: len(names) - meta["gap"]]

    rows = named([f"visit {visit}" for visit in meta["visits"]], "query")
    return rows, named([f"head {head}" for head in range(meta["heads"])], "key")
