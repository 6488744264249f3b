"""Whether a study asks its baseline first if runs are long enough to mean something. `lab/pilot.py` carries it out."""

from dataclasses import dataclass

from vslm.core.bounds import Real, Some
from vslm.core.errors import SpecError
from vslm.core.specs import Spec
from vslm.stats.skewed import FEWEST

_MOST_SEEDS = 3  # more would be the study itself


@dataclass(frozen=True, kw_only=True)
class Pilot(Spec):
    """Before any other arm is judged, the baseline is trained with the first seeds, to the whole budget, and asked
    whether it has begun to use its context in each of them. If not, the study stops and says how many tokens would do.

    They are the baseline's judged runs of these seeds, so nothing is trained twice. An arm that was judged before its
    model uses its context is judged by the first steps of training, and by who got going by luck.

    A study of one arm has no pilot. One that is about those first steps declares `pilot=None`.

    Args:
        seeds: how many, 1 to 3.
        gain_nats: the least that the context must be worth, C(1) - C(T) in nats per token. The default is above what a
            model gains that knows no more of the text before than how often tokens occur in it: 0.12 to 0.21 on three
            texts, at 20k tokens, and gone again at 40k (docs/findings/context-learning.md).
    """

    seeds: Some = 2
    gain_nats: Real = 0.25

    def check(self) -> None:
        """Refuse no seed, and more than a pilot; and a gain that every model has."""
        if not 1 <= self.seeds <= _MOST_SEEDS:
            raise SpecError("seeds", f"found {self.seeds}", f"1 to {_MOST_SEEDS} are needed: more are the study itself")
        if self.gain_nats <= 0:
            raise SpecError("gain_nats", f"found {self.gain_nats:g}", "a number above 0 is needed")


def asked_seeds(pilot_seeds: int, num_seeds: int) -> int:
    """How many runs of the baseline are asked in a study of so many seeds: of three only one, since two of three that
    got going by luck are too much of what is judged (`docs/verdicts.md`).

    >>> [asked_seeds(2, num_seeds) for num_seeds in (1, 2, 3, 4, 16)]
    [1, 2, 1, 2, 2]
    """
    return 1 if num_seeds == FEWEST else min(pilot_seeds, num_seeds)
