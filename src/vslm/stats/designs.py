"""Which combinations of factors a study trains, so that every run tells of every factor.

A factor is off or on. A design is a list of runs, each with its factors that are on; the first has none. Of k factors a
full design has all 2^k runs. A regular fraction has 2^r of them: every factor is a vector of r bits, and it is on in
run t where it shares an odd number of bits with t, so that a product of factors is a sum of vectors, and two effects
that have the same sum cannot be told apart. A Plackett-Burman design of 12 runs, with its mirror image, has 24 for 9 to
12 factors.

    full               all effects apart
    fraction           main effects apart from each other and from all interactions of two factors (resolution IV);
                       a declared interaction apart from those and from every other interaction of two
    Plackett-Burman    main effects as in a fraction; interactions of two are mixed with each other in part

A design in which a main effect is mixed with an interaction of two (resolution III, as Plackett-Burman without its
mirror image) is none of them: an interaction that nobody declared would be read as an effect.

Sources: Box and Hunter, *The 2^(k-p) fractional factorial designs*, 1961; Plackett and Burman, *The design of optimum
multifactorial experiments*, 1946.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Pair = tuple[int, int]
MOST_FACTORS = 16
MOST_RUNS = 128
_FEW = 3  # factors of which all combinations are run
_MOST_TRIED = 100_000  # of places for a factor; the designs that are there are found long before
_MIRRORED_RUNS, _MIRRORED_FACTORS = 24, 12
_TWELVE = "++-+++---+-"  # first row of the design of 12 runs; the others are its rotations, and one with none


@dataclass(frozen=True)
class Design:
    """Runs of a study with factors.

    Args:
        kind: "full", "fraction" or "plackett-burman".
        on_RF: whether each factor is on in each run; in the first run none is.
        resolution: 4: two-factor interactions are mixed with each other; 5: they are apart; 0: everything is.
    """

    kind: Literal["full", "fraction", "plackett-burman"]
    on_RF: np.ndarray
    resolution: Literal[0, 4, 5]

    @property
    def num_runs(self) -> int:
        """Of one seed."""
        return len(self.on_RF)

    def signs(self, factors: Sequence[int]) -> np.ndarray:
        """The product of the signs of some factors in each run, +1 for on and -1 for off: the column of an effect."""
        return np.prod(np.where(self.on_RF[:, list(factors)], 1, -1), axis=1)

    def mixed(self, factors: Sequence[int], others: int) -> list[tuple[int, ...]]:
        """The effects of so many factors that cannot be told, wholly or in part, from this one."""
        own_R, of = self.signs(factors), range(self.on_RF.shape[1])
        candidates = itertools.combinations(of, others)
        return [one for one in candidates if one != tuple(factors) and int(own_R @ self.signs(one))]

    def other_pairs(self, declared: Sequence[Pair]) -> dict[Pair, list[tuple[int, ...]]]:
        """Pairs of factors beside the declared ones, each with those that it cannot be told from. Of pairs with one and
        the same column, the first.
        """
        found: dict[Pair, list[tuple[int, ...]]] = {}
        seen: set[tuple[int, ...]] = set(declared)
        for pair in itertools.combinations(range(self.on_RF.shape[1]), 2):
            if pair not in seen:
                found[pair] = mixed = self.mixed(pair, 2)
                own_R = self.signs(pair)
                seen |= {one for one in mixed if abs(int(own_R @ self.signs(one))) == self.num_runs}
        return found


def choose_design(num_factors: int, interactions: Sequence[Pair] = (), num_runs: int | None = None) -> Design | None:
    """The smallest design that keeps what is declared apart; all combinations of up to three factors.

    Args:
        num_factors: 2 to 16.
        interactions: pairs of factors whose interaction is declared, the smaller number first.
        num_runs: this many and no other, a power of two; None: as few as will do.
    Returns: None where there is none, of at most 128 runs.
    """
    if num_runs is not None:
        return _regular(num_factors, interactions, num_runs.bit_length() - 1)
    if num_factors <= _FEW:
        return _regular(num_factors, interactions, num_factors)
    for bits in range(2, min(num_factors, MOST_RUNS.bit_length() - 1) + 1):
        is_more = 2**bits > _MIRRORED_RUNS and num_factors <= _MIRRORED_FACTORS and not interactions
        found = _mirrored(num_factors) if is_more else _regular(num_factors, interactions, bits)
        if found is not None:
            return found
    return None


def _regular(num_factors: int, interactions: Sequence[Pair], bits: int) -> Design | None:
    """A design of 2^bits runs: of resolution V where there is one, else of IV."""
    if bits == num_factors:
        vectors: list[int] | None = [1 << i for i in range(num_factors)]
        return _of_vectors("full", vectors, bits, 0)
    if not 1 <= bits < num_factors:
        return None
    every = list(itertools.combinations(range(num_factors), 2))
    resolutions: tuple[tuple[Sequence[Pair], Literal[4, 5]], ...] = ((every, 5), (interactions, 4))
    for apart, resolution in resolutions:
        vectors = _Search(num_factors, bits, apart).vectors()
        if vectors is not None:
            return _of_vectors("fraction", vectors, bits, resolution)
    return None


def _of_vectors(
    kind: Literal["full", "fraction"], vectors: Sequence[int], bits: int, resolution: Literal[0, 4, 5]
) -> Design:
    rows = [tuple(bool((vector & run).bit_count() % 2) for vector in vectors) for run in range(2**bits)]
    return Design(kind, _in_order(rows), resolution)


def _mirrored(num_factors: int) -> Design:
    """Plackett and Burman's 12 runs and the same with all signs turned, which is a column of its own."""
    first = [sign == "+" for sign in _TWELVE]
    rows = [[*first[i:], *first[:i]] for i in range(len(first))] + [[False] * len(first)]
    mirrored = [[*row, False] for row in rows] + [[*(not on for on in row), True] for row in rows]
    return Design("plackett-burman", _in_order([tuple(row[:num_factors]) for row in mirrored]), 4)


