"""The sections about what probes saw inside: copying, the heads that do it, the stream's directions, attention."""

from collections.abc import Mapping

import numpy as np

from vslm.report.figures import axes
from vslm.report.figures import lines as line_figures
from vslm.report.figures.attention_maps import height, map_figure
from vslm.report.figures.style import Style
from vslm.report.numbers import profiles
from vslm.report.numbers.probe_profiles import (
    along_block,
    maps,
    share_of_width,
    strongest,
    strongest_head_by_visit,
    through_training,
)
from vslm.report.numbers.runs import Run
from vslm.report.sections.section import Drawing, Section, last_place, profile_views

_MOST_MAPS = 4  # arms whose maps are drawn: each is as much data as the rest of the page


def sections(runs: Mapping[str, list[Run]], look: Mapping[str, Style]) -> list[Section]:
    """What there is."""
    found = [make(runs, look) for make in (_copying, _matching, _ranks, _decoded, _maps)]
    return [section for section in found if section is not None]


def _copying(runs: Mapping[str, list[Run]], look: Mapping[str, Style]) -> Section | None:
    drawings = []
    names = {"gain": ("copy_gain.gain_nats_S", "gain", "nats per token: the first time minus the second")}
    views, words = profile_views(through_training, runs, names)
    if views:
        figure = line_figures.profile_figure(views, look, axes.decade_axis())
        drawings.append(Drawing("copy-gain", figure, words, "through training"))
    names = {
        "gain": ("gain", "gain", "nats per token: the first time minus the second"),
        "first": ("first", "loss, first time", "nats per token, the first time"),
        "second": ("second", "loss, second time", "nats per token, the second time"),
    }
    views, words = profile_views(along_block, runs, names)
    if views:
        figure = line_figures.profile_figure(views, look, axes.block_axis(int(last_place(views))))
        drawings.append(Drawing("copy-places", figure, words, "along the block, at the end of training"))
    if not drawings:
        return None
    return Section(
        "copying",
        "Copying what stood there before",
        "Copying",
        "The model reads a block of random tokens and then the same block again. Nothing can be guessed the first "
        "time; the second time every token but the first can be copied. The gain is what the loss of the same tokens "
        "falls by: zero without copying. It needs a head that finds the earlier place and one that told it what came "
        "before, so it often comes suddenly, and not at all with one layer.",
        "arrays.npz: copy_gain",
        drawings,
    )


def _matching(runs: Mapping[str, list[Run]], look: Mapping[str, Style]) -> Section | None:
    name, text = "prefix_matching.score_SLH", "share of attention to the token that comes next"
    views, words = profile_views(strongest_head_by_visit, runs, {"score": (name, "score", text)})
    if not views:
        return None
    figure = line_figures.profile_figure(views, look, axes.visit_axis(int(last_place(views))))
    drawings = [Drawing("matching", figure, words, "by visit, at the end of training")]

    def growth(its, array):
        return through_training(its, array, strongest)

    views, words = profile_views(growth, runs, {"score": (name, "score", f"{text}, strongest head")})
    if views:
        figure = line_figures.profile_figure(views, look, axes.decade_axis())
        drawings.append(Drawing("matching-growth", figure, words, "the strongest head of the model, through training"))
    return Section(
        "matching",
        "Heads that look at what came next last time",
        "Induction heads",
        "In the second of two equal blocks of random tokens, a head that copies looks at the token behind the earlier "
        "occurrence of the current one; 1 is all of its attention. Lines are the strongest head of a visit, small "
        "marks every head of every seed. Even attention would score next to nothing, and a head whose window does not "
        "reach that far scores zero.",
        "arrays.npz: prefix_matching",
        drawings,
    )


def _ranks(runs: Mapping[str, list[Run]], look: Mapping[str, Style]) -> Section | None:
    name = "effective_rank.rank_SL"
    views, words = profile_views(profiles.by_visit, runs, {"rank": (name, "directions", "effective rank")})
    if not views:
        return None
    shares, more = profile_views(share_of_width, runs, {"share": (name, "share of the width", "share of the width")})
    views, words = {**views, **shares}, {**words, **more}
    figure = line_figures.profile_figure(views, look, axes.visit_axis(int(last_place(views))))
    figure["layout"]["yaxis"] |= {"rangemode": "tozero"}
    return Section(
        "ranks",
        "In how many directions the stream varies",
        "Directions",
        "The effective rank of the stream after each visit: the exponential of the entropy of its covariance's "
        "eigenvalues, between 1 (it varies along one line) and its width (equally in all directions). Where the stream "
        "is the same at every position the point is missing.",
        "arrays.npz: effective_rank",
        [Drawing("ranks", figure, words)],
    )


def _decoded(runs: Mapping[str, list[Run]], look: Mapping[str, Style]) -> Section | None:
    names = {
        "current": ("token_probe.accuracy_current_SL", "current token", "share of current tokens named right"),
        "previous": ("token_probe.accuracy_previous_SL", "previous token", "share of previous tokens named right"),
    }
    views, words = profile_views(profiles.by_visit, runs, names)
    if not views:
        return None
    figure = line_figures.profile_figure(views, look, axes.visit_axis(int(last_place(views))))
    figure["layout"]["yaxis"] |= {"rangemode": "tozero"}
    chances = [run.arrays["token_probe.chance_S"] for its in runs.values() for run in its if _has_chance(run)]
    if chances:
        figure["layout"]["shapes"] = [line_figures.level_line(float(np.mean([chance_S[-1] for chance_S in chances])))]
    return Section(
        "decoded",
        "Which tokens can be read off the stream",
        "Probes",
        "A linear probe of its own for every visit, fitted on three quarters of the windows and tested on the others. "
        "It tells whether the token is there to be read at all, in whatever basis, where the lens above tells what the "
        "model's own readout would say. The dotted line is naming the commonest token.",
        "arrays.npz: token_probe",
        [Drawing("decoded", figure, words)],
    )


def _has_chance(run: Run) -> bool:
    chance_S = run.arrays.get("token_probe.chance_S")
    return run.is_whole and chance_S is not None and chance_S.ndim == 1 and bool(np.isfinite(chance_S[-1:]).sum())


def _maps(runs: Mapping[str, list[Run]], look: Mapping[str, Style]) -> Section | None:
    found = {arm: its_maps for arm, its in runs.items() if (its_maps := maps(its)) is not None}
    if not found:
        return None
    drawings = []
    for number, arm in enumerate(list(found)[:_MOST_MAPS]):
        figure, (pixels, most_vw) = map_figure(found[arm]), height(found[arm])
        words, caption = {"maps": ("maps", "")}, f"{arm}, seed {found[arm].seed}"
        drawings.append(
            Drawing(f"maps-{number}", figure, words, caption, has_arms=False, pixels=pixels, most_vw=most_vw)
        )
    left_out = len(found) - len(drawings)
    more = f" Those of {left_out} more arms are in their arrays.npz." if left_out else ""
    return Section(
        "maps",
        "Where heads look",
        "Maps",
        "One tile per visit and head, on the first tokens of the validation text: queries go down, the keys that they "
        "look at go right, and each row of a tile adds up to 1. All tiles share one scale; colors follow the square "
        "root, so that small shares can be seen. One run each: heads have no order, so head 0 of another seed is "
        f"another head.{more}",
        "arrays.npz: attention_maps",
        drawings,
        over_seeds=False,
    )
