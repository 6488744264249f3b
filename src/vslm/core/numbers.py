"""Numbers as people type them on a command line: `10k`, `1e6`, `1_000_000`, `2M`, `1h30m`, `0-4`.

One reading for every option and for `--set`. What could mean two things is refused, and both are offered.
"""

import math
import re
from collections.abc import Collection
from typing import Any

from vslm.core.errors import SpecError

_FACTORS = {
    "": 1,
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "B": 10**9,
    "G": 10**9,
    "bn": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
}
_PLAIN = re.compile(r"([+-]?)([0-9]+(?:_[0-9]+)*)?(?:\.([0-9]+(?:_[0-9]+)*)?)?(?:[eE]([+-]?[0-9]{1,4}))?", re.ASCII)
_GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:([,' \u00a0\u2009\u202f])[0-9]{3})(?:\1[0-9]{3})*", re.ASCII)
_ENDING = re.compile(r"[A-Za-z]+\Z", re.ASCII)
_MOST_DIGITS = 400  # a float ends at 1e308
_WHOLE = "a whole number such as 10000, 1_000_000, 1e6, 10k or 2M is needed"
_SIZE = "a whole number such as 256 or 2048 is needed"
_REAL = "a number such as 0.8, 1e-3 or 2 is needed"
_TIME = "minutes such as 15 or 0.5, or a time such as 90s, 20min, 1.5h or 1h30m is needed"


_SIZES = ("context_tokens", "window_tokens", "batch_tokens", "width", "hidden", "vocabulary")  # what fields end with


class Typed(str):
    """A value that was typed behind `--set PATH=`: what it is follows from the field that it is for.

    Args:
        text: as typed.
        literal: what Python reads it as, such as `(1, 234)` for `1,234`; itself: nothing.
    """

    literal: Any

    def __new__(cls, text: str, literal: Any = ...) -> "Typed":
        """The text with what Python would read."""
        made = super().__new__(cls, text)
        made.literal = literal
        return made

    def looks_like_number(self) -> bool:
        """Whether somebody meant a number."""
        return re.match(r"[+-]?[.,]?[0-9]", self) is not None


def typed_number(text: str, where: str, kinds: Collection[Any]) -> int | float:
    """The number that is meant for a field of these kinds.

    Raises: SpecError for what is none, or could be two.
    """
    if int in kinds:
        try:
            return whole_number(text, where, is_size=where.endswith(_SIZES))
        except SpecError:
            if float not in kinds:
                raise
    return real_number(text, where)


def whole_number(text: str, where: str, *, is_size: bool = False) -> int:
    """A count.

    Args:
        text: as typed.
        where: what a message names.
        is_size: of a model or a vocabulary, where `k` may mean 1000 or 1024.
    Raises: SpecError for what is no whole number, or could be two.

    >>> [whole_number(text, "--tokens") for text in ("10k", "1e6", "1_000_000", "1,000,000", "1.5M", "2 M")]
    [10000, 1000000, 1000000, 1000000, 1500000, 2000000]
    """
    allowed = _SIZE if is_size else _WHOLE
    text = text.strip()
    number, ending = _without_ending(text)
    if ending == "m":
        raise SpecError(where, f"found {text!r}, and m may mean million or minutes", f"{number}M is {number} million")
    if ending not in _FACTORS:
        raise SpecError(where, f"found {text!r}", allowed)
    if is_size and ending in ("k", "K"):
        both = " or ".join(f"{value:g}" for factor in (1000, 1024) if (value := _value(number) * factor) < 1e15)
        raise SpecError(where, f"found {text!r}, which may mean {both}", "write the number out" if both else allowed)
    if "." in number and not ending and "e" not in number.lower():
        joined = number.replace(".", "")
        groups = re.fullmatch(r"[1-9][0-9]{0,2}(\.[0-9]{3})+", number) is not None
        found = f"found {text!r}, which is no whole number"
        raise SpecError(where, f"{found}, or may mean {joined}" if groups else found, allowed)
    exact = _exact(number, _FACTORS[ending])
    if exact is None:
        raise SpecError(where, f"found {text!r}", allowed)
    return exact


def real_number(text: str, where: str) -> float:
    """A finite number.

    Raises: SpecError for what is none, or could be two.

    >>> [real_number(text, "--temperature") for text in ("0.8", "1e-3", "2", ".5", "10k")]
    [0.8, 0.001, 2.0, 0.5, 10000.0]
    """
    text = text.strip()
    number, ending = _without_ending(text)
    if re.fullmatch(r"[+-]?[0-9]+,[0-9]+", number) and ending in _FACTORS:
        point, joined = number.replace(",", "."), number.replace(",", "")
        both = f" or {joined}" if _GROUPED.fullmatch(number) else ""
        raise SpecError(where, f"found {text!r}", f"write {point}{ending}{both}")
    value = _value(number) if ending in _FACTORS else math.nan
    if not math.isfinite(value * _FACTORS.get(ending, 1)):
        raise SpecError(where, f"found {text!r}", _REAL)
    return value * _FACTORS[ending]


def minutes(text: str, where: str) -> float:
    """A time in minutes: a number is minutes; days, hours, minutes and seconds may be named.

    Raises: SpecError for what is no time, or could be two.

    >>> [minutes(text, "--minutes") for text in ("15", "0.5", "90s", "3 min", "1h", "1.5 hours", "1h30m", "1h30")]
    [15.0, 0.5, 1.5, 3.0, 60.0, 90.0, 90.0, 90.0]
    """
    text = text.strip()
    if re.fullmatch(r"[0-9]+(:[0-9]+)+", text, re.ASCII):
        first, second = text.split(":")[:2]
        raise SpecError(where, f"found {text!r}", f"write {first}h{second}m or {first}m{second}s", "")
    # By hand, since every unit may come once, the longest first.
    rest, total, last = text.lower(), 0.0, len(_UNITS)
    if _is_plain_number(rest) or re.fullmatch(r"[0-9]+,[0-9]+", rest):
        return real_number(text, where)
    if not rest:
        return _no_time(text, where)
    while rest:
        match = re.match(r"\s*([0-9]*[.,]?[0-9]+)\s*([a-z]*)\s*", rest, re.ASCII)
        if match is None or "," in match[1]:
            return _no_time(text, where)
        place = next((i for i, names in enumerate(_UNITS) if match[2] in names), None)
        if match[2] == "" and match.end() == len(rest) and last == _HOURS:
            place = _HOURS - 1  # 1h30
        if place is None or place >= last:
            return _no_time(text, where)
        total, last, rest = total + float(match[1]) * _IN_MINUTES[place], place, rest[match.end() :]
    return total


_UNITS = (
    ("s", "sec", "secs", "second", "seconds"),
    ("m", "min", "mins", "minute", "minutes"),
    ("h", "hr", "hrs", "hour", "hours"),
    ("d", "day", "days"),
)
_IN_MINUTES = (1 / 60, 1, 60, 24 * 60)
_HOURS = 2


def _no_time(text: str, where: str) -> float:
    raise SpecError(where, f"found {text!r}" if text else "nothing is given", _TIME)


def _is_plain_number(text: str) -> bool:
    match = _PLAIN.fullmatch(text)
    return match is not None and (match[2] or match[3]) is not None


def _without_ending(text: str) -> tuple[str, str]:
    """`10 k` as its digits and its ending; `1e6` has none."""
    match = _ENDING.search(text)
    if match is None:
        return text, ""
    return text[: match.start()].rstrip(), match[0]


def _value(number: str) -> float:
    """As a float; not a number where it is none, and infinite where it is too large for one."""
    if _GROUPED.fullmatch(number):
        number = re.sub(r"[^0-9+-]", "", number)
    if len(number) > _MOST_DIGITS or not _is_plain_number(number):
        return math.nan
    return float(number)


def _exact(number: str, factor: int) -> int | None:
    """A whole number times a factor in whole numbers: 2**53 + 1 is not rounded. None where that is not whole."""
    if _GROUPED.fullmatch(number):
        number = re.sub(r"[^0-9+-]", "", number)
    match = _PLAIN.fullmatch(number)
    if match is None or len(number) > _MOST_DIGITS or not (match[2] or match[3]):
        return None
    whole, part = (match[2] or "").replace("_", ""), (match[3] or "").replace("_", "")
    power = int(match[4] or 0) - len(part)
    digits = int(whole + part) * factor
    if abs(power) > _MOST_DIGITS:
        return None
    if power < 0:
        digits, rest = divmod(digits, 10**-power)
        if rest:
            return None
    else:
        digits *= 10**power
    return -digits if match[1] == "-" else digits


def short_count(number: int) -> str:
    """A count in three digits, as an option takes it.

    >>> short_count(221_184), short_count(890_000), short_count(1_764_000), short_count(2_000_000), short_count(640)
    ('221k', '890k', '1.76M', '2M', '640')
    """
    for factor, ending in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= factor * 0.9995 and number >= 1000:
            return f"{float(f'{number / factor:.3g}'):g}{ending}"
    return str(number)


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun.

    >>> plural(1, "file"), plural(2_000, "file"), plural(0, "entry", "entries")
    ('1 file', '2,000 files', '0 entries')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def passes_number(count: float) -> str:
    """A count of passes over a text: fewer digits the more there are."""
    digits = 0 if count >= 10 else 1 if count >= 0.95 else 2
    return f"{count:,.{digits}f}"


def passes_words(count: float) -> str:
    """A count of passes as a line shows it.

    >>> passes_words(71.4), passes_words(1.0), passes_words(0.034)
    ('71 passes over the text', '1.0 passes over the text', '0.03 passes over the text')
    """
    return f"{passes_number(count)} passes over the text"
