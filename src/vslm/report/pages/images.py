"""The figures of a study as files: PNG and SVG for a paper or slides, and every figure's numbers as CSV.

A picture is drawn from the very figure that the page shows, so both show the same numbers: same traces, same colors (of
the light theme), same axes. matplotlib draws it (`paper.py`), because it needs no browser and its SVG is clean.
A view of a figure that the page shows by a button is a picture of its own.

Not for: every detail of the page. Hover texts and sliders have no place on paper.
"""

import csv
import io
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vslm.core.errors import ResultError
from vslm.report.figures.paper import INCHES, Picture, check_matplotlib, drawn_files, plain
from vslm.report.figures.style import styles
from vslm.report.figures.surface import pictured
from vslm.report.numbers import curves
from vslm.report.numbers.formatting import of_folder
from vslm.report.numbers.runs import read_runs
from vslm.report.numbers.tables import judged_arms, judged_effects, read_verdict
from vslm.report.pages.study import drawn_figures
from vslm.report.sections import factors, measured
from vslm.report.sections.section import Section
from vslm.results.files import write_text, written_whole
from vslm.results.folder import StudyFolder

_PIXELS_PER_INCH = 96  # of the page's heights
_TRAINING_VIEWS = {
    "val_loss": "validation loss, nats per token",
    "train_loss": "training loss, nats per token",
    "difference": "nats per token, arm minus baseline",
}
_POSITION_VIEWS = {"loss": "nats per token", "difference": "nats per token, arm minus baseline"}


def write_images(study_dir: Path, out: Path) -> list[Path]:
    """Write every figure of a study as `NAME.png`, `NAME.svg` and `NAME.csv` into `out`; returns the paths.

    Raises: SpecError, before anything is written, where matplotlib is not installed. ResultError if there is nothing to
    draw, or study.json cannot be read.
    """
    check_matplotlib()
    found = list(pictures(StudyFolder(study_dir)))
    if not found:
        raise ResultError(str(study_dir), "nothing is measured yet, so there is no figure")
    return write_pictures(found, out)


def write_pictures(found: Iterable[Picture], out: Path) -> list[Path]:
    """Write pictures as PNG, SVG and CSV into `out`; returns the paths.

    Raises: SpecError, before anything is written, where matplotlib is not installed.
    """
    check_matplotlib()
    written = []
    for picture in found:
        for ending, content in drawn_files(picture).items():
            written.append(out / f"{picture.name}.{ending}")
            with written_whole(written[-1]) as file:
                file.write(content)
        written.append(out / f"{picture.name}.csv")
        write_text(written[-1], numbers_as_csv(picture))
    return written


def pictures(folder: StudyFolder) -> Iterator[Picture]:
    """Every figure of the page in every view that holds something, in the page's order."""
    study, runs = folder.study, read_runs(folder)
    rows = [row for row in judged_arms(folder) if row.arm in runs]
    style_of = styles(list(runs), study.baseline)
    edges = curves.position_edges(curves.num_positions([run for arm in runs.values() for run in arm]))
    drawn, _ = drawn_figures(study, rows, runs, style_of, edges)
    if drawn["training"]:
        yield from _of_views("training", drawn["training"], _TRAINING_VIEWS, against="tokens")
    if drawn["by_position"]:
        by_position = drawn["by_position"]
        by_position["layout"]["xaxis"]["type"] = "log"  # as the page shows it first
        yield from _of_views("by-position", by_position, _POSITION_VIEWS)
    verdict, _ = read_verdict(folder)
    if (of_factors := factors.section(study, verdict, judged_effects(folder), style_of)) is not None:
        yield from of_section(of_factors)
    for section in measured.sections(study, rows, runs, style_of):
        yield from of_section(section)
    yield from _heat_maps(drawn)


def of_section(section: Section) -> Iterator[Picture]:
    """The figures of one section."""
    for drawing in section.drawings:
        inches = (INCHES[0], drawing.pixels / _PIXELS_PER_INCH) if drawing.pixels else INCHES
        yield from _of_views(drawing.id, drawing.figure, drawing.labels, inches=inches)


