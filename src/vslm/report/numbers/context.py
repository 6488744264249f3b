"""How loss depends on context, from the runs of a study: curves, maps, onsets, laws.

Over the seeds that ended well. Bands over seeds are pointwise 95 % Student-t intervals from three seeds on; bands over
documents come from a bootstrap whose generator is made here, so that a page is a function of its folder. An array that
is not there, or does not have the axes that its name says, is passed over.

Letters: N seeds, S stored steps, K lengths of context, P bins of positions, D documents, R draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vslm.report.numbers.curves import band_half, binned
from vslm.report.numbers.maps import Map, map_over_seeds
from vslm.report.numbers.profiles import Profile, last_values, over_seeds, stacked
from vslm.report.numbers.runs import Run
from vslm.stats.bootstrap import bootstrap_means, by_document, percentile_interval, pooled_means
from vslm.stats.context_learning import Onset, far_place, icl_score, onset, score_positions, slope_by_log
from vslm.stats.intervals import student_interval
from vslm.stats.power_law import FEWEST_BINS, PowerLaw, fit_power_law

_ERROR = 0.05
_NUM_DRAWS = 200
_CURVE, _PROFILE = "context_curve", "position_profile"
_AROUND_FRACTION = 0.02  # of the context, on each side of both positions of a score


@dataclass(frozen=True)
class Spread:
    """A number over seeds: its mean, and half its 95 % interval from two seeds on."""

    mean: float
    half: float | None
    count: int


@dataclass(frozen=True)
class ContextCurves:
    """C(k) of one arm at every stored step, by seed.

    Args:
        steps_S: stored.
        context_tokens_K: k.
        loss_NSK: C(k).
        gain_sem_K: standard error over targets of C(1) - C(k) at the end; None where it was not stored.
        far_gain_sem: likewise of C(T / 8) - C(T). Seeds share their targets, so it is the mean over them.
        num_targets: that the means are over.
    """

    steps_S: np.ndarray
    context_tokens_K: np.ndarray
    loss_NSK: np.ndarray
    gain_sem_K: np.ndarray | None
    far_gain_sem: float | None
    num_targets: int | None

    def at_the_end(self) -> Profile:
        """C(k) of the finished models."""
        return over_seeds(self.loss_NSK[:, -1], self.context_tokens_K)

    def gain_at_the_end(self) -> Profile:
        """C(1) - C(k) of the finished models: what context beyond one token is worth."""
        return over_seeds(self.loss_NSK[:, -1, :1] - self.loss_NSK[:, -1], self.context_tokens_K)

    def loss_map(self) -> Map:
        """C(k) by step."""
        return map_over_seeds(self.loss_NSK, self.steps_S.tolist(), self.context_tokens_K.tolist())

    def slope_map(self) -> Map:
        """dC / d ln k by step."""
        places, slope_NSK = slope_by_log(self.context_tokens_K, self.loss_NSK)
        return map_over_seeds(slope_NSK, self.steps_S.tolist(), places.tolist())

    def far_gain_by_seed(self) -> np.ndarray:
        """C(T / 8) - C(T) of each seed at each step, of the longest k up to T / 8."""
        return self.loss_NSK[..., far_place(self.context_tokens_K)] - self.loss_NSK[..., -1]

    def far_gain(self) -> Profile | None:
        """The far gain over training, from the first step on; None where one step was stored."""
        keep_S = self.steps_S > 0  # a logarithmic axis has no 0
        return over_seeds(self.far_gain_by_seed()[:, keep_S], self.steps_S[keep_S]) if keep_S.sum() > 1 else None

    def onsets(self) -> tuple[Onset | None, Onset | None] | None:
        """From which steps the interval of the far gain stays above 0, and above half of what it came to.

        None below three seeds, or where one step was stored: then there is no interval or no step to find.
        """
        gain_NS = self.far_gain_by_seed()
        half_S = band_half(gain_NS)
        if half_S is None or len(self.steps_S) < 2:
            return None
        low_S, half_of_it = gain_NS.mean(axis=0) - half_S, float(gain_NS[:, -1].mean()) / 2
        above_half = onset(self.steps_S, low_S, above=half_of_it) if half_of_it > 0 else None
        return onset(self.steps_S, low_S), above_half


@dataclass(frozen=True)
class Positions:
    """L(t) of one arm from one kind of beginning, with an interval over documents, and its power law.

    Args:
        profile: by bins of t; without an interval where there is a single document.
        law: fitted to it.
        num_rows: windows, or document starts.
        num_documents: that they are of, which is what was drawn; None where the runs do not say: then windows were.
    """

    profile: Profile
    law: PowerLaw | None
    num_rows: int
    num_documents: int | None


def context_curves(runs: Sequence[Run]) -> ContextCurves | None:
    """C(k) of one arm, or None where nobody measured it."""
    found = [arrays for run in runs if (arrays := _curve_of(run)) is not None]
    if not found:
        return None
    (steps_S, lengths_K, _), *_ = found
    found = [one for one in found if np.array_equal(one[0], steps_S) and np.array_equal(one[1], lengths_K)]
    sems = [run.arrays[f"{_CURVE}.gain_sem_nats_SK"][-1] for run in runs if _has_sem(run, lengths_K)]
    far_sems = stacked(runs, f"{_CURVE}.far_gain_sem_nats_S", 0)
    far_sems = far_sems[np.isfinite(far_sems)]
    counts = [run.arrays[name] for run in runs if (name := f"{_CURVE}.num_targets_S") in run.arrays]
    return ContextCurves(
        steps_S,
        lengths_K,
        np.stack([loss_SK for _, _, loss_SK in found]),
        np.mean(sems, axis=0) if sems else None,
        float(np.mean(far_sems)) if far_sems.size else None,
        int(counts[0][-1]) if counts and counts[0].ndim == 1 and len(counts[0]) else None,
    )


def _curve_of(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    names = ("steps_S", "context_tokens_SK", "loss_nats_SK")
    steps_S, lengths_SK, loss_SK = (run.arrays.get(f"{_CURVE}.{name}") for name in names)
    if not run.is_whole or steps_S is None or lengths_SK is None or loss_SK is None:
        return None
    fits = loss_SK.ndim == 2 and loss_SK.shape == lengths_SK.shape == (len(steps_S), loss_SK.shape[1])
    if not fits or not loss_SK.size or not np.isfinite(loss_SK).all() or not (np.diff(lengths_SK[0]) > 0).all():
        return None
    return steps_S, lengths_SK[0], loss_SK


def _has_sem(run: Run, lengths_K: np.ndarray) -> bool:
    sem_SK = run.arrays.get(f"{_CURVE}.gain_sem_nats_SK")
    return run.is_whole and sem_SK is not None and sem_SK.ndim == 2 and sem_SK.shape[1:] == lengths_K.shape


def positions(runs: Sequence[Run], beginning: str) -> Positions | None:
    """L(t) at the end of training, from `random` windows or from `document` starts.

    All seeds have the same windows and documents, so each document's loss is the mean over seeds; what is drawn anew
    is the documents, each with all its windows. Runs of earlier versions do not say which document a window is of:
    there windows are drawn, which is too narrow where they share documents.
    """
    losses, counts_NP, tokens_P, document_N = [], None, None, None
    for run in runs:
        loss_NP, its_tokens_P, its_counts_NP, its_document_N = (
            last_values(run, f"{_PROFILE}.{name}", axes)
            for name, axes in (
                (f"{beginning}_nats_SNP", 2),
                ("tokens_SP", 1),
                ("document_targets_SNP", 2),
                ("random_document_SN", 1),
            )
        )
        if loss_NP is None or its_tokens_P is None or loss_NP.shape[1:] != its_tokens_P.shape:
            continue
        if losses and loss_NP.shape != losses[0].shape:
            continue
        if beginning == "document":
            if its_counts_NP is None or its_counts_NP.shape != loss_NP.shape:
                continue
            counts_NP, document_N = its_counts_NP, np.arange(len(loss_NP))
        elif its_document_N is not None and len(its_document_N) == len(loss_NP):
            document_N = its_document_N
        losses.append(loss_NP)
        tokens_P = its_tokens_P
    if not losses or tokens_P is None or not (tokens_P > 0).all():
        return None
    values_NP = np.stack(losses).astype(np.float64).mean(axis=0)
    num_rows, num_documents = len(values_NP), None if document_N is None else len(np.unique(document_N))
    if beginning == "random":
        values_NP, counts_NP = by_document(values_NP, np.arange(num_rows) if document_N is None else document_N)
    assert counts_NP is not None
    mean_P = pooled_means(values_NP, counts_NP)
    draws_RP, half_P, keep_P = None, None, np.isfinite(mean_P)
    if len(values_NP) > 1:
        draws_RP = bootstrap_means(values_NP, counts_NP, num_draws=_NUM_DRAWS, generator=np.random.default_rng(0))
        low_P, high_P = percentile_interval(draws_RP, _ERROR)
        keep_P &= np.isfinite(low_P)
        draws_RP, half_P = draws_RP[:, keep_P], (high_P - low_P)[keep_P] / 2
    if not keep_P.any():
        return None
    profile = Profile(tokens_P[keep_P], mean_P[keep_P], half_P, len(losses))
    law = fit_power_law(tokens_P[keep_P], mean_P[keep_P], draws_RP) if keep_P.sum() >= FEWEST_BINS else None
    return Positions(profile, law, num_rows, num_documents)


def scores(runs: Sequence[Run]) -> tuple[Spread, Spread] | None:
    """The in-context learning score of one arm over all of `val`: at two positions, and over their neighbors."""
    finals = [run.arrays["final_val_loss_nats_T"] for run in runs if run.is_whole and _FINAL in run.arrays]
    finals = [final_T for final_T in finals if final_T.shape == finals[0].shape and final_T.size]
    if not finals:
        return None
    loss_NT = np.stack(finals)
    around = around_tokens(loss_NT.shape[1])
    return _spread(icl_score(loss_NT)), _spread(icl_score(loss_NT, around_tokens=around))


_FINAL = "final_val_loss_nats_T"


def around_tokens(context_tokens: int) -> int:
    """Neighbors on each side that a score averages."""
    return max(1, round(_AROUND_FRACTION * context_tokens))


def score_words(context_tokens: int) -> str:
    """What a score compares.

    >>> score_words(256)
    'L(251) − L(26)'
    """
    late, early = score_positions(context_tokens)
    return f"L({late}) − L({early})"


def slope_map(runs: Sequence[Run]) -> Map | None:
    """dL / d ln t of the validation loss by step, in octaves of t."""
    found = [run.arrays for run in runs if run.is_whole and "val_loss_nats_ST" in run.arrays]
    if not found or not found[0]["val_loss_nats_ST"].size:
        return None
    steps_S, shape = found[0]["steps_S"], found[0]["val_loss_nats_ST"].shape
    found = [arrays for arrays in found if np.array_equal(arrays["steps_S"], steps_S)]
    loss_NST = np.stack([a["val_loss_nats_ST"] for a in found if a["val_loss_nats_ST"].shape == shape])
    edges = np.unique([0, *(2**i for i in range(shape[1].bit_length())), shape[1]])
    if len(edges) < 3:
        return None
    # By the middle of ln t in each bin, not of t: the loss of a bin is nearly that at its geometric mean.
    places, slope_NSP = slope_by_log(np.sqrt((edges[:-1] + 1) * edges[1:]), binned(loss_NST, edges))
    return map_over_seeds(slope_NSP, steps_S.tolist(), places.tolist())


def spread_of_last(values_NS: np.ndarray) -> Spread:
    """Over seeds, at the last step."""
    return _spread(values_NS[:, -1])


def _spread(values_N: np.ndarray) -> Spread:
    interval = student_interval(values_N, _ERROR)
    half = (interval.high - interval.low) / 2 if len(values_N) > 1 else None
    return Spread(interval.mean, half, len(values_N))
