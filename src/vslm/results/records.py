"""The records of a study's folder as types: study.json, done.json, verdict.json, and the noise card.

They are read and written here alone (`typed.py` says how), in one format with a number, `FORMAT`. A folder from before
a field was there is read without it.

Not for: files. `folder.py` opens them, and says what is torn or changed.
"""

from dataclasses import dataclass
from typing import Any

from vslm.results.primary import PrimaryNumber
from vslm.results.shapes import (
    DESIGN,
    DIFFERENT,
    ERROR,
    FACTOR,
    INTERVAL,
    LIST,
    NOT_NEGATIVE,
    NUMBER,
    NUMBER_OR_NOTHING,
    OBJECT,
    OBJECT_OR_NOTHING,
    PLAN,
    POSITIONS,
    POSITIVE,
    PRIMARY,
    SEED,
    SIZE,
    SOME,
    TEXT,
    TEXT_OR_NOTHING,
    TRUE_OR_FALSE,
    VERDICT,
    WHOLE,
    WHOLE_OR_NOTHING,
    Rule,
    one_of,
)
from vslm.results.typed import Record, held, told

FORMAT = 1  # of study.json; raised when an older reader could not make sense of a newer folder

_PRIMARY_PARTS = (
    Rule("measure", TEXT, needed_to="judge"),
    *(Rule(name, TEXT) for name in ("number", "unit", "title")),
    Rule("higher_is_better", TRUE_OR_FALSE),
    Rule("smallest_effect", NOT_NEGATIVE, needed_to="judge"),
    Rule("positions", POSITIONS, needed_to="judge"),
    Rule("largest_difference", NOT_NEGATIVE),
)


@dataclass(kw_only=True)
class RunEnd(Record):
    """How a run ended: done.json.

    Attributes:
        status: "done" or "diverged".
        fingerprint: names the job; a run counts in a study that gives it this name.
        step: the last one.
        tokens: trained on. flops: of that. seconds: of its training steps.
        first_step_seconds: of the first step of the process that ended it.
        step_core_seconds: of cores for a step of that process, without its first one, on average.
        compile_seconds: that this process spent on compiling, and on loading what was compiled before.
        graphs_compiled: how many it compiled, not loaded.
        worked_seconds: that this process spent in training steps and measures.
        val_loss, val_bpb: at the end, nats per token and bits per byte; None in a run that was made to choose.
        select_loss, select_bpb: the same of a run that was made to choose.
        diverged_step: where the loss was not finite; None in a run that ended well.
        weights_bytes: of weights.safetensors.
        declared: what its measures say of their arrays, by the name that they are recorded as.
        parents: SHA-256 of the weights of the runs of the same study that it read, by ARM/seedK.
        files: SHA-256 by name.
        digest: of the record itself.
    """

    status: str = held(one_of("done", "diverged"), needed_to="judge")
    fingerprint: str | None = held(TEXT_OR_NOTHING)
    step: int | None = held(WHOLE)
    tokens: float | None = held(NOT_NEGATIVE)
    flops: float | None = held(NOT_NEGATIVE)
    seconds: float | None = held(NOT_NEGATIVE)
    first_step_seconds: float | None = held(NOT_NEGATIVE, when_set=True)
    step_core_seconds: float | None = held(NOT_NEGATIVE, when_set=True)
    compile_seconds: float | None = held(NOT_NEGATIVE, when_set=True)
    graphs_compiled: int | None = held(WHOLE, when_set=True)
    worked_seconds: float | None = held(NOT_NEGATIVE, when_set=True)
    val_loss: float | None = held(NUMBER_OR_NOTHING, when_set=True)
    val_bpb: float | None = held(NUMBER_OR_NOTHING, when_set=True)
    select_loss: float | None = held(NUMBER_OR_NOTHING, when_set=True)
    select_bpb: float | None = held(NUMBER_OR_NOTHING, when_set=True)
    diverged_step: int | None = held(WHOLE_OR_NOTHING)
    weights_bytes: int | None = held(WHOLE)
    declared: dict[str, Any] = held(OBJECT, when_set=True)
    parents: dict[str, str] = held(OBJECT, each=TEXT, when_set=True)
    files: dict[str, str] = held(OBJECT, each=TEXT)
    digest: str | None = held(TEXT, when_set=True)

    @property
    def ended_well(self) -> bool:
        """Whether it did not diverge."""
        return self.status == "done"


@dataclass(kw_only=True)
class SettingsRecord(Record):
    """What was chosen once for all runs: where and how they are computed, and how many at the same time.

    Attributes:
        compiled_from_tokens: a run that is the only one of its arm is compiled from so many tokens on.
        compile_seconds: of all arms together.
        rates: tokens per second of a core's time, by setting, as they were timed.
    """

    device: str = held(TEXT, needed_to="run")
    precision: str = held(TEXT, needed_to="run")
    compiled: bool = held(TRUE_OR_FALSE, needed_to="run")
    threads: int = held(POSITIVE, needed_to="run")
    fused_attention: bool | None = held(TRUE_OR_FALSE)
    workers: int = held(POSITIVE, needed_to="judge")
    rates: dict[str, Any] = told(OBJECT)
    compile_seconds: float | None = held(NOT_NEGATIVE)
    compiled_from_tokens: float | None = held(NOT_NEGATIVE)


@dataclass(kw_only=True)
class SpentRecord(Record):
    """What one command spent on the runs of a study.

    Attributes:
        seconds: from its start to the end of the last run.
        seconds_to_first_step: from its start to the first training step.
        worked_seconds: of cores in training steps and measures.
        cores: that its runs could use.
    """

    seconds: float | None = held(NOT_NEGATIVE)
    seconds_to_first_step: float | None = held(NOT_NEGATIVE, when_set=True)
    worked_seconds: float | None = held(NOT_NEGATIVE)
    cores: float | None = held(NOT_NEGATIVE)


@dataclass(kw_only=True)
class PlanRecord(Record):
    """The planned looks: numbers of seeds, the error that each spends, and what is kept for what nobody planned."""

    looks: list[int] = held(SOME, needed_to="judge", each=POSITIVE)
    errors: list[float] = held(SOME, needed_to="judge", each=ERROR)
    reserve: float = held(NOT_NEGATIVE, needed_to="judge")


@dataclass(kw_only=True)
class SplitRecord(Record):
    """One split of a corpus."""

    num_tokens: int | None = held(WHOLE)
    num_bytes: int | None = held(WHOLE)
    num_documents: int | None = told(WHOLE)


@dataclass(kw_only=True)
class CorpusRecord(Record):
    """A corpus as `meta.json` describes it; what readers of a study do not ask for is in `others`."""

    description: str | None = told(TEXT)
    vocabulary: int = held(POSITIVE)
    tokenizer_fingerprint: str | None = told(TEXT)
    sha256: dict[str, str] = held(OBJECT, when_set=True)
    splits: dict[str, SplitRecord] = held(OBJECT, when_set=True)
    read: list[str] = told(LIST, each=TEXT)


@dataclass(kw_only=True)
class TimedRecord(Record):
    """Tokens per second of an arm and of the baseline, side by side in one sitting."""

    tokens_per_second: float | None = told(SIZE)
    baseline_tokens_per_second: float | None = told(SIZE)


@dataclass(kw_only=True)
class ArmRecord(Record):
    """One arm of a study: what it is, and how its runs are named.

    Attributes:
        experiment: the declaration, as `to_plain` writes it.
        differences: from the baseline: path, value there, value here.
        num_trained_parameters: of an adapter beside a finished model; None where all are trained.
        corpus: its fingerprint.
        bytes_per_token: of what is scored of the validation text.
        start_sha256: of the weights that it starts from. objective_sha256: of those that its objective reads.
        objective_corpora: fingerprints of the corpora that its objective reads beside its own.
        seeds_sha256: where what is read differs by seed, of the weights of every run that is read by its folder, by
            that folder; `objective_sha256` is then of other files.
        own_code: a digest of every part of the user's code that it uses; None in folders from before they were kept.
        stages_tokens: of each stage of a run. tokens: of all.
        addition: 0 for an arm of the beginning, n for one that was added the n-th time that arms were.
        kernels: of attention, by block.
        runs: the fingerprint that a run needs to count, by seed; runs_by_budget: the same at other budgets.
        reads: the arms and trunks of the study that it starts from or learns from.
    """

    own_code: dict[str, str] | None = told(OBJECT_OR_NOTHING, when_set=True)
    experiment: dict[str, Any] = held(OBJECT, needed_to="run")
    fingerprint: str = held(TEXT, needed_to="run")
    differences: list[Any] = held(LIST, needed_to="run")
    num_parameters: int = held(WHOLE, needed_to="judge")
    num_trained_parameters: int | None = told(WHOLE, when_set=True)
    num_parameters_without_embeddings: float | None = held(NUMBER)
    flops_per_token: float = held(NOT_NEGATIVE, needed_to="run")
    corpus: str = held(TEXT, needed_to="run")
    bytes_per_token: float = held(SIZE, needed_to="judge")
    start_sha256: str | None = held(TEXT_OR_NOTHING, needed_to="run")
    seeds_sha256: dict[str, str] = held(OBJECT, each=TEXT, when_set=True)
    objective_sha256: list[str] = told(LIST, each=TEXT, when_set=True)
    objective_corpora: list[str] = told(LIST, each=TEXT, when_set=True)
    stages_tokens: list[int] = held(SOME, needed_to="judge", each=POSITIVE)
    tokens: int = held(POSITIVE, needed_to="run")
    addition: int | None = told(WHOLE)
    timed: TimedRecord | None = held(OBJECT_OR_NOTHING)
    kernels: dict[str, str] = held(OBJECT)
    executed_flops_per_token: float | None = held(NOT_NEGATIVE)
    screened_out: bool | None = held(TRUE_OR_FALSE)
    runs: dict[str, str] = held(OBJECT, needed_to="judge", each=TEXT)
    runs_by_budget: dict[str, dict[str, str]] = held(OBJECT, each=OBJECT, inner=TEXT)
    reads: list[str] = held(LIST, each=TEXT, when_set=True)


@dataclass(kw_only=True)
class ScreenedArm(Record):
    """What an arm came to in the screening.

    Attributes:
        value: the primary number on `select`; None where it diverged.
        difference: from the baseline's.
        role: "baseline", "control", "kept" or "screened out".
    """

    value: float | None = held(NUMBER_OR_NOTHING)
    difference: float | None = held(NUMBER_OR_NOTHING)
    status: str | None = told(TEXT)
    role: str = held(TEXT, needed_to="judge")
    tokens: int | None = held(WHOLE)
    fingerprint: str | None = told(TEXT)
    words: str | None = told(TEXT, when_set=True)


@dataclass(kw_only=True)
class ScreeningRecord(Record):
    """What a screening came to; decided once. `confirmed`: the arms that are judged."""

    seed: int | None = told(WHOLE)
    split: str | None = told(TEXT)
    budget_fraction: float | None = held(FACTOR)
    confirmed: list[str] = held(LIST, needed_to="run", each=TEXT)
    arms: dict[str, ScreenedArm] = held(OBJECT, needed_to="run")


@dataclass(kw_only=True)
class RaceStanding(Record):
    """A race after some seeds. `leader`: the arm that was ahead; None where no two runs could be compared."""

    seeds: list[int] = held(LIST, needed_to="run", each=SEED, also=DIFFERENT)
    leader: str | None = told(TEXT_OR_NOTHING)


@dataclass(kw_only=True)
class DroppedArm(Record):
    """An arm of a race that got no further seeds, and has no verdict for it.

    Attributes:
        seeds: those that it had. leader: the arm that was ahead then.
        behind: how far it was behind the leader, mean over these seeds, above 0; None where a run diverged.
        least: how far it was behind at the least; below 0 it could have been ahead, by less than the smallest effect.
        difference: from the baseline, mean over these seeds, in the number's own sign.
        words: all that as a sentence.
    """

    seeds: list[int] = held(SOME, needed_to="judge", each=SEED, also=DIFFERENT)
    leader: str | None = told(TEXT_OR_NOTHING)
    behind: float | None = told(NUMBER_OR_NOTHING)
    least: float | None = told(NUMBER_OR_NOTHING)
    difference: float | None = told(NUMBER_OR_NOTHING)
    words: str | None = told(TEXT)


@dataclass(kw_only=True)
class RacingRecord(Record):
    """What a race came to so far; each standing is decided once. `dropped`: by arm."""

    standings: list[RaceStanding] = held(LIST, needed_to="run")
    dropped: dict[str, DroppedArm] = held(OBJECT, needed_to="judge")


@dataclass(kw_only=True)
class TriedRate(Record):
    """One learning rate of a search: the primary number of each run, None where it diverged, and their mean."""

    rate: float = held(SIZE)
    value: float | None = held(NUMBER_OR_NOTHING)
    values: list[float | None] = held(LIST, each=NUMBER_OR_NOTHING)


@dataclass(kw_only=True)
class SearchRecord(Record):
    """A search for an arm's learning rate.

    Attributes:
        center: the arm's own rate. chosen: the one that it is judged at. best: of those that were tried.
        expected: the primary number there.
        edge: "low" or "high" where the best is the last that was tried.
    """

    split: str | None = told(TEXT)
    seeds: list[int] = told(LIST, each=WHOLE)
    center: float = held(SIZE, needed_to="run")
    chosen: float = held(SIZE, needed_to="run")
    expected: float | None = told(NUMBER_OR_NOTHING)
    best: float | None = told(NUMBER_OR_NOTHING)
    edge: str | None = told(TEXT_OR_NOTHING)
    num_widenings: int | None = told(WHOLE)
    rates: list[TriedRate] = held(LIST)


@dataclass(kw_only=True)
class PilotRun(Record):
    """What a pilot saw of one run.

    Attributes:
        gain_nats: what its context was worth to it at its end. sem_nats: its standard error over windows.
        onset_after_tokens, onset_tokens: since when, between two evaluations; None: not, or nothing tells.
        fall_nats: how much its loss fell over the last doubling of its tokens.
        val_loss: at its end.
    """

    gain_nats: float | None = told(NUMBER)
    sem_nats: float | None = told(NUMBER_OR_NOTHING)
    has_begun: bool | None = told(TRUE_OR_FALSE)
    onset_after_tokens: int | None = told(WHOLE, when_set=True)
    onset_tokens: int | None = told(WHOLE, when_set=True)
    fall_nats: float | None = told(NUMBER, when_set=True)
    val_loss: float | None = told(NUMBER)


@dataclass(kw_only=True)
class PilotRecord(Record):
    """Whether the baseline had begun to use its context before the others were judged; asked once.

    Attributes:
        seeds: how many are asked, as declared. gain_nats: the least gain.
        has_begun: whether every one has; None before it was asked.
        goes_on: whether the study goes on although one has not.
        tokens: of a run. past_tokens: runs of fewer are judged before the baseline has begun in every seed.
        runs: by seed.
        loss_sd_nats: of the final losses over the seeds.
        enough_tokens: that would do. basis: "some" or "none" have begun. more_minutes: what that costs the study.
        words: what was seen, as a sentence.
    """

    seeds: int = held(POSITIVE)
    gain_nats: float = held(NOT_NEGATIVE)
    has_begun: bool | None = held(TRUE_OR_FALSE)
    goes_on: bool | None = held(TRUE_OR_FALSE)
    tokens: int | None = told(WHOLE, when_set=True)
    past_tokens: int | None = held(WHOLE, when_set=True)
    runs: dict[str, PilotRun] = held(OBJECT, when_set=True)
    loss_sd_nats: float | None = told(NUMBER, when_set=True)
    enough_tokens: int | None = told(WHOLE, when_set=True)
    basis: str | None = told(TEXT, when_set=True)
    more_minutes: float | None = told(NUMBER, when_set=True)
    words: str | None = told(TEXT, when_set=True)


@dataclass(kw_only=True)
class FactorialRecord(Record):
    """The factors of a study, and the combinations of them that are its arms.

    Attributes:
        factors: by name what each changes of the baseline, as `to_plain` writes it.
        interactions: that are judged: pairs of factors.
        kind: "full", "fraction" or "plackett-burman". words: the design in sentences.
        cells: by arm the factors that are on in it.
        mixed: by effect of a factor or of two, the effects of more that cannot be told from it.
    """

    factors: dict[str, dict[str, Any]] = held(OBJECT, needed_to="judge", each=OBJECT)
    interactions: list[list[str]] = held(LIST, each=LIST)
    kind: str | None = told(TEXT)
    words: list[str] = told(LIST, each=TEXT)
    cells: dict[str, list[str]] = held(OBJECT, needed_to="judge", each=LIST)
    mixed: dict[str, list[str]] = told(OBJECT, each=LIST)


@dataclass(kw_only=True)
class StudyRecord(Record):
    """A study: what was declared, and what was chosen for it: study.json.

    Attributes:
        trunks: what is trained for arms to start or learn from, and not judged; their `runs` hold the seeds of runs
            that are made to choose, too.
        primary: what it is judged by.
        match: what arms have equal: "tokens", "flops" or "time".
        equal: what their models have equal; unequal: arms that are let off it.
        screen, tune, race: as declared, as `to_plain` writes them. screening, tuning, racing: what came of them.
        tuned: whether every arm that is judged has its learning rate.
        budgets: multiples of the budget that arms are judged at.
        pilot: what is asked of the baseline first, and what came of it; None where nothing is.
        estimate: how long it was to take when it began. spent: what each command took that trained.
        factorial: the factors whose combinations the arms are; None for a study of arms.
        fingerprint: of all arms.
    """

    format: int | None = told(WHOLE)
    name: str | None = held(TEXT_OR_NOTHING)
    question: str = held(TEXT, needed_to="judge")
    prediction: str | None = held(TEXT_OR_NOTHING, needed_to="run")
    baseline: str = held(TEXT, needed_to="judge")
    arms: dict[str, ArmRecord] = held(OBJECT, needed_to="judge")
    trunks: dict[str, ArmRecord] = held(OBJECT, when_set=True)
    seeds: list[int] = held(LIST, needed_to="judge", each=SEED, also=DIFFERENT)
    primary: PrimaryNumber = held(OBJECT, needed_to="judge", reads=PrimaryNumber.of, parts=_PRIMARY_PARTS, also=PRIMARY)
    match: str | None = held(TEXT_OR_NOTHING, needed_to="run")
    screen: dict[str, Any] | None = told(OBJECT_OR_NOTHING)
    tune: dict[str, Any] | None = told(OBJECT_OR_NOTHING)
    race: dict[str, Any] | None = told(OBJECT_OR_NOTHING, when_set=True)
    budgets: list[float] = held(LIST, each=FACTOR, also=DIFFERENT)
    screening: ScreeningRecord | None = held(OBJECT_OR_NOTHING, when_set=True)
    tuning: dict[str, SearchRecord] = held(OBJECT, when_set=True)
    racing: RacingRecord | None = held(OBJECT_OR_NOTHING, when_set=True)
    estimate: dict[str, Any] = told(OBJECT, when_set=True)
    spent: list[SpentRecord] = held(LIST, when_set=True)
    tuned: bool | None = told(TRUE_OR_FALSE)
    pilot: PilotRecord | None = held(OBJECT_OR_NOTHING, when_set=True)
    equal: str | None = held(TEXT_OR_NOTHING)
    unequal: list[str] = held(LIST, each=TEXT)
    factorial: FactorialRecord | None = held(OBJECT_OR_NOTHING, when_set=True, also=DESIGN)
    plan: PlanRecord = held(OBJECT, needed_to="judge", also=PLAN)
    settings: SettingsRecord = held(OBJECT, needed_to="judge")
    tokens_per_second: float = held(SIZE, needed_to="run")
    corpora: dict[str, CorpusRecord] = held(OBJECT, needed_to="run")
    fingerprint: str | None = held(TEXT_OR_NOTHING)
    vslm_version: str | None = held(TEXT_OR_NOTHING)
    created: str | None = held(TEXT_OR_NOTHING, needed_to="run")
    digest: str | None = held(TEXT_OR_NOTHING, when_set=True)

    def corpus_of(self, arm: str) -> CorpusRecord:
        """The corpus of an arm or a trunk; an empty record where there is none."""
        return self.corpora.get(self.row(arm).corpus) or CorpusRecord()

    def row(self, name: str) -> ArmRecord:
        """Of an arm, or of a trunk."""
        return self.arms[name] if name in self.arms else self.trunks[name]

    @property
    def confirmed(self) -> list[str]:
        """The arms that are judged: those that a screening kept, or all."""
        return list(self.arms) if self.screening is None else self.screening.confirmed

    @property
    def dropped(self) -> dict[str, DroppedArm]:
        """The arms that a race has dropped."""
        return {} if self.racing is None else self.racing.dropped

    @property
    def in_race(self) -> list[str]:
        """The judged arms that get further seeds: none when nothing is left to be judged against the baseline."""
        left = [arm for arm in self.confirmed if arm not in self.dropped]
        return [] if self.dropped and left == [self.baseline] else left

    def seeds_of(self, arm: str) -> list[int]:
        """The seeds that an arm is run with: all, or those of an arm that a race has dropped."""
        if arm in self.dropped:
            return self.dropped[arm].seeds
        if arm in self.confirmed and arm not in self.in_race:  # the baseline, when all others were dropped
            return max((row.seeds for row in self.dropped.values()), key=len)
        return self.seeds


@dataclass(kw_only=True)
class Estimate(Record):
    """One look at one arm, or at how its difference goes with the budget, in the number's own sign.

    Attributes:
        seeds: how many pairs. of: which.
        delta: mean paired difference. interval: its ends, None for infinity; it holds together with all others.
        error: that was spent. sd: of the differences.
        remarks: what is to be known with it.
    """

    seeds: int = held(WHOLE, needed_to="judge")
    of: list[int] = told(LIST, each=WHOLE)
    delta: float | None = held(NUMBER_OR_NOTHING, needed_to="judge")
    interval: list[float | None] = held(INTERVAL, needed_to="judge")
    error: float | None = held(NUMBER_OR_NOTHING, needed_to="judge")
    verdict: str = held(VERDICT, needed_to="judge")
    sd: float | None = told(NUMBER_OR_NOTHING)
    remarks: list[str] = told(LIST, each=TEXT)


@dataclass(kw_only=True)
class Pair(Record):
    """The primary number of both runs of a seed, and arm minus baseline."""

    baseline: float | None = told(NUMBER)
    arm: float | None = told(NUMBER)
    difference: float | None = told(NUMBER)


@dataclass(kw_only=True)
class RateCostRecord(Record):
    """How much either side may gain at its best learning rate; None for a rate at the edge of what was tried."""

    arm: float | None = told(NUMBER_OR_NOTHING)
    baseline: float | None = told(NUMBER_OR_NOTHING)


@dataclass(kw_only=True)
class ArmVerdict(Record):
    """What is known of one arm at one budget.

    Attributes:
        verdict, delta, interval, seeds: of the look that stands.
        words: the verdict as a sentence.
        diverged: seeds at which either run diverged.
        minutes_to_resolve: after which half of such studies are decided; minutes_to_resolve_nine_in_ten: nine in ten.
        flops, seconds: means over its runs.
        looks: all that were taken.
        per_seed: by seed.
    """

    verdict: str | None = held(VERDICT, needed_to="judge")
    words: str | None = told(TEXT)
    delta: float | None = held(NUMBER_OR_NOTHING, needed_to="judge")
    interval: list[float | None] | None = held(INTERVAL)
    seeds: list[int] = told(LIST, each=WHOLE)
    diverged: list[int] = told(LIST, each=WHOLE)
    smallest_effect: float | None = told(NUMBER_OR_NOTHING)
    minutes_to_resolve: float | None = told(NUMBER_OR_NOTHING)
    minutes_to_resolve_nine_in_ten: float | None = told(NUMBER_OR_NOTHING)
    tokens: int | None = told(NUMBER_OR_NOTHING)
    num_parameters: int | None = told(NUMBER_OR_NOTHING)
    flops: float | None = told(NUMBER_OR_NOTHING)
    seconds: float | None = told(NUMBER_OR_NOTHING)
    addition: int | None = told(WHOLE)
    rate_cost: RateCostRecord = told(OBJECT)
    looks: list[Estimate] = held(LIST, needed_to="judge")
    per_seed: dict[str, Pair] = told(OBJECT)


@dataclass(kw_only=True)
class EffectVerdict(ArmVerdict):
    """What is known of the effect of a factor, or of how much one depends on another; as of an arm.

    `per_seed` holds means over runs: of a factor those with it (`arm`) and those without (`baseline`); of an
    interaction the effect of its first factor where the second is on, and where it is off. `flops` and `seconds` are of
    the runs with a factor.

    Attributes:
        factors: one or two.
    """

    factors: list[str] = held(LIST, each=TEXT)


@dataclass(kw_only=True)
class InteractionRecord(Record):
    """An interaction of two factors that was not declared; no verdict.

    Attributes:
        delta, interval: Student's, together with all others of them.
        mixed: interactions that it cannot be told from.
        is_seen: whether its interval leaves out 0.
        words: a warning, where it is seen.
    """

    delta: float | None = told(NUMBER_OR_NOTHING)
    interval: list[float | None] | None = told(INTERVAL)
    seeds: list[int] = told(LIST, each=WHOLE)
    mixed: list[str] = told(LIST, each=TEXT)
    is_seen: bool | None = told(TRUE_OR_FALSE)
    words: str | None = told(TEXT, when_set=True)


@dataclass(kw_only=True)
class ShareRecord(Record):
    """How many runs of an arm got going, of how many, with the exact 95% interval of that share."""

    going: int | None = told(WHOLE)
    seeds: int | None = told(WHOLE)
    interval: list[float | None] | None = told(INTERVAL)


@dataclass(kw_only=True)
class KindsRecord(Record):
    """Whether runs are of two kinds: `state` "one", "unknown" or "two"; `between`: the number that parts them."""

    state: str | None = told(TEXT)
    between: float | None = told(NUMBER, when_set=True)
    arms: dict[str, ShareRecord] = told(OBJECT, when_set=True)


@dataclass(kw_only=True)
class MissingRun(Record):
    """A run that the verdict lacks, and why; None: it is not finished."""

    arm: str | None = told(TEXT)
    seed: int | None = told(WHOLE)
    why: str | None = told(TEXT_OR_NOTHING)


@dataclass(kw_only=True)
class BudgetVerdict(Record):
    """All arms at one budget.

    Attributes:
        missing: the runs that it lacks; in the whole verdict those of all budgets.
        is_early: whether runs end before the baseline has begun to use its context, as far as a pilot tells.
    """

    is_early: bool | None = told(TRUE_OR_FALSE, when_set=True)
    arms: dict[str, ArmVerdict] = held(OBJECT, needed_to="judge")
    baseline_per_seed: dict[str, float | None] = told(OBJECT, each=NUMBER_OR_NOTHING)
    kinds: KindsRecord = told(OBJECT)
    missing: list[MissingRun] = told(LIST)


@dataclass(kw_only=True)
class TrendRecord(Record):
    """How an arm's difference goes from the smallest budget to the largest."""

    trend: str | None = told(TEXT)
    words: str | None = told(TEXT)
    change: float | None = told(NUMBER_OR_NOTHING)
    interval: list[float | None] | None = told(INTERVAL)
    budgets: list[float] = told(LIST, each=NUMBER)
    tokens: list[int] = told(LIST, each=NUMBER)
    num_parameters: int | None = told(NUMBER_OR_NOTHING)
    seeds: list[int] = told(LIST, each=WHOLE)
    looks: list[Estimate] = held(LIST)


@dataclass(kw_only=True)
class Verdict(BudgetVerdict):
    """The verdict of a study: verdict.json. What it says at a budget of one, and in `budgets` at the others by name.

    Attributes:
        effects: of a study with factors, in place of arms. undeclared: interactions that were not declared, by name.
        cells: the primary number of every run of a study with factors, by arm and seed.
    """

    question: str | None = told(TEXT)
    baseline: str | None = told(TEXT)
    primary: PrimaryNumber = told(OBJECT, reads=PrimaryNumber.of)
    budgets: dict[str, BudgetVerdict] = held(OBJECT)
    trends: dict[str, TrendRecord] = held(OBJECT)
    screened_out: dict[str, ScreenedArm] = told(OBJECT)
    effects: dict[str, EffectVerdict] = held(OBJECT, when_set=True)
    undeclared: dict[str, InteractionRecord] = told(OBJECT, when_set=True)
    cells: dict[str, dict[str, float | None]] = told(OBJECT, when_set=True, each=OBJECT, inner=NUMBER_OR_NOTHING)
    dropped: dict[str, DroppedArm] = told(OBJECT, when_set=True)


@dataclass(kw_only=True)
class NoiseCard(Record):
    """What `vslm noise` found about a machine."""

    flops_per_second: float = held(SIZE, needed_to="judge")
    paired_sd: float = held(NOT_NEGATIVE, needed_to="judge")
