"""The sections about what probes saw inside that no declaration makes: copying, directions, maps of attention."""

from collections.abc import Mapping

import numpy as np

from vslm.measure.sections import STREAMS
from vslm.report.figures import axes
from vslm.report.figures import lines as line_figures
from vslm.report.figures.heat_maps import attention_figure, attention_height
from vslm.report.figures.style import Style
from vslm.report.numbers.maps import attention_maps
from vslm.report.numbers.profiles import along, along_block, share_of_width, through_training
from vslm.report.numbers.runs import Run
from vslm.report.sections.section import Drawing, Section, last_place, profile_views

_MOST_MAPS = 4  # arms whose maps are drawn: each is as much data as the rest of the page


def copying(runs: Mapping[str, list[Run]], style_of: Mapping[str, Style]) -> Section | None:
    """What `CopyGain` recorded."""
    drawings = []
    names = {"gain": ("copy_gain.gain_nats_S", "gain", "nats per token: the first time minus the second")}
    views, words = profile_views(through_training, runs, names)
    if views:
        figure = line_figures.profile_figure(views, style_of, axes.decade_axis())
        drawings.append(Drawing("copy-gain", figure, words, "through training"))
    names = {
        "gain": ("gain", "gain", "nats per token: the first time minus the second"),
        "first": ("first", "loss, first time", "nats per token, the first time"),
        "second": ("second", "loss, second time", "nats per token, the second time"),
    }
    views, words = profile_views(along_block, runs, names)
    if views:
        figure = line_figures.profile_figure(
            views,
            style_of,
            axes.octave_axis("place in the block", "token %{x:.0f}", range(1, int(last_place(views)).bit_length())),
        )
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


def ranks(runs: Mapping[str, list[Run]], style_of: Mapping[str, Style]) -> Section | None:
    """What `EffectiveRank` recorded."""
    name = "effective_rank.rank_SL"
    views, words = profile_views(along, runs, {"rank": (name, "directions", "effective rank")})
    if not views:
        return None
    shares, more = profile_views(share_of_width, runs, {"share": (name, "share of the width", "share of the width")})
    views, words = {**views, **shares}, {**words, **more}
    figure = line_figures.profile_figure(
        views,
        style_of,
        axes.axis_of_places(STREAMS.title, STREAMS.hover, np.arange(1 + last_place(views)), is_log=False),
    )
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


def maps(runs: Mapping[str, list[Run]]) -> Section | None:
    """What `AttentionMaps` recorded."""
    found = {arm: its_maps for arm, its in runs.items() if (its_maps := attention_maps(its)) is not None}
    if not found:
        return None
    drawings = []
    for number, arm in enumerate(list(found)[:_MOST_MAPS]):
        figure, (pixels, most_vw) = attention_figure(found[arm]), attention_height(found[arm])
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
