"""Numbers from a counter: the n-th number of a key is a function of both, in integers alone.

    x = key + n * 0x9E3779B97F4A7C15  mod 2**64, then mixed by two multiplications and three shifts

The same on every machine and in every version of Python and numpy, whoever computes it: `rows` many keys at once in
numpy, `stream` one key in Python.

Paper: Fast Splittable Pseudorandom Number Generators, Steele et al., 2014, https://doi.org/10.1145/2714064.2660195;
the mixing function is Stafford's variant 13, as published for SplitMix64.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from vslm.core.seeds import derive_seed

Take = Callable[[], int]
"""The next number, 0 to 2**64 - 1. `take() % n` is a draw from n; for the n here it is even to one in 2**50."""

_MASK = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mixed(number: int) -> int:
    """64 bits that depend on all bits of a number.

    >>> hex(mixed(0x9E3779B97F4A7C15))
    '0xe220a8397b1dcdaf'
    """
    number = ((number ^ (number >> 30)) * _FIRST) & _MASK
    number = ((number ^ (number >> 27)) * _SECOND) & _MASK
    return number ^ (number >> 31)


def key_of(purpose: str, seed: int) -> int:
    """The key of a stream of numbers: for each purpose and seed another one."""
    return mixed((mixed(derive_seed("worlds", purpose)) + seed) & _MASK)


def rows(keys: Sequence[int], first: int, count: int) -> list[list[int]]:
    """For each key its numbers `first` to `first + count - 1`, counted from 0."""
    keys_N1 = np.array(keys, dtype=np.uint64)[:, None]
    counters_W = np.arange(first + 1, first + count + 1, dtype=np.uint64) * np.uint64(_STEP)
    x = keys_N1 + counters_W  # unsigned: wraps
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_FIRST)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_SECOND)
    return (x ^ (x >> np.uint64(31))).tolist()


def stream(key: int, known: Sequence[int] = ()) -> Iterator[int]:
    """The numbers of a key without end; the first ones may be known from `rows`.

    >>> first, *_ = rows([7], 0, 3)
    >>> numbers = stream(7, first[:2])
    >>> [next(numbers) for _ in range(3)] == first
    True
    """
    yield from known
    counter = len(known)
    while True:
        counter += 1
        yield mixed((key + counter * _STEP) & _MASK)


def shuffled(items: Sequence[int], take: Take) -> list[int]:
    """The items in an order that is drawn."""
    keys = {item: take() for item in items}
    return sorted(items, key=keys.__getitem__)
