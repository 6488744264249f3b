"""The section about classes of tokens: frequent and rare, new and repeated, and parts of words."""

from collections.abc import Mapping

from vslm.report.figures.dots import dot_figure, dot_pixels
from vslm.report.figures.style import Style
from vslm.report.numbers.classes import DIVISIONS, FEWEST_TOKENS, class_differences, class_losses
from vslm.report.numbers.runs import Run
from vslm.report.sections.section import Drawing, Section

_CAPTIONS = {
    "part": "by part of a word",
    "occurrence": "by whether the token stands in the window already",
    "frequency": "by how often training shows the token, in octaves",
}


def section(runs: Mapping[str, list[Run]], style_of: Mapping[str, Style], baseline: str | None) -> Section | None:
    """One figure per division, with the losses and their differences from the baseline as views."""
    drawings = [found for division in DIVISIONS if (found := _drawing(runs, style_of, baseline, division)) is not None]
    if not drawings:
        return None
    return Section(
        "token-classes",
        "The loss of kinds of tokens",
        "Tokens",
        "One dot per arm in every row: the mean over the row's tokens, with its 95 % interval over seeds from three "
        "on; beside a row's name stands its share of the tokens, and shares of a figure add up to all of them. A token "
        "that the window held before can be copied, one that training shows often is known anyhow. A word starts after "
        "white space or anything but a "
        "letter; other are the ends of documents, and bytes that are no character by themselves. Rows of fewer than "
        f"{FEWEST_TOKENS} tokens are not drawn; arrays.npz has them. Differences are paired by seed; left is better.",
        "arrays.npz: token_classes",
        drawings,
        over_seeds=False,
    )


def _drawing(
    runs: Mapping[str, list[Run]], style_of: Mapping[str, Style], baseline: str | None, division: str
) -> Drawing | None:
    losses = {arm: found for arm, its in runs.items() if (found := class_losses(its, division)) is not None}
    if not losses:
        return None
    views, words = {"loss": losses}, {"loss": ("loss", "")}
    others = [arm for arm in losses if arm != baseline] if baseline in losses else []
    differences = {
        arm: found
        for arm in others
        if (found := class_differences(runs[str(baseline)], runs[arm], division)) is not None
    }
    if differences:
        views["difference"] = differences
        words["difference"] = ("difference from baseline", "arm minus baseline")
    pixels = dot_pixels(max(len(found.names) for found in losses.values()), len(losses))
    unit = "nats per token"
    columns = {"loss": (f"loss, {unit}", "class"), "difference": (f"{unit}, arm minus baseline", "class")}
    figure = dot_figure(views, style_of, unit, columns)
    return Drawing(f"classes-{division}", figure, words, _CAPTIONS[division], pixels=pixels)