def _of_views(
    name: str,
    figure: dict[str, Any],
    labels: dict[str, str],
    *,
    against: str | None = None,
    inches: tuple[float, float] = INCHES,
) -> Iterator[Picture]:
    for view, label in labels.items():
        traces = [trace for trace in figure["data"] if trace["meta"]["view"] == view]
        layout = figure["layout"]
        if against is not None:
            traces = [{**trace, "x": trace["meta"]["axes"][against]} for trace in traces]
            x_axis = {**layout["xaxis"], "type": "log", "title": {"text": f"training {against}"}}
            shapes = layout["shapes"] if view == "difference" else []
            layout = {**layout, "xaxis": x_axis, "shapes": shapes}
        shapes = [shape for shape in layout.get("shapes", []) if shape.get("view", view) == view]
        if any(trace["x"] for trace in traces):
            place = name if len(labels) == 1 else f"{name}-{view}"
            yield Picture(place, label, traces, {**layout, "shapes": shapes}, inches)


def _heat_maps(drawn: dict[str, Any]) -> Iterator[Picture]:
    """Loss by position and step, and its difference from the baseline, one picture per arm and split."""
    for split, view in itertools.product(drawn["surface"], ("loss", "difference")):
        for arm in drawn["surface"][split][view]:
            figure = pictured(drawn["heat"], drawn["surface"][split], view, arm)
            name = f"surface-{view}-{arm}" if split == "val" else f"surface-{split}-{view}-{arm}"
            yield Picture(name, "training step", figure["data"], figure["layout"])


class _Cells:
    """Writes rows whose texts are texts for a spreadsheet, too.

    Args:
        writer: of the csv module.
    """

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def writerow(self, row: Iterable[Any]) -> None:
        self.writer.writerow([_text_cell(cell) for cell in row])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        for row in rows:
            self.writerow(row)


def _text_cell(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula.

    >>> _text_cell("=1+1"), _text_cell("-0.5"), _text_cell(-0.5), _text_cell("full")
    ("'=1+1", '-0.5', -0.5, 'full')
    """
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def numbers_as_csv(picture: Picture) -> str:
    """The numbers of a picture: a row per point or cell, under the names that the figure has for its axes.

        series, x, y, plus_minus            of lines; `low` and `high` in place of `plus_minus` where it is not even
        row, column, number, plus_minus     of maps

    The second and third are called as the axes are, units among them, and so are all three of a map. `plus_minus` is
    half the 95 % interval where there is one. A name that a spreadsheet would compute (`=1+1`) has an apostrophe before
    it, as one types it there; numbers have none.
    """
    text = io.StringIO()
    writer = _Cells(csv.writer(text, lineterminator="\n"))
    interval = ["low", "high"] if any("ends" in trace["meta"] for trace in picture.traces) else ["plus_minus"]
    writer.writerow([*column_names(picture), *interval])
    for trace in picture.traces:
        if trace["meta"].get("part") in ("band", "row", "cover"):
            continue
        if trace["type"] == "heatmap":
            rows, columns = trace["meta"]["rows"], trace["meta"]["columns"]
            halves = trace["meta"].get("half") or [[None] * len(columns)] * len(rows)
            for row, *of_row in zip(rows, trace["z"], halves, strict=True):
                cells = zip(columns, *of_row, strict=True)
                writer.writerows([row, *cell] for cell in cells if cell[1] is not None)
        else:
            bars = trace.get("error_y") or trace.get("error_x") or {}
            halves = [trace.get("customdata") or bars.get("array") or [None] * len(trace["x"])]
            halves = trace["meta"].get("ends") or halves * len(interval)
            # Where a number is drawn at a place that is not its own, it stands in `meta`.
            xs, ys = trace["meta"].get("x", trace["x"]), trace["meta"].get("y", trace["y"])
            name, ys = plain(trace.get("name", "")), trace["meta"].get("names", ys)
            writer.writerows([name, *values] for values in zip(xs, ys, *halves, strict=True))
    return text.getvalue()


def column_names(picture: Picture) -> list[str]:
    """What the first three columns of a CSV are: what a figure says in `layout.meta.columns`, else its axes' titles.

    A figure says it by view, where the title of an axis is not what its numbers are: `{view: (x, y)}`, and of a map
    `{view: (row, column, number)}`.
    """
    first = picture.traces[0]
    said = of_folder(of_folder(picture.layout.get("meta"), dict).get("columns"), dict).get(first["meta"]["view"])
    is_map = first["type"] == "heatmap"
    if said:
        return [*([] if is_map else ["series"]), *(plain(name) for name in said)]
    x, color = (
        plain(of_folder(of_folder(holder, dict).get("title"), dict).get("text", ""))
        for holder in (picture.layout["xaxis"], first.get("colorbar"))
    )
    label = plain(picture.label)
    return [label or "row", x or "column", color or "value"] if is_map else ["series", x or "x", label or "y"]
