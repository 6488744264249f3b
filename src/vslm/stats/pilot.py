"""What a pilot says: whether runs have begun to use their context, since when, and how many tokens would do.

A model learns first how often tokens occur and which follows which. That more than the last token tells what comes it
learns later, in one run sooner than in another, by luck. Runs that end in between are of two kinds, and their
differences are about which of them got going: in `docs/findings/layer-sizes.md` the SD of a paired difference was 0.085
nats at 221k tokens and 0.014 at 885k.

    gain = C(1) - C(T)        loss of the same targets from the last token alone, and from all that is there

Pure numbers, and the sentences that are made of them. Who measures is `vslm.measure.context_gain`, who asks
`lab/pilot.py`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vslm.core.numbers import plural, short_count
from vslm.stats.context_learning import Onset, onset

_SURE_SDS = 2.0
_PAST = 4.0
"""A budget at which some runs have begun and others have not, times this, is past it. Seen in two studies: 221k and
885k tokens in `docs/findings/layer-sizes.md` (a sixth of the scatter), 540k and 1.75M in `docs/findings/quickstart.md`
(a tenth).
"""
_DIGITS = 2  # of a number of tokens that is a guess


@dataclass(frozen=True)
class Seen:
    """What a pilot saw of one run at its end.

    Args:
        gain_nats: what its context was worth to it.
        sem_nats: its standard error over windows.
        has_begun: see `has_begun`.
        onset: in tokens, since when; None: it has not, or nothing tells.
    """

    gain_nats: float
    sem_nats: float
    has_begun: bool
    onset: Onset | None = None


def has_begun(gain_nats: float, sem_nats: float, least_nats: float) -> bool:
    """Whether a gain is at least so large, and further from 0 than twice its standard error.

    >>> has_begun(0.3, 0.05, 0.25), has_begun(0.2, 0.05, 0.25), has_begun(0.3, 0.2, 0.25)
    (True, False, False)
    """
    return gain_nats >= least_nats and gain_nats > _SURE_SDS * sem_nats


def late_positions(context_tokens: int, weight_T: np.ndarray | None = None) -> np.ndarray:
    """The positions whose targets are asked about: those with at least half of the context before them; where none of
    these counts, all that count.

    Shapes: True or False, [T].

    >>> late_positions(5).tolist(), late_positions(3, np.array([2.0, 0.0, 0.0])).tolist()
    ([False, False, True, True, True], [True, False, False])
    """
    counts_T = np.ones(context_tokens, dtype=bool) if weight_T is None else np.asarray(weight_T) > 0
    late_T = counts_T & (np.arange(context_tokens) >= context_tokens // 2)
    return late_T if late_T.any() else counts_T


def mean_and_error(values_N: np.ndarray, weights_N: np.ndarray) -> tuple[float, float]:
    """The weighted mean over windows and its standard error, of windows as wholes, since targets of one window share
    its text. The error is infinite for fewer than two.

        sem = sqrt(N / (N - 1) sum_n w_n^2 (x_n - mean)^2) / sum_n w_n

    >>> mean_and_error(np.array([1.0, 3.0]), np.array([5.0, 5.0]))
    (2.0, 1.0)
    """
    is_there = weights_N > 0
    values, weights = values_N[is_there].astype(float), weights_N[is_there].astype(float)
    count = len(values)
    if not count:
        return math.nan, math.inf
    mean = float((weights * values).sum() / weights.sum())
    if count < 2:
        return mean, math.inf
    squares = float(((weights * (values - mean)) ** 2).sum())
    return mean, math.sqrt(count / (count - 1) * squares) / float(weights.sum())


def onset_of_run(
    tokens_S: np.ndarray, late_loss_S: np.ndarray, *, alone_nats: float, gain_nats: float, least_nats: float
) -> Onset | None:
    """Since when a run's loss on late targets was `least_nats` below what its last token alone tells the finished model
    of the same targets; in tokens, between two evaluations. None: never, or it was not to the end.

    C(1) of the finished model stands for that of every step: it hardly moves once it is learned (4.00 to 4.10 from 200k
    to 1.9M tokens in `docs/findings/context-learning.md`), and before it is higher, so an onset is rather told too
    late.

    Args:
        tokens_S: of each evaluation, rising, the last one at the end of training.
        late_loss_S: on late targets; the last is of other windows than all others, so it is not compared with them.
        alone_nats: C(1) of the finished model on the targets of all evaluations but the last.
        gain_nats: at the end.
        least_nats: of a gain.
    """
    gain_S = alone_nats - np.asarray(late_loss_S, dtype=float)
    gain_S[-1] = gain_nats
    return onset(tokens_S, gain_S, above=least_nats)


def fall_per_doubling(tokens_S: np.ndarray, loss_S: np.ndarray) -> float:
    """By how many nats the loss fell per doubling of the tokens, over the last doubling that was evaluated on the same
    windows; not a number where there are not two such evaluations.

    The learning rate falls there, too, so a part of it is that.

    >>> fall_per_doubling(np.array([0, 10, 20, 40, 50]), np.array([7.0, 5.0, 4.0, 3.5, 9.0]))
    0.5
    """
    tokens, loss = np.asarray(tokens_S, dtype=float)[:-1], np.asarray(loss_S, dtype=float)[:-1]
    before = np.flatnonzero((tokens > 0) & (tokens <= tokens[-1] / 2)) if len(tokens) else np.array([])
    if not len(before):
        return math.nan
    half = int(before[-1])
    return float((loss[half] - loss[-1]) / math.log2(tokens[-1] / tokens[half]))


@dataclass(frozen=True)
class Enough:
    """How many tokens a run needs, as far as a pilot tells.

    Args:
        tokens: of a run.
        basis: "some": runs that have begun show when; "none": nothing does, it is the next that is worth a try.
    """

    tokens: int
    basis: Literal["some", "none"]


def enough_tokens(tokens: int, runs: Sequence[Seen]) -> Enough:
    """How many tokens would let every run be past the time at which runs begin.

        tokens * max(4, tokens / onset of the earliest)

    4 is what two studies needed (see `_PAST`). Where the earliest began long before this budget ended and another did
    not, seeds differ by that factor at the least, and it counts if it is larger.

    >>> never = Seen(0.0, 0.1, False)
    >>> late, early = Seen(0.4, 0.1, True, Onset(100, 150)), Seen(0.9, 0.1, True, Onset(8, 20))
    >>> enough_tokens(200, [late, never]), enough_tokens(200, [late, early, never])
    (Enough(tokens=800, basis='some'), Enough(tokens=2000, basis='some'))
    >>> enough_tokens(221_184, [never, never])
    Enough(tokens=890000, basis='none')
    """
    known = [run.onset.at for run in runs if run.has_begun and run.onset is not None and run.onset.at > 0]
    apart = tokens / min(known) if known else 1.0
    basis: Literal["some", "none"] = "some" if any(run.has_begun for run in runs) else "none"
    return Enough(_rounded_up(tokens * max(_PAST, apart)), basis)


def past_tokens(tokens: int, runs: Sequence[Seen], enough: Enough | None) -> int | None:
    """Runs of fewer tokens end before every run has begun: where all have, the latest onset that is known; where one
    has not, what would be enough. None: nothing tells.
    """
    if enough is not None:
        return enough.tokens
    known = [run.onset.at for run in runs if run.onset is not None]
    return min(tokens, max(known)) if known else None


def _rounded_up(tokens: float) -> int:
    step = 10 ** max(0, math.floor(math.log10(max(tokens, 1))) + 1 - _DIGITS)
    return math.ceil(round(tokens / step, 6)) * step


def onsets_in_words(onsets: Sequence[int], not_by: Sequence[int], tokens: int) -> str | None:
    """What earlier runs like these say of when a planned one begins; None where there were none.

    Args:
        onsets: tokens at which those that began did.
        not_by: lengths of runs of which not every seed had begun.
        tokens: of a planned run.

    >>> onsets_in_words([120_000, 300_000, 160_000], [], 221_000).split("; ")[0]
    'runs like this one began to use their context at about 160k tokens (120k to 300k, from 3 runs)'
    >>> onsets_in_words([120_000, 300_000, 160_000], [], 221_000).split("; ")[1]
    'yours have 221k, which was too few for some'
    >>> onsets_in_words([], [90_000, 221_000], 221_000)
    'no run like this one was seen to begin to use its context: not every seed had with 221k tokens; yours have 221k'
    """
    late = max(not_by, default=0)
    if not onsets:
        if not late:
            return None
        not_yet = f"not every seed had with {short_count(late)} tokens; yours have {short_count(tokens)}"
        return f"no run like this one was seen to begin to use its context: {not_yet}"
    low, high = min(onsets), max(onsets)
    at = sorted(onsets)[len(onsets) // 2]
    span = "" if low == high else f"{short_count(low)} to {short_count(high)}, "
    runs = plural(len(onsets), "run")
    words = f"runs like this one began to use their context at about {short_count(at)} tokens ({span}from {runs})"
    if tokens < low:
        judged = "which was too few for all of them"
    elif tokens < high or tokens <= late:
        judged = "which was too few for some"
    else:
        judged = "which was enough"
    return f"{words}; yours have {short_count(tokens)}, {judged}"


def in_words(arm: str, tokens: int, runs: Mapping[int, Seen]) -> str:
    """What was seen, without a full stop.

    >>> seen = {0: Seen(0.02, 0.05, False), 1: Seen(0.31, 0.05, True, Onset(64_000, 91_000)), 2: Seen(0.3, 0.1, True)}
    >>> in_words("full", 221_184, seen)
    'at 221k tokens 1 of 3 seeds of full has not begun to use its context (gain 0.02 nats; 0.31 and 0.30 in the others)'
    >>> in_words("full", 221_184, {seed: run for seed, run in seen.items() if seed})
    'at 221k tokens 2 of 2 seeds of full have begun to use their context (gain 0.31 and 0.30 nats), the last by 91k'
    """
    lacking = [run.gain_nats for run in runs.values() if not run.has_begun]
    having = [run.gain_nats for run in runs.values() if run.has_begun]
    head = f"at {short_count(tokens)} tokens"
    if not lacking:
        onsets = [run.onset.at for run in runs.values() if run.onset is not None]
        since = f", the last by {short_count(max(onsets))}" if onsets else ""
        many = len(having)
        return f"{head} {_of(many, len(runs), arm)} begun to use {_its(many)} context ({_gains(having)}){since}"
    others = f"; {_listed(having)} in the other{'s' if len(having) > 1 else ''}" if having else ""
    few = len(lacking)
    return f"{head} {_of(few, len(runs), arm)} not begun to use {_its(few)} context ({_gains(lacking)}{others})"


def _of(count: int, among: int, arm: str) -> str:
    return f"{count} of {plural(among, 'seed')} of {arm} {'has' if count == 1 else 'have'}"


def _its(count: int) -> str:
    return "its" if count == 1 else "their"


def _gains(gains: Sequence[float]) -> str:
    return f"gain {_listed(gains)} nats"


def _listed(gains: Sequence[float]) -> str:
    words = [f"{gain:.2f}" for gain in gains]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def enough_in_words(enough: Enough, more_minutes: float | None) -> str:
    """How many tokens would do, what that costs and how sure it is, without a full stop.

    >>> enough_in_words(Enough(890_000, "some"), 14.2)
    '890k would do, about 14 minutes more for the study (an estimate, perhaps off by a factor of two)'
    >>> enough_in_words(Enough(890_000, "none"), None)
    '890k is the next to try (a guess: no seed has begun, so nothing tells how many it takes)'
    """
    cost = "" if more_minutes is None else f", about {plural(max(1, round(more_minutes)), 'minute')} more for the study"
    if enough.basis == "some":
        sure = "an estimate, perhaps off by a factor of two"
        return f"{short_count(enough.tokens)} would do{cost} ({sure})"
    sure = "a guess: no seed has begun, so nothing tells how many it takes"
    return f"{short_count(enough.tokens)} is the next to try{cost} ({sure})"


def early_in_words(arm: str) -> str:
    """What a verdict on runs that are too short says of itself, without a full stop."""
    seen = f"these runs end before {arm} has begun to use its context in every seed"
    return f"{seen}, so this is about the first steps of training"
