"""One figure of the page drawn by matplotlib, for paper and slides.

A picture holds the very dict that the page's script gives to plotly.js: traces, axes, shapes, marks and the names of
colors, which page.css gives their values. What is here is how plotly's words are said to matplotlib, and nothing about
any figure.

matplotlib is an extra (`pip install 'vslm[figures]'`) that nothing else asks for, and this is the one place that
imports it. What is drawn is a pure function of the picture: no state of matplotlib's is changed.

Not for: which figures there are, and their files, see `images.py`.
"""

import html
import io
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vslm.core.errors import SpecError
from vslm.report.numbers.formatting import of_folder

INCHES = (7.0, 4.2)  # the width of a page of text
_DOTS_PER_INCH = 200
_LEGEND_COLUMNS = 4
_POINTS_PER_PIXEL = 0.6  # marks and lines of the page, on paper
_DASHES = {
    "dash": (0, (6, 3)),
    "dot": (0, (1.5, 2)),
    "dashdot": (0, (6, 2, 1.5, 2)),
    "longdash": (0, (9, 3)),
    "longdashdot": (0, (9, 2, 1.5, 2)),
}
_MARKERS = {"circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "cross": "P", "x": "X"}


@dataclass(frozen=True)
class Picture:
    """One figure in one view.

    Args:
        name: of its files, without an ending.
        label: of the vertical axis.
        traces: as the page draws them.
        layout: likewise.
        inches: width and height.
    """

    name: str
    label: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    inches: tuple[float, float] = INCHES


def check_matplotlib() -> None:
    """Raise SpecError where it is not installed."""
    try:
        import matplotlib.figure  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        do = "pip install 'vslm[figures]'"
        raise SpecError("--figures", "matplotlib, which draws them, is not installed", "", do) from None


def drawn_files(picture: Picture) -> dict[str, bytes]:
    """The picture as PNG and SVG, by the ending of the file."""
    import matplotlib  # pyright: ignore[reportMissingImports]
    from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]

    with matplotlib.rc_context({"font.size": 9, "svg.hashsalt": picture.name, "text.parse_math": False}):
        drawn = Figure(figsize=picture.inches, layout="constrained")
        axes = drawn.add_subplot()
        for trace in picture.traces:
            (_draw_map if trace["type"] == "heatmap" else _draw_line)(drawn, axes, trace)
        _draw_shapes(axes, picture.layout.get("shapes", []))
        _set_axis(axes.xaxis, picture.layout["xaxis"], axes.set_xscale, axes.set_xlim)
        _set_axis(axes.yaxis, picture.layout["yaxis"], axes.set_yscale, axes.set_ylim)
        if picture.layout["yaxis"].get("rangemode") == "tozero":
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        if picture.layout["yaxis"].get("autorange") == "reversed":
            axes.invert_yaxis()
        if "scaleanchor" in picture.layout["yaxis"]:
            axes.set_aspect("equal")
        below = plain(of_folder(picture.layout["xaxis"].get("title"), dict).get("text", ""))
        has_names = "ticktext" in picture.layout["yaxis"] and not below  # rows: numbers run along the other axis
        axes.set_xlabel(picture.label if has_names else below)
        axes.set_ylabel("" if has_names else picture.label)
        axes.spines[["top", "right"]].set_visible(False)
        if not any(trace["type"] == "heatmap" for trace in picture.traces):
            axes.grid(color=_color("@grid"), linewidth=0.6)
            axes.set_axisbelow(True)
        handles, names = axes.get_legend_handles_labels()
        if len(names) > 1 and not _names_arms_by_row(picture):
            # Below the figure: within it, a place that no line crosses need not be there.
            columns = min(len(names), _LEGEND_COLUMNS)
            drawn.legend(handles, names, loc="outside lower center", frameon=False, fontsize=8, ncols=columns)
        files = {}
        for ending, metadata in (("png", {}), ("svg", {"Date": None})):
            content = io.BytesIO()
            drawn.savefig(content, format=ending, dpi=_DOTS_PER_INCH, metadata=metadata)
            files[ending] = content.getvalue()
            drawn.set_layout_engine("none")  # half of the time goes into room for labels: it is found once
    return files


