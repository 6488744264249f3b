"""Sections of measures from what they declared: a study's own measure is drawn like one of the package.

    lines   over one axis at the end of training, or over the first of two; over one axis also a map by training step
    map     of two axes, at the end of training and at a few steps before
    dots    a row per name; numbers without axes too, where they were taken at the end alone, else lines

What is declared is read from the runs' records (`vslm.measure.declared`); of runs that recorded nothing of the kind,
what the package declares of its own measures (`vslm.measure.sections`).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from vslm.measure.declared import Array, Axis, Declared, read_declared
from vslm.measure.sections import RECORDED_AS
from vslm.report.figures import axes
from vslm.report.figures import lines as line_figures
from vslm.report.figures.dots import dot_figure, dot_pixels
from vslm.report.figures.heat_maps import cells_of, limits, map_figure, map_pixels, place_text, symmetric_limits
from vslm.report.figures.style import Figure, Style, safe_text
from vslm.report.numbers.classes import ByName, by_name
from vslm.report.numbers.curves import spread
from vslm.report.numbers.formatting import listing
from vslm.report.numbers.maps import Map, map_over_seeds, without_empty
from vslm.report.numbers.profiles import (
    Profile,
    along,
    along_with_each,
    largest,
    stacked,
    through_steps,
    through_training,
)
from vslm.report.numbers.runs import Run
from vslm.report.sections.section import Drawing, Section

Runs = Mapping[str, Sequence[Run]]
_Words = dict[str, tuple[str, str]]

_IS_NAME = re.compile(r"[A-Za-z0-9_]{1,80}")  # of what is a file of `--figures`, and a place in the page
# Measures whose sections have a file of their own, unless somebody's measure of that name declares arrays.
_DRAWN_ELSEWHERE = ("recall", "copy_gain", "early_days", "context_curve", "prompt_effect", "loss_by_position")
_MOST_STEPS = 5  # of a map of two axes: each is as much data as the first
_MOST_MAPS = 4  # arms that have such maps at several steps


def sections(runs: Runs, style_of: Mapping[str, Style]) -> dict[str, Section]:
    """By the name that a measure is recorded as, those that have numbers: the package's in its order, then others."""
    found = {}
    for name, declared in declared_by(runs).items():
        section = _Measure(name, declared, runs, style_of).section()
        if section is not None:
            found[name] = section
    return found


def declared_by(runs: Runs) -> dict[str, Declared]:
    """What measures declare, by name; of arms that differ, the first that declared it counts."""
    found: dict[str, Declared] = {}
    stored = [run for its in runs.values() for run in its if run.is_whole]
    for run in stored:
        for name, plain in run.declared.items():
            if name not in found and _IS_NAME.fullmatch(name) and (declared := read_declared(plain)) is not None:
                found[name] = declared
    known = {array.partition(".")[0] for run in stored for array in run.arrays}
    found = {name: RECORDED_AS[name] for name in RECORDED_AS if name in known - found.keys()} | found
    order = [*RECORDED_AS, *(name for name in found if name not in RECORDED_AS)]
    return {name: found[name] for name in order if name in found and not _is_elsewhere(name, found[name])}


def _is_elsewhere(name: str, declared: Declared) -> bool:
    return name in _DRAWN_ELSEWHERE and not declared.arrays


