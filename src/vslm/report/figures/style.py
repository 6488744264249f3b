"""How arms look, and how numbers and text are made safe: what every figure of the page is written with.

Colors are names (`@arm1`, `@grid`), resolved in the browser, so that one figure serves the light and the dark theme.
Text that others wrote (names of arms) goes through `safe_text`, because plotly.js reads tags in its labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NUM_COLORS = 8  # @arm0 (the baseline's neutral) to @arm7, defined in page.css for both themes
# Six of each for the arms beside the baseline, and seven colors: the first 42 arms differ in the pair.
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
LOSS_DECIMALS = 4

Figure = dict[str, Any]  # in the form that plotly.js draws


@dataclass(frozen=True)
class Style:
    """How an arm looks everywhere on the page: a color, and a dash and a symbol for who cannot tell colors apart."""

    arm: str
    color: int
    dash: str
    symbol: str

    @property
    def label(self) -> str:
        """The arm's name as plotly.js shows it."""
        return safe_text(self.arm)


def styles(arms: Sequence[str], baseline: str | None) -> dict[str, Style]:
    """A style per arm: neutral for the baseline, then one color after the other."""
    others = [arm for arm in arms if arm != baseline]
    style_of = {}
    for arm in arms:
        i = 0 if arm == baseline else 1 + others.index(arm)
        color = 0 if i == 0 else 1 + (i - 1) % (NUM_COLORS - 1)
        style_of[arm] = Style(arm, color, _DASHES[i % len(_DASHES)], _SYMBOLS[i % len(_SYMBOLS)])
    return style_of


def safe_text(text: str) -> str:
    """Text that plotly.js shows as it is: no tags, no entities, no formulas, no `%{...}`.

    >>> safe_text("<b>$x$</b>")
    '&lt;b&gt;＄x＄&lt;/b&gt;'
    """
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("$", "＄").replace("%{", "%\u200b{")


def cell_text(
    head: str, mean: float, half: float | None, count: int, unit: str = "", decimals: int = LOSS_DECIMALS
) -> str:
    """What a cell of a map says when it is pointed at, for plotly.js; `head` is safe already.

    >>> cell_text("a, step 3", 0.25, None, 1), cell_text("a", 0.25, 0.5, 3, "nats")
    ('a, step 3<br><b>0.2500</b> (1 seed)', 'a<br><b>0.2500</b> ± 0.5000 nats (3 seeds)')
    """
    around = ("" if half is None else f" ± {half:.{decimals}f}") + (unit and f" {unit}")
    return f"{head}<br><b>{mean:.{decimals}f}</b>{around} ({count} seed{'s' if count != 1 else ''})"


def numbers(values: np.ndarray, decimals: int = LOSS_DECIMALS) -> list[Any]:
    """Nested lists of rounded numbers; None where there is none, because NaN is not JSON."""
    rounded = np.round(np.asarray(values, dtype=float), decimals)
    finite = np.isfinite(rounded)
    if finite.all():
        return rounded.tolist()
    plain = rounded.astype(object)
    plain[~finite] = None
    return plain.tolist()


def decimals_of(values: np.ndarray) -> int:
    """Digits behind the point that tell the largest of these numbers to four digits: four, or more of small ones.

    >>> decimals_of(np.array([3.2, -0.5])), decimals_of(np.array([0.0012])), decimals_of(np.array([0.0]))
    (4, 6, 4)
    """
    largest = float(np.abs(values).max(initial=0.0))
    return LOSS_DECIMALS if largest == 0 else max(LOSS_DECIMALS, min(12, 3 - int(np.floor(np.log10(largest)))))


def digits_of(decimals: int) -> str:
    """How a hover text writes a number with so many decimals: of more than four, four digits that count."""
    return ".4f" if decimals <= LOSS_DECIMALS else ".4~g"
