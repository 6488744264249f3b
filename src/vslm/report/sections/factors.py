"""The section of a study with factors: what each is worth, all combinations, and what depends on what."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from vslm.report.figures.arms import pair_figure
from vslm.report.figures.factors import cells_figure, effects_figure, lines_figure
from vslm.report.figures.style import Figure, Style, safe_text, styles
from vslm.report.numbers.formatting import decimals_for, ends, signed, span
from vslm.report.numbers.tables import Judged, effect_word
from vslm.report.sections.section import Drawing, Section, Table
from vslm.results.records import FactorialRecord, StudyRecord, Verdict

_ROW_PIXELS = 34
_AROUND_PIXELS = 84
_LINES_PIXELS = 300
_MOST_ROWS = 12  # of interactions that were not declared and do not show
_MOST_NAMED = 3
_MOST_SEEN = 6  # interactions that were not declared, in a figure


def effect_styles(rows: Sequence[Judged]) -> dict[str, Style]:
    """How effects look: as arms beside a baseline."""
    return styles([row.arm for row in rows], None)


def pair_figures(rows: Sequence[Judged]) -> list[Figure]:
    """Of every factor, a line per seed from the mean of the runs without it to the mean of those with it."""
    found = []
    for row in rows:
        if row.at.per_seed and " x " not in row.arm:
            names = [f"without {row.arm}", f"with {row.arm}"]
            both = styles(names, names[0])
            found.append(pair_figure(names[1], names[0], row.at.per_seed, both))
    return found


def section(
    study: StudyRecord, verdict: Verdict, rows: Sequence[Judged], style_of: Mapping[str, Style]
) -> Section | None:
    """None for a study of arms, and before a look.

    Args:
        rows: of the effects.
        style_of: of the arms.
    """
    design, primary = study.factorial, study.primary
    if design is None or not rows:
        return None
    cells = {
        arm: [value for value in verdict.cells.get(arm, {}).values() if value is not None]
        for arm in design.cells
        if arm in style_of
    }
    known = {arm: values for arm, values in cells.items() if values}
    drawings = [
        Drawing(
            "factors.effects",
            effects_figure(rows, effect_styles(rows), primary),
            {"effects": ("effects", primary.unit)},
            "What each is worth, over all runs",
            has_arms=False,
            pixels=_AROUND_PIXELS + _ROW_PIXELS * len(rows),
        )
    ]
    if known:
        drawings.append(
            Drawing(
                "factors.cells",
                cells_figure(known, style_of, primary),
                {"cells": ("cells", primary.unit)},
                "Every combination that was trained",
                has_arms=False,
                pixels=_AROUND_PIXELS + _ROW_PIXELS * len(known),
            )
        )
    if (lines := _lines(design, verdict, known, study)) is not None:
        drawings.append(lines)
    return Section(
        "factors",
        "What each factor is worth",
        "Factors",
        _read(design, verdict),
        "verdict.json",
        drawings,
        table=_table(rows, verdict),
        over_seeds=False,
    )


def _read(design: FactorialRecord, verdict: Verdict) -> str:
    warnings = [row.words for row in verdict.undeclared.values() if row.words]
    parts = [
        f"The design: {'; '.join(design.words)}.",
        "The effect of a factor is the mean of all runs with it minus the mean of all without it, so an average over "
        "the other factors' being off and on. An interaction is how much the effect of its first factor differs "
        "between runs with the second and without it; where lines are parallel there is none. Intervals of effects "
        "hold together, as in a study of arms. Intervals of combinations are 95 % Student intervals over seeds by "
        "themselves: what seeds share is in them, and falls out of the effects.",
        *(f"{words[:1].upper()}{words[1:]}." for words in warnings),
    ]
    return " ".join(parts)


def _table(rows: Sequence[Judged], verdict: Verdict) -> Table:
    """Effects, then interactions that were not declared, which are no verdicts."""
    found = []
    for row in rows:
        decimals = decimals_for(row.at.smallest_effect)
        interval = span(*ends(row.at.interval), decimals)
        found.append((row.arm, effect_word(row), signed(row.at.delta, decimals), interval, str(len(row.at.seeds))))
    decimals = decimals_for(rows[0].at.smallest_effect) if rows else 3
    are_few = len(verdict.undeclared) <= _MOST_ROWS
    for name, its in verdict.undeclared.items():
        if not (are_few or its.is_seen):
            continue
        more = len(its.mixed) - _MOST_NAMED
        names = " or ".join([name, *its.mixed[:_MOST_NAMED], *([f"{more} others"] if more > 0 else [])])
        became = "not declared, shows" if its.is_seen else "not declared"
        found.append(
            (names, became, signed(its.delta, decimals), span(*ends(its.interval), decimals), str(len(its.seeds)))
        )
    return Table(("Effect", "Verdict", "Size", "Interval", "Seeds"), found, num_words=2)


def _lines(
    design: FactorialRecord, verdict: Verdict, cells: Mapping[str, Sequence[float]], study: StudyRecord
) -> Drawing | None:
    """Declared interactions, and those that show although nobody declared them."""
    declared = [name for name, row in verdict.effects.items() if len(row.factors) == 2]
    seen = [name for name, row in verdict.undeclared.items() if row.is_seen][:_MOST_SEEN]
    pairs: dict[str, tuple[str, str]] = {}
    means: dict[str, np.ndarray] = {}
    for number, name in enumerate([*declared, *seen]):
        first, _, second = name.partition(" x ")
        found = [
            [
                float(value)
                for arm, on in design.cells.items()
                if (first in on, second in on) == levels
                for value in cells.get(arm, ())
            ]
            for levels in itertools.product((False, True), repeat=2)
        ]
        if all(found):
            view = f"pair{number}"
            pairs[view] = (first, second)
            means[view] = np.array([np.mean(values) for values in found]).reshape(2, 2)
    if not pairs:
        return None
    figure = lines_figure(pairs, means, study.primary)
    words = {
        view: (f"{first} x {second}", safe_text(f"{study.primary.unit}, {first} off and on"))
        for view, (first, second) in pairs.items()
    }
    caption = "How much one depends on the other"
    return Drawing("factors.lines", figure, words, caption, has_arms=False, pixels=_LINES_PIXELS)
