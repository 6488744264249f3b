"""Numbers as people read them: counts with a prefix, losses with their sign, durations in words.

Not for: files. What is written to disk keeps all its digits.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

from vslm.results.primary import LARGEST

_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_PREFIX_FROM = 10_000  # below, every digit is shown
_FEWEST_DECIMALS = 3
_MOST_DECIMALS = 6


def count(value: float | None, unit: str = "") -> str:
    """A count with three digits and a prefix.

    >>> count(2_000_000), count(1024), count(3.41e13, "FLOP"), count(None)
    ('2.00M', '1,024', '34.1 TFLOP', 'unknown')
    """
    if not is_number(value):
        return "unknown"
    for size, prefix in _PREFIXES:
        if abs(value) >= max(size, _PREFIX_FROM):
            scaled = value / size
            digits = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
            return f"{scaled:.{digits}f}{' ' if unit else ''}{prefix}{unit}"
    return f"{value:,.0f}{' ' if unit else ''}{unit}"


def duration(seconds: float | None) -> str:
    """A duration in the two largest units that matter.

    >>> duration(98), duration(3700), duration(2.34), duration(None)
    ('1 min 38 s', '1 h 2 min', '2.3 s', 'unknown')
    """
    if not is_number(seconds):
        return "unknown"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def decimals_for(smallest_effect: float | None) -> int:
    """How many decimals show an effect of this size with two digits.

    >>> decimals_for(0.01), decimals_for(0.0005), decimals_for(None)
    (3, 5, 3)
    """
    if not is_number(smallest_effect) or smallest_effect <= 0:
        return _FEWEST_DECIMALS
    return min(_MOST_DECIMALS, max(_FEWEST_DECIMALS, 1 - math.floor(math.log10(smallest_effect))))


def formatted(pattern: str, value: Any) -> str:
    """A number by a pattern of `%`, for templates: what stands in a file may be no number, and then none is shown.

    >>> formatted("%.4f", 1.25), formatted("%.4f", {"a": 1}), formatted("%.4f", "1.25"), formatted("%.4f", 10**400)
    ('1.2500', 'unknown', 'unknown', 'unknown')
    """
    return pattern % value if is_number(value) else "unknown"


def signed(value: float | None, decimals: int = _FEWEST_DECIMALS) -> str:
    """A difference, always with its sign; a true minus, and no sign for exactly nothing.

    >>> signed(0.0412), signed(-0.02), signed(0.0)
    ('+0.041', '−0.020', '0')
    """
    if not is_number(value):
        return "unknown"
    if value == 0:
        return "0"
    return f"{value:+.{decimals}f}".replace("-", "−")


def span(low: float | None, high: float | None, decimals: int = _FEWEST_DECIMALS) -> str:
    """An interval of differences.

    >>> span(-0.02, 0.05), span(None, None)
    ('−0.020 to +0.050', 'no interval')
    """
    if not is_number(low) or not is_number(high):
        return "no interval"
    return f"{signed(low, decimals)} to {signed(high, decimals)}"


def ends(interval: Any) -> tuple[float | None, float | None]:
    """The two ends of a recorded interval; None for an end that is no number.

    >>> ends([-0.1, 0.2]), ends([None, None]), ends(None)
    ((-0.1, 0.2), (None, None), (None, None))
    """
    low, high = [*of_folder(interval, list), None, None][:2]
    return low if is_number(low) else None, high if is_number(high) else None


def seeds(numbers: Iterable[Any]) -> str:
    """Seeds, runs of them joined; what is no whole number is left out.

    >>> seeds([0, 1, 2, 5]), seeds([3]), seeds([]), seeds([1, {}, "2", None])
    ('0-2, 5', '3', 'none', '1')
    """
    ordered = sorted({number for number in numbers if type(number) is int and is_number(number)})
    parts, start = [], 0
    for i, number in enumerate(ordered):
        if i + 1 == len(ordered) or ordered[i + 1] != number + 1:
            first = ordered[start]
            parts.append(f"{first}" if first == number else f"{first}-{number}")
            start = i + 1
    return ", ".join(parts) or "none"


def listing(words: Sequence[str]) -> str:
    """Words joined as in a sentence.

    >>> listing(["a", "b", "c"]), listing(["a"])
    ('a, b and c', 'a')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def shortened(text: str, most: int) -> str:
    """On one line, and of at most so many letters.

    >>> shortened("Once upon\\na time", 12)
    'Once upon a…'
    """
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= most else f"{one_line[: most - 1]}…"


def is_number(value: Any) -> TypeGuard[float]:
    """Whether this is a finite number that can be shown; not so True, False and one beyond all floats.

    >>> is_number(0.5), is_number(float("nan")), is_number(10**400), is_number(1e200), is_number(True)
    (True, False, False, False, False)
    """
    if type(value) is float or type(value) is int:  # the usual case first: a page asks this of every value of a row
        return -LARGEST <= value <= LARGEST
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(-LARGEST <= value <= LARGEST)


def of_folder(value: Any, kind: type) -> Any:
    """`value` if it is a `kind`, else an empty one: what stands in a file may be torn or older than its reader."""
    return value if isinstance(value, kind) else kind()


def spec_text(value: Any) -> str:
    """A value of a spec as a study file writes it.

    >>> spec_text({"kind": "Power", "exponent": 0.3}), spec_text([1, None]), spec_text("full"), spec_text(12000)
    ('Power(exponent=0.3)', '(1, None)', 'full', '12,000')
    """
    if isinstance(value, dict):
        inner = ", ".join(f"{key}={spec_text(item)}" for key, item in value.items() if key != "kind")
        return f"{value.get('kind', '')}({inner})"
    if isinstance(value, list):
        return f"({', '.join(spec_text(item) for item in value)})"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def joined_differences(differences: list[list[Any]]) -> list[tuple[str, str, str]]:
    """What differs, with paths that differ in one name and change in the same way written as one.

    >>> joined_differences([["blocks.0.width", 8, 9], ["blocks.1.width", 8, 9]])
    [('blocks.{0, 1}.width', '8', '9')]
    """
    rows: list[tuple[list[list[str]], str, str]] = []
    for path, before, after in (item for item in differences if isinstance(item, list) and len(item) == 3):
        parts, old, new = str(path).split("."), spec_text(before), spec_text(after)
        for names, its_old, its_new in rows:
            apart = [i for i, part in enumerate(parts) if len(names) == len(parts) and names[i] != [part]]
            if (old, new, 1) == (its_old, its_new, len(apart)):
                names[apart[0]].append(parts[apart[0]])
                break
        else:
            rows.append(([[part] for part in parts], old, new))
    return [
        (".".join(n[0] if len(n) == 1 else f"{{{', '.join(n)}}}" for n in names), old, new) for names, old, new in rows
    ]
