"""What prompts do, drawn: a map of mutual information, and the divergence by distance with its fitted decay.

The sections of a study that measured `PromptEffect`. The figures are also those of `vslm prompts`, see
`prompts_page.py`, which has the reader's own texts and one run where a study has arms and seeds.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vslm.report.figures import axes
from vslm.report.figures import heat_maps as heat_figures
from vslm.report.figures import lines as line_figures
from vslm.report.figures.style import Figure, Style, numbers, safe_text
from vslm.report.numbers.curves import band_half
from vslm.report.numbers.formatting import shortened
from vslm.report.numbers.maps import Map
from vslm.report.numbers.profiles import Profile, over_seeds, stacked
from vslm.report.numbers.runs import Run
from vslm.report.sections.section import Drawing, Section, Table, profile_views
from vslm.stats.decay import FEWEST_POINTS, NOT_FITTED, SMALLEST_NATS, Decay, fit_decay

COMPARED = {  # what a prompt is compared with: the button, and in words
    "prompts": ("other prompts", "between two prompts"),
    "shuffled": ("shuffled", "between a prompt and its tokens shuffled"),
    "irrelevant": ("equal length", "between a prompt and another of equal length"),
    "empty": ("empty", "between a prompt and none"),
}
READ_MAP = (
    "Pointwise mutual information in nats: how much likelier a continuation (column) is after a prompt (row) than "
    "after nothing. Orange is likelier, blue less likely. "
)
READ_DISTANCE = (
    "How different the model's next-token distributions are under two prompts, at the same place of the same "
    "continuation (Jensen-Shannon divergence; ln 2 = 0.693 nats where nothing is shared, and below 0.00001 nothing is "
    "drawn). The dotted line is the fitted A exp(-k / tau) + B with k = 0 at the second token: after tau tokens 37 % "
    "of what can be forgotten is left, and B is what is not forgotten. The first token is not fitted: it follows the "
    "prompt's very last one. "
)
UNRESOLVED = (
    "what falls is below 0.00001 nats, or does not stand out of the scatter around it, or falls so slowly that the "
    "curve ends before tau"
)
_MANY_POINTS = 24  # of a line; more are drawn without marks
_LONG_TEXT = 52  # letters, when a cell is pointed at
_FILE = "arrays.npz: prompt_effect"

Runs = Mapping[str, Sequence[Run]]


def sections(runs: Runs, style_of: Mapping[str, Style]) -> list[Section]:
    """Those that have numbers."""
    found = [_maps(runs), _distances(runs, style_of)]
    return [section for section in found if section is not None]


def _stacked(runs: Sequence[Run], name: str, num_axes: int) -> np.ndarray | None:
    """What whole runs stored at their last step, seeds first, where all of it are numbers."""
    values = stacked(runs, f"prompt_effect.{name}", num_axes)
    kept = values[np.isfinite(values).all(axis=tuple(range(1, values.ndim)))]
    return kept if len(kept) else None


def _maps(runs: Runs) -> Section | None:
    by_arm = {arm: found for arm, its in runs.items() if (found := _stacked(its, "pmi_nats_SIJ", 2)) is not None}
    if not by_arm:
        return None
    means = {arm: pmi_NIJ.mean(axis=0) for arm, pmi_NIJ in by_arm.items()}
    limit = reach(list(means.values()))
    drawings = []
    for number, (arm, pmi_IJ) in enumerate(means.items()):
        rows, columns = (
            [f"{kind} {i + 1}" for i in range(size)]
            for kind, size in zip(("prompt", "continuation"), pmi_IJ.shape, strict=True)
        )
        figure = map_figure(pmi_IJ, rows, columns, limit, band_half(by_arm[arm]))
        words = {"values": ("values", "prompt")}
        drawings.append(Drawing(f"pmi-{number}", figure, words, arm, has_arms=False, pixels=map_pixels(len(rows))))
    rows = [
        (arm, *(_with_half(_over_seeds(runs[arm], name)) for name in ("own", "shuffled", "irrelevant", "other")))
        for arm in means
    ]
    headings = ("Arm", "Own prompt", "Its tokens shuffled", "Another document's", "All others")
    return Section(
        "pmi",
        "What a prompt makes likelier",
        "Prompts",
        READ_MAP + "Prompts are beginnings of validation documents, and continuation i is what follows prompt i there, "
        "so the diagonal is what knowing the beginning is worth. The table has means over continuations.",
        _FILE,
        drawings,
        table=Table(headings, rows),
    )


def _over_seeds(runs: Sequence[Run], which: str) -> np.ndarray | None:
    """Mutual information of continuations with their own prompt, a control of it, or all others: a number per seed."""
    if which in ("own", "other"):
        return _stacked(runs, f"pmi_{which}_nats_S", 0)
    found_NI = _stacked(runs, f"pmi_{which}_nats_SI", 1)
    return None if found_NI is None else found_NI.mean(axis=1)


def _with_half(values_N: np.ndarray | None, decimals: int = 2) -> str:
    """A mean over seeds, with its interval from three seeds on."""
    if values_N is None:
        return "missing"
    half = band_half(values_N[:, None])
    return f"{values_N.mean():.{decimals}f}" + ("" if half is None else f" ± {half[0]:.{decimals}f}")


def _distances(runs: Runs, style_of: Mapping[str, Style]) -> Section | None:
    names = {
        kind: (f"js_{kind}_nats_ST", button, f"Jensen-Shannon divergence {words}, nats")
        for kind, (button, words) in COMPARED.items()
    }
    views, words = profile_views(_by_distance, runs, names)
    if not views:
        return None
    figure = distance_figure(views, style_of)
    rows = []
    for arm in views.get("prompts", {}):
        js_NT = _stacked(runs[arm], "js_prompts_nats_ST", 1)
        if js_NT is None or js_NT.shape[1] < FEWEST_POINTS + NOT_FITTED:
            continue
        js_NT = js_NT[:, NOT_FITTED:]
        of_mean = fit_decay(js_NT.mean(axis=0))
        if of_mean.is_resolved:
            figure["data"].append(fitted_line(of_mean, js_NT.shape[1], style_of[arm], "prompts"))
        rows.append((arm, *_decay_words([fit_decay(js_T) for js_T in js_NT])))
    table = Table(("Arm", "tau, tokens", "A, nats", "B, nats"), rows) if rows else None
    return Section(
        "prompt-distance",
        "For how many tokens a prompt matters",
        "Memory of prompts",
        READ_DISTANCE + "Fitted for every seed: the table has the median over the seeds with a decay, and in brackets "
        f"the lowest and the highest. There is no decay where {UNRESOLVED}. The figure shows the fit of the mean.",
        _FILE,
        [Drawing("prompt-distance", figure, words)],
        table=table,
    )


def _by_distance(runs: Sequence[Run], name: str) -> Profile | None:
    """A divergence by tokens after the prompt, the first being 1."""
    js_NT = _stacked(runs, name, 1)
    if js_NT is None or not js_NT.shape[1]:
        return None
    return over_seeds(js_NT, np.arange(1, js_NT.shape[1] + 1))


def _decay_words(fits: Sequence[Decay]) -> tuple[str, str, str]:
    """tau, A and B over the seeds whose curve falls, and how many do not.

    >>> _decay_words([Decay(0.1, 9.0, 0.02), Decay(0.3, 8.0, 0.02), Decay(0.0, math.inf, 0.1)])
    ('8.5 (8.0 to 9.0); no decay in 1 of 3', '0.2000 (0.1000 to 0.3000)', '0.0200 (0.0200 to 0.0200)')
    """
    resolved = [fit for fit in fits if fit.is_resolved]
    rest = f"no decay in {len(fits) - len(resolved)} of {len(fits)}" if len(resolved) < len(fits) else ""
    if not resolved:
        return rest, "none", "none"
    tau, amplitude, floor = (
        _median_words([getattr(fit, name) for fit in resolved], decimals)
        for name, decimals in (("tau", 1), ("amplitude", 4), ("floor", 4))
    )
    return "; ".join(part for part in (tau, rest) if part), amplitude, floor


def _median_words(values: Sequence[float], decimals: int) -> str:
    low, middle, high = (f"{x:.{decimals}f}" for x in (min(values), float(np.median(values)), max(values)))
    return f"{middle} ({low} to {high})" if len(values) > 1 else middle


def reach(maps: Sequence[np.ndarray]) -> float:
    """How far colors reach on both sides of zero: the largest number there is."""
    return max(float(np.abs(values).max()) for values in maps) or 1.0


def map_pixels(num_rows: int) -> int:
    """The height of a map."""
    return max(230, 110 + 26 * num_rows)


def map_figure(
    pmi_IJ: np.ndarray, rows: Sequence[str], columns: Sequence[str], limit: float, half: np.ndarray | None = None
) -> Figure:
    """A row per prompt and a column per continuation; colors are even around zero.

    Args:
        half: of the intervals, of the shape of the cells.
    """
    names = ("prompt", "continuation", "pointwise mutual information, nats")

    def text(found: Map, i: int, j: int) -> str:
        row, column = (safe_text(shortened(name, _LONG_TEXT)) for name in (rows[i], columns[j]))
        around = "" if half is None else f" ± {half[i, j]:.2f}"
        return f"{row}<br>{column}<br><b>{pmi_IJ[i, j]:+.2f}</b>{around} nats"

    its = {"values": Map(rows, columns, pmi_IJ, half, 1)}
    ends = (-limit, limit)
    figure = heat_figures.map_figure(
        its, names, lambda *_: "", scale="difference", ends=ends, is_top_down=True, text=text
    )
    figure["data"][0] |= {"xgap": 1, "ygap": 1}
    layout, ticks = figure["layout"], list(range(0, len(columns), 1 + len(columns) // axes.MOST_TICKS))
    layout["margin"] |= {"l": 132}
    layout["xaxis"] |= {"tickvals": ticks, "ticktext": [str(i + 1) for i in ticks]}  # continuations have numbers
    layout["yaxis"] |= {"tickvals": list(range(len(rows))), "ticktext": [heat_figures.place_text(row) for row in rows]}
    return figure


def distance_figure(views: Mapping[str, Mapping[str, Profile]], style_of: Mapping[str, Style]) -> Figure:
    """Divergences by tokens after the prompt, both axes logarithmic: what is left far away is small and matters."""
    last = max(float(profile.x[-1]) for by_line in views.values() for profile in by_line.values())
    axis = axes.token_axis(int(last), "token of the continuation")
    figure = line_figures.profile_figure(views, style_of, axis, decimals=6)
    for trace in figure["data"]:
        if trace["meta"]["part"] == "mean" and len(trace["x"]) > _MANY_POINTS:
            trace["mode"] = "lines"
        if trace["meta"]["part"] == "band":
            trace["y"] = [max(y, SMALLEST_NATS) for y in trace["y"]]
    highest = max(float(np.nanmax(profile.mean)) for by_line in views.values() for profile in by_line.values())
    highest = max(highest, 10 * SMALLEST_NATS)
    ends = [math.log10(SMALLEST_NATS), math.log10(1.5 * highest)]
    figure["layout"]["yaxis"] |= {**axes.log_axis(SMALLEST_NATS, highest), "range": ends}
    return figure


def fitted_line(decay: Decay, num_tokens: int, style: Style, view: str) -> dict[str, Any]:
    """The fitted decay over the tokens that it was fitted to, dotted."""
    k = np.arange(num_tokens)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"{style.label}, fitted",
        "x": (k + 1 + NOT_FITTED).tolist(),
        "y": numbers(decay.at(k), 6),
        "line": {"color": f"@arm{style.color}", "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
        "meta": {"arm": style.arm, "view": view, "part": "fit"},
    }
