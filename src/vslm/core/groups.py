"""What comes one by one, in groups that are worth a call."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def in_groups(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """Lists of `most` items, in their order; the last one may have fewer.

    >>> list(in_groups("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    group: list[T] = []
    for item in items:
        group.append(item)
        if len(group) == most:
            yield group
            group = []
    if group:
        yield group