def _names_arms_by_row(picture: Picture) -> bool:
    """Whether every arm has a row of its own, so that a legend would say it twice."""
    return "ticktext" in picture.layout["yaxis"] and all(
        len(trace["x"]) == 1 for trace in picture.traces if trace["meta"].get("part") == "mean"
    )


def _draw_line(drawn: Any, axes: Any, trace: dict[str, Any]) -> None:
    part, line, marker = trace["meta"].get("part"), trace.get("line", {}), trace.get("marker", {})
    xs, ys = ([math.nan if value is None else value for value in trace[axis]] for axis in "xy")
    points = [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y)]
    if not points:
        return
    if part == "band":
        axes.fill(*zip(*points, strict=True), color=_color(trace["fillcolor"]), linewidth=0)
        return
    if trace.get("connectgaps"):
        xs, ys = zip(*points, strict=True)
    has_line, has_marks = "lines" in trace["mode"], "markers" in trace["mode"]
    color = line.get("color") or marker.get("color")
    style = {
        "color": _color(color),
        "linestyle": _DASHES.get(line.get("dash", ""), "-") if has_line else "none",
        "linewidth": line.get("width", 2) * _POINTS_PER_PIXEL,
        "marker": _MARKERS.get(marker.get("symbol", "").removesuffix("-open"), "o") if has_marks else None,
        "markerfacecolor": "none" if "open" in marker.get("symbol", "") else _color(color),
        "markersize": marker.get("size", 6) * _POINTS_PER_PIXEL,
        "label": plain(trace.get("name", "")) if part == "mean" else None,
    }
    bars = {
        f"{axis}err": [bar.get("arrayminus", bar["array"]), bar["array"]]
        for axis in "xy"
        if (bar := trace.get(f"error_{axis}"))
    }
    if bars:
        axes.errorbar(xs, ys, **bars, **style, elinewidth=1.2, capsize=2.5)
    else:
        axes.plot(xs, ys, **style)
    for x, y, text in zip(xs, ys, trace.get("text") or [], strict=False):
        _draw_text(axes, x, y, plain(text), trace)


def _draw_text(axes: Any, x: float, y: float, text: str, trace: dict[str, Any]) -> None:
    """A name beside a point, on the side that the page has it."""
    up, _, side = trace["textposition"].partition(" ")
    axes.annotate(
        text,
        (x, y),
        xytext=(0, 3 if up == "top" else -7),
        textcoords="offset points",
        ha={"right": "left", "left": "right"}.get(side, "center"),
        va="bottom" if up == "top" else "top",
        color=_color(trace["textfont"]["color"]),
        fontsize=7,
    )


def _draw_map(drawn: Any, axes: Any, trace: dict[str, Any]) -> None:
    from matplotlib.colors import LinearSegmentedColormap  # pyright: ignore[reportMissingImports]

    colors = [(at, _color(name)) for at, name in trace["colorscale"]]
    scale = LinearSegmentedColormap.from_list("of the page", colors)
    values = [[float("nan") if value is None else value for value in row] for row in trace["z"]]
    x, y = (_cell_edges(trace[axis], len(values if axis == "y" else values[0])) for axis in "xy")
    cells = axes.pcolormesh(x, y, values, cmap=scale, vmin=trace["zmin"], vmax=trace["zmax"], rasterized=True)
    if trace.get("showscale", True):
        bar = drawn.colorbar(cells, ax=axes, fraction=0.04, pad=0.02)
        bar.outline.set_visible(False)
        title = of_folder(of_folder(trace.get("colorbar"), dict).get("title"), dict).get("text", "")
        bar.ax.set_title(plain(title), fontsize=8)


