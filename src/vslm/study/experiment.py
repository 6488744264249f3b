"""The declaration of one training: a model, data, a budget, and everything between them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vslm.core.bounds import BatchTokens, Flops, Minutes, Real, Seed, Some, Tokens
from vslm.core.errors import DataError, SpecError
from vslm.core.specs import Spec
from vslm.data.sources import Source
from vslm.data.windows import check_alignment
from vslm.measure.loss_by_position import LossByPosition
from vslm.measure.measure import Measure, log_spaced_steps
from vslm.models.adapters.adapter import Adapter
from vslm.models.elements.exits import Exit
from vslm.models.language_model import Model
from vslm.objectives.arm import Arm
from vslm.objectives.objective import Objective
from vslm.optim.adamw import AdamW
from vslm.optim.optimizer import Optimizer
from vslm.optim.schedules import Schedule, WarmupCosine

_MOST_KEPT = 1000  # files of weights beside one run
_MOST = {"tokens": 1e15, "minutes": 1e7, "flops": 1e30}  # of a budget: beyond any machine, and within all arithmetic


@dataclass(frozen=True, kw_only=True)
class Budget(Spec):
    """How much one run of the baseline may spend: exactly one of three.

    Args:
        tokens: training tokens.
        minutes: turned into tokens once, by a short timing, and kept.
        flops: training FLOPs, by the useful-FLOPs formula.
    """

    tokens: Tokens | None = None
    minutes: Minutes | None = None
    flops: Flops | None = None

    def check(self) -> None:
        """Refuse none, several, or nothing to spend."""
        given = {name: value for name in ("tokens", "minutes", "flops") if (value := getattr(self, name)) is not None}
        if len(given) != 1:
            raise SpecError("", f"{len(given)} of tokens, minutes and flops are given", "exactly one is needed")
        for name, value in given.items():
            if not 0 < value <= _MOST[name]:
                raise SpecError(name, f"found {value}", f"a number above 0, at most {_MOST[name]:g}, is needed")


@dataclass(frozen=True, kw_only=True)
class FreshStart(Spec):
    """Start from new weights.

    Args:
        init_offset: added to the initialization seed, so that an arm starts from other weights on the same data.
        flip_last_bit: change the last bit of every initial weight: the smallest possible difference.
    """

    init_offset: Seed = 0
    flip_last_bit: bool = False


@dataclass(frozen=True, kw_only=True)
class Averaging(Spec):
    """Evaluate and keep an exponential average of the weights.

    Args:
        horizon_fraction: the length of its memory, as a share of the budget.
    """

    horizon_fraction: Real = 0.05

    def check(self) -> None:
        """Refuse a share outside (0, 1]."""
        if not 0 < self.horizon_fraction <= 1:
            raise SpecError("horizon_fraction", f"found {self.horizon_fraction}", "a fraction in (0, 1] is needed")


@dataclass(frozen=True, kw_only=True)
class Experiment(Spec):
    """One training, as a value. What is not given is filled in here, once, and recorded; `vary` keeps it.

    Args:
        model: the architecture.
        data: the corpus and its tokenizer.
        budget: how much to spend.
        batch_tokens: tokens per optimizer step; default about sqrt(tokens of the budget), 1,024 to 65,536.
        optimizer: default AdamW at 0.004 * sqrt(128 / width).
        objective: what training lowers; None: the mean loss of the next token, with the exits and the drawn loops that
            the model declares.
        schedule: of the learning rate.
        measures: what is looked at, and when.
        averaging: of the weights; None evaluates the last ones.
        accumulation: micro-batches per step.
        start_from: new weights, or the last weights of a finished run: of its folder (runs/NAME/ARM/seed0, the same for
            all seeds; runs/NAME/ARM, which holds seeds, for each its own), or `Arm("NAME")`, of the same seed of
            another arm of the study. The learning rate goes through its whole schedule; the optimizer begins anew.
        keep_weights: at how many log-spaced steps the weights of a run are kept, the first (step 0) and the last among
            them: for measures that are taken later, and for looking at text as it was predicted then. 0 keeps the last
            ones alone. Changes no number, so the fingerprint leaves it out; a run that is done keeps what it kept.
        adapter: what is trained beside the model of the run that `start_from` names, which is frozen; None: the model
            itself is trained. What is stored is the adapter alone. The model is that of the run; its context may be
            shorter.
    """

    model: Model
    data: Source
    budget: Budget
    batch_tokens: BatchTokens | None = None
    optimizer: Optimizer | None = None
    schedule: Schedule = WarmupCosine()
    measures: tuple[Measure, ...] = (LossByPosition(),)
    averaging: Averaging | None = None
    accumulation: Some = 1
    start_from: str | Arm | FreshStart = FreshStart()
    keep_weights: Some = field(default=0, metadata={"in_fingerprint": False})
    objective: Objective | None = field(default=None, metadata={"in_fingerprint": "when set"})
    adapter: Adapter | None = field(default=None, metadata={"in_fingerprint": "when set"})

    def __post_init__(self) -> None:
        """Fill in what depends on size, then check."""
        if self.batch_tokens is None and isinstance(self.budget, Budget) and isinstance(self.model, Model):
            object.__setattr__(self, "batch_tokens", _default_batch_tokens(self.budget, self.model.context_tokens))
        if self.optimizer is None and isinstance(self.model, Model):
            # A rate that was good at width 128, falling with the square root of the width.
            rate = round(0.004 * math.sqrt(128 / max(self.model.root.stream_width, 1)), 6)
            object.__setattr__(self, "optimizer", AdamW(learning_rate=rate))
        super().__post_init__()

    def check(self) -> None:
        """Refuse a batch below one window or one that does not split into micro-batches."""
        if self.batch_tokens is None or self.batch_tokens < self.model.context_tokens:
            raise SpecError("batch_tokens", f"found {self.batch_tokens}", "one window of model.context_tokens or more")
        if self.accumulation < 1 or self.batch_windows % self.accumulation:
            found = f"{self.accumulation} parts of {self.batch_windows} windows"
            raise SpecError("accumulation", found, "a divisor of the windows of a batch is needed")
        if not (self.keep_weights == 0 or 2 <= self.keep_weights <= _MOST_KEPT):
            found, allowed = f"found {self.keep_weights}", f"0, or 2 to {_MOST_KEPT:,}: the first step and the last"
            raise SpecError("keep_weights", found, allowed)
        if not any(isinstance(measure, LossByPosition) for measure in self.measures):
            raise SpecError("measures", "no LossByPosition", "verdicts are read from it")
        names = [measure.recorded_as for measure in self.measures]
        for place, name in enumerate(names):
            if name in names[:place]:
                found = f"a second {type(self.measures[place]).__name__}"
                raise SpecError(f"measures.{place}", found, "one of a kind is recorded")

    def validate(self) -> None:
        """Raise SpecError where model, data and measures do not fit each other.

        Not in `check`: varying an experiment may change two of them one after the other.
        """
        try:
            self.model.validate()
        except SpecError as error:
            raise error.within("model") from None
        if self.adapter is not None:
            self._validate_adapter(self.adapter)
        for visit in self.model.visits():
            if isinstance(visit.element, Exit) and visit.element.offset > self.model.context_tokens:
                found = f"{visit.element.offset} tokens ahead in a context of {self.model.context_tokens}"
                raise SpecError(f"model.{visit.where}.offset", found, "no position of a window has such a token")
        try:
            check_alignment(self.model.context_tokens, self.data.align_tokens)
        except DataError as error:
            raise SpecError(error.where, error.found, error.allowed, error.do) from None
        if (reach := self.model.reach()) < self.data.reach_tokens:
            found, allowed = f"sees {reach} tokens", f"{self.data.reach_tokens} are needed: {self.data.describe()}"
            raise SpecError("model", found, allowed, "widen a window, add a block, or ask for less")
        for measure in self.measures:
            measure.check_fits(model=self.model, source=self.data)
            measure.declared()
        if self.objective is not None:
            self.objective.check_fits(self.model)
            if self.objective.reads_start and not isinstance(self.start_from, str | Arm):
                found = f"{type(self.objective).__name__} reads the run that training starts from"
                raise SpecError("objective", found, "a finished run is needed", "name one in start_from, or a teacher")

    def _validate_adapter(self, adapter: Adapter) -> None:
        if not isinstance(self.start_from, str | Arm):
            found = f"{type(adapter).__name__} on a model with new weights"
            do = "train the model first, and name its run in start_from"
            raise SpecError("adapter", found, "a finished run is needed: its weights are frozen", do)
        try:
            adapter.check_fits(self.model)
        except SpecError as error:
            raise error.within("adapter") from None
        for place, measure in enumerate(self.measures):
            if adapter.hides_weights and measure.looks_at_weights:
                found = f"{type(measure).__name__} with a {type(adapter).__name__}"
                allowed = "the weights of attention over its keys and the text's are not seen"
                raise SpecError(f"measures.{place}", found, allowed, "leave the measure out")

    def num_parameters(self, vocabulary: int) -> int:
        """Of the model and its adapter, if there is one."""
        added = 0 if self.adapter is None else self.adapter.num_parameters(self.model, vocabulary)
        return self.model.num_parameters(vocabulary) + added

    def num_trained_parameters(self, vocabulary: int) -> int:
        """Those that the optimizer changes: the adapter's, or all."""
        if self.adapter is None:
            return self.model.num_parameters(vocabulary)
        return self.adapter.num_parameters(self.model, vocabulary)

    def flops_per_token(self, vocabulary: int) -> float:
        """Useful FLOPs of training, per token, at full context."""
        if self.adapter is None:
            return self.model.flops_per_token(vocabulary)
        return self.adapter.training_flops_per_token(self.model, vocabulary)

    def executed_flops_per_token(self, vocabulary: int, kernels: Mapping[str, str] | None = None) -> float:
        """FLOPs of training that are really computed: masked scores of kernels, too. See `Model`."""
        executed = self.model.executed_flops_per_token(vocabulary, kernels)
        if self.adapter is None:
            return executed
        return executed - self.model.flops_per_token(vocabulary) + self.flops_per_token(vocabulary)

    @property
    def batch_windows(self) -> int:
        """Windows in a batch."""
        return max(1, (self.batch_tokens or 0) // self.model.context_tokens)

    @property
    def tokens_per_step(self) -> int:
        """Tokens that a step really takes: whole windows."""
        return self.batch_windows * self.model.context_tokens

    def kept_steps(self, stages_steps: Sequence[int]) -> list[int]:
        """After which steps of a training the weights are kept, rising; each stage as if it stood alone.

        >>> experiment.kept_steps((100,))                        # doctest: +SKIP
        [0, 1, 10, 100]
        """
        steps, before = set(), 0
        for num_steps in stages_steps if self.keep_weights else ():
            steps |= {before + step for step in log_spaced_steps(num_steps, self.keep_weights)}
            before += num_steps
        return sorted(steps)

    @property
    def loss_by_position(self) -> LossByPosition:
        """The measure that verdicts are read from."""
        return next(measure for measure in self.measures if isinstance(measure, LossByPosition))


def _default_batch_tokens(budget: Budget, context_tokens: int) -> int:
    tokens = budget.tokens or 4_000_000
    # Small runs want many steps: at 1M tokens, 1,024 a step ended 0.06 nats ahead of 2,048 (width 128, one seed).
    wanted = 2 ** round(math.log2(math.sqrt(tokens)))
    return max(context_tokens, min(65_536, max(1024, wanted)))
