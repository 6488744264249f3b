"""Fair by construction: arms of equal size, and a study that promises it.

`matched` changes one named thing of an arm until it is as large as another; `Study(equal=...)` then refuses whatever
is not. Both count from the specs, so nothing is built and nothing is trained.

Parameters and useful FLOPs per token are those of `Model`: see there for the formulas.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from vslm.core.errors import SpecError
from vslm.models.language_model import Model
from vslm.study.changes import Change
from vslm.study.experiment import Experiment

Size = Literal["parameters", "non_embedding_parameters", "flops"]
TOLERANCE_FRACTION = 0.005
WORDS: dict[Size, str] = {
    "parameters": "parameters",
    "non_embedding_parameters": "parameters without embeddings",
    "flops": "FLOPs per token",
}
SIZES: tuple[Size, ...] = ("parameters", "non_embedding_parameters", "flops")
_LARGEST_AMOUNT = 2**16
_ENOUGH_EQUAL = 4  # amounts, each twice the one before, with one size: the change has no effect on it
_PASSED_OVER = 16  # amounts in a row that give no valid model, before the search gives up on that side


def size_of(model: Model, by: Size, vocabulary: int) -> float:
    """How large a model is: all parameters, those without embeddings, or useful FLOPs of training per token."""
    if by == "parameters":
        return model.num_parameters(vocabulary)
    if by == "non_embedding_parameters":
        return model.num_parameters_without_embeddings(vocabulary)
    return model.flops_per_token(vocabulary)


def size_of_arm(experiment: Experiment, by: Size, vocabulary: int) -> float:
    """How large an arm is: `size_of` its model, or of what is trained of it where that is an adapter."""
    if experiment.adapter is None:
        return size_of(experiment.model, by, vocabulary)
    if by == "flops":
        return experiment.flops_per_token(vocabulary)
    return experiment.num_trained_parameters(vocabulary)


def matched(
    arm: Experiment,
    *,
    to: Experiment,
    by: Size,
    change: Change,
    vocabulary: int | None = None,
    tolerance_fraction: float = TOLERANCE_FRACTION,
) -> Experiment:
    """`arm` with one thing of its model changed until it is as large as `to`.

    Of all amounts of the change, the one whose size is nearest. Everything else stays, the learning rate too: tune it
    (`LearningRates`) where the change is large.

    Args:
        arm: what is changed.
        to: what it is compared with; usually the baseline.
        by: what becomes equal: "parameters", "non_embedding_parameters" or "flops" (useful FLOPs per token).
        change: what may change: `Depth()`, `WidthScale()`, `FeedforwardMultiplier()`, `Loops("core")`, ...
        vocabulary: number of ids of both; needed where the tokenizer learns it from the text (`Characters()`).
        tolerance_fraction: how far off the sizes may be; wider for the first of two changes, the second of which is
            finer.

    Raises: SpecError if the nearest is further off, with its size, by how much it misses, and why.

    >>> matched(deep, to=plain, by="parameters", change=FeedforwardMultiplier())         # doctest: +SKIP
    """
    if by not in SIZES:
        raise SpecError("matched.by", f"found {by!r}", f"one of {', '.join(SIZES)} is needed")
    target = size_of(to.model, by, vocabulary or _known_vocabulary(to, "to"))
    search = _Search(arm.model, by, vocabulary or _known_vocabulary(arm, "arm"), change, target)
    amount = search.nearest()
    model, size = search.found[amount]
    miss = size / target - 1
    if abs(miss) > tolerance_fraction:
        found = (
            f"the nearest is {change.describe(amount)} with {size:,.0f} {WORDS[by]}, {miss:+.2%} from {target:,.0f}; "
            f"{search.why(amount)}"
        )
        do = "change something finer, or this first with a wider tolerance_fraction and then FeedforwardMultiplier()"
        raise SpecError("matched", found, f"within {tolerance_fraction:.1%} is needed", do)
    return dataclasses.replace(arm, model=model)


def _known_vocabulary(experiment: Experiment, which: str) -> int:
    known = experiment.data.tokenizer.known_vocabulary
    if known is None:
        found = f"{type(experiment.data.tokenizer).__name__} of {which!r} learns its ids from the text"
        do = "give vocabulary=..., as `vslm plan` of an unmatched study shows it"
        raise SpecError("matched.vocabulary", found, "a number of ids is needed", do)
    return known


class _Search:
    """The nearest amount of a change, by halving: sizes rise with amounts. Where no model is valid is passed over."""

    def __init__(self, model: Model, by: Size, vocabulary: int, change: Change, target: float) -> None:
        self.model, self.vocabulary, self.change, self.target = model, vocabulary, change, target
        self.by: Size = by
        self.now = change.amount(model)
        self.found: dict[int, tuple[Model, float]] = {}
        self._refused: dict[int, SpecError] = {}

    def nearest(self) -> int:
        low, high = 1, max(2, self.now)
        while high < _LARGEST_AMOUNT and (size := self._from(high)) is not None and size < self.target:
            if self._is_without_effect():
                break
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            size = self._from(middle)
            # What is refused below the present amount is too small, what is refused above it too large.
            is_small = middle < self.now if size is None else size < self.target
            if is_small:
                low = middle
            else:
                high = middle
        for amount in (self.now, *range(max(1, low - 2), high + 3)):
            self._size(amount)
        if not self.found:
            raise next(iter(self._refused.values())).within("matched")
        # Nearest first; then what changes least.
        return min(self.found, key=lambda amount: (abs(self.found[amount][1] - self.target), abs(amount - self.now)))

    def why(self, amount: int) -> str:
        """What keeps the search from coming nearer."""
        size = self.found[amount][1]
        if len({size for _, size in self.found.values()}) == 1:
            reason = self.change.why_compute_stays(self.model) if self.by == "flops" else ""
            return f"{type(self.change).__name__} does not change {WORDS[self.by]}" + (reason and f": {reason}")
        beyond = amount + 1 if size < self.target else amount - 1
        if beyond in self.found:
            return f"{self.change.describe(beyond)} has {self.found[beyond][1]:,.0f}"
        return f"{self.change.describe(beyond)} gives no valid model: {self._refused.get(beyond, 'it is out of range')}"

    def _is_without_effect(self) -> bool:
        """Whether amounts enough were tried to say that none makes a difference; paths of 2^16 loops take minutes."""
        return len(self.found) >= _ENOUGH_EQUAL and len({size for _, size in self.found.values()}) == 1

    def _from(self, amount: int) -> float | None:
        """The size of the first valid model at this amount or a few above it."""
        sizes = (self._size(more) for more in range(amount, amount + _PASSED_OVER))
        return next((size for size in sizes if size is not None), None)

    def _size(self, amount: int) -> float | None:
        if amount not in self.found and amount not in self._refused:
            try:
                model = self.change.at(self.model, amount)
                self.found[amount] = (model, size_of(model, self.by, self.vocabulary))
            except SpecError as error:
                self._refused[amount] = error
        return self.found[amount][1] if amount in self.found else None


def relative_sizes(
    arms: Mapping[str, Experiment], baseline: str, vocabularies: Mapping[str, int]
) -> dict[str, dict[Size, float]]:
    """Per arm and per kind of size, how much larger than the baseline it is: 0.02 for two per cent more."""

    def relative(arm: str, by: Size) -> float:
        size, base = (size_of_arm(arms[name], by, vocabularies[name]) for name in (arm, baseline))
        return size / base - 1

    return {arm: {by: relative(arm, by) for by in SIZES} for arm in arms}


def check_equal(
    arms: Mapping[str, Experiment],
    baseline: str,
    *,
    by: Size,
    unequal: tuple[str, ...],
    vocabularies: Mapping[str, int],
) -> None:
    """Hold a study to its promise `equal=...`, with the vocabularies that its corpora really have.

    Raises: SpecError naming the first arm that is further off than 0.5% and not listed in `unequal`.
    """
    base = size_of_arm(arms[baseline], by, vocabularies[baseline])
    for arm, experiment in arms.items():
        size = size_of_arm(experiment, by, vocabularies[arm])
        if arm not in unequal and abs(size / base - 1) > TOLERANCE_FRACTION:
            found = f"{size:,.0f} {WORDS[by]} where {baseline!r} has {base:,.0f} ({size / base - 1:+.2%})"
            do = f"build it with matched(..., to={baseline}, by={by!r}, change=...), or list it in unequal"
            raise SpecError(f"arms.{arm}", found, f"equal={by!r} allows {TOLERANCE_FRACTION:.1%}", do)
