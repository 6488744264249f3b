"""The section of calibration: how often what was given a probability came, as `EarlyDays` counted it."""

from collections.abc import Mapping, Sequence

import numpy as np

from vslm.report import axes, line_figures
from vslm.report.curves import spread
from vslm.report.early_days import Runs, all_steps, mean_profile, stacked, steps_of, whole_runs
from vslm.report.profiles import Profile
from vslm.report.runs import Run
from vslm.report.section import Drawing, Section
from vslm.report.style import Style

_MOST_STEPS = 7  # that have a button
_FEWEST_EXPECTED = 10.0  # hits of a bin in every seed: a frequency known to about a third


def section(runs: Runs, look: Mapping[str, Style]) -> Section | None:
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
    figure = line_figures.profile_figure(views, look, x_axis, decimals=7)
    for view, low in lowest.items():
        figure["data"].append(line_figures.diagonal(low, 1.0, "calibrated", view))
    for trace in figure["data"]:
        if "hovertemplate" in trace:
            trace["hovertemplate"] = trace["hovertemplate"].replace(":.4f}", ":.3g}")
        if trace["meta"]["part"] == "band":  # nor can a band on a logarithmic axis reach zero
            trace["y"] = [max(y, lowest[trace["meta"]["view"]] / 10) for y in trace["y"]]
    figure["layout"]["yaxis"] |= axes.log_height(figure)
    return Section(
        "calibration",
        "Are its probabilities what they say?",
        "Calibration",
        "All tokens of the vocabulary at all positions, in bins of the probability that the model gave them, against "
        "the share of them that came. On the dotted diagonal a probability is what it says; below it the model is too "
        f"sure. A bin is drawn where at least {_FEWEST_EXPECTED:.0f} tokens were to be expected in every seed.",
        "arrays.npz: early_days",
        [Drawing("calibration", figure, words)],
    )


def reliability(runs: Sequence[Run], step: int) -> Profile | None:
    """Frequency against probability at one step, over the bins that are full enough in every seed."""
    whole = whole_runs(runs)
    parts = [stacked(whole, f"calibration_{name}_SP", 1) for name in ("p", "count", "hits")]
    if not whole or any(part is None or part.shape != parts[0].shape for part in parts):  # type: ignore[union-attr]
        return None
    at = np.flatnonzero(steps_of(whole[0]) == step)
    if not len(at):
        return None
    p_NP, count_NP, hits_NP = (part[:, at[0]] for part in parts)  # type: ignore[index]
    keep_P = (np.nan_to_num(p_NP) * count_NP >= _FEWEST_EXPECTED).all(axis=0) & (hits_NP > 0).any(axis=0)
    if not keep_P.any():
        return None
    return mean_profile(hits_NP[:, keep_P] / count_NP[:, keep_P], p_NP[:, keep_P].mean(axis=0))