class _Measure:
    """The section of one measure.

    Args:
        name: that it is recorded as.
        declared: what it declares.
        runs: by arm.
        style_of: of the arms.
    """

    def __init__(self, name: str, declared: Declared, runs: Runs, style_of: Mapping[str, Style]) -> None:
        self.name, self.declared, self.runs, self.style_of = name, declared, runs, style_of
        self.arrays = {key: array for key, array in declared.arrays.items() if _IS_NAME.fullmatch(key)}

    def section(self) -> Section | None:
        """None where nothing was recorded."""
        drawings = [*self._of_lines(), *self._of_dots(), *self._of_maps(), *self._of_steps(), *self._of_numbers()]
        if not drawings:
            return None
        shown, words = self.declared.shown, self.name.replace("_", " ")
        title = shown.title if shown else words[:1].upper() + words[1:]
        read = shown.read if shown else ""
        if missing := [key for key in self.arrays if not self._is_recorded(key)]:
            are = "are" if len(missing) > 1 else "is"
            read += f" Of what is declared, {listing(missing)} {are} not recorded with so many axes."
        has_lines = any(not drawing.id.startswith(f"{self.name}.dots") for drawing in drawings)
        if not has_lines:
            read += " Dots are means over seeds, with the 95 % interval of the mean from three seeds on."
        short, file = (shown.short if shown else "") or title, f"arrays.npz: {self.name}"
        return Section(self.name, title, short, read.strip(), file, drawings, over_seeds=has_lines)

    def _drawing(self, kind: str, figure: Figure, words: _Words, caption: str = "", **more: Any) -> Drawing:
        # A dot, which is in no name of a measure, nor in that of any other figure or choice of the page.
        return Drawing(f"{self.name}.{kind}", figure, words, caption, **more)

    def _stored(self, key: str) -> str:
        """The name of an array in arrays.npz: the letter of the steps comes first."""
        head, letters = key.rsplit("_", 1)
        return f"{self.name}.{head}_S{letters}"

    def _is_recorded(self, key: str) -> bool:
        num_axes = len(self.arrays[key].axes)
        return any(stacked(its, self._stored(key), num_axes).size for its in self.runs.values())

    def _by_arm(self, read: Callable[[Sequence[Run]], Any]) -> dict[str, Any]:
        """What is made of the runs of each arm that has it."""
        return {arm: found for arm, its in self.runs.items() if (found := read(its)) is not None}

    def _chosen(self, drawn_as: str) -> dict[str, Array]:
        return {key: array for key, array in self.arrays.items() if array.drawn_as == drawn_as}

    # ---- lines at the end of training --------------------------------------------------------------------------------
    def _of_lines(self) -> Iterator[Drawing]:
        """One figure for the arrays that share their axis and heights, a view for each."""
        groups: dict[tuple[Any, ...], dict[str, Array]] = {}
        for key, array in self._chosen("lines").items():
            groups.setdefault((array.axis, array.from_zero, array.is_log), {})[key] = array
        number = 0
        for (axis, from_zero, is_log), arrays in groups.items():
            views = {_view(key): self._by_arm(partial(self._profile, key, array)) for key, array in arrays.items()}
            views = {view: by_arm for view, by_arm in views.items() if by_arm}
            if not views:
                continue
            words = {_view(key): _words(array) for key, array in arrays.items() if _view(key) in views}
            profiles = [profile for by_arm in views.values() for profile in by_arm.values()]
            x = np.concatenate([profile.x for profile in profiles])
            x_axis = axes.axis_of_places(axis.title, axis.hover, x, is_log=axis.is_log)
            figure = line_figures.profile_figure(views, self.style_of, x_axis)
            if is_log:
                figure["layout"]["yaxis"] |= axes.log_height(figure)
            elif from_zero:
                figure["layout"]["yaxis"] |= {"rangemode": "tozero"}
            levels = {view: self._level(array) for key, array in arrays.items() if (view := _view(key)) in views}
            lines = [{**line_figures.level_line(y), "view": view} for view, y in levels.items() if y is not None]
            figure["layout"]["shapes"] = lines
            number += 1
            yield self._drawing("lines" if number == 1 else f"lines{number}", figure, words, self._end_words(arrays))

    def _end_words(self, arrays: Mapping[str, Array]) -> str:
        """Said where a figure of the same section shows the way there."""
        return "at the end of training" if any(self._steps_of(key, array) for key, array in arrays.items()) else ""

    def _profile(self, key: str, array: Array, runs: Sequence[Run]) -> Profile | None:
        axis, stored = array.axis, self._stored(key)
        at = None if axis.at is None else self._stored(axis.at)
        if len(array.axes) > 1:
            line = along_with_each(runs, stored, array.over, first=axis.first, at=at)
        else:
            line = along(runs, stored, first=axis.first, at=at)
        if line is None or not axis.is_log:
            return line
        return line.at(line.x > 0) if (line.x > 0).any() else None

    def _level(self, array: Array) -> float | None:
        """The height to compare with: given, or the mean of a number over all runs."""
        if not isinstance(array.level, str):
            return array.level
        found = np.concatenate([stacked(its, f"{self.name}.{array.level}_S", 0).ravel() for its in self.runs.values()])
        found = found[np.isfinite(found)]
        return float(found.mean()) if found.size else None

    # ---- as training goes --------------------------------------------------------------------------------------------
    def _of_steps(self) -> Iterator[Drawing]:
        """Of an array over one axis, or the mean over its second: a map by step; of a largest its line."""
        for key, array in self.arrays.items():
            if array.drawn_as == "lines" and len(array.axes) > 1 and array.over == "largest":
                read = partial(through_training, name=self._stored(key), reduced=largest)
                if by_arm := self._by_arm(read):
                    words = {_view(key): (array.button or array.title, safe_text(f"{array.words}, the largest of all"))}
                    figure = line_figures.profile_figure({_view(key): by_arm}, self.style_of, axes.decade_axis())
                    yield self._drawing(f"steps-{_view(key)}", figure, words, "the largest of all, through training")
            elif array.drawn_as != "map" and (maps := self._steps_of(key, array)):
                axis = array.axis
                hover = safe_text(axis.hover or axis.title)
                figure = map_figure(
                    maps,
                    ("training step", axis.title, array.words),
                    lambda arm, step, place, hover=hover: (
                        f"{safe_text(arm)}, step {int(step):,}, {hover} {place_text(place)}"
                    ),
                    **_scale(maps.values()),
                    unit=array.unit,
                )
                words = {arm: (arm, "training step") for arm in maps}
                caption = f"{array.words}, as training goes"
                yield self._drawing(f"steps-{_view(key)}", figure, words, caption, has_arms=False)

    def _steps_of(self, key: str, array: Array) -> dict[str, Map]:
        """By arm, the number by step and place; none where it is the same at every step, as a guess is."""
        maps = without_empty(self._by_arm(partial(self._step_map, key, array)))
        is_the_same = all(
            np.array_equal(row_C, its.mean_RC[0], equal_nan=True) for its in maps.values() for row_C in its.mean_RC
        )
        return {} if is_the_same else maps

    def _step_map(self, key: str, array: Array, runs: Sequence[Run]) -> Map | None:
        found = through_steps(runs, self._stored(key), 1, _mean_of_last if len(array.axes) > 1 else _as_it_is)
        if found is None:
            return None
        steps_S, values_NSX = found
        places = self._places(array.axis, runs, values_NSX.shape[2])
        return None if places is None else map_over_seeds(values_NSX, steps_S.tolist(), places)

    def _places(self, axis: Axis, runs: Sequence[Run], size: int) -> list[Any] | None:
        """What the places of an axis are: names, stored numbers, or whole numbers; None where they do not fit."""
        if axis.names:
            return list(axis.names) if len(axis.names) == size else None
        if axis.at is None:
            return list(range(axis.first, axis.first + size))
        at_NX = stacked(runs, self._stored(axis.at), 1)
        fits = at_NX.shape[1:] == (size,) and len(at_NX) and np.isfinite(at_NX[0]).all()
        return at_NX[0].tolist() if fits else None

    # ---- maps of two axes --------------------------------------------------------------------------------------------
    def _of_maps(self) -> Iterator[Drawing]:
        """A view per arm; of what was taken at several steps a figure per arm, with a view for some of them."""
        for key, array in self._chosen("map").items():
            at_end = without_empty(self._by_arm(partial(self._last_map, key, array)))
            # Along one place of an axis a map says what lines or dots of the same measure do.
            if not any(min(its.mean_RC.shape) > 1 for its in at_end.values()):
                continue
            titles = (array.axes[0].title, array.axes[-1].title, array.words)
            head = partial(_cell_head, *(axis.hover or axis.title for axis in array.axes))
            more = {"unit": array.unit, "is_top_down": True}
            pixels = map_pixels(max(len(its.rows) for its in at_end.values()))
            through = self._by_arm(partial(self._maps_of_steps, key, array))
            several = {arm: without_empty(its) for arm, its in through.items() if len(its) > 1}
            if not several:
                figure = map_figure(at_end, titles, head, **_scale(at_end.values()), **more)
                words = {arm: (arm, safe_text(titles[0])) for arm in at_end}
                yield self._drawing(f"map-{_view(key)}", figure, words, array.words, has_arms=False, pixels=pixels)
                continue
            scale = _scale([one for its in several.values() for one in its.values()])
            for number, (arm, its) in enumerate(list(several.items())[:_MOST_MAPS]):
                figure = map_figure(its, titles, head, **scale, **more)
                words = {view: (view.replace("step", "step "), safe_text(titles[0])) for view in its}
                place, caption = f"map-{_view(key)}-{number}", f"{array.words}, {arm}"
                yield self._drawing(place, figure, words, caption, has_arms=False, pixels=pixels)

    def _last_map(self, key: str, array: Array, runs: Sequence[Run]) -> Map | None:
        values_NRC = stacked(runs, self._stored(key), 2)
        return self._named_map(array, runs, values_NRC) if values_NRC.size else None

    def _named_map(self, array: Array, runs: Sequence[Run], values_NRC: np.ndarray) -> Map | None:
        places = [self._places(axis, runs, size) for axis, size in zip(array.axes, values_NRC.shape[1:], strict=True)]
        rows, columns = places
        return None if rows is None or columns is None else map_over_seeds(values_NRC, rows, columns)

    def _maps_of_steps(self, key: str, array: Array, runs: Sequence[Run]) -> dict[str, Map] | None:
        """At a few of the steps, the last one first."""
        found = through_steps(runs, self._stored(key), 2)
        if found is None:
            return None
        steps_S, values_NSRC = found
        maps = {
            f"step{int(steps_S[i])}": its
            for i in spread(len(steps_S), _MOST_STEPS)[::-1]
            if (its := self._named_map(array, runs, values_NSRC[:, i])) is not None
        }
        return maps or None

    # ---- dots, and numbers without axes ------------------------------------------------------------------------------
    def _of_dots(self) -> Iterator[Drawing]:
        """A row per name: one figure for the arrays that share their names, a view for each."""
        groups: dict[Axis, dict[str, Array]] = {}
        for key, array in self._chosen("dots").items():
            groups.setdefault(array.axis, {})[key] = array
        for axis, arrays in groups.items():
            views = {key: self._by_arm(partial(self._named, key, axis.names)) for key in arrays}
            arrays = {key: array for key, array in arrays.items() if views[key]}
            if arrays:
                titles = {_view(key): (array.button or array.title, array.words) for key, array in arrays.items()}
                rows = len(axis.names), max(len(views[key]) for key in arrays)
                found = {_view(key): views[key] for key in arrays}
                yield self._dots(found, titles, axis.title, self._end_words(arrays), rows)

    def _dots(
        self,
        views: Mapping[str, Mapping[str, ByName]],
        titles: _Words,
        row_title: str,
        caption: str,
        rows: tuple[int, int],
    ) -> Drawing:
        """A figure of dots. Of one view its axis says what it is, of several the line above them.

        Args:
            views: view -> arm -> numbers.
            titles: of each view its button, and what its numbers are, with their unit.
            row_title: what a row is.
            caption: of the figure.
            rows: how many, and how many arms are in one.
        """
        first, *others = titles
        words = {view: (button, safe_text(text) if others else "") for view, (button, text) in titles.items()}
        columns = {view: (text, row_title) for view, (_, text) in titles.items()}
        figure = dot_figure(views, self.style_of, "" if others else titles[first][1], columns)
        return self._drawing(f"dots-{first}", figure, words, caption, pixels=dot_pixels(*rows))

    def _named(self, key: str, names: Sequence[str], runs: Sequence[Run]) -> ByName | None:
        values_NG = stacked(runs, self._stored(key), 1)
        return by_name(values_NG, names) if values_NG.shape[1:] == (len(names),) else None

    def _of_numbers(self) -> Iterator[Drawing]:
        """Lines of those that were taken at several steps, and a row per arm of the others."""
        levels = {array.level for array in self.arrays.values()}
        lines: dict[str, dict[str, Profile]] = {}
        words: _Words = {}
        dots: dict[str, dict[str, ByName]] = {}
        titles: _Words = {}
        for key, number in self.declared.numbers.items():
            is_only_a_level = key in levels and number.higher_is_better is None
            if is_only_a_level or not _IS_NAME.fullmatch(key):
                continue
            label = f"{number.title}, {number.unit}"
            stored = f"{self.name}.{key}_S"
            if by_arm := self._by_arm(partial(through_training, name=stored)):
                lines[key], words[key] = by_arm, (number.title, safe_text(label))
            elif at_end := self._at_the_end(stored):
                dots[key], titles[key] = at_end, (number.title, label)
        if dots:
            yield self._dots(dots, titles, "arm", "", (max(map(len, dots.values())), 1))
        if lines:
            figure = line_figures.profile_figure(lines, self.style_of, axes.decade_axis())
            yield self._drawing("numbers", figure, words, "through training")

    def _at_the_end(self, stored: str) -> dict[str, ByName]:
        found = {arm: by_name(values_N[:, None], [arm]) for arm, values_N in self._last_numbers(stored).items()}
        return {arm: one for arm, one in found.items() if one is not None}

    def _last_numbers(self, stored: str) -> dict[str, np.ndarray]:
        found = {arm: stacked(its, stored, 0) for arm, its in self.runs.items()}
        return {arm: values_N for arm, values_N in found.items() if values_N.size}


