"""The page, the figures and the table of `vslm prompts`: the reader's own texts under one run.

Everything comes from the plain values that `vslm.after.prompts` makes, which are also what `--json` prints. Texts are
the reader's and the model's, so the template escapes them and a figure gets them through `safe_text`.
"""

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from rich.table import Table as TerminalTable

from vslm.report.figures.style import Style
from vslm.report.numbers.formatting import shortened, signed, span
from vslm.report.numbers.profiles import Profile
from vslm.report.pages.images import of_section, write_pictures
from vslm.report.pages.study import SCRIPTS, asset, json_in_page, policy_of, template
from vslm.report.sections import prompt_effect
from vslm.report.sections.prompt_effect import COMPARED
from vslm.report.sections.section import Drawing, Section, Table
from vslm.report.terminal import plain_table
from vslm.results.files import write_text
from vslm.stats.decay import NOT_FITTED, Decay

_LONG_PROMPT = 28  # letters, in the terminal
_LOOKS = {
    kind: Style(button, color, dash, symbol)
    for (kind, (button, _)), (color, dash, symbol) in zip(
        COMPARED.items(),
        ((1, "solid", "circle"), (2, "dash", "square"), (3, "dot", "diamond"), (0, "dashdot", "triangle-up")),
        strict=True,
    )
}
_BANDS = (
    "Bands are 95 % intervals over prompts, by the jackknife: what other prompts of the same kind would give. The "
    "continuations are held fixed, so of other continuations they say nothing; and where a few prompts lie far from "
    "all others, they are too narrow. "
)
_NOTHING_ELSE = {  # what the page's script looks for, and a page without a study lacks
    "arms": [],
    "training": None,
    "surface": None,
    "by_position": None,
    "edges": [],
    "pairs": [],
    "tuning": None,
    "baseline": None,
    "others": [],
}


def write_page(effect: dict[str, Any], out: Path) -> None:
    """Write the page."""
    write_text(out, render(effect))


def write_figures(effect: dict[str, Any], out: Path) -> None:
    """Write every figure of the page into a folder, as PNG, SVG and CSV."""
    write_pictures([picture for section in sections(effect) for picture in of_section(section)], out)


def render(effect: dict[str, Any]) -> str:
    """The page as text: self-contained, and nothing in it runs but its own scripts."""
    found = sections(effect)
    data = {**_NOTHING_ELSE, "measured": [drawing.plain() for section in found for drawing in section.drawings]}
    scripts = {name: asset(name) for name in SCRIPTS}
    return template("prompts.html.j2").render(
        effect=effect,
        measured=found,
        facts=facts(effect),
        runs={},
        style_of={},
        sources=lambda *args, **kwargs: [],
        data=json_in_page(data),
        style=Markup(asset("page.css")),
        scripts={name: Markup(text) for name, text in scripts.items()},
        policy=policy_of(scripts.values()),
    )


def sections(effect: dict[str, Any]) -> list[Section]:
    """The map and the decay."""
    pmi_IJ = np.array(effect["pmi_nats"])
    figure = prompt_effect.map_figure(pmi_IJ, effect["prompts"], effect["continuations"], prompt_effect.reach([pmi_IJ]))
    drawing = Drawing(
        "pmi",
        figure,
        {"values": ("values", "prompt")},
        has_arms=False,
        pixels=prompt_effect.map_pixels(len(pmi_IJ)),
    )
    own = effect["own"] or {}
    table = Table(
        ("Before continuation i", "Mean information, nats", "95 %"),
        [(name, signed(row["mean"], 2), span(row["low"], row["high"], 2)) for name, row in own.items()],
    )
    words = _own_words(effect) if own else ""
    by_kind = {"all": {_LOOKS[kind].arm: _profile(js) for kind, js in effect["js_nats"].items()}}
    looks = {style.arm: style for style in _LOOKS.values()}
    lines = prompt_effect.distance_figure(by_kind, looks)
    decay = effect["decay"]
    if decay is not None and decay["tau_tokens"] is not None:
        num_tokens = len(effect["js_nats"]["prompts"]["mean"]) - NOT_FITTED
        lines["data"].append(prompt_effect.fitted_line(decay_of(effect), num_tokens, _LOOKS["prompts"], "all"))
    for trace in lines["data"]:
        trace["meta"]["arm"] = None  # lines are what is compared; there are no arms to hide
        trace["showlegend"] = trace["meta"]["part"] == "mean"
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "top", "bgcolor": "@none"}
    lines["layout"] |= {"showlegend": True, "legend": legend}
    compared = [(button, words) for button, words in COMPARED.values()]
    bands = _BANDS if effect["js_nats"]["prompts"]["low"] else ""
    return [
        Section(
            "pmi",
            "What each prompt makes likelier",
            "Continuations",
            prompt_effect.READ_MAP + words,
            "",
            [drawing],
            table=table if own else None,
            over_seeds=False,
        ),
        Section(
            "prompt-distance",
            "For how many tokens a prompt matters",
            "Memory",
            f"{prompt_effect.READ_DISTANCE}{bands}{decay_words(effect)}",
            "",
            [
                Drawing(
                    "prompt-distance",
                    lines,
                    {"all": ("all", "Jensen-Shannon divergence of next tokens, nats")},
                    has_arms=False,
                )
            ],
            table=Table(("Line", "Divergence"), compared, num_words=2),
            over_seeds=False,
        ),
    ]


