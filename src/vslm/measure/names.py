"""Dotted names with `*`: which names a pattern means, and what is said when it means none."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from vslm.core.errors import SpecError, nearest


def matches(pattern: str, name: str) -> bool:
    """Whether a name fits a pattern, part by part; `*` stands for anything within one part.

    >>> matches("path.*.attention", "path.3.attention"), matches("path.*", "path.3.attention")
    (True, False)
    """
    wanted, parts = pattern.split("."), name.split(".")
    return len(wanted) == len(parts) and all(fnmatchcase(part, want) for want, part in zip(wanted, parts, strict=True))


def matching(patterns: Iterable[str], names: Iterable[str], where: str = "") -> list[str]:
    """The names that any pattern means, in their own order.

    Raises: SpecError at `where` for a pattern that means none; the nearest names are offered.
    """
    names = list(names)
    for pattern in patterns:
        if not any(matches(pattern, name) for name in names):
            raise SpecError(where or pattern, f"{pattern!r} matches nothing", nearest(pattern, names))
    return [name for name in names if any(matches(pattern, name) for pattern in patterns)]