def _view(key: str) -> str:
    """The name of an array without the letters of its axes."""
    return key.rsplit("_", 1)[0]


def _words(array: Array) -> tuple[str, str]:
    """The button of a view, and the text above the plot."""
    return array.button or array.title, safe_text(array.words)


def _cell_head(row_hover: str, column_hover: str, view: str, row: Any, column: Any) -> str:
    return (
        f"{safe_text(view)}, {safe_text(row_hover)} {place_text(row)}, {safe_text(column_hover)} {place_text(column)}"
    )


def _scale(maps: Any) -> dict[str, Any]:
    """Colors of all maps of one number: even around zero where there are numbers on both sides of it."""
    cells = cells_of(found.mean_RC for found in maps)
    if len(cells) and cells.min() < 0 < cells.max():
        return {"scale": "difference", "ends": symmetric_limits(cells)}
    return {"scale": "loss", "ends": limits(cells)}


def _as_it_is(values: np.ndarray) -> np.ndarray:
    return values


def _mean_of_last(values_SXH: np.ndarray) -> np.ndarray:
    """Over the last axis, of the numbers that are there; NaN where there is none."""
    is_there = np.isfinite(values_SXH)
    with np.errstate(invalid="ignore"):
        return np.where(is_there, values_SXH, 0.0).sum(axis=-1) / is_there.sum(axis=-1)
