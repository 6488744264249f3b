"""The layout that all figures share, and every axis that is used twice.

Not for: traces, see `lines.py`, `heat_maps.py` and their neighbours.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vslm.report.figures.style import Figure, safe_text
from vslm.report.numbers.formatting import is_number

_TITLE_SIZE = 12  # pixels, of an axis title
_STEP_0_AT = 0.4  # on a logarithmic axis of steps; rounded it is 0, as the hover text shows it
MOST_TICKS = 12
MOST_PLACES = 16
LONGEST_TICK = 15  # letters of a name beside its row
_FEW_DECADES = 2.2


def layout_of_all() -> dict[str, Any]:
    """What all figures share. Space for the y label is above the plot, where it can be read without turning."""
    axis = {
        "gridcolor": "@grid",
        "linecolor": "@faint",
        "tickfont": {"color": "@muted"},
        "title": axis_title(""),
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


def axis_title(text: str) -> dict[str, Any]:
    """The title of an axis, in the size and color of all of them."""
    return {"text": text, "standoff": 8, "font": {"size": _TITLE_SIZE, "color": "@muted"}}


def blank() -> Figure:
    """A figure without traces, in the form that all figures of the page share."""
    return {"data": [], "layout": layout_of_all()}


def map_layout(x_title: str | None = None, *, left: int = 64) -> dict[str, Any]:
    """The layout of a map; `left` has room for the names of its rows, in pixels."""
    layout = layout_of_all()
    layout["hovermode"] = "closest"
    layout["margin"] = {"l": left, "r": 8, "t": 26, "b": 46}
    if x_title is not None:
        layout["xaxis"] |= {"title": axis_title(x_title)}
    return layout


def color_bar(unit: str | None = None, size: int = _TITLE_SIZE) -> dict[str, Any]:
    """The scale beside a map, with its unit above it."""
    bar = {"thickness": 10, "len": 1, "outlinewidth": 0, "tickfont": {"color": "@muted"}, "xpad": 4}
    title = {"text": unit, "side": "top", "font": {"size": size, "color": "@muted"}}
    return bar if unit is None else {**bar, "title": title}


def position_axis(edges: np.ndarray) -> dict[str, Any]:
    """The axis of positions: ticks at powers of two, which read well on both scales."""
    last = int(edges[-1])
    ticks = [2**i for i in range(last.bit_length()) if 2**i <= last]
    return {
        "title": axis_title("position: tokens seen so far"),
        "tickmode": "array",
        "tickvals": ticks,
        "unifiedhovertitle": {"text": "position %{x:.0f}"},
    }


def decade_axis() -> dict[str, Any]:
    """The axis of training steps without step 0, logarithmic, ticks at powers of ten."""
    plain = {"type": "log", "dtick": 1, "separatethousands": True, "exponentformat": "none"}
    return {"title": axis_title("training step"), **plain, "unifiedhovertitle": {"text": "step %{x:,}"}}


def octaves(powers: Iterable[int]) -> dict[str, Any]:
    """A logarithmic scale with ticks at these powers of two."""
    ticks = [2**power for power in powers]
    return {"type": "log", "tickmode": "array", "tickvals": ticks, "ticktext": [f"{tick:,}" for tick in ticks]}


def octave_axis(title: str, hover: str, powers: Iterable[int]) -> dict[str, Any]:
    """A logarithmic axis with ticks at these powers of two."""
    return {"title": axis_title(title), **octaves(powers), "unifiedhovertitle": {"text": hover}}


def token_axis(last: int, title: str) -> dict[str, Any]:
    """The axis of tokens from the first on, logarithmic, ticks at powers of two."""
    return octave_axis(title, "token %{x:.0f}", range(last.bit_length()))


def distance_axis(last_tokens: float) -> dict[str, Any]:
    """The axis of distances in tokens, logarithmic, ticks at powers of two."""
    title, powers = "tokens back to the latest mention of the key", range(int(last_tokens).bit_length() + 1)
    return octave_axis(title, "about %{x:.0f} tokens back", powers)


def axis_of_places(title: str, hover: str, places: np.ndarray, *, is_log: bool) -> dict[str, Any]:
    """A tick at each of some whole numbers, fewer where there are many; on a logarithmic axis ticks at powers of two,
    or of ten where there are numbers below 1.
    """
    is_whole, low, high = (places == np.round(places)).all(), float(places.min()), float(places.max())
    text = f"{safe_text(hover or title)} %{{x:{',.0f' if is_whole else '.4~g'}}}"
    axis = {"title": axis_title(safe_text(title)), "unifiedhovertitle": {"text": text}}
    if is_log:
        return axis | (log_axis(low, high) if low < 1 else octaves(range(int(high).bit_length())))
    found = np.unique(places)
    ticks = [int(place) for place in found[:: 1 + len(found) // MOST_PLACES]]
    return {**axis, "tickvals": ticks} if is_whole else axis


def step_places(steps_S: np.ndarray) -> np.ndarray:
    """Where steps are drawn on a logarithmic axis: as they are, and step 0 left of step 1."""
    return np.where(steps_S > 0, steps_S, _STEP_0_AT).astype(float)


def step_at(place: float) -> int:
    """The step that is drawn there."""
    return 0 if place == _STEP_0_AT else round(place)


def step_axis(steps: Sequence[int]) -> dict[str, Any]:
    """The axis of training steps, logarithmic: ticks at step 0 and at powers of two, fewer where there are many."""
    last = max(1, *steps)
    every = 1 + last.bit_length() // MOST_TICKS
    ticks = [2**i for i in range(0, last.bit_length(), every)]
    return {
        "title": axis_title("training step"),
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
    return {"title": axis_title(title), **log_axis(lowest, 1.0), **hover}


def zone_of_no_interest(axis: str, smallest_effect: float | None) -> list[dict[str, Any]]:
    """Zero, and the differences that are too small to matter, across the figure."""
    if not is_number(smallest_effect):
        return []
    across = {"type": "rect", "xref": "paper", "yref": axis, "x0": 0, "x1": 1, "layer": "below"}
    size = float(smallest_effect)
    return [
        {**across, "y0": -size, "y1": size, "fillcolor": "@zone", "line": {"width": 0}},
        {**across, "type": "line", "y0": 0, "y1": 0, "line": {"color": "@faint", "width": 1}},
    ]
