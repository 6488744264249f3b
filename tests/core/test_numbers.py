"""Numbers as people type them; what could mean two things is refused, with both offered."""

import pytest

from vslm.core.errors import SpecError
from vslm.core.numbers import minutes, real_number, whole_number

WHOLE = {
    "7": 7,
    "-7": -7,
    "+7": 7,
    "10k": 10_000,
    "10K": 10_000,
    "2.5k": 2500,
    "2M": 2_000_000,
    "1.5M": 1_500_000,
    "1B": 10**9,
    "3bn": 3 * 10**9,
    "4Ki": 4096,
    "1e6": 10**6,
    "1E6": 10**6,
    "1.25e3": 1250,
    "130e-1": 13,
    "1_000_000": 10**6,
    "1,000,000": 10**6,
    "1'000'000": 10**6,
    "1 000 000": 10**6,
    " 12 ": 12,
    "9007199254740993": 2**53 + 1,
    "-5k": -5000,
}


@pytest.mark.parametrize(("text", "value"), WHOLE.items(), ids=WHOLE)
def test_whole_numbers(text: str, value: int) -> None:
    """Exactly, beyond what a float holds."""
    assert whole_number(text, "--tokens") == value


NO_WHOLE = {
    "": "a whole number such as",
    "many": "a whole number such as",
    "10x": "a whole number such as",
    "1.5": "no whole number",
    "1.2345k": "a whole number such as",
    "1e-3": "a whole number such as",
    "10.000": "may mean 10000",
    "2m": "2M is 2 million",
    "1,00,000": "a whole number such as",
    "1_": "a whole number such as",
    "1__0": "a whole number such as",
    "inf": "a whole number such as",
    "nan": "a whole number such as",
    "1e99999": "a whole number such as",
    "9" * 5000: "a whole number such as",
    "2**20": "a whole number such as",
    "0x10": "a whole number such as",
    "１２": "a whole number such as",
    "k": "a whole number such as",
}


@pytest.mark.parametrize(("text", "words"), NO_WHOLE.items(), ids=[name[:9] for name in NO_WHOLE])
def test_what_is_no_whole_number(text: str, words: str) -> None:
    """One message, at the option, with what is allowed."""
    with pytest.raises(SpecError, match="--tokens: found") as caught:
        whole_number(text, "--tokens")
    assert words in str(caught.value)


def test_a_size_in_thousands_is_refused() -> None:
    """A context of 2k is 2048 to some and 2000 to others."""
    with pytest.raises(SpecError, match="'2k', which may mean 2000 or 2048; write the number out"):
        whole_number("2k", "--vocabulary", is_size=True)
    assert whole_number("2048", "--vocabulary", is_size=True) == 2048


def test_real_numbers() -> None:
    """With a point; a comma could be either."""
    assert [real_number(text, "t") for text in ("0.8", "1e-3", ".5", "2", "1_0.5", "-0")] == [
        0.8,
        1e-3,
        0.5,
        2,
        10.5,
        0,
    ]
    for text, words in {
        "0,8": "write 0.8",
        "1,500": "write 1.500 or 1500",
        "": "is needed",
        "inf": "is needed",
        "nan": "is needed",
        "1e999": "is needed",
        "80%": "is needed",
    }.items():
        with pytest.raises(SpecError, match=words):
            real_number(text, "--temperature")


TIMES = {
    "15": 15,
    "0.5": 0.5,
    "1e1": 10,
    "90s": 1.5,
    "15m": 15,
    "3 min": 3,
    "20mins": 20,
    "1h": 60,
    "1.5 hours": 90,
    "1h30": 90,
    "1h30m": 90,
    "1h 30m 30s": 90.5,
    "2d": 2880,
    "-1": -1,
}


@pytest.mark.parametrize(("text", "value"), TIMES.items(), ids=TIMES)
def test_times(text: str, value: float) -> None:
    """A number is minutes; units may be named, the longest first."""
    assert minutes(text, "--minutes") == pytest.approx(value)


def test_what_is_no_time() -> None:
    """Two readings are both offered."""
    for text, words in {
        "1:30": "write 1h30m or 1m30s",
        "1,5": "write 1.5",
        "30m1h": "minutes such as",
        "1h1h": "minutes such as",
        "10x": "minutes such as",
        "5 6": "minutes such as",
        "": "minutes such as",
        "h": "minutes such as",
        "nan": "minutes such as",
        "-1h": "minutes such as",
    }.items():
        with pytest.raises(SpecError, match="--minutes") as caught:
            minutes(text, "--minutes")
        assert words in str(caught.value), text
