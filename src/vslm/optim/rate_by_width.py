"""The learning rate of a matrix from the width that it reads, so that layers of different width learn at one pace."""

from dataclasses import dataclass

from vslm.core.bounds import Width
from vslm.core.errors import SpecError
from vslm.core.specs import Spec


@dataclass(frozen=True, kw_only=True)
class RateByWidth(Spec):
    """Learning rate in proportion to one over the fan-in, for matrices only.

        rate of a matrix = learning rate * reference_width / fan-in

    Adam moves every weight by about the learning rate whatever its gradient, so what a matrix adds to its output in one
    step grows with how many numbers it reads. This takes that growth out; without it, a shape of widths is also a
    shape of learning rates.

    Paper: Tensor Programs V, Yang et al., 2022, https://arxiv.org/abs/2203.03466 (hidden weights under Adam).
    We differ: the rate alone; initial values are the business of `FanIn`, which is their rule too, embeddings and
    readouts keep the learning rate as it is, and the reference is a number and not a smaller model. A matrix that reads
    a feedforward's middle has that as its fan-in: with a middle of 8/3 of the width it learns at 3/8 of the others'
    rate, in every arm alike; and the second matrix of a `LowRank` change reads its rank, so it learns reference / rank
    times as fast. Weight decay is per step times the rate, so it falls with it.

    Args:
        reference_width: the fan-in at which a matrix gets the learning rate itself.
    """

    reference_width: Width = 128

    def check(self) -> None:
        """Refuse a width below 1."""
        if self.reference_width < 1:
            raise SpecError("reference_width", f"found {self.reference_width}", "1 or more is needed")

    def factor(self, fan_in: int) -> float:
        """What the learning rate is multiplied with.

        >>> RateByWidth(reference_width=128).factor(64)
        2.0
        """
        return self.reference_width / fan_in
