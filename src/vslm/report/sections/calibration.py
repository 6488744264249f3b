"""The section of calibration: how often what was given a probability came, as `EarlyDays` counted it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from vslm.report.figures import axes
from vslm.report.figures import lines as line_figures
from vslm.report.figures.style import Style
from vslm.report.numbers.curves import spread
from vslm.report.numbers.profiles import Profile
from vslm.report.numbers.runs import Run
from vslm.report.sections.early_days import Runs, all_steps, mean_profile, stacked, steps_of, whole_runs
from vslm.report.sections.section import Drawing, Section

_MOST_STEPS = 7  # that have a button
_FEWEST_EXPECTED = 10.0  # hits of a bin in every seed: a frequency known to about a third


def section(runs: Runs, style_of: Mapping[str, Style]) -> Section | None:
    """The curves of all arms at a few of the measured steps, the last one first."""
    steps = all_steps(runs)
    shown = [steps[i] for i in spread(len(steps), _MOST_STEPS)][::-1]  # the last one first: it is what one asks
    views, words = {}, {}
    for step in shown:
        by_arm = {arm: one for arm, its in runs.items() if (one := reliability(its, step)) is not None}
        if by_arm:
            views[f"step{step}"] = by_arm
            words[f"step{step}"] = (f"step {step:,}", f"share that came, at step {step:,}")
    if not views:
        return None
    lowest = {view: min(float(profile.x[0]) for profile in by_arm.values()) for view, by_arm in views.items()}
    x_axis = axes.probability_axis("probability that the model gave", min(lowest.values()))
    figure = line_figures.profile_figure(views, style_of, x_axis, decimals=7)
    for view, low in lowest.items():
        figure["data"].append(line_figures.diagonal(low, 1.0, "calibrated", view))
    floors = {view: _floor(by_arm.values()) for view, by_arm in views.items()}
    for trace in figure["data"]:
        if trace["meta"]["part"] in ("band", "mean"):
            _lift(trace, floors[trace["meta"]["view"]])
    figure["layout"]["yaxis"] |= axes.log_height(figure)
    has_none = any((profile.mean == 0).any() for by_arm in views.values() for profile in by_arm.values())
    none = " A mark at the foot of the figure is a bin of which none came: it has no height on this axis."
    return Section(
        "calibration",
        "Are its probabilities what they say?",
        "Calibration",
        "All tokens of the vocabulary at all positions, in bins of the probability that the model gave them, against "
        "the share of them that came. On the dotted diagonal a probability is what it says; below it the model is too "
        f"sure. A bin is drawn where at least {_FEWEST_EXPECTED:.0f} tokens were to be expected in every seed."
        f"{none if has_none else ''}",
        "arrays.npz: early_days",
        [Drawing("calibration", figure, words)],
    )


def _floor(profiles: Collection[Profile]) -> float:
    """The foot of a figure: a tenth of the lowest height and of the lowest probability."""
    heights = [profile.mean[profile.mean > 0] for profile in profiles]
    return float(np.concatenate([*heights, *(profile.x for profile in profiles)]).min()) / 10


def _lift(trace: dict[str, Any], floor: float) -> None:
    """Draw what a logarithmic axis has no place for at the foot; what it is stands in the hover text and in `meta`."""
    heights = trace["y"]
    trace["y"] = [max(y, floor) for y in heights]
    if trace["meta"]["part"] == "mean" and 0 in heights:
        trace["hovertemplate"] = [trace["hovertemplate"] if y > 0 else "none came" for y in heights]
        trace["meta"]["y"] = heights


def reliability(runs: Sequence[Run], step: int) -> Profile | None:
    """Frequency against probability at one step, over the bins that are full enough in every seed.

    A bin of which much was expected and nothing came is the worst there can be, so it is kept: its frequency is 0.
    """
    whole = whole_runs(runs)
    parts = [stacked(whole, f"calibration_{name}_SP", 1) for name in ("p", "count", "hits")]
    if not whole or any(part is None or part.shape != parts[0].shape for part in parts):  # type: ignore[union-attr]
        return None
    at = np.flatnonzero(steps_of(whole[0]) == step)
    if not len(at):
        return None
    p_NP, count_NP, hits_NP = (part[:, at[0]] for part in parts)  # type: ignore[index]
    keep_P = (np.nan_to_num(p_NP) * count_NP >= _FEWEST_EXPECTED).all(axis=0)
    if not keep_P.any():
        return None
    return mean_profile(hits_NP[:, keep_P] / count_NP[:, keep_P], p_NP[:, keep_P].mean(axis=0))