def _own_words(effect: dict[str, Any]) -> str:
    words = "The table has means over continuations; continuation i belongs to prompt i. "
    if effect["written_by_the_model"]:
        # The mean of log p(c | P) - log p(c) over c drawn from p(c | P) is a divergence, and none is negative.
        words += (
            "The model wrote each continuation after its own prompt, so by construction its own prompt makes it "
            "likelier on average, whatever the model learned; only how much so says something. "
        )
    return (
        words
        + f"Intervals are Student's over prompts with their continuations, from {effect['fewest_for_interval']} on. "
    )


def _profile(js: dict[str, Any]) -> Profile:
    mean_T = np.array(js["mean"])
    ends = None if js["low"] is None else (np.array(js["low"]), np.array(js["high"]))
    return Profile(np.arange(1, len(mean_T) + 1), mean_T, None, 1, ends=ends)


def decay_of(effect: dict[str, Any]) -> Decay:
    """The fitted decay as a curve."""
    found = effect["decay"]
    tau = np.inf if found["tau_tokens"] is None else found["tau_tokens"]
    return Decay(found["amplitude_nats"], tau, found["floor_nats"])


def decay_words(effect: dict[str, Any]) -> str:
    """For how many tokens a prompt matters, in a sentence.

    >>> decay_words({"decay": None})
    'The shortest continuation has fewer than 5 tokens, too few to fit a decay.'
    """
    found = effect["decay"]
    if found is None:
        return "The shortest continuation has fewer than 5 tokens, too few to fit a decay."
    if found["tau_tokens"] is None:
        return f"No decay is resolved, so there is no tau: {prompt_effect.UNRESOLVED}."
    if found["is_held_by_one_prompt"]:
        interval = "no interval: without one of the prompts no decay is resolved"
    elif found["tau_low"] is None:
        interval = f"no interval with fewer than {effect['fewest_for_interval']} prompts"
    else:
        high = "longer than can be told" if found["tau_high"] is None else f"{found['tau_high']:.1f}"
        interval = f"95 % interval over prompts {found['tau_low']:.1f} to {high}, continuations held fixed"
    size = f"A = {found['amplitude_nats']:.4f}, B = {found['floor_nats']:.4f} nats"
    return f"tau = {found['tau_tokens']:.1f} tokens ({interval}), {size}."


def facts(effect: dict[str, Any]) -> list[tuple[str, str]]:
    """What the numbers mean nothing without."""
    lengths = [
        f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
        for counts in (effect["num_prompt_tokens"], effect["num_continuation_tokens"])
    ]
    written = ", written by the model" if effect["written_by_the_model"] else ""
    start = "the separator of documents" if effect["begins_with_separator"] else "the corpus's first character"
    return [
        ("Run", effect["run"]),
        ("Prompts", f"{len(effect['prompts'])}, of {lengths[0]} tokens"),
        ("Continuations", f"{len(effect['continuations'])}, of {lengths[1]} tokens{written}"),
        ("Every text begins with", start),
        *(("Read with care", remark) for remark in effect["remarks"]),
    ]


def terminal_tables(effect: dict[str, Any]) -> list[TerminalTable]:
    """The map with its prompts, what the controls leave, and divergences at a few distances."""
    columns = [str(j + 1) for j in range(len(effect["continuations"]))]
    found = [
        plain_table(
            ["prompt, continuation", *columns],
            [
                [f"{i}. {shortened(prompt, _LONG_PROMPT)}", *(signed(value, 1) for value in row)]
                for i, (prompt, row) in enumerate(zip(effect["prompts"], effect["pmi_nats"], strict=True), start=1)
            ],
        )
    ]
    if effect["own"]:
        rows = [[name, signed(row["mean"], 2), span(row["low"], row["high"], 2)] for name, row in effect["own"].items()]
        found.append(plain_table(["before continuation i", "mean nats", "95 %"], rows))
    num_tokens = len(effect["js_nats"]["prompts"]["mean"])
    places = [2**i for i in range(num_tokens.bit_length())]
    rows = [
        [button, *(f"{effect['js_nats'][kind]['mean'][place - 1]:.4f}" for place in places)]
        for kind, (button, _) in COMPARED.items()
    ]
    found.append(plain_table(["divergence at token", *map(str, places)], rows))
    return found