def _in_order(rows: Sequence[tuple[bool, ...]]) -> np.ndarray:
    """Fewer factors first, then those that are declared first."""
    return np.array(sorted(rows, key=lambda row: (sum(row), [not on for on in row])))


class _Search:
    """A vector for each factor, no two of which add up to a third; of some pairs the sums are no other pair's.

    A factor gets the next bit that none has yet, or bits that others have. Any design is one of these, in other words
    for its runs.
    """

    def __init__(self, num_factors: int, bits: int, apart: Sequence[Pair]) -> None:
        self.num_factors, self.bits, self.apart = num_factors, bits, set(apart)
        self.num_tried = 0

    def vectors(self) -> list[int] | None:
        """None where there are none, or none was found in so many trials."""
        pairs = math.comb(self.num_factors, 2)
        is_too_many = self.num_factors > 2 ** (self.bits - 1) or (
            len(self.apart) == pairs and self.num_factors + pairs >= 2**self.bits
        )
        return None if is_too_many else self._longer([], 0, {})

    def _longer(self, vectors: list[int], bits: int, sums: dict[int, Pair]) -> list[int] | None:
        if len(vectors) == self.num_factors:
            return vectors if bits == self.bits else None
        if self.num_factors - len(vectors) < self.bits - bits:
            return None
        for vector, now in self._candidates(bits):
            self.num_tried += 1
            if self.num_tried > _MOST_TRIED:
                return None
            added = self._added(vectors, vector, sums)
            if added is not None and (found := self._longer([*vectors, vector], now, {**sums, **added})) is not None:
                return found
        return None

    def _candidates(self, bits: int) -> Iterator[tuple[int, int]]:
        if bits < self.bits:
            yield 1 << bits, bits + 1
        # An odd number of bits first: two such never add up to a third.
        for vector in sorted(range(1, 1 << bits), key=lambda one: (one.bit_count() % 2 == 0, -one.bit_count(), one)):
            yield vector, bits

    def _added(self, vectors: list[int], vector: int, sums: dict[int, Pair]) -> dict[int, Pair] | None:
        """The sums with the vectors before; None where something would be mixed that may not be."""
        if vector in vectors or vector in sums:
            return None
        added = {}
        for place, other in enumerate(vectors):
            pair, total = (place, len(vectors)), vector ^ other
            if total in vectors or (total in sums and (pair in self.apart or sums[total] in self.apart)):
                return None
            added[total] = pair
        # Of two pairs with one sum, the one that is to stay apart would have been refused, so either may be kept.
        return added
