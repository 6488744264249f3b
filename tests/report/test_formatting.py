"""Numbers as people read them, where one form goes over into the next."""

import pytest

from vslm.report.numbers.formatting import count, decimals_for, duration, ends, listing, seeds, shortened, signed, span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (3600 + 90, "1 h 2 min"),
        (2 * 3600 + 29 * 60, "2 h 29 min"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    """The two largest units, and none that is nothing."""
    assert duration(seconds) == words


def test_counts_keep_three_digits_on_both_sides_of_nothing() -> None:
    """Thousands are written out; above, a prefix."""
    assert [count(n) for n in (0, 999, 10_000, 1_234_567)] == ["0", "999", "10.0k", "1.23M"]
    assert [count(9_994_000.0), count(9_996_000), count(99_940_000), count(99_960_000)] == [
        "9.99M",
        "10.0M",
        "99.9M",
        "100M",
    ]
    assert [count(-12_345_678), count(-123_456_789)] == ["-12.3M", "-123M"]
    assert count(3.41e13, "FLOP") == "34.1 TFLOP"
    assert count(12, "FLOP") == "12 FLOP"


def test_differences_and_their_ends() -> None:
    """The lower end first, a sign on both, and as many decimals as the smallest effect asks for."""
    assert span(-0.0215, -0.0042, 4) == "−0.0215 to −0.0042"
    assert span(0.001, None) == span(None, 0.001) == "no interval"
    assert signed(0.25, 1) == "+0.2"
    assert [decimals_for(x) for x in (1.0, 0.1, 0.09, 0.01, 0.009, 0.001, 1e-9)] == [3, 3, 3, 3, 4, 4, 6]
    assert ends([1, "x"]) == (1, None)
    assert ends([1]) == (1, None)
    assert ends([None, 2.0, 3.0]) == (None, 2.0)


def test_lists() -> None:
    """Runs of seeds are joined from two on; words as in a sentence."""
    assert seeds([5, 0, 1, 3, 1]) == "0-1, 3, 5"
    assert listing([]) == "none"
    assert listing(["a", "b"]) == "a and b"
    assert shortened("abcde", 5) == "abcde"
    assert shortened("abcdef", 5) == "abcd…"
