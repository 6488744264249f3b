"""How a difference goes with training: from its intervals at the smallest and the largest budget."""

from dataclasses import dataclass
from typing import Literal

Trend = Literal["grows", "shrinks", "crosses", "steady", "unresolved"]


@dataclass(frozen=True)
class Span:
    """Where a number lies, by an interval that holds together with all others of the study."""

    low: float
    high: float

    def __neg__(self) -> "Span":
        return Span(-self.high, -self.low)


def trend(first: Span, last: Span, change: Span, smallest_effect: float) -> Trend:
    """What three simultaneous intervals allow to say about a difference from the smallest budget to the largest.

        crosses      one end is below 0 and the other above
        grows        it is away from 0 at the end, on the side it moved to, and further than it can have begun
        shrinks      it was away from 0 at the beginning, moved towards it, and is nearer than it can have begun
        steady       the change lies within +-smallest_effect
        unresolved   otherwise

    Every answer is a deduction from intervals that hold together, so it is false no more often than one of them is.

    Args:
        first: the difference at the smallest budget.
        last: at the largest.
        change: last minus first, paired by seed; usually narrower than what the other two allow.
        smallest_effect: changes within plus or minus this are of no interest.

    >>> trend(Span(-0.02, -0.01), Span(-0.06, -0.04), Span(-0.05, -0.03), 0.01)
    'grows'
    """
    if (first.high < 0 < last.low) or (last.high < 0 < first.low):
        return "crosses"
    if -smallest_effect <= change.low and change.high <= smallest_effect:
        return "steady"
    # Either side is the same question in a mirror; ask it where the difference is negative.
    for a, b, c in ((first, last, change), (-first, -last, -change)):
        if b.high < 0 and c.high < 0 and a.high < -b.high:
            return "grows"
        if a.high < 0 and c.low > 0 and b.high < -a.high:
            return "shrinks"
    return "unresolved"


def in_words(found: Trend) -> str:
    """The trend for people.

    >>> in_words("crosses")
    'the difference changes its sign with training'
    """
    return {
        "grows": "the difference grows with training",
        "shrinks": "the difference shrinks with training",
        "crosses": "the difference changes its sign with training",
        "steady": "the difference stays as it is with training",
        "unresolved": "whether the difference changes with training is not resolved",
    }[found]