def _cell_edges(places: list[float], num_cells: int) -> list[float]:
    """Places that are edges already, or the middles of cells of width one."""
    return places if len(places) == num_cells + 1 else [*(place - 0.5 for place in places), places[-1] + 0.5]


def _draw_shapes(axes: Any, shapes: list[dict[str, Any]]) -> None:
    for shape in shapes:
        if shape["type"] == "line":
            line = {"color": _color(shape["line"]["color"]), "linewidth": 0.8, "zorder": 0.5}
            line["linestyle"] = _DASHES.get(shape["line"].get("dash", ""), "-")
            axes.axhline(shape["y0"], **line) if shape.get("xref") == "paper" else axes.axvline(shape["x0"], **line)
        else:
            zone = {"facecolor": _color(shape["fillcolor"]), "linewidth": 0, "zorder": 0}
            if shape.get("xref") == "paper":
                axes.axhspan(shape["y0"], shape["y1"], **zone)
            else:
                axes.axvspan(shape["x0"], shape["x1"], **zone)


def _set_axis(axis: Any, its: dict[str, Any], set_scale: Any, set_limits: Any) -> None:
    is_log = its.get("type") == "log"
    if is_log:
        set_scale("log")
    if its.get("range") is not None:
        set_limits(*(10**end for end in its["range"]) if is_log else its["range"])
    ticks = its.get("tickvals")
    if ticks is not None:
        low, high = sorted(axis.get_view_interval())
        texts = its.get("ticktext") or [f"{tick:g}" for tick in ticks]
        kept = [(tick, plain(text)) for tick, text in zip(ticks, texts, strict=True) if low <= tick <= high]
        axis.set_ticks([tick for tick, _ in kept], labels=[text for _, text in kept], minor=False)
        axis.set_ticks([], minor=True)
    elif is_log:
        _set_log_ticks(axis)


def _set_log_ticks(axis: Any) -> None:
    """Ticks as 300k and 1M; more of them where the axis spans little."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter  # pyright: ignore[reportMissingImports]

    low, high = sorted(axis.get_view_interval())
    subs = (1.0,) if math.log10(high / max(low, 1e-30)) > 2 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_minor_formatter(NullFormatter())


def plain(text: str) -> str:
    """A label as a person writes it: `safe_text` undone. Here a `$` starts no formula."""
    return html.unescape(str(text).replace("<br>", "\n")).replace("\u200b", "").replace("＄", "$")


@cache
def _theme() -> dict[str, str]:
    """The light theme's colors by name, from the page's own style."""
    style = (Path(__file__).parents[1] / "assets" / "page.css").read_text(encoding="utf-8")
    light = style.split(":root {", 1)[1].split("}", 1)[0]
    return dict(re.findall(r"--([a-z0-9-]+):\s*([^;]+);", light))


def _color(name: str) -> Any:
    """A color of the page for matplotlib: hex digits, or red, green, blue and opacity of 0 to 1; as in page.js."""
    found = re.fullmatch(r"@([a-z0-9]+)(?:-(band|thin)|>([a-z0-9]+):([\d.]+))?", name)
    if found is None:
        return name
    base, pale, other, part = found.groups()
    value = _theme()[base]
    if other:
        share = float(part)
        return tuple((1 - share) * a + share * b for a, b in zip(_parts(value), _parts(_theme()[other]), strict=True))
    if value.startswith("rgba"):
        red, green, blue, alpha = (float(x) for x in re.findall(r"[\d.]+", value))
        return (red / 255, green / 255, blue / 255, alpha)
    return value if pale is None else (*_parts(value), float(_theme()[f"opacity-{pale}"]))


def _parts(value: str) -> tuple[float, float, float]:
    """Red, green and blue of hex digits, between 0 and 1."""
    red, green, blue = (int(value[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue
