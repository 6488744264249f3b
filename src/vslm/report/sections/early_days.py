"""The sections of the first steps of training: probabilities against n-gram models, and where they are nearest.

Numbers are those of `EarlyDays` (arrays `early_days.*` of every run). Steps are drawn on a logarithmic axis, on which
step 0 has a place of its own left of step 1.

Not for: calibration, see `calibration.py`; nor other measures, see `measured.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vslm.report.figures import axes
from vslm.report.figures import lines as line_figures
from vslm.report.figures.style import Figure, Style, safe_text
from vslm.report.numbers.curves import band_half
from vslm.report.numbers.formatting import listing
from vslm.report.numbers.profiles import Profile, over_seeds
from vslm.report.numbers.runs import Run
from vslm.report.sections.section import Drawing, Section, Table, profile_views

_ORDERS = ("uniform", "unigram", "bigram", "trigram")
_LOOKS = {
    name: Style(name, color, dash, symbol)
    for name, color, dash, symbol in (
        ("unigram", 1, "solid", "circle"),
        ("bigram", 2, "dash", "square"),
        ("trigram", 3, "dot", "diamond"),
    )
}
_FILE = "arrays.npz: early_days"

Runs = Mapping[str, Sequence[Run]]


def sections(runs: Runs, style_of: Mapping[str, Style]) -> list[Section]:
    """Those that have numbers."""
    found = [_probabilities(runs, style_of), _divergences(runs)]
    return [section for section in found if section is not None]


def whole_runs(runs: Sequence[Run]) -> list[Run]:
    """The runs that ended well and were measured at the same steps as the first of them."""
    found = [run for run in runs if run.is_whole and run.arrays.get("early_days.steps_S", np.empty(0)).ndim == 1]
    found = [run for run in found if len(run.arrays.get("early_days.steps_S", ()))]
    return [run for run in found if np.array_equal(steps_of(run), steps_of(found[0]))]


def steps_of(run: Run) -> np.ndarray:
    """The steps that a run was measured at."""
    return run.arrays["early_days.steps_S"]


def stacked(runs: Sequence[Run], name: str, num_axes: int) -> np.ndarray | None:
    """An array of `whole_runs` with so many axes beside the steps, seeds first; None where it has another form."""
    arrays = [run.arrays.get(f"early_days.{name}") for run in runs]
    fits = all(array is not None and array.ndim == 1 + num_axes for array in arrays)
    shapes = {array.shape for array in arrays if array is not None}
    if not arrays or not fits or len(shapes) > 1 or next(iter(shapes))[0] != len(steps_of(runs[0])):
        return None
    return np.stack(arrays)  # type: ignore[arg-type]


def by_step(runs: Sequence[Run], name: str) -> Profile | None:
    """A number by measured step."""
    whole = whole_runs(runs)
    values_NS = stacked(whole, name, 0)
    return None if values_NS is None else mean_profile(values_NS, axes.step_places(steps_of(whole[0])))


def mean_profile(values_NX: np.ndarray, x: np.ndarray) -> Profile:
    """The mean over seeds with its band."""
    with np.errstate(invalid="ignore"):  # an infinite divergence has no mean, and is missing
        return over_seeds(values_NX, x)


def all_steps(runs: Runs) -> list[int]:
    """Every step at which any arm was measured."""
    return sorted({int(step) for its in runs.values() for run in whole_runs(its)[:1] for step in steps_of(run)})


def _probabilities(runs: Runs, style_of: Mapping[str, Style]) -> Section | None:
    found = [
        _lines(
            "early-p",
            {
                "mean": ("p_true_S", "arithmetic mean", "mean probability of the true token"),
                "geometric": ("p_geometric_S", "geometric mean", "probability of the true token, geometric mean"),
            },
            {"mean": "ngram_p_true_SG", "geometric": "ngram_p_geometric_SG"},
            runs,
            style_of,
            is_log=True,
        ),
        _lines(
            "early-marginal",
            {
                "kl": ("kl_marginal_nats_S", "KL", "KL from unigram frequencies to the model's marginal, nats"),
                "tv": ("tv_marginal_S", "total variation", "total variation between the two, 0 to 1"),
            },
            {"kl": "ngram_kl_marginal_nats_SG"},
            runs,
            style_of,
            is_log=True,
        ),
        _lines(
            "early-entropy",
            {
                "entropy": ("entropy_nats_S", "entropy", "entropy of the model's distribution, nats"),
                "calibration": ("calibration_error_S", "calibration error", "expected against seen, 0 to 2"),
            },
            {"entropy": "ngram_entropy_nats_SG"},
            runs,
            style_of,
        ),
    ]
    drawings = [drawing for drawing in found if drawing is not None]
    if not drawings:
        return None
    return Section(
        "early-days",
        "The first steps: from flat to the language's own statistics",
        "Early days",
        "Probabilities on the same validation tokens after steps 0, 1, 2, 4 and so on. Dotted lines are what guessers "
        "reach on these very tokens: the uniform one, 1 / V, and n-gram models of the training split, which know from "
        "no token (unigram) to two tokens of context (trigram). The marginal is the model's mean distribution; there, "
        "a dotted line is how far that guesser's own marginal is from the corpus's frequencies on so few tokens. A "
        "calibration error of 0 means that every probability came as often as it said.",
        _FILE,
        drawings,
    )


def _lines(
    place: str,
    names: Mapping[str, tuple[str, str, str]],
    references: Mapping[str, str],
    runs: Runs,
    style_of: Mapping[str, Style],
    *,
    is_log: bool = False,
) -> Drawing | None:
    """Numbers by step, one line per arm, with the n-gram models' own numbers across."""
    views, words = profile_views(by_step, runs, names)
    if not views:
        return None
    steps = all_steps(runs)
    figure = line_figures.profile_figure(views, style_of, axes.step_axis(steps), decimals=6)
    ends = axes.step_places(np.array([steps[0], steps[-1]])).tolist()
    for view, name in references.items():
        values_G = _of_guessers(runs, name) if view in views else None
        for order, value in zip(_ORDERS, () if values_G is None else values_G, strict=False):
            if np.isfinite(value) and (value > 1e-9 or not is_log):
                figure["data"].append(line_figures.reference_line(ends, float(value), order, view))
    return Drawing(place, _on_steps(figure, is_log=is_log), words)


def _of_guessers(runs: Runs, name: str) -> np.ndarray | None:
    """What n-gram models reach on the windows, where all arms have the same corpus and windows; else None."""
    found = [array[-1] for its in runs.values() if (array := _first(its, name)) is not None]
    same = found and all(one.shape == found[0].shape and np.allclose(one, found[0]) for one in found)
    return found[0] if same else None


def _first(runs: Sequence[Run], name: str) -> np.ndarray | None:
    """Of an arm's first whole run; these are the same in all of them."""
    found_NSG = stacked(whole_runs(runs)[:1], name, 1)
    return None if found_NSG is None else found_NSG[0]


def _on_steps(figure: Figure, *, is_log: bool) -> Figure:
    """The steps themselves kept beside the places where they are drawn."""
    for trace in figure["data"]:
        if trace["meta"]["part"] == "band":
            if is_log:  # a band that reaches below zero ends at a tenth of its line
                half = len(trace["y"]) // 2
                high, low = trace["y"][:half], trace["y"][half:][::-1]
                low = [max(b, (a + b) / 20) for a, b in zip(high, low, strict=True)]
                trace["y"] = [*high, *reversed(low)]
        else:
            trace["meta"]["x"] = [axes.step_at(x) for x in trace["x"]]
    if is_log:
        figure["layout"]["yaxis"] |= axes.log_height(figure)
    return figure


def minima(runs: Sequence[Run]) -> dict[str, list[tuple[int, int, float]]]:
    """Where the divergence from each n-gram model is smallest: per seed (seed, step, nats), by order from unigram on.

    A seed whose divergence is nowhere finite is left out.
    """
    whole = whole_runs(runs)
    kl_NSG = stacked(whole, "kl_nats_SG", 1)
    if kl_NSG is None or kl_NSG.shape[2] != len(_ORDERS):
        return {}
    found: dict[str, list[tuple[int, int, float]]] = {name: [] for name in _ORDERS[1:]}
    for run, kl_SG in zip(whole, kl_NSG, strict=True):
        for order, name in enumerate(_ORDERS[1:], start=1):
            kl_S = np.where(np.isfinite(kl_SG[:, order]), kl_SG[:, order], np.inf)
            if np.isfinite(kl_S).any():
                at = int(kl_S.argmin())
                found[name].append((run.seed, int(steps_of(run)[at]), float(kl_S[at])))
    return found


def _divergences(runs: Runs) -> Section | None:
    by_arm = {arm: found for arm, its in runs.items() if any((found := minima(its)).values())}
    if not by_arm:
        return None
    steps = all_steps(runs)
    views, words = {}, {}
    for arm in by_arm:
        whole = whole_runs(runs[arm])
        kl_NSG = stacked(whole, "kl_nats_SG", 1)
        assert kl_NSG is not None  # it has minima
        places = axes.step_places(steps_of(whole[0]))
        views[arm] = {name: mean_profile(kl_NSG[:, :, i], places) for i, name in enumerate(_ORDERS) if i}
        words[arm] = (
            arm,
            f"KL from each n-gram model to the model, nats{f', {safe_text(arm)}' if len(by_arm) > 1 else ''}",
        )
    figure = line_figures.profile_figure(views, _LOOKS, axes.step_axis(steps), decimals=6)
    for trace in figure["data"]:
        trace["meta"]["arm"] = None  # a line is an n-gram model here, and a view an arm
    for arm, by_order in views.items():
        for name, profile in by_order.items():
            if np.isfinite(profile.mean).any():
                at = int(np.nanargmin(np.where(np.isfinite(profile.mean), profile.mean, np.nan)))
                figure["data"].append(
                    line_figures.lowest_point(float(profile.x[at]), float(profile.mean[at]), _LOOKS[name], arm)
                )
    last = {arm: int(steps_of(whole_runs(runs[arm])[0])[-1]) for arm in by_arm}
    return Section(
        "ngrams",
        "Which n-gram model it is nearest to, and when",
        "n-grams",
        "How far the model's distributions are from those of n-gram models of the training split, mean over positions; "
        "0 is the n-gram model itself. A line that falls and rises again belongs to statistics that the model first "
        "learned and then went beyond. Large marks are the minima of the means, the table has them by seed; a step is "
        f"known to the spacing of measured steps. {_order_words(by_arm)}",
        _FILE,
        [Drawing("kl-ngrams", _on_steps(figure, is_log=True), words, has_arms=False)],
        table=_minima_table(by_arm, last),
    )


def in_order(found: Mapping[str, Sequence[tuple[int, int, float]]]) -> tuple[int, int]:
    """In how many seeds the minima come in the order unigram, bigram, trigram, each at a later step; and of how many.

    >>> in_order({"unigram": [(0, 4, 1.0)], "bigram": [(0, 16, 1.0)], "trigram": [(0, 16, 1.0)]})
    (0, 1)
    """
    by_seed: dict[int, list[int]] = {}
    for name in _ORDERS[1:]:
        for seed, step, _ in found[name]:
            by_seed.setdefault(seed, []).append(step)
    whole = [steps for steps in by_seed.values() if len(steps) == len(_ORDERS) - 1]
    return sum(one < two < three for one, two, three in whole), len(whole)


def _order_words(by_arm: Mapping[str, Any]) -> str:
    parts = []
    for arm, found in by_arm.items():
        num_in_order, num_seeds = in_order(found)
        parts.append(f"{num_in_order} of {num_seeds} seeds of {arm}")
    return f"The minima come in the order unigram, bigram, trigram, each at a later step, in {listing(parts)}."


def _minima_table(by_arm: Mapping[str, Any], last: Mapping[str, int]) -> Table:
    rows = []
    for arm, found in by_arm.items():
        for name, its in found.items():
            steps = ", ".join(f"{step:,}{' (the last)' if step == last[arm] else ''}" for _, step, _ in its)
            values = np.array([nats for _, _, nats in its])
            half = band_half(values[:, None])
            spread_words = "" if half is None else f" ± {half[0]:.4f}"
            rows.append((arm, name, steps, f"{values.mean():.4f}{spread_words}" if len(values) else "none"))
    return Table(("Arm", "n-gram model", "Nearest at step, by seed", "KL there, nats"), rows, num_words=2)
