"""What intervals at two budgets allow to say, and nothing more."""

import itertools
import math

import numpy as np
import pytest

from vslm.stats.trends import Span, trend


@pytest.mark.parametrize(
    ("first", "last", "change", "expected"),
    [
        ((-0.02, -0.01), (-0.06, -0.04), (-0.05, -0.03), "grows"),
        ((0.01, 0.02), (0.04, 0.06), (0.03, 0.05), "grows"),
        ((-0.01, 0.01), (-0.06, -0.04), (-0.06, -0.03), "grows"),
        ((-0.06, -0.04), (-0.02, -0.01), (0.03, 0.05), "shrinks"),
        ((0.04, 0.06), (-0.01, 0.01), (-0.06, -0.03), "shrinks"),
        ((-0.06, -0.04), (0.01, 0.02), (0.05, 0.08), "crosses"),
        ((-0.06, -0.04), (-0.06, -0.04), (-0.004, 0.004), "steady"),
        # It moved towards the arm, but may have begun as far away on the other side.
        ((-0.01, 0.07), (-0.06, -0.04), (-0.12, -0.03), "unresolved"),
        # Ends that touch: a change of exactly the smallest effect is of no interest, and 0 is away from neither side.
        ((-0.06, -0.04), (-0.06, -0.04), (-0.005, 0.005), "steady"),
        ((-0.06, -0.04), (-0.06, -0.04), (-0.005, 0.006), "unresolved"),
        ((-0.06, -0.04), (-0.06, -0.04), (-0.006, 0.005), "unresolved"),
        ((-0.06, 0.0), (0.01, 0.02), (0.05, 0.08), "unresolved"),
        ((-0.06, -0.04), (0.0, 0.02), (0.05, 0.08), "shrinks"),
        ((-0.02, -0.01), (-0.06, 0.0), (-0.05, -0.03), "unresolved"),
        ((-0.02, -0.01), (-0.06, 0.01), (-0.05, -0.03), "unresolved"),
        ((-0.01, 0.04), (-0.06, -0.04), (-0.06, -0.03), "unresolved"),
        ((-0.01, 0.04), (-0.06, -0.05), (-0.06, -0.03), "grows"),
        ((-0.06, 0.0), (-0.02, -0.01), (0.03, 0.05), "unresolved"),
        ((-0.06, -0.04), (-0.02, 0.04), (0.03, 0.05), "unresolved"),
        ((-0.06, -0.04), (-0.02, -0.01), (0.0, 0.05), "unresolved"),
        ((-0.02, -0.01), (-0.06, -0.04), (-0.05, 0.0), "unresolved"),
        ((-math.inf, math.inf), (-math.inf, math.inf), (-math.inf, math.inf), "unresolved"),
    ],
)
def test_the_trend_is_read_from_intervals(first: tuple, last: tuple, change: tuple, expected: str) -> None:
    """By hand, in both directions."""
    assert trend(Span(*first), Span(*last), Span(*change), 0.005) == expected
    mirrored = (Span(-high, -low) for low, high in (first, last, change))
    assert trend(*mirrored, 0.005) == expected


def test_no_answer_is_false_while_the_intervals_hold() -> None:
    """Whatever the true differences inside the intervals are, what is said of them is so."""
    rng = np.random.default_rng(3)
    said = set()
    for _ in range(4000):
        small, large = rng.normal(0, 0.03, 2)
        spans = [
            Span(true - abs(rng.normal(0, 0.01)), true + abs(rng.normal(0, 0.01)))
            for true in (small, large, large - small)
        ]
        answer = trend(*spans, 0.01)
        said.add(answer)
        if answer == "grows":
            assert abs(large) > abs(small)
        elif answer == "shrinks":
            assert abs(large) < abs(small)
        elif answer == "crosses":
            assert small * large < 0
        elif answer == "steady":
            assert abs(large - small) <= 0.01
    assert said == {"grows", "shrinks", "crosses", "steady", "unresolved"}


def test_exactly_one_answer_fits_clear_differences() -> None:
    """Without noise every pair of differences gets the answer that its numbers have."""
    for small, large in itertools.product((-0.06, -0.02, 0.0, 0.02, 0.06), repeat=2):
        exact = [Span(x, x) for x in (small, large, large - small)]
        expected = (
            "crosses"
            if small * large < 0
            else "steady"
            if small == large
            else "grows"
            if abs(large) > abs(small)
            else "shrinks"
        )
        assert trend(*exact, 0.001) == expected
